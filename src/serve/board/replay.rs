//! Snapshots for replay: production decisions, taken home.
//!
//! A replay needs the Memory before its first snapshot. Memory is dear to copy, so it is not kept per snapshot:
//! snapshots lie in two stretches, each with the Memory before its first. When the newer one is full the older one
//! goes, so at least half of the limit is always there.

use serde::Serialize;

use crate::{decide::Snapshot, policy::Policy};

/// What the snapshots replay from: the first line of a replay.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayHeader {
    /// Version of the contract.
    pub v: u32,
    /// Version of the controller that decided.
    pub controller_version: &'static str,
    /// The compiled policy, prices included.
    pub policy: Policy,
    /// Prices, once more by themselves.
    pub prices: crate::policy::Prices,
    /// Memory before the first snapshot.
    pub memory: serde_json::Value,
}

/// A header and the snapshots that follow it.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// First line.
    pub header: ReplayHeader,
    /// The lines after it, in order.
    pub snapshots: Vec<Snapshot>,
}

#[derive(Debug)]
struct Stretch {
    /// JSON: a tenth of the room that the parsed value takes.
    memory: String,
    snapshots: Vec<Snapshot>,
}

/// The stretches of one policy; the policy is the same in all of them.
#[derive(Debug, Default)]
pub(super) struct Kept {
    policy: Option<Policy>,
    stretches: Vec<Stretch>,
}

impl Kept {
    pub(super) fn push(
        &mut self,
        policy: &Policy,
        snapshot: &Snapshot,
        memory: impl FnOnce() -> serde_json::Value,
        limit: usize,
    ) {
        if limit == 0 {
            self.policy = None;
            self.stretches.clear();
            return;
        }
        if self.policy.as_ref() != Some(policy) {
            self.policy = Some(policy.clone());
            self.stretches.clear();
        }
        let half = limit.div_ceil(2);
        match self.stretches.last_mut() {
            Some(stretch) if stretch.snapshots.len() < half => stretch.snapshots.push(snapshot.clone()),
            _ => self.stretches.push(Stretch { memory: memory().to_string(), snapshots: vec![snapshot.clone()] }),
        }
        // The limit falls as more policies come: then more than one may be too many.
        let total = |stretches: &[Stretch]| stretches.iter().map(|s| s.snapshots.len()).sum::<usize>();
        while self.stretches.len() > 2 || (self.stretches.len() > 1 && total(&self.stretches) > limit) {
            self.stretches.remove(0);
        }
    }

    /// What was kept does not lead to what comes.
    pub(super) fn restart(&mut self) {
        self.stretches.clear();
    }

    pub(super) fn read(&self) -> Option<Replay> {
        let policy = self.policy.clone()?;
        let header = ReplayHeader {
            v: 0,
            controller_version: env!("CARGO_PKG_VERSION"),
            prices: policy.prices,
            policy,
            memory: serde_json::from_str(&self.stretches.first()?.memory).ok()?,
        };
        let snapshots = self.stretches.iter().flat_map(|s| s.snapshots.iter().cloned()).collect();
        Some(Replay { header, snapshots })
    }
}
