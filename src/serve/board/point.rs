//! One instant of one workload: the numbers that the four plots show.

use std::sync::Arc;

use jiff::Timestamp;

use crate::{
    decide::{ContainerState, Decision, Reason, Snapshot},
    policy::Role,
    units::{Cores, Replicas, Seconds},
};

/// One instant. What is not known is `None`, never 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// When.
    pub at: Timestamp,
    /// Demand, free of our own actions.
    pub demand: Option<Cores>,
    /// Demand with headroom and drain.
    pub planned: Option<Cores>,
    /// Demand that the ready pods carry within the objective.
    pub capacity: Option<Cores>,
    /// `spec.replicas` as it was seen.
    pub replicas: Replicas,
    /// Ready pods.
    pub ready: Replicas,
    /// Replicas wanted.
    pub desired: Replicas,
    /// CPU request of a pod, mean over the pods that run.
    pub pod_cores: Option<Cores>,
    /// Latency at the objective.
    pub latency: Option<Seconds>,
    /// Target of the latency objective.
    pub latency_target: Option<Seconds>,
    /// Share of requests over the target.
    pub violation: Option<f64>,
    /// Waiting items.
    pub backlog: Option<f64>,
    /// Why, as a word.
    pub reason: Reason,
    /// Why, as a sentence.
    pub message: Arc<str>,
}

impl Point {
    /// What a snapshot and its decision say.
    #[must_use]
    pub fn of(snapshot: &Snapshot, decision: &Decision, at: Timestamp) -> Self {
        let explain = &decision.explain;
        let ready = snapshot.replicas.ready;
        let running = running_cores(&snapshot.containers);
        let wanted = wanted_cores(decision);
        // `explain.capacity_cores` is for the size that was chosen; pods that run at another carry in proportion.
        let scale = match (running, wanted) {
            (Some(running), Some(wanted)) if wanted.get() > 0.0 => running / wanted,
            _ => 1.0,
        };
        let verdict = |role: Role| explain.signals.iter().find(|s| s.role == role);
        let latency = verdict(Role::Latency);
        Self {
            at,
            demand: explain.demand_cores,
            planned: explain.planned_cores,
            capacity: explain.capacity_cores.map(|one| one * (ready.as_f64() * scale)),
            replicas: snapshot.replicas.spec,
            ready,
            desired: decision.replicas,
            pod_cores: running.or(wanted),
            latency: latency.and_then(|s| s.value).map(Seconds),
            latency_target: None,
            violation: latency.and_then(|s| snapshot.signals.get(&s.name)).and_then(|r| r.violation_ratio),
            backlog: verdict(Role::Backlog).and_then(|s| s.value),
            reason: decision.reason,
            message: Arc::from(decision.message.as_str()),
        }
    }

    /// Demand that is not carried; `None` when either number is missing.
    #[must_use]
    pub fn shortage(&self) -> Option<Cores> {
        Some((self.demand? - self.capacity?).max(Cores::ZERO))
    }
}

/// CPU request of a pod: containers added up, each the mean over the pods that run, else the template's request;
/// `None` when a container has neither.
fn running_cores(containers: &[ContainerState]) -> Option<Cores> {
    if containers.is_empty() {
        return None;
    }
    containers.iter().map(container_cores).sum()
}

fn container_cores(container: &ContainerState) -> Option<Cores> {
    let (mut sum, mut pods) = (0.0, 0.0);
    for group in &container.sizes {
        if let Some(cores) = group.cpu_cores {
            sum += cores.get() * group.pods.as_f64();
            pods += group.pods.as_f64();
        }
    }
    if pods > 0.0 { Some(Cores(sum / pods)) } else { container.request.cpu_cores }
}

/// CPU request of a pod as decided; `None` when no container has one.
pub(super) fn wanted_cores(decision: &Decision) -> Option<Cores> {
    decision.containers.iter().filter_map(|c| c.requests.cpu_cores).reduce(|a, b| a + b)
}
