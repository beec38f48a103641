//! `HorizontalPodAutoscaler`: both directions Disabled and the bounds opened, in one write.
//!
//! Disabled alone still corrects a count outside the bounds, without asking any metric; with 1 and the largest count
//! there is no outside, and zero it leaves alone by itself. The target reference stays: an HPA pointed elsewhere would
//! hide from everybody who looks for the workload's autoscalers.

use serde_json::{Value, json};

use super::rival::put;

/// The largest `maxReplicas`.
const OPEN: i64 = i32::MAX as i64;
const DISABLED: &str = "Disabled";
const DIRECTIONS: [&str; 2] = ["scaleUp", "scaleDown"];

/// Whether it moves nothing.
pub(super) fn inert(object: &Value) -> bool {
    what_is_not_ours(object).is_none()
}

/// The first field that is not as standing down leaves it.
pub(super) fn what_is_not_ours(object: &Value) -> Option<&'static str> {
    let spec = &object["spec"];
    let disabled = |direction: &str| spec["behavior"][direction]["selectPolicy"] == DISABLED;
    if spec["minReplicas"].as_i64().unwrap_or(1) > 1 {
        Some("spec.minReplicas")
    } else if spec["maxReplicas"] != OPEN {
        Some("spec.maxReplicas")
    } else if !disabled("scaleUp") {
        Some("spec.behavior.scaleUp.selectPolicy")
    } else if !disabled("scaleDown") {
        Some("spec.behavior.scaleDown.selectPolicy")
    } else {
        None
    }
}

/// Whether its controller has seen the spec. API servers that give an HPA no generation (before 1.37, gate
/// `HPAGeneration`) leave it unsaid.
pub(super) fn observed(object: &Value) -> Option<bool> {
    let generation = object["metadata"]["generation"].as_i64().filter(|generation| *generation > 0)?;
    Some(object["status"]["observedGeneration"].as_i64().is_some_and(|seen| seen >= generation))
}

/// Bounds and behavior as they are.
pub(super) fn original(object: &Value) -> Value {
    let mut original = json!({});
    for field in ["minReplicas", "maxReplicas", "behavior"] {
        put(&mut original, field, object["spec"].get(field).cloned());
    }
    original
}

/// What the API server makes of a direction that is left out beside one that is not.
fn default_direction(direction: &str) -> Value {
    let percent = json!({ "type": "Percent", "value": 100, "periodSeconds": 15 });
    if direction == "scaleUp" {
        let pods = json!({ "type": "Pods", "value": 4, "periodSeconds": 15 });
        json!({ "stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [pods, percent] })
    } else {
        json!({ "selectPolicy": "Max", "policies": [percent] })
    }
}

/// A direction as standing down writes it: in full, so that the API server has nothing to add and an edit can be told.
fn disabled(direction: &str, original: &Value) -> Value {
    let mut written = default_direction(direction);
    if let Some(members) = original["behavior"][direction].as_object() {
        for (key, value) in members {
            put(&mut written, key, Some(value.clone()));
        }
    }
    put(&mut written, "selectPolicy", Some(DISABLED.into()));
    written
}

/// Makes it inert.
pub(super) fn stand_down(object: &mut Value) {
    let original = original(object);
    let mut behavior = original.get("behavior").filter(|b| b.is_object()).cloned().unwrap_or_else(|| json!({}));
    for direction in DIRECTIONS {
        put(&mut behavior, direction, Some(disabled(direction, &original)));
    }
    let spec = &mut object["spec"];
    put(spec, "minReplicas", Some(1.into()));
    put(spec, "maxReplicas", Some(OPEN.into()));
    put(spec, "behavior", Some(behavior));
}

/// Gives back what nobody changed since. The error is the end of a sentence.
pub(super) fn restore(object: &mut Value, original: &Value) -> Result<(), String> {
    let spec = &mut object["spec"];
    if spec["minReplicas"] == 1 {
        put(spec, "minReplicas", original.get("minReplicas").cloned());
    }
    if spec["maxReplicas"] == OPEN {
        put(spec, "maxReplicas", original.get("maxReplicas").cloned());
    }
    if let Some(behavior) = spec.get_mut("behavior").filter(|behavior| behavior.is_object()) {
        for direction in DIRECTIONS {
            restore_direction(behavior, direction, original);
        }
        let empty = behavior.as_object().is_some_and(serde_json::Map::is_empty);
        if empty && original.get("behavior").is_none() {
            put(spec, "behavior", None);
        }
    }
    let (least, most) = bounds(object);
    if least > most {
        return Err(format!("its minReplicas was {least} and its maxReplicas is now {most}"));
    }
    Ok(())
}

fn restore_direction(behavior: &mut Value, direction: &str, original: &Value) {
    let was = original["behavior"].get(direction);
    let written = disabled(direction, original);
    let live = &behavior[direction];
    let untouched = written.as_object().is_some_and(|members| members.iter().all(|(key, value)| live[key] == *value));
    if untouched {
        put(behavior, direction, was.cloned());
    } else if live["selectPolicy"] == DISABLED {
        let policy = was.and_then(|was| was.get("selectPolicy")).cloned().unwrap_or_else(|| "Max".into());
        put(&mut behavior[direction], "selectPolicy", Some(policy));
    }
}

/// The counts that it leaves alone. Zero is not: an HPA whose minimum is more takes zero as being switched off and never
/// wakes the workload.
pub(super) fn bounds(object: &Value) -> (u32, u32) {
    let count = |field: &str| u32::try_from(object["spec"][field].as_u64().unwrap_or(1)).unwrap_or(u32::MAX);
    (count("minReplicas"), count("maxReplicas"))
}
