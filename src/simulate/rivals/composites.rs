//! Two autoscalers on one workload, each minding its own business: one writes the count, the other the sizes.
//!
//! They are not told of each other, as in a cluster: what one does reaches the other through the pods.

use super::{
    Hpa, Hvpa,
    vpa::{
        Settings, UpdateMode, Vpa,
        amounts::Resource,
        policy::{ContainerPolicy, Policy},
    },
};
use crate::{
    policy::ReplicaRange,
    simulate::{Action, Controller, PodAction, View},
};

/// A horizontal autoscaler beside a vertical one.
pub struct Beside {
    name: String,
    horizontal: Box<dyn Controller + Send>,
    vertical: Vpa,
}

impl Beside {
    /// The count from one, sizes from the other.
    #[must_use]
    pub fn new(name: &str, horizontal: Box<dyn Controller + Send>, vertical: Vpa) -> Self {
        Self { name: name.to_owned(), horizontal, vertical }
    }
}

impl Controller for Beside {
    fn name(&self) -> &str {
        &self.name
    }

    fn tick(&mut self, view: &View<'_>) -> Action {
        let Action { mut decision, .. } = self.horizontal.tick(view);
        let pods = self.vertical.act(view);
        if let PodAction::Update { new_pods, .. } = &pods {
            decision.containers.clone_from(new_pods);
        }
        decision.message = format!("{}; {}", decision.message, self.vertical.sentence());
        Action { decision, pods }
    }
}

/// Names of the vertical autoscalers and of the pairs with one.
pub const NAMES: [&str; 6] = ["vpa", "vpa-inplace", "hpa50-vpa", "hpa70-vpa", "hpa70-vpamem", "hvpa"];

/// The vertical side's weight in `hvpa`: halves, as in its own example.
const HVPA_WEIGHT: f64 = 0.5;

/// One of [`NAMES`] for a workload with these bounds of replicas; none for another name.
///
/// Beside a horizontal autoscaler the vertical one resizes in place where it can: the gentler of its modes, since the
/// horizontal one needs pods with metrics. All flags are upstream's defaults.
#[must_use]
pub fn named(name: &str, range: ReplicaRange) -> Option<Box<dyn Controller + Send>> {
    let in_place = || Settings { mode: UpdateMode::InPlaceOrRecreate, ..Settings::default() };
    let memory_only = || {
        let all =
            ContainerPolicy { container: "*".to_owned(), only: Some(Resource::Memory), ..ContainerPolicy::default() };
        Settings { policy: Policy(vec![all]), ..in_place() }
    };
    let hpa = |percent| Box::new(Hpa::new("hpa", percent, range));
    let beside = |percent, settings| {
        Some(Box::new(Beside::new(name, hpa(percent), Vpa::new("vpa", settings))) as Box<dyn Controller + Send>)
    };
    match name {
        "vpa" => Some(Box::new(Vpa::new(name, Settings::default()))),
        "vpa-inplace" => Some(Box::new(Vpa::new(name, in_place()))),
        "hpa50-vpa" => beside(50, in_place()),
        "hpa70-vpa" => beside(70, in_place()),
        "hpa70-vpamem" => beside(70, memory_only()),
        "hvpa" => Some(Box::new(Hvpa::new(name, hpa(70), Vpa::new("vpa", Settings::default()), HVPA_WEIGHT))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Replicas;

    #[test]
    fn every_name_is_made() {
        let range = ReplicaRange { min: Replicas(2), max: Replicas(60) };
        for name in NAMES {
            assert_eq!(named(name, range).map(|controller| controller.name().to_owned()).as_deref(), Some(name));
        }
        assert!(named("hpa70", range).is_none());
    }
}
