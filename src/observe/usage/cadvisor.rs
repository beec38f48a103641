//! Usage from the kubelets' cAdvisor series in Prometheus: one query per kind of series, for all policies together.
//!
//! The queries name the pods, or where those are many their namespaces; the answer is matched in memory. A container
//! has one cgroup, so that several series of it (two scrape jobs over the same kubelets, a cgroup that has just ended)
//! are the same thing seen twice: the largest counts, never the sum.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use jiff::Timestamp;
use litemap::LiteMap;

use super::{ContainerUsage, Containers, PodId, UsageSource, UsageTable};
use crate::observe::error::ObserveError;
use crate::observe::prometheus::promql::{matcher, one_of};
use crate::observe::prometheus::{
    Prometheus,
    answer::{self, ContainerSeries},
};
use crate::units::{Bytes, Cores, Seconds};

/// Window of the means: two scrapes at the usual 30 s of cAdvisor.
pub const DEFAULT_WINDOW: Seconds = Seconds(60.0);
/// Where the window holds less than two samples (one scrape a minute is Prometheus' default), this one is used.
const WIDE_WINDOW: &str = "150s";
/// Longest list of pod names in one query: far below what servers and proxies accept in a body, and few queries.
const MAX_LIST: usize = 12 << 10;

/// The kinds of series, each one query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Age,
    Cpu,
    Memory,
    Throttled,
    CpuPressure,
    MemoryPressure,
    OomEvents,
}

impl Kind {
    const ALL: [Self; 7] =
        [Self::Age, Self::Cpu, Self::Memory, Self::Throttled, Self::CpuPressure, Self::MemoryPressure, Self::OomEvents];

    /// Whether a failure makes the table incomplete. The other kinds exist only on some kernels and kubelets.
    const fn is_needed(self) -> bool {
        matches!(self, Self::Age | Self::Cpu | Self::Memory)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Age => "sample age",
            Self::Cpu => "CPU",
            Self::Memory => "memory",
            Self::Throttled => "throttling",
            Self::CpuPressure => "CPU pressure",
            Self::MemoryPressure => "memory pressure",
            Self::OomEvents => "OOM kills",
        }
    }

    fn query(self, labels: &str, window: &str) -> String {
        let rate = |metric: &str| {
            let series = format!("{metric}{{{labels}}}");
            let cgroup = "namespace,pod,container,id,job,instance";
            // A rate over a series that is younger than its window is too small by what is missing of the window; its
            // slope is not. A young series has not restarted within the window, so that its slope is sound.
            format!(
                "max by (namespace,pod,container) (sum by ({cgroup}) ((rate({series}[{window}]) and {series} offset \
                 {window}) or deriv({series}[{window}]) or rate({series}[{WIDE_WINDOW}])))"
            )
        };
        let last = |metric: &str| format!("max by (namespace,pod,container) ({metric}{{{labels}}})");
        match self {
            Self::Age => format!(
                "time() - max by (namespace,pod,container) (timestamp(container_cpu_usage_seconds_total{{{labels}}}))"
            ),
            Self::Cpu => rate("container_cpu_usage_seconds_total"),
            Self::Memory => last("container_memory_working_set_bytes"),
            Self::Throttled => format!(
                "{} / {}",
                rate("container_cpu_cfs_throttled_periods_total"),
                rate("container_cpu_cfs_periods_total")
            ),
            Self::CpuPressure => rate("container_pressure_cpu_waiting_seconds_total"),
            Self::MemoryPressure => rate("container_pressure_memory_stalled_seconds_total"),
            Self::OomEvents => last("container_oom_events_total"),
        }
    }

    /// Puts a sound number where it belongs.
    fn store(self, value: f64, usage: &mut ContainerUsage) {
        // An idle container has no periods: 0/0. A share a hair above one comes from extrapolation.
        if !value.is_finite() || value < 0.0 && self != Self::Age {
            return;
        }
        match self {
            Self::Age => usage.age = Some(Seconds(value.max(0.0))),
            Self::Cpu => usage.cpu = Some(Cores(value)),
            Self::Memory => usage.memory = Some(Bytes::ceil_from(value)),
            Self::Throttled => usage.throttled = Some(value.min(1.0)),
            Self::CpuPressure => usage.cpu_pressure = Some(value.min(1.0)),
            Self::MemoryPressure => usage.memory_pressure = Some(value.min(1.0)),
            Self::OomEvents => usage.oom_events = Some(Bytes::ceil_from(value).0),
        }
    }
}

/// cAdvisor series of one Prometheus server.
#[derive(Debug)]
pub struct Cadvisor {
    prometheus: Arc<Prometheus>,
    window: Seconds,
}

impl Cadvisor {
    /// Reads means over a window, usually [`DEFAULT_WINDOW`].
    #[must_use]
    pub const fn new(prometheus: Arc<Prometheus>, window: Seconds) -> Self {
        Self { prometheus, window }
    }

    async fn read_pods(&self, pods: &BTreeSet<PodId>) -> Result<UsageTable, ObserveError> {
        let window = format!("{:.0}ms", self.window.get() * 1000.0);
        let mut queries: BTreeMap<String, Kind> = BTreeMap::new();
        if !pods.is_empty() {
            let labels = labels(pods);
            queries.extend(Kind::ALL.into_iter().map(|kind| (kind.query(&labels, &window), kind)));
        }
        let rows = Mutex::new(Rows::of(pods));
        let read = |text: &str, body: &[u8]| {
            answer::decode_containers(body, |series| {
                let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(kind) = queries.get(text) {
                    series.for_each(|series| rows.add(*kind, &series));
                }
            })
        };
        let answers = self.prometheus.batch_as(&queries.keys().cloned().collect(), read).await;
        let pods = rows.into_inner().unwrap_or_else(PoisonError::into_inner).known();
        let mut table = UsageTable { pods, window: Some(self.window), complete: true, notes: Vec::new() };
        let mut failed = None;
        let mut succeeded = queries.is_empty();
        for (text, kind) in &queries {
            match answers.get(text) {
                Some(Ok(warnings)) => {
                    succeeded |= *kind == Kind::Cpu;
                    if let Some(warning) = warnings.first() {
                        note(*kind, &format!("the metrics server warns: {warning}"), &mut table);
                    }
                }
                Some(Err(error)) => {
                    note(*kind, &error.to_string(), &mut table);
                    failed = Some(error.clone());
                }
                None => note(*kind, "it was not asked for", &mut table),
            }
        }
        match failed {
            Some(error) if !succeeded => Err(error),
            _ => Ok(table),
        }
    }
}

/// Query of all containers' CPU under some labels, a mean over the usual window: as live usage is read.
#[must_use]
pub fn cpu_query(labels: &str) -> String {
    Kind::Cpu.query(labels, &format!("{:.0}s", DEFAULT_WINDOW.get()))
}

/// Query of all containers' working sets under some labels.
#[must_use]
pub fn memory_query(labels: &str) -> String {
    Kind::Memory.query(labels, "")
}

impl UsageSource for Cadvisor {
    fn read<'a>(
        &'a self,
        _now: Timestamp,
        pods: &'a BTreeSet<PodId>,
    ) -> BoxFuture<'a, Result<UsageTable, ObserveError>> {
        Box::pin(self.read_pods(pods))
    }
}

/// The table while it is filled: a row for each pod that was asked about, in their order.
struct Rows<'a> {
    pods: Vec<&'a PodId>,
    containers: Vec<Containers>,
    /// Names of containers: few are different.
    names: BTreeSet<Arc<str>>,
}

impl<'a> Rows<'a> {
    fn of(pods: &'a BTreeSet<PodId>) -> Self {
        Self {
            pods: pods.iter().collect(),
            containers: pods.iter().map(|_| Containers::new_vec()).collect(),
            names: BTreeSet::new(),
        }
    }

    fn add(&mut self, kind: Kind, series: &ContainerSeries<'_>) {
        let (Some((namespace, pod, container)), Some(value)) = (series.whose(), series.number()) else { return };
        // Lists of namespaces and of names also match pairs that nobody asked about.
        let Ok(row) = self.pods.binary_search_by(|p| (&*p.namespace, &*p.name).cmp(&(namespace, pod))) else { return };
        let name = self.names.get(container).cloned().unwrap_or_else(|| {
            let name: Arc<str> = container.into();
            self.names.insert(Arc::clone(&name));
            name
        });
        let containers = &mut self.containers[row];
        if containers.is_empty() {
            // The first is mostly the only one: no room is kept for more.
            *containers = Containers::with_capacity(1);
        }
        kind.store(value, containers.entry(name).or_default());
    }

    /// Pods of which anything is known.
    fn known(self) -> LiteMap<PodId, Containers> {
        let rows = self.pods.into_iter().zip(self.containers);
        rows.filter(|(_, containers)| !containers.is_empty()).map(|(pod, row)| (pod.clone(), row)).collect()
    }
}

fn note(kind: Kind, why: &str, table: &mut UsageTable) {
    table.complete &= !kind.is_needed();
    let note = format!("{} usage: {why}", kind.name());
    if !table.notes.contains(&note) {
        table.notes.push(note);
    }
}

/// Matchers for the pods: by name while the names fit into one list, else by namespace, else all. So the number of queries
/// does not depend on the number of pods; who asks for many gets some that nobody asked for. Cgroups that are no container
/// (`container=""` the pod's, `POD` the sandbox's) are left out.
fn labels(pods: &BTreeSet<PodId>) -> String {
    let list = |label: &str, texts: BTreeSet<&str>| {
        let length: usize = texts.iter().map(|text| text.len() + 1).sum();
        (length <= MAX_LIST).then(|| matcher(label, "=~", &one_of(texts)))
    };
    let namespaces = list("namespace", pods.iter().map(|p| &*p.namespace).collect());
    let names = namespaces.is_some().then(|| list("pod", pods.iter().map(|p| &*p.name).collect())).flatten();
    [Some(matcher("container", "!~", "|POD")), namespaces, names].into_iter().flatten().collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests;
