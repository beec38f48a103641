//! Demand: how much work there is, free of our own actions.
//!
//! CPU usage contains what the controller did (every pod has an idle cost), so it is split: `U = a·n + b·λ`, with `a`
//! cores per pod and `b` core-seconds per unit of the Demand signal `λ`, by five decayed sums (least squares). Demand is
//! `b·λ`, cross-checked against what usage proves, `U − a·n`. Without a Demand signal it is usage itself.
//!
//! Invariant: an idle service keeps its `b` (forgetting needs excitation); while pods are saturated usage is a lower
//! bound and can only raise it.

use serde::{Deserialize, Serialize};

use super::{
    arith::decay,
    past::Past,
    sample::Sample,
    stale::{Signals, UsageState},
};
use crate::policy::Tuning;

/// The tick that gains are stated for.
const TICK: f64 = 15.0;
/// Half-life of peaks: a day.
pub(super) const PEAK_HALF_LIFE: f64 = 86_400.0;
/// Idle cost of a pod before it was measured, and how sure that is (model: .03 ± .06 core; scaled down for small pods).
const IDLE_PRIOR: f64 = 0.03;
/// No idle cost is believed beyond this many cores (a busy runtime with nothing to do), nor this share of the pod's request: replicas follow the load, so a fit
/// can mistake work for idle cost, and capacity would vanish.
const IDLE_MOST: f64 = 0.15;
const IDLE_SHARE: f64 = 0.3;
/// What remains of the sums after a new template.
const KEEP_ON_TEMPLATE: f64 = 0.02;
/// Throttled share from which usage is only a lower bound.
pub(super) const THROTTLED: f64 = 0.05;
/// Gain per tick of the average of one-sided surprise.
const SURPRISE_GAIN: f64 = 0.07;
/// Persistence of one-sided surprise that makes a reset.
const SURPRISE_RESET: f64 = 0.8;
/// Time constant of the imbalance average.
const IMBALANCE_TAU: f64 = 750.0;

/// Most that a rate is believed to have grown within a window of usage; keeps the arithmetic finite.
const MOST_GROWN: f64 = 1e6;

/// The demand model of one workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Identifier {
    nn: f64,
    nl: f64,
    ll: f64,
    nu: f64,
    lu: f64,
    /// Idle cost of a pod, cores.
    idle: f64,
    /// Core-seconds per unit; 0: not known.
    work: f64,
    /// Prior of `work`; 0: none yet.
    work_prior: f64,
    /// Relative noise.
    sigma: f64,
    /// One-sidedness of surprise, -1..1.
    surprise: f64,
    /// Work per unit that usage alone implies, averaged over minutes; 0: none yet.
    implied: f64,
    /// The Demand signal lately: usage is a mean over a window that has passed, and is compared with the rate of then.
    rates: Past,
    /// Decayed peak of the Demand signal.
    rate_peak: f64,
    /// Decayed peak of usage.
    usage_peak: f64,
    /// Decayed peak of demand.
    pub(super) demand_peak: f64,
    /// Busiest pod over the mean, minus 1; averaged.
    pub(super) imbalance: f64,
    /// Decayed peak of usage per pod, for pods without a request.
    pub(super) pod_peak: f64,
    /// Memory of a pod against its work.
    pub(super) memory: MemoryFit,
}

impl Default for Identifier {
    fn default() -> Self {
        Self {
            nn: 0.0,
            nl: 0.0,
            ll: 0.0,
            nu: 0.0,
            lu: 0.0,
            idle: IDLE_PRIOR,
            work: 0.0,
            work_prior: 0.0,
            sigma: 0.05,
            surprise: 0.0,
            implied: 0.0,
            rates: Past::default(),
            rate_peak: 0.0,
            usage_peak: 0.0,
            demand_peak: 0.0,
            imbalance: 0.1,
            pod_peak: 0.0,
            memory: MemoryFit::default(),
        }
    }
}

/// A line through (work per pod, memory per pod): what a larger pod will hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct MemoryFit {
    w: f64,
    x: f64,
    y: f64,
    xx: f64,
    xy: f64,
}

impl MemoryFit {
    fn note(&mut self, work: f64, gib: f64, dt: f64) {
        let keep = decay(dt, PEAK_HALF_LIFE);
        for sum in [&mut self.w, &mut self.x, &mut self.y, &mut self.xx, &mut self.xy] {
            *sum *= keep;
        }
        let w = dt / TICK;
        self.w += w;
        self.x += w * work;
        self.y += w * gib;
        self.xx += w * work * work;
        self.xy += w * work * gib;
    }

    /// How much more memory a pod holds that does other work than `from` cores of it.
    pub(super) fn ratio_from(&self, from: f64) -> impl Fn(f64) -> f64 {
        let line = (self.w >= 20.0).then(|| {
            let (mx, my) = (self.x / self.w, self.y / self.w);
            let var = self.xx / self.w - mx * mx;
            // A tenth of the mean as prior spread: a constant load says nothing about the slope.
            let slope = ((self.xy / self.w - mx * my) / (var + 0.01 * mx * mx + 1e-9)).clamp(0.0, my / mx.max(1e-9));
            let base = (my - slope * mx).max(0.02 * my);
            (base, slope, base + slope * from)
        });
        let line = line.filter(|(_, _, now)| *now > 0.0);
        move |to| line.map_or(1.0, |(base, slope, now)| ((base + slope * to) / now).clamp(0.2, 20.0))
    }
}

/// Which evidence made the demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// Rate times work.
    Rate,
    /// Rate times work, raised to what usage proves.
    RateRaised,
    /// Rate times work, lowered to what usage allows.
    RateLowered,
    /// Usage alone.
    Usage,
    /// The queue.
    Backlog,
}

impl From {
    /// In words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::RateRaised => "rate, raised by usage",
            Self::RateLowered => "rate, lowered by usage",
            Self::Usage => "usage",
            Self::Backlog => "backlog",
        }
    }
}

/// Demand now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand {
    /// Cores of work, idle cost excluded.
    pub(super) cores: f64,
    /// What made it.
    pub(super) from: From,
    /// Idle cost of a pod that goes with it, cores.
    pub(super) idle: f64,
    /// Core-seconds per unit, when known.
    pub(super) work: Option<f64>,
}

impl Identifier {
    /// Learns from one tick.
    pub(super) fn learn(&mut self, sample: &Sample, signals: &Signals, tuning: &Tuning) {
        if sample.new_template {
            self.forget();
        }
        let rate = signals.demand.as_ref().and_then(super::stale::Judged::whole);
        let keep = decay(sample.dt, PEAK_HALF_LIFE);
        self.demand_peak *= keep;
        if let Some(rate) = rate {
            self.rate_peak = (self.rate_peak * keep).max(rate);
            let age = signals.demand.as_ref().and_then(|d| d.verdict.age_seconds).map_or(0.0, |a| a.0);
            self.rates.note(sample.t - age.min(600.0), rate);
        }
        let Some(usage) = sample.usage.filter(|_| sample.usage_is_whole()) else { return };
        let n = sample.ready_in_window;
        if n < 0.5 {
            return;
        }
        self.usage_peak = (self.usage_peak * keep).max(usage);
        self.pod_peak = (self.pod_peak * keep).max(sample.busiest.unwrap_or(usage / n));
        if let (true, Some(busiest)) = (sample.settled, sample.busiest) {
            let imbalance = (busiest * n / usage - 1.0).clamp(0.0, 1.0);
            self.imbalance += super::arith::weight(sample.dt, IMBALANCE_TAU) * (imbalance - self.imbalance);
        }
        if sample.starting_up {
            return;
        }
        if rate.is_some() {
            self.fit(self.rates.mean(sample.usage_window), usage, n, sample, tuning);
        }
        if let (true, Some(gib)) = (sample.settled, sample.working_set_gib) {
            let demand = (usage - self.idle * n).max(0.0);
            self.memory.note(demand / n, gib, sample.dt);
        }
    }

    /// Keeps what was learned as a prior: the workload may be another one now.
    fn forget(&mut self) {
        self.shrink_sums(KEEP_ON_TEMPLATE);
        if self.work > 0.0 {
            self.work_prior = self.work;
        }
    }

    /// Begins anew from what usage has shown lately: all that was known was wrong to the same side for minutes.
    fn begin_anew(&mut self) {
        self.shrink_sums(0.0);
        if self.implied > 0.0 {
            self.work_prior = self.implied;
            self.work = self.implied;
        }
    }

    fn shrink_sums(&mut self, keep: f64) {
        for sum in [&mut self.nn, &mut self.nl, &mut self.ll, &mut self.nu, &mut self.lu] {
            *sum *= keep;
        }
        self.surprise = 0.0;
    }

    /// One step of the decayed least squares.
    fn fit(&mut self, rate: f64, usage: f64, n: f64, sample: &Sample, tuning: &Tuning) {
        let pod = sample.running.unwrap_or(1.0);
        let idle_prior = IDLE_PRIOR.min(0.1 * pod);
        if self.work_prior <= 0.0 {
            if rate <= 0.0 {
                return;
            }
            self.idle = idle_prior.min(0.5 * usage / n);
            self.work_prior = ((usage - self.idle * n) / rate).max(1e-9);
            self.work = self.work_prior;
        }
        let error = usage - self.idle * n - self.work * rate;
        if sample.throttled.is_some_and(|x| x > THROTTLED) && error < 0.0 {
            return;
        }
        let floor = usage.max(0.2 * self.usage_peak).max(1e-6);
        let spread = self.sigma * floor;
        let ticks = sample.dt / TICK;
        let excited = (rate / self.rate_peak.max(1e-12)).clamp(0.02, 1.0);
        let forget = tuning.forget * excited * if sample.settled { 1.0 } else { 0.25 };
        let keep = (1.0 - forget * ticks).max(0.5);
        let z = error.abs() / spread;
        let weight = ticks / (spread * spread)
            * if sample.settled { 1.0 } else { 1.0 / 16.0 }
            * if z > 3.0 { 3.0 / z } else { 1.0 };
        self.nn = self.nn * keep + weight * n * n;
        self.nl = self.nl * keep + weight * n * rate;
        self.ll = self.ll * keep + weight * rate * rate;
        self.nu = self.nu * keep + weight * n * usage;
        self.lu = self.lu * keep + weight * rate * usage;
        if sample.settled && excited > 0.1 {
            let sign = if error.abs() > 0.1 * usage { error.signum() } else { 0.0 };
            let gain = (SURPRISE_GAIN * ticks).min(1.0);
            self.surprise += gain * (sign - self.surprise);
            let implied = ((usage - self.idle * n) / rate).max(0.0);
            self.implied += if self.implied > 0.0 { gain * (implied - self.implied) } else { implied };
            if self.surprise.abs() > SURPRISE_RESET {
                self.begin_anew();
            }
        }
        self.solve((usage / n).min(IDLE_MOST).min(IDLE_SHARE * pod), idle_prior);
        if sample.settled {
            let noise = (error.abs() * 1.25 / floor).min(4.0 * self.sigma);
            self.sigma = (self.sigma + 0.01 * ticks.min(4.0) * (noise - self.sigma)).clamp(0.02, 0.3);
        }
    }

    /// Solves the normal equations with the prior as ridge, inside `0 ≤ a ≤ most`, `b ≥ .05 b0`.
    fn solve(&mut self, idle_most: f64, idle_prior: f64) {
        let (idle_sure, work_sure) = (1.0 / square(2.0 * idle_prior), 1.0 / square(0.5 * self.work_prior));
        let (m11, m22) = (self.nn + idle_sure, self.ll + work_sure);
        let (r1, r2) = (self.nu + idle_sure * idle_prior, self.lu + work_sure * self.work_prior);
        let det = m11 * m22 - self.nl * self.nl;
        if !(det > 0.0 && det.is_finite()) {
            self.begin_anew();
            return;
        }
        let idle = (r1 * m22 - self.nl * r2) / det;
        let work = (m11 * r2 - self.nl * r1) / det;
        self.idle = idle.clamp(0.0, idle_most.max(0.0));
        let work = if self.idle == idle { work } else { (r2 - self.nl * self.idle) / m22 };
        self.work = work.clamp(0.05 * self.work_prior, 1e3 * self.work_prior);
    }

    /// Demand of this tick; `None` when nothing measures it.
    pub(super) fn estimate(&mut self, sample: &Sample, signals: &Signals, tuning: &Tuning) -> Option<Demand> {
        let rate = signals.demand.as_ref().and_then(super::stale::Judged::usable);
        let known = rate.filter(|_| self.work > 0.0).map(|rate| self.work * rate);
        let throttled = sample.throttled.unwrap_or(0.0);
        let demand = match (known, sample.usage) {
            (Some(planned), usage) => {
                let grown = self.grown(planned / self.work, sample);
                let (cores, from) = self.cross_check(planned, usage, throttled, grown, sample, tuning);
                Demand { cores, from, idle: self.idle, work: Some(self.work) }
            }
            // The signal is gone for a while: what usage proves, by the same model, so nothing jumps.
            (None, Some(usage)) if self.work > 0.0 => {
                let cores = (usage - self.idle * sample.ready_in_window).max(0.0) * (1.0 + 0.25 * throttled);
                Demand { cores, from: From::Usage, idle: self.idle, work: Some(self.work) }
            }
            (None, Some(usage)) => {
                Demand { cores: usage * (1.0 + 0.25 * throttled), from: From::Usage, idle: 0.0, work: None }
            }
            (None, None) => return None,
        };
        if sample.usage_state != UsageState::Partial {
            self.demand_peak = self.demand_peak.max(demand.cores);
        }
        Some(demand)
    }

    /// Factor by which the rate has grown since the window of usage. Usage of then says nothing against work that has
    /// come since: without this a step waits until usage shows it.
    fn grown(&self, rate: f64, sample: &Sample) -> f64 {
        let then = self.rates.mean(sample.usage_window);
        if then > 0.0 { (rate / then).clamp(1.0, MOST_GROWN) } else { MOST_GROWN }
    }

    /// `b·λ`, held inside what usage proves.
    fn cross_check(
        &self,
        planned: f64,
        usage: Option<f64>,
        throttled: f64,
        grown: f64,
        sample: &Sample,
        tuning: &Tuning,
    ) -> (f64, From) {
        let Some(usage) = usage else { return (planned, From::Rate) };
        let proved = (usage - self.idle * sample.ready_in_window).max(0.0);
        let slack = 0.02 * self.usage_peak;
        let (low, high) = if throttled > THROTTLED {
            (1.1 * proved, f64::INFINITY)
        } else if sample.starting_up {
            (0.8 * proved, f64::INFINITY)
        } else if sample.settled {
            ((tuning.proved_low * proved - slack).max(0.0), (tuning.proved_high * proved + slack) * grown)
        } else {
            (0.0, f64::INFINITY)
        };
        // Partial sums prove a lower bound, never an upper one.
        let high = if sample.usage_state == UsageState::Partial { f64::INFINITY } else { high };
        if planned < low {
            (low, From::RateRaised)
        } else if planned > high {
            (high, From::RateLowered)
        } else {
            (planned, From::Rate)
        }
    }

    /// Core-seconds per unit, once known.
    pub(super) fn work(&self) -> Option<f64> {
        (self.work > 0.0).then_some(self.work)
    }
}

fn square(x: f64) -> f64 {
    x * x
}
