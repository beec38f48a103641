//! The HPA as a controller of the simulated cluster: what it sees of pods becomes the pure parts' input.
//!
//! Must not: see anything but pods, their requests and their usage, all through the metric pipeline.

use super::{
    super::{
        super::{Action, Controller, PodAction, PodView, UsageSample, View},
        Answer,
    },
    behavior::Behavior,
    calculator::{Calculator, Failure, Outcome, PodsMetric, Tolerance},
    normalise::{Bounds, Limit, Stabilised},
    pods::{Phase, Pod, PodMetric, Readiness, ReadyCondition, RequestError},
    reconcile::{Autoscaler, HpaSpec, MetricProposal, Reconciled},
    words::{MetricKind, RescaleReason},
};
use crate::{
    decide::{Reason, Resources},
    policy::ReplicaRange,
    units::Replicas,
};

/// `--horizontal-pod-autoscaler-downscale-stabilization`, seconds.
pub const DOWNSCALE_WINDOW: f64 = 300.0;

/// A resource that pods use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// CPU, in millicores.
    Cpu,
    /// Memory, in thousandths of a byte.
    Memory,
}

/// What a resource's usage is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// `averageUtilization`: percent of the request.
    Utilization(i32),
    /// `averageValue`: thousandths of the resource's unit for each pod.
    AverageValue(i64),
}

/// One metric of an HPA: a resource of the pods or of one container in each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Which resource.
    pub resource: Resource,
    /// The container that counts; none: the whole pod.
    pub container: Option<String>,
    /// What it should be.
    pub target: Target,
}

impl Metric {
    /// CPU of the whole pod in percent of its request.
    #[must_use]
    pub const fn cpu_utilization(percent: i32) -> Self {
        Self { resource: Resource::Cpu, container: None, target: Target::Utilization(percent) }
    }

    /// CPU of the whole pod in millicores, whatever it requests.
    #[must_use]
    pub const fn cpu_average(millicores: i64) -> Self {
        Self { resource: Resource::Cpu, container: None, target: Target::AverageValue(millicores) }
    }

    const fn kind(&self) -> MetricKind {
        if self.container.is_some() { MetricKind::ContainerResource } else { MetricKind::Resource }
    }

    const fn word(&self) -> &'static str {
        match self.resource {
            Resource::Cpu => "cpu",
            Resource::Memory => "memory",
        }
    }
}

/// An HPA of the simulated cluster: metrics, bounds and, if given, `behavior`.
#[derive(Clone, Debug)]
pub struct Hpa {
    name: String,
    metrics: Vec<Metric>,
    calculator: Calculator,
    autoscaler: Autoscaler,
    /// Pods of the last look; kept for its allocation.
    pods: Vec<Pod>,
}

impl Hpa {
    /// An HPA with metrics and bounds, no `behavior`, the controller's default flags.
    #[must_use]
    pub fn new(name: &str, metrics: Vec<Metric>, range: ReplicaRange) -> Self {
        let spec = HpaSpec {
            bounds: bounds(range),
            behavior: None,
            downscale_window: DOWNSCALE_WINDOW,
            outliving_metric: false,
        };
        let autoscaler = Autoscaler::new(spec);
        Self { name: name.to_owned(), metrics, calculator: Calculator::default(), autoscaler, pods: Vec::new() }
    }

    /// The usual one: CPU in percent of the request.
    #[must_use]
    pub fn cpu(name: &str, percent: i32, range: ReplicaRange) -> Self {
        Self::new(name, vec![Metric::cpu_utilization(percent)], range)
    }

    /// With `behavior`.
    #[must_use]
    pub fn with_behavior(mut self, behavior: Behavior) -> Self {
        self.autoscaler.spec.behavior = Some(behavior);
        self
    }

    /// With another tolerance than the default 0.1 in both directions.
    #[must_use]
    pub const fn with_tolerance(mut self, tolerance: Tolerance) -> Self {
        self.calculator.tolerance = tolerance;
        self
    }

    /// What it says when it looks once. Composites take the count from here and size pods themselves.
    pub fn look(&mut self, view: &View<'_>) -> Answer {
        let current = replicas(view.snapshot.replicas.spec);
        let outcomes: Vec<Outcome> = self
            .metrics
            .iter()
            .map(|metric| {
                let timestamp = collect(view.pods, metric, &mut self.pods);
                let pods =
                    PodsMetric { pods: &self.pods, strays: &[], cpu: metric.resource == Resource::Cpu, timestamp };
                match metric.target {
                    Target::Utilization(percent) => self.calculator.utilization(current, percent, pods, view.now),
                    Target::AverageValue(milli) => self.calculator.average_value(current, milli, pods, view.now),
                }
            })
            .collect();
        let proposals = self.metrics.iter().zip(&outcomes).map(|(metric, outcome)| MetricProposal {
            kind: metric.kind(),
            replicas: outcome.as_ref().ok().map(|proposal| proposal.replicas),
        });
        let seen = self.autoscaler.reconcile(view.now, current, || proposals.collect(), |_| true);
        let said = self.said(&outcomes);
        answer(&seen, current, self.autoscaler.spec.bounds, said.0, &said.1)
    }

    /// The metric that decides, in words: the highest proposal's, or the first failure.
    fn said(&self, outcomes: &[Outcome]) -> (Reason, String) {
        let proposed = |outcome: &Outcome| outcome.as_ref().map_or(i32::MIN, |proposal| proposal.replicas);
        let mut all = self.metrics.iter().zip(outcomes);
        let Some(first) = all.next() else { return (Reason::WaitingForData, "an HPA without metrics".to_owned()) };
        let (metric, outcome) =
            all.fold(first, |best, next| if proposed(next.1) > proposed(best.1) { next } else { best });
        let reason = match metric.resource {
            Resource::Cpu => Reason::CpuDemand,
            Resource::Memory => Reason::MemoryPeak,
        };
        (reason, worded(metric, outcome))
    }
}

impl Controller for Hpa {
    fn name(&self) -> &str {
        &self.name
    }

    fn tick(&mut self, view: &View<'_>) -> Action {
        self.look(view).action(view, PodAction::NewPods(Vec::new()))
    }
}

/// Bounds as upstream's integers.
pub(in super::super) fn bounds(range: ReplicaRange) -> Bounds {
    Bounds { min: replicas(range.min), max: replicas(range.max) }
}

/// A count as upstream's integer.
pub(in super::super) fn replicas(count: Replicas) -> i32 {
    i32::try_from(count.0).unwrap_or(i32::MAX)
}

/// Pods as the calculator takes them, for one metric; the time of the metrics API's first entry.
fn collect(views: &[PodView], metric: &Metric, pods: &mut Vec<Pod>) -> Option<f64> {
    pods.clear();
    let wanted = metric.container.as_deref();
    pods.extend(views.iter().map(|view| pod(view, metric.resource, wanted)));
    pods.iter().find_map(|pod| pod.metric).map(|metric| metric.timestamp)
}

fn pod(view: &PodView, resource: Resource, container: Option<&str>) -> Pod {
    let status = if view.ready { Readiness::True } else { Readiness::False };
    Pod {
        phase: match view.phase {
            super::super::super::Phase::Pending => Phase::Pending,
            super::super::super::Phase::Running => Phase::Running,
        },
        deleting: view.deleting,
        start_time: view.started_at,
        ready: Some(ReadyCondition { status, last_transition: view.ready_since }),
        request: request(view, resource, container),
        metric: measured(view, resource, container),
    }
}

fn request(view: &PodView, resource: Resource, container: Option<&str>) -> Result<i64, RequestError> {
    let mut counted = view.containers.iter().filter(|c| container.is_none_or(|name| *c.name == *name)).peekable();
    counted.peek().ok_or(RequestError::NoContainer)?;
    counted.try_fold(0, |sum, c| Ok(sum + milli_request(c.requests, resource).ok_or(RequestError::Missing)?))
}

/// A pod's entry of the metrics API. A pod with a container that was not scraped has none at all: metrics-server leaves
/// it out until it knows every container.
fn measured(view: &PodView, resource: Resource, container: Option<&str>) -> Option<PodMetric> {
    let mut metric = PodMetric { timestamp: view.containers.first()?.usage?.at, window: 0.0, milli: 0 };
    for listed in &view.containers {
        let usage = listed.usage?;
        metric.timestamp = metric.timestamp.min(usage.at);
        metric.window = metric.window.max(usage.window);
        if container.is_none_or(|name| *listed.name == *name) {
            metric.milli += milli_usage(usage, resource);
        }
    }
    Some(metric)
}

fn milli_request(requests: Resources, resource: Resource) -> Option<i64> {
    match resource {
        Resource::Cpu => requests.cpu_cores.map(|cores| integer(cores.millis_ceil())),
        Resource::Memory => requests.memory_bytes.map(|bytes| integer(bytes.0).saturating_mul(1000)),
    }
}

fn milli_usage(usage: UsageSample, resource: Resource) -> i64 {
    match resource {
        Resource::Cpu => integer(usage.cpu_cores.millis_ceil()),
        Resource::Memory => integer(usage.memory.0).saturating_mul(1000),
    }
}

fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn worded(metric: &Metric, outcome: &Outcome) -> String {
    let word = metric.word();
    match (outcome, metric.target) {
        (Err(Failure { error, .. }), _) => format!("{word}: {error}"),
        (Ok(proposal), Target::Utilization(target)) => {
            format!("{word} at {} % of request against {target} %", proposal.utilization.unwrap_or_default())
        }
        (Ok(proposal), Target::AverageValue(target)) => {
            format!(
                "{word} at {} per pod against {}",
                amount(metric.resource, proposal.usage),
                amount(metric.resource, target)
            )
        }
    }
}

fn amount(resource: Resource, milli: i64) -> String {
    match resource {
        Resource::Cpu => format!("{milli}m"),
        Resource::Memory => format!("{}Mi", milli / 1000 / (1 << 20)),
    }
}

/// What a look says, in the simulator's words; `said`: the metric, `reason`: what it stands for.
pub(in super::super) fn answer(seen: &Reconciled, current: i32, bounds: Bounds, reason: Reason, said: &str) -> Answer {
    let Bounds { min, max } = bounds;
    let to = seen.desired;
    let (reason, message) = match (seen.reason, seen.normalised) {
        (Some(RescaleReason::AboveMax), _) => (Reason::LimitedByMax, format!("{current} replicas are above max {max}")),
        (Some(RescaleReason::BelowMin), _) => (Reason::LimitedByMin, format!("{current} replicas are below min {min}")),
        (_, None) if seen.failed => (Reason::WaitingForData, format!("{said}: {current} replicas stay")),
        (_, None) => (Reason::ScaledToZero, "0 replicas: the HPA is disabled".to_owned()),
        (_, Some(normalised)) => {
            let wanted = normalised.stabilized;
            let (reason, why) = match (normalised.limit, normalised.stabilisation) {
                (Limit::TooFew, _) => (Reason::LimitedByMin, format!(", held at min {min}")),
                (Limit::TooMany, _) => (Reason::LimitedByMax, format!(" wants {wanted}, max is {max}")),
                (Limit::ScaleUp | Limit::ScaleDown, _) => {
                    (Reason::LimitedByBehavior, format!(" wants {wanted}, {to} in one step"))
                }
                (Limit::WithinRange, Stabilised::Ready) => (reason, String::new()),
                (Limit::WithinRange, _) => {
                    (Reason::HoldingForDemand, ", a past proposal of the window holds".to_owned())
                }
            };
            (reason, format!("{said}: {current} → {to}{why}"))
        }
    };
    Answer { replicas: Replicas(u32::try_from(to).unwrap_or(0)), reason, message }
}
