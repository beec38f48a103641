//! The record of a decision: what it rests on, in numbers.
//!
//! Every number is finite, and the record is at most 2 KiB as JSON: what matters least is left out first. It computes
//! prices of alternatives; nothing here is decided.

use super::{
    Alternative, Binding, Constraint, Explain, Hold, SignalVerdict, SizeRegret, arith::replicas_for, binding,
    capacity::Capacity, containers, explain::Facts, limits, sentence, size,
};
use crate::units::{Cores, DollarsPerHour, Replicas, Seconds};

/// Largest explain record, bytes of JSON.
pub(super) const LARGEST_RECORD: usize = 2048;
/// Longest text in a record, characters; and as JSON, where a character may take four bytes.
const LONGEST_TEXT: usize = 160;
const LONGEST_JSON: usize = 240;
/// Replicas that are told of after the one that leaves next.
const MOST_HELD: u32 = 3;
/// Bounds that move a size further than this make another one of it.
const SAME_SIZE: f64 = 0.05;
/// Sizes closer than this are one.
const NEAR: f64 = 0.02;

/// Numbers with as many decimals as people can use.
fn tidy(x: f64) -> f64 {
    let scale = if x.abs() < 0.1 { 1e6 } else { 1e4 };
    let rounded = (x * scale).round() / scale;
    if rounded.is_finite() { rounded } else { 0.0 }
}

/// Five significant digits, for numbers of any scale.
fn significant(x: f64) -> f64 {
    if x <= 0.0 || !x.is_finite() {
        return 0.0;
    }
    let scale =
        crate::units::maths::pow(10.0, 4.0 - (crate::units::maths::log2(x) / std::f64::consts::LOG2_10).floor());
    let rounded = (x * scale).round() / scale;
    if rounded.is_finite() { rounded } else { x }
}

/// The record of a decision that is bound by this.
pub(super) fn of(binding: Binding, facts: &Facts) -> Explain {
    let Facts { plan, sample, sizes, .. } = facts;
    let mut explain =
        Explain { binding: Some(binding), lead_seconds: Some(Seconds(tidy(sample.lead))), ..Explain::default() };
    explain.usage_cores = sample.usage.map(|usage| Cores(tidy(usage)));
    if let Some(capacity) = &plan.capacity {
        explain.demand_cores = Some(Cores(tidy(plan.must)));
        let from = if plan.backlog_binds { "backlog" } else { plan.demand.map_or("backlog", |d| d.from.words()) };
        explain.demand_from = Some(from.to_owned());
        explain.planned_cores = Some(Cores(tidy(plan.planned)));
        explain.headroom = Some(tidy(capacity.headroom));
        explain.capacity_cores = Some(Cores(tidy(capacity.of(sizes.asked))));
        explain.allowed_utilization = Some(tidy(capacity.allowed(sizes.asked)));
        explain.capacity_adjustment = Some(tidy(capacity.adjustment));
        explain.idle_cores = Some(Cores(tidy(capacity.idle)));
        explain.work_core_seconds = plan.backlog.map(|b| b.work).or(plan.demand.and_then(|d| d.work)).map(significant);
        explain.alternatives = alternatives(binding.constraint, facts, capacity);
    }
    holds(facts, &mut explain);
    explain.size = sizes.leader.filter(|l| !l.taken).map(|l| SizeRegret {
        pod_cores: Cores(tidy(l.size)),
        regret_dollars: tidy(l.regret),
        threshold_dollars: tidy(l.threshold),
    });
    explain.schedules = facts.calendar.record();
    explain.signals = facts.signals.report(facts.policy, facts.snapshot);
    explain.held_back_by = sentence::held_back_by(facts).into_iter().map(cut).collect();
    explain.limited = sentence::limit(facts).map(cut);
    explain.rival = facts.memory.foreign.contested().then(|| cut(facts.memory.foreign.describe()));
    explain.unreachable = sentence::unreachable(facts).map(cut);
    trim_to_size(&mut explain);
    explain
}

/// The counters of the replicas that are not needed, the last one first.
fn holds(facts: &Facts, explain: &mut Explain) {
    let (needed, decided) = (facts.replicas.needed, facts.replicas.decided);
    let Some(needed) = needed.filter(|needed| *needed < decided) else { return };
    let held = |replica: u32, (idle, hold): (f64, f64)| Hold {
        replica: Replicas(replica),
        idle_seconds: Seconds(tidy(idle.round())),
        seconds_left: Seconds(tidy((hold - idle).max(0.0).round())),
    };
    explain.hold = Some(held(decided, sentence::idle_and_hold(facts)));
    let after = (needed + 1..decided).rev().take(MOST_HELD as usize);
    explain.then_leave = after.map(|n| held(n, (facts.memory.counters.idle_of(n), facts.hold))).collect();
}

/// What alternatives are weighed with.
struct Scale<'a> {
    facts: &'a Facts<'a>,
    capacity: &'a Capacity,
}

/// The answer, one fewer, one more, and two other sizes.
fn alternatives(binding: Constraint, facts: &Facts, capacity: &Capacity) -> Vec<Alternative> {
    let scale = Scale { facts, capacity };
    let (n, size) = (facts.replicas.decided, facts.sizes.asked);
    let mut rows = Vec::with_capacity(5);
    if n > 1 || (n == 1 && facts.policy.may_sleep()) {
        rows.push(Alternative { ruled_out: rules_out_fewer(binding), ..scale.row(n - 1, size) });
    }
    rows.push(Alternative { chosen: true, ..scale.row(n, size) });
    let more = n.saturating_add(1);
    rows.push(Alternative { ruled_out: rules_out_more(more, facts), ..scale.row(more, size) });
    if facts.plan.pod.template > 0.0 {
        rows.extend(scale.neighbours().into_iter().flatten().map(|other| scale.sized(binding, other)));
    }
    rows
}

/// Whether what binds leaves no choice to have fewer; else the prices say why not.
fn rules_out_fewer(binding: Constraint) -> Option<Constraint> {
    let leaves_a_choice = matches!(
        binding,
        Constraint::Demand
            | Constraint::Backlog
            | Constraint::Memory
            | Constraint::MaxReplicas
            | Constraint::Quota
            | Constraint::Downstream
    );
    (!leaves_a_choice).then_some(binding)
}

/// What leaves no choice to have more.
fn rules_out_more(more: u32, facts: &Facts) -> Option<Constraint> {
    let upper = |limit: &limits::Limit| {
        matches!(limit, limits::Limit::Max { .. } | limits::Limit::Quota { .. })
            || matches!(limit, limits::Limit::Growth | limits::Limit::GrowthWaits)
    };
    if !facts.policy.levers.replicas {
        Some(Constraint::NotManaged)
    } else if more > limits::bounds(facts.policy).1 {
        Some(Constraint::MaxReplicas)
    } else if let Some(limit) = facts.replicas.limited.by.filter(upper) {
        Some(binding::of_limit(limit))
    } else {
        facts.saturation.in_vain.map(|_| Constraint::Downstream)
    }
}

impl Scale<'_> {
    fn row(&self, n: u32, size: f64) -> Alternative {
        let Facts { plan, replicas, sizes, sample, policy, .. } = self.facts;
        let k = self.capacity.of(size);
        // Memory of a pod follows what it does.
        let (now, gib) = (self.capacity.of(sizes.asked), plan.pod.gib);
        let ratio = self.facts.memory.demand.memory.ratio_from(now)(k);
        let resized = (size / sizes.asked - 1.0).abs() > 0.01;
        let pod = plan.price.pod(size, if resized { gib * ratio } else { gib });
        let carries = f64::from(n) * k;
        let missing = (plan.planned - carries).max(0.0);
        let started = f64::from(n.saturating_sub(replicas.current)) * pod * sample.lead;
        let held = if n < replicas.decided && !resized {
            let (idle, hold) = sentence::idle_and_hold(self.facts);
            f64::from(replicas.decided - n) * pod * (hold - idle).clamp(0.0, hold.max(0.0))
        } else {
            0.0
        };
        let earned = sizes.leader.filter(|l| !l.taken && (l.size / size - 1.0).abs() < SAME_SIZE);
        let present = f64::from(replicas.decided.max(1)) * plan.price.pod(plan.pod.size, gib);
        let earns = match earned {
            _ if !resized => 0.0,
            Some(leader) => (leader.threshold - leader.regret).max(0.0),
            None => present * policy.tuning.resize_after,
        };
        Alternative {
            replicas: Replicas(n),
            pod_cores: Cores(tidy(size)),
            chosen: false,
            carries_cores: Cores(tidy(carries)),
            missing_cores: Cores(tidy(missing)),
            pods_per_hour: DollarsPerHour(tidy(f64::from(n) * pod * 3600.0)),
            shortage_per_hour: DollarsPerHour(tidy(missing * plan.price.shortage() * 3600.0)),
            switch_per_hour: DollarsPerHour(tidy(started + held + earns)),
            ruled_out: None,
        }
    }

    /// The smaller and the larger size: the one that leads where there is one, else half an octave away.
    fn neighbours(&self) -> [Option<f64>; 2] {
        let Facts { plan, sizes, .. } = self.facts;
        let leader = sizes.leader;
        let base = leader.filter(|l| l.taken).map_or(plan.pod.size, |l| l.size);
        let leader = leader.filter(|l| !l.taken).map(|l| l.size);
        let below = leader.filter(|r| *r < base).unwrap_or(base * std::f64::consts::FRAC_1_SQRT_2);
        let above = leader.filter(|r| *r > base).unwrap_or(base * std::f64::consts::SQRT_2);
        [below, above].map(|size| Some(size).filter(|r| r.is_finite() && (r / sizes.asked - 1.0).abs() > NEAR))
    }

    /// A size with the replicas it needs, and what rules it out.
    fn sized(&self, binding: Constraint, asked: f64) -> Alternative {
        let Facts { plan, policy, snapshot, .. } = self.facts;
        let fitted = containers::fit(snapshot, policy, plan.pod.template, asked);
        let fits = (fitted / asked - 1.0).abs() < SAME_SIZE;
        let size = if fits { fitted } else { asked };
        let (min, max) = limits::bounds(policy);
        let needed = replicas_for(plan.planned, self.capacity.of(size));
        let n = if policy.levers.replicas { needed.clamp(min, max) } else { self.facts.replicas.decided };
        let peak = policy.tuning.peak_margin * self.facts.memory.demand.demand_peak;
        let carries_peak = f64::from(max) * self.capacity.of(size) >= peak;
        let admissible = carries_peak && size::admissible(size, plan.pod.gib, self.capacity, &plan.price);
        // Nodes that refused a larger pod are asked again later.
        let had = size <= plan.pod.size || self.facts.memory.vertical.raises.may(self.facts.sample.t);
        let ruled_out = if !self.capacity.sizes_managed {
            Some(Constraint::NotManaged)
        } else if !(fits && had) {
            Some(Constraint::Bounds)
        } else if !admissible {
            Some(Constraint::Inadmissible)
        } else {
            let still = [Constraint::SignalsStale, Constraint::Rollout, Constraint::Saturation];
            still.contains(&binding).then_some(binding)
        };
        Alternative { ruled_out, ..self.row(n, size) }
    }
}

/// A text that is one line and short, also as JSON.
fn cut(text: String) -> String {
    let text = sentence::in_one_line(text);
    let mut bytes = 0;
    let cost = |c: char| if matches!(c, '"' | '\\') { 2 } else { c.len_utf8() };
    let kept = text.chars().take(LONGEST_TEXT).take_while(|c| {
        bytes += cost(*c);
        bytes <= LONGEST_JSON
    });
    let kept: usize = kept.map(char::len_utf8).sum();
    if kept == text.len() {
        return text;
    }
    let mut short = text;
    short.truncate(kept);
    short.pop();
    short.push('…');
    short
}

/// Counts what a writer is given.
struct Counter(usize);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Bytes of a record as JSON; a record that does not serialise counts as too large.
pub(super) fn size_of(explain: &Explain) -> usize {
    let mut counter = Counter(0);
    serde_json::to_writer(&mut counter, explain).map_or(usize::MAX, |()| counter.0)
}

/// Leaves something out; false: there is nothing of the kind any more.
type Less = fn(&mut Explain) -> bool;

/// What is left out, the least important first. Without all of it a record is a few numbers and four short texts.
const LESS: [Less; 10] = [
    |e| e.signals.iter_mut().rev().find_map(|s| s.note.take()).is_some(),
    |e| e.then_leave.pop().is_some(),
    |e| {
        let unmanaged = |a: &Alternative| a.ruled_out == Some(Constraint::NotManaged);
        let last = e.alternatives.iter().rposition(unmanaged).filter(|i| *i > 2);
        last.map(|i| e.alternatives.remove(i)).is_some()
    },
    |e| e.schedules.len() > 1 && e.schedules.pop().is_some(),
    |e| e.held_back_by.len() > 2 && e.held_back_by.pop().is_some(),
    |e| e.alternatives.len() > 3 && e.alternatives.pop().is_some(),
    |e| e.signals.len() > 2 && e.signals.pop().is_some(),
    |e| e.held_back_by.pop().is_some(),
    |e| e.signals.pop().is_some(),
    |e| e.alternatives.pop().is_some(),
];

/// Leaves out what matters least until the record fits.
pub(super) fn trim_to_size(explain: &mut Explain) {
    // Counting takes longer than all else that is told; most records are small beyond doubt.
    if at_most(explain) <= LARGEST_RECORD {
        return;
    }
    for leave_out in LESS {
        loop {
            if size_of(explain) <= LARGEST_RECORD {
                return;
            }
            if !leave_out(explain) {
                break;
            }
        }
    }
}

/// The longest that any number is as JSON.
const ANY: usize = 24;
/// Names of all fields that are not lists, their punctuation, and the longest words of `binding` and `demandFrom`.
const NAMES: usize = 380;
/// The same for one entry of a list.
const NAMES_OF_ROW: usize = 150;
const NAMES_OF_HOLD: usize = 60;
const NAMES_OF_SIGNAL: usize = 85;
const SCHEDULE: usize = 150;
const NAMES_OF_SIZE: usize = 75;

/// More bytes than a record ever has as JSON, without writing it.
pub(super) fn at_most(explain: &Explain) -> usize {
    let hold = |h: &Hold| NAMES_OF_HOLD + 10 + width(h.idle_seconds.0) + width(h.seconds_left.0);
    let row = |a: &Alternative| {
        let prices = [a.pods_per_hour, a.shortage_per_hour, a.switch_per_hour].map(|p| p.0);
        let work = [a.pod_cores, a.carries_cores, a.missing_cores].map(|c| c.0);
        NAMES_OF_ROW + 10 + prices.into_iter().chain(work).map(width).sum::<usize>()
    };
    let signal = |s: &SignalVerdict| {
        let note = s.note.as_ref().map_or(0, |note| 6 * note.len() + 10);
        NAMES_OF_SIGNAL + 6 * s.name.len() + 2 * ANY + note
    };
    let texts = [&explain.limited, &explain.rival, &explain.unreachable];
    let texts = texts.into_iter().flatten().chain(&explain.held_back_by);
    let cores =
        [explain.demand_cores, explain.usage_cores, explain.planned_cores, explain.capacity_cores, explain.idle_cores];
    let others = [explain.headroom, explain.allowed_utilization, explain.capacity_adjustment];
    let seconds = [explain.lead_seconds, explain.binding.and_then(|b| b.seconds_left)];
    let numbers = cores.into_iter().flatten().map(|c| c.0).chain(others.into_iter().flatten());
    let numbers = numbers.chain(seconds.into_iter().flatten().map(|s| s.0));
    let size = |s: &SizeRegret| NAMES_OF_SIZE + width(s.pod_cores.0) + 2 * ANY;
    NAMES
        + ANY
        + numbers.map(width).sum::<usize>()
        + explain.alternatives.iter().map(row).sum::<usize>()
        + explain.hold.iter().chain(&explain.then_leave).map(hold).sum::<usize>()
        + explain.size.iter().map(size).sum::<usize>()
        + SCHEDULE * explain.schedules.len()
        + explain.signals.iter().map(signal).sum::<usize>()
        + texts.map(|_| LONGEST_JSON + 25).sum::<usize>()
}

/// The most characters of a number that was tidied.
fn width(x: f64) -> usize {
    match x.abs() {
        a if a < 10.0 => 9,
        a if a < 1e6 => 12,
        _ => ANY,
    }
}

#[cfg(test)]
mod tests;
