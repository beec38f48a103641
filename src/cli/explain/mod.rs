//! `arbiter explain`: why a policy decided what it did, from the running controller or from a saved replay.
//!
//! It shows what the decision says about itself and computes nothing of its own.

mod table;

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Failure;
use crate::{
    decide::{Decision, Memory, Reason, Snapshot, decide},
    observe::clock::{Clock, SystemClock},
    policy::{Mode, Policy},
    units::{Cores, Replicas},
};

/// Changes that are shown.
const CHANGES: usize = 5;

/// How long the controller may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Arguments of `arbiter explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  kubectl -n arbiter-system port-forward deploy/arbiter 8081 &\n  \
                        arbiter explain -n memes meme-backend\n\n  \
                        curl -s localhost:8081/api/v1/policies/memes/meme-backend/replay > replay.ndjson\n  \
                        arbiter explain --file replay.ndjson")]
pub(super) struct Args {
    /// Name of the `ScalingPolicy`
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    name: Option<String>,
    /// Its namespace
    #[arg(long, short, default_value = "default", value_name = "NAME")]
    namespace: String,
    /// Address of the controller's page and JSON API
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8081", env = "ARBITER_SERVER")]
    server: String,
    /// A saved replay instead of a controller: decided again, and the last decision shown
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Form of the answer
    #[arg(long, short, value_enum, default_value = "table")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// For people
    Table,
    /// For machines: the whole record
    Json,
}

/// What is shown: a decision with the changes that led to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    namespace: String,
    name: String,
    kind: String,
    target: String,
    mode: Mode,
    #[serde(default)]
    ready: Option<Replicas>,
    decision: Decision,
    #[serde(default)]
    changes: Vec<Change>,
}

/// A decision that wanted something else than the one before.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Change {
    /// Milliseconds since the epoch.
    at: i64,
    from: Shape,
    to: Shape,
    reason: Reason,
}

/// Replicas and CPU request of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    replicas: Replicas,
    #[serde(default)]
    pod_cores: Option<Cores>,
}

/// Runs `arbiter explain`.
#[expect(clippy::needless_pass_by_value, reason = "every subcommand owns its arguments")]
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let record = match (&args.file, &args.name) {
        (Some(file), _) => from_replay(file)?,
        (None, Some(name)) => from_controller(&args.server, &args.namespace, name)?,
        (None, None) => return Err(Failure::Input("name a ScalingPolicy, or a replay with --file".into()).into()),
    };
    let text = match args.output {
        Output::Json => serde_json::to_string_pretty(&record)? + "\n",
        Output::Table => table::render(&record, args.file.is_none().then(|| SystemClock.now())),
    };
    let written = std::io::stdout().lock().write_all(text.as_bytes());
    written.map_err(|e| Failure::Environment(format!("stdout cannot be written: {e}")))?;
    Ok(ExitCode::SUCCESS)
}

fn from_controller(server: &str, namespace: &str, name: &str) -> Result<Record, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::Environment(format!("no thread can be started: {e}")))?;
    runtime.block_on(ask(server, namespace, name))
}

async fn ask(server: &str, namespace: &str, name: &str) -> Result<Record, Failure> {
    let base = reqwest::Url::parse(server);
    let base = base.ok().filter(|u| matches!(u.scheme(), "http" | "https") && !u.cannot_be_a_base());
    let mut url =
        base.ok_or_else(|| Failure::Input(format!("--server {server}: write a URL such as http://127.0.0.1:8081")))?;
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(["api", "v1", "policies", namespace, name, "explain"]);
    }
    let unreachable = |e: reqwest::Error| {
        let cause = crate::observe::root_cause(&e);
        Failure::Environment(format!(
            "the controller at {server} cannot be reached ({cause}): forward its port (kubectl -n arbiter-system \
             port-forward deploy/arbiter 8081) or name it with --server"
        ))
    };
    let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().map_err(unreachable)?;
    let answer = client.get(url).send().await.map_err(unreachable)?;
    match answer.status().as_u16() {
        200 => answer.json().await.map_err(|e| {
            let cause = crate::observe::root_cause(&e);
            Failure::Environment(format!("{server} answers, but not like a controller of this version: {cause}"))
        }),
        404 => Err(Failure::Input(format!(
            "the controller at {server} has decided nothing for ScalingPolicy {namespace}/{name}: check the name, and \
             its Ready condition (kubectl -n {namespace} describe spol {name})"
        ))),
        status => Err(Failure::Environment(format!("{server} answers HTTP {status}: is that the controller's page?"))),
    }
}

/// The first line of a replay.
#[derive(Deserialize)]
struct Header {
    policy: Policy,
    #[serde(default)]
    memory: Option<Memory>,
}

fn from_replay(file: &Path) -> Result<Record, Failure> {
    let place = file.display();
    let opened = std::fs::File::open(file);
    let opened = opened.map_err(|e| Failure::Input(format!("{place}: cannot be read: {e}")))?;
    let mut lines = BufReader::new(opened).lines().enumerate().map(|(i, line)| (i + 1, line));
    let text = |(number, line): (usize, std::io::Result<String>)| {
        line.map(|line| (number, line)).map_err(|e| Failure::Input(format!("{place}:{number}: cannot be read: {e}")))
    };
    let empty = || Failure::Input(format!("{place}: is empty: save the answer of …/replay there"));
    let (_, first) = text(lines.next().ok_or_else(empty)?)?;
    let header: Header = serde_json::from_str(&first).map_err(|e| {
        Failure::Input(format!("{place}:1: is not the header of a replay ({e}): save the answer of …/replay there"))
    })?;
    let mut memory = header.memory.unwrap_or_default();
    let (mut last, mut changes) = (None, VecDeque::new());
    for line in lines {
        let (number, line) = text(line)?;
        let snapshot: Snapshot = serde_json::from_str(&line)
            .map_err(|e| Failure::Input(format!("{place}:{number}: is not a snapshot: {e}")))?;
        let decision = decide(&snapshot, &header.policy, &mut memory, snapshot.at);
        let from = last.as_ref().map(|(d, _)| shape(d));
        if let Some(from) = from.filter(|from| *from != shape(&decision)) {
            let at = snapshot.at.as_millisecond();
            changes.push_front(Change { at, from, to: shape(&decision), reason: decision.reason });
            changes.truncate(CHANGES);
        }
        last = Some((decision, snapshot.replicas.ready));
    }
    let (decision, ready) =
        last.ok_or_else(|| Failure::Input(format!("{place}: has a header and no snapshot: nothing was decided yet")))?;
    let Policy { key, target, mode, .. } = header.policy;
    Ok(Record {
        namespace: key.namespace,
        name: key.name,
        kind: target.kind,
        target: target.name,
        mode,
        ready: Some(ready),
        decision,
        changes: changes.into(),
    })
}

fn shape(decision: &Decision) -> Shape {
    let cores = decision.containers.iter().filter_map(|c| c.requests.cpu_cores).reduce(|a, b| a + b);
    Shape { replicas: decision.replicas, pod_cores: cores }
}

/// Seconds between two instants, never below zero.
fn seconds_since(then: Timestamp, now: Timestamp) -> f64 {
    now.duration_since(then).as_secs_f64().max(0.0)
}

#[cfg(test)]
mod tests;
