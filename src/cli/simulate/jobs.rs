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
use crate::simulate::{
    Action, Controller, Kept, Part, Run, Scenario, Score, TICK, View, candidate, candidate_count,
    oracle::{Knowledge, Oracle},
    summary::{Bound, RunScore},
};

/// Ticks between two updates of the progress bar.
const PROGRESS_TICKS: u64 = 1000;

/// What is to be run: every trace under every controller with every seed, in this order.
pub(super) struct Plan<'a> {
    pub(super) scenarios: &'a [Scenario],
    /// Those that were chosen; empty: each scenario's own.
    pub(super) controllers: &'a [String],
    pub(super) seeds: u64,
}

/// How long one run took.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Timing {
    trace: String,
    controller: String,
    seed: u64,
    /// None for what does not decide tick by tick.
    decision_ns_p50: Option<u64>,
    decision_ns_p99: Option<u64>,
    wall_s: f64,
    /// What was played, in parts; empty for what is not played.
    #[serde(skip)]
    pub(super) course: Vec<Part>,
}

impl Timing {
    /// Whether it is the first run of a controller on a load.
    pub(super) fn is(&self, load: &str, controller: &str) -> bool {
        self.trace == load && self.controller == controller && self.seed == 1
    }
}

/// One job of the plan.
struct Job<'a> {
    scenario: &'a Scenario,
    /// None: only what the oracle would reach, to compare the others with.
    controller: Option<&'a str>,
    seed: u64,
}

impl Job<'_> {
    /// Ticks of one run. Only the progress bar reads it.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive count of ticks")]
    fn ticks(&self) -> u64 {
        (self.scenario.duration / TICK) as u64
    }

    /// Runs that the job takes: of several candidates the best one is played again.
    fn runs(&self) -> u64 {
        match self.controller.map_or(1, candidate_count) {
            1 => 1,
            several => several as u64 + 1,
        }
    }
}

impl<'a> Plan<'a> {
    /// Number of jobs.
    pub(super) fn len(&self) -> usize {
        self.jobs().count()
    }

    fn jobs(&self) -> impl Iterator<Item = Job<'a>> {
        let (controllers, seeds) = (self.controllers, self.seeds);
        self.scenarios.iter().flat_map(move |scenario| {
            super::controllers_of(scenario, controllers).iter().flat_map(move |controller| {
                (1..=seeds).map(move |seed| Job { scenario, controller: Some(controller.as_str()), seed })
            })
        })
    }

    /// What the oracle would reach, where it is not among the controllers.
    fn bounds(&self) -> impl Iterator<Item = Job<'a>> {
        let (controllers, seeds) = (self.controllers, self.seeds);
        let without = self.scenarios.iter().filter(move |scenario| {
            !super::controllers_of(scenario, controllers).iter().any(|name| name == Oracle::Free.name())
        });
        without.flat_map(move |scenario| (1..=seeds).map(move |seed| Job { scenario, controller: None, seed }))
    }
}

/// What came of a plan, in its order.
#[derive(Default)]
pub(super) struct Outcomes {
    pub(super) runs: Vec<(RunScore, Timing)>,
    pub(super) bounds: Vec<Bound>,
}

/// What came of a job.
enum Outcome {
    Run(Box<(RunScore, Timing)>),
    Bound(Bound),
    /// There is nothing to play: a queue has no oracle.
    Nothing,
}

/// Where a job leaves its outcome.
type Slot = Mutex<Option<Result<Outcome, Failure>>>;

/// Plays the plan on so many threads; the outcomes are in the plan's order.
pub(super) fn play(plan: &Plan<'_>, workers: usize, out: Option<&Directory>) -> Result<Outcomes, Failure> {
    let jobs: Vec<Job<'_>> = plan.jobs().chain(plan.bounds()).collect();
    let bar = progress::bar(jobs.iter().map(|job| job.ticks() * job.runs()).sum());
    let next = AtomicUsize::new(0);
    let outcomes: Vec<Slot> = jobs.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..workers.min(jobs.len()) {
            scope.spawn(|| {
                while let Some((index, job)) = take(&next, &jobs) {
                    let outcome = play_and_record(index, job, out, &bar);
                    *outcomes[index].lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
                }
            });
        }
    });
    bar.finish_and_clear();
    let mut all = Outcomes::default();
    for outcome in outcomes {
        match outcome.into_inner().unwrap_or_else(PoisonError::into_inner).transpose()? {
            Some(Outcome::Run(run)) => all.runs.push(*run),
            Some(Outcome::Bound(bound)) => all.bounds.push(bound),
            Some(Outcome::Nothing) | None => {}
        }
    }
    Ok(all)
}

fn take<'a, 'b>(next: &AtomicUsize, jobs: &'b [Job<'a>]) -> Option<(usize, &'b Job<'a>)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    jobs.get(index).map(|job| (index, job))
}

/// Plays one job to its end and records it where there is a directory.
fn play_and_record(
    index: usize,
    job: &Job<'_>,
    out: Option<&Directory>,
    bar: &indicatif::ProgressBar,
) -> Result<Outcome, Failure> {
    let Some(name) = job.controller else {
        let bound = Knowledge::new(job.scenario, job.seed).map(|knowledge| knowledge.least(Oracle::Free));
        bar.inc(job.ticks());
        let bound = bound.map(|j| Bound { trace: job.scenario.load.name.clone(), seed: job.seed, j });
        return Ok(bound.map_or(Outcome::Nothing, Outcome::Bound));
    };
    let mut recorder = out.map(|out| out.recorder(index, job.scenario, name, job.seed)).transpose()?;
    let played = play_one(job, name, recorder.as_mut(), bar)?;
    if let (Some(out), Some(recorder)) = (out, recorder) {
        out.finished(index, recorder)?;
    }
    Ok(played.map_or(Outcome::Nothing, |run| Outcome::Run(Box::new(run))))
}

/// Plays one job to its end; none where there is nothing to play.
fn play_one(
    job: &Job<'_>,
    name: &str,
    recorder: Option<&mut Recorder>,
    bar: &indicatif::ProgressBar,
) -> Result<Option<(RunScore, Timing)>, Failure> {
    let Job { scenario, seed, .. } = *job;
    bar.set_message(format!("{} · {name}", scenario.load.name));
    let watch = progress::Stopwatch::start();
    let Played { score, mut nanoseconds, course } = match Oracle::named(name) {
        Some(oracle) => {
            let plan = Knowledge::new(scenario, seed).map(|knowledge| knowledge.plan(oracle));
            bar.inc(job.ticks());
            let Some(plan) = plan else { return Ok(None) };
            Played { score: plan.score, nanoseconds: Vec::new(), course: Vec::new() }
        }
        None => play_best(job, name, recorder, bar)?,
    };
    nanoseconds.sort_unstable();
    let percentile = |percent: usize| nanoseconds.get(nanoseconds.len() * percent / 100).copied();
    let timing = Timing {
        trace: scenario.load.name.clone(),
        controller: name.to_owned(),
        seed,
        decision_ns_p50: percentile(50),
        decision_ns_p99: percentile(99),
        wall_s: watch.elapsed().as_secs_f64(),
        course,
    };
    let score = RunScore {
        trace: scenario.load.name.clone(),
        controller: name.to_owned(),
        seed,
        tiled: scenario.tiled(),
        score,
        j_over_oracle: None,
        j_over_oracle_n: None,
        j_over_oracle_lead: None,
    };
    Ok(Some((score, timing)))
}

/// What came of one run.
struct Played {
    score: Score,
    nanoseconds: Vec<u64>,
    course: Vec<Part>,
}

/// Plays every candidate behind the controller's name; the best one counts and is recorded.
fn play_best(
    job: &Job<'_>,
    name: &str,
    recorder: Option<&mut Recorder>,
    bar: &indicatif::ProgressBar,
) -> Result<Played, Failure> {
    let mut best = (f64::INFINITY, 0, None);
    let count = candidate_count(name);
    if count == 1 {
        return play_candidate(job, (name, 0), recorder, bar);
    }
    for index in 0..count {
        let outcome = play_candidate(job, (name, index), None, bar)?;
        let j = outcome.score.j.get();
        if j < best.0 {
            best = (j, index, Some(outcome));
        }
    }
    match (recorder, best) {
        (None, (_, _, Some(outcome))) => Ok(outcome),
        (recorder, (_, index, _)) => play_candidate(job, (name, index), recorder, bar),
    }
}

/// Plays one candidate to its end.
fn play_candidate(
    job: &Job<'_>,
    (name, index): (&str, usize),
    mut recorder: Option<&mut Recorder>,
    bar: &indicatif::ProgressBar,
) -> Result<Played, Failure> {
    let Job { scenario, seed, .. } = *job;
    let candidate = candidate(name, index, scenario, seed).map_err(|error| Failure::Input(error.to_string()))?;
    let nanoseconds = Arc::new(Mutex::new(Vec::new()));
    let timed = Timed { inner: candidate.controller, nanoseconds: Arc::clone(&nanoseconds) };
    let mut run = Run::new(&candidate.scenario, Box::new(timed), seed);
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
    let nanoseconds = std::mem::take(&mut *nanoseconds.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(Played { score: run.score(), nanoseconds, course: run.course() })
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

    fn restart(&mut self, kept: Kept) {
        self.inner.restart(kept);
    }
}
