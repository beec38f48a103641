//! What is played: every recording at every setting, and the queues of the scenario files.
//!
//! A setting changes one thing against the usual one: the size of the peak, a condition, the budget of trims.

use std::path::{Path, PathBuf};

use super::{
    super::{Failure, simulate},
    halves::{Half, Halves},
};
use crate::{
    policy::Tuning,
    simulate::{CONTROLLERS, Condition, Load, Scenario, TraceOptions, candidate_count},
    units::{Cores, Replicas},
};

/// The usual setting: what a bare recording is played with.
pub(super) const USUAL: &str = "peak-8";
/// Queues of the scenario files.
pub(super) const QUEUE: &str = "queue";
/// KEDA set up by someone who has seen the load.
pub(super) const KEDA: &str = "keda-hindsight";
/// Ways in with fewer signals: without a latency, with usage alone.
pub(super) const WAYS: [(&str, &str); 2] =
    [("arbiter-rate", "way (b), rate only"), ("arbiter-cpu", "way (c), CPU only")];
/// Budgets of trims beside the usual one of 96 per pod and day.
pub(super) const TRIMS: [(&str, u32); 3] = [("trims-0", 0), ("trims-24", 24), ("trims-unlimited", u32::MAX)];
/// Peaks in cores, with the largest count: what an HPA on pods of one core can need, and twice as much.
const PEAKS: [(&str, f64, u32); 3] = [(USUAL, 8.0, 60), ("peak-2", 2.0, 60), ("peak-40", 40.0, 150)];
/// Constants of the model, halved and doubled.
pub(super) const TUNING: &str = "tuning";
/// By what each constant is multiplied.
pub(super) const FACTORS: [f64; 2] = [0.5, 2.0];
/// Columns that are a load, after those that a recording is searched for by itself.
const COLUMNS: [&str; 6] = ["gen_qps", "throughput_eps", "cpu_demand", "cpu_norm", "concurrency_total", "cpu_util_pct"];

/// Who plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Player {
    /// Name of the controller or oracle.
    pub(super) name: &'static str,
    /// One of its candidates alone; none: the best of them.
    pub(super) only: Option<usize>,
}

/// One load at one setting, and who plays it.
pub(super) struct Case {
    pub(super) setting: String,
    pub(super) scenario: Scenario,
    pub(super) players: Vec<Player>,
    pub(super) seeds: u64,
}

impl Case {
    /// Name of the load.
    pub(super) fn trace(&self) -> &str {
        &self.scenario.load.name
    }
}

/// What is chosen of all cases.
pub(super) struct Choice<'a> {
    pub(super) traces: &'a Path,
    pub(super) scenarios: &'a Path,
    pub(super) halves: &'a Halves,
    /// One half alone.
    pub(super) half: Option<Half>,
    /// Settings; empty: all.
    pub(super) settings: &'a [String],
    pub(super) seeds: u64,
}

impl Choice<'_> {
    fn wants(&self, setting: &str) -> bool {
        self.settings.is_empty() || self.settings.iter().any(|chosen| chosen == setting)
    }
}

/// Names of all settings.
pub(super) fn settings() -> Vec<String> {
    let trims = TRIMS.iter().map(|(name, _)| *name);
    compared().into_iter().chain(trims).chain([QUEUE, TUNING]).map(ToOwned::to_owned).collect()
}

/// Settings that differ in the peak alone.
pub(super) fn peaks() -> Vec<&'static str> {
    PEAKS.iter().map(|(name, ..)| *name).collect()
}

/// Settings under which arbiter is compared with an HPA: peaks and conditions.
pub(super) fn compared() -> Vec<&'static str> {
    peaks().into_iter().chain(Condition::ALL.into_iter().map(|(name, _)| name)).collect()
}

/// Reads all loads and makes the cases of them.
pub(super) fn all(choice: &Choice<'_>) -> Result<Vec<Case>, Failure> {
    let mut cases = Vec::new();
    for path in recordings(choice)? {
        let name = path.display().to_string();
        let column = simulate::load_column(&COLUMNS.map(ToOwned::to_owned), &path);
        let file = std::fs::File::open(&path)
            .map_err(|error| Failure::Input(format!("{name}: cannot be opened: {error}; check the path")))?;
        let load = Load::read(&name, file, column.as_deref()).map_err(|error| Failure::Input(error.to_string()))?;
        cases.extend(of_recording(choice, &load));
        // The judged half is not for choosing numbers.
        if choice.wants(TUNING) && choice.halves.get(&load.name) == Some(&Half::Development) {
            cases.extend(tuned(&load)?);
        }
    }
    if choice.wants(QUEUE) {
        cases.extend(queues(choice)?);
    }
    Ok(cases)
}

/// Recordings of the directory that a half claims; each must be there.
fn recordings(choice: &Choice<'_>) -> Result<Vec<PathBuf>, Failure> {
    let wanted = choice.halves.iter().filter(|(_, half)| choice.half.is_none_or(|only| only == **half));
    let paths: Vec<PathBuf> = wanted.map(|(trace, _)| choice.traces.join(format!("{trace}.csv"))).collect();
    let there: Vec<PathBuf> = paths.iter().filter(|path| path.exists()).cloned().collect();
    if there.is_empty() && !paths.is_empty() {
        let what = "none of the recordings of simulations/halves.csv is there; give the directory that holds them";
        return Err(Failure::Input(format!("{}: {what}", choice.traces.display())));
    }
    Ok(there)
}

/// One recording at all settings that are wanted.
fn of_recording(choice: &Choice<'_>, load: &Load) -> Vec<Case> {
    let usual = || bare(load, PEAKS[0].1, PEAKS[0].2);
    let case = |setting: &str, scenario: Scenario, names: &[&'static str]| Case {
        setting: setting.to_owned(),
        scenario,
        players: names.iter().map(|name| Player { name, only: None }).collect(),
        seeds: choice.seeds,
    };
    let mut cases = Vec::new();
    for (setting, cores, max) in PEAKS {
        let mut names = vec!["arbiter", "hpa70"];
        if setting == USUAL {
            names.extend(["hpa70-vpa", "hpa-hindsight", "oracle-n"]);
            names.extend(WAYS.map(|way| way.0).into_iter().filter(|way| CONTROLLERS.contains(way)));
        }
        cases.push(case(setting, bare(load, cores, max), &names));
    }
    for (setting, condition) in Condition::ALL {
        cases.push(case(setting, condition.apply(usual()), &["arbiter", "hpa70"]));
    }
    for (setting, trims) in TRIMS {
        let mut scenario = usual();
        scenario.policy.resize.trims_per_pod_per_day = trims;
        cases.push(case(setting, scenario, &["arbiter"]));
    }
    cases.retain(|case| choice.wants(&case.setting));
    cases
}

/// A recording at the usual peak under a model of which one constant is another, once for each. One seed: what matters is
/// the difference on the same noise.
fn tuned(load: &Load) -> Result<Vec<Case>, Failure> {
    let mut cases = Vec::new();
    for (name, value) in constants() {
        for factor in FACTORS {
            let mut scenario = bare(load, PEAKS[0].1, PEAKS[0].2);
            let changed = scenario.policy.tuning.with(&format!("{name}={}", value * factor));
            scenario.policy.tuning = changed.map_err(Failure::Input)?;
            let players = vec![Player { name: "arbiter", only: None }];
            cases.push(Case { setting: tuning(&name, factor), scenario, players, seeds: 1 });
        }
    }
    Ok(cases)
}

/// The setting of a constant times a factor.
pub(super) fn tuning(name: &str, factor: f64) -> String {
    format!("{TUNING}-{name}-{factor}")
}

/// The model's measured constants that are not zero, with their defaults.
pub(super) fn constants() -> Vec<(String, f64)> {
    let all = serde_json::to_value(Tuning::default()).unwrap_or_default();
    let fields = all.as_object().into_iter().flatten();
    let numbers = fields.filter_map(|(name, value)| Some((name.clone(), value.as_f64()?)));
    numbers.filter(|(_, value)| *value != 0.0).collect()
}

/// A bare recording with its peak at so many cores.
fn bare(load: &Load, cores: f64, max: u32) -> Scenario {
    let options = TraceOptions { peak_cores: Cores(cores), ..TraceOptions::default() };
    let mut scenario = Scenario::from_trace(load.clone(), options);
    scenario.policy.replicas.max = Replicas(max);
    scenario
}

/// The queues of the scenario files, under KEDA at each of its settings.
fn queues(choice: &Choice<'_>) -> Result<Vec<Case>, Failure> {
    let folder = choice.scenarios;
    let refused = |error: std::io::Error| {
        Failure::Input(format!("{}: cannot be read: {error}; give the scenarios' directory", folder.display()))
    };
    let entries = std::fs::read_dir(folder).map_err(refused)?.collect::<Result<Vec<_>, _>>().map_err(refused)?;
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "yaml"));
    files.sort();
    let mut cases = Vec::new();
    for path in files {
        let scenario = simulate::scenario(&path)?;
        if scenario.world.queue.is_none() {
            continue;
        }
        let settings = (0..candidate_count(KEDA)).map(|index| Player { name: KEDA, only: Some(index) });
        let named = ["arbiter", "keda", "hpa70"].map(|name| Player { name, only: None });
        let players = named.into_iter().chain(settings).collect();
        cases.push(Case { setting: QUEUE.to_owned(), scenario, players, seeds: choice.seeds });
    }
    Ok(cases)
}
