//! Why nothing is written: a word for the condition, a sentence for the person.

use super::{Blind, Rival};

/// The reason in the condition `InControl`: a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// A kind of autoscaler cannot be read.
    RivalUnreadable,
    /// Another object makes the rival what it is.
    RivalOwned,
    /// Several autoscalers move the same thing.
    SeveralRivals,
    /// The rival is kept in Git.
    RivalInGit,
    /// The rival was edited by hand after it was stood down.
    RivalEdited,
    /// What was saved cannot be read.
    AnnotationUnreadable,
    /// Another policy displaced the rival.
    HeldByAnotherPolicy,
    /// Giving back would make a second owner.
    SecondOwner,
    /// What was seen is older than what was written since.
    StaleView,
    /// The rival's controller has not seen yet that it is stood down.
    StandingDown,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::RivalUnreadable,
        Self::RivalOwned,
        Self::SeveralRivals,
        Self::RivalInGit,
        Self::RivalEdited,
        Self::AnnotationUnreadable,
        Self::HeldByAnotherPolicy,
        Self::SecondOwner,
        Self::StaleView,
        Self::StandingDown,
    ];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RivalUnreadable => "RivalUnreadable",
            Self::RivalOwned => "RivalOwned",
            Self::SeveralRivals => "SeveralRivals",
            Self::RivalInGit => "RivalInGit",
            Self::RivalEdited => "RivalEdited",
            Self::AnnotationUnreadable => "AnnotationUnreadable",
            Self::HeldByAnotherPolicy => "HeldByAnotherPolicy",
            Self::SecondOwner => "SecondOwner",
            Self::StaleView => "StaleView",
            Self::StandingDown => "StandingDown",
        }
    }
}

/// A reason and its sentence.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Refusal {
    /// The word.
    pub reason: Reason,
    /// What, where, what to do.
    pub message: String,
}

impl Refusal {
    fn new(reason: Reason, message: String) -> Self {
        Self { reason, message }
    }

    pub(super) fn blind(blind: &Blind) -> Self {
        let message = format!(
            "{} objects cannot be read ({}): nothing is changed until they can be",
            blind.kind.as_str(),
            blind.why
        );
        Self::new(Reason::RivalUnreadable, message)
    }

    pub(super) fn owned(rival: &Rival, owner: &str) -> Self {
        let message =
            format!("{rival} is made by {owner}, which would undo any change: remove it there, then it is gone here");
        Self::new(Reason::RivalOwned, message)
    }

    pub(super) fn several(rivals: &[&Rival]) -> Self {
        let names: Vec<String> = rivals.iter().map(|rival| rival.to_string()).collect();
        let message = format!(
            "{} move the same thing and nobody can say whose answer counts: delete all but one",
            names.join(" and ")
        );
        Self::new(Reason::SeveralRivals, message)
    }

    pub(super) fn git(rival: &Rival, tool: &str) -> Self {
        let message = format!(
            "{rival} is kept in Git by {tool}, which would put it back: {}, or set takeover: Force",
            rival.kind.edit_in_git()
        );
        Self::new(Reason::RivalInGit, message)
    }

    pub(super) fn edited(rival: &Rival, what: &str) -> Self {
        let message = format!(
            "{rival} was edited after it was stood down ({what}) and is left so: set mode Recommend to give it back with \
             the edit, or delete it"
        );
        Self::new(Reason::RivalEdited, message)
    }

    pub(super) fn unreadable(rival: &Rival, what: &str) -> Self {
        let message = format!(
            "the annotation {} of {rival} cannot be read ({what}): put {rival} right by hand and remove the annotation",
            super::ANNOTATION
        );
        Self::new(Reason::AnnotationUnreadable, message)
    }

    pub(super) fn held(rival: &Rival, policy: &str) -> Self {
        let message = format!("{rival} is stood down for ScalingPolicy {policy}: waiting until that one gives it back");
        Self::new(Reason::HeldByAnotherPolicy, message)
    }

    pub(super) fn second(rival: &Rival, other: &Rival) -> Self {
        let message = format!("{rival} is not given back while {other} moves the same thing: delete one of the two");
        Self::new(Reason::SecondOwner, message)
    }

    pub(super) fn stale(rival: &Rival) -> Self {
        let message =
            format!("{rival} was written for a newer version of this policy than the one seen: looking again");
        Self::new(Reason::StaleView, message)
    }

    pub(super) fn standing_down(rival: &Rival) -> Self {
        let message =
            format!("{rival} is stood down but its controller has not seen it yet: nothing is written until then");
        Self::new(Reason::StandingDown, message)
    }
}
