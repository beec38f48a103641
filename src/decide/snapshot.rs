//! What is known about one workload at one instant: the only input of a decision beside the policy and the memory.
//!
//! Serialises as the decision stream contract says (one JSON object per line): absent numbers are left out, never 0,
//! and a reader ignores fields it does not know. Less information only makes the decision more careful.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::units::{Bytes, Cores, Replicas, Seconds};

/// One workload, observed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// Version of the contract.
    #[serde(default)]
    pub v: u32,
    /// The instant of observation; the only clock that `decide` has.
    pub at: Timestamp,
    /// Pods by state.
    pub replicas: ReplicaState,
    /// Times from creation to ready of pods that became ready since the snapshot before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub start_seconds: Vec<Seconds>,
    /// Age of the newest usage sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_age_seconds: Option<Seconds>,
    /// Length of the window that usage is a mean over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_seconds: Option<Seconds>,
    /// Containers of the pod, in the order of the pod spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<ContainerState>,
    /// Room to grow in.
    #[serde(default)]
    pub room: Room,
    /// Signals by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub signals: BTreeMap<String, Reading>,
}

/// Pods of the target by state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaState {
    /// `spec.replicas` as `/scale` gives it.
    pub spec: Replicas,
    /// Pods that are ready.
    pub ready: Replicas,
    /// Pods created and not yet ready, unschedulable ones included.
    #[serde(default)]
    pub pending: Replicas,
    /// Pods that no node takes.
    #[serde(default)]
    pub unschedulable: Replicas,
    /// Pods in deletion.
    #[serde(default)]
    pub terminating: Replicas,
    /// Time since the youngest ready pod became ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub youngest_ready_age_seconds: Option<Seconds>,
    /// Whether pods of more than one template run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolling_out: Option<bool>,
    /// Hash of the newest template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_hash: Option<String>,
    /// Who wrote `spec.replicas` last, when that was somebody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_writer: Option<String>,
}

/// CPU and memory, each present or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_cores: Option<Cores>,
    /// Memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<Bytes>,
}

/// State of an in-place resize.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ResizeState {
    /// None pending.
    #[default]
    None,
    /// Being applied.
    InProgress,
    /// The node has no room now.
    Deferred,
    /// The node can never do it.
    Infeasible,
    /// The runtime failed.
    Error,
}

/// Pods of one size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SizeGroup {
    /// CPU request of this container in these pods, as allocated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_cores: Option<Cores>,
    /// Memory request, as allocated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<Bytes>,
    /// How many pods, not terminating.
    pub pods: Replicas,
    /// How many of them are ready.
    pub ready: Replicas,
    /// Their resize, if one is pending.
    #[serde(default)]
    pub resize: ResizeState,
}

/// A size below which a container is not made, because that has just gone wrong.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SizeFloor {
    /// The least requests.
    #[serde(flatten)]
    pub least: Resources,
    /// What went wrong, as a sentence.
    #[serde(default)]
    pub why: String,
}

/// One container over all pods of the target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerState {
    /// Name in the pod spec.
    pub name: String,
    /// Requests of the pod template.
    #[serde(default)]
    pub request: Resources,
    /// Limits of the pod template.
    #[serde(default)]
    pub limit: Resources,
    /// Pods whose usage is in the sums below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reporting_pods: Option<Replicas>,
    /// CPU used: mean over the window, summed over the reporting pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_cores: Option<Cores>,
    /// CPU used by the busiest pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_pod_cpu_cores: Option<Cores>,
    /// Working set of the largest pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_max_pod_bytes: Option<Bytes>,
    /// Working set, mean over pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mean_pod_bytes: Option<Bytes>,
    /// Share of CFS periods in which the container was throttled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttled_ratio: Option<f64>,
    /// CPU pressure (PSI some), as a share of time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_pressure: Option<f64>,
    /// Memory pressure (PSI full), as a share of time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_pressure: Option<f64>,
    /// OOM kills since the snapshot before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oom_kills_delta: Option<u32>,
    /// Memory limit that the last killed container had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_oom_limit_bytes: Option<Bytes>,
    /// Pods by the size they have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sizes: Vec<SizeGroup>,
    /// What was undone: it is not made smaller than this for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<SizeFloor>,
}

/// What is left to grow into; an absent bound is not known, and does not bind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Room {
    /// What the namespace's tightest quota leaves, beyond what runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,
    /// Allocatable of the largest node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Resources>,
    /// Per-container bounds of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_range: Option<LimitRangeBounds>,
}

/// What a resource quota leaves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quota {
    /// Name of the quota.
    pub name: String,
    /// CPU requests and memory requests left.
    #[serde(flatten)]
    pub left: Resources,
    /// Pods left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<Replicas>,
}

/// Container bounds of a `LimitRange`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitRangeBounds {
    /// Least request.
    #[serde(default)]
    pub min: Resources,
    /// Largest limit.
    #[serde(default)]
    pub max: Resources,
}

/// How far a signal can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SignalState {
    /// Young and whole.
    Fresh,
    /// Older than usual, still usable.
    Late,
    /// Too old to shrink on.
    Stale,
    /// Some series or pods are missing: good for growth, never for shrinking.
    Partial,
    /// Nothing to measure, because nothing is served: blocks nothing.
    Idle,
    /// No answer, or an empty one.
    Absent,
    /// The query or its answer makes no sense.
    Invalid,
}

/// One signal, read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reading {
    /// Demand: work per second; Backlog: items; Latency: seconds at the objective; Saturation: share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Latency only: share of requests over the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub violation_ratio: Option<f64>,
    /// Age of the newest sample that the value rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<Seconds>,
    /// Left out: derived from the age.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<SignalState>,
    /// What is wrong with it, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Whether the source could not be asked: an error, not an answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
}
