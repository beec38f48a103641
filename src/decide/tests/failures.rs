//! Named failures: what went wrong in earlier designs and must not again.

use super::{
    super::{Memory, Reading, Reason, ResizeState, SignalState, SizeGroup, Snapshot, decide},
    plant::{EPOCH, Plant, latency_policy, policy, reading, signal, snapshot},
};
use crate::{
    policy::{DirectionRules, Role},
    units::{Cores, Replicas, Seconds},
};

#[test]
fn idle_then_jump() {
    let mut plant = Plant::new(latency_policy(), 300.0, 8);
    plant.run(6.0 * 3600.0);
    plant.rate = 1.0;
    plant.run(10.0 * 3600.0);
    plant.rate = 800.0;
    // Eight cores of work: full capacity within the lag and two starts.
    let mut most: f64 = 0.0;
    for _ in 0..8 {
        plant.step();
        most = most.max(f64::from(plant.replicas()) * plant.size);
    }
    let capacity = f64::from(plant.replicas()) * plant.size;
    assert!(capacity >= 8.0 && most < 45.0, "{} × {}, {most}", plant.replicas(), plant.size);
}

#[test]
fn no_margin_explosion() {
    for policy in [policy(), latency_policy()] {
        let mut plant = Plant::new(policy, 5.0, 3);
        for i in 0..2000 {
            plant.rate = match i / 40 % 5 {
                0 => 3.0,
                1 => 700.0,
                2 => 50.0,
                3 => 0.0,
                _ => 1500.0,
            };
            let work = plant.work * plant.rate;
            let decision = plant.step();
            if let (Some(planned), true) = (decision.explain.planned_cores, i % 40 > 10) {
                assert!(planned.0 <= 1.4 * work + 1.2, "tick {i}: planned {} for {work}", planned.0);
            }
        }
    }
}

#[test]
fn an_idle_service_keeps_its_work_per_request() {
    let mut plant = Plant::new(latency_policy(), 500.0, 8);
    plant.run(12.0 * 3600.0);
    let known = plant.last.as_ref().and_then(|d| d.explain.work_core_seconds).expect("known");
    plant.rate = 3.0;
    plant.run(24.0 * 3600.0);
    let still = plant.last.as_ref().and_then(|d| d.explain.work_core_seconds).expect("known");
    assert!((still / known - 1.0).abs() < 0.05, "{known} -> {still}");
}

#[test]
fn an_unannounced_change_of_cost_is_learned_within_half_an_hour() {
    for factor in [1.6, 0.5] {
        let mut plant = Plant::new(latency_policy(), 500.0, 8);
        plant.run(12.0 * 3600.0);
        plant.work *= factor;
        plant.run(1800.0);
        let work = plant.last.as_ref().and_then(|d| d.explain.work_core_seconds).expect("known");
        assert!((work / plant.work - 1.0).abs() < 0.15, "{factor}: {work} for {}", plant.work);
    }
}

fn all_zero(s: &mut Snapshot, _: f64) {
    s.containers[0].cpu_cores = Some(Cores(0.0));
    for r in s.signals.values_mut() {
        r.value = Some(0.0);
        r.violation_ratio = Some(0.0);
    }
}

fn all_absent(s: &mut Snapshot, _: f64) {
    s.containers[0].cpu_cores = None;
    for r in s.signals.values_mut() {
        *r = Reading { state: Some(SignalState::Absent), ..Reading::default() };
    }
}

/// The size that is asked for.
fn memory_asked(memory: &Memory) -> Option<f64> {
    serde_json::to_value(memory).expect("memory is JSON")["state"]["vertical"]["asked"][0].as_f64()
}

#[test]
fn gaps_and_zeros_change_nothing() {
    for zeros in [false, true] {
        let mut plant = Plant::new(latency_policy(), 500.0, 8);
        plant.run(6.0 * 3600.0);
        let (n, size) = (plant.replicas(), plant.size);
        plant.disturb = if zeros { all_zero } else { all_absent };
        let counts = plant.run(600.0);
        assert!(counts.iter().all(|c| *c >= n) && plant.size >= size, "{zeros}: {counts:?}");
        plant.disturb = |_, _| {};
        let after = plant.run(300.0);
        assert!(after.iter().all(|c| *c == n), "{zeros}: {after:?}");
    }
}

/// A trim is worth its while as long as the load that ends it would be seen.
#[test]
fn what_was_trimmed_is_given_back_while_nothing_tells_of_the_load() {
    for zeros in [false, true] {
        let mut plant = Plant::new(latency_policy(), 500.0, 8);
        plant.run(6.0 * 3600.0);
        plant.rate = 250.0;
        plant.run(1800.0);
        let (nominal, trimmed, n) = (plant.nominal(), plant.size, plant.replicas());
        assert!(trimmed < 0.9 * nominal, "{trimmed} of {nominal}");
        plant.disturb = if zeros { all_zero } else { all_absent };
        plant.run(15.0);
        assert_eq!(plant.size, trimmed, "{zeros}: a scrape that is missing changes nothing");
        let told: Vec<_> = (0..2).map(|_| plant.step()).map(|d| (d.reason, d.message)).collect();
        assert!(plant.size > 0.98 * nominal && plant.replicas() >= n, "{zeros}: {} of {nominal}", plant.size);
        assert!(told.iter().all(|(reason, _)| *reason == Reason::SignalsStale));
        assert!(told.iter().any(|(_, message)| message.contains("pods get back the")), "{told:?}");
    }
}

/// A pod that is refused its larger size gets as many requests as any other: it is not left full.
#[test]
fn a_minority_that_stays_small_is_not_left_full() {
    let policy = latency_policy();
    let mut memory = Memory::new();
    let mut n = 5;
    let mut told = String::new();
    for tick in 0..800 {
        let (t, late) = (15.0 * f64::from(tick), f64::from(tick) > 600.0);
        // 1.5 cores of work for two hours and a half, then 5.
        let work = if late { 5.0 } else { 1.5 };
        let mut s = snapshot(EPOCH + t, n, work + 0.02 * f64::from(n));
        let asked = memory_asked(&memory).unwrap_or(1.0);
        let small = u32::from(late);
        let group = |pods: u32, cores: f64, resize| SizeGroup {
            cpu_cores: Some(Cores(cores)),
            memory_bytes: None,
            pods: Replicas(pods),
            ready: Replicas(pods),
            resize,
        };
        s.containers[0].sizes = vec![group(n - small, asked, ResizeState::None)];
        if late {
            s.containers[0].sizes.push(group(small, 0.4, ResizeState::Deferred));
        }
        s.signals.insert("requests".to_owned(), reading(100.0 * work));
        // The small one is full while it is given more than it has.
        let full = late && work / f64::from(n) > 0.38;
        let share = if full { 1.0 / f64::from(n) } else { 0.005 };
        s.signals.insert("latency".to_owned(), Reading { violation_ratio: Some(share), ..reading(0.1) });
        let decision = decide(&s, &policy, &mut memory, s.at);
        if decision.message.starts_with("nodes refuse") {
            told.clone_from(&decision.message);
        }
        n = decision.replicas.0.max(1);
    }
    assert!(5.0 / f64::from(n) <= 0.38, "{n} pods");
    assert!(told.contains("1 pod does not get more than 0.4 cores"), "{told}");
}

#[test]
fn every_size_in_use_keeps_the_known_peak_and_pays() {
    let mut plant = Plant::new(latency_policy(), 900.0, 12);
    plant.run(12.0 * 3600.0);
    plant.rate = 2.0;
    for _ in 0..5760 {
        let decision = plant.step();
        let (k, peak) = (decision.explain.capacity_cores.expect("known").0, 9.0);
        // A day after the peak it counts for half. Trimmed pods carry it without anything to spare.
        assert!(40.0 * k >= peak * 0.5, "k {k}");
        let pod = plant.policy.prices.core_hour.0 * decision.containers[0].requests.cpu_cores.expect("has one").0;
        assert!(80.0 * plant.policy.prices.core_hour.0 * k >= 4.0 * pod, "a replica pays when short");
    }
}

#[test]
fn a_lost_rate_is_bridged_by_usage_without_a_jump() {
    let mut plant = Plant::new(latency_policy(), 500.0, 8);
    plant.run(6.0 * 3600.0);
    let planned = plant.last.as_ref().and_then(|d| d.explain.planned_cores).expect("known").0;
    plant.disturb = |s, _| {
        s.signals.insert("requests".to_owned(), Reading::default());
    };
    plant.step();
    let bridged = plant.last.as_ref().and_then(|d| d.explain.planned_cores).expect("known").0;
    assert!((bridged / planned - 1.0).abs() < 0.1, "{planned} -> {bridged}");
    // And growth goes on, by usage.
    let n = plant.replicas();
    plant.rate = 900.0;
    plant.run(120.0);
    assert!(plant.replicas() > n);
}

#[test]
fn an_objective_out_of_reach_does_not_multiply_replicas() {
    let mut policy = latency_policy();
    let latency = policy.objective.latency.as_mut().expect("has one");
    // Five service times: even an idle pod is late more often than that.
    latency.target = crate::units::Seconds(0.05);
    let mut plant = Plant::new(policy, 500.0, 8);
    plant.run(12.0 * 3600.0);
    let decision = plant.last.clone().expect("ran");
    assert!(f64::from(plant.replicas()) * plant.size < 25.0, "{} × {}", plant.replicas(), plant.size);
    assert!(decision.explain.unreachable.expect("said").contains("even on an idle pod"));
}

#[test]
fn a_fresh_memory_takes_over_without_a_dip() {
    let mut plant = Plant::new(latency_policy(), 700.0, 10);
    plant.policy.signals.push(signal("other", Role::Saturation));
    plant.run(6.0 * 3600.0);
    let (n, size) = (plant.replicas(), plant.size);
    plant.memory = Memory::new();
    let snapshot = plant.observe();
    let decision = decide(&snapshot, &plant.policy, &mut plant.memory, snapshot.at);
    assert!(decision.replicas.0 >= n);
    assert!(decision.containers[0].requests.cpu_cores.expect("has one").0 >= size - 1e-9);
}

/// Usage is a mean over a window that has passed: it says nothing against work that has come since.
#[test]
fn a_step_of_the_rate_does_not_wait_for_usage() {
    let mut policy = policy();
    policy.signals = vec![signal("requests", Role::Demand)];
    let mut memory = Memory::new();
    let mut look = |t: f64, rate: f64, usage: f64| {
        let mut s = snapshot(EPOCH + t, 2, usage);
        s.signals.insert("requests".to_owned(), Reading { age_seconds: Some(Seconds(2.0)), ..reading(rate) });
        decide(&s, &policy, &mut memory, s.at)
    };
    for tick in 0..60 {
        assert_eq!(look(15.0 * f64::from(tick), 100.0, 1.04).replicas, Replicas(2));
    }
    // 600 requests/s of 10 ms: 6 cores, 0.7 of a core each.
    let first = look(889.0, 600.0, 1.04);
    assert!((8..=10).contains(&first.replicas.0), "{} {}", first.replicas, first.message);
    // A signal that usage never follows is held to what usage allows once the window has seen it.
    let mut last = first;
    for tick in 1..20 {
        last = look(889.0 + 15.0 * f64::from(tick), 600.0, 1.04);
    }
    assert_eq!(last.explain.demand_from.as_deref(), Some("rate, lowered by usage"), "{}", last.message);
}

/// What keeps more from helping is no reason for fewer.
#[test]
fn a_shrink_never_names_a_bottleneck_behind_the_service() {
    let mut plant = Plant::new(latency_policy(), 60.0, 4);
    plant.policy.behavior.scale_down =
        Some(DirectionRules { stabilization: Some(Seconds(0.0)), ..DirectionRules::default() });
    plant.disturb = |s, t| {
        if t < 900.0 {
            let slow = Reading { violation_ratio: Some(0.5), ..reading(0.9) };
            s.signals.insert("latency".to_owned(), slow);
        }
    };
    let mut told = false;
    let mut shrunk = false;
    while plant.t < 3600.0 {
        let before = plant.replicas();
        let decision = plant.step();
        told |= decision.reason == Reason::DownstreamBound;
        if decision.replicas.0 < before {
            shrunk = true;
            assert_ne!(decision.reason, Reason::DownstreamBound, "{}", decision.message);
        }
    }
    assert!(told && shrunk);
}
