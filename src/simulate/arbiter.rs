//! The arbiter as a controller of the simulation: `decide` and its Memory, nothing else.

use super::Controller;
use crate::{
    decide::{Decision, Memory, Snapshot, decide},
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

    fn tick(&mut self, snapshot: &Snapshot) -> Decision {
        decide(snapshot, &self.policy, &mut self.memory, snapshot.at)
    }
}
