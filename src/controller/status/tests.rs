use super::*;
use crate::{
    decide::{Alternative, ContainerSize, ContainerState, Explain, ReplicaState, Room},
    policy::{OnRival, testing},
    units::Cores,
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
}

fn policy(mode: Mode) -> Policy {
    Policy { mode, ..testing::web() }
}

fn snapshot() -> Snapshot {
    Snapshot {
        v: 0,
        at: at(0),
        replicas: ReplicaState { spec: Replicas(3), ready: Replicas(3), ..ReplicaState::default() },
        start_seconds: Vec::new(),
        usage_age_seconds: None,
        window_seconds: None,
        containers: vec![ContainerState {
            name: "app".into(),
            cpu_cores: Some(Cores(1.0)),
            ..ContainerState::default()
        }],
        room: Room::default(),
        signals: std::collections::BTreeMap::new(),
    }
}

fn decision(replicas: u32, reason: Reason, message: &str) -> Decision {
    Decision {
        v: 0,
        at: at(0),
        replicas: Replicas(replicas),
        containers: vec![ContainerSize {
            name: "app".into(),
            requests: Resources { cpu_cores: Some(Cores(1.2)), memory_bytes: None },
            limits: Resources::default(),
        }],
        boost: None,
        reason,
        message: message.into(),
        explain: Explain::default(),
    }
}

fn decided<'a>(
    policy: &'a Policy,
    snapshot: &'a Snapshot,
    decision: &'a Decision,
    ownership: Ownership<'a>,
) -> Decided<'a> {
    Decided { policy, snapshot, decision, ownership, bound: None, resizes: None, remark: None }
}

fn step(before: &ScalingPolicyStatus, decision: &Decision, seconds: i64) -> ScalingPolicyStatus {
    let (policy, snapshot) = (policy(Mode::Auto), snapshot());
    let view = decided(&policy, &snapshot, decision, Ownership::ALONE);
    next(before, View::Decided(view), Some(1), at(seconds))
}

fn holds(status: &ScalingPolicyStatus, type_: ConditionType) -> (&str, &str) {
    let found = conditions::find(&status.conditions, type_).unwrap();
    (&found.status, &found.reason)
}

#[test]
fn a_decision_becomes_a_whole_status() {
    let status = step(&ScalingPolicyStatus::default(), &decision(4, Reason::CpuDemand, "demand …"), 5);
    assert_eq!(status.replicas, Some(ReplicaStatus { current: 3, ready: 3, desired: 4 }));
    assert_eq!(status.containers[0].desired.requests["cpu"], "1200m");
    assert_eq!(status.decision.as_ref().unwrap().reason, "CpuDemand");
    assert_eq!(holds(&status, ConditionType::Ready), ("True", "Decided"));
    assert_eq!(holds(&status, ConditionType::InControl), ("True", "InControl"));
    assert_eq!(holds(&status, ConditionType::Limited), ("False", "Free"));
    assert_eq!(status.conditions.len(), 5);
}

#[test]
fn times_move_only_with_what_they_are_times_of() {
    let first = step(&ScalingPolicyStatus::default(), &decision(4, Reason::CpuDemand, "demand 3.1"), 0);
    let same = step(&first, &decision(4, Reason::CpuDemand, "demand 3.2"), 60);
    assert_eq!(same.decision.as_ref().unwrap().time, Time(at(0)));
    assert_eq!(same.conditions[0].last_transition_time, Time(at(0)));
    let more = step(&same, &decision(5, Reason::CpuDemand, "demand 4.2"), 120);
    assert_eq!(more.decision.as_ref().unwrap().time, Time(at(120)));
    let not_ready = next(
        &more,
        View::NotReady { reason: "TargetNotFound", message: "gone", ownership: Ownership::ALONE },
        Some(1),
        at(180),
    );
    assert_eq!(
        conditions::find(&not_ready.conditions, ConditionType::Ready).unwrap().last_transition_time,
        Time(at(180))
    );
    assert_eq!(holds(&not_ready, ConditionType::SignalsFresh), ("Unknown", "NotReady"));
    assert_eq!(not_ready.replicas, more.replicas, "what was decided last stays readable");
}

#[test]
fn signals_and_missing_usage_are_said() {
    let mut stale = decision(3, Reason::SignalsStale, "`requests` is 3 min old");
    stale.explain.signals = vec![SignalVerdict {
        name: "requests".into(),
        role: Role::Demand,
        value: None,
        age_seconds: Some(Seconds(180.0)),
        state: SignalState::Stale,
        note: Some("last sample 3 min ago".into()),
    }];
    let status = step(&ScalingPolicyStatus::default(), &stale, 200);
    assert_eq!(holds(&status, ConditionType::SignalsFresh), ("False", "Stale"));
    let message = &conditions::find(&status.conditions, ConditionType::SignalsFresh).unwrap().message;
    assert_eq!(message, "`requests` is Stale: last sample 3 min ago");
    let mut dark = snapshot();
    dark.containers[0].cpu_cores = None;
    let (holds, reason, _) = signals_fresh(&dark, &decision(3, Reason::WaitingForData, ""));
    assert_eq!((holds, reason.as_str()), (ConditionStatus::False, "UsageAbsent"));
}

#[test]
fn control_is_unknown_unless_auto_and_lost_to_rivals() {
    let (snapshot, decision) = (snapshot(), decision(3, Reason::CpuDemand, ""));
    let say = |mode, obstacle| {
        let policy = policy(mode);
        let view = decided(&policy, &snapshot, &decision, Ownership { obstacle, ..Ownership::ALONE });
        let status = next(&ScalingPolicyStatus::default(), View::Decided(view), Some(1), at(0));
        let (status, reason) = holds(&status, ConditionType::InControl);
        format!("{status}/{reason}")
    };
    assert_eq!(say(Mode::Recommend, None), "Unknown/RecommendOnly");
    assert_eq!(say(Mode::Paused, Some(("WriteRefused", "x"))), "Unknown/Paused");
    assert_eq!(say(Mode::Auto, Some(("WriteRefused", "x"))), "False/WriteRefused");
    assert_eq!(say(Mode::Auto, None), "True/InControl");
    assert_eq!(say(Mode::Recommend, Some(("AnnotationUnreadable", "x"))), "False/AnnotationUnreadable");
}

#[test]
fn ownership_that_is_not_known_changes_nothing_that_was_said() {
    let (policy, snapshot, decision) = (policy(Mode::Auto), snapshot(), decision(3, Reason::CpuDemand, ""));
    let displaced = [DisplacedStatus { kind: "HorizontalPodAutoscaler".into(), name: "web".into() }];
    let say = |before: &ScalingPolicyStatus, ownership| {
        next(before, View::Decided(decided(&policy, &snapshot, &decision, ownership)), Some(1), at(0))
    };
    let unknown = Ownership { known: false, ..Ownership::ALONE };
    let first = say(&ScalingPolicyStatus::default(), unknown);
    assert_eq!(holds(&first, ConditionType::InControl), ("Unknown", "Looking"));
    let owned = say(&first, Ownership { displaced: &displaced, ..Ownership::ALONE });
    assert_eq!(change(&first, &owned), Change::Urgent);
    let again = say(&owned, unknown);
    assert_eq!(holds(&again, ConditionType::InControl), ("True", "InControl"));
    assert_eq!(again.displaced, displaced);
    let recommend = self::policy(Mode::Recommend);
    let view = View::Decided(decided(&recommend, &snapshot, &decision, unknown));
    assert_eq!(holds(&next(&owned, view, Some(2), at(0)), ConditionType::InControl), ("Unknown", "RecommendOnly"));
}

#[test]
fn a_policy_that_cannot_be_decided_for_still_says_what_it_cannot_give_back() {
    let ownership = Ownership { obstacle: Some(("AnnotationUnreadable", "put it right")), ..Ownership::ALONE };
    let view = View::NotReady { reason: "TargetTaken", message: "another is older", ownership };
    let status = next(&ScalingPolicyStatus::default(), view, Some(1), at(0));
    assert_eq!(holds(&status, ConditionType::InControl), ("False", "AnnotationUnreadable"));
    assert_eq!(holds(&status, ConditionType::Limited), ("Unknown", "NotReady"));
}

#[test]
fn what_keeps_pods_from_their_sizes_is_a_limit_beside_the_others() {
    let (snapshot, policy) = (snapshot(), policy(Mode::Auto));
    let say = |limited: Option<&str>, resizes| {
        let mut decision = decision(3, Reason::LimitedByMax, "");
        decision.explain.limited = limited.map(str::to_owned);
        let view = Decided { resizes, ..decided(&policy, &snapshot, &decision, Ownership::ALONE) };
        let status = next(&ScalingPolicyStatus::default(), View::Decided(view), Some(1), at(0));
        let found = conditions::find(&status.conditions, ConditionType::Limited).unwrap();
        format!("{}/{}: {}", found.status, found.reason, found.message)
    };
    let deferred = Some(("ResizeDeferred", "2 pods wait"));
    assert_eq!(say(None, None), "False/Free: nothing binds");
    assert_eq!(say(None, deferred), "True/ResizeDeferred: 2 pods wait");
    assert_eq!(say(Some("max is 40"), deferred), "True/LimitedByMax: max is 40; 2 pods wait");
    assert_eq!(say(Some("max is 40"), None), "True/LimitedByMax: max is 40");
}

#[test]
fn a_rival_is_named_as_long_as_it_is_one_whatever_the_reason_of_the_decision() {
    let say = |on_rival, reason| {
        let mut decision = decision(3, reason, "");
        decision.explain.rival = Some("night-saver changed replicas 6 → 2 at 12:03 UTC: 3 times in 15 min".into());
        let (snapshot, policy) = (snapshot(), Policy { on_rival, ..policy(Mode::Auto) });
        let view = decided(&policy, &snapshot, &decision, Ownership::ALONE);
        let status = next(&ScalingPolicyStatus::default(), View::Decided(view), Some(1), at(0));
        let control = conditions::find(&status.conditions, ConditionType::InControl).unwrap();
        format!("{}/{}: {}", control.status, control.reason, control.message)
    };
    for reason in [Reason::RivalWrites, Reason::CpuDemand, Reason::LimitedByMax] {
        let said = say(OnRival::Floor, reason);
        assert!(said.starts_with("False/RivalWrites: night-saver changed replicas 6 → 2"), "{said}");
        assert!(said.ends_with("not shrinking, growing if needed (spec.onRival: Floor)"), "{said}");
    }
    assert!(say(OnRival::Reassert, Reason::CpuDemand).ends_with("written through (spec.onRival: Reassert)"));
}

#[test]
fn a_new_remark_on_the_target_is_urgent() {
    let say = |remark: Option<&str>| {
        let (snapshot, decision, policy) = (snapshot(), decision(3, Reason::CpuDemand, ""), policy(Mode::Auto));
        let view = Decided { remark, ..decided(&policy, &snapshot, &decision, Ownership::ALONE) };
        next(&ScalingPolicyStatus::default(), View::Decided(view), Some(1), at(0))
    };
    let step = |n: u32| say(Some(&format!("its Rollout is at step {n} of 5")));
    assert_eq!(change(&say(None), &step(1)), Change::Urgent);
    assert_eq!(change(&step(1), &step(2)), Change::Calm, "numbers are no other remark");
}

#[test]
fn what_people_act_on_is_urgent_and_numbers_are_not() {
    let status = |replicas, reason, message: &str| {
        step(&ScalingPolicyStatus::default(), &decision(replicas, reason, message), 0)
    };
    let base = status(4, Reason::CpuDemand, "demand 3.1");
    assert_eq!(change(&base, &base), Change::None);
    assert_eq!(change(&base, &step(&base, &decision(4, Reason::CpuDemand, "demand 3.1"), 99)), Change::None);
    assert_eq!(change(&base, &status(4, Reason::CpuDemand, "demand 3.2")), Change::Calm);
    assert_eq!(change(&base, &status(4, Reason::HoldingForDemand, "replica 4 …")), Change::Calm);
    assert_eq!(change(&base, &status(5, Reason::CpuDemand, "demand 3.1")), Change::Urgent);
    assert_eq!(change(&base, &status(4, Reason::Saturated, "throttled")), Change::Urgent);
    assert_eq!(change(&ScalingPolicyStatus::default(), &base), Change::Urgent);
    let mut limited = decision(4, Reason::LimitedByMax, "needs 52");
    limited.explain.limited = Some("needs 52".into());
    assert_eq!(change(&base, &step(&base, &limited, 0)), Change::Urgent);
}

#[test]
fn after_a_write_that_may_have_taken_what_was_written_before_is_written_again() {
    let fresh = step(&ScalingPolicyStatus::default(), &decision(4, Reason::CpuDemand, "demand 3.0"), 0);
    let mut written = Written::default();
    written.took(&fresh);
    assert_eq!(written.change(&fresh), Change::None);
    // A status that says something else is sent, and no answer comes; by the next tick all is as it was.
    written.failed();
    assert_eq!(written.change(&fresh), Change::Urgent);
    assert_eq!(written.took(&fresh), fresh, "no news, so no Event");
    assert_eq!(written.change(&fresh), Change::None);
}

#[test]
fn what_was_written_reads_back_as_the_same() {
    for decision in [decision(4, Reason::CpuDemand, "demand 3.0"), decision(9, Reason::LimitedByMax, "needs 52")] {
        let written = step(&ScalingPolicyStatus::default(), &decision, 17);
        let read: ScalingPolicyStatus = serde_json::from_value(serde_json::to_value(&written).unwrap()).unwrap();
        assert_eq!(change(&read, &written), Change::None, "{read:?}");
    }
}

#[test]
fn what_stands_there_otherwise_for_a_while_is_believed() {
    let fresh = step(&ScalingPolicyStatus::default(), &decision(4, Reason::CpuDemand, "demand 3.0"), 0);
    let other = step(&ScalingPolicyStatus::default(), &decision(9, Reason::CpuDemand, "demand 9.0"), 0);
    let numbers = step(&ScalingPolicyStatus::default(), &decision(4, Reason::CpuDemand, "demand 3.1"), 0);
    let mut written = Written::default();
    written.took(&fresh);
    // The watch is late, then shows what was written; numbers alone are nobody else's.
    let sights = [
        (0, "1", &other),
        (20, "1", &other),
        (29, "2", &fresh),
        (60, "2", &fresh),
        (90, "3", &numbers),
        (200, "3", &numbers),
    ];
    for (second, version, status) in sights {
        written.saw(Some(version), || status.clone(), at(second));
        assert_eq!(written.change(&fresh), Change::None, "after {second} s");
    }
    // Somebody else's write came last.
    for (second, version, expected) in [(300, "4", Change::None), (329, "5", Change::None), (330, "5", Change::Urgent)]
    {
        written.saw(Some(version), || other.clone(), at(second));
        assert_eq!(written.change(&fresh), expected, "after {second} s");
    }
    written.took(&fresh);
    written.saw(Some("5"), || other.clone(), at(331));
    assert_eq!(written.change(&fresh), Change::None, "its own write is not seen yet");
}

/// Ticks through an hour with a status per tick and counts the writes.
fn writes_in_an_hour(tick: i64, at_tick: impl Fn(i64) -> Decision) -> usize {
    let mut pace = Pace::new("web");
    let (mut written, mut writes) = (ScalingPolicyStatus::default(), 0);
    for second in (0..3600).step_by(usize::try_from(tick).unwrap()) {
        let status = step(&written, &at_tick(second / tick), second);
        let change = change(&written, &status);
        if pace.due(change, at(second)) {
            pace.wrote(change, at(second));
            written = status;
            writes += 1;
        }
    }
    writes
}

#[test]
fn an_hour_of_noisy_steady_load_costs_few_writes() {
    for tick in [1, 5, 15] {
        let noisy = writes_in_an_hour(tick, |i| {
            let reason = if i % 3 == 0 { Reason::CpuDemand } else { Reason::HoldingForDemand };
            let replicas = if i > 100 { 4 } else { 5 };
            let mut decision = decision(replicas, reason, &format!("demand {i}"));
            decision.explain.alternatives = Vec::<Alternative>::new();
            decision
        });
        assert!((5..=12).contains(&noisy), "{noisy} writes at a tick of {tick} s");
    }
    assert_eq!(writes_in_an_hour(15, |_| decision(4, Reason::CpuDemand, "demand 3.1")), 1);
}

#[test]
fn a_real_change_is_written_at_once_and_a_flapping_one_is_slowed() {
    let mut pace = Pace::new("web");
    for second in 0..6 {
        assert!(pace.due(Change::Urgent, at(second)), "a scale-up of several steps is shown step by step");
        pace.wrote(Change::Urgent, at(second));
    }
    assert!(!pace.due(Change::Urgent, at(6)));
    assert!(pace.due(Change::Urgent, at(6 + 120)));
    let flapping = writes_in_an_hour(15, |i| decision(4 + u32::from(i % 2 == 0), Reason::CpuDemand, ""));
    assert!(flapping <= 36, "{flapping}");
}
