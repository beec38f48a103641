//! The controller on hand-made views: what it evicts, resizes, and gives to new pods.

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::{
    decide::{ContainerState, ReplicaState, Snapshot},
    simulate::{Oom, UsageSample},
    units::Replicas,
};

const REQUEST: f64 = 1.0;
const MEMORY: Bytes = Bytes(Bytes::GIB);

fn resources(cores: f64, memory: Bytes) -> Resources {
    Resources { cpu_cores: Some(Cores(cores)), memory_bytes: Some(memory) }
}

fn pod(id: u64, cores: f64, now: f64) -> PodView {
    let usage = UsageSample { cpu_cores: Cores(0.4), memory: Bytes(600 * Bytes::MIB), at: now - 15.0, window: 30.0 };
    PodView {
        id,
        created_at: -1e5,
        phase: Phase::Running,
        deleting: false,
        ready: true,
        ready_since: -1e5,
        started_at: Some(-1e5),
        containers: vec![ContainerView {
            name: "app".into(),
            requests: resources(cores, MEMORY),
            limits: resources(2.0 * cores, MEMORY),
            usage: Some(usage),
            oom: None,
            resize: ResizeState::None,
        }],
        template: 1,
    }
}

/// Sizes of new pods, pods to evict, pods to resize and to what.
type Answer = (Vec<ContainerSize>, Vec<u64>, Vec<(u64, Vec<ContainerSize>)>);

/// Looks at pods and lets the controller act.
fn tick(vpa: &mut Vpa, now: f64, pods: &[PodView]) -> Answer {
    let container = ContainerState {
        name: "app".to_owned(),
        request: resources(REQUEST, MEMORY),
        limit: resources(2.0 * REQUEST, MEMORY),
        ..ContainerState::default()
    };
    let spec = Replicas(u32::try_from(pods.len()).expect("a few"));
    let snapshot = Snapshot {
        v: 0,
        at: Timestamp::constant(1_767_571_200, 0) + SignedDuration::from_secs_f64(now),
        replicas: ReplicaState { spec, ..ReplicaState::default() },
        start_seconds: Vec::new(),
        usage_age_seconds: None,
        window_seconds: None,
        containers: vec![container],
        room: crate::decide::Room::default(),
        signals: BTreeMap::new(),
    };
    match vpa.tick(&View { snapshot: &snapshot, now, pods, queue: None }).pods {
        PodAction::Update { new_pods, evict, resize } => (new_pods, evict, resize),
        other => panic!("a VPA updates pods, it does not {other:?}"),
    }
}

fn seeded(mode: UpdateMode) -> Vpa {
    let seed = Seed { days: 8, cpu_milli: 400, memory_bytes: 600 << 20 };
    Vpa::new("vpa", Settings { mode, ..Settings::default() }).seeded(seed)
}

#[test]
fn half_of_the_pods_go_at_a_time_and_new_ones_have_the_new_size() {
    let mut vpa = seeded(UpdateMode::Recreate);
    let pods: Vec<PodView> = (1..=8).map(|id| pod(id, REQUEST, 0.0)).collect();
    let (new_pods, evict, _) = tick(&mut vpa, 0.0, &pods);
    assert_eq!(evict, Vec::<u64>::new(), "the updater looks half a minute later");
    let cpu = new_pods[0].requests.cpu_cores.expect("it is set").get();
    // 0.4 core, up to the end of its bucket, and 15 %.
    assert_eq!(cpu, 0.476);
    assert_eq!(new_pods[0].limits.cpu_cores, Some(Cores(0.952)), "the limit keeps its ratio");
    assert_eq!(tick(&mut vpa, 30.0, &pods).1, [1, 2, 3, 4]);
}

#[test]
fn pods_are_resized_in_place_before_they_are_evicted() {
    let mut vpa = seeded(UpdateMode::InPlaceOrRecreate);
    let mut pods: Vec<PodView> = (1..=4).map(|id| pod(id, REQUEST, 0.0)).collect();
    tick(&mut vpa, 0.0, &pods);
    let (_, evict, resize) = tick(&mut vpa, 30.0, &pods);
    assert_eq!((evict.len(), resize.iter().map(|(id, _)| *id).collect::<Vec<_>>()), (0, vec![1, 2]));
    // What waits on its node is left alone for five minutes, what cannot be is evicted at once.
    pods[0].containers[0].resize = ResizeState::Deferred;
    pods[1].containers[0].resize = ResizeState::Infeasible;
    let (_, evict, _) = tick(&mut vpa, 90.0, &pods);
    assert_eq!(evict, [2]);
    let (_, evict, _) = tick(&mut vpa, 90.0 + 301.0, &pods);
    assert_eq!(evict, [1, 2]);
}

#[test]
fn a_lone_pod_is_left_alone() {
    let mut vpa = seeded(UpdateMode::Recreate);
    let pods = [pod(1, REQUEST, 0.0)];
    tick(&mut vpa, 0.0, &pods);
    assert_eq!(tick(&mut vpa, 30.0, &pods).1, Vec::<u64>::new());
}

#[test]
fn a_fresh_one_shrinks_nothing_that_is_within_its_wide_bounds() {
    let mut vpa = Vpa::new("vpa", Settings::default());
    for minute in 0..30 {
        let now = 60.0 * f64::from(minute);
        let young = |id| PodView { started_at: Some(0.0), ..pod(id, REQUEST, now) };
        let pods: Vec<PodView> = (1..=4).map(young).collect();
        assert_eq!(tick(&mut vpa, now, &pods).1, Vec::<u64>::new());
        assert_eq!(tick(&mut vpa, now + 30.0, &pods).1, Vec::<u64>::new());
    }
}

#[test]
fn a_kill_raises_the_memory_of_the_next_pods() {
    let mut vpa = seeded(UpdateMode::Recreate);
    let mut pods: Vec<PodView> = (1..=2).map(|id| pod(id, REQUEST, 0.0)).collect();
    let memory = |sizes: &[ContainerSize]| sizes[0].requests.memory_bytes.expect("it is set");
    let before = memory(&tick(&mut vpa, 0.0, &pods).0);
    for pod in &mut pods {
        pod.containers[0].oom = Some(Oom { at: 50.0, request: Some(Bytes(2 * Bytes::GIB)), limit: None });
    }
    tick(&mut vpa, 60.0, &pods);
    let after = memory(&tick(&mut vpa, 120.0, &pods).0);
    assert!(before.0 < Bytes::GIB && after.0 > 2 * Bytes::GIB, "{before} {after}");
}
