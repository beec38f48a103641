//! The policies of the tests: what they share, so that each test shows only what it is about.

use serde_json::{Value, json};

use crate::support::{CONTAINER, Scene, WEB};

/// Seconds of a rate's window: four scrapes.
const WINDOW: &str = "20s";
/// A hold that lets a test see shrinking within a minute.
const HOLD_SECONDS: u32 = 30;

/// The application's request rate.
pub(crate) fn requests(scene: &Scene) -> Value {
    let query = format!("sum(rate(http_requests_total{{namespace=\"{}\",app=\"{WEB}\"}}[{WINDOW}]))", scene.namespace);
    json!({"name": "requests", "role": "Demand", "prometheus": {"query": query}})
}

/// A policy in mode Auto that moves everything, on the request rate, with a short hold.
pub(crate) fn auto(scene: &Scene) -> Value {
    json!({
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": WEB},
        "mode": "Auto",
        "replicas": {"min": 1, "max": 30},
        "containers": [{"name": CONTAINER, "cpu": {"min": "250m", "max": "1"}, "memory": {"min": "64Mi", "max": "1Gi"}}],
        "signals": [requests(scene)],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": HOLD_SECONDS}},
    })
}

/// The same, moving replicas only.
pub(crate) fn replicas_only(scene: &Scene) -> Value {
    with(auto(scene), json!({"levers": ["Replicas"]}))
}

/// The spec with these fields in the place of its own.
pub(crate) fn with(mut spec: Value, fields: Value) -> Value {
    let (Some(all), Value::Object(fields)) = (spec.as_object_mut(), fields) else { panic!("not objects") };
    all.extend(fields);
    spec
}
