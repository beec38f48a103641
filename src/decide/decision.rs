//! A decision: a value with its reason. Status, Events, metrics, logs, the page and reports are views of it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::snapshot::{Resources, SignalState};
use crate::{
    policy::Role,
    units::{Cores, DollarsPerHour, Replicas, Seconds},
};

/// What is to be, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// Version of the contract.
    #[serde(default)]
    pub v: u32,
    /// The instant of the snapshot it rests on.
    pub at: Timestamp,
    /// Replicas wanted.
    pub replicas: Replicas,
    /// Complete resources of each container: the steady size for running and new pods.
    pub containers: Vec<ContainerSize>,
    /// A larger size for running pods until new ones are ready.
    pub boost: Option<Boost>,
    /// The reason, as a word.
    pub reason: Reason,
    /// The reason, as a sentence.
    pub message: String,
    /// The numbers behind it.
    pub explain: Explain,
}

/// Size of one container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerSize {
    /// Name in the pod spec.
    pub name: String,
    /// Requests.
    pub requests: Resources,
    /// Limits; absent ones stay absent.
    pub limits: Resources,
}

/// What running pods get meanwhile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Boost {
    /// CPU by container.
    pub containers: Vec<BoostSize>,
    /// When it ends at the latest.
    pub until: Timestamp,
}

/// Boosted CPU of one container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BoostSize {
    /// Name in the pod spec.
    pub name: String,
    /// CPU request meanwhile.
    pub cpu_cores: Cores,
}

/// Why the decision is what it is. A closed set: labels and conditions carry these words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// CPU demand, planned with headroom.
    CpuDemand,
    /// Pods are at capacity, throttled, or grossly over the objective.
    Saturated,
    /// What waits is to be drained in time.
    BacklogDeadline,
    /// Measured latency lowered (or raised) the capacity of a pod.
    LatencyObjective,
    /// More replicas run than are needed now; they leave when `hold` has passed.
    HoldingForDemand,
    /// Another size would have been cheaper.
    SizeCheaper,
    /// Memory follows its peaks.
    MemoryPeak,
    /// Memory was raised after a kill.
    OutOfMemory,
    /// Running pods are larger until new ones are ready.
    BoostedMeanwhile,
    /// Signals or usage are too old or incomplete: nothing shrinks.
    SignalsStale,
    /// `replicas.max` binds.
    LimitedByMax,
    /// `replicas.min` binds.
    LimitedByMin,
    /// A quota binds.
    LimitedByQuota,
    /// `behavior` binds.
    LimitedByBehavior,
    /// Pods of two templates run.
    RolloutInProgress,
    /// The latency objective cannot be met by capacity.
    ObjectiveUnreachable,
    /// Added replicas did not help.
    DownstreamBound,
    /// Nothing has been measured yet.
    WaitingForData,
    /// The workload stands at zero replicas because somebody set it so.
    ScaledToZero,
    /// There is no work, and no replica until there is.
    IdleToZero,
    /// Work came while there was no replica.
    WokenByDemand,
    /// The signal went with the last replica, so zero is off.
    SignalDiesAtZero,
    /// A schedule asks for more than is needed.
    ScheduledMinimum,
    /// Another autoscaler keeps writing the count.
    RivalWrites,
}

/// The explain record of a decision: at most 2 KiB as JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explain {
    /// What binds: nothing cheaper is taken before it gives way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binding: Option<Binding>,
    /// Demand, free of our own actions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub demand_cores: Option<Cores>,
    /// Which evidence made it, in words: `rate`, `usage`, `rate, raised by usage`, `backlog`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub demand_from: Option<String>,
    /// CPU that is used, idle cost included: the evidence beside the signals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_cores: Option<Cores>,
    /// What is planned for: demand with headroom and drain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned_cores: Option<Cores>,
    /// Headroom as a share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headroom: Option<f64>,
    /// Work that one replica of the chosen size carries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_cores: Option<Cores>,
    /// Allowed utilization of a pod of the chosen size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_utilization: Option<f64>,
    /// Measured correction of the allowed utilization (1 = none).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_adjustment: Option<f64>,
    /// Idle cost of a pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_cores: Option<Cores>,
    /// Core-seconds per unit of the Demand or Backlog signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub work_core_seconds: Option<f64>,
    /// Time from a decision to a ready pod that is reckoned with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lead_seconds: Option<Seconds>,
    /// The chosen answer and its neighbours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<Alternative>,
    /// The replica that leaves next, if one waits to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// Those that leave after it, the next one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub then_leave: Vec<Hold>,
    /// The size that competes with the present one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<SizeRegret>,
    /// The floor of a schedule that holds now, and the one that begins next.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<ScheduledFloor>,
    /// Signals, as the decision took them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signals: Vec<SignalVerdict>,
    /// What keeps it from shrinking or resizing, in words; empty: nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held_back_by: Vec<String>,
    /// What limits it (condition `Limited`), in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limited: Option<String>,
    /// Who else keeps writing the count (condition `InControl` = False), in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rival: Option<String>,
    /// Why the objective cannot be reached (condition `ObjectiveReachable` = False), in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreachable: Option<String>,
}

/// What binds, and how long if nothing else changes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Binding {
    /// The constraint.
    pub constraint: Constraint,
    /// When it gives way by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<Seconds>,
}

/// What can bind a decision or rule out an alternative. A closed set, in the order in which they are looked for; the
/// last two concern sizes alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Constraint {
    /// Nothing has been measured yet.
    NoData,
    /// Signals or usage cannot be believed: nothing shrinks, nothing is resized.
    SignalsStale,
    /// A new template is watched: nothing shrinks, nothing is resized.
    Rollout,
    /// `spec.behavior`: the rate or the tolerance of a direction.
    Behavior,
    /// `spec.replicas.max`.
    MaxReplicas,
    /// `spec.replicas.min`.
    MinReplicas,
    /// A quota of the namespace.
    Quota,
    /// The floor of a schedule.
    Schedule,
    /// A count that somebody else wrote.
    OtherWriter,
    /// It is not ours to move, or nothing tells which is better.
    NotManaged,
    /// Added replicas did not help.
    Downstream,
    /// Pods are short.
    Saturation,
    /// Pods are on their way to a larger size.
    Resize,
    /// Memory follows its peaks or a kill.
    Memory,
    /// Zero is off, because a signal went with the last pod.
    ZeroOff,
    /// What waits is to be drained in time.
    Backlog,
    /// Demand when pods that are asked for now are ready.
    Demand,
    /// Idle replicas are kept for a while.
    Hold,
    /// The CPU bounds of a container, its limit, or the node.
    Bounds,
    /// Pods of the size cannot meet the objective, do not pay, or could not carry the known peak.
    Inadmissible,
}

impl Constraint {
    /// All of them, in their order.
    pub const ALL: [Self; 20] = [
        Self::NoData,
        Self::SignalsStale,
        Self::Rollout,
        Self::Behavior,
        Self::MaxReplicas,
        Self::MinReplicas,
        Self::Quota,
        Self::Schedule,
        Self::OtherWriter,
        Self::NotManaged,
        Self::Downstream,
        Self::Saturation,
        Self::Resize,
        Self::Memory,
        Self::ZeroOff,
        Self::Backlog,
        Self::Demand,
        Self::Hold,
        Self::Bounds,
        Self::Inadmissible,
    ];

    /// In words, to be read after "bound by".
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::NoData => "nothing measured yet",
            Self::SignalsStale => "signals that cannot be believed",
            Self::Rollout => "a rollout",
            Self::Behavior => "spec.behavior",
            Self::MaxReplicas => "spec.replicas.max",
            Self::MinReplicas => "spec.replicas.min",
            Self::Quota => "a quota",
            Self::Schedule => "a schedule",
            Self::OtherWriter => "a count that somebody else wrote",
            Self::NotManaged => "not managed",
            Self::Downstream => "something behind the service",
            Self::Saturation => "pods that are short",
            Self::Resize => "a resize under way",
            Self::Memory => "memory",
            Self::ZeroOff => "zero is off",
            Self::Backlog => "the time to drain what waits",
            Self::Demand => "demand when new pods are ready",
            Self::Hold => "the hold of idle replicas",
            Self::Bounds => "CPU bounds",
            Self::Inadmissible => "objective or known peak",
        }
    }
}

/// One answer that was weighed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alternative {
    /// Replicas.
    pub replicas: Replicas,
    /// CPU request of a pod.
    pub pod_cores: Cores,
    /// Whether it was taken.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub chosen: bool,
    /// Work it carries.
    pub carries_cores: Cores,
    /// Planned work it does not carry.
    pub missing_cores: Cores,
    /// Price of the pods.
    pub pods_per_hour: DollarsPerHour,
    /// Price of the shortage.
    pub shortage_per_hour: DollarsPerHour,
    /// What is still to be paid before it is had, spread over an hour: pods until they serve, the rest of a replica's
    /// hold, what another size has yet to earn.
    pub switch_per_hour: DollarsPerHour,
    /// What rules it out, whatever it costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ruled_out: Option<Constraint>,
}

impl Alternative {
    /// The sum that is compared.
    #[must_use]
    pub fn total_per_hour(&self) -> DollarsPerHour {
        self.pods_per_hour + self.shortage_per_hour + self.switch_per_hour
    }
}

/// A replica that is no longer needed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    /// Its ordinal: with it gone, one fewer would run.
    pub replica: Replicas,
    /// How long it has not been needed.
    pub idle_seconds: Seconds,
    /// When it leaves, if demand stays.
    pub seconds_left: Seconds,
}

/// A window of a schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScheduledFloor {
    /// Fewest replicas in it.
    pub min_replicas: Replicas,
    /// Whether it holds now; otherwise it is the next one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub active: bool,
    /// When it begins or began.
    pub start: Timestamp,
    /// When it ends.
    pub end: Timestamp,
}

/// How far another size has earned its change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SizeRegret {
    /// CPU request of a pod of that size.
    pub pod_cores: Cores,
    /// What it would have saved, decayed.
    pub regret_dollars: f64,
    /// What it must have saved before it is taken.
    pub threshold_dollars: f64,
}

/// How one signal was taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignalVerdict {
    /// Name.
    pub name: String,
    /// Role.
    pub role: Role,
    /// Value, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Age, when known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<Seconds>,
    /// State.
    pub state: SignalState,
    /// What is wrong with it, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}
