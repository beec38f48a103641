//! `arbiter crds`.

use std::process::ExitCode;

/// Arguments of `arbiter crds`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// Runs `arbiter crds`.
pub(super) fn run(_args: Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("arbiter crds is not built yet")
}
