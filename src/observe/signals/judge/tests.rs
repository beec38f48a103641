use proptest::prelude::*;

use super::*;
use crate::observe::signals::probe::ScrapeTarget;
use SignalState::{Absent, Fresh, Idle, Invalid, Late, Partial, Stale};

fn healthy(age: f64) -> SelectorHealth {
    SelectorHealth {
        text: "x".to_owned(),
        age: Some(Seconds(age)),
        series: 3,
        peak: 3,
        scrape_known: true,
        ..SelectorHealth::default()
    }
}

fn number(value: f64, selectors: Vec<SelectorHealth>) -> Evidence {
    Evidence { selectors, ..Evidence::of(Measured::Number(value)) }
}

fn read(role: Role, on_absent: OnAbsent, evidence: Evidence, situation: &Situation<'_>) -> Reading {
    judge(role, on_absent, PROMETHEUS_LIMITS, &Ok(evidence), situation)
}

fn demand(evidence: Evidence) -> Reading {
    read(Role::Demand, OnAbsent::Hold, evidence, &Situation::default())
}

fn dead(instance: &str, pod: Option<&str>) -> BTreeSet<ScrapeTarget> {
    BTreeSet::from([ScrapeTarget { job: "web".into(), instance: instance.into(), pod: pod.map(str::to_owned) }])
}

fn names(pods: &[&str]) -> BTreeSet<String> {
    pods.iter().map(|&p| p.to_owned()).collect()
}

#[test]
fn age_decides_between_fresh_late_and_stale_and_the_oldest_selector_counts() {
    for (ages, expected, age) in [
        (vec![12.0], Fresh, 12.0),
        (vec![30.0], Fresh, 30.0),
        (vec![12.0, 31.0], Late, 31.0),
        (vec![61.0], Late, 61.0),
        (vec![180.0, 1.0], Stale, 180.0),
    ] {
        let reading = demand(number(412.0, ages.iter().copied().map(healthy).collect()));
        assert_eq!((reading.state, reading.age_seconds), (Some(expected), Some(Seconds(age))), "{ages:?}");
        assert_eq!(reading.value, Some(412.0));
    }
}

#[test]
fn a_look_into_the_past_counts_only_when_nothing_younger_is_looked_at() {
    let past = |offset: f64| SelectorHealth { offset, ..healthy(5.0) };
    assert_eq!(demand(number(1.0, vec![past(3600.0), past(0.0)])).state, Some(Fresh));
    assert_eq!(demand(number(1.0, vec![past(3600.0)])).state, Some(Stale));
    assert_eq!(demand(number(1.0, vec![past(f64::INFINITY)])).state, Some(Invalid));
    assert_eq!(demand(number(1.0, Vec::new())).state, Some(Fresh), "a constant is always young");
}

#[test]
fn numbers_that_are_none_are_invalid_and_carry_no_value() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.5] {
        let reading = demand(number(value, vec![healthy(1.0)]));
        assert_eq!((reading.state, reading.value), (Some(Invalid), None), "{value}");
    }
}

#[test]
fn latency_without_value_is_idle_only_when_nothing_is_asked_or_nobody_is_ready() {
    let (none, some) = (names(&[]), names(&["web-1"]));
    for (role, demand, ready, expected) in [
        (Role::Latency, Some(0.0), Some(&some), Idle),
        (Role::Latency, Some(0.01), None, Idle),
        (Role::Saturation, Some(0.0), None, Idle),
        (Role::Latency, None, Some(&none), Idle),
        (Role::Latency, Some(5.0), Some(&some), Invalid),
        (Role::Latency, None, None, Invalid),
        (Role::Backlog, Some(0.0), None, Invalid),
        (Role::Demand, Some(0.0), Some(&none), Invalid),
    ] {
        let situation = Situation { ready, demand };
        let nan = number(f64::NAN, vec![healthy(1.0)]);
        assert_eq!(read(role, OnAbsent::Hold, nan, &situation).state, Some(expected), "{role:?} {demand:?} {ready:?}");
        let empty = Evidence::of(Measured::Nothing);
        let expected = if expected == Invalid { Absent } else { expected };
        assert_eq!(read(role, OnAbsent::Hold, empty, &situation).state, Some(expected), "{role:?} {demand:?}");
    }
}

#[test]
fn empty_is_absent_unless_declared_zero_and_an_error_never_is_zero() {
    let empty = || Evidence::of(Measured::Nothing);
    let situation = Situation::default();
    assert_eq!(demand(empty()).state, Some(Absent));
    let zero = read(Role::Backlog, OnAbsent::Zero, empty(), &situation);
    assert_eq!((zero.state, zero.value), (Some(Fresh), Some(0.0)));
    // The exporter is known to be dead: that is an error, not an absence.
    let selectors = vec![SelectorHealth { dead: dead("a:1", None), ..SelectorHealth::default() }];
    let reading = read(Role::Backlog, OnAbsent::Zero, Evidence { selectors, ..empty() }, &situation);
    assert_eq!((reading.state, reading.value), (Some(Absent), None));
    let warned = Evidence { warnings: vec!["store-2 is away".into()], ..empty() };
    assert_eq!(read(Role::Backlog, OnAbsent::Zero, warned, &situation).value, None);
    for error in [
        ObserveError::NoPrometheus,
        ObserveError::PrometheusUnreachable { url: "http://p".into(), why: "refused".into() },
        ObserveError::NatsUnreachable { url: "http://n".into(), why: "refused".into() },
    ] {
        let reading = judge(Role::Backlog, OnAbsent::Zero, DIRECT_LIMITS, &Err(error.clone()), &situation);
        assert_eq!((reading.state, reading.value, reading.note), (Some(Absent), None, Some(error.to_string())));
    }
    let gone = ObserveError::ConsumerNotFound { stream: "S".into(), consumer: "c".into() };
    let reading = judge(Role::Backlog, OnAbsent::Zero, DIRECT_LIMITS, &Err(gone.clone()), &situation);
    assert_eq!(reading.value, Some(0.0), "the server itself said that there is nothing");
    assert_eq!(judge(Role::Backlog, OnAbsent::Hold, DIRECT_LIMITS, &Err(gone), &situation).state, Some(Absent));
    let wrong = ObserveError::QuerySyntax { message: "unexpected end".into() };
    assert_eq!(judge(Role::Demand, OnAbsent::Zero, PROMETHEUS_LIMITS, &Err(wrong), &situation).state, Some(Invalid));
}

#[test]
fn a_fallback_in_the_query_does_not_hide_that_the_series_are_gone() {
    // sum(rate(x[1m])) or vector(0), with x gone: the 0 is not believed.
    let never = SelectorHealth { text: "x".into(), ..SelectorHealth::default() };
    let reading = demand(number(0.0, vec![never.clone()]));
    assert_eq!((reading.state, reading.value), (Some(Absent), None));
    let lately = SelectorHealth { age: Some(Seconds(40.0)), peak: 1, ..never.clone() };
    let reading = demand(number(33.0, vec![lately]));
    assert_eq!((reading.state, reading.value, reading.age_seconds), (Some(Stale), Some(33.0), Some(Seconds(40.0))));
    // Declared: nothing there means zero.
    let reading = read(Role::Demand, OnAbsent::Zero, number(0.0, vec![never.clone()]), &Situation::default());
    assert_eq!((reading.state, reading.value), (Some(Fresh), Some(0.0)));
    // One of two selectors without series: good for growth.
    assert_eq!(demand(number(9.0, vec![healthy(1.0), never])).state, Some(Partial));
}

#[test]
fn warnings_and_unknown_completeness_are_never_complete() {
    let fresh = || number(1.0, vec![healthy(1.0)]);
    let warned = Evidence { warnings: vec!["store-2 is away".into()], ..fresh() };
    assert_eq!(demand(warned).state, Some(Partial));
    let unknown = Evidence { unknown: Some("timeout".into()), ..number(1.0, Vec::new()) };
    let reading = demand(unknown);
    assert_eq!((reading.state, reading.age_seconds), (Some(Partial), None));
}

#[test]
fn series_that_are_missing_are_told_from_series_that_left() {
    let ready = names(&["web-1", "web-2"]);
    let own = |lost: &[&str]| SelectorHealth {
        scrape_known: false,
        series: 2,
        peak: 4,
        pods: names(&["web-1", "web-2"]),
        lost_pods: names(lost),
        ..healthy(1.0)
    };
    let fewer = SelectorHealth { series: 2, ..healthy(1.0) };
    for (what, selector, expected) in [
        ("scaled in: the target's pods are gone", own(&["web-3", "web-4"]), Fresh),
        ("a ready pod without samples", SelectorHealth { pods: names(&["web-1"]), ..own(&["web-2"]) }, Partial),
        ("fewer, every target answering its scrape", fewer.clone(), Fresh),
        ("fewer, nobody knows why", SelectorHealth { scrape_known: false, ..fewer.clone() }, Partial),
        ("a dead exporter", SelectorHealth { dead: dead("a:1", None), ..fewer.clone() }, Partial),
        ("a dead exporter of a ready pod", SelectorHealth { dead: dead("a:1", Some("web-2")), ..own(&[]) }, Partial),
        ("a pod on its way out", SelectorHealth { dead: dead("a:1", Some("web-3")), ..own(&["web-3"]) }, Fresh),
        ("series that ended without a mark", SelectorHealth { sparse: 1, ..healthy(1.0) }, Partial),
        ("more than before", SelectorHealth { series: 5, scrape_known: false, ..fewer }, Fresh),
    ] {
        let situation = Situation { ready: Some(&ready), demand: None };
        let reading = read(Role::Demand, OnAbsent::Hold, number(67.0, vec![selector]), &situation);
        assert_eq!((reading.state, reading.value), (Some(expected), Some(67.0)), "{what}: {:?}", reading.note);
    }
}

#[test]
fn a_histogram_at_rest_is_idle_unless_requests_arrive() {
    let rest = || Evidence { selectors: vec![healthy(1.0)], ..Evidence::of(Measured::NoTraffic) };
    let read = |demand| read(Role::Latency, OnAbsent::Hold, rest(), &Situation { ready: None, demand });
    assert_eq!(read(None).state, Some(Idle));
    assert_eq!(read(Some(0.0)).state, Some(Idle));
    assert_eq!(read(Some(20.0)).state, Some(Absent), "everything hangs");
}

#[test]
fn direct_sources_are_judged_by_seconds() {
    for (age, expected) in [(1.0, Fresh), (5.0, Fresh), (6.0, Late), (16.0, Stale)] {
        let evidence = Evidence { age: Some(Seconds(age)), ..number(7.0, Vec::new()) };
        let reading = judge(Role::Backlog, OnAbsent::Hold, DIRECT_LIMITS, &Ok(evidence), &Situation::default());
        assert_eq!((reading.state, reading.age_seconds), (Some(expected), Some(Seconds(age))));
    }
}

prop_compose! {
    fn any_selector()(
        age in prop::option::of(prop::num::f64::ANY), offset in prop::num::f64::POSITIVE | prop::num::f64::ZERO,
        series in 0_u64..4, peak in 0_u64..4, sparse in 0_u64..2, scrape_known: bool, dies: bool,
    ) -> SelectorHealth {
        let age = age.filter(|a| a.is_finite()).map(|a| Seconds(a.max(0.0)));
        let dead = if dies { dead("a:1", None) } else { BTreeSet::new() };
        SelectorHealth { text: "x".into(), age, offset, series, peak, sparse, scrape_known, dead, ..SelectorHealth::default() }
    }
}

proptest! {
    #[test]
    fn whatever_is_measured_only_sound_numbers_leave(
        value in prop::num::f64::ANY, selectors in prop::collection::vec(any_selector(), 0..3),
        zero: bool, role in 0_usize..4, warned: bool, demand in prop::option::of(0.0_f64..10.0),
    ) {
        let role = [Role::Demand, Role::Backlog, Role::Latency, Role::Saturation][role];
        let on_absent = if zero { OnAbsent::Zero } else { OnAbsent::Hold };
        let warnings = if warned { vec!["w".to_owned()] } else { Vec::new() };
        let dead = selectors.iter().any(|s| !s.dead.is_empty());
        let evidence = Evidence { warnings, ..number(value, selectors) };
        let reading = read(role, on_absent, evidence, &Situation { ready: None, demand });
        prop_assert!(reading.state.is_some());
        prop_assert!(reading.value.is_none_or(|v| v.is_finite() && v >= 0.0));
        prop_assert!(reading.age_seconds.is_none_or(|a| a.get().is_finite() && a.get() >= 0.0));
        if matches!(reading.state, Some(Fresh | Late)) {
            prop_assert!(!warned && !dead, "never complete with a warning or a dead exporter");
            prop_assert!(reading.value.is_some());
        }
    }
}
