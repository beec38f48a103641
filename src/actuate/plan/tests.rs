use super::*;
use crate::{
    decide::{Boost, BoostSize},
    policy::{
        Behavior, ContainerRules, Mode, Objective, OnRival, PolicyKey, Preference, Prices, ReplicaRange, ResizeRules,
        Target,
    },
    units::Replicas,
};

const MIB: u64 = 1 << 20;

fn amounts(cpu: f64, mib: u64) -> Resources {
    Resources { cpu_cores: Some(Cores(cpu)), memory_bytes: Some(Bytes(mib * MIB)) }
}

fn policy() -> Policy {
    Policy {
        key: PolicyKey::default(),
        target: Target { api_version: "apps/v1".into(), kind: "Deployment".into(), name: "web".into() },
        mode: Mode::Auto,
        levers: Levers::ALL,
        objective: Objective {
            latency: None,
            backlog: None,
            utilization: 0.7,
            utilization_given: false,
            preference: Preference::Balanced,
        },
        replicas: ReplicaRange { min: Replicas(1), max: Replicas(10) },
        containers: ContainerRules::default(),
        signals: Vec::new(),
        behavior: Behavior::default(),
        resize: ResizeRules { strategy: ResizeStrategy::InPlaceOnly, trims_per_pod_per_day: 2 },
        schedules: Vec::new(),
        on_signal_loss: None,
        on_rival: OnRival::Floor,
        takes_over_from_git: false,
        prices: Prices::default(),
        tuning: crate::policy::Tuning::default(),
    }
}

fn decision(requests: Resources, limits: Resources) -> Decision {
    Decision {
        v: 0,
        at: at(0),
        replicas: Replicas(1),
        containers: vec![ContainerSize { name: "app".into(), requests, limits }],
        boost: None,
        reason: crate::decide::Reason::CpuDemand,
        message: String::new(),
        explain: crate::decide::Explain::default(),
    }
}

fn pod(requests: Resources, limits: Resources) -> PodFacts {
    PodFacts {
        namespace: "shop".into(),
        name: "web-1".into(),
        uid: "u".into(),
        ready_since: Some(at(0)),
        created: Some(at(0)),
        qos: Qos::Burstable,
        containers: vec![ContainerFacts { name: "app".into(), requests, limits, ..ContainerFacts::default() }],
        ..PodFacts::default()
    }
}

fn at(minutes: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
}

fn plan_with(
    pods: &[PodFacts],
    policy: &Policy,
    decision: &Decision,
    attempts: &Attempts,
    now: Timestamp,
) -> Vec<PodResize> {
    let memory_in_use = BTreeMap::from([("app".to_owned(), Bytes(200 * MIB))]);
    let wanted = Wanted { policy, decision, memory_in_use: &memory_in_use, may_shrink: true };
    plan_resizes(pods.iter(), wanted, attempts, now)
}

fn plan(pod: &PodFacts, decision: &Decision) -> Option<PodResize> {
    plan_with(std::slice::from_ref(pod), &policy(), decision, &Attempts::default(), at(10)).pop()
}

const NONE: Resources = Resources { cpu_cores: None, memory_bytes: None };

#[test]
fn only_what_differs_is_sent() {
    let decided = decision(amounts(1.2, 512), NONE);
    assert_eq!(plan(&pod(amounts(1.2, 512), NONE), &decided), None);
    let sent = plan(&pod(amounts(1.0, 512), NONE), &decided).unwrap();
    assert_eq!(sent.containers[0].requests, Resources { cpu_cores: Some(Cores(1.2)), memory_bytes: None });
    assert!(!sent.trim);
    assert!(plan(&pod(amounts(2.0, 512), NONE), &decided).unwrap().trim);
}

#[test]
fn pods_that_cannot_be_resized_are_left_alone() {
    let decided = decision(amounts(2.0, 512), NONE);
    let good = pod(amounts(1.0, 512), NONE);
    assert!(plan(&good, &decided).is_some());
    for odd in [
        PodFacts { qos: Qos::BestEffort, ..good.clone() },
        PodFacts { pod_level_resources: true, ..good.clone() },
        PodFacts { deleting: true, ..good.clone() },
        PodFacts { finished: true, ..good.clone() },
    ] {
        assert_eq!(plan(&odd, &decided), None);
    }
    let mut restarts = good.clone();
    restarts.containers[0].restarts_on_cpu = true;
    assert_eq!(plan(&restarts, &decided), None);
}

#[test]
fn the_quality_of_service_class_stays() {
    let guaranteed = PodFacts { qos: Qos::Guaranteed, ..pod(amounts(1.0, 512), amounts(1.0, 512)) };
    let sent = plan(&guaranteed, &decision(amounts(2.0, 512), amounts(2.0, 512))).unwrap();
    assert_eq!(sent.containers[0].limits.cpu_cores, Some(Cores(2.0)));
    let without = plan(&guaranteed, &decision(amounts(2.0, 512), NONE)).unwrap();
    assert_eq!(without.containers[0].limits.cpu_cores, Some(Cores(2.0)), "limits follow requests");
    let burstable = pod(amounts(1.0, 512), amounts(2.0, 512));
    assert_eq!(plan(&burstable, &decision(amounts(2.0, 512), amounts(2.0, 512))), None, "would become Guaranteed");
}

#[test]
fn limits_neither_appear_nor_vanish_and_bound_requests() {
    let unlimited = plan(&pod(amounts(1.0, 512), NONE), &decision(amounts(2.0, 512), amounts(4.0, 1024))).unwrap();
    assert_eq!(unlimited.containers[0].limits, NONE);
    let limit = Resources { cpu_cores: Some(Cores(1.5)), memory_bytes: None };
    let limited = plan(&pod(amounts(1.0, 512), limit), &decision(amounts(2.0, 512), NONE)).unwrap();
    assert_eq!(limited.containers[0].requests.cpu_cores, Some(Cores(1.5)));
    assert_eq!(limited.containers[0].limits, NONE);
}

#[test]
fn memory_never_goes_below_what_is_in_use() {
    let big = pod(amounts(1.0, 512), amounts(2.0, 512));
    let decided = |mib| decision(amounts(1.0, mib), amounts(2.0, mib));
    assert_eq!(plan(&big, &decided(128)), None, "200 MiB are in use");
    assert_eq!(plan(&big, &decided(256)).unwrap().containers[0].limits.memory_bytes, Some(Bytes(256 * MIB)));
    let unknown = BTreeMap::new();
    let (policy, decided) = (policy(), decided(256));
    let wanted = Wanted { policy: &policy, decision: &decided, memory_in_use: &unknown, may_shrink: true };
    assert!(plan_resizes(std::iter::once(&big), wanted, &Attempts::default(), at(10)).is_empty());
}

#[test]
fn running_pods_get_the_boost_and_new_ones_the_steady_size() {
    let mut decided = decision(amounts(1.2, 512), NONE);
    decided.boost =
        Some(Boost { containers: vec![BoostSize { name: "app".into(), cpu_cores: Cores(1.6) }], until: at(20) });
    let cpu = |p: &PodFacts| plan(p, &decided).unwrap().containers[0].requests.cpu_cores;
    let running = pod(amounts(1.0, 512), NONE);
    assert_eq!(cpu(&running), Some(Cores(1.6)));
    assert_eq!(cpu(&PodFacts { ready_since: None, ..running }), Some(Cores(1.2)));
}

#[test]
fn what_is_pending_or_was_refused_is_not_hammered() {
    let policy = policy();
    let stuck = PodFacts { resize: ResizeState::Deferred, ..pod(amounts(1.0, 512), NONE) };
    let decided = decision(amounts(2.0, 512), NONE);
    let mut attempts = Attempts::default();
    let ask = |attempts: &Attempts, pod: &PodFacts, minute| {
        plan_with(std::slice::from_ref(pod), &policy, &decided, attempts, at(minute)).pop()
    };
    let first = ask(&attempts, &stuck, 10).unwrap();
    attempts.note(&first, true, at(10));
    assert_eq!(ask(&attempts, &stuck, 14), None);
    assert!(ask(&attempts, &stuck, 15).is_some());
    let refused = PodFacts { resize: ResizeState::None, ..stuck };
    attempts.note(&first, false, at(15));
    assert_eq!(ask(&attempts, &refused, 16), None);
    assert!(ask(&attempts, &refused, 20).is_some());
}

#[test]
fn trims_have_a_budget_and_growth_has_none() {
    let policy = policy();
    let big = pod(amounts(2.0, 512), NONE);
    let (down, up) = (decision(amounts(1.0, 512), NONE), decision(amounts(3.0, 512), NONE));
    let mut attempts = Attempts::default();
    for minute in [10, 11] {
        let trim = plan_with(std::slice::from_ref(&big), &policy, &down, &attempts, at(minute)).pop().unwrap();
        attempts.note(&trim, true, at(minute));
    }
    assert!(plan_with(std::slice::from_ref(&big), &policy, &down, &attempts, at(12)).is_empty());
    assert_eq!(plan_with(std::slice::from_ref(&big), &policy, &up, &attempts, at(12)).len(), 1);
    assert_eq!(plan_with(std::slice::from_ref(&big), &policy, &down, &attempts, at(12 + 24 * 60)).len(), 1);
}

#[test]
fn growth_comes_first_and_a_tick_is_bounded() {
    let pods: Vec<_> = (0..50)
        .map(|i| PodFacts {
            name: format!("web-{i:02}"),
            uid: i.to_string(),
            ..pod(amounts(if i < 25 { 2.0 } else { 0.5 }, 512), NONE)
        })
        .collect();
    let planned = plan_with(&pods, &policy(), &decision(amounts(1.0, 512), NONE), &Attempts::default(), at(10));
    assert_eq!(planned.len(), PER_TICK);
    assert!(planned.iter().all(|r| !r.trim));
    assert_eq!(planned[0].name, "web-25");
}

#[test]
fn nothing_shrinks_when_it_may_not_and_levers_are_kept() {
    let (policy, decided) = (policy(), decision(amounts(1.0, 600), NONE));
    let memory_in_use = BTreeMap::new();
    let big = pod(amounts(2.0, 512), NONE);
    let wanted = Wanted { policy: &policy, decision: &decided, memory_in_use: &memory_in_use, may_shrink: false };
    let planned = plan_resizes(std::iter::once(&big), wanted, &Attempts::default(), at(10));
    assert_eq!(planned[0].containers[0].requests, Resources { cpu_cores: None, memory_bytes: Some(Bytes(600 * MIB)) });
    let mut policy = policy.clone();
    policy.levers.memory = false;
    let wanted = Wanted { policy: &policy, ..wanted };
    assert!(plan_resizes(std::iter::once(&big), wanted, &Attempts::default(), at(10)).is_empty());
}

#[test]
fn initial_sizes_new_pods_only() {
    let mut policy = policy();
    policy.resize.strategy = ResizeStrategy::Initial;
    let decided = decision(amounts(2.0, 512), NONE);
    let young = pod(amounts(1.0, 512), NONE);
    let ask = |minute| plan_with(std::slice::from_ref(&young), &policy, &decided, &Attempts::default(), at(minute));
    assert_eq!(ask(1).len(), 1);
    assert!(ask(5).is_empty());
}
