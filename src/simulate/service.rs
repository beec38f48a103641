//! The simulated service: what a request costs, what a pod needs to start, what memory it takes.

use serde::Serialize;

use crate::units::{Bytes, Cores, Seconds};

/// One service. The default is the one that a bare recorded load is judged with.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Service {
    /// CPU time of a request (or of an item of a queue) at low load.
    pub work: Seconds,
    /// CPU that a pod uses without any request.
    pub idle: Cores,
    /// Time within which a request counts as good.
    pub objective: Seconds,
    /// Share of requests that are to be good.
    pub quantile: f64,
    /// Median time from a pod's creation to its first request.
    pub start_median: Seconds,
    /// Deviation of that time's logarithm.
    pub start_sigma: f64,
    /// CPU burned for half a minute after the start, on top of work.
    pub start_burn: Cores,
    /// How long a pod serves less after its start: code is compiled, caches fill.
    pub warm_up: Seconds,
    /// What it serves meanwhile, as a share.
    pub warm_up_capacity: f64,
    /// What a pod gets beyond its request when its neighbours are idle, as a share of the request.
    pub contention: f64,
    /// Memory of a pod without load.
    pub memory_base: Bytes,
    /// Memory per request per second that a pod serves.
    pub memory_per_rps: Bytes,
    /// Memory per request inside a pod, waiting ones included.
    pub memory_per_request: Bytes,
    /// Memory that grows in the hours after the start (caches), as a share of `memory_base`.
    pub memory_growth: f64,
    /// Memory lost per hour and never given back.
    pub memory_leak_per_hour: Bytes,
    /// Memory needed on top while starting.
    pub memory_start_peak: Bytes,
    /// CPU request of the pod template.
    pub request_cores: Cores,
    /// Memory request and limit of the pod template.
    pub request_memory: Bytes,
    /// CPU limit over CPU request; none: no limit, as is usual for latency-bound services.
    pub cpu_limit_ratio: Option<f64>,
    /// Whether a resize of memory restarts the container (`resizePolicy: RestartContainer`).
    pub restart_on_memory_resize: bool,
    /// Something behind the service that no pod can buy more of.
    pub downstream: Option<Downstream>,
    /// Further containers of a pod.
    pub sidecars: Vec<Sidecar>,
}

/// A shared bottleneck behind the service, for example a database.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Downstream {
    /// Requests per second that it can carry.
    pub rps: f64,
    /// Time of a request in it when it is idle.
    pub latency: Seconds,
}

/// A further container: it does a share of the work of each request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sidecar {
    /// Name in the pod spec.
    pub name: String,
    /// CPU time per request.
    pub work: Seconds,
    /// CPU without any request.
    pub idle: Cores,
    /// Memory it takes.
    pub memory: Bytes,
    /// CPU request of the pod template.
    pub request_cores: Cores,
    /// Memory request and limit of the pod template.
    pub request_memory: Bytes,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            work: Seconds(0.010),
            idle: Cores(0.05),
            // 20 times the work of a request: reachable by a one-core pod at 70 % utilization or less.
            objective: Seconds(0.200),
            quantile: 0.99,
            start_median: Seconds(30.0),
            start_sigma: 0.4,
            start_burn: Cores(0.3),
            warm_up: Seconds(20.0),
            warm_up_capacity: 0.6,
            contention: 0.4,
            memory_base: Bytes(256 * Bytes::MIB),
            memory_per_rps: Bytes(Bytes::MIB / 2),
            memory_per_request: Bytes(0),
            memory_growth: 0.15,
            memory_leak_per_hour: Bytes(0),
            memory_start_peak: Bytes(0),
            request_cores: Cores(1.0),
            request_memory: Bytes(Bytes::GIB),
            cpu_limit_ratio: None,
            restart_on_memory_resize: false,
            downstream: None,
            sidecars: Vec::new(),
        }
    }
}
