//! The annotation on a displaced rival: what it was, for whom it was displaced, and a sum over both.
//!
//! Invariant: what cannot be read back exactly is not read at all. A sum tells an annotation that somebody edited from
//! one that is ours; a wrong original is never written to a rival.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Policy;
use crate::units::fnv::{BASIS, fnv1a};

/// For whom a rival is displaced: one version of one policy, and the target it had then.
///
/// The version makes writes of a deposed leader harmless: whoever decided on an older version of the policy sees (or
/// collides with) the stamp of the newer one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// Name of the policy.
    pub policy: String,
    /// Its uid.
    pub uid: String,
    /// Its creation, in seconds since 1970.
    pub born: i64,
    /// Its generation.
    pub generation: i64,
}

impl Stamp {
    /// The stamp of a policy as seen.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        Self { policy: policy.name.clone(), uid: policy.uid.clone(), born: policy.born, generation: policy.generation }
    }

    /// Whether it was written for a newer version of the policy than this one.
    #[must_use]
    pub fn newer_than(&self, policy: &Policy) -> bool {
        if self.uid == policy.uid { self.generation > policy.generation } else { self.born > policy.born }
    }
}

/// What the annotation holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Saved {
    /// Version of this form.
    pub(super) v: u32,
    /// For whom.
    pub stamp: Stamp,
    /// Whether the rival was made inert; false: only saved.
    pub down: bool,
    /// The fields that standing down changes, as they were.
    pub original: Value,
    /// Sum over the rest.
    #[serde(default)]
    pub(super) sum: String,
}

impl Saved {
    /// What a rival was, for a policy, nothing changed yet.
    #[must_use]
    pub fn new(stamp: Stamp, original: Value) -> Self {
        Self { v: 1, stamp, down: false, original, sum: String::new() }
    }

    /// The text of the annotation.
    #[must_use]
    pub fn text(&self) -> String {
        let mut whole = self.clone();
        whole.sum = self.sum();
        serde_json::to_string(&whole).expect("keys are texts and numbers came from JSON")
    }

    /// Reads an annotation; the error is the end of a sentence.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut saved: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if saved.v != 1 {
            return Err(format!("it has version {}, this is written by a newer arbiter", saved.v));
        }
        let sum = std::mem::take(&mut saved.sum);
        if sum != saved.sum() {
            return Err("it was edited by hand".into());
        }
        Ok(saved)
    }

    /// FNV-1a over the text without a sum: finds slips of the hand, not forgers, who could write the rival itself.
    fn sum(&self) -> String {
        let mut plain = self.clone();
        plain.sum.clear();
        let text = serde_json::to_string(&plain).expect("keys are texts and numbers came from JSON");
        let sum = fnv1a(BASIS, text.bytes());
        format!("{sum:016x}")
    }
}
