//! Runs side by side; what comes out does not depend on how many.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use serde::Serialize;

use super::{
    super::{Failure, progress},
    output::{Directory, Recorder},
};
use crate::simulate::{Action, Controller, Run, Scenario, TICK, View, controller, summary::RunScore};

/// Ticks between two updates of the progress bar.
const PROGRESS_TICKS: u64 = 1000;

/// What is to be run: every trace under every controller with every seed, in this order.
pub(super) struct Plan<'a> {
    pub(super) scenarios: &'a [Scenario],
    pub(super) controllers: &'a [String],
    pub(super) seeds: u64,
}

/// How long one run took.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Timing {
    trace: String,
    controller: String,
    seed: u64,
    decision_ns_p50: u64,
    decision_ns_p99: u64,
    wall_s: f64,
}

/// One job of the plan.
struct Job<'a> {
    scenario: &'a Scenario,
    controller: &'a str,
    seed: u64,
}

impl<'a> Plan<'a> {
    /// Number of jobs.
    pub(super) fn len(&self) -> usize {
        self.jobs().count()
    }

    fn jobs(&self) -> impl Iterator<Item = Job<'a>> {
        let (controllers, seeds) = (self.controllers, self.seeds);
        self.scenarios.iter().flat_map(move |scenario| {
            controllers.iter().flat_map(move |controller| {
                (1..=seeds).map(move |seed| Job { scenario, controller: controller.as_str(), seed })
            })
        })
    }
}

/// Where a job leaves its outcome.
type Slot = Mutex<Option<Result<(RunScore, Timing), Failure>>>;

/// Plays the plan on so many threads; the outcomes are in the plan's order.
pub(super) fn play(
    plan: &Plan<'_>,
    workers: usize,
    out: Option<&Directory>,
) -> Result<Vec<(RunScore, Timing)>, Failure> {
    let jobs: Vec<Job<'_>> = plan.jobs().collect();
    let ticks: f64 = jobs.iter().map(|job| job.scenario.duration / TICK).sum();
    // Whole ticks; only a progress bar reads it.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive count of ticks")]
    let bar = progress::bar(ticks as u64);
    let next = AtomicUsize::new(0);
    let outcomes: Vec<Slot> = jobs.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..workers.min(jobs.len()) {
            scope.spawn(|| {
                while let Some((index, job)) = take(&next, &jobs) {
                    let recorder = out.map(|out| out.recorder(index, job.scenario, job.controller, job.seed));
                    let outcome = recorder.transpose().and_then(|mut recorder| {
                        let played = play_one(job, recorder.as_mut(), &bar)?;
                        if let (Some(out), Some(recorder)) = (out, recorder) {
                            out.finished(index, recorder)?;
                        }
                        Ok(played)
                    });
                    *outcomes[index].lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
                }
            });
        }
    });
    bar.finish_and_clear();
    outcomes.into_iter().filter_map(|outcome| outcome.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
}

fn take<'a, 'b>(next: &AtomicUsize, jobs: &'b [Job<'a>]) -> Option<(usize, &'b Job<'a>)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    jobs.get(index).map(|job| (index, job))
}

/// Plays one job to its end.
fn play_one(
    job: &Job<'_>,
    mut recorder: Option<&mut Recorder>,
    bar: &indicatif::ProgressBar,
) -> Result<(RunScore, Timing), Failure> {
    let Job { scenario, controller: name, seed } = *job;
    let inner = controller(name, scenario).map_err(|error| Failure::Input(error.to_string()))?;
    let nanoseconds = Arc::new(Mutex::new(Vec::new()));
    let timed = Timed { inner, nanoseconds: Arc::clone(&nanoseconds) };
    bar.set_message(format!("{} · {name}", scenario.load.name));
    let watch = progress::Stopwatch::start();
    let mut run = Run::new(scenario, Box::new(timed), seed);
    let mut ticks = 0;
    while let Some(tick) = run.advance() {
        if let Some(recorder) = recorder.as_deref_mut() {
            recorder.tick(&scenario.load.name, name, seed, &tick)?;
        }
        ticks += 1;
        if ticks % PROGRESS_TICKS == 0 {
            bar.inc(PROGRESS_TICKS);
        }
    }
    bar.inc(ticks % PROGRESS_TICKS);
    let mut nanoseconds = std::mem::take(&mut *nanoseconds.lock().unwrap_or_else(PoisonError::into_inner));
    nanoseconds.sort_unstable();
    let percentile = |percent: usize| nanoseconds.get(nanoseconds.len() * percent / 100).copied().unwrap_or_default();
    let timing = Timing {
        trace: scenario.load.name.clone(),
        controller: name.to_owned(),
        seed,
        decision_ns_p50: percentile(50),
        decision_ns_p99: percentile(99),
        wall_s: watch.elapsed().as_secs_f64(),
    };
    let score = RunScore {
        trace: scenario.load.name.clone(),
        controller: name.to_owned(),
        seed,
        tiled: scenario.tiled(),
        score: run.score(),
        j_over_oracle: None,
        j_over_oracle_n: None,
        j_over_oracle_lead: None,
    };
    Ok((score, timing))
}

/// A controller whose decisions are timed.
struct Timed {
    inner: Box<dyn Controller + Send>,
    nanoseconds: Arc<Mutex<Vec<u64>>>,
}

impl Controller for Timed {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn tick(&mut self, view: &View<'_>) -> Action {
        let watch = progress::Stopwatch::start();
        let action = self.inner.tick(view);
        let taken = u64::try_from(watch.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.lock().unwrap_or_else(PoisonError::into_inner).push(taken);
        action
    }
}
