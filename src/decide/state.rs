//! Memory: what `decide` keeps between ticks of one workload.
//!
//! One part per term; each term reads and writes its own. At most 20 KB as JSON, whatever is observed. Serialising it
//! and reading it back changes nothing, so a restart or a replay goes on as if nothing had happened.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    capacity, demand, foreign, limits, memory::Peaks, queue, replicas, sample, saturation, size, stale, vertical, zero,
};

/// Layout of [`Memory`]; a memory of another version is forgotten, never misread.
pub const MEMORY_VERSION: u32 = 1;

/// What is remembered about one workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Memory {
    /// Layout version.
    pub(super) version: u32,
    /// Time, pod counts and template.
    pub(super) clock: sample::Clock,
    /// Since when signals are lost.
    pub(super) trust: stale::Trust,
    /// Demand model.
    pub(super) demand: demand::Identifier,
    /// Capacity feedback and table.
    pub(super) capacity: capacity::Feedback,
    /// Work per queued item.
    pub(super) queue: queue::Work,
    /// Saturation episode.
    pub(super) saturation: saturation::Episode,
    /// Replica counters.
    pub(super) counters: replicas::Counters,
    /// Writes of others.
    pub(super) foreign: foreign::Writes,
    /// Own scale events, for `behavior`.
    pub(super) events: limits::Events,
    /// Sizes that compete.
    pub(super) sizes: size::Regrets,
    /// Nominal and asked size, boost.
    pub(super) vertical: vertical::Vertical,
    /// Idle gaps, and a zero that is ours.
    pub(super) zero: zero::Zero,
    /// Memory peaks by container.
    pub(super) peaks: BTreeMap<String, Peaks>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            version: MEMORY_VERSION,
            clock: sample::Clock::default(),
            trust: stale::Trust::default(),
            demand: demand::Identifier::default(),
            capacity: capacity::Feedback::default(),
            queue: queue::Work::default(),
            saturation: saturation::Episode::default(),
            counters: replicas::Counters::default(),
            foreign: foreign::Writes::default(),
            events: limits::Events::default(),
            sizes: size::Regrets::default(),
            vertical: vertical::Vertical::default(),
            zero: zero::Zero::default(),
            peaks: BTreeMap::new(),
        }
    }
}

impl Memory {
    /// Nothing remembered.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything when the layout is not the one that this code writes.
    pub(super) fn check_version(&mut self) {
        if self.version != MEMORY_VERSION {
            *self = Self::new();
        }
    }
}
