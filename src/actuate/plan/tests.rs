//! What is sent to which pod, and the builders that the tests of the parts share.

use super::*;
use crate::{
    decide::{Boost, BoostSize},
    observe::kubernetes::{ContainerFacts, Fixed, OomKill, Qos},
    policy::{ResizeRules, testing},
    units::{Cores, Replicas},
};

pub(super) const MIB: u64 = 1 << 20;

pub(super) fn amounts(cpu: f64, mib: u64) -> Resources {
    Resources { cpu_cores: Some(Cores(cpu)), memory_bytes: Some(Bytes(mib * MIB)) }
}

pub(super) fn policy() -> Policy {
    let resize = ResizeRules { trims_per_pod_per_day: 2, ..ResizeRules::default() };
    Policy { resize, ..testing::web() }
}

pub(super) fn decision(requests: Resources, limits: Resources) -> Decision {
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

pub(super) fn pod(requests: Resources, limits: Resources) -> PodFacts {
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

pub(super) fn at(minutes: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
}

pub(super) fn wanted<'a>(
    policy: &'a Policy,
    decision: &'a Decision,
    in_use: &'a BTreeMap<String, Bytes>,
) -> Wanted<'a> {
    Wanted { policy, decision, memory_in_use: in_use, may_shrink: true, replicas: 1, quota_left: None }
}

/// 200 MiB of `app`.
pub(super) fn in_use() -> BTreeMap<String, Bytes> {
    BTreeMap::from([("app".to_owned(), Bytes(200 * MIB))])
}

fn plan_with(
    pods: &[PodFacts],
    policy: &Policy,
    decision: &Decision,
    attempts: &Attempts,
    now: Timestamp,
) -> Vec<PodResize> {
    let in_use = in_use();
    let pods: Vec<_> = pods.iter().collect();
    plan(&pods, wanted(policy, decision, &in_use), attempts, &mut Evictions::default(), now).resizes
}

fn plan_one(pod: &PodFacts, decision: &Decision) -> Option<PodResize> {
    plan_with(std::slice::from_ref(pod), &policy(), decision, &Attempts::default(), at(10)).pop()
}

pub(super) const NONE: Resources = Resources { cpu_cores: None, memory_bytes: None };

#[test]
fn only_what_differs_is_sent() {
    let decided = decision(amounts(1.2, 512), NONE);
    assert_eq!(plan_one(&pod(amounts(1.2, 512), NONE), &decided), None);
    let sent = plan_one(&pod(amounts(1.0, 512), NONE), &decided).unwrap();
    assert_eq!(sent.containers[0].requests, Resources { cpu_cores: Some(Cores(1.2)), memory_bytes: None });
    assert_eq!(sent.kind, ResizeKind::Grow);
    assert_eq!(plan_one(&pod(amounts(2.0, 512), NONE), &decided).unwrap().kind, ResizeKind::Trim);
}

#[test]
fn what_a_quota_leaves_is_for_pods_that_are_still_to_be_created() {
    let (policy, decided, in_use) = (policy(), decision(amounts(1.2, 512), NONE), in_use());
    let running = pod(amounts(1.0, 512), NONE);
    let planned = |pod: &PodFacts, replicas, quota_left| {
        let wanted = Wanted { replicas, quota_left, ..wanted(&policy, &decided, &in_use) };
        plan(&[pod], wanted, &Attempts::default(), &mut Evictions::default(), at(10)).resizes.len()
    };
    let quota = Some(amounts(0.5, 1024));
    assert_eq!(planned(&running, 2, quota), 0);
    assert_eq!(planned(&running, 1, quota), 1, "none is missing");
    assert_eq!(planned(&running, 2, None), 1, "nothing counts");
    assert_eq!(planned(&pod(amounts(2.0, 512), NONE), 2, quota), 1, "what shrinks makes room");
}

#[test]
fn pods_that_cannot_be_resized_are_left_alone() {
    let decided = decision(amounts(2.0, 512), NONE);
    let good = pod(amounts(1.0, 512), NONE);
    assert!(plan_one(&good, &decided).is_some());
    for odd in [
        PodFacts { qos: Qos::BestEffort, ..good.clone() },
        PodFacts { pod_level_resources: true, ..good.clone() },
        PodFacts { fixed: Some(Fixed::Static), ..good.clone() },
        PodFacts { fixed: Some(Fixed::Windows), ..good.clone() },
        PodFacts { fixed: Some(Fixed::Node), ..good.clone() },
        PodFacts { deleting: true, ..good.clone() },
        PodFacts { finished: true, ..good.clone() },
    ] {
        assert_eq!(plan_one(&odd, &decided), None);
    }
    let beside = [PodFacts { pod_level_resources: true, uid: "odd".into(), ..good.clone() }, good];
    assert_eq!(plan_with(&beside, &policy(), &decided, &Attempts::default(), at(10)).len(), 1, "the others go on");
}

#[test]
fn the_quality_of_service_class_stays() {
    let guaranteed = PodFacts { qos: Qos::Guaranteed, ..pod(amounts(1.0, 512), amounts(1.0, 512)) };
    let sent = plan_one(&guaranteed, &decision(amounts(2.0, 512), amounts(2.0, 512))).unwrap();
    assert_eq!(sent.containers[0].limits.cpu_cores, Some(Cores(2.0)));
    let without = plan_one(&guaranteed, &decision(amounts(2.0, 512), NONE)).unwrap();
    assert_eq!(without.containers[0].limits.cpu_cores, Some(Cores(2.0)), "limits follow requests");
    let burstable = pod(amounts(1.0, 512), amounts(2.0, 512));
    let decided = decision(amounts(2.0, 512), amounts(2.0, 512));
    let grown = plan_one(&burstable, &decided).unwrap();
    assert_eq!(grown.containers[0].requests.cpu_cores.map(Cores::millis_ceil), Some(1999), "or it would be Guaranteed");
    let there = pod(amounts(1.999, 512), amounts(2.0, 512));
    assert_eq!(plan_one(&there, &decided), None, "and stays there");
    let init = PodFacts { init_unguaranteed: true, ..burstable };
    let free = plan_one(&init, &decided).unwrap();
    assert_eq!(free.containers[0].requests.cpu_cores, Some(Cores(2.0)), "an init container keeps it Burstable");
    let memory = pod(amounts(2.0, 256), amounts(2.0, 512));
    let grown = plan_one(&memory, &decided).unwrap();
    assert_eq!(grown.containers[0].requests.memory_bytes, Some(Bytes(511 * MIB)));
}

#[test]
fn limits_neither_appear_nor_vanish_and_bound_requests() {
    let unlimited = plan_one(&pod(amounts(1.0, 512), NONE), &decision(amounts(2.0, 512), amounts(4.0, 1024))).unwrap();
    assert_eq!(unlimited.containers[0].limits, NONE);
    let limit = Resources { cpu_cores: Some(Cores(1.5)), memory_bytes: None };
    let limited = plan_one(&pod(amounts(1.0, 512), limit), &decision(amounts(2.0, 512), NONE)).unwrap();
    assert_eq!(limited.containers[0].requests.cpu_cores, Some(Cores(1.5)));
    assert_eq!(limited.containers[0].limits, NONE);
}

#[test]
fn memory_never_goes_below_what_is_in_use() {
    let big = pod(amounts(1.0, 512), amounts(2.0, 512));
    let decided = |mib| decision(amounts(1.0, mib), amounts(2.0, mib));
    assert_eq!(plan_one(&big, &decided(128)), None, "200 MiB are in use");
    assert_eq!(plan_one(&big, &decided(256)).unwrap().containers[0].limits.memory_bytes, Some(Bytes(256 * MIB)));
    let cpu_too = plan_one(&big, &decision(amounts(0.5, 128), amounts(2.0, 128))).unwrap();
    assert_eq!(
        cpu_too.containers[0].requests,
        Resources { cpu_cores: Some(Cores(0.5)), memory_bytes: None },
        "CPU goes on"
    );
    let unknown = BTreeMap::new();
    let (policy, decided) = (policy(), decided(256));
    let wanted = wanted(&policy, &decided, &unknown);
    assert_eq!(plan(&[&big], wanted, &Attempts::default(), &mut Evictions::default(), at(10)), Plan::default());
}

#[test]
fn running_pods_get_the_boost_and_new_ones_the_steady_size() {
    let mut decided = decision(amounts(1.2, 512), NONE);
    decided.boost =
        Some(Boost { containers: vec![BoostSize { name: "app".into(), cpu_cores: Cores(1.6) }], until: at(20) });
    let cpu = |p: &PodFacts| plan_one(p, &decided).unwrap().containers[0].requests.cpu_cores;
    let running = pod(amounts(1.0, 512), NONE);
    assert_eq!(cpu(&running), Some(Cores(1.6)));
    assert_eq!(cpu(&PodFacts { ready_since: None, ..running }), Some(Cores(1.2)));
}

#[test]
fn trims_have_a_budget_and_growth_has_none() {
    let policy = policy();
    let big = pod(amounts(2.0, 512), NONE);
    let (down, up) = (decision(amounts(1.0, 512), NONE), decision(amounts(3.0, 512), NONE));
    let mut attempts = Attempts::default();
    for minute in [10, 11] {
        let trim = plan_with(std::slice::from_ref(&big), &policy, &down, &attempts, at(minute)).pop().unwrap();
        attempts.taken(&trim, at(minute));
    }
    assert!(plan_with(std::slice::from_ref(&big), &policy, &down, &attempts, at(12)).is_empty());
    assert_eq!(plan_with(std::slice::from_ref(&big), &policy, &up, &attempts, at(12)).len(), 1);
    assert_eq!(plan_with(std::slice::from_ref(&big), &policy, &down, &attempts, at(12 + 24 * 60)).len(), 1);
}

#[test]
fn growth_comes_first_and_a_tick_is_bounded() {
    let pods: Vec<_> = (0..50)
        .map(|i| PodFacts {
            name: format!("web-{i:02}").into(),
            uid: i.to_string().into(),
            ..pod(amounts(if i < 25 { 2.0 } else { 0.5 }, 512), NONE)
        })
        .collect();
    let planned = plan_with(&pods, &policy(), &decision(amounts(1.0, 512), NONE), &Attempts::default(), at(10));
    assert_eq!(planned.len(), PER_TICK);
    assert!(planned.iter().all(|r| r.kind == ResizeKind::Grow));
    assert_eq!(planned[0].name, "web-25");
}

#[test]
fn nothing_shrinks_when_it_may_not_and_levers_are_kept() {
    let (mut policy, decided) = (policy(), decision(amounts(1.0, 600), NONE));
    let unknown = BTreeMap::new();
    let big = pod(amounts(2.0, 512), NONE);
    let ask = |policy: &Policy| {
        let wanted = Wanted { may_shrink: false, ..wanted(policy, &decided, &unknown) };
        plan(&[&big], wanted, &Attempts::default(), &mut Evictions::default(), at(10)).resizes
    };
    let sent = &ask(&policy)[0].containers[0];
    assert_eq!(sent.requests, Resources { cpu_cores: None, memory_bytes: Some(Bytes(600 * MIB)) });
    policy.levers.memory = false;
    assert!(ask(&policy).is_empty());
}

/// A pod of so many cores whose node has set another amount aside.
pub(super) fn pending(asked: f64, has: f64, state: ResizeState, since: Timestamp) -> PodFacts {
    let mut pod = PodFacts {
        resize: state,
        resize_since: Some(since),
        node: Some("n1".into()),
        ..pod(amounts(asked, 512), NONE)
    };
    pod.containers[0].allocated = Some(amounts(has, 512));
    pod
}

#[test]
fn a_deferred_ask_is_made_smaller_at_once_and_larger_after_a_while() {
    let policy = policy();
    let stuck = pending(2.0, 1.0, ResizeState::Deferred, at(0));
    let mut attempts = Attempts::default();
    let ask = |attempts: &Attempts, cpu: f64, minute| {
        plan_with(std::slice::from_ref(&stuck), &policy, &decision(amounts(cpu, 512), NONE), attempts, at(minute)).pop()
    };
    assert_eq!(ask(&attempts, 2.0, 10), None, "that is what it asks for; the kubelet tries again");
    let first = ask(&attempts, 3.0, 10).unwrap();
    attempts.taken(&first, at(10));
    assert_eq!(ask(&attempts, 3.5, 14), None, "a new question goes to the end of the kubelet's queue");
    assert!(ask(&attempts, 3.5, 15).is_some());
    assert_eq!(ask(&attempts, 1.5, 11).unwrap().kind, ResizeKind::Grow, "less may find room");
    assert_eq!(ask(&attempts, 1.0, 11).unwrap().kind, ResizeKind::Withdraw, "given up");
    assert_eq!(ask(&attempts, 0.5, 11).unwrap().kind, ResizeKind::Trim);
    let mut killed = stuck.clone();
    killed.containers[0].oom = Some(OomKill { at: None, limit: None, restarts: 1 });
    let more = decision(amounts(2.0, 700), NONE);
    let sent = plan_with(std::slice::from_ref(&killed), &policy, &more, &attempts, at(11)).pop().unwrap();
    assert!(sent.killed, "memory after a kill does not wait");
}

#[test]
fn an_infeasible_ask_never_stands_in_the_way_of_another_one() {
    let policy = policy();
    let stuck = pending(2.0, 1.0, ResizeState::Infeasible, at(9));
    let ask = |pod: &PodFacts, attempts: &Attempts, cpu: f64, minute| {
        plan_with(std::slice::from_ref(pod), &policy, &decision(amounts(cpu, 512), NONE), attempts, at(minute)).pop()
    };
    let mut attempts = Attempts::default();
    for cpu in [1.5, 3.0] {
        assert_eq!(ask(&stuck, &attempts, cpu, 10).unwrap().kind, ResizeKind::Grow, "{cpu}: at once");
    }
    assert_eq!(ask(&stuck, &attempts, 2.0, 13), None, "the same one after patience: {stuck:?}");
    let back = ask(&stuck, &attempts, 2.0, 14).unwrap();
    assert_eq!((back.kind, back.containers[0].requests.cpu_cores), (ResizeKind::Withdraw, Some(Cores(1.0))));
    attempts.taken(&back, at(14));
    let idle = pending(1.0, 1.0, ResizeState::None, at(14));
    let again = ask(&idle, &attempts, 2.0, 14).unwrap();
    assert_eq!(again.kind, ResizeKind::Grow, "and asked again");
    attempts.taken(&again, at(14));
    let refused = PodFacts { resize_since: Some(at(14)), ..stuck.clone() };
    assert_eq!(ask(&refused, &attempts, 2.0, 20), None, "each time after twice as long");
    assert!(ask(&refused, &attempts, 2.0, 24).is_some());
}

#[test]
fn an_error_and_a_resize_under_way_hold_back_trims_alone() {
    for state in [ResizeState::Error, ResizeState::InProgress] {
        let busy = pending(1.5, 1.0, state, at(9));
        assert!(plan_one(&busy, &decision(amounts(2.0, 512), NONE)).is_some(), "{state:?}");
        assert_eq!(plan_one(&busy, &decision(amounts(0.5, 512), NONE)), None, "{state:?}");
    }
}

#[test]
fn pods_without_a_node_pods_that_start_and_pods_that_crash_get_their_size() {
    let unscheduled = PodFacts { ready_since: None, unschedulable: true, ..pod(amounts(1.0, 256), NONE) };
    let mut crashing = PodFacts { ready_since: None, node: Some("n1".into()), ..pod(amounts(1.0, 256), NONE) };
    crashing.containers[0].oom = Some(OomKill { at: Some(at(9)), limit: None, restarts: 7 });
    let decided = decision(amounts(2.0, 512), NONE);
    assert_eq!(plan_one(&unscheduled, &decided).unwrap().containers[0].requests, amounts(2.0, 512));
    let policy = policy();
    let unknown = BTreeMap::new();
    let blind = Wanted { may_shrink: false, ..wanted(&policy, &decided, &unknown) };
    let sent = plan(&[&crashing], blind, &Attempts::default(), &mut Evictions::default(), at(10)).resizes;
    assert!(sent[0].killed, "without any usage known");
    assert_eq!(sent[0].containers[0].requests.memory_bytes, Some(Bytes(512 * MIB)));
    let pods = [unscheduled, PodFacts { name: "web-2".into(), uid: "v".into(), ..crashing }];
    let order: Vec<_> =
        plan_with(&pods, &policy, &decided, &Attempts::default(), at(10)).into_iter().map(|r| r.name).collect();
    assert_eq!(order, ["web-2", "web-1"], "what was killed comes first");
}

#[test]
fn what_restarts_is_left_alone_in_place_and_is_a_disruption_otherwise() {
    let mut one = pod(amounts(1.0, 512), NONE);
    one.containers[0].restarts_on_memory = true;
    one.containers[0].running = true;
    let (up, down) = (decision(amounts(2.0, 600), NONE), decision(amounts(2.0, 300), NONE));
    let sent = plan_one(&one, &up).unwrap();
    assert_eq!(
        sent.containers[0].requests,
        Resources { cpu_cores: Some(Cores(2.0)), memory_bytes: None },
        "CPU goes on"
    );
    let mut waiting = one.clone();
    waiting.containers[0].running = false;
    assert_eq!(plan_one(&waiting, &up).unwrap().containers[0].requests, amounts(2.0, 600), "what does not run is free");
    let mut policy = policy();
    policy.resize.strategy = ResizeStrategy::InPlaceOrRecreate;
    let pods: Vec<_> = (0..4)
        .map(|i| PodFacts { uid: i.to_string().into(), name: format!("web-{i}").into(), ..one.clone() })
        .collect();
    let sent = |policy: &Policy, decided: &Decision| {
        let in_use = in_use();
        let pods: Vec<_> = pods.iter().collect();
        let wanted = Wanted { replicas: 4, ..wanted(policy, decided, &in_use) };
        let resizes = plan(&pods, wanted, &Attempts::default(), &mut Evictions::default(), at(10)).resizes;
        (resizes.iter().filter(|r| r.restarts).count(), resizes.len())
    };
    assert_eq!(sent(&policy, &up), (1, 4), "one at a time, and the CPU of the others");
    policy.resize.max_unavailable = crate::policy::MaxUnavailable::Pods(3);
    assert_eq!(sent(&policy, &up), (3, 4));
    assert_eq!(sent(&policy, &down), (0, 4), "nothing restarts to get smaller");
}

#[test]
fn sidecars_are_resized_as_such() {
    let mut both = pod(amounts(1.0, 512), NONE);
    let proxy = ContainerFacts { name: "proxy".into(), sidecar: true, ..both.containers[0].clone() };
    both.containers.push(proxy);
    let mut decided = decision(amounts(2.0, 512), NONE);
    decided.containers.push(ContainerSize { name: "proxy".into(), requests: amounts(0.5, 512), limits: NONE });
    let sent = plan_one(&both, &decided).unwrap();
    assert_eq!((sent.containers.len(), sent.sidecars), (2, vec!["proxy".to_owned()]));
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
