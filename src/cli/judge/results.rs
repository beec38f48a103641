//! Scores by setting, load, player and seed, and the means that measures are made of.

use std::collections::BTreeMap;

use super::cases::Player;
use crate::{simulate::Score, units::maths};

/// A setting and who played it.
pub(super) type At<'a> = (&'a str, &'a str);

/// All scores.
#[derive(Clone, Debug, Default)]
pub(super) struct Results {
    scores: BTreeMap<(String, String, Player), BTreeMap<u64, Score>>,
}

impl Results {
    pub(super) fn insert(&mut self, setting: &str, trace: &str, player: Player, seed: u64, score: Score) {
        let key = (setting.to_owned(), trace.to_owned(), player);
        self.scores.entry(key).or_default().insert(seed, score);
    }

    /// All runs, in a fixed order: setting, load, player, scores by seed.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str, Player, &BTreeMap<u64, Score>)> {
        self.scores.iter().map(|((setting, trace, player), scores)| (setting.as_str(), trace.as_str(), *player, scores))
    }

    /// Loads that were played at a setting.
    pub(super) fn traces(&self, setting: &str) -> Vec<&str> {
        let mut traces: Vec<&str> = self.all().filter(|one| one.0 == setting).map(|one| one.1).collect();
        traces.dedup();
        traces
    }

    /// Scores of a player by seed.
    pub(super) fn of(
        &self,
        trace: &str,
        (setting, name): At<'_>,
    ) -> impl Iterator<Item = (Player, &BTreeMap<u64, Score>)> {
        self.all().filter(move |one| one.0 == setting && one.1 == trace && one.2.name == name).map(|one| (one.2, one.3))
    }

    /// Mean over seeds of one number; none where there was no run, or it is undefined in one.
    pub(super) fn mean(&self, trace: &str, at: At<'_>, value: impl Fn(&Score) -> Option<f64>) -> Option<f64> {
        let (_, scores) = self.of(trace, at).next()?;
        let values = scores.values().map(value).collect::<Option<Vec<f64>>>()?;
        mean(&values)
    }

    /// Largest over seeds of one number.
    pub(super) fn most(&self, trace: &str, at: At<'_>, value: impl Fn(&Score) -> Option<f64>) -> Option<f64> {
        let (_, scores) = self.of(trace, at).next()?;
        scores.values().filter_map(value).max_by(f64::total_cmp)
    }

    /// Mean J.
    pub(super) fn j(&self, trace: &str, at: At<'_>) -> Option<f64> {
        self.mean(trace, at, |score| Some(score.j.get()))
    }

    /// J of one over J of another, each the mean over the seeds that both were played with.
    pub(super) fn ratio(&self, trace: &str, one: At<'_>, other: At<'_>) -> Option<f64> {
        let ((_, one), (_, other)) = (self.of(trace, one).next()?, self.of(trace, other).next()?);
        let both = one.iter().filter_map(|(seed, score)| Some((score.j.get(), other.get(seed)?.j.get())));
        let (one, other) = both.fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1));
        (other > 0.0).then(|| one / other)
    }
}

/// Share of requests, or of items, that were late.
pub(super) fn late(score: &Score) -> Option<f64> {
    score.violation_ratio.or(score.backlog_late_ratio)
}

/// Arithmetic mean; none of nothing.
pub(super) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Geometric mean of positive numbers; none of nothing.
pub(super) fn geomean(values: &[f64]) -> Option<f64> {
    let logs: Vec<f64> = values.iter().map(|value| maths::ln(*value)).collect();
    mean(&logs).map(maths::exp)
}
