//! Histograms, classic and native, as one list of buckets: quantile and share over a value.
//!
//! Observations count as spread evenly within their bucket. Where a bucket has no upper end, the answer is a bound, and
//! says so.
//!
//! Invariant: pure; results are finite.

use crate::observe::prometheus::NativeBucket as Bucket;

/// An estimate, and whether it is only a lower bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The value.
    pub value: f64,
    /// True when the value lies beyond the last bound, so that the truth is at least this.
    pub at_least: bool,
}

/// Buckets of a classic histogram, from `(le, cumulative rate)` pairs in any order. None without an `+Inf` bucket or
/// without a finite one: then the total, or the scale, is not known.
#[must_use]
pub fn classic(mut cumulative: Vec<(f64, f64)>) -> Option<Vec<Bucket>> {
    cumulative.retain(|(bound, count)| !bound.is_nan() && !count.is_nan());
    cumulative.sort_by(|a, b| a.0.total_cmp(&b.0));
    if cumulative.len() < 2 || cumulative.last()?.0 != f64::INFINITY {
        return None;
    }
    let mut buckets = Vec::with_capacity(cumulative.len());
    // A first bucket that ends above zero begins there: what is measured is time.
    let first = cumulative.first()?.0;
    let mut lower = if first > 0.0 { 0.0 } else { first };
    let mut below = 0.0_f64;
    for (upper, total) in cumulative {
        // Counters of several exporters are scraped at different instants: sums may run back a little.
        let total = total.max(below);
        buckets.push(Bucket { lower, upper, count: total - below });
        (lower, below) = (upper, total);
    }
    Some(buckets)
}

/// Observations per second in all buckets.
#[must_use]
pub fn total(buckets: &[Bucket]) -> f64 {
    buckets.iter().map(|b| b.count).filter(|c| c.is_finite() && *c > 0.0).sum()
}

/// The value below which a share `q` of the observations lies; none without observations.
#[must_use]
pub fn quantile(buckets: &[Bucket], q: f64) -> Option<Estimate> {
    let total = total(buckets);
    if total <= 0.0 || total.is_infinite() {
        return None;
    }
    let rank = q.clamp(0.0, 1.0) * total;
    let mut below = 0.0;
    let mut last = None;
    for bucket in buckets.iter().filter(|b| b.count.is_finite() && b.count > 0.0) {
        if below + bucket.count >= rank {
            return within(bucket, (rank - below) / bucket.count);
        }
        below += bucket.count;
        last = Some(bucket);
    }
    // Rounding let the sum end a hair below the rank.
    last.and_then(|bucket| within(bucket, 1.0))
}

fn within(bucket: &Bucket, share: f64) -> Option<Estimate> {
    let (value, at_least) = if !bucket.upper.is_finite() {
        (bucket.lower, true)
    } else if !bucket.lower.is_finite() {
        (bucket.upper, false)
    } else {
        (bucket.lower + (bucket.upper - bucket.lower) * share.clamp(0.0, 1.0), false)
    };
    value.is_finite().then_some(Estimate { value, at_least })
}

/// The share of observations over a value; none without observations. What lies in a bucket without upper end counts
/// as over when the value lies in it too, which errs on the side of growth.
#[must_use]
pub fn share_over(buckets: &[Bucket], value: f64) -> Option<f64> {
    let total = total(buckets);
    if total <= 0.0 || total.is_infinite() {
        return None;
    }
    let over: f64 = buckets
        .iter()
        .filter(|b| b.count.is_finite() && b.count > 0.0)
        .map(|b| {
            if b.lower >= value || !b.upper.is_finite() {
                b.count
            } else if b.upper <= value {
                0.0
            } else if b.lower.is_finite() {
                b.count * (b.upper - value) / (b.upper - b.lower)
            } else {
                b.count
            }
        })
        .sum();
    // A bucket as wide as the numbers reach has no share.
    Some(over / total).filter(|share| !share.is_nan()).map(|share| share.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn example() -> Vec<Bucket> {
        classic(vec![(f64::INFINITY, 100.0), (0.1, 50.0), (0.25, 90.0), (1.0, 98.0)]).expect("complete")
    }

    #[test]
    fn quantiles_are_interpolated_within_their_bucket() {
        let at = |q| quantile(&example(), q).expect("has observations");
        assert!((at(0.5).value - 0.1).abs() < 1e-12);
        assert!((at(0.7).value - 0.175).abs() < 1e-12);
        assert!((at(0.25).value - 0.05).abs() < 1e-12);
        assert_eq!(at(0.99), Estimate { value: 1.0, at_least: true });
    }

    #[test]
    fn share_over_is_interpolated_and_its_tail_counts_as_over() {
        let over = |t| share_over(&example(), t).expect("has observations");
        assert!((over(0.25) - 0.10).abs() < 1e-12);
        assert!((over(0.175) - 0.30).abs() < 1e-12);
        assert!((over(1.0) - 0.02).abs() < 1e-12);
        assert!((over(5.0) - 0.02).abs() < 1e-12, "beyond the last bound nothing is known to be within");
    }

    #[test]
    fn what_is_too_large_for_a_number_has_neither_quantile_nor_share() {
        let bucket = |lower, upper, count| Bucket { lower, upper, count };
        let many = [bucket(0.0, 1.0, f64::MAX), bucket(1.0, 2.0, f64::MAX)];
        assert_eq!((quantile(&many, 0.5), share_over(&many, 0.5)), (None, None));
        let wide = [bucket(-f64::MAX, f64::MAX, f64::MAX / 2.0)];
        assert_eq!((quantile(&wide, 0.5), share_over(&wide, 0.5)), (None, None));
    }

    #[test]
    fn no_observations_have_no_quantile_and_an_incomplete_histogram_has_no_buckets() {
        let rest = classic(vec![(0.1, 0.0), (f64::INFINITY, 0.0)]).expect("complete");
        assert_eq!(quantile(&rest, 0.99), None);
        assert_eq!(share_over(&rest, 0.1), None);
        assert_eq!(classic(vec![(0.1, 5.0), (0.2, 6.0)]), None, "without +Inf the total is not known");
        assert_eq!(classic(vec![(f64::INFINITY, 6.0)]), None, "without a finite bound there is no scale");
    }

    proptest! {
        #[test]
        fn quantile_and_share_are_each_others_inverse(
            counts in prop::collection::vec(0.01_f64..1000.0, 2..12), q in 0.01_f64..0.99,
        ) {
            let buckets: Vec<Bucket> = counts.iter().enumerate()
                .map(|(i, &count)| Bucket { lower: i as f64, upper: i as f64 + 1.0, count }).collect();
            let value = quantile(&buckets, q).expect("has observations").value;
            let over = share_over(&buckets, value).expect("has observations");
            prop_assert!((over - (1.0 - q)).abs() < 1e-9, "{over} against {}", 1.0 - q);
        }

        #[test]
        fn any_buckets_give_finite_results(
            pairs in prop::collection::vec((prop::num::f64::ANY, prop::num::f64::ANY), 0..8),
            q in prop::num::f64::NORMAL, t in prop::num::f64::NORMAL,
        ) {
            if let Some(buckets) = classic(pairs) {
                prop_assert!(quantile(&buckets, q).is_none_or(|e| e.value.is_finite()));
                prop_assert!(share_over(&buckets, t).is_none_or(|s| (0.0..=1.0).contains(&s)));
            }
        }
    }
}
