//! Capacity: how much work one pod of a size carries within the objective.
//!
//! With a latency objective the allowed utilization comes from it and grows with the size of the pod (a large pod pools
//! its work): processor sharing, `P(T > t) ≈ exp(−t / (1.3·b·I))`, with the inflation `I` of a pod of `r` cores at
//! utilization `ρ`. Measured violations correct it slowly. Without one, utilization itself is the objective.
//!
//! Invariant: a size that cannot meet the objective never multiplies replicas without bound, and violations that
//! capacity does not cause never buy capacity for long.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::{arith::interpolate, demand::Demand, sample::Sample, stale::Signals};
use crate::{
    policy::{LatencyObjective, Policy},
    units::maths,
};

/// Sizes of the lattice: `.0625·2^(j/4)` cores, up to 8.
pub(super) const SIZES: usize = 29;
/// Bounds of the correction.
pub(super) const ADJUST: (f64, f64) = (0.6, 1.4);
/// Fewest seconds of watching before feedback is believed.
pub(super) const FEEDBACK_AFTER: f64 = 900.0;
/// Utilization at which a queue worker is planned.
const WORKER_UTILIZATION: f64 = 0.95;
/// Tail factor of service times (model 3.3).
const TAIL: f64 = 1.3;

/// The lattice and its logarithms never change; every tick reads them many times.
static LATTICE: LazyLock<[f64; SIZES]> =
    LazyLock::new(|| std::array::from_fn(|j| 0.0625 * maths::exp2(j as f64 / 4.0)));
static LOGS: LazyLock<[f64; SIZES]> = LazyLock::new(|| lattice().map(maths::ln));

/// No pod is ever planned fuller than this.
const MOST_ALLOWED: f64 = 0.95;
/// Newton's method needs about five steps here; more only guard against surprises.
const NEWTON_STEPS: usize = 12;

/// The lattice of CPU sizes.
pub(super) fn lattice() -> [f64; SIZES] {
    *LATTICE
}

/// Natural logarithms of the lattice.
pub(super) fn lattice_logs() -> &'static [f64; SIZES] {
    &LOGS
}

/// Slow correction and the table that goes with the present service time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Feedback {
    /// Measured correction of the allowed utilization.
    pub(super) adjustment: f64,
    /// Time over service time that the table was made for; 0: none.
    ratio: f64,
    /// Objective that the table was made for.
    share: f64,
    /// Allowed utilization by lattice size.
    table: Vec<f64>,
    /// Since when violations persist that capacity does not explain.
    pub(super) unexplained_since: Option<f64>,
}

impl Default for Feedback {
    fn default() -> Self {
        Self { adjustment: 1.0, ratio: 0.0, share: 0.0, table: Vec::new(), unexplained_since: None }
    }
}

/// What is bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Utilization is the objective.
    Utilization,
    /// Latency is the objective, and work per request is known.
    Latency,
    /// Waiting work is the objective.
    Backlog,
}

/// Capacity of a pod at this tick.
#[derive(Clone, Debug)]
pub(super) struct Capacity {
    /// What is bought.
    pub(super) mode: Mode,
    /// Headroom that demand is planned with.
    pub(super) headroom: f64,
    /// Measured correction.
    pub(super) adjustment: f64,
    /// Idle cost of a pod, cores.
    pub(super) idle: f64,
    /// Sizes may be chosen (lever, strategy, and latency tells them apart).
    pub(super) sizes_managed: bool,
    /// Share of violations that no capacity removes.
    pub(super) zero_load: f64,
    /// Utilization is planned this much over its objective.
    slack: f64,
    /// Utilization objective; it binds in utilization mode, and beside latency when it was written.
    utilization: Option<f64>,
    /// Divisor for load that is not spread evenly.
    spread: f64,
    /// Allowed utilization on the lattice.
    table: [f64; SIZES],
}

impl Capacity {
    /// The capacity of this tick; refreshes the table when the service time has moved.
    pub(super) fn of_tick(policy: &Policy, demand: &Demand, imbalance: f64, feedback: &mut Feedback) -> Self {
        let objective = &policy.objective;
        let latency = objective.latency.as_ref().zip(demand.work.filter(|b| *b > 0.0));
        let mode = match (latency, &objective.backlog) {
            (Some(_), _) => Mode::Latency,
            (None, Some(_)) if !objective.utilization_given && objective.latency.is_none() => Mode::Backlog,
            _ => Mode::Utilization,
        };
        let resizable = policy.levers.cpu && policy.resize.strategy.in_place();
        let sizes_managed = mode == Mode::Latency && resizable && policy.levers.replicas;
        let mut capacity = Self {
            mode,
            headroom: if sizes_managed { policy.tuning.headroom } else { 0.0 },
            slack: policy.tuning.utilization_slack,
            // Without a latency objective there is pressure, which only lowers.
            adjustment: if objective.latency.is_some() { feedback.adjustment } else { feedback.adjustment.min(1.0) },
            idle: demand.idle,
            sizes_managed,
            zero_load: 0.0,
            utilization: None,
            spread: 1.0 + imbalance.clamp(0.0, 1.0) / 2.0,
            table: [0.0; SIZES],
        };
        let tau = if objective.utilization.is_finite() { objective.utilization.clamp(0.05, 1.0) } else { 0.7 };
        match mode {
            Mode::Utilization => capacity.utilization = Some(tau),
            Mode::Backlog => {}
            Mode::Latency => {
                capacity.utilization = objective.utilization_given.then_some(tau);
                if let Some((latency, work)) = latency {
                    let (ratio, share) = feedback.refresh(latency, work);
                    capacity.zero_load = zero_load(ratio, share).0;
                    capacity.table.copy_from_slice(&feedback.table);
                }
            }
        }
        capacity
    }

    /// Allowed utilization of a pod with `r` cores, correction included.
    pub(super) fn allowed(&self, r: f64) -> f64 {
        self.allowed_where(|| self.table_at(r))
    }

    fn allowed_where(&self, table: impl FnOnce() -> f64) -> f64 {
        match self.mode {
            Mode::Utilization => self.utilization.unwrap_or(0.7) * self.adjustment,
            Mode::Backlog => WORKER_UTILIZATION,
            Mode::Latency => {
                let table = table();
                let rho = (table * self.adjustment).min(1.0);
                self.utilization.map_or(rho, |tau| rho.min(self.slack * tau))
            }
        }
    }

    fn table_at(&self, r: f64) -> f64 {
        self.table_value(interpolate(maths::ln(r.max(1e-3)), &LOGS[..], &self.table))
    }

    /// A size that is given and cannot meet the objective must not multiply replicas.
    fn table_value(&self, rho: f64) -> f64 {
        if self.sizes_managed { rho } else { rho.max(0.5) }
    }

    /// Work that a pod with `r` cores carries, cores. Never less than a fraction of what it has.
    pub(super) fn of(&self, r: f64) -> f64 {
        self.carried(r, self.allowed(r))
    }

    /// The same for the `j`th size of the lattice.
    pub(super) fn of_lattice(&self, j: usize) -> f64 {
        self.carried(LATTICE[j], self.allowed_where(|| self.table_value(self.table[j])))
    }

    /// Work that a pod with `r` cores can do at most before requests wait in it, cores.
    pub(super) fn brimful(&self, r: f64) -> f64 {
        (MOST_ALLOWED * r / self.spread - self.idle).max(self.of(r))
    }

    /// More than this it never is: rules sizes out without their logarithm.
    pub(super) fn at_most(&self, r: f64) -> f64 {
        match self.mode {
            Mode::Latency => r / self.spread,
            Mode::Utilization | Mode::Backlog => self.slack * self.allowed(r) * r,
        }
        .max(0.02 * r)
        .max(1e-6)
    }

    fn carried(&self, r: f64, allowed: f64) -> f64 {
        let gross = match self.mode {
            Mode::Utilization => self.slack * allowed * r,
            Mode::Backlog | Mode::Latency => allowed * r / self.spread,
        };
        // Idle cost is never believed to eat more than 70 % of it: a wrong one must not multiply replicas.
        (gross - self.idle).max(0.3 * gross).max(0.02 * r).max(1e-6)
    }

    /// Utilization that a size may be planned at before any correction, for admissibility.
    pub(super) fn feasible(&self, r: f64) -> f64 {
        if self.mode == Mode::Latency { self.table_at(r) } else { 1.0 }
    }

    /// The same for the `j`th size of the lattice.
    pub(super) fn feasible_lattice(&self, j: usize) -> f64 {
        if self.mode == Mode::Latency { self.table_value(self.table[j]) } else { 1.0 }
    }

    /// The same capacity without the measured correction.
    pub(super) fn uncorrected(&self) -> Self {
        Self { adjustment: 1.0, ..self.clone() }
    }
}

/// (tail that remains at zero load, tail that is reckoned with) for an objective that allows `share` over the target.
fn zero_load(ratio: f64, share: f64) -> (f64, f64) {
    let zero = maths::exp(-ratio / TAIL);
    (zero, share.max(1.5 * zero))
}

/// The largest utilization at which a pod of `r` cores keeps `P(T > ratio·b) ≤ share`; 0: none.
pub(super) fn allowed_by_latency(r: f64, ratio: f64, share: f64) -> f64 {
    let share = zero_load(ratio, share).1.min(0.999);
    // The inflation of service time that is still within the target.
    let room = ratio / (TAIL * -maths::ln(share));
    if r <= 1.0 {
        return (1.0 - 1.0 / (r.max(1e-6) * room)).clamp(0.0, MOST_ALLOWED);
    }
    let power = (2.0 * (r + 1.0)).sqrt() - 1.0;
    // What waiting adds to the inflation, less what the target leaves: zero at the answer.
    let excess = |rho: f64| {
        let wait = maths::pow(rho, power) / ((1.0 - rho) * r);
        (rho * wait - (room - 1.0), wait)
    };
    let mut rho = MOST_ALLOWED;
    for _ in 0..NEWTON_STEPS {
        let (over, wait) = excess(rho);
        if over <= 1e-9 {
            break;
        }
        // Rising and convex in rho, so that Newton's steps from above never pass the answer.
        rho = (rho - over / (wait * (power + 1.0 + rho / (1.0 - rho)))).max(0.0);
    }
    if room > 1.0 { rho } else { 0.0 }
}

impl Feedback {
    /// Rebuilds the table when target over service time moved by 2 %; returns (ratio, share).
    fn refresh(&mut self, latency: &LatencyObjective, work: f64) -> (f64, f64) {
        let share = (1.0 - latency.objective).clamp(1e-5, 0.5);
        let ratio = (latency.target.0 / work).clamp(0.01, 1e6);
        let moved = !(self.ratio * 0.98..=self.ratio * 1.02).contains(&ratio);
        if moved || self.share != share || self.table.len() != SIZES {
            self.ratio = ratio;
            self.share = share;
            self.table.clear();
            self.table.extend(lattice().iter().map(|r| allowed_by_latency(*r, ratio, share)));
        }
        (self.ratio, self.share)
    }

    /// Share of requests over the target: measured, or from the latency at the objective under an exponential tail.
    pub(super) fn violation(policy: &Policy, signals: &Signals) -> Option<f64> {
        let latency = policy.objective.latency.as_ref()?;
        let judged = signals.latency.as_ref()?;
        judged.usable_violation().or_else(|| {
            let value = judged.usable()?;
            let share = (1.0 - latency.objective).clamp(1e-5, 0.5);
            (value > 0.0).then(|| maths::pow(share, latency.target.0 / value).clamp(0.0, 1.0))
        })
    }

    /// One step of the slow correction, only while the load says something about capacity (its anti-windup).
    pub(super) fn correct(&mut self, policy: &Policy, capacity: &Capacity, evidence: &Evidence) {
        if policy.objective.latency.is_none() {
            return self.correct_by_pressure(policy.tuning.feedback_gain, capacity, evidence);
        }
        let Some(violation) = evidence.violation else { return };
        let sample = evidence.sample;
        if evidence.saturated || sample.ready_in_window < 0.5 || sample.uptime < FEEDBACK_AFTER || sample.dt <= 0.0 {
            return;
        }
        let Some(latency) = &policy.objective.latency else { return };
        let share = (1.0 - latency.objective).clamp(1e-5, 0.5);
        let aim = (policy.tuning.feedback_aim * share).max(1.9 * capacity.zero_load);
        let ticks = sample.dt / 15.0;
        let load = evidence.demand / (sample.ready_in_window * capacity.of(evidence.size));
        if load > 0.8 && load < 1.03 {
            let step = ((aim - violation) / aim).clamp(-policy.tuning.feedback_clip, 1.0);
            self.adjustment *= maths::exp(policy.tuning.feedback_gain * ticks * step);
            self.unexplained_since = None;
        } else if load <= 0.8 && sample.settled && violation > 3.0 * share.max(1.5 * capacity.zero_load) {
            self.adjustment *= 1.0 - 0.002 * ticks;
            self.unexplained_since.get_or_insert(sample.t);
        } else if violation <= share {
            self.unexplained_since = None;
        }
        self.adjustment = self.adjustment.clamp(ADJUST.0, ADJUST.1);
    }

    /// Whether the correction has nothing left to give while violations go on.
    pub(super) fn exhausted(&self) -> bool {
        self.unexplained_since.is_some() && self.adjustment <= ADJUST.0 + 1e-9
    }
}

/// What the correction looks at.
pub(super) struct Evidence<'a> {
    /// The tick.
    pub(super) sample: &'a Sample,
    /// Cores of work.
    pub(super) demand: f64,
    /// CPU of the pods that made the violation.
    pub(super) size: f64,
    /// Share over the target.
    pub(super) violation: Option<f64>,
    /// Pods were at capacity, or more of them are known not to help.
    pub(super) saturated: bool,
}
