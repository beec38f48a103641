//! What nodes refuse: whether running pods get the larger size they are asked to have.
//!
//! A trim is only worth its while if it can be taken back. So nothing is lowered before a raise was seen to be granted;
//! when none has been, a small one is asked for first. Where most are refused nothing is lowered and no other size is chosen
//! for a while, each further time for twice as long; a larger size that was chosen and refused is given up, and replicas carry
//! what is missing. Raises against a shortage are always asked for.

use serde::{Deserialize, Serialize};

use super::{sample::Sample, vertical::Vertical};
use crate::policy::{Mode, Policy};

/// A raise that is not seen after this is not coming, seconds: a resize in place takes 5 to 15.
pub(super) const NOT_COMING: f64 = 60.0;
/// Share of pods whose raise must be refused or missing.
const MOST: f64 = 0.5;
/// Weight of one more raise in the share that is refused, and the share that is too much.
const GAIN: f64 = 0.25;
const OFTEN: f64 = 0.5;
/// The first rest where raises are refused too often, and the longest one.
const REST: f64 = 3600.0;
const LONGEST_REST: f64 = 86_400.0;

/// Raises, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Raises {
    /// When the raise under way was asked for; when the one was that was judged last.
    pending: Option<f64>,
    judged: Option<f64>,
    /// Share of raises that were refused, averaged; none: none was judged.
    share: Option<f64>,
    /// One was granted since they were refused too often.
    granted: bool,
    /// The size that was refused last, cores.
    pub(super) refused: f64,
    /// Until when nothing is lowered, and how long that rest is.
    pub(super) rests_until: f64,
    rest: f64,
    /// The smallest size that pods had at the last tick, cores.
    had: f64,
    /// The nominal size before a larger one was chosen, while pods do not have that.
    from: Option<f64>,
}

impl Raises {
    /// Another nominal size was chosen.
    pub(super) fn chosen(&mut self, from: Option<f64>, to: f64) {
        self.from = from.filter(|from| to > 1.02 * from);
    }

    /// Whether there is no recent refusal.
    pub(super) fn may(&self, t: f64) -> bool {
        t >= self.rests_until
    }

    /// Whether nothing was refused too often since a raise was granted last.
    pub(super) fn trusted(&self, t: f64, mode: Mode) -> bool {
        mode != Mode::Auto || (self.may(t) && (self.granted || self.share.is_none()))
    }

    /// Whether what is lowered can be had back, as far as one can know.
    pub(super) fn reversible(&self, t: f64, mode: Mode) -> bool {
        mode != Mode::Auto || (self.granted && self.may(t))
    }

    fn note(&mut self, granted: bool, size: f64, t: f64) {
        let before = self.share.unwrap_or(0.5);
        let share = before + GAIN * (if granted { 0.0 } else { 1.0 } - before);
        self.share = Some(share);
        if granted {
            self.granted = true;
            self.rest = if self.rest > REST { 0.5 * self.rest } else { 0.0 };
        } else if share > OFTEN {
            self.granted = false;
            self.rest = (2.0 * self.rest).clamp(REST, LONGEST_REST);
            (self.refused, self.rests_until) = (size, t + self.rest);
        }
    }
}

impl Vertical {
    /// Judges the raise that is under way; the nominal size that counts again when a larger one is given up.
    pub(super) fn judge_raise(&mut self, sample: &Sample, policy: &Policy) -> Option<f64> {
        let (wanted, since) = self.wanted()?;
        if policy.mode != Mode::Auto || sample.rollout_age.is_some() || sample.groups.is_empty() {
            return None;
        }
        let least = sample.groups.iter().map(|(_, size, _)| *size).fold(f64::INFINITY, f64::min);
        let had = std::mem::replace(&mut self.raises.had, least);
        let small: f64 = sample.groups.iter().filter(|(_, size, _)| *size < 0.98 * wanted).map(|(n, ..)| n).sum();
        // A raise may be done before it is seen under way.
        if (small > 0.0 || (had > 0.0 && wanted > 1.02 * had)) && self.raises.judged != Some(since) {
            self.raises.pending = Some(since);
        }
        if self.raises.pending != Some(since) {
            return None;
        }
        let overdue = sample.t - since >= NOT_COMING;
        if small > 0.0 && !(overdue && small > MOST * sample.ready) {
            return None;
        }
        self.raises.note(small == 0.0, wanted, sample.t);
        (self.raises.pending, self.raises.judged) = (None, Some(since));
        let from = self.raises.from.take().filter(|_| small > 0.0);
        let (nominal, template) = (self.nominal?, sample.template.unwrap_or(0.0));
        // New pods can have the template's size, where running ones can't get it back.
        let lowered = !self.raises.may(sample.t) && from.unwrap_or(nominal) < 0.98 * template;
        if lowered { Some(template) } else { from }
    }
}
