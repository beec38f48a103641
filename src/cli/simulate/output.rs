//! Files under `--out`: written part by part as runs go, put together in the plan's order, visible when whole.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde::Serialize;

use super::{super::Failure, super::staged::Staged, jobs::Timing};
use crate::{
    decide::Decision,
    report::{Panel, Sampler, Sizes, Watch},
    simulate::{Scenario, Tick, Truth},
};

/// Ticks per line of the timeline: a minute.
const TIMELINE_TICKS: u32 = 4;
const TIMELINE_HEADER: &str = "trace,controller,seed,at,demand_cores,capacity_cores,replicas,ready,pod_request_cores,\
                               latency_s,violation_ratio,backlog_cores,cost_usd,reason\n";

/// The directory of a simulation's files.
pub(super) struct Directory {
    path: PathBuf,
    parts: PathBuf,
    sizes: Sizes,
    seen: Mutex<Seen>,
}

/// What the report plots, by job.
pub(super) type Seen = BTreeMap<usize, (Panel, Watch)>;

impl Directory {
    /// Makes the directory if need be; so many runs are going to be plotted.
    pub(super) fn create(path: &Path, panels: usize) -> Result<Self, Failure> {
        let parts = path.join(format!(".parts.{}.partial", std::process::id()));
        fs::create_dir_all(&parts).map_err(|error| refused(path, &error))?;
        Ok(Self { path: path.to_owned(), parts, sizes: Sizes::of(panels), seen: Mutex::default() })
    }

    /// The recorder of a job; the first seed is plotted.
    pub(super) fn recorder(
        &self,
        job: usize,
        scenario: &Scenario,
        controller: &str,
        seed: u64,
    ) -> Result<Recorder, Failure> {
        let open = |kind| {
            let path = self.part(job, kind);
            File::create(&path).map(BufWriter::new).map_err(|error| refused(&path, &error))
        };
        Ok(Recorder {
            path: self.path.clone(),
            timeline: open("timeline")?,
            decisions: open("decisions")?,
            minute: Minute::default(),
            last: None,
            sampler: (seed == 1).then(|| Sampler::new(controller, scenario, self.sizes)),
        })
    }

    /// Takes what a job's recorder has left.
    pub(super) fn finished(&self, job: usize, recorder: Recorder) -> Result<(), Failure> {
        // An oracle has a score and no ticks: nothing to plot.
        if let Some(seen) = recorder.finish()?.filter(|(panel, _)| !panel.short.is_empty()) {
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(job, seen);
        }
        Ok(())
    }

    /// What was seen of the jobs, for the report.
    pub(super) fn seen(&self) -> Seen {
        std::mem::take(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Panels that fit into a report.
    pub(super) fn panels(&self) -> usize {
        self.sizes.panels
    }

    /// Puts the parts of so many jobs together and makes all files visible.
    pub(super) fn publish(
        &self,
        jobs: usize,
        summary: &str,
        report: &str,
        timings: &Vec<Timing>,
    ) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Timings<'a> {
            runs: &'a Vec<Timing>,
        }
        let mut files = Vec::new();
        for (name, kind, header) in
            [("timeline.csv", "timeline", TIMELINE_HEADER), ("decisions.jsonl", "decisions", "")]
        {
            let mut file = Staged::create(&self.path.join(name))?;
            file.write(header.as_bytes())?;
            for job in 0..jobs {
                let part = self.part(job, kind);
                file.write(&fs::read(&part).map_err(|error| refused(&part, &error))?)?;
            }
            files.push(file);
        }
        let timings = json(&Timings { runs: timings })?;
        for (name, text) in [("summary.json", summary), ("timings.json", &timings), ("report.html", report)] {
            let mut file = Staged::create(&self.path.join(name))?;
            file.write(text.as_bytes())?;
            files.push(file);
        }
        files.into_iter().try_for_each(Staged::publish)
    }

    fn part(&self, job: usize, kind: &str) -> PathBuf {
        self.parts.join(format!("{job}.{kind}"))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What cannot be removed is named `.partial`.
        drop(fs::remove_dir_all(&self.parts));
    }
}

/// Records the ticks of one run.
pub(super) struct Recorder {
    path: PathBuf,
    timeline: BufWriter<File>,
    decisions: BufWriter<File>,
    minute: Minute,
    last: Option<Decision>,
    sampler: Option<Sampler>,
}

/// What a line of the timeline gathers.
#[derive(Clone, Copy, Debug, Default)]
struct Minute {
    ticks: u32,
    demand: f64,
    capacity: f64,
    latency: Option<f64>,
    before: Truth,
}

/// A line of `decisions.jsonl`.
#[derive(Serialize)]
struct Line<'a> {
    trace: &'a str,
    controller: &'a str,
    seed: u64,
    #[serde(flatten)]
    decision: &'a Decision,
}

impl Recorder {
    /// Takes one tick: a decision is written when it, or its reason, is another than the one before.
    pub(super) fn tick(&mut self, trace: &str, controller: &str, seed: u64, tick: &Tick) -> Result<(), Failure> {
        if let Some(sampler) = &mut self.sampler {
            sampler.tick(tick);
        }
        let written = self.decision(trace, controller, seed, tick).and_then(|()| {
            self.minute.add(&tick.truth);
            if self.minute.ticks < TIMELINE_TICKS {
                return Ok(());
            }
            self.timeline.write_all(self.minute.line(trace, controller, seed, tick).as_bytes())?;
            self.minute = Minute { before: tick.truth, ..Minute::default() };
            Ok(())
        });
        written.map_err(|error| refused(&self.path, &error))
    }

    fn decision(&mut self, trace: &str, controller: &str, seed: u64, tick: &Tick) -> std::io::Result<()> {
        let same = |last: &Decision, now: &Decision| {
            last.replicas == now.replicas
                && last.containers == now.containers
                && last.boost == now.boost
                && last.reason == now.reason
        };
        if self.last.as_ref().is_some_and(|last| same(last, &tick.decision)) {
            return Ok(());
        }
        serde_json::to_writer(&mut self.decisions, &Line { trace, controller, seed, decision: &tick.decision })?;
        self.last = Some(tick.decision.clone());
        self.decisions.write_all(b"\n")
    }

    /// Writes what is left.
    fn finish(mut self) -> Result<Option<(Panel, Watch)>, Failure> {
        let done = self.timeline.flush().and_then(|()| self.decisions.flush());
        done.map_err(|error| refused(&self.path, &error))?;
        Ok(self.sampler.map(Sampler::finish))
    }
}

impl Minute {
    fn add(&mut self, truth: &Truth) {
        self.ticks += 1;
        self.demand += truth.demand_cores.get();
        self.capacity += truth.capacity_cores.get();
        self.latency = match (self.latency, truth.latency_seconds) {
            (Some(before), Some(now)) => Some(before.max(now.get())),
            (before, now) => before.or(now.map(crate::units::Seconds::get)),
        };
    }

    fn line(&self, trace: &str, controller: &str, seed: u64, tick: &Tick) -> String {
        let (truth, ticks) = (&tick.truth, f64::from(self.ticks));
        let requests = truth.requests - self.before.requests;
        let over = truth.requests_over_slo - self.before.requests_over_slo;
        format!(
            "{trace},{controller},{seed},{},{:.4},{:.4},{},{},{:.4},{},{},{:.4},{:.6},{:?}\n",
            tick.at,
            self.demand / ticks,
            self.capacity / ticks,
            truth.replicas,
            truth.ready,
            truth.pod_request_cores.get(),
            self.latency.map_or_else(String::new, |latency| format!("{latency:.4}")),
            if requests > 0.0 { format!("{:.6}", over / requests) } else { String::new() },
            truth.backlog_cores.get(),
            truth.cost.get(),
            tick.decision.reason,
        )
    }
}

/// Pretty JSON with a final newline.
pub(in crate::cli) fn json(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::Environment(format!("a result cannot be written as JSON: {error}")))?;
    Ok(text + "\n")
}

fn refused(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Environment(format!("{}: cannot be written: {error}; choose a directory that can", path.display()))
}
