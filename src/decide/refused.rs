//! What nodes refuse: whether running pods get the larger size they are asked to have.
//!
//! A trim is only worth its while if it can be taken back. So nothing is lowered before a raise was seen to be granted;
//! when none has been, a small one is asked for first. Where most are refused nothing is lowered and no other size is chosen
//! for a while, each further time for twice as long; a larger size that was chosen and refused is given up, and replicas carry
//! what is missing. Raises against a shortage are always asked for.
//!
//! Requests are spread over pods, not over CPU: a pod that stays small gets as many as any other. So where some do not get
//! larger, the count follows what those few carry, and the others need be no larger than they are.

use serde::{Deserialize, Serialize};

use super::{arith::count, capacity::Capacity, price::Price, sample::Sample, vertical::Vertical};
use crate::policy::{Mode, Policy};

/// A raise that is not seen after this is not coming, seconds: a resize in place takes 5 to 15.
pub(super) const NOT_COMING: f64 = 60.0;
/// A resize that is not seen after this is not coming, seconds, where nothing says that it is refused.
pub(super) const RESIZE_PATIENCE: f64 = 120.0;
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
    /// The smallest pods whose raise is refused: (size, since).
    small: Option<(f64, f64)>,
}

/// Pods that stay small, and the count with which they are not short.
#[derive(Clone, Copy, Debug)]
pub(super) struct Small {
    /// How many.
    pub(super) pods: f64,
    /// Their size, cores.
    pub(super) size: f64,
    /// With so many replicas they are not given more than they carry.
    pub(super) floor: u32,
}

/// Pods that are smaller than a size because their raise is refused: (pods, size).
fn refused(sample: &Sample, wanted: f64) -> impl Iterator<Item = (f64, f64)> {
    let small = sample.groups.iter().filter(move |(_, size, refused)| *refused && *size < 0.98 * wanted);
    small.map(|(n, size, _)| (*n, *size))
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
    /// Work that pods do not carry because they are smaller than asked and will stay so: their raise is refused, or is not
    /// done for minutes (a cluster that cannot resize).
    pub(super) fn lacking(&self, policy: &Policy, sample: &Sample, capacity: &Capacity, k: f64) -> f64 {
        let Some((asked, since)) = self.asked_since() else { return 0.0 };
        let overdue = policy.mode == Mode::Auto && sample.t - since > RESIZE_PATIENCE;
        let small = sample.groups.iter().filter(|(_, r, refused)| (*refused || overdue) && *r < 0.98 * asked);
        small.map(|(n, r, _)| n * (k - capacity.of(*r)).max(0.0)).sum()
    }

    /// Looks for pods that stay smaller than they are asked to be, and are full. A node looks again at what it deferred after
    /// a minute or so; what is small for longer stays small.
    pub(super) fn note_small(&mut self, sample: &Sample, capacity: &Capacity, work: f64) {
        let wanted = self.wanted().map_or(0.0, |(size, _)| size);
        let each = work / sample.ready.max(1.0);
        let full = refused(sample, wanted).map(|(_, size)| size).filter(|size| each > capacity.brimful(*size));
        let least = full.reduce(f64::min);
        self.raises.small = match (least, self.raises.small) {
            (Some(size), Some((before, since))) if size <= 1.02 * before => Some((size.min(before), since)),
            (Some(size), _) => Some((size, sample.t)),
            (None, _) => None,
        };
    }

    /// Whether pods have stayed small for longer than a raise takes.
    pub(super) fn stays_small(&self, t: f64) -> bool {
        self.raises.small.is_some_and(|(_, since)| t - since > NOT_COMING)
    }

    /// The count with which pods that stay small are not short of CPU for `work`, as far as it is worth the price: the more
    /// pods, the fewer requests go to each.
    pub(super) fn small(
        &self,
        sample: &Sample,
        capacity: &Capacity,
        price: &Price,
        gib: f64,
        work: f64,
    ) -> Option<Small> {
        let (wanted, _) = self.wanted().filter(|_| self.stays_small(sample.t))?;
        let of = |size: f64| {
            let pods: f64 = refused(sample, wanted).filter(|(_, other)| *other <= size).map(|(n, _)| n).sum();
            // One more pod takes `pods · work / n²` off them.
            let worth = (pods * work * price.shortage() / price.pod(size, gib)).sqrt();
            Small { pods, size, floor: count((work / capacity.brimful(size)).min(worth).ceil()) }
        };
        let floors = refused(sample, wanted).map(|(_, size)| of(size));
        floors.max_by_key(|small| small.floor)
    }

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
    fn pods_that_stay_small_get_company_until_they_are_not_full() {
        use super::super::{
            capacity::Feedback,
            demand::{Demand, From},
        };
        let (mut vertical, policy) = (began(), latency_policy());
        vertical.resize(2.0, EPOCH);
        let demand = Demand { cores: 6.0, from: From::Rate, idle: 0.03, work: Some(0.01) };
        let capacity = Capacity::of_tick(&policy, &demand, 0.1, &mut Feedback::default());
        let price = Price::of(&policy);
        let mut floor = |seconds: f64, groups: &[(u32, f64, ResizeState)], work: f64| {
            let sample = seen(seconds, groups, 6);
            vertical.note_small(&sample, &capacity, work);
            vertical.small(&sample, &capacity, &price, 0.5, work).map(|small| (small.pods, small.size, small.floor))
        };
        let deferred = [(4, 2.0, ResizeState::None), (2, 0.5, ResizeState::Deferred)];
        assert_eq!(floor(0.0, &deferred, 6.0), None, "nodes look again after a minute");
        assert_eq!(floor(60.0, &deferred, 6.0), None);
        // Half a core does .95 · .5 / 1.05 - .03 = .42 cores of work at most.
        assert_eq!(floor(75.0, &deferred, 6.0), Some((2.0, 0.5, 15)));
        assert_eq!(floor(90.0, &deferred, 4.0), None, "they are not full");
        let grown = [(5, 2.0, ResizeState::None), (1, 1.0, ResizeState::Deferred)];
        assert_eq!(floor(105.0, &deferred, 12.0), None, "not for a minute");
        assert_eq!(floor(150.0, &grown, 12.0), None, "these are others");
        assert_eq!(floor(225.0, &grown, 12.0), Some((1.0, 1.0, 14)));
        assert_eq!(floor(240.0, &[(6, 2.0, ResizeState::None)], 12.0), None);
        // Hundreds of pods are not bought for one that is tiny.
        let tiny = [(5, 2.0, ResizeState::None), (1, 0.07, ResizeState::Deferred)];
        assert_eq!(floor(255.0, &tiny, 6.0), None);
        assert!(floor(330.0, &tiny, 6.0).is_some_and(|(.., floor)| floor < 100));
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
