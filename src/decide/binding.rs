//! Which constraint binds: the first, in the order of [`Constraint`], without which something cheaper would be taken.
//!
//! While the count grows, what forbids shrinking does not bind. It looks at what was decided and decides nothing.

use super::{
    Binding, Constraint, Reason,
    arith::replicas_for,
    explain::{Facts, scheduled, small, steady},
    limits::Limit,
    memory::Change,
    plan::resizing,
    sample::TEMPLATE_FREEZE,
    sentence,
};
use crate::units::Seconds;

/// What binds a decision that has this reason.
pub(super) fn of(reason: Reason, facts: &Facts) -> Binding {
    let constraint = constraint(reason, facts);
    let left = match constraint {
        Constraint::Rollout => facts.sample.rollout_age.filter(|age| *age > 0.0).map(|age| TEMPLATE_FREEZE - age),
        Constraint::Schedule => {
            facts.calendar.now.as_ref().map(|floor| floor.end.duration_since(facts.snapshot.at).as_secs_f64())
        }
        Constraint::OtherWriter => facts.foreign.left,
        Constraint::Hold => {
            let (idle, hold) = sentence::idle_and_hold(facts);
            Some(hold - idle)
        }
        _ => None,
    };
    let left = left.filter(|seconds| seconds.is_finite()).map(|seconds| Seconds(seconds.max(0.0).round()));
    Binding { constraint, seconds_left: left }
}

fn constraint(reason: Reason, facts: &Facts) -> Constraint {
    match reason {
        Reason::WaitingForData => return Constraint::NoData,
        Reason::SignalDiesAtZero => return Constraint::ZeroOff,
        _ => {}
    }
    stillness(facts)
        .or_else(|| limit(facts))
        .or_else(|| others(facts))
        .or_else(|| shortage(facts))
        .or_else(|| size(facts))
        .unwrap_or_else(|| count(facts))
}

/// Whether the model by itself would have fewer than are decided.
fn is_more_than_asked(facts: &Facts) -> bool {
    facts.replicas.model < facts.replicas.decided
}

fn grows(facts: &Facts) -> bool {
    facts.replicas.decided > facts.replicas.current
}

/// What forbids to shrink and to resize.
fn stillness(facts: &Facts) -> Option<Constraint> {
    let blind = facts.replicas.raised_by_loss || facts.zero.blind.is_some();
    if blind || (!grows(facts) && !facts.signals.blocked_by.is_empty()) {
        return Some(Constraint::SignalsStale);
    }
    (!grows(facts) && facts.sample.rollout_age.is_some()).then_some(Constraint::Rollout)
}

/// Bounds, quota, rates, and the calendar.
fn limit(facts: &Facts) -> Option<Constraint> {
    let by_calendar = scheduled(facts).then_some(Constraint::Schedule);
    facts.replicas.limited.by.map(of_limit).or(by_calendar)
}

/// The constraint that a limit is.
pub(super) fn of_limit(limit: Limit) -> Constraint {
    match limit {
        Limit::Max { .. } => Constraint::MaxReplicas,
        Limit::Min { .. } => Constraint::MinReplicas,
        Limit::Scheduled { .. } => Constraint::Schedule,
        Limit::Quota { .. } => Constraint::Quota,
        Limit::GrowthWaits | Limit::Growth | Limit::Shrinking => Constraint::Behavior,
    }
}

/// What others wrote, and what is not ours.
fn others(facts: &Facts) -> Option<Constraint> {
    let floor = facts.foreign.floor.is_some_and(|floor| floor >= facts.replicas.decided);
    if is_more_than_asked(facts) && (facts.foreign.rival || floor) {
        return Some(Constraint::OtherWriter);
    }
    (!facts.policy.levers.replicas).then_some(Constraint::NotManaged)
}

/// Pods that are short, and what more of them did not change.
fn shortage(facts: &Facts) -> Option<Constraint> {
    let saturation = facts.saturation;
    let by_floor = saturation.floor.is_some_and(|floor| floor >= facts.replicas.decided);
    let held = saturation.cause.is_some() && !grows(facts);
    if saturation.in_vain.is_some() || (facts.memory.capacity.exhausted() && !grows(facts)) {
        return Some(Constraint::Downstream);
    }
    let short = facts.replicas.relieved || (is_more_than_asked(facts) && (by_floor || held));
    short.then_some(Constraint::Saturation)
}

/// What happens to pods meanwhile.
fn size(facts: &Facts) -> Option<Constraint> {
    if resizes(facts) {
        return Some(Constraint::Resize);
    }
    let moved = facts.sizes.memory.map(|(_, change)| change);
    let told = match moved {
        Some(Change::Killed { .. }) => true,
        Some(Change::Peak { .. }) => !facts.sample.first,
        _ => false,
    };
    (told && !grows(facts)).then_some(Constraint::Memory)
}

/// What asks for the count.
fn count(facts: &Facts) -> Constraint {
    let replicas = facts.replicas;
    if !facts.plan.is_known() {
        return Constraint::SignalsStale;
    }
    let waits = facts.plan.backlog.is_some_and(|b| b.replicas.max(b.stalled.unwrap_or(0)) >= replicas.decided);
    if waits || (steady(facts) == Reason::BacklogDeadline && replicas.needed.is_some_and(|n| n >= replicas.decided)) {
        return if replicas.decided > 0 { Constraint::Backlog } else { Constraint::Demand };
    }
    if replicas.needed.is_some_and(|n| n < replicas.decided) && small(facts).is_none() {
        return if tolerated(facts) { Constraint::Behavior } else { Constraint::Hold };
    }
    Constraint::Demand
}

/// Whether fewer are wanted, but not before pods have the larger size that they were asked to have.
pub(super) fn resizes(facts: &Facts) -> bool {
    let asked_before = facts.memory.vertical.asked_since().is_some_and(|(_, since)| since < facts.sample.t);
    is_more_than_asked(facts) && asked_before && resizing(facts.sample, facts.memory)
}

/// Whether the hold is over and only `scaleDown.tolerance` keeps the count.
pub(super) fn tolerated(facts: &Facts) -> bool {
    let replicas = facts.replicas;
    let tolerance = facts.policy.behavior.scale_down.as_ref().and_then(|rules| rules.tolerance);
    let (idle, hold) = sentence::idle_and_hold(facts);
    let over = idle >= hold * (1.0 - 1e-6) && replicas.decided == replicas.current;
    // What is wanted without the headroom may hold it as well; then the hold is not over.
    let must = replicas_for(facts.plan.must, facts.plan.k);
    over && must < replicas.decided && tolerance.is_some_and(|t| t > 0.0) && replicas.last.is_none()
}
