//! Which parts of a decision are carried out: the last look before the writers. Pure.
//!
//! `decide` already holds what must be held; what is known only here is added (volumes that a shrink would delete, a
//! process that has just started), and what must never happen is forbidden once more.
//!
//! Invariant: growth always passes, but for what is another autoscaler's to move ([`Moves::licensed`]).

use jiff::{SignedDuration, Timestamp};

use crate::{
    decide::{Decision, Reason, Snapshot},
    policy::{Mode, Policy},
    takeover::Sides,
    units::Replicas,
};

/// How long a process that has just started only grows a workload: its memory of demand is empty, and somebody else's
/// scale-up may be under way. Four ticks of 15 s.
pub const WARM_UP: SignedDuration = SignedDuration::from_mins(1);

/// What is said of a shrink that waits for it. Without the seconds: what says something else every tick is written every tick.
const WARMING: &str = "watched for less than a minute since arbiter started: nothing shrinks yet";

/// What is carried out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moves {
    /// The count to write.
    pub replicas: Option<Replicas>,
    /// Whether running pods are resized, and then whether they may become smaller.
    pub sizes: Option<Shrink>,
    /// Why a shrink was held back here, in words; `decide` says its own reasons.
    pub bound: Option<String>,
}

/// Whether sizes may become smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shrink {
    /// They may.
    Allowed,
    /// Growth only.
    Forbidden,
}

impl Moves {
    /// What is left of it where only some of the workload is ours.
    #[must_use]
    pub fn licensed(self, licence: Sides) -> Self {
        Self {
            replicas: self.replicas.filter(|_| licence.replicas),
            sizes: self.sizes.filter(|_| licence.sizes),
            bound: self.bound,
        }
    }
}

/// What the target says about shrinking.
#[derive(Clone, Copy, Debug, Default)]
pub struct Target<'a> {
    /// Why it must not, in words.
    pub no_shrink: Option<&'a str>,
    /// Whether a rollout stands still half way: pods that do not start take the places of pods that serve.
    pub stands: bool,
}

/// Looks at a decision once more. `since` is when this process first decided for this policy.
#[must_use]
pub fn moves(policy: &Policy, snapshot: &Snapshot, decision: &Decision, target: Target<'_>, since: Timestamp) -> Moves {
    let no_shrink = target.no_shrink;
    let state = &snapshot.replicas;
    // At somebody else's zero nothing is decided.
    if decision.reason == Reason::ScaledToZero {
        return Moves::default();
    }
    let blind = matches!(decision.reason, Reason::WaitingForData | Reason::SignalsStale);
    let warming = snapshot.at.duration_since(since) < WARM_UP;
    let rolling = state.rolling_out == Some(true) || decision.reason == Reason::RolloutInProgress;
    // A workload whose rollout stands still keeps as many pods that serve as are wanted: those that do not come on top.
    let missing = if target.stands { state.spec.0.saturating_sub(state.ready.0) } else { 0 };
    let wanted = if decision.replicas < state.spec {
        Replicas(decision.replicas.0.saturating_add(missing).min(state.spec.0))
    } else {
        decision.replicas
    };
    let shrinks = wanted < state.spec;
    let held = blind || warming || rolling || no_shrink.is_some();
    let replicas = (policy.levers.replicas && wanted != state.spec && !(shrinks && held)).then_some(wanted);
    let sized = policy.levers.cpu || policy.levers.memory;
    let sizes = (sized && !rolling).then_some(if blind || warming { Shrink::Forbidden } else { Shrink::Allowed });
    let beside = || {
        let wanted = decision.replicas;
        format!(
            "{missing} of its pods do not serve while a rollout stands still: as many are kept beside the {wanted} wanted"
        )
    };
    let never = no_shrink.filter(|_| shrinks).map(str::to_owned);
    let warms = warming && shrinks && policy.levers.replicas && policy.mode == Mode::Auto;
    let bound = never.or((wanted > decision.replicas).then(beside)).or(warms.then(|| WARMING.to_owned()));
    Moves { replicas, sizes, bound }
}

#[cfg(test)]
#[path = "guard/tests.rs"]
mod tests;
