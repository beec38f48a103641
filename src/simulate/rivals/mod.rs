//! Rivals: what people run today, as faithful as what a controller sees of the plant allows.
//!
//! Each has pure parts that agree with upstream and a controller that feeds them from the [`View`]. A rival's fixed
//! numbers (periods, windows, tolerances) are upstream's defaults; targets and bounds are the scenario's.

pub mod composites;
#[cfg(test)]
mod fixtures;
pub mod hpa;
mod hvpa;
pub mod keda;
pub mod kpa;
pub mod vpa;

pub use composites::Beside;
pub use hpa::Hpa;
use hpa::behavior::{Behavior, WrittenRules};
pub use hvpa::Hvpa;
pub use keda::Keda;
pub use kpa::Kpa;

use super::{Action, PodAction, Scenario, SimulateError, View};
use crate::{
    decide::{ContainerSize, Decision, Explain, Reason},
    policy::Role,
    units::Replicas,
};

/// KEDA as somebody sets it up who knows the service: a replica is to have what it works off by the queue's deadline.
///
/// # Errors
/// There is no queue.
pub(super) fn keda_of(name: &str, scenario: &Scenario) -> Result<Keda, SimulateError> {
    let target = items_in_time(scenario).ok_or_else(|| SimulateError::Queue { name: name.to_owned() })?;
    Ok(Keda::new(name, target, scenario.policy.replicas, keda::executor::Activation::default()))
}

/// KEDA as somebody else sets it up: a replica is to have what it works off in a share of the deadline, and the count
/// falls, to zero too, when it has been calm for some seconds.
///
/// # Errors
/// There is no queue.
pub(super) fn keda_set_to(name: &str, scenario: &Scenario, share: f64, calm: f64) -> Result<Keda, SimulateError> {
    let queue = scenario.world.queue.ok_or_else(|| SimulateError::Queue { name: name.to_owned() })?;
    let target = (queue.deadline.get() * share * pod_rate(scenario)).max(1.0);
    let down = WrittenRules { window: Some(calm), ..WrittenRules::default() };
    let behavior = Behavior::defaulted(&WrittenRules::default(), &down, calm);
    let activation = keda::executor::Activation { cooldown: calm, ..Default::default() };
    Ok(Keda::new(name, target, scenario.policy.replicas, activation).with_behavior(behavior))
}

/// Knative's autoscaler as somebody sets it up who knows the service: on what one pod serves; on concurrency, with what
/// a pod works off by the deadline, where there is a queue.
///
/// # Errors
/// There is neither a queue nor a signal of demand.
pub(super) fn kpa_of(name: &str, scenario: &Scenario) -> Result<Kpa, SimulateError> {
    let range = scenario.policy.replicas;
    if let Some(items) = items_in_time(scenario) {
        return Ok(Kpa::new(name, kpa::KpaMetric::Concurrency, items, range));
    }
    let demand = scenario.policy.signal_of(Role::Demand);
    let demand = demand.ok_or_else(|| SimulateError::Demand { name: name.to_owned() })?;
    Ok(Kpa::new(name, kpa::KpaMetric::Rate { signal: demand.name.clone() }, pod_rate(scenario), range))
}

/// Seconds from a rise of the queue to the creation of pods: a sync period of the HPA, and once more for its second
/// step where one is not enough.
const NOTICE_SECONDS: f64 = 30.0;
/// A pod is given at least what it works off in this share of the deadline, however long it takes to start.
const LEAST_SHARE: f64 = 0.25;

/// Items that a pod works off by the queue's deadline after it has been noticed and has started, at least one; none
/// without a queue.
fn items_in_time(scenario: &Scenario) -> Option<f64> {
    let deadline = scenario.world.queue?.deadline.get();
    let left = deadline - NOTICE_SECONDS - scenario.service.start_median.get();
    Some((left.max(deadline * LEAST_SHARE) * pod_rate(scenario)).max(1.0))
}

/// Requests or items per second that fill a pod of the template's size.
fn pod_rate(scenario: &Scenario) -> f64 {
    scenario.service.request_cores.get() / scenario.service.work.get().max(f64::MIN_POSITIVE)
}

/// What a rival says of the count; composites put pod sizes beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The count.
    pub replicas: Replicas,
    /// Why, in the simulator's words.
    pub reason: Reason,
    /// Why, in a sentence.
    pub message: String,
}

impl Answer {
    /// An action with this count that reports the template's sizes.
    #[must_use]
    pub fn action(self, view: &View<'_>, pods: PodAction) -> Action {
        let containers = view
            .snapshot
            .containers
            .iter()
            .map(|c| ContainerSize { name: c.name.clone(), requests: c.request, limits: c.limit })
            .collect();
        let Self { replicas, reason, message } = self;
        let explain = Explain::default();
        let decision =
            Decision { v: 0, at: view.snapshot.at, replicas, containers, boost: None, reason, message, explain };
        Action { decision, pods }
    }
}
