//! Whether the pods of a target are being replaced, and whether that still goes on. Pure.
//!
//! While it does, nothing shrinks and nothing is resized: which pods leave is the rollout's to say, and what it compares
//! should be like for like. A rollout that stands still must not hold a workload for ever, so it holds only while its
//! controller says that it goes on and something of it has moved lately.

use std::{collections::BTreeSet, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::kubernetes::PodFacts;

/// How long a rollout of which nothing moves is taken for one that goes on: six times what a Deployment waits for
/// progress by default (600 s). A stateful set, and a Deployment that is paused half way, have no other end.
const STILL: SignedDuration = SignedDuration::from_hours(1);
/// The same for one that goes in steps: a step may wait for an analysis, or over night for a person.
const STILL_IN_STEPS: SignedDuration = SignedDuration::from_hours(24);

/// What the object says of its rollout, beside what its pods show.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RolloutFacts {
    /// What is under way, in words, though pods of one template may be all that is seen.
    pub under_way: Option<String>,
    /// Whether it goes in steps, each of which may wait.
    pub in_steps: bool,
    /// Why it does not go on by itself, in words.
    pub stands: Option<String>,
    /// When its controller last saw it move.
    pub moved: Option<Timestamp>,
}

/// What a rollout means for a workload.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Rollout {
    /// Nothing tells.
    #[default]
    Unknown,
    /// All pods have the newest template.
    Done,
    /// Pods are being replaced; in words, where there are better ones than that pods of two templates run.
    UnderWay(Option<String>),
    /// Pods of two templates run and will go on doing so: why, in words.
    Stands(String),
}

impl Rollout {
    /// Whether it holds the workload, as a snapshot says it.
    #[must_use]
    pub fn holds(&self) -> Option<bool> {
        match self {
            Self::Unknown => None,
            Self::Done | Self::Stands(_) => Some(false),
            Self::UnderWay(_) => Some(true),
        }
    }

    /// What is to be said of it, in words.
    #[must_use]
    pub fn remark(&self) -> Option<String> {
        match self {
            Self::Unknown | Self::Done | Self::UnderWay(None) => None,
            Self::UnderWay(Some(words)) => Some(format!("{words}: no shrink and no resize until it is over")),
            Self::Stands(why) => Some(format!("its rollout stands still ({why}) and holds nothing up any more")),
        }
    }
}

/// Judges a rollout by what the object says, the pods, and the newest template.
#[must_use]
pub fn judge(facts: &RolloutFacts, pods: &[Arc<PodFacts>], newest: Option<&str>, now: Timestamp) -> Rollout {
    let own = || pods.iter().filter(|p| p.counts());
    let templates: BTreeSet<&str> = own().filter_map(|p| p.template_hash()).chain(newest).collect();
    if templates.is_empty() && facts.under_way.is_none() {
        return Rollout::Unknown;
    }
    if templates.len() < 2 && facts.under_way.is_none() {
        return Rollout::Done;
    }
    if let Some(why) = &facts.stands {
        return Rollout::Stands(why.clone());
    }
    let (still, words) = if facts.in_steps { (STILL_IN_STEPS, "a day") } else { (STILL, "an hour") };
    let moved = own().flat_map(|p| [p.created, p.ready_since]).flatten().chain(facts.moved).max();
    if moved.is_some_and(|at| now.duration_since(at) >= still) {
        return Rollout::Stands(format!("nothing of it has moved for {words}"));
    }
    Rollout::UnderWay(facts.under_way.clone())
}

/// Reads what an object of one of the kinds that roll out says.
#[must_use]
pub fn facts(kind: &str, generation: Option<i64>, data: &Value) -> RolloutFacts {
    match kind {
        "Deployment" => deployment(generation, data),
        "StatefulSet" => stateful_set(data),
        "Rollout" => argo_rollout(generation, data),
        _ => RolloutFacts::default(),
    }
}

fn condition<'a>(data: &'a Value, type_: &str) -> &'a Value {
    let conditions = data["status"]["conditions"].as_array();
    conditions.into_iter().flatten().find(|c| c["type"] == type_).unwrap_or(&Value::Null)
}

/// When the controller last noted progress.
fn progressed(data: &Value) -> Option<Timestamp> {
    condition(data, "Progressing")["lastUpdateTime"].as_str()?.parse().ok()
}

fn deployment(generation: Option<i64>, data: &Value) -> RolloutFacts {
    // What it says of an older spec is not about the template that is newest now.
    let current = data["status"]["observedGeneration"].as_i64() >= generation;
    let exceeded = condition(data, "Progressing")["reason"] == "ProgressDeadlineExceeded";
    let seconds = data["spec"]["progressDeadlineSeconds"].as_i64().unwrap_or(600);
    let stands = (current && exceeded).then(|| format!("no progress for {seconds} s, ProgressDeadlineExceeded"));
    RolloutFacts { stands, moved: progressed(data), ..RolloutFacts::default() }
}

fn stateful_set(data: &Value) -> RolloutFacts {
    let strategy = &data["spec"]["updateStrategy"];
    let count = |pointer: &str| data.pointer(pointer).and_then(Value::as_u64);
    let partition = count("/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0);
    let above = count("/spec/replicas").unwrap_or(1).saturating_sub(partition);
    let stands = if strategy["type"] == "OnDelete" {
        Some("updateStrategy is OnDelete: a pod changes when somebody deletes it".to_owned())
    } else if partition > 0 && count("/status/updatedReplicas").unwrap_or(0) >= above {
        Some(format!("updateStrategy keeps the pods below partition {partition} as they are"))
    } else {
        None
    };
    RolloutFacts { stands, ..RolloutFacts::default() }
}

/// Argo Rollouts: `status.stableRS` is the template that serves, `status.currentPodHash` the newest.
fn argo_rollout(generation: Option<i64>, data: &Value) -> RolloutFacts {
    let status = &data["status"];
    let text = |field: &str| status[field].as_str().filter(|t| !t.is_empty());
    // A number written as a text, in versions since 1.0.
    let observed = text("observedGeneration").and_then(|t| t.parse::<i64>().ok());
    let current = observed.is_none_or(|observed| Some(observed) >= generation);
    let degraded = status["phase"] == "Degraded" || status["abort"] == true;
    let why = || text("message").unwrap_or("aborted").chars().take(120).collect::<String>();
    let paused = status["pauseConditions"].as_array().into_iter().flatten();
    let paused = paused.filter_map(|p| p["startTime"].as_str()?.parse().ok()).max();
    RolloutFacts {
        under_way: (text("stableRS").is_some() && text("stableRS") != text("currentPodHash")).then(|| steps(data)),
        in_steps: true,
        stands: (current && degraded).then(|| format!("it is degraded: {}", why())),
        moved: progressed(data).max(paused),
    }
}

/// Where it is, in words.
fn steps(data: &Value) -> String {
    let status = &data["status"];
    let paused = if status["phase"] == "Paused" { ", paused" } else { "" };
    let all = data.pointer("/spec/strategy/canary/steps").and_then(Value::as_array).map_or(0, Vec::len);
    let weight = status.pointer("/canary/weights/canary/weight").and_then(Value::as_u64);
    let weight = weight.map_or_else(String::new, |w| format!(", {w} % of the traffic"));
    match status["currentStepIndex"].as_u64().filter(|_| all > 0) {
        Some(step) => {
            let step = usize::try_from(step).unwrap_or(all).saturating_add(1).min(all);
            format!("its Rollout is at step {step} of {all}{weight}{paused}")
        }
        None => format!("its Rollout goes to a new template{weight}{paused}"),
    }
}

#[cfg(test)]
#[path = "rollout/tests.rs"]
mod tests;
