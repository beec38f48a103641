//! Vertical now, horizontal next: running pods grow in place before there are more of them, and give it back.
//!
//! A resize in place takes seconds, a new pod takes its start. So a shortage is answered by larger pods first, and by
//! more of them when what remains is worth a replica ([`super::replicas`]) or the larger pods were not enough. Where
//! sizes cannot follow (refused, not seen, not managed) nothing waits for them.
//!
//! Invariant: while pods are short something grows: their size, or their number once the size has been given its time.

use super::{
    capacity::{Capacity, Mode},
    refused::{MOST, NOT_COMING, Raises},
    sample::Sample,
    vertical::{Look, Vertical, WARM_UP, resizable},
};
use crate::{policy::Policy, units::maths};

/// What is asked for to see whether nodes grant a raise: an eighth of an octave.
const PROBE: f64 = 1.09;
/// A boost ends after this.
pub(super) const BOOST_SECONDS: f64 = 900.0;
/// … and lasts this long at least.
const BOOST_LEAST: f64 = 60.0;

/// What larger pods do against a shortage.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Relief {
    /// They have just been raised, and what that brings is not seen yet.
    pub(super) waits: bool,
    /// Work that running pods carry at the largest size they may be boosted to, cores; 0: they cannot be resized.
    pub(super) covers: f64,
}

/// Whether running pods grow before there are more of them: not before demand has been watched, and not the workers of
/// a queue, whose deadline says how many there are to be, nor where nodes have just refused it.
fn vertical_first(policy: &Policy, capacity: &Capacity, sample: &Sample, raises: &Raises) -> bool {
    let may = resizable(policy) && policy.levers.replicas && capacity.mode != Mode::Backlog;
    may && sample.uptime >= WARM_UP && raises.may(sample.t)
}

impl Vertical {
    /// Asks for a little more, to see whether nodes grant it.
    pub(super) fn probe(&mut self, look: &Look, nominal: f64) {
        let t = look.sample.t;
        let size = (look.fit)(PROBE * nominal);
        if size > 1.03 * nominal && self.raises.may(t) {
            self.boost = Some((size, t));
        }
    }

    /// The size that running pods are to have, and since when.
    pub(super) fn wanted(&self) -> Option<(f64, f64)> {
        self.boost.or(self.asked_since())
    }

    /// Pods that do not get larger: their raise is refused, or not seen for a minute.
    fn stuck(&self, policy: &Policy, sample: &Sample) -> f64 {
        let overdue = |size: f64| {
            policy.mode == crate::policy::Mode::Auto
                && self.wanted().is_some_and(|(wanted, since)| sample.t - since > NOT_COMING && size < 0.98 * wanted)
        };
        sample.groups.iter().filter(|(_, size, refused)| *refused || overdue(*size)).map(|(n, ..)| n).sum()
    }

    /// Whether the end of a boost is in the budget of decreases: without that it lasts, and more replicas are no dearer.
    fn may_boost(&self, policy: &Policy) -> bool {
        self.may_decrease() || policy.resize.trims_per_pod_per_day == 0
    }

    /// Raises running pods against a shortage, `step` times where they are short by any evidence, and tells what raising
    /// them can do. More replicas wait until its effect can be seen, and come when it was not enough.
    pub(super) fn relieve(
        &mut self,
        sample: &Sample,
        policy: &Policy,
        capacity: &Capacity,
        step: Option<f64>,
        fit: &dyn Fn(f64) -> f64,
    ) -> Relief {
        // Larger ones are no help to those that stay small.
        let able = vertical_first(policy, capacity, sample, &self.raises)
            && self.stuck(policy, sample) <= MOST * sample.ready
            && !self.stays_small(sample.t);
        let (Some(nominal), Some(asked), true) = (self.nominal, self.asked(), able) else { return Relief::default() };
        let most = fit(policy.tuning.boost * nominal);
        let covers = sample.ready * capacity.of(most);
        let Some(step) = step else {
            self.relieved = None;
            return Relief { waits: false, covers };
        };
        if let Some(since) = self.relieved {
            return Relief { waits: sample.t - since < policy.tuning.relief, covers };
        }
        let now = self.boost.map_or(asked, |(size, _)| size.max(asked));
        let size = fit((now * step).max(nominal)).min(most);
        if size < 1.05 * now {
            return Relief { waits: false, covers };
        }
        if size <= nominal * 1.001 {
            self.set(nominal, sample.t);
        } else {
            self.boost = Some((size, sample.t));
        }
        self.forget_lower();
        self.relieved = Some(sample.t);
        Relief { waits: true, covers }
    }

    /// Boosts running pods while they carry too little; (size, end) when a boost is on.
    pub(super) fn boost(&mut self, look: &Look) -> Option<(f64, f64)> {
        let nominal = self.nominal?;
        let (n, t) = (look.sample.ready, look.sample.t);
        if !resizable(look.policy) || n < 1.0 {
            self.boost = None;
            return None;
        }
        let asked = self.asked().unwrap_or(nominal);
        let need = 1.05 * look.demand;
        let waits = look.capacity.mode == Mode::Backlog;
        let first = vertical_first(look.policy, look.capacity, look.sample, &self.raises);
        let may_grow = waits || self.may_boost(look.policy) && (look.growing || first);
        let full = n * look.capacity.of(nominal);
        let now = self.boost.map_or(asked, |(size, _)| size);
        // Replicas answer what a boost does not carry, but for a queue, which asks for larger pods first.
        let short = (self.boost.is_none() || waits) && need > n * look.capacity.of(now) + 0.05 * full;
        if short && may_grow && !look.still {
            let most = (look.fit)(look.policy.tuning.boost * nominal);
            let steps = (1..=8).map(|i| nominal * maths::exp2(f64::from(i) / 8.0));
            let size =
                steps.map(|r| (look.fit)(r)).find(|r| n * look.capacity.of(*r) >= need).unwrap_or(most).min(most);
            if size > 1.05 * now {
                self.boost = Some((size, t));
            }
        } else if let Some((_, since)) = self.boost {
            self.end_boost(look, t - since, need < 0.98 * full || !may_grow);
        }
        self.boost_until(t)
    }

    /// The boost that is on: (size, end).
    pub(super) fn boost_until(&self, t: f64) -> Option<(f64, f64)> {
        self.boost.map(|(size, since)| (size, (since + BOOST_SECONDS).max(t + BOOST_LEAST)))
    }

    /// Ends a boost when it has done its work: a decrease like a trim. What is saturated is not made smaller.
    fn end_boost(&mut self, look: &Look, age: f64, served: bool) {
        let affordable = self.may_boost(look.policy);
        let done = served && age >= BOOST_LEAST && affordable;
        if !look.saturated && (done || age >= BOOST_SECONDS) {
            self.pay();
            self.boost = None;
        }
    }
}
