//! Writes of others: never an obstacle to growth, upwards a floor for `hold`, and from a repeated rival a truce.
//!
//! Somebody else wrote when `spec.replicas` changed and the API server names another writer; where it names none, when it
//! changed to a number that was not decided lately. While a policy only recommends, others are meant to write and nothing
//! of this applies.
//!
//! A rival undoes what we wrote, again and again. So a write counts against it only if we had written since its last
//! one (a person who goes up step by step is none), and only if no new template comes with it (a deploy is none, however
//! often it comes).

use serde::{Deserialize, Serialize};

use super::sample::Sample;
use crate::policy::{Mode, OnRival, Policy};

/// A rival has written this often …
const RIVAL_WRITES: usize = 3;
/// … within this time …
const RIVAL_WINDOW: f64 = 900.0;
/// … and is left in peace for this long.
const TRUCE: f64 = 1800.0;
/// A new template that is seen within this time of a write of the count came with it: one apply changes both, and the
/// hash of the template shows when its controller has made the first pod set of it, a second or a few later.
const DEPLOY: f64 = 30.0;

/// Own decisions that are remembered: a write takes a tick or two to be seen.
const REMEMBERED: usize = 4;

/// What others wrote.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Writes {
    /// The last decisions, newest last.
    decided: Vec<u32>,
    /// A foreign count that is a floor, and until when.
    floor: Option<(u32, f64)>,
    /// When others wrote after us.
    times: Vec<f64>,
    /// Who wrote last.
    writer: Option<String>,
    /// The last change: (from, to, when).
    change: Option<(u32, u32, f64)>,
    /// No shrinking until then.
    truce_until: Option<f64>,
}

/// What others' writes mean for this tick.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Foreign {
    /// `spec.replicas` was changed by somebody else since the last tick.
    pub(super) wrote: bool,
    /// At least this many.
    pub(super) floor: Option<u32>,
    /// A repeated rival: nothing shrinks.
    pub(super) rival: bool,
    /// Seconds until the truce, else the floor, is over.
    pub(super) left: Option<f64>,
}

impl Writes {
    /// Compares what is with what was decided.
    pub(super) fn observe(&mut self, sample: &Sample, policy: &Policy, writer: Option<&str>, hold: f64) -> Foreign {
        let changed = sample.spec_before.filter(|before| *before != sample.spec);
        if policy.mode != Mode::Auto {
            self.floor = None;
            self.truce_until = None;
            return Foreign::default();
        }
        let ours = match writer {
            Some(_) => self.decided.last() == Some(&sample.spec),
            None => self.decided.contains(&sample.spec),
        };
        let wrote = changed.is_some() && !ours;
        if sample.new_template {
            self.acquit(sample.t);
        }
        if let (true, Some(before)) = (wrote, changed) {
            self.floor = (sample.spec > before && sample.spec > 0).then_some((sample.spec, sample.t + hold));
            self.note(sample, before, writer);
        }
        self.times.retain(|at| (0.0..RIVAL_WINDOW).contains(&(sample.t - at)));
        if self.times.len() >= RIVAL_WRITES {
            self.truce_until = Some(sample.t + TRUCE);
            self.times.remove(0);
        }
        self.floor = self.floor.filter(|(_, until)| sample.t < *until);
        self.truce_until = self.truce_until.filter(|until| sample.t < *until && *until - sample.t <= TRUCE);
        let rival = self.truce_until.is_some() && policy.on_rival == OnRival::Floor;
        let until = self.truce_until.filter(|_| rival).or(self.floor.map(|(_, until)| until));
        Foreign { wrote, floor: self.floor.map(|(n, _)| n), rival, left: until.map(|until| until - sample.t) }
    }

    /// A new template has come: what was written with it was a deploy, and a truce because of that alone is none.
    fn acquit(&mut self, t: f64) {
        let known = self.times.len();
        self.times.retain(|at| t - at > DEPLOY);
        if self.times.len() < known && self.truce_until.is_some_and(|until| until - TRUCE >= t - DEPLOY) {
            self.truce_until = None;
        }
    }

    /// Notes a write of somebody else.
    fn note(&mut self, sample: &Sample, before: u32, writer: Option<&str>) {
        let writer: Option<String> = writer.map(|w| w.chars().take(63).collect());
        if self.writer != writer {
            self.times.clear();
            self.change = None;
            self.writer = writer;
        }
        // From the count that it left there itself: nobody had written in between.
        let after_ours = self.change.is_none_or(|(_, left, _)| left != before);
        if after_ours && !sample.new_template {
            self.times.push(sample.t);
        }
        self.change = Some((before, sample.spec, sample.t));
    }

    /// Whether a rival is being kept off or put up with.
    pub(super) fn contested(&self) -> bool {
        self.truce_until.is_some()
    }

    /// Who the rival is and what it did, in words.
    pub(super) fn describe(&self) -> String {
        let who = self.writer.as_deref().unwrap_or("somebody else");
        let (from, to, at) = self.change.unwrap_or_default();
        format!("{who} changed replicas {from} → {to} at {}: {RIVAL_WRITES} times in 15 min", super::words::clock(at))
    }

    /// Remembers what was decided.
    pub(super) fn decided(&mut self, n: u32) {
        if self.decided.last() != Some(&n) {
            if self.decided.len() >= REMEMBERED {
                self.decided.remove(0);
            }
            self.decided.push(n);
        }
    }
}
