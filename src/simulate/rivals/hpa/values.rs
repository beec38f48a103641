//! Metrics of an object and from outside the cluster: one value (or the sum of several series) against a target.
//!
//! A `Value` is compared as it is and scales the pods that are ready; an `AverageValue` is shared by the replicas that the
//! workload's status reports. Pure.

use super::{
    calculator::{Calculator, Failure, MetricError, Outcome, Proposal},
    convert::{to_i32, to_i64},
    pods::{Phase, Pod, Readiness},
};

/// The sum of an external metric's series in thousandths; stays at the largest number once it is reached.
///
/// # Errors
/// No series at all.
pub fn sum_of_series(series: &[i64]) -> Result<i64, MetricError> {
    if series.is_empty() {
        return Err(MetricError::NoMetrics);
    }
    Ok(series.iter().try_fold(0i64, |sum, value| sum.checked_add(*value)).unwrap_or(i64::MAX))
}

/// The same sum for sharing it among replicas: there a sum below zero is taken for an overflow, too.
fn shared_sum(series: &[i64]) -> i64 {
    let add = |sum: i64, value: &i64| sum.checked_add(*value).filter(|sum| *sum >= 0);
    series.iter().try_fold(0i64, add).unwrap_or(i64::MAX)
}

impl Calculator {
    /// A value against a target, both in thousandths; the ratio scales the pods that are running and ready. From zero
    /// replicas there is no tolerance and nothing to scale: the ratio is the count.
    pub fn value(&self, current: i32, target: i64, usage: i64, pods: &[Pod]) -> Outcome {
        let ratio = usage as f64 / target as f64;
        let proposed = |replicas| Proposal { replicas, utilization: None, usage, timestamp: None };
        if current == 0 {
            return Ok(proposed(to_i32(ratio.ceil())));
        }
        if self.tolerance.holds(ratio) {
            return Ok(proposed(current));
        }
        if pods.is_empty() {
            return Err(Failure { error: MetricError::NoPods, usage, timestamp: None });
        }
        let is_ready =
            |pod: &&Pod| pod.phase == Phase::Running && pod.ready.is_some_and(|ready| ready.status == Readiness::True);
        let wanted = (ratio * pods.iter().filter(is_ready).count() as f64).ceil();
        Ok(proposed(if wanted > f64::from(i32::MAX) { i32::MAX } else { to_i32(wanted) }))
    }

    /// An object's value shared by the replicas of the status against a target for each, both in thousandths.
    #[must_use]
    pub fn object_share(&self, status_replicas: i32, target: i64, usage: i64, timestamp: f64) -> Proposal {
        let wanted = self.share(status_replicas, target, usage).map_or(status_replicas, to_i32);
        let usage = to_i64((usage as f64 / f64::from(status_replicas)).ceil());
        Proposal { replicas: wanted, utilization: None, usage, timestamp: Some(timestamp) }
    }

    /// The sum of an external metric's series shared by the replicas of the status, all in thousandths.
    pub fn external_share(&self, status_replicas: i32, target: i64, series: &[i64], timestamp: f64) -> Outcome {
        if series.is_empty() {
            return Err(MetricError::NoMetrics.into());
        }
        let sum = shared_sum(series);
        let replicas = match self.share(status_replicas, target, sum) {
            None => status_replicas,
            Some(wanted) if wanted > f64::from(i32::MAX) => i32::MAX,
            Some(wanted) => to_i32(wanted),
        };
        // The largest number stands for an overflow and is not shared.
        let usage = match sum {
            i64::MAX => i64::MAX,
            sum => to_i64((sum as f64 / f64::from(status_replicas)).ceil()),
        };
        Ok(Proposal { replicas, utilization: None, usage, timestamp: Some(timestamp) })
    }

    /// Replicas that a shared value asks for; none when those that share it are right.
    fn share(&self, status_replicas: i32, target: i64, usage: i64) -> Option<f64> {
        let ratio = usage as f64 / (target as f64 * f64::from(status_replicas));
        (!self.tolerance.holds(ratio)).then(|| (usage as f64 / target as f64).ceil())
    }
}
