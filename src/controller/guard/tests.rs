use super::*;
use crate::{
    decide::{Explain, ReplicaState, Room},
    policy::{Levers, testing},
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
}

fn policy(levers: Levers) -> Policy {
    Policy { levers, ..testing::web() }
}

/// What passes of a decision to go from 5 replicas to `to`, this long after the start.
fn pass(to: u32, reason: Reason, rolling: bool, no_shrink: Option<&str>, seconds: i64) -> Moves {
    let target = super::Target { no_shrink, stands: false };
    pass_with(to, reason, ReplicaState { rolling_out: Some(rolling), ..ReplicaState::default() }, target, seconds)
}

fn pass_with(to: u32, reason: Reason, state: ReplicaState, target: super::Target<'_>, seconds: i64) -> Moves {
    let snapshot = Snapshot {
        v: 0,
        at: at(seconds),
        replicas: ReplicaState { spec: Replicas(5), ..state },
        start_seconds: Vec::new(),
        usage_age_seconds: None,
        window_seconds: None,
        containers: Vec::new(),
        room: Room::default(),
        signals: std::collections::BTreeMap::new(),
    };
    let decision = Decision {
        v: 0,
        at: at(seconds),
        replicas: Replicas(to),
        containers: Vec::new(),
        boost: None,
        reason,
        message: String::new(),
        explain: Explain::default(),
    };
    moves(&policy(Levers::ALL), &snapshot, &decision, target, at(0))
}

#[test]
fn growth_always_passes() {
    for reason in [Reason::CpuDemand, Reason::WaitingForData, Reason::SignalsStale, Reason::RolloutInProgress] {
        for (rolling, seconds) in [(false, 0), (true, 0), (true, 900), (false, 900)] {
            let moves = pass(9, reason, rolling, Some("volumes"), seconds);
            assert_eq!(moves.replicas, Some(Replicas(9)), "{reason:?} rolling {rolling} after {seconds} s");
            assert_eq!(moves.bound, None);
        }
    }
}

#[test]
fn a_shrink_needs_everything_to_be_in_order() {
    assert_eq!(pass(3, Reason::CpuDemand, false, None, 900).replicas, Some(Replicas(3)));
    let started = pass(3, Reason::CpuDemand, false, None, 59);
    assert_eq!((started.replicas, started.bound.as_deref()), (None, Some(WARMING)), "the process has just started");
    assert_eq!(pass(3, Reason::CpuDemand, false, None, 60).bound, None);
    assert_eq!(
        pass(3, Reason::CpuDemand, false, Some("would delete volumes"), 59).bound.as_deref(),
        Some("would delete volumes")
    );
    assert_eq!(pass(3, Reason::CpuDemand, true, None, 900).replicas, None);
    assert_eq!(pass(3, Reason::SignalsStale, false, None, 900).replicas, None);
    assert_eq!(pass(3, Reason::WaitingForData, false, None, 900).replicas, None);
    let held = pass(3, Reason::CpuDemand, false, Some("would delete volumes"), 900);
    assert_eq!((held.replicas, held.bound.as_deref()), (None, Some("would delete volumes")));
}

#[test]
fn a_rollout_that_stands_still_keeps_places_for_the_pods_that_do_not_serve() {
    let pass = |to: u32, ready: u32| {
        let state = ReplicaState { ready: Replicas(ready), rolling_out: Some(false), ..ReplicaState::default() };
        let moves = pass_with(to, Reason::CpuDemand, state, super::Target { no_shrink: None, stands: true }, 900);
        (moves.replicas.map(|r| r.0), moves.bound)
    };
    assert_eq!(pass(2, 5), (Some(2), None), "all serve");
    assert_eq!(pass(2, 4).0, Some(3));
    assert!(pass(2, 4).1.unwrap().starts_with("1 of its pods do not serve while a rollout stands still"));
    assert_eq!(pass(2, 1).0, None, "not below what runs");
    assert_eq!(pass(9, 1), (Some(9), None), "growth always passes");
    assert_eq!(pass(2, 13).0, Some(2), "surge");
}

#[test]
fn sizes_shrink_only_when_all_is_known_and_stay_during_a_rollout() {
    assert_eq!(pass(5, Reason::CpuDemand, false, None, 900).sizes, Some(Shrink::Allowed));
    assert_eq!(pass(5, Reason::CpuDemand, false, None, 59).sizes, Some(Shrink::Forbidden));
    assert_eq!(pass(5, Reason::SignalsStale, false, None, 900).sizes, Some(Shrink::Forbidden));
    assert_eq!(pass(5, Reason::CpuDemand, true, None, 900).sizes, None);
}
