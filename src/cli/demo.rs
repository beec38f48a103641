//! `arbiter demo`.

use std::process::ExitCode;

/// Arguments of `arbiter demo`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// Runs `arbiter demo`.
pub(super) fn run(_args: Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("arbiter demo is not built yet")
}
