//! The score of a run: what was paid, what was late, and how restless it was.

use serde::{Deserialize, Serialize};

use super::{
    STEP_SECONDS, Scenario, Service, TICK_SECONDS,
    plant::{Counts, Step},
};
use crate::units::{Cores, Dollars};

/// Price of a core of violating work, in units of the price of a core: `V_J` of the score. 20 puts a service that is late
/// with 1 % of its requests at a fifth of its ideal cost.
pub const SHORTAGE_FACTOR: f64 = 20.0;

/// The score of one run, warm-up excluded. Undefined numbers are none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Those of them that take CPU from a running pod: what a budget of trims counts.
    pub trims_per_pod_day: f64,
    /// Longest time that the workload was saturated while neither the count nor a size that its controller wants grew;
    /// none for a queue, which may wait, and for an oracle.
    pub longest_saturated_hold_s: Option<f64>,
    /// The same in lead times: metrics of 30 s, a tick, a median start.
    pub longest_saturated_hold_leads: Option<f64>,
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

/// Violations grosser than this multiple of the allowed share are saturation, not the luck of a step.
const GROSS_VIOLATION: f64 = 10.0;
/// Pods that are busier than this on average have no CPU left; a step's utilization is judged up to 99 %.
const AT_CAPACITY: f64 = 0.98;
/// A controller sees means over 30 s: what saturates now is whole in them after that time.
const METRICS_SECONDS: f64 = 30.0;

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
    trims: u64,
    evictions: u64,
    oom_kills: u64,
    hold: Hold,
}

/// Saturation that is answered by no growth.
#[derive(Clone, Copy, Debug, Default)]
struct Hold {
    gross: f64,
    lead: f64,
    lasts: f64,
    longest: Option<f64>,
}

impl Hold {
    fn new(scenario: &Scenario) -> Self {
        let Service { quantile, start_median, .. } = &scenario.service;
        let lead = METRICS_SECONDS + TICK_SECONDS + start_median.get();
        Self { gross: GROSS_VIOLATION * (1.0 - quantile), lead, ..Self::default() }
    }

    /// Whether a step was saturated, as it really was.
    fn saturated(&self, step: &Step) -> bool {
        step.over > self.gross * step.requests || step.pod_utilization >= AT_CAPACITY
    }

    /// Adds a tick before which the controller did or did not ask for more.
    fn tick(&mut self, scored: bool, steps: &[Step], grew: bool) {
        if grew {
            self.lasts = 0.0;
        }
        for step in steps {
            self.lasts = if self.saturated(step) { self.lasts + STEP_SECONDS } else { 0.0 };
            if scored {
                self.longest = Some(self.longest.unwrap_or(0.0).max(self.lasts));
            }
        }
    }
}

impl Tally {
    pub(super) fn new(scenario: &Scenario) -> Self {
        Self {
            work_price: work_price(scenario),
            queue: scenario.world.queue.is_some(),
            hold: Hold::new(scenario),
            ..Self::default()
        }
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

    /// Notes whether saturation was met with growth: a decision, and the steps after it. What is at its bounds cannot grow.
    pub(super) fn held(&mut self, scored: bool, steps: &[Step], grew: bool) {
        if !self.queue {
            self.hold.tick(scored, steps, grew);
        }
    }

    /// Adds the events of a scored tick.
    pub(super) fn counted(&mut self, before: Counts, after: Counts) {
        self.starts += after.starts - before.starts;
        self.resizes += after.resizes - before.resizes;
        self.trims += after.trims - before.trims;
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
            trims_per_pod_day: per(self.trims as f64, pod_days),
            longest_saturated_hold_s: self.hold.longest,
            longest_saturated_hold_leads: self.hold.longest.map(|longest| longest / self.hold.lead),
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
    fn a_hold_is_saturation_without_growth_and_ends_with_either() {
        let (calm, late) = (
            Step { requests: 100.0, over: 9.0, ..Step::default() },
            Step { requests: 100.0, over: 11.0, ..Step::default() },
        );
        let full = Step { requests: 100.0, pod_utilization: 0.985, ..Step::default() };
        let mut tally = Tally { hold: Hold { gross: 0.1, lead: 75.0, ..Hold::default() }, ..Tally::default() };
        // Before the scored time it counts, but is not reported until it goes on in it.
        for (scored, step, grew) in [
            (false, late, false),
            (true, calm, false),
            (true, late, false),
            (true, full, false),
            (true, full, true),
            (true, full, false),
            (true, full, false),
        ] {
            tally.held(scored, &[step; 3], grew);
        }
        let score = tally.score();
        assert_eq!(score.longest_saturated_hold_s, Some(45.0));
        assert_eq!(score.longest_saturated_hold_leads, Some(0.6));
        assert_eq!(Tally::default().score().longest_saturated_hold_s, None);
    }

    #[test]
    fn trims_are_counted_per_pod_and_day_apart_from_other_resizes() {
        let mut tally = Tally::default();
        for _ in 0..17_280 / 2 {
            tally.step(&Step::default(), 4);
        }
        let counts = |resizes, trims| Counts { resizes, trims, ..Counts::default() };
        tally.counted(counts(5, 1), counts(45, 7));
        let score = tally.score();
        assert_eq!((score.resizes_per_pod_day, score.trims_per_pod_day), (20.0, 3.0));
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
