//! `arbiter decide`: snapshots in, decisions out, one JSON object per line, and nothing else.
//!
//! Invariant: a line that cannot be read is answered by an error and leaves the Memory untouched; time comes only from
//! the snapshots.

#[cfg(test)]
mod tests;

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use serde::{Deserialize, Serialize};

use super::{Failure, staged::Staged, validate};
use crate::{
    decide::{Memory, Snapshot, decide},
    policy::Policy,
};

/// Arguments of `arbiter decide`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  arbiter decide --policy policy.yaml < snapshots.jsonl\n\n\
                        A saved replay brings its policy in its first line:\n  arbiter decide < replay.jsonl")]
pub(super) struct Args {
    /// The `ScalingPolicy` to decide by, YAML; wins over the policy of a replay
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Where Memory is read from at the start and kept: whenever the input pauses, and at its end
    #[arg(long, value_name = "FILE")]
    memory: Option<PathBuf>,
}

/// Runs `arbiter decide`.
#[expect(clippy::needless_pass_by_value, reason = "every subcommand owns its arguments")]
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let policy = args.policy.as_deref().map(validate::only_policy).transpose()?;
    let memory = args.memory.as_deref().map(read_memory).transpose()?.flatten();
    let mut session = Session { policy, memory };
    let save = |memory: &Memory| args.memory.as_deref().map_or(Ok(()), |path| save_memory(path, memory));
    session.serve(std::io::stdin().lock(), std::io::stdout().lock(), save)?;
    Ok(ExitCode::SUCCESS)
}

/// The first line of a replay; what else it says is for people.
#[derive(Deserialize)]
struct Header {
    policy: Policy,
    memory: Option<Memory>,
}

/// The answer to a line that cannot be read.
#[derive(Serialize)]
struct Problem {
    error: String,
}

/// What is kept between lines. None: not known yet.
struct Session {
    policy: Option<Policy>,
    memory: Option<Memory>,
}

impl Session {
    /// Answers every line, flushed, until the input ends or nobody reads any more.
    fn serve(
        &mut self,
        input: impl Read,
        mut output: impl Write,
        save: impl Fn(&Memory) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut input = BufReader::new(input);
        let mut line = Vec::new();
        let mut number = 0_u64;
        loop {
            line.clear();
            let read = input.read_until(b'\n', &mut line);
            if read.map_err(|error| Failure::Environment(format!("stdin: cannot be read: {error}")))? == 0 {
                return self.keep(save);
            }
            number += 1;
            let Some(answer) = self.answer(&line, number) else { continue };
            match output.write_all(answer.as_bytes()).and_then(|()| output.flush()) {
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return self.keep(save),
                Err(error) => return Err(Failure::Environment(format!("stdout: cannot be written: {error}"))),
                Ok(()) => {}
            }
            if input.buffer().is_empty() {
                self.keep(&save)?;
            }
        }
    }

    /// The line that answers a line; none for a blank one and for the header of a replay.
    fn answer(&mut self, line: &[u8], number: u64) -> Option<String> {
        if line.trim_ascii().is_empty() {
            return None;
        }
        let answer = match self.take(line.trim_ascii()) {
            Ok(None) => return None,
            Ok(Some(decision)) => decision,
            Err(problem) => {
                let problem = Problem { error: format!("line {number}: {problem}") };
                serde_json::to_string(&problem).unwrap_or_else(|_| "{\"error\":\"unprintable\"}".to_owned())
            }
        };
        Some(answer + "\n")
    }

    fn take(&mut self, line: &[u8]) -> Result<Option<String>, String> {
        let value: serde_json::Value =
            serde_json::from_slice(line).map_err(|error| format!("not JSON: {error}; give one object per line"))?;
        if value.get("policy").is_some() && value.get("at").is_none() {
            let header: Header =
                serde_json::from_value(value).map_err(|error| format!("not the header of a replay: {error}"))?;
            self.policy.get_or_insert(header.policy);
            self.memory = self.memory.take().or(header.memory);
            return Ok(None);
        }
        let snapshot: Snapshot = serde_json::from_value(value)
            .map_err(|error| format!("not a Snapshot: {error}; it needs `at`, `replicas.spec` and `replicas.ready`"))?;
        let policy = self.policy.as_ref().ok_or("no policy yet; give --policy FILE or a replay with its header")?;
        let memory = self.memory.get_or_insert_default();
        let decision = decide(&snapshot, policy, memory, snapshot.at);
        serde_json::to_string(&decision).map(Some).map_err(|error| format!("the decision cannot be written: {error}"))
    }

    fn keep(&self, save: impl Fn(&Memory) -> Result<(), Failure>) -> Result<(), Failure> {
        self.memory.as_ref().map_or(Ok(()), save)
    }
}

/// What is answered to a stream, and the Memory at its end.
#[cfg(feature = "controller")]
pub(crate) fn answers(policy: Option<Policy>, input: &[u8]) -> (Vec<u8>, Option<Memory>) {
    let mut session = Session { policy, memory: None };
    let mut output = Vec::new();
    let served = session.serve(input, &mut output, |_| Ok(()));
    served.expect("reading from and writing to memory cannot fail");
    (output, session.memory)
}

/// Reads Memory; a file that is not there yet is an empty one.
fn read_memory(path: &Path) -> Result<Option<Memory>, Failure> {
    let bad = |problem: String| Failure::Input(format!("{}: {problem}; remove it to begin anew", path.display()));
    match std::fs::read(path) {
        Ok(text) => Memory::from_text(&text).map(Some).map_err(|error| bad(error.to_string())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(bad(format!("cannot be read: {error}"))),
    }
}

/// Replaces the file by one that holds this Memory.
fn save_memory(path: &Path, memory: &Memory) -> Result<(), Failure> {
    let text = memory.to_text().map_err(|error| Failure::Environment(format!("{}: {error}", path.display())))?;
    let mut file = Staged::create(path)?;
    file.write(text.as_bytes())?;
    file.publish()
}
