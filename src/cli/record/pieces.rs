//! The pieces of a recording: each one query over a stretch of time, and a file when it has been answered.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    super::{Failure, progress, staged::Staged},
    queries,
};
use crate::{
    observe::{
        ObserveError,
        prometheus::{Prometheus, range::Span},
    },
    simulate::recording::{Kind, MANIFEST, Manifest},
};

/// Points of one answer. Prometheus refuses more than 11,000 per series.
const POINTS: i64 = 10_000;
/// Waits before a query is asked again, in seconds; a server that restarts is back within them.
const WAITS: [u64; 5] = [1, 2, 4, 8, 16];
/// Folder of the pieces; what is in it is not the recording.
const FOLDER: &str = ".pieces";

/// A recording under way.
pub(super) struct Pieces {
    out: PathBuf,
    folder: PathBuf,
    manifest: Manifest,
}

impl Pieces {
    /// Begins in a directory, or goes on with what was begun there: then its times count, not the present ones.
    pub(super) fn open(out: &Path, wanted: Manifest) -> Result<Self, Failure> {
        let shown = out.display();
        if out.join(MANIFEST).exists() {
            return Err(Failure::Input(format!(
                "{shown}: holds a finished recording; replay it with `arbiter simulate --recording {shown}`, or choose another \
                 directory"
            )));
        }
        let folder = out.join(FOLDER);
        fs::create_dir_all(&folder).map_err(|error| refused(out, &error))?;
        let begun = folder.join(MANIFEST);
        let manifest = match fs::read_to_string(&begun) {
            Ok(text) => {
                let known: Manifest = serde_json::from_str(&text).map_err(|error| {
                    Failure::Input(format!(
                        "{}: cannot be read ({error}); remove {}",
                        begun.display(),
                        folder.display()
                    ))
                })?;
                if !goes_on(&known, &wanted) {
                    return Err(Failure::Input(format!(
                        "{shown}: an unfinished recording of {} from {} with step {} s lies there; go on with the same policy, \
                         server, step and span, or choose another directory",
                        known.policy, known.server, known.step_s
                    )));
                }
                known
            }
            Err(_) => wanted,
        };
        let pieces = Self { out: out.to_owned(), folder, manifest };
        write(&begun, &pieces.json()?)?;
        Ok(pieces)
    }

    /// Asks for every piece that is not there yet, one at a time.
    pub(super) async fn fetch(&self, prometheus: &Prometheus) -> Result<(), Failure> {
        let all: Vec<(Kind, Span)> =
            self.manifest.queries.keys().flat_map(|kind| self.spans().into_iter().map(|span| (*kind, span))).collect();
        let bar = progress::bar(all.len() as u64);
        for (kind, span) in all {
            bar.set_message(kind.name());
            let file = self.piece(kind, span);
            if !file.exists() {
                let points = self.ask(prometheus, kind, span, &bar).await?;
                let rows: String = points.iter().map(|(at, value)| format!("{at},{value}\n")).collect();
                write(&file, &rows)?;
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// One piece; what may pass is asked again.
    async fn ask(
        &self,
        prometheus: &Prometheus,
        kind: Kind,
        span: Span,
        bar: &indicatif::ProgressBar,
    ) -> Result<Vec<(i64, f64)>, Failure> {
        let query = &self.manifest.queries[&kind];
        let mut waits = WAITS.iter();
        loop {
            let error = match prometheus.range(query, span, queries::combine(kind)).await {
                Ok(points) => return Ok(points),
                Err(error) => error,
            };
            let passing = matches!(
                error,
                ObserveError::PrometheusUnreachable { .. }
                    | ObserveError::PrometheusTimeout { .. }
                    | ObserveError::PrometheusStatus { .. }
                    | ObserveError::PrometheusAnswer { .. }
            );
            match waits.next().filter(|_| passing) {
                Some(seconds) => {
                    bar.set_message(format!("{}: asking again in {seconds} s", kind.name()));
                    tokio::time::sleep(Duration::from_secs(*seconds)).await;
                }
                None if passing => {
                    return Err(Failure::Environment(format!(
                        "{error}; what was read is kept, run the same command again"
                    )));
                }
                None => return Err(Failure::Input(format!("the history of `{}`: {error}", kind.name()))),
            }
        }
    }

    /// Puts the pieces together; the manifest makes it a recording.
    pub(super) fn publish(mut self) -> Result<Manifest, Failure> {
        let mut files = Vec::new();
        let mut rows = BTreeMap::new();
        for kind in self.manifest.queries.keys() {
            let mut file = Staged::create(&self.out.join(kind.file()))?;
            file.write(format!("timestamp_s,{}\n", kind.column()).as_bytes())?;
            let mut count = 0;
            for span in self.spans() {
                let piece = self.piece(*kind, span);
                let text = fs::read_to_string(&piece).map_err(|error| refused(&piece, &error))?;
                count += text.lines().count() as u64;
                file.write(text.as_bytes())?;
            }
            if count == 0 && kind.is_needed() {
                return Err(Failure::Input(format!(
                    "Prometheus at {} has no `{}` between the given times: check the times and the query {}",
                    self.manifest.server,
                    kind.name(),
                    self.manifest.queries[kind]
                )));
            }
            rows.insert(*kind, count);
            files.push(file);
        }
        self.manifest.rows = rows;
        files.into_iter().try_for_each(Staged::publish)?;
        write(&self.out.join(MANIFEST), &self.json()?)?;
        // The recording is whole; pieces that cannot be removed do no harm.
        drop(fs::remove_dir_all(&self.folder));
        Ok(self.manifest)
    }

    /// Stretches of time that a server answers in one piece.
    fn spans(&self) -> Vec<Span> {
        let Manifest { from, to, step_s: step, .. } = self.manifest;
        let length = i64::from(step) * POINTS;
        let mut spans = Vec::new();
        let mut start = from;
        while start <= to {
            spans.push(Span { from: start, to: to.min(start + length - i64::from(step)), step });
            start += length;
        }
        spans
    }

    fn piece(&self, kind: Kind, span: Span) -> PathBuf {
        self.folder.join(format!("{}.{}.csv", kind.name(), span.from))
    }

    fn json(&self) -> Result<String, Failure> {
        let text = serde_json::to_string_pretty(&self.manifest);
        text.map(|text| text + "\n").map_err(|e| Failure::Environment(format!("the manifest cannot be written: {e}")))
    }
}

/// Whether a recording that was begun is the one that is wanted. One of the last days has moved on since; its length has
/// not.
fn goes_on(known: &Manifest, wanted: &Manifest) -> bool {
    known.policy == wanted.policy
        && known.server == wanted.server
        && known.step_s == wanted.step_s
        && known.queries == wanted.queries
        && known.to - known.from == wanted.to - wanted.from
}

/// Writes a file that is there whole or not at all.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let mut file = Staged::create(path)?;
    file.write(text.as_bytes())?;
    file.publish()
}

fn refused(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Environment(format!("{}: cannot be used: {error}; choose another directory", path.display()))
}
