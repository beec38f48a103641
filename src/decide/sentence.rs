//! The sentences, one per [`Reason`], and the words for what holds back, limits, or cannot be reached.

use super::{
    Reason, binding,
    capacity::{Capacity, Feedback, Mode},
    explain::Facts,
    memory::{Change, MARGIN},
    queue::{Backlog, Basis, PRIOR_ITEMS_PER_REPLICA},
    saturation::Cause,
    stale::Block,
    words,
    zero::Woken,
};
use crate::{policy, units::Bytes};

/// The most reasons for not shrinking that are told.
const MOST_HELD: usize = 6;

/// Longest sentence, in characters: in ASCII what an Event's note takes.
const LONGEST: usize = 1024;

/// A sentence with names of a recorded snapshot in it, which no API server has looked at. Nothing is copied where all is well.
pub(super) fn in_one_line(text: String) -> String {
    let well = |c: char| !c.is_control() && !policy::turns(c);
    if text.len() <= LONGEST && text.chars().all(well) { text } else { policy::in_one_line(&text, LONGEST) }
}

/// The sentence of a reason.
pub(super) fn of(reason: Reason, facts: &Facts) -> String {
    match reason {
        Reason::Saturated => saturated(facts),
        Reason::BacklogDeadline => facts.plan.backlog.map_or_else(|| demand(facts), |b| backlog(facts, &b)),
        Reason::LatencyObjective => latency(facts),
        Reason::HoldingForDemand => holding(facts),
        Reason::SizeCheaper => size(facts),
        Reason::MemoryPeak | Reason::OutOfMemory => memory(facts),
        Reason::BoostedMeanwhile => boosted(facts),
        Reason::SignalsStale => stale(facts),
        Reason::LimitedByMax | Reason::LimitedByMin | Reason::LimitedByQuota | Reason::LimitedByBehavior => {
            limited(facts)
        }
        Reason::RolloutInProgress => rollout(facts),
        Reason::ObjectiveUnreachable => unreachable(facts).unwrap_or_else(|| demand(facts)),
        Reason::DownstreamBound => downstream(facts),
        Reason::WaitingForData => {
            format!("no CPU usage and no signal seen yet: {} held", words::replicas(facts.replicas.decided))
        }
        Reason::ScaledToZero => "replicas is 0, set by somebody else: left at 0 until it is raised".to_owned(),
        Reason::IdleToZero => released(facts),
        Reason::WokenByDemand => woken(facts),
        Reason::SignalDiesAtZero => dies_at_zero(facts),
        Reason::ScheduledMinimum => scheduled(facts),
        Reason::RivalWrites => {
            let who = facts.memory.foreign.describe();
            format!("{who}: not shrinking, growing if needed (spec.onRival: Floor)")
        }
        Reason::CpuDemand => demand(facts),
    }
}

/// `9 × 1.2 cores carry 8.8, 8 would carry 7.8`
fn carried(facts: &Facts, capacity: &Capacity) -> String {
    let (n, size) = (facts.replicas.decided, facts.sizes.asked);
    let k = capacity.of(size);
    let carry = |n: u32| words::cores(f64::from(n) * k);
    let verb = if n == 1 { "carries" } else { "carry" };
    let mut text = format!("{n} × {} {verb} {}", words::cores_unit(size), carry(n));
    if n > 1 {
        text = format!("{text}, {} would carry {}", n - 1, carry(n - 1));
    }
    text
}

fn demand(facts: &Facts) -> String {
    let Some(capacity) = &facts.plan.capacity else {
        return format!("demand is not known: {} held", words::replicas(facts.replicas.decided));
    };
    let plan = facts.plan;
    if let Some(small) = super::explain::small(facts) {
        let pods = if small.pods > 1.0 { "pods do" } else { "pod does" };
        return format!(
            "nodes refuse to enlarge pods: {:.0} {pods} not get more than {}, and {} keep them from being full; demand {}",
            small.pods,
            words::cores_unit(small.size),
            words::replicas(facts.replicas.decided),
            words::cores_unit(plan.must),
        );
    }
    let planned = if capacity.headroom > 0.0 {
        format!("planned with {} headroom for {}", words::percent(capacity.headroom), words::cores(plan.planned))
    } else if capacity.mode == Mode::Utilization {
        format!("planned at {} utilization", words::percent(facts.policy.objective.utilization))
    } else {
        format!("planned for {}", words::cores(plan.planned))
    };
    format!("demand {}, {planned}; {}", words::cores_unit(plan.must), carried(facts, capacity))
}

fn saturated(facts: &Facts) -> String {
    let what = facts.saturation.cause.map_or_else(|| "pods are short".to_owned(), |cause| describe(cause, facts));
    let (from, to) = (facts.replicas.current, facts.replicas.decided);
    if to > from {
        format!("{what}: growing from {from} to {to} whatever the model says")
    } else if facts.replicas.relieved {
        let asked = facts.sizes.boost.as_ref().map_or(facts.sizes.asked, |(_, size, _)| *size);
        format!("{what}: running pods get {} first, new ones follow if it stays so", words::cores_unit(asked))
    } else if facts.saturation.waits {
        format!("{what}: {} held, growing if it goes on for a minute", words::replicas(to))
    } else {
        format!("{what}: {} held until new pods serve", words::replicas(to))
    }
}

fn describe(cause: Cause, facts: &Facts) -> String {
    match cause {
        Cause::Throttled(x) => format!("pods are throttled {} of the time", words::percent(x)),
        Cause::AtCapacity(x) => format!("pods use {} of the CPU they have", words::percent(x)),
        Cause::Signal(x) => format!("saturation is {}", words::percent(x)),
        Cause::Violations(x) => match &facts.policy.objective.latency {
            Some(l) => format!(
                "{} of requests take over {} (objective {})",
                words::percent(x),
                words::latency(l.target.0),
                words::percent(1.0 - l.objective)
            ),
            None => format!("{} of requests are late", words::percent(x)),
        },
    }
}

fn backlog(facts: &Facts, b: &Backlog) -> String {
    let n = facts.replicas.decided;
    let items = words::items_wait(b.waiting);
    let target = words::duration(b.target);
    if let Some(floor) = b.stalled.filter(|f| *f >= n) {
        return format!(
            "{items} and do not become fewer: growing from {} to {floor} (target {target})",
            facts.replicas.current
        );
    }
    if b.basis == Basis::Prior {
        let each = PRIOR_ITEMS_PER_REPLICA;
        return format!(
            "{items}; the work of one is not known yet, {each:.0} per replica are assumed: {}",
            words::replicas(n)
        );
    }
    let verb = if n == 1 { "drains" } else { "drain" };
    let size = facts.sizes.boost.as_ref().map_or(facts.sizes.asked, |boost| boost.1);
    let k = facts.memory.queue.carries(size);
    let first = b.drain_seconds(n, k).map_or_else(
        || format!("{} cannot drain them", words::replicas(n)),
        |s| format!("{} {verb} them in {} (target {target})", words::replicas(n), words::duration(s)),
    );
    let fewer = match n.checked_sub(1).filter(|m| *m > 0) {
        None => String::new(),
        Some(m) => b
            .drain_seconds(m, k)
            .map_or_else(|| format!(", {m} never would"), |s| format!(", {m} would take {}", words::duration(s))),
    };
    format!("{items}; {first}{fewer}")
}

fn latency(facts: &Facts) -> String {
    let (Some(capacity), Some(objective)) = (&facts.plan.capacity, &facts.policy.objective.latency) else {
        return demand(facts);
    };
    let size = facts.plan.pod.size;
    let (free, now) = (capacity.uncorrected().of(size), facts.plan.k);
    let busy = facts.plan.must / (facts.sample.ready.max(1.0) * size);
    let value = facts.signals.latency.as_ref().and_then(super::stale::Judged::usable);
    let violation = Feedback::violation(facts.policy, facts.signals);
    let seen = match (value, violation) {
        (Some(v), _) => format!(
            "p{} is {} against {}",
            words::trim_zeros(&format!("{:.2}", objective.objective * 100.0)),
            words::latency(v),
            words::latency(objective.target.0)
        ),
        (None, Some(v)) => format!(
            "{} of requests take over {} (objective {})",
            words::percent(v),
            words::latency(objective.target.0),
            words::percent(1.0 - objective.objective)
        ),
        (None, None) => format!("latency was watched against {}", words::latency(objective.target.0)),
    };
    let moved = if now < free { "lowered" } else { "raised" };
    format!(
        "{seen} at {} utilization: capacity per replica {moved} from {} to {} cores",
        words::percent(busy),
        words::cores(free),
        words::cores(now)
    )
}

fn holding(facts: &Facts) -> String {
    let n = facts.replicas.decided;
    if facts.foreign.floor == Some(n) {
        let left = words::duration(facts.foreign.left.unwrap_or(facts.hold));
        return format!("replicas was raised to {n} by somebody else: kept for {left} more");
    }
    if binding::resizes(facts) {
        let size = words::cores_unit(facts.sizes.asked);
        return format!("{} would do, {n} are kept until pods have {size}", facts.replicas.model);
    }
    if let (Some(needed), true) = (facts.replicas.needed, binding::tolerated(facts)) {
        let tolerance = facts.policy.behavior.scale_down.as_ref().and_then(|rules| rules.tolerance).unwrap_or(0.0);
        let tolerance = words::percent(tolerance);
        return format!("{needed} would do, {n} are within the tolerance of scaleDown ({tolerance}): kept");
    }
    let (idle, hold) = idle_and_hold(facts);
    let (idle, left) = (idle.round(), (hold - idle).max(0.0).round());
    format!(
        "replica {n} has been idle for {}; it leaves in {} if demand stays",
        words::duration(idle),
        words::duration(left)
    )
}

/// How long the last of the replicas has been idle, and how long it may be.
pub(super) fn idle_and_hold(facts: &Facts) -> (f64, f64) {
    let of_counter = (facts.memory.counters.idle_of(facts.replicas.decided), facts.hold);
    facts.replicas.last.unwrap_or(of_counter)
}

fn released(facts: &Facts) -> String {
    let idle = words::duration(facts.zero.idle.unwrap_or(0.0));
    if facts.replicas.current == 0 {
        return format!("no work for {idle}: at zero, the first item wakes it");
    }
    match facts.zero.lasts_on {
        Some(more) => format!(
            "no work for {idle}; gaps this long last {} more in 9 of 10 cases: last replica released, the first item wakes it",
            words::duration(more)
        ),
        None => format!("no work for {idle}: last replica released, the first item wakes it"),
    }
}

fn woken(facts: &Facts) -> String {
    let what = match facts.zero.woken {
        Some(Woken::Items(waiting)) => words::items_wait(waiting),
        Some(Woken::Signal { index, value }) => {
            let name = facts.policy.signals.get(index).map_or("-", |s| s.name.as_str());
            format!("`{name}` is {}", words::cores(value))
        }
        None => "replicas are needed".to_owned(),
    };
    format!("{what}: 0 → {}", facts.replicas.decided)
}

fn dies_at_zero(facts: &Facts) -> String {
    let why = facts.zero.off.as_deref().unwrap_or("a signal vanished with the last pod");
    let n = words::replicas(facts.replicas.decided);
    let verb = if facts.replicas.current == 0 { "back to" } else { "kept at" };
    format!("{why}: {verb} {n}, zero is off until the policy's spec changes")
}

fn scheduled(facts: &Facts) -> String {
    let Some(floor) = &facts.calendar.now else { return demand(facts) };
    let needed = facts.replicas.needed.map_or_else(String::new, |n| format!("; {n} needed now"));
    format!("schedule `{}` asks for {}{needed}", floor.cron(), floor.words())
}

fn size(facts: &Facts) -> String {
    let (Some(capacity), Some(leader)) = (&facts.plan.capacity, facts.sizes.leader) else { return demand(facts) };
    let before = facts.sizes.before;
    let count = |size: f64| super::arith::replicas_for(facts.plan.planned, capacity.of(size)).max(1);
    let hours = (facts.sample.uptime / 3600.0).clamp(0.01, 48.0);
    format!(
        "{} × {} would have cost ${:.2}/h less than {} × {} over the last {} at the same risk; resized in place",
        count(leader.size),
        words::cores_unit(leader.size),
        leader.regret / hours,
        count(before),
        words::cores_unit(before),
        words::duration(hours * 3600.0),
    )
}

fn memory(facts: &Facts) -> String {
    let Some((i, change)) = facts.sizes.memory else { return demand(facts) };
    let request = facts.sizes.containers.get(i).and_then(|c| c.requests.memory_bytes).unwrap_or_default();
    let several = facts.snapshot.containers.len() > 1;
    let name = facts.snapshot.containers.get(i).map_or("", |c| c.name.as_str());
    let prefix = if several { format!("`{name}`: ") } else { String::new() };
    match change {
        Change::Killed { limit, at } => {
            let now = facts.sizes.containers.get(i).and_then(|c| c.limits.memory_bytes).unwrap_or(request);
            let raised =
                if now > limit { format!("raised to {now}") } else { format!("{now} is the most it may have") };
            format!("{prefix}killed at {limit} at {}: {raised}", words::clock(f64::from(at)))
        }
        Change::Peak { peak } => {
            let planned = Bytes::ceil_from(peak.as_f64() * MARGIN);
            let cut = if request.as_f64() < 0.99 * planned.as_f64() { ", limited to" } else { " =" };
            format!("{prefix}{peak} peak in 8 days + {}{cut} {request}", words::percent(MARGIN - 1.0))
        }
        Change::None => demand(facts),
    }
}

fn boosted(facts: &Facts) -> String {
    let Some((_, size, _)) = &facts.sizes.boost else { return demand(facts) };
    let new = super::arith::count((f64::from(facts.replicas.decided) - facts.sample.ready).max(0.0));
    let carries = |c: &Capacity| facts.sample.ready * c.of(facts.sizes.asked) >= facts.plan.must;
    let carried = facts.plan.capacity.as_ref().is_some_and(carries);
    let (larger, usual) = (words::cores(*size), words::cores_unit(facts.sizes.asked));
    let now = format!("running pods get {larger} instead of {usual} until then");
    let start = words::duration(facts.sample.start_p90);
    match new {
        0 if carried && !facts.memory.vertical.raises.reversible(facts.sample.t, facts.policy.mode) => {
            format!(
                "asking for {larger} instead of {usual}, to see whether nodes grant it before any pod is made smaller"
            )
        }
        0 if carried => format!(
            "demand is {}, and {} carry it again: running pods go back from {larger} to {usual}",
            words::cores_unit(facts.plan.must),
            words::replicas(facts.replicas.decided),
        ),
        0 => format!(
            "demand is {}, more than {} carry: running pods get {larger} instead of {usual}, new ones follow if it lasts",
            words::cores_unit(facts.plan.must),
            words::replicas(facts.replicas.decided),
        ),
        1 => format!("1 new pod needs {start}; {now}"),
        n => format!("{n} new pods need {start}; {now}"),
    }
}

fn stale(facts: &Facts) -> String {
    if let Some(blind) = &facts.zero.blind {
        return format!("{blind}: {} until it is back", words::replicas(facts.replicas.decided));
    }
    let why = facts.signals.blocked_by.first();
    let why = why.map_or_else(|| "signals are missing".to_owned(), |b| blocked(b, facts));
    let n = words::replicas(facts.replicas.decided);
    if facts.replicas.raised_by_loss {
        return format!("{why}: raised to {n} (onSignalLoss), nothing shrinks, no resize");
    }
    let smaller = facts.sample.running.is_some_and(|running| running < 0.98 * facts.sizes.asked);
    if facts.signals.blind && smaller {
        let size = words::cores_unit(facts.sizes.asked);
        return format!("{why}: nothing shrinks, pods get back the {size} they were trimmed from; {n} held");
    }
    format!("{why}: nothing shrinks, no resize; {n} held")
}

fn limited(facts: &Facts) -> String {
    limit(facts).unwrap_or_else(|| demand(facts))
}

/// Which limit binds, in words.
pub(super) fn limit(facts: &Facts) -> Option<String> {
    facts.replicas.limited.by.map(|by| by.describe(facts.policy, facts.snapshot))
}

fn blocked(block: &Block, facts: &Facts) -> String {
    block.describe(facts.policy, facts.sample, facts.snapshot)
}

fn rollout(facts: &Facts) -> String {
    let age = facts.sample.rollout_age.unwrap_or(0.0);
    if age <= 0.0 && !facts.sample.new_template {
        return "pods of two templates run: no shrink and no resize until they are one".to_owned();
    }
    let until = facts.sample.t - age + super::sample::TEMPLATE_FREEZE;
    format!("new template since {}: no shrink and no resize until {}", words::duration(age), words::clock(until))
}

/// Whether even an idle pod misses the latency objective.
pub(super) fn zero_load_violates(facts: &Facts) -> bool {
    let Some(capacity) = &facts.plan.capacity else { return false };
    let share = facts.policy.objective.latency.as_ref().map(|l| 1.0 - l.objective);
    capacity.mode == Mode::Latency && share.is_some_and(|share| capacity.zero_load > share)
}

/// Why the objective cannot be reached, when it cannot.
pub(super) fn unreachable(facts: &Facts) -> Option<String> {
    if zero_load_violates(facts) {
        let (capacity, latency) = (facts.plan.capacity.as_ref()?, facts.policy.objective.latency.as_ref()?);
        return Some(format!(
            "{} of requests take over {} even on an idle pod: no number of replicas reaches {}; serving as well as capacity can",
            words::percent(capacity.zero_load),
            words::latency(latency.target.0),
            words::percent(1.0 - latency.objective)
        ));
    }
    let backlog = facts.plan.backlog?;
    let warm = backlog.warm?;
    let kept = if warm > 0 {
        format!("{} kept warm for bursts", words::replicas(warm))
    } else {
        "a burst finds no pods".to_owned()
    };
    Some(format!(
        "new pods work after {}, items are to be done within {}: scaling comes too late; {kept}",
        words::duration(super::queue::lead(facts.sample)),
        words::duration(backlog.target)
    ))
}

fn downstream(facts: &Facts) -> String {
    let behind = "not adding more; look behind the service";
    if let Some(added) = facts.saturation.in_vain {
        let what = match facts.saturation.cause {
            Some(Cause::Violations(_)) => "latency",
            Some(Cause::Throttled(_)) => "throttling",
            _ => "saturation",
        };
        let added = if added == 1 { "1 added replica".to_owned() } else { format!("{added} added replicas") };
        return format!("{added} changed {what} by less than 10 %: {behind}");
    }
    let busy = facts.plan.must / (facts.sample.ready.max(1.0) * facts.plan.pod.size);
    format!("requests are late at {} utilization, which is not for lack of capacity: {behind}", words::percent(busy))
}

/// What keeps the workload from shrinking or being resized.
pub(super) fn held_back_by(facts: &Facts) -> Vec<String> {
    let mut held: Vec<String> = facts.signals.blocked_by.iter().take(MOST_HELD).map(|b| blocked(b, facts)).collect();
    if facts.sample.rollout_age.is_some() {
        held.push(rollout(facts));
    }
    if let Some(cause) = facts.saturation.cause {
        held.push(describe(cause, facts));
    }
    if facts.foreign.rival {
        held.push(facts.memory.foreign.describe());
    }
    held.extend(facts.snapshot.containers.iter().filter_map(|c| c.floor.as_ref()).map(|floor| floor.why.clone()));
    let raises = &facts.memory.vertical.raises;
    if !raises.may(facts.sample.t) {
        let (size, until) = (words::cores_unit(raises.refused), words::clock(raises.rests_until));
        held.push(format!("nodes refused pods of {size}: no pod is made smaller or chosen larger until {until}"));
    }
    if let Some(off) = &facts.zero.off {
        held.push(format!("{off}: zero is off"));
    }
    if let Some(n) = facts.foreign.floor.filter(|n| *n >= facts.replicas.decided) {
        held.push(format!("replicas was raised to {n} by somebody else"));
    }
    held.truncate(MOST_HELD);
    held
}
