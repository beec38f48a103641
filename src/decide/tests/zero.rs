//! Zero in a loop: the last replica leaves and comes back, for the right reasons only.

use super::plant::{EPOCH, policy, reading, signal, snapshot};
use crate::{
    decide::{Decision, Memory, Reading, Reason, SignalState, Snapshot, decide},
    policy::{BacklogObjective, Mode, OnAbsent, Policy, Role, Signal, SignalLoss},
    units::{Replicas, Seconds},
};

/// A queue that is to be drained in two minutes, 0..40 replicas.
fn zero_policy() -> Policy {
    let mut policy = policy();
    policy.signals = vec![Signal { survives_zero: true, ..signal("queue", Role::Backlog) }];
    policy.objective.backlog = Some(BacklogObjective { signal: "queue".to_owned(), drain_within: Seconds(120.0) });
    policy.replicas.min = Replicas(0);
    policy
}

/// The same for a Demand signal that is measured in front of the pods.
fn request_policy() -> Policy {
    let mut policy = policy();
    policy.signals = vec![Signal { survives_zero: true, ..signal("requests", Role::Demand) }];
    policy.replicas.min = Replicas(0);
    policy
}

/// A workload whose count is what was decided, with one signal.
struct Loop {
    policy: Policy,
    memory: Memory,
    t: f64,
    spec: u32,
    /// The last decision.
    decision: Option<Decision>,
}

impl Loop {
    fn new(policy: Policy, spec: u32) -> Self {
        Self { policy, memory: Memory::new(), t: 0.0, spec, decision: None }
    }

    fn look(&self, reading: Reading) -> Snapshot {
        let mut s = snapshot(EPOCH + self.t, self.spec, 0.03 * f64::from(self.spec));
        s.signals.insert(self.policy.signals[0].name.clone(), reading);
        s
    }

    /// One tick with the signal; what is decided is what is.
    fn step(&mut self, reading: Reading) -> &Decision {
        let s = self.look(reading);
        let decision = decide(&s, &self.policy, &mut self.memory, s.at);
        self.spec = decision.replicas.0;
        self.t += 15.0;
        self.decision.insert(decision)
    }

    /// So many seconds with the same signal; true if the count was ever another one.
    fn run(&mut self, seconds: f64, reading: &Reading) -> bool {
        let (end, before, mut moved) = (self.t + seconds, self.spec, false);
        while self.t < end {
            moved |= self.step(reading.clone()).replicas.0 != before;
        }
        moved
    }

    /// Without work until zero, or fails.
    fn idle_to_zero(&mut self) -> Decision {
        let end = self.t + 4.0 * 3600.0;
        while self.t < end {
            let decision = self.step(reading(0.0)).clone();
            if decision.replicas.0 == 0 {
                return decision;
            }
        }
        panic!("zero was not reached: {:?}", self.decision);
    }
}

fn absent() -> Reading {
    Reading { state: Some(SignalState::Absent), ..Reading::default() }
}

/// The source could not be asked.
fn failed() -> Reading {
    Reading { failed: true, ..absent() }
}

pub(super) fn released() -> Decision {
    let mut queue = Loop::new(zero_policy(), 1);
    for _ in 0..30 {
        queue.run(60.0, &reading(5.0));
        queue.run(3600.0, &reading(0.0));
    }
    queue.run(60.0, &reading(5.0));
    let decision = queue.idle_to_zero();
    assert_eq!(decision.reason, Reason::IdleToZero);
    decision
}

/// The tick after it.
pub(super) fn asleep() -> Decision {
    let mut queue = Loop::new(zero_policy(), 1);
    queue.idle_to_zero();
    queue.step(reading(0.0)).clone()
}

pub(super) fn woken() -> Decision {
    let mut queue = Loop::new(zero_policy(), 1);
    queue.idle_to_zero();
    let decision = queue.step(reading(1.0));
    assert_eq!(decision.reason, Reason::WokenByDemand);
    decision.clone()
}

pub(super) fn died() -> Decision {
    let mut queue = Loop::new(zero_policy(), 1);
    queue.idle_to_zero();
    queue.run(45.0, &reading(0.0));
    let decision = queue.step(absent());
    assert_eq!(decision.reason, Reason::SignalDiesAtZero);
    decision.clone()
}

#[test]
fn the_last_replica_leaves_and_work_brings_it_back_at_once() {
    let mut queue = Loop::new(zero_policy(), 3);
    // Watched for long enough that anything may leave.
    queue.run(900.0, &reading(40.0));
    let released = queue.idle_to_zero();
    assert_eq!(released.reason, Reason::IdleToZero, "{}", released.message);
    // A start of 30 s and a drain of 30 s are what a release may cost here: a minute of an idle pod.
    assert!(released.message.starts_with("no work for 1 min"), "{}", released.message);
    assert!(!queue.run(7200.0, &reading(0.0)), "{:?}", queue.decision);
    let sleeping = queue.decision.clone().expect("decided");
    assert_eq!((sleeping.reason, sleeping.replicas), (Reason::IdleToZero, Replicas(0)));
    let awake = queue.step(reading(1.0));
    assert_eq!((awake.reason, awake.replicas), (Reason::WokenByDemand, Replicas(1)), "{}", awake.message);
}

#[test]
fn requests_wake_it_too_and_a_cold_start_that_they_feel_is_dearer() {
    let mut service = Loop::new(request_policy(), 1);
    service.run(1800.0, &reading(2.0));
    let before = service.t;
    service.idle_to_zero();
    let kept = service.t - before;
    // One minute's worth of idle pod, and what is missing in 45 s at 80 times its price.
    assert!(kept > 120.0, "{kept}");
    assert!(!service.run(3600.0, &reading(0.0)));
    assert_eq!(service.step(reading(0.01)).reason, Reason::WokenByDemand);
}

#[test]
fn somebody_elses_zero_is_left_alone_and_ours_is_not_forgotten() {
    // Set by somebody while we run.
    let mut queue = Loop::new(zero_policy(), 3);
    queue.run(60.0, &reading(40.0));
    queue.spec = 0;
    assert_eq!(queue.step(reading(400.0)).reason, Reason::ScaledToZero);
    assert!(!queue.run(3600.0, &reading(400.0)), "whatever waits");
    queue.spec = 2;
    assert!(queue.step(reading(400.0)).replicas.0 > 2);
    // Found at zero with an empty memory: who wrote last says whose it is.
    let mut found = Loop::new(zero_policy(), 0);
    let mut s = found.look(reading(4.0));
    s.replicas.last_writer = Some("kubectl".to_owned());
    assert_eq!(decide(&s, &found.policy, &mut found.memory, s.at).reason, Reason::ScaledToZero);
    let ours = Loop::new(zero_policy(), 0).step(reading(4.0)).clone();
    assert_eq!(ours.reason, Reason::WokenByDemand, "{}", ours.message);
    // Ours, and then zero is no longer asked for.
    let mut queue = Loop::new(zero_policy(), 1);
    queue.idle_to_zero();
    queue.policy.replicas.min = Replicas(2);
    assert_eq!(queue.step(reading(0.0)).replicas, Replicas(2));
}

#[test]
fn a_write_that_fails_is_still_ours() {
    let mut queue = Loop::new(zero_policy(), 1);
    queue.idle_to_zero();
    for _ in 0..5 {
        // Work came, one replica was asked for, and the API server refuses.
        queue.spec = 0;
        assert_eq!(queue.step(reading(3.0)).replicas, Replicas(1));
    }
    queue.run(600.0, &reading(3.0));
    queue.idle_to_zero();
    for _ in 0..5 {
        queue.spec = 1;
        assert_eq!(queue.step(reading(0.0)).replicas, Replicas(0));
    }
}

#[test]
fn a_signal_that_goes_with_the_last_pod_ends_zero_until_the_spec_changes() {
    let mut queue = Loop::new(zero_policy(), 1);
    queue.idle_to_zero();
    queue.run(45.0, &reading(0.0));
    let decision = queue.step(absent()).clone();
    assert_eq!((decision.reason, decision.replicas), (Reason::SignalDiesAtZero, Replicas(1)), "{}", decision.message);
    queue.run(600.0, &absent());
    assert!(!queue.run(12.0 * 3600.0, &reading(0.0)), "it is back, and zero stays off");
    let kept = queue.decision.clone().expect("decided");
    assert_eq!((kept.reason, kept.replicas), (Reason::SignalDiesAtZero, Replicas(1)), "{}", kept.message);
    queue.policy.signals[0].on_absent = OnAbsent::Zero;
    queue.idle_to_zero();
}

#[test]
fn an_error_wakes_one_replica_after_a_while_and_not_in_a_loop() {
    let mut queue = Loop::new(zero_policy(), 1);
    queue.idle_to_zero();
    queue.run(60.0, &reading(0.0));
    assert!(!queue.run(285.0, &failed()), "a short error is nothing: {:?}", queue.decision);
    assert!(queue.run(60.0, &failed()));
    let blind = queue.decision.clone().expect("decided");
    assert_eq!((blind.replicas, blind.reason), (Replicas(1), Reason::SignalsStale), "{}", blind.message);
    // Ten minutes of errors in each half hour: pods are not started for each of them.
    let mut starts = 0;
    for _ in 0..48 {
        for (seconds, reading) in [(600.0, failed()), (1200.0, reading(0.0))] {
            let before = queue.spec;
            queue.run(seconds, &reading);
            starts += u32::from(before == 0 && queue.spec > 0);
        }
    }
    assert_eq!((starts, queue.spec), (0, 1));
    queue.idle_to_zero();
}

#[test]
fn on_signal_loss_raises_from_zero() {
    let mut queue = Loop::new(zero_policy(), 1);
    queue.policy.on_signal_loss = Some(SignalLoss { after: Seconds(60.0), min_replicas: Replicas(4) });
    queue.idle_to_zero();
    queue.run(60.0, &reading(0.0));
    queue.run(120.0, &failed());
    let decision = queue.decision.clone().expect("decided");
    assert_eq!((decision.replicas, decision.reason), (Replicas(4), Reason::SignalsStale), "{}", decision.message);
}

#[test]
fn doubt_and_work_keep_the_last_replica() {
    for kept in [reading(0.2), absent(), failed(), Reading { state: Some(SignalState::Partial), ..reading(0.0) }] {
        let mut queue = Loop::new(zero_policy(), 1);
        queue.run(60.0, &reading(0.0));
        assert!(!queue.run(4.0 * 3600.0, &kept), "{kept:?}");
    }
    let mut queue = Loop::new(zero_policy(), 1);
    queue.policy.replicas.min = Replicas(1);
    assert!(!queue.run(4.0 * 3600.0, &reading(0.0)));
    let mut pods_tell = request_policy();
    pods_tell.signals[0].survives_zero = false;
    assert!(!Loop::new(pods_tell, 1).run(4.0 * 3600.0, &reading(0.0)));
}

#[test]
fn while_it_only_recommends_the_others_count_does_not_matter() {
    let mut policy = zero_policy();
    policy.mode = Mode::Recommend;
    let mut queue = Loop::new(policy, 0);
    let mut s = queue.look(reading(7.0));
    s.replicas.last_writer = Some("keda-operator".to_owned());
    let decision = decide(&s, &queue.policy, &mut queue.memory, s.at);
    assert!(decision.replicas.0 >= 1, "{}", decision.message);
}
