//! The replica calculator: one metric and the pods behind it make a proposal of replicas.
//!
//! Per-pod metrics (a resource's utilization or average, a custom metric of pods) are averaged over the pods that count
//! and corrected for those that are not up or not measured, always towards changing less. Metrics of an object or from
//! outside the cluster are compared as they are. All arithmetic is in whole thousandths and whole percent, truncated
//! where upstream truncates.
//!
//! Pure, and without limits or memory: those are [`normalise`](super::normalise)'s.

use super::{
    convert::{to_i32, wrap_i32},
    pods::{Group, Pod, PodMetric, RequestError, StartUp},
};

/// Ratios of measured to wanted that ask for no change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// How far below 1.
    pub down: f64,
    /// How far above 1.
    pub up: f64,
}

impl Default for Tolerance {
    /// `--horizontal-pod-autoscaler-tolerance`.
    fn default() -> Self {
        Self { down: 0.1, up: 0.1 }
    }
}

impl Tolerance {
    /// Whether a ratio is close enough to 1, the edges included.
    #[must_use]
    pub fn holds(&self, ratio: f64) -> bool {
        (1.0 - self.down..=1.0 + self.up).contains(&ratio)
    }
}

/// What the calculator answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Proposal {
    /// Replicas wanted, before stabilisation and limits; negative only for absurd metrics.
    pub replicas: i32,
    /// Percent of the request, for utilization targets.
    pub utilization: Option<i32>,
    /// Usage as reported in the status, thousandths.
    pub usage: i64,
    /// When it was measured, seconds; a value of an object or from outside reports none.
    pub timestamp: Option<f64>,
}

/// Why there is no proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetricError {
    /// The metrics API did not answer.
    #[error("the metrics API call failed; look at the APIService behind it")]
    Api,
    /// It answered without any entry.
    #[error("the metrics API knows no pod or series of this metric; check the selector")]
    NoMetrics,
    /// The selector matches no pod.
    #[error("the selector matches no pod")]
    NoPods,
    /// Nothing is left without unready and leaving pods.
    #[error("no pod that is up has a metric; wait for pods to become ready")]
    NoneUsable,
    /// A container has no request.
    #[error("a container has no request for the resource; give it one")]
    MissingRequest,
    /// The named container is not there.
    #[error("a pod has no container of the metric's name")]
    NoContainer,
    /// Requests add up to nothing.
    #[error("requests of the measured pods add up to nothing")]
    ZeroRequests,
}

impl MetricError {
    /// A word for labels.
    #[must_use]
    pub const fn category(self) -> &'static str {
        match self {
            Self::Api => "metrics_api_error",
            Self::NoMetrics => "no_metrics_from_api",
            Self::NoPods => "no_pods",
            Self::NoneUsable => "no_usable_pod_metrics",
            Self::MissingRequest => "missing_request",
            Self::NoContainer => "container_not_found",
            Self::ZeroRequests => "zero_requests",
        }
    }
}

impl From<RequestError> for MetricError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Missing => Self::MissingRequest,
            RequestError::NoContainer => Self::NoContainer,
        }
    }
}

/// No proposal, and what is reported nevertheless.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Failure {
    /// Why.
    pub error: MetricError,
    /// Usage as reported, thousandths.
    pub usage: i64,
    /// When it was measured, seconds.
    pub timestamp: Option<f64>,
}

impl From<MetricError> for Failure {
    fn from(error: MetricError) -> Self {
        Self { error, usage: 0, timestamp: None }
    }
}

/// A proposal or its absence.
pub type Outcome = Result<Proposal, Failure>;

/// What a per-pod calculation is made of.
#[derive(Clone, Copy, Debug)]
pub struct PodsMetric<'a> {
    /// All pods of the selector, in list order.
    pub pods: &'a [Pod],
    /// Metrics of pods that the list lacks (just deleted, say).
    pub strays: &'a [PodMetric],
    /// Whether the metric is the CPU resource.
    pub cpu: bool,
    /// When the metrics API's first entry was measured; none when it has no entry at all.
    pub timestamp: Option<f64>,
}

/// The calculator and its settings.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Calculator {
    /// Ratios that ask for no change.
    pub tolerance: Tolerance,
    /// Rules for young pods.
    pub start_up: StartUp,
}

/// Metrics that count, summed.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    entries: i64,
    usage: i64,
    request: i64,
}

impl Sum {
    const fn add(&mut self, usage: i64, request: i64) {
        self.entries += 1;
        self.usage = self.usage.wrapping_add(usage);
        self.request = self.request.wrapping_add(request);
    }

    /// Both together; the second one's usage only if it counts.
    const fn with(self, other: Self, usage_counts: bool) -> Self {
        Self {
            entries: self.entries + other.entries,
            usage: self.usage.wrapping_add(if usage_counts { other.usage } else { 0 }),
            request: self.request.wrapping_add(other.request),
        }
    }
}

/// Pods by group: what is measured, and what the others would add.
#[derive(Clone, Copy, Debug, Default)]
struct Groups {
    /// Pods that are up and measured.
    ready: i64,
    /// Them and the strays.
    measured: Sum,
    unready: Sum,
    missing: Sum,
}

/// Pods grouped and summed; `assumed`: usage of a missing pod, should the others shrink.
fn grouped(
    start_up: StartUp,
    metric: &PodsMetric<'_>,
    now: f64,
    assumed: impl Fn(i64) -> i64,
) -> Result<Groups, MetricError> {
    if metric.pods.is_empty() {
        return Err(MetricError::NoPods);
    }
    let mut groups = Groups::default();
    for pod in metric.pods {
        // A request that is not there fails the metric later, where it is needed.
        let request = pod.request.unwrap_or(0);
        match (start_up.group(pod, metric.cpu, now), pod.metric) {
            (Group::Ready, Some(measured)) => {
                groups.ready += 1;
                groups.measured.add(measured.milli, request);
            }
            (Group::Unready, _) => groups.unready.add(0, request),
            (Group::Missing, _) => groups.missing.add(assumed(request), request),
            (Group::Ignored | Group::Ready, _) => {}
        }
    }
    Ok(groups)
}

impl Calculator {
    /// Usage against the request, in percent, for a resource of the pods or of one container in each.
    pub fn utilization(&self, current: i32, target_percent: i32, metric: PodsMetric<'_>, now: f64) -> Outcome {
        let timestamp = Some(metric.timestamp.ok_or(MetricError::NoMetrics)?);
        let whole = i64::from(target_percent.max(100));
        let mut groups = grouped(self.start_up, &metric, now, |request| request.wrapping_mul(whole) / 100)?;
        // Strays have no request: their usage is not compared with anything, but they are counted.
        groups.measured.entries += count(metric.strays.len());
        if groups.measured.entries == 0 {
            return Err(MetricError::NoneUsable.into());
        }
        for pod in metric.pods {
            pod.request.map_err(MetricError::from)?;
        }
        let percent = |sum: &Sum| match sum.request {
            0 => Err(MetricError::ZeroRequests),
            request => Ok(wrap_i32(sum.usage.wrapping_mul(100).wrapping_div(request))),
        };
        let utilization = percent(&groups.measured)?;
        let usage = groups.measured.usage.checked_div(groups.ready).ok_or(MetricError::ZeroRequests)?;
        let ratio = |sum: &Sum| Ok(f64::from(percent(sum)?) / f64::from(target_percent));
        let replicas = self.propose(current, &groups, ratio)?;
        Ok(Proposal { replicas, utilization: Some(utilization), usage, timestamp })
    }

    /// The average over pods against a target in thousandths, for a resource (of the pods or of one container in each)
    /// or a custom metric of pods.
    pub fn average_value(&self, current: i32, target: i64, metric: PodsMetric<'_>, now: f64) -> Outcome {
        let timestamp = Some(metric.timestamp.ok_or(MetricError::NoMetrics)?);
        let failed = |error| Failure { error, usage: 0, timestamp };
        let mut groups = grouped(self.start_up, &metric, now, |_| target).map_err(failed)?;
        for stray in metric.strays {
            groups.measured.add(stray.milli, 0);
        }
        let average = |sum: &Sum| sum.usage.checked_div(sum.entries).ok_or(MetricError::NoneUsable);
        let usage = average(&groups.measured).map_err(failed)?;
        let ratio = |sum: &Sum| Ok(average(sum)? as f64 / target as f64);
        let replicas = self.propose(current, &groups, ratio).map_err(failed)?;
        Ok(Proposal { replicas, utilization: None, usage, timestamp })
    }

    /// Replicas for per-pod metrics: the ratio times the pods that are up; where some are not up or not measured, the
    /// ratio with what they are taken to use, which may weaken the change but not turn it.
    fn propose(
        &self,
        current: i32,
        groups: &Groups,
        ratio: impl Fn(&Sum) -> Result<f64, MetricError>,
    ) -> Result<i32, MetricError> {
        let first = ratio(&groups.measured)?;
        let grow_with_unready = groups.unready.entries > 0 && first > 1.0;
        if !grow_with_unready && groups.missing.entries == 0 {
            let wanted = || to_i32((first * groups.ready as f64).ceil());
            return Ok(if self.tolerance.holds(first) { current } else { wanted() });
        }
        let mut sum = groups.measured;
        if first != 1.0 {
            sum = sum.with(groups.missing, first < 1.0);
        }
        if grow_with_unready {
            sum = sum.with(groups.unready, false);
        }
        let again = ratio(&sum)?;
        let turned = (first < 1.0 && again > 1.0) || (first > 1.0 && again < 1.0);
        if self.tolerance.holds(again) || turned {
            return Ok(current);
        }
        let wanted = to_i32((again * sum.entries as f64).ceil());
        let backwards = (again < 1.0 && wanted > current) || (again > 1.0 && wanted < current);
        Ok(if backwards { current } else { wanted })
    }
}

/// A number of pods as upstream's integer.
fn count(pods: usize) -> i64 {
    i64::try_from(pods).unwrap_or(i64::MAX)
}
