//! `arbiter completions`: a completion script for a shell, from the definitions of the commands themselves.

use std::process::ExitCode;

use clap_complete::Shell;

/// Arguments of `arbiter completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  arbiter completions bash > /etc/bash_completion.d/arbiter")]
pub(super) struct Args {
    /// The shell to complete for
    shell: Shell,
}

/// Runs `arbiter completions`.
#[expect(clippy::unnecessary_wraps, reason = "every subcommand has this shape")]
#[expect(clippy::needless_pass_by_value, reason = "every subcommand owns its arguments")]
pub(super) fn run(args: Args, command: &mut clap::Command) -> anyhow::Result<ExitCode> {
    clap_complete::generate(args.shell, command, "arbiter", &mut std::io::stdout());
    Ok(ExitCode::SUCCESS)
}
