//! What Prometheus remembers of a workload: the queries, and the rows that a warm start reads.
//!
//! Everything is asked one query at a time, a row in five minutes, so that a server notices nothing.
//!
//! Invariant: what the server does not have is absent in the rows; a failure to read usage or replicas is an error,
//! because a history without them teaches nothing.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    Prometheus,
    promql::{matcher, one_of},
    range::{Combine, Points, Span},
};
use crate::{
    decide::{HISTORY_LENGTH, HISTORY_STEP, History, HistoryRow},
    observe::{
        error::ObserveError,
        usage::{cpu_query, memory_query},
    },
    policy::{Policy, Role, Source},
};

/// The PromQL of a signal that Prometheus has a history of; `share` is the latency objective's.
#[must_use]
pub fn signal_query(source: &Source, share: f64) -> Option<String> {
    match source {
        Source::Prometheus { query } => Some(query.clone()),
        Source::PrometheusHistogram { metric, matchers, window } => {
            let labels: Vec<String> = matchers.iter().map(|(name, value)| matcher(name, "=", value)).collect();
            let (labels, range) = (labels.join(","), format!("{:.0}ms", window.get() * 1000.0));
            Some(format!(
                "histogram_quantile({share}, sum(rate({metric}{{{labels}}}[{range}]))) or \
                 histogram_quantile({share}, sum by (le) (rate({metric}_bucket{{{labels}}}[{range}])))"
            ))
        }
        Source::NatsJetStream { .. } => None,
    }
}

/// The queries of a workload's pods, beside its signals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodQueries {
    /// CPU used by all pods, in cores.
    pub usage: String,
    /// Working set of the largest pod, in bytes.
    pub memory: String,
    /// Working set of the largest pod's container, in bytes, by `container`.
    pub container_memory: String,
    /// Pods that exist.
    pub replicas: String,
    /// CPU request of a pod, in cores.
    pub cpu_request: String,
    /// Memory request of a pod, in bytes.
    pub memory_request: String,
    /// Container restarts per minute.
    pub restarts: String,
    /// Kills for memory per minute.
    pub oom_kills: String,
    /// Mean time from a pod's creation to ready, in seconds.
    pub start: String,
}

impl PodQueries {
    /// Those of a policy's target. Names of its pods begin with the target's: history knows no owner references.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        let namespace = matcher("namespace", "=", &policy.key.namespace);
        let pods = matcher("pod", "=~", &format!("{}-.+", one_of([policy.target.name.as_str()])));
        let containers = format!("{namespace},{pods},{}", matcher("container", "!~", "|POD"));
        let mine = format!("{namespace},{pods}");
        let request = |resource: &str| {
            let labels = format!("{mine},{}", matcher("resource", "=", resource));
            format!("avg(sum by (pod) (max by (pod,container) (kube_pod_container_resource_requests{{{labels}}})))")
        };
        Self {
            usage: format!("sum({})", cpu_query(&containers)),
            memory: format!("max(sum by (pod) ({}))", memory_query(&containers)),
            container_memory: format!("max by (container) ({})", memory_query(&containers)),
            replicas: format!(
                "count(max by (pod) (kube_pod_status_phase{{{mine},phase=~\"Pending|Running\"}}) > 0) or \
                 count(max by (pod) (container_memory_working_set_bytes{{{containers}}}))"
            ),
            cpu_request: request("cpu"),
            memory_request: request("memory"),
            restarts: format!("sum(increase(kube_pod_container_status_restarts_total{{{mine}}}[5m])) / 5"),
            oom_kills: format!("sum(increase(container_oom_events_total{{{containers}}}[5m])) / 5"),
            start: format!("avg(kube_pod_status_ready_time{{{mine}}} - kube_pod_created{{{mine}}})"),
        }
    }
}

/// The history of a policy's workload up to now, as far back as a warm start looks.
pub async fn read(prometheus: &Prometheus, policy: &Policy, now: Timestamp) -> Result<History, ObserveError> {
    let (step, length) = (whole(HISTORY_STEP), whole(HISTORY_LENGTH));
    let to = now.as_second() - now.as_second().rem_euclid(i64::from(step));
    let span = Span { from: to - i64::from(length), to, step };
    let queries = PodQueries::of(policy);
    let mut rows = Rows::default();
    rows.put(prometheus.range(&queries.usage, span, Combine::Sum).await?, |row| &mut row.usage);
    rows.put(prometheus.range(&queries.replicas, span, Combine::Sum).await?, |row| &mut row.replicas);
    let share = policy.objective.latency.as_ref().map_or(0.99, |latency| latency.objective);
    let signal = |role| policy.signal_of(role).and_then(|signal| signal_query(&signal.source, share));
    let fields: [(Option<String>, Combine, Field); 6] = [
        (signal(Role::Demand), Combine::Sum, |row| &mut row.demand),
        (signal(Role::Latency), Combine::Max, |row| &mut row.latency),
        (signal(Role::Backlog), Combine::Sum, |row| &mut row.backlog),
        (Some(queries.cpu_request), Combine::Max, |row| &mut row.request_cores),
        (Some(queries.memory_request), Combine::Max, |row| &mut row.request_bytes),
        (Some(queries.start), Combine::Max, |row| &mut row.start),
    ];
    for (query, combine, field) in fields {
        let Some(query) = query else { continue };
        match prometheus.range(&query, span, combine).await {
            Ok(points) => rows.put(points, field),
            Err(error) => tolerable(error)?,
        }
    }
    match prometheus.range_by("container", &queries.container_memory, span).await {
        Ok(containers) => {
            for (container, points) in containers {
                for (at, bytes) in points {
                    rows.at(at).memory.insert(container.clone(), bytes);
                }
            }
        }
        Err(error) => tolerable(error)?,
    }
    Ok(rows.history())
}

/// A part without which the rest is still worth something: a query that is at fault. What is wrong with the server would
/// be wrong with the next query too.
fn tolerable(error: ObserveError) -> Result<(), ObserveError> {
    if matches!(error, ObserveError::QueryRejected { .. }) { Ok(()) } else { Err(error) }
}

type Field = fn(&mut HistoryRow) -> &mut Option<f64>;

/// Rows by instant.
#[derive(Default)]
struct Rows(BTreeMap<i64, HistoryRow>);

impl Rows {
    fn at(&mut self, at: i64) -> &mut HistoryRow {
        self.0.entry(at).or_insert_with(|| HistoryRow { at: at as f64, ..HistoryRow::default() })
    }

    fn put(&mut self, points: Points, field: Field) {
        for (at, value) in points {
            *field(self.at(at)) = Some(value);
        }
    }

    fn history(self) -> History {
        History { rows: self.0.into_values().collect() }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of seconds of days")]
const fn whole(seconds: f64) -> u32 {
    seconds as u32
}
