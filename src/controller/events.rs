//! Events: what happened to a policy, at most one per policy and reason in ten minutes. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::policy::PolicyKey;

/// Least time between two Events of one policy with one reason. More than the six minutes for which the client library's
/// recorder patches an Event of the same reason instead of creating another: the right to patch Events is not needed.
const QUIET: SignedDuration = SignedDuration::from_mins(10);

/// Longest note that the API server accepts, in bytes.
const MAX_NOTE: usize = 1024;

/// An Event to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Whether it is bad news.
    pub warning: bool,
    /// One word.
    pub reason: String,
    /// One sentence.
    pub note: String,
}

/// Remembers when which Event was published last.
#[derive(Clone, Debug, Default)]
pub struct Notices {
    last: BTreeMap<(PolicyKey, String), Timestamp>,
}

impl Notices {
    /// Whether this Event may be published now; if so, it counts as published.
    pub fn admit(&mut self, key: &PolicyKey, reason: &str, now: Timestamp) -> bool {
        let slot = (key.clone(), reason.to_owned());
        let due = self.last.get(&slot).is_none_or(|last| now.duration_since(*last) >= QUIET);
        if due {
            self.last.insert(slot, now);
        }
        due
    }

    /// Forgets a policy.
    pub fn forget(&mut self, key: &PolicyKey) {
        self.last.retain(|(k, _), _| k != key);
    }
}

/// Cuts a note to what the API server accepts.
#[must_use]
pub fn cut(note: &str) -> String {
    let mut end = note.len().min(MAX_NOTE);
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    note[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_event_per_policy_and_reason_in_ten_minutes() {
        let at = |minutes| Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes);
        let (a, b) = (
            PolicyKey { namespace: "shop".into(), name: "a".into() },
            PolicyKey { namespace: "shop".into(), name: "b".into() },
        );
        let mut notices = Notices::default();
        assert!(notices.admit(&a, "CpuDemand", at(0)));
        assert!(!notices.admit(&a, "CpuDemand", at(9)));
        assert!(notices.admit(&a, "Saturated", at(9)));
        assert!(notices.admit(&b, "CpuDemand", at(9)));
        assert!(notices.admit(&a, "CpuDemand", at(10)));
    }

    #[test]
    fn long_notes_are_cut_between_characters() {
        let note = "→".repeat(1000);
        assert!(cut(&note).len() <= MAX_NOTE);
        assert_eq!(cut("short"), "short");
    }
}
