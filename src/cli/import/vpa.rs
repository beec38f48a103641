//! `VerticalPodAutoscaler`: bounds of sizes, and which of them move.

use serde_json::Value;

use super::{
    draft::Draft,
    object::{Left, Object, quantity},
};
use crate::api::{self, Lever, SizeRange};

/// Puts a VPA into a draft.
pub(super) fn take(draft: &mut Draft, object: &Object, left: &mut Vec<Left>) {
    draft.comes_from(object);
    left.extend(object.unknown("spec", &["targetRef", "updatePolicy", "resourcePolicy"]));
    left.extend(object.unknown("spec.updatePolicy", &["updateMode"]));
    left.extend(object.unknown("spec.resourcePolicy", &["containerPolicies"]));
    let policies = object.at("/spec/resourcePolicy/containerPolicies").as_array();
    let policies: Vec<(String, &Value)> = policies
        .into_iter()
        .flatten()
        .enumerate()
        .map(|(index, policy)| (format!("spec.resourcePolicy.containerPolicies[{index}]"), policy))
        .collect();
    let mut resources: Option<Vec<&str>> = None;
    for (path, policy) in &policies {
        container(draft, object, path, policy, left);
        let Some(list) = policy["controlledResources"].as_array() else { continue };
        let list: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
        if policies.len() > 1 && resources.as_ref().is_some_and(|known| *known != list) {
            let what = "differs from another container's, and levers are those of the whole pod";
            left.push(object.left(&format!("{path}.controlledResources"), what, "check spec.levers"));
        }
        resources.get_or_insert(list);
    }
    let controls = |name: &str| resources.as_ref().is_none_or(|list| list.contains(&name));
    update_mode(draft, object, (controls("cpu"), controls("memory")), left);
}

/// What may be done to running pods.
fn update_mode(draft: &mut Draft, object: &Object, (cpu, memory): (bool, bool), left: &mut Vec<Left>) {
    let path = "spec.updatePolicy.updateMode";
    match object.at("/spec/updatePolicy/updateMode").as_str().unwrap_or("Auto") {
        "Off" => {
            let what = "is Off: sizes were recommended, never changed, and the levers Cpu and Memory are left out";
            left.push(object.left(path, what, "add them to spec.levers to have sizes decided"));
            if draft.levers.is_empty() {
                // A policy without any lever is none; in Recommend it writes nothing either.
                draft.levers.extend([Lever::Cpu, Lever::Memory]);
            }
            return;
        }
        "Initial" => resize(draft, api::ResizeStrategy::Initial),
        "InPlaceOrRecreate" => resize(draft, api::ResizeStrategy::InPlaceOrRecreate),
        mode => {
            let what = format!("is {mode}, which evicts pods, and the policy resizes them in place alone");
            let advice =
                "nothing, where the cluster resizes in place; or write spec.resize.strategy: InPlaceOrRecreate";
            left.push(object.left(path, &what, advice));
        }
    }
    draft.levers.extend([(Lever::Cpu, cpu), (Lever::Memory, memory)].into_iter().filter(|l| l.1).map(|l| l.0));
}

fn resize(draft: &mut Draft, strategy: api::ResizeStrategy) {
    draft.spec.resize = Some(api::Resize { strategy: Some(strategy), ..api::Resize::default() });
}

/// Bounds of one container.
fn container(draft: &mut Draft, object: &Object, path: &str, policy: &Value, left: &mut Vec<Left>) {
    let known = ["containerName", "mode", "minAllowed", "maxAllowed", "controlledResources", "controlledValues"];
    left.extend(object.unknown(path, &known));
    let name = policy["containerName"].as_str().unwrap_or("*");
    if policy["mode"] == "Off" {
        let what = format!("keeps container {name} as it is, and a policy sizes all containers of a pod");
        left.push(object.left(&format!("{path}.mode"), &what, "set min and max of the container to its request"));
    }
    let range = |resource: &str| {
        let bound = |field: &str| quantity(&policy[field][resource]);
        let range = SizeRange { min: bound("minAllowed"), max: bound("maxAllowed") };
        (range != SizeRange::default()).then_some(range)
    };
    let rule = draft.container(name);
    rule.cpu = range("cpu").or(rule.cpu.take());
    rule.memory = range("memory").or(rule.memory.take());
    if policy["controlledValues"] == "RequestsOnly" {
        rule.limits = Some(api::Limits::Unchanged);
    }
    for field in ["minAllowed", "maxAllowed"] {
        left.extend(object.unknown(&format!("{path}.{field}"), &["cpu", "memory"]));
    }
}
