//! Replicas: one ski-rental counter per replica, which together are discrete lazy capacity provisioning.
//!
//! The counter of replica `i` holds how long it has been idle, in seconds of its own price: it runs up while the replica
//! is not worth its price and down while it is. At `hold` seconds the replica leaves: `hold` is the scale-down
//! stabilization window. Growth never waits: demand (without headroom) that is not carried adds a replica at once, and
//! only the headroom is provided lazily.
//!
//! For a cost convex in the count the counters are non-decreasing in `i`, so the chosen replicas are the first ones,
//! and the total cost is at most three times the optimum's on the charged sequence.

use serde::{Deserialize, Serialize};

/// The most counters kept; beyond it a counter stands for a group of replicas.
const MOST_COUNTERS: u32 = 512;

/// Counters, replica 1 first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Counters {
    /// Idle seconds, stored narrow: they are many.
    #[serde(with = "super::compact")]
    idle: Vec<f32>,
    /// Replicas per counter.
    group: u32,
    /// What was decided last.
    pub(super) decided: Option<u32>,
    /// What was needed at the last tick, before holding.
    pub(super) needed: u32,
}

/// What the counters are moved by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// Seconds.
    pub(super) dt: f64,
    /// Price of a pod per second.
    pub(super) pod: f64,
    /// Price of a missing core per second.
    pub(super) shortage: f64,
    /// Work a pod carries.
    pub(super) k: f64,
    /// Work planned for, headroom included.
    pub(super) planned: f64,
    /// Work that must be carried now.
    pub(super) must: f64,
    /// Idle time after which a replica leaves.
    pub(super) hold: f64,
}

impl Step {
    /// Benefit minus price of replica `i` (from 0) against `x`, in units of the pod's price.
    fn waste(&self, i: f64, x: f64) -> f64 {
        let relief = (x - i * self.k).clamp(0.0, self.k);
        1.0 - self.shortage * relief / self.pod
    }

    /// The count that is worth its price against `x`.
    pub(super) fn worth(&self, x: f64) -> u32 {
        // Replica i is worth it when x − i·k exceeds this sliver of shortage.
        let sliver = (self.pod / self.shortage).min(0.5 * self.k);
        super::arith::replicas_for(x - sliver, self.k)
    }
}

impl Counters {
    /// Counters for `max` replicas, of which `running` run.
    pub(super) fn resize(&mut self, max: u32, running: u32, hold: f64) {
        let group = max.div_ceil(MOST_COUNTERS).max(1);
        let wanted = max.max(running).div_ceil(group).min(2 * MOST_COUNTERS) as usize;
        if self.group != group {
            self.idle.clear();
            self.group = group;
        }
        let running = running.div_ceil(group) as usize;
        while self.idle.len() < wanted {
            self.idle.push(if self.idle.len() < running { 0.0 } else { narrow(hold) });
        }
        self.idle.truncate(wanted);
    }

    /// One tick: the count that the counters ask for, when `running` run.
    pub(super) fn step(&mut self, step: &Step, running: u32) -> u32 {
        let group = f64::from(self.group.max(1));
        let of_group = Step { k: step.k * group, pod: step.pod * group, ..*step };
        let mut kept = None;
        for (i, idle) in self.idle.iter_mut().enumerate() {
            let waste = of_group.waste(i as f64, step.planned);
            let moved = f64::from(*idle).min(step.hold) + step.dt * waste;
            let on = (i as f64) * group < f64::from(running);
            let stays = if on { waste <= 0.0 || moved < step.hold * (1.0 - 1e-6) } else { moved < 0.0 };
            *idle = narrow(moved.clamp(0.0, step.hold));
            if !stays && kept.is_none() {
                kept = Some(i);
            }
        }
        let kept = u32::try_from(kept.unwrap_or(self.idle.len())).unwrap_or(u32::MAX).saturating_mul(self.group.max(1));
        // A group is held or left as a whole; within it the exact need decides growth.
        let lazily =
            if self.group > 1 && kept > running { running.max(step.worth(step.planned).min(kept)) } else { kept };
        self.needed = step.worth(step.planned);
        lazily.max(step.worth(step.must))
    }

    /// Notes what was decided: a replica just added is fresh, one just removed has paid.
    pub(super) fn settle(&mut self, from: u32, to: u32, hold: f64) {
        let group = self.group.max(1) as usize;
        for (i, idle) in self.idle.iter_mut().enumerate() {
            let (first, last) = (i * group, (i + 1) * group);
            if first >= from as usize && first < to as usize {
                *idle = 0.0;
            } else if last > to as usize && last <= from as usize {
                *idle = narrow(hold);
            }
        }
        self.decided = Some(to);
    }

    /// So many replicas are wanted, whatever they do: they are not idle.
    pub(super) fn keep(&mut self, wanted: u32) {
        let counters = (wanted / self.group.max(1)) as usize;
        self.idle.iter_mut().take(counters).for_each(|idle| *idle = 0.0);
    }

    /// Idle seconds of a replica (from 1).
    pub(super) fn idle_of(&self, replica: u32) -> f64 {
        let index = (replica.saturating_sub(1) / self.group.max(1)) as usize;
        self.idle.get(index).copied().map_or(0.0, f64::from)
    }

    /// The same idle times for pods of another capacity: replica `i` now stands where `i·k'/k` stood.
    pub(super) fn rescale(&mut self, ratio: f64) {
        let old: Vec<f64> = self.idle.iter().copied().map(f64::from).collect();
        let places: Vec<f64> = (0..old.len()).map(|i| i as f64).collect();
        for (i, idle) in self.idle.iter_mut().enumerate() {
            *idle = narrow(super::arith::interpolate(i as f64 * ratio, &places, &old));
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "seconds of idleness need no more digits, and there are many")]
fn narrow(x: f64) -> f32 {
    x as f32
}

#[cfg(test)]
mod tests;
