//! KEDA on the length of a queue: an HPA on an external metric, and a loop that takes care of zero.
//!
//! The metric is what waits and what is worked on, as the scalers of Kafka, JetStream and `RabbitMQ` count it, shared by
//! the replicas (`AverageValue`). The HPA looks every 15 s whatever the polling interval; the loop only moves between
//! zero and one.
//!
//! Must not: see anything but the queue and the counts.

pub mod executor;

use self::executor::{Activation, Executor};
use super::{
    super::{Action, Controller, PodAction, View},
    Answer,
    hpa::{
        DOWNSCALE_WINDOW,
        behavior::Behavior,
        bounds,
        calculator::Calculator,
        reconcile::{Autoscaler, HpaSpec, MetricProposal},
        replicas,
        words::MetricKind,
    },
};
use crate::{decide::Reason, policy::ReplicaRange, units::Replicas};

/// KEDA with one queue trigger.
#[derive(Clone, Debug)]
pub struct Keda {
    name: String,
    /// Items that a replica is to have at most.
    target: f64,
    executor: Executor,
    calculator: Calculator,
    autoscaler: Autoscaler,
}

impl Keda {
    /// A `ScaledObject` with a target in items per replica; a range from 0 lets it go to zero.
    #[must_use]
    pub fn new(name: &str, target: f64, range: ReplicaRange, activation: Activation) -> Self {
        let mut hpa_bounds = bounds(range);
        hpa_bounds.min = hpa_bounds.min.max(1);
        let spec =
            HpaSpec { bounds: hpa_bounds, behavior: None, downscale_window: DOWNSCALE_WINDOW, outliving_metric: true };
        Self {
            name: name.to_owned(),
            target,
            executor: Executor::new(activation, replicas(range.min)),
            calculator: Calculator::default(),
            autoscaler: Autoscaler::new(spec),
        }
    }

    /// With `advanced.horizontalPodAutoscalerConfig.behavior`.
    #[must_use]
    pub fn with_behavior(mut self, behavior: Behavior) -> Self {
        self.autoscaler.spec.behavior = Some(behavior);
        self
    }

    /// What it says when it looks once. Composites take the count from here and size pods themselves.
    pub fn look(&mut self, view: &View<'_>) -> Answer {
        let current = view.snapshot.replicas.spec;
        let Some(queue) = view.queue else {
            let message = format!("no queue to look at: {} replicas stay", current.0);
            return Answer { replicas: current, reason: Reason::WaitingForData, message };
        };
        let items = queue.waiting + queue.in_flight;
        let count = replicas(current);
        let hpa = self.hpa(view, count, items);
        match self.executor.poll(view.now, count, items) {
            None => hpa,
            Some(0) => {
                let message = format!("nothing in the queue for the cooldown period: {count} → 0");
                Answer { replicas: Replicas(0), reason: Reason::ScaledToZero, message }
            }
            Some(to) => {
                let message = format!("{items:.0} items in the queue: {count} → {to}");
                Answer { replicas: Replicas(to.unsigned_abs()), reason: Reason::BacklogDeadline, message }
            }
        }
    }

    /// What the HPA behind it says.
    fn hpa(&mut self, view: &View<'_>, current: i32, items: f64) -> Answer {
        let status = view.pods.iter().filter(|pod| !pod.deleting).count();
        let status = i32::try_from(status).unwrap_or(i32::MAX);
        let outcome = self.calculator.external_share(status, milli(self.target), &[milli(items)], view.now);
        let proposal = MetricProposal { kind: MetricKind::External, replicas: outcome.ok().map(|p| p.replicas) };
        let seen = self.autoscaler.reconcile(view.now, current, || vec![proposal], |_| true);
        let said = format!("{items:.0} items in the queue against {} per replica", self.target);
        super::hpa::answer(&seen, current, self.autoscaler.spec.bounds, Reason::BacklogDeadline, &said)
    }
}

impl Controller for Keda {
    fn name(&self) -> &str {
        &self.name
    }

    fn tick(&mut self, view: &View<'_>) -> Action {
        self.look(view).action(view, PodAction::NewPods(Vec::new()))
    }
}

/// A number in thousandths, upwards, as a quantity has it.
#[expect(clippy::cast_possible_truncation, reason = "`as` saturates, and a queue is shorter than that")]
fn milli(number: f64) -> i64 {
    (number * 1000.0).ceil() as i64
}

#[cfg(test)]
mod tests;
