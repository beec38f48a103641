//! `arbiter decide`.

use std::process::ExitCode;

/// Arguments of `arbiter decide`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// Runs `arbiter decide`.
pub(super) fn run(_args: Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("arbiter decide is not built yet")
}
