//! Conditions of the status: their types, and setting one without losing when it last turned.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Longest message that the API server accepts in a condition, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 32_768;

/// The condition types of a `ScalingPolicy`: a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionType {
    /// The policy is understood and its target exists.
    Ready,
    /// Every signal can be trusted.
    SignalsFresh,
    /// No rival writes this workload; `Unknown` when the mode is not Auto.
    InControl,
    /// Something binds; the only one whose True is bad.
    Limited,
    /// The objective can be met by capacity.
    ObjectiveReachable,
}

impl ConditionType {
    /// All of them, in the order of the status.
    pub const ALL: [Self; 5] =
        [Self::Ready, Self::SignalsFresh, Self::InControl, Self::Limited, Self::ObjectiveReachable];

    /// The word in `type`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::SignalsFresh => "SignalsFresh",
            Self::InControl => "InControl",
            Self::Limited => "Limited",
            Self::ObjectiveReachable => "ObjectiveReachable",
        }
    }
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not.
    False,
    /// It cannot be said.
    Unknown,
}

impl ConditionStatus {
    /// The word in `status`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for ConditionStatus {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// What a condition is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCondition<'a> {
    /// Which condition.
    pub type_: ConditionType,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// One word in CamelCase; must not be empty.
    pub reason: &'a str,
    /// One sentence; longer ones than the API server accepts are cut.
    pub message: &'a str,
}

/// Sets a condition, in place or at the end. `lastTransitionTime` moves only when `status` does. Returns whether
/// anything but `observedGeneration` changed, which is what makes a status worth writing.
pub fn set(conditions: &mut Vec<Condition>, new: &NewCondition<'_>, generation: Option<i64>, now: Timestamp) -> bool {
    let message = cut(new.message);
    if let Some(old) = conditions.iter_mut().find(|c| c.type_ == new.type_.as_str()) {
        let turned = old.status != new.status.as_str();
        let changed = turned || old.reason != new.reason || old.message != message;
        if turned {
            new.status.as_str().clone_into(&mut old.status);
            old.last_transition_time = Time(now);
        }
        new.reason.clone_into(&mut old.reason);
        message.clone_into(&mut old.message);
        old.observed_generation = generation;
        return changed;
    }
    conditions.push(Condition {
        type_: new.type_.as_str().to_owned(),
        status: new.status.as_str().to_owned(),
        reason: new.reason.to_owned(),
        message: message.to_owned(),
        observed_generation: generation,
        last_transition_time: Time(now),
    });
    true
}

/// The condition of a type, if it was ever set.
#[must_use]
pub fn find(conditions: &[Condition], type_: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|c| c.type_ == type_.as_str())
}

fn cut(message: &str) -> &str {
    let mut end = message.len().min(MAX_MESSAGE_BYTES);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    &message[..end]
}
