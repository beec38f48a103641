//! Small arithmetic that the terms share: sane inputs, counts, half-lives.

use crate::units::maths;

/// Whatever is measured beyond this is an error of measurement (cores, items per second, seconds, shares).
const ABSURD: f64 = 1e12;

/// A measured number that may be used: finite, not negative, not absurd.
pub(super) fn sane(x: f64) -> Option<f64> {
    (x.is_finite() && (0.0..=ABSURD).contains(&x)).then_some(x)
}

/// A count from a real number: NaN and negative become 0, too large saturates.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, which is what is meant")]
pub(super) fn count(x: f64) -> u32 {
    x as u32
}

/// The smallest count whose `n·k` reaches `x`; a hair of rounding error does not cost a replica.
pub(super) fn replicas_for(x: f64, k: f64) -> u32 {
    if x <= 0.0 {
        0
    } else if k <= 0.0 {
        u32::MAX
    } else {
        count((x / k - 1e-9).ceil())
    }
}

/// The factor that halves a value every `half_life` seconds, for `dt` seconds.
pub(super) fn decay(dt: f64, half_life: f64) -> f64 {
    if dt <= 0.0 { 1.0 } else { maths::exp2(-dt / half_life) }
}

/// The weight of a new sample in a moving average with time constant `tau` after `dt` seconds.
pub(super) fn weight(dt: f64, tau: f64) -> f64 {
    dt / (tau + dt)
}

/// Adds to a list that keeps the last `most`, and asks once for the room that it may ever need: a decision asks for no
/// memory later.
pub(super) fn keep_last<T>(list: &mut Vec<T>, most: usize, new: T) {
    if list.len() >= most {
        list.remove(0);
    }
    list.reserve_exact(most.saturating_sub(list.len()));
    list.push(new);
}

/// Linear interpolation of `ys` over increasing `xs`, constant beyond the ends.
pub(super) fn interpolate(x: f64, xs: &[f64], ys: &[f64]) -> f64 {
    let after = xs.partition_point(|&v| v <= x);
    if after == 0 {
        return ys[0];
    }
    if after >= xs.len() {
        return ys[xs.len() - 1];
    }
    let share = (x - xs[after - 1]) / (xs[after] - xs[after - 1]);
    ys[after - 1] + share * (ys[after] - ys[after - 1])
}
