//! One look of the HPA controller at one HPA: from what the metrics propose to a count, conditions and events.
//!
//! The order is upstream's: a count outside the bounds is corrected without metrics (and therefore also when there are
//! none), a workload somebody set to zero is left alone, a failed metric forbids shrinking and nothing else.
//!
//! Pure: the time, the count that was read, the proposals and whether the write succeeds come in.

use std::collections::BTreeMap;

use super::{
    behavior::Behavior,
    normalise::{Bounds, History, Limit, Normalised},
    words::{Condition, ConditionType, MetricKind, RescaleReason},
};

/// What an HPA says.
#[derive(Clone, Debug, PartialEq)]
pub struct HpaSpec {
    /// Bounds of the count.
    pub bounds: Bounds,
    /// `behavior` with defaults resolved; none: the way without it, which is not the defaults'.
    pub behavior: Option<Behavior>,
    /// `--horizontal-pod-autoscaler-downscale-stabilization`, seconds.
    pub downscale_window: f64,
    /// Whether a metric exists without pods ([`MetricKind::outlives_pods`]): only then may the count be zero.
    pub outliving_metric: bool,
}

/// What one metric proposes: a count, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricProposal {
    /// Kind of the metric.
    pub kind: MetricKind,
    /// Replicas; none when the metric failed.
    pub replicas: Option<i32>,
}

/// What came out of one look.
#[derive(Clone, Debug, PartialEq)]
pub struct Reconciled {
    /// The count afterwards.
    pub desired: i32,
    /// Whether a change was written.
    pub rescaled: bool,
    /// Why a change was wanted, whether or not it could be written.
    pub reason: Option<RescaleReason>,
    /// Whether the look ended in an error.
    pub failed: bool,
    /// Stabilisation and limits, where metrics were consulted.
    pub normalised: Option<Normalised>,
    /// Events, in order.
    pub events: Vec<&'static str>,
}

/// An HPA with what its controller remembers and what its status says.
#[derive(Clone, Debug, PartialEq)]
pub struct Autoscaler {
    /// The spec; may change between looks.
    pub spec: HpaSpec,
    history: History,
    conditions: BTreeMap<ConditionType, Condition>,
}

/// What metrics want together.
enum Wanted {
    /// Nothing can be said.
    Unknown,
    /// The highest proposal; whether a metric failed beside it.
    Count(i32, bool),
}

impl Autoscaler {
    /// An HPA nobody has looked at yet.
    #[must_use]
    pub fn new(spec: HpaSpec) -> Self {
        Self { spec, history: History::default(), conditions: BTreeMap::new() }
    }

    /// The controller restarts: what it remembered is gone, the status stays.
    pub fn restart(&mut self) {
        self.history = History::default();
    }

    /// Conditions as the status has them.
    #[must_use]
    pub fn conditions(&self) -> &BTreeMap<ConditionType, Condition> {
        &self.conditions
    }

    /// One look at `now` (seconds) with `current` replicas in the spec of the scale; `metrics` is only called when they
    /// are consulted, `write` when the count changes (whether it succeeded).
    pub fn reconcile(
        &mut self,
        now: f64,
        current: i32,
        metrics: impl FnOnce() -> Vec<MetricProposal>,
        write: impl FnOnce(i32) -> bool,
    ) -> Reconciled {
        let mut seen = Reconciled {
            desired: current,
            rescaled: false,
            reason: None,
            failed: false,
            normalised: None,
            events: vec![],
        };
        self.set(ConditionType::AbleToScale, true, "SucceededGetScale");
        if self.history.is_empty() {
            self.history.seed(current, now);
        }
        let Bounds { min, max } = self.spec.bounds;
        let (desired, reason) = if current == 0 && !self.wakes() {
            self.set(ConditionType::ScalingActive, false, "ScalingDisabled");
            return seen;
        } else if current > max {
            (max, RescaleReason::AboveMax)
        } else if current < min && current != 0 {
            (min, RescaleReason::BelowMin)
        } else {
            match self.consult(now, current, &metrics(), &mut seen) {
                Some(answer) => answer,
                None => return seen,
            }
        };
        if desired != current {
            seen.rescaled = write(desired);
            seen.reason = Some(reason);
            self.wrote(now, current, desired, &mut seen);
        }
        seen
    }

    /// Whether a workload at zero is this HPA's to wake: it must have put it there, and have a metric that says when.
    fn wakes(&self) -> bool {
        let scaled_to_zero = self.conditions.get(&ConditionType::ScaledToZero).is_some_and(|c| c.status);
        scaled_to_zero && (self.spec.bounds.min != 0 || self.spec.outliving_metric)
    }

    /// The count that metrics lead to and the reason; none when they do not say one.
    fn consult(
        &mut self,
        now: f64,
        current: i32,
        metrics: &[MetricProposal],
        seen: &mut Reconciled,
    ) -> Option<(i32, RescaleReason)> {
        let Wanted::Count(proposal, partly) = self.combined(current, metrics, seen) else {
            seen.failed = true;
            seen.events.push("FailedComputeMetricsReplicas");
            return None;
        };
        seen.failed = partly;
        let proposal = proposal.max(0);
        let reason = match proposal {
            more if more > current => RescaleReason::MetricAboveTarget,
            less if less < current => RescaleReason::AllBelowTarget,
            _ => RescaleReason::Unexplained,
        };
        let HpaSpec { bounds, behavior, downscale_window, .. } = &self.spec;
        let bounds = *bounds;
        let normalised = match behavior {
            None => self.history.plain(current, proposal, bounds, *downscale_window, now),
            Some(behavior) => self.history.behaved(current, proposal, bounds, behavior, now),
        };
        seen.normalised = Some(normalised);
        self.set(ConditionType::AbleToScale, true, normalised.stabilisation.reason());
        self.set(ConditionType::ScalingLimited, normalised.limit != Limit::WithinRange, normalised.limit.reason());
        // Back from zero with a minimum that was raised meanwhile: limits look at steps only, so it is applied here.
        if normalised.desired < bounds.min {
            Some((bounds.min, RescaleReason::BelowMin))
        } else {
            Some((normalised.desired, reason))
        }
    }

    /// The highest of the proposals. A failed metric could have wanted more, so with one nothing shrinks.
    fn combined(&mut self, current: i32, metrics: &[MetricProposal], seen: &mut Reconciled) -> Wanted {
        let failed = metrics.iter().filter(|metric| metric.replicas.is_none());
        seen.events.extend(failed.clone().map(|metric| metric.kind.failed()));
        let first_failed = failed.map(|metric| metric.kind).next();
        let highest = metrics.iter().filter_map(|metric| metric.replicas).max();
        match (highest, first_failed) {
            (Some(highest), failed) if failed.is_none() || highest >= current => {
                self.set(ConditionType::ScalingActive, true, "ValidMetricFound");
                Wanted::Count(highest, failed.is_some())
            }
            (_, failed) => {
                self.set(
                    ConditionType::ScalingActive,
                    false,
                    failed.map_or("InvalidMetricSourceType", MetricKind::failed),
                );
                Wanted::Unknown
            }
        }
    }

    /// Notes a write, successful or not.
    fn wrote(&mut self, now: f64, current: i32, desired: i32, seen: &mut Reconciled) {
        if !seen.rescaled {
            self.set(ConditionType::AbleToScale, false, "FailedUpdateScale");
            seen.events.push("FailedRescale");
            seen.failed = true;
            return;
        }
        self.set(ConditionType::AbleToScale, true, "SucceededRescale");
        seen.events.push("SuccessfulRescale");
        seen.desired = desired;
        if let Some(behavior) = &self.spec.behavior {
            self.history.steps.store(behavior, current, desired, now);
        }
        let to_zero = current > 0 && desired == 0 && self.spec.bounds.min == 0 && self.spec.outliving_metric;
        self.set(ConditionType::ScaledToZero, to_zero, if to_zero { "ScaledToZero" } else { "NotScaledToZero" });
    }

    fn set(&mut self, condition: ConditionType, status: bool, reason: &'static str) {
        self.conditions.insert(condition, Condition { status, reason });
    }
}
