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
//! | `size`, `vertical` | the size of a pod: chosen slowly, trimmed and boosted meanwhile |
//! | `memory`, `containers` | memory, and complete requests and limits |
//! | `explain` | the reason as a sentence, and the numbers behind it |
//!
//! Invariants: pure and deterministic (no clock, no I/O, sorted collections, one mathematics library); the same inputs
//! give the same bytes, and serialising the [`Memory`] in between changes nothing. Nothing observed is believed to be
//! finite or sensible. Deadbands bind shrinking only. Every decision has its reason.

mod arith;
mod capacity;
mod containers;
mod decision;
mod demand;
mod explain;
mod foreign;
mod limits;
mod memory;
mod past;
mod plan;
mod price;
mod queue;
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
mod words;
mod zero;

pub use decision::*;
pub use snapshot::*;
pub use state::{MEMORY_VERSION, Memory};

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
    memory.check_version();
    let sample = Sample::read(snapshot, &mut memory.clock, now);
    let signals = stale::judge(snapshot, policy, &sample, &mut memory.trust);
    let writer = snapshot.replicas.last_writer.as_deref();
    let zero = memory.zero.observe(&sample, policy, &signals, memory.counters.decided, writer);
    if zero.theirs {
        return explain::at_zero(snapshot, signals);
    }
    let calendar = schedule::Calendar::of(policy, sample::timestamp(sample.t));

    memory.demand.learn(&sample, &signals, &policy.tuning);
    let plan = plan::plan(snapshot, policy, &sample, &signals, memory, zero.idle);

    let saturation = plan::saturation(policy, &sample, &signals, &plan, memory);
    let hold = plan::hold(policy, &plan, &sample, memory);
    let foreign = memory.foreign.observe(&sample, policy, writer, hold);
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
    explain::decision(&Facts {
        snapshot,
        policy,
        sample: &sample,
        signals: &signals,
        plan: &plan,
        saturation: &saturation,
        foreign: &foreign,
        replicas: &replicas,
        sizes: &sizes,
        hold,
        zero: &zero,
        calendar: &calendar,
        memory,
    })
}

#[cfg(test)]
mod tests;
