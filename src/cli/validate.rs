//! `arbiter validate`.

use std::process::ExitCode;

/// Arguments of `arbiter validate`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// Runs `arbiter validate`.
pub(super) fn run(_args: Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("arbiter validate is not built yet")
}
