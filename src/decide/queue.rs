//! Backlog: what waits is drained within the objective's time.
//!
//! Work per item `b` comes from energy balance: CPU seconds spent over items done, both summed over hours, so that the
//! lag between the queue's gauge (a second old) and usage (half a minute old) cancels. A fast drain bounds it from
//! above. Before anything was drained a prior says how many items one replica is good for. Whatever is believed, work
//! that waits longer than it should makes replicas grow.

use serde::{Deserialize, Serialize};

use super::{
    arith::{count, weight},
    capacity::Capacity,
    sample::Sample,
    stale::Signals,
};
use crate::policy::Policy;

/// Waiting items per replica before the work of an item is known: KEDA's examples and its NATS scaler use 5 to 10.
pub(super) const PRIOR_ITEMS_PER_REPLICA: f64 = 10.0;
/// Items that must have been done before their work is believed.
const ITEMS_TO_LEARN: f64 = 20.0;
/// Half-life of the sums, in items of the largest drain: what is idle is not forgotten.
const FORGET_PER_ITEM_SHARE: f64 = 0.1;
/// Share of the target that is planned for, so that noise does not make it late.
const TARGET_SHARE: f64 = 0.8;
/// The least time that a drain is planned over when starting pods takes longer than the target (model 3.8).
const LEAST_DRAIN: f64 = 60.0;
/// Growth when what waits has not fallen in the time it should have.
const STALLED_STEP: f64 = 1.5;
/// Half-life of the best drain seen: a week; pods change.
const BEST_HALF_LIFE: f64 = 604_800.0;

/// What is known about waiting work.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Work {
    /// Core-seconds spent on items, and items done.
    spent: f64,
    done: f64,
    /// Largest number of items done in one stretch, for forgetting.
    done_peak: f64,
    /// Items that one pod's core-second drained at best.
    best: f64,
    /// Queue at the last tick.
    last: Option<f64>,
    /// Arriving work, cores, averaged.
    arriving: f64,
    /// What waits and since when it has not fallen.
    stalled: Option<(f64, f64)>,
}

/// What makes `b` believable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Basis {
    /// Usage per done item.
    Measured,
    /// The fastest drain seen.
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
    /// Cores needed: arrivals and drain.
    pub(super) cores: f64,
    /// Arriving work, cores.
    pub(super) arriving: f64,
    /// Work of one worker pod, cores.
    pub(super) k: f64,
    /// Replicas needed.
    pub(super) replicas: u32,
    /// At least this many because what waits does not fall.
    pub(super) stalled: Option<u32>,
    /// Starting pods takes longer than the target allows.
    pub(super) unreachable: bool,
    /// Target, seconds.
    pub(super) target: f64,
}

impl Backlog {
    /// Time in which `n` pods drain what waits, beside what arrives; `None`: never.
    pub(super) fn drain_seconds(&self, n: u32) -> Option<f64> {
        let spare = f64::from(n) * self.k - self.arriving;
        (spare > 0.0).then(|| self.waiting * self.work / spare)
    }
}

impl Work {
    /// Learns from one tick.
    pub(super) fn learn(&mut self, sample: &Sample, signals: &Signals, idle: f64) {
        let Some(waiting) = signals.backlog.as_ref().and_then(super::stale::Judged::whole) else {
            self.last = None;
            return;
        };
        let Some(last) = self.last.replace(waiting) else { return };
        if sample.dt <= 0.0 {
            return;
        }
        let fallen = (last - waiting).max(0.0);
        let rate = signals.demand.as_ref().and_then(super::stale::Judged::whole);
        let done = rate.map_or(fallen, |rate| (rate * sample.dt + last - waiting).max(0.0));
        let pod = sample.running.unwrap_or(0.0);
        if fallen > 0.0 && sample.ready > 0.0 && pod > 0.0 {
            let per_core_second = fallen / (sample.dt * sample.ready * pod);
            self.best = (self.best * super::arith::decay(sample.dt, BEST_HALF_LIFE)).max(per_core_second);
        }
        let Some(usage) = sample.usage.filter(|_| sample.usage_is_whole()) else { return };
        let spent = (usage - idle * sample.ready_in_window).max(0.0) * sample.dt;
        self.done_peak = self.done_peak.max(done);
        // Without a rate only what was seen waiting is counted; smooth arrivals then make `b` too large, never small.
        let keep = if self.done_peak > 0.0 { 1.0 - FORGET_PER_ITEM_SHARE * 0.1 * done / self.done_peak } else { 1.0 };
        self.spent = self.spent * keep + spent;
        self.done = self.done * keep + done;
        let arriving = match (rate, self.per_item(pod)) {
            (Some(rate), Some((work, _))) => work * rate,
            (None, Some((work, _))) => (spent - work * fallen).max(0.0) / sample.dt,
            (_, None) => spent / sample.dt,
        };
        let tau = signals_tau(rate.is_some());
        self.arriving += weight(sample.dt, tau) * (arriving - self.arriving);
    }

    /// Core-seconds per item, from what was seen.
    fn per_item(&self, pod: f64) -> Option<(f64, Basis)> {
        let ratio = (self.done >= ITEMS_TO_LEARN && self.spent > 0.0).then(|| self.spent / self.done);
        // A pod cannot spend more than it has: the fastest drain bounds the work of an item from above.
        let bound = (self.best > 0.0 && pod > 0.0).then(|| 1.0 / self.best);
        match (ratio, bound) {
            (Some(ratio), Some(bound)) if bound < ratio => Some((bound, Basis::Drain)),
            (Some(ratio), _) => Some((ratio, Basis::Measured)),
            (None, Some(bound)) => Some((bound, Basis::Drain)),
            (None, None) => None,
        }
    }

    /// What the backlog asks for; `None` without objective or a usable signal.
    pub(super) fn plan(
        &mut self,
        sample: &Sample,
        signals: &Signals,
        policy: &Policy,
        capacity: &Capacity,
        size: f64,
    ) -> Option<Backlog> {
        let objective = policy.objective.backlog.as_ref()?;
        let waiting = signals.backlog.as_ref()?.usable()?;
        let target = if objective.drain_within.0.is_finite() { objective.drain_within.0.max(1.0) } else { 60.0 };
        let k = capacity.of_worker(size);
        let (work, basis) =
            self.per_item(size).unwrap_or((k * TARGET_SHARE * target / PRIOR_ITEMS_PER_REPLICA, Basis::Prior));
        let arriving = if basis == Basis::Prior { 0.0 } else { self.arriving };
        let lead = sample.lead;
        // What will still wait when new pods are ready.
        let left = (work * waiting + (arriving - sample.ready * k) * lead).clamp(0.0, work * waiting);
        let reachable = TARGET_SHARE * target > lead;
        let within = (TARGET_SHARE * target - lead).max(LEAST_DRAIN.min(TARGET_SHARE * target));
        let backlog_cores =
            if basis == Basis::Prior { work * waiting / (TARGET_SHARE * target) } else { left / within };
        let cores = arriving + backlog_cores;
        let mut replicas = super::arith::replicas_for(cores, k);
        if waiting >= 1.0 {
            replicas = replicas.max(1);
        }
        let stalled = self.note_stall(sample, waiting, target + lead);
        Some(Backlog {
            waiting,
            work,
            basis,
            cores,
            arriving,
            k,
            replicas,
            stalled,
            unreachable: !reachable && waiting * work > sample.ready * k * target,
            target,
        })
    }

    /// What waits and has not fallen by a tenth in `patience` seconds asks for half as many pods again.
    fn note_stall(&mut self, sample: &Sample, waiting: f64, patience: f64) -> Option<u32> {
        if waiting < 1.0 {
            self.stalled = None;
            return None;
        }
        let (then, since) = *self.stalled.get_or_insert((waiting, sample.t));
        if waiting < 0.9 * then {
            self.stalled = Some((waiting, sample.t));
        } else if sample.t - since >= patience {
            let pods = sample.ready.max(f64::from(sample.spec));
            if sample.ready >= f64::from(sample.spec) {
                self.stalled = Some((waiting, sample.t));
            }
            return Some(count((pods * STALLED_STEP).ceil()).max(count(pods) + 1));
        }
        None
    }
}

/// Time constant of arriving work: a measured rate is already a mean; what is pieced together is noisier.
fn signals_tau(measured: bool) -> f64 {
    if measured { 15.0 } else { 45.0 }
}
