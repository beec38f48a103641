//! Latency of a pod: the share of requests that take longer than the objective, by capacity and utilization.
//!
//! The numbers come from a discrete-event simulation of processor sharing (`des`), kept as a table in the tree
//! (`table.csv`, made by `grid`). A run reads it once, for the ratio of its objective to the work of a request.
//!
//! Must not share anything with the decision model: a controller is judged by a world that is not its own.

mod des;
mod grid;
mod pressure;
#[cfg(test)]
mod tests;

use std::sync::{Arc, LazyLock};

pub use grid::latency_table;
use grid::{CORES, RATIO_LOG2_MIN, RATIOS, RATIOS_PER_OCTAVE, Rows, UTILIZATIONS as MEASURED};
pub(super) use pressure::{pressure, throttled};

use crate::units::maths;

/// Squared coefficient of variation of the work of a request. 2: more spread than exponential, as web services have it
/// (a mix of cheap and dear requests).
pub(super) const WORK_VARIATION: f64 = 2.0;

/// Capacities are tabulated from 1/16 to 16 cores, three per octave.
const CAPACITIES: usize = 25;
const CAPACITY_LOG2_MIN: f64 = -4.0;
const CAPACITY_PER_OCTAVE: f64 = 3.0;
/// Utilizations are tabulated from 0 to the last one that was simulated.
const UTILIZATIONS: usize = 100;
const UTILIZATION_MAX: f64 = MEASURED[MEASURED.len() - 1];

/// Natural logarithms of shares, as they were simulated.
static ROWS: LazyLock<Arc<Rows>> = LazyLock::new(|| {
    Arc::new(grid::parse(include_str!("table.csv")).expect("a test reads the table that is compiled in"))
});

/// The tail for one objective, tabulated.
#[derive(Clone, Debug)]
pub(super) struct LatencyTable {
    objective_seconds: f64,
    shares: Vec<f64>,
    rows: Arc<Rows>,
}

impl LatencyTable {
    /// For requests of `work` core-seconds on average and an objective in seconds.
    pub(super) fn new(work_seconds: f64, objective_seconds: f64) -> Self {
        let rows = Arc::clone(&ROWS);
        let ratio = objective_seconds / work_seconds;
        let shares = (0..CAPACITIES)
            .flat_map(|c| (0..UTILIZATIONS).map(move |u| (c, u)))
            .map(|(c, u)| {
                let cores = maths::exp2(CAPACITY_LOG2_MIN + c as f64 / CAPACITY_PER_OCTAVE);
                let curve = curve(&rows, cores, UTILIZATION_MAX * u as f64 / (UTILIZATIONS - 1) as f64);
                // A pod below one core is the pod of one core, slowed down.
                let position = (maths::log2(ratio * cores.min(1.0)) - RATIO_LOG2_MIN) * RATIOS_PER_OCTAVE;
                let (cell, part) = place(position, RATIOS);
                maths::exp(curve[cell] * (1.0 - part) + curve[cell + 1] * part)
            })
            .collect();
        Self { objective_seconds, shares, rows }
    }

    /// Share of requests over the objective; linear between the table's points.
    pub(super) fn share_over(&self, cores: f64, utilization: f64) -> f64 {
        self.share_over_log2(maths::log2(cores), utilization)
    }

    /// The same, by the binary logarithm of the cores.
    pub(super) fn share_over_log2(&self, log2_cores: f64, utilization: f64) -> f64 {
        let (c, c_part) = place((log2_cores - CAPACITY_LOG2_MIN) * CAPACITY_PER_OCTAVE, CAPACITIES);
        let (u, u_part) = place(utilization / UTILIZATION_MAX * (UTILIZATIONS - 1) as f64, UTILIZATIONS);
        let at = |c: usize, u: usize| self.shares[c * UTILIZATIONS + u];
        let row = |c: usize| at(c, u) * (1.0 - u_part) + at(c, u + 1) * u_part;
        row(c) * (1.0 - c_part) + row(c + 1) * c_part
    }

    /// Latency at a quantile, in seconds, for a pod size and utilization at which `share` of the requests is over the
    /// objective: over the objective exactly when more than `1 - quantile` of the requests are.
    pub(super) fn at_quantile(&self, quantile: f64, share: f64, cores: f64, utilization: f64) -> f64 {
        let curve = curve(&self.rows, cores, utilization);
        // Below one in a million and above 99.9 % the shape of the tail is not known.
        let share = share.clamp(1e-6, 0.999);
        let octaves = (position_of(&curve, 1.0 - quantile) - position_of(&curve, share)) / RATIOS_PER_OCTAVE;
        self.objective_seconds * maths::exp2(octaves)
    }
}

/// Logarithms of shares by ratio, between the rows of the grid; sizes below one core are one core's.
fn curve(rows: &Rows, cores: f64, utilization: f64) -> [f64; RATIOS] {
    let (c, c_part) = between(&CORES, cores);
    let (u, u_part) = between(&MEASURED, utilization);
    let row = |c: usize, u: usize| &rows[c * MEASURED.len() + u];
    let (a, b, d, e) = (row(c, u), row(c, u + 1), row(c + 1, u), row(c + 1, u + 1));
    std::array::from_fn(|i| {
        let (lower, upper) = (a[i] * (1.0 - u_part) + b[i] * u_part, d[i] * (1.0 - u_part) + e[i] * u_part);
        lower * (1.0 - c_part) + upper * c_part
    })
}

/// Where a falling curve passes the logarithm of a share, as a position among the ratios; both ends are held.
fn position_of(curve: &[f64; RATIOS], share: f64) -> f64 {
    let wanted = maths::ln(share);
    let above = curve.partition_point(|value| *value > wanted);
    match above {
        0 => 0.0,
        RATIOS => (RATIOS - 1) as f64,
        _ => (above - 1) as f64 + (curve[above - 1] - wanted) / (curve[above - 1] - curve[above]),
    }
}

/// Index of the cell of ascending points that holds a value, and the part of the cell before it; both ends are held.
fn between(points: &[f64], value: f64) -> (usize, f64) {
    let held = value.clamp(points[0], points[points.len() - 1]);
    let cell = points.partition_point(|point| *point <= held).clamp(1, points.len() - 1) - 1;
    (cell, (held - points[cell]) / (points[cell + 1] - points[cell]))
}

/// Index of the grid cell that holds `position`, and the part of the cell before it; both ends are held.
fn place(position: f64, points: usize) -> (usize, f64) {
    let held = position.clamp(0.0, (points - 1) as f64);
    let cell = super::whole(held).min(points - 2);
    (cell, held - cell as f64)
}
