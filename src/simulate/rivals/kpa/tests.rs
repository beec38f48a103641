//! Knative's autoscaler as a controller.

use super::{
    super::fixtures::{range, snapshot},
    *,
};
use crate::decide::Reading;

fn look(kpa: &mut Kpa, now: f64, replicas: u32, rate: Option<f64>) -> Answer {
    let mut snapshot = snapshot(replicas, replicas);
    snapshot.signals.insert("requests".to_owned(), Reading { value: rate, ..Reading::default() });
    kpa.look(&View { snapshot: &snapshot, now, pods: &[], queue: None })
}

fn kpa(min: u32) -> Kpa {
    Kpa::new("kpa", KpaMetric::Rate { signal: "requests".to_owned() }, 100.0, range(min, 60))
}

#[test]
fn a_pod_is_given_70_percent_of_what_it_takes() {
    let mut kpa = kpa(1);
    let answer = look(&mut kpa, 0.0, 5, Some(420.0));
    assert_eq!((answer.replicas, answer.reason), (Replicas(6), Reason::CpuDemand));
    assert_eq!(answer.message, "demand 420.0 over a minute, 420.0 now: 5 → 6");
}

#[test]
fn a_burst_panics_and_holds_for_a_minute() {
    let mut kpa = kpa(1);
    for tick in 0..4 {
        look(&mut kpa, f64::from(tick) * 15.0, 5, Some(350.0));
    }
    let burst = look(&mut kpa, 60.0, 5, Some(1400.0));
    assert_eq!((burst.replicas, burst.reason), (Replicas(20), Reason::Saturated));
    for tick in 5..9 {
        let held = look(&mut kpa, f64::from(tick) * 15.0, 20, Some(350.0));
        assert_eq!((held.replicas, held.reason), (Replicas(20), Reason::Saturated), "tick {tick}");
    }
    let over = look(&mut kpa, 135.0, 20, Some(350.0));
    assert_eq!((over.replicas, over.reason), (Replicas(5), Reason::CpuDemand));
}

#[test]
fn zero_comes_after_a_window_and_a_grace_period_and_ends_at_once() {
    let mut kpa = kpa(0);
    assert_eq!(look(&mut kpa, 0.0, 1, Some(5.0)).replicas, Replicas(1));
    let mut replicas = 1;
    let mut gone = None;
    for tick in 1..12 {
        let now = f64::from(tick) * 15.0;
        replicas = look(&mut kpa, now, replicas, Some(0.0)).replicas.0;
        if replicas == 0 && gone.is_none() {
            gone = Some(now);
        }
    }
    assert_eq!(gone, Some(90.0));
    assert_eq!(look(&mut kpa, 200.0, 0, Some(30.0)).replicas, Replicas(1));
}

#[test]
fn what_is_not_seen_for_a_window_changes_nothing() {
    let mut kpa = kpa(1);
    assert_eq!(look(&mut kpa, 0.0, 5, None).reason, Reason::WaitingForData);
    assert_eq!(look(&mut kpa, 15.0, 5, Some(350.0)).replicas, Replicas(5));
    assert_eq!(look(&mut kpa, 60.0, 5, None).reason, Reason::CpuDemand);
    assert_eq!(look(&mut kpa, 75.0, 5, None).reason, Reason::WaitingForData);
}

#[test]
fn bounds_hold() {
    assert_eq!(look(&mut kpa(1), 0.0, 5, Some(1e6)).reason, Reason::LimitedByMax);
    assert_eq!(look(&mut kpa(3), 0.0, 3, Some(10.0)).replicas, Replicas(3));
}
