//! The floor under everything: never hold while saturated.
//!
//! Pods at capacity, throttled, or grossly over the objective mean growth, model or no model, whatever else is stale.
//! The step is made from the pods that the evidence is about, not from those already on their way, so the same evidence
//! is never answered twice. Late requests while pods have CPU left may come of a burst that is over already: they are
//! answered when they go on.
//!
//! Throttling and violations at low usage may have another cause (bursts inside a period, a slow database). They too
//! are answered by growth; but when half as many pods again did not help, growing on is no help either.

use serde::{Deserialize, Serialize};

use super::{
    arith::count,
    capacity::{Capacity, Mode},
    demand::THROTTLED,
    sample::Sample,
    vertical::WARM_UP,
};
use crate::policy::Policy;

/// Usage over capacity from which pods are at capacity.
const AT_CAPACITY: f64 = 0.95;
/// Growth when pods are at capacity and nothing says how far beyond.
const AT_CAPACITY_STEP: f64 = 0.5;
/// A share over the target that is gross: ten times a 1 % objective, and never under 5 %.
const GROSS_TIMES: f64 = 10.0;
const GROSS_LEAST: f64 = 0.05;
/// Late requests of a burst of seconds are seen for the window of the metrics (30 s) and a tick longer than it lasts. What is
/// seen for less than this was over before a resize (15 s) could help, and would only be paid for. Pods that are full on
/// average, or throttled, and demand itself are answered at once.
const BRIEF: f64 = 60.0;
/// Evidence must improve by this share before more of the same is tried.
const IMPROVES: f64 = 0.1;
/// Grown by this factor without improvement: it does not help.
const ENOUGH_GROWTH: f64 = 1.5;
/// How long "it does not help" is believed after the evidence has gone.
const GIVE_UP_SECONDS: f64 = 1800.0;

/// Growth that is being tried against evidence that may have another cause.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Episode {
    /// Pods and evidence when it began.
    began: Option<(f64, f64)>,
    /// Demand then, cores; 0: not known.
    demand: f64,
    /// Growing does not help until then.
    given_up_until: Option<f64>,
    /// Pods added in vain.
    added_in_vain: u32,
    /// Since when more is late than allowed by far.
    gross_since: Option<f64>,
    /// The step being waited for: (pods that the evidence was about, floor).
    step: Option<(f64, u32)>,
}

/// Why pods are short.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cause {
    /// Throttled for this share of the time.
    Throttled(f64),
    /// Usage over capacity.
    AtCapacity(f64),
    /// A Saturation signal.
    Signal(f64),
    /// Share over the target.
    Violations(f64),
}

/// The verdict of one tick.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Saturation {
    /// Why, when saturated: nothing shrinks.
    pub(super) cause: Option<Cause>,
    /// At least this many replicas, whatever the model says.
    pub(super) floor: Option<u32>,
    /// Pods that were added without any effect.
    pub(super) in_vain: Option<u32>,
    /// The evidence is so young that a burst of seconds may have made it.
    pub(super) waits: bool,
}

/// Usage over capacity of the fullest container, pods that report.
fn fullest(sample: &Sample, threshold_without_limit: f64) -> Option<(f64, f64)> {
    if !sample.usage_state.is_known() {
        return None;
    }
    let parts = sample.containers.iter().filter_map(|c| {
        let pods = c.reporting.unwrap_or(sample.ready_in_window).max(sample.ready_in_window.min(sample.ready));
        let pods = c.reporting.map_or(pods, |r| if r > 0.0 { r } else { pods });
        let share = c.cpu? / (c.cap? * pods.max(1e-9));
        let threshold = if c.limited { AT_CAPACITY } else { threshold_without_limit };
        (pods > 0.0).then_some((share, threshold))
    });
    parts.max_by(|a, b| (a.0 / a.1).total_cmp(&(b.0 / b.1)))
}

impl Episode {
    /// Judges one tick. `backlog_met` says that waiting work will be done in time, so busy workers are no shortage.
    pub(super) fn judge(
        &mut self,
        sample: &Sample,
        policy: &Policy,
        capacity: Option<&Capacity>,
        evidence: &Shortage,
    ) -> Saturation {
        let objective = &policy.objective;
        let without_limit = match capacity.map(|c| c.mode) {
            Some(Mode::Latency) | None => AT_CAPACITY,
            _ => AT_CAPACITY.max(1.05 * objective.utilization.clamp(0.0, 1.0) + 0.02),
        };
        let usage = fullest(sample, without_limit).filter(|(share, threshold)| share >= threshold).map(|x| x.0);
        let throttled = sample.throttled.filter(|x| *x > THROTTLED);
        let gross = objective.latency.as_ref().and_then(|l| {
            let line = (GROSS_TIMES * (1.0 - l.objective)).clamp(GROSS_LEAST, 0.5);
            evidence.violation.filter(|v| *v >= line)
        });
        self.gross_since = gross.map(|_| self.gross_since.unwrap_or(sample.t));
        // Before demand has been watched, this may be all that tells of it.
        let brief = sample.uptime >= WARM_UP && self.gross_since.is_some_and(|since| sample.t - since < BRIEF);
        let signal = evidence.saturation_signal.filter(|x| *x >= AT_CAPACITY);
        let (cause, step, sure) = match (throttled, usage, signal, gross) {
            (Some(x), usage, ..) => {
                (Cause::Throttled(x), x.max(if usage.is_some() { 0.25 } else { 0.0 }), usage.is_some())
            }
            (None, Some(x), ..) => (Cause::AtCapacity(x), AT_CAPACITY_STEP, true),
            (None, None, Some(x), _) => (Cause::Signal(x), AT_CAPACITY_STEP, false),
            (None, None, None, Some(x)) => (Cause::Violations(x), x.min(0.5), false),
            _ => {
                self.began = None;
                self.step = None;
                if self.given_up_until.is_some_and(|until| until <= sample.t) {
                    self.given_up_until = None;
                }
                return Saturation::default();
            }
        };
        let strength = match cause {
            Cause::Throttled(x) | Cause::AtCapacity(x) | Cause::Signal(x) | Cause::Violations(x) => x,
        };
        if brief && matches!(cause, Cause::Violations(_)) {
            return Saturation { cause: Some(cause), waits: true, ..Saturation::default() };
        }
        // Work that waits and will be done in time keeps workers busy; that is their purpose.
        if evidence.backlog_known {
            return Saturation::default();
        }
        if evidence.backlog_met {
            return Saturation { cause: Some(cause), ..Saturation::default() };
        }
        if !sure && self.is_in_vain(sample, strength, evidence.demand.unwrap_or(0.0)) {
            return Saturation { cause: Some(cause), in_vain: self.in_vain(), ..Saturation::default() };
        }
        let pods = sample.ready_in_window.min(sample.ready).max(sample.ready.min(1.0));
        Saturation { cause: Some(cause), floor: Some(self.next_step(pods, step)), ..Saturation::default() }
    }

    /// The floor for evidence about `pods` pods: a further step only once the last one has come into effect.
    fn next_step(&mut self, pods: f64, step: f64) -> u32 {
        let grown = |pods: f64| count((pods * (1.0 + step) - 1e-9).ceil()).max(count(pods + 0.5).saturating_add(1));
        let (from, floor) = match self.step {
            Some((from, floor)) if pods >= from - 0.5 && pods < f64::from(floor) - 0.5 => {
                (from, floor.max(grown(from)))
            }
            _ => (pods, grown(pods)),
        };
        self.step = Some((from, floor));
        floor
    }

    /// Whether growing was tried and is known not to help.
    pub(super) fn gave_up(&self) -> bool {
        self.given_up_until.is_some()
    }

    fn in_vain(&self) -> Option<u32> {
        self.given_up_until.map(|_| self.added_in_vain)
    }

    /// Whether half as many pods again for the same load have left the evidence as it was. Pods that only keep pace with what
    /// comes have shown nothing.
    fn is_in_vain(&mut self, sample: &Sample, strength: f64, demand: f64) -> bool {
        if self.given_up_until.is_some() {
            // The same evidence goes on: what did not help then does not help now.
            self.given_up_until = Some(sample.t + GIVE_UP_SECONDS);
            return true;
        }
        let pods = sample.ready_in_window;
        let Some((from, before)) = self.began else {
            (self.began, self.demand) = (Some((pods, strength)), demand);
            return false;
        };
        let heavier = if self.demand > 0.0 { (demand / self.demand).max(1.0) } else { 1.0 };
        if pods >= ENOUGH_GROWTH * heavier * from {
            if strength > (1.0 - IMPROVES) * before {
                self.given_up_until = Some(sample.t + GIVE_UP_SECONDS);
                self.added_in_vain = count(pods - from);
                return true;
            }
            (self.began, self.demand) = (Some((pods, strength)), demand);
        }
        false
    }
}

/// What besides usage may say that pods are short.
pub(super) struct Shortage {
    /// Share over the latency target.
    pub(super) violation: Option<f64>,
    /// The fullest Saturation signal.
    pub(super) saturation_signal: Option<f64>,
    /// What waits will be done in time.
    pub(super) backlog_met: bool,
    /// It is known what waiting work takes.
    pub(super) backlog_known: bool,
    /// Demand, cores, when known.
    pub(super) demand: Option<f64>,
}
