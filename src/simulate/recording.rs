//! A recording of a real workload: what `arbiter record` writes and the simulator replays.
//!
//! A directory with [`MANIFEST`] and one CSV per kind of series (`timestamp_s` as Unix time, and one column).
//! `docs/recording.md` is its description.
//!
//! Must not open files: the command line hands in names and contents.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::SimulateError;

/// Name of the manifest in the directory.
pub const MANIFEST: &str = "manifest.json";
/// Version of the format.
pub const VERSION: u32 = 1;

/// A kind of series; its file is `<kind>.csv`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Work that arrives, per second (the policy's Demand signal).
    Demand,
    /// Latency at the objective's quantile, in seconds (the policy's Latency signal).
    Latency,
    /// Items that wait (the policy's Backlog signal).
    Backlog,
    /// CPU used by all pods, in cores.
    Usage,
    /// Working set of the largest pod, in bytes.
    Memory,
    /// Pods that exist.
    Replicas,
    /// CPU request of a pod, in cores.
    CpuRequest,
    /// Memory request of a pod, in bytes.
    MemoryRequest,
    /// Container restarts in the step.
    Restarts,
    /// Kills for memory in the step.
    OomKills,
    /// Time from a pod's creation to Ready, in seconds: the mean over the pods that exist.
    Start,
}

impl Kind {
    /// All kinds, in the order in which they are recorded.
    pub const ALL: [Self; 11] = [
        Self::Demand,
        Self::Latency,
        Self::Backlog,
        Self::Usage,
        Self::Memory,
        Self::Replicas,
        Self::CpuRequest,
        Self::MemoryRequest,
        Self::Restarts,
        Self::OomKills,
        Self::Start,
    ];

    /// Name of its file, without the extension.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Demand => "demand",
            Self::Latency => "latency",
            Self::Backlog => "backlog",
            Self::Usage => "usage",
            Self::Memory => "memory",
            Self::Replicas => "replicas",
            Self::CpuRequest => "cpu_request",
            Self::MemoryRequest => "memory_request",
            Self::Restarts => "restarts",
            Self::OomKills => "oom_kills",
            Self::Start => "start",
        }
    }

    /// Name of its column.
    #[must_use]
    pub const fn column(self) -> &'static str {
        match self {
            Self::Demand => "rps",
            Self::Latency => "latency_s",
            Self::Backlog => "items",
            Self::Usage | Self::CpuRequest => "cpu_cores",
            Self::Memory | Self::MemoryRequest => "memory_bytes",
            Self::Replicas => "replicas",
            Self::Restarts => "restarts",
            Self::OomKills => "kills",
            Self::Start => "start_s",
        }
    }

    /// Whether a replay needs it.
    #[must_use]
    pub const fn is_needed(self) -> bool {
        matches!(self, Self::Demand | Self::Usage | Self::Replicas)
    }

    /// Its file.
    #[must_use]
    pub fn file(self) -> String {
        format!("{}.csv", self.name())
    }
}

/// What the manifest says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the format.
    pub version: u32,
    /// Namespace and name of the policy.
    pub policy: String,
    /// Where it came from, without credentials.
    pub server: String,
    /// First instant, as Unix time.
    pub from: i64,
    /// Last instant, as Unix time.
    pub to: i64,
    /// Step, in seconds.
    pub step_s: u32,
    /// The query of each kind that was asked for.
    pub queries: BTreeMap<Kind, String>,
    /// Rows of each kind's file; empty while the recording is under way.
    pub rows: BTreeMap<Kind, u64>,
}

/// Samples by Unix time, strictly ascending.
pub type Samples = Vec<(i64, f64)>;

/// A recording, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// What it says about itself.
    pub manifest: Manifest,
    /// Its series; kinds without a sample are not there.
    pub series: BTreeMap<Kind, Samples>,
}

/// Reads the manifest; `file` names it in messages.
pub fn manifest(file: &str, text: &str) -> Result<Manifest, SimulateError> {
    let at = |line: u64, problem: String| SimulateError::Trace { file: file.to_owned(), line, problem };
    let manifest: Manifest = serde_json::from_str(text).map_err(|error| {
        let line = u64::try_from(error.line()).unwrap_or_default();
        at(line, format!("is not the manifest of a recording ({error}); record again into a new directory"))
    })?;
    if manifest.version != VERSION {
        let problem = format!("has version {} and this arbiter reads {VERSION}; record again", manifest.version);
        return Err(at(1, problem));
    }
    if manifest.rows.is_empty() {
        let problem = "says that the recording is not finished; run the same `arbiter record` again, it goes on";
        return Err(at(1, problem.to_owned()));
    }
    Ok(manifest)
}

/// Reads one kind's file; `file` names it in messages.
pub fn samples(file: &str, kind: Kind, text: &str) -> Result<Samples, SimulateError> {
    let at = |line: u64, problem: String| SimulateError::Trace { file: file.to_owned(), line, problem };
    let mut csv = csv::ReaderBuilder::new().from_reader(text.as_bytes());
    let header = csv.headers().map_err(|e| at(1, format!("cannot be read as CSV: {e}; record again")))?.clone();
    let column = |name: &str| {
        let names = header.iter().collect::<Vec<_>>().join(", ");
        let missing = || at(1, format!("no column `{name}` among `{names}`; record again"));
        header.iter().position(|head| head == name).ok_or_else(missing)
    };
    let (time, value) = (column("timestamp_s")?, column(kind.column())?);
    let mut samples: Samples = Vec::new();
    for record in csv.records() {
        let record = record.map_err(|e| {
            let line = e.position().map_or(0, csv::Position::line);
            at(line, format!("cannot be read as CSV: {e}; record again"))
        })?;
        let line = record.position().map_or(0, csv::Position::line);
        let cell = |column: usize| record.get(column).map_or("", str::trim);
        let (when, what) = (cell(time).parse::<i64>(), cell(value).parse::<f64>());
        let Ok(when) = when else {
            return Err(at(line, format!("`timestamp_s` is `{}`, not a whole number; correct it", cell(time))));
        };
        if samples.last().is_some_and(|last| when <= last.0) {
            return Err(at(line, format!("`timestamp_s` {when} does not come after the row before; sort the rows")));
        }
        match what {
            Ok(what) if what.is_finite() && what >= 0.0 => samples.push((when, what)),
            _ => {
                let problem = format!("`{}` is `{}`, not a number from 0; drop the row", kind.column(), cell(value));
                return Err(at(line, problem));
            }
        }
    }
    Ok(samples)
}

/// The last sample at or before an instant.
#[must_use]
pub fn last_at(samples: &[(i64, f64)], when: i64) -> Option<f64> {
    let after = samples.partition_point(|sample| sample.0 <= when);
    samples.get(after.checked_sub(1)?).map(|sample| sample.1)
}
