//! `arbiter validate`: checks policy files without a cluster.
//!
//! Every problem of every document is said at once, each as `file:line: path: message`. Documents of other kinds are
//! passed over, so that whole manifests can be given. Exit 0: no problem; 1: problems; 2: a file that cannot be read.

mod check;
mod located;
#[cfg(test)]
mod tests;

use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use check::Report;
pub(super) use located::Document;

use super::Failure;
use crate::policy::Policy;

/// Largest file that is read, in bytes: a thousand policies of the largest size that etcd takes would be more.
const MAX_BYTES: u64 = 64 << 20;

/// Arguments of `arbiter validate`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  arbiter validate policies/*.yaml\n  kubectl get scalingpolicies -A -o yaml | arbiter validate -"
)]
pub(super) struct Args {
    /// YAML or JSON files; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How problems are printed
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Output {
    /// One line for each problem
    Table,
    /// One JSON object
    Json,
}

/// Runs `arbiter validate`.
#[expect(clippy::needless_pass_by_value, reason = "every subcommand owns its arguments")]
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut report = Report::default();
    for file in &args.files {
        match read(file) {
            Ok(text) => report.file(&name_of(file), &text),
            Err(reason) => report.unreadable(&name_of(file), reason),
        }
    }
    let text = match args.output {
        Output::Table => report.lines(),
        Output::Json => report.json()?,
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Failure::Environment(format!("standard output cannot be written: {error}")))?;
    eprint!("{}", report.closing());
    Ok(ExitCode::from(report.exit_code()))
}

/// The one policy of a file, for the commands that follow it; otherwise all that is wrong, a line each.
pub(super) fn only_policy(file: &Path) -> Result<Policy, Failure> {
    let name = name_of(file);
    let text = read(file).map_err(|reason| Failure::Input(format!("{name}: {reason}")))?;
    let mut report = Report::default();
    report.file(&name, &text);
    if report.exit_code() != 0 {
        let problems = report.problems();
        return Err(Failure::Input(problems.join("\n")));
    }
    let mut policies = report.sound.into_iter();
    match (policies.next(), policies.next()) {
        (Some(policy), None) => Ok(policy),
        _ => Err(Failure::Input(format!("{name}: holds several policies: give a file with one"))),
    }
}

/// The sound policies of a text, and all that is wrong with it, a line each.
#[cfg(feature = "controller")]
pub(crate) fn judged(file: &str, text: &str) -> (Vec<Policy>, Vec<String>) {
    let mut report = Report::default();
    report.file(file, text);
    let problems = report.problems();
    (report.sound, problems)
}

/// How a file is called in messages.
pub(super) fn name_of(file: &Path) -> String {
    if file == Path::new("-") { "<stdin>".to_owned() } else { file.display().to_string() }
}

/// The text of a file, or of standard input.
pub(super) fn read(file: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let outcome = if file == Path::new("-") {
        std::io::stdin().take(MAX_BYTES + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|open| open.take(MAX_BYTES + 1).read_to_end(&mut bytes))
    };
    outcome.map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("is larger than {} MiB: split it", MAX_BYTES >> 20));
    }
    String::from_utf8(bytes).map_err(|error| format!("is not UTF-8 text (byte {})", error.utf8_error().valid_up_to()))
}
