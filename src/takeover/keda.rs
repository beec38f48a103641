//! `ScaledObject`: paused by annotation. KEDA then stops its loop and deletes its own HPA; the triggers still answer as
//! external metrics.
//!
//! `paused-replicas` is taken away meanwhile: with it KEDA writes that count at each of its reconciles, which is moving
//! the workload. KEDA reads any `paused` that is no boolean as true.

use serde_json::{Value, json};

use super::rival::annotate;

const PAUSED: &str = "autoscaling.keda.sh/paused";
const PAUSED_REPLICAS: &str = "autoscaling.keda.sh/paused-replicas";
const TRUE: &str = "true";

/// `maxReplicaCount` where none is given.
const DEFAULT_MAX: u64 = 100;

fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object["metadata"]["annotations"].get(key)?.as_str()
}

fn paused(object: &Value) -> bool {
    // The texts that Go's ParseBool reads as false.
    annotation(object, PAUSED).is_some_and(|text| !["0", "f", "F", "false", "False", "FALSE"].contains(&text))
}

/// Whether it moves nothing.
pub(super) fn inert(object: &Value) -> bool {
    paused(object) && annotation(object, PAUSED_REPLICAS).is_none()
}

/// Whether KEDA has seen what it is told: its condition `Paused` agrees. That its HPA is gone is seen apart.
pub(super) fn observed(object: &Value) -> bool {
    let conditions = object["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    let said = conditions.iter().any(|condition| condition["type"] == "Paused" && condition["status"] == "True");
    said == paused(object)
}

/// Both annotations as they are.
pub(super) fn original(object: &Value) -> Value {
    json!({ "paused": annotation(object, PAUSED), "pausedReplicas": annotation(object, PAUSED_REPLICAS) })
}

/// Makes it inert.
pub(super) fn stand_down(object: &mut Value) {
    annotate(object, PAUSED, Some(TRUE.to_owned()));
    annotate(object, PAUSED_REPLICAS, None);
}

/// Gives each annotation back unless somebody changed it since.
pub(super) fn restore(object: &mut Value, original: &Value) {
    let was = |field: &str| original[field].as_str().map(str::to_owned);
    let untouched = (annotation(object, PAUSED) == Some(TRUE), annotation(object, PAUSED_REPLICAS).is_none());
    if untouched.0 {
        annotate(object, PAUSED, was("paused"));
    }
    if untouched.1 {
        annotate(object, PAUSED_REPLICAS, was("pausedReplicas"));
    }
}

/// The counts that it leaves alone. Zero is among them when `minReplicaCount` says so: KEDA wakes a workload itself.
pub(super) fn bounds(object: &Value) -> (u32, u32) {
    if let Some(fixed) = annotation(object, PAUSED_REPLICAS).and_then(|text| text.parse().ok()) {
        return (fixed, fixed);
    }
    let count =
        |field: &str, default| u32::try_from(object["spec"][field].as_u64().unwrap_or(default)).unwrap_or(u32::MAX);
    let least = count("minReplicaCount", 0);
    (least, count("maxReplicaCount", DEFAULT_MAX).max(least))
}
