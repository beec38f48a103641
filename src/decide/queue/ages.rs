//! When what waits came: the newest arrivals that make up the queue, because the oldest items are done first.

use serde::{Deserialize, Serialize};

use super::super::{arith::keep_last, sample::Sample};

/// Groups that arrivals are remembered in, over one target and a quarter.
const GROUPS: usize = 20;
const GROUPS_A_TARGET: f64 = 16.0;

/// Items that came until an instant (unix seconds), since the group before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Group(f64, f64);

/// Arrivals in groups, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Ages {
    groups: Vec<Group>,
    /// Items that waited at the last tick.
    waited: f64,
}

/// The line that capacity must stay above.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Core-seconds per item.
    pub(super) work: f64,
    /// Age at which an item is to be done, seconds.
    pub(super) aim: f64,
    /// Seconds until what is asked for works, and cores that work meanwhile.
    pub(super) lead: f64,
    pub(super) now: f64,
    /// Time that is left at least, seconds: what is late is done soon, not at any price.
    pub(super) least: f64,
}

impl Ages {
    /// Notes a tick: what waits, and how many items per second were done since the last one.
    pub(super) fn note(&mut self, sample: &Sample, waiting: f64, done: f64, target: f64) {
        let came = (waiting - self.waited + done * sample.dt).max(0.0);
        self.waited = waiting;
        let spacing = target / GROUPS_A_TARGET;
        let before = self.groups.len().checked_sub(2).and_then(|i| self.groups.get(i)).copied();
        match (self.groups.last_mut(), before) {
            (Some(last), Some(before)) if sample.t - before.0 <= spacing => *last = Group(sample.t, last.1 + came),
            _ => keep_last(&mut self.groups, GROUPS, Group(sample.t, came)),
        }
    }

    /// Cores that finish everything by its time: the most over all groups of what is due with them.
    pub(super) fn pace(&self, t: f64, waiting: f64, pace: &Pace) -> f64 {
        let needed = |items: f64, came: f64| {
            let work = (items * pace.work - pace.now * pace.lead).max(0.0);
            work / (pace.aim - (t - came) - pace.lead).max(pace.least)
        };
        let (mut left, mut most) = (waiting, 0.0_f64);
        for (i, group) in self.groups.iter().enumerate().rev() {
            if left <= 0.0 {
                return most;
            }
            // The oldest of a group came just after the group before.
            let came = i.checked_sub(1).map_or(group.0, |before| self.groups[before].0);
            most = most.max(needed(left, came));
            left -= group.1;
        }
        let oldest = self.groups.first().map_or(t, |group| group.0);
        if left > 0.0 { most.max(needed(left, oldest)) } else { most }
    }
}
