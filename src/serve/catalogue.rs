//! Every metric that arbiter exposes: a closed set. Dashboards and alert rules are checked against it.
//!
//! Invariant: what is not in [`ALL`] is not exposed, and a label not named here is not used.

/// Type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Goes up and down.
    Gauge,
    /// Only goes up; its name ends in `_total`.
    Counter,
    /// Has `_bucket`, `_sum` and `_count`.
    Histogram,
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Name as it is queried; of a histogram without its suffixes.
    pub name: &'static str,
    /// Type.
    pub kind: MetricKind,
    /// What it says.
    pub help: &'static str,
    /// Labels, in the order of exposition.
    pub labels: &'static [&'static str],
}

macro_rules! catalogue {
    ($($(#[$doc:meta])* $constant:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: Metric =
                Metric { name: $name, kind: MetricKind::$kind, help: $help, labels: &[$($label),*] };
        )*
        /// All of them, by the order in which they are explained.
        pub const ALL: &[Metric] = &[$($constant),*];
    };
}

catalogue! {
    BUILD_INFO = Gauge "arbiter_build_info" ["version"] "Version of this process; always 1";
    LEADER = Gauge "arbiter_leader" [] "Whether this instance holds the lease and writes (1) or stands by (0)";
    POLICIES = Gauge "arbiter_policies" ["mode"] "Scaling policies by mode";
    DECISION_INFO = Gauge "arbiter_decision_info" ["namespace", "policy", "reason"] "Reason of the current decision; always 1";
    REPLICAS = Gauge "arbiter_replicas" ["namespace", "policy", "kind"] "Replicas: current (spec.replicas), ready, desired";
    CPU_REQUEST = Gauge "arbiter_container_cpu_request_cores" ["namespace", "policy", "container", "kind"] "CPU request per pod in cores: current (mean over pods), desired";
    MEMORY_REQUEST = Gauge "arbiter_container_memory_request_bytes" ["namespace", "policy", "container", "kind"] "Memory request per pod in bytes: current (mean over pods), desired";
    DEMAND = Gauge "arbiter_demand_cores" ["namespace", "policy"] "Demand in cores, free of the controller's own actions";
    PLANNED = Gauge "arbiter_planned_cores" ["namespace", "policy"] "Demand with headroom and drain, in cores";
    CAPACITY = Gauge "arbiter_capacity_cores" ["namespace", "policy"] "Demand in cores that the ready pods carry within the objective";
    SHORTAGE = Gauge "arbiter_shortage_cores" ["namespace", "policy"] "Demand in cores that the ready pods do not carry";
    USAGE = Gauge "arbiter_usage_cores" ["namespace", "policy"] "CPU used by the reporting pods, in cores";
    LATENCY = Gauge "arbiter_latency_seconds" ["namespace", "policy"] "Latency at the objective";
    LATENCY_TARGET = Gauge "arbiter_latency_target_seconds" ["namespace", "policy"] "Target of the latency objective";
    LATENCY_VIOLATION = Gauge "arbiter_latency_violation_ratio" ["namespace", "policy"] "Share of requests over the target";
    BACKLOG = Gauge "arbiter_backlog_items" ["namespace", "policy"] "Waiting items";
    SIGNAL_AGE = Gauge "arbiter_signal_age_seconds" ["namespace", "policy", "signal"] "Age of the newest sample of a signal";
    SIGNAL_STATE = Gauge "arbiter_signal_state" ["namespace", "policy", "signal", "state"] "State of a signal; 1 for the state it is in";
    CONDITION = Gauge "arbiter_condition" ["namespace", "policy", "condition"] "Conditions of a policy: 1 True, 0 False, -1 Unknown";
    COST = Gauge "arbiter_cost_dollars_per_hour" ["namespace", "policy"] "Price of what the pods request, per hour";
    WRITES = Counter "arbiter_writes_total" ["kind", "result"] "Writes to the API server by kind and result";
    TICK_DURATION = Histogram "arbiter_tick_duration_seconds" [] "Duration of a tick over all policies";
    DECISION_DURATION = Histogram "arbiter_decision_duration_seconds" [] "Duration of one decision, without any waiting";
    QUERY_DURATION = Histogram "arbiter_query_duration_seconds" ["source"] "Duration of one round of reading a source";
    QUERY_FAILURES = Counter "arbiter_query_failures_total" ["source", "category"] "Failures of reading a source, by category";
}

/// Names of all series as they are queried: those of [`ALL`], histograms with each of their suffixes.
pub fn series_names() -> impl Iterator<Item = String> {
    ALL.iter().flat_map(|metric| {
        let suffixes: &[&str] =
            if metric.kind == MetricKind::Histogram { &["_bucket", "_sum", "_count"] } else { &[""] };
        suffixes.iter().map(|suffix| format!("{}{suffix}", metric.name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        for (i, metric) in ALL.iter().enumerate() {
            assert!(metric.name.starts_with("arbiter_"), "{}", metric.name);
            assert_eq!(metric.name.ends_with("_total"), metric.kind == MetricKind::Counter, "{}", metric.name);
            assert!(!ALL[..i].iter().any(|m| m.name == metric.name), "{} twice", metric.name);
        }
    }
}
