//! The loop: no action at constant load, whatever the delay; it comes back to where it was.

use super::{
    floor::{SPOILERS, spoil},
    plant::{Disturb, Plant, latency_policy, policy, reading, signal},
    theory::Rng,
};
use crate::{
    decide::{Reading, decide},
    policy::{Policy, Role},
    units::{Cores, maths},
};

/// Sign changes of the differences.
fn reversals(counts: &[u32]) -> usize {
    let steps: Vec<i64> = counts.windows(2).map(|w| i64::from(w[1]) - i64::from(w[0])).filter(|d| *d != 0).collect();
    steps.windows(2).filter(|w| w[0].signum() != w[1].signum()).count()
}

/// A latency objective, and pods whose size is given.
fn fixed_size() -> Policy {
    let mut policy = latency_policy();
    policy.levers.cpu = false;
    policy
}

#[test]
fn constant_load_means_no_action_for_every_delay() {
    for delay in 0..=20 {
        for policy in [policy(), latency_policy(), fixed_size()] {
            let mut plant = Plant::new(policy, 300.0, 8);
            plant.delay = delay;
            plant.run(8.0 * 3600.0);
            let counts = plant.run(3600.0);
            assert!(counts.iter().all(|n| *n == counts[0]), "delay {delay}: {counts:?}");
        }
    }
}

#[test]
fn a_step_up_is_answered_at_once_and_a_step_down_after_hold() {
    let mut plant = Plant::new(policy(), 300.0, 5);
    plant.run(3600.0);
    let before = plant.replicas();
    plant.rate = 1200.0;
    let up = plant.run(300.0);
    assert!(*up.last().expect("ran") >= 3 * before, "{up:?}");
    plant.rate = 300.0;
    let down = plant.run(570.0);
    let high = *up.last().expect("ran");
    assert!(down.iter().all(|n| *n >= high), "held for 600 s: {down:?}");
    let after = plant.run(300.0);
    assert_eq!(*after.last().expect("ran"), before);
    assert!(reversals(&[up, down, after].concat()) <= 1);
}

/// Case C' of the fights: HPA and VPA never come back after a burst; one decision does.
#[test]
fn a_burst_leaves_no_ratchet() {
    for mut plant in [Plant::new(policy(), 400.0, 8), Plant::new(latency_policy(), 400.0, 8)] {
        plant.policy.signals.retain(|s| s.role != Role::Saturation);
        plant.run(24.0 * 3600.0);
        let before = plant.replicas();
        plant.rate = 800.0;
        plant.run(600.0);
        plant.rate = 400.0;
        plant.run(2.0 * 3600.0);
        assert_eq!(plant.replicas(), before);
    }
}

#[test]
fn usage_alone_is_as_stable_as_a_rate() {
    let mut with_rate = policy();
    with_rate.signals = vec![signal("requests", Role::Demand)];
    for policy in [policy(), with_rate] {
        let mut plant = Plant::new(policy, 500.0, 2);
        plant.run(3600.0);
        let counts = plant.run(7200.0);
        assert!(counts.iter().all(|n| *n == counts[0]), "{counts:?}");
        assert!((6..=8).contains(&counts[0]), "{}", counts[0]);
    }
}

/// Two pasts, one present: what was long ago decides nothing.
#[test]
fn the_same_end_of_a_history_leads_to_the_same_answer() {
    for (policy, seed) in [(policy(), 1), (fixed_size(), 2), (policy(), 3), (fixed_size(), 4)] {
        let mut quiet = Plant::new(policy.clone(), 300.0, 6);
        quiet.run(12.0 * 3600.0);
        let mut wild = Plant::new(policy, 300.0, 20);
        let mut rng = Rng(seed);
        for _ in 0..48 {
            wild.rate = rng.between(20.0, 1200.0);
            wild.run(900.0);
        }
        let mut rng = Rng(seed + 100);
        let mut apart = (0, 1.0);
        for hour in 0..48 {
            let rate = rng.between(150.0, 700.0);
            for plant in [&mut quiet, &mut wild] {
                plant.rate = rate;
                plant.run(3600.0);
            }
            if hour >= 24 {
                let (a, b) = (quiet.replicas().min(wild.replicas()), quiet.replicas().max(wild.replicas()));
                let ratio = (quiet.nominal() / wild.nominal()).max(wild.nominal() / quiet.nominal());
                apart = (apart.0.max(b - a), ratio.max(apart.1));
            }
        }
        assert!(apart.0 <= 1 && apart.1 <= maths::exp2(0.25) * 1.01, "seed {seed}: {apart:?} apart");
    }
}

/// Ten minutes without data, at any time and of any kind, never cost a replica.
#[test]
fn random_drop_outs_never_reduce_replicas() {
    for (seed, policy) in (0..6).zip([policy(), latency_policy(), fixed_size()].into_iter().cycle()) {
        let mut rng = Rng(seed);
        let mut plant = Plant::new(policy, 400.0, 8);
        plant.run(3600.0);
        let mut outages = 0;
        for _ in 0..60 {
            plant.rate = rng.between(100.0, 900.0);
            let before = rng.between(60.0, 1200.0);
            plant.run(before);
            let how = super::super::arith::count(rng.next() * SPOILERS as f64) as usize;
            plant.rate = rng.between(50.0, 900.0);
            for _ in 0..40 {
                let (n, size) = (plant.replicas(), plant.size);
                let mut snapshot = plant.observe();
                spoil(&mut snapshot, how);
                // Without signals none can be spoilt.
                if plant.policy.signals.is_empty() && matches!(how, 5..=11 | 13) {
                    snapshot.usage_age_seconds = None;
                }
                let decision = decide(&snapshot, &plant.policy, &mut plant.memory, snapshot.at);
                plant.apply(&decision);
                plant.t += plant.tick;
                assert!(plant.replicas() >= n, "seed {seed}, {how}: {n} -> {}: {}", plant.replicas(), decision.message);
                // A boost that ends is no smaller size.
                let asked = plant.memory.vertical.asked().unwrap_or(size);
                assert!(plant.size >= size - 1e-3 || size > asked, "seed {seed}, {how}: {size} -> {}", plant.size);
                outages += 1;
            }
        }
        assert_eq!(outages, 2400);
    }
}

/// Throttled pods are never made fewer nor smaller, whatever else is seen.
#[test]
fn saturated_pods_are_never_made_fewer_nor_smaller() {
    for (seed, policy) in (0..4).zip([policy(), latency_policy()].into_iter().cycle()) {
        let mut rng = Rng(40 + seed);
        let mut plant = Plant::new(policy, 500.0, 8);
        plant.run(3.0 * 3600.0);
        let mut request = plant.size;
        for _ in 0..4000 {
            if rng.next() < 0.01 {
                plant.rate = rng.between(20.0, 1000.0);
            }
            let throttled = rng.next() < 0.3;
            let mut snapshot = plant.observe();
            if throttled {
                snapshot.containers[0].throttled_ratio = Some(rng.between(0.06, 0.9));
            }
            let n = plant.replicas();
            let decision = decide(&snapshot, &plant.policy, &mut plant.memory, snapshot.at);
            let next = decision.containers[0].requests.cpu_cores.expect("has one").0;
            if throttled {
                assert!(decision.replicas.0 >= n.min(40), "{n} -> {}: {}", decision.replicas, decision.message);
                assert!(next >= request - 1e-9, "{request} -> {next}: {}", decision.message);
            }
            request = next;
            plant.apply(&decision);
            plant.t += plant.tick;
        }
    }
}

/// More of anything that asks for pods never makes fewer of them: more requests, usage, throttling, late requests.
#[test]
fn growth_is_monotone_in_the_evidence() {
    let more: [(&str, Disturb); 4] = [
        ("requests and usage", |s, by| {
            s.containers[0].cpu_cores = s.containers[0].cpu_cores.map(|c| Cores(c.0 * (1.0 + by)));
            if let Some(rate) = s.signals.get_mut("requests").and_then(|r| r.value.as_mut()) {
                *rate *= 1.0 + by;
            }
        }),
        ("requests", |s, by| {
            if let Some(rate) = s.signals.get_mut("requests").and_then(|r| r.value.as_mut()) {
                *rate *= 1.0 + by;
            }
        }),
        ("throttling", |s, by| s.containers[0].throttled_ratio = Some((by / 4.0).min(1.0))),
        ("late requests", |s, by| {
            if s.signals.contains_key("latency") {
                let late = Reading { violation_ratio: Some((0.01 + by / 8.0).min(1.0)), ..reading(0.2) };
                s.signals.insert("latency".to_owned(), late);
            }
        }),
    ];
    let mut rng = Rng(77);
    let mut grown = 0;
    for policy in [policy(), fixed_size()] {
        let mut plant = Plant::new(policy, 400.0, 8);
        for _ in 0..150 {
            plant.rate = rng.between(50.0, 900.0);
            let time = rng.between(15.0, 900.0);
            plant.run(time);
            let snapshot = plant.observe();
            for (what, more) in more {
                let mut last = 0;
                for by in [0.0, 0.02, 0.1, 0.3, 1.0, 3.0] {
                    let mut evidence = snapshot.clone();
                    more(&mut evidence, by);
                    let mut memory = plant.memory.clone();
                    let decision = decide(&evidence, &plant.policy, &mut memory, evidence.at);
                    let n = decision.replicas.0;
                    assert!(n >= last, "{what} +{by}: {last} -> {n}: {}", decision.message);
                    grown += u32::from(last > 0 && n > last);
                    last = n;
                }
            }
        }
    }
    assert!(grown > 100, "evidence made a difference: {grown}");
}
