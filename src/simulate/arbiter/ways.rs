//! The three ways in.

use super::{
    super::{Load, Run, Scenario, SimulateError, TraceOptions, controller},
    *,
};
use crate::units::Seconds;

fn scenario() -> Scenario {
    let csv = "timestamp_s,rps\n0,10\n3600,20\n7140,10\n";
    let load = Load::read("x.csv", csv.as_bytes(), None).expect("a load");
    let mut scenario = Scenario::from_trace(load, TraceOptions { warmup: Seconds(0.0), ..TraceOptions::default() });
    scenario.duration = Seconds(7200.0);
    scenario
}

#[test]
fn a_way_in_keeps_only_what_it_knows() {
    let policy = scenario().policy;
    let names = |way: WayIn| {
        let policy = way.policy(policy.clone());
        let names: Vec<String> = policy.signals.iter().map(|signal| signal.name.clone()).collect();
        (names, policy.objective.latency.is_some(), policy.objective.utilization_given)
    };
    assert_eq!(names(WayIn::All), (vec!["requests".to_owned(), "latency".to_owned()], true, false));
    assert_eq!(names(WayIn::Rate), (vec!["requests".to_owned()], false, false));
    assert_eq!(names(WayIn::Cpu), (vec![], false, true));
}

#[test]
fn a_utilization_that_was_written_stays() {
    let mut policy = scenario().policy;
    (policy.objective.utilization, policy.objective.utilization_given) = (0.5, true);
    assert_eq!(WayIn::Cpu.policy(policy).objective.utilization, 0.5);
}

#[test]
fn no_decision_rests_on_a_signal_that_is_missing() {
    for (name, signals) in [("arbiter", 2), ("arbiter-rate", 1), ("arbiter-cpu", 0)] {
        let scenario = scenario();
        let mut run = Run::new(&scenario, controller(name, &scenario).expect("there is one"), 1);
        while let Some(tick) = run.advance() {
            assert_eq!(tick.decision.explain.signals.len(), signals, "{name}: {:?}", tick.decision.explain);
        }
        assert!(run.score().mean_replicas > 2.0, "{name}");
    }
}

#[test]
fn demand_that_nothing_measures_is_an_error() {
    let mut scenario = scenario();
    scenario.policy.signals.retain(|signal| signal.role != Role::Demand);
    assert!(matches!(controller("arbiter-rate", &scenario), Err(SimulateError::Demand { .. })));
    assert!(controller("arbiter-cpu", &scenario).is_ok());
}
