//! Whether the series behind a value are young and all there: one query per selector, asked beside the value itself.
//!
//! An instant query's timestamp is the time of asking, and `sum(rate(x[1m]))` over a dead exporter still answers for a
//! minute, falling step by step. So the series themselves are asked: how old their newest sample is, how many there
//! are, and whether some that were there lately are gone. The last is the hard part, because series also leave for good
//! reasons (the target shrank, a pod was replaced, a label value went out of use). Three kinds of evidence, best first:
//!
//! 1. **The scrape.** Series that carry `job` and `instance` name the scrape target they came from. A target that served
//!    the selector within [`RECENT`] and has `up == 0` now is a dead exporter. A target that was taken away is not
//!    in `up` at all. When every present series comes from a target known to `up`, this settles the question.
//! 2. **The pods.** Series that carry `pod`: a pod that had series within [`RECENT`], has none now and is *ready* is
//!    missing; a pod that is gone or not ready left for a good reason. When the selector carries pods of the target,
//!    this settles the question too.
//! 3. **The count.** Otherwise (recorded, pushed or relabelled series): fewer series now than at most within
//!    [`RECENT`] is counted as missing, until that maximum is out of the window. This can only hold back a shrink, and
//!    for no longer than [`RECENT`].
//!
//! Comparing with the count of a minute ago alone would forget a dead exporter after a minute; comparing it for ever
//! would never let a target shrink.
//!
//! Invariant: pure; no answer about a selector is never read as a healthy selector.

use std::collections::BTreeSet;

use crate::observe::prometheus::promql::{Range, Selector, matcher, one_of};
use crate::observe::prometheus::{Answer, Series};
use crate::units::Seconds;

/// How far back series count as having been there lately. Ten minutes: twice Prometheus' own look-back, and the
/// order of a scale-down window, so that a shrink after a loss cannot slip through between the two.
pub const RECENT: &str = "10m";

/// Resolution of looking back: half a minute finds every series that lived for one default scrape interval.
const STEP: &str = "30s";

/// Label that tells the parts of the probe's answer apart.
const PART: &str = "arbiter_part";

/// A scrape target: its `job` and `instance`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScrapeTarget {
    /// Label `job`.
    pub job: String,
    /// Label `instance`.
    pub instance: String,
    /// Label `pod` of `up`, where service discovery gives one.
    pub pod: Option<String>,
}

impl ScrapeTarget {
    /// The target that an `up` series names.
    #[must_use]
    pub fn of(series: &Series) -> Option<Self> {
        Some(Self {
            job: series.label("job")?.to_owned(),
            instance: series.label("instance")?.to_owned(),
            pod: series.label("pod").map(str::to_owned),
        })
    }
}

/// What a probe found out about one selector.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SelectorHealth {
    /// The selector.
    pub text: String,
    /// How far in the past the query looks with it.
    pub offset: f64,
    /// Age of the newest sample; of the last one within [`RECENT`] when no series is left.
    pub age: Option<Seconds>,
    /// Series now.
    pub series: u64,
    /// Most series at once within [`RECENT`].
    pub peak: u64,
    /// Scrape targets that the query's range does not do justice to: they came within it, or have ended.
    pub sparse: u64,
    /// Targets that served the selector and do not answer their scrape.
    pub dead: BTreeSet<ScrapeTarget>,
    /// Whether every present series comes from a target known to `up`.
    pub scrape_known: bool,
    /// Pods with series now.
    pub pods: BTreeSet<String>,
    /// Pods with series lately, and none now.
    pub lost_pods: BTreeSet<String>,
}

/// The probe's query. `within` are matchers of `up`, such as `namespace="shop"`: none for all of it.
#[must_use]
pub fn query(selector: &Selector, within: &str) -> String {
    let s = &selector.text;
    let up = if within.is_empty() { "up".to_owned() } else { format!("up{{{within}}}") };
    let recent = format!("count by (job, instance) (last_over_time({s}[{RECENT}]))");
    let mut parts = vec![
        part("age", &format!("time() - max(timestamp({s}))")),
        part("last", &format!("time() - max(max_over_time(timestamp({s})[{RECENT}:{STEP}]))")),
        part("now", &format!("count by (pod) ({s})")),
        part("peak", &format!("max_over_time(count({s})[{RECENT}:{STEP}])")),
        part("lost", &format!("count by (pod) (last_over_time({s}[{RECENT}])) unless on (pod) count by (pod) ({s})")),
        part("dead", &format!("({up} == 0) and on (job, instance) {recent}")),
        part("scraped", &format!("count({s} and on (job, instance) {up})")),
    ];
    if let Some(range) = selector.range {
        parts.push(part("sparse", &sparse(s, range)));
    }
    parts.join(" or ")
}

/// Counts the scrape targets that the range does not do justice to: those that came within it (a rate over a series
/// that is half as old as its range is about half of the truth) and those whose series have ended without a mark (they
/// count as present for five minutes, while the range is empty). Targets and not series, because a new label value
/// on a target that has long been there is an everyday thing.
fn sparse(s: &str, range: Range) -> String {
    let millis = format!("{:.0}ms", range.seconds * 1000.0);
    let filled = if range.samples > 1 {
        format!("(count_over_time({s}[{millis}]) >= {}) and {s} offset {millis}", range.samples)
    } else {
        format!("count_over_time({s}[{millis}])")
    };
    format!("count(count by (job, instance) ({s}) unless count by (job, instance) ({filled}))")
}

/// Whether targets that were dead before still are: those of `up == 0` among the instances. `within` as in [`query`].
#[must_use]
pub fn still_dead_query(targets: &BTreeSet<ScrapeTarget>, within: &str) -> String {
    let instances: BTreeSet<&str> = targets.iter().map(|t| t.instance.as_str()).collect();
    let comma = if within.is_empty() { "" } else { "," };
    format!("up{{{}{comma}{within}}} == 0", matcher("instance", "=~", &one_of(instances)))
}

/// Reads the probe's answer.
#[must_use]
pub fn read(selector: &Selector, answer: &Answer) -> SelectorHealth {
    let mut health =
        SelectorHealth { text: selector.text.clone(), offset: selector.offset, ..SelectorHealth::default() };
    let (mut age, mut last, mut scraped) = (None, None, 0);
    for series in &answer.series {
        let Some(value) = series.number().filter(|v| v.is_finite()) else { continue };
        match series.label(PART) {
            Some("age") => age = Some(value),
            Some("last") => last = Some(value),
            Some("now") => {
                health.series = health.series.saturating_add(count(value));
                health.pods.extend(series.label("pod").map(str::to_owned));
            }
            Some("peak") => health.peak = count(value),
            Some("lost") => health.lost_pods.extend(series.label("pod").map(str::to_owned)),
            Some("dead") => health.dead.extend(ScrapeTarget::of(series)),
            Some("scraped") => scraped = count(value),
            Some("sparse") => health.sparse = count(value),
            _ => {}
        }
    }
    // A sample from the future (clocks differ between exporter and server) is as young as can be.
    health.age = age.or(last).map(|a| Seconds(a.max(0.0)));
    health.scrape_known = health.series > 0 && scraped == health.series;
    health
}

fn part(name: &str, expression: &str) -> String {
    format!("label_replace({expression}, \"{PART}\", \"{name}\", \"\", \"\")")
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates; a count is whole")]
fn count(value: f64) -> u64 {
    value as u64
}

impl SelectorHealth {
    /// What is missing, in words, given the target's ready pods (none: not known). `None`: nothing is.
    #[must_use]
    pub fn missing(&self, ready: Option<&BTreeSet<String>>) -> Option<String> {
        let own_pods = ready.is_some_and(|ready| self.pods.iter().chain(&self.lost_pods).any(|p| ready.contains(p)));
        // A pod on its way out or in does not answer its scrape, and serves nothing either.
        let serves = |pod: &String| !own_pods || ready.is_some_and(|ready| ready.contains(pod));
        let dead: Vec<&str> = self
            .dead
            .iter()
            .filter(|target| target.pod.as_ref().is_none_or(serves))
            .map(|t| t.instance.as_str())
            .collect();
        if let Some(first) = dead.first() {
            return Some(format!("{} not answering the scrape", listed(dead.len(), "exporter", first)));
        }
        let lost: Vec<&String> = self.lost_pods.iter().filter(|p| own_pods && serves(p)).collect();
        if let Some(first) = lost.first() {
            return Some(format!("{} ready and without samples", listed(lost.len(), "pod", first)));
        }
        if self.sparse > 0 {
            return Some(format!("{} came or ended within the range of `{}`", targets(self.sparse), self.text));
        }
        (self.series < self.peak && !self.scrape_known && !own_pods)
            .then(|| format!("{} of {} series of `{}` are left since {RECENT}", self.series, self.peak, self.text))
    }
}

fn targets(n: u64) -> String {
    if n == 1 { "1 exporter".to_owned() } else { format!("{n} exporters") }
}

fn listed(n: usize, what: &str, first: &str) -> String {
    if n == 1 { format!("{what} {first} is") } else { format!("{n} {what}s ({first}, …) are") }
}
