//! The command line: one file per subcommand.
//!
//! Exit codes: 0 fine, 1 findings (`validate`), 2 wrong usage or unreadable input, 3 environment (cluster or server
//! unreachable). An error is one sentence on stderr: what, where, what to do.

use std::{io::Write as _, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand};

#[cfg(feature = "controller")]
pub(crate) use {decide::answers, validate::judged};

mod completions;
mod crds;
mod decide;
#[cfg(feature = "page")]
mod demo;
#[cfg(feature = "controller")]
mod explain;
#[cfg(feature = "page")]
mod fight;
mod import;
mod judge;
mod progress;
#[cfg(feature = "controller")]
mod record;
#[cfg(feature = "controller")]
mod release;
#[cfg(feature = "controller")]
mod run;
mod simulate;
mod staged;
mod validate;

/// One Kubernetes autoscaler for replicas and pod size, deciding both from one demand model.
#[derive(Debug, Parser)]
#[command(name = "arbiter", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Replay a recorded day, arbiter beside an HPA, with a live page; needs no cluster
    #[cfg(feature = "page")]
    Demo(demo::Args),
    /// Run the controller
    #[cfg(feature = "controller")]
    Run(Box<run::Args>),
    /// Pull a workload's history from Prometheus, to be replayed by `arbiter simulate --recording`
    #[cfg(feature = "controller")]
    Record(record::Args),
    /// Give back every autoscaler that was stood down, when the controller is gone
    #[cfg(feature = "controller")]
    Release(release::Args),
    /// Show why a live policy decided what it did
    #[cfg(feature = "controller")]
    Explain(explain::Args),
    /// Turn manifests of HPA, VPA and KEDA into policies
    Import(import::Args),
    /// Check policy files without a cluster
    Validate(validate::Args),
    /// Replay recorded load under several controllers and score them
    Simulate(Box<simulate::Args>),
    /// Read snapshots on stdin, write decisions on stdout
    Decide(decide::Args),
    /// Print the custom resource definitions
    Crds(crds::Args),
    /// Make the simulator's latency table anew, for `src/simulate/latency/table.csv`
    #[command(hide = true)]
    LatencyTable,
    /// Measure the decision model on both halves of a directory of recordings, for `simulations/results/model.md`
    #[command(hide = true)]
    Judge(Box<judge::Args>),
    /// Print a completion script for a shell
    Completions(completions::Args),
}

/// A failure with its exit code; the text is the whole sentence that the user reads.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Wrong usage or unreadable input: exit 2.
    #[error("{0}")]
    Input(String),
    /// Cluster or server unreachable, file system refused: exit 3.
    #[error("{0}")]
    Environment(String),
}

/// Prints a result; a reader that has gone away (`| head`) is not an error.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Environment(format!("stdout: cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// Parses the arguments of the process, runs the subcommand and turns its outcome into an exit code.
#[must_use]
pub fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        #[cfg(feature = "page")]
        Command::Demo(args) => demo::run(args),
        #[cfg(feature = "controller")]
        Command::Run(args) => run::run(*args),
        #[cfg(feature = "controller")]
        Command::Record(args) => record::run(args),
        #[cfg(feature = "controller")]
        Command::Release(args) => release::run(args),
        #[cfg(feature = "controller")]
        Command::Explain(args) => explain::run(args),
        Command::Import(args) => import::run(args),
        Command::Validate(args) => validate::run(args),
        Command::Simulate(args) => simulate::run(args),
        Command::Decide(args) => decide::run(args),
        Command::Crds(args) => crds::run(args),
        Command::LatencyTable => {
            print(&crate::simulate::latency_table()).map(|()| ExitCode::SUCCESS).map_err(Into::into)
        }
        Command::Judge(args) => judge::run(args),
        Command::Completions(args) => completions::run(args, &mut Cli::command()),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        match error.downcast_ref::<Failure>() {
            Some(Failure::Environment(_)) => ExitCode::from(3),
            _ => ExitCode::from(2),
        }
    })
}
