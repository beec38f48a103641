//! Loads, and what a controller made of them.

use std::path::Path;

use arbiter::{
    simulate::{Controller, Load, Run, Scenario, ScenarioFile, Score, Tick, TraceOptions, controller},
    units::{Seconds, maths},
};

/// A scenario from its text.
pub(crate) fn scenario(text: &str) -> Scenario {
    let file = ScenarioFile::parse("failures.yaml", text).expect("a scenario");
    file.scenario(None, None).expect("a scenario without files")
}

/// A made load: its shape, and hours to play after two that are not scored.
pub(crate) fn made(name: &str, shape: &str, hours: u32) -> Scenario {
    scenario(&format!(
        "name: {name}\nload: {shape}\nreplicas: {{min: 1, max: 40}}\nwarmup: 2h\nduration: {}h\n",
        hours + 2
    ))
}

/// A recorded load that is kept in the tree, its first hours.
pub(crate) fn recorded(name: &str, hours: f64) -> Scenario {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("simulations/traces/{name}.csv"));
    let file = std::fs::File::open(path).expect("the trace is in the tree");
    let load = Load::read(name, file, None).expect("a load");
    let mut scenario = Scenario::from_trace(load, TraceOptions { warmup: Seconds(7200.0), ..TraceOptions::default() });
    scenario.duration = Seconds(3600.0 * (hours + 2.0));
    scenario
}

/// The kinds of load on which controllers have failed.
pub(crate) fn loads() -> Vec<Scenario> {
    vec![
        made("tenant", "{shape: flash, low: 0.1, high: 4, at: 1h, rise: 0s, hold: 10m, fall: 0s, period: 2h}", 8),
        made("climbs", "{shape: ramps, low: 1, high: 7, rise: 40m, hold: 20m, fall: 20m}", 8),
        made("office", OFFICE, 22),
        made("steady", "{shape: steps, steps: [{at: 0h, cores: 4}]}", 8),
        made("square", "{shape: flash, low: 0.05, high: 6, at: 1h, rise: 0s, hold: 1h, fall: 0s, period: 2h}", 8),
        made("noise", "{shape: noisy, low: 3, deviation: 0.3, correlation: 3m, seed: 5}", 10),
        made("few", "{shape: noisy, low: 0.8, deviation: 0.35, correlation: 5m, seed: 6}", 10),
        recorded("mongodb_rps_3d", 22.0),
        recorded("servegen_rps_14d", 22.0),
    ]
}

/// Nothing at night, work by day.
pub(crate) const OFFICE: &str = "{shape: steps, steps: [{at: 0h, cores: 0.2}, {at: 4h, cores: 5}, {at: 8h, cores: 3}, \
                                 {at: 9h, cores: 5.5}, {at: 14h, cores: 0.2}]}";

/// What a controller made of a scenario.
pub(crate) struct Played {
    pub(crate) ticks: Vec<Tick>,
    pub(crate) score: Score,
}

impl Played {
    pub(crate) fn j(&self) -> f64 {
        self.score.j.get()
    }

    pub(crate) fn violations(&self) -> f64 {
        self.score.violation_ratio.expect("requests came")
    }
}

/// Plays a scenario under a controller by its name.
pub(crate) fn play(scenario: &Scenario, name: &str) -> Played {
    play_with(scenario, controller(name, scenario).expect("there is one"))
}

/// The same with a controller of the test's own.
pub(crate) fn play_with(scenario: &Scenario, actor: Box<dyn Controller + Send>) -> Played {
    let mut run = Run::new(scenario, actor, 1);
    let ticks = std::iter::from_fn(|| run.advance()).collect();
    Played { ticks, score: run.score() }
}

/// One load under both.
pub(crate) struct Pair {
    pub(crate) load: String,
    pub(crate) arbiter: Played,
    pub(crate) hpa: Played,
}

impl Pair {
    pub(crate) fn of(scenario: &Scenario) -> Self {
        let load = scenario.load.name.clone();
        Self { load, arbiter: play(scenario, "arbiter"), hpa: play(scenario, "hpa70") }
    }

    /// `J` against the HPA's.
    pub(crate) fn ratio(&self) -> f64 {
        self.arbiter.j() / self.hpa.j()
    }

    pub(crate) fn line(&self) -> String {
        let (a, h) = (&self.arbiter, &self.hpa);
        format!(
            "{:18} J/HPA {:.3}  late {:.2} % / {:.2} %  reversals {:.2} / {:.2}  cost {:.2} / {:.2}\n",
            self.load,
            self.ratio(),
            100.0 * a.violations(),
            100.0 * h.violations(),
            a.score.reversals_per_hour,
            h.score.reversals_per_hour,
            a.score.cost_usd.get(),
            h.score.cost_usd.get(),
        )
    }
}

/// All loads under a condition, side by side; none may cost more than `worst` times what the HPA costs.
pub(crate) fn judge(condition: impl Fn(&mut Scenario), worst: f64, geomean: f64) {
    let pairs: Vec<Pair> = loads()
        .into_iter()
        .map(|mut scenario| {
            condition(&mut scenario);
            Pair::of(&scenario)
        })
        .collect();
    let table: String = pairs.iter().map(Pair::line).collect();
    let product: f64 = pairs.iter().map(Pair::ratio).product();
    let mean = maths::pow(product, 1.0 / pairs.len() as f64);
    assert!(pairs.iter().all(|pair| pair.ratio() <= worst), "worse than {worst} of an HPA at 70 %:\n{table}");
    assert!(mean <= geomean, "geometric mean {mean:.3}, at most {geomean}:\n{table}");
}
