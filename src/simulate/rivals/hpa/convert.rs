//! Conversions from real numbers to integers as the upstream controller's platform does them.
//!
//! Upstream runs on amd64, where a real number outside an integer's range (or not a number) becomes the most negative
//! integer instead of the nearest one. That shows in what an HPA answers to absurd metrics, so it is kept.

/// 2^31, the first number above an `i32`.
const ABOVE_I32: f64 = 2_147_483_648.0;
/// 2^63, the first number above an `i64`.
const ABOVE_I64: f64 = 9_223_372_036_854_775_808.0;

/// The whole part as 32 bits; the most negative one when it does not fit.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
pub(super) fn to_i32(number: f64) -> i32 {
    if number > -ABOVE_I32 - 1.0 && number < ABOVE_I32 { number as i32 } else { i32::MIN }
}

/// The whole part as 64 bits; the most negative one when it does not fit.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
pub(super) fn to_i64(number: f64) -> i64 {
    if (-ABOVE_I64..ABOVE_I64).contains(&number) { number as i64 } else { i64::MIN }
}

/// The low 32 bits, as a conversion between integers does.
#[expect(clippy::cast_possible_truncation, reason = "upstream's conversion wraps")]
pub(super) const fn wrap_i32(number: i64) -> i32 {
    number as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_becomes_the_most_negative_integer() {
        assert_eq!((to_i32(2.9), to_i32(-2.9), to_i32(2_147_483_647.0)), (2, -2, i32::MAX));
        assert_eq!((to_i32(ABOVE_I32), to_i32(f64::NAN), to_i32(-3e9)), (i32::MIN, i32::MIN, i32::MIN));
        assert_eq!((to_i64(7.5), to_i64(f64::INFINITY), to_i64(f64::NAN)), (7, i64::MIN, i64::MIN));
        assert_eq!(wrap_i32((1 << 32) + 5), 5);
    }
}
