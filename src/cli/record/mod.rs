//! `arbiter record`: a workload's history from Prometheus, into a directory that `arbiter simulate --recording` replays.
//!
//! One query at a time, in pieces that a server answers, each piece a file: an interrupted recording goes on where it
//! was. The files of a recording appear when everything has been read, the manifest last.

mod pieces;
mod queries;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{Failure, run::duration, run::pairs};
use crate::{
    observe::{
        clock::{Clock as _, SystemClock},
        prometheus::{Prometheus, PrometheusConfig},
    },
    simulate::recording::{Manifest, VERSION},
};

/// Longest wait for one answer. History is read from disk, and nobody waits for a tick.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Arguments of `arbiter record`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  arbiter record --policy policy.yaml --prometheus http://localhost:9090 --last 14d --out recording\n  \
                        arbiter simulate --recording recording --policy policy.yaml --out report\n\n\
                        Interrupted? Run the same command again: it goes on."
)]
pub(super) struct Args {
    /// The `ScalingPolicy` whose workload and signals are recorded
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// URL of Prometheus or of anything that answers its query API
    #[arg(long, alias = "prometheus-url", value_name = "URL", env = "ARBITER_PROMETHEUS")]
    prometheus: String,
    /// Header of every query, several times for several
    #[arg(long, value_name = "NAME: VALUE", env = "ARBITER_PROMETHEUS_HEADER", hide_env_values = true)]
    prometheus_header: Vec<String>,
    /// Equality matcher added to every selector of every query, for example cluster=eu1
    #[arg(long, value_name = "LABEL=VALUE")]
    extra_matcher: Vec<String>,
    /// How much of the past, for example 14d, 36h
    #[arg(long, value_name = "DURATION", default_value = "14d", value_parser = past, conflicts_with = "from")]
    last: SignedDuration,
    /// First instant, for example 2026-02-01T00:00:00Z
    #[arg(long, value_name = "INSTANT", requires = "to")]
    from: Option<Timestamp>,
    /// Last instant [default: now]
    #[arg(long, value_name = "INSTANT")]
    to: Option<Timestamp>,
    /// Time between samples
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    step: Duration,
    /// Directory of the recording
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Runs `arbiter record`.
#[expect(clippy::needless_pass_by_value, reason = "every subcommand owns its arguments")]
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let policy = super::validate::only_policy(&args.policy)?;
    let config = PrometheusConfig {
        headers: pairs(&args.prometheus_header, ':', "--prometheus-header", "X-Scope-OrgID: tenant")?,
        extra_matchers: pairs(&args.extra_matcher, '=', "--extra-matcher", "cluster=eu1")?.into_iter().collect(),
        timeout: TIMEOUT,
        ..PrometheusConfig::new(args.prometheus.clone())
    };
    let prometheus = Prometheus::new(&config).map_err(|error| Failure::Input(format!("--prometheus: {error}")))?;
    let wanted = wanted(&args, &policy, &prometheus)?;
    let pieces = pieces::Pieces::open(&args.out, wanted)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::Environment(format!("no thread can be started: {e}")))?;
    runtime.block_on(pieces.fetch(&prometheus))?;
    let manifest = pieces.publish()?;
    let rows: Vec<String> =
        manifest.rows.iter().filter(|(_, n)| **n > 0).map(|(kind, n)| format!("{} {n}", kind.name())).collect();
    let none: Vec<&str> = manifest.rows.iter().filter(|(_, n)| **n == 0).map(|(kind, _)| kind.name()).collect();
    let mut text = format!("Recorded {} into {}: {} rows.\n", manifest.policy, args.out.display(), rows.join(", "));
    if !none.is_empty() {
        text.push_str(&format!("Prometheus has nothing about: {}. A replay goes without.\n", none.join(", ")));
    }
    text.push_str(&format!(
        "Next: arbiter simulate --recording {} --policy {}\n",
        args.out.display(),
        args.policy.display()
    ));
    super::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// What is to be recorded.
fn wanted(args: &Args, policy: &crate::policy::Policy, prometheus: &Prometheus) -> Result<Manifest, Failure> {
    let step = u32::try_from(args.step.as_secs()).unwrap_or(u32::MAX);
    if step == 0 || args.step.subsec_nanos() != 0 {
        return Err(Failure::Input("--step: Prometheus keeps whole seconds; write for example 15s or 60s".to_owned()));
    }
    let to = args.to.unwrap_or_else(|| SystemClock.now()).as_second();
    let from = args.from.map_or(to - args.last.as_secs(), Timestamp::as_second);
    // Aligned, so that a piece asked for again has the same instants.
    let (from, to) = (from - from.rem_euclid(i64::from(step)), to - to.rem_euclid(i64::from(step)));
    if from + i64::from(step) > to {
        return Err(Failure::Input("--from must lie before --to by at least a step; correct them".to_owned()));
    }
    let queries = queries::of(policy).map_err(|why| Failure::Input(format!("{}: {why}", args.policy.display())))?;
    Ok(Manifest {
        version: VERSION,
        policy: policy.key.to_string(),
        server: prometheus.shown_url().to_owned(),
        from,
        to,
        step_s: step,
        queries,
        rows: std::collections::BTreeMap::new(),
    })
}

/// A span of time that may be given in days.
fn past(text: &str) -> Result<SignedDuration, String> {
    let parsed = match text.strip_suffix('d') {
        Some(days) => {
            days.parse::<i64>().ok().filter(|days| *days < 100_000).map(|days| SignedDuration::from_hours(24 * days))
        }
        None => text.parse().ok(),
    };
    parsed
        .filter(SignedDuration::is_positive)
        .ok_or_else(|| "write a span of time above zero, for example 14d or 36h".into())
}

#[cfg(test)]
mod tests;
