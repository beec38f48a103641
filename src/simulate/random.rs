//! Randomness as named streams: one per purpose and per entity, all from one seed.
//!
//! A stream belongs to what it describes (the noise on the load, pod 17's start), never to the order in which things
//! happen: two controllers on the same seed meet the same load, and pod 17 starts equally fast under both.
//!
//! Invariant: no function of the platform's mathematics library, so a seed gives the same numbers on every machine.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng as _, SeedableRng as _},
};

use crate::units::{
    fnv::{BASIS, fnv1a},
    maths,
};

/// Draws below this mean are exact; above, a rounded normal is within 1 % of the Poisson tail at three deviations.
const POISSON_EXACT_BELOW: f64 = 30.0;

/// One stream of random numbers.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    rng: ChaCha8Rng,
    spare_normal: Option<f64>,
}

impl Stream {
    /// The stream of a purpose, for one entity (a pod's number; 0 where there is only one).
    pub(super) fn new(seed: u64, purpose: &str, entity: u64) -> Self {
        // Any stable sum does, streams only have to differ.
        let stream = fnv1a(BASIS, purpose.bytes().chain(entity.to_le_bytes()));
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self { rng, spare_normal: None }
    }

    /// Uniform in [0, 1).
    pub(super) fn uniform(&mut self) -> f64 {
        (self.rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Standard normal (Marsaglia's polar method: two at a time, no trigonometry).
    pub(super) fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare_normal.take() {
            return spare;
        }
        loop {
            let (x, y) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                let stretch = (-2.0 * maths::ln(square) / square).sqrt();
                self.spare_normal = Some(y * stretch);
                return x * stretch;
            }
        }
    }

    /// Lognormal with a median and the deviation of its logarithm.
    pub(super) fn lognormal(&mut self, median: f64, sigma: f64) -> f64 {
        median * maths::exp(sigma * self.normal())
    }

    /// A Poisson count, as a real number.
    pub(super) fn poisson(&mut self, mean: f64) -> f64 {
        if mean <= 0.0 {
            return 0.0;
        }
        if mean >= POISSON_EXACT_BELOW {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0);
        }
        // Inversion: walk up the distribution until its sum passes a uniform draw.
        let draw = self.uniform();
        let mut count = 0.0;
        let mut share = maths::exp(-mean);
        let mut sum = share;
        // The bound only guards against a sum that rounding keeps below the draw; a count of 200 at mean 30 is never seen.
        while sum <= draw && count < 200.0 {
            count += 1.0;
            share *= mean / count;
            sum += share;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(mut draw: impl FnMut() -> f64) -> (f64, f64) {
        let values: Vec<f64> = (0..20_000).map(|_| draw()).collect();
        let mean = values.iter().sum::<f64>() / 20_000.0;
        (mean, values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / 20_000.0)
    }

    #[test]
    fn draws_have_the_moments_they_should_have() {
        let mut stream = Stream::new(1, "test", 0);
        let (mean, variance) = moments(|| stream.normal());
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
        for expected in [0.3, 8.0, 29.0, 400.0] {
            let (mean, variance) = moments(|| stream.poisson(expected));
            assert!((mean / expected - 1.0).abs() < 0.03, "{expected}: {mean}");
            assert!((variance / expected - 1.0).abs() < 0.06, "{expected}: {variance}");
        }
    }

    #[test]
    fn streams_differ_by_purpose_and_entity_and_repeat_by_seed() {
        let first = |seed, purpose, entity| Stream::new(seed, purpose, entity).uniform();
        assert_eq!(first(3, "pod", 1), first(3, "pod", 1));
        assert_ne!(first(3, "pod", 1), first(3, "pod", 2));
        assert_ne!(first(3, "pod", 1), first(3, "load", 1));
        assert_ne!(first(3, "pod", 1), first(4, "pod", 1));
    }
}
