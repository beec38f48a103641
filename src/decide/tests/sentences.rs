//! The sentences as people read them, and what binds beside them. Their numbers come from running the model.

use std::fmt::Write as _;

use super::plant::{EPOCH, Plant, latency_policy, policy, reading, signal, snapshot};
use crate::{
    decide::{Constraint, Decision, Memory, Quota, Reading, Reason, Resources, Snapshot, decide},
    policy::{BacklogObjective, DirectionRules, Policy, RateLimit, Role, SignalLoss},
    units::{Bytes, Cores, Replicas, Seconds},
};

fn once(snapshot: &Snapshot, policy: &Policy) -> Decision {
    decide(snapshot, policy, &mut Memory::new(), snapshot.at)
}

/// A decision that has the reason.
fn expect(reason: Reason, decision: Decision) -> Decision {
    assert_eq!(decision.reason, reason, "{}", decision.message);
    decision
}

/// Runs until a reason is given, or fails saying what was given instead.
fn until(plant: &mut Plant, reason: Reason, seconds: f64) -> Decision {
    let end = plant.t + seconds;
    let mut last = String::new();
    while plant.t < end {
        let decision = plant.step();
        if decision.reason == reason {
            return decision;
        }
        last = format!("{:?}: {}", decision.reason, decision.message);
    }
    panic!("{reason:?} was not given; at last {last}");
}

/// A queue whose items take half a core-second, known from half an hour of steady work, then a burst.
fn backlog() -> Decision {
    let mut policy = policy();
    policy.signals = vec![signal("queue", Role::Backlog), signal("rate", Role::Demand)];
    policy.objective.backlog = Some(BacklogObjective { signal: "queue".to_owned(), drain_within: Seconds(120.0) });
    let mut memory = Memory::new();
    let mut tick = |tick: u32, waiting: f64| {
        let mut s = snapshot(EPOCH + 15.0 * f64::from(tick), 3, 1.06);
        s.signals.insert("rate".to_owned(), reading(2.0));
        s.signals.insert("queue".to_owned(), reading(waiting));
        decide(&s, &policy, &mut memory, s.at)
    };
    for steady in 0..120 {
        tick(steady, 1.0);
    }
    expect(Reason::BacklogDeadline, tick(120, 1500.0))
}

fn rival() -> Decision {
    let mut plant = Plant::new(policy(), 700.0, 10);
    plant.policy.behavior.scale_down =
        Some(DirectionRules { stabilization: Some(Seconds(0.0)), ..DirectionRules::default() });
    plant.disturb = |s, _| s.replicas.last_writer = Some("HPA `web`".to_owned());
    plant.run(3600.0);
    let n = plant.replicas();
    for _ in 0..3 {
        plant.scale(n + 5);
        plant.run(60.0);
    }
    expect(Reason::RivalWrites, plant.step())
}

fn stale() -> Decision {
    let mut plant = Plant::new(latency_policy(), 300.0, 9);
    plant.run(60.0);
    plant.disturb = |s, _| {
        s.signals.insert("requests".to_owned(), Reading { age_seconds: Some(Seconds(180.0)), ..reading(300.0) });
    };
    expect(Reason::SignalsStale, plant.step())
}

fn latency() -> Decision {
    let mut plant = Plant::new(latency_policy(), 400.0, 8);
    plant.policy.levers.cpu = false;
    plant.disturb = |s, _| {
        let slow = Reading { violation_ratio: Some(0.03), ..reading(0.25) };
        s.signals.insert("latency".to_owned(), slow);
    };
    until(&mut plant, Reason::LatencyObjective, 12.0 * 3600.0)
}

fn unreachable() -> Decision {
    let mut plant = Plant::new(latency_policy(), 200.0, 6);
    plant.policy.objective.latency.as_mut().expect("has one").target = Seconds(0.05);
    until(&mut plant, Reason::ObjectiveUnreachable, 6.0 * 3600.0)
}

fn downstream() -> Decision {
    let mut plant = Plant::new(latency_policy(), 20.0, 4);
    plant.disturb = |s, _| {
        s.signals.insert("latency".to_owned(), Reading { violation_ratio: Some(0.5), ..reading(0.9) });
    };
    until(&mut plant, Reason::DownstreamBound, 3600.0)
}

fn killed() -> Decision {
    let mut plant = Plant::new(policy(), 300.0, 5);
    plant.run(300.0);
    plant.disturb = |s, _| {
        s.containers[0].limit.memory_bytes = Some(Bytes(512 << 20));
        s.containers[0].oom_kills_delta = Some(1);
        s.containers[0].last_oom_limit_bytes = Some(Bytes(512 << 20));
    };
    expect(Reason::OutOfMemory, plant.step())
}

fn peak() -> Decision {
    let mut plant = Plant::new(policy(), 300.0, 5);
    plant.run(300.0);
    plant.disturb = |s, _| s.containers[0].memory_max_pod_bytes = Some(Bytes(500 << 20));
    until(&mut plant, Reason::MemoryPeak, 60.0)
}

fn boosted() -> Decision {
    let mut plant = Plant::new(policy(), 400.0, 6);
    plant.start = 120.0;
    plant.run(1800.0);
    plant.rate = 900.0;
    until(&mut plant, Reason::BoostedMeanwhile, 300.0)
}

fn throttled() -> Decision {
    let mut s = snapshot(EPOCH, 6, 2.0);
    s.containers[0].throttled_ratio = Some(0.12);
    expect(Reason::Saturated, once(&s, &policy()))
}

fn quota() -> Decision {
    let mut tight = snapshot(EPOCH, 4, 3.9);
    let left = Resources { cpu_cores: Some(Cores(1.2)), memory_bytes: None };
    tight.room.quota = Some(Quota { name: "compute".to_owned(), left, pods: None });
    expect(Reason::LimitedByQuota, once(&tight, &policy()))
}

fn behavior() -> Decision {
    let mut slow = policy();
    let rates = vec![RateLimit::Pods { value: 2, period: Seconds(15.0) }];
    slow.behavior.scale_up = Some(DirectionRules { rates, ..DirectionRules::default() });
    expect(Reason::LimitedByBehavior, once(&snapshot(EPOCH, 4, 7.0), &slow))
}

fn rollout() -> Decision {
    let mut plant = Plant::new(policy(), 700.0, 12);
    plant.template = Some("a".to_owned());
    plant.run(1800.0);
    plant.template = Some("b".to_owned());
    plant.rate = 600.0;
    plant.run(60.0);
    until(&mut plant, Reason::RolloutInProgress, 15.0)
}

fn holding() -> Decision {
    let mut plant = Plant::new(policy(), 300.0, 5);
    plant.run(1800.0);
    plant.rate = 200.0;
    plant.run(300.0);
    until(&mut plant, Reason::HoldingForDemand, 15.0)
}

fn waiting() -> Decision {
    let mut nothing = snapshot(EPOCH, 3, 0.0);
    nothing.containers.clear();
    expect(Reason::WaitingForData, once(&nothing, &policy()))
}

fn demand() -> Decision {
    let mut plant = Plant::new(latency_policy(), 700.0, 8);
    expect(Reason::CpuDemand, plant.step())
}

fn limited_by_min() -> Decision {
    let mut floor = policy();
    floor.replicas.min = Replicas(3);
    floor.behavior.scale_down = Some(DirectionRules { stabilization: Some(Seconds(0.0)), ..DirectionRules::default() });
    until(&mut Plant::new(floor, 20.0, 5), Reason::LimitedByMin, 900.0)
}

/// A decision for a reason, from a run that gives it. A new reason does not compile until it has one.
fn example(reason: Reason) -> Decision {
    match reason {
        Reason::CpuDemand => demand(),
        Reason::Saturated => throttled(),
        Reason::BacklogDeadline => backlog(),
        Reason::LatencyObjective => latency(),
        Reason::HoldingForDemand => holding(),
        Reason::SizeCheaper => until(&mut Plant::new(latency_policy(), 900.0, 12), reason, 6.0 * 3600.0),
        Reason::MemoryPeak => peak(),
        Reason::OutOfMemory => killed(),
        Reason::BoostedMeanwhile => boosted(),
        Reason::SignalsStale => stale(),
        Reason::LimitedByMax => expect(reason, once(&snapshot(EPOCH, 30, 35.0), &policy())),
        Reason::LimitedByMin => limited_by_min(),
        Reason::LimitedByQuota => quota(),
        Reason::LimitedByBehavior => behavior(),
        Reason::RolloutInProgress => rollout(),
        Reason::ObjectiveUnreachable => unreachable(),
        Reason::DownstreamBound => downstream(),
        Reason::WaitingForData => waiting(),
        Reason::ScaledToZero => expect(reason, once(&snapshot(EPOCH, 0, 0.0), &policy())),
        Reason::IdleToZero => super::zero::released(),
        Reason::WokenByDemand => super::zero::woken(),
        Reason::SignalDiesAtZero => super::zero::died(),
        Reason::ScheduledMinimum => super::schedule::held_by_the_calendar(),
        Reason::RivalWrites => rival(),
    }
}

const REASONS: [Reason; 24] = [
    Reason::CpuDemand,
    Reason::Saturated,
    Reason::BacklogDeadline,
    Reason::LatencyObjective,
    Reason::HoldingForDemand,
    Reason::SizeCheaper,
    Reason::MemoryPeak,
    Reason::OutOfMemory,
    Reason::BoostedMeanwhile,
    Reason::SignalsStale,
    Reason::LimitedByMax,
    Reason::LimitedByMin,
    Reason::LimitedByQuota,
    Reason::LimitedByBehavior,
    Reason::RolloutInProgress,
    Reason::ObjectiveUnreachable,
    Reason::DownstreamBound,
    Reason::WaitingForData,
    Reason::ScaledToZero,
    Reason::IdleToZero,
    Reason::WokenByDemand,
    Reason::SignalDiesAtZero,
    Reason::ScheduledMinimum,
    Reason::RivalWrites,
];

/// What binds in the example of each reason.
fn binds(reason: Reason) -> Constraint {
    match reason {
        Reason::CpuDemand
        | Reason::LatencyObjective
        | Reason::ObjectiveUnreachable
        | Reason::SizeCheaper
        | Reason::BoostedMeanwhile
        | Reason::IdleToZero => Constraint::Demand,
        Reason::Saturated => Constraint::Saturation,
        Reason::BacklogDeadline | Reason::WokenByDemand => Constraint::Backlog,
        Reason::HoldingForDemand => Constraint::Hold,
        Reason::MemoryPeak | Reason::OutOfMemory => Constraint::Memory,
        Reason::SignalsStale => Constraint::SignalsStale,
        Reason::LimitedByMax => Constraint::MaxReplicas,
        Reason::LimitedByMin => Constraint::MinReplicas,
        Reason::LimitedByQuota => Constraint::Quota,
        Reason::LimitedByBehavior => Constraint::Behavior,
        Reason::RolloutInProgress => Constraint::Rollout,
        Reason::DownstreamBound => Constraint::Downstream,
        Reason::WaitingForData => Constraint::NoData,
        Reason::ScaledToZero | Reason::RivalWrites => Constraint::OtherWriter,
        Reason::SignalDiesAtZero => Constraint::ZeroOff,
        Reason::ScheduledMinimum => Constraint::Schedule,
    }
}

/// Further sentences of reasons that have more than one.
fn variants() -> Vec<(&'static str, Decision)> {
    vec![
        ("CpuDemand by utilization", once(&snapshot(EPOCH, 4, 3.3), &policy())),
        ("BacklogDeadline before anything was drained", unknown_work()),
        ("HoldingForDemand of somebody's count", raised_by_hand()),
        ("HoldingForDemand within the tolerance", tolerated()),
        ("HoldingForDemand while pods are resized", being_resized()),
        ("SignalsStale by usage", stale_usage(false)),
        ("SignalsStale with onSignalLoss", stale_usage(true)),
        ("IdleToZero at zero", super::zero::asleep()),
    ]
}

fn unknown_work() -> Decision {
    let mut policy = policy();
    policy.signals = vec![signal("queue", Role::Backlog)];
    policy.objective.backlog = Some(BacklogObjective { signal: "queue".to_owned(), drain_within: Seconds(30.0) });
    let mut s = snapshot(EPOCH, 2, 1.0);
    s.signals.insert("queue".to_owned(), reading(80.0));
    expect(Reason::BacklogDeadline, once(&s, &policy))
}

fn raised_by_hand() -> Decision {
    let mut plant = Plant::new(policy(), 300.0, 5);
    plant.run(1800.0);
    plant.scale(9);
    plant.run(60.0);
    expect(Reason::HoldingForDemand, plant.step())
}

fn tolerated() -> Decision {
    let mut plant = Plant::new(policy(), 700.0, 11);
    plant.policy.behavior.scale_down = Some(DirectionRules { tolerance: Some(0.15), ..DirectionRules::default() });
    plant.run(1800.0);
    plant.rate = 640.0;
    plant.run(3600.0);
    expect(Reason::HoldingForDemand, plant.step())
}

fn being_resized() -> Decision {
    let mut plant = Plant::new(latency_policy(), 900.0, 12);
    until(&mut plant, Reason::SizeCheaper, 6.0 * 3600.0);
    plant.disturb = |s, _| s.containers[0].sizes[0].cpu_cores = Some(Cores(1.0));
    let decision = expect(Reason::HoldingForDemand, plant.step());
    assert_eq!(decision.explain.binding.map(|b| b.constraint), Some(Constraint::Resize));
    decision
}

fn stale_usage(lost: bool) -> Decision {
    let mut plant = Plant::new(policy(), 300.0, 5);
    if lost {
        plant.policy.on_signal_loss = Some(SignalLoss { after: Seconds(60.0), min_replicas: Replicas(9) });
    }
    plant.run(300.0);
    plant.disturb = |s, _| s.usage_age_seconds = Some(Seconds(150.0));
    expect(Reason::SignalsStale, plant.step())
}

#[test]
fn every_reason_has_its_sentence_and_what_binds() {
    let examples: Vec<_> = REASONS.iter().map(|reason| (*reason, example(*reason))).collect();
    let mut text: String = examples.iter().map(|(reason, d)| format!("{reason:?}: {}\n", d.message)).collect();
    for (what, decision) in variants() {
        writeln!(text, "{what}: {}", decision.message).expect("writing to a string cannot fail");
    }
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/src/decide/tests/sentences.txt");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(golden, &text).expect("the golden file can be written");
    }
    let known = std::fs::read_to_string(golden).expect("src/decide/tests/sentences.txt");
    assert_eq!(text, known, "sentences changed; BLESS=1 accepts them:\n{text}");
    let binding = |(reason, d): &(Reason, Decision)| (*reason, d.explain.binding.map(|b| b.constraint));
    let bound: Vec<_> = examples.iter().map(binding).collect();
    let wanted: Vec<_> = REASONS.iter().map(|reason| (*reason, Some(binds(*reason)))).collect();
    assert_eq!(bound, wanted);
}
