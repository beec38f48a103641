//! Signals given as a query: which questions to ask, and how to read the answers together.
//!
//! Demand and backlog of several series are summed; of several latencies or saturations the largest counts, because a
//! sum of them means nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::judge::{Evidence, Measured};
use super::probe::{self, ScrapeTarget};
use crate::observe::error::ObserveError;
use crate::observe::prometheus::promql::{self, Selector};
use crate::observe::prometheus::{Answer, Sample};
use crate::policy::Role;

/// Answers by the text of the query.
pub type Answers = BTreeMap<String, Result<Answer, ObserveError>>;

/// The exporters that are known to be dead, by selector: longer than the window that a probe looks back over.
pub type DeadTargets = BTreeMap<String, BTreeSet<ScrapeTarget>>;

/// The questions that one signal asks.
#[derive(Clone, Debug, PartialEq)]
pub struct Questions {
    /// Queries for the value.
    pub values: Vec<String>,
    /// Selectors to probe.
    pub selectors: Vec<Selector>,
    /// Matchers of `up` in the probes; empty: all exporters.
    pub within: String,
}

impl Questions {
    /// The questions of a query.
    pub fn of(query: &str) -> Result<Self, ObserveError> {
        let selectors = promql::selectors(&promql::parse(query)?);
        Ok(Self { values: vec![query.to_owned()], selectors, within: String::new() })
    }

    /// All query texts, given the exporters known to be dead.
    pub fn texts<'a>(&'a self, dead: &'a DeadTargets) -> impl Iterator<Item = String> + 'a {
        let probes = self.selectors.iter().map(|s| probe::query(s, &self.within));
        let known = self.selectors.iter().filter_map(|s| dead.get(&s.text));
        let still = known.map(|targets| probe::still_dead_query(targets, &self.within));
        self.values.iter().cloned().chain(probes).chain(still)
    }

    /// The evidence about the selectors, added to a value.
    #[must_use]
    pub fn examine(&self, mut evidence: Evidence, answers: &Answers, dead: &DeadTargets) -> Evidence {
        for selector in &self.selectors {
            match answers.get(&probe::query(selector, &self.within)) {
                Some(Ok(answer)) => {
                    evidence.warnings.extend(answer.warnings.iter().cloned());
                    let mut health = probe::read(selector, answer);
                    health.dead.extend(self.still_dead(&selector.text, answers, dead));
                    evidence.selectors.push(health);
                }
                Some(Err(error)) => evidence.unknown = Some(error.to_string()),
                None => evidence.unknown = Some("the selector was not looked at".to_owned()),
            }
        }
        evidence
    }

    /// Those of the exporters known to be dead that still are; all of them while that cannot be asked.
    fn still_dead(&self, selector: &str, answers: &Answers, dead: &DeadTargets) -> BTreeSet<ScrapeTarget> {
        let Some(known) = dead.get(selector) else { return BTreeSet::new() };
        match answers.get(&probe::still_dead_query(known, &self.within)) {
            Some(Ok(answer)) => {
                let now: BTreeSet<ScrapeTarget> = answer.series.iter().filter_map(ScrapeTarget::of).collect();
                known.intersection(&now).cloned().collect()
            }
            _ => known.clone(),
        }
    }
}

/// Reads the number of a query's answer.
#[must_use]
pub fn measure(role: Role, answer: &Answer) -> Measured {
    let mut numbers = Vec::with_capacity(answer.series.len());
    for series in &answer.series {
        match &series.sample {
            Sample::Number(value) => numbers.push(*value),
            Sample::Histogram(_) => return Measured::Number(f64::NAN),
        }
    }
    if numbers.is_empty() {
        return Measured::Nothing;
    }
    match role {
        Role::Demand | Role::Backlog => Measured::Number(numbers.iter().sum()),
        // A NaN among latencies is an instance without traffic; f64::max passes over it.
        Role::Latency | Role::Saturation => Measured::Number(numbers.into_iter().fold(f64::NAN, f64::max)),
    }
}
