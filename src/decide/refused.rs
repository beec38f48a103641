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
/// Share of pods whose raise may be refused or missing: beyond it, it is refused, and replicas no longer wait for it.
pub(super) const MOST: f64 = 0.5;
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
        // Pods that have just come have not been asked yet.
        let refused: f64 = sample.groups.iter().filter(|(.., refused)| *refused).map(|(n, ..)| n).sum();
        let missing = if f64::from(sample.spec) > sample.ready { refused } else { small };
        let overdue = sample.t - since >= NOT_COMING;
        if small > 0.0 && !(overdue && missing > MOST * sample.ready) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        decide::{
            ResizeState, SizeGroup,
            sample::Clock,
            tests::plant::{EPOCH, latency_policy, snapshot},
        },
        units::{Cores, Replicas},
    };

    /// Ten pods of these sizes, `seconds` after the start.
    fn seen(seconds: f64, groups: &[(u32, f64, ResizeState)], spec: u32) -> Sample {
        let mut snapshot = snapshot(EPOCH + seconds, 10, 4.0);
        snapshot.replicas.spec = Replicas(spec);
        let group = |(pods, cores, resize): &(u32, f64, ResizeState)| SizeGroup {
            cpu_cores: Some(Cores(*cores)),
            memory_bytes: None,
            pods: Replicas(*pods),
            ready: Replicas(*pods),
            resize: *resize,
        };
        snapshot.containers[0].sizes = groups.iter().map(group).collect();
        Sample::read(&snapshot, &mut Clock::default(), snapshot.at)
    }

    /// Asks for a size and looks a tick and a minute later; the size that counts again.
    fn ask(vertical: &mut Vertical, at: f64, size: f64, then: &[(u32, f64, ResizeState)], spec: u32) -> Option<f64> {
        vertical.resize(size, EPOCH + at);
        let policy = latency_policy();
        let before = seen(at, &[(10, 1.0, ResizeState::None)], spec);
        assert_eq!(vertical.judge_raise(&before, &policy), None);
        vertical.judge_raise(&seen(at + 60.0, then, spec), &policy)
    }

    fn began() -> Vertical {
        let mut vertical = Vertical::default();
        vertical.resize(1.0, EPOCH - 3600.0);
        vertical
    }

    #[test]
    fn a_larger_size_that_is_refused_is_given_up_and_each_rest_is_longer() {
        let mut vertical = began();
        let refused = [(10, 1.0, ResizeState::Deferred)];
        let mut at = 0.0;
        for hours in [1.0, 2.0, 4.0, 8.0, 16.0, 24.0, 24.0] {
            assert_eq!(ask(&mut vertical, at, 2.0, &refused, 10), Some(1.0));
            vertical.resize(1.0, EPOCH + at + 60.0);
            at += 60.0 + 3600.0 * hours;
            assert!(!vertical.raises.may(EPOCH + at - 1.0) && vertical.raises.may(EPOCH + at), "{hours} h");
            assert!(!vertical.raises.reversible(EPOCH + at, Mode::Auto), "nothing is lowered before one is granted");
        }
    }

    #[test]
    fn what_is_granted_may_be_lowered() {
        let mut vertical = began();
        assert!(!vertical.raises.reversible(EPOCH, Mode::Auto) && vertical.raises.reversible(EPOCH, Mode::Recommend));
        assert_eq!(ask(&mut vertical, 0.0, 1.2, &[(10, 1.2, ResizeState::None)], 10), None);
        assert!(vertical.raises.reversible(EPOCH + 60.0, Mode::Auto));
    }

    #[test]
    fn a_few_refusals_among_many_raises_stop_nothing() {
        let mut vertical = began();
        for (tick, refused) in [false, false, false, true, false, true, false].into_iter().enumerate() {
            let size = 1.2 + 0.1 * tick as f64;
            let groups = if refused { [(10, 1.0, ResizeState::Deferred)] } else { [(10, size, ResizeState::None)] };
            ask(&mut vertical, 600.0 * tick as f64, size, &groups, 10);
            assert!(vertical.raises.may(EPOCH + 600.0 * tick as f64 + 60.0), "{tick}");
        }
    }

    #[test]
    fn pods_that_have_just_come_and_a_minority_are_no_refusal() {
        let fresh = [(4, 1.2, ResizeState::None), (6, 1.0, ResizeState::None)];
        let mut vertical = began();
        assert_eq!(ask(&mut vertical, 0.0, 1.2, &fresh, 16), None, "six more are starting");
        assert!(vertical.raises.may(EPOCH + 60.0));
        let minority = [(6, 1.2, ResizeState::None), (4, 1.0, ResizeState::Infeasible)];
        let mut vertical = began();
        assert_eq!(ask(&mut vertical, 0.0, 1.2, &minority, 10), None, "four of ten");
        assert!(vertical.raises.may(EPOCH + 60.0));
    }
}
