//! Backlog: what waits is done within the objective's time, with as little as that takes.
//!
//! Items are a fluid: `W = b·Q` core-seconds wait, `y` cores of work arrive, a worker carries `k`. Pods asked for now work
//! after the lead time, so what is asked for is the least that finishes, within four fifths of the target,
//! - the item that came last: `(W − C·lead) / (.8 T − lead)`,
//! - what waits when new pods work: `(W + (y − C)·lead) / .8 T`,
//! - and keeps up with what arrives, and clears what waits over twice the target.
//!
//! Work per item `b` comes from energy balance over the same window of usage: CPU seconds spent over items done. Where no
//! rate says how many arrived, only what the queue fell by is known to be done, so each drain is an upper bound, less what
//! the flow before it took; the least of them counts, and it may rise by a quarter with each further drain. Before
//! anything was drained a prior says how many items one replica is good for. Whatever is believed, work that waits longer
//! than it should makes replicas grow.

use serde::{Deserialize, Serialize};

use super::{
    arith::{count, interpolate, replicas_for, weight},
    sample::Sample,
    stale::{Judged, Signals},
};
use crate::policy::Policy;

/// Waiting items per replica before the work of an item is known: KEDA's examples and its NATS scaler use 5 to 10.
pub(super) const PRIOR_ITEMS_PER_REPLICA: f64 = 10.0;
/// Items that must have been done before their work is believed.
const ITEMS_TO_LEARN: f64 = 20.0;
/// Share of the sums that the largest drain replaces: what is idle is not forgotten.
const FORGET: f64 = 0.01;
/// How far one drain may raise what the least one said.
const RISE: f64 = 1.25;
/// Share of the flow before a drain that is believed to go on in it.
const FLOW_SHARE: f64 = 0.9;
/// Share of the target that is planned for, so that noise does not make it late.
pub(super) const TARGET_SHARE: f64 = 0.8;
/// The least time that a drain is planned over when starting pods takes longer than the target (model 3.8).
const LEAST_DRAIN: f64 = 60.0;
/// What waits is cleared over so many targets, where nothing is urgent.
const CLEAR_TARGETS: f64 = 2.0;
/// Utilization that a worker is planned at: it pulls its work, so it can be full.
const WORKER_UTILIZATION: f64 = 0.97;
/// From a decision to its effect on a queue that is read directly, beside the start: one tick.
const NOTICE: f64 = 15.0;
/// What waits less than so many seconds ago is becoming fewer.
const STALL_LOOKS_BACK: f64 = 30.0;
/// Growth when what waits has not fallen in the time it should have.
const STALLED_STEP: f64 = 1.5;
/// Workers this full have no time left.
const FULL: f64 = 0.93;
/// Flow is what arrived in each of two such windows: what came once is waiting and not arriving.
const FLOW_WINDOW: f64 = 30.0;
/// Spacing and number of remembered readings: they must reach back over window, age and both windows of flow.
const TRAIL_STEP: f64 = 5.0;
const TRAIL_LENGTH: usize = 24;
/// Time constants: flow, and the idle cost of a worker.
const FLOW_TAU: f64 = 30.0;
const IDLE_TAU: f64 = 300.0;
/// Idle cost of a worker before it was seen, and at most, as a share of its size.
const IDLE_PRIOR: f64 = 0.03;
const IDLE_MOST: f64 = 0.3;
/// Tracker of the burst that 95 in 100 do not exceed: nineteen steps down for one up.
const BURST_UP: f64 = 0.5;
const BURST_DOWN: f64 = BURST_UP / 19.0;

/// One reading of the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Mark(f64, f64, f64);

/// A drain under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Drain {
    spent: f64,
    done: f64,
    /// Flow before it, cores.
    flow: f64,
}

/// What is known about waiting work.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Work {
    /// Core-seconds spent on items, and items done, where a rate tells how many came.
    spent: f64,
    done: f64,
    /// Largest number of items done in a tick, for forgetting.
    done_peak: f64,
    /// Core-seconds per item by the least drain; 0: none seen.
    bound: f64,
    drain: Drain,
    /// Idle cost of a worker, cores; 0: not seen.
    idle: f64,
    /// Readings: time, items, arriving cores; oldest first.
    trail: Vec<Mark>,
    /// Arriving work, cores.
    arriving: f64,
    /// Largest number that waited since the queue was empty, and what bursts reach.
    burst: f64,
    bursts: f64,
    /// What waits and since when it has not fallen.
    stalled: Option<(f64, f64)>,
}

/// What makes `b` believable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Basis {
    /// Usage per done item.
    Measured,
    /// The least drain seen.
    Drain,
    /// The prior.
    Prior,
}

/// The backlog term of one tick.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backlog {
    /// Items that wait.
    pub(super) waiting: f64,
    /// Core-seconds per item.
    pub(super) work: f64,
    /// Where `work` comes from.
    pub(super) basis: Basis,
    /// Cores needed until what waits is done.
    pub(super) cores: f64,
    /// Cores needed of pods of the nominal size, where pods grow in place meanwhile.
    pub(super) steady: f64,
    /// Arriving work, cores.
    pub(super) arriving: f64,
    /// Work of one worker pod, cores.
    pub(super) k: f64,
    /// Replicas needed.
    pub(super) replicas: u32,
    /// At least this many because what waits does not fall.
    pub(super) stalled: Option<u32>,
    /// Replicas kept warm because starting pods takes longer than the target allows; none where it does not.
    pub(super) warm: Option<u32>,
    /// Target, seconds.
    pub(super) target: f64,
}

impl Backlog {
    /// Time in which `n` pods of this capacity drain what waits, beside what arrives; `None`: never.
    pub(super) fn drain_seconds(&self, n: u32, k: f64) -> Option<f64> {
        let spare = f64::from(n) * k - self.arriving;
        (spare > 0.0).then(|| self.waiting * self.work / spare)
    }
}

/// What the backlog term looks at beside the signals.
#[derive(Clone, Copy, Debug)]
pub(super) struct Workers {
    /// Nominal size, cores.
    pub(super) size: f64,
    /// The size that they can have meanwhile, cores.
    pub(super) grown: f64,
    /// How long bursts are waited for with warm pods after work has ended, seconds.
    pub(super) keep_warm: f64,
    /// How long there has been no work; none while there is.
    pub(super) idle: Option<f64>,
}

/// Seconds until new pods work on the queue.
pub(super) fn lead(sample: &Sample) -> f64 {
    sample.start_p90 + NOTICE
}

impl Work {
    /// Learns from one tick.
    pub(super) fn learn(&mut self, sample: &Sample, signals: &Signals) {
        let backlog = signals.backlog.as_ref();
        let Some(waiting) = backlog.and_then(Judged::whole) else {
            self.trail.clear();
            self.drain = Drain::default();
            return;
        };
        let age = backlog.and_then(|j| j.verdict.age_seconds).map_or(0.0, |a| a.0).min(120.0);
        self.note_burst(waiting);
        self.note(sample.t - age, waiting);
        let (from, to) = sample.usage_window;
        let Some((before, after)) = self.waited(from).zip(self.waited(to)) else { return };
        let Some(usage) = sample.usage.filter(|_| sample.usage_is_whole() && sample.dt > 0.0) else { return };
        let fallen = (before - after) / (to - from);
        if before == 0.0 && after == 0.0 && sample.ready_in_window > 0.5 {
            let idle = usage / sample.ready_in_window;
            self.idle += if self.idle > 0.0 { weight(sample.dt, IDLE_TAU) * (idle - self.idle) } else { idle };
        }
        let spent = (usage - self.idle_of(sample.running.unwrap_or(1.0)) * sample.ready_in_window).max(0.0);
        let rate = signals.demand.as_ref().and_then(Judged::whole);
        match rate {
            Some(rate) => self.balance(spent * sample.dt, (rate + fallen).max(0.0) * sample.dt),
            None => self.drained(spent * sample.dt, fallen * sample.dt, sample.dt),
        }
        let Some((work, _)) = self.per_item() else {
            self.note_flow(sample, spent);
            return;
        };
        self.note_flow(sample, rate.map_or(spent - work * fallen, |rate| work * rate).max(0.0));
    }

    /// Notes a reading; readings that come faster than they are kept replace each other.
    fn note(&mut self, t: f64, waiting: f64) {
        if let Some(last) = self.trail.last_mut()
            && t - last.0 < TRAIL_STEP
        {
            last.1 = waiting;
            return;
        }
        if self.trail.len() >= TRAIL_LENGTH {
            self.trail.remove(0);
        }
        let flow = self.trail.last().map_or(0.0, |m| m.2);
        self.trail.push(Mark(t, waiting, flow));
    }

    /// Items that waited at an instant; `None` before the first reading.
    fn waited(&self, t: f64) -> Option<f64> {
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

    /// The smaller of the mean flows of the last two windows, averaged.
    fn note_flow(&mut self, sample: &Sample, now: f64) {
        if let Some(last) = self.trail.last_mut() {
            last.2 = now;
        }
        let mean = |from: f64, to: f64| {
            let inside = self.trail.iter().filter(|m| m.0 > sample.t - from && m.0 <= sample.t - to);
            let (sum, n) = inside.fold((0.0, 0.0), |(sum, n), mark| (sum + mark.2, n + 1.0));
            if n > 0.0 { sum / n } else { now }
        };
        let flow = mean(FLOW_WINDOW, 0.0).min(mean(2.0 * FLOW_WINDOW, FLOW_WINDOW));
        self.arriving += weight(sample.dt, FLOW_TAU) * (flow - self.arriving);
    }

    /// Energy balance where a rate tells what came.
    fn balance(&mut self, spent: f64, done: f64) {
        self.done_peak = self.done_peak.max(done);
        let keep = if self.done_peak > 0.0 { 1.0 - FORGET * done / self.done_peak } else { 1.0 };
        self.spent = self.spent * keep + spent;
        self.done = self.done * keep + done;
    }

    /// Energy balance where only the queue tells.
    fn drained(&mut self, spent: f64, fallen: f64, dt: f64) {
        if fallen <= 0.0 {
            if self.drain.done >= ITEMS_TO_LEARN {
                let said = self.drain.spent / self.drain.done;
                self.bound = if self.bound > 0.0 { said.min(RISE * self.bound) } else { said };
            }
            self.drain = Drain { flow: self.arriving, ..Drain::default() };
            return;
        }
        self.drain.spent += (spent - FLOW_SHARE * self.drain.flow * dt).max(0.0);
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
    fn per_item(&self) -> Option<(f64, Basis)> {
        if self.done >= ITEMS_TO_LEARN && self.spent > 0.0 {
            return Some((self.spent / self.done, Basis::Measured));
        }
        (self.bound > 0.0).then_some((self.bound, Basis::Drain))
    }

    /// Idle cost of a worker of a size.
    fn idle_of(&self, size: f64) -> f64 {
        let seen = if self.idle > 0.0 { self.idle } else { IDLE_PRIOR };
        seen.min(IDLE_MOST * size)
    }

    /// Work per second of a worker of a size, cores.
    pub(super) fn carries(&self, size: f64) -> f64 {
        (WORKER_UTILIZATION * size - self.idle_of(size)).max(0.02 * size).max(1e-6)
    }

    /// What the backlog asks for; `None` without objective or a usable signal.
    pub(super) fn plan(
        &mut self,
        sample: &Sample,
        signals: &Signals,
        policy: &Policy,
        workers: &Workers,
    ) -> Option<Backlog> {
        let objective = policy.objective.backlog.as_ref()?;
        let waiting = signals.backlog.as_ref()?.usable()?;
        let target = if objective.drain_within.0.is_finite() { objective.drain_within.0.max(1.0) } else { 60.0 };
        let (k, lead, aim) = (self.carries(workers.size), lead(sample), TARGET_SHARE * target);
        let (work, basis) = self.per_item().unwrap_or((k * aim / PRIOR_ITEMS_PER_REPLICA, Basis::Prior));
        let arriving = if basis == Basis::Prior { 0.0 } else { self.arriving };
        let now = sample.ready * self.carries(sample.running.unwrap_or(workers.size));
        let waits = work * waiting;
        let urgent = if basis == Basis::Prior {
            waits / aim
        } else {
            // Where starting takes longer than the target allows, what waits now is late whatever is done.
            let last = (waits - now * lead).max(0.0) / (aim - lead).max(LEAST_DRAIN.min(aim));
            let then = (waits + (arriving - now) * lead).clamp(0.0, waits.max(arriving * lead)) / aim;
            last.max(then)
        };
        let keeps_up = arriving + waits / (CLEAR_TARGETS * target);
        let warm = (aim <= lead).then(|| self.warm(work, aim, k, workers));
        let grown = if basis == Basis::Prior { k } else { self.carries(workers.grown).max(k) };
        let mut replicas = replicas_for(keeps_up, k).max(replicas_for(urgent, grown));
        if waiting > 0.0 {
            replicas = replicas.max(1);
        }
        replicas = replicas.max(warm.unwrap_or(0));
        let cores = urgent.max(keeps_up);
        let stalled = self.note_stall(sample, signals, (waiting, waits), (target, lead), basis);
        let steady = (f64::from(replicas) * k).min(cores.max(f64::from(warm.unwrap_or(0)) * k));
        Some(Backlog { waiting, work, basis, cores, steady, arriving, k, replicas, stalled, warm, target })
    }

    /// Replicas that do what bursts bring in time without any that start, until bursts are no longer to be expected.
    fn warm(&self, work: f64, aim: f64, k: f64, workers: &Workers) -> u32 {
        let expected = workers.idle.is_none_or(|idle| idle < workers.keep_warm);
        if expected { replicas_for(work * self.bursts.max(self.burst) / aim, k) } else { 0 }
    }

    /// What waits too long and has not fallen by a tenth in the time it should have asks for half as many pods again.
    fn note_stall(
        &mut self,
        sample: &Sample,
        signals: &Signals,
        (waiting, waits): (f64, f64),
        (target, lead): (f64, f64),
        basis: Basis,
    ) -> Option<u32> {
        // As many as there are workers are being worked on.
        if waiting <= sample.ready.max(0.5) {
            self.stalled = None;
            return None;
        }
        let (then, since) = *self.stalled.get_or_insert((waiting, sample.t));
        if waiting < 0.9 * then {
            self.stalled = Some((waiting, sample.t));
            return None;
        }
        let falls = self.waited(sample.t - STALL_LOOKS_BACK).is_some_and(|before| waiting < 0.98 * before);
        if sample.t - since < target + lead || falls {
            return None;
        }
        let rate = signals.demand.as_ref().and_then(Judged::usable).filter(|rate| *rate > 0.0);
        // What waits, over what comes, is how long it waits.
        let late = rate.map_or_else(
            || basis == Basis::Prior || self.is_late(sample, (waiting, waits), then, target),
            |rate| waiting > target * rate,
        );
        if !late {
            self.stalled = Some((waiting, sample.t));
            return None;
        }
        let pods = sample.ready.max(f64::from(sample.spec));
        if sample.ready >= f64::from(sample.spec) {
            self.stalled = Some((waiting, sample.t));
        }
        Some(count((pods * STALLED_STEP).ceil()).max(count(pods) + 1))
    }

    /// Whether a queue that nobody counts the arrivals of waits too long: workers are full, or it is long, or it rises.
    fn is_late(&self, sample: &Sample, (waiting, waits): (f64, f64), then: f64, target: f64) -> bool {
        let size = sample.running.unwrap_or(1.0);
        let full = sample.usage.is_some_and(|usage| usage >= FULL * sample.ready_in_window * size);
        let much = waits > 0.5 * target * sample.ready * self.carries(size);
        let rises = waiting > 1.1 * then && waiting > PRIOR_ITEMS_PER_REPLICA * sample.ready;
        full || much || rises
    }
}
