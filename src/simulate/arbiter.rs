//! The arbiter as a controller of the simulation: `decide` and its Memory, nothing else.

use super::{Action, Controller, PodAction, View};
use crate::{
    decide::{Memory, decide},
    policy::Policy,
};

/// The decision model under the scenario's policy, from an empty Memory.
#[derive(Clone, Debug)]
pub(super) struct Arbiter {
    policy: Policy,
    memory: Memory,
}

impl Arbiter {
    pub(super) fn new(policy: Policy) -> Self {
        Self { policy, memory: Memory::default() }
    }
}

impl Controller for Arbiter {
    fn name(&self) -> &'static str {
        "arbiter"
    }

    fn tick(&mut self, view: &View<'_>) -> Action {
        let decision = decide(view.snapshot, &self.policy, &mut self.memory, view.snapshot.at);
        Action { decision, pods: PodAction::InPlace }
    }

    /// The live controller keeps its Memory in its process.
    fn restart(&mut self) {
        self.memory = Memory::default();
    }
}
