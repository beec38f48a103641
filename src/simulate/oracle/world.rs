//! What the oracle knows: the load of every step, what a pod costs, how late a pod is.
//!
//! A state's cost is what the score will charge: requests of CPU and memory for the pods, and late work at its price.
//! Everything that a controller may hope for is granted: pods are ready at once, warm, with nothing waiting from the
//! step before, and with no more memory than they use. So no controller can be cheaper in the same plant, up to the luck
//! of how unevenly its pods share the load, which is taken at its expectation. Other containers of a pod are granted to be
//! no larger than they are used when idle, and never to be in the way.

use super::{
    super::{
        STEP_SECONDS, STEPS_PER_TICK, Scenario, TICK_SECONDS,
        plant::{CONTAINER, Plant},
        score::work_price,
        whole,
    },
    late::{self, LateTable, ROWS_PER_OCTAVE, Unevenness},
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
    /// What comes, by scored step.
    pub(super) steps: Vec<Coming>,
    /// Price of a late request.
    pub(super) late_price: f64,
    /// Price of a core and of a pod beside its cores (memory without requests, other containers), per second.
    core_second: f64,
    pod_second: f64,
    /// Price of the memory that a request per second takes, for a step: it is the same whatever is chosen.
    pub(super) memory_per_request: f64,
    /// Counts that may be chosen.
    pub(super) counts: Vec<u32>,
    /// Sizes that may be chosen, in cores.
    pub(super) sizes: Vec<f64>,
    /// Time for which a pod is paid before it is ready and after it has gone, in seconds.
    pub(super) start_seconds: f64,
    pub(super) drain_seconds: f64,
    /// How late pods are, one table per work factor.
    tables: Vec<LateTable>,
}

/// What comes in one step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coming {
    /// Requests.
    pub(super) requests: f64,
    /// Those that are late whatever is chosen: by what is behind the service.
    pub(super) unavoidable: f64,
    /// Their work, in cores.
    pub(super) work: f64,
    /// CPU that a core of request stands for, and its logarithm to base 2.
    pub(super) stretch: (f64, f64),
    /// Which of the tables.
    table: usize,
}

impl World {
    /// What is known about a scenario and a seed.
    pub(super) fn new(scenario: &Scenario, seed: u64) -> Self {
        let mut plant = Plant::new(scenario, seed);
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
        let first = whole((scenario.warmup.get() / TICK_SECONDS).ceil()) * STEPS_PER_TICK;
        let behind = plant.future_lateness_behind();
        let mut factors: Vec<f64> = Vec::new();
        let steps =
            plant.future_requests().iter().zip(behind).enumerate().skip(first).map(|(step, (requests, behind))| {
                let factor = plant.work_factor(step);
                let table = factors.iter().position(|known| *known == factor).unwrap_or_else(|| {
                    factors.push(factor);
                    factors.len() - 1
                });
                let stretch = plant.stretch(step);
                Coming {
                    requests: *requests,
                    unavoidable: requests * behind,
                    work: requests * service.work.get() * factor / STEP_SECONDS,
                    stretch: (stretch, maths::log2(stretch)),
                    table,
                }
            });
        let memory_factor = plant.least_memory_factor();
        let others = service.sidecars.iter();
        let others = others.map(|other| core_second * other.idle.get() + gib_second * other.memory.gib());
        Self {
            steps: steps.collect(),
            late_price: work_price(scenario),
            core_second,
            pod_second: service.memory_base.gib() * memory_factor * gib_second + others.sum::<f64>(),
            memory_per_request: service.memory_per_rps.gib() * memory_factor * gib_second,
            counts: counts(scenario),
            sizes,
            start_seconds: service.start_median.get(),
            drain_seconds: Plant::DRAIN,
            tables: factors.iter().map(|factor| LateTable::sample(shape, plant.late_share(*factor))).collect(),
        }
    }

    /// Ticks that are scored.
    pub(super) fn ticks(&self) -> usize {
        self.steps.len().div_ceil(STEPS_PER_TICK)
    }

    /// What comes in a tick.
    pub(super) fn coming(&self, tick: usize) -> &[Coming] {
        let first = tick * STEPS_PER_TICK;
        &self.steps[first..(first + STEPS_PER_TICK).min(self.steps.len())]
    }

    /// How late pods are in a step.
    pub(super) fn table(&self, coming: &Coming) -> &LateTable {
        &self.tables[coming.table]
    }

    /// What is paid or late whatever is chosen, in dollars.
    pub(super) fn unavoidable(&self) -> f64 {
        let cost = |step: &Coming| step.requests * self.memory_per_request + step.unavoidable * self.late_price;
        self.steps.iter().map(cost).sum()
    }

    /// What a pod of a size costs per second.
    pub(super) fn pod_price(&self, size: f64) -> f64 {
        self.core_second * size + self.pod_second
    }

    /// Late requests of a step with so many pods of a size.
    pub(super) fn late(&self, coming: &Coming, count: u32, size: f64) -> f64 {
        if count == 0 {
            return coming.requests;
        }
        let (stretch, log2) = coming.stretch;
        let table = self.table(coming);
        let place = table.place(size * stretch, maths::log2(size) + log2);
        let share = table.share(place, coming.work / f64::from(count), Unevenness::of(count));
        coming.unavoidable + (coming.requests - coming.unavoidable) * share
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
    let rule = scenario.policy.containers.of(CONTAINER);
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
