//! The arbiter as a controller of the simulation: `decide` and its Memory, nothing else.
//!
//! Three ways in: with every signal of the policy, with the demand alone, with CPU and memory alone. A missing signal is
//! taken out of the policy and out of the snapshot, so that nothing of it can reach a decision; all else is the same.

use std::collections::BTreeMap;

use super::{Action, Controller, PodAction, View};
use crate::{
    decide::{Memory, Snapshot, decide},
    policy::{Policy, Role},
};

/// Utilization that somebody writes who comes from an HPA.
const UTILIZATION: f64 = 0.7;

/// What the arbiter is given to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WayIn {
    /// Everything that the policy asks for.
    All,
    /// A signal of demand, CPU and memory: neither latency nor backlog, as signal or as objective.
    Rate,
    /// CPU and memory, with a utilization as the objective: how an HPA's user starts.
    Cpu,
}

impl WayIn {
    /// What there is, by the controller's name.
    const NAMES: [(&'static str, Self); 3] =
        [("arbiter", Self::All), ("arbiter-rate", Self::Rate), ("arbiter-cpu", Self::Cpu)];

    /// The way in of a controller's name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, way)| *way)
    }

    /// The policy of somebody who has no more than this.
    pub(super) fn policy(self, mut policy: Policy) -> Policy {
        if self == Self::All {
            return policy;
        }
        policy.signals.retain(|signal| self == Self::Rate && signal.role == Role::Demand);
        policy.objective.latency = None;
        policy.objective.backlog = None;
        if self == Self::Cpu && !policy.objective.utilization_given {
            policy.objective.utilization = UTILIZATION;
            policy.objective.utilization_given = true;
        }
        policy
    }
}

/// The decision model under the scenario's policy, from an empty Memory.
#[derive(Clone, Debug)]
pub(super) struct Arbiter {
    way: WayIn,
    policy: Policy,
    memory: Memory,
}

impl Arbiter {
    pub(super) fn new(way: WayIn, policy: Policy) -> Self {
        Self { way, policy: way.policy(policy), memory: Memory::default() }
    }

    /// What is seen without the signals that the policy does not have.
    fn stripped(&self, snapshot: &Snapshot) -> Snapshot {
        let mut signals = BTreeMap::new();
        for signal in &self.policy.signals {
            if let Some(reading) = snapshot.signals.get(&signal.name) {
                signals.insert(signal.name.clone(), reading.clone());
            }
        }
        Snapshot { signals, ..snapshot.clone() }
    }
}

impl Controller for Arbiter {
    fn name(&self) -> &'static str {
        WayIn::NAMES.iter().find(|(_, way)| *way == self.way).map_or("arbiter", |(name, _)| *name)
    }

    fn tick(&mut self, view: &View<'_>) -> Action {
        let stripped;
        let seen = if self.way == WayIn::All {
            view.snapshot
        } else {
            stripped = self.stripped(view.snapshot);
            &stripped
        };
        let decision = decide(seen, &self.policy, &mut self.memory, seen.at);
        Action { decision, pods: PodAction::InPlace }
    }

    /// The live controller keeps its Memory in its process.
    fn restart(&mut self) {
        self.memory = Memory::default();
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Load, Run, Scenario, SimulateError, TraceOptions, controller},
        *,
    };
    use crate::units::Seconds;

    fn scenario() -> Scenario {
        let csv = "timestamp_s,rps\n0,10\n3600,20\n7140,10\n";
        let load = Load::read("x.csv", csv.as_bytes(), None).expect("a load");
        let mut scenario = Scenario::from_trace(load, TraceOptions { warmup: Seconds(0.0), ..TraceOptions::default() });
        scenario.duration = Seconds(7200.0);
        scenario
    }

    #[test]
    fn a_way_in_keeps_only_what_it_knows() {
        let policy = scenario().policy;
        let names = |way: WayIn| {
            let policy = way.policy(policy.clone());
            let names: Vec<String> = policy.signals.iter().map(|signal| signal.name.clone()).collect();
            (names, policy.objective.latency.is_some(), policy.objective.utilization_given)
        };
        assert_eq!(names(WayIn::All), (vec!["requests".to_owned(), "latency".to_owned()], true, false));
        assert_eq!(names(WayIn::Rate), (vec!["requests".to_owned()], false, false));
        assert_eq!(names(WayIn::Cpu), (vec![], false, true));
    }

    #[test]
    fn a_utilization_that_was_written_stays() {
        let mut policy = scenario().policy;
        (policy.objective.utilization, policy.objective.utilization_given) = (0.5, true);
        assert_eq!(WayIn::Cpu.policy(policy).objective.utilization, 0.5);
    }

    #[test]
    fn no_decision_rests_on_a_signal_that_is_missing() {
        for (name, signals) in [("arbiter", 2), ("arbiter-rate", 1), ("arbiter-cpu", 0)] {
            let scenario = scenario();
            let mut run = Run::new(&scenario, controller(name, &scenario).expect("there is one"), 1);
            while let Some(tick) = run.advance() {
                assert_eq!(tick.decision.explain.signals.len(), signals, "{name}: {:?}", tick.decision.explain);
            }
            assert!(run.score().mean_replicas > 2.0, "{name}");
        }
    }

    #[test]
    fn demand_that_nothing_measures_is_an_error() {
        let mut scenario = scenario();
        scenario.policy.signals.retain(|signal| signal.role != Role::Demand);
        assert!(matches!(controller("arbiter-rate", &scenario), Err(SimulateError::Demand { .. })));
        assert!(controller("arbiter-cpu", &scenario).is_ok());
    }
}
