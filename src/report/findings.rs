//! What is restless, fights or fails in what was played, in words.

use super::Panel;
use crate::{
    simulate::{Scenario, Truth, summary::RunScore},
    units::maths,
};

/// A day's profile must not count as a movement: a stretch is compared with the one a day before it.
const DAY: f64 = 86_400.0;
/// Stretches of a day.
const STRETCHES: usize = 4;
/// Stretches of a run that is shorter than two days: each is compared with the one before it.
const SHORT_STRETCHES: f64 = 12.0;
/// Smaller movements of size, or of pods per core of demand, between two stretches are noise.
const MOVED: f64 = 0.03;
/// From its beginning to its end the run must have come this far: a fifth.
const DRIFT: f64 = 0.2;
/// Movements against each other, all in one direction, before they are called a fight: an exchange of size against
/// count is a decision, a ladder is a loop.
const REPEATED: usize = 3;
/// The same as a share of all comparisons.
const REPEATED_SHARE: f64 = 1.0 / 3.0;
/// Movements the other way, as a share of those, that are forgiven; more is going to and fro, which ends where it began.
const BACK: f64 = 0.2;
/// Changes of direction per hour that are worth a word: one in two hours, all day.
const RESTLESS: f64 = 0.5;
/// Share of the time at the maximum that is worth a word.
const AT_MAX: f64 = 0.01;
/// Share of the time with more demand than the requests carry that is worth a word.
const SHORT: f64 = 0.01;
/// Evictions per day that are worth a word.
const EVICTED: f64 = 4.0;
/// What the arbiter sees under its names that see less, and the signals that those lack.
const LESS: [(&str, &str); 2] =
    [("arbiter-rate", "a latency signal"), ("arbiter-cpu", "a demand signal and a latency signal")];
/// A smaller difference than this, in J, is what two seeds differ by.
const SAME: f64 = 0.01;

/// A sentence about one controller on one workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Name of the workload.
    pub workload: String,
    /// Name of the controller.
    pub controller: String,
    /// `fight`, `unrest`, `limit`, `short`, `kills` or `signal`.
    pub kind: &'static str,
    /// What was seen, with its numbers.
    pub says: String,
}

/// Watches count, size and demand over a run.
#[derive(Clone, Debug)]
pub struct Watch {
    length: f64,
    lag: usize,
    warmup: f64,
    max: f64,
    part: Part,
    parts: Vec<Part>,
    ticks: f64,
    at_max: f64,
    short: f64,
}

/// Sums, then means, over a stretch of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Part {
    ticks: f64,
    pods: f64,
    size: f64,
    demand: f64,
}

#[cfg(test)]
impl Part {
    pub(super) const fn new(pods: f64, size: f64, demand: f64) -> Self {
        Self { ticks: 1.0, pods, size, demand }
    }
}

impl Watch {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let scored = scenario.duration.get() - scenario.warmup.get();
        let days = scored >= 2.0 * DAY;
        Self {
            length: if days { DAY / STRETCHES as f64 } else { scored / SHORT_STRETCHES },
            lag: if days { STRETCHES } else { 1 },
            warmup: scenario.warmup.get(),
            max: scenario.policy.replicas.max.as_f64(),
            part: Part::default(),
            parts: Vec::new(),
            ticks: 0.0,
            at_max: 0.0,
            short: 0.0,
        }
    }

    pub(super) fn tick(&mut self, seconds: f64, truth: &Truth) {
        let scored = seconds - self.warmup;
        if scored < 0.0 {
            return;
        }
        // Ends are reckoned from the beginning, so that rounding moves none of them.
        if scored >= (self.parts.len() + 1) as f64 * self.length {
            self.end();
        }
        self.part.ticks += 1.0;
        self.part.pods += truth.replicas.as_f64();
        self.part.size += truth.pod_request_cores.get();
        self.part.demand += truth.demand_cores.get();
        self.ticks += 1.0;
        self.at_max += f64::from(u8::from(truth.replicas.as_f64() >= self.max));
        self.short += f64::from(u8::from(truth.demand_cores > truth.capacity_cores));
    }

    fn end(&mut self) {
        let Part { ticks, pods, size, demand } = std::mem::take(&mut self.part);
        let n = ticks.max(1.0);
        self.parts.push(Part { ticks, pods: pods / n, size: size / n, demand: demand / n });
    }

    /// Means of whole stretches; one that has just begun tells nothing.
    fn whole(mut self) -> Vec<Part> {
        let usual = self.parts.first().map_or(0.0, |part| part.ticks);
        if self.part.ticks >= usual * 0.9 {
            self.end();
        }
        self.parts
    }
}

/// What there is to say about a run; `score` is the mean of its seeds' scores, or the seed's own.
#[must_use]
pub fn findings(score: &RunScore, panel: &Panel, watch: Watch) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut say = |kind, says| {
        found.push(Finding { workload: score.trace.clone(), controller: panel.controller.clone(), kind, says });
    };
    let Watch { ticks, at_max, short, max, lag, .. } = watch;
    if let Some(says) = fight(&watch.whole(), lag) {
        say("fight", says);
    }
    let (turns, starts) = (score.score.reversals_per_hour, score.score.pod_starts_per_day);
    if turns >= RESTLESS {
        say("unrest", format!("changes direction {turns:.1} times an hour and starts {starts:.0} pods a day"));
    }
    let days = (score.score.hours / 24.0).max(f64::MIN_POSITIVE);
    if score.score.evictions as f64 / days >= EVICTED {
        say("unrest", format!("evicts {:.0} pods a day to change their size", score.score.evictions as f64 / days));
    }
    if score.score.oom_kills > 0 {
        let kills = score.score.oom_kills;
        say("kills", format!("containers are killed for memory {kills} {}", if kills == 1 { "time" } else { "times" }));
    }
    let share = |count: f64| count / ticks.max(1.0);
    if share(at_max) >= AT_MAX {
        say("limit", format!("stands at its maximum of {max:.0} pods for {:.0} % of the time", 100.0 * share(at_max)));
    }
    if share(short) >= SHORT {
        let percent = 100.0 * share(short);
        say("short", format!("demand is above what the pods' requests carry for {percent:.0} % of the time"));
    }
    found
}

/// What signals were worth on a workload: the arbiter with them beside itself without. `runs` are all runs on it; empty
/// where one of both was not played.
#[must_use]
pub fn worth_of_signals(runs: &[&RunScore]) -> Vec<Finding> {
    let Some(with) = Mean::of(runs, "arbiter") else { return Vec::new() };
    let finding = |&(name, signals): &(&str, &str)| {
        let less = Mean::of(runs, name)?;
        let workload = runs.first()?.trace.clone();
        Some(Finding { workload, controller: name.to_owned(), kind: "signal", says: worth(with, less, signals) })
    };
    LESS.iter().filter_map(finding).collect()
}

/// Means over seeds.
#[derive(Clone, Copy)]
struct Mean {
    cost: f64,
    late: f64,
    j: f64,
}

impl Mean {
    fn of(runs: &[&RunScore], controller: &str) -> Option<Self> {
        let runs: Vec<_> = runs.iter().filter(|run| run.controller == controller).collect();
        let mean = |value: fn(&RunScore) -> f64| runs.iter().map(|run| value(run)).sum::<f64>() / runs.len() as f64;
        let mean = Self {
            cost: mean(|run| run.score.cost_usd.get()),
            late: mean(|run| run.score.violation_ratio.unwrap_or(0.0)),
            j: mean(|run| run.score.j.get()),
        };
        (mean.cost > 0.0).then_some(mean)
    }
}

/// The sentence: the price first, then what became of it.
fn worth(with: Mean, without: Mean, signals: &str) -> String {
    if with.j >= without.j * (1.0 - SAME) {
        return format!("with {signals} this policy would have gained nothing here");
    }
    let percent = 100.0 * (with.cost / without.cost - 1.0);
    let late = format!("{:.2} % instead of {:.2} % of requests late", 100.0 * with.late, 100.0 * without.late);
    match percent.round() {
        0.0 => format!("with {signals} this policy would have cost the same, with {late}"),
        less if less < 0.0 => format!("with {signals} this policy would have cost {:.0} % less, with {late}", -less),
        more => format!("with {signals} this policy would have had {late}, for {more:.0} % more"),
    }
}

/// Whether count and size drift against each other while demand gives no reason to; `lag` stretches lie between two
/// that are compared.
pub(super) fn fight(parts: &[Part], lag: usize) -> Option<String> {
    let change = |from: f64, to: f64| maths::ln(to / from);
    let density = |part: &Part| part.pods / part.demand;
    let alive = |part: &Part| part.pods > 0.0 && part.size > 0.0 && part.demand > 0.0;
    let pairs: Vec<(&Part, &Part)> =
        parts.iter().zip(parts.iter().skip(lag)).filter(|(a, b)| alive(a) && alive(b)).collect();
    // Up: pods grow in number and shrink in size.
    let (mut up, mut down) = (0, 0);
    for (before, after) in &pairs {
        let (size, count) = (change(before.size, after.size), change(density(before), density(after)));
        up += usize::from(size <= -MOVED && count >= MOVED);
        down += usize::from(size >= MOVED && count <= -MOVED);
    }
    let (most, back) = (up.max(down), up.min(down));
    let enough = (pairs.len() as f64 * REPEATED_SHARE).max(REPEATED as f64);
    if (most as f64) < enough || back as f64 > most as f64 * BACK {
        return None;
    }
    let (first, last) = (mean(&parts[..lag]), mean(&parts[parts.len() - lag..]));
    let drift = change(first.size, last.size).abs().min(change(density(&first), density(&last)).abs());
    (drift >= DRIFT).then(|| {
        format!(
            "count and size drift against each other and nothing ends it: {:.1} → {:.1} pods of {:.2} → {:.2} cores for a \
             demand of {:.1} → {:.1} cores",
            first.pods, last.pods, first.size, last.size, first.demand, last.demand,
        )
    })
}

/// Mean of stretches of equal length.
fn mean(parts: &[Part]) -> Part {
    let count = parts.len().max(1) as f64;
    let of = |value: fn(&Part) -> f64| parts.iter().map(value).sum::<f64>() / count;
    Part { ticks: of(|p| p.ticks), pods: of(|p| p.pods), size: of(|p| p.size), demand: of(|p| p.demand) }
}
