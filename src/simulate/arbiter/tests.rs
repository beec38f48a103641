//! Restarts and take-overs, in the plant.

use super::{
    super::{Event, Load, Run, Scenario, Score, TraceOptions, Truth, What, World, controller},
    *,
};
use crate::{policy::Mode, units::Seconds};

const DAY: f64 = 86_400.0;

/// A recorded load of three days, of which `scored` are scored from the end.
fn recorded(scored: f64) -> Scenario {
    let trace = include_str!("../../../simulations/traces/mongodb_rps_3d.csv");
    let load = Load::read("mongodb_rps_3d.csv", trace.as_bytes(), None).unwrap();
    let options = TraceOptions { warmup: Seconds(3.0 * DAY - scored), ..TraceOptions::default() };
    Scenario::from_trace(load, options)
}

/// What really happened, by tick, and the score.
fn run(scenario: &Scenario, controller: Box<dyn Controller + Send>) -> (Vec<Truth>, Score) {
    let mut run = Run::new(scenario, controller, 1);
    let truths = std::iter::from_fn(|| run.advance()).map(|tick| tick.truth).collect();
    (truths, run.score())
}

/// A day and a half, the last half scored, with a restart after the day.
fn restarted(sized: bool, kept: Option<Kept>) -> (Vec<Truth>, Score) {
    let mut scenario = recorded(DAY / 2.0);
    scenario.duration = Seconds(1.5 * DAY);
    scenario.warmup = Seconds(DAY);
    if !sized {
        scenario.policy.objective.latency = None;
    }
    let event = |kept| Event { at: Seconds(DAY), what: What::ControllerRestart { lasts: Seconds(30.0), kept } };
    scenario.world = World { events: kept.map(event).into_iter().collect(), ..World::default() };
    run(&scenario, controller("arbiter", &scenario).unwrap())
}

#[test]
fn a_checkpoint_makes_a_restart_unnoticed() {
    let scenario = |events| {
        let mut scenario = recorded(DAY);
        scenario.duration = Seconds(DAY / 4.0);
        scenario.warmup = Seconds(0.0);
        scenario.world = World { events, ..World::default() };
        scenario
    };
    let lasts = Seconds(0.0);
    let what = What::ControllerRestart { lasts, kept: Kept::Checkpoint };
    let events = (1..6).map(|hour| Event { at: Seconds(3600.0 * f64::from(hour)), what });
    let ticks = |scenario: Scenario| run(&scenario, controller("arbiter", &scenario).unwrap());
    assert_eq!(ticks(scenario(events.collect())), ticks(scenario(Vec::new())));
}

#[test]
fn a_restart_without_a_checkpoint_does_no_harm() {
    const HOUR: std::ops::Range<usize> = 5760..5760 + 240;
    for sized in [true, false] {
        let (undisturbed, score) = restarted(sized, None);
        for kept in [Kept::History, Kept::Nothing] {
            let (truths, after) = restarted(sized, Some(kept));
            assert_eq!(truths[..HOUR.start], undisturbed[..HOUR.start]);
            for tick in HOUR.filter(|_| !sized) {
                let (n, before) = (truths[tick].replicas.0, undisturbed[tick].replicas.0);
                assert!(
                    n + 1 >= before,
                    "{kept:?}: {n} replicas, {before} undisturbed, {} ticks after",
                    tick - HOUR.start
                );
            }
            // Where sizes are chosen too, fewer pods are larger ones: what counts is who was late.
            let late = |truths: &[Truth]| {
                let (from, to) = (truths[HOUR.start - 1], truths[HOUR.end]);
                (to.requests_over_slo - from.requests_over_slo) / (to.requests - from.requests)
            };
            let (late_after, late_before) = (late(&truths), late(&undisturbed));
            // Who knows nothing at all learns sizes anew; the objective, one request in a hundred, holds meanwhile.
            let most = if kept == Kept::History { late_before + 0.003 } else { 0.01 };
            assert!(late_after <= most, "{kept:?}: {late_after} late, {late_before} undisturbed");
            let most = if kept == Kept::History { 1.05 } else { 1.15 };
            assert!(after.j.get() <= most * score.j.get(), "{kept:?}: {after:?} against {score:?}");
        }
    }
}

/// An HPA until somebody takes over, who has watched, or read the history, or knows nothing.
struct Takeover {
    hpa: Box<dyn Controller + Send>,
    arbiter: Arbiter,
    watches: bool,
    reads: bool,
    at: f64,
    over: bool,
}

impl Controller for Takeover {
    fn name(&self) -> &'static str {
        "takeover"
    }

    fn tick(&mut self, view: &View<'_>) -> Action {
        if view.now < self.at {
            self.arbiter.history.note(view.snapshot, &self.arbiter.policy);
            if self.watches {
                self.arbiter.policy.mode = Mode::Recommend;
                drop(self.arbiter.tick(view));
            }
            return self.hpa.tick(view);
        }
        if !std::mem::replace(&mut self.over, true) && self.reads {
            self.arbiter.memory = warm_start(&self.arbiter.history, &self.arbiter.policy, view.snapshot.at);
        }
        self.arbiter.policy.mode = Mode::Auto;
        self.arbiter.tick(view)
    }
}

fn takeover(watches: bool, reads: bool) -> Score {
    let scenario = recorded(DAY);
    let hpa = controller("hpa70", &scenario).unwrap();
    let arbiter = Arbiter::new(WayIn::All, scenario.policy.clone());
    run(&scenario, Box::new(Takeover { hpa, arbiter, watches, reads, at: 2.0 * DAY, over: false })).1
}

#[test]
fn the_first_day_after_a_warm_start_is_as_good_as_after_two_days_of_watching() {
    let (watched, warm, cold) = (takeover(true, false), takeover(false, true), takeover(false, false));
    let told = format!("watched {watched:?}\nwarm {warm:?}\ncold {cold:?}");
    // Paths differ from the first decision on, and one day is one sample of them.
    assert!(warm.j.get() <= 1.04 * watched.j.get(), "{told}");
    assert!(warm.j.get() <= cold.j.get(), "{told}");
}
