//! The share of late requests as the plant has it, tabulated so that a week of states is looked up in a second.
//!
//! The plant's own function is sampled on a grid of pod capacity × load; what lies between is linear. Pods share a load
//! unevenly, which no controller can help: the expectation over it is taken here, three-point Gauss–Hermite, with the
//! smaller spread that few pods have around their own mean.
//!
//! Must not have a formula of its own for lateness: [`LateTable::sample`] is given the plant's.

use crate::units::maths;

/// Capacities per octave: the lattice of sizes, so that sizes fall on rows when neighbours take nothing.
pub(super) const ROWS_PER_OCTAVE: f64 = 8.0;
/// Loads from 0 to the one at which everything is late: steps of half a percent of a pod's capacity.
const COLUMNS: usize = 224;
/// Nodes of the quadrature, in deviations, and the weight of each outer one.
const NODE: f64 = 1.732_050_807_568_877_2;
const OUTER_WEIGHT: f64 = 1.0 / 6.0;

/// Counts of pods that the table is made for, by the part of the variance that is felt: the loads of `n` pods add up to the
/// whole, so they spread by `1 - 1/n` of it. One, two, three and five pods, and many.
const FELT: [f64; 5] = [0.0, 0.5, 2.0 / 3.0, 0.8, 1.0];

/// What the table is made for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// CPU that a pod uses without any request.
    pub(super) idle: f64,
    /// Deviation of a pod's share of the load.
    pub(super) imbalance: f64,
    /// Smallest and largest capacity of a pod, in cores.
    pub(super) capacity: (f64, f64),
    /// Work over available cores from which on every request is late.
    pub(super) full: f64,
}

/// The expected share of late requests.
#[derive(Clone, Debug)]
pub(super) struct LateTable {
    idle: f64,
    first_row: f64,
    rows: usize,
    columns_per_load: f64,
    /// By row, column and felt part of the variance.
    cells: Vec<[f32; FELT.len()]>,
}

/// How unevenly so many pods share a load, placed in the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unevenness {
    level: usize,
    part: f32,
}

impl Unevenness {
    /// Of so many pods.
    pub(super) fn of(count: u32) -> Self {
        let felt = 1.0 - 1.0 / f64::from(count.max(1));
        let level = FELT.iter().skip(1).take(FELT.len() - 2).filter(|level| **level <= felt).count();
        Self { level, part: single((felt - FELT[level]) / (FELT[level + 1] - FELT[level])) }
    }
}

/// A capacity, placed in the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    row: usize,
    part: f32,
    /// Columns per core of work.
    scale: f64,
}

impl LateTable {
    /// Samples `late(work, capacity)`: the share of late requests of a pod with so many cores of work and so many cores
    /// of capacity, nothing waiting.
    pub(super) fn sample(shape: Shape, mut late: impl FnMut(f64, f64) -> f64) -> Self {
        let row_of = |capacity: f64| maths::log2(capacity) * ROWS_PER_OCTAVE;
        let first_row = row_of(shape.capacity.0).floor();
        let rows = super::super::whole(row_of(shape.capacity.1).ceil() - first_row) + 2;
        let columns_per_load = (COLUMNS - 1) as f64 / shape.full;
        let mut cells = Vec::with_capacity(rows * COLUMNS);
        for row in 0..rows {
            let capacity = maths::exp2((first_row + row as f64) / ROWS_PER_OCTAVE);
            let available = available(capacity, shape.idle);
            for column in 0..COLUMNS {
                let work = column as f64 / columns_per_load * available;
                // Of requests, not of pods: a pod with more than its share has more of the late ones.
                let mut side = |share: f64| share * late(work * share, capacity);
                cells.push(FELT.map(|felt| {
                    let spread = shape.imbalance * NODE * felt.sqrt();
                    let outer = side(1.0 + spread) + side(1.0 - spread);
                    single((1.0 - 2.0 * OUTER_WEIGHT) * side(1.0) + OUTER_WEIGHT * outer)
                }));
            }
        }
        Self { idle: shape.idle, first_row, rows, columns_per_load, cells }
    }

    /// Places a capacity, given by its logarithm to base 2 too.
    pub(super) fn place(&self, capacity: f64, log2: f64) -> Place {
        let at = (log2 * ROWS_PER_OCTAVE - self.first_row).clamp(0.0, (self.rows - 2) as f64 + 0.999);
        let row = super::super::whole(at);
        Place { row, part: single(at - row as f64), scale: self.columns_per_load / available(capacity, self.idle) }
    }

    /// Whether all is late at so many cores of work per pod.
    pub(super) fn is_full(place: Place, work: f64) -> bool {
        work * place.scale >= (COLUMNS - 1) as f64
    }

    /// The expected share of late requests at so many cores of work per pod.
    pub(super) fn share(&self, place: Place, work: f64, uneven: Unevenness) -> f64 {
        let at = (work * place.scale).min((COLUMNS - 1) as f64 - 1e-6);
        let column = super::super::whole(at);
        let part = single(at - column as f64);
        let upper = place.row * COLUMNS + column;
        let cell = |index: usize| {
            let cell = &self.cells[index];
            cell[uneven.level] + uneven.part * (cell[uneven.level + 1] - cell[uneven.level])
        };
        let blend = |index: usize| cell(index) + part * (cell(index + 1) - cell(index));
        let (above, below) = (blend(upper), blend(upper + COLUMNS));
        f64::from(above + place.part * (below - above))
    }
}

/// Seven digits are more than a simulated tail has, and half the memory to go through.
#[expect(clippy::cast_possible_truncation, reason = "rounds, which is what is meant")]
pub(super) fn single(number: f64) -> f32 {
    number as f32
}

/// What a pod has for requests; the plant never lets it vanish.
fn available(capacity: f64, idle: f64) -> f64 {
    (capacity - idle).max(1e-3)
}
