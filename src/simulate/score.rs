//! The score of a run: what was paid, what was late, and how restless it was.

use serde::Serialize;

use super::{
    STEP_SECONDS, Scenario,
    plant::{Counts, Step},
};
use crate::units::{Cores, Dollars};

/// Price of a core of violating work, in units of the price of a core: `V_J` of the score. 20 puts a service that is late
/// with 1 % of its requests at a fifth of its ideal cost.
pub const SHORTAGE_FACTOR: f64 = 20.0;

/// The score of one run, warm-up excluded. Undefined numbers are none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Score {
    /// Time scored.
    pub hours: f64,
    /// CPU and memory requests from a pod's creation to the end of its drain.
    pub cost_usd: Dollars,
    /// Requests over the objective; none without requests, and for a queue.
    pub violation_ratio: Option<f64>,
    /// Cost plus violating work priced as CPU, [`SHORTAGE_FACTOR`] times.
    pub j: Dollars,
    /// Changes of direction of the replica count.
    pub reversals_per_hour: f64,
    /// Pods created.
    pub pod_starts_per_day: f64,
    /// In-place resizes asked for, per pod.
    pub resizes_per_pod_day: f64,
    /// Pods evicted.
    pub evictions: u64,
    /// Containers killed for memory.
    pub oom_kills: u64,
    /// Items of a queue that were late, over items that arrived; none without a queue or items.
    pub backlog_late_ratio: Option<f64>,
    /// Pods, draining ones excluded.
    pub mean_replicas: f64,
    /// CPU requests of all pods together, draining ones included.
    pub mean_cpu_request_cores: Cores,
}

/// Price of the work of one late request.
pub(super) fn work_price(scenario: &Scenario) -> f64 {
    let core_second = scenario.policy.prices.core_hour.get() / 3600.0;
    SHORTAGE_FACTOR * scenario.service.work.get() * core_second
}

/// What a run adds up.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    work_price: f64,
    queue: bool,
    steps: f64,
    cost: f64,
    requests: f64,
    over: f64,
    pods: f64,
    cores: f64,
    last_direction: i8,
    reversals: u64,
    starts: u64,
    resizes: u64,
    evictions: u64,
    oom_kills: u64,
}

impl Tally {
    pub(super) fn new(scenario: &Scenario) -> Self {
        Self { work_price: work_price(scenario), queue: scenario.world.queue.is_some(), ..Self::default() }
    }

    /// Adds one scored step.
    pub(super) fn step(&mut self, step: &Step, pods: usize) {
        self.steps += 1.0;
        self.cost += step.cost;
        self.requests += step.requests;
        self.over += step.over;
        self.pods += pods as f64;
        self.cores += step.paid_cores;
    }

    /// Notes the direction of a decision; the one before the scored time counts as the last one.
    pub(super) fn decided(&mut self, scored: bool, before: u32, after: u32) {
        let direction = match after.cmp(&before) {
            std::cmp::Ordering::Less => -1,
            std::cmp::Ordering::Equal => return,
            std::cmp::Ordering::Greater => 1,
        };
        if scored && self.last_direction == -direction {
            self.reversals += 1;
        }
        self.last_direction = direction;
    }

    /// Adds the events of a scored tick.
    pub(super) fn counted(&mut self, before: Counts, after: Counts) {
        self.starts += after.starts - before.starts;
        self.resizes += after.resizes - before.resizes;
        self.evictions += after.evictions - before.evictions;
        self.oom_kills += after.oom_kills - before.oom_kills;
    }

    pub(super) fn score(&self) -> Score {
        let hours = self.steps * STEP_SECONDS / 3600.0;
        let per = |amount: f64, of: f64| if of > 0.0 { amount / of } else { 0.0 };
        let late = (self.requests > 0.0).then(|| self.over / self.requests);
        let pod_days = self.pods * STEP_SECONDS / 86_400.0;
        Score {
            hours,
            cost_usd: Dollars(self.cost),
            violation_ratio: late.filter(|_| !self.queue),
            j: Dollars(self.cost + self.over * self.work_price),
            reversals_per_hour: per(self.reversals as f64, hours),
            pod_starts_per_day: per(self.starts as f64 * 24.0, hours),
            resizes_per_pod_day: per(self.resizes as f64, pod_days),
            evictions: self.evictions,
            oom_kills: self.oom_kills,
            backlog_late_ratio: late.filter(|_| self.queue),
            mean_replicas: per(self.pods, self.steps),
            mean_cpu_request_cores: Cores(per(self.cores, self.steps)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reversal_is_a_change_of_direction_in_the_scored_time() {
        let mut tally = Tally::default();
        for (scored, before, after) in
            [(false, 4, 6), (true, 6, 6), (true, 6, 5), (true, 5, 4), (true, 4, 8), (true, 8, 9), (true, 9, 2)]
        {
            tally.decided(scored, before, after);
        }
        assert_eq!(tally.reversals, 3);
    }

    #[test]
    fn violating_work_is_priced_as_cpu() {
        let mut tally = Tally { work_price: 20.0 * 0.01 * 0.036 / 3600.0, ..Tally::default() };
        for _ in 0..720 {
            tally.step(&Step { requests: 500.0, over: 5.0, cost: 0.001, paid_cores: 8.0, ..Step::default() }, 4);
        }
        let score = tally.score();
        assert_eq!(score.hours, 1.0);
        assert_eq!(score.violation_ratio, Some(0.01));
        assert!((score.cost_usd.get() - 0.72).abs() < 1e-9);
        // 3600 late requests of 10 ms are 36 core-seconds, twenty times, at 0.036 $ per core hour.
        assert!((score.j.get() - score.cost_usd.get() - 20.0 * 36.0 * 0.036 / 3600.0).abs() < 1e-9);
        assert_eq!((score.mean_replicas, score.mean_cpu_request_cores), (4.0, Cores(8.0)));
    }
}
