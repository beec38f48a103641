//! The grid of the latency table, its text, and how it is made.
//!
//! The share of requests slower than `ratio` times the mean work of a request, for pods of 1 to 16 cores. Smaller pods
//! need no rows: one that has `c` < 1 cores is the pod of one core with time stretched by `1/c`.

use std::fmt::Write as _;

use super::{
    super::random::Stream,
    WORK_VARIATION,
    des::{Server, Work},
};
use crate::units::maths;

/// Cores of a pod.
pub(super) const CORES: [f64; 9] = [1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0];
/// Work that arrives over cores. Closer to 1 nothing is steady within the minutes that matter: a backlog is judged by the
/// time it waits.
pub(super) const UTILIZATIONS: [f64; 18] =
    [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.99];
/// Ratios are powers of the square root of 2, from 1/16 to 256.
pub(super) const RATIOS: usize = 25;
/// Binary logarithm of the smallest ratio.
pub(super) const RATIO_LOG2_MIN: f64 = -4.0;
/// Ratios per doubling.
pub(super) const RATIOS_PER_OCTAVE: f64 = 2.0;
/// Requests simulated for one row, more where they are correlated over longer times.
const REQUESTS: usize = 500_000;
const REQUESTS_BUSY: usize = 2_000_000;
const BUSY: f64 = 0.88;

/// The rows of the table: by cores, then by utilization; natural logarithms of shares by ratio.
pub(super) type Rows = Vec<[f64; RATIOS]>;

/// A ratio by its index.
pub(super) fn ratio(index: usize) -> f64 {
    maths::exp2(RATIO_LOG2_MIN + index as f64 / RATIOS_PER_OCTAVE)
}

/// Shares of requests slower than each ratio, from a simulation of so many requests. None is less than the share that is
/// slower on an idle core, which is known exactly.
pub(super) fn simulate(cores: f64, utilization: f64, requests: usize, stream: &mut Stream) -> [f64; RATIOS] {
    let ratios: [f64; RATIOS] = std::array::from_fn(ratio);
    // Requests by the number of ratios that they exceed.
    let mut exceeding = [0.0; RATIOS + 1];
    if utilization > 0.0 {
        let server = Server { cores, utilization, work: Work::Lognormal(WORK_VARIATION) };
        server.serve(requests, stream, |sojourn| exceeding[ratios.partition_point(|ratio| *ratio < sojourn)] += 1.0);
    }
    let mut shares = ratios.map(idle);
    let mut slower = 0.0;
    for index in (0..RATIOS).rev() {
        slower += exceeding[index + 1];
        shares[index] = f64::max(shares[index], slower / requests as f64);
    }
    shares
}

/// Share of requests slower than a ratio when nothing shares the core: the tail of their work.
fn idle(ratio: f64) -> f64 {
    let variance = maths::ln(1.0 + WORK_VARIATION);
    let z = (maths::ln(ratio) + variance / 2.0) / variance.sqrt();
    0.5 * maths::erfc(z / std::f64::consts::SQRT_2)
}

/// The text of the table, made anew: `cargo run --release --no-default-features -- latency-table > src/simulate/latency/table.csv`.
#[must_use]
pub fn latency_table() -> String {
    let mut text = String::from(
        "# Share of requests slower than a multiple of their mean work, by cores and utilization of a processor-sharing pod.\n\
         # Made by discrete-event simulation: cargo run --release --no-default-features -- latency-table\n\
         cores,utilization",
    );
    for index in 0..RATIOS {
        let _infallible = write!(text, ",{:.4}", ratio(index));
    }
    text.push('\n');
    for index in 0..CORES.len() * UTILIZATIONS.len() {
        text.push_str(&line(index));
        text.push('\n');
    }
    text
}

/// One line of the table, made anew.
pub(super) fn line(index: usize) -> String {
    let (cores, utilization) = (CORES[index / UTILIZATIONS.len()], UTILIZATIONS[index % UTILIZATIONS.len()]);
    let requests = if utilization > BUSY { REQUESTS_BUSY } else { REQUESTS };
    let mut stream = Stream::new(1, "latency-table", index as u64);
    let mut text = format!("{cores},{utilization}");
    for share in simulate(cores, utilization, requests, &mut stream) {
        let _infallible = write!(text, ",{share:.3e}");
    }
    text
}

/// Reads the text of a table.
pub(super) fn parse(text: &str) -> Option<Rows> {
    let rows: Option<Rows> = text
        .lines()
        .filter(|line| line.starts_with(|first: char| first.is_ascii_digit()))
        .map(|line| {
            let shares: Option<Vec<f64>> =
                line.split(',').skip(2).map(|cell| cell.parse().ok().map(maths::ln)).collect();
            shares?.try_into().ok()
        })
        .collect();
    rows.filter(|rows| rows.len() == CORES.len() * UTILIZATIONS.len())
}
