//! The `ScalingPolicy` custom resource as it is written in YAML: one file per concern.
//!
//! These types carry serde, the schema of the custom resource definition and its CEL rules, and nothing else: no
//! default is resolved here and no text is parsed. What a spec means is said by `policy::compile`, the only reader of
//! these types beside the writer of the status.
//!
//! Every field has a doc comment, which is its description in the cluster (`kubectl explain`) and in
//! `docs/reference/scalingpolicy.md`; for an optional field it ends in a sentence `Default: ….`.
//!
//! Invariants: whatever the API server lets through deserializes into these types; every list, map and text is
//! bounded, because the API server refuses CEL rules over unbounded data.

mod behavior;
pub mod conditions;
mod containers;
mod crd;
pub mod docs;
mod objective;
mod quantity;
mod resize;
mod schedules;
pub mod schema;
mod signals;
mod spec;
mod status;
#[cfg(test)]
mod tests;
mod text;

pub use behavior::{Behavior, DirectionRules, RateLimit, RateLimitType, SelectPolicy};
pub use containers::{ContainerRule, Limits, SizeRange};
pub use crd::{crd, crd_yaml};
pub use objective::{BacklogObjective, LatencyObjective, Objective, Preference, UtilizationObjective};
pub use quantity::IntOrText;
pub use resize::{Resize, ResizeStrategy};
pub use schedules::Schedule;
pub use signals::{
    ExternalMetricSource, NatsJetStreamSource, OnAbsent, PrometheusHistogramSource, PrometheusSource, RabbitMqSource,
    RedisSource, RedisStream, Role, SecretRef, Signal,
};
pub use spec::{Lever, Mode, OnRival, Replicas, ScalingPolicy, ScalingPolicySpec, SignalLoss, Takeover, TargetRef};
pub use status::{
    ContainerStatus, DecisionStatus, DesiredResources, DisplacedStatus, ReplicaStatus, ScalingPolicyStatus,
    SignalStatus,
};

/// API group of every resource of arbiter. The derive on [`ScalingPolicySpec`] needs it as a literal; a test holds the
/// two together.
pub const GROUP: &str = "autoscaling.arbiter.io";

/// Rules for `x-kubernetes-validations`, from pairs of CEL rule and message.
fn rules(pairs: &[(&str, &str)]) -> serde_json::Value {
    pairs.iter().map(|(rule, message)| serde_json::json!({"rule": rule, "message": message})).collect()
}

/// The same, with the field below that the message is about.
fn rules_at(triples: &[(&str, &str, &str)]) -> serde_json::Value {
    let rule = |(field, rule, message): &(&str, &str, &str)| serde_json::json!({"rule": rule, "message": message, "fieldPath": field});
    triples.iter().map(rule).collect()
}
