//! The reason of a decision: one sentence per [`Reason`], made here and only here, and the record behind it.
//!
//! Every number comes from the values that decided, so the numbers of a sentence agree with each other and with the
//! record. The record is at most 2 KiB as JSON.

use super::{
    Alternative, Boost, BoostSize, CONTRACT_VERSION, ContainerSize, Decision, Explain, Hold, Reason, SizeRegret,
    Snapshot,
    foreign::Foreign,
    plan::{Count, Plan, Sizes},
    sample::{Sample, timestamp},
    saturation::Saturation,
    schedule::Calendar,
    sentence,
    stale::Signals,
    state::Memory,
    zero,
};
use crate::{
    policy::Policy,
    units::{Cores, DollarsPerHour, Replicas, Seconds},
};

/// Largest explain record, bytes of JSON.
pub(super) const LARGEST_RECORD: usize = 2048;
/// Longest text in a record, characters.
const LONGEST_TEXT: usize = 160;

/// Everything that made a decision.
pub(super) struct Facts<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) policy: &'a Policy,
    pub(super) sample: &'a Sample,
    pub(super) signals: &'a Signals,
    pub(super) plan: &'a Plan,
    pub(super) saturation: &'a Saturation,
    pub(super) foreign: &'a Foreign,
    pub(super) replicas: &'a Count,
    pub(super) sizes: &'a Sizes,
    pub(super) hold: f64,
    pub(super) zero: &'a zero::Verdict,
    pub(super) calendar: &'a Calendar<'a>,
    pub(super) memory: &'a Memory,
}

/// A decision with its reason.
pub(super) fn decision(facts: &Facts) -> Decision {
    let reason = reason(facts);
    let boost = facts.sizes.boost.as_ref().map(|(cpu, _, until)| Boost {
        containers: facts
            .snapshot
            .containers
            .iter()
            .zip(cpu)
            .filter_map(|(c, cores)| Some(BoostSize { name: c.name.clone(), cpu_cores: (*cores)? }))
            .collect(),
        until: timestamp(*until),
    });
    let mut explain = record(facts);
    explain.unreachable = sentence::unreachable(facts).map(cut);
    trim_to_size(&mut explain);
    Decision {
        v: CONTRACT_VERSION,
        at: facts.snapshot.at,
        replicas: Replicas(facts.replicas.decided),
        containers: named(facts),
        boost,
        reason,
        message: sentence::of(reason, facts),
        explain,
    }
}

/// The sizes with their names.
fn named(facts: &Facts) -> Vec<ContainerSize> {
    let named = facts.snapshot.containers.iter().zip(&facts.sizes.containers);
    named.map(|(c, s)| ContainerSize { name: c.name.clone(), requests: s.requests, limits: s.limits }).collect()
}

/// Somebody set the workload to zero: it is left there, with the sizes that its template has.
pub(super) fn at_zero(snapshot: &Snapshot, policy: &Policy, signals: &Signals) -> Decision {
    let as_is = snapshot.containers.iter().map(|c| ContainerSize {
        name: c.name.clone(),
        requests: super::containers::as_given(c.request),
        limits: super::containers::as_given(c.limit),
    });
    let mut explain = Explain { signals: signals.report(policy, snapshot), ..Explain::default() };
    trim_to_size(&mut explain);
    Decision {
        v: CONTRACT_VERSION,
        at: snapshot.at,
        replicas: Replicas(0),
        containers: as_is.collect(),
        boost: None,
        reason: Reason::ScaledToZero,
        message: "replicas is 0, set by somebody else: left at 0 until it is raised".to_owned(),
        explain,
    }
}

/// The reason: what changed at this tick, else what keeps things as they are.
fn reason(facts: &Facts) -> Reason {
    let Facts { replicas, saturation, plan, signals, sizes, .. } = facts;
    let known = plan.is_known();
    if !known && !facts.memory.trust.seen_data && saturation.cause.is_none() && replicas.limit().is_none() {
        return Reason::WaitingForData;
    }
    if let Some(limit) = replicas.limit().filter(|limit| *limit != Reason::LimitedByMin) {
        return limit;
    }
    if let Some(reason) = at_the_bottom(facts) {
        return reason;
    }
    let grows = replicas.decided > replicas.current;
    let by_floor = saturation.floor.is_some_and(|f| f >= replicas.decided) && replicas.model < replicas.decided;
    if by_floor || (saturation.cause.is_some() && !grows && replicas.model < replicas.decided && known) {
        return if saturation.in_vain.is_some() { Reason::DownstreamBound } else { Reason::Saturated };
    }
    if replicas.relieved {
        return Reason::Saturated;
    }
    if grows && !replicas.raised_by_loss {
        return if known { steady(facts) } else { Reason::SignalsStale };
    }
    if let Some(change) = sizes.memory.map(|m| m.1)
        && let Some(reason) = memory_reason(change, facts)
    {
        return reason;
    }
    if !signals.blocked_by.is_empty() || replicas.raised_by_loss {
        return Reason::SignalsStale;
    }
    if sizes.leader.is_some_and(|l| l.taken) {
        return Reason::SizeCheaper;
    }
    if sizes.boost.is_some() {
        return Reason::BoostedMeanwhile;
    }
    if facts.foreign.rival && replicas.model < replicas.decided {
        return Reason::RivalWrites;
    }
    if facts.sample.rollout_age.is_some() {
        return Reason::RolloutInProgress;
    }
    if replicas.decided < replicas.current {
        // What keeps more from helping is no reason for fewer.
        return replicas.limit().unwrap_or_else(|| steady(facts));
    }
    if saturation.in_vain.is_some() || facts.memory.capacity.exhausted() {
        return Reason::DownstreamBound;
    }
    if sentence::zero_load_violates(facts) {
        return Reason::ObjectiveUnreachable;
    }
    if replicas.limit().is_some() {
        return Reason::LimitedByMin;
    }
    if replicas.needed.is_some_and(|n| n < replicas.decided) {
        return Reason::HoldingForDemand;
    }
    steady(facts)
}

fn memory_reason(change: super::memory::Change, facts: &Facts) -> Option<Reason> {
    use super::memory::Change;
    match change {
        Change::Killed { .. } => Some(Reason::OutOfMemory),
        // A first look at a workload is not a change worth telling before its count is.
        Change::Peak { .. } if !facts.sample.first => Some(Reason::MemoryPeak),
        _ => None,
    }
}

/// What is to be told of zero, and of the calendar.
fn at_the_bottom(facts: &Facts) -> Option<Reason> {
    let Facts { replicas, zero, .. } = facts;
    if replicas.decided == 0 {
        return Some(Reason::IdleToZero);
    }
    if scheduled(facts) {
        return Some(Reason::ScheduledMinimum);
    }
    let from_zero = replicas.current == 0;
    // Off for good: what would have left is told why it stays.
    if zero.died || (zero.off.is_some() && (from_zero || (replicas.decided == 1 && zero.idle.is_some()))) {
        return Some(Reason::SignalDiesAtZero);
    }
    let blind = zero.blind.is_some() || replicas.raised_by_loss;
    from_zero.then_some(if blind { Reason::SignalsStale } else { Reason::WokenByDemand })
}

/// Whether the calendar asks for more than anything else, and for as many as are decided.
fn scheduled(facts: &Facts) -> bool {
    let Facts { replicas, calendar, .. } = facts;
    let needed = replicas.needed.unwrap_or(replicas.decided);
    calendar.floor() == replicas.decided && needed < replicas.decided
}

/// What the count rests on while nothing else is to be told.
fn steady(facts: &Facts) -> Reason {
    if facts.plan.backlog_binds || facts.plan.backlog.is_some_and(|b| b.stalled.is_some()) {
        return Reason::BacklogDeadline;
    }
    if let (Some(capacity), Some(needed)) = (&facts.plan.capacity, facts.replicas.needed) {
        let free = capacity.uncorrected().of(facts.plan.pod.size);
        let without = super::arith::replicas_for(facts.plan.planned, free);
        if without != needed && (free / facts.plan.k - 1.0).abs() > 0.03 && facts.replicas.decided == needed {
            return Reason::LatencyObjective;
        }
    }
    Reason::CpuDemand
}

/// Numbers with as many decimals as people can use.
fn tidy(x: f64) -> f64 {
    let scale = if x.abs() < 0.1 { 1e6 } else { 1e4 };
    let rounded = (x * scale).round() / scale;
    if rounded.is_finite() { rounded } else { 0.0 }
}

fn record(facts: &Facts) -> Explain {
    let Facts { plan, sample, replicas, sizes, .. } = facts;
    let mut explain = Explain { lead_seconds: Some(Seconds(tidy(sample.lead))), ..Explain::default() };
    if let Some(capacity) = &plan.capacity {
        explain.demand_cores = Some(Cores(tidy(plan.must)));
        let from = if plan.backlog_binds { "backlog" } else { plan.demand.map_or("backlog", |d| d.from.words()) };
        explain.demand_from = Some(from.to_owned());
        explain.planned_cores = Some(Cores(tidy(plan.planned)));
        explain.headroom = Some(capacity.headroom);
        explain.capacity_cores = Some(Cores(tidy(capacity.of(sizes.asked))));
        explain.allowed_utilization = Some(tidy(capacity.allowed(sizes.asked)));
        explain.capacity_adjustment = Some(tidy(capacity.adjustment));
        explain.idle_cores = Some(Cores(tidy(capacity.idle)));
        explain.work_core_seconds = plan.backlog.map(|b| b.work).or(plan.demand.and_then(|d| d.work)).map(significant);
        explain.alternatives = alternatives(facts, capacity);
    }
    if replicas.needed.is_some_and(|n| n < replicas.decided) && replicas.decided > 0 {
        let (idle, hold) = sentence::idle_and_hold(facts);
        explain.hold = Some(Hold {
            replica: Replicas(replicas.decided),
            idle_seconds: Seconds(idle.round()),
            seconds_left: Seconds((hold - idle).max(0.0).round()),
        });
    }
    explain.size = sizes.leader.filter(|l| !l.taken).map(|l| SizeRegret {
        pod_cores: Cores(tidy(l.size)),
        regret_dollars: tidy(l.regret),
        threshold_dollars: tidy(l.threshold),
    });
    explain.schedules = facts.calendar.record();
    explain.signals = facts.signals.report(facts.policy, facts.snapshot);
    explain.held_back_by = sentence::held_back_by(facts).into_iter().map(cut).collect();
    explain.limited = sentence::limit(facts).map(cut);
    explain
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

/// The answer, one fewer, one more, and two other sizes.
fn alternatives(facts: &Facts, capacity: &super::capacity::Capacity) -> Vec<Alternative> {
    let Facts { plan, replicas, sizes, sample, .. } = facts;
    let row = |n: u32, size: f64, chosen: bool| {
        let (k, pod) = (capacity.of(size), plan.price.pod(size, plan.pod.gib));
        let carries = f64::from(n) * k;
        let missing = (plan.planned - carries).max(0.0);
        // A pod costs its price until it serves; a resize costs what a size must have earned first.
        let started = f64::from(n.saturating_sub(replicas.current)) * pod * sample.lead;
        let resized = if (size / sizes.asked - 1.0).abs() > 0.01 { f64::from(n) * pod * 600.0 } else { 0.0 };
        Alternative {
            replicas: Replicas(n),
            pod_cores: Cores(tidy(size)),
            chosen,
            carries_cores: Cores(tidy(carries)),
            missing_cores: Cores(tidy(missing)),
            pods_per_hour: DollarsPerHour(tidy(f64::from(n) * pod * 3600.0)),
            shortage_per_hour: DollarsPerHour(tidy(missing * plan.price.shortage() * 3600.0)),
            switch_per_hour: DollarsPerHour(tidy(started + resized)),
        }
    };
    let (n, size) = (replicas.decided, sizes.asked);
    let mut rows = Vec::with_capacity(5);
    if n > 1 {
        rows.push(row(n - 1, size, false));
    }
    rows.push(row(n, size, true));
    rows.push(row(n.saturating_add(1), size, false));
    if capacity.sizes_managed {
        for other in [plan.pod.size * std::f64::consts::FRAC_1_SQRT_2, plan.pod.size * std::f64::consts::SQRT_2] {
            rows.push(row(super::arith::replicas_for(plan.planned, capacity.of(other)).max(1), other, false));
        }
    }
    rows
}

fn cut(text: String) -> String {
    if text.chars().count() <= LONGEST_TEXT {
        text
    } else {
        text.chars().take(LONGEST_TEXT - 1).chain(['…']).collect()
    }
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

/// Leaves out what matters least until the record fits: notes, other sizes, the last signals, the last words.
fn trim_to_size(explain: &mut Explain) {
    // Few short signals always fit; only then is counting spared.
    let text: usize = explain.signals.iter().map(|s| s.name.len() + s.note.as_ref().map_or(0, String::len)).sum();
    let words: usize = explain.held_back_by.iter().map(String::len).sum();
    if explain.signals.len() <= 4 && text + words < 200 && explain.limited.is_none() && explain.unreachable.is_none() {
        return;
    }
    if size_of(explain) > LARGEST_RECORD {
        explain.signals.iter_mut().for_each(|s| s.note = None);
    }
    while size_of(explain) > LARGEST_RECORD && explain.held_back_by.len() > 2 {
        explain.held_back_by.pop();
    }
    while size_of(explain) > LARGEST_RECORD && explain.alternatives.len() > 3 {
        explain.alternatives.pop();
    }
    while size_of(explain) > LARGEST_RECORD && explain.signals.pop().is_some() {}
}
