//! Why a write did not happen, or did not take.

use super::Denial;
use crate::units::Replicas;

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WriteKind {
    /// The replica count of a target.
    Scale,
    /// The size of a running pod.
    Resize,
    /// Another autoscaler, the finalizer of a policy, or a count that is handed back: a step of [`crate::takeover`].
    Takeover,
    /// The eviction of a pod that cannot get its size in place.
    Evict,
    /// The status of a policy.
    Status,
    /// An Event about a policy.
    Event,
    /// The table of what new pods get. It has rows of several policies, each in mode Auto, and must be cleared when a
    /// mode changes: so no one mode gates it.
    PodSizes,
    /// What is remembered of many policies, in an object of our own.
    Memory,
}

impl WriteKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Scale,
        Self::Resize,
        Self::Evict,
        Self::Takeover,
        Self::Status,
        Self::Event,
        Self::PodSizes,
        Self::Memory,
    ];

    /// The word for it in a label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Scale => "scale",
            Self::Resize => "resize",
            Self::Takeover => "takeover",
            Self::Evict => "evict",
            Self::Status => "status",
            Self::Event => "event",
            Self::PodSizes => "pod_sizes",
            Self::Memory => "memory",
        }
    }

    /// Share of the tokens of all writes that it leaves to others: words are later than deeds, and Events last, since the
    /// status says the same and stays. What is remembered is a few writes a minute, and would never be written if it had
    /// to wait for ten thousand policies to have nothing to say.
    #[must_use]
    pub const fn leaves(self) -> f64 {
        match self {
            Self::Scale | Self::Resize | Self::Evict | Self::Takeover | Self::PodSizes => 0.0,
            Self::Memory => 0.25,
            Self::Status => 0.5,
            Self::Event => 0.75,
        }
    }

    /// Whether it moves a workload: then the policy must be in mode Auto. Giving back happens in every other mode.
    #[must_use]
    pub const fn touches_workload(self) -> bool {
        matches!(self, Self::Scale | Self::Resize | Self::Evict)
    }
}

/// Why the fence held a write back. Not an error: another instance leads, or a newer snapshot comes in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another instance leads, or our claim is about to run out.
    #[error("this instance does not hold the lease")]
    NotLeader,
    /// The snapshot is too old to act on.
    #[error("the snapshot is too old to act on")]
    Old,
    /// The mode is not Auto.
    #[error("the policy's mode is not Auto")]
    Mode,
    /// Too many writes in a short time.
    #[error("too many writes in a short time; the next tick tries again")]
    Rate,
}

/// How a write failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Held back before any request left.
    #[error("{what} was not written: {refusal}")]
    Dropped {
        /// What was to be written.
        what: String,
        /// Why not.
        refusal: Refusal,
    },
    /// Somebody else changed the count since the snapshot.
    #[error("{what} was changed by somebody else from {expected} to {found} since it was read: deciding again")]
    Foreign {
        /// What was to be written.
        what: String,
        /// The count decided on.
        expected: Replicas,
        /// The count found.
        found: Replicas,
    },
    /// The object is another one of the same name.
    #[error("{what} was deleted and made anew since it was read: deciding again")]
    Replaced {
        /// What was to be written.
        what: String,
    },
    /// The object kept changing while its count stayed.
    #[error("{what} kept changing during {tries} attempts: the next tick tries again")]
    Conflict {
        /// What was to be written.
        what: String,
        /// How many times.
        tries: u32,
    },
    /// A right is missing.
    #[error("{what} may not be written: grant the verb {verb} on {resource} to the controller")]
    Forbidden {
        /// What was to be written.
        what: String,
        /// The verb.
        verb: &'static str,
        /// The resource with its subresource.
        resource: String,
    },
    /// The API server refuses it by a rule of the cluster.
    #[error("{what} was refused because {}: {cause}; {}", denial.because(), denial.remedy())]
    Denied {
        /// What was to be written.
        what: String,
        /// By which rule.
        denial: Denial,
        /// In the API server's words.
        cause: String,
    },
    /// The API server does not accept it.
    #[error("{what} was refused by the API server: {cause}")]
    Refused {
        /// What was to be written.
        what: String,
        /// In its words.
        cause: String,
    },
    /// Whether it was written is not known; the next snapshot will show.
    #[error("{what} could not be written: {cause}; the next tick looks again")]
    Failed {
        /// What was to be written.
        what: String,
        /// Why.
        cause: String,
    },
}

impl WriteError {
    /// The class of the error; with `ok` the closed set of the label `result`.
    #[must_use]
    pub const fn category(&self) -> &'static str {
        match self {
            Self::Dropped { .. } => "dropped",
            Self::Foreign { .. } | Self::Replaced { .. } => "foreign",
            Self::Conflict { .. } => "conflict",
            Self::Forbidden { .. } | Self::Denied { .. } | Self::Refused { .. } => "refused",
            Self::Failed { .. } => "failed",
        }
    }
}

/// The closed set of the label `result`.
pub const RESULTS: [&str; 6] = ["ok", "conflict", "foreign", "refused", "failed", "dropped"];
