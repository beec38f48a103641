//! What the oracle knows: the load of every step, what a pod costs, how late a pod is; and what each choice costs in a
//! tick.
//!
//! A state's cost is what the score will charge: requests of CPU and memory for the pods, and late work at its price.
//! Everything that a controller may hope for is granted: pods are ready at once, warm, with nothing waiting from the
//! step before, and with no more memory than they use. So no controller can be cheaper in the same plant, up to the luck
//! of how unevenly its pods share the load, which is taken at its expectation.

use super::{
    super::{STEP_SECONDS, STEPS_PER_TICK, Scenario, TICK_SECONDS, plant::Plant, score::work_price, whole},
    late::{self, LateTable, Place, ROWS_PER_OCTAVE, Unevenness},
    programme::{Charges, Reach, Shape, Stages},
};
use crate::units::maths;

/// Counts that are told apart; above, they go in steps.
const MOST_COUNTS: u32 = 256;
/// Sizes where the policy bounds none: from a twentieth of a core, below which a pod only idles, to 16, a large node.
const SIZES: (f64, f64) = (0.05, 16.0);
/// A load beyond this multiple of a pod's cores is never looked up finer: it is late.
const MOST_FULL: f64 = 4.0;

/// What is known before a run.
#[derive(Clone, Debug)]
pub(super) struct World {
    /// Requests of every scored step.
    pub(super) requests: Vec<f64>,
    /// CPU that a core of request stands for in every scored step, and its logarithm to base 2.
    stretch: Vec<(f64, f64)>,
    /// Work of a request, in core-seconds.
    work: f64,
    /// Price of a late request.
    pub(super) late_price: f64,
    /// Price of a core and of a pod beside its cores (its memory without requests), per second.
    core_second: f64,
    pod_second: f64,
    /// Price of the memory that a request per second takes, for a step: it is the same whatever is chosen.
    pub(super) memory_per_request: f64,
    /// Counts that may be chosen.
    pub(super) counts: Vec<u32>,
    /// Sizes that may be chosen, in cores.
    pub(super) sizes: Vec<f64>,
    /// Time for which a pod is paid before it is ready and after it has gone, in seconds.
    start_seconds: f64,
    drain_seconds: f64,
    table: LateTable,
}

impl World {
    /// What is known about a scenario and a seed.
    pub(super) fn new(scenario: &Scenario, seed: u64) -> Self {
        let plant = Plant::new(scenario, seed);
        let first = whole((scenario.warmup.get() / TICK_SECONDS).ceil()) * STEPS_PER_TICK;
        let requests = plant.future_requests().get(first..).unwrap_or_default().to_vec();
        let stretch = (first..first + requests.len()).map(|step| plant.stretch(step));
        let service = &scenario.service;
        let prices = scenario.policy.prices;
        let (core_second, gib_second) = (prices.core_hour.get() / 3600.0, prices.gib_hour.get() / 3600.0);
        let sizes = sizes(scenario);
        // Late from the first second on: the backlog of one step takes longer than the objective.
        let full = 1.0 + service.objective.get() / STEP_SECONDS;
        let lightest = (1.0 - 1.8 * Plant::IMBALANCE).max(0.1);
        let shape = late::Shape {
            idle: service.idle.get(),
            imbalance: Plant::IMBALANCE,
            capacity: (sizes[0], sizes[sizes.len() - 1] * plant.most_stretch()),
            full: (full / lightest).min(MOST_FULL),
        };
        Self {
            stretch: stretch.map(|stretch| (stretch, maths::log2(stretch))).collect(),
            requests,
            work: service.work.get(),
            late_price: work_price(scenario),
            core_second,
            pod_second: service.memory_base.gib() * gib_second,
            memory_per_request: service.memory_per_rps.gib() * gib_second,
            counts: counts(scenario),
            sizes,
            start_seconds: service.start_median.get(),
            drain_seconds: Plant::DRAIN,
            table: LateTable::sample(shape, plant.late_share()),
        }
    }

    /// Ticks that are scored.
    pub(super) fn ticks(&self) -> usize {
        self.requests.len().div_ceil(STEPS_PER_TICK)
    }

    /// Scored steps of a tick.
    pub(super) fn steps(&self, tick: usize) -> std::ops::Range<usize> {
        let first = tick * STEPS_PER_TICK;
        first..(first + STEPS_PER_TICK).min(self.requests.len())
    }

    /// What a pod of a size costs per second.
    pub(super) fn pod_price(&self, size: f64) -> f64 {
        self.core_second * size + self.pod_second
    }

    /// Late requests of a step with so many pods of a size.
    pub(super) fn late(&self, step: usize, count: u32, size: f64) -> f64 {
        let requests = self.requests[step];
        if count == 0 {
            return requests;
        }
        let (stretch, log2) = self.stretch[step];
        let place = self.table.place(size * stretch, maths::log2(size) + log2);
        let work = requests * self.work / STEP_SECONDS / f64::from(count);
        requests * self.table.share(place, work, Unevenness::of(count))
    }

    /// Seconds of a pod that a start costs, and a departure.
    pub(super) fn switching_seconds(&self) -> (f64, f64) {
        (self.start_seconds, self.drain_seconds)
    }
}

/// Counts within the policy's bounds.
fn counts(scenario: &Scenario) -> Vec<u32> {
    let range = scenario.policy.replicas;
    let (min, max) = (range.min.0, range.max.0.max(range.min.0));
    let step = (max - min) / MOST_COUNTS + 1;
    let mut counts: Vec<u32> = (min..=max).step_by(step as usize).collect();
    if counts.last() != Some(&max) {
        counts.push(max);
    }
    counts
}

/// Sizes within the policy's bounds, an eighth of an octave apart, the template's own among them.
fn sizes(scenario: &Scenario) -> Vec<f64> {
    let rule = &scenario.policy.containers.default;
    let template = scenario.service.request_cores.get();
    let low = rule.cpu_min.map_or(SIZES.0, |cores| cores.get().max(SIZES.0)).min(template);
    let high = rule.cpu_max.map_or(SIZES.1, crate::units::Cores::get).max(template);
    let step = |size: f64| maths::log2(size / template) * ROWS_PER_OCTAVE;
    let (first, last) = (step(low).ceil(), step(high).floor());
    let lattice = (0..=whole(last - first)).map(|i| template * maths::exp2((first + i as f64) / ROWS_PER_OCTAVE));
    let mut sizes: Vec<f64> = std::iter::once(low).chain(lattice).chain(std::iter::once(high)).collect();
    sizes.dedup_by(|a, b| (*a / *b - 1.0).abs() < 1e-9);
    sizes
}

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
    /// Over some sizes, ascending.
    pub(super) fn new(world: &'a World, freedom: Freedom, sizes: &[f64]) -> Self {
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
            counts: world
                .counts
                .iter()
                .map(|count| (1.0 / f64::from((*count).max(1)), Unevenness::of(*count)))
                .collect(),
            places: Vec::new(),
            wanted_count: vec![0; remembered],
            wanted_sizes: vec![0; remembered * world.counts.len()],
            lead: whole((world.start_seconds / TICK_SECONDS).ceil()),
        }
    }

    /// Places every size in the table for every step of a tick.
    fn place(&mut self, tick: usize) {
        self.places.clear();
        for step in self.world.steps(tick) {
            let (stretch, log2_stretch) = self.world.stretch[step];
            let place =
                |&(size, log2, _): &(f64, f64, f64)| self.world.table.place(size * stretch, log2 + log2_stretch);
            self.places.extend(self.sizes.iter().map(place));
        }
    }

    /// Whether a size is late with every request of every step.
    fn all_late(&self, requests: &[f64], size: usize, share: f64) -> bool {
        let mut steps = requests.iter().zip(self.places[size..].iter().step_by(self.sizes.len()));
        steps.all(|(requests, place)| LateTable::is_full(*place, requests * share))
    }

    /// Fills the sizes of one count: below `full` all is late. Returns the cheapest.
    fn fill_row(
        &self,
        row: &mut [f64],
        requests: &[f64],
        count: f64,
        full: usize,
        per_pod: (f64, Unevenness),
    ) -> (f64, usize) {
        let all: f64 = requests.iter().sum();
        let mut best = (f64::INFINITY, 0);
        for r in 0..row.len() {
            let paid = count * self.sizes[r].2;
            // What is dearer without any late request, and larger, is never worth it: only holding it for later is.
            if paid >= best.0 && self.freedom == Freedom::Free {
                row[r..].fill(f64::INFINITY);
                break;
            }
            let late = if r < full { all } else { self.late(requests, r, per_pod) };
            row[r] = paid + self.world.late_price * late;
            if row[r] < best.0 {
                best = (row[r], r);
            }
        }
        best
    }

    /// Late requests of a tick for a size, given the cores of work per request and pod, and the imbalance.
    fn late(&self, requests: &[f64], size: usize, (share, uneven): (f64, Unevenness)) -> f64 {
        let mut late = 0.0;
        for (step, requests) in requests.iter().enumerate() {
            let place = self.places[step * self.sizes.len() + size];
            late += requests * self.world.table.share(place, requests * share, uneven);
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
        let steps = world.steps(tick);
        let part = steps.len() as f64 / STEPS_PER_TICK as f64;
        let requests = &world.requests[steps];
        let mut wanted = (f64::INFINITY, 0);
        let sizes = self.sizes.len();
        // Sizes below this one are late with everything. With more pods there are fewer of them.
        let mut full = sizes;
        for (n, row) in grid.chunks_exact_mut(sizes).enumerate() {
            let count = f64::from(world.counts[n]) * part;
            let share = self.counts[n].0 * world.work / STEP_SECONDS;
            while full > 0 && !self.all_late(requests, full - 1, share) {
                full -= 1;
            }
            let none = if world.counts[n] == 0 { sizes } else { full };
            let best = self.fill_row(row, requests, count, none, (share, self.counts[n].1));
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
