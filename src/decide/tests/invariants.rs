//! What holds for any observation whatsoever.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    super::{
        ContainerState, Memory, Quota, Reading, ReplicaState, ResizeState, Resources, Room, SignalState, SizeFloor,
        SizeGroup, Snapshot, decide, record,
    },
    plant::{EPOCH, latency_policy, policy, signal},
};
use crate::{
    policy::{BacklogObjective, DirectionRules, Levers, Limits, Policy, RateLimit, Role, SelectPolicy},
    units::{Bytes, Cores, Replicas, Seconds},
};

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => 0.0..20.0_f64,
        1 => Just(0.0),
        1 => prop_oneof![
            Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(-1.0), Just(1e300), Just(1e-300), Just(f64::MAX)
        ],
    ]
}

fn maybe<T: std::fmt::Debug>(inner: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    proptest::option::weighted(0.7, inner)
}

fn bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![4 => 1_u64 << 20..1 << 34, 1 => Just(0), 1 => any::<u64>()].prop_map(Bytes)
}

fn pods() -> impl Strategy<Value = Replicas> {
    prop_oneof![8 => 0..60_u32, 1 => any::<u32>()].prop_map(Replicas)
}

prop_compose! {
    fn resources()(cpu_cores in maybe(number().prop_map(Cores)), memory_bytes in maybe(bytes())) -> Resources {
        Resources { cpu_cores, memory_bytes }
    }
}

prop_compose! {
    fn container(name: &'static str)(
        request in resources().boxed(), limit in resources().boxed(), reporting_pods in maybe(pods()), numbers in proptest::array::uniform5(maybe(number())),
        memory in (maybe(bytes()), maybe(bytes()), maybe(bytes())), kills in maybe(0..3_u32), share in maybe(number()),
        group in maybe((resources(), pods(), prop_oneof![Just(ResizeState::None), Just(ResizeState::Deferred)])),
        floor in maybe(resources()),
    ) -> ContainerState {
        ContainerState {
            name: name.to_owned(),
            request,
            limit,
            reporting_pods,
            cpu_cores: numbers[0].map(Cores),
            max_pod_cpu_cores: numbers[1].map(Cores),
            memory_max_pod_bytes: memory.0,
            memory_mean_pod_bytes: memory.1,
            throttled_ratio: share.map(|x| x / 20.0),
            cpu_pressure: numbers[3],
            memory_pressure: numbers[4],
            oom_kills_delta: kills,
            last_oom_limit_bytes: memory.2,
            sizes: group.into_iter().map(|(size, pods, resize)| SizeGroup {
                cpu_cores: size.cpu_cores, memory_bytes: size.memory_bytes, pods, ready: pods, resize,
            }).collect(),
            floor: floor.map(|least| SizeFloor { least, why: "it was throttled".to_owned() }),
        }
    }
}

prop_compose! {
    fn a_reading()(
        value in maybe(number()), violation_ratio in maybe(number().prop_map(|x| x / 20.0)), age in maybe(prop_oneof![3 => 0.0..50.0_f64, 1 => number()]),
        state in proptest::option::weighted(0.2, proptest::sample::select(vec![
            SignalState::Fresh, SignalState::Late, SignalState::Stale, SignalState::Partial, SignalState::Idle, SignalState::Absent, SignalState::Invalid,
        ])),
        note in proptest::option::weighted(0.1, ".{0,300}"), failed in any::<bool>(),
    ) -> Reading {
        Reading { value, violation_ratio, age_seconds: age.map(Seconds), state, note, failed }
    }
}

prop_compose! {
    fn a_snapshot()(
        step in prop_oneof![5 => Just(15.0), 2 => 0.0..3.0_f64, 1 => -100.0..5000.0_f64],
        spec in pods(), ready in pods(), rolling_out in maybe(any::<bool>()), hash in maybe(prop_oneof![4 => Just("a".to_owned()), 1 => ".{0,80}"]),
        ages in (maybe(prop_oneof![4 => 0.0..40.0_f64, 1 => number()]), maybe(number())),
        containers in prop_oneof![4 => container("app").prop_map(|c| vec![c]).boxed(), 1 => Just(vec![]), 1 => (container("app").boxed(), container("mesh").boxed()).prop_map(|(a, b)| vec![a, b])].boxed(),
        readings in (maybe(a_reading().boxed()), maybe(a_reading().boxed()), maybe(a_reading().boxed())),
        node in maybe(resources()), quota in maybe((resources(), maybe(pods()))), starts in proptest::collection::vec(number(), 0..3),
    ) -> (f64, Snapshot) {
        let named = [("requests", readings.0), ("latency", readings.1), ("queue", readings.2)];
        let snapshot = Snapshot {
            v: 0,
            at: super::super::sample::timestamp(EPOCH),
            replicas: ReplicaState { spec, ready, rolling_out, template_hash: hash, ..ReplicaState::default() },
            start_seconds: starts.into_iter().map(Seconds).collect(),
            usage_age_seconds: ages.0.map(Seconds),
            window_seconds: ages.1.map(Seconds),
            containers,
            room: Room { quota: quota.map(|(left, pods)| Quota { name: "compute".to_owned(), left, pods }), node, limit_range: None },
            signals: named.into_iter().filter_map(|(n, r)| Some((n.to_owned(), r?))).collect::<BTreeMap<_, _>>(),
        };
        (step, snapshot)
    }
}

fn policies() -> Vec<Policy> {
    let mut queue = policy();
    queue.signals = vec![signal("queue", Role::Backlog)];
    queue.objective.backlog = Some(BacklogObjective { signal: "queue".to_owned(), drain_within: Seconds(30.0) });
    let mut all = latency_policy();
    all.signals.push(signal("queue", Role::Backlog));
    all.objective.backlog.clone_from(&queue.objective.backlog);
    let rates = |value| {
        vec![RateLimit::Percent { value, period: Seconds(60.0) }, RateLimit::Pods { value, period: Seconds(15.0) }]
    };
    all.behavior.scale_up =
        Some(DirectionRules { rates: rates(50), stabilization: Some(Seconds(30.0)), ..DirectionRules::default() });
    all.behavior.scale_down = Some(DirectionRules {
        rates: rates(10),
        select: SelectPolicy::Min,
        stabilization: Some(Seconds(0.0)),
        tolerance: Some(0.1),
    });
    let mut bounded = latency_policy();
    bounded.containers.default.cpu_min = Some(Cores(0.1));
    bounded.containers.default.cpu_max = Some(Cores(2.0));
    bounded.containers.default.memory_min = Some(Bytes(64 << 20));
    bounded.containers.default.memory_max = Some(Bytes(1 << 30));
    bounded.containers.default.limits = Limits::Unchanged;
    let mut only_size = policy();
    only_size.levers = Levers { replicas: false, cpu: true, memory: true };
    vec![policy(), latency_policy(), queue, all, bounded, only_size]
}

/// The bounds of the policy that an emitted request must keep, with the facts that beat them.
fn check_bounds(decision: &super::super::Decision, snapshot: &Snapshot, policy: &Policy) -> Result<(), TestCaseError> {
    for (size, container) in decision.containers.iter().zip(&snapshot.containers) {
        let rule = policy.containers.of(&container.name);
        let managed = container.request.cpu_cores.is_some_and(|c| c.0.is_finite() && c.0 > 0.0 && c.0 < 1e12);
        if let (Some(cores), true, true) = (size.requests.cpu_cores, policy.levers.cpu, managed) {
            prop_assert!(cores.0.is_finite() && cores.0 >= 0.0);
            prop_assert!(rule.cpu_max.is_none_or(|max| cores.0 <= max.0 + 1e-9), "{} > max", cores.0);
        }
        if let (Some(memory), true) = (size.requests.memory_bytes.filter(|m| m.0 > 0), policy.levers.memory) {
            let own = container.request.memory_bytes.is_some_and(|m| m.0 > 0);
            prop_assert!(!own || rule.memory_max.is_none_or(|max| memory <= max), "{memory} > max");
        }
    }
    Ok(())
}

/// The answer is among the alternatives, and no price is below nothing.
fn check_alternatives(decision: &super::super::Decision) -> Result<(), TestCaseError> {
    let rows = &decision.explain.alternatives;
    let chosen: Vec<_> = rows.iter().filter(|a| a.chosen).collect();
    prop_assert!(rows.is_empty() || chosen.len() == 1, "{rows:?}");
    prop_assert!(chosen.iter().all(|a| a.replicas == decision.replicas && a.ruled_out.is_none()));
    for row in rows {
        prop_assert!(row.missing_cores.0 >= 0.0 && row.shortage_per_hour.0 >= 0.0, "{row:?}");
        prop_assert!(row.pods_per_hour.0 >= 0.0 && row.switch_per_hour.0 >= 0.0, "{row:?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_observation_is_answered_soberly(which in 0..6_usize, ticks in proptest::collection::vec(a_snapshot().boxed(), 1..12)) {
        let policy = &policies()[which];
        let mut memory = Memory::new();
        let mut replayed = Memory::new();
        let mut t = EPOCH;
        let mut current: Option<u32> = None;
        for (step, mut snapshot) in ticks {
            t += step;
            snapshot.at = super::super::sample::timestamp(t);
            // What was decided is what runs, half of the time.
            if let (Some(n), true) = (current, snapshot.replicas.spec.0 % 2 == 0) {
                snapshot.replicas.spec = Replicas(n);
            }
            let decision = decide(&snapshot, policy, &mut memory, snapshot.at);
            let n = decision.replicas.0;
            let spec = snapshot.replicas.spec.0;
            if policy.levers.replicas && spec > 0 {
                prop_assert!((policy.replicas.min.0..=policy.replicas.max.0).contains(&n), "{n}");
            } else {
                prop_assert_eq!(n, spec);
            }
            let least = spec.min(policy.replicas.max.0);
            let throttled = snapshot.containers.iter().filter_map(|c| c.throttled_ratio).any(|x| x.is_finite() && x > 0.05 && x < 1e12);
            if throttled {
                prop_assert!(n >= least, "shrunk while throttled: {spec} -> {n}: {}", decision.message);
            }
            let stale = snapshot.usage_age_seconds.is_none_or(|a| !a.0.is_finite() || a.0 > 60.0);
            if stale && snapshot.replicas.ready.0 > 0 {
                prop_assert!(n >= least, "shrunk on stale usage: {spec} -> {n}: {}", decision.message);
            }
            if spec > 0 {
                check_bounds(&decision, &snapshot, policy)?;
            }
            prop_assert!(!decision.message.is_empty() && !decision.message.contains("NaN") && !decision.message.contains("inf"));
            prop_assert!(record::size_of(&decision.explain) <= record::LARGEST_RECORD);
            prop_assert!(record::size_of(&decision.explain) <= record::at_most(&decision.explain));
            // JSON has no other word for what is not finite, and what is absent is left out.
            let record = serde_json::to_string(&decision.explain).expect("a record is JSON");
            prop_assert!(!record.contains("null"), "{record}");
            prop_assert!(decision.explain.binding.is_some_and(|b| b.seconds_left.is_none_or(|s| s.0 >= 0.0)));
            check_alternatives(&decision)?;
            let json = serde_json::to_string(&decision).expect("a decision is JSON");
            let back: super::super::Decision = serde_json::from_str(&json).expect("and can be read");
            prop_assert_eq!(&back, &decision);
            prop_assert!(serde_json::to_vec(&memory).expect("memory is JSON").len() <= 20 * 1024);

            // A restart in between changes nothing.
            let text = serde_json::to_string(&replayed).expect("memory is JSON");
            replayed = serde_json::from_str(&text).expect("and can be read");
            prop_assert_eq!(&decide(&snapshot, policy, &mut replayed, snapshot.at), &decision);
            prop_assert_eq!(&replayed, &memory);
            current = Some(n);
        }
    }
}

#[test]
fn a_memory_of_another_version_is_forgotten() {
    let mut memory: Memory = serde_json::from_str(r#"{"version":999,"clock":{"last":1e18}}"#).expect("reads");
    let snapshot = super::plant::snapshot(EPOCH, 4, 2.0);
    let decision = decide(&snapshot, &policy(), &mut memory, snapshot.at);
    assert_eq!(decision, decide(&snapshot, &policy(), &mut Memory::new(), snapshot.at));
}

#[test]
fn the_largest_memory_is_small() {
    let mut policy = latency_policy();
    policy.replicas.max = Replicas(5000);
    policy.behavior.scale_up =
        Some(DirectionRules { stabilization: Some(Seconds(3600.0)), ..DirectionRules::default() });
    let mut memory = Memory::new();
    for tick in 0..600_u32 {
        let n = 40 + tick * 7 % 900;
        let mut snapshot = super::plant::snapshot(EPOCH + 15.0 * f64::from(tick), n, 0.4 * f64::from(n));
        let app = snapshot.containers[0].clone();
        snapshot.containers =
            (0..16).map(|i| ContainerState { name: format!("{}-{i}", "c".repeat(60)), ..app.clone() }).collect();
        snapshot.replicas.template_hash = Some(format!("hash-{}", tick / 100));
        snapshot.signals.insert("requests".to_owned(), super::plant::reading(f64::from(n) * 31.7));
        snapshot.signals.insert("latency".to_owned(), super::plant::reading(0.1234));
        assert!(decide(&snapshot, &policy, &mut memory, snapshot.at).replicas.0 > 0);
    }
    let size = serde_json::to_vec(&memory).expect("JSON").len();
    assert!(size <= 20 * 1024, "{size}");
}

#[test]
fn duplicates_and_odd_intervals_are_harmless() {
    let policy = latency_policy();
    let run = |intervals: &[f64]| {
        let mut plant = super::plant::Plant::new(policy.clone(), 400.0, 6);
        while plant.t < 4.0 * 3600.0 {
            for interval in intervals {
                plant.tick = *interval;
                plant.step();
            }
        }
        plant.replicas()
    };
    let regular = run(&[15.0]);
    for odd in [&[1.0][..], &[15.0, 0.0, 0.0], &[3.0, 40.0, 1.0], &[60.0]] {
        assert_eq!(run(odd), regular, "{odd:?}");
    }
}
