//! `arbiter simulate`: recorded loads under several controllers, scored.

mod jobs;
mod markdown;
mod output;
mod recording;
mod report;
mod table;

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use jiff::SignedDuration;

use super::Failure;
use crate::{
    policy::{Policy, Prices},
    simulate::{
        Load, Scenario, TraceOptions, check_controller,
        summary::{Assumptions, Summary},
    },
    units::{Cores, Seconds},
};

/// Arguments of `arbiter simulate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  arbiter simulate --trace simulations/traces/ms_mongo_app01_rps_1m.csv --seeds 1")]
pub(super) struct Args {
    /// Recorded loads: CSV with the header `timestamp_s,METRIC,…`; the load is `rps`, `arrivals` or `cpu_cores`
    #[arg(long, value_name = "FILE", num_args = 1..)]
    trace: Vec<PathBuf>,
    #[arg(long, value_name = "FILE", num_args = 1.., hide = true)]
    scenario: Vec<PathBuf>,
    /// What `arbiter record` wrote: its load on a service fitted to it, if the plant reproduces what happened
    #[arg(long, value_name = "DIR", conflicts_with_all = ["trace", "scenario"])]
    recording: Option<PathBuf>,
    /// The ScalingPolicy to follow; without one: 2 to 60 replicas and 99 % of requests within 200 ms
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Controllers to compare; a name that does not exist lists those that do
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "arbiter,hpa70")]
    controllers: Vec<String>,
    /// Repetitions with other noise, starts and tiles
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// Time at the beginning that is not scored
    #[arg(long, default_value = "24h", value_parser = duration)]
    warmup: SignedDuration,
    /// Work at the load's peak (its 99.9th percentile), in cores
    #[arg(long, default_value_t = 8.0, value_parser = positive)]
    peak_cores: f64,
    /// Column that is the load, when it is none of `rps`, `arrivals` and `cpu_cores`; of several the first that a trace has
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    load_column: Vec<String>,
    /// Prices of requests: YAML or JSON with coreHour and gibHour, in dollars
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Directory for report.html, summary.json, timings.json, timeline.csv and decisions.jsonl
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// What is printed: a table for people, summary.json for machines, or rows by trace for a document
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// Runs side by side; the result does not depend on it [default: as many as there are cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
}

/// What goes to stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// One sentence and a table.
    Table,
    /// `summary.json`.
    Json,
    /// One row per trace and a mean, for a document.
    Markdown,
}

/// Runs `arbiter simulate`.
#[expect(clippy::needless_pass_by_value, reason = "every subcommand owns its arguments")]
pub(super) fn run(args: Box<Args>) -> anyhow::Result<ExitCode> {
    let (scenarios, calibration) = match &args.recording {
        Some(directory) => recording::scenarios(directory, &args)?,
        None => (scenarios(&args)?, Vec::new()),
    };
    for name in &args.controllers {
        check_controller(name).map_err(|error| Failure::Input(error.to_string()))?;
    }
    let plan = jobs::Plan { scenarios: &scenarios, controllers: &args.controllers, seeds: args.seeds };
    let panels = scenarios.len() * args.controllers.len();
    let out = args.out.as_deref().map(|path| output::Directory::create(path, panels)).transpose()?;
    let workers = args.jobs.map_or_else(default_jobs, usize::from);
    let outcomes = jobs::play(&plan, workers, out.as_ref())?;
    let (scores, timings) = outcomes.into_iter().unzip();
    let summary = Summary::new(Assumptions::of(&scenarios[0]), scores);
    let json = output::json(&summary)?;
    if let Some(out) = &out {
        out.publish(plan.len(), &json, &report::page(&plan, &summary, calibration, out), &timings)?;
    }
    let text = match args.output {
        Format::Json => json,
        Format::Markdown => markdown::render(&summary, &args.controllers),
        Format::Table => table::render(&summary, &args.controllers, args.out.as_deref()),
    };
    super::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Reads everything before anything is played: bad input leaves nothing half written.
fn scenarios(args: &Args) -> Result<Vec<Scenario>, Failure> {
    let unavailable = |flag: &str| {
        Failure::Input(format!("{flag} is not available in this version; replay recorded loads with --trace FILE.csv"))
    };
    if !args.scenario.is_empty() {
        return Err(unavailable("--scenario"));
    }
    if args.trace.is_empty() {
        return Err(Failure::Input("no load to replay; give at least one --trace FILE.csv".to_owned()));
    }
    let policy: Option<Policy> = args.policy.as_deref().map(super::validate::only_policy).transpose()?;
    let prices = args.prices.as_deref().map(prices).transpose()?;
    let mut scenarios: Vec<Scenario> = Vec::new();
    for path in &args.trace {
        let name = path.display().to_string();
        let file = File::open(path)
            .map_err(|error| Failure::Input(format!("{name}: cannot be opened: {error}; check the path")))?;
        let load = Load::read(&name, file, load_column(&args.load_column, path).as_deref())
            .map_err(|error| Failure::Input(error.to_string()))?;
        if scenarios.iter().any(|scenario| scenario.load.name == load.name) {
            return Err(Failure::Input(format!("{name}: another trace is called `{}` too; rename one", load.name)));
        }
        let options = TraceOptions {
            peak_cores: Cores(args.peak_cores),
            warmup: Seconds(args.warmup.as_secs_f64()),
            policy: policy.clone(),
            prices,
        };
        let scenario = Scenario::from_trace(load, options);
        if scenario.warmup >= scenario.duration {
            let hours = scenario.duration.get() / 3600.0;
            return Err(Failure::Input(format!(
                "{name}: --warmup leaves nothing to score of {hours:.0} h; make it shorter"
            )));
        }
        scenarios.push(scenario);
    }
    Ok(scenarios)
}

/// The column to read: the only one that was named, or the first of several that the trace has.
fn load_column(named: &[String], trace: &Path) -> Option<String> {
    /// No header is longer.
    const HEADER: u64 = 1 << 16;
    if let [one] = named {
        return Some(one.clone());
    }
    let mut header = String::new();
    // What cannot be read here is told when the trace itself is read.
    BufReader::new(File::open(trace).ok()?.take(HEADER)).read_line(&mut header).ok()?;
    let columns: Vec<&str> = header.trim().split(',').map(str::trim).collect();
    named.iter().find(|name| columns.contains(&name.as_str())).cloned()
}

/// Reads a file of prices.
fn prices(path: &Path) -> Result<Prices, Failure> {
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

fn default_jobs() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn duration(text: &str) -> Result<SignedDuration, String> {
    let duration: SignedDuration = text.parse().map_err(|_| "write it as 24h or 90m".to_owned())?;
    if duration.is_negative() { Err("it cannot be negative".to_owned()) } else { Ok(duration) }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        _ => Err("give a positive number".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::simulate::CONTROLLERS;

    #[derive(clap::Parser)]
    struct Probe {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn help_names_the_controllers_that_there_are() {
        let help = Probe::command().render_long_help().to_string();
        assert!(help.contains(&CONTROLLERS.join(", ")), "{help}");
    }

    #[test]
    fn the_first_named_column_that_a_trace_has_is_its_load() {
        let directory = tempfile::tempdir().unwrap();
        let trace = directory.path().join("x.csv");
        std::fs::write(&trace, "timestamp_s, qps,eps\n0,1,2\n").unwrap();
        let column = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            load_column(&names, &trace)
        };
        assert_eq!(column(&["eps", "qps"]).as_deref(), Some("eps"));
        assert_eq!(column(&["demand", "qps"]).as_deref(), Some("qps"));
        assert_eq!(column(&["demand", "cpu"]), None);
        assert_eq!(column(&[]), None);
        // A single name is meant: reading the trace says that it is not there.
        assert_eq!(column(&["demand"]).as_deref(), Some("demand"));
    }

    #[test]
    fn durations_and_numbers_are_checked() {
        assert_eq!(duration("90m").unwrap().as_secs(), 5400);
        assert!(duration("soon").is_err() && duration("-1h").is_err());
        assert!(positive("8").is_ok() && positive("0").is_err() && positive("NaN").is_err());
    }
}
