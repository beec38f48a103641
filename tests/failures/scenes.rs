//! Situations of a cluster, as files in `simulations/scenarios`: what must hold in each.

use std::path::Path;

use arbiter::{
    decide::Reason,
    simulate::{Scenario, ScenarioFile, Tick},
};

use crate::support::{Pair, Played, play};

/// Saturated and still holding, in lead times: at most this.
const LONGEST_HOLD: f64 = 2.0;

/// A scenario of the tree.
fn scene(name: &str) -> Scenario {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("simulations/scenarios/{name}.yaml"));
    let text = std::fs::read_to_string(path).expect("the scenario is in the tree");
    let file = ScenarioFile::parse(name, &text).expect("a scenario");
    file.scenario(None, None).expect("a scenario without files")
}

/// Hours since the start of a run.
fn hour(played: &Played, tick: &Tick) -> f64 {
    tick.at.duration_since(played.ticks[0].at).as_secs_f64() / 3600.0
}

/// Longest time, in lead times, that pods were short and nothing grew.
fn hold(played: &Played) -> f64 {
    played.score.longest_saturated_hold_leads.expect("requests came")
}

/// Share of requests over the objective: the controller's, the HPA's.
fn late(pair: &Pair) -> (f64, f64) {
    (pair.arbiter.violations(), pair.hpa.violations())
}

fn line(pair: &Pair) -> String {
    format!("{} hold {:.1} / {:.1} leads", pair.line().trim_end(), hold(&pair.arbiter), hold(&pair.hpa))
}

/// A scene under both, where no shortage is held for long.
fn pair(name: &str) -> Pair {
    let pair = Pair::of(&scene(name));
    assert!(hold(&pair.arbiter) <= LONGEST_HOLD, "{}", line(&pair));
    pair
}

#[test]
fn what_neighbours_took_is_made_up_for() {
    let pair = pair("neighbours");
    assert!(pair.ratio() <= 1.03 && late(&pair).0 <= late(&pair).1, "{}", line(&pair));
}

/// What is trimmed is refused back. Once that is known the count follows the load, as it does where nothing is resized.
#[test]
fn where_raises_are_refused_replicas_take_over() {
    let pair = pair("refused-resizes");
    assert!(pair.ratio() <= 1.08 && late(&pair).0 <= late(&pair).1, "{}", line(&pair));
    let learned = |t: &&Tick| hour(&pair.arbiter, t) >= 12.0;
    let counts = pair.arbiter.ticks.iter().filter(learned).map(|t| t.truth.replicas.0);
    let (least, most) = counts.fold((u32::MAX, 0), |(least, most), n| (least.min(n), most.max(n)));
    assert!(most >= 2 * least, "{least} to {most} replicas");
}

/// With room a pod is ready after about 30 s, without it waits two minutes for a node before.
#[test]
fn both_lead_times_are_learned() {
    // How long a shortage lasts is up to the nodes here: for minutes nothing that is asked for comes.
    let pair = Pair::of(&scene("full-cluster"));
    assert!(pair.ratio() <= 1.03 && late(&pair).0 <= late(&pair).1, "{}", line(&pair));
    let leads = |full: bool| {
        let ticks = pair.arbiter.ticks.iter().filter(move |t| (t.snapshot.replicas.unschedulable.0 > 0) == full);
        ticks.filter_map(|t| t.decision.explain.lead_seconds).map(|s| s.0)
    };
    let (with_room, full) = (leads(false).fold(f64::MAX, f64::min), leads(true).fold(f64::MAX, f64::min));
    assert!(with_room < 90.0 && full > 150.0, "{with_room} s with room, {full} s without");
}

/// More pods do not help against what is behind them: that is seen within minutes and told, and growing ends.
#[test]
fn behind_a_bottleneck_growing_stops() {
    // Late requests that no pod can help are no shortage of pods: how long they are held says nothing.
    let pair = Pair::of(&scene("downstream-bottleneck"));
    assert!(pair.ratio() <= 1.05, "{}", line(&pair));
    let ticks = &pair.arbiter.ticks;
    let told = ticks.iter().find(|t| t.decision.reason == Reason::DownstreamBound).expect("it is told");
    let at = hour(&pair.arbiter, told);
    assert!((1.0..1.25).contains(&at), "told at {at} h");
    let most = ticks.iter().filter(|t| t.at >= told.at).map(|t| t.decision.replicas).max().expect("there are ticks");
    assert!(most.0 <= told.decision.replicas.0 + 1, "{:?}, then {most:?}", told.decision.replicas);
    let believed = ticks.iter().filter_map(|t| t.decision.explain.capacity_adjustment);
    assert!(believed.fold(f64::MAX, f64::min) > 0.9, "a slow database is no lack of capacity");
}

#[test]
fn a_sidecar_that_idles_hides_nothing() {
    let pair = pair("sidecar-idles");
    assert!(pair.ratio() <= 0.6 && late(&pair).0 <= 0.02, "{}", line(&pair));
}

#[test]
fn a_sidecar_that_dominates_is_what_pods_are_measured_by() {
    let pair = pair("sidecar-dominates");
    assert!(pair.ratio() <= 0.5 && late(&pair).0 <= 0.02, "{}", line(&pair));
}

/// Bursts inside a period of the quota are throttled at 70 % on average, and make requests late.
#[test]
fn throttling_that_makes_requests_late_is_answered() {
    let pair = pair("limits-throttle");
    assert!(late(&pair).0 <= 0.25 * late(&pair).1, "{}", line(&pair));
}

#[test]
fn pods_of_several_sizes_in_a_rollout_are_enough() {
    let pair = pair("mixed-sizes-rollout");
    assert!(late(&pair).0 <= 0.75 * late(&pair).1, "{}", line(&pair));
}

#[test]
fn a_ramp_with_slow_starts_is_met() {
    let pair = pair("daily-ramp-slow-start");
    assert!(pair.ratio() <= 0.85 && late(&pair).0 <= late(&pair).1, "{}", line(&pair));
}

/// Work of two hours: before and after there is no pod, and none comes and goes for work that is over.
#[test]
fn a_queue_without_work_sleeps_until_work_comes() {
    let played = play(&scene("idle-to-zero"), "arbiter");
    for tick in &played.ticks {
        let (at, n) = (hour(&played, tick), tick.decision.replicas.0);
        let idle = (0.1..1.99).contains(&at) || at > 4.25;
        assert!(!idle || n == 0, "{n} replicas at {at} h: {}", tick.decision.message);
    }
    assert_eq!(played.score.backlog_late_ratio, Some(0.0));
}
