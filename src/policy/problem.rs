//! What is wrong with a spec, where, and what to do about it.

use serde::Serialize;

/// Why a field stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum ProblemKind {
    /// The value makes no sense.
    Invalid,
    /// The value makes sense, and this version cannot honour it.
    NotYetSupported,
}

impl ProblemKind {
    /// The word for a label or for the reason of a condition.
    #[must_use]
    pub const fn category(self) -> &'static str {
        match self {
            Self::Invalid => "Invalid",
            Self::NotYetSupported => "NotYetSupported",
        }
    }
}

/// One problem of a spec.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, thiserror::Error)]
#[error("{path}: {message}")]
pub struct Problem {
    /// Path of the field, for example `spec.signals[1].prometheus.query`.
    pub path: String,
    /// What is wrong and what to do, to be read behind the path.
    pub message: String,
    /// Why it stands in the way.
    pub kind: ProblemKind,
}

impl Problem {
    /// Words for the `Ready` condition: its reason, and all problems in one message.
    #[must_use]
    pub fn summary(problems: &[Self]) -> (&'static str, String) {
        let invalid = problems.iter().any(|p| p.kind == ProblemKind::Invalid);
        let reason = if invalid { ProblemKind::Invalid } else { ProblemKind::NotYetSupported };
        (reason.category(), problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }
}

/// Problems found so far; every check reports here and goes on.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    /// A value that makes no sense.
    pub(super) fn invalid(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem { path: path.into(), message: message.into(), kind: ProblemKind::Invalid });
    }

    /// A value that a later release honours, and what to write meanwhile.
    pub(super) fn later(&mut self, path: impl Into<String>, what: &str, instead: &str) {
        let message = format!("{what} is not available in this version: {instead}");
        self.0.push(Problem { path: path.into(), message, kind: ProblemKind::NotYetSupported });
    }

    /// The value, or a report of why there is none.
    pub(super) fn take<T>(&mut self, path: &str, outcome: Result<T, String>) -> Option<T> {
        outcome.map_err(|message| self.invalid(path, message)).ok()
    }

    /// Everything, in the order of the spec's checks.
    pub(super) fn into_vec(self) -> Vec<Problem> {
        self.0
    }
}
