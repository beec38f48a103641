//! Size: which CPU size of a pod would have been cheapest, slowly.
//!
//! Every size of the lattice runs its own shadow policy (up at once, down to the highest need of the last `hold`), and is
//! charged the **realised** cost: the replicas it would have had in time for this demand. The running difference to the
//! present size is its regret; when a regret has earned the change, the size changes.
//!
//! Only sizes that may be used count: the objective is feasible, a replica pays when work is missing, and `max` replicas
//! carry the known peak with a margin. Without the last rule an idle service shrinks to pods that cannot take a jump.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::{
    arith::{count, decay, interpolate},
    capacity::{Capacity, SIZES, lattice, lattice_logs},
    demand::MemoryFit,
    price::Price,
};
use crate::{policy::Tuning, units::maths};

/// Regrets are charged this often at most; ticks that come earlier add up.
const STEP: f64 = 15.0;
/// Least time between two changes, and before the first.
const LEAST_BETWEEN: f64 = 600.0;
const WARM_UP: f64 = 1800.0;
/// Largest lead that realised costs look back.
const MOST_LEAD: usize = 10;
/// A size must be allowed at least this utilization.
const LEAST_UTILIZATION: f64 = 0.2;
/// A missing pod must cost this many times its price.
const PAYS: f64 = 4.0;
/// The farthest that one change goes: all pods have the new size for a moment before the count follows.
const OCTAVE: f64 = 2.0 * 1.001;

/// State of the shadow policies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Regrets {
    /// One per size.
    shadows: Vec<Shadow>,
    /// What each size had, per step, oldest first.
    had: Vec<[u16; SIZES]>,
    /// Seconds not yet charged.
    due: f64,
    /// When the size last changed.
    resized: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Shadow {
    /// Dollars that this size would have saved.
    regret: f64,
    /// Replicas it has.
    held: u16,
    /// For how long it needed fewer, and the most it needed meanwhile.
    fewer_for: f64,
    most: u16,
}

/// Sizes of the lattice in an octave.
const OCTAVE_SIZES: f64 = 4.0;

/// How many times each size of the lattice doubles a core; a smaller one does not.
static DOUBLINGS: LazyLock<[f64; SIZES]> = LazyLock::new(|| lattice().map(|r| maths::log2(r).max(0.0)));

/// What the regrets look at.
pub(super) struct Choice<'a> {
    /// Seconds and instant.
    pub(super) dt: f64,
    pub(super) t: f64,
    pub(super) uptime: f64,
    /// Lead time, seconds.
    pub(super) lead: f64,
    /// Shadow hold, seconds.
    pub(super) hold: f64,
    /// Present size, cores, and its replicas.
    pub(super) size: f64,
    pub(super) replicas: u32,
    /// Memory of a pod, GiB.
    pub(super) gib: f64,
    /// Demand now, and what is planned for.
    pub(super) demand: f64,
    pub(super) planned: f64,
    /// Decayed peak of demand.
    pub(super) peak: f64,
    /// Bounds of the count.
    pub(super) bounds: (u32, u32),
    pub(super) capacity: &'a Capacity,
    pub(super) price: &'a Price,
    pub(super) memory: &'a MemoryFit,
    /// Sizes that bounds, node and limits allow.
    pub(super) fits: &'a dyn Fn(f64) -> bool,
    /// Nothing may be resized now.
    pub(super) frozen: bool,
    /// How many times the usual savings another size must have brought.
    pub(super) patience: f64,
    /// Running pods are trimmed to what is needed of them.
    pub(super) trims: bool,
    /// Constants.
    pub(super) tuning: &'a Tuning,
}

/// The size that leads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Leader {
    /// CPU of a pod.
    pub(super) size: f64,
    /// What it would have saved, dollars.
    pub(super) regret: f64,
    /// What it must have saved.
    pub(super) threshold: f64,
    /// It is taken now.
    pub(super) taken: bool,
}

/// Whether a pod of a size answers in time and earns its price.
pub(super) fn admissible(size: f64, gib: f64, capacity: &Capacity, price: &Price) -> bool {
    admits(capacity.feasible(size), capacity.of(size), price.pod(size, gib), price)
}

/// The same for a size whose allowed utilization, capacity and price are known.
fn admits(feasible: f64, k: f64, pod: f64, price: &Price) -> bool {
    feasible >= LEAST_UTILIZATION && price.shortage() * k >= PAYS * pod
}

/// What a pod of one size carries and costs at this tick.
#[derive(Clone, Copy, Debug, Default)]
struct Offer {
    k: f64,
    pod: f64,
}

/// The offers of the lattice.
fn offers(choice: &Choice) -> [Offer; SIZES] {
    let ratio = choice.memory.ratio_from(choice.capacity.of(choice.size));
    let mut offers = [Offer::default(); SIZES];
    for (j, (offer, size)) in offers.iter_mut().zip(lattice()).enumerate() {
        let k = choice.capacity.of_lattice(j);
        // Memory of a pod follows what it does.
        let gib = choice.gib * ratio(k);
        *offer = Offer { k, pod: choice.price.pod(size, gib) };
    }
    offers
}

/// Price of a pod of size `j` that needs to carry only so much, after trimming.
fn trimmed(offers: &[Offer; SIZES], j: usize, work: f64, floor: f64) -> f64 {
    let down = count(-OCTAVE_SIZES * maths::log2(floor.clamp(1e-3, 1.0)) + 1e-6) as usize;
    let least = j.saturating_sub(down);
    offers[least..=j].iter().find(|offer| offer.k >= work).map_or(offers[j].pod, |offer| offer.pod)
}

impl Regrets {
    /// Forgets all regrets (new template, new size).
    pub(super) fn clear(&mut self) {
        for shadow in &mut self.shadows {
            shadow.regret = 0.0;
        }
    }

    /// No change of size for a while from `t` on.
    pub(super) fn wait(&mut self, t: f64) {
        self.resized = t;
    }

    /// One step; the leader, when there is one.
    pub(super) fn step(&mut self, choice: &Choice) -> Option<Leader> {
        if self.shadows.len() != SIZES {
            self.shadows = vec![Shadow::default(); SIZES];
            self.had.clear();
        }
        self.due += choice.dt;
        if self.due + 1e-9 < STEP {
            return self.leader(choice, false);
        }
        let dt = std::mem::take(&mut self.due);
        let offers = offers(choice);
        let costs = self.charge(choice, &offers, dt);
        let present = interpolate(maths::ln(choice.size.max(1e-3)), lattice_logs(), &costs);
        let keep = decay(dt, choice.tuning.regret_half_life);
        for (j, size) in lattice().into_iter().enumerate() {
            let shadow = &mut self.shadows[j];
            shadow.regret = shadow.regret * keep + dt * (present - costs[j]);
            let feasible = choice.capacity.feasible_lattice(j);
            let Offer { k, pod } = offers[j];
            let carries_peak = f64::from(choice.bounds.1) * k >= choice.tuning.peak_margin * choice.peak;
            let allowed = carries_peak && admits(feasible, k, pod, choice.price) && (choice.fits)(size);
            if !allowed || !shadow.regret.is_finite() {
                shadow.regret = shadow.regret.min(0.0);
            }
        }
        self.leader(choice, true)
    }

    /// Moves every shadow policy and returns what each size cost per second.
    fn charge(&mut self, choice: &Choice, offers: &[Offer; SIZES], dt: f64) -> [f64; SIZES] {
        let steps = count(choice.lead / STEP) as usize;
        let delay = steps.clamp(1, MOST_LEAD);
        let mut costs = [0.0; SIZES];
        let mut now = [0; SIZES];
        let before = if self.had.len() >= delay { self.had.first().copied() } else { None };
        for j in 0..SIZES {
            let Offer { k, pod } = offers[j];
            let held = self.shadows[j].follow(need(choice, k, pod), dt, choice.hold);
            now[j] = held;
            let n = f64::from(before.map_or(held, |b| b[j]));
            // Pods are trimmed to what is needed of them, so a size that is too large just now costs little.
            let paid = if choice.trims {
                trimmed(offers, j, choice.planned / n.max(1.0), choice.tuning.trim_floor)
            } else {
                pod
            };
            costs[j] =
                choice.price.stage(n, paid, k, choice.demand) + n * paid * choice.tuning.fragmentation * DOUBLINGS[j];
        }
        self.had.push(now);
        while self.had.len() > delay {
            self.had.remove(0);
        }
        costs
    }

    fn leader(&mut self, choice: &Choice, may_take: bool) -> Option<Leader> {
        let near = |size: f64| {
            (1.0 / OCTAVE..=OCTAVE).contains(&(size / choice.size)) && (size / choice.size - 1.0).abs() > 0.02
        };
        let sizes = lattice().into_iter().zip(&self.shadows).filter(|(size, _)| near(*size));
        let (size, regret) = sizes.map(|(size, s)| (size, s.regret)).max_by(|a, b| a.1.total_cmp(&b.1))?;
        if regret <= 0.0 {
            return None;
        }
        let threshold = f64::from(choice.replicas.max(1))
            * choice.price.pod(choice.size, choice.gib)
            * choice.tuning.resize_after
            * choice.patience;
        let quiet = choice.t - self.resized >= LEAST_BETWEEN && choice.uptime >= WARM_UP;
        let taken = may_take && regret > threshold && quiet && !choice.frozen;
        if taken {
            self.resized = choice.t;
            self.clear();
        }
        Some(Leader { size, regret, threshold, taken })
    }
}

/// The cheaper neighbour of the exact need.
fn need(choice: &Choice, k: f64, pod: f64) -> u16 {
    let (min, max) = (f64::from(choice.bounds.0), f64::from(choice.bounds.1));
    let below = (choice.planned / k).floor().clamp(min, max);
    let above = (below + 1.0).min(max);
    let cost = |n| choice.price.stage(n, pod, k, choice.planned);
    let n = if cost(below) <= cost(above) { below } else { above };
    u16::try_from(count(n)).unwrap_or(u16::MAX)
}

impl Shadow {
    /// Up at once; down, after `hold` below, to the highest need meanwhile.
    fn follow(&mut self, need: u16, dt: f64, hold: f64) -> u16 {
        if need >= self.held {
            *self = Self { held: need, fewer_for: 0.0, most: 0, regret: self.regret };
        } else {
            self.fewer_for += dt;
            self.most = self.most.max(need);
            if self.fewer_for >= hold {
                *self = Self { held: self.most, fewer_for: 0.0, most: 0, regret: self.regret };
            }
        }
        self.held
    }
}
