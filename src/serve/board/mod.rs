//! The board: what was seen and decided lately, per policy, in memory.
//!
//! The controller and the demo write it with [`Board::record`]; the API reads it. Recent instants are kept one by
//! one, older ones thinned out (see [`series`]); decisions with their explain records are kept where something
//! changed; snapshots are kept with the Memory before the first of them, so that they replay to equal decisions.
//!
//! It must not decide, and must not reach a cluster. Invariant: memory per policy is bounded by [`Limits`], and
//! everything of a policy goes with it ([`Board::forget`]).

use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
};

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    decide::{Decision, Reason, SignalState, Snapshot},
    policy::{Policy, PolicyKey},
    units::{Cores, Seconds},
};

mod entry;
mod point;
mod replay;
mod series;
#[cfg(test)]
pub(in crate::serve) mod tests;

use entry::Entry;
pub use entry::{Change, Recorded, Shape};
pub use point::Point;
pub use replay::{Replay, ReplayHeader};
pub use series::History;

/// Who writes the board.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The controller, on a cluster.
    #[default]
    Run,
    /// The embedded demo.
    Demo,
}

/// How much is kept per policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Instants kept one by one.
    pub fine: usize,
    /// Instants kept after thinning.
    pub coarse: usize,
    /// How many instants become one when they are thinned.
    pub group: usize,
    /// Decisions kept with their explain record.
    pub decisions: usize,
    /// Keep every decision, not only those that changed something.
    pub every_decision: bool,
    /// Snapshots kept for replay.
    pub snapshots: usize,
}

impl Limits {
    /// For a controller: an hour of ticks of 15 s, a day of 5 min, an hour of snapshots; about 0.6 MB per policy, shared
    /// when there are many ([`Limits::shared`]).
    pub const LIVE: Self =
        Self { fine: 240, coarse: 288, group: 20, decisions: 48, every_decision: false, snapshots: 240 };
    /// What these limits become when so many policies share the room of 80 of them. What is shown of each is less
    /// then, down to a few instants; decisions are not replayed where less than a stretch of snapshots is left.
    #[must_use]
    pub fn shared(self, policies: usize) -> Self {
        if self.every_decision || policies <= WHOLE {
            return self;
        }
        let share = |whole: usize, least: usize| (whole * WHOLE / policies).max(least.min(whole));
        let snapshots = share(self.snapshots, 0);
        Self {
            fine: share(self.fine, 6),
            coarse: share(self.coarse, 12),
            // What waits to be thinned takes room as well.
            group: share(self.group, 4),
            decisions: share(self.decisions, 2),
            snapshots: if snapshots < LEAST_REPLAY { 0 } else { snapshots },
            ..self
        }
    }

    /// For the demo: a day of ticks of 15 s (5,760) and every decision of it; no replay.
    pub const DEMO: Self =
        Self { fine: 6_000, coarse: 6_000, group: 4, decisions: 6_000, every_decision: true, snapshots: 0 };
}

/// Policies that are shown in full. More share their room, 48 MB in all, so that a controller's memory is bounded by what it
/// decides on and not by what it shows.
const WHOLE: usize = 80;

/// Fewer snapshots than these are not worth the Memory that they replay from.
const LEAST_REPLAY: usize = 16;

/// What stays the same about a policy from tick to tick.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyMeta {
    /// Kind of the target, for example `Deployment`.
    pub kind: String,
    /// Name of the target.
    pub target: String,
    /// Whether anything is written: `Recommend`, `Auto`, `Paused`.
    pub mode: crate::policy::Mode,
    /// Target of the latency objective.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_target: Option<Seconds>,
    /// Share of requests wanted within the target, in (0, 1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_objective: Option<f64>,
    /// Time in which waiting work is to be drained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain_within: Option<Seconds>,
    /// The rival that writes the same workload, as a sentence; `None`: nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fight: Option<String>,
}

impl PolicyMeta {
    /// What the board needs of a compiled policy; `fight` is for the caller to fill.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        let latency = policy.objective.latency.as_ref();
        Self {
            kind: policy.target.kind.clone(),
            target: policy.target.name.clone(),
            mode: policy.mode,
            latency_target: latency.map(|l| l.target),
            latency_objective: latency.map(|l| l.objective),
            drain_within: policy.objective.backlog.as_ref().map(|b| b.drain_within),
            fight: None,
        }
    }
}

/// The state of the writer, for the line at the top of the page.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// Who writes the board.
    pub mode: Mode,
    /// Whether this process may write to the cluster; `None`: the question does not arise (demo).
    pub leader: Option<bool>,
    /// Identity of the leader, when known.
    pub holder: Option<String>,
    /// Duration of the last tick in milliseconds.
    pub tick_ms: Option<f64>,
    /// Instant of the last tick.
    pub last_tick: Option<Timestamp>,
}

/// [`Header`] with the counts over all policies.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct State {
    /// Version of this program.
    pub(super) version: &'static str,
    #[serde(flatten)]
    pub(super) header: Header,
    /// Policies on the board.
    pub(super) policies: usize,
    /// Policies whose workload somebody else writes too.
    pub(super) fights: usize,
    /// Signals that hold something back: Stale, Partial, Absent or Invalid.
    pub(super) stale_signals: usize,
}

/// One row of the list of workloads.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    #[serde(flatten)]
    key: PolicyKey,
    #[serde(flatten)]
    meta: PolicyMeta,
    at: i64,
    replicas: u32,
    ready: u32,
    desired: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod_cores: Option<Cores>,
    reason: Reason,
    message: String,
    contested: bool,
    spark: Spark,
}

/// Demand under capacity, few points: a picture the size of a word.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Spark {
    demand: Vec<Option<f64>>,
    capacity: Vec<Option<f64>>,
}

/// Whether a signal in this state holds something back.
const fn holds_back(state: SignalState) -> bool {
    matches!(state, SignalState::Stale | SignalState::Partial | SignalState::Absent | SignalState::Invalid)
}

#[derive(Debug, Default)]
struct Inner {
    header: Header,
    /// Each in its own box: nodes of the tree are mostly half empty.
    policies: BTreeMap<PolicyKey, Box<Entry>>,
}

/// The board. Share it in an `Arc`; every method takes a short lock.
#[derive(Debug)]
pub struct Board {
    limits: Limits,
    inner: RwLock<Inner>,
}

impl Board {
    /// An empty board.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, inner: RwLock::default() }
    }

    /// Records one decision and what it rests on.
    pub fn record(&self, key: &PolicyKey, meta: PolicyMeta, snapshot: &Snapshot, decision: &Decision, at: Timestamp) {
        self.record_point(key, meta, Point::of(snapshot, decision, at), decision);
    }

    /// Records one decision with a point that the caller made: for writers that know more than a snapshot says (the
    /// demo knows the true demand and capacity).
    pub fn record_point(&self, key: &PolicyKey, meta: PolicyMeta, mut point: Point, decision: &Decision) {
        point.latency_target = meta.latency_target;
        self.write(|inner| match (inner.policies.len(), inner.policies.get_mut(key)) {
            (policies, Some(entry)) => entry.record(meta, point, decision, self.limits.shared(policies)),
            (_, None) => {
                inner.policies.insert(key.clone(), Box::new(Entry::new(meta, point, decision)));
            }
        });
    }

    /// Records one decision, and its snapshot for replay. `memory` is the Memory **before** this decision as JSON; it
    /// is only called when a new stretch of snapshots begins (twice per `Limits::snapshots`, and when the policy
    /// changes), so it may be dear.
    pub fn record_with_memory(
        &self,
        policy: &Policy,
        meta: PolicyMeta,
        snapshot: &Snapshot,
        decision: &Decision,
        memory: impl FnOnce() -> serde_json::Value,
    ) {
        self.record(&policy.key, meta, snapshot, decision, snapshot.at);
        self.write(|inner| {
            let limits = self.limits.shared(inner.policies.len());
            if let Some(entry) = inner.policies.get_mut(&policy.key) {
                entry.replay.push(policy, snapshot, memory, limits.snapshots);
            }
        });
    }

    /// Begins a new stretch of snapshots: the Memory changed otherwise than by deciding.
    pub fn restart_replay(&self, key: &PolicyKey) {
        self.write(|inner| {
            if let Some(entry) = inner.policies.get_mut(key) {
                entry.replay.restart();
            }
        });
    }

    /// Removes everything of a policy.
    pub fn forget(&self, key: &PolicyKey) {
        self.write(|inner| inner.policies.remove(key));
    }

    /// Sets the state of the writer.
    pub fn set_header(&self, header: Header) {
        self.write(|inner| inner.header = header);
    }

    /// The last snapshots of a policy with the header that they replay from; `None`: unknown policy, or nothing kept.
    #[must_use]
    pub fn snapshots(&self, key: &PolicyKey) -> Option<Replay> {
        self.read(|inner| inner.policies.get(key).and_then(|entry| entry.replay.read()))
    }

    /// The keys on the board, sorted.
    #[must_use]
    pub fn keys(&self) -> Vec<PolicyKey> {
        self.read(|inner| inner.policies.keys().cloned().collect())
    }

    /// The columns of a policy's history after an instant (milliseconds since the epoch); `None`: unknown policy.
    #[must_use]
    pub fn history(&self, key: &PolicyKey, after_ms: Option<i64>) -> Option<History> {
        self.read(|inner| inner.policies.get(key).map(|entry| entry.series.history(after_ms)))
    }

    /// The decision that held at an instant (milliseconds since the epoch; `None`: now) with the last changes;
    /// `None`: unknown policy. Of instants whose decision was not kept, the nearest kept one before is given.
    #[must_use]
    pub fn explain(&self, key: &PolicyKey, at_ms: Option<i64>) -> Option<Recorded> {
        self.read(|inner| inner.policies.get(key).map(|entry| entry.explain(key, at_ms)))
    }

    /// The line at the top.
    pub(super) fn state(&self) -> State {
        self.read(|inner| State {
            version: env!("CARGO_PKG_VERSION"),
            header: inner.header.clone(),
            policies: inner.policies.len(),
            fights: inner.policies.values().filter(|e| e.contested()).count(),
            stale_signals: inner.policies.values().map(|e| e.stale_signals()).sum(),
        })
    }

    /// The list of workloads: contested ones first, then by key.
    pub(super) fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = self.read(|inner| inner.policies.iter().map(|(key, entry)| entry.row(key)).collect());
        rows.sort_by_key(|row| !row.contested);
        rows
    }

    /// A writer that panicked leaves at worst one tick missing, so a poisoned lock is used on.
    fn read<T>(&self, f: impl FnOnce(&Inner) -> T) -> T {
        f(&self.inner.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.inner.write().unwrap_or_else(PoisonError::into_inner))
    }
}
