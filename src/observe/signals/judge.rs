//! From an answer and the evidence about it to a [`Reading`]: what a number is worth.
//!
//! Order of judgement, first match wins:
//!
//! | what is seen | state | value |
//! |---|---|---|
//! | the question is wrong (syntax, rejected) | Invalid | none |
//! | no answer | Absent | none |
//! | Latency or Saturation is NaN or empty while a fresh demand is about 0, or while no pod is ready | Idle | none |
//! | empty, `onAbsent: Zero`, and no exporter known to be dead | Fresh | 0 |
//! | empty | Absent | none |
//! | NaN, infinite, negative | Invalid | none |
//! | every selector is without series | Stale while the last sample is known, then Absent | kept, then none |
//! | older than the source's limit | Stale | kept |
//! | series, pods or exporters missing, unknown completeness, or an API warning | Partial | kept |
//! | older than usual | Late | kept |
//! | otherwise | Fresh | kept |
//!
//! Invariants: pure; a number that is not finite or is negative never leaves here; an error never becomes a zero.

use std::collections::BTreeSet;

use super::probe::SelectorHealth;
use crate::decide::{Reading, SignalState};
use crate::observe::error::ObserveError;
use crate::policy::{OnAbsent, Role};
use crate::units::Seconds;

/// Up to which age a source's answer is Fresh, and up to which it is Late.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Fresh up to this age.
    pub fresh: Seconds,
    /// Late up to this age, Stale beyond.
    pub late: Seconds,
}

/// Prometheus. Fresh: two scrapes at the usual 15 s. Late: one scrape at Prometheus' own default of a minute, plus the
/// quarter of a minute that a scrape and its ingestion may take; the decision model holds everything from a minute on.
pub const PROMETHEUS_LIMITS: Limits = Limits { fresh: Seconds(30.0), late: Seconds(75.0) };

/// Sources polled by the controller itself every second or two. Fresh: a lost poll and a retry, each with its timeout of
/// 2 s. Late: a leader election of the broker or a rolled pod of it.
pub const DIRECT_LIMITS: Limits = Limits { fresh: Seconds(5.0), late: Seconds(15.0) };

/// Work per second below which nothing is being asked: less than one request a minute leaves most one-minute windows
/// empty, so that a latency measured over them has no value.
pub const NO_DEMAND: f64 = 1.0 / 60.0;

/// What a source answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Measured {
    /// A successful answer without content.
    Nothing,
    /// One number, possibly NaN.
    Number(f64),
    /// A latency read from a histogram.
    Latency {
        /// Seconds at the objective.
        seconds: f64,
        /// Share over the target, when there is a target.
        over: Option<f64>,
        /// What limits the precision.
        note: Option<String>,
    },
    /// A histogram whose rate is zero.
    NoTraffic,
}

/// An answer with the evidence about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// The answer.
    pub measured: Measured,
    /// Warnings of the API: not empty, not complete.
    pub warnings: Vec<String>,
    /// What is known about each selector of a query; empty for direct sources and constants.
    pub selectors: Vec<SelectorHealth>,
    /// Why the selectors could not be looked at, when they could not.
    pub unknown: Option<String>,
    /// Age given by the source itself (direct sources).
    pub age: Option<Seconds>,
    /// What the source says about itself, for the note.
    pub remark: Option<String>,
}

impl Evidence {
    /// An answer without any evidence yet.
    #[must_use]
    pub const fn of(measured: Measured) -> Self {
        Self { measured, warnings: Vec::new(), selectors: Vec::new(), unknown: None, age: None, remark: None }
    }
}

/// What is known around the signal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Situation<'a> {
    /// Names of the target's ready pods, when known.
    pub ready: Option<&'a BTreeSet<String>>,
    /// A fresh demand signal of the policy: its value.
    pub demand: Option<f64>,
}

impl Situation<'_> {
    /// Nothing is asked for, or nobody is there to answer.
    fn is_quiet(&self) -> bool {
        self.demand.is_some_and(|d| d < NO_DEMAND) || self.ready.is_some_and(BTreeSet::is_empty)
    }
}

/// Judges one signal.
#[must_use]
pub fn judge(
    role: Role,
    on_absent: OnAbsent,
    limits: Limits,
    answer: &Result<Evidence, ObserveError>,
    situation: &Situation<'_>,
) -> Reading {
    match answer {
        Ok(evidence) => judge_evidence(role, on_absent, limits, evidence, situation),
        Err(error) if error.is_wrong_question() => state(SignalState::Invalid, error.to_string()),
        Err(error) if error.is_empty_answer() && on_absent == OnAbsent::Zero => zero(Some(error.to_string())),
        Err(error) => Reading { failed: !error.is_empty_answer(), ..state(SignalState::Absent, error.to_string()) },
    }
}

fn judge_evidence(
    role: Role,
    on_absent: OnAbsent,
    limits: Limits,
    evidence: &Evidence,
    situation: &Situation<'_>,
) -> Reading {
    let may_idle = matches!(role, Role::Latency | Role::Saturation);
    let (value, over, precision) = match &evidence.measured {
        Measured::Nothing => return nothing(may_idle, on_absent, evidence, situation),
        Measured::NoTraffic => return no_traffic(evidence, situation),
        Measured::Number(v) if v.is_nan() && may_idle && situation.is_quiet() => return idle(evidence),
        Measured::Number(v) => (*v, None, None),
        Measured::Latency { seconds, over, note } => (*seconds, *over, note.clone()),
    };
    if !value.is_finite() || value < 0.0 {
        let what = if value.is_nan() { "not a number (NaN)".to_owned() } else { format!("{value}") };
        return state(SignalState::Invalid, format!("the answer is {what}: a signal is a finite number from 0 on"));
    }
    let mut reading = Reading { value: Some(value), violation_ratio: over, note: precision, ..Reading::default() };
    let (state, why) = worth(on_absent, limits, evidence, situation, &mut reading);
    reading.state = Some(state);
    reading.note = why.or_else(|| reading.note.take()).or_else(|| evidence.remark.clone());
    reading
}

/// State of a sound number, and why it is not Fresh; sets the age, and takes the value back where it means nothing.
fn worth(
    on_absent: OnAbsent,
    limits: Limits,
    evidence: &Evidence,
    situation: &Situation<'_>,
    reading: &mut Reading,
) -> (SignalState, Option<String>) {
    let zero_counts = |s: &&SelectorHealth| !(on_absent == OnAbsent::Zero && s.dead.is_empty());
    let gone: Vec<&SelectorHealth> = evidence.selectors.iter().filter(|s| s.series == 0).filter(zero_counts).collect();
    let age = evidence.age.or_else(|| age_of(evidence));
    reading.age_seconds = age.filter(|a| a.get().is_finite());
    if let Some(first) = gone.first()
        && gone.len() == evidence.selectors.len()
    {
        if reading.age_seconds.is_some() {
            return (SignalState::Stale, Some(format!("no series of `{}` is left: is the exporter down?", first.text)));
        }
        (reading.value, reading.violation_ratio) = (None, None);
        return (SignalState::Absent, Some(absent_words(&first.text)));
    }
    match age {
        Some(age) if !age.get().is_finite() => {
            (reading.value, reading.violation_ratio) = (None, None);
            return (SignalState::Invalid, Some("the query looks at a fixed time (@)".to_owned()));
        }
        Some(age) if age > limits.late => {
            // What the controller asks itself is old only when nobody answers.
            reading.failed = evidence.age.is_some();
            let why = format!("the newest sample is {:.0} s old (limit {:.0} s)", age.get(), limits.late.get());
            return (SignalState::Stale, Some(why));
        }
        _ => {}
    }
    if let Some(why) = incomplete(evidence, &gone, situation) {
        return (SignalState::Partial, Some(why));
    }
    let late = age.is_some_and(|age| age > limits.fresh);
    (if late { SignalState::Late } else { SignalState::Fresh }, None)
}

/// Why the answer cannot be taken as the whole.
fn incomplete(evidence: &Evidence, gone: &[&SelectorHealth], situation: &Situation<'_>) -> Option<String> {
    if let Some(warning) = evidence.warnings.first() {
        return Some(format!("the metrics server warns: {warning}"));
    }
    if let Some(why) = &evidence.unknown {
        return Some(format!("whether all series are there is not known: {why}"));
    }
    if let Some(selector) = gone.first() {
        return Some(absent_words(&selector.text));
    }
    evidence.selectors.iter().find_map(|s| s.missing(situation.ready))
}

/// The age that a value has: that of the oldest selector. What a query asks about the past on purpose (`offset`) counts
/// only when it asks about nothing younger. A query without selectors is a constant, and always young.
fn age_of(evidence: &Evidence) -> Option<Seconds> {
    let selectors = &evidence.selectors;
    if selectors.is_empty() {
        return evidence.unknown.is_none().then_some(Seconds::ZERO);
    }
    let oldest = selectors.iter().filter_map(|s| s.age).reduce(Seconds::max)?;
    let asked = selectors.iter().map(|s| s.offset).fold(f64::INFINITY, f64::min);
    Some(oldest + Seconds(asked))
}

fn nothing(may_idle: bool, on_absent: OnAbsent, evidence: &Evidence, situation: &Situation<'_>) -> Reading {
    if may_idle && situation.is_quiet() {
        return idle(evidence);
    }
    if let Some(dead) = evidence.selectors.iter().find(|s| !s.dead.is_empty()) {
        let why = dead.missing(situation.ready).unwrap_or_else(|| absent_words(&dead.text));
        return state(SignalState::Absent, format!("the answer is empty: {why}"));
    }
    if let Some(warning) = evidence.warnings.first() {
        return state(SignalState::Absent, format!("the answer is empty, and the metrics server warns: {warning}"));
    }
    if on_absent == OnAbsent::Zero {
        return zero(None);
    }
    let gone = evidence.selectors.iter().find(|s| s.series == 0).map(|s| absent_words(&s.text));
    let why = gone.unwrap_or_else(|| "if that means zero, set onAbsent: Zero".to_owned());
    let mut reading = state(SignalState::Absent, format!("the answer is empty: {why}"));
    reading.age_seconds = age_of(evidence).filter(|a| a.get().is_finite() && !evidence.selectors.is_empty());
    reading
}

/// A histogram at rest is quiet by its own account, unless a demand says that there is traffic: then answers are missing.
fn no_traffic(evidence: &Evidence, situation: &Situation<'_>) -> Reading {
    match situation.demand {
        Some(demand) if demand >= NO_DEMAND => state(
            SignalState::Absent,
            format!("no request finished in the window, while {demand:.3} arrive per second"),
        ),
        _ => match incomplete(evidence, &[], situation) {
            Some(why) if !situation.is_quiet() => state(SignalState::Absent, why),
            _ => idle(evidence),
        },
    }
}

fn idle(evidence: &Evidence) -> Reading {
    let age = age_of(evidence).filter(|a| a.get().is_finite());
    Reading { age_seconds: age, ..state(SignalState::Idle, "nothing is being served".to_owned()) }
}

fn zero(note: Option<String>) -> Reading {
    Reading {
        value: Some(0.0),
        age_seconds: Some(Seconds::ZERO),
        state: Some(SignalState::Fresh),
        note: note.or_else(|| Some("empty, and onAbsent is Zero".to_owned())),
        ..Reading::default()
    }
}

fn state(state: SignalState, note: String) -> Reading {
    Reading { state: Some(state), note: Some(note), ..Reading::default() }
}

fn absent_words(selector: &str) -> String {
    format!("`{selector}` has no series; if that means zero, set onAbsent: Zero")
}

#[cfg(test)]
mod tests;
