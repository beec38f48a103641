//! A larger size that nodes refuse is given up: pods keep the size they had, and replicas carry what is missing.
//!
//! Without it every further choice of a size would be refused too while the model reckons with pods that are not there.
//! A raise against a shortage is never given up here: boosts and relief have their own patience.

use serde::{Deserialize, Serialize};

use super::{sample::Sample, vertical::Vertical};
use crate::policy::{Mode, Policy};

/// A raise that is not seen after this is not coming, seconds: a resize in place takes 5 to 15.
const PATIENCE: f64 = 120.0;
/// Share of pods whose raise must be refused or missing.
const MOST: f64 = 0.5;
/// After a size was given up, no larger one is chosen for this long; each further time twice as long, up to a day.
const REST: f64 = 3600.0;
const LONGEST_REST: f64 = 86_400.0;

/// A larger size that was chosen, and what became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Raise {
    /// The size before, while pods do not have the new one.
    from: Option<f64>,
    /// The size that was given up last.
    pub(super) gave_up: f64,
    /// No larger size is chosen before this instant.
    pub(super) rests_until: f64,
    /// How long the last rest was.
    rest: f64,
}

impl Raise {
    /// Another size was chosen.
    pub(super) fn chosen(&mut self, from: Option<f64>, to: f64) {
        self.from = from.filter(|from| to > 1.02 * from);
    }

    /// Whether a larger size may be chosen.
    pub(super) fn may(&self, t: f64) -> bool {
        t >= self.rests_until
    }
}

impl Vertical {
    /// Gives up a size that most pods do not get: the size that counts again.
    pub(super) fn give_up(&mut self, sample: &Sample, policy: &Policy) -> Option<f64> {
        let (from, (asked, since)) = (self.raise.from?, self.asked_since()?);
        if policy.mode != Mode::Auto {
            return None;
        }
        let small = sample.groups.iter().filter(|(_, size, _)| *size < 0.98 * asked);
        let overdue = sample.t - since > PATIENCE;
        let missing: f64 = small.clone().filter(|(.., refused)| *refused || overdue).map(|(n, ..)| n).sum();
        if small.map(|(n, ..)| n).sum::<f64>() == 0.0 && !sample.groups.is_empty() {
            self.raise = Raise::default();
            return None;
        }
        if !overdue || missing <= MOST * sample.ready {
            return None;
        }
        let rest = (2.0 * self.raise.rest).clamp(REST, LONGEST_REST);
        self.raise = Raise { from: None, gave_up: asked, rests_until: sample.t + rest, rest };
        Some(from)
    }
}
