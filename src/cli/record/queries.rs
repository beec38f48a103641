//! What is asked about a workload: the policy's own signals, usage as live usage is read, and kube-state-metrics' facts.

use std::collections::BTreeMap;

use crate::{
    observe::prometheus::{
        history::{PodQueries, signal_query},
        range::Combine,
    },
    policy::{Policy, Role},
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
    let pods = PodQueries::of(policy);
    queries.extend([
        (Kind::Usage, pods.usage),
        (Kind::Memory, pods.memory),
        (Kind::Replicas, pods.replicas),
        (Kind::CpuRequest, pods.cpu_request),
        (Kind::MemoryRequest, pods.memory_request),
        (Kind::Restarts, pods.restarts),
        (Kind::OomKills, pods.oom_kills),
        (Kind::Start, pods.start),
    ]);
    Ok(queries)
}

/// What several series of a kind amount to.
pub(super) const fn combine(kind: Kind) -> Combine {
    match kind {
        Kind::Latency | Kind::Memory | Kind::CpuRequest | Kind::MemoryRequest | Kind::Start => Combine::Max,
        _ => Combine::Sum,
    }
}
