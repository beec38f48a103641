//! Plays all cases, side by side; what comes out depends neither on how many at a time nor on the cache.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{
    super::{Failure, progress},
    cache::Cache,
    cases::{Case, Player},
    results::Results,
};
use crate::simulate::{
    Run, Score, TICK, candidate, candidate_count,
    oracle::{Knowledge, Oracle},
};

/// Ticks between two updates of the progress bar.
const PROGRESS_TICKS: u64 = 4000;

/// One run, or the best of several.
struct Job<'a> {
    case: &'a Case,
    player: Player,
    seed: u64,
}

impl Job<'_> {
    /// Ticks that it takes; of an oracle's as many as a run's.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive count of ticks")]
    fn ticks(&self) -> u64 {
        let runs = if self.player.only.is_some() { 1 } else { candidate_count(self.player.name) as u64 };
        runs * (self.case.scenario.duration / TICK) as u64
    }
}

/// Plays every case under each of its players.
pub(super) fn play(cases: &[Case], workers: usize, cache: Option<&Cache>) -> Result<Results, Failure> {
    let players = cases.iter().flat_map(|case| case.players.iter().map(move |player| (case, *player)));
    let runs = players.flat_map(|(case, player)| (1..=case.seeds).map(move |seed| Job { case, player, seed }));
    let mut jobs: Vec<Job<'_>> = runs.collect();
    // The longest first, so that none of them is left for the end.
    jobs.sort_by_key(|job| std::cmp::Reverse(job.ticks()));
    let bar = progress::bar(jobs.iter().map(Job::ticks).sum());
    let next = AtomicUsize::new(0);
    let scores: Mutex<BTreeMap<usize, Result<Option<Score>, Failure>>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..workers.min(jobs.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(index) else { break };
                    let score = known_or_played(job, cache, &bar);
                    scores.lock().unwrap_or_else(PoisonError::into_inner).insert(index, score);
                }
            });
        }
    });
    bar.finish_and_clear();
    let mut results = Results::default();
    let scores = scores.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (job, score) in jobs.iter().zip(scores.into_values()) {
        if let Some(score) = score? {
            results.insert(&job.case.setting, job.case.trace(), job.player, job.seed, score);
        }
    }
    Ok(results)
}

fn known_or_played(
    job: &Job<'_>,
    cache: Option<&Cache>,
    bar: &indicatif::ProgressBar,
) -> Result<Option<Score>, Failure> {
    bar.set_message(format!("{} · {} · {}", job.case.trace(), job.case.setting, job.player.name));
    let key = cache.and_then(|cache| cache.key(&job.case.scenario, job.player, job.seed));
    if let Some(known) = key.as_ref().and_then(|key| cache?.get(key)) {
        bar.inc(job.ticks());
        return Ok(Some(known));
    }
    let score = match Oracle::named(job.player.name) {
        Some(oracle) => {
            let plan = Knowledge::new(&job.case.scenario, job.seed).map(|knowledge| knowledge.plan(oracle));
            bar.inc(job.ticks());
            plan.map(|plan| plan.score)
        }
        None => Some(best(job, bar)?),
    };
    if let (Some(cache), Some(key), Some(score)) = (cache, key, score) {
        cache.put(key, score);
    }
    Ok(score)
}

/// The run with the lowest J among the player's candidates.
fn best(job: &Job<'_>, bar: &indicatif::ProgressBar) -> Result<Score, Failure> {
    let Job { case, player, seed } = job;
    let candidates = player.only.map_or_else(|| 0..candidate_count(player.name), |only| only..only + 1);
    let mut best: Option<Score> = None;
    for index in candidates {
        let candidate =
            candidate(player.name, index, &case.scenario, *seed).map_err(|error| Failure::Input(error.to_string()))?;
        let mut run = Run::new(&candidate.scenario, candidate.controller, *seed);
        let mut ticks = 0;
        while run.advance().is_some() {
            ticks += 1;
            if ticks % PROGRESS_TICKS == 0 {
                bar.inc(PROGRESS_TICKS);
            }
        }
        bar.inc(ticks % PROGRESS_TICKS);
        let score = run.score();
        if best.is_none_or(|best| score.j.get() < best.j.get()) {
            best = Some(score);
        }
    }
    best.ok_or_else(|| Failure::Input(format!("`{}` has no candidate; name another controller", player.name)))
}
