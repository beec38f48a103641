//! `arbiter simulate`: recorded loads under several controllers, scored.

mod course;
mod jobs;
mod markdown;
mod output;
mod recording;
mod report;
mod scenarios;
mod table;

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::LazyLock,
};

use jiff::SignedDuration;

use super::Failure;
use crate::simulate::{
    Scenario, check_controller,
    summary::{Assumptions, Summary},
};

/// Arguments of `arbiter simulate`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  arbiter simulate --trace simulations/traces/mongodb_rps_3d.csv --seeds 1\n  arbiter simulate --scenario simulations/scenarios/step.yaml"
)]
pub(super) struct Args {
    /// Recorded loads: CSV with the header `timestamp_s,METRIC,…`; the load is `rps`, `arrivals` or `cpu_cores`
    #[arg(long, value_name = "FILE", num_args = 1..)]
    trace: Vec<PathBuf>,
    /// Scenario files: a load, a service, nodes and events in YAML (simulations/scenarios/README.md)
    #[arg(long, value_name = "FILE", num_args = 1..)]
    scenario: Vec<PathBuf>,
    /// What `arbiter record` wrote: its load on a service fitted to it, if the plant reproduces what happened
    #[arg(long, value_name = "DIR", conflicts_with_all = ["trace", "scenario"])]
    recording: Option<PathBuf>,
    /// The ScalingPolicy to follow; without one: 2 to 60 replicas and 99 % of requests within 200 ms
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Controllers to compare [default: a scenario's own, else arbiter,hpa70]: arbiter, hpa50, hpa70, hpa80, keda, kpa, vpa, vpa-inplace, hpa50-vpa, hpa70-vpa, hpa70-vpamem, gardener, keda-vpa, hvpa, hpa-hindsight, static, oracle-n, oracle, oracle-lead
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
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
    /// Constants of arbiter's model that are not the shipped ones, to measure what they are worth
    #[arg(long, value_name = "NAME=VALUE", value_delimiter = ',', hide = true)]
    tuning: Vec<String>,
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
    for name in &args.controllers {
        check_controller(name).map_err(|error| Failure::Input(error.to_string()))?;
    }
    let (scenarios, calibration) = match &args.recording {
        Some(directory) => recording::scenarios(directory, &args)?,
        None => (scenarios::read(&args)?, Vec::new()),
    };
    let chosen = args.controllers.as_slice();
    let plan = jobs::Plan { scenarios: &scenarios, controllers: chosen, seeds: args.seeds };
    // The first seed of each is plotted.
    let panels = plan.len() / usize::try_from(args.seeds).unwrap_or(usize::MAX).max(1);
    let out = args.out.as_deref().map(|path| output::Directory::create(path, panels)).transpose()?;
    let workers = args.jobs.map_or_else(default_jobs, usize::from);
    let outcomes = jobs::play(&plan, workers, out.as_ref())?;
    let (scores, timings): (Vec<_>, Vec<_>) = outcomes.runs.into_iter().unzip();
    let mut summary = Summary::new(Assumptions::of(&scenarios[0]), scores, &outcomes.bounds);
    if !args.scenario.is_empty() {
        let of = |scenario: &Scenario| (scenario.load.name.clone(), Assumptions::of(scenario));
        summary.scenarios = scenarios.iter().map(of).collect();
    }
    let json = output::json(&summary)?;
    if let Some(out) = &out {
        out.publish(plan.len(), &json, &report::page(&plan, &summary, calibration, out), &timings)?;
    }
    let controllers = course::all_controllers(&scenarios, chosen);
    let text = match args.output {
        Format::Json => json,
        Format::Markdown => markdown::render(&summary, &controllers),
        Format::Table if !args.scenario.is_empty() => course::render(&scenarios, chosen, &summary, &timings),
        Format::Table => table::render(&summary, &controllers, args.out.as_deref()),
    };
    super::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Controllers of a scenario: those that were chosen, else its own, else arbiter beside the most usual HPA.
fn controllers_of<'a>(scenario: &'a Scenario, chosen: &'a [String]) -> &'a [String] {
    static USUAL: LazyLock<[String; 2]> = LazyLock::new(|| ["arbiter".to_owned(), "hpa70".to_owned()]);
    [chosen, &scenario.controllers].into_iter().find(|names| !names.is_empty()).unwrap_or(USUAL.as_slice())
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
