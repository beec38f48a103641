//! KEDA as a controller.

use super::{
    super::fixtures::{pod, range, snapshot},
    *,
};
use crate::simulate::QueueView;

fn look(keda: &mut Keda, now: f64, replicas: u32, waiting: f64) -> Answer {
    let snapshot = snapshot(replicas, replicas);
    let pods: Vec<_> = (0..u64::from(replicas)).map(|id| pod(id, 0.0, None, now)).collect();
    let queue = Some(QueueView { waiting, in_flight: 2.0 });
    keda.look(&View { snapshot: &snapshot, now, pods: &pods, queue })
}

#[test]
fn the_queue_is_shared_by_replicas() {
    let mut keda = Keda::new("keda", 10.0, range(1, 60), Activation::default());
    let answer = look(&mut keda, 0.0, 4, 58.0);
    assert_eq!(answer.replicas, Replicas(6));
    assert_eq!(answer.message, "60 items in the queue against 10 per replica: 4 → 6");
    // Within the tolerance, then limited in one step.
    assert_eq!(look(&mut keda, 15.0, 6, 62.0).replicas, Replicas(6));
    assert_eq!(look(&mut keda, 30.0, 6, 500.0).replicas, Replicas(12));
}

#[test]
fn zero_is_left_at_a_poll_and_the_hpa_leaves_it_alone() {
    let mut keda = Keda::new("keda", 10.0, range(0, 60), Activation { threshold: 2.0, ..Activation::default() });
    assert_eq!(look(&mut keda, 0.0, 0, 0.0).reason, Reason::ScaledToZero);
    // The next poll is due at 30 s.
    assert_eq!(look(&mut keda, 15.0, 0, 100.0).replicas, Replicas(0));
    let woken = look(&mut keda, 30.0, 0, 100.0);
    assert_eq!((woken.replicas, woken.reason), (Replicas(1), Reason::BacklogDeadline));
    assert_eq!(look(&mut keda, 45.0, 1, 100.0).replicas, Replicas(4));
    // At the threshold nothing is active; the cooldown counts from the last poll that saw activity.
    assert_eq!(look(&mut keda, 60.0, 4, 100.0).replicas, Replicas(8));
    assert_eq!(look(&mut keda, 360.0, 8, 0.0).replicas, Replicas(11));
    let asleep = look(&mut keda, 390.0, 1, 0.0);
    assert_eq!((asleep.replicas, asleep.reason), (Replicas(0), Reason::ScaledToZero));
}

#[test]
fn without_a_queue_nothing_changes() {
    let snapshot = snapshot(3, 3);
    let view = View { snapshot: &snapshot, now: 0.0, pods: &[], queue: None };
    let answer = Keda::new("keda", 10.0, range(1, 60), Activation::default()).look(&view);
    assert_eq!((answer.replicas, answer.reason), (Replicas(3), Reason::WaitingForData));
}

#[test]
fn it_is_offered_only_where_a_queue_exists() {
    let load = crate::simulate::Load::read("x.csv", &b"timestamp_s,rps\n0,5\n60,5\n"[..], None).expect("a load");
    let mut scenario = crate::simulate::Scenario::from_trace(load, crate::simulate::TraceOptions::default());
    let error = super::super::keda_of("keda", &scenario).expect_err("there is no queue").to_string();
    assert!(error.starts_with("--controllers: `keda` scales on a queue and this load has none"), "{error}");
    scenario.world.queue = Some(crate::simulate::Queue { deadline: crate::units::Seconds(120.0) });
    // One core and 10 ms an item: 100 items a second, in the minute that is left of two after notice and start.
    assert_eq!(super::super::keda_of("keda", &scenario).expect("there is one").target, 6000.0);
}
