use std::collections::BTreeSet;

use jiff::Timestamp;

use super::*;
use crate::{
    api::conditions::{self, ConditionStatus, ConditionType, NewCondition},
    decide::{ContainerSize, Explain, Reading, Reason, ReplicaState, Resources, Room, SignalState, SignalVerdict},
    policy::{LatencyObjective, Objective, OnAbsent, Signal, Source, Target, testing},
    units::Replicas,
};

fn key(name: &str) -> PolicyKey {
    PolicyKey { namespace: "shop".into(), name: name.into() }
}

fn signal(name: &str, role: Role) -> Signal {
    Signal {
        name: name.into(),
        role,
        source: Source::Prometheus { query: "up".into() },
        on_absent: OnAbsent::Hold,
        survives_zero: false,
    }
}

fn policy(name: &str) -> Policy {
    let latency = LatencyObjective { signal: "latency".into(), target: Seconds(0.25), objective: 0.99 };
    let web = testing::web();
    Policy {
        key: key(name),
        target: Target { name: name.into(), ..web.target.clone() },
        objective: Objective { latency: Some(latency), ..web.objective.clone() },
        signals: vec![signal("latency", Role::Latency), signal("queue", Role::Backlog)],
        ..web
    }
}

fn full_series(name: &str) -> PolicySeries {
    let amounts = Resources { cpu_cores: Some(Cores(1.0)), memory_bytes: Some(Bytes(1 << 30)) };
    let group = SizeGroup {
        cpu_cores: amounts.cpu_cores,
        memory_bytes: amounts.memory_bytes,
        pods: Replicas(2),
        ready: Replicas(2),
        resize: crate::decide::ResizeState::None,
    };
    let reading = |value| Reading { value: Some(value), violation_ratio: Some(0.01), ..Reading::default() };
    let snapshot = Snapshot {
        v: 0,
        at: Timestamp::UNIX_EPOCH,
        replicas: ReplicaState { spec: Replicas(2), ready: Replicas(2), ..ReplicaState::default() },
        start_seconds: Vec::new(),
        usage_age_seconds: None,
        window_seconds: None,
        containers: vec![ContainerState {
            name: "app".into(),
            cpu_cores: Some(Cores(1.1)),
            sizes: vec![group],
            ..ContainerState::default()
        }],
        room: Room::default(),
        signals: [("latency".to_owned(), reading(0.2)), ("queue".to_owned(), reading(7.0))].into(),
    };
    let decision = Decision {
        v: 0,
        at: Timestamp::UNIX_EPOCH,
        replicas: Replicas(3),
        containers: vec![ContainerSize { name: "app".into(), requests: amounts, limits: Resources::default() }],
        boost: None,
        reason: Reason::CpuDemand,
        message: String::new(),
        explain: Explain {
            demand_cores: Some(Cores(2.0)),
            planned_cores: Some(Cores(2.2)),
            capacity_cores: Some(Cores(0.7)),
            signals: vec![SignalVerdict {
                name: "latency".into(),
                role: Role::Latency,
                value: Some(0.2),
                age_seconds: Some(Seconds(3.0)),
                state: SignalState::Fresh,
                note: None,
            }],
            ..Explain::default()
        },
    };
    let mut status = ScalingPolicyStatus::default();
    let ready =
        NewCondition { type_: ConditionType::Ready, status: ConditionStatus::True, reason: "Decided", message: "" };
    conditions::set(&mut status.conditions, &ready, None, Timestamp::UNIX_EPOCH);
    PolicySeries::of(&policy(name), &snapshot, &decision, &status)
}

fn full() -> Metrics {
    let metrics = Metrics::new();
    metrics.record(&key("web"), full_series("web"));
    metrics.count_write("scale", "ok");
    metrics.count_failure("prometheus", "timeout");
    metrics.observe_query("prometheus", Duration::from_millis(20));
    metrics.observe_tick(Duration::from_millis(5));
    metrics.observe_decision(Duration::from_micros(10));
    metrics
}

/// Names and label names of the samples of an exposition.
fn samples(text: &str) -> BTreeSet<(String, Vec<String>)> {
    let lines = text.lines().filter(|l| !l.starts_with('#'));
    lines
        .map(|line| {
            let (name, rest) = line.split_once(['{', ' ']).unwrap();
            let labels = if line.contains('{') { rest.rsplit_once('}').unwrap().0 } else { "" };
            let names = labels.split("\",").filter(|l| !l.is_empty()).map(|l| l.split_once('=').unwrap().0.to_owned());
            (name.to_owned(), names.collect())
        })
        .collect()
}

#[test]
fn what_is_exposed_is_the_catalogue_and_the_catalogue_is_exposed() {
    let text = full().encode().unwrap();
    let mut found = BTreeSet::new();
    for (name, mut labels) in samples(&text) {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|s| name.strip_suffix(s)).unwrap_or(&name);
        let metric =
            catalogue::ALL.iter().find(|m| m.name == base).unwrap_or_else(|| panic!("{name} is not in the set"));
        labels.retain(|l| l != "le");
        assert_eq!(labels, metric.labels, "{name}");
        found.insert(metric.name);
    }
    let missing: Vec<_> = catalogue::ALL.iter().filter(|m| !found.contains(m.name)).map(|m| m.name).collect();
    assert_eq!(missing, Vec::<&str>::new());
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn numbers_are_what_they_say() {
    let text = full().encode().unwrap();
    for line in [
        "arbiter_replicas{namespace=\"shop\",policy=\"web\",kind=\"desired\"} 3.0",
        "arbiter_capacity_cores{namespace=\"shop\",policy=\"web\"} 1.4",
        "arbiter_shortage_cores{namespace=\"shop\",policy=\"web\"} 0.6000000000000001",
        "arbiter_latency_target_seconds{namespace=\"shop\",policy=\"web\"} 0.25",
        "arbiter_backlog_items{namespace=\"shop\",policy=\"web\"} 7.0",
        "arbiter_writes_total{kind=\"scale\",result=\"ok\"} 1",
        "arbiter_policies{mode=\"Auto\"} 1.0",
        "arbiter_leader 0",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
}

#[test]
fn series_come_and_go_with_their_policy() {
    let metrics = full();
    let lines = |metrics: &Metrics| metrics.encode().unwrap().lines().filter(|l| !l.starts_with('#')).count();
    let with_one = lines(&metrics);
    for i in 0..99 {
        metrics.record(&key(&format!("web-{i}")), full_series(&format!("web-{i}")));
    }
    let per_policy = (lines(&metrics) - with_one) / 99;
    assert!((lines(&metrics) - with_one).is_multiple_of(99));
    assert!(per_policy <= 30, "{per_policy} series per policy");
    for i in 0..99 {
        metrics.forget(&key(&format!("web-{i}")));
    }
    assert_eq!(lines(&metrics), with_one);
}

#[test]
fn a_policy_that_is_not_ready_has_its_conditions_only() {
    let metrics = Metrics::new();
    let mut status = ScalingPolicyStatus::default();
    let ready =
        NewCondition { type_: ConditionType::Ready, status: ConditionStatus::False, reason: "Invalid", message: "" };
    conditions::set(&mut status.conditions, &ready, None, Timestamp::UNIX_EPOCH);
    metrics.record(&key("web"), PolicySeries::undecided(None, &status));
    let text = metrics.encode().unwrap();
    assert!(text.contains("arbiter_condition{namespace=\"shop\",policy=\"web\",condition=\"Ready\"} 0.0"));
    assert!(!text.contains("arbiter_replicas"));
}
