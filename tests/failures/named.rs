//! The failures by their names.

use arbiter::{
    decide::Snapshot,
    simulate::{Action, Controller, Event, Metric, Tick, View, What, controller},
    units::{Replicas, Seconds, maths},
};

use crate::support::{OFFICE, Pair, Played, loads, made, play, play_with, scenario};

/// Seconds since the start of a run.
fn second(played: &Played, tick: &Tick) -> f64 {
    tick.at.duration_since(played.ticks[0].at).as_secs_f64()
}

/// CPU request that is decided for a pod's own container.
fn request(tick: &Tick) -> f64 {
    tick.decision.containers[0].requests.cpu_cores.expect("the template has a request").0
}

/// Hours at nearly nothing, then eight cores of work at once.
#[test]
fn idle_then_jump() {
    let steps = "{shape: steps, steps: [{at: 0h, cores: 5}, {at: 3h, cores: 0.05}, {at: 9h, cores: 8}, {at: 10h, cores: 0.05}]}";
    let pair = Pair::of(&made("idle-then-jump", steps, 10));
    assert!(pair.arbiter.violations() <= pair.hpa.violations(), "{}", pair.line());
    // Lag of metrics, a tick, and two starts of pods.
    let back = pair.arbiter.ticks.iter().find(|tick| {
        let at = second(&pair.arbiter, tick);
        at >= 9.0 * 3600.0 + 15.0 && tick.truth.capacity_cores.get() >= 8.0
    });
    let took = back.map(|tick| second(&pair.arbiter, tick) - 9.0 * 3600.0);
    assert!(took.is_some_and(|took| took <= 45.0 + 2.0 * 30.0), "capacity back after {took:?} s");
}

/// After a jump what is planned follows what is there, not how wrong one was.
#[test]
fn no_margin_explosion() {
    for scenario in loads() {
        let played = play(&scenario, "arbiter");
        for ticks in played.ticks.windows(2) {
            let (asked, tick) = (request(&ticks[0]), &ticks[1]);
            let (explain, snapshot) = (&tick.decision.explain, &tick.snapshot);
            // Pods that do not get the size that was asked for are replaced by more of them: not a margin.
            if snapshot.containers[0].sizes.iter().any(|group| group.cpu_cores.is_some_and(|c| c.0 < 0.98 * asked)) {
                continue;
            }
            let usage: f64 = snapshot.containers.iter().filter_map(|c| c.cpu_cores).map(|c| c.0).sum();
            let rate = snapshot.signals.get("requests").and_then(|r| r.value);
            let (Some(planned), Some(rate), Some(work)) = (explain.planned_cores, rate, explain.work_core_seconds)
            else {
                continue;
            };
            let seen =
                (work * rate).max(usage - explain.idle_cores.map_or(0.0, |c| c.0) * snapshot.replicas.ready.as_f64());
            // A few hundredths of a core are what the cross-check leaves to noise.
            let at = second(&played, tick);
            assert!(
                planned.0 <= 1.25 * seen + 0.3,
                "{} at {at} s: planned {} for {seen}",
                scenario.load.name,
                planned.0
            );
        }
    }
}

/// Idle for a day, and still every size that is asked for can carry the peak that is known.
#[test]
fn size_keeps_peak() {
    let mut scenario = made("peak", "{shape: steps, steps: [{at: 0h, cores: 6}, {at: 4h, cores: 0.1}]}", 26);
    scenario.policy.replicas.max = Replicas(12);
    let played = play(&scenario, "arbiter");
    for tick in &played.ticks {
        let idle_for = second(&played, tick) - 4.0 * 3600.0;
        let Some(k) = tick.decision.explain.capacity_cores.filter(|_| idle_for > 0.0) else { continue };
        let peak = 6.0 * maths::exp2(-idle_for / 86_400.0);
        assert!(12.0 * k.0 >= 0.95 * peak, "{idle_for} s idle: 12 × {} for {peak}", k.0);
    }
}

/// Pods with a limit are throttled while they are short: never fewer then, and never smaller.
#[test]
fn never_down_while_saturated() {
    let text = "name: limits\nload: {shape: noisy, low: 4, deviation: 0.5, correlation: 2m, seed: 3}\n\
                service: {cpuLimitRatio: 1}\nreplicas: {min: 2, max: 12}\nduration: 8h\n";
    let mut throttled = 0;
    let played = play(&scenario(text), "arbiter");
    for pair in played.ticks.windows(2) {
        let snapshot = &pair[1].snapshot;
        if snapshot.containers.iter().any(|c| c.throttled_ratio.is_some_and(|x| x > 0.05)) {
            throttled += 1;
            let (spec, n) = (snapshot.replicas.spec, pair[1].decision.replicas);
            assert!(n >= spec, "{spec} -> {n}: {}", pair[1].decision.message);
            assert!(request(&pair[1]) >= request(&pair[0]) - 1e-9, "{}", pair[1].decision.message);
        }
    }
    assert!(throttled > 10, "{throttled} ticks were throttled");
}

/// Work per request, as it is believed.
fn work(played: &Played, at: f64) -> f64 {
    let tick = played.ticks.iter().rev().find(|tick| second(played, tick) <= at).expect("was played");
    tick.decision.explain.work_core_seconds.expect("is known")
}

#[test]
fn idle_keeps_b() {
    let played =
        play(&made("idle", "{shape: steps, steps: [{at: 0h, cores: 6}, {at: 6h, cores: 0.05}]}", 28), "arbiter");
    let (before, after) = (work(&played, 6.0 * 3600.0 - 60.0), work(&played, 30.0 * 3600.0));
    assert!((after / before - 1.0).abs() < 0.05, "{before} -> {after}");
}

/// A controller that is not told of templates: what changes, changes unannounced.
struct Untold(Box<dyn Controller + Send>);

impl Controller for Untold {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn tick(&mut self, view: &View<'_>) -> Action {
        let mut snapshot: Snapshot = view.snapshot.clone();
        snapshot.replicas.template_hash = None;
        snapshot.replicas.rolling_out = None;
        self.0.tick(&View { snapshot: &snapshot, ..*view })
    }
}

#[test]
fn unannounced_cost_change() {
    for factor in [1.6, 0.5] {
        let mut scenario = made("cost", "{shape: diurnal, low: 2, high: 5, period: 6h}", 10);
        let at = Seconds(7.0 * 3600.0);
        scenario.world.events.push(Event { at, what: What::Rollout { work_factor: factor, memory_factor: 1.0 } });
        let untold = |name| {
            let actor = Untold(controller(name, &scenario).expect("there is one"));
            play_with(&scenario, Box::new(actor))
        };
        let (arbiter, hpa) = (untold("arbiter"), untold("hpa70"));
        let pair = Pair { load: format!("cost x {factor}"), arbiter, hpa };
        assert!(pair.ratio() <= 1.03, "{}", pair.line());
        let (before, after) = (work(&pair.arbiter, at.0 - 60.0), work(&pair.arbiter, at.0 + 1800.0 + 120.0));
        assert!((after / before / factor - 1.0).abs() < 0.15, "x {factor}: {before} -> {after}");
    }
}

/// Ten minutes without metrics, ten minutes of zeros: nothing shrinks.
#[test]
fn gap_and_zeros() {
    let lasts = Seconds(600.0);
    for what in [What::MetricOutage { lasts }, What::WrongMetric { lasts, factor: 0.0, of: Metric::All }] {
        let mut scenario = made("gaps", "{shape: noisy, low: 5, deviation: 0.15, correlation: 5m, seed: 2}", 8);
        let starts: Vec<f64> = (3..9).map(|hour| f64::from(hour) * 3600.0 + 300.0).collect();
        scenario.world.events.extend(starts.iter().map(|at| Event { at: Seconds(*at), what }));
        let pair = Pair::of(&scenario);
        assert!(pair.ratio() <= 1.0, "{what:?}: {}", pair.line());
        for ticks in pair.arbiter.ticks.windows(2) {
            let at = second(&pair.arbiter, &ticks[1]);
            // The first numbers of an outage are a window old and right.
            if starts.iter().any(|start| (start + 60.0..start + 600.0).contains(&at)) {
                let (n, before) = (ticks[1].decision.replicas, ticks[0].decision.replicas);
                assert!(n >= before, "{what:?} at {at} s: {before} -> {n}: {}", ticks[1].decision.message);
                assert!(request(&ticks[1]) >= request(&ticks[0]) - 1e-9, "{what:?}: {}", ticks[1].decision.message);
            }
        }
    }
}

#[test]
fn office_hours() {
    let pair = Pair::of(&made("office", OFFICE, 22));
    assert!(pair.ratio() <= 1.0, "{}", pair.line());
}
