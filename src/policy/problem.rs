//! What is wrong with a spec, where, and what to do about it.

use serde::Serialize;

/// Longest message of one problem, and longest path, in characters: a few lines of a terminal. They repeat what stands in a
/// spec, which a definition of another version may not have bounded.
const LONGEST_MESSAGE: usize = 500;
/// See [`LONGEST_MESSAGE`].
const LONGEST_PATH: usize = 300;
/// Longest summary, in characters. Conditions take 32,768, and ten thousand bad policies are to fit into memory.
const LONGEST_SUMMARY: usize = 4000;

/// Whether a character turns the direction of what follows it (the explicit formatting characters of Unicode's UAX #9): in
/// somebody's text it would turn around words that are not theirs.
#[must_use]
pub const fn turns(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text on one line, cut where it is longer than so many characters.
#[must_use]
pub fn in_one_line(text: &str, longest: usize) -> String {
    let mut line: String =
        text.chars().take(longest).map(|c| if c.is_control() || turns(c) { ' ' } else { c }).collect();
    if text.chars().nth(longest).is_some() {
        line.push('…');
    }
    line
}

/// Why a field stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum ProblemKind {
    /// The value makes no sense.
    Invalid,
    /// The value makes sense, and this version cannot honour it.
    NotYetSupported,
    /// The value makes sense, and a policy of this namespace may not ask for it.
    NotAllowed,
}

impl ProblemKind {
    /// The word for a label or for the reason of a condition.
    #[must_use]
    pub const fn category(self) -> &'static str {
        match self {
            Self::Invalid => "Invalid",
            Self::NotYetSupported => "NotYetSupported",
            Self::NotAllowed => "NotAllowed",
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
    /// A problem; what it repeats is cut to lines that people read.
    #[must_use]
    pub fn new(path: &str, message: &str, kind: ProblemKind) -> Self {
        Self { path: in_one_line(path, LONGEST_PATH), message: in_one_line(message, LONGEST_MESSAGE), kind }
    }

    /// Words for the `Ready` condition: its reason, and all problems in one message.
    #[must_use]
    pub fn summary(problems: &[Self]) -> (&'static str, String) {
        let by_weight = [ProblemKind::Invalid, ProblemKind::NotAllowed, ProblemKind::NotYetSupported];
        let reason = by_weight.into_iter().find(|kind| problems.iter().any(|p| p.kind == *kind));
        let all = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        (reason.unwrap_or(ProblemKind::Invalid).category(), in_one_line(&all, LONGEST_SUMMARY))
    }
}

/// Problems found so far; every check reports here and goes on.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    /// A value that makes no sense.
    pub(super) fn invalid(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem::new(&path.into(), &message.into(), ProblemKind::Invalid));
    }

    /// A value that a later release honours, and what to write meanwhile.
    pub(super) fn later(&mut self, path: impl Into<String>, what: &str, instead: &str) {
        let message = format!("{what} is not available in this version: {instead}");
        self.0.push(Problem::new(&path.into(), &message, ProblemKind::NotYetSupported));
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
