//! Small worlds for the rivals' tests.

use crate::{
    decide::{ContainerState, ReplicaState, ResizeState, Resources, Room, Snapshot},
    policy::ReplicaRange,
    simulate::{ContainerView, Phase, PodView, UsageSample},
    units::{Bytes, Cores, Replicas},
};

/// Requests of a pod of these tests.
fn one_core() -> Resources {
    Resources { cpu_cores: Some(Cores(1.0)), memory_bytes: Some(Bytes(Bytes::GIB)) }
}

/// A range of counts.
pub(super) fn range(min: u32, max: u32) -> ReplicaRange {
    ReplicaRange { min: Replicas(min), max: Replicas(max) }
}

/// A workload with so many replicas wanted and ready.
pub(super) fn snapshot(spec: u32, ready: u32) -> Snapshot {
    let container = ContainerState { name: "app".to_owned(), request: one_core(), ..ContainerState::default() };
    Snapshot {
        v: 0,
        at: jiff::Timestamp::UNIX_EPOCH,
        replicas: ReplicaState { spec: Replicas(spec), ready: Replicas(ready), ..ReplicaState::default() },
        start_seconds: vec![],
        usage_age_seconds: None,
        window_seconds: None,
        containers: vec![container],
        room: Room::default(),
        signals: std::collections::BTreeMap::new(),
    }
}

/// A pod of one core and 1 GiB that became ready at a time and used so much in the 30 s that ended 15 s before `now`.
pub(super) fn pod(id: u64, ready_since: f64, cores: Option<f64>, now: f64) -> PodView {
    let usage = cores.map(|cores| UsageSample {
        cpu_cores: Cores(cores),
        memory: Bytes(512 * Bytes::MIB),
        at: now - 15.0,
        window: 30.0,
    });
    let container = ContainerView {
        name: "app".into(),
        requests: one_core(),
        limits: Resources::default(),
        usage,
        oom: None,
        resize: ResizeState::None,
    };
    PodView {
        id,
        created_at: ready_since - 30.0,
        phase: Phase::Running,
        deleting: false,
        ready: true,
        ready_since,
        started_at: Some(ready_since - 30.0),
        containers: vec![container],
        template: 1,
    }
}
