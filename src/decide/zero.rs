//! Zero: when the last replica leaves, and what brings it back.
//!
//! Keeping an idle pod costs its price; being without one costs a cold start when work comes: `K0`. The last pod is kept
//! for the time that would have been cheapest over the idle gaps seen so far, inside `[¼, 4]` times the break-even time
//! `T_b = K0 / price`. Such a rule never pays more than `1 + 4` times what knowing the gap's length would have cost, and
//! `T_b` itself, which is taken until 20 gaps were seen, never more than twice.
//!
//! Zero is only for workloads that something wakes: a signal that is measured without pods. Work wakes at once. A signal
//! that goes with the last pod was measured by the pods: one replica at once, and no more zero until the spec changes.
//! A signal that is lost later is an error somewhere: after a while one replica comes back, and stays for an hour of
//! sight at least, so that errors that come and go do not start pods all day.
//!
//! A count of zero that somebody else set is theirs, and is left alone.

use serde::{Deserialize, Serialize};

use super::{
    SignalState, queue,
    sample::Sample,
    stale::{Judged, Signals},
};
use crate::{
    policy::{Mode, Policy, Role, Signal},
    units::maths,
};

/// Buckets of the histogram of gaps.
const BUCKETS: usize = 64;
/// The shortest gap that is told apart: one tick. The longest: four days; what is longer is as good as for ever.
const SHORTEST: f64 = 15.0;
const LONGEST: f64 = 345_600.0;
/// What a gap leaves of those before it: half of it after 70 gaps.
const KEEP: f32 = 0.99;
/// Gaps that must have been seen before they are believed.
const GAPS_TO_LEARN: u32 = 20;
/// How far the learned time may lie from the break-even time, either way. Worst case `1 + 1/LAMBDA` times the optimum.
pub(super) const LAMBDA: f64 = 0.25;
/// A signal that vanishes this soon after the last pod went with it (Prometheus' lookback).
const DIES_WITHIN: f64 = 300.0;
/// A lost signal brings a replica back after this, as `onSignalLoss` does where it says nothing else.
const BLIND_AFTER: f64 = 300.0;
/// How long the signal must have been seen again before zero is tried once more.
const SIGHT_NEEDED: f64 = 3600.0;
/// Weight of the last gap in what work asks for when it comes, and how soon after that is looked at.
const WAKE_GAIN: f64 = 0.2;
const WAKE_SECONDS: f64 = 60.0;
/// Time from work to the decision that answers it, at most.
const TICK: f64 = 15.0;
/// Time from a deletion to the end of what is billed: the grace period that pods have by default.
pub(super) const DRAIN: f64 = 30.0;

/// Idle gaps by length, those of long ago weigh less.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Gaps {
    /// Weight by bucket; empty: none seen.
    weights: Vec<f32>,
    /// How many were seen.
    seen: u32,
}

/// Where a bucket of gaps lies: its middle on the logarithmic scale.
fn middle(bucket: usize) -> f64 {
    edge(bucket as f64 + 0.5)
}

fn edge(bucket: f64) -> f64 {
    SHORTEST * maths::pow(LONGEST / SHORTEST, bucket / BUCKETS as f64)
}

impl Gaps {
    /// Notes a gap that has ended.
    pub(super) fn note(&mut self, seconds: f64) {
        if self.weights.len() != BUCKETS {
            self.weights = vec![0.0; BUCKETS];
        }
        let place = maths::ln(seconds.clamp(SHORTEST, LONGEST) / SHORTEST) / maths::ln(LONGEST / SHORTEST);
        let bucket = (super::arith::count(place * BUCKETS as f64) as usize).min(BUCKETS - 1);
        self.weights.iter_mut().for_each(|w| *w *= KEEP);
        self.weights[bucket] += 1.0;
        self.seen = self.seen.saturating_add(1);
    }

    /// Whether enough was seen.
    pub(super) fn are_known(&self) -> bool {
        self.seen >= GAPS_TO_LEARN
    }

    /// The time to keep what costs `idle` per second against a cost of `gone` when it is missed.
    pub(super) fn keep_for(&self, idle: f64, gone: f64) -> f64 {
        let even = gone / idle.max(1e-15);
        if !self.are_known() {
            return even;
        }
        // Leaving at the upper edge of each bucket: what is shorter was waited out, what is longer was waited for in
        // vain. Leaving at once is the first candidate.
        let total: f64 = self.weights.iter().map(|w| f64::from(*w)).sum();
        let (mut best, mut least) = (0.0, total * gone);
        let (mut waited, mut longer) = (0.0, total);
        for (bucket, weight) in self.weights.iter().enumerate() {
            let weight = f64::from(*weight);
            waited += weight * middle(bucket);
            longer -= weight;
            let until = edge(bucket as f64 + 1.0);
            let cost = idle * (waited + longer * until) + gone * longer;
            if cost < least * (1.0 - 1e-9) {
                (best, least) = (until, cost);
            }
        }
        best.clamp(LAMBDA * even, even / LAMBDA)
    }

    /// How much longer nine in ten gaps last that have lasted this long; `None` when too little was seen of such.
    fn last_on(&self, seconds: f64) -> Option<f64> {
        let longer = || self.weights.iter().enumerate().filter(|(bucket, _)| middle(*bucket) > seconds);
        let total: f64 = longer().map(|(_, w)| f64::from(*w)).sum();
        if !self.are_known() || total < 2.0 {
            return None;
        }
        let mut sum = 0.0;
        let tenth = longer().find(|(_, w)| {
            sum += f64::from(**w);
            sum > 0.1 * total
        });
        tenth.map(|(bucket, _)| edge(bucket as f64) - seconds).filter(|more| *more >= 60.0)
    }
}

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Zero {
    /// Idle gaps.
    pub(super) gaps: Gaps,
    /// For how long there has been nothing to do; none while there is.
    idle: Option<f64>,
    /// Cores that work asked for when it came, averaged; 0: not seen yet.
    wake_cores: f64,
    /// When work came last, while that is to be learned.
    woken_at: Option<f64>,
    /// A zero of ours is in force, or on its way to be ended.
    ours: bool,
    /// When the last pod was gone.
    reached: Option<f64>,
    /// Since when no signal would wake it.
    blind_since: Option<f64>,
    /// No zero before this much more sight.
    sight_needed: f64,
    /// Zero is off for the policy of this fingerprint, and why.
    off: Option<(u64, String)>,
}

/// Work that wakes a workload.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Woken {
    /// So many items wait.
    Items(f64),
    /// A signal of demand.
    Signal {
        /// Its place in the policy.
        index: usize,
        /// Its value.
        value: f64,
    },
}

/// What zero means for this tick.
#[expect(clippy::struct_excessive_bools, reason = "each is a finding of its own, not a state of one thing")]
#[derive(Clone, Debug, Default)]
pub(super) struct Verdict {
    /// The count is zero because somebody else wants it so.
    pub(super) theirs: bool,
    /// The count is zero, and that is ours to end.
    pub(super) asleep: bool,
    /// How long there has been nothing to do; none while there is, or when nothing tells.
    pub(super) idle: Option<f64>,
    /// What wakes it.
    pub(super) woken: Option<Woken>,
    /// One replica is needed because nobody would see work come, in words.
    pub(super) blind: Option<String>,
    /// Zero is off, in words.
    pub(super) off: Option<String>,
    /// It went off at this tick.
    pub(super) died: bool,
    /// Zero may be taken, when its time comes.
    pub(super) may: bool,
    /// How long such gaps last on, when known.
    pub(super) lasts_on: Option<f64>,
}

impl Zero {
    /// Judges one tick. `decided` is the last decision; `writer` is who else wrote the count last.
    pub(super) fn observe(
        &mut self,
        sample: &Sample,
        policy: &Policy,
        signals: &Signals,
        decided: Option<u32>,
        writer: Option<&str>,
    ) -> Verdict {
        let mut verdict = Verdict::default();
        self.note_work(sample, signals, &mut verdict);
        let enabled = policy.may_sleep();
        self.ours = if sample.spec > 0 {
            self.ours && decided == Some(0)
        } else if policy.mode == Mode::Auto {
            // At first sight: who wrote last says whose zero it is. Ours must not outlive a lost memory.
            self.ours || (enabled && decided.is_none() && writer.is_none())
        } else {
            enabled
        };
        if sample.spec == 0 && !self.ours {
            return Verdict { theirs: true, ..Verdict::default() };
        }
        verdict.asleep = sample.spec == 0 || decided == Some(0);
        if !enabled {
            self.off = None;
            if sample.spec == 0 {
                verdict.blind = Some("zero replicas are no longer asked for".to_owned());
            }
            return verdict;
        }
        self.note_sight(sample, policy, signals, &mut verdict);
        verdict
    }

    /// Work that wakes, and the gap that it ends. What only pods tell is silent (Idle) without them.
    fn note_work(&mut self, sample: &Sample, signals: &Signals, verdict: &mut Verdict) {
        let told = |j: &&Judged| {
            matches!(j.verdict.role, Role::Demand | Role::Backlog) && j.verdict.state != SignalState::Idle
        };
        let mut telling = signals.all.iter().filter(told).peekable();
        if telling.peek().is_none() {
            return;
        }
        let working = telling.clone().find(|j| j.usable().is_some_and(|value| value > 0.0));
        if let Some(signal) = working {
            let value = signal.usable().unwrap_or_default();
            verdict.woken = Some(match signal.verdict.role {
                Role::Backlog => Woken::Items(value),
                _ => Woken::Signal { index: signal.verdict.index, value },
            });
            if let Some(gap) = self.idle.take() {
                self.gaps.note(gap);
                self.woken_at = Some(sample.t);
            }
        } else if telling.all(|j| j.whole() == Some(0.0)) {
            // What nobody has seen is not idle: unknown time stands still.
            let idle = self.idle.map_or(0.0, |idle| idle + sample.dt);
            self.idle = Some(idle);
            verdict.idle = Some(idle);
            verdict.lasts_on = self.gaps.last_on(idle);
        }
    }

    /// Whether work would be seen.
    fn note_sight(&mut self, sample: &Sample, policy: &Policy, signals: &Signals, verdict: &mut Verdict) {
        let wakes = |j: &&Judged| policy.signals.get(j.verdict.index).is_some_and(Signal::wakes);
        let waking = || signals.all.iter().filter(wakes);
        let gone = sample.spec == 0 && sample.ready == 0.0;
        self.reached = gone.then(|| self.reached.unwrap_or(sample.t));
        let lost = waking().find(|j| j.usable().is_none());
        let sees = waking().any(|j| j.usable().is_some());
        if let Some(fingerprint) = self.off.as_ref().map(|off| off.0)
            && fingerprint != self::fingerprint(policy)
        {
            self.off = None;
        }
        if sees {
            self.blind_since = None;
            self.sight_needed = (self.sight_needed - sample.dt).max(0.0);
        } else if let Some(signal) = lost {
            if self.sight_needed > 0.0 {
                self.sight_needed = SIGHT_NEEDED;
            }
            let since = *self.blind_since.get_or_insert(sample.t);
            let blind_for = sample.t - since;
            let name = policy.signals.get(signal.verdict.index).map_or("-", |s| s.name.as_str());
            if let Some(reached) = self.reached {
                let after = since - reached;
                let vanished = matches!(signal.verdict.state, SignalState::Absent | SignalState::Stale);
                if vanished && after <= DIES_WITHIN && !signal.failed {
                    let words = format!("`{name}` vanished {} after the last pod", super::words::duration(after));
                    self.off = Some((self::fingerprint(policy), words));
                    verdict.died = true;
                } else if blind_for >= BLIND_AFTER {
                    let lost = super::words::duration(blind_for);
                    verdict.blind = Some(format!("`{name}` is lost for {lost}, work would not be seen"));
                    self.sight_needed = SIGHT_NEEDED;
                }
            }
        }
        verdict.off = self.off.as_ref().map(|off| off.1.clone());
        verdict.may = self.off.is_none() && self.sight_needed <= 0.0 && sees;
    }

    /// Remembers what was decided, and what work asks for a minute after it has come.
    pub(super) fn decided(&mut self, t: f64, n: u32, cores: f64) {
        self.ours |= n == 0;
        if self.woken_at.is_some_and(|at| t - at >= WAKE_SECONDS) {
            self.woken_at = None;
            if cores > 0.0 && cores.is_finite() {
                self.wake_cores += if self.wake_cores > 0.0 { WAKE_GAIN * (cores - self.wake_cores) } else { cores };
            }
        }
    }
}

impl Verdict {
    /// The count that zero makes of a wanted one. `keep` is how long the last replica stays without work; none: it may
    /// not leave now.
    pub(super) fn count(&self, asleep: bool, wanted: u32, current: u32, keep: Option<f64>) -> u32 {
        if asleep {
            let called = self.woken.is_some() || self.blind.is_some() || self.off.is_some();
            return wanted.max(u32::from(called));
        }
        let leaves = self.may && current <= 1 && wanted <= 1 && self.idle.zip(keep).is_some_and(|(i, k)| i >= k);
        if leaves { 0 } else { wanted.max(1) }
    }
}

/// How long a pod of this price, which carries `k`, stays without work when it is the last one.
pub(super) fn keep(policy: &Policy, sample: &Sample, (pod, shortage, k): (f64, f64, f64), zero: &Zero) -> f64 {
    let start = sample.start_p90;
    // Waiting items are late only when the start takes longer than they may wait; requests are late at once.
    let late = match (&policy.objective.backlog, &policy.objective.latency) {
        (Some(_), None) => (queue::lead(sample) - policy.tuning.backlog_share * queue::target(policy)).max(0.0),
        _ => start + TICK,
    };
    let missed = if zero.wake_cores > 0.0 { zero.wake_cores.min(k) } else { k };
    zero.gaps.keep_for(pod, pod * (start + DRAIN) + shortage * missed * late)
}

/// How long a queue's worker stays without work while others do: its start and its end are paid and do nothing.
pub(super) fn keep_worker(sample: &Sample, zero: &Zero) -> f64 {
    zero.gaps.keep_for(1.0, sample.start_p90 + DRAIN)
}

/// A number that changes when anything in the policy does.
fn fingerprint(policy: &Policy) -> u64 {
    super::fingerprint::of(policy).unwrap_or(0)
}

#[cfg(test)]
mod tests;
