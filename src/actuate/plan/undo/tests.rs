use super::*;
use crate::{
    actuate::{
        Attempts, Evictions,
        plan::{
            plan,
            tests::{MIB, amounts, at, decision, in_use, pod, policy, wanted},
        },
    },
    decide::{ReplicaState, Room},
    observe::kubernetes::OomKill,
};

const LIMIT: Resources = Resources { cpu_cores: Some(Cores(4.0)), memory_bytes: Some(Bytes(1024 * MIB)) };

fn seen(minute: i64, throttled: Option<f64>) -> Snapshot {
    let app = ContainerState { name: "app".into(), throttled_ratio: throttled, ..ContainerState::default() };
    Snapshot {
        v: 0,
        at: at(minute),
        replicas: ReplicaState { template_hash: Some("a".into()), ..ReplicaState::default() },
        start_seconds: Vec::new(),
        usage_age_seconds: None,
        window_seconds: None,
        containers: vec![app],
        room: Room::default(),
        signals: BTreeMap::new(),
    }
}

fn decided(demand: f64) -> Decision {
    let mut decided = decision(amounts(1.0, 256), LIMIT);
    decided.explain.demand_cores = Some(Cores(demand));
    decided
}

/// Pods that were made smaller, from 2 cores and 512 MiB, at minute 10.
fn shrunk(n: usize) -> (Undo, Vec<PodFacts>) {
    let pods: Vec<_> =
        (0..n).map(|i| PodFacts { uid: format!("u{i}").into(), ..pod(amounts(2.0, 512), LIMIT) }).collect();
    let (policy, decided, in_use) = (policy(), decided(5.0), in_use());
    let all: Vec<_> = pods.iter().collect();
    let planned =
        plan(&all, wanted(&policy, &decided, &in_use), &Attempts::default(), &mut Evictions::default(), at(10));
    let mut undo = Undo::default();
    undo.look(&all, (&seen(10, Some(0.02)), &decided), at(10));
    for (resize, pod) in planned.resizes.iter().zip(&pods) {
        undo.shrunk(resize, pod, (&seen(10, Some(0.02)), &decided), at(10));
    }
    (undo, pods)
}

fn look(undo: &mut Undo, pods: &[PodFacts], minute: i64, throttled: f64, demand: f64) -> Vec<String> {
    let all: Vec<_> = pods.iter().collect();
    undo.look(&all, (&seen(minute, Some(throttled)), &decided(demand)), at(minute))
}

fn floor(undo: &Undo, minute: i64) -> Resources {
    undo.floor("app", at(minute)).map(|f| f.least).unwrap_or_default()
}

const NO_FLOOR: Resources = Resources { cpu_cores: None, memory_bytes: None };
const MEMORY: Resources = Resources { cpu_cores: None, memory_bytes: Some(Bytes(512 * MIB)) };
const CPU: Resources = Resources { cpu_cores: Some(Cores(2.0)), memory_bytes: None };
const BOTH: Resources = Resources { cpu_cores: Some(Cores(2.0)), memory_bytes: Some(Bytes(512 * MIB)) };

#[test]
fn a_kill_takes_the_memory_back_and_says_so() {
    let (mut undo, mut pods) = shrunk(10);
    assert_eq!(look(&mut undo, &pods, 11, 0.02, 5.0), Vec::<String>::new());
    pods[0].containers[0].oom = Some(OomKill { at: Some(at(12)), limit: None, restarts: 1 });
    pods[0].containers[0].restarts = 1;
    assert_eq!(
        look(&mut undo, &pods, 12, 0.02, 5.0),
        [
            "memory of `app` was lowered from 512Mi to 256Mi at 00:10 UTC and a pod was killed for want of memory: it stays at \
          512Mi or more until 1970-01-02 00:12 UTC"
        ]
    );
    assert_eq!(floor(&undo, 13), MEMORY);
    assert_eq!(look(&mut undo, &pods, 13, 0.02, 5.0), Vec::<String>::new(), "undone once");
    assert_eq!(floor(&undo, 12 + 24 * 60), NO_FLOOR, "it may be tried again");
}

#[test]
fn an_older_kill_is_not_blamed_on_the_shrink() {
    let (mut undo, mut pods) = shrunk(1);
    pods[0].containers[0].oom = Some(OomKill { at: Some(at(3)), limit: None, restarts: 0 });
    assert!(look(&mut undo, &pods, 11, 0.02, 5.0).is_empty());
}

#[test]
fn restarts_and_pods_that_are_no_longer_ready_count_when_they_are_more_than_chance() {
    for restart in [true, false] {
        let (mut undo, mut pods) = shrunk(10);
        let fail = |pod: &mut PodFacts| {
            if restart {
                pod.containers[0].restarts = 1;
            } else {
                pod.ready_since = None;
            }
        };
        fail(&mut pods[0]);
        assert!(look(&mut undo, &pods, 11, 0.02, 5.0).is_empty(), "one of ten");
        fail(&mut pods[1]);
        assert_eq!(look(&mut undo, &pods, 12, 0.02, 5.0).len(), 2, "two: CPU and memory");
        assert_eq!(floor(&undo, 13), BOTH);
    }
    let (mut undo, mut pods) = shrunk(1);
    pods[0].ready_since = None;
    assert!(look(&mut undo, &pods, 11, 0.02, 5.0)[0].contains("a pod was no longer ready"), "the only one");
}

#[test]
fn throttling_takes_the_cpu_back_unless_demand_rose() {
    let (mut undo, pods) = shrunk(4);
    assert!(look(&mut undo, &pods, 11, 0.30, 5.0).is_empty(), "its window began before");
    assert!(look(&mut undo, &pods, 12, 0.30, 6.0).is_empty(), "that is the load");
    assert!(look(&mut undo, &pods, 12, 0.11, 5.0).is_empty(), "that is noise");
    let news = look(&mut undo, &pods, 13, 0.30, 5.0);
    assert!(
        news[0].contains("CPU of `app` was lowered from 2 to 1") && news[0].contains("30 % of the time instead of 2 %"),
        "{news:?}"
    );
    assert_eq!(floor(&undo, 14), CPU);
}

#[test]
fn what_happens_later_and_what_happens_in_a_rollout_is_not_blamed_on_it() {
    let (mut undo, mut pods) = shrunk(2);
    pods[0].containers[0].restarts = 5;
    pods[1].containers[0].restarts = 5;
    let all: Vec<_> = pods.iter().collect();
    let mut rolling = seen(12, None);
    rolling.replicas.rolling_out = Some(true);
    assert!(undo.look(&all, (&rolling, &decided(5.0)), at(12)).is_empty());
    assert!(look(&mut undo, &pods, 20, 0.02, 5.0).is_empty());
}

#[test]
fn a_floor_outlives_the_process_lasts_longer_each_time_and_ends_with_the_template() {
    let (mut undo, mut pods) = shrunk(1);
    pods[0].containers[0].restarts = 1;
    look(&mut undo, &pods, 11, 0.02, 5.0);
    let mut undo: Undo = serde_json::from_value(serde_json::to_value(&undo).unwrap()).unwrap();
    let day = 24 * 60;
    assert_eq!((floor(&undo, 11 + day - 1), floor(&undo, 11 + day)), (BOTH, NO_FLOOR));
    let (again, _) = shrunk(1);
    undo.watched = again.watched;
    for watched in &mut undo.watched {
        watched.at = at(11 + day);
    }
    look(&mut undo, &pods, 12 + day, 0.02, 5.0);
    assert_eq!((floor(&undo, 11 + 3 * day), floor(&undo, 12 + 3 * day)), (BOTH, NO_FLOOR), "two days");
    look(&mut undo, &pods, 13 + day, 0.02, 5.0);
    assert_eq!(floor(&undo, 14 + day), BOTH);
    let mut other = seen(14 + day, None);
    other.replicas.template_hash = Some("b".into());
    undo.look(&[&pods[0]], (&other, &decided(5.0)), at(14 + day));
    assert_eq!(floor(&undo, 15 + day), NO_FLOOR);
}

#[test]
fn two_steps_down_are_taken_back_together() {
    let (mut undo, mut pods) = shrunk(1);
    let further = decision(amounts(0.5, 256), LIMIT);
    pods[0].containers[0].requests = amounts(1.0, 256);
    let (policy, in_use) = (policy(), in_use());
    let planned =
        plan(&[&pods[0]], wanted(&policy, &further, &in_use), &Attempts::default(), &mut Evictions::default(), at(15));
    undo.shrunk(&planned.resizes[0], &pods[0], (&seen(15, Some(0.02)), &further), at(15));
    pods[0].containers[0].restarts = 1;
    look(&mut undo, &pods, 16, 0.02, 5.0);
    assert_eq!(floor(&undo, 17), BOTH);
}
