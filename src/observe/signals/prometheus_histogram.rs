//! Signals given as a histogram: latency at the objective, and the share of requests over the target.
//!
//! The buckets are fetched and computed on here, so that classic and native histograms, and Prometheus' relatives that
//! know only one of them, are read by the same arithmetic. A metric that has both is read as native.

use std::collections::BTreeMap;

use super::buckets;
use super::judge::{Evidence, Measured};
use super::prometheus::{Answers, Questions};
use crate::observe::error::ObserveError;
use crate::observe::prometheus::promql::{Range, Selector, matcher};
use crate::observe::prometheus::{Answer, NativeBucket, Sample};
use crate::units::Seconds;

/// The quantile shown for a histogram that no objective names.
const DEFAULT_OBJECTIVE: f64 = 0.99;

/// The questions of a histogram: native buckets first, then classic ones.
#[must_use]
pub fn questions(metric: &str, matchers: &BTreeMap<String, String>, window: Seconds) -> Questions {
    let labels: Vec<String> = matchers.iter().map(|(label, value)| matcher(label, "=", value)).collect();
    let joined = |extra: String| labels.iter().cloned().chain([extra]).collect::<Vec<_>>().join(",");
    let range = format!("{:.0}ms", window.get() * 1000.0);
    let native = format!("sum(rate({metric}{{{}}}[{range}]))", labels.join(","));
    let classic = format!("sum by (le) (rate({metric}_bucket{{{}}}[{range}]))", labels.join(","));
    // One series per exporter and label set, whichever kind it is: a native histogram has no `le`.
    let name = matcher("__name__", "=~", &format!("{metric}|{metric}_bucket"));
    let text = format!("{{{name},{}}}", joined(matcher("le", "=~", "|\\+Inf")));
    let selector = Selector { text, offset: 0.0, range: Some(Range { seconds: window.get(), samples: 2 }) };
    Questions { values: vec![native, classic], selectors: vec![selector], within: String::new() }
}

/// Reads the two answers.
pub fn measure(
    questions: &Questions,
    answers: &Answers,
    objective: Option<(Seconds, f64)>,
) -> Result<Evidence, ObserveError> {
    let mut warnings = Vec::new();
    let mut found = None;
    for query in &questions.values {
        let answer = match answers.get(query) {
            Some(Ok(answer)) => answer,
            Some(Err(error)) => return Err(error.clone()),
            None => continue,
        };
        if let (None, Some(measured)) = (&found, read(answer, objective)) {
            found = Some(measured);
            warnings.clone_from(&answer.warnings);
        } else if found.is_none() {
            warnings.extend(answer.warnings.iter().cloned());
        }
    }
    Ok(Evidence { warnings, ..Evidence::of(found.unwrap_or(Measured::Nothing)) })
}

fn read(answer: &Answer, objective: Option<(Seconds, f64)>) -> Option<Measured> {
    if let Some(native) = answer.series.iter().find_map(|s| match &s.sample {
        Sample::Histogram(buckets) => Some(buckets),
        Sample::Number(_) => None,
    }) {
        return Some(latency(native, objective));
    }
    let cumulative: Vec<(f64, f64)> =
        answer.series.iter().filter_map(|s| Some((s.label("le")?.parse().ok()?, s.number()?))).collect();
    if cumulative.is_empty() {
        return None;
    }
    // Without +Inf the total is not known: NaN, which the judge calls by its name.
    Some(buckets::classic(cumulative).map_or(Measured::Number(f64::NAN), |b| latency(&b, objective)))
}

fn latency(buckets: &[NativeBucket], objective: Option<(Seconds, f64)>) -> Measured {
    let share = objective.map_or(DEFAULT_OBJECTIVE, |(_, share)| share);
    let Some(estimate) = buckets::quantile(buckets, share) else { return Measured::NoTraffic };
    let over = objective.and_then(|(target, _)| buckets::share_over(buckets, target.get()));
    let note = estimate.at_least.then(|| "slower than the largest bucket: the latency is at least this".to_owned());
    Measured::Latency { seconds: estimate.value, over, note }
}
