//! The floor under everything, and what disbelief forbids.

use super::plant::{EPOCH, Plant, latency_policy, policy, reading, signal, snapshot};
use crate::{
    decide::{Decision, Memory, Reading, Reason, SignalState, Snapshot, decide},
    policy::{BacklogObjective, Mode, Policy, Role, SignalLoss},
    units::{Cores, Replicas, Seconds},
};

fn once(snapshot: &Snapshot, policy: &Policy) -> Decision {
    decide(snapshot, policy, &mut Memory::new(), snapshot.at)
}

#[test]
fn throttled_pods_grow_before_anything_is_known() {
    let mut snapshot = snapshot(EPOCH, 6, 2.0);
    snapshot.containers[0].throttled_ratio = Some(0.12);
    let decision = once(&snapshot, &policy());
    assert_eq!(decision.reason, Reason::Saturated);
    assert_eq!(decision.replicas, Replicas(7));
    assert_eq!(decision.message, "pods are throttled 12 % of the time: growing from 6 to 7 whatever the model says");
}

#[test]
fn throttled_pods_grow_while_everything_else_is_stale() {
    let mut stale = snapshot(EPOCH, 6, 2.0);
    stale.usage_age_seconds = Some(Seconds(500.0));
    stale.containers[0].throttled_ratio = Some(0.5);
    let mut policy = latency_policy();
    policy.signals.push(signal("other", Role::Demand));
    assert_eq!(once(&stale, &policy).replicas, Replicas(9));
}

#[test]
fn pods_at_capacity_grow() {
    // A service written for full utilization is at its objective at 95 %, not short.
    let mut full = policy();
    full.objective.utilization = 1.0;
    assert!(once(&snapshot(EPOCH, 4, 3.98), &policy()).replicas >= Replicas(6));
    assert_eq!(once(&snapshot(EPOCH, 4, 3.98), &full).replicas, Replicas(4));
    let mut limited = snapshot(EPOCH, 4, 3.98);
    limited.containers[0].limit.cpu_cores = Some(Cores(1.0));
    assert!(once(&limited, &full).replicas >= Replicas(6));
}

#[test]
fn gross_violations_grow_until_it_is_shown_not_to_help() {
    let policy = latency_policy();
    let mut memory = Memory::new();
    let mut n = 4;
    let mut last = None;
    for tick in 0..400 {
        let mut snapshot = snapshot(EPOCH + 15.0 * f64::from(tick), n, 0.4);
        snapshot.signals.insert("requests".to_owned(), reading(40.0));
        let slow = Reading { violation_ratio: Some(0.5), ..reading(0.9) };
        snapshot.signals.insert("latency".to_owned(), slow);
        let decision = decide(&snapshot, &policy, &mut memory, snapshot.at);
        assert!(decision.replicas.0 >= n, "never down while saturated");
        n = decision.replicas.0;
        last = Some(decision);
    }
    let last = last.expect("ran");
    assert!((6..20).contains(&n), "grew, and stopped: {n}");
    assert_eq!(last.reason, Reason::DownstreamBound, "{}", last.message);
}

/// A burst of seconds is over before anything that is done against it: it is not chased, unless it goes on.
#[test]
fn late_requests_of_a_burst_are_answered_when_they_go_on() {
    let policy = latency_policy();
    let mut memory = Memory::new();
    let mut look = |tick: i32, share: f64| {
        let mut snapshot = snapshot(EPOCH + 15.0 * f64::from(tick), 4, 0.48);
        snapshot.signals.insert("requests".to_owned(), reading(40.0));
        let slow = Reading { violation_ratio: Some(share), ..reading(0.1) };
        snapshot.signals.insert("latency".to_owned(), slow);
        decide(&snapshot, &policy, &mut memory, snapshot.at)
    };
    for tick in 0..240 {
        // From half an hour on in the window of the metrics for three ticks, then gone for as long.
        let decision = look(tick, if tick > 120 && tick / 3 % 2 == 0 { 0.4 } else { 0.005 });
        assert!(decision.boost.is_none() && decision.replicas.0 <= 4, "{tick}: {}", decision.message);
    }
    let grew: Vec<bool> =
        (240..246).map(|tick| look(tick, 0.4)).map(|d| d.boost.is_some() || d.replicas.0 > 4).collect();
    assert_eq!(grew, [false, false, false, false, true, true]);
}

/// More pods for more load have shown nothing of what more pods do.
#[test]
fn growth_that_only_keeps_pace_with_the_load_is_not_in_vain() {
    let policy = latency_policy();
    let mut memory = Memory::new();
    let mut n = 4;
    for tick in 0..60 {
        let load = 1.0 + 0.04 * f64::from(tick);
        let mut snapshot = snapshot(EPOCH + 15.0 * f64::from(tick), n, 0.4 * load);
        snapshot.signals.insert("requests".to_owned(), reading(40.0 * load));
        let slow = Reading { violation_ratio: Some(0.12), ..reading(0.3) };
        snapshot.signals.insert("latency".to_owned(), slow);
        let decision = decide(&snapshot, &policy, &mut memory, snapshot.at);
        if load < 1.8 {
            assert_ne!(decision.reason, Reason::DownstreamBound, "{tick}: {} {}", n, decision.message);
        }
        // A pod a minute.
        n = if tick % 4 == 0 { decision.replicas.0.min(n + 1) } else { n };
    }
}

#[test]
fn never_down_while_saturated() {
    let mut plant = Plant::new(policy(), 900.0, 14);
    plant.run(3600.0);
    plant.disturb = |s, _| s.containers[0].throttled_ratio = Some(0.2);
    plant.rate = 50.0;
    let mut before = plant.replicas();
    for _ in 0..400 {
        let size = plant.size;
        plant.step();
        assert!(plant.replicas() >= before && plant.size >= size);
        before = plant.replicas();
    }
}

/// Ways in which observations can be doubtful.
pub(super) const SPOILERS: usize = 14;

/// What may be wrong with the observations; none of it may ever shrink anything.
pub(super) fn spoil(snapshot: &mut Snapshot, how: usize) {
    let set = |s: &mut Snapshot, name: &str, reading: Reading| {
        s.signals.insert(name.to_owned(), reading);
    };
    match how {
        0 => snapshot.usage_age_seconds = Some(Seconds(90.0)),
        1 => snapshot.usage_age_seconds = None,
        2 => snapshot.containers[0].cpu_cores = Some(Cores(0.0)),
        3 => snapshot.containers[0].cpu_cores = None,
        4 => snapshot.containers[0].reporting_pods = Some(Replicas(snapshot.replicas.ready.0 / 2)),
        5 => set(snapshot, "requests", Reading { age_seconds: Some(Seconds(180.0)), ..reading(1.0) }),
        6 => set(snapshot, "requests", Reading { state: Some(SignalState::Partial), ..reading(1.0) }),
        7 => set(snapshot, "requests", Reading { state: Some(SignalState::Absent), ..Reading::default() }),
        8 => set(snapshot, "requests", Reading { value: Some(f64::NAN), ..reading(1.0) }),
        9 => set(snapshot, "requests", Reading { value: Some(-4.0), ..reading(1.0) }),
        10 => set(snapshot, "latency", Reading { state: Some(SignalState::Stale), ..reading(0.1) }),
        11 => snapshot.signals.clear(),
        12 => snapshot.containers.clear(),
        _ => set(snapshot, "requests", Reading { age_seconds: None, ..reading(1.0) }),
    }
}

#[test]
fn nothing_shrinks_on_doubtful_data_and_recovery_is_clean() {
    for how in 0..SPOILERS {
        let mut policy = latency_policy();
        policy.behavior.scale_down =
            Some(crate::policy::DirectionRules { stabilization: Some(Seconds(0.0)), ..Default::default() });
        let mut plant = Plant::new(policy, 500.0, 8);
        plant.run(2.0 * 3600.0);
        let (mut memory, n) = (plant.memory.clone(), plant.replicas());
        // Load falls to a tenth at the same time: with good data this would shrink at once.
        plant.rate = 50.0;
        for _ in 0..40 {
            let mut snapshot = plant.observe();
            spoil(&mut snapshot, how);
            let decision = decide(&snapshot, &plant.policy, &mut memory, snapshot.at);
            assert!(decision.replicas.0 >= n, "{how}: {} {}", decision.replicas, decision.message);
            assert!(!decision.explain.held_back_by.is_empty());
            if decision.replicas.0 == n {
                assert_eq!(decision.reason, Reason::SignalsStale, "{how}: {}", decision.message);
            }
            plant.t += 15.0;
        }
        plant.memory = memory;
        plant.run(1200.0);
        assert!(plant.replicas() < n, "{how}: afterwards it does");
    }
}

#[test]
fn an_idle_latency_signal_blocks_nothing() {
    let mut plant = Plant::new(latency_policy(), 500.0, 8);
    plant.run(3600.0);
    let n = plant.replicas();
    plant.rate = 0.0;
    plant.disturb = |s, _| {
        s.signals.insert("latency".to_owned(), Reading { state: Some(SignalState::Absent), ..Reading::default() });
    };
    plant.run(2.0 * 3600.0);
    assert!(plant.replicas() < n);
}

#[test]
fn signal_loss_raises_and_never_lowers() {
    for (floor, want) in [(12, 12), (3, 8)] {
        let mut policy = latency_policy();
        policy.on_signal_loss = Some(SignalLoss { after: Seconds(300.0), min_replicas: Replicas(floor) });
        let mut memory = Memory::new();
        let mut last = None;
        for tick in 0..30 {
            let mut lost = snapshot(EPOCH + 15.0 * f64::from(tick), 8, 0.0);
            lost.containers[0].cpu_cores = None;
            let decision = decide(&lost, &policy, &mut memory, lost.at);
            if tick < 19 {
                assert_eq!(decision.replicas, Replicas(8), "not yet");
            }
            last = Some(decision);
        }
        assert_eq!(last.expect("ran").replicas, Replicas(want));
    }
}

#[test]
fn zero_set_by_somebody_stays_zero() {
    let decision = once(&snapshot(EPOCH, 0, 0.0), &policy());
    assert_eq!((decision.replicas, decision.reason), (Replicas(0), Reason::ScaledToZero));
}

#[test]
fn a_reset_is_undone_at_the_next_tick_and_a_raise_is_kept_for_hold() {
    let mut plant = Plant::new(policy(), 700.0, 10);
    plant.run(3600.0);
    let n = plant.replicas();
    assert!(n > 3);
    plant.scale(3);
    assert!(plant.step().replicas.0 >= n, "a deploy reset replicas: growth at once");
    plant.run(1800.0);
    let n = plant.replicas();
    plant.scale(n + 6);
    let kept = plant.run(585.0);
    assert!(kept.iter().all(|k| *k >= n + 6), "{kept:?}");
    plant.run(1500.0);
    assert_eq!(plant.replicas(), n);
}

#[test]
fn a_repeated_rival_gets_a_truce_and_growth_goes_on() {
    let mut plant = Plant::new(policy(), 700.0, 10);
    plant.policy.behavior.scale_down =
        Some(crate::policy::DirectionRules { stabilization: Some(Seconds(0.0)), ..Default::default() });
    plant.disturb = |s, _| s.replicas.last_writer = Some("HPA `web`".to_owned());
    plant.run(3600.0);
    let n = plant.replicas();
    for _ in 0..3 {
        plant.scale(n + 5);
        plant.run(60.0);
    }
    let decision = plant.step();
    assert_eq!(decision.reason, Reason::RivalWrites, "{}", decision.message);
    assert!(plant.replicas() >= n + 5);
    plant.rate = 1600.0;
    plant.run(120.0);
    assert!(plant.replicas() > n + 6, "growing if needed");
    plant.rate = 700.0;
    plant.run(2400.0);
    assert_eq!(plant.replicas(), n, "tried again after half an hour");
}

/// What is said of a rival after somebody has written the count three times, each after a write of ours, with these
/// templates.
fn three_writes(templates: [&str; 3]) -> Option<String> {
    let mut plant = Plant::new(policy(), 700.0, 10);
    plant.template = Some("a".to_owned());
    plant.run(3600.0);
    for template in templates {
        plant.template = Some(template.to_owned());
        plant.scale(2);
        plant.run(60.0);
    }
    plant.step().explain.rival
}

#[test]
fn a_deploy_and_a_person_are_no_rivals() {
    assert!(three_writes(["a", "a", "a"]).is_some(), "undone three times");
    assert_eq!(three_writes(["b", "c", "d"]), None, "each with a new template");
    assert_eq!(three_writes(["a", "b", "b"]), None, "one of three was a deploy");
    let mut person = Plant::new(policy(), 700.0, 10);
    person.run(3600.0);
    let n = person.replicas();
    for step in 1..=4 {
        person.scale(n + step);
        person.run(60.0);
    }
    assert_eq!(person.step().explain.rival, None, "up, step by step, and nothing of ours between");
}

#[test]
fn a_template_that_is_seen_after_the_count_makes_it_a_deploy() {
    let mut plant = Plant::new(policy(), 700.0, 10);
    plant.tick = 5.0;
    plant.template = Some("a".to_owned());
    plant.run(3600.0);
    for template in ["b", "c", "d", "e"] {
        plant.scale(2);
        plant.run(20.0);
        plant.template = Some(template.to_owned());
        plant.run(40.0);
    }
    assert_eq!(plant.step().explain.rival, None);
}

#[test]
fn a_rival_is_told_as_long_as_the_truce_lasts_and_is_written_over_where_that_is_asked_for() {
    let mut plant = Plant::new(policy(), 700.0, 10);
    plant.run(3600.0);
    for _ in 0..3 {
        plant.scale(2);
        plant.run(60.0);
    }
    plant.rate = 1600.0;
    let grows = plant.step();
    assert!(grows.reason != Reason::RivalWrites && grows.explain.rival.is_some(), "{}", grows.message);
    plant.run(1900.0);
    assert_eq!(plant.step().explain.rival, None);
    plant.policy.on_rival = crate::policy::OnRival::Reassert;
    for _ in 0..3 {
        plant.scale(2);
        plant.run(60.0);
    }
    assert!(plant.step().explain.rival.is_some());
}

#[test]
fn a_queue_burst_is_answered_in_one_step() {
    let mut policy = policy();
    policy.signals = vec![signal("queue", Role::Backlog)];
    policy.objective.backlog = Some(BacklogObjective { signal: "queue".to_owned(), drain_within: Seconds(30.0) });
    let mut memory = Memory::new();
    let quiet = |t: f64| {
        let mut s = snapshot(EPOCH + t, 1, 0.02);
        s.signals.insert("queue".to_owned(), Reading { age_seconds: Some(Seconds(1.0)), ..reading(0.0) });
        s
    };
    for tick in 0..20 {
        let s = quiet(15.0 * f64::from(tick));
        assert_eq!(decide(&s, &policy, &mut memory, s.at).replicas, Replicas(1));
    }
    // Woken a second later: nothing is known about the work of an item.
    let mut burst = quiet(286.0);
    burst.signals.insert("queue".to_owned(), Reading { age_seconds: Some(Seconds(0.5)), ..reading(100.0) });
    let decision = decide(&burst, &policy, &mut memory, burst.at);
    assert_eq!(decision.reason, Reason::BacklogDeadline);
    assert!((10..=14).contains(&decision.replicas.0), "{}", decision.message);
}

#[test]
fn a_backlog_that_does_not_fall_makes_replicas_grow() {
    let mut policy = policy();
    policy.signals = vec![signal("queue", Role::Backlog)];
    policy.objective.backlog = Some(BacklogObjective { signal: "queue".to_owned(), drain_within: Seconds(60.0) });
    let mut memory = Memory::new();
    let mut n = 1;
    let mut counts = Vec::new();
    for tick in 0..120 {
        // Usage is not known at all, and each item is worth hours.
        let mut s = snapshot(EPOCH + 15.0 * f64::from(tick), n, 0.0);
        s.containers[0].cpu_cores = None;
        s.signals.insert("queue".to_owned(), Reading { age_seconds: Some(Seconds(1.0)), ..reading(40.0) });
        n = decide(&s, &policy, &mut memory, s.at).replicas.0;
        counts.push(n);
    }
    assert!(counts[10] < 8, "patience first: {counts:?}");
    assert!(n >= 12, "{counts:?}");
}

#[test]
fn a_policy_that_only_recommends_does_not_follow_others() {
    let mut policy = policy();
    policy.mode = Mode::Recommend;
    let mut memory = Memory::new();
    let mut last = 0;
    for tick in 0..120 {
        // An HPA keeps nine where five are enough.
        let mut s = snapshot(EPOCH + 15.0 * f64::from(tick), 9, 3.3);
        s.replicas.spec = Replicas(if tick % 10 < 5 { 9 } else { 8 });
        last = decide(&s, &policy, &mut memory, s.at).replicas.0;
    }
    assert_eq!(last, 5);
}
