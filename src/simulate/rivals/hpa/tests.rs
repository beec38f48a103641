//! The HPA as a controller: that pods reach the calculator as they are.

use super::{
    super::fixtures::{pod, range, snapshot},
    behavior::{Behavior, WrittenRules},
    *,
};
use crate::{
    decide::Reason,
    simulate::{Phase, PodView, View},
};

const NOW: f64 = 1000.0;

fn look(hpa: &mut Hpa, now: f64, replicas: u32, pods: &[PodView]) -> (u32, Reason, String) {
    let snapshot = snapshot(replicas, replicas);
    let answer = hpa.look(&View { snapshot: &snapshot, now, pods, queue: None });
    (answer.replicas.0, answer.reason, answer.message)
}

fn pods(count: u64, cores: f64) -> Vec<PodView> {
    (0..count).map(|id| pod(id, 0.0, Some(cores), NOW)).collect()
}

#[test]
fn utilization_is_of_the_pods_requests() {
    let mut hpa = Hpa::cpu("hpa70", 70, range(2, 60));
    let (count, reason, message) = look(&mut hpa, NOW, 4, &pods(4, 0.9));
    assert_eq!((count, reason), (6, Reason::CpuDemand));
    assert_eq!(message, "cpu at 90 % of request against 70 %: 4 → 6");
    // 77 % is the edge of the tolerance and within it.
    assert_eq!(look(&mut Hpa::cpu("hpa70", 70, range(2, 60)), NOW, 4, &pods(4, 0.77)).0, 4);
}

#[test]
fn an_average_value_does_not_look_at_requests() {
    let mut hpa = Hpa::new("gardener", vec![Metric::cpu_average(300)], range(2, 60));
    let (count, _, message) = look(&mut hpa, NOW, 4, &pods(4, 0.45));
    assert_eq!((count, message.as_str()), (6, "cpu at 450m per pod against 300m: 4 → 6"));
}

#[test]
fn the_highest_of_several_metrics_decides_and_a_lost_one_forbids_shrinking() {
    let memory = Metric { resource: Resource::Memory, container: None, target: Target::Utilization(25) };
    let metrics = || vec![Metric::cpu_utilization(70), memory.clone()];
    let (count, reason, _) = look(&mut Hpa::new("both", metrics(), range(2, 60)), NOW, 4, &pods(4, 0.9));
    assert_eq!((count, reason), (8, Reason::MemoryPeak));
    let absent = Metric { container: Some("db".to_owned()), ..memory.clone() };
    let mut hpa = Hpa::new("lost", vec![Metric::cpu_utilization(70), absent], range(2, 60));
    let (count, reason, _) = look(&mut hpa, NOW, 4, &pods(4, 0.1));
    assert_eq!((count, reason), (4, Reason::WaitingForData));
    assert_eq!(look(&mut hpa, NOW, 4, &pods(4, 0.9)).0, 6);
}

#[test]
fn pods_that_are_not_up_weaken_growth() {
    let mut all = pods(4, 1.0);
    for id in 4..8 {
        all.push(PodView { phase: Phase::Pending, ready: false, ..pod(id, 0.0, None, NOW) });
    }
    assert_eq!(look(&mut Hpa::cpu("hpa70", 70, range(2, 60)), NOW, 8, &all).0, 8);
    // One that became ready 30 s ago was measured before it was ready.
    let young = [pods(4, 1.0), vec![pod(9, NOW - 30.0, Some(1.0), NOW)]].concat();
    assert_eq!(look(&mut Hpa::cpu("hpa70", 70, range(2, 60)), NOW, 5, &young).0, 6);
    assert_eq!(look(&mut Hpa::cpu("hpa70", 70, range(2, 60)), NOW, 5, &pods(5, 1.0)).0, 8);
    // Pods being deleted do not count at all.
    let mut leaving = pods(8, 1.0);
    leaving.iter_mut().take(4).for_each(|pod| pod.deleting = true);
    assert_eq!(look(&mut Hpa::cpu("hpa70", 70, range(2, 60)), NOW, 4, &leaving).0, 6);
}

#[test]
fn nothing_measured_changes_nothing() {
    let silent: Vec<PodView> = (0..4).map(|id| pod(id, 0.0, None, NOW)).collect();
    let (count, reason, message) = look(&mut Hpa::cpu("hpa70", 70, range(2, 60)), NOW, 4, &silent);
    assert_eq!((count, reason), (4, Reason::WaitingForData));
    assert!(message.ends_with("4 replicas stay"), "{message}");
}

#[test]
fn limits_and_windows_are_said() {
    let mut hpa = Hpa::cpu("hpa70", 70, range(2, 10));
    assert_eq!(look(&mut hpa, NOW, 12, &[]).0, 10);
    assert_eq!(look(&mut hpa, NOW, 1, &[]).0, 2);
    assert_eq!(look(&mut hpa, NOW, 0, &[]).1, Reason::ScaledToZero);
    let mut hpa = Hpa::cpu("hpa70", 70, range(2, 60));
    let (count, reason, message) = look(&mut hpa, NOW, 4, &pods(4, 3.0));
    assert_eq!((count, reason), (8, Reason::LimitedByBehavior), "{message}");
    assert!(message.ends_with(" wants 18, 8 in one step"), "{message}");
    let (count, reason, _) = look(&mut hpa, NOW + 15.0, 8, &pods(8, 0.1));
    assert_eq!((count, reason), (16, Reason::LimitedByBehavior));
    let mut hpa = Hpa::cpu("hpa70", 70, range(2, 60));
    let (count, reason, _) = look(&mut hpa, NOW, 8, &pods(8, 0.3));
    assert_eq!((count, reason), (8, Reason::HoldingForDemand));
    let none = WrittenRules { window: Some(0.0), ..WrittenRules::default() };
    let at_once = Behavior::defaulted(&WrittenRules::default(), &none, DOWNSCALE_WINDOW);
    let mut hpa = Hpa::cpu("quick", 70, range(2, 60)).with_behavior(at_once);
    assert_eq!(look(&mut hpa, NOW, 8, &pods(8, 0.3)).0, 4);
    let wide = calculator::Tolerance { down: 0.6, up: 0.1 };
    let mut hpa = Hpa::cpu("wide", 70, range(2, 60)).with_tolerance(wide);
    assert_eq!(
        look(&mut hpa, NOW, 8, &pods(8, 0.3)),
        (8, Reason::CpuDemand, "cpu at 30 % of request against 70 %: 8 → 8".to_owned())
    );
}
