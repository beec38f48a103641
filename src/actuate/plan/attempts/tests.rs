use super::*;
use crate::{
    actuate::plan::tests::{NONE, amounts, at, pending, pod},
    decide::ResizeState,
    units::{Bytes, Cores},
};

fn resize(uid: &str, cpu: f64) -> PodResize {
    let size = |cpu| ContainerSize { name: "app".into(), requests: amounts(cpu, 512), limits: NONE };
    PodResize {
        namespace: "shop".into(),
        name: "web-1".into(),
        uid: uid.into(),
        containers: vec![size(cpu)],
        before: vec![size(1.0)],
        sidecars: Vec::new(),
        kind: ResizeKind::Grow,
        restarts: false,
        relieves: false,
        killed: false,
    }
}

fn left(cpu: f64) -> Resources {
    Resources { cpu_cores: Some(Cores(cpu)), memory_bytes: Some(Bytes(0)) }
}

#[test]
fn what_a_quota_refused_is_not_asked_again_unchanged_by_any_pod_until_more_is_left() {
    let mut attempts = Attempts::default();
    assert!(attempts.refused(&resize("a", 2.0), Some(Denial::Quota), "no room", Some(left(0.5)), at(0)));
    assert!(!attempts.refused(&resize("a", 2.0), Some(Denial::Quota), "no room", Some(left(0.5)), at(0)), "no news");
    let stands = |uid: &str, cpu, quota, minute| attempts.stands_refused(&resize(uid, cpu), quota, at(minute));
    assert!(
        stands("a", 2.0, Some(left(0.5)), 1)
            && stands("b", 2.0, Some(left(0.5)), 1)
            && stands("b", 2.0, Some(left(0.4)), 1)
    );
    assert!(!stands("b", 1.5, Some(left(0.5)), 1), "another size is tried at once");
    assert!(!stands("b", 2.0, Some(left(0.6)), 1), "more is left");
    assert!(!stands("b", 2.0, None, 1), "the quota is gone");
    assert!(!stands("b", 2.0, Some(left(0.5)), 5), "after a while");
}

#[test]
fn what_is_about_one_pod_holds_back_that_pod_alone() {
    for denial in [Some(Denial::Qos), Some(Denial::Unsupported), None] {
        let mut attempts = Attempts::default();
        attempts.refused(&resize("a", 2.0), denial, "no", None, at(0));
        assert!(attempts.stands_refused(&resize("a", 2.0), None, at(1)));
        assert!(!attempts.stands_refused(&resize("b", 2.0), None, at(1)), "{denial:?}");
        assert!(!attempts.refused_everywhere());
    }
    for denial in [Denial::LimitRange, Denial::NodeCapacity] {
        let mut attempts = Attempts::default();
        attempts.refused(&resize("a", 2.0), Some(denial), "no", None, at(0));
        assert!(attempts.stands_refused(&resize("b", 2.0), None, at(1)) && attempts.refused_everywhere());
    }
}

#[test]
fn how_long_room_is_waited_for_is_learned() {
    let mut attempts = Attempts::default();
    assert_eq!(attempts.waits().patience(), FIRST_WAIT);
    for (n, minutes) in [1, 1, 2].into_iter().enumerate() {
        let start = 100 * i64::try_from(n).unwrap();
        let waiting = pending(2.0, 1.0, ResizeState::Deferred, at(start));
        attempts.observe(std::iter::once(&waiting), at(start));
        attempts.observe(std::iter::once(&waiting), at(start + minutes));
        assert_eq!(attempts.deferred_since(&waiting), Some(at(start)));
        attempts.observe(std::iter::once(&pending(2.0, 2.0, ResizeState::None, at(0))), at(start + minutes));
    }
    assert_eq!(attempts.waits().patience(), SignedDuration::from_mins(3), "one and a half times the longest of three");
    let again = Attempts::with_waits(attempts.waits().clone());
    assert_eq!(again.waits().patience(), SignedDuration::from_mins(3), "after a restart");
}

#[test]
fn a_wait_that_did_not_end_by_itself_teaches_nothing() {
    let mut attempts = Attempts::default();
    for n in 0..5 {
        let waiting = pending(2.0, 1.0, ResizeState::Deferred, at(n));
        attempts.observe(std::iter::once(&waiting), at(n));
        // Asked for another size, gone, or found infeasible.
        let other = PodFacts { generation: 9, resize: ResizeState::None, ..waiting.clone() };
        let refused = PodFacts { resize: ResizeState::Infeasible, ..waiting };
        match n % 3 {
            0 => attempts.observe(std::iter::once(&other), at(n)),
            1 => attempts.observe(std::iter::empty(), at(n)),
            _ => attempts.observe(std::iter::once(&refused), at(n)),
        }
    }
    assert_eq!(*attempts.waits(), Waits::default());
}

#[test]
fn patience_stays_within_its_bounds() {
    for (seconds, expected) in [(1.0, LEAST_WAIT), (1e9, LONGEST_WAIT)] {
        let waits = Waits([seconds; 3].into_iter().collect());
        assert_eq!(waits.patience(), expected);
    }
}

#[test]
fn pods_that_are_gone_are_forgotten() {
    let mut attempts = Attempts::default();
    attempts.taken(&resize("u", 2.0), at(0));
    attempts.observe(std::iter::once(&pod(amounts(1.0, 512), NONE)), at(1));
    assert_eq!(attempts.pods.len(), 1);
    attempts.observe(std::iter::empty(), at(2));
    assert!(attempts.pods.is_empty());
}
