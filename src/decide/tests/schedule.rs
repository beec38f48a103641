//! Schedules in a loop: a floor from its start to its end, and the usual hold after it.

use super::plant::{Plant, policy};
use crate::{
    decide::{Decision, Reason},
    policy::{Policy, Schedule},
    units::Seconds,
};

/// Tests begin at 10:00 UTC on Tuesday 3 February 2026.
fn at_eleven(min: u32) -> Policy {
    let schedule = serde_json::json!({
        "cron": "0 12 * * 1-5", "timeZone": "Europe/Paris", "duration": 3600.0, "minReplicas": min,
    });
    let schedule: Schedule = serde_json::from_value(schedule).expect("a schedule");
    Policy { schedules: vec![schedule], ..policy() }
}

pub(super) fn held_by_the_calendar() -> Decision {
    let mut plant = Plant::new(at_eleven(12), 300.0, 5);
    plant.run(5400.0);
    let decision = plant.step();
    assert_eq!(decision.reason, Reason::ScheduledMinimum);
    decision
}

#[test]
fn a_floor_holds_from_its_start_to_its_end_and_leaves_by_the_usual_hold() {
    let mut plant = Plant::new(at_eleven(12), 300.0, 5);
    plant.run(3600.0);
    let before = plant.replicas();
    assert!(before < 8, "not a second before: {before}");
    let started = plant.step();
    assert_eq!((started.replicas.0, started.reason), (12, Reason::ScheduledMinimum), "{}", started.message);
    let counts = plant.run(3570.0);
    assert!(counts.iter().all(|n| *n == 12), "{counts:?}");
    let active = &plant.last.as_ref().expect("a decision").explain.schedules;
    assert_eq!((active[0].active, active[0].end.to_string().as_str()), (true, "2026-02-03T12:00:00Z"));
    assert_eq!((active[1].active, active[1].start.to_string().as_str()), (false, "2026-02-04T11:00:00Z"));
    let hold = plant.run(570.0);
    assert!(hold.iter().all(|n| *n == 12), "held as anything that was needed: {hold:?}");
    plant.run(120.0);
    assert_eq!(plant.replicas(), before);
}

#[test]
fn the_highest_of_several_counts_and_demand_may_ask_for_more() {
    let mut policy = at_eleven(6);
    policy.schedules.extend(at_eleven(9).schedules);
    let mut plant = Plant::new(policy, 300.0, 5);
    plant.run(3660.0);
    assert_eq!(plant.replicas(), 9);
    plant.rate = 1200.0;
    plant.run(600.0);
    let decision = plant.step();
    assert!(decision.replicas.0 > 15 && decision.reason != Reason::ScheduledMinimum, "{}", decision.message);
}

#[test]
fn nothing_limits_a_floor_but_the_most_replicas() {
    let mut policy = at_eleven(30);
    policy.replicas.max = crate::units::Replicas(20);
    policy.behavior.scale_up = Some(crate::policy::DirectionRules {
        rates: vec![crate::policy::RateLimit::Pods { value: 1, period: Seconds(60.0) }],
        ..Default::default()
    });
    let mut plant = Plant::new(policy, 300.0, 5);
    plant.run(3600.0);
    plant.step();
    assert_eq!(plant.replicas(), 20);
}
