//! A scenario: a load, a service, a policy, a world, a time. Made of a bare recorded load, or read from a file.

mod file;
mod shape;
#[cfg(test)]
mod tests;
mod values;

use std::collections::BTreeMap;

pub use file::ScenarioFile;

use super::{Load, Queue, Service, World};
use crate::{
    policy::{
        BacklogObjective, Behavior, ContainerRule, ContainerRules, LatencyObjective, Levers, Limits, Mode, Objective,
        OnAbsent, OnRival, Policy, PolicyKey, Preference, Prices, ReplicaRange, ResizeRules, Role, Signal, Source,
        Target, Tuning,
    },
    units::{Bytes, Cores, Replicas, Seconds},
};

/// Traces shorter than this are tiled up to it: a week-day pattern needs days to show, and the first one is warm-up.
pub const SHORTEST: Seconds = Seconds(3.0 * 86_400.0);

/// What one run plays out.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Recorded load.
    pub load: Load,
    /// The service that meets it.
    pub service: Service,
    /// The policy that controllers follow: bounds, objective, prices.
    pub policy: Policy,
    /// Work at the 99.9th percentile of the load.
    pub peak_cores: Cores,
    /// How long it plays; a longer time than the recording's tiles it.
    pub duration: Seconds,
    /// The part at the beginning that is not scored.
    pub warmup: Seconds,
    /// What surrounds the service.
    pub world: World,
    /// What happens in it and what is to be seen, in a sentence or two.
    pub description: String,
    /// Controllers that it asks for; empty: whichever the caller chooses.
    pub controllers: Vec<String>,
}

/// What can be chosen about a bare recorded load.
#[derive(Clone, Debug)]
pub struct TraceOptions {
    /// Work at the load's peak.
    pub peak_cores: Cores,
    /// The part at the beginning that is not scored.
    pub warmup: Seconds,
    /// The policy to follow instead of the default one.
    pub policy: Option<Policy>,
    /// Prices instead of the policy's.
    pub prices: Option<Prices>,
}

impl Default for TraceOptions {
    fn default() -> Self {
        Self { peak_cores: Cores(8.0), warmup: Seconds(86_400.0), policy: None, prices: None }
    }
}

impl Scenario {
    /// A bare recorded load with the default service: peak at 8 cores of work, 10 ms per request, 0.05 core idle, 99 %
    /// within 20 times the work, 30 s to start, 2..60 replicas that begin with 1 core and 1 GiB.
    #[must_use]
    pub fn from_trace(load: Load, options: TraceOptions) -> Self {
        let duration = SHORTEST.max(Seconds(load.length_seconds()));
        Self::of(load, Service::default(), options, duration)
    }

    /// A load met by a service for some time. A policy that is given sets the service's objective.
    fn of(load: Load, mut service: Service, options: TraceOptions, duration: Seconds) -> Self {
        let mut policy = options.policy.unwrap_or_else(|| policy_of(&load.name, &service, None));
        if let Some(latency) = &policy.objective.latency {
            service.objective = latency.target;
            service.quantile = latency.objective;
        }
        policy.mode = Mode::Auto;
        if let Some(prices) = options.prices {
            policy.prices = prices;
        }
        Self {
            load,
            service,
            policy,
            peak_cores: options.peak_cores,
            duration,
            warmup: options.warmup,
            world: World::default(),
            description: String::new(),
            controllers: Vec::new(),
        }
    }

    /// Whether the load is shorter than the scenario and therefore repeated.
    pub fn tiled(&self) -> bool {
        self.load.length_seconds() < self.duration.get()
    }
}

/// The policy of a bare trace: all levers, the service's latency objective, a request rate and a latency as signals. With
/// a queue: what waits is drained within its deadline, and the backlog is the signal.
fn policy_of(name: &str, service: &Service, queue: Option<Queue>) -> Policy {
    let signal = |name: &str, role, query: &str| Signal {
        name: name.to_owned(),
        role,
        source: Source::Prometheus { query: query.to_owned() },
        on_absent: OnAbsent::Hold,
        survives_zero: false,
    };
    Policy {
        key: PolicyKey { namespace: "simulation".to_owned(), name: name.to_owned() },
        target: Target { api_version: "apps/v1".to_owned(), kind: "Deployment".to_owned(), name: name.to_owned() },
        mode: Mode::Auto,
        levers: Levers::ALL,
        objective: Objective {
            latency: queue.is_none().then(|| LatencyObjective {
                signal: "latency".to_owned(),
                target: service.objective,
                objective: service.quantile,
            }),
            backlog: queue.map(|queue| BacklogObjective { signal: "queue".to_owned(), drain_within: queue.deadline }),
            utilization: 0.7,
            utilization_given: false,
            preference: Preference::Balanced,
        },
        replicas: ReplicaRange { min: Replicas(2), max: Replicas(60) },
        containers: ContainerRules {
            named: BTreeMap::new(),
            default: ContainerRule {
                cpu_min: Some(Cores(0.05)),
                cpu_max: Some(Cores(4.0)),
                memory_min: Some(Bytes(64 * Bytes::MIB)),
                memory_max: Some(Bytes(4 * Bytes::GIB)),
                limits: Limits::Proportional,
            },
        },
        signals: if queue.is_some() {
            let waiting = signal("queue", Role::Backlog, "sum(queue_messages)");
            vec![Signal { survives_zero: true, ..waiting }]
        } else {
            vec![
                signal("requests", Role::Demand, "sum(rate(http_requests_total[30s]))"),
                signal("latency", Role::Latency, "histogram_quantile(0.99, sum(rate(http_duration_seconds[30s])))"),
            ]
        },
        behavior: Behavior::default(),
        resize: ResizeRules::default(),
        schedules: Vec::new(),
        on_signal_loss: None,
        on_rival: OnRival::Floor,
        takes_over_from_git: false,
        prices: Prices::default(),
        tuning: Tuning::default(),
    }
}
