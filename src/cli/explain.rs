//! `arbiter explain`.

use std::process::ExitCode;

/// Arguments of `arbiter explain`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// Runs `arbiter explain`.
pub(super) fn run(_args: Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("arbiter explain is not built yet")
}
