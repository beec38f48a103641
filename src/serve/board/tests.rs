use proptest::prelude::*;

use super::*;
use crate::{
    decide::{ContainerSize, ContainerState, Explain, Reading, ReplicaState, Resources, SignalVerdict, SizeGroup},
    policy::Role,
    units::Replicas,
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn key(name: &str) -> PolicyKey {
    PolicyKey { namespace: "memes".to_owned(), name: name.to_owned() }
}

fn meta() -> PolicyMeta {
    PolicyMeta {
        kind: "Deployment".to_owned(),
        target: "web".to_owned(),
        mode: crate::policy::Mode::Auto,
        latency_target: Some(Seconds(0.25)),
        latency_objective: Some(0.99),
        drain_within: None,
        fight: None,
    }
}

/// Two ready pods of 1 core, a third pending.
fn snapshot(second: i64) -> Snapshot {
    let sizes = vec![SizeGroup {
        cpu_cores: Some(Cores(1.0)),
        memory_bytes: None,
        pods: Replicas(3),
        ready: Replicas(2),
        resize: crate::decide::ResizeState::None,
    }];
    Snapshot {
        v: 0,
        at: at(second),
        replicas: ReplicaState { spec: Replicas(3), ready: Replicas(2), ..ReplicaState::default() },
        start_seconds: vec![],
        usage_age_seconds: None,
        window_seconds: None,
        containers: vec![ContainerState { name: "app".to_owned(), sizes, ..ContainerState::default() }],
        room: crate::decide::Room::default(),
        signals: BTreeMap::from([(
            "latency".to_owned(),
            Reading { value: Some(0.2), violation_ratio: Some(0.004), ..Reading::default() },
        )]),
    }
}

/// Demand 3 cores; one pod of 2 cores carries 1.6.
fn decision(second: i64, replicas: u32, reason: Reason) -> Decision {
    let signal = SignalVerdict {
        name: "latency".to_owned(),
        role: Role::Latency,
        value: Some(0.2),
        age_seconds: None,
        state: SignalState::Fresh,
        note: None,
    };
    Decision {
        v: 0,
        at: at(second),
        replicas: Replicas(replicas),
        containers: vec![ContainerSize {
            name: "app".to_owned(),
            requests: Resources { cpu_cores: Some(Cores(2.0)), memory_bytes: None },
            limits: Resources::default(),
        }],
        boost: None,
        reason,
        message: format!("sentence of second {second}"),
        explain: Explain {
            demand_cores: Some(Cores(3.0)),
            capacity_cores: Some(Cores(1.6)),
            signals: vec![signal],
            ..Explain::default()
        },
    }
}

fn record(board: &Board, second: i64, replicas: u32, reason: Reason) {
    board.record(&key("web"), meta(), &snapshot(second), &decision(second, replicas, reason), at(second));
}

#[test]
fn capacity_is_what_the_ready_pods_carry_at_the_size_they_have() {
    let board = Board::new(Limits::LIVE);
    record(&board, 0, 3, Reason::CpuDemand);
    let history = board.history(&key("web"), None).unwrap();
    // Two ready pods of 1 core, each half of what was reckoned for 2 cores: 2 × 0.8.
    assert_eq!(history.capacity, [Some(1.6)]);
    assert_eq!(history.shortage, [Some(1.4)]);
    assert_eq!(history.pod_cores, [Some(1.0)]);
    assert_eq!(
        (history.latency[0], history.latency_target[0], history.violation[0]),
        (Some(0.2), Some(0.25), Some(0.004))
    );
    assert_eq!(history.planned, [None], "absent is not zero");
}

#[test]
fn history_after_an_instant_is_the_rest() {
    let board = Board::new(Limits::LIVE);
    for second in 0..10 {
        record(&board, second, 3, Reason::CpuDemand);
    }
    let rest = board.history(&key("web"), Some(at(7).as_millisecond())).unwrap();
    assert_eq!(rest.t, [at(8).as_millisecond(), at(9).as_millisecond()]);
    assert!(board.history(&key("nobody"), None).is_none());
}

#[test]
fn old_instants_are_thinned_to_the_worst_real_one() {
    let limits = Limits { fine: 4, coarse: 2, group: 3, ..Limits::LIVE };
    let mut series = series::Series::default();
    for second in 0..40_i64 {
        let mut point = Point::of(&snapshot(second), &decision(second, 3, Reason::CpuDemand), at(second));
        point.demand = Some(Cores(if second % 3 == 1 { 5.0 } else { 1.0 }));
        series.push(point, limits);
    }
    let history = series.history(None);
    assert_eq!(history.t.len(), 2 + 4, "two thinned, then the last ones");
    assert_eq!(history.t[0], at(31).as_millisecond(), "of 30, 31, 32 the one with a shortage");
    assert!(history.message[0].contains("second 31"), "with its own sentence");
}

#[test]
fn decisions_are_kept_where_something_changed() {
    let board = Board::new(Limits::LIVE);
    for second in 0..100 {
        record(&board, second, if second < 50 { 3 } else { 5 }, Reason::CpuDemand);
    }
    let now = board.explain(&key("web"), None).unwrap();
    assert_eq!(now.decision.at, at(99));
    assert_eq!(now.changes.len(), 1);
    assert_eq!((now.changes[0].from.replicas, now.changes[0].to.replicas), (Replicas(3), Replicas(5)));
    let then = board.explain(&key("web"), Some(at(70).as_millisecond())).unwrap();
    assert_eq!(then.decision.at, at(50), "the nearest kept one before");
    let before = board.explain(&key("web"), Some(at(20).as_millisecond())).unwrap();
    assert_eq!(before.decision.at, at(0));
    assert!(before.changes.is_empty(), "changes after the asked instant are not told");
}

#[test]
fn contested_workloads_come_first_and_are_counted() {
    let board = Board::new(Limits::LIVE);
    for name in ["a", "b", "c"] {
        let reason = if name == "b" { Reason::RivalWrites } else { Reason::CpuDemand };
        let mut decision = decision(0, 3, reason);
        if name == "c" {
            decision.explain.signals[0].state = SignalState::Stale;
        }
        board.record(&key(name), meta(), &snapshot(0), &decision, at(0));
    }
    let names: Vec<_> = board.rows().into_iter().map(|row| row.key.name).collect();
    assert_eq!(names, ["b", "a", "c"]);
    let state = board.state();
    assert_eq!((state.policies, state.fights, state.stale_signals), (3, 1, 1));
    board.forget(&key("b"));
    assert_eq!(board.state().fights, 0);
    assert!(board.explain(&key("b"), None).is_none());
}

#[test]
fn a_replay_starts_with_the_memory_before_its_first_snapshot() {
    let policy = policy();
    let board = Board::new(Limits { snapshots: 6, ..Limits::LIVE });
    for second in 0..20_i64 {
        board.record_with_memory(
            &policy,
            meta(),
            &snapshot(second),
            &decision(second, 3, Reason::CpuDemand),
            || serde_json::json!({"before": second}),
        );
        let replay = board.snapshots(&policy.key).unwrap();
        let first = replay.snapshots[0].at.as_second() - at(0).as_second();
        assert_eq!(replay.header.memory, serde_json::json!({"before": first}));
        assert!(replay.snapshots.len() <= 6);
        assert!(replay.snapshots.len() >= 3.min(usize::try_from(second).unwrap() + 1));
        assert!(replay.snapshots.windows(2).all(|w| w[0].at < w[1].at));
    }
    let changed = Policy { mode: crate::policy::Mode::Paused, ..policy.clone() };
    board.record_with_memory(
        &changed,
        meta(),
        &snapshot(20),
        &decision(20, 3, Reason::CpuDemand),
        || serde_json::json!({"before": 20}),
    );
    let replay = board.snapshots(&policy.key).unwrap();
    assert_eq!((replay.snapshots.len(), replay.header.policy.mode), (1, crate::policy::Mode::Paused));
}

/// A policy with nothing but defaults.
pub(in crate::serve) fn policy() -> Policy {
    serde_json::from_value(serde_json::json!({
        "key": {"namespace": "memes", "name": "web"},
        "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "mode": "Auto",
        "levers": {"replicas": true, "cpu": true, "memory": true},
        "objective": {"latency": null, "backlog": null, "utilization": 0.7, "utilization_given": false, "preference": "Balanced"},
        "replicas": {"min": 1, "max": 10},
        "containers": {"named": {}, "default": {"limits": "Proportional"}},
        "signals": [],
        "behavior": {"scaleUp": null, "scaleDown": null},
        "resize": {"strategy": "InPlaceOnly", "trimsPerPodPerDay": 96},
        "onSignalLoss": null,
        "onRival": "Floor",
        "prices": {"coreHour": 0.0316, "gibHour": 0.00424}
    }))
    .unwrap()
}

#[test]
fn a_sparkline_is_even_in_time() {
    let board = Board::new(Limits { fine: 10, coarse: 100, group: 10, ..Limits::LIVE });
    for second in 0..1000_i64 {
        let mut point = Point::of(&snapshot(second), &decision(second, 3, Reason::CpuDemand), at(second));
        point.demand = Some(Cores(second as f64));
        board.record_point(&key("web"), meta(), point, &decision(second, 3, Reason::CpuDemand));
    }
    let spark = board.rows().remove(0).spark;
    let steps: Vec<f64> = spark.demand.windows(2).map(|w| w[1].unwrap() - w[0].unwrap()).collect();
    assert!(steps.len() > 30, "{steps:?}");
    // A straight line stays one, though its last hundredth is kept ten times as densely.
    assert!(steps.iter().all(|step| (0.0..=30.0).contains(step)), "{steps:?}");
    assert_eq!(spark.demand.last().copied().flatten(), Some(999.0));
}

proptest! {
    #[test]
    fn memory_is_bounded_and_time_runs_forward(seconds in prop::collection::vec(0_i64..500, 1..200), fine in 1_usize..20, coarse in 1_usize..20, group in 1_usize..9) {
        let limits = Limits { fine, coarse, group, decisions: 5, every_decision: true, snapshots: 4 };
        let board = Board::new(limits);
        for second in &seconds {
            record(&board, *second, u32::try_from(second % 7).unwrap(), Reason::CpuDemand);
        }
        let history = board.history(&key("web"), None).unwrap();
        prop_assert!(history.t.len() <= fine + coarse + group);
        prop_assert!(history.t.windows(2).all(|w| w[0] < w[1]));
        prop_assert_eq!(history.t.last().copied(), seconds.last().map(|s| at(*s).as_millisecond()));
        prop_assert_eq!(history.t.len(), history.message.len());
    }
}

#[test]
fn many_policies_share_the_room_of_few() {
    assert_eq!(Limits::LIVE.shared(80), Limits::LIVE);
    let of_160 = Limits::LIVE.shared(160);
    assert_eq!((of_160.fine, of_160.coarse, of_160.group, of_160.decisions, of_160.snapshots), (120, 144, 10, 24, 120));
    let of_10_000 = Limits::LIVE.shared(10_000);
    let Limits { fine, coarse, group, decisions, snapshots, .. } = of_10_000;
    assert_eq!((fine, coarse, group, decisions, snapshots), (6, 12, 4, 2, 0));
    assert_eq!(Limits::DEMO.shared(10_000), Limits::DEMO);
}
