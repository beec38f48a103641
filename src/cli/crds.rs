//! `arbiter crds`: the custom resource definitions and the admission policies as YAML, and the reference of the fields
//! as Markdown.

use std::{io::Write, process::ExitCode};

use clap::builder::PossibleValuesParser;

use super::Failure;
use crate::api;

/// Arguments of `arbiter crds`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  arbiter crds | kubectl apply --server-side -f -\n  \
                        arbiter crds --admission one-owner | kubectl apply --server-side -f -")]
pub(super) struct Args {
    /// Print the table of every field, its default and its meaning instead, as Markdown
    #[arg(long)]
    docs: bool,
    /// Print this definition only
    #[arg(long, value_name = "PLURAL", value_parser = PossibleValuesParser::new(api::DEFINITIONS), conflicts_with = "docs")]
    only: Option<String>,
    /// Print admission policies instead: the one named, or all of them
    #[arg(
        long,
        value_name = "NAME",
        num_args = 0..=1,
        default_missing_value = "all",
        value_parser = PossibleValuesParser::new(["all", "one-owner", "pod-sizes"]),
        conflicts_with_all = ["docs", "only"],
    )]
    admission: Option<String>,
}

/// Runs `arbiter crds`.
#[expect(clippy::needless_pass_by_value, reason = "every subcommand owns its arguments")]
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let text = if args.docs { api::docs::markdown() } else { yaml(&args) };
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Failure::Environment(format!("standard output cannot be written: {error}")))?;
    Ok(ExitCode::SUCCESS)
}

fn yaml(args: &Args) -> String {
    let wanted = |choice: &Option<String>, name: &str| choice.as_deref().is_none_or(|c| c == "all" || c == name);
    if args.admission.is_some() {
        let chosen = api::ADMISSION.iter().filter(|(name, _)| wanted(&args.admission, name));
        return chosen.map(|(_, text)| *text).collect::<Vec<_>>().join("---\n");
    }
    let chosen = api::DEFINITIONS.iter().filter(|plural| wanted(&args.only, plural));
    chosen.filter_map(|plural| api::definition_yaml(plural)).collect()
}
