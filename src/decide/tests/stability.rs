//! The loop: no action at constant load, whatever the delay; it comes back to where it was.

use super::plant::{Plant, latency_policy, policy, signal};
use crate::policy::Role;

/// Sign changes of the differences.
fn reversals(counts: &[u32]) -> usize {
    let steps: Vec<i64> = counts.windows(2).map(|w| i64::from(w[1]) - i64::from(w[0])).filter(|d| *d != 0).collect();
    steps.windows(2).filter(|w| w[0].signum() != w[1].signum()).count()
}

#[test]
fn constant_load_means_no_action_for_every_delay() {
    for delay in [0, 1, 2, 3, 5, 8, 13, 20] {
        for policy in [policy(), latency_policy()] {
            let mut plant = Plant::new(policy, 300.0, 8);
            plant.delay = delay;
            plant.run(12.0 * 3600.0);
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
        plant.run(4.0 * 3600.0);
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
