//! The steps between the terms: which terms apply, and what one hands to the next.

use super::{
    Reason, Snapshot,
    boost::Relief,
    capacity::{Capacity, Evidence, Feedback, Mode},
    containers::{self, Shape},
    demand::Demand,
    foreign::Foreign,
    limits::{self, Limited, Wish},
    memory::Change,
    price::Price,
    queue::{self, Backlog, Basis, Workers},
    refused::{RESIZE_PATIENCE, Small},
    replicas::Step,
    sample::{Few, Sample},
    saturation::{Cause, Saturation, Shortage},
    schedule::Calendar,
    size::{self, Choice, Leader},
    stale::{Judged, Signals},
    state::Memory,
    vertical::Look,
    zero,
};
use crate::{
    policy::Policy,
    units::{Cores, Seconds},
};

/// Trims per day from which waiting is cheap: one in 20 minutes.
const MANY_TRIMS: u32 = 72;
/// A queue's workers that have not grown after this are reckoned as they are: a resize in place takes 5 to 15 s.
const GROW_PATIENCE: f64 = 45.0;
/// A smaller size must have saved this many times as much where it can't be taken back: nights and weekends are seen first.
const IRREVERSIBLE: f64 = 24.0;
/// Size reckoned with while nothing is known about the CPU of a pod, cores.
const UNKNOWN_POD: f64 = 0.05;

/// The pod as it is and as it costs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pod {
    /// Nominal CPU, cores.
    pub(super) size: f64,
    /// CPU of the template's pod; 0: no container has a request.
    pub(super) template: f64,
    /// Memory request, GiB.
    pub(super) gib: f64,
}

/// What is planned for.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The pod.
    pub(super) pod: Pod,
    /// Prices.
    pub(super) price: Price,
    /// Demand, when something measures it.
    pub(super) demand: Option<Demand>,
    /// The backlog term, when there is one.
    pub(super) backlog: Option<Backlog>,
    /// Capacity of a pod, when demand is known.
    pub(super) capacity: Option<Capacity>,
    /// Work that a pod of the nominal size carries.
    pub(super) k: f64,
    /// Work planned for.
    pub(super) planned: f64,
    /// The same, if all pods had the size that is asked for.
    pub(super) wanted: f64,
    /// Work that must be carried now.
    pub(super) must: f64,
    /// Work that pods are to carry meanwhile by growing in place, until what waits is done.
    pub(super) meanwhile: f64,
    /// The backlog asks for more than anything else.
    pub(super) backlog_binds: bool,
    /// Pods that stay small, and the replicas that they need beside them.
    pub(super) small: Option<Small>,
}

impl Plan {
    /// Whether waiting work is the only objective.
    fn backlog_is_the_objective(&self) -> bool {
        self.capacity.as_ref().is_some_and(|c| c.mode == Mode::Backlog)
    }

    /// Whether waiting work is the only objective, and it is known what an item takes.
    pub(super) fn knows_work_per_item(&self) -> bool {
        self.backlog_is_the_objective() && self.backlog.is_some_and(|b| b.basis != Basis::Prior)
    }

    /// Whether anything says how much work there is.
    pub(super) fn is_known(&self) -> bool {
        self.capacity.is_some()
    }
}

/// The pod's size at this tick.
fn pod(snapshot: &Snapshot, policy: &Policy, sample: &Sample, memory: &mut Memory) -> Pod {
    let template = sample.template.unwrap_or(0.0);
    let fit = |asked: f64| if template > 0.0 { containers::fit(snapshot, policy, template, asked) } else { asked };
    let size = memory.vertical.begin(sample, policy, &fit).unwrap_or_else(|| {
        // Without a request a pod is reckoned with its limit, else with the most it has used.
        let limit: f64 = sample.containers.iter().filter_map(|c| c.cap).sum();
        if limit > 0.0 { limit } else { memory.demand.pod_peak.max(UNKNOWN_POD) }
    });
    Pod { size: size.clamp(1e-3, 1e4), template, gib: sample.memory_gib }
}

/// Demand, backlog and capacity of this tick.
pub(super) fn plan(
    snapshot: &Snapshot,
    policy: &Policy,
    sample: &Sample,
    signals: &Signals,
    memory: &mut Memory,
    idle: Option<f64>,
) -> Plan {
    let mut pod = self::pod(snapshot, policy, sample, memory);
    let demand = memory.demand.estimate(sample, signals, &policy.tuning);
    let nothing = Demand { cores: 0.0, from: super::demand::From::Backlog, idle: 0.0, work: memory.demand.work() };
    let reckoned = demand.unwrap_or(nothing);
    let imbalance = memory.demand.imbalance;
    let capacity = Capacity::of_tick(policy, &reckoned, imbalance, &mut memory.capacity);
    memory.queue.learn(sample, signals, queue::target(policy));
    let other = memory.vertical.judge_raise(sample, policy).or_else(|| {
        let may = memory.vertical.raises.may(sample.t);
        outgrown(snapshot, policy, sample, signals, &capacity, pod, reckoned.cores).filter(|_| may)
    });
    if let Some(size) = other {
        memory.counters.rescale(capacity.of(size) / capacity.of(pod.size));
        memory.vertical.resize(size, sample.t);
        memory.sizes.clear();
        pod.size = size;
    }
    let k = capacity.of(pod.size);
    let price = Price::of(policy);
    let only_backlog = capacity.mode == Mode::Backlog;
    let workers = Workers {
        size: pod.size,
        grown: if only_backlog { growable(snapshot, policy, sample, memory, pod) } else { pod.size },
        keep_warm: zero::keep(policy, sample, (price.pod(pod.size, pod.gib), price.shortage(), k), &memory.zero),
        idle,
    };
    let backlog = memory.queue.plan(sample, signals, policy, &workers);
    // Waiting work is the only objective: what it asks for replaces utilization while its signal can be used.
    let by_cpu = if only_backlog && backlog.is_some() { 0.0 } else { reckoned.cores };
    let by_backlog = backlog.map_or(0.0, |b| if only_backlog { b.steady } else { b.cores } * k / b.k);
    let raw = by_cpu * (1.0 + capacity.headroom);
    // A pod whose raise was refused counts with the size it has.
    let refused = memory.vertical.lacking(policy, sample, &capacity, k);
    memory.vertical.note_small(sample, &capacity, by_cpu);
    let small = memory.vertical.small(sample, &capacity, &price, pod.gib, by_cpu).filter(|_| !only_backlog);
    let backlog_binds = by_backlog > raw;
    let wanted = raw.max(by_backlog);
    Plan {
        pod,
        price,
        demand,
        backlog,
        k,
        planned: wanted + refused,
        wanted,
        must: by_cpu.max(by_backlog) + refused,
        meanwhile: backlog.filter(|_| only_backlog).map_or(0.0, |b| b.cores * k / b.k),
        backlog_binds,
        small,
        capacity: (demand.is_some() || backlog.is_some()).then_some(capacity),
    }
}

/// The size that a queue's workers can have while there is much to do: what they have after they were asked to grow.
fn growable(snapshot: &Snapshot, policy: &Policy, sample: &Sample, memory: &Memory, pod: Pod) -> f64 {
    if !super::vertical::resizable(policy) || pod.template <= 0.0 {
        return pod.size;
    }
    let most = containers::fit(snapshot, policy, pod.template, policy.tuning.boost * pod.size).max(pod.size);
    match memory.vertical.boosted() {
        Some((size, since)) if sample.t - since > GROW_PATIENCE && sample.running.is_some_and(|r| r < 0.95 * size) => {
            sample.running.unwrap_or(pod.size).clamp(pod.size, most)
        }
        _ => most,
    }
}

/// The size that demand needs when even the most replicas of the present size do not carry it. Regrets would find it
/// too, but growth does not wait.
fn outgrown(
    snapshot: &Snapshot,
    policy: &Policy,
    sample: &Sample,
    signals: &Signals,
    capacity: &Capacity,
    pod: Pod,
    demand: f64,
) -> Option<f64> {
    let most = f64::from(limits::bounds(policy).1);
    let still = !signals.blocked_by.is_empty() || sample.rollout_age.is_some();
    if !capacity.sizes_managed || still || pod.template <= 0.0 || most * capacity.of(pod.size) >= demand {
        return None;
    }
    let largest = pod.size.max(policy.tuning.largest).max(largest_named(policy));
    let fit = |r: f64| containers::fit(snapshot, policy, pod.template, r);
    let larger = super::capacity::lattice().into_iter().filter(|r| *r > 1.01 * pod.size && *r <= 1.001 * largest);
    let mut fitting = larger.filter(|r| (fit(*r) / r - 1.0).abs() < 0.05);
    let enough = fitting.clone().find(|r| most * capacity.of(*r) >= policy.tuning.peak_margin * demand);
    enough.or(fitting.next_back()).map(fit)
}

/// Whether pods are on their way to a larger size: the count does not shrink before they have it.
pub(super) fn resizing(sample: &Sample, memory: &Memory) -> bool {
    memory.vertical.asked_since().is_some_and(|(asked, since)| {
        sample.t - since <= RESIZE_PATIENCE && sample.groups.iter().any(|(n, r, _)| *n > 0.0 && *r < 0.98 * asked)
    })
}

/// Whether pods are short, whatever the model says.
pub(super) fn saturation(
    policy: &Policy,
    sample: &Sample,
    signals: &Signals,
    plan: &Plan,
    memory: &mut Memory,
) -> Saturation {
    // Busy workers are no shortage where the work of an item is known: what they leave undone is seen in the queue.
    let backlog = plan.backlog.filter(|_| plan.backlog_is_the_objective());
    let met = backlog.is_some_and(|b| f64::from(b.replicas) <= sample.ready);
    let shortage = Shortage {
        violation: Feedback::violation(policy, signals),
        saturation_signal: signals.saturation,
        backlog_met: met,
        backlog_known: plan.knows_work_per_item(),
        demand: plan.demand.map(|demand| demand.cores),
    };
    memory.saturation.judge(sample, policy, plan.capacity.as_ref(), &shortage)
}

/// What running pods can do against a shortage, before there are more of them.
pub(super) fn relieve(
    snapshot: &Snapshot,
    policy: &Policy,
    tick: &Tick,
    saturation: &Saturation,
    plan: &Plan,
    memory: &mut Memory,
) -> Relief {
    let still = !tick.signals.blocked_by.is_empty() || tick.sample.rollout_age.is_some();
    let (Some(capacity), false, true) = (&plan.capacity, still, plan.pod.template > 0.0) else {
        return Relief::default();
    };
    let fit = |r| containers::fit(snapshot, policy, plan.pod.template, r);
    let step = saturation.floor.map(|floor| f64::from(floor) / tick.sample.ready.max(1.0));
    memory.vertical.relieve(tick.sample, policy, capacity, step, &fit)
}

/// Whether running pods are trimmed: there is a budget, and nodes give back what was lowered.
fn trims(policy: &Policy, sample: &Sample, memory: &Memory) -> bool {
    policy.resize.trims_per_pod_per_day > 0 && memory.vertical.raises.trusted(sample.t, policy.mode)
}

/// Idle seconds after which a replica leaves.
pub(super) fn hold(policy: &Policy, plan: &Plan, sample: &Sample, memory: &Memory) -> f64 {
    if let Some(given) = policy.behavior.scale_down.as_ref().and_then(|d| d.stabilization) {
        return super::arith::sane(given.0).unwrap_or(policy.tuning.hold_plain).min(3600.0);
    }
    // Waiting is cheap only while pods shrink meanwhile.
    let trims = if trims(policy, sample, memory) { policy.resize.trims_per_pod_per_day } else { 0 };
    let many = trims >= MANY_TRIMS && memory.vertical.may_decrease();
    match plan.capacity.as_ref().map(|c| (c.mode, c.sizes_managed)) {
        Some((Mode::Backlog, _)) => zero::keep_worker(sample, &memory.zero),
        Some((Mode::Latency, true)) if many => policy.tuning.hold_trimmed,
        Some((Mode::Latency, true)) if trims > 0 => policy.tuning.hold_some_trims,
        _ => policy.tuning.hold_plain,
    }
}

/// The observations of one tick.
pub(super) struct Tick<'a> {
    /// Numbers.
    pub(super) sample: &'a Sample,
    /// Signals.
    pub(super) signals: &'a Signals,
}

/// What asks for replicas.
pub(super) struct Asked<'a> {
    /// The model.
    pub(super) plan: &'a Plan,
    /// The floor.
    pub(super) saturation: &'a Saturation,
    /// Others.
    pub(super) foreign: &'a Foreign,
    /// Idle seconds before a replica leaves.
    pub(super) hold: f64,
    /// What larger pods do against a shortage.
    pub(super) relief: Relief,
    /// Zero.
    pub(super) zero: &'a zero::Verdict,
    /// Schedules.
    pub(super) calendar: &'a Calendar<'a>,
}

/// The count and how it came about.
#[derive(Clone, Debug)]
pub(super) struct Count {
    /// The count that was in force: what runs, or what was decided last.
    pub(super) current: u32,
    /// What the model needs now, before holding; `None`: not known.
    pub(super) needed: Option<u32>,
    /// What the model asks for, after holding.
    pub(super) model: u32,
    /// What is decided.
    pub(super) decided: u32,
    /// The floor after signal loss raised it.
    pub(super) raised_by_loss: bool,
    /// Larger pods are tried against a shortage first.
    pub(super) relieved: bool,
    /// The limit that binds.
    pub(super) limited: Limited,
    /// The last replica: how long there has been no work for it, and how long it is kept without.
    pub(super) last: Option<(f64, f64)>,
}

/// Decides the count.
pub(super) fn replicas(snapshot: &Snapshot, policy: &Policy, tick: &Tick, memory: &mut Memory, asked: &Asked) -> Count {
    let (sample, signals, plan) = (tick.sample, tick.signals, asked.plan);
    let spec = sample.spec;
    if !policy.levers.replicas {
        memory.counters.decided = Some(spec);
        let limited = Limited { replicas: spec, by: None };
        return Count {
            current: spec,
            needed: None,
            model: spec,
            decided: spec,
            raised_by_loss: false,
            relieved: false,
            limited,
            last: None,
        };
    }
    let current = memory.counters.decided.filter(|_| !asked.foreign.wrote).unwrap_or(spec);
    let max = policy.replicas.max.0.max(1);
    let blocked = !signals.blocked_by.is_empty();
    memory.counters.resize(max, current, asked.hold);
    let step = Step {
        // While anything is stale nothing is counted as idle.
        dt: if blocked { 0.0 } else { sample.dt },
        pod: plan.price.pod(plan.pod.size, plan.pod.gib),
        shortage: plan.price.shortage(),
        k: plan.k,
        planned: plan.planned,
        must: if plan.must <= asked.relief.covers { 0.0 } else { plan.must },
        hold: asked.hold,
    };
    let small = plan.small.map(|small| small.floor);
    memory.counters.keep(asked.calendar.floor().max(small.unwrap_or(0)));
    let model = if plan.is_known() { memory.counters.step(&step, current) } else { current };
    let model = tolerate(policy, plan, current, model);
    let may_shrink = !blocked
        && sample.rollout_age.is_none()
        && asked.saturation.cause.is_none()
        && !asked.foreign.rival
        && !resizing(sample, memory)
        && plan.is_known();
    // What runs is held, also when a smaller count was decided a moment ago and is not written yet.
    let runs = if policy.mode == crate::policy::Mode::Auto { current.max(spec) } else { current };
    let mut wanted = if may_shrink { model } else { model.max(runs) };
    let floors = [
        asked.saturation.floor.filter(|_| !asked.relief.waits),
        small,
        asked.foreign.floor,
        plan.backlog.map(|b| b.replicas),
        plan.backlog.and_then(|b| b.stalled),
    ];
    wanted = floors.into_iter().flatten().fold(wanted, u32::max);
    let lost = policy.on_signal_loss.filter(|l| signals.lost_for.is_some_and(|s| Seconds(s) >= l.after));
    let raised_by_loss = lost.is_some_and(|l| l.min_replicas.0 > wanted);
    wanted = lost.map_or(wanted, |l| wanted.max(l.min_replicas.0));

    let last = (plan.price.pod(plan.pod.size, plan.pod.gib), plan.price.shortage(), plan.k);
    let keep = policy.may_sleep().then(|| zero::keep(policy, sample, last, &memory.zero));
    let asleep = asked.zero.asleep && !asked.foreign.wrote;
    let tired = may_shrink && asked.foreign.floor.is_none() && asked.calendar.floor() == 0;
    // What is still remembered of the last work is no work: else it would wake for that and leave again, tick by tick.
    let rests = asleep && asked.zero.idle.is_some() && asked.foreign.floor.is_none() && asked.calendar.floor() == 0;
    if rests && !raised_by_loss && wanted <= 1 {
        wanted = 0;
    }
    wanted = keep.map_or(wanted, |keep| asked.zero.count(asleep, wanted, current, tired.then_some(keep)));
    if asked.zero.blind.is_some() {
        wanted = wanted.max(1);
    }

    let base = if policy.mode == crate::policy::Mode::Auto { spec } else { current };
    let wish = Wish {
        t: sample.t,
        current: base,
        wanted,
        pod_cores: memory.vertical.asked().unwrap_or(plan.pod.size),
        pod_bytes: plan.pod.gib * (1_u64 << 30) as f64,
        k: plan.k,
        planned: plan.planned,
        scheduled: asked.calendar.floor(),
    };
    let limited = limits::apply(&wish, snapshot, policy, &mut memory.events);
    let decided = limited.replicas;
    memory.counters.settle(current, decided, asked.hold);
    memory.events.decided(sample.t, policy.mode, base, decided);
    memory.foreign.decided(decided);
    memory.zero.decided(sample.t, decided, plan.must);
    let needed = plan.is_known().then(|| step.worth(step.planned));
    let last = (decided == 1 && asked.zero.may).then_some(asked.zero.idle.zip(keep)).flatten();
    Count { current, needed, model, decided, raised_by_loss, relieved: asked.relief.waits, limited, last }
}

/// Deadbands: shrinking by less than `scaleDown.tolerance` is not worth it; growth waits for a tolerance only where the
/// user wrote one.
fn tolerate(policy: &Policy, plan: &Plan, current: u32, model: u32) -> u32 {
    let tolerance = |rules: &Option<crate::policy::DirectionRules>| {
        rules.as_ref().and_then(|r| r.tolerance).and_then(super::arith::sane).unwrap_or(0.0)
    };
    let carried = f64::from(current) * plan.k;
    let within_down = plan.planned > carried * (1.0 - tolerance(&policy.behavior.scale_down));
    let within_up = plan.planned <= carried * (1.0 + tolerance(&policy.behavior.scale_up));
    if (model < current && within_down) || (model > current && within_up) { current } else { model }
}

/// The sizes and how they came about.
#[derive(Clone, Debug)]
pub(super) struct Sizes {
    /// Complete requests and limits.
    pub(super) containers: Few<Shape>,
    /// CPU of a pod, as emitted.
    pub(super) asked: f64,
    /// Boosted CPU by container, and until when.
    pub(super) boost: Option<(Few<Option<Cores>>, f64, f64)>,
    /// The size that leads, and whether it was taken from which one.
    pub(super) leader: Option<Leader>,
    /// The nominal size before.
    pub(super) before: f64,
    /// Memory: container and change.
    pub(super) memory: Option<(usize, Change)>,
}

/// Decides sizes: nominal, asked, boosted; memory.
#[expect(clippy::too_many_arguments, reason = "the last step sees what all others made")]
pub(super) fn sizes(
    snapshot: &Snapshot,
    policy: &Policy,
    sample: &Sample,
    signals: &Signals,
    memory: &mut Memory,
    plan: &Plan,
    saturation: &Saturation,
    count: &Count,
) -> Sizes {
    let still = !signals.blocked_by.is_empty() || sample.rollout_age.is_some();
    let frozen = still || saturation.cause.is_some();
    let template = plan.pod.template;
    let fit = |asked: f64| containers::fit(snapshot, policy, template, asked);
    let mut leader = None;
    if signals.blind {
        memory.vertical.take_back(policy, sample.t);
    }
    let mut asked = memory.vertical.asked().unwrap_or(plan.pod.size);
    // While demand is not known nothing is lowered, what was boosted included.
    let mut boost = memory.vertical.boost_until(sample.t).filter(|_| template > 0.0);
    if let (Some(capacity), true) = (&plan.capacity, template > 0.0) {
        let demand = plan.must.max(plan.meanwhile);
        leader = regret(policy, sample, memory, plan, count, frozen, &fit);
        let peak = memory.demand.demand_peak;
        // A trim is taken back when load rises; should nodes refuse it then, the most replicas still carry the known peak.
        let most = f64::from(limits::bounds(policy).1);
        let admissible =
            |r: f64| most * capacity.of(r) >= peak && size::admissible(r, plan.pod.gib, capacity, &plan.price);
        let look = Look {
            sample,
            policy,
            capacity,
            replicas: count.decided,
            demand,
            planned: plan.planned.max(plan.meanwhile),
            peak,
            admissible: &admissible,
            fit: &fit,
            frozen,
            still,
            saturated: saturation.cause.is_some(),
            growing: f64::from(count.decided) > sample.ready,
        };
        asked = memory.vertical.trim(&look);
        boost = memory.vertical.boost(&look);
    }
    let boost = boost.map(|(size, until)| (containers::share_cpu(snapshot, policy, template, size), size, until));
    let cpu = containers::share_cpu(snapshot, policy, template, asked);
    let (sized, told) = containers::sizes(snapshot, policy, sample, &cpu, &mut memory.peaks, still);
    Sizes { containers: sized, asked, boost, leader, before: plan.pod.size, memory: told }
}

/// One step of the regrets; takes over a size that has earned it.
fn regret(
    policy: &Policy,
    sample: &Sample,
    memory: &mut Memory,
    plan: &Plan,
    count: &Count,
    frozen: bool,
    fit: &dyn Fn(f64) -> f64,
) -> Option<Leader> {
    let capacity = plan.capacity.as_ref()?;
    if sample.new_template {
        memory.sizes.clear();
    }
    if !capacity.sizes_managed || frozen || plan.demand.is_none() {
        return None;
    }
    let named_larger = plan.pod.size.max(policy.tuning.largest).max(largest_named(policy));
    let may = memory.vertical.raises.may(sample.t);
    // What could not be had back is not lowered below what the template asks for.
    let reversible = memory.vertical.raises.reversible(sample.t, policy.mode);
    let least = if reversible { 0.0 } else { 0.98 * plan.pod.template };
    let largest = if may { named_larger } else { plan.pod.size };
    let fits = |r: f64| r >= least && r <= largest * 1.001 && (fit(r) / r - 1.0).abs() < 0.05;
    let leader = memory.sizes.step(&Choice {
        dt: sample.dt,
        t: sample.t,
        uptime: sample.uptime,
        lead: sample.lead,
        hold: self::hold(policy, plan, sample, memory),
        size: plan.pod.size,
        replicas: count.decided,
        gib: plan.pod.gib,
        demand: plan.demand.map_or(0.0, |d| d.cores),
        planned: plan.wanted,
        peak: memory.demand.demand_peak,
        bounds: limits::bounds(policy),
        capacity,
        price: &plan.price,
        memory: &memory.demand.memory,
        fits: &fits,
        frozen,
        trims: trims(policy, sample, memory),
        patience: if may { 1.0 } else { IRREVERSIBLE },
        tuning: &policy.tuning,
    })?;
    if leader.taken {
        memory.counters.rescale(capacity.of(leader.size) / plan.k);
        memory.vertical.resize(fit(leader.size), sample.t);
    }
    Some(leader)
}

/// The largest CPU that the policy names.
fn largest_named(policy: &Policy) -> f64 {
    let rules = policy.containers.named.values().chain([&policy.containers.default]);
    rules.filter_map(|r| r.cpu_max).map(|c| c.0).filter(|c| c.is_finite()).fold(0.0, f64::max)
}

/// One step of the slow correction from measured latency.
pub(super) fn correct(
    policy: &Policy,
    sample: &Sample,
    signals: &Signals,
    plan: &Plan,
    saturation: &Saturation,
    memory: &mut Memory,
) {
    let (Some(capacity), Some(demand)) = (&plan.capacity, &plan.demand) else { return };
    // Learned from whole signals only.
    let whole = signals.latency.as_ref().is_some_and(|j: &Judged| !j.is_partial());
    let evidence = Evidence {
        sample,
        demand: demand.cores,
        size: sample.running.unwrap_or(plan.pod.size),
        violation: Feedback::violation(policy, signals).filter(|_| whole),
        // What more pods do not change is not learned as capacity either, or it would buy them all the same.
        saturated: memory.saturation.gave_up()
            || saturation.cause.is_some_and(|cause| !matches!(cause, Cause::Violations(_))),
    };
    memory.capacity.correct(policy, capacity, &evidence);
}

impl Count {
    /// Which limit binds, as a reason.
    pub(super) fn limit(&self) -> Option<Reason> {
        self.limited.by.map(limits::Limit::reason)
    }
}
