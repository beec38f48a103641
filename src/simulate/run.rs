//! One run: a scenario under one controller and one seed, a tick at a time.

use jiff::Timestamp;

use super::{
    Controller, Part, QueueView, STEP_SECONDS, STEPS_PER_TICK, Scenario, Score, View,
    course::Course,
    metrics::{Metrics, instant},
    plant::{CONTAINER, Plant, Step},
    score::Tally,
};
use crate::{
    decide::{Decision, Snapshot},
    policy::Policy,
    units::{Cores, Dollars, Replicas, Seconds},
};

/// Smallest difference between two sizes of a pod: a millicore.
const LEAST_CORES: f64 = 0.001;

/// A run in progress.
pub struct Run {
    plant: Plant,
    metrics: Metrics,
    policy: Policy,
    controller: Box<dyn Controller + Send>,
    warmup: f64,
    tally: Tally,
    totals: Totals,
    last: Option<Decision>,
    wanted: Vec<f64>,
    course: Course,
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
            metrics: Metrics::new(scenario),
            last: None,
            wanted: Vec::new(),
            course: Course::new(scenario.duration.get()),
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
        let began = self.plant.now();
        let scored = began >= self.warmup;
        let snapshot = self.metrics.snapshot(&mut self.plant, &self.policy);
        let before = self.plant.counts;
        let decision = self.control(&snapshot);
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
        self.tally.decided(scored, snapshot.replicas.spec.0, self.plant.desired);
        let grew = self.grows(&snapshot, &decision);
        self.tally.held(scored, &steps, grew);
        if scored {
            self.tally.counted(before, self.plant.counts);
        }
        let truth = self.truth(&steps);
        self.course.add(began, &truth, &steps);
        Some(Tick { at: snapshot.at, snapshot, decision, truth })
    }

    /// Lets the controller look and act. While it is gone, its last decision stands.
    fn control(&mut self, snapshot: &Snapshot) -> Decision {
        let now = self.plant.now();
        if let Some(last) = self.last.as_ref().filter(|_| self.plant.faults.down(now)) {
            return last.clone();
        }
        if let Some(kept) = self.plant.faults.back(now) {
            self.controller.restart(kept);
        }
        let view = View { snapshot, now, pods: self.metrics.pods(&self.plant), queue: queue_view(&self.plant) };
        let action = self.controller.tick(&view);
        self.plant.apply(&action);
        if self.plant.may_lose_its_controller() {
            self.last = Some(action.decision.clone());
        }
        action.decision
    }

    /// Whether more is wanted than a tick before, or all that the policy allows.
    fn grows(&mut self, snapshot: &Snapshot, decision: &Decision) -> bool {
        let sizes = decision.containers.iter().filter_map(|container| {
            let boost = decision.boost.iter().flat_map(|boost| &boost.containers);
            let boosted = boost.filter(|one| one.name == container.name).map(|one| one.cpu_cores.get());
            container.requests.cpu_cores.map(|cpu| boosted.fold(cpu.get(), f64::max))
        });
        // Two sizes of a pod never differ by less than a millicore.
        let cores: Vec<f64> = sizes.collect();
        let larger = cores.len() == self.wanted.len()
            && cores.iter().zip(&self.wanted).any(|(now, before)| *now > before + LEAST_CORES / 2.0);
        let most = self.policy.containers.of(CONTAINER).cpu_max;
        let largest = most.is_none_or(|most| cores.iter().any(|cores| *cores >= most.get() - LEAST_CORES / 2.0));
        self.wanted = cores;
        let count = self.plant.desired;
        larger || count > snapshot.replicas.spec.0 || (count >= self.policy.replicas.max.0 && largest)
    }

    /// The score of what has been played after the warm-up.
    #[must_use]
    pub fn score(&self) -> Score {
        self.tally.score()
    }

    /// What was played, in twelve parts.
    #[must_use]
    pub fn course(&self) -> Vec<Part> {
        self.course.parts()
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
            pod_request_cores: Cores(
                pods.iter().map(|pod| pod.containers[0].size.cpu).sum::<f64>() / pods.len().max(1) as f64,
            ),
            latency_seconds: (requests > 0.0 && capacity > 0.0 && self.plant.queue().is_none()).then(|| {
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

/// The queue as it is read directly.
fn queue_view(plant: &Plant) -> Option<QueueView> {
    plant.queue().map(|(waiting, in_flight)| QueueView { waiting, in_flight })
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Load, TraceOptions, controller},
        *,
    };
    use crate::decide::{Reading, SignalState};

    /// Two hours of a load with ten minutes in which nothing was recorded, then half an hour of nothing at all.
    fn scenario() -> Scenario {
        let csv = "timestamp_s,rps\n0,5\n1800,\n2400,5\n4800,5\n5400,0\n7140,0\n";
        let load = Load::read("x.csv", csv.as_bytes(), None).expect("a load");
        let mut scenario = Scenario::from_trace(load, TraceOptions { warmup: Seconds(0.0), ..TraceOptions::default() });
        scenario.duration = Seconds(7200.0);
        scenario
    }

    fn ticks(name: &str, seed: u64) -> (Vec<Tick>, Score) {
        let scenario = scenario();
        let mut run = Run::new(&scenario, controller(name, &scenario).expect("there is one"), seed);
        let ticks = std::iter::from_fn(|| run.advance()).collect();
        (ticks, run.score())
    }

    #[test]
    fn totals_and_score_agree_and_a_seed_repeats() {
        for name in ["arbiter", "hpa70"] {
            let (ticks, score) = ticks(name, 1);
            assert_eq!(ticks.len(), 480);
            let last = ticks.last().expect("there are ticks").truth;
            assert!((last.cost.get() - score.cost_usd.get()).abs() < 1e-9);
            assert_eq!(Some(last.requests_over_slo / last.requests), score.violation_ratio);
            assert_eq!(score, self::ticks(name, 1).1);
            assert_ne!(score, self::ticks(name, 2).1);
            // The HPA resizes nothing; what arbiter does to a pod in two hours is partly taking CPU away.
            let (resizes, trims) = (score.resizes_per_pod_day, score.trims_per_pod_day);
            assert!(trims <= resizes && (name == "hpa70") == (resizes == 0.0), "{name}: {trims} of {resizes}");
            assert!(score.longest_saturated_hold_s.is_some());
        }
    }

    #[test]
    fn what_is_seen_is_late_and_gaps_age_before_they_vanish() {
        let (ticks, _) = ticks("hpa70", 1);
        let requests = |second: usize| -> &Reading { &ticks[second / 15].snapshot.signals["requests"] };
        assert_eq!(ticks[0].snapshot.containers[0].cpu_cores, None);
        assert_eq!(requests(1200).age_seconds, Some(Seconds(15.0)));
        assert_eq!(requests(1905).age_seconds, Some(Seconds(90.0)));
        assert_eq!(requests(1905).value, requests(1830).value);
        assert_eq!((requests(2300).value, requests(2300).state), (None, Some(SignalState::Absent)));
        assert_eq!(requests(2700).age_seconds, Some(Seconds(15.0)));
        let quiet = &ticks[6600 / 15].snapshot;
        assert_eq!(quiet.signals["requests"].value, Some(0.0));
        assert_eq!(quiet.signals["latency"].state, Some(SignalState::Idle));
        // Usage goes on while the request signal is missing, and nothing was lost of the load.
        assert!(ticks[2100 / 15].snapshot.containers[0].cpu_cores.is_some());
        assert!(ticks[2100 / 15].truth.demand_cores.get() > 4.0);
    }

    #[test]
    fn metrics_are_lost_wrong_or_missing_as_the_world_says_and_a_controller_can_be_gone() {
        use super::super::{Event, Kept, Metric, Pipeline, What, World};
        let mut scenario = scenario();
        let lasts = Seconds(120.0);
        let event = |at, what| Event { at: Seconds(at), what };
        let events = vec![
            event(3000.0, What::MetricOutage { lasts }),
            event(3600.0, What::WrongMetric { lasts, factor: 0.0, of: Metric::All }),
            event(4200.0, What::ControllerRestart { lasts, kept: Kept::Nothing }),
        ];
        let pipeline = Pipeline { scrape: Seconds(30.0), missing_pods: 0.3 };
        scenario.world = World { events, pipeline, ..World::default() };
        let mut run = Run::new(&scenario, controller("hpa70", &scenario).expect("there is one"), 1);
        let ticks: Vec<Tick> = std::iter::from_fn(|| run.advance()).collect();
        let at = |second: usize| &ticks[second / 15].snapshot;
        let cpu = |second: usize| at(second).containers[0].cpu_cores;
        assert_eq!((cpu(3060), at(3060).signals["requests"].state), (None, Some(SignalState::Absent)));
        assert!(cpu(3180).is_some_and(|cpu| cpu.get() > 1.0));
        assert_eq!((cpu(3660), at(3660).signals["requests"].value), (Some(Cores(0.0)), Some(0.0)));
        // Half of the ticks come 15 s after a scrape, and three pods in ten are not in it.
        assert_eq!(
            (at(2700).usage_age_seconds, at(2715).usage_age_seconds),
            (Some(Seconds(15.0)), Some(Seconds(30.0)))
        );
        let reporting = |tick: &Tick| tick.snapshot.containers[0].reporting_pods.map_or(0, |pods| pods.0);
        assert!(ticks.iter().any(|tick| reporting(tick) > 0 && reporting(tick) < tick.snapshot.replicas.ready.0));
        // While it is gone, what it decided last stands.
        let decided = |second: usize| ticks[second / 15].decision.at;
        assert_eq!((decided(4215), decided(4305)), (decided(4200), decided(4200)));
        assert_eq!(decided(4320), at(4320).at);
    }
}
