//! `HorizontalPodAutoscaler`: bounds, CPU target, behavior. Versions v1 and v2.

use serde_json::{Value, json};

use super::{
    draft::Draft,
    object::{Left, Object, whole},
};
use crate::api::{self, RateLimit, RateLimitType, SelectPolicy, UtilizationObjective};

/// What the API server fills in for an HPA without metrics.
const DEFAULT_CPU: i32 = 80;
/// Period of the default rate limits, in seconds.
const PERIOD: i32 = 15;

/// Puts an HPA into a draft.
pub(super) fn take(draft: &mut Draft, object: &Object, left: &mut Vec<Left>) {
    if !draft.takes_replicas(object, left) {
        return;
    }
    draft.comes_from(object);
    let known =
        ["scaleTargetRef", "minReplicas", "maxReplicas", "metrics", "behavior", "targetCPUUtilizationPercentage"];
    left.extend(object.unknown("spec", &known));
    draft.spec.replicas = Some(api::Replicas {
        min: Some(whole(object.at("/spec/minReplicas")).unwrap_or(1)),
        max: whole(object.at("/spec/maxReplicas")),
    });
    draft.spec.behavior = Some(behavior(object, "spec.behavior", left));
    if object.version() == "v1" {
        let cpu = whole(object.at("/spec/targetCPUUtilizationPercentage")).unwrap_or(DEFAULT_CPU);
        utilization(draft, object, "spec.targetCPUUtilizationPercentage", cpu, left);
        return;
    }
    match object.at("/spec/metrics").as_array().filter(|metrics| !metrics.is_empty()) {
        None => utilization(draft, object, "spec.metrics", DEFAULT_CPU, left),
        Some(metrics) => {
            for (index, entry) in metrics.iter().enumerate() {
                metric(draft, object, &format!("spec.metrics[{index}]"), entry, left);
            }
        }
    }
    without_target(draft, object, left);
}

/// A policy needs an objective; without one CPU 70 % would count, which nobody wrote.
pub(super) fn without_target(draft: &Draft, object: &Object, left: &mut Vec<Left>) {
    let objective = draft.spec.objective.as_ref();
    if objective.is_none_or(|o| o.utilization.is_none() && o.backlog.is_none() && o.latency.is_none()) {
        let what = "has no target that could be carried over, so that the default counts, utilization cpu 70";
        left.push(object.left("spec", what, "write spec.objective"));
    }
}

/// One metric.
fn metric(draft: &mut Draft, object: &Object, path: &str, entry: &Value, left: &mut Vec<Left>) {
    let kind = entry["type"].as_str().unwrap_or_default();
    let (source, container) = match kind {
        "Resource" => (&entry["resource"], None),
        "ContainerResource" => (&entry["containerResource"], entry["containerResource"]["container"].as_str()),
        "Pods" | "Object" | "External" => {
            let field = kind.to_ascii_lowercase();
            let name = entry[&field]["metric"]["name"].as_str().unwrap_or("unnamed");
            let what = format!("follows the {field} metric {name}, whose query is not in the manifest");
            let instead = "add it to spec.signals with the PromQL behind it and its role";
            left.push(object.left(path, &what, instead));
            return;
        }
        _ => {
            left.push(object.left(
                path,
                &format!("has the unknown type \"{kind}\""),
                "look it up in the HPA's reference",
            ));
            return;
        }
    };
    let (name, target) = (source["name"].as_str().unwrap_or_default(), &source["target"]);
    match (name, target["type"].as_str(), whole(&target["averageUtilization"])) {
        ("cpu", Some("Utilization"), Some(percent)) => {
            if let Some(container) = container {
                let what = format!("counts container {container} alone, and an objective counts the whole pod");
                left.push(object.left(path, &what, "check spec.objective.utilization against the pod's usage"));
            }
            utilization(draft, object, path, percent, left);
        }
        ("cpu", ..) => {
            let value = target["averageValue"].as_str().unwrap_or_default();
            let what = format!("wants {value} of CPU per pod, and an objective is a share of the request");
            left.push(object.left(path, &what, "write spec.objective.utilization.cpu as that share"));
        }
        ("memory", ..) => {
            let what = "scales on memory, which more pods rarely lower";
            let instead = "none, when the lever Memory sizes pods by their peaks; add Memory to spec.levers";
            left.push(object.left(path, what, instead));
        }
        _ => left.push(object.left(path, &format!("scales on {name}"), "only CPU has a counterpart")),
    }
}

/// The CPU objective; of several the strictest counts, as the HPA would have it.
pub(super) fn utilization(draft: &mut Draft, object: &Object, path: &str, percent: i32, left: &mut Vec<Left>) {
    let cpu = percent.clamp(1, 100);
    if cpu != percent {
        let what = format!("is {percent} %, and an objective is at most 100 %");
        left.push(object.left(path, &what, "raise the CPU request of the pod by the difference"));
    }
    let known = draft.objective().utilization.as_ref().map(|u| u.cpu);
    draft.objective().utilization = Some(UtilizationObjective { cpu: known.map_or(cpu, |known| known.min(cpu)) });
}

/// Both directions in full, as the API server had filled them in.
pub(super) fn behavior(object: &Object, path: &str, left: &mut Vec<Left>) -> api::Behavior {
    let rate = |type_, value| RateLimit { type_, value, period_seconds: PERIOD };
    let up = vec![rate(RateLimitType::Pods, 4), rate(RateLimitType::Percent, 100)];
    let down = vec![rate(RateLimitType::Percent, 100)];
    api::Behavior {
        scale_up: Some(direction(object, &format!("{path}.scaleUp"), (0, up), left)),
        // The default of the controller's flag; the field itself stays empty.
        scale_down: Some(direction(object, &format!("{path}.scaleDown"), (300, down), left)),
    }
}

fn direction(
    object: &Object,
    path: &str,
    (window, rates): (i32, Vec<RateLimit>),
    left: &mut Vec<Left>,
) -> api::DirectionRules {
    let pointer = format!("/{}", path.replace('.', "/"));
    let given = object.at(&pointer);
    left.extend(object.unknown(path, &["stabilizationWindowSeconds", "selectPolicy", "policies", "tolerance"]));
    let mut text = given.clone();
    if let Some(tolerance) = given["tolerance"].as_f64() {
        text["tolerance"] = json!(tolerance.to_string());
    }
    let read = if given.is_null() { Ok(api::DirectionRules::default()) } else { serde_json::from_value(text) };
    let read: api::DirectionRules = read.unwrap_or_else(|error| {
        left.push(object.left(path, &format!("cannot be read ({error})"), "the defaults count; correct it"));
        api::DirectionRules::default()
    });
    api::DirectionRules {
        stabilization_window_seconds: Some(read.stabilization_window_seconds.unwrap_or(window)),
        select_policy: Some(read.select_policy.unwrap_or(SelectPolicy::Max)),
        policies: Some(read.policies.filter(|policies| !policies.is_empty()).unwrap_or(rates)),
        tolerance: read.tolerance,
    }
}
