//! The clairvoyant optimum: what someone would have done who knew the load before it came.
//!
//! Three of them. `oracle` chooses count and size at will, and `oracle-n` the count at the best constant size: no
//! controller in the same plant can do better than `oracle`. `oracle-lead` knows how long to keep what it has, but a pod
//! works only a start-up time after the load that wants it has come, and a larger size a tick after: nearer to what can
//! be reached without foresight.
//!
//! They are not played in the plant but scored by the plan's own costs, with the formula of the score: played, they
//! would meet start times and imbalance that make them one more controller instead of a bound. (A test plays one, to see
//! that the bound is near what can be had.)
//!
//! Must not use anything of the plant but its outlook, nor anything of the decision model.
//!
//! Invariant: the same scenario and seed give the same numbers.

mod late;
mod programme;
mod stages;
mod world;

use super::{
    STEP_SECONDS, Scenario, Score,
    plant::{Counts, Step},
    score::Tally,
};
use stages::{Freedom, WorldStages};
use world::World;

/// A clairvoyant optimum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Oracle {
    /// Count and size at will.
    Free,
    /// The count, at the best constant size.
    Count,
    /// Growth follows the load by its lead time.
    Lead,
}

impl Oracle {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 3] = [Self::Count, Self::Free, Self::Lead];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Free => "oracle",
            Self::Count => "oracle-n",
            Self::Lead => "oracle-lead",
        }
    }

    /// The one of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|oracle| oracle.name() == name)
    }
}

/// What an oracle does and what that costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The plan's score, warm-up excluded.
    pub score: Score,
    /// Count and CPU request of a pod, by scored tick.
    pub states: Vec<(u32, f64)>,
}

/// What the oracles know about one scenario and seed; made once for all three.
pub struct Knowledge {
    world: World,
    scenario: Scenario,
}

impl Knowledge {
    /// Looks ahead; none where what waits would have to be part of the state: a queue.
    #[must_use]
    pub fn new(scenario: &Scenario, seed: u64) -> Option<Self> {
        let knowledge = || Self { world: World::new(scenario, seed), scenario: scenario.clone() };
        scenario.world.queue.is_none().then(knowledge)
    }

    /// The least J, in dollars. Cheaper than [`Knowledge::plan`], which says how.
    #[must_use]
    pub fn least(&self, oracle: Oracle) -> f64 {
        let (sizes, freedom) = self.choices(oracle);
        let cost = programme::optimum(&mut WorldStages::new(&self.world, freedom, &sizes));
        cost + self.world.unavoidable()
    }

    /// The cheapest plan.
    #[must_use]
    pub fn plan(&self, oracle: Oracle) -> Plan {
        let (sizes, freedom) = self.choices(oracle);
        let path = programme::path(&mut WorldStages::new(&self.world, freedom, &sizes)).1;
        let states: Vec<(u32, f64)> = path.into_iter().map(|(n, r)| (self.world.counts[n], sizes[r])).collect();
        Plan { score: self.score(&states), states }
    }

    /// The sizes that an oracle chooses among, and how it may.
    fn choices(&self, oracle: Oracle) -> (Vec<f64>, Freedom) {
        match oracle {
            Oracle::Free => (self.world.sizes.clone(), Freedom::Free),
            Oracle::Count => (vec![self.best_size()], Freedom::Free),
            // Every second size, a quarter of an octave apart: what it holds for later has to be looked at too.
            Oracle::Lead => (self.world.sizes.iter().copied().step_by(2).collect(), Freedom::Led),
        }
    }

    /// The best constant count of pods of the template's size.
    #[must_use]
    pub fn best_constant(&self) -> u32 {
        let world = &self.world;
        let size = self.scenario.service.request_cores.get();
        let seconds = world.steps.len() as f64 * STEP_SECONDS;
        let cost = |count: u32| {
            let late: f64 = world.steps.iter().map(|coming| world.late(coming, count, size)).sum();
            f64::from(count) * world.pod_price(size) * seconds + world.late_price * late
        };
        let mut best = (f64::INFINITY, 0);
        for count in &world.counts {
            let cost = cost(*count);
            if cost < best.0 {
                best = (cost, *count);
            }
        }
        best.1
    }

    /// The best constant size: among every fourth of the sizes (half an octave), then around the best of those.
    fn best_size(&self) -> f64 {
        const COARSE: usize = 4;
        let sizes = &self.world.sizes;
        let cheapest = |indices: &mut dyn Iterator<Item = usize>| {
            let mut best = (f64::INFINITY, 0);
            for index in indices {
                let only = [sizes[index]];
                let cost = programme::optimum(&mut WorldStages::new(&self.world, Freedom::Free, &only));
                if cost < best.0 {
                    best = (cost, index);
                }
            }
            best.1
        };
        let coarse = cheapest(&mut (0..sizes.len()).step_by(COARSE));
        let around = coarse.saturating_sub(COARSE - 1)..(coarse + COARSE).min(sizes.len());
        sizes[cheapest(&mut around.into_iter())]
    }

    /// The score of a plan, added up as that of a run is.
    fn score(&self, states: &[(u32, f64)]) -> Score {
        let world = &self.world;
        let mut tally = Tally::new(&self.scenario);
        let (start_seconds, drain_seconds) = (world.start_seconds, world.drain_seconds);
        let mut before = states.first().copied().unwrap_or_default();
        for (tick, &(count, size)) in states.iter().enumerate() {
            let pods = f64::from(count);
            // Pods that start are paid for at their size before they are ready, pods that leave at theirs afterwards.
            let (started, gone) = (count.saturating_sub(before.0), before.0.saturating_sub(count));
            let (started_pods, gone_pods) = (f64::from(started), f64::from(gone));
            let mut extra = (
                started_pods * start_seconds * world.pod_price(size)
                    + gone_pods * drain_seconds * world.pod_price(before.1),
                started_pods * start_seconds * size + gone_pods * drain_seconds * before.1,
            );
            for coming in world.coming(tick) {
                let requests = coming.requests;
                let played = Step {
                    requests,
                    over: world.late(coming, count, size),
                    cost: pods * world.pod_price(size) * STEP_SECONDS + requests * world.memory_per_request + extra.0,
                    paid_cores: pods * size + extra.1 / STEP_SECONDS,
                    ..Step::default()
                };
                extra = (0.0, 0.0);
                tally.step(&played, count as usize);
            }
            let resized = if size == before.1 { 0 } else { count.min(before.0) };
            let counts = Counts { starts: u64::from(started), resizes: u64::from(resized), ..Counts::default() };
            tally.decided(true, before.0, count);
            tally.counted(Counts::default(), counts);
            before = (count, size);
        }
        tally.score()
    }
}

#[cfg(test)]
mod tests;
