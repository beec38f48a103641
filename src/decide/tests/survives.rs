//! Memory as text: exact, small, and never half.

use proptest::prelude::*;

use super::{
    super::{ContainerState, Memory, Snapshot, decide},
    plant::{EPOCH, Plant, latency_policy, policy, reading, signal, snapshot},
};
use crate::{
    policy::{BacklogObjective, DirectionRules, Policy, RateLimit, Role},
    units::{Bytes, Replicas, Seconds},
};

fn through_text(memory: &Memory) -> Memory {
    let text = memory.to_text().unwrap();
    let back = Memory::from_text(text.as_bytes()).unwrap();
    assert_eq!(back.to_text().unwrap(), text, "bit for bit");
    back
}

/// A policy of every kind of objective.
fn policies() -> [Policy; 3] {
    let mut queue = policy();
    queue.signals = vec![signal("queue", Role::Backlog)];
    queue.objective.backlog = Some(BacklogObjective { signal: "queue".to_owned(), drain_within: Seconds(30.0) });
    let mut limited = latency_policy();
    limited.behavior.scale_up = Some(DirectionRules {
        rates: vec![RateLimit::Pods { value: 3, period: Seconds(60.0) }],
        stabilization: Some(Seconds(60.0)),
        ..DirectionRules::default()
    });
    [policy(), limited, queue]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_restart_at_any_tick_changes_nothing(
        which in 0..3_usize,
        start in 1..12_u32,
        loads in proptest::collection::vec((0.0..3000.0_f64, 1..40_u32), 1..6),
        odd in 0.3..30.0_f64,
    ) {
        let run = |restarts: bool| {
            let mut plant = Plant::new(policies()[which].clone(), 10.0, start);
            let mut decisions = Vec::new();
            for (rate, ticks) in &loads {
                plant.rate = *rate;
                for _ in 0..*ticks {
                    plant.tick = if decisions.len() % 7 == 3 { odd } else { 15.0 };
                    decisions.push(plant.step());
                    if restarts {
                        plant.memory = through_text(&plant.memory);
                    }
                }
            }
            (decisions, plant.memory)
        };
        prop_assert_eq!(run(true), run(false));
    }
}

/// The memory of a workload with many of everything that moves all the time.
fn large(max: u32, containers: usize) -> Memory {
    let mut policy = latency_policy();
    policy.replicas.max = Replicas(max);
    policy.behavior.scale_up =
        Some(DirectionRules { stabilization: Some(Seconds(3600.0)), ..DirectionRules::default() });
    let more = (0..14).map(|i| signal(&format!("{i}-{}", "s".repeat(60)), Role::Saturation));
    policy.signals.extend(more);
    let mut memory = Memory::new();
    for tick in 0..500_u32 {
        // A load that wanders, so that replicas have been idle for different times.
        let load = f64::from(max) * (0.35 + 0.3 * f64::from(tick * 7919 % 613) / 613.0);
        let n = super::super::arith::count(load) + 1;
        let mut snapshot: Snapshot = snapshot(EPOCH + 15.0 * f64::from(tick), n, 0.45 * load);
        let app = snapshot.containers[0].clone();
        let named = |i| ContainerState { name: format!("{}-{i}", "c".repeat(60)), ..app.clone() };
        snapshot.containers = (0..containers).map(named).collect();
        for (i, container) in snapshot.containers.iter_mut().enumerate() {
            let bytes = (400_u64 << 20) + u64::from(tick) * 4096 + i as u64;
            container.memory_max_pod_bytes = Some(Bytes(bytes));
            container.oom_kills_delta = Some(u32::from(tick % 200 == 0));
            container.last_oom_limit_bytes = Some(Bytes(bytes));
        }
        snapshot.replicas.template_hash = Some(format!("hash-{}", tick / 100));
        for (i, signal) in policy.signals.iter().enumerate() {
            snapshot.signals.insert(signal.name.clone(), reading(load * 31.7 / (1.0 + i as f64)));
        }
        assert!(decide(&snapshot, &policy, &mut memory, snapshot.at).replicas.0 > 0);
    }
    memory
}

#[test]
fn memory_is_small() {
    for (max, containers, most) in [(40, 1, 6), (256, 8, 8), (1024, 8, 8), (100_000, 16, 20)] {
        let memory = through_text(&large(max, containers));
        let size = memory.to_text().unwrap().len();
        assert!(size <= most << 10, "max {max}, {containers} containers: {size} bytes");
    }
}

#[test]
fn another_version_is_forgotten_and_not_misread() {
    let mut plant = Plant::new(latency_policy(), 400.0, 6);
    plant.run(1800.0);
    assert!(!plant.memory.is_new());
    let other = plant.memory.to_text().unwrap().replace("\"version\":3", "\"version\":4");
    assert!(Memory::from_text(other.as_bytes()).unwrap().is_new());
    let first = br#"{"version":1,"clock":{"last":1e18},"peaks":{"app":{"day":"monday"}}}"#;
    assert!(Memory::from_text(first).unwrap().is_new());
}

#[test]
fn what_is_not_whole_is_refused_in_one_sentence() {
    let mut plant = Plant::new(latency_policy(), 400.0, 6);
    plant.run(1800.0);
    let text = plant.memory.to_text().unwrap();
    let refused = |text: &[u8]| {
        let said = Memory::from_text(text).unwrap_err().to_string();
        assert!(said.starts_with("not a Memory: ") && !said.contains('\n'), "{said}");
        said
    };
    for end in 0..text.len() {
        refused(&text.as_bytes()[..end]);
    }
    assert!(refused(b"{}").contains("missing field `version`"));
    assert!(refused(br#"{"version":3}"#).contains("missing field `state`"));
    assert!(refused(&vec![b' '; 50_000]).contains("longer than 40 KiB"));
    // A part that is missing, and one digit of one number.
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    for part in value["state"].as_object().unwrap().keys() {
        let mut less = value.clone();
        less["state"].as_object_mut().unwrap().remove(part);
        assert!(refused(less.to_string().as_bytes()).contains(part.as_str()));
    }
    let (head, state) = text.split_at(text.find("\"state\"").unwrap());
    for (at, old) in state.char_indices().filter(|(_, c)| c.is_ascii_digit()).step_by(17) {
        let new = if old == '7' { '3' } else { '7' };
        let changed = format!("{head}{}{new}{}", &state[..at], &state[at + 1..]);
        // A digit too fine for the number to notice changes nothing.
        match Memory::from_text(changed.as_bytes()) {
            Ok(memory) => assert_eq!(memory, plant.memory),
            Err(error) => assert!(error.to_string().starts_with("not a Memory: ")),
        }
    }
}
