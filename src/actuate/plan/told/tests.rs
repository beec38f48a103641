use super::*;
use crate::{
    actuate::{
        Denial,
        plan::{
            plan,
            tests::{NONE, amounts, at, decision, in_use, pending, pod, policy, wanted},
        },
    },
    observe::kubernetes::{Fixed, Qos},
    policy::Policy,
};

fn say(pods: &[PodFacts], policy: &Policy, attempts: &Attempts, minute: i64) -> Option<Told> {
    let (decided, in_use) = (decision(amounts(2.0, 512), NONE), in_use());
    let all: Vec<_> = pods.iter().collect();
    let wanted = wanted(policy, &decided, &in_use);
    told(&all, wanted, attempts, &Evictions::default(), &Undo::default(), at(minute))
}

fn plainly(pods: &[PodFacts]) -> String {
    let told = say(pods, &policy(), &Attempts::default(), 4);
    told.map_or_else(String::new, |told| format!("{}: {}", told.reason, told.message))
}

#[test]
fn each_outcome_has_its_sentence() {
    let stuck = |state| pending(2.0, 1.0, state, at(0));
    assert_eq!(plainly(&[pod(amounts(2.0, 512), NONE)]), "");
    assert_eq!(
        plainly(&[stuck(ResizeState::Deferred), pod(amounts(2.0, 512), NONE)]),
        "ResizeDeferred: 1 of 2 pods have waited for room on their nodes for 4 min (Deferred): the kubelet tries again by \
         itself, and more replicas carry what is missing"
    );
    assert_eq!(
        plainly(&[stuck(ResizeState::Infeasible)]),
        "ResizeInfeasible: 1 of 1 pods cannot have their size on their nodes (Infeasible): another size is asked for at once, \
         the same one again after 5 min, then less and less often; more replicas carry what is missing, and \
         spec.resize.strategy InPlaceOrRecreate evicts such pods"
    );
    assert_eq!(
        plainly(&[stuck(ResizeState::Error)]),
        "ResizeFails: the kubelet has failed to resize 1 of 1 pods for 4 min and tries again: the condition \
         PodResizeInProgress of the pods says why"
    );
    assert_eq!(plainly(&[stuck(ResizeState::InProgress)]), "");
    let plain = pod(amounts(1.0, 512), NONE);
    assert_eq!(
        plainly(&[PodFacts { qos: Qos::BestEffort, ..pod(NONE, NONE) }]),
        "NotResizable: 1 of 1 pods are left as they are: they are BestEffort, and a first request would change that: give the \
         containers of the template requests"
    );
    assert!(plainly(&[PodFacts { pod_level_resources: true, ..plain.clone() }]).contains("spec.resources"));
    assert!(plainly(&[PodFacts { fixed: Some(Fixed::Static), ..plain.clone() }]).contains("static pods"));
    assert!(plainly(&[PodFacts { fixed: Some(Fixed::Node), ..plain.clone() }]).contains("kubelet older than 1.33"));
    let mut restarts = plain;
    restarts.containers[0].restarts_on_cpu = true;
    restarts.containers[0].running = true;
    assert_eq!(
        plainly(&[restarts]),
        "ResizeRestarts: 1 of 1 pods have another size than decided: container app would restart for it (resizePolicy \
         RestartContainer) and is left as it is: spec.resize.strategy InPlaceOrRecreate restarts it to grow"
    );
}

#[test]
fn what_passes_by_itself_within_a_minute_is_not_told() {
    let young = |state| vec![pending(2.0, 1.0, state, at(4))];
    assert_eq!(plainly(&young(ResizeState::Deferred)), "");
    assert_eq!(plainly(&young(ResizeState::Error)), "");
    assert!(!plainly(&young(ResizeState::Infeasible)).is_empty());
}

#[test]
fn a_refusal_comes_first_and_stays_until_it_is_asked_again() {
    let (policy, decided, in_use) = (policy(), decision(amounts(2.0, 512), NONE), in_use());
    let pods =
        [pod(amounts(1.0, 512), NONE), PodFacts { uid: "v".into(), ..pending(2.0, 1.0, ResizeState::Deferred, at(0)) }];
    let mut attempts = Attempts::default();
    let all: Vec<_> = pods.iter().collect();
    let asked = plan(&all, wanted(&policy, &decided, &in_use), &attempts, &mut Evictions::default(), at(3)).resizes;
    attempts.refused(&asked[0], Some(Denial::LimitRange), "a limit range says no", None, at(3));
    let told = say(&pods, &policy, &attempts, 4).unwrap();
    assert_eq!(told.reason, "ResizeBeyondLimitRange");
    assert!(told.message.starts_with("a limit range says no; 1 of 2 pods have waited"), "{}", told.message);
}

#[test]
fn what_holds_an_eviction_back_is_told() {
    let mut policy = policy();
    policy.resize.strategy = ResizeStrategy::InPlaceOrRecreate;
    let stuck = [PodFacts { uid: "v".into(), ..pending(2.0, 1.0, ResizeState::Infeasible, at(0)) }];
    let last = say(&stuck, &policy, &Attempts::default(), 4).unwrap();
    assert_eq!(last.reason, "EvictionOfTheLast");
    assert!(last.message.contains("maxUnavailable: 1"), "{}", last.message);
    let (decided, in_use) = (decision(amounts(2.0, 512), NONE), in_use());
    let mut evictions = Evictions::default();
    evictions.refused(true, "a budget says no", at(4));
    let wanted = wanted(&policy, &decided, &in_use);
    let told = told(&[&stuck[0]], wanted, &Attempts::default(), &evictions, &Undo::default(), at(4)).unwrap();
    assert_eq!(told.reason, "EvictionHeld");
    assert!(told.message.starts_with("a budget says no; 1 of 1 pods"), "{}", told.message);
}
