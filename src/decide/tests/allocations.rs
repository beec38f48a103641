//! How often a decision asks for memory: its numbers never, on a steady tick; its words a bounded number of times.
//!
//! A tick is steady when nothing is seen for the first time: no new template or container, no new day, no other size.
//! Load may swing, data may be stale, limits may bind.

use allocation_counter::measure;

use super::{
    super::{look, reckon, tell},
    plant::{Disturb, Plant, latency_policy, policy, reading, signal},
};
use crate::{
    decide::{ContainerState, Decision, Reading},
    policy::{BacklogObjective, DirectionRules, Policy, RateLimit, Role},
    units::{Replicas, Seconds, maths},
};

/// The most allocations for the words of a decision about one container and two signals: a message, four texts of the
/// record, three names, the lists that hold them, and the pieces that sentences are put together from.
const MOST_FOR_WORDS: u64 = 40;

/// One tick of the loop: (allocations for the numbers, for the words, the decision).
fn step(plant: &mut Plant) -> (u64, u64, Decision) {
    plant.rate = 400.0 + 200.0 * maths::sin(plant.t / 700.0);
    let snapshot = plant.observe();
    let Plant { policy, memory, .. } = &mut *plant;
    let mut answer = None;
    let numbers = measure(|| {
        let (sample, signals, zero) = look(&snapshot, policy, memory, snapshot.at);
        answer = Some(reckon(&snapshot, policy, memory, sample, signals, zero));
    });
    let answer = answer.expect("was measured");
    let mut decision = None;
    let words = measure(|| decision = Some(tell(&snapshot, policy, memory, &answer)));
    let decision = decision.expect("was measured");
    plant.apply(&decision);
    plant.t += plant.tick;
    (numbers.count_total, words.count_total, decision)
}

/// Three hours of a load that swings, then one that is measured: (most for numbers, most for words).
fn most(what: &str, policy: Policy, disturb: Disturb) -> u64 {
    let mut plant = Plant::new(policy, 400.0, 6);
    plant.disturb = disturb;
    for _ in 0..720 {
        step(&mut plant);
    }
    let mut most = 0;
    for _ in 0..240 {
        let (numbers, words, decision) = step(&mut plant);
        assert_eq!(numbers, 0, "{what}, at {} s: {:?}: {}", plant.t, decision.reason, decision.message);
        most = most.max(words);
    }
    most
}

fn bounded_policy() -> Policy {
    let mut policy = latency_policy();
    policy.replicas.max = Replicas(4);
    policy.replicas.min = Replicas(3);
    let rates = vec![RateLimit::Pods { value: 1, period: Seconds(60.0) }];
    policy.behavior.scale_up = Some(DirectionRules { rates: rates.clone(), ..DirectionRules::default() });
    policy.behavior.scale_down =
        Some(DirectionRules { rates, stabilization: Some(Seconds(60.0)), ..DirectionRules::default() });
    policy
}

fn queue_policy() -> Policy {
    let mut policy = policy();
    policy.signals = vec![signal("requests", Role::Demand), signal("queue", Role::Backlog)];
    policy.objective.backlog = Some(BacklogObjective { signal: "queue".to_owned(), drain_within: Seconds(60.0) });
    policy
}

#[test]
fn the_numbers_of_a_steady_tick_ask_for_no_memory() {
    let mut large = latency_policy();
    large.replicas.max = Replicas(256);
    let mut without_trims = latency_policy();
    without_trims.resize.trims_per_pod_per_day = 0;
    let fresh: Disturb = |_, _| {};
    let queue: Disturb = |s, t| {
        s.signals.insert("queue".to_owned(), reading(500.0 * (1.0 + maths::sin(t / 300.0))));
    };
    let stale: Disturb = |s, _| s.usage_age_seconds = Some(Seconds(300.0));
    let absent: Disturb = |s, _| {
        s.signals.insert("latency".to_owned(), Reading::default());
    };
    let throttled: Disturb = |s, _| s.containers[0].throttled_ratio = Some(0.2);
    for (what, policy, disturb) in [
        ("utilization", policy(), fresh),
        ("latency", latency_policy(), fresh),
        ("256 replicas", large, fresh),
        ("no trims", without_trims, fresh),
        ("limits bind", bounded_policy(), fresh),
        ("queue", queue_policy(), queue),
        ("stale usage", latency_policy(), stale),
        ("no latency", latency_policy(), absent),
        ("throttled", latency_policy(), throttled),
    ] {
        let words = most(what, policy, disturb);
        assert!(words > 0 && words <= MOST_FOR_WORDS, "{what}: {words} allocations of the words");
    }
}

/// Eight containers and sixteen signals are held in place.
#[test]
fn a_pod_of_eight_containers_and_sixteen_signals_asks_for_no_memory_either() {
    let mut policy = latency_policy();
    for i in 2..16 {
        policy.signals.push(signal(&format!("full-{i}"), Role::Saturation));
    }
    let words = most("eight containers", policy, |s, _| {
        let app = s.containers[0].clone();
        s.containers.extend((1..8).map(|i| ContainerState { name: format!("side-{i}"), ..app.clone() }));
    });
    assert!(words > 0, "names are texts");
}
