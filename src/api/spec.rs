//! The resource itself and the parts of its spec that are a field or two.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    behavior::Behavior, containers::ContainerRule, objective::Objective, resize::Resize, rules_at, schedules::Schedule,
    signals::Signal, status::ScalingPolicyStatus, text,
};

/// Whether anything is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// Decide and report, write nothing.
    #[default]
    Recommend,
    /// Decide and write.
    Auto,
    /// Write nothing and keep rivals down.
    Paused,
}

/// What may be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Lever {
    /// The replica count.
    Replicas,
    /// CPU per pod.
    Cpu,
    /// Memory per pod.
    Memory,
}

/// What to do when somebody else keeps writing the replica count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnRival {
    /// Stop shrinking, keep growing.
    #[default]
    Floor,
    /// Write through.
    Reassert,
}

/// What to do about an autoscaler that is kept in Git.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Takeover {
    /// Stand nothing down that Git would put back.
    #[default]
    Careful,
    /// Stand it down all the same.
    Force,
}

/// Decides the replica count and the pod size of one workload together.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "autoscaling.arbiter.io",
    version = "v1alpha1",
    kind = "ScalingPolicy",
    plural = "scalingpolicies",
    namespaced,
    status = "ScalingPolicyStatus",
    derive = "PartialEq",
    shortname = "spol",
    category = "arbiter",
    category = "autoscaling",
    doc = "Decides the replica count and the pod size of one workload together, from one demand model.",
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.targetRef.name", description = "What is scaled"),
    printcolumn(
        name = "Mode",
        type_ = "string",
        json_path = ".spec.mode",
        description = "Whether anything is written"
    ),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".status.replicas.current"),
    printcolumn(name = "Desired", type_ = "integer", json_path = ".status.replicas.desired"),
    printcolumn(
        name = "CPU",
        type_ = "string",
        json_path = ".status.containers[0].desired.requests.cpu",
        description = "Decided CPU request of the first container"
    ),
    printcolumn(
        name = "Memory",
        type_ = "string",
        json_path = ".status.containers[0].desired.requests.memory",
        description = "Decided memory request of the first container"
    ),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.decision.reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules_at(&[
    (
        ".objective.latency.signal",
        "!has(self.objective) || !has(self.objective.latency) || \
         (has(self.signals) && self.signals.exists(s, s.name == self.objective.latency.signal && s.role == 'Latency'))",
        "must be the name of an entry of signals with role: Latency",
    ),
    (
        ".objective.backlog.signal",
        "!has(self.objective) || !has(self.objective.backlog) || \
         (has(self.signals) && self.signals.exists(s, s.name == self.objective.backlog.signal && s.role == 'Backlog'))",
        "must be the name of an entry of signals with role: Backlog",
    ),
    (
        ".onSignalLoss.minReplicas",
        "!has(self.onSignalLoss) || !has(self.replicas) || !has(self.replicas.max) || \
         self.onSignalLoss.minReplicas <= self.replicas.max",
        "must not be more than replicas.max",
    ),
    (
        ".replicas.min",
        "!has(self.replicas) || !has(self.replicas.min) || self.replicas.min > 0 || \
         (has(self.signals) && self.signals.exists(s, s.role in ['Demand', 'Backlog'] && \
          (has(s.survivesZero) ? s.survivesZero : \
           has(s.natsJetStream) || has(s.rabbitmq) || has(s.redis) || has(s.externalMetric))))",
        "0 needs a signal that tells of work while no pod runs: a queue (role: Backlog), or one with survivesZero: true",
    ),
    (
        ".schedules",
        "!has(self.schedules) || !has(self.replicas) || !has(self.replicas.max) || \
         self.schedules.all(s, s.minReplicas <= self.replicas.max)",
        "minReplicas of a schedule must not be more than replicas.max",
    ),
])))]
pub struct ScalingPolicySpec {
    /// The workload that is scaled, in the policy's namespace. One policy per workload.
    pub target_ref: TargetRef,
    /// Whether anything is written: Recommend (decide and report only), Auto (decide and write) or Paused (write
    /// nothing, keep other autoscalers down). Default: Recommend.
    #[serde(default)]
    pub mode: Mode,
    /// What may be moved: Replicas, Cpu, Memory; a lever that is left out is taken as it is. Default: all three.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 3), extend("x-kubernetes-list-type" = "set"))]
    pub levers: Option<Vec<Lever>>,
    /// What is being bought. Default: utilization cpu 70.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<Objective>,
    /// Bounds of the replica count. Default: 1 to 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<Replicas>,
    /// Bounds of container sizes, by container name; `*` is for containers that are not named. Default: not bounded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub containers: Vec<ContainerRule>,
    /// What is measured beside CPU and memory of the target's pods, which need no entry. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub signals: Vec<Signal>,
    /// Limits of how fast the replica count moves, as in HPA autoscaling/v2. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behavior: Option<Behavior>,
    /// How running pods may be resized. Default: in place only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<Resize>,
    /// Load that is known beforehand: floors of the replica count that return with the calendar. Where several hold, the
    /// highest counts. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub schedules: Vec<Schedule>,
    /// A floor for the time after signals are lost; raises, never lowers. Default: what runs is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_signal_loss: Option<SignalLoss>,
    /// What to do when somebody else keeps writing the replica count: Floor (stop shrinking, keep growing) or Reassert
    /// (write through). Default: Floor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "OnRival")]
    pub on_rival: Option<OnRival>,
    /// What to do about another autoscaler of this workload that is kept in Git: Careful (say so and stand nothing down) or
    /// Force (stand it down; Git must then leave these fields alone). Default: Careful.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Takeover")]
    pub takeover: Option<Takeover>,
    /// Whether a `StatefulSet` whose claims are deleted with its pods (whenScaled: Delete) may shrink (not available
    /// yet). Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_volume_deletion: Option<bool>,
}

/// The object that is scaled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules_at(&[(
    ".kind",
    "!(self.kind in ['DaemonSet', 'Job', 'CronJob', 'Pod'])",
    "has no replica count to decide: name a Deployment, a StatefulSet or another kind with a scale subresource",
)])))]
pub struct TargetRef {
    /// For example `apps/v1`.
    #[schemars(schema_with = "text::api_version")]
    pub api_version: String,
    /// For example Deployment.
    #[schemars(schema_with = "text::kind")]
    pub kind: String,
    /// Name of the object.
    #[schemars(schema_with = "text::object")]
    pub name: String,
}

/// Bounds of the replica count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = rules_at(&[
    (".min", "!has(self.min) || !has(self.max) || self.min <= self.max", "min must not be more than max"),
    (".min", "!has(self.min) || has(self.max) || self.min <= 10", "max is 10 unless given: set max to at least min"),
])))]
pub struct Replicas {
    /// Fewest replicas; 0 lets the last one leave while there is no work, which needs a signal that is measured without
    /// pods. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub min: Option<i32>,
    /// Most replicas. Default: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max: Option<i32>,
}

/// A floor for the time after signals are lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignalLoss {
    /// How long signals must be gone: a duration such as 5m. Default: 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "text::duration_from_10s")]
    pub after: Option<String>,
    /// At least this many replicas run from then on.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_replicas: i32,
}
