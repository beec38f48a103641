//! `arbiter crds`: the custom resource definitions as YAML, and the reference of their fields as Markdown.

use std::{io::Write, process::ExitCode};

use super::Failure;
use crate::api;

/// Arguments of `arbiter crds`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  arbiter crds | kubectl apply --server-side -f -")]
pub(super) struct Args {
    /// Print the table of every field, its default and its meaning instead, as Markdown
    #[arg(long)]
    docs: bool,
}

/// Runs `arbiter crds`.
#[expect(clippy::needless_pass_by_value, reason = "every subcommand owns its arguments")]
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let text = if args.docs { api::docs::markdown() } else { api::crd_yaml() };
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Failure::Environment(format!("standard output cannot be written: {error}")))?;
    Ok(ExitCode::SUCCESS)
}
