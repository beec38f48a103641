//! The size that pods are asked to have now: trimmed while demand is low, boosted while new pods start.
//!
//! The nominal size is what [`super::size`] decided; the asked size lies between a quarter of it and itself. Raising is
//! immediate and free; lowering waits and has a daily budget, because every decrease is a call to the API per pod and
//! what is given away may be taken by a neighbour. A boost is temporary, and for running pods only.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::{
    capacity::{Capacity, Mode},
    sample::Sample,
};
use crate::{
    policy::{Policy, ResizeStrategy},
    units::maths,
};

/// Share of pods whose raise may be refused before replicas no longer wait for it.
const MOST_REFUSED: f64 = 0.5;
/// No trimming before demand has been watched.
const WARM_UP: f64 = 1800.0;
/// Smallest size that is trimmed to, cores (as the lattice's smallest useful one).
const TRIM_LEAST: f64 = 0.0625;
/// Parts of the nominal size that are trimmed to, in eighths of an octave, the smallest first.
static EIGHTHS: LazyLock<[f64; 16]> = LazyLock::new(|| std::array::from_fn(|i| maths::exp2((i as f64 - 16.0) / 8.0)));
/// A boost ends after this.
pub(super) const BOOST_SECONDS: f64 = 900.0;
/// … and lasts this long at least.
const BOOST_LEAST: f64 = 60.0;

/// Sizes of one workload's pod, cores.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Vertical {
    nominal: Option<f64>,
    /// (size, since).
    asked: Option<(f64, f64)>,
    /// Since when less would do, and the most that was needed meanwhile.
    lower_since: Option<f64>,
    lower_most: f64,
    decreased: f64,
    /// (size, since).
    boost: Option<(f64, f64)>,
    /// Since when pods are larger against a shortage.
    pub(super) relieved: Option<f64>,
}

/// What larger pods do against a shortage.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Relief {
    /// They have just been raised, and what that brings is not seen yet.
    pub(super) waits: bool,
    /// Work that running pods carry at the largest size they may be boosted to, cores; 0: they cannot be resized.
    pub(super) covers: f64,
}

/// What trimming and boosting look at.
#[expect(clippy::struct_excessive_bools, reason = "each is a condition of its own, not a state of one thing")]
pub(super) struct Look<'a> {
    pub(super) sample: &'a Sample,
    pub(super) policy: &'a Policy,
    pub(super) capacity: &'a Capacity,
    /// Replicas that were decided.
    pub(super) replicas: u32,
    /// Demand now, and what is planned for.
    pub(super) demand: f64,
    pub(super) planned: f64,
    /// Decayed peak of demand.
    pub(super) peak: f64,
    /// Whether a size may be used.
    pub(super) admissible: &'a dyn Fn(f64) -> bool,
    /// The size that bounds make of an asked one.
    pub(super) fit: &'a dyn Fn(f64) -> f64,
    /// Nothing may be lowered.
    pub(super) frozen: bool,
    /// Nothing may be resized.
    pub(super) still: bool,
    /// Pods are short.
    pub(super) saturated: bool,
}

/// Whether sizes of running pods may be moved.
pub(super) fn resizable(policy: &Policy) -> bool {
    policy.levers.cpu && policy.resize.strategy == ResizeStrategy::InPlaceOnly
}

impl Vertical {
    /// The nominal size at this tick, before anything is decided; `None` when no container has a CPU request.
    pub(super) fn begin(&mut self, sample: &Sample, policy: &Policy, fit: &dyn Fn(f64) -> f64) -> Option<f64> {
        let given = sample.running.or(sample.template)?;
        if !resizable(policy) {
            // A size that is not ours is taken as it is.
            let size = if policy.levers.cpu { fit(given) } else { given };
            self.ask(size, size, sample.t);
            return Some(size);
        }
        if sample.template_resized
            && let Some(template) = sample.template
        {
            // A new template's own size counts until something else is decided.
            self.ask(template, template, sample.t);
        }
        let nominal = fit(self.nominal.unwrap_or(given));
        self.nominal = Some(nominal);
        self.set(self.asked.map_or(nominal, |(asked, _)| fit(asked)), sample.t);
        Some(nominal)
    }

    /// The size asked for.
    pub(super) fn asked(&self) -> Option<f64> {
        self.asked.map(|(size, _)| size)
    }

    /// The size asked for, and since when.
    pub(super) fn asked_since(&self) -> Option<(f64, f64)> {
        self.asked
    }

    /// The larger size that running pods were asked to have, and since when.
    pub(super) fn boosted(&self) -> Option<(f64, f64)> {
        self.boost
    }

    /// Another nominal size was chosen.
    pub(super) fn resize(&mut self, size: f64, t: f64) {
        self.ask(size, size, t);
        self.lower_since = None;
    }

    fn ask(&mut self, nominal: f64, asked: f64, t: f64) {
        self.nominal = Some(nominal);
        self.boost = None;
        self.set(asked, t);
    }

    fn set(&mut self, size: f64, t: f64) {
        if self.asked.is_none_or(|(asked, _)| asked != size) {
            self.asked = Some((size, t));
        }
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
        let refused: f64 = sample.groups.iter().filter(|(_, _, refused)| *refused).map(|(n, ..)| n).sum();
        let (Some(nominal), Some((asked, _))) = (self.nominal, self.asked) else { return Relief::default() };
        if !resizable(policy) || refused > MOST_REFUSED * sample.ready {
            return Relief::default();
        }
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
        self.decreased = sample.t;
        self.relieved = Some(sample.t);
        Relief { waits: true, covers }
    }

    /// Trims; returns the size asked for.
    pub(super) fn trim(&mut self, look: &Look) -> f64 {
        let nominal = self.nominal.unwrap_or(1.0);
        let asked = self.asked().unwrap_or(nominal);
        let alone = !look.policy.levers.replicas;
        let trims = look.policy.resize.trims_per_pod_per_day;
        let may =
            resizable(look.policy) && (look.capacity.sizes_managed || alone || look.capacity.mode == Mode::Backlog);
        if !may || self.boost.is_some() {
            return asked;
        }
        let want = if alone {
            Self::alone(look)
        } else if trims == 0 || look.sample.uptime < WARM_UP {
            nominal
        } else {
            Self::smallest(look, nominal)
        };
        if want > asked * 1.001 {
            self.set(want, look.sample.t);
            self.forget_lower();
        } else if want < asked * (1.0 - look.policy.tuning.trim_gain) && !look.frozen && trims > 0 {
            let t = look.sample.t;
            let since = *self.lower_since.get_or_insert(t);
            self.lower_most = self.lower_most.max(want);
            if t - since >= look.policy.tuning.trim_after && t - self.decreased >= 86_400.0 / f64::from(trims) {
                self.set(self.lower_most.min(asked), t);
                self.forget_lower();
                self.decreased = t;
            }
        } else {
            self.forget_lower();
        }
        if alone {
            self.nominal = self.asked();
        }
        self.asked().unwrap_or(nominal)
    }

    fn forget_lower(&mut self) {
        self.lower_since = None;
        self.lower_most = 0.0;
    }

    /// The smallest size, in eighths of an octave, with which the replicas carry what is planned.
    fn smallest(look: &Look, nominal: f64) -> f64 {
        let n = f64::from(look.replicas);
        let steps = EIGHTHS.iter().map(|part| nominal * part);
        steps
            .filter(|r| *r >= look.policy.tuning.trim_floor * nominal - 1e-9 && *r >= TRIM_LEAST && *r < 0.97 * nominal)
            .map(|r| (look.fit)(r))
            .filter(|r| n * look.capacity.at_most(*r) >= look.planned)
            .find(|r| n * look.capacity.of(*r) >= look.planned && (look.admissible)(*r))
            .unwrap_or(nominal)
    }

    /// The size that alone must carry the known peak, when the count is not ours.
    fn alone(look: &Look) -> f64 {
        let n = look.sample.ready.max(1.0);
        let need = look.planned.max(look.peak);
        let steps = (-48..=48).map(|i| maths::exp2(f64::from(i) / 8.0));
        let mut last = 0.0;
        for r in steps.map(|r| (look.fit)(r)) {
            last = r;
            if n * look.capacity.of(r) >= need {
                break;
            }
        }
        last
    }

    /// Boosts running pods while new ones start; (size, end) when a boost is on.
    pub(super) fn boost(&mut self, look: &Look) -> Option<(f64, f64)> {
        let nominal = self.nominal?;
        let (n, t) = (look.sample.ready, look.sample.t);
        if !resizable(look.policy) || n < 1.0 {
            self.boost = None;
            return None;
        }
        let asked = self.asked().unwrap_or(nominal);
        let need = 1.05 * look.demand;
        let full = n * look.capacity.of(nominal);
        if let Some((_, since)) = self.boost {
            let age = t - since;
            let served = need < 0.98 * full;
            // What is saturated is not made smaller.
            if !look.saturated && ((served && age >= BOOST_LEAST) || age >= BOOST_SECONDS) {
                self.boost = None;
            }
        } else if need > n * look.capacity.of(asked) + 0.05 * full && !look.still {
            let most = (look.fit)(look.policy.tuning.boost * nominal);
            let steps = (1..=8).map(|i| nominal * maths::exp2(f64::from(i) / 8.0));
            let size =
                steps.map(|r| (look.fit)(r)).find(|r| n * look.capacity.of(*r) >= need).unwrap_or(most).min(most);
            if size > 1.05 * asked {
                self.boost = Some((size, t));
            }
        }
        self.boost.map(|(size, since)| (size, (since + BOOST_SECONDS).max(t + BOOST_LEAST)))
    }
}
