//! The summary of many runs: `summary.json` of the simulation contract.
//!
//! Invariant: depends on the runs' scores and their order alone, so the same runs give the same bytes.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{SHORTAGE_FACTOR, Scenario, Score, Service, oracle::Oracle};
use crate::{
    policy::Prices,
    units::{Seconds, maths},
};

/// Version of the contract.
const VERSION: u32 = 1;

/// What `summary.json` holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Version of the contract.
    pub version: u32,
    /// What the scores rest on.
    pub assumptions: Assumptions,
    /// The same for each scenario file, by name; left out for bare traces, which share them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub scenarios: BTreeMap<String, Assumptions>,
    /// One entry per trace, controller and seed, in this order.
    pub runs: Vec<RunScore>,
    /// By controller, over traces of three days and more: geometric mean over traces of the mean over seeds.
    pub geomean: BTreeMap<String, Geomean>,
    /// The same over tiled traces, apart: a tile that repeats is kinder than a day that does not.
    pub geomean_tiled: BTreeMap<String, Geomean>,
}

/// What the scores rest on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Assumptions {
    /// Prices of requests.
    pub prices: Prices,
    /// Price of violating work against CPU.
    pub v_j: f64,
    /// Time at the beginning that is not scored.
    pub warmup_s: Seconds,
    /// The simulated service.
    pub service: Service,
}

impl Assumptions {
    /// What a scenario assumes.
    #[must_use]
    pub fn of(scenario: &Scenario) -> Self {
        Self {
            prices: scenario.policy.prices,
            v_j: SHORTAGE_FACTOR,
            warmup_s: scenario.warmup,
            service: scenario.service.clone(),
        }
    }
}

/// The score of one run, named.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunScore {
    /// Name of the load.
    pub trace: String,
    /// Name of the controller.
    pub controller: String,
    /// Seed.
    pub seed: u64,
    /// Whether the load was repeated to fill the time.
    pub tiled: bool,
    /// The score.
    #[serde(flatten)]
    pub score: Score,
    /// J over that of the clairvoyant optimum; none for a queue.
    pub j_over_oracle: Option<f64>,
    /// The same with the size held; none where that oracle is not among the controllers.
    pub j_over_oracle_n: Option<f64>,
    /// The same with the start-up delay; none where that oracle is not among the controllers.
    pub j_over_oracle_lead: Option<f64>,
}

/// The least J of a trace and a seed, where the oracle is not among the runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// Name of the load.
    pub trace: String,
    /// Seed.
    pub seed: u64,
    /// What `oracle` reaches, in dollars.
    pub j: f64,
}

/// Geometric means over traces, those left out on which a value is undefined. None where it is zero on one of them, or
/// defined on none.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Geomean {
    /// Traces in the mean.
    pub traces: usize,
    /// Cost.
    pub cost_usd: Option<f64>,
    /// Requests over the objective.
    pub violation_ratio: Option<f64>,
    /// J.
    pub j: Option<f64>,
    /// J over the optimum's.
    pub j_over_oracle: Option<f64>,
    /// J over the optimum's with the size held.
    pub j_over_oracle_n: Option<f64>,
    /// J over the optimum's with the start-up delay.
    pub j_over_oracle_lead: Option<f64>,
    /// Changes of direction.
    pub reversals_per_hour: Option<f64>,
    /// Pods created.
    pub pod_starts_per_day: Option<f64>,
    /// Resizes.
    pub resizes_per_pod_day: Option<f64>,
    /// Resizes that take CPU.
    pub trims_per_pod_day: Option<f64>,
    /// Pods.
    pub mean_replicas: Option<f64>,
    /// CPU requests.
    pub mean_cpu_request_cores: Option<f64>,
}

impl Summary {
    /// Sums up runs that share their assumptions. They are compared with the oracles that are among them or the bounds.
    #[must_use]
    pub fn new(assumptions: Assumptions, mut runs: Vec<RunScore>, bounds: &[Bound]) -> Self {
        compare(&mut runs, bounds);
        let geomean = geomeans(&runs, false);
        let geomean_tiled = geomeans(&runs, true);
        Self { version: VERSION, assumptions, scenarios: BTreeMap::new(), runs, geomean, geomean_tiled }
    }

    /// The mean over seeds, then over traces, of one number of a controller's runs, tiled traces or the others.
    #[must_use]
    pub fn mean(&self, controller: &str, tiled: bool, value: impl Fn(&RunScore) -> Option<f64>) -> Option<f64> {
        let values = per_trace(&self.runs, controller, tiled, value);
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }

    /// The same as a geometric mean over traces, for ratios.
    #[must_use]
    pub fn geometric_mean(
        &self,
        controller: &str,
        tiled: bool,
        value: impl Fn(&RunScore) -> Option<f64>,
    ) -> Option<f64> {
        geometric(&per_trace(&self.runs, controller, tiled, value))
    }
}

/// Sets J over that of each oracle with the same trace and seed.
fn compare(runs: &mut [RunScore], bounds: &[Bound]) {
    let known = bounds.iter().map(|bound| ((bound.trace.clone(), bound.seed, Oracle::Free), bound.j));
    let mut least: BTreeMap<(String, u64, Oracle), f64> = known.collect();
    for run in runs.iter() {
        if let Some(oracle) = Oracle::named(&run.controller) {
            least.insert((run.trace.clone(), run.seed, oracle), run.score.j.get());
        }
    }
    for run in runs {
        let over = |oracle| {
            let least = least.get(&(run.trace.clone(), run.seed, oracle)).filter(|least| **least > 0.0)?;
            Some(run.score.j.get() / least)
        };
        run.j_over_oracle = over(Oracle::Free);
        run.j_over_oracle_n = over(Oracle::Count);
        run.j_over_oracle_lead = over(Oracle::Lead);
    }
}

/// Geometric means of every controller over tiled traces, or over the others.
fn geomeans(runs: &[RunScore], tiled: bool) -> BTreeMap<String, Geomean> {
    let mut means = BTreeMap::new();
    for run in runs.iter().filter(|run| run.tiled == tiled) {
        let name = run.controller.as_str();
        if means.contains_key(name) {
            continue;
        }
        let of = |value: fn(&RunScore) -> Option<f64>| geometric(&per_trace(runs, name, tiled, value));
        let traces = per_trace(runs, name, tiled, |_| Some(1.0)).len();
        let mean = Geomean {
            traces,
            cost_usd: of(|run| Some(run.score.cost_usd.get())),
            violation_ratio: of(|run| run.score.violation_ratio),
            j: of(|run| Some(run.score.j.get())),
            j_over_oracle: of(|run| run.j_over_oracle),
            j_over_oracle_n: of(|run| run.j_over_oracle_n),
            j_over_oracle_lead: of(|run| run.j_over_oracle_lead),
            reversals_per_hour: of(|run| Some(run.score.reversals_per_hour)),
            pod_starts_per_day: of(|run| Some(run.score.pod_starts_per_day)),
            resizes_per_pod_day: of(|run| Some(run.score.resizes_per_pod_day)),
            trims_per_pod_day: of(|run| Some(run.score.trims_per_pod_day)),
            mean_replicas: of(|run| Some(run.score.mean_replicas)),
            mean_cpu_request_cores: of(|run| Some(run.score.mean_cpu_request_cores.get())),
        };
        means.insert(name.to_owned(), mean);
    }
    means
}

/// One value per trace, the mean over its seeds; traces on which it is undefined are left out.
fn per_trace(runs: &[RunScore], controller: &str, tiled: bool, value: impl Fn(&RunScore) -> Option<f64>) -> Vec<f64> {
    let mut traces: BTreeMap<&str, Option<(f64, f64)>> = BTreeMap::new();
    for run in runs.iter().filter(|run| run.controller == controller && run.tiled == tiled) {
        let entry = traces.entry(&run.trace).or_insert(Some((0.0, 0.0)));
        *entry = entry.zip(value(run)).map(|((sum, count), value)| (sum + value, count + 1.0));
    }
    traces.values().flatten().map(|(sum, count)| sum / count).collect()
}

/// Geometric mean of positive numbers.
fn geometric(values: &[f64]) -> Option<f64> {
    let defined = !values.is_empty() && values.iter().all(|value| *value > 0.0);
    defined.then(|| maths::exp(values.iter().map(|value| maths::ln(*value)).sum::<f64>() / values.len() as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Cores, Dollars};

    fn run(trace: &str, seed: u64, tiled: bool, j: f64, reversals: f64) -> RunScore {
        let score = Score {
            hours: 48.0,
            cost_usd: Dollars(j),
            violation_ratio: None,
            j: Dollars(j),
            reversals_per_hour: reversals,
            pod_starts_per_day: 1.0,
            resizes_per_pod_day: 1.0,
            trims_per_pod_day: 1.0,
            longest_saturated_hold_s: None,
            longest_saturated_hold_leads: None,
            evictions: 0,
            oom_kills: 0,
            backlog_late_ratio: None,
            mean_replicas: 3.0,
            mean_cpu_request_cores: Cores(3.0),
        };
        RunScore {
            trace: trace.to_owned(),
            controller: "hpa70".to_owned(),
            seed,
            tiled,
            score,
            j_over_oracle: None,
            j_over_oracle_n: None,
            j_over_oracle_lead: None,
        }
    }

    #[test]
    fn means_are_over_seeds_first_and_tiled_traces_stand_apart() {
        let load = crate::simulate::Load::read("x.csv", &b"timestamp_s,rps\n0,1\n5,1\n"[..], None).unwrap();
        let scenario = Scenario::from_trace(load, crate::simulate::TraceOptions::default());
        let runs = vec![
            run("a", 1, false, 1.0, 0.0),
            run("a", 2, false, 3.0, 1.0),
            run("b", 1, false, 8.0, 1.0),
            run("c", 1, true, 5.0, 1.0),
        ];
        let bounds = [Bound { trace: "c".to_owned(), seed: 1, j: 4.0 }];
        let summary = Summary::new(Assumptions::of(&scenario), runs, &bounds);
        let mean = &summary.geomean["hpa70"];
        assert_eq!(mean.traces, 2);
        assert!((mean.j.unwrap() - 4.0).abs() < 1e-12);
        assert_eq!(mean.violation_ratio, None);
        assert!((summary.geomean_tiled["hpa70"].j.unwrap() - 5.0).abs() < 1e-12);
        assert_eq!((summary.runs[0].j_over_oracle, summary.runs[3].j_over_oracle), (None, Some(1.25)));
        assert_eq!(summary.mean("hpa70", false, |run| Some(run.score.reversals_per_hour)), Some(0.75));
    }

    #[test]
    fn runs_are_compared_with_the_oracle_of_their_trace_and_seed_and_the_undefined_is_left_out() {
        let load = crate::simulate::Load::read("x.csv", &b"timestamp_s,rps\n0,1\n5,1\n"[..], None).unwrap();
        let scenario = Scenario::from_trace(load, crate::simulate::TraceOptions::default());
        let oracle = |trace: &str, seed, j| RunScore { controller: "oracle".into(), ..run(trace, seed, false, j, 0.0) };
        let runs = vec![
            run("a", 1, false, 3.0, 0.0),
            run("a", 2, false, 6.0, 0.0),
            oracle("a", 1, 2.0),
            oracle("a", 2, 3.0),
            // A queue: no oracle.
            run("q", 1, false, 7.0, 0.0),
        ];
        let bounds = [];
        let summary = Summary::new(Assumptions::of(&scenario), runs, &bounds);
        assert_eq!(summary.runs[0].j_over_oracle, Some(1.5));
        assert_eq!(summary.runs[1].j_over_oracle, Some(2.0));
        assert_eq!(summary.runs[2].j_over_oracle, Some(1.0));
        assert_eq!((summary.runs[4].j_over_oracle, summary.runs[0].j_over_oracle_n), (None, None));
        let mean = &summary.geomean["hpa70"];
        assert_eq!(mean.traces, 2);
        assert!((mean.j_over_oracle.unwrap() - 1.75).abs() < 1e-12);
        assert_eq!(mean.j_over_oracle_lead, None);
    }
}
