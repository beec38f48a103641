//! `arbiter simulate`.

use std::process::ExitCode;

/// Arguments of `arbiter simulate`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// Runs `arbiter simulate`.
pub(super) fn run(_args: Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("arbiter simulate is not built yet")
}
