//! The arbiter as a controller of the simulation: `decide` and its Memory, nothing else.

use jiff::Timestamp;

use super::{Action, Controller, Kept, PodAction, View};
use crate::{
    decide::{History, Memory, decide, warm_start},
    policy::Policy,
};

/// The decision model under the scenario's policy, from an empty Memory.
#[derive(Clone, Debug)]
pub(super) struct Arbiter {
    policy: Policy,
    memory: Memory,
    /// What a metrics server would have of it.
    history: History,
    seen: Timestamp,
}

impl Arbiter {
    pub(super) fn new(policy: Policy) -> Self {
        Self { policy, memory: Memory::default(), history: History::default(), seen: Timestamp::UNIX_EPOCH }
    }
}

impl Controller for Arbiter {
    fn name(&self) -> &'static str {
        "arbiter"
    }

    fn tick(&mut self, view: &View<'_>) -> Action {
        self.seen = view.snapshot.at;
        self.history.note(view.snapshot, &self.policy);
        let decision = decide(view.snapshot, &self.policy, &mut self.memory, view.snapshot.at);
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
