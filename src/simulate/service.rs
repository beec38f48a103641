//! The simulated service: what a request costs, what a pod needs to start, what memory it takes.

use serde::Serialize;

use crate::units::{Bytes, Cores, Seconds};

/// One service. The default is the one that a bare recorded load is judged with.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Service {
    /// CPU time of a request at low load.
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
    /// Memory of a pod without load.
    pub memory_base: Bytes,
    /// Memory per request per second that a pod serves.
    pub memory_per_rps: Bytes,
    /// CPU request of the pod template.
    pub request_cores: Cores,
    /// Memory request and limit of the pod template.
    pub request_memory: Bytes,
    /// CPU limit over CPU request; none: no limit, as is usual for latency-bound services.
    pub cpu_limit_ratio: Option<f64>,
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
            memory_base: Bytes(256 * Bytes::MIB),
            memory_per_rps: Bytes(Bytes::MIB / 2),
            request_cores: Cores(1.0),
            request_memory: Bytes(Bytes::GIB),
            cpu_limit_ratio: None,
        }
    }
}
