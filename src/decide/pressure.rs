//! Pressure as feedback where there is no latency signal: pods that wait for CPU more than their utilization explains
//! have less CPU than they request, and carry less.
//!
//! Pressure ("some", PSI) is the share of time in which something in a container could run and does not. Even on CPU of its
//! own a container waits when more requests are inside than it has cores: at the utilization that is wanted, that much is
//! no news. What goes beyond lowers the allowed utilization, by the integral law of the latency feedback and under its
//! conditions; what falls below gives that back, and no more.
//!
//! Invariant: never more than the utilization that was asked for.

use super::{
    capacity::{ADJUST, Capacity, Evidence, FEEDBACK_AFTER, Feedback, Mode},
    sample::ContainerSample,
};
use crate::units::maths;

/// Pressure that is always fine: a twentieth of the time.
const FINE: f64 = 0.05;
/// What is expected comes from a formula; pressure may be this much over it.
const LENIENCE: f64 = 1.25;

/// Pressure of the container that requests most CPU, and its request.
pub(super) fn of_largest(containers: &[ContainerSample]) -> Option<(f64, f64)> {
    let largest = containers.iter().filter(|c| c.running.is_some());
    let largest = largest.max_by(|a, b| a.running.unwrap_or(0.0).total_cmp(&b.running.unwrap_or(0.0)))?;
    largest.pressure.zip(largest.running)
}

/// The pressure of a container of `r` cores at utilization `rho` that gets what it requests (model 3.3: the chance of
/// waiting, times the utilization).
fn expected(r: f64, rho: f64) -> f64 {
    if r < 1.0 {
        return rho * (rho + (1.0 - rho) * (1.0 - r));
    }
    maths::pow(rho, (2.0 * (r + 1.0)).sqrt())
}

/// What is aimed at: what the wanted utilization explains, and a twentieth at least.
fn aim(r: f64, rho: f64) -> f64 {
    (LENIENCE * expected(r, rho.clamp(0.0, 1.0))).clamp(FINE, 1.0)
}

impl Feedback {
    /// One step of the slow correction from pressure, only while the load says something about capacity.
    pub(super) fn correct_by_pressure(&mut self, gain: f64, capacity: &Capacity, evidence: &Evidence) {
        let sample = evidence.sample;
        let Some((pressure, r)) = sample.pressure.filter(|_| capacity.mode == Mode::Utilization) else { return };
        if evidence.saturated || sample.ready_in_window < 0.5 || sample.uptime < FEEDBACK_AFTER || sample.dt <= 0.0 {
            return;
        }
        let load = evidence.demand / (sample.ready_in_window * capacity.of(evidence.size));
        if load > 0.8 && load < 1.03 {
            // At the full utilization that was asked for, corrected or not: what lowered it must not move the aim.
            let aim = aim(r, capacity.uncorrected().allowed(evidence.size));
            let step = ((aim - pressure) / aim).clamp(-3.0, 1.0);
            self.adjustment *= maths::exp(gain * sample.dt / 15.0 * step);
        }
        self.adjustment = self.adjustment.clamp(ADJUST.0, 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_full_container_waits_anyway_is_expected() {
        // One core: more than one inside, with probability u²; larger containers pool their work and wait less.
        assert!((expected(1.0, 0.7) - 0.49).abs() < 1e-9);
        assert!(expected(4.0, 0.7) < 0.35 && expected(16.0, 0.7) < 0.15);
        assert!((expected(0.999, 0.7) - expected(1.0, 0.7)).abs() < 1e-3, "nothing jumps at one core");
        assert_eq!(aim(16.0, 0.3), FINE);
        assert_eq!(aim(0.1, 1.0), 1.0);
    }

    #[test]
    fn the_container_that_requests_most_speaks() {
        let one = |running, pressure| ContainerSample { running, pressure, ..ContainerSample::default() };
        assert_eq!(of_largest(&[one(Some(0.1), Some(0.9)), one(Some(2.0), Some(0.2))]), Some((0.2, 2.0)));
        assert_eq!(of_largest(&[one(Some(0.1), Some(0.9)), one(Some(2.0), None)]), None);
        assert_eq!(of_largest(&[one(None, Some(0.9))]), None);
    }
}
