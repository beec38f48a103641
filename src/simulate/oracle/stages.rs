//! What each choice costs in a tick, for the programme: the price of the pods and of the requests that another choice would
//! have served in time. What is the same whatever is chosen is left out.

use super::{
    super::{STEPS_PER_TICK, TICK_SECONDS, whole},
    late::{LateTable, Place, Unevenness},
    programme::{Charges, Reach, Shape, Stages},
    world::{Coming, World},
};
use crate::units::maths;

/// How the oracle may act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freedom {
    /// Count and size at will.
    Free,
    /// Growth follows the load: a pod works a start-up after the load that wants it, a larger size a tick after.
    Led,
}

/// The world as stages of the programme, over all its sizes or one of them.
#[derive(Clone, Debug)]
pub(super) struct WorldStages<'a> {
    world: &'a World,
    freedom: Freedom,
    charges: Charges,
    /// Sizes in use, with their logarithm to base 2 and their price for a tick.
    sizes: Vec<(f64, f64, f64)>,
    /// One over each count, and how unevenly so many pods share.
    counts: Vec<(f64, Unevenness)>,
    /// Places of the sizes in the table, one row per step of the tick at hand.
    places: Vec<Place>,
    /// What the load of a tick wants: the count, and the size for every count. As far as it has been looked at.
    wanted_count: Vec<u16>,
    wanted_sizes: Vec<u8>,
    /// Ticks from asking for a pod to its first request.
    lead: usize,
}

impl<'a> WorldStages<'a> {
    /// Over some sizes, ascending, and the counts that can be worth having.
    pub(super) fn new(world: &'a World, freedom: Freedom, sizes: &[f64]) -> Self {
        let useful = Self::over(world, Freedom::Free, sizes, world.counts.len()).useful_counts();
        Self::over(world, freedom, sizes, useful)
    }

    /// Over some sizes and the first so many counts, whether they are of use or not.
    pub(super) fn over(world: &'a World, freedom: Freedom, sizes: &[f64], counts: usize) -> Self {
        let step = |pair: &[u32]| f64::from(pair[1] - pair[0]);
        let counts_per_index = world.counts.windows(2).map(step).next().unwrap_or(1.0);
        let charge =
            |seconds: f64| sizes.iter().map(|size| counts_per_index * seconds * world.pod_price(*size)).collect();
        let led = freedom == Freedom::Led;
        let remembered = if led { world.ticks() } else { 0 };
        Self {
            world,
            freedom,
            charges: Charges { start: charge(world.start_seconds), leave: charge(world.drain_seconds) },
            sizes: sizes
                .iter()
                .map(|size| (*size, maths::log2(*size), world.pod_price(*size) * TICK_SECONDS))
                .collect(),
            counts: world.counts[..counts]
                .iter()
                .map(|count| (1.0 / f64::from((*count).max(1)), Unevenness::of(*count)))
                .collect(),
            places: Vec::new(),
            wanted_count: vec![0; remembered],
            wanted_sizes: vec![0; remembered * counts],
            lead: whole((world.start_seconds / TICK_SECONDS).ceil()),
        }
    }

    /// How many of the counts, from the smallest one, can be worth having: what the busiest ticks want, and a few more.
    /// A count above that costs more in every tick than the largest of them does, and more to reach.
    fn useful_counts(mut self) -> usize {
        const BUSIEST: usize = 64;
        const MARGIN: usize = 2;
        let world = self.world;
        let demand =
            |tick: usize| -> f64 { world.coming(tick).iter().map(|coming| coming.work / coming.stretch.0).sum() };
        let mut ticks: Vec<(f64, usize)> = (0..world.ticks()).map(|tick| (demand(tick), tick)).collect();
        ticks.sort_by(|a, b| b.0.total_cmp(&a.0));
        let sizes = self.sizes.len();
        let mut grid = vec![0.0; self.counts.len() * sizes];
        let mut most = 0;
        for (_, tick) in ticks.into_iter().take(BUSIEST) {
            self.fill(tick, &mut grid);
            let cheapest =
                grid.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(state, _)| state / sizes);
            most = most.max(cheapest);
        }
        (most + 1 + MARGIN).min(self.counts.len())
    }

    /// Places every size in the table for every step of a tick.
    fn place(&mut self, tick: usize) {
        self.places.clear();
        for coming in self.world.coming(tick) {
            let (table, (stretch, log2_stretch)) = (self.world.table(coming), coming.stretch);
            let place = |&(size, log2, _): &(f64, f64, f64)| table.place(size * stretch, log2 + log2_stretch);
            self.places.extend(self.sizes.iter().map(place));
        }
    }

    /// Whether a size is late with every request of every step, with one over so many pods.
    fn all_late(&self, coming: &[Coming], size: usize, share: f64) -> bool {
        let mut steps = coming.iter().zip(self.places[size..].iter().step_by(self.sizes.len()));
        steps.all(|(coming, place)| LateTable::is_full(*place, coming.work * share))
    }

    /// Fills the sizes of one count: below `full` all is late. Returns the cheapest.
    fn fill_row(
        &self,
        row: &mut [f64],
        coming: &[Coming],
        count: f64,
        full: usize,
        per_pod: (f64, Unevenness),
    ) -> (f64, usize) {
        let all: f64 = coming.iter().map(|coming| coming.requests - coming.unavoidable).sum();
        let mut best = (f64::INFINITY, 0);
        for r in 0..row.len() {
            let paid = count * self.sizes[r].2;
            // What is dearer without any late request, and larger, is never worth it: only holding it for later is.
            if paid >= best.0 && self.freedom == Freedom::Free {
                row[r..].fill(f64::INFINITY);
                break;
            }
            let late = if r < full { all } else { self.late(coming, r, per_pod) };
            row[r] = paid + self.world.late_price * late;
            if row[r] < best.0 {
                best = (row[r], r);
            }
        }
        best
    }

    /// Late requests of a tick that another choice could avoid, for a size and one over so many pods.
    fn late(&self, coming: &[Coming], size: usize, (share, uneven): (f64, Unevenness)) -> f64 {
        let mut late = 0.0;
        for (step, coming) in coming.iter().enumerate() {
            let place = self.places[step * self.sizes.len() + size];
            let part = self.world.table(coming).share(place, coming.work * share, uneven);
            late += (coming.requests - coming.unavoidable) * part;
        }
        late
    }
}

impl Stages for WorldStages<'_> {
    fn ticks(&self) -> usize {
        self.world.ticks()
    }

    fn shape(&self) -> Shape {
        Shape { counts: self.counts.len(), sizes: self.sizes.len() }
    }

    fn charges(&self) -> &Charges {
        &self.charges
    }

    fn fill(&mut self, tick: usize, grid: &mut [f64]) {
        self.place(tick);
        let world = self.world;
        let coming = world.coming(tick);
        let part = coming.len() as f64 / STEPS_PER_TICK as f64;
        let mut wanted = (f64::INFINITY, 0);
        let sizes = self.sizes.len();
        // Sizes below this one are late with everything. With more pods there are fewer of them.
        let mut full = sizes;
        for (n, row) in grid.chunks_exact_mut(sizes).enumerate() {
            let count = f64::from(world.counts[n]) * part;
            let share = self.counts[n].0;
            while full > 0 && !self.all_late(coming, full - 1, share) {
                full -= 1;
            }
            let none = if world.counts[n] == 0 { sizes } else { full };
            let best = self.fill_row(row, coming, count, none, self.counts[n]);
            if best.0 < wanted.0 {
                wanted = (best.0, n);
            }
            if self.freedom == Freedom::Led {
                // Both fit: there are at most 257 counts and some 70 sizes.
                self.wanted_sizes[tick * self.counts.len() + n] = u8::try_from(best.1).unwrap_or(u8::MAX);
            }
        }
        if self.freedom == Freedom::Led {
            self.wanted_count[tick] = u16::try_from(wanted.1).unwrap_or(u16::MAX);
        }
    }

    fn reach(&self, tick: usize) -> Option<Reach<'_>> {
        if self.freedom == Freedom::Free {
            return None;
        }
        let counts = self.counts.len();
        // Before the first scored tick the load is not known; the very first ticks reach what the first one wants.
        let seen = tick.saturating_sub(1);
        let count = usize::from(self.wanted_count[tick.saturating_sub(1 + self.lead)]);
        Some(Reach { count, size: &self.wanted_sizes[seen * counts..(seen + 1) * counts] })
    }
}
