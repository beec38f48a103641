//! Histograms with exponentially growing buckets whose samples fade with a half-life.
//!
//! A sample at `t` weighs `w · 2^((t − reference) / half-life)`: old samples are never touched, new ones weigh more. The
//! reference moves (by whole half-lives, all weights rescaled) before the exponent grows too large. A percentile answers
//! with the **end** of the bucket it falls into, so it lies above every sample there by up to 5 % and the first bucket's width.

use std::sync::LazyLock;

use crate::units::maths;

/// Buckets grow by this factor (`HistogramBucketSizeGrowth` 0.05).
const RATIO: f64 = 1.05;
/// The lightest sample that is ever added (`minSampleWeight`): every CPU sample since February 2025.
pub(super) const MIN_SAMPLE_WEIGHT: f64 = 0.1;
/// A bucket lighter than this counts as empty: a thousandth of the lightest sample.
const EPSILON: f64 = 0.001 * MIN_SAMPLE_WEIGHT;
/// Weights are rescaled before the exponent passes this (`maxDecayExponent`).
const MAX_DECAY_EXPONENT: i64 = 100;
/// Seconds from the first instant of year 1, where upstream's time begins, to the Unix epoch: multiples of the half-life
/// are counted from there.
const EPOCH: i64 = 62_135_596_800;

/// Where buckets begin.
#[derive(Debug)]
pub struct Buckets {
    first: f64,
    starts: Vec<f64>,
    ln_ratio: f64,
}

/// CPU in cores: from 0.01 to 1000.
pub(super) static CPU_BUCKETS: LazyLock<Buckets> = LazyLock::new(|| Buckets::exponential(0.01, 1000.0));
/// Memory in bytes: from 10 MB to 1 TB.
pub(super) static MEMORY_BUCKETS: LazyLock<Buckets> = LazyLock::new(|| Buckets::exponential(1e7, 1e12));

/// A whole power by repeated squaring. The order of the multiplications is part of the result's last bits, and a value at
/// a bucket's edge shows them.
fn power(base: f64, exponent: u32) -> f64 {
    let (mut answer, mut square, mut left) = (1.0, base, exponent);
    while left > 0 {
        if left & 1 == 1 {
            answer *= square;
        }
        square *= square;
        left >>= 1;
    }
    answer
}

impl Buckets {
    fn exponential(first: f64, max: f64) -> Self {
        let ln_ratio = maths::ln(RATIO);
        let last = (maths::ln(max * (RATIO - 1.0) / first + 1.0) / ln_ratio).ceil();
        let count = u32::try_from(super::super::super::whole(last)).expect("a few hundred buckets") + 1;
        let start = |bucket| if bucket == 0 { 0.0 } else { first * (power(RATIO, bucket) - 1.0) / (RATIO - 1.0) };
        Self { first, starts: (0..count).map(start).collect(), ln_ratio }
    }

    const fn last(&self) -> usize {
        self.starts.len() - 1
    }

    /// The bucket of a value.
    fn of(&self, value: f64) -> usize {
        if value < self.first {
            return 0;
        }
        let bucket = maths::ln(value * (RATIO - 1.0) / self.first + 1.0) / self.ln_ratio;
        super::super::super::whole(bucket).min(self.last())
    }
}

/// Weights per bucket, fading.
#[derive(Clone, Debug)]
pub struct DecayingHistogram {
    buckets: &'static Buckets,
    half_life: i64,
    /// Where the exponent is 0, in Unix seconds; none before the first sample.
    reference: Option<i64>,
    weights: Vec<f64>,
    total: f64,
    /// The first and the last bucket that are not empty.
    span: (usize, usize),
}

impl DecayingHistogram {
    /// An empty histogram; the half-life in whole seconds, at least 1.
    pub(super) fn new(buckets: &'static Buckets, half_life: i64) -> Self {
        Self {
            buckets,
            half_life: half_life.max(1),
            reference: None,
            weights: vec![0.0; buckets.starts.len()],
            total: 0.0,
            span: (buckets.last(), 0),
        }
    }

    /// Adds a sample of an instant (Unix seconds).
    pub(super) fn add(&mut self, value: f64, weight: f64, at: i64) {
        let weight = weight * self.decay(at);
        let bucket = self.buckets.of(value);
        self.weights[bucket] += weight;
        self.total += weight;
        if self.weights[bucket] >= EPSILON {
            self.span = (self.span.0.min(bucket), self.span.1.max(bucket));
        }
    }

    /// Takes a sample out again; no weight falls below 0.
    pub(super) fn subtract(&mut self, value: f64, weight: f64, at: i64) {
        let weight = weight * self.decay(at);
        let bucket = self.buckets.of(value);
        let less = |from: f64| if from - weight < EPSILON { 0.0 } else { from - weight };
        self.total = less(self.total);
        self.weights[bucket] = less(self.weights[bucket]);
        self.narrow();
    }

    /// Adds all of another histogram of the same kind. Both end with the younger reference.
    pub(super) fn merge(&mut self, other: &mut Self) {
        match (self.reference, other.reference) {
            (mine, Some(theirs)) if mine.is_none_or(|mine| mine < theirs) => self.shift(theirs),
            (Some(mine), theirs) if theirs.is_none_or(|theirs| theirs < mine) => other.shift(mine),
            _ => {}
        }
        let (first, last) = other.span;
        for bucket in first..=last {
            self.weights[bucket] += other.weights[bucket];
        }
        self.total += other.total;
        self.span = (self.span.0.min(first), self.span.1.max(last));
    }

    /// The end of the bucket in which the given share (0 to 1) of the weight is reached; 0 when empty.
    #[must_use]
    pub fn percentile(&self, share: f64) -> f64 {
        let (first, last) = self.span;
        if self.weights[first] < EPSILON {
            return 0.0;
        }
        let threshold = share * self.total;
        let mut sum = 0.0;
        let reached = (first..last).find(|bucket| {
            sum += self.weights[*bucket];
            sum >= threshold
        });
        let bucket = reached.unwrap_or(last);
        self.buckets.starts[(bucket + 1).min(self.buckets.last())]
    }

    /// What a sample of an instant weighs beside one of the reference.
    fn decay(&mut self, at: i64) -> f64 {
        if self.reference.is_none_or(|reference| at > reference + self.half_life * MAX_DECAY_EXPONENT) {
            self.shift(at);
        }
        let since = at - self.reference.unwrap_or(at);
        maths::exp2(since as f64 / self.half_life as f64)
    }

    /// Moves the reference to the multiple of the half-life next to an instant.
    fn shift(&mut self, to: i64) {
        let past = (to + EPOCH).rem_euclid(self.half_life);
        let to = if past + past < self.half_life { to - past } else { to + self.half_life - past };
        let half_lives = self.reference.map_or(u32::MAX, |from| {
            u32::try_from(((to - from).max(0) + self.half_life / 2) / self.half_life).unwrap_or(u32::MAX)
        });
        let factor = power(0.5, half_lives);
        for weight in &mut self.weights {
            *weight *= factor;
        }
        self.total *= factor;
        self.reference = Some(to);
        self.narrow();
    }

    /// Leaves empty buckets at both ends.
    fn narrow(&mut self) {
        let (mut first, mut last) = self.span;
        while self.weights[first] < EPSILON && first < self.buckets.last() {
            first += 1;
        }
        while self.weights[last] < EPSILON && last > 0 {
            last -= 1;
        }
        self.span = (first, last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    #[test]
    fn a_percentile_is_the_end_of_its_bucket() {
        let mut histogram = DecayingHistogram::new(&CPU_BUCKETS, DAY);
        assert_eq!(histogram.percentile(0.9), 0.0);
        for _ in 0..100 {
            histogram.add(0.4, 0.1, 1_000_000_000);
        }
        let end = histogram.percentile(0.9);
        assert!(end > 0.4 && end <= 0.4 * 1.05 + 0.01, "{end}");
        // 5 % of the weight does not reach the 90th percentile, but the 96th.
        for _ in 0..5 {
            histogram.add(2.0, 0.1, 1_000_000_000);
        }
        assert_eq!(histogram.percentile(0.9), end);
        assert!(histogram.percentile(0.96) > 2.0);
    }

    #[test]
    fn a_sample_of_yesterday_weighs_half_as_much() {
        let start = 1_000_000_000 / DAY * DAY;
        let mut histogram = DecayingHistogram::new(&CPU_BUCKETS, DAY);
        for _ in 0..30 {
            histogram.add(1.0, 0.1, start);
        }
        // 10 of today against 30 of yesterday: 40 % of the weight.
        for _ in 0..10 {
            histogram.add(0.1, 0.1, start + DAY);
        }
        assert!(histogram.percentile(0.39) < 0.2);
        assert!(histogram.percentile(0.41) > 1.0);
        // After 200 days nothing of it is left.
        histogram.add(0.5, 0.1, start + 200 * DAY);
        assert!(histogram.percentile(0.01) > 0.5 && histogram.percentile(0.01) < 0.6);
    }

    #[test]
    fn what_was_subtracted_is_gone_and_merging_adds() {
        let mut one = DecayingHistogram::new(&MEMORY_BUCKETS, DAY);
        one.add(3e8, 1.0, 1_000_000_000);
        one.subtract(3e8, 1.0, 1_000_000_000);
        assert_eq!(one.percentile(0.9), 0.0);
        let mut two = one.clone();
        one.add(1e8, 1.0, 1_000_000_000);
        two.add(9e8, 1.0, 1_000_000_000 + 3 * DAY);
        let mut both = DecayingHistogram::new(&MEMORY_BUCKETS, DAY);
        both.merge(&mut one);
        both.merge(&mut two);
        // The younger one weighs eight times the older.
        assert!(both.percentile(0.1) < 1.2e8);
        assert!(both.percentile(0.12) > 9e8);
    }
}
