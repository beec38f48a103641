//! The arbiter as a controller of the simulation: `decide` and its Memory, nothing else.
//!
//! Three ways in: with every signal of the policy, with the demand alone, with CPU and memory alone. A missing signal is
//! taken out of the policy and out of the snapshot, so that nothing of it can reach a decision; all else is the same.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Action, Controller, Kept, PodAction, View};
use crate::{
    decide::{History, Memory, Snapshot, decide, warm_start},
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
    /// What a metrics server would have of it.
    history: History,
    seen: Timestamp,
}

impl Arbiter {
    pub(super) fn new(way: WayIn, policy: Policy) -> Self {
        let policy = way.policy(policy);
        Self { way, policy, memory: Memory::default(), history: History::default(), seen: Timestamp::UNIX_EPOCH }
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
        self.seen = seen.at;
        self.history.note(seen, &self.policy);
        let decision = decide(seen, &self.policy, &mut self.memory, seen.at);
        Action { decision, pods: PodAction::InPlace }
    }

    /// The live controller keeps its Memory in its process, and may have written it down.
    fn restart(&mut self, kept: Kept) {
        let text = self.memory.to_text();
        self.memory = match (kept, text) {
            (Kept::Checkpoint, Ok(text)) => Memory::from_text(text.as_bytes()).unwrap_or_default(),
            (Kept::History, _) => warm_start(&self.history, &self.policy, self.seen),
            _ => Memory::new(),
        };
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod ways;
