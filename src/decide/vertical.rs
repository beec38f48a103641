//! The size that pods are asked to have now: trimmed while demand is low.
//!
//! The nominal size is what [`super::size`] decided; the asked size lies between a quarter of it and itself. Raising is
//! immediate and free. A decrease has a price, because it is a call to the API per pod and what is given away may be
//! taken by a neighbour: as a skier buys skis when the rent has reached their price, pods are trimmed when what they
//! wasted meanwhile has reached the price of a trim. A bucket of tokens bounds decreases over a day, the end of a boost
//! ([`super::boost`]) included.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::{
    capacity::{Capacity, Mode},
    refused::Raises,
    sample::Sample,
};
use crate::{policy::Policy, units::maths};

/// No trimming, and more replicas rather than larger ones, before demand has been watched this long.
pub(super) const WARM_UP: f64 = 1800.0;
/// The budget that the price of a trim is stated for, trims per day; half the budget doubles the price.
const PRICED_AT: f64 = 96.0;
/// Share of a day's decreases that may be saved up: a morning's fall needs more of them than the hours around it.
const SAVED_UP: f64 = 0.1;
/// Smallest size that is trimmed to, cores (as the lattice's smallest useful one).
const TRIM_LEAST: f64 = 0.0625;
/// Parts of the nominal size that are trimmed to, in eighths of an octave, the smallest first.
static EIGHTHS: LazyLock<[f64; 16]> = LazyLock::new(|| std::array::from_fn(|i| maths::exp2((i as f64 - 16.0) / 8.0)));
/// Sizes of one workload's pod, cores.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Vertical {
    pub(super) nominal: Option<f64>,
    /// (size, since).
    asked: Option<(f64, f64)>,
    /// Since when less would do, and the most that was needed meanwhile.
    lower_since: Option<f64>,
    lower_most: f64,
    /// Seconds of the asked size that were wasted since then.
    wasted: f64,
    /// Decreases that may be made; none: not counted yet, the bucket is full.
    tokens: Option<f64>,
    /// A larger size for a while: (size, since).
    pub(super) boost: Option<(f64, f64)>,
    /// Since when pods are larger against a shortage.
    pub(super) relieved: Option<f64>,
    /// Raises, and what became of them.
    pub(super) raises: Raises,
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
    /// New pods are on their way.
    pub(super) growing: bool,
}

/// Whether sizes of running pods may be moved.
pub(super) fn resizable(policy: &Policy) -> bool {
    policy.levers.cpu && policy.resize.strategy.in_place()
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
        self.raises.chosen(self.nominal, size);
        self.ask(size, size, t);
        self.forget_lower();
    }

    fn ask(&mut self, nominal: f64, asked: f64, t: f64) {
        self.nominal = Some(nominal);
        self.boost = None;
        self.set(asked, t);
    }

    pub(super) fn set(&mut self, size: f64, t: f64) {
        if self.asked.is_none_or(|(asked, _)| asked != size) {
            self.asked = Some((size, t));
        }
    }

    /// Trims; returns the size asked for.
    pub(super) fn trim(&mut self, look: &Look) -> f64 {
        let nominal = self.nominal.unwrap_or(1.0);
        let asked = self.asked().unwrap_or(nominal);
        let alone = !look.policy.levers.replicas;
        let trims = look.policy.resize.trims_per_pod_per_day;
        self.refill(look.sample.dt, trims);
        let waits = look.capacity.mode == Mode::Backlog;
        let may = resizable(look.policy) && (look.capacity.sizes_managed || alone || waits);
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
        } else if want < asked * (1.0 - look.policy.tuning.trim_gain)
            && !look.frozen
            && trims > 0
            && look.sample.uptime >= WARM_UP
        {
            let t = look.sample.t;
            let since = *self.lower_since.get_or_insert(t);
            self.lower_most = self.lower_most.max(want);
            self.wasted += look.sample.dt * (1.0 - self.lower_most / asked).max(0.0);
            let price = look.policy.tuning.trim_price * PRICED_AT / f64::from(trims);
            let due = t - since >= look.policy.tuning.trim_after && self.wasted >= price && self.may_decrease();
            if due && !self.raises.reversible(t, look.policy.mode) {
                self.probe(look, nominal);
            } else if due {
                self.set(self.lower_most.min(asked), t);
                self.forget_lower();
                self.pay();
            }
        } else {
            self.forget_lower();
        }
        if alone {
            self.nominal = self.asked();
        }
        self.asked().unwrap_or(nominal)
    }

    /// Takes back what was trimmed: a trim is worth its while only as long as the load that ends it would be seen.
    pub(super) fn take_back(&mut self, policy: &Policy, t: f64) {
        let trimmed =
            self.nominal.filter(|nominal| resizable(policy) && self.asked().is_some_and(|asked| asked < *nominal));
        if let Some(nominal) = trimmed {
            self.set(nominal, t);
            self.forget_lower();
        }
    }

    /// A day's decreases come in evenly, and a few hours of them may be saved up.
    fn refill(&mut self, dt: f64, a_day: u32) {
        let a_day = f64::from(a_day);
        let most = (a_day * SAVED_UP).max(1.0);
        let tokens = self.tokens.unwrap_or(most);
        self.tokens = Some((tokens + dt * a_day / 86_400.0).clamp(-1.0, most));
    }

    /// Whether the day's budget has a decrease left.
    pub(super) fn may_decrease(&self) -> bool {
        self.tokens.is_none_or(|tokens| tokens >= 1.0)
    }

    /// Takes a decrease from the budget.
    pub(super) fn pay(&mut self) {
        self.tokens = self.tokens.map(|tokens| tokens - 1.0);
    }

    pub(super) fn forget_lower(&mut self) {
        self.lower_since = None;
        self.lower_most = 0.0;
        self.wasted = 0.0;
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
}
