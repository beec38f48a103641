//! What is asked about a workload: the policy's own signals, usage as live usage is read, and kube-state-metrics' facts.

use std::collections::BTreeMap;

use crate::{
    observe::{
        prometheus::{
            promql::{matcher, one_of},
            range::Combine,
        },
        usage::{cpu_query, memory_query},
    },
    policy::{Policy, Role, Source},
    simulate::recording::Kind,
};

/// The query of each kind; the error says what the policy lacks, with its field path.
pub(super) fn of(policy: &Policy) -> Result<BTreeMap<Kind, String>, String> {
    let mut queries = BTreeMap::new();
    for (role, kind) in [(Role::Demand, Kind::Demand), (Role::Latency, Kind::Latency), (Role::Backlog, Kind::Backlog)] {
        let share = policy.objective.latency.as_ref().map_or(0.99, |latency| latency.objective);
        if let Some(query) = policy.signal_of(role).and_then(|signal| signal_query(&signal.source, share)) {
            queries.insert(kind, query);
        }
    }
    if !queries.contains_key(&Kind::Demand) {
        return Err("spec.signals: no signal with `role: Demand` comes from Prometheus, so there is no load to record; add one, \
                    for example sum(rate(http_requests_total{…}[1m]))"
            .to_owned());
    }
    queries.extend(workload(policy));
    Ok(queries)
}

/// The PromQL of a signal that Prometheus has a history of.
fn signal_query(source: &Source, share: f64) -> Option<String> {
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

/// Facts about the pods. Their names begin with the target's: history knows no owner references.
fn workload(policy: &Policy) -> BTreeMap<Kind, String> {
    let namespace = matcher("namespace", "=", &policy.key.namespace);
    let pods = matcher("pod", "=~", &format!("{}-.+", one_of([policy.target.name.as_str()])));
    let containers = format!("{namespace},{pods},{}", matcher("container", "!~", "|POD"));
    let mine = format!("{namespace},{pods}");
    let request = |resource: &str| {
        let labels = format!("{mine},{}", matcher("resource", "=", resource));
        format!("avg(sum by (pod) (max by (pod,container) (kube_pod_container_resource_requests{{{labels}}})))")
    };
    BTreeMap::from([
        (Kind::Usage, format!("sum({})", cpu_query(&containers))),
        (Kind::Memory, format!("max(sum by (pod) ({}))", memory_query(&containers))),
        (
            Kind::Replicas,
            format!(
                "count(max by (pod) (kube_pod_status_phase{{{mine},phase=~\"Pending|Running\"}}) > 0) or \
                 count(max by (pod) (container_memory_working_set_bytes{{{containers}}}))"
            ),
        ),
        (Kind::CpuRequest, request("cpu")),
        (Kind::MemoryRequest, request("memory")),
        (Kind::Restarts, format!("sum(increase(kube_pod_container_status_restarts_total{{{mine}}}[5m])) / 5")),
        (Kind::OomKills, format!("sum(increase(container_oom_events_total{{{containers}}}[5m])) / 5")),
        (Kind::Start, format!("avg(kube_pod_status_ready_time{{{mine}}} - kube_pod_created{{{mine}}})")),
    ])
}

/// What several series of a kind amount to.
pub(super) const fn combine(kind: Kind) -> Combine {
    match kind {
        Kind::Latency | Kind::Memory | Kind::CpuRequest | Kind::MemoryRequest | Kind::Start => Combine::Max,
        _ => Combine::Sum,
    }
}
