//! Two autoscalers on one workload, each minding its own business: one writes the count, the other the sizes.
//!
//! They are not told of each other, as in a cluster: what one does reaches the other through the pods.

use super::{
    Hpa, Hvpa,
    hpa::Metric,
    keda_of,
    vpa::{
        Settings, UpdateMode, Vpa,
        amounts::{Amounts, Resource, scaled},
        policy::{ContainerPolicy, Policy},
    },
};
use crate::simulate::{Action, Controller, PodAction, Scenario, SimulateError, View};

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

/// The vertical side's weight in `hvpa`: halves, as in its own example.
const HVPA_WEIGHT: f64 = 0.5;
/// Gardener's target of the horizontal side, as a share of the template's request: what the other pairs begin with.
const GARDENER_TARGET: f64 = 0.7;
/// Gardener lets a pod grow to this multiple of the horizontal target (7 cores beside 6).
const GARDENER_CEILING: f64 = 7.0 / 6.0;

/// A vertical autoscaler, or a pair with one, by its name.
///
/// Beside a horizontal autoscaler the vertical one resizes in place where it can: the gentler of its modes, since the
/// horizontal one needs pods with metrics. All flags are upstream's defaults.
///
/// # Errors
/// There is no such name, or no queue for a pair that needs one.
pub(in crate::simulate) fn named(name: &str, scenario: &Scenario) -> Result<Box<dyn Controller + Send>, SimulateError> {
    let range = scenario.policy.replicas;
    let in_place = |policy| Settings { mode: UpdateMode::InPlaceOrRecreate, policy, ..Settings::default() };
    let all = |policy| Policy(vec![ContainerPolicy { container: "*".to_owned(), ..policy }]);
    let beside = |horizontal: Box<dyn Controller + Send>, policy| -> Box<dyn Controller + Send> {
        Box::new(Beside::new(name, horizontal, Vpa::new("vpa", in_place(policy))))
    };
    let hpa = |percent| Box::new(Hpa::cpu("hpa", percent, range));
    Ok(match name {
        "vpa" => Box::new(Vpa::new(name, Settings::default())),
        "vpa-inplace" => Box::new(Vpa::new(name, in_place(Policy::default()))),
        "hpa50-vpa" => beside(hpa(50), Policy::default()),
        "hpa70-vpa" => beside(hpa(70), Policy::default()),
        "hpa70-vpamem" => {
            let memory = ContainerPolicy { only: Some(Resource::Memory), ..ContainerPolicy::default() };
            beside(hpa(70), all(memory))
        }
        "gardener" => {
            let target = milli(scenario.service.request_cores.get() * GARDENER_TARGET);
            let ceiling = Amounts { cpu_milli: Some(scaled(target, GARDENER_CEILING)), ..Amounts::default() };
            let horizontal = Hpa::new("hpa", vec![Metric::cpu_average(target)], range);
            beside(Box::new(horizontal), all(ContainerPolicy { max: ceiling, ..ContainerPolicy::default() }))
        }
        "keda-vpa" => beside(Box::new(keda_of("keda", scenario)?), Policy::default()),
        "hvpa" => Box::new(Hvpa::new(name, hpa(70), Vpa::new("vpa", Settings::default()), HVPA_WEIGHT)),
        _ => return Err(SimulateError::Controller { name: name.to_owned() }),
    })
}

/// Cores as whole millicores.
fn milli(cores: f64) -> i64 {
    scaled(1000, cores)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::{Load, TraceOptions};

    #[test]
    fn every_name_is_made_or_says_what_it_needs() {
        let rows: String = (0..100).map(|i| format!("{},100\n", i * 60)).collect();
        let load = Load::read("load.csv", format!("timestamp_s,rps\n{rows}").as_bytes(), None).expect("a load");
        let scenario = Scenario::from_trace(load, TraceOptions::default());
        for name in ["vpa", "vpa-inplace", "hpa50-vpa", "hpa70-vpa", "hpa70-vpamem", "gardener", "hvpa"] {
            let made = named(name, &scenario).map(|controller| controller.name().to_owned());
            assert_eq!(made.expect("it needs no queue"), name);
        }
        let refusal = |name| named(name, &scenario).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refusal("keda-vpa").contains("queue"), "{}", refusal("keda-vpa"));
        assert!(refusal("magic").contains("`magic` is not available"), "{}", refusal("magic"));
    }
}
