use super::*;
use crate::{
    actuate::{
        Attempts, Denial,
        plan::{
            Wanted, plan,
            tests::{NONE, amounts, at, decision, in_use, pending, pod, policy, wanted},
        },
    },
    decide::Decision,
    observe::kubernetes::{Fixed, Qos},
    policy::{MaxUnavailable, Policy, ResizeStrategy},
};

fn recreate(max: MaxUnavailable) -> Policy {
    let mut policy = policy();
    policy.resize.strategy = ResizeStrategy::InPlaceOrRecreate;
    policy.resize.max_unavailable = max;
    policy
}

/// Pods whose larger size their nodes refuse since the first minute.
fn refused(n: usize, state: ResizeState) -> Vec<PodFacts> {
    let named = |i| PodFacts {
        name: format!("web-{i}").into(),
        uid: format!("u{i}").into(),
        ..pending(2.0, 1.0, state, at(0))
    };
    (0..n).map(named).collect()
}

fn evicted(pods: &[PodFacts], policy: &Policy, evictions: &mut Evictions, minute: i64) -> Vec<PodEviction> {
    evicted_for(pods, policy, &decision(amounts(2.0, 512), NONE), &Attempts::default(), evictions, minute)
}

fn evicted_for(
    pods: &[PodFacts],
    policy: &Policy,
    decided: &Decision,
    attempts: &Attempts,
    evictions: &mut Evictions,
    minute: i64,
) -> Vec<PodEviction> {
    let in_use = in_use();
    let replicas = u32::try_from(pods.iter().filter(|p| p.counts()).count()).unwrap();
    let wanted = Wanted { replicas, ..wanted(policy, decided, &in_use) };
    plan(&pods.iter().collect::<Vec<_>>(), wanted, attempts, evictions, at(minute)).evictions
}

const ALL: MaxUnavailable = MaxUnavailable::Percent(100);

#[test]
fn each_cause_has_its_time_and_only_the_strategy_evicts() {
    for (state, minute, expected) in [
        (ResizeState::Infeasible, 1, Some(Cause::Infeasible)),
        (ResizeState::Deferred, 4, None),
        (ResizeState::Deferred, 5, Some(Cause::Deferred)),
        (ResizeState::Error, 4, None),
        (ResizeState::Error, 5, Some(Cause::Failed)),
        (ResizeState::InProgress, 60, None),
        (ResizeState::None, 60, None),
    ] {
        let pods = refused(3, state);
        let causes: Vec<_> =
            evicted(&pods, &recreate(ALL), &mut Evictions::default(), minute).iter().map(|e| e.cause).collect();
        assert_eq!(causes, expected.map_or(vec![], |cause| vec![cause; 3]), "{state:?} after {minute} min");
        assert!(evicted(&pods, &policy(), &mut Evictions::default(), minute).is_empty(), "InPlaceOnly");
    }
}

#[test]
fn a_learned_wait_takes_the_place_of_the_first_one() {
    let waits = serde_json::from_str("[60, 60, 60]").unwrap();
    let decided = decision(amounts(2.0, 512), NONE);
    let pods = refused(2, ResizeState::Deferred);
    let attempts = Attempts::with_waits(waits);
    let at_minute =
        |minute| evicted_for(&pods, &recreate(ALL), &decided, &attempts, &mut Evictions::default(), minute).len();
    assert_eq!((at_minute(1), at_minute(2)), (0, 2));
}

#[test]
fn no_more_than_max_unavailable_are_down_and_pods_that_are_not_ready_count() {
    let mut pods = refused(10, ResizeState::Infeasible);
    let count = |pods: &[PodFacts], max| evicted(pods, &recreate(max), &mut Evictions::default(), 1).len();
    assert_eq!(count(&pods, MaxUnavailable::Percent(10)), 1);
    assert_eq!(count(&pods, MaxUnavailable::Percent(39)), 3);
    assert_eq!(count(&pods, MaxUnavailable::Pods(4)), 4);
    assert_eq!(count(&pods, MaxUnavailable::Percent(1)), 1, "at least one");
    // One is not ready for another reason.
    pods[9].ready_since = None;
    pods[9].resize = ResizeState::None;
    pods[9].containers[0].requests = amounts(2.0, 512);
    pods[9].containers[0].allocated = None;
    assert_eq!(count(&pods, MaxUnavailable::Percent(10)), 0);
    assert_eq!(count(&pods, MaxUnavailable::Pods(2)), 1);
    // One that is down already may go without costing anything, and goes first.
    let mut crashing = refused(3, ResizeState::Infeasible);
    crashing[2].ready_since = None;
    let chosen = evicted(&crashing, &recreate(MaxUnavailable::Pods(1)), &mut Evictions::default(), 1);
    assert_eq!(chosen.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(), ["web-2"]);
    // A pod that is missing is down.
    let leaving = PodFacts { deleting: true, ..refused(1, ResizeState::None).remove(0) };
    let in_use = in_use();
    let (policy, decided) = (recreate(MaxUnavailable::Pods(1)), decision(amounts(2.0, 512), NONE));
    let rest = refused(2, ResizeState::Infeasible);
    let wanted = Wanted { replicas: 3, ..wanted(&policy, &decided, &in_use) };
    let pods = [&rest[0], &rest[1], &leaving];
    assert!(plan(&pods, wanted, &Attempts::default(), &mut Evictions::default(), at(1)).evictions.is_empty());
}

#[test]
fn the_only_ready_pod_stays_unless_a_number_says_otherwise() {
    let one = refused(1, ResizeState::Infeasible);
    let count = |max| evicted(&one, &recreate(max), &mut Evictions::default(), 1).len();
    assert_eq!(count(MaxUnavailable::Percent(10)), 0);
    assert_eq!((count(MaxUnavailable::Pods(1)), count(MaxUnavailable::Percent(100))), (1, 1));
    let crashing = vec![PodFacts { ready_since: None, ..one[0].clone() }];
    assert_eq!(evicted(&crashing, &recreate(MaxUnavailable::Percent(10)), &mut Evictions::default(), 1).len(), 1);
}

#[test]
fn nothing_is_evicted_where_the_next_pod_would_fare_no_better() {
    let policy = recreate(ALL);
    let stuck = |pod: PodFacts| evicted(&[pod], &policy, &mut Evictions::default(), 10).len();
    let plain = refused(1, ResizeState::Infeasible).remove(0);
    assert_eq!(stuck(PodFacts { pod_level_resources: true, ..plain.clone() }), 0);
    assert_eq!(stuck(PodFacts { qos: Qos::BestEffort, ..plain.clone() }), 0);
    assert_eq!(stuck(PodFacts { fixed: Some(Fixed::Static), ..plain.clone() }), 0);
    assert_eq!(stuck(PodFacts { node: None, ..plain.clone() }), 0, "it waits for a node");
    let old_node = PodFacts { fixed: Some(Fixed::Node), ..pod(amounts(1.0, 512), NONE) };
    assert_eq!(stuck(PodFacts { node: Some("n1".into()), ..old_node }), 1, "the next one is resized before it runs");
    // A quota refuses more to everybody.
    let decided = decision(amounts(2.0, 512), NONE);
    let mut attempts = Attempts::default();
    let in_use = in_use();
    let other = pod(amounts(1.0, 512), NONE);
    let ask = plan(&[&other], wanted(&policy, &decided, &in_use), &attempts, &mut Evictions::default(), at(9)).resizes;
    attempts.refused(&ask[0], Some(Denial::Quota), "no room", None, at(9));
    assert!(
        evicted_for(std::slice::from_ref(&plain), &policy, &decided, &attempts, &mut Evictions::default(), 10)
            .is_empty()
    );
    // Nothing is lowered by an eviction.
    let larger = decision(amounts(0.5, 512), NONE);
    assert!(evicted_for(&[plain], &policy, &larger, &Attempts::default(), &mut Evictions::default(), 10).is_empty());
}

#[test]
fn what_the_api_server_knows_to_be_beyond_its_node_is_evicted_as_infeasible() {
    let (policy, decided, in_use) = (recreate(ALL), decision(amounts(2.0, 512), NONE), in_use());
    let small = PodFacts { node: Some("n1".into()), ..pod(amounts(1.0, 512), NONE) };
    let mut attempts = Attempts::default();
    let ask = plan(&[&small], wanted(&policy, &decided, &in_use), &attempts, &mut Evictions::default(), at(9)).resizes;
    let evicted = |attempts: &Attempts| {
        evicted_for(std::slice::from_ref(&small), &policy, &decided, attempts, &mut Evictions::default(), 9)
    };
    assert!(evicted(&attempts).is_empty(), "it is asked first");
    attempts.refused(&ask[0], Some(Denial::NodeCapacity), "too small", None, at(9));
    assert_eq!(evicted(&attempts)[0].cause, Cause::Infeasible);
}

#[test]
fn nothing_is_evicted_while_nothing_may_shrink() {
    let (policy, decided, in_use) = (recreate(ALL), decision(amounts(2.0, 512), NONE), in_use());
    let one = refused(1, ResizeState::Infeasible);
    let blind = Wanted { may_shrink: false, ..wanted(&policy, &decided, &in_use) };
    assert!(plan(&[&one[0]], blind, &Attempts::default(), &mut Evictions::default(), at(10)).evictions.is_empty());
}

#[test]
fn an_eviction_that_did_not_help_is_not_repeated_for_a_day() {
    let policy = recreate(ALL);
    let mut evictions = Evictions::default();
    let pods = refused(3, ResizeState::Infeasible);
    let first = evicted(&pods, &policy, &mut evictions, 10);
    assert_eq!(first.len(), 3);
    evictions.taken(&first[0], at(10));
    assert_eq!(evicted(&pods[1..], &policy, &mut evictions, 11).len(), 1, "it may have helped");
    let mut next = pods[1..].to_vec();
    // Made in the second of the eviction, as its time in whole seconds says.
    next.push(PodFacts { created: Some(at(10)), uid: "new".into(), name: "web-new".into(), ..pods[0].clone() });
    assert!(evicted(&next, &policy, &mut evictions, 12).is_empty(), "the next pod stands where the first one stood");
    let mut evictions: Evictions = serde_json::from_value(serde_json::to_value(&evictions).unwrap()).unwrap();
    assert!(evicted(&pods[1..], &policy, &mut evictions, 23 * 60).is_empty(), "for a day, and after a restart");
    assert_eq!(evicted(&pods[1..], &policy, &mut evictions, 13 + 24 * 60).len(), 2);
}

#[test]
fn no_more_than_the_replicas_are_evicted_in_a_day_for_one_cause_and_no_name_twice() {
    let policy = recreate(ALL);
    let mut evictions = Evictions::default();
    let pods = refused(3, ResizeState::Infeasible);
    let named = |name: &str| PodEviction {
        namespace: "shop".into(),
        name: name.into(),
        uid: name.into(),
        cause: Cause::Infeasible,
    };
    // A minute after the pods were made: what is made in the second of an eviction counts as its successor.
    evictions.taken(&named("web-0"), at(1));
    let names: Vec<_> = evicted(&pods, &policy, &mut evictions, 2).into_iter().map(|e| e.name).collect();
    assert_eq!(names, ["web-1", "web-2"], "web-0 came back under its name");
    for name in ["x", "y"] {
        evictions.taken(&named(name), at(2));
    }
    assert!(evicted(&pods, &policy, &mut evictions, 3).is_empty());
    assert_eq!(evicted(&refused(1, ResizeState::Deferred), &policy, &mut evictions, 10).len(), 1, "another cause");
}

#[test]
fn a_disruption_budget_is_asked_again_after_a_minute() {
    let policy = recreate(ALL);
    let mut evictions = Evictions::default();
    let pods = refused(2, ResizeState::Infeasible);
    assert!(evictions.refused(true, "held", at(10)) && !evictions.refused(true, "held", at(10)));
    assert!(evicted(&pods, &policy, &mut evictions, 10).is_empty());
    assert_eq!(evicted(&pods, &policy, &mut evictions, 11).len(), 2);
    assert_eq!(evictions.held(), Some("held"), "until one goes");
    evicted(&[], &policy, &mut evictions, 12);
    assert_eq!(evictions.held(), None, "or none is to go");
}
