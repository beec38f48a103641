//! `/metrics`: the numbers of the [`catalogue`], nothing else.
//!
//! What belongs to a policy is kept as one value per policy and written out at each scrape, so its series appear and
//! go with it. Counters and histograms belong to the process.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, text},
    metrics::{MetricType, counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

use super::catalogue::{self, Metric};
use crate::{
    api::ScalingPolicyStatus,
    decide::{ContainerState, Decision, SizeGroup, Snapshot},
    policy::{Mode, Policy, PolicyKey, Role},
    units::{Bytes, Cores, Seconds},
};

/// Upper bounds of query durations in seconds: from a local answer to the longest timeout.
const WAITS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Upper bounds of tick durations in seconds: close together around the few seconds that a tick of ten thousand policies may
/// take, so that what a percentile can be off by is small against them.
const TICKS: [f64; 17] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 5.0, 10.0, 30.0];

/// Upper bounds of decision durations in seconds: around the 20 µs that one is to take.
const DECISIONS: [f64; 9] = [2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 5e-4, 1e-3, 1e-2];

type Pair = [(&'static str, String); 2];
type One = [(&'static str, String); 1];

/// The numbers of one policy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicySeries {
    mode: Option<Mode>,
    /// Name of the metric, its labels beyond the policy's, its value.
    values: Vec<(&'static str, Labels, f64)>,
}

/// Values of labels one after the other, with a character between them that none of them has: ten thousand policies have two
/// hundred thousand of these.
#[derive(Clone, Debug, Default, PartialEq)]
struct Labels(Box<str>);

const BETWEEN: char = '\0';

impl Labels {
    fn of(values: &[&str]) -> Self {
        Self(values.join(BETWEEN.encode_utf8(&mut [0; 4])).into())
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        let any = !self.0.is_empty();
        any.then(|| self.0.split(BETWEEN)).into_iter().flatten()
    }
}

#[derive(Debug, Default)]
struct State {
    leader: bool,
    policies: BTreeMap<PolicyKey, PolicySeries>,
}

#[derive(Clone, Debug, Default)]
struct Gauges(Arc<Mutex<State>>);

/// The metrics of this process.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    gauges: Gauges,
    writes: Family<Pair, Counter>,
    failures: Family<Pair, Counter>,
    queries: Family<One, Histogram>,
    ticks: Histogram,
    decisions: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics, at nothing.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let gauges = Gauges::default();
        let (writes, failures) = (Family::default(), Family::default());
        let queries = Family::new_with_constructor(waits as fn() -> Histogram);
        let (ticks, decisions) = (Histogram::new(TICKS), Histogram::new(DECISIONS));
        registry.register_collector(Box::new(gauges.clone()));
        register(&mut registry, catalogue::WRITES, &writes);
        register(&mut registry, catalogue::QUERY_FAILURES, &failures);
        register(&mut registry, catalogue::QUERY_DURATION, &queries);
        register(&mut registry, catalogue::TICK_DURATION, &ticks);
        register(&mut registry, catalogue::DECISION_DURATION, &decisions);
        Self { registry: Arc::new(registry), gauges, writes, failures, queries, ticks, decisions }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.gauges.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says whether this instance leads.
    pub fn set_leader(&self, leader: bool) {
        self.state().leader = leader;
    }

    /// Puts the numbers of a policy in place of its last ones.
    pub fn record(&self, key: &PolicyKey, series: PolicySeries) {
        self.state().policies.insert(key.clone(), series);
    }

    /// Drops the numbers of a policy.
    pub fn forget(&self, key: &PolicyKey) {
        self.state().policies.remove(key);
    }

    /// Counts a write.
    pub fn count_write(&self, kind: &'static str, result: &'static str) {
        self.writes.get_or_create(&[("kind", kind.into()), ("result", result.into())]).inc();
    }

    /// Counts a failure of reading a source.
    pub fn count_failure(&self, source: &'static str, category: &'static str) {
        self.failures.get_or_create(&[("source", source.into()), ("category", category.into())]).inc();
    }

    /// Notes how long a round of reading a source took.
    pub fn observe_query(&self, source: &'static str, took: Duration) {
        self.queries.get_or_create(&[("source", source.into())]).observe(took.as_secs_f64());
    }

    /// Notes how long a tick took.
    pub fn observe_tick(&self, took: Duration) {
        self.ticks.observe(took.as_secs_f64());
    }

    /// Notes how long a decision took.
    pub fn observe_decision(&self, took: Duration) {
        self.decisions.observe(took.as_secs_f64());
    }

    /// The exposition, in `OpenMetrics` text.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }
}

/// Registers under the name of the catalogue; the exposition puts `_total` back, and ends the help with a full stop.
fn register<M: prometheus_client::registry::Metric + Clone>(registry: &mut Registry, metric: Metric, what: &M) {
    registry.register(metric.name.trim_end_matches("_total"), metric.help, what.clone());
}

fn waits() -> Histogram {
    Histogram::new(WAITS)
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        write_gauge(&mut encoder, catalogue::BUILD_INFO, |out| {
            series(out, catalogue::BUILD_INFO, &[env!("CARGO_PKG_VERSION")], 1.0)
        })?;
        write_gauge(&mut encoder, catalogue::LEADER, |out| out.encode_gauge(&u32::from(state.leader)))?;
        write_gauge(&mut encoder, catalogue::POLICIES, |out| {
            for mode in [Mode::Recommend, Mode::Auto, Mode::Paused] {
                let count = state.policies.values().filter(|p| p.mode == Some(mode)).count();
                series(out, catalogue::POLICIES, &[&format!("{mode:?}")], count as f64)?;
            }
            Ok(())
        })?;
        for metric in catalogue::ALL.iter().filter(|m| m.labels.starts_with(&["namespace", "policy"])) {
            let mut rows = state
                .policies
                .iter()
                .flat_map(|(key, series)| series.values.iter().map(move |value| (key, value)))
                .filter(|(_, (of, _, _))| *of == metric.name)
                .peekable();
            if rows.peek().is_none() {
                continue;
            }
            write_gauge(&mut encoder, *metric, |out| {
                for (key, (_, labels, value)) in rows {
                    let own = [key.namespace.as_str(), key.name.as_str()].into_iter();
                    let labels: Vec<_> = own.chain(labels.iter()).collect();
                    series(out, *metric, &labels, *value)?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}

fn write_gauge(
    encoder: &mut DescriptorEncoder<'_>,
    metric: Metric,
    rows: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    let mut out = encoder.encode_descriptor(metric.name, metric.help, None, MetricType::Gauge)?;
    rows(&mut out)
}

fn series(out: &mut MetricEncoder<'_>, metric: Metric, labels: &[&str], value: f64) -> fmt::Result {
    let pairs: Vec<_> = metric.labels.iter().copied().zip(labels.iter().copied()).collect();
    out.encode_family(&pairs)?.encode_gauge(&value)
}

impl PolicySeries {
    /// A policy about which nothing is decided.
    #[must_use]
    pub fn undecided(mode: Option<Mode>, status: &ScalingPolicyStatus) -> Self {
        let mut all = Self { mode, values: Vec::new() };
        all.conditions(status);
        all
    }

    /// What a decision says in numbers; what is not known has no series.
    #[must_use]
    pub fn of(policy: &Policy, snapshot: &Snapshot, decision: &Decision, status: &ScalingPolicyStatus) -> Self {
        let mut all = Self { mode: Some(policy.mode), values: Vec::new() };
        all.conditions(status);
        all.put(catalogue::DECISION_INFO, &[&format!("{:?}", decision.reason)], Some(1.0));
        let state = &snapshot.replicas;
        for (kind, count) in [("current", state.spec), ("ready", state.ready), ("desired", decision.replicas)] {
            all.put(catalogue::REPLICAS, &[kind], Some(count.as_f64()));
        }
        all.sizes(snapshot, decision);
        all.demand(snapshot, decision);
        all.signals(policy, snapshot, decision);
        all.put(catalogue::COST, &[], Some(cost(policy, snapshot)));
        all.values.shrink_to_fit();
        all
    }

    fn put(&mut self, metric: Metric, labels: &[&str], value: Option<f64>) {
        if let Some(value) = value.filter(|v| v.is_finite()) {
            self.values.push((metric.name, Labels::of(labels), value));
        }
    }

    fn conditions(&mut self, status: &ScalingPolicyStatus) {
        for condition in &status.conditions {
            let value = match condition.status.as_str() {
                "True" => 1.0,
                "False" => 0.0,
                _ => -1.0,
            };
            self.put(catalogue::CONDITION, &[&condition.type_], Some(value));
        }
    }

    fn sizes(&mut self, snapshot: &Snapshot, decision: &Decision) {
        for container in &snapshot.containers {
            let cpu = mean(container, |g| g.cpu_cores.map(Cores::get));
            let memory = mean(container, |g| g.memory_bytes.map(Bytes::as_f64));
            self.put(catalogue::CPU_REQUEST, &[&container.name, "current"], cpu);
            self.put(catalogue::MEMORY_REQUEST, &[&container.name, "current"], memory);
        }
        for container in &decision.containers {
            let requests = container.requests;
            self.put(catalogue::CPU_REQUEST, &[&container.name, "desired"], requests.cpu_cores.map(Cores::get));
            self.put(
                catalogue::MEMORY_REQUEST,
                &[&container.name, "desired"],
                requests.memory_bytes.map(Bytes::as_f64),
            );
        }
    }

    fn demand(&mut self, snapshot: &Snapshot, decision: &Decision) {
        let explain = &decision.explain;
        let demand = explain.demand_cores.map(Cores::get);
        let capacity = capacity(snapshot, decision);
        self.put(catalogue::DEMAND, &[], demand);
        self.put(catalogue::PLANNED, &[], explain.planned_cores.map(Cores::get));
        self.put(catalogue::CAPACITY, &[], capacity);
        self.put(catalogue::SHORTAGE, &[], demand.zip(capacity).map(|(d, c)| (d - c).max(0.0)));
        let used = snapshot.containers.iter().filter_map(|c| c.cpu_cores).map(Cores::get).reduce(|a, b| a + b);
        self.put(catalogue::USAGE, &[], used);
    }

    fn signals(&mut self, policy: &Policy, snapshot: &Snapshot, decision: &Decision) {
        for verdict in &decision.explain.signals {
            self.put(catalogue::SIGNAL_AGE, &[&verdict.name], verdict.age_seconds.map(Seconds::get));
            self.put(catalogue::SIGNAL_STATE, &[&verdict.name, &format!("{:?}", verdict.state)], Some(1.0));
        }
        let reading = |name: Option<&str>| name.and_then(|n| snapshot.signals.get(n));
        let objective = policy.objective.latency.as_ref();
        let latency = reading(objective.map(|o| o.signal.as_str()));
        self.put(catalogue::LATENCY, &[], latency.and_then(|r| r.value));
        self.put(catalogue::LATENCY_VIOLATION, &[], latency.and_then(|r| r.violation_ratio));
        self.put(catalogue::LATENCY_TARGET, &[], objective.map(|o| o.target.get()));
        let backlog = reading(policy.signal_of(Role::Backlog).map(|s| s.name.as_str()));
        self.put(catalogue::BACKLOG, &[], backlog.and_then(|r| r.value));
    }
}

/// Mean over the pods that run, of those that have the amount.
fn mean(container: &ContainerState, amount: impl Fn(&SizeGroup) -> Option<f64>) -> Option<f64> {
    let parts = container.sizes.iter().filter_map(|g| Some((amount(g)? * g.pods.as_f64(), g.pods.as_f64())));
    let (sum, pods) = parts.fold((0.0, 0.0), |(s, p), (x, n)| (s + x, p + n));
    (pods > 0.0).then(|| sum / pods)
}

/// Demand that the ready pods carry: the explained capacity is that of the chosen size, pods that run at another carry
/// in proportion to their CPU.
fn capacity(snapshot: &Snapshot, decision: &Decision) -> Option<f64> {
    let one = decision.explain.capacity_cores?.get();
    let running: Option<f64> = snapshot.containers.iter().map(|c| mean(c, |g| g.cpu_cores.map(Cores::get))).sum();
    let wanted: Option<f64> = decision.containers.iter().map(|c| c.requests.cpu_cores.map(Cores::get)).sum();
    let scale = running.zip(wanted).filter(|(_, w)| *w > 0.0).map_or(1.0, |(r, w)| r / w);
    Some(one * snapshot.replicas.ready.as_f64() * scale)
}

fn cost(policy: &Policy, snapshot: &Snapshot) -> f64 {
    let prices = policy.prices;
    let groups = snapshot.containers.iter().flat_map(|c| &c.sizes);
    let one = |g: &SizeGroup| {
        let cpu = g.cpu_cores.map_or(0.0, |c| c.get() * prices.core_hour.get());
        let memory = g.memory_bytes.map_or(0.0, |m| m.gib() * prices.gib_hour.get());
        (cpu + memory) * g.pods.as_f64()
    };
    groups.map(one).sum()
}

#[cfg(test)]
#[path = "metrics/tests.rs"]
mod tests;
