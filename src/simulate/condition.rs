//! Conditions: the same scenario in a harder world, to see what a controller that does well on a bare load is worth there.
//!
//! Each changes one thing and leaves load, seed and policy as they are, unless the thing is one of them.

use super::{Event, Metric, Neighbours, NodePool, Scenario, What};
use crate::units::{Bytes, Cores, Seconds};

/// What a scenario is played under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Others on the nodes take what trimming frees. New pods always find room elsewhere.
    Neighbours,
    /// No room anywhere: what becomes free is taken within minutes, and a pod that finds none waits 90 s for a node.
    FullCluster,
    /// Pods need 75 s to start, in the middle of cases.
    SlowStart,
    /// Six times nothing can be measured for ten minutes.
    Gaps,
    /// Six times all metrics are zero for ten minutes.
    Zeros,
    /// A pod uses 0.15 cores without any request.
    IdleCost,
    /// A request takes 50 ms of CPU, and may take as much longer.
    Heavy,
    /// At 36 h a request costs 1.6 times as much, from 54 h on half as much as in the beginning; the image is the same.
    CostChange,
    /// The load stays at each sample until the next one.
    HeldSteps,
    /// Nodes refuse every raise of a running pod's size.
    Refused,
    /// The CPU of pods is not the controller's to choose.
    Unmanaged,
}

/// Faults that come again and again.
const FAULTS: u32 = 6;
const FAULT: Seconds = Seconds(600.0);
/// Nodes that a cluster usually has: large enough for the largest pod, small enough that no workload has one alone.
const NODE_CPU: f64 = 8.0;
const NODE_MEMORY: Bytes = Bytes(32 * Bytes::GIB);
/// No workload needs as many.
const MOST_NODES: u32 = 1000;

impl Condition {
    /// All of them, with their names.
    pub const ALL: [(&'static str, Self); 11] = [
        ("neighbours", Self::Neighbours),
        ("full-cluster", Self::FullCluster),
        ("slow-start", Self::SlowStart),
        ("gaps", Self::Gaps),
        ("zeros", Self::Zeros),
        ("idle-cost", Self::IdleCost),
        ("heavy", Self::Heavy),
        ("cost-change", Self::CostChange),
        ("held-steps", Self::HeldSteps),
        ("refused", Self::Refused),
        ("unmanaged", Self::Unmanaged),
    ];

    /// A condition by its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, condition)| *condition)
    }

    /// The scenario under this condition.
    #[must_use]
    pub fn apply(self, mut scenario: Scenario) -> Scenario {
        match self {
            Self::Neighbours => {
                let pool = pool(&scenario, Seconds(0.0), Neighbours::default());
                scenario.world.nodes = vec![pool];
            }
            Self::FullCluster => {
                // One a minute, and all of the node: half a core that becomes free is gone in a minute.
                let hungry = Neighbours { per_hour: 60.0, share: 1.0, ..Neighbours::default() };
                scenario.world.nodes = vec![pool(&scenario, Seconds(90.0), hungry)];
            }
            Self::SlowStart => scenario.service.start_median = Seconds(75.0),
            Self::Gaps => again(&mut scenario, What::MetricOutage { lasts: FAULT }),
            Self::Zeros => {
                again(&mut scenario, What::WrongMetric { lasts: FAULT, factor: 0.0, of: Metric::All });
            }
            Self::IdleCost => scenario.service.idle = Cores(0.15),
            Self::Heavy => heavy(&mut scenario),
            Self::CostChange => {
                let change = |hours: f64, work_factor| Event {
                    at: Seconds(hours * 3600.0),
                    what: What::CostChange { work_factor },
                };
                happen(&mut scenario, [change(36.0, 1.6), change(54.0, 0.5)]);
            }
            Self::HeldSteps => scenario.load.held = true,
            Self::Refused => scenario.world.refuses_raises = true,
            Self::Unmanaged => scenario.policy.levers.cpu = false,
        }
        scenario
    }
}

/// Nodes that others share, twice as many as the load's peak would fill.
fn pool(scenario: &Scenario, provisioning: Seconds, neighbours: Neighbours) -> NodePool {
    let count = u32::try_from(super::whole(2.0 * scenario.peak_cores.get() / NODE_CPU)).unwrap_or(MOST_NODES) + 2;
    NodePool {
        cpu: Cores(NODE_CPU),
        memory: NODE_MEMORY,
        count,
        max: MOST_NODES.max(count),
        provisioning,
        neighbours: Some(neighbours),
    }
}

/// Work of a request, with the objective as much later: the same share of it at the same utilization.
fn heavy(scenario: &mut Scenario) {
    const WORK: Seconds = Seconds(0.050);
    let factor = WORK / scenario.service.work;
    scenario.service.work = WORK;
    scenario.service.objective = scenario.service.objective * factor;
    if let Some(latency) = &mut scenario.policy.objective.latency {
        latency.target = scenario.service.objective;
    }
}

/// Something happens again and again, spread evenly over what is scored.
fn again(scenario: &mut Scenario, what: What) {
    let (first, scored) = (scenario.warmup.get(), scenario.duration.get() - scenario.warmup.get());
    let at = |index: u32| Seconds(first + scored * (f64::from(index) + 0.5) / f64::from(FAULTS));
    happen(scenario, (0..FAULTS).map(|index| Event { at: at(index), what }));
}

fn happen(scenario: &mut Scenario, events: impl IntoIterator<Item = Event>) {
    scenario.world.events.extend(events);
    scenario.world.events.sort_by(|a, b| a.at.get().total_cmp(&b.at.get()));
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Load, Run, TraceOptions, controller},
        *,
    };

    fn scenario() -> Scenario {
        let csv = "timestamp_s,rps\n0,10\n3600,40\n7200,10\n";
        let load = Load::read("x.csv", csv.as_bytes(), None).expect("a load");
        let options = TraceOptions { peak_cores: Cores(4.0), warmup: Seconds(1800.0), ..TraceOptions::default() };
        let mut scenario = Scenario::from_trace(load, options);
        scenario.duration = Seconds(9000.0);
        scenario
    }

    #[test]
    fn every_condition_is_named_and_is_felt() {
        let j = |scenario: &Scenario| {
            let mut run = Run::new(scenario, controller("arbiter", scenario).expect("there is one"), 1);
            while run.advance().is_some() {}
            run.score().j.get()
        };
        let bare = j(&scenario());
        for (name, condition) in Condition::ALL {
            assert_eq!(Condition::named(name), Some(condition));
            let felt = j(&condition.apply(scenario())) != bare;
            // Two hours see nothing of what happens at 36 h.
            assert_eq!(felt, condition != Condition::CostChange, "{name}");
        }
        assert_eq!(Condition::named("sunshine"), None);
    }

    #[test]
    fn faults_keep_to_what_is_scored_and_stand_in_the_order_of_time() {
        let mut scenario = Condition::CostChange.apply(scenario());
        scenario.duration = Seconds(3.0 * 86_400.0);
        let scenario = Condition::Gaps.apply(scenario);
        let events = &scenario.world.events;
        assert_eq!(events.len(), 8);
        assert!(events.windows(2).all(|pair| pair[0].at <= pair[1].at));
        assert!(events.iter().all(|event| event.at > scenario.warmup && event.at < scenario.duration));
    }

    #[test]
    fn the_objective_of_heavy_requests_is_as_much_later() {
        let heavy = Condition::Heavy.apply(scenario());
        assert_eq!((heavy.service.work, heavy.service.objective), (Seconds(0.05), Seconds(1.0)));
        assert_eq!(heavy.policy.objective.latency.map(|latency| latency.target), Some(Seconds(1.0)));
    }
}
