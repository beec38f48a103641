//! The compiled policy: what a `ScalingPolicy` means, with every default resolved and every text parsed.
//!
//! `compile` turns a spec into a [`Policy`] or into **all** its problems with their field paths. Nobody else reads
//! the spec: what `decide`, `observe`, `actuate` and the simulator see is this type, in which an invalid value
//! cannot be expressed.
//!
//! Invariant: pure; the same spec gives the same policy.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

mod compile;
mod problem;
mod schedule;
mod shard;
#[cfg(test)]
pub(crate) mod testing;
mod tuning;

pub(crate) use compile::wakes;
pub use compile::{compile, parse_duration};
#[cfg(feature = "controller")]
pub(crate) use compile::{parse_promql, promql_nodes};
pub use problem::{Problem, ProblemKind, in_one_line, turns};
pub use schedule::{Schedule, time_between};
pub use shard::Shard;
pub use tuning::Tuning;

pub use crate::api::{Limits, Mode, OnAbsent, OnRival, Preference, Role, SelectPolicy};
use crate::units::{Bytes, Cores, Dollars, Replicas, Seconds};

/// Namespace and name of a policy; the order of the pair is the order of reports.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PolicyKey {
    /// Namespace of the policy and of its target.
    pub namespace: String,
    /// Name of the policy.
    pub name: String,
}

impl std::fmt::Display for PolicyKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The object that is scaled, in the policy's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// For example `apps/v1`.
    pub api_version: String,
    /// For example `Deployment`.
    pub kind: String,
    /// Name of the object.
    pub name: String,
}

/// What may be moved; what may not is taken as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Levers {
    /// The replica count.
    pub replicas: bool,
    /// CPU per pod.
    pub cpu: bool,
    /// Memory per pod.
    pub memory: bool,
}

impl Levers {
    /// All three.
    pub const ALL: Self = Self { replicas: true, cpu: true, memory: true };
}

impl Preference {
    /// Price of a missing core in units of the price of a core: V of the model. The three classes are the ones whose
    /// sensitivity was measured (violations 2.6 % .. 1.9 % over 40 .. 160).
    #[must_use]
    pub const fn shortage_factor(self) -> f64 {
        match self {
            Self::Thrifty => 20.0,
            Self::Balanced => 80.0,
            Self::Cautious => 160.0,
        }
    }
}

/// A latency objective: `objective` of the requests are served within `target`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatencyObjective {
    /// Name of a signal with role Latency.
    pub signal: String,
    /// Time within which a request counts as good.
    pub target: Seconds,
    /// Share of good requests wanted, in (0, 1).
    pub objective: f64,
}

/// A backlog objective: waiting work is drained within this time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BacklogObjective {
    /// Name of a signal with role Backlog.
    pub signal: String,
    /// Time in which what waits is to be drained.
    pub drain_within: Seconds,
}

/// What is being bought. No latency and no backlog: utilization alone decides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Objective {
    /// Latency, when asked for.
    pub latency: Option<LatencyObjective>,
    /// Backlog, when asked for.
    pub backlog: Option<BacklogObjective>,
    /// CPU used over CPU requested, in (0, 1]; 0.7 unless given.
    pub utilization: f64,
    /// Whether `utilization` was written by the user (then it binds beside a latency objective) or is the default.
    pub utilization_given: bool,
    /// Price of shortage.
    pub preference: Preference,
}

/// Bounds of the replica count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaRange {
    /// Fewest.
    pub min: Replicas,
    /// Most.
    pub max: Replicas,
}

/// Bounds of one container's size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerRule {
    /// Smallest CPU request.
    pub cpu_min: Option<Cores>,
    /// Largest CPU request.
    pub cpu_max: Option<Cores>,
    /// Smallest memory request.
    pub memory_min: Option<Bytes>,
    /// Largest memory request.
    pub memory_max: Option<Bytes>,
    /// What happens to limits.
    pub limits: Limits,
}

/// Bounds by container name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ContainerRules {
    /// Containers that are named.
    pub named: BTreeMap<String, ContainerRule>,
    /// The rule `*`: containers that are not named.
    pub default: ContainerRule,
}

impl ContainerRules {
    /// The rule that holds for a container.
    #[must_use]
    pub fn of(&self, container: &str) -> &ContainerRule {
        self.named.get(container).unwrap_or(&self.default)
    }
}

/// Where a signal comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// An instant query whose answer is one number (a vector of several series is summed).
    Prometheus {
        /// PromQL, already parsed once without error.
        query: String,
    },
    /// A histogram, classic or native, read as latency at the objective and as share over the target.
    PrometheusHistogram {
        /// Base name, without `_bucket`.
        metric: String,
        /// Equality matchers, sorted by label.
        matchers: BTreeMap<String, String>,
        /// Rate window.
        window: Seconds,
    },
    /// Pending and ack-pending messages of a JetStream consumer, from the servers' monitoring endpoints.
    NatsJetStream {
        /// Monitoring base URLs; all are asked, the consumer leader's answer counts.
        monitoring_urls: Vec<String>,
        /// NATS account.
        account: String,
        /// Stream name.
        stream: String,
        /// Consumer (durable) name.
        consumer: String,
    },
}

impl Source {
    /// Whether it is asked itself, and not the metrics server about it.
    #[must_use]
    pub const fn is_direct(&self) -> bool {
        matches!(self, Self::NatsJetStream { .. })
    }
}

/// One signal of a policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Signal {
    /// Unique name within the policy.
    pub name: String,
    /// What it means.
    pub role: Role,
    /// Where it is read.
    pub source: Source,
    /// What an empty answer means.
    pub on_absent: OnAbsent,
    /// Whether the signal is still measured when no pod runs.
    pub survives_zero: bool,
}

impl Signal {
    /// Whether it wakes a workload without pods: work that arrives or waits, measured without pods.
    #[must_use]
    pub fn wakes(&self) -> bool {
        self.survives_zero && matches!(self.role, Role::Demand | Role::Backlog)
    }
}

/// A rate limit, as in HPA `autoscaling/v2`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum RateLimit {
    /// At most this many pods per period.
    Pods {
        /// Pods.
        value: u32,
        /// Period.
        period: Seconds,
    },
    /// At most this share of the count at the period's start, in percent.
    Percent {
        /// Percent.
        value: u32,
        /// Period.
        period: Seconds,
    },
}

/// One direction of `behavior`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DirectionRules {
    /// `stabilizationWindowSeconds`, when given; for scaling down this is the model's `hold`.
    pub stabilization: Option<Seconds>,
    /// Which rate limit counts.
    pub select: SelectPolicy,
    /// Rate limits; none: unlimited.
    pub rates: Vec<RateLimit>,
    /// Deadband as a share; binds shrinking, and growth only where written for it by the user.
    pub tolerance: Option<f64>,
}

/// Both directions; an absent one does not limit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Behavior {
    /// Growth.
    pub scale_up: Option<DirectionRules>,
    /// Shrinking.
    pub scale_down: Option<DirectionRules>,
}

/// How running pods may be resized.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResizeStrategy {
    /// Never evicts, never restarts.
    #[default]
    InPlaceOnly,
    /// In place where that works, else by evicting the pod.
    InPlaceOrRecreate,
    /// New pods only.
    Initial,
}

impl ResizeStrategy {
    /// Whether running pods are resized in place.
    #[must_use]
    pub const fn in_place(self) -> bool {
        matches!(self, Self::InPlaceOnly | Self::InPlaceOrRecreate)
    }
}

/// How many pods may be down at once for a resize: a number, or a share of the replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MaxUnavailable {
    /// So many.
    Pods(u32),
    /// So many of a hundred, rounded down.
    Percent(u32),
}

impl Default for MaxUnavailable {
    fn default() -> Self {
        Self::Percent(10)
    }
}

impl MaxUnavailable {
    /// Of so many replicas: at least one, or nothing could ever be replaced.
    #[must_use]
    pub fn of(self, replicas: u32) -> u32 {
        self.exact(replicas).max(1)
    }

    /// Whether it was meant to cover the only ready pod: a number, or a share that comes to one without rounding up.
    #[must_use]
    pub fn covers_the_last(self, replicas: u32) -> bool {
        self.exact(replicas) >= 1
    }

    fn exact(self, replicas: u32) -> u32 {
        match self {
            Self::Pods(pods) => pods,
            Self::Percent(share) => u32::try_from(u64::from(share) * u64::from(replicas) / 100).unwrap_or(u32::MAX),
        }
    }
}

/// Limits of resizing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResizeRules {
    /// How.
    pub strategy: ResizeStrategy,
    /// In-place CPU decreases that follow demand, per pod and day. Growth has no budget.
    pub trims_per_pod_per_day: u32,
    /// Pods that may be restarted or evicted at once.
    #[serde(default)]
    pub max_unavailable: MaxUnavailable,
}

impl Default for ResizeRules {
    /// One decrease per quarter of an hour.
    fn default() -> Self {
        Self {
            strategy: ResizeStrategy::default(),
            trims_per_pod_per_day: 96,
            max_unavailable: MaxUnavailable::default(),
        }
    }
}

/// A floor for the time after signals are lost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignalLoss {
    /// How long signals must be gone.
    pub after: Seconds,
    /// Raise to at least this; never lowers.
    pub min_replicas: Replicas,
}

/// What resources cost, per hour.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Prices {
    /// One requested core for one hour.
    pub core_hour: Dollars,
    /// One requested GiB for one hour.
    pub gib_hour: Dollars,
}

impl Default for Prices {
    /// On-demand list price of a general-purpose machine, split between CPU and memory as Google Cloud's N2 price list
    /// does (0.0316 $ per vCPU hour, 0.00424 $ per GiB hour, us-central1). Only the ratio reaches decisions.
    fn default() -> Self {
        Self { core_hour: Dollars(0.0316), gib_hour: Dollars(0.00424) }
    }
}

/// A policy, compiled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// Whose it is.
    pub key: PolicyKey,
    /// What is scaled.
    pub target: Target,
    /// Whether anything is written.
    pub mode: Mode,
    /// What may be moved.
    pub levers: Levers,
    /// What is bought.
    pub objective: Objective,
    /// Bounds of the count.
    pub replicas: ReplicaRange,
    /// Bounds of sizes.
    pub containers: ContainerRules,
    /// Signals, in the order of the spec.
    pub signals: Vec<Signal>,
    /// HPA-compatible limits.
    pub behavior: Behavior,
    /// Limits of resizing.
    pub resize: ResizeRules,
    /// Floors that return with the calendar.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<Schedule>,
    /// Floor after signal loss.
    pub on_signal_loss: Option<SignalLoss>,
    /// Answer to a rival.
    pub on_rival: OnRival,
    /// Whether autoscalers that are kept in Git are stood down as well.
    #[serde(default)]
    pub takes_over_from_git: bool,
    /// Prices; one set per controller or simulation.
    pub prices: Prices,
    /// Constants of the model.
    #[serde(default)]
    pub tuning: Tuning,
}

impl Policy {
    /// The first signal with a role, in the order of the spec.
    #[must_use]
    pub fn signal_of(&self, role: Role) -> Option<&Signal> {
        self.signals.iter().find(|s| s.role == role)
    }

    /// Signals by which a workload without pods is woken: work that arrives or waits, measured without pods.
    pub fn waking(&self) -> impl Iterator<Item = &Signal> {
        self.signals.iter().filter(|s| s.wakes())
    }

    /// Whether the count may go to zero: it is asked for, the count is ours, and something wakes the workload again.
    #[must_use]
    pub fn may_sleep(&self) -> bool {
        self.replicas.min == Replicas(0) && self.levers.replicas && self.waking().next().is_some()
    }
}
