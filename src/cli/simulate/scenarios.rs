//! What is to be played: bare traces, or scenario files with the traces and policies that they name. Everything is read
//! before anything is played, so that bad input leaves nothing half written.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use super::{super::Failure, Args};
use crate::{
    policy::{Policy, Prices},
    simulate::{Load, Scenario, ScenarioFile, TraceOptions},
    units::{Cores, Seconds},
};

/// Largest scenario file that is read, in bytes; a thousand times what one needs.
const MAX_BYTES: u64 = 1 << 20;

/// Reads all scenarios.
pub(super) fn read(args: &Args) -> Result<Vec<Scenario>, Failure> {
    let prices = args.prices.as_deref().map(prices).transpose()?;
    let mut scenarios = match (args.trace.as_slice(), args.scenario.as_slice()) {
        ([], []) => {
            let what = "no load to replay; give at least one --trace FILE.csv or --scenario FILE.yaml";
            return Err(Failure::Input(what.to_owned()));
        }
        (traces, []) => traces.iter().map(|path| of_trace(args, path, prices)).collect::<Result<Vec<_>, _>>()?,
        ([], files) => files.iter().map(|path| of_file(args, path, prices)).collect::<Result<Vec<_>, _>>()?,
        (_, _) => {
            let what = "--trace and --scenario together; a scenario file names its trace itself: give one of them";
            return Err(Failure::Input(what.to_owned()));
        }
    };
    for assignment in &args.tuning {
        for scenario in &mut scenarios {
            scenario.policy.tuning = scenario.policy.tuning.with(assignment).map_err(Failure::Input)?;
        }
    }
    for (index, scenario) in scenarios.iter().enumerate() {
        let name = &scenario.load.name;
        if scenarios[..index].iter().any(|before| before.load.name == *name) {
            return Err(Failure::Input(format!("two loads are called `{name}`; rename one")));
        }
    }
    Ok(scenarios)
}

/// A bare recorded load with the default service.
fn of_trace(args: &Args, path: &Path, prices: Option<Prices>) -> Result<Scenario, Failure> {
    let name = path.display().to_string();
    let load = load(path, super::load_column(&args.load_column, path).as_deref())?;
    let options = TraceOptions {
        peak_cores: Cores(args.peak_cores),
        warmup: Seconds(args.warmup.as_secs_f64()),
        policy: policy(args.policy.as_deref())?,
        prices,
    };
    let scenario = Scenario::from_trace(load, options);
    if scenario.warmup >= scenario.duration {
        let hours = scenario.duration.get() / 3600.0;
        return Err(Failure::Input(format!(
            "{name}: --warmup leaves nothing to score of {hours:.0} h; make it shorter"
        )));
    }
    Ok(scenario)
}

/// A scenario file.
fn of_file(args: &Args, path: &Path, prices: Option<Prices>) -> Result<Scenario, Failure> {
    let name = path.display().to_string();
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text))
        .map_err(|error| Failure::Input(format!("{name}: cannot be read: {error}; check the path")))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(Failure::Input(format!("{name}: is larger than 1 MiB; a scenario is a page of YAML")));
    }
    let file = ScenarioFile::parse(&name, &text).map_err(|error| Failure::Input(error.to_string()))?;
    let beside = |named: &str| path.parent().map_or_else(|| PathBuf::from(named), |folder| folder.join(named));
    let trace = file.trace().map(|(trace, column)| load(&beside(trace), column)).transpose()?;
    let given = match (&args.policy, file.policy()) {
        (Some(given), _) => policy(Some(given))?,
        (None, named) => policy(named.map(beside).as_deref())?,
    };
    let mut scenario = file.scenario(trace, given).map_err(|error| Failure::Input(error.to_string()))?;
    if let Some(prices) = prices {
        scenario.policy.prices = prices;
    }
    Ok(scenario)
}

fn policy(path: Option<&Path>) -> Result<Option<Policy>, Failure> {
    path.map(super::super::validate::only_policy).transpose()
}

fn load(path: &Path, column: Option<&str>) -> Result<Load, Failure> {
    let name = path.display().to_string();
    let file = File::open(path)
        .map_err(|error| Failure::Input(format!("{name}: cannot be opened: {error}; check the path")))?;
    Load::read(&name, file, column).map_err(|error| Failure::Input(error.to_string()))
}

/// Reads a file of prices.
pub(super) fn prices(path: &Path) -> Result<Prices, Failure> {
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::Input(format!("{name}: cannot be read: {error}; check the path")))?;
    let prices: Prices = serde_saphyr::from_str(&text)
        .map_err(|error| Failure::Input(format!("{name}: {error}; write for example `coreHour: 0.0316`")))?;
    let good = |price: f64| price.is_finite() && price >= 0.0;
    if !good(prices.gib_hour.get()) || !good(prices.core_hour.get()) || prices.core_hour.get() == 0.0 {
        return Err(Failure::Input(format!("{name}: prices must be positive numbers of dollars; correct them")));
    }
    Ok(prices)
}
