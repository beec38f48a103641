//! Backlog: what waits is done within the objective's time, with as little as that takes.
//!
//! Items are a fluid, the oldest is done first: `W(d) = b·Q(d)` core-seconds are due within `d` seconds, because what came
//! `a` seconds ago is due `d = aim − a` from now. A worker carries `k`. What is asked for is the least that meets every due
//! date: running pods, which can grow at once, `max W(d) / d`; more pods, which work after the lead time,
//! `max (W(d) − C·lead) / (d − lead)`. An empty queue asks for nothing, so what leaves is bounded by what arrives: the
//! queue may fill up to its aim, which stores `aim·y − W` core-seconds, and a worker is not needed where that lasts for
//! the next while: `y − (aim·y − W) / while`. So a steady flow ends with full workers and a queue that stands.
//!
//! Before the work of an item is known ([`work`]) a prior says how many items one replica is good for. Whatever is
//! believed, work that waits longer than it should makes replicas grow.

mod ages;
mod work;

use super::{
    arith::{count, replicas_for},
    sample::Sample,
    stale::{Judged, Signals},
};
use crate::policy::Policy;
use ages::Pace;
pub(super) use work::Work;

/// Waiting items per replica before the work of an item is known: KEDA's examples and its NATS scaler use 5 to 10.
pub(super) const PRIOR_ITEMS_PER_REPLICA: f64 = 10.0;
/// Replicas that wake a workload whose work nobody has seen, before twice as many as have worked: what is not known is
/// learned within a minute of the first pod, and a late start is cheaper than the most replicas for nothing.
const WAKE_MOST: f64 = 4.0;
/// The least time that a drain is planned over when starting pods takes longer than the target (model 3.8).
const LEAST_DRAIN: f64 = 60.0;
/// From a decision to its effect on a queue that is read directly, beside the start: one tick.
const NOTICE: f64 = 15.0;
/// What waits less than so many seconds ago is becoming fewer.
const STALL_LOOKS_BACK: f64 = 30.0;
/// Growth when what waits has not fallen in the time it should have.
const STALLED_STEP: f64 = 1.5;
/// Workers this full have no time left.
const FULL: f64 = 0.93;

/// What makes `b` believable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Basis {
    /// Usage per done item.
    Measured,
    /// What the fall of the queue changed by when usage changed.
    Pairs,
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
    /// Cores that running pods are to have now, until what waits is done.
    pub(super) cores: f64,
    /// Cores needed of pods of the nominal size.
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

/// Seconds within which what waits is to be done; a minute where nothing usable says so.
pub(super) fn target(policy: &Policy) -> f64 {
    let given = policy.objective.backlog.as_ref().map(|objective| objective.drain_within.0);
    given.filter(|given| given.is_finite()).map_or(60.0, |given| given.max(1.0))
}

/// Seconds until new pods work on the queue.
pub(super) fn lead(sample: &Sample) -> f64 {
    sample.start_p90 + NOTICE
}

impl Work {
    /// What the backlog asks for; `None` without objective or a usable signal.
    pub(super) fn plan(
        &mut self,
        sample: &Sample,
        signals: &Signals,
        policy: &Policy,
        workers: &Workers,
    ) -> Option<Backlog> {
        policy.objective.backlog.as_ref()?;
        let target = target(policy);
        let waiting = signals.backlog.as_ref()?.usable()?;
        let (k, lead, aim) = (self.carries(workers.size), lead(sample), policy.tuning.backlog_share * target);
        let (work, basis) = self.per_item().unwrap_or((k * aim / PRIOR_ITEMS_PER_REPLICA, Basis::Prior));
        let known = basis != Basis::Prior;
        let waits = work * waiting;
        let now = sample.ready * self.carries(sample.running.unwrap_or(workers.size));
        // Where starting takes longer than the target allows, what waits now is late whatever is done.
        let least = LEAST_DRAIN.min(aim);
        let (urgent, at_once) = if known {
            let line = |lead, now| self.ages.pace(sample.t, waiting, &Pace { work, aim, lead, now, least });
            (line(lead, now), line(0.0, 0.0))
        } else {
            (waits / aim, waits / aim)
        };
        let arriving = self.arriving;
        let store = policy.tuning.backlog_store.max(aim);
        let flow = arriving - (aim * arriving - waits) / store;
        let warm = (aim <= lead).then(|| self.warm(work, aim, k, workers));
        let grown = if known { self.carries(workers.grown).max(k) } else { k };
        let mut replicas = replicas_for(urgent, grown);
        if self.woken {
            replicas = replicas.min(count(WAKE_MOST.max(2.0 * sample.ready_in_window)));
        }
        if waiting > 0.0 {
            replicas = replicas.max(1);
        }
        replicas = replicas.max(warm.unwrap_or(0));
        let stalled = self.note_stall(sample, signals, (waiting, waits), (target, lead), basis);
        // What arrives holds pods and adds none: whether it is more than they do is seen in what waits.
        let held = at_once.max(flow).min(f64::from(sample.spec) * k);
        // Those that are kept warm may be small until a burst comes: they grow in a tick.
        let steady = held.max((f64::from(replicas) * k).min(urgent));
        Some(Backlog { waiting, work, basis, cores: at_once, steady, arriving, k, replicas, stalled, warm, target })
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
        Some(count((pods * STALLED_STEP).ceil()).max(count(pods).saturating_add(1)))
    }

    /// Whether a queue that nobody counts the arrivals of waits too long: it is long, and while nobody knows what its items
    /// take, workers are full, or it rises.
    fn is_late(&self, sample: &Sample, (waiting, waits): (f64, f64), then: f64, target: f64) -> bool {
        let size = sample.running.unwrap_or(1.0);
        let takes = waits / (sample.ready * self.carries(size)).max(1e-9);
        if self.per_item().is_some() {
            // Full workers and a queue that stands are how it should be.
            return takes > target;
        }
        let much = takes > 0.5 * target;
        let full = sample.usage.is_some_and(|usage| usage >= FULL * sample.ready_in_window * size);
        let rises = waiting > 1.1 * then && waiting > PRIOR_ITEMS_PER_REPLICA * sample.ready;
        full || much || rises
    }
}

#[cfg(test)]
mod tests;
