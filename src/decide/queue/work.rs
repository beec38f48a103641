//! What an item costs and what a worker does, learned from usage and the queue over the same window.
//!
//! Usage `u` of full workers and the fall of the queue are two ends of one balance: `u = y + b·fall`, where `y` is what
//! arrives. Three ways to `b`, the best one that there is counts:
//! - a rate tells what came: CPU seconds spent over items done, summed up;
//! - two windows in which something waited: what arrives changes slowly, so when usage changed by `Δu` (pods came,
//!   neighbours left CPU) the fall changed by `Δu/b`; the median of the last such pairs counts, weighted by their `Δu`,
//!   because where a batch came in between, a pair says nothing;
//! - the queue fell: what was spent over what it fell by is an upper bound; the least of them counts, and it may rise by
//!   a quarter with each further drain that took not much more.

use serde::{Deserialize, Serialize};

use super::{
    super::{
        arith::{interpolate, keep_last, weight},
        sample::Sample,
        stale::{Judged, Signals},
    },
    Basis,
    ages::Ages,
};
use crate::units::maths;

/// Items that must have been done before their work is believed.
const ITEMS_TO_LEARN: f64 = 10.0;
/// Share of the sums that the largest drain replaces: what is idle is not forgotten.
const FORGET: f64 = 0.01;
/// How far one drain may raise what the least one said.
const RISE: f64 = 1.25;
/// A drain that took so many times what the least one took was mostly flow, and says nothing.
const MOSTLY_FLOW: f64 = 2.0;
/// Utilization that a worker is planned at before full ones were seen: it pulls its work, so it can be full.
const WORKER_UTILIZATION: f64 = 0.97;
/// What full workers use of their requests is believed within: throttled by half, or a node to themselves.
const STRETCH: (f64, f64) = (0.5, 2.0);
/// Spacing and number of remembered readings: they must reach back over the age of usage and its window.
const TRAIL_STEP: f64 = 5.0;
const TRAIL_LENGTH: usize = 24;
/// Windows that are kept, their spacing, and how far apart those may be that are compared, or what arrives is another flow.
const WINDOWS: usize = 8;
const WINDOW_STEP: f64 = 10.0;
const APART: f64 = 180.0;
/// Pairs that count, that are needed, and the least change of usage in a pair, in pods.
const PAIRS: usize = 32;
const PAIRS_TO_LEARN: usize = 3;
const LEAST_CHANGE: f64 = 0.25;
/// What each window leaves of the fastest fall: half after 140.
const KEEP_FASTEST: f64 = 0.995;
/// Share of the target, and seconds at least, that the mean of what arrives is taken over, and in how many readings.
const FLOW_SHARE: f64 = 0.25;
const FLOW_LEAST: f64 = 45.0;
const FLOWS: usize = 16;
/// Share of what is believed to be done that surely is: less makes what waits older.
const DONE_SURELY: f64 = 0.8;
/// After so many seconds of work without anything that waits, and each time again, an item is believed to take half.
const DOUBT_AFTER: f64 = 1200.0;
/// Half of a doubt is gone after so many seconds in which full workers let the queue rise: then items take more, or more
/// come, and either wants more workers.
const BELIEVED_AGAIN: f64 = 60.0;
/// How far what is believed of an item's work moves in a tick: by half in a minute.
const MOVES: f64 = 1.1;
/// Time constants: the idle cost of a worker, what full workers get.
const IDLE_TAU: f64 = 300.0;
const STRETCH_TAU: f64 = 180.0;
/// Idle cost of a worker before it was seen, and at most, as a share of its size.
const IDLE_PRIOR: f64 = 0.03;
const IDLE_MOST: f64 = 0.3;
/// Tracker of the burst that 95 in 100 do not exceed: nineteen steps down for one up.
const BURST_UP: f64 = 0.5;
const BURST_DOWN: f64 = BURST_UP / 19.0;

/// One reading: time, items that wait or cores that arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Mark(f64, f64);

/// A drain under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Drain {
    spent: f64,
    done: f64,
}

/// A window in which something waited: its ends, cores spent, items per second by which the queue fell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Window(f64, f64, f64, f64);

/// What pairs of windows said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Pairs {
    windows: Vec<Window>,
    /// Items per second by which the queue fell at most, those of long ago less.
    fastest: f64,
    /// By pair, oldest first: items per core-second, and its weight.
    said: Vec<(f32, f32)>,
}

impl Pairs {
    /// Notes a window and compares it with the last one that does not overlap it; whether that told something.
    fn note(&mut self, window: Window, size: f64) -> bool {
        if self.windows.last().is_some_and(|last| window.1 - last.1 < WINDOW_STEP) {
            return false;
        }
        self.fastest = (self.fastest * KEEP_FASTEST).max(window.3);
        // What rises faster than it ever fell is a batch.
        if -window.3 > self.fastest {
            return false;
        }
        let mut told = false;
        if let Some(before) = self.windows.iter().rev().find(|w| w.1 <= window.0) {
            let (spent, fell) = (window.2 - before.2, window.3 - before.3);
            if window.1 - before.1 <= APART && spent.abs() >= LEAST_CHANGE * size {
                keep_last(&mut self.said, PAIRS, (narrow(fell / spent), narrow(spent.abs())));
                told = true;
            }
        }
        keep_last(&mut self.windows, WINDOWS, window);
        told
    }

    /// Core-seconds per item.
    fn work(&self) -> Option<f64> {
        let mut said = [(0.0, 0.0); PAIRS];
        let told = said.get_mut(..self.said.len()).filter(|told| told.len() >= PAIRS_TO_LEARN)?;
        told.copy_from_slice(&self.said);
        told.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let half = 0.5 * told.iter().map(|pair| pair.1).sum::<f32>();
        let mut sum = 0.0;
        let median = told.iter().find(|pair| {
            sum += pair.1;
            sum >= half
        })?;
        (median.0 > 0.0).then(|| 1.0 / f64::from(median.0))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "what a pair says is coarse, and there are many")]
fn narrow(x: f64) -> f32 {
    x as f32
}

/// What is known about waiting work.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::decide) struct Work {
    /// Core-seconds spent on items, and items done, where a rate tells how many came.
    spent: f64,
    done: f64,
    /// Largest number of items done in a tick, for forgetting.
    done_peak: f64,
    /// Core-seconds per item by the least drain; 0: none seen.
    bound: f64,
    drain: Drain,
    pairs: Pairs,
    /// Core-seconds per item that are believed; 0: nothing was seen.
    believed: f64,
    /// Seconds of work since something confirmed it.
    unconfirmed: f64,
    /// Idle cost of a worker, cores; 0: not seen.
    idle: f64,
    /// What full workers use of their requests; 0: not seen.
    stretch: f64,
    /// Readings, oldest first.
    trail: Vec<Mark>,
    /// When what waits came.
    pub(super) ages: Ages,
    /// Arriving work of late: time, cores; and what is reckoned with.
    flows: Vec<Mark>,
    pub(super) arriving: f64,
    /// Largest number that waited since the queue was empty, and what bursts reach.
    pub(super) burst: f64,
    pub(super) bursts: f64,
    /// What waits and since when it has not fallen.
    pub(super) stalled: Option<(f64, f64)>,
    /// There were no pods when work came first, so nobody has seen any work on it.
    pub(super) woken: bool,
}

impl Work {
    /// Learns from one tick; `target` is the time within which items are to be done, seconds.
    pub(in crate::decide) fn learn(&mut self, sample: &Sample, signals: &Signals, target: f64) {
        let backlog = signals.backlog.as_ref();
        let Some(waiting) = backlog.and_then(Judged::whole) else {
            self.trail.clear();
            self.drain = Drain::default();
            return;
        };
        let age = backlog.and_then(|j| j.verdict.age_seconds).map_or(0.0, |a| a.0).min(120.0);
        self.note_burst(waiting);
        self.note(sample.t - age, waiting);
        self.woken = (self.woken || sample.spec == 0) && self.per_item().is_none();
        self.learn_window(sample, signals, target);
        let done = self.per_item().map_or(0.0, |(work, _)| DONE_SURELY * self.serving(sample, waiting) / work);
        self.ages.note(sample, waiting, done, target);
    }

    /// Learns from the last window of usage.
    fn learn_window(&mut self, sample: &Sample, signals: &Signals, target: f64) {
        let (from, to) = sample.usage_window;
        let Some((before, after)) = self.waited(from).zip(self.waited(to)) else { return };
        let (pods, size) = (sample.ready_in_window, sample.running.unwrap_or(1.0));
        let full = before.min(after) > pods.max(1.0);
        // Pods that do not report yet work like those that do, where there is enough for all.
        let part = sample.usage.filter(|_| full || sample.usage_is_whole());
        let Some(usage) = part.or((pods == 0.0).then_some(0.0)).filter(|_| sample.dt > 0.0) else { return };
        let fallen = (before - after) / (to - from);
        let rate = signals.demand.as_ref().and_then(Judged::whole);
        if before == 0.0 && after == 0.0 && pods > 0.5 && rate.is_none_or(|rate| rate == 0.0) {
            let idle = usage / pods;
            self.idle += if self.idle > 0.0 { weight(sample.dt, IDLE_TAU) * (idle - self.idle) } else { idle };
        }
        let spent = (usage - self.idle_of(size) * pods).max(0.0);
        if before.max(after) > pods.max(1.0) {
            self.confirm(Window(from, to, spent, fallen), size);
            if full && fallen < 0.0 {
                self.unconfirmed = (self.unconfirmed - sample.dt * DOUBT_AFTER / BELIEVED_AGAIN).max(0.0);
            }
            if full && pods > 0.5 {
                let gets = (usage / (pods * size)).clamp(STRETCH.0, STRETCH.1);
                self.stretch +=
                    if self.stretch > 0.0 { weight(sample.dt, STRETCH_TAU) * (gets - self.stretch) } else { gets };
            }
        }
        let told = rate.is_some() || self.pairs.work().is_some();
        // Workers that keep a queue empty look as if that were what they cost idle.
        let busy = usage > (IDLE_PRIOR + IDLE_PRIOR.min(0.1 * size)) * pods;
        if !told && before.max(after) <= pods.max(1.0) && busy && pods > 0.0 {
            self.unconfirmed += sample.dt;
        }
        if let Some(rate) = rate {
            self.balance(spent * sample.dt, (rate + fallen).max(0.0) * sample.dt);
        } else {
            // An upper bound needs the most that may have been spent.
            let most = if sample.usage_is_whole() { spent } else { spent.max(pods * self.carries(size)) };
            self.drained(most * sample.dt, fallen * sample.dt);
        }
        self.believe();
        let work = self.per_item().map_or(0.0, |(work, _)| work);
        // Where no rate is counted, workers that are idle and workers that keep a queue empty look alike: the share that is
        // busy is what all of them use of what they can, idle cost included.
        let share = (usage - work * fallen) * self.carries(size) / (self.gets() * size);
        let flow = rate.filter(|_| work > 0.0).map_or(share, |rate| work * rate).max(0.0);
        self.note_flow(sample.t, flow, target);
    }

    /// What arrives is the mean over a part of the target: what came before has nothing to say about workers.
    fn note_flow(&mut self, t: f64, flow: f64, target: f64) {
        let over = (FLOW_SHARE * target).max(FLOW_LEAST);
        if self.flows.last().is_none_or(|last| t - last.0 >= over / FLOWS as f64) {
            keep_last(&mut self.flows, FLOWS + 1, Mark(t, flow));
        }
        let recent = self.flows.iter().filter(|mark| t - mark.0 < over);
        let (sum, n) = recent.fold((0.0, 0.0), |(sum, n), mark| (sum + mark.1, n + 1.0));
        self.arriving = if n > 0.0 { sum / n } else { flow };
    }

    /// Cores that are spent on items now: full workers' while they have enough of them.
    fn serving(&self, sample: &Sample, waiting: f64) -> f64 {
        let size = sample.running.unwrap_or(1.0);
        let most = sample.ready * self.carries(size);
        let seen = sample.usage.map_or(most, |usage| usage - self.idle_of(size) * sample.ready_in_window);
        if waiting > sample.ready.max(1.0) { most } else { seen.clamp(0.0, most) }
    }

    /// Notes a reading; readings that come faster than they are kept replace each other.
    fn note(&mut self, t: f64, waiting: f64) {
        if let Some(last) = self.trail.last_mut()
            && t - last.0 < TRAIL_STEP
        {
            last.1 = waiting;
            return;
        }
        keep_last(&mut self.trail, TRAIL_LENGTH, Mark(t, waiting));
    }

    /// Items that waited at an instant; `None` before the first reading.
    pub(super) fn waited(&self, t: f64) -> Option<f64> {
        let first = self.trail.first().filter(|first| first.0 <= t)?;
        let mut before = *first;
        for mark in &self.trail {
            if mark.0 > t {
                return Some(interpolate(t, &[before.0, mark.0], &[before.1, mark.1]));
            }
            before = *mark;
        }
        Some(before.1)
    }

    /// Energy balance where a rate tells what came.
    fn balance(&mut self, spent: f64, done: f64) {
        self.done_peak = self.done_peak.max(done);
        let keep = if self.done_peak > 0.0 { 1.0 - FORGET * done / self.done_peak } else { 1.0 };
        self.spent = self.spent * keep + spent;
        self.done = self.done * keep + done;
    }

    /// Energy balance where only the queue tells.
    fn drained(&mut self, spent: f64, fallen: f64) {
        if fallen <= 0.0 {
            let said = self.drain.spent / self.drain.done;
            if self.drain.done >= ITEMS_TO_LEARN {
                // What pairs confirm is no flow, however low the least drain was.
                let known = self.bound.max(self.pairs.work().unwrap_or(0.0));
                let rise = if said < MOSTLY_FLOW * known { RISE } else { 1.0 };
                self.bound = said.min(rise * self.bound);
            }
            self.drain = Drain::default();
            return;
        }
        self.drain.spent += spent;
        self.drain.done += fallen;
        if self.drain.done >= ITEMS_TO_LEARN {
            let said = self.drain.spent / self.drain.done;
            self.bound = if self.bound > 0.0 { said.min(self.bound) } else { said };
        }
    }

    fn note_burst(&mut self, waiting: f64) {
        self.burst = self.burst.max(waiting);
        if waiting == 0.0 && self.burst > 0.0 {
            let gain = if self.burst > self.bursts { BURST_UP } else { BURST_DOWN };
            self.bursts += if self.bursts > 0.0 { gain * (self.burst - self.bursts) } else { self.burst };
            self.burst = 0.0;
        }
    }

    /// Core-seconds per item, from what was seen.
    pub(super) fn per_item(&self) -> Option<(f64, Basis)> {
        let told = self.told().map(|(work, basis)| (if self.believed > 0.0 { self.believed } else { work }, basis));
        told.or((self.believed > 0.0).then_some((self.believed, Basis::Drain)))
    }

    /// The same, as it was told last.
    fn told(&self) -> Option<(f64, Basis)> {
        if self.done >= ITEMS_TO_LEARN && self.spent > 0.0 {
            return Some((self.spent / self.done, Basis::Measured));
        }
        let bound = (self.bound > 0.0).then_some((self.bound, Basis::Drain));
        let pairs = self.pairs.work().map(|work| (work, Basis::Pairs));
        pairs.filter(|pairs| bound.is_none_or(|bound| pairs.0 < bound.0)).or(bound)
    }

    /// Notes a window in which something waited. Where nothing did for long, what was told before is forgotten.
    fn confirm(&mut self, window: Window, size: f64) {
        let doubted = self.unconfirmed > DOUBT_AFTER;
        if self.pairs.note(window, size) {
            if doubted {
                self.pairs.said.clear();
                self.bound = 0.0;
            }
            self.unconfirmed = 0.0;
        }
    }

    /// Moves what is believed towards what is told: one odd window does not halve the work of an item. While workers are
    /// busy and no pair has told anything, because nothing ever waits, there are too many of them: so an item is believed to
    /// take less and less, until something waits.
    fn believe(&mut self) {
        let told = self.told().map_or(self.believed, |(told, _)| told);
        let told = told * maths::exp2(-(self.unconfirmed - DOUBT_AFTER).max(0.0) / DOUBT_AFTER);
        let from = if self.believed > 0.0 { self.believed } else { told };
        self.believed = told.clamp(from / MOVES, from * MOVES);
    }

    /// Idle cost of a worker of a size.
    fn idle_of(&self, size: f64) -> f64 {
        let seen = if self.idle > 0.0 { self.idle } else { IDLE_PRIOR };
        seen.min(IDLE_MOST * size)
    }

    /// What a full worker uses of its request.
    fn gets(&self) -> f64 {
        if self.stretch > 0.0 { self.stretch } else { WORKER_UTILIZATION }
    }

    /// Work per second of a worker of a size, cores.
    pub(in crate::decide) fn carries(&self, size: f64) -> f64 {
        (self.gets() * size - self.idle_of(size)).max(0.02 * size).max(1e-6)
    }
}
