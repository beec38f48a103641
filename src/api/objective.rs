//! `spec.objective`: what is being bought.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text;

/// The price of a missing core against an idle one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Preference {
    /// Batch and internal work.
    Thrifty,
    /// Ordinary services.
    #[default]
    Balanced,
    /// Services whose shortage is dear.
    Cautious,
}

/// What is being bought with the replicas and their size. Latency and backlog objectives name a signal; without either,
/// utilization decides.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Objective {
    /// A share of requests is to be served within a time. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyObjective>,
    /// Waiting work is to be drained within a time. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backlog: Option<BacklogObjective>,
    /// How far pods may be used. Default: cpu 70.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utilization: Option<UtilizationObjective>,
    /// The price of a missing core against an idle one: Thrifty (20) for batch and internal work, Balanced (80) for
    /// ordinary services, Cautious (160) where shortage is dear. Default: Balanced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Preference")]
    pub preference: Option<Preference>,
}

/// A share of requests is served within a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LatencyObjective {
    /// Name of a signal with role Latency.
    #[schemars(length(min = 1, max = 63))]
    pub signal: String,
    /// Time within which a request counts as good: a duration such as 250ms.
    #[schemars(schema_with = "text::duration_over_zero")]
    pub target: String,
    /// Share of requests that are to be good, between 0 and 1, as text. Default: "0.99".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "text::share")]
    pub objective: Option<String>,
}

/// Waiting work is drained within a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BacklogObjective {
    /// Name of a signal with role Backlog.
    #[schemars(length(min = 1, max = 63))]
    pub signal: String,
    /// Time in which what waits is to be drained: a duration such as 30s.
    #[schemars(schema_with = "text::duration_from_1s")]
    pub drain_within: String,
}

/// How far pods may be used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UtilizationObjective {
    /// CPU used over CPU requested, in percent.
    #[schemars(range(min = 1, max = 100))]
    pub cpu: i32,
}
