//! One run: a scenario under one controller and one seed, a tick at a time.

use jiff::Timestamp;

use super::{
    Controller, STEP_SECONDS, STEPS_PER_TICK, Scenario, Score,
    metrics::{Metrics, instant},
    plant::{Plant, Step},
    score::Tally,
};
use crate::{
    decide::{Decision, Snapshot},
    policy::Policy,
    units::{Cores, Dollars, Replicas, Seconds},
};

/// A run in progress.
pub struct Run {
    plant: Plant,
    metrics: Metrics,
    policy: Policy,
    controller: Box<dyn Controller + Send>,
    warmup: f64,
    tally: Tally,
    totals: Totals,
}

/// One look of the controller and the 15 s that follow.
#[derive(Clone, Debug)]
pub struct Tick {
    /// When the controller looked.
    pub at: Timestamp,
    /// What it saw.
    pub snapshot: Snapshot,
    /// What it decided.
    pub decision: Decision,
    /// What really happened in the 15 s after the decision.
    pub truth: Truth,
}

/// What really happened in a tick, which no controller sees. Totals count from the start of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Truth {
    /// Work that arrived.
    pub demand_cores: Cores,
    /// Work that ready pods can carry on their requests alone, at 100 %.
    pub capacity_cores: Cores,
    /// Pods that run or start, at the end of the tick.
    pub replicas: Replicas,
    /// Pods that take requests, at the end of the tick.
    pub ready: Replicas,
    /// CPU request of a pod: the mean over all of them, at the end of the tick.
    pub pod_request_cores: Cores,
    /// Latency at the objective's quantile; none without requests.
    pub latency_seconds: Option<Seconds>,
    /// Share of the tick's requests over the objective; 0 without requests.
    pub violation_ratio: f64,
    /// Work that waits at the end of the tick, as the cores that would clear it within a tick.
    pub backlog_cores: Cores,
    /// Paid so far.
    pub cost: Dollars,
    /// Pods created so far.
    pub pods_started: u64,
    /// Requests so far.
    pub requests: f64,
    /// Requests over the objective so far.
    pub requests_over_slo: f64,
}

/// Running totals.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    cost: f64,
    requests: f64,
    over: f64,
}

impl Run {
    /// A run at its beginning.
    #[must_use]
    pub fn new(scenario: &Scenario, controller: Box<dyn Controller + Send>, seed: u64) -> Self {
        Self {
            plant: Plant::new(scenario, seed),
            metrics: Metrics::default(),
            policy: scenario.policy.clone(),
            controller,
            warmup: scenario.warmup.get(),
            tally: Tally::new(scenario),
            totals: Totals::default(),
        }
    }

    /// Lets the controller look once and plays the 15 s after it; none at the end of the load.
    pub fn advance(&mut self) -> Option<Tick> {
        if self.plant.finished() {
            return None;
        }
        let scored = self.plant.now() >= self.warmup;
        let snapshot = self.metrics.snapshot(&mut self.plant, &self.policy);
        let decision = self.controller.tick(&snapshot);
        let before = self.plant.counts;
        self.plant.apply(&decision);
        let mut steps = Vec::with_capacity(STEPS_PER_TICK);
        while steps.len() < STEPS_PER_TICK && !self.plant.finished() {
            let step = self.plant.step();
            self.totals.cost += step.cost;
            self.totals.requests += step.requests;
            self.totals.over += step.over;
            if scored {
                self.tally.step(&step, self.plant.pods.len());
            }
            steps.push(step);
        }
        self.tally.decided(scored, snapshot.replicas.spec.0, decision.replicas.0);
        if scored {
            self.tally.counted(before, self.plant.counts);
        }
        let truth = self.truth(&steps);
        Some(Tick { at: snapshot.at, snapshot, decision, truth })
    }

    /// The score of what has been played after the warm-up.
    #[must_use]
    pub fn score(&self) -> Score {
        self.tally.score()
    }

    /// Instant of the end of what has been played.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        instant(self.plant.now())
    }

    fn truth(&self, steps: &[Step]) -> Truth {
        let count = steps.len().max(1) as f64;
        let mean = |value: fn(&Step) -> f64| steps.iter().map(value).sum::<f64>() / count;
        let requests: f64 = steps.iter().map(|step| step.requests).sum();
        let over: f64 = steps.iter().map(|step| step.over).sum();
        let violation_ratio = if requests > 0.0 { over / requests } else { 0.0 };
        let capacity = mean(|step| step.pod_capacity);
        let pods = &self.plant.pods;
        let backlog = steps.last().map_or(0.0, |step| step.backlog);
        Truth {
            demand_cores: Cores(mean(|step| step.demand)),
            capacity_cores: Cores(mean(|step| step.capacity)),
            replicas: Replicas(u32::try_from(pods.len()).unwrap_or(u32::MAX)),
            ready: Replicas(u32::try_from(self.plant.ready().count()).unwrap_or(u32::MAX)),
            pod_request_cores: Cores(pods.iter().map(|pod| pod.size.cpu).sum::<f64>() / pods.len().max(1) as f64),
            latency_seconds: (requests > 0.0 && capacity > 0.0).then(|| {
                let (service, utilization) = (&self.plant.service, mean(|step| step.pod_utilization));
                Seconds(self.plant.latency.at_quantile(service.quantile, violation_ratio, capacity, utilization))
            }),
            violation_ratio,
            backlog_cores: Cores(backlog / (count * STEP_SECONDS)),
            cost: Dollars(self.totals.cost),
            pods_started: self.plant.counts.starts,
            requests: self.totals.requests,
            requests_over_slo: self.totals.over,
        }
    }
}
