//! Pods as the replica calculator sees them: what they request, what is measured of them, whether they count.
//!
//! Grouping decides more than any formula here: a pod is ignored, unready, missing or ready, and only ready ones carry
//! the count. Pure; times are seconds on any one clock, amounts are whole thousandths (millicores; bytes × 1000).

/// Phase of a pod's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not started yet.
    Pending,
    /// At least one container runs.
    Running,
    /// All containers ended well.
    Succeeded,
    /// All containers ended, one of them badly.
    Failed,
    /// The node is not heard from.
    Unknown,
}

/// Status of the Ready condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Takes traffic.
    True,
    /// Does not.
    False,
    /// Not known; counts as ready for most purposes.
    Unknown,
}

/// The Ready condition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReadyCondition {
    /// Its status.
    pub status: Readiness,
    /// When the status last changed, seconds.
    pub last_transition: f64,
}

/// A pod's metric: the sum over its containers, or a custom value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PodMetric {
    /// End of the window, seconds.
    pub timestamp: f64,
    /// Length of the window, seconds.
    pub window: f64,
    /// Value in thousandths.
    pub milli: i64,
}

/// A listed pod, for one metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pod {
    /// Phase.
    pub phase: Phase,
    /// Whether it carries a deletion timestamp.
    pub deleting: bool,
    /// When the kubelet acknowledged it, seconds.
    pub start_time: Option<f64>,
    /// The Ready condition; none before the first one is written.
    pub ready: Option<ReadyCondition>,
    /// What it requests of the metric's resource ([`request_of`]); any value where the target is not a utilization.
    pub request: Result<i64, RequestError>,
    /// Its metric ([`metric_of`]); none when the metrics API does not have it.
    pub metric: Option<PodMetric>,
}

/// Why a pod has no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// A container without a request for the resource.
    Missing,
    /// The named container is not in the pod.
    NoContainer,
}

/// A container that counts for requests: a regular one, or an init container that restarts (a sidecar).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContainerRequest<'a> {
    /// Name.
    pub name: &'a str,
    /// Request in thousandths; none when it has none.
    pub milli: Option<i64>,
}

/// What the metrics API says of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContainerUsage<'a> {
    /// Name.
    pub name: &'a str,
    /// Usage in thousandths; none when the entry lacks the resource.
    pub milli: Option<i64>,
}

/// A pod's request for a resource: the named container's, else the pod-level one, else the sum of the containers.
pub fn request_of(
    containers: &[ContainerRequest<'_>],
    pod_level: Option<i64>,
    container: Option<&str>,
) -> Result<i64, RequestError> {
    let Some(wanted) = container else {
        return pod_level.map_or_else(|| sum_of_requests(containers), Ok);
    };
    let named = containers.iter().find(|c| c.name == wanted).ok_or(RequestError::NoContainer)?;
    named.milli.ok_or(RequestError::Missing)
}

fn sum_of_requests(containers: &[ContainerRequest<'_>]) -> Result<i64, RequestError> {
    containers.iter().try_fold(0i64, |sum, c| Ok(sum.wrapping_add(c.milli.ok_or(RequestError::Missing)?)))
}

/// A pod's usage of a resource, from its entry in the metrics API: the named container's, else the sum. None when the
/// entry is empty or a listed container lacks the resource; a container that is not listed adds nothing.
#[must_use]
pub fn metric_of(containers: &[ContainerUsage<'_>], container: Option<&str>) -> Option<i64> {
    if let Some(wanted) = container {
        return containers.iter().find(|c| c.name == wanted)?.milli;
    }
    if containers.is_empty() {
        return None;
    }
    containers.iter().try_fold(0i64, |sum, c| Some(sum.wrapping_add(c.milli?)))
}

/// What a pod is to the calculator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// On its way out: neither it nor its metric counts.
    Ignored,
    /// Not up yet: counts as using nothing when growing, not at all when shrinking.
    Unready,
    /// Up, but nothing is measured of it.
    Missing,
    /// Counts with its metric.
    Ready,
}

/// How long after its start a pod's CPU and readiness are not trusted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StartUp {
    /// `--horizontal-pod-autoscaler-cpu-initialization-period`, seconds.
    pub cpu_initialization: f64,
    /// `--horizontal-pod-autoscaler-initial-readiness-delay`, seconds.
    pub initial_readiness_delay: f64,
}

impl Default for StartUp {
    fn default() -> Self {
        Self { cpu_initialization: 300.0, initial_readiness_delay: 30.0 }
    }
}

impl StartUp {
    /// A pod's group at a time; `cpu`: whether the metric is the CPU resource, the only one with start-up rules.
    #[must_use]
    pub fn group(&self, pod: &Pod, cpu: bool, now: f64) -> Group {
        if pod.deleting || pod.phase == Phase::Failed {
            return Group::Ignored;
        }
        if pod.phase == Phase::Pending {
            return Group::Unready;
        }
        match &pod.metric {
            None => Group::Missing,
            Some(metric) if cpu && self.unready(pod, metric, now) => Group::Unready,
            Some(_) => Group::Ready,
        }
    }

    /// Inside the initialisation period a pod counts once it is ready and was measured as such for a whole window; after
    /// it only one that never became ready is left out.
    fn unready(&self, pod: &Pod, metric: &PodMetric, now: f64) -> bool {
        let (Some(ready), Some(start)) = (pod.ready, pod.start_time) else { return true };
        let said_unready = ready.status == Readiness::False;
        if start + self.cpu_initialization > now {
            return said_unready || metric.timestamp < ready.last_transition + metric.window;
        }
        said_unready && start + self.initial_readiness_delay > ready.last_transition
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(phase: Phase, start: f64, status: Readiness, changed: f64, measured: Option<f64>) -> Pod {
        Pod {
            phase,
            deleting: false,
            start_time: Some(start),
            ready: Some(ReadyCondition { status, last_transition: changed }),
            request: Ok(1000),
            metric: measured.map(|timestamp| PodMetric { timestamp, window: 30.0, milli: 500 }),
        }
    }

    fn cpu_group(pod: &Pod, now: f64) -> Group {
        StartUp::default().group(pod, true, now)
    }

    #[test]
    fn a_young_pod_counts_once_measured_for_a_whole_window() {
        let ready_at_20 = |measured| pod(Phase::Running, 0.0, Readiness::True, 20.0, Some(measured));
        assert_eq!(cpu_group(&ready_at_20(49.0), 60.0), Group::Unready);
        assert_eq!(cpu_group(&ready_at_20(50.0), 60.0), Group::Ready);
        // Not for memory, and no more once the initialisation period has passed.
        assert_eq!(StartUp::default().group(&ready_at_20(49.0), false, 60.0), Group::Ready);
        assert_eq!(cpu_group(&ready_at_20(49.0), 299.0), Group::Unready);
        assert_eq!(cpu_group(&ready_at_20(49.0), 300.0), Group::Ready);
    }

    #[test]
    fn an_old_pod_is_unready_only_if_it_never_was_ready() {
        let unready = |changed| pod(Phase::Running, 0.0, Readiness::False, changed, Some(590.0));
        assert_eq!(cpu_group(&unready(29.0), 600.0), Group::Unready);
        assert_eq!(cpu_group(&unready(30.0), 600.0), Group::Ready);
    }

    #[test]
    fn phases_come_before_metrics() {
        let group = |phase| cpu_group(&pod(phase, 0.0, Readiness::True, 10.0, None), 600.0);
        assert_eq!(group(Phase::Failed), Group::Ignored);
        assert_eq!(group(Phase::Pending), Group::Unready);
        assert_eq!(group(Phase::Succeeded), Group::Missing);
        assert_eq!(group(Phase::Running), Group::Missing);
        let leaving = Pod { deleting: true, ..pod(Phase::Running, 0.0, Readiness::True, 10.0, Some(590.0)) };
        assert_eq!(cpu_group(&leaving, 600.0), Group::Ignored);
    }

    #[test]
    fn requests_and_usage_are_sums_or_one_container() {
        let requests =
            [ContainerRequest { name: "app", milli: Some(300) }, ContainerRequest { name: "log", milli: None }];
        assert_eq!(request_of(&requests, None, None), Err(RequestError::Missing));
        assert_eq!(request_of(&requests, Some(900), None), Ok(900));
        assert_eq!(request_of(&requests, Some(900), Some("app")), Ok(300));
        assert_eq!(request_of(&requests, None, Some("db")), Err(RequestError::NoContainer));
        let usage = [ContainerUsage { name: "app", milli: Some(7) }, ContainerUsage { name: "log", milli: None }];
        assert_eq!(metric_of(&usage, None), None);
        assert_eq!(metric_of(&usage, Some("app")), Some(7));
        assert_eq!(metric_of(&usage[..1], None), Some(7));
        assert_eq!(metric_of(&[], None), None);
    }
}
