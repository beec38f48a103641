//! The decision model: `(&Snapshot, &Policy, &mut Memory, now) -> Decision`.
//!
//! One tick of one workload, one file per term:
//!
//! | term | what it says |
//! |---|---|
//! | `sample` | the snapshot as plain, finite numbers; elapsed time |
//! | `stale` | what may be believed, and what disbelief forbids |
//! | `foreign` | what others wrote |
//! | `demand` | how much work there is, free of our own actions |
//! | `queue` | how much waiting work asks for |
//! | `capacity` | how much work a pod of a size carries within the objective |
//! | `price` | what pods and missing cores cost |
//! | `replicas` | counters that say how many replicas are worth their price |
//! | `saturation` | the floor: never hold while saturated |
//! | `zero` | when the last replica leaves, and what brings it back |
//! | `schedule` | floors that return with the calendar |
//! | `limits` | bounds, quota, `behavior` |
//! | `size`, `vertical`, `boost` | the size of a pod: chosen slowly, trimmed and boosted meanwhile |
//! | `refused` | whether nodes grant what running pods ask for, and what is not lowered where they do not |
//! | `memory`, `containers` | memory, and complete requests and limits |
//! | `explain`, `sentence` | the reason, as a word and as a sentence |
//! | `binding`, `record` | what binds, and the numbers behind the decision |
//!
//! Invariants: pure and deterministic (no clock, no I/O, sorted collections, one mathematics library); the same inputs
//! give the same bytes, and serialising the [`Memory`] in between changes nothing. Nothing observed is believed to be
//! finite or sensible. Deadbands bind shrinking only. Every decision has its reason.

mod arith;
mod binding;
mod boost;
mod capacity;
mod compact;
mod containers;
mod decision;
mod demand;
mod explain;
mod fingerprint;
mod foreign;
mod limits;
mod memory;
mod past;
mod plan;
mod pressure;
mod price;
mod queue;
mod record;
mod refused;
mod replicas;
mod sample;
mod saturation;
mod schedule;
mod sentence;
mod size;
mod snapshot;
mod stale;
mod state;
mod vertical;
mod waits;
mod warm;
mod words;
mod zero;

pub use decision::*;
pub use snapshot::*;
pub use state::{MEMORY_VERSION, Memory, MemoryError};
pub use warm::{HISTORY_LENGTH, HISTORY_STEP, History, HistoryRow, warm_start};

use crate::policy::Policy;
use explain::Facts;
use sample::Sample;

/// Version of the decision stream contract that is spoken.
pub const CONTRACT_VERSION: u32 = 0;

/// Decides what is to be, and why.
///
/// `now` is the only clock; ages count from `snapshot.at`, so replays pass `snapshot.at` itself. Ticks may come at any
/// interval: everything scales with the elapsed time, duplicates and time running backwards are harmless. Nothing in a
/// snapshot makes it panic.
#[must_use]
pub fn decide(snapshot: &Snapshot, policy: &Policy, memory: &mut Memory, now: jiff::Timestamp) -> Decision {
    let (sample, signals, zero) = look(snapshot, policy, memory, now);
    if zero.theirs {
        return explain::at_zero(snapshot, policy, &signals);
    }
    let answer = reckon(snapshot, policy, memory, sample, signals, zero);
    tell(snapshot, policy, memory, &answer)
}

/// What is seen, as plain numbers and judged, and what zero makes of it.
fn look(
    snapshot: &Snapshot,
    policy: &Policy,
    memory: &mut Memory,
    now: jiff::Timestamp,
) -> (Sample, stale::Signals, zero::Verdict) {
    let sample = Sample::read(snapshot, &mut memory.clock, now);
    let signals = stale::judge(snapshot, policy, &sample, &mut memory.trust);
    let writer = snapshot.replicas.last_writer.as_deref();
    let zero = memory.zero.observe(&sample, policy, &signals, memory.counters.decided, writer);
    (sample, signals, zero)
}

/// The numbers of a decision, before anybody puts them into words.
struct Answer<'a> {
    sample: Sample,
    signals: stale::Signals,
    plan: plan::Plan,
    saturation: saturation::Saturation,
    foreign: foreign::Foreign,
    replicas: plan::Count,
    sizes: plan::Sizes,
    /// Idle seconds after which a replica leaves.
    hold: f64,
    zero: zero::Verdict,
    calendar: schedule::Calendar<'a>,
}

/// The hot path: from plain numbers to the numbers that are decided. On a steady tick it asks for no memory.
fn reckon<'a>(
    snapshot: &Snapshot,
    policy: &'a Policy,
    memory: &mut Memory,
    sample: Sample,
    signals: stale::Signals,
    zero: zero::Verdict,
) -> Answer<'a> {
    let calendar = schedule::Calendar::of(policy, sample::timestamp(sample.t));
    memory.demand.learn(&sample, &signals, &policy.tuning);
    let plan = plan::plan(snapshot, policy, &sample, &signals, memory, zero.idle);

    let saturation = plan::saturation(policy, &sample, &signals, &plan, memory);
    let given = plan::hold(policy, &plan, &sample, memory);
    // What the user wrote is an order; what the model chose waits until the workload has been watched,
    // or its items: what waits tells more than a day of usage.
    let ordered = policy.behavior.scale_down.as_ref().is_some_and(|down| down.stabilization.is_some());
    let hold = if ordered || plan.knows_work_per_item() { given } else { sample.hold(given) };
    let foreign = memory.foreign.observe(&sample, policy, snapshot.replicas.last_writer.as_deref(), hold);
    memory.events.observe(sample.spec);
    let tick = plan::Tick { sample: &sample, signals: &signals };
    let relief = plan::relieve(snapshot, policy, &tick, &saturation, &plan, memory);
    let asked = plan::Asked {
        plan: &plan,
        saturation: &saturation,
        foreign: &foreign,
        hold,
        relief,
        zero: &zero,
        calendar: &calendar,
    };
    let replicas = plan::replicas(snapshot, policy, &tick, memory, &asked);

    let sizes = plan::sizes(snapshot, policy, &sample, &signals, memory, &plan, &saturation, &replicas);
    plan::correct(policy, &sample, &signals, &plan, &saturation, memory);
    Answer { sample, signals, plan, saturation, foreign, replicas, sizes, hold, zero, calendar }
}

/// Puts an answer into words.
fn tell(snapshot: &Snapshot, policy: &Policy, memory: &Memory, answer: &Answer<'_>) -> Decision {
    explain::decision(&Facts {
        snapshot,
        policy,
        sample: &answer.sample,
        signals: &answer.signals,
        plan: &answer.plan,
        saturation: &answer.saturation,
        foreign: &answer.foreign,
        replicas: &answer.replicas,
        sizes: &answer.sizes,
        hold: answer.hold,
        zero: &answer.zero,
        calendar: &answer.calendar,
        memory,
    })
}

#[cfg(test)]
mod tests;
