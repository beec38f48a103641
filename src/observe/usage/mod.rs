//! What the containers of all targets use: CPU, memory, throttling, pressure, OOM kills, each with the age of its sample.
//!
//! One [`UsageSource`] is asked once per tick for all policies together: [`Cadvisor`] (series of the kubelets in
//! Prometheus) or [`MetricsApi`] (metrics.k8s.io, CPU and memory only) when no Prometheus is configured.
//! [`aggregate`] turns the table into what one target's Snapshot carries.
//!
//! Invariants: what was not measured is not in the table, never 0; ages come from the samples; a pod that no one asked
//! about is not in the table.

pub mod aggregate;
mod cadvisor;
mod metrics_api;

use std::{collections::BTreeSet, sync::Arc};

use futures::future::BoxFuture;
use jiff::Timestamp;
use litemap::LiteMap;

pub use cadvisor::{Cadvisor, DEFAULT_WINDOW, cpu_query, memory_query};
pub use metrics_api::MetricsApi;

use super::error::ObserveError;
use crate::units::{Bytes, Cores, Seconds};

/// A pod by namespace and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodId {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

/// What one container of one pod uses; what is not known is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerUsage {
    /// CPU, mean over the window.
    pub cpu: Option<Cores>,
    /// Working set.
    pub memory: Option<Bytes>,
    /// Share of CFS periods in which it was throttled, in 0..=1.
    pub throttled: Option<f64>,
    /// CPU pressure (PSI some): share of time in which a task waited for CPU, in 0..=1.
    pub cpu_pressure: Option<f64>,
    /// Memory pressure (PSI full): share of time in which all tasks waited for memory, in 0..=1.
    pub memory_pressure: Option<f64>,
    /// OOM kills so far: a counter, which starts anew with the container.
    pub oom_events: Option<u64>,
    /// Age of the newest CPU sample.
    pub age: Option<Seconds>,
}

/// Usage by the container's name. Nearly all pods have one container or two.
pub type Containers = LiteMap<Arc<str>, ContainerUsage>;

/// Usage of all pods asked about that anything is known of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UsageTable {
    /// By pod and container.
    pub pods: LiteMap<PodId, Containers>,
    /// Length of the window that CPU, throttling and pressure are means over.
    pub window: Option<Seconds>,
    /// False when a part could not be read, or the metrics server warned: what is there is true, but may not be all.
    pub complete: bool,
    /// Why it is not complete, and which kinds are missing, in words.
    pub notes: Vec<String>,
}

/// A way to learn what containers use.
pub trait UsageSource: Send + Sync {
    /// Reads the usage of these pods. `now` is only used by sources whose samples carry absolute times.
    fn read<'a>(&'a self, now: Timestamp, pods: &'a BTreeSet<PodId>)
    -> BoxFuture<'a, Result<UsageTable, ObserveError>>;
}
