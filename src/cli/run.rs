//! `arbiter run`.

use std::process::ExitCode;

/// Arguments of `arbiter run`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// Runs `arbiter run`.
pub(super) fn run(_args: Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("arbiter run is not built yet")
}
