//! `arbiter judge`: what the decision model must reach, measured on both halves of a directory of recordings.
//!
//! Rivals are played in the same run, or, with `--cache`, found from an earlier one of the same simulator.

mod cache;
mod cases;
mod halves;
mod kernel;
mod measures;
mod page;
mod play;
mod plots;
mod results;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use super::{Failure, simulate, staged::Staged};
use cases::Choice;
use halves::Half;
use measures::Measured;
use results::{Results, late};

/// Arguments of `arbiter judge`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Directory of the recordings that the halves name
    traces: PathBuf,
    /// Which recording belongs to which half
    #[arg(long, value_name = "FILE", default_value = "simulations/halves.csv")]
    halves: PathBuf,
    /// Directory of scenario files: those with a queue are played
    #[arg(long, value_name = "DIR", default_value = "simulations/scenarios")]
    scenarios: PathBuf,
    /// The report; beside it, with the ending csv, every number by setting, load and controller
    #[arg(long, value_name = "FILE", default_value = "simulations/results/model.md")]
    out: PathBuf,
    /// Directory for the pictures of docs/model.md; without, none are drawn
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,
    /// The recording whose second day the pictures show
    #[arg(long, value_name = "FILE", default_value = "simulations/traces/mongodb_rps_3d.csv")]
    day: PathBuf,
    /// One half alone
    #[arg(long)]
    half: Option<Half>,
    /// Settings to play, all without: a peak, a condition, a budget of trims, `queue`
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    settings: Vec<String>,
    /// Repetitions with other noise, starts and tiles
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    seeds: u64,
    /// Runs side by side [default: as many as there are cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Where scores of rivals are kept between runs; needs --inputs
    #[arg(long, value_name = "FILE", requires = "inputs")]
    cache: Option<PathBuf>,
    /// A word that changes when the simulator's sources do
    #[arg(long, value_name = "WORD")]
    inputs: Option<String>,
}

/// Runs `arbiter judge`.
#[expect(clippy::needless_pass_by_value, reason = "every subcommand owns its arguments")]
pub(super) fn run(args: Box<Args>) -> anyhow::Result<ExitCode> {
    let known = cases::settings();
    if let Some(unknown) = args.settings.iter().find(|setting| !known.contains(setting)) {
        let what = format!("--settings: `{unknown}` is not one; choose among {}", known.join(", "));
        return Err(Failure::Input(what).into());
    }
    let halves = halves::read(&args.halves)?;
    let choice = Choice {
        traces: &args.traces,
        scenarios: &args.scenarios,
        halves: &halves,
        half: args.half,
        settings: &args.settings,
        seeds: args.seeds,
    };
    let cases = cases::all(&choice)?;
    let inputs = args.inputs.as_deref().unwrap_or_default();
    let cache = args.cache.as_deref().map(|path| cache::Cache::open(path, inputs)).transpose()?;
    let watch = super::progress::Stopwatch::start();
    let results = play::play(&cases, args.jobs.map_or_else(simulate::default_jobs, usize::from), cache.as_ref())?;
    if let Some(cache) = &cache {
        cache.save()?;
    }
    let seconds = watch.elapsed().as_secs_f64();
    let kernel = kernel::measure()?;
    let measured = Measured { results: &results, halves: &halves, kernel: Some(&kernel) };
    let how = how(&args, &cases, seconds);
    write(&args.out, &page::render(&measured, &how))?;
    write(&args.out.with_extension("csv"), &lines(&results, &halves))?;
    if let Some(directory) = &args.plots {
        let pictures = plots::of_a_day(&args.day)?.into_iter().chain(plots::of_measures(&measured));
        for (name, svg) in pictures {
            write(&directory.join(name), &svg)?;
        }
    }
    super::print(&format!("{}\n", args.out.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// How the report was made.
fn how(args: &Args, cases: &[cases::Case], seconds: f64) -> String {
    let mut traces: Vec<&str> =
        cases.iter().filter(|case| case.setting != cases::QUEUE).map(cases::Case::trace).collect();
    traces.sort_unstable();
    traces.dedup();
    let rivals =
        if args.cache.is_some() { "scores of rivals kept from earlier runs" } else { "all controllers in one run" };
    format!(
        "Written by `make judge TRACES=DIRECTORY`: {} recordings, {} seeds, {rivals}, {seconds:.0} s. Which recording belongs to which half \
         is fixed in\n[../halves.csv](../halves.csv); numbers of the model are chosen on the development half. What is assumed and what J is: \
         [../README.md](../README.md).\nSimulation, not production. Means over seeds; the smaller the better. Every number is in \
         [{name}]({name}).",
        traces.len(),
        args.seeds,
        name = args.out.with_extension("csv").file_name().unwrap_or_default().to_string_lossy(),
    )
}

/// Every number, as CSV: means over seeds.
fn lines(results: &Results, halves: &halves::Halves) -> String {
    let mut text =
        "setting,trace,half,controller,seeds,j_usd,cost_usd,late_ratio,reversals_per_hour,trims_per_pod_day,\
                    resizes_per_pod_day,longest_saturated_hold_leads,mean_replicas,mean_cpu_request_cores\n"
            .to_owned();
    for (setting, trace, player, scores) in results.all() {
        let mean = |value: fn(&crate::simulate::Score) -> Option<f64>| {
            let values: Option<Vec<f64>> = scores.values().map(value).collect();
            values.and_then(|values| results::mean(&values)).map_or_else(String::new, |mean| format!("{mean:.6}"))
        };
        let half = match halves.get(trace) {
            Some(Half::Development) => "development",
            Some(Half::Judged) => "judged",
            None => "",
        };
        let number = player.only.map_or_else(String::new, |only| format!("/{only}"));
        let cells = [
            mean(|score| Some(score.j.get())),
            mean(|score| Some(score.cost_usd.get())),
            mean(late),
            mean(|score| Some(score.reversals_per_hour)),
            mean(|score| Some(score.trims_per_pod_day)),
            mean(|score| Some(score.resizes_per_pod_day)),
            mean(|score| score.longest_saturated_hold_leads),
            mean(|score| Some(score.mean_replicas)),
            mean(|score| Some(score.mean_cpu_request_cores.get())),
        ];
        let (name, seeds) = (player.name, scores.len());
        text.push_str(&format!("{setting},{trace},{half},{name}{number},{seeds},{}\n", cells.join(",")));
    }
    text
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let mut file = Staged::create(path)?;
    file.write(text.as_bytes())?;
    file.publish()
}
