//! `spec.signals`: what is measured beside CPU and memory, and where.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{rules, rules_at, text};

/// What a signal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Role {
    /// Work arriving, per second.
    Demand,
    /// Work waiting, in items.
    Backlog,
    /// Time to serve, in seconds, or the share over the target.
    Latency,
    /// How full something is, as a share.
    Saturation,
}

/// What an empty, successful answer means. An error never means zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnAbsent {
    /// Nothing is known: hold.
    #[default]
    Hold,
    /// Nothing is there: 0.
    Zero,
}

/// One signal: a role and exactly one source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = Signal::rules()))]
pub struct Signal {
    /// Name of the signal, unique within the policy; objectives, status and metrics use it.
    #[schemars(schema_with = "text::label")]
    pub name: String,
    /// What the number means: Demand (work arriving per second), Backlog (work waiting, in items), Latency (seconds)
    /// or Saturation (how full something is, as a share).
    pub role: Role,
    /// An instant PromQL query. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusSource>,
    /// A latency histogram in Prometheus, classic or native. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus_histogram: Option<PrometheusHistogramSource>,
    /// A NATS JetStream consumer, read from the servers' monitoring endpoints. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nats_jet_stream: Option<NatsJetStreamSource>,
    /// A `RabbitMQ` queue, read from the management API (not available yet). Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rabbitmq: Option<RabbitMqSource>,
    /// A Redis list or stream group (not available yet). Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisSource>,
    /// A metric of external.metrics.k8s.io (not available yet). Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_metric: Option<ExternalMetricSource>,
    /// What an empty, successful answer means: Hold (nothing is known, nothing shrinks) or Zero; an error never means
    /// zero. Default: Hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "OnAbsent")]
    pub on_absent: Option<OnAbsent>,
    /// Whether the signal is still measured when no pod of the target runs. Default: true for queues and external
    /// metrics, false for Prometheus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub survives_zero: Option<bool>,
}

impl Signal {
    fn rules() -> serde_json::Value {
        let mut all = rules(&[(
            "[has(self.prometheus), has(self.prometheusHistogram), has(self.natsJetStream), has(self.rabbitmq), \
             has(self.redis), has(self.externalMetric)].exists_one(given, given)",
            "must have exactly one source: prometheus, prometheusHistogram, natsJetStream, rabbitmq, redis or \
             externalMetric",
        )]);
        let roles = rules_at(&[
            (
                ".role",
                "!has(self.prometheusHistogram) || self.role == 'Latency'",
                "prometheusHistogram measures latency: set role: Latency",
            ),
            (
                ".role",
                "!(has(self.natsJetStream) || has(self.rabbitmq) || has(self.redis)) || self.role == 'Backlog'",
                "natsJetStream, rabbitmq and redis count waiting work: set role: Backlog",
            ),
        ]);
        all.as_array_mut().into_iter().for_each(|list| list.extend(roles.as_array().into_iter().flatten().cloned()));
        all
    }
}

/// An instant PromQL query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PrometheusSource {
    /// PromQL whose answer is one number; several series are summed.
    #[schemars(length(min = 1, max = 4096))]
    pub query: String,
}

/// A latency histogram in Prometheus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = rules_at(&[(
    ".metric",
    "!self.metric.endsWith('_bucket') && !self.metric.endsWith('_count') && !self.metric.endsWith('_sum')",
    "is the histogram's base name: leave out _bucket, _count or _sum",
)])))]
pub struct PrometheusHistogramSource {
    /// Base name of the histogram, in seconds, without `_bucket`.
    #[schemars(schema_with = "text::metric")]
    pub metric: String,
    /// Label values that select the series, all of which must match. Default: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(
        extend("maxProperties" = 16, "additionalProperties" = {"type": "string", "maxLength": 253}),
        extend("x-kubernetes-validations" = rules(&[
            ("self.all(label, label.size() <= 63 && label.matches('^[a-zA-Z_][a-zA-Z0-9_]*$'))",
             "labels are Prometheus label names: letters, digits and _, not beginning with a digit"),
        ]))
    )]
    pub matchers: BTreeMap<String, String>,
    /// Window of the rate: a duration such as 1m, at least four scrape intervals. Default: 1m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "text::window")]
    pub window: Option<String>,
}

/// A NATS JetStream consumer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NatsJetStreamSource {
    /// Base URLs of the servers' monitoring endpoints, for example `http://nats.memes:8222`; all are asked, the
    /// consumer leader's answer counts.
    #[schemars(schema_with = "text::base_urls")]
    pub monitoring_urls: Vec<String>,
    /// NATS account. Default: "$G".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub account: Option<String>,
    /// Name of the stream.
    #[schemars(schema_with = "text::jetstream_name")]
    pub stream: String,
    /// Name of the durable consumer.
    #[schemars(schema_with = "text::jetstream_name")]
    pub consumer: String,
    /// Secret with the credentials of the monitoring endpoints (not available yet). Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_secret_ref: Option<SecretRef>,
}

/// A `RabbitMQ` queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RabbitMqSource {
    /// Base URL of the management API, for example `http://rabbitmq.memes:15672`.
    #[schemars(schema_with = "text::base_url")]
    pub management_url: String,
    /// Virtual host. Default: "/".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub vhost: Option<String>,
    /// Name of the queue.
    #[schemars(length(min = 1, max = 253))]
    pub queue: String,
    /// Secret with `username` and `password`. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_secret_ref: Option<SecretRef>,
}

/// A Redis list, or a consumer group of a Redis stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules(&[(
    "has(self.list) != has(self.stream)",
    "must have exactly one of list and stream",
)])))]
pub struct RedisSource {
    /// Host and port, for example `redis.memes:6379`.
    #[schemars(schema_with = "text::address")]
    pub address: String,
    /// Number of the database. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 15))]
    pub database: Option<i32>,
    /// Key of a list, whose length counts. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub list: Option<String>,
    /// A consumer group of a stream, whose lag and pending entries count. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<RedisStream>,
    /// Secret with `username` and `password`. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_secret_ref: Option<SecretRef>,
}

/// A consumer group of a Redis stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RedisStream {
    /// Key of the stream.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
    /// Name of the consumer group.
    #[schemars(length(min = 1, max = 253))]
    pub group: String,
}

/// A metric of external.metrics.k8s.io; every KEDA scaler is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalMetricSource {
    /// Name of the metric.
    #[schemars(length(min = 1, max = 253))]
    pub metric_name: String,
    /// Labels that select the series, all of which must match. Default: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = {"type": "string", "maxLength": 253}))]
    pub match_labels: BTreeMap<String, String>,
}

/// A secret in the policy's own namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretRef {
    /// Name of the secret, in the policy's namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}
