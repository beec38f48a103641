//! The vertical pod autoscaler against recorded answers of the upstream code.

use std::collections::BTreeMap;

use arbiter::simulate::rivals::vpa::{
    Config, Recommendation, Recommender,
    admission::{TemplateContainer, patch},
    amounts::{Amounts, Resource},
    budget::{Budget, BudgetPod, OwnerKind, ResizeUnderWay},
    policy::{ContainerPolicy, Policy},
    priority::{Requirement, Thresholds, UpdatableContainer, UpdatablePod, order},
};
use serde_json::Value;

use super::{Corpus, Tally};

/// Corpora of this module.
pub const CORPORA: &[Corpus] = &[
    Corpus { name: "vpa_recommend", replay: |line| replay(line, recommend) },
    Corpus { name: "vpa_update", replay: |line| replay(line, update) },
    Corpus { name: "vpa_eviction_budget", replay: |line| replay(line, eviction_budget) },
    Corpus { name: "vpa_requests", replay: |line| replay(line, requests) },
];

/// Agreement of a case; else what differs.
type Outcome = Result<(), String>;

/// Compares one line.
fn replay(line: &str, compare: fn(&Value) -> Outcome) -> Result<Tally, String> {
    let case: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let mut tally = Tally::default();
    tally.case(compare(&case).err().map(|difference| format!("case {}: {difference}", case["id"])));
    Ok(tally)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn int(value: &Value) -> i64 {
    value.as_i64().expect("a whole number")
}

fn index(value: &Value) -> usize {
    usize::try_from(int(value)).expect("not negative")
}

fn amounts(value: &Value) -> Amounts {
    Amounts { cpu_milli: value["cpuMilli"].as_i64(), memory_bytes: value["memoryBytes"].as_i64() }
}

fn resource(value: &Value) -> Resource {
    if value == "cpu" { Resource::Cpu } else { Resource::Memory }
}

fn policy(value: &Value) -> Policy {
    let container = |one: &Value| ContainerPolicy {
        container: text(&one["container"]),
        off: one["mode"] == "Off",
        min: amounts(&one["minAllowed"]),
        max: amounts(&one["maxAllowed"]),
        only: match list(&one["controlledResources"]) {
            [only] => Some(resource(only)),
            _ => None,
        },
        requests_only: one["controlledValues"] == "RequestsOnly",
    };
    Policy(list(value).iter().map(container).collect())
}

fn advice(value: &Value) -> Vec<Recommendation> {
    let one = |one: &Value| Recommendation {
        container: text(&one["container"]),
        target: amounts(&one["target"]),
        lower: amounts(&one["lowerBound"]),
        upper: amounts(&one["upperBound"]),
        uncapped: amounts(&one["target"]),
    };
    list(value).iter().map(one).collect()
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, mine: &T, theirs: &T) -> Outcome {
    if mine == theirs { Ok(()) } else { Err(format!("{what}: {mine:?}, upstream {theirs:?}")) }
}

/// Samples and kills → recommendations.
fn recommend(case: &Value) -> Outcome {
    let start = int(&case["start"]);
    let containers: Vec<String> = list(&case["containers"]).iter().map(text).collect();
    let pods = list(&case["pods"]);
    let mut templates = BTreeMap::new();
    let mut recommender = Recommender::new(containers, Config::default());
    let capped = policy(&case["policy"]);
    let mut expected = list(&case["expect"]).iter();
    let mut now = start;
    for event in list(&case["events"]) {
        let (kind, at) = (int(&event[0]), start + int(&event[1]));
        now = now.max(at);
        let pod = || index(&event[2]);
        let id = || u64::try_from(pod()).expect("not negative");
        match kind {
            0 => {
                if let Some(milli) = event[4].as_i64() {
                    recommender.add_cpu(id(), index(&event[3]), milli, at, now);
                }
                if let Some(bytes) = event[5].as_i64() {
                    recommender.add_memory(id(), index(&event[3]), bytes, at, now);
                }
            }
            1 => recommender.add_oom(id(), index(&event[3]), int(&event[4]), at, now),
            2 => {
                let next = templates.len() as u64;
                let template = *templates.entry(text(&pods[pod()]["labels"])).or_insert(next);
                recommender.add_pod(id(), template, now);
            }
            3 => recommender.remove_pod(id()),
            4 => recommender.collect_garbage(now),
            _ => {
                let expected = expected.next().ok_or("more recommendations than upstream")?;
                check(
                    &format!("plain at {}", event[1]),
                    &recommender.recommend(&Policy::default()),
                    &expected["plain"],
                )?;
                if !case["policy"].is_null() {
                    check(&format!("capped at {}", event[1]), &recommender.recommend(&capped), &expected["capped"])?;
                }
            }
        }
    }
    same("recommendations left", &expected.count(), &0)
}

fn check(what: &str, mine: &[Recommendation], theirs: &Value) -> Outcome {
    let pair = |value: &Value| Amounts { cpu_milli: value[0].as_i64(), memory_bytes: value[1].as_i64() };
    let none = serde_json::Map::new();
    let theirs = theirs.as_object().unwrap_or(&none);
    same(&format!("{what}: containers"), &mine.len(), &theirs.len())?;
    for one in mine {
        let its =
            theirs.get(&one.container).ok_or_else(|| format!("{what}: {} has no advice upstream", one.container))?;
        let name = &one.container;
        same(&format!("{what}: {name} uncapped"), &one.uncapped, &pair(&its["uncappedTarget"]))?;
        same(&format!("{what}: {name} target"), &one.target, &pair(&its["target"]))?;
        same(&format!("{what}: {name} lower"), &one.lower, &pair(&its["lowerBound"]))?;
        same(&format!("{what}: {name} upper"), &one.upper, &pair(&its["upperBound"]))?;
    }
    Ok(())
}

fn pod(value: &Value) -> UpdatablePod {
    let container = |one: &Value| UpdatableContainer {
        name: text(&one["name"]),
        requests: amounts(&one["requests"]),
        limits: amounts(&one["limits"]),
        status_requests: one["statusRequests"].is_object().then(|| amounts(&one["statusRequests"])),
        killed: (one["lastTerminated"]["reason"] == "OOMKilled")
            .then(|| (int(&one["lastTerminated"]["startedAt"]), int(&one["lastTerminated"]["finishedAt"]))),
    };
    UpdatablePod {
        start: value["startTime"].as_i64(),
        observed: value["observedContainers"].as_array().map(|names| names.iter().map(text).collect()),
        containers: list(&value["containers"]).iter().map(container).collect(),
    }
}

/// Pods and a recommendation → which pods, in which order.
fn update(case: &Value) -> Outcome {
    let (policy, advice) = (policy(&case["policy"]), advice(&case["recommendation"]));
    let pods: Vec<UpdatablePod> = list(&case["pods"]).iter().map(pod).collect();
    let names: Vec<String> = list(&case["pods"]).iter().map(|pod| text(&pod["name"])).collect();
    for (pod, theirs) in pods.iter().zip(list(&case["expect"]["priority"])) {
        let mine = pod.priority(&advice, &policy);
        let name = text(&theirs["name"]);
        same(&format!("{name} outside"), &Some(mine.outside), &theirs["outsideRange"].as_bool())?;
        same(&format!("{name} scale up"), &Some(mine.scale_up), &theirs["scaleUp"].as_bool())?;
        let difference = theirs["resourceDiff"].as_f64().expect("a number");
        if (mine.difference - difference).abs() > 1e-6 * difference.abs() {
            return Err(format!("{name} difference: {}, upstream {difference}", mine.difference));
        }
    }
    let requirement = |one: &Value| Requirement {
        resources: list(&one["resources"]).iter().map(resource).collect(),
        higher: one["changeRequirement"] == "TargetHigherThanRequests",
    };
    let requirements: Vec<Requirement> = list(&case["evictionRequirements"]).iter().map(requirement).collect();
    let thresholds = Thresholds {
        min_change: case["minChangePriority"].as_f64().expect("a number"),
        lifetime: int(&case["podLifetimeThresholdS"]),
        quick_oom: int(&case["evictAfterOomThresholdS"]),
    };
    let mine = order(&pods, &advice, &policy, &requirements, &thresholds, int(&case["now"]));
    let mine: Vec<String> = mine.into_iter().map(|pod| names[pod].clone()).collect();
    let theirs: Vec<String> = list(&case["expect"]["order"]).iter().map(text).collect();
    same("order", &mine, &theirs)
}

/// Controllers and pods → which evictions pass.
fn eviction_budget(case: &Value) -> Outcome {
    let names: Vec<String> = list(&case["pods"]).iter().map(|pod| text(&pod["name"])).collect();
    let pod = |one: &Value| {
        let owner = text(&one["owner"]);
        let kind = match owner.split('/').next() {
            Some("ReplicationController" | "ReplicaSet" | "StatefulSet" | "DaemonSet") => OwnerKind::Counted,
            Some("Job") => OwnerKind::Job,
            _ => OwnerKind::Other,
        };
        // What waits is seen for the first time.
        let resize = one["resize"].as_str().map(|state| match state {
            "Deferred" | "InProgress" => ResizeUnderWay::Waiting,
            _ => ResizeUnderWay::Stuck,
        });
        BudgetPod { owner, kind, pending: one["phase"] == "Pending", resize }
    };
    let pods: Vec<BudgetPod> = list(&case["pods"]).iter().map(pod).collect();
    let ordered = case["configuredReplicas"].as_object().expect("a map");
    let ordered = ordered.iter().map(|(owner, count)| (owner.clone(), index(count))).collect();
    let min = case["vpaMinReplicas"].as_i64().unwrap_or_else(|| int(&case["minReplicas"]));
    let tolerance = case["evictionTolerance"].as_f64().expect("a number");
    let mut budget = Budget::new(pods, &ordered, usize::try_from(min).unwrap_or(0), tolerance);
    let can: Vec<bool> = (0..names.len()).map(|pod| budget.can_evict(pod)).collect();
    let theirs: Vec<bool> = list(&case["expect"]["canEvict"]).iter().map(|can| can == true).collect();
    same("can evict", &can, &theirs)?;
    let evicted: Vec<String> =
        (0..names.len()).filter(|pod| budget.evict(*pod)).map(|pod| names[pod].clone()).collect();
    let theirs: Vec<String> = list(&case["expect"]["evicted"]).iter().map(text).collect();
    same("evicted", &evicted, &theirs)
}

/// A recommendation and original resources → requests and limits at creation.
fn requests(case: &Value) -> Outcome {
    let (policy, advice) = (policy(&case["policy"]), advice(&case["recommendation"]));
    let advice = if case["updateMode"] == "Off" { Vec::new() } else { advice };
    for (one, theirs) in list(&case["containers"]).iter().zip(list(&case["expect"])) {
        let container = TemplateContainer {
            name: text(&one["name"]),
            requests: amounts(&one["requests"]),
            limits: amounts(&one["limits"]),
        };
        let mine = patch(&container, &advice, &policy);
        let name = &container.name;
        same(&format!("{name}: patched requests"), &mine.requests, &amounts(&theirs["patchRequests"]))?;
        same(&format!("{name}: patched limits"), &mine.limits, &amounts(&theirs["patchLimits"]))?;
        same(&format!("{name}: requests"), &container.requests.overlaid(mine.requests), &amounts(&theirs["requests"]))?;
        same(&format!("{name}: limits"), &container.limits.overlaid(mine.limits), &amounts(&theirs["limits"]))?;
    }
    Ok(())
}
