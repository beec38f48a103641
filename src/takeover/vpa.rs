//! `VerticalPodAutoscaler`: `updateMode: "Off"`; its recommendation stays visible.
//!
//! `Initial` is an owner too: it sizes new pods. Mode `Off` from the start needs no standing down.

use serde_json::{Value, json};

use super::rival::put;

const OFF: &str = "Off";

/// Whether it sizes nothing.
pub(super) fn inert(object: &Value) -> bool {
    object["spec"]["updatePolicy"]["updateMode"] == OFF
}

/// `updatePolicy` as it is, if there is one.
pub(super) fn original(object: &Value) -> Value {
    json!({ "updatePolicy": object["spec"].get("updatePolicy") })
}

/// Makes it inert.
pub(super) fn stand_down(object: &mut Value) {
    let spec = &mut object["spec"];
    if !spec["updatePolicy"].is_object() {
        put(spec, "updatePolicy", Some(json!({})));
    }
    put(&mut spec["updatePolicy"], "updateMode", Some(OFF.into()));
}

/// Gives the mode back unless somebody chose another since.
pub(super) fn restore(object: &mut Value, original: &Value) {
    if !inert(object) {
        return;
    }
    let was = &original["updatePolicy"];
    let spec = &mut object["spec"];
    put(&mut spec["updatePolicy"], "updateMode", was.get("updateMode").cloned());
    let empty = spec["updatePolicy"].as_object().is_some_and(serde_json::Map::is_empty);
    if empty && was.is_null() {
        put(spec, "updatePolicy", None);
    }
}
