//! What a pod costs, and what a missing core costs.
//!
//! All prices are dollars per second here. Only their ratios reach a decision.

use crate::policy::Policy;

/// Prices of one policy, per second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Price {
    core: f64,
    gib: f64,
    shortage: f64,
}

impl Price {
    /// Reads the policy; prices that make no sense fall back to "a core costs one".
    pub(super) fn of(policy: &Policy) -> Self {
        let sound = |x: f64, other: f64| if x.is_finite() && x > 0.0 && x < 1e9 { x } else { other };
        let core = sound(policy.prices.core_hour.0, 1.0) / 3600.0;
        let gib = policy.prices.gib_hour.0;
        let gib = if gib.is_finite() && (0.0..1e9).contains(&gib) { gib / 3600.0 } else { 0.0 };
        Self { core, gib, shortage: policy.objective.preference.shortage_factor() * core }
    }

    /// A pod with `cores` and `gib` of memory.
    pub(super) fn pod(&self, cores: f64, gib: f64) -> f64 {
        (self.core * cores + self.gib * gib).max(1e-12)
    }

    /// A missing core.
    pub(super) fn shortage(&self) -> f64 {
        self.shortage
    }

    /// Cost of a stage: `n` pods that carry `k` each against `x` planned.
    pub(super) fn stage(&self, n: f64, pod: f64, k: f64, x: f64) -> f64 {
        n * pod + self.shortage * (x - n * k).max(0.0)
    }
}
