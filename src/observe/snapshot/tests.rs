use jiff::SignedDuration;
use kube::core::{ApiResource, GroupVersionKind};

use super::*;
use crate::observe::{
    kubernetes::{ObjectFacts, OomKill, ScaleFacts},
    members::parse_selector,
    rollout::{RolloutFacts, judge},
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
}

fn amounts(cpu: f64) -> Resources {
    Resources { cpu_cores: Some(Cores(cpu)), memory_bytes: Some(Bytes(1 << 28)) }
}

fn target() -> TargetFacts {
    TargetFacts {
        resource: ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", "Deployment")),
        scale: ScaleFacts {
            uid: "target".into(),
            resource_version: "1".into(),
            replicas: Replicas(3),
            selector: parse_selector("app=web").unwrap(),
        },
        object: Arc::new(ObjectFacts {
            template: vec![TemplateContainer {
                name: "app".into(),
                requests: amounts(1.0),
                limits: Resources::default(),
            }],
            last_writer: Some("kubectl".into()),
            ..ObjectFacts::default()
        }),
        rollout: RolloutFacts::default(),
        remarks: Vec::new(),
        owned_by_chain: true,
    }
}

fn pod(uid: &str, ready: Option<i64>, cpu: f64, hash: &str) -> PodFacts {
    PodFacts {
        uid: uid.into(),
        created: Some(at(0)),
        ready_since: ready.map(at),
        labels: Arc::new([("pod-template-hash".to_owned(), hash.to_owned())].into()),
        containers: vec![ContainerFacts { name: "app".into(), requests: amounts(cpu), ..ContainerFacts::default() }],
        ..PodFacts::default()
    }
}

fn look(pods: &[PodFacts], seen: &mut Seen, now: i64) -> Snapshot {
    let pods: Vec<_> = pods.iter().cloned().map(Arc::new).collect();
    let usage = UsageTable::default();
    let (target, room, signals) = (target(), Room::default(), BTreeMap::new());
    let rollout = judge(&target.rollout, &pods, Some("b"), at(now));
    let parts = Parts {
        target: &target,
        pods: &pods,
        template_hash: Some("b"),
        rollout: &rollout,
        room: &room,
        usage: &usage,
        usage_lag: Seconds::ZERO,
        signals: &signals,
    };
    assemble(parts, seen, at(now))
}

#[test]
fn pods_are_counted_by_state() {
    let pods = [
        pod("a", Some(30), 1.0, "b"),
        pod("b", Some(50), 1.0, "b"),
        pod("c", None, 1.0, "b"),
        PodFacts { unschedulable: true, ..pod("d", None, 1.0, "b") },
        PodFacts { deleting: true, ..pod("e", Some(10), 1.0, "b") },
        PodFacts { finished: true, ..pod("f", None, 1.0, "b") },
    ];
    let state = look(&pods, &mut Seen::default(), 60).replicas;
    assert_eq!((state.spec.0, state.ready.0, state.pending.0), (3, 2, 2));
    assert_eq!((state.unschedulable.0, state.terminating.0), (1, 1));
    assert_eq!(state.youngest_ready_age_seconds, Some(Seconds(10.0)));
    assert_eq!(state.rolling_out, Some(false));
    assert_eq!(state.last_writer.as_deref(), Some("kubectl"));
}

#[test]
fn two_templates_are_a_rollout() {
    let both = [pod("a", Some(1), 1.0, "a"), pod("b", Some(1), 1.0, "b")];
    assert_eq!(look(&both, &mut Seen::default(), 9).replicas.rolling_out, Some(true));
    assert_eq!(
        look(&both[..1], &mut Seen::default(), 9).replicas.rolling_out,
        Some(true),
        "the new one has no pod yet"
    );
    assert_eq!(look(&both[1..], &mut Seen::default(), 9).replicas.rolling_out, Some(false));
}

#[test]
fn start_times_are_told_once_and_never_of_old_pods() {
    let mut seen = Seen::default();
    assert!(
        look(&[pod("a", Some(30), 1.0, "b")], &mut seen, 40).start_seconds.is_empty(),
        "was ready before we looked"
    );
    let pods = [pod("a", Some(30), 1.0, "b"), pod("b", Some(45), 1.0, "b")];
    assert_eq!(look(&pods, &mut seen, 50).start_seconds, [Seconds(45.0)]);
    assert!(look(&pods, &mut seen, 60).start_seconds.is_empty());
}

#[test]
fn kills_are_counted_once() {
    let mut seen = Seen::default();
    let mut killed = pod("a", Some(30), 1.0, "b");
    killed.containers[0].oom = Some(OomKill { at: Some(at(20)), limit: None, restarts: 1 });
    killed.containers[0].limits = amounts(2.0);
    let first = look(std::slice::from_ref(&killed), &mut seen, 40);
    assert_eq!(first.containers[0].oom_kills_delta, None, "old history is not news");
    assert_eq!(first.containers[0].last_oom_limit_bytes, Some(Bytes(1 << 28)));
    assert_eq!(look(std::slice::from_ref(&killed), &mut seen, 50).containers[0].oom_kills_delta, Some(0));
    killed.containers[0].oom = Some(OomKill { at: Some(at(55)), limit: None, restarts: 2 });
    assert_eq!(look(std::slice::from_ref(&killed), &mut seen, 60).containers[0].oom_kills_delta, Some(1));
    let newcomer = PodFacts { uid: "n".into(), ..killed.clone() };
    assert_eq!(look(&[killed, newcomer], &mut seen, 70).containers[0].oom_kills_delta, Some(1));
}

#[test]
fn sizes_are_grouped_as_allocated_with_their_resize() {
    let mut waiting = pod("c", Some(1), 2.0, "b");
    waiting.resize = ResizeState::Deferred;
    waiting.containers[0].allocated = Some(amounts(1.0));
    let pods = [pod("a", Some(1), 1.0, "b"), pod("b", None, 1.0, "b"), waiting];
    let sizes = look(&pods, &mut Seen::default(), 9).containers[0].sizes.clone();
    assert_eq!(sizes.len(), 2);
    assert_eq!((sizes[0].pods.0, sizes[0].ready.0, sizes[0].resize), (2, 1, ResizeState::None));
    assert_eq!((sizes[1].pods.0, sizes[1].cpu_cores, sizes[1].resize), (1, Some(Cores(1.0)), ResizeState::Deferred));
}

#[test]
fn injected_containers_are_known_and_absent_usage_stays_absent() {
    let mut injected = pod("a", Some(1), 1.0, "b");
    injected.containers.push(ContainerFacts {
        name: "proxy".into(),
        requests: amounts(0.1),
        ..ContainerFacts::default()
    });
    let snapshot = look(&[injected], &mut Seen::default(), 9);
    let names: Vec<_> = snapshot.containers.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["app", "proxy"]);
    assert_eq!(snapshot.containers[0].cpu_cores, None);
    assert_eq!(snapshot.usage_age_seconds, None);
}
