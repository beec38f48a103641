//! The reason of a decision, as a word, as a sentence and with the record behind it.
//!
//! Every number comes from the values that decided, so the numbers of a sentence agree with each other and with the
//! record.

use super::{
    Binding, Boost, BoostSize, CONTRACT_VERSION, Constraint, ContainerSize, Decision, Explain, Reason, Snapshot,
    binding,
    foreign::Foreign,
    plan::{Count, Plan, Sizes},
    record,
    refused::Small,
    sample::{Sample, timestamp},
    saturation::Saturation,
    schedule::Calendar,
    sentence,
    stale::Signals,
    state::Memory,
    zero,
};
use crate::{policy::Policy, units::Replicas};

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
    Decision {
        v: CONTRACT_VERSION,
        at: facts.snapshot.at,
        replicas: Replicas(facts.replicas.decided),
        containers: named(facts),
        boost,
        reason,
        message: sentence::in_one_line(sentence::of(reason, facts)),
        explain: record::of(binding::of(reason, facts), facts),
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
    let binding = Binding { constraint: Constraint::OtherWriter, seconds_left: None };
    let signals = signals.report(policy, snapshot);
    let mut explain = Explain { binding: Some(binding), signals, ..Explain::default() };
    record::trim_to_size(&mut explain);
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
    if replicas.needed.is_some_and(|n| n < replicas.decided) && small(facts).is_none() {
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
pub(super) fn scheduled(facts: &Facts) -> bool {
    let Facts { replicas, calendar, .. } = facts;
    let needed = replicas.needed.unwrap_or(replicas.decided);
    calendar.floor() == replicas.decided && needed < replicas.decided
}

/// Pods that stay small, when it is for them that so many replicas are decided.
pub(super) fn small(facts: &Facts) -> Option<Small> {
    let Facts { replicas, plan, .. } = facts;
    plan.small.filter(|s| s.floor >= replicas.decided && replicas.needed.is_some_and(|n| n < replicas.decided))
}

/// What the count rests on while nothing else is to be told.
pub(super) fn steady(facts: &Facts) -> Reason {
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
