//! The door between the simulated cluster and a controller: what it sees at a tick, what it does.
//!
//! Nothing in a [`View`] is the truth: all of it went through the metric pipeline, the same for every controller. Which
//! part a controller reads is a fact about that controller.

use std::sync::Arc;

use crate::{
    decide::{ContainerSize, Decision, ResizeState, Resources, Snapshot},
    units::{Bytes, Cores},
};

/// What a controller sees at a tick. All instants are seconds since the start of the run.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The workload as a whole, as arbiter reads it.
    pub snapshot: &'a Snapshot,
    /// Now.
    pub now: f64,
    /// Pods of the workload that the API server lists, oldest first; those that are being deleted too.
    pub pods: &'a [PodView],
    /// The queue, where the workload has one.
    pub queue: Option<QueueView>,
}

/// One pod.
#[derive(Clone, Debug, PartialEq)]
pub struct PodView {
    /// Unique over the run; what [`PodAction::Update`] names.
    pub id: u64,
    /// When it was created.
    pub created_at: f64,
    /// Its phase.
    pub phase: Phase,
    /// Whether it has a deletion timestamp.
    pub deleting: bool,
    /// Whether it is ready.
    pub ready: bool,
    /// Last transition of the condition Ready; of a pod that never was ready: its creation.
    pub ready_since: f64,
    /// `status.startTime`; none while no node has taken it.
    pub started_at: Option<f64>,
    /// Its containers, in the order of the pod spec.
    pub containers: Vec<ContainerView>,
    /// Generation of the pod template it was made from.
    pub template: u64,
}

/// Phase of a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Not on a node, or no container has started.
    #[default]
    Pending,
    /// On a node, started.
    Running,
}

/// One container of a pod.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerView {
    /// Name in the pod spec.
    pub name: Arc<str>,
    /// Requests in the pod's spec: what was asked for last.
    pub requests: Resources,
    /// Limits in the pod's spec.
    pub limits: Resources,
    /// Newest usage; none while it has not been scraped often enough, or is lost.
    pub usage: Option<UsageSample>,
    /// The last kill for memory.
    pub oom: Option<Oom>,
    /// Whether a resize is pending.
    pub resize: ResizeState,
}

/// Usage of a container, a mean over a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UsageSample {
    /// CPU.
    pub cpu_cores: Cores,
    /// Working set.
    pub memory: Bytes,
    /// End of the window.
    pub at: f64,
    /// Length of the window, in seconds.
    pub window: f64,
}

/// A kill for memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Oom {
    /// When.
    pub at: f64,
    /// Memory request that the container had.
    pub request: Option<Bytes>,
    /// Memory limit that the container had.
    pub limit: Option<Bytes>,
}

/// A queue, read directly: 1 to 2 s old.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QueueView {
    /// Items that nobody has taken.
    pub waiting: f64,
    /// Items that a pod works on.
    pub in_flight: f64,
}

/// What a controller does.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// Replicas, sizes and reason as they are reported; the replicas are what `/scale` gets.
    pub decision: Decision,
    /// What happens to pods.
    pub pods: PodAction,
}

/// What happens to pods beside their count.
#[derive(Clone, Debug, PartialEq)]
pub enum PodAction {
    /// The decision's sizes for running and new pods, its boost for running ones meanwhile.
    InPlace,
    /// Sizes that new pods get (template or admission); running pods stay as they are. Empty: the template's.
    NewPods(Vec<ContainerSize>),
    /// Pod by pod, as an updater does. A disruption budget may refuse an eviction, a node a resize.
    Update {
        /// Sizes that new pods get. Empty: the template's.
        new_pods: Vec<ContainerSize>,
        /// Pods to evict; their replica set makes new ones.
        evict: Vec<u64>,
        /// Pods to resize in place, with their new sizes.
        resize: Vec<(u64, Vec<ContainerSize>)>,
    },
}
