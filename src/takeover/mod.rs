//! Taking a workload over from its other autoscalers, and giving it back: what is seen goes in, one write comes out.
//!
//! [`next()`] is called with what the API server shows and answers with a single idempotent write, a wait, a refusal or
//! done. Nothing is remembered between calls: after a crash, a conflict or a change of leader it is called again with
//! what is there then. [`licence`] says what may be written to the workload meanwhile. Both are functions of [`Seen`];
//! `docs/ownership.md` has the states and what a person does when arbiter is gone.
//!
//! It must not talk to a cluster, read a clock, or change a field of a rival that standing it down does not need.
//!
//! Invariants, checked over all interleavings by `tests/takeover`:
//! - at any instant a workload has at most one active owner: no licence while a rival may still act, no rival made active
//!   while another is;
//! - what a rival was is in its annotation before anything of it changes, and comes back as it was, with the edits that
//!   people made meanwhile;
//! - left alone, it ends in owned, released, frozen or a refusal that says what a person has to do.

mod git;
mod hpa;
mod keda;
mod next;
mod preview;
mod refusal;
mod rival;
mod saved;
#[cfg(test)]
mod tests;
mod vpa;

use serde_json::Value;

pub use git::Tool;
pub use next::{licence, next};
pub use preview::preview;
pub use refusal::{Reason, Refusal};
pub use rival::{Kind, Rival, SETTLE};
pub use saved::{Saved, Stamp};

use crate::policy::Mode;

/// The annotation on a rival that holds what it was: its presence is what "displaced" means.
pub const ANNOTATION: &str = "autoscaling.arbiter.io/displaced";

/// The finalizer on a policy while something is displaced for it.
pub const FINALIZER: &str = "autoscaling.arbiter.io/release";

/// What of a workload is meant: its replica count, the size of its pods, or both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sides {
    /// The replica count: HPA and `ScaledObject`.
    pub replicas: bool,
    /// The size of the pods: VPA.
    pub sizes: bool,
}

impl Sides {
    /// Neither.
    pub const NONE: Self = Self { replicas: false, sizes: false };
    /// Both.
    pub const BOTH: Self = Self { replicas: true, sizes: true };
}

/// The workload that a policy or a rival names: in the namespace of the policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetRef {
    /// Its kind; API groups do not matter, since no group has a workload kind of another's name.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// The policy, as seen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its creation, in seconds since 1970: tells an older object of the same name from a newer one.
    pub born: i64,
    /// Version that a write of its finalizers is conditional on.
    pub resource_version: String,
    /// `metadata.generation`: moves with the spec and with the deletion.
    pub generation: i64,
    /// The mode; none when the spec cannot be read: then nothing changes hands because of a slip of the pen.
    pub mode: Option<Mode>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether another policy was there first for the same target: it then owns nothing.
    pub outranked: bool,
    /// All its finalizers.
    pub finalizers: Vec<String>,
    /// What it moves.
    pub levers: Sides,
    /// Whom it scales.
    pub target: TargetRef,
    /// Whether rivals kept in Git are stood down as well (`takeover: Force`).
    pub force: bool,
}

/// The target, as seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Target {
    /// Its uid; none: there is no such object, or it is going away.
    pub uid: Option<String>,
    /// `spec.replicas` of its scale, if known.
    pub replicas: Option<u32>,
}

/// A kind of rival that cannot be read. A kind whose CRD is absent is not one: it can have no objects.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Blind {
    /// The kind.
    pub kind: Kind,
    /// Why, as the end of a sentence: `"only version v2 is served"`.
    pub why: String,
}

/// What the API server shows of a policy's surroundings.
///
/// Read in this order, so that a policy seen absent is younger news than the rivals that were displaced for it: rivals,
/// target, policy. A new leader reads all of it after it got the lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The policy; none: it does not exist (asked of the API server, not of a cache), and `rivals` are what it left.
    pub policy: Option<Policy>,
    /// Whether the namespace is being deleted.
    pub namespace_going: bool,
    /// The target of the policy.
    pub target: Target,
    /// Every autoscaler that names the target or carries [`ANNOTATION`] for this policy, in order of kind and name.
    pub rivals: Vec<Rival>,
    /// Kinds that cannot be read.
    pub blind: Vec<Blind>,
}

/// What a write to a rival is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Act {
    /// Writes down what it is, in the annotation.
    Save,
    /// Makes it inert.
    StandDown,
    /// Renews whom it is displaced for.
    Stamp,
    /// Makes it what it was and takes the annotation away.
    Restore,
}

/// One write. Each is conditional on what was seen: a conflict means look again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// PUT of a rival: the object holds the `resourceVersion` and uid that were seen.
    Rival {
        /// What for.
        act: Act,
        /// Which kind.
        kind: Kind,
        /// The whole object.
        object: Value,
    },
    /// Merge patch of `metadata.finalizers` of the policy, with its `resourceVersion`.
    Finalizers {
        /// Version that was seen.
        resource_version: String,
        /// All that it shall have.
        finalizers: Vec<String>,
    },
    /// The count, through `/scale` of the target and only from the count that was seen: a restored autoscaler would
    /// correct it at once, and leave a count of zero alone for ever.
    BringInside {
        /// Uid of the target.
        uid: String,
        /// Count that was seen.
        from: u32,
        /// The nearest count that the restored autoscaler leaves alone.
        to: u32,
    },
}

/// What a policy has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Every rival is inert: the workload is ours.
    Owned,
    /// Nothing is displaced.
    Released,
    /// Nothing is touched, whatever is displaced stays so.
    Frozen,
    /// The namespace is going away, with all that is in it.
    Going,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write this, then look again.
    Write(Write),
    /// Somebody else has to move first; no person is needed. Look again when something changes.
    Wait(Refusal),
    /// Nothing is changed; a person has to decide.
    Refused(Refusal),
    /// Nothing to do.
    Done(Outcome),
}
