use super::ages::{Ages, Pace};
use crate::decide::{
    sample::{Clock, Sample},
    tests::plant::{EPOCH, snapshot},
};

/// A queue that is watched every 15 s; each tick says what waits and how many items per second were done.
fn watched(ticks: &[(f64, f64)]) -> (Ages, f64, f64) {
    let mut ages = Ages::default();
    let (mut clock, mut t) = (Clock::default(), EPOCH);
    for (waiting, done) in ticks {
        t += 15.0;
        let s = snapshot(t, 1, 0.0);
        ages.note(&Sample::read(&s, &mut clock, s.at), *waiting, *done, 300.0);
    }
    (ages, t, ticks.last().map_or(0.0, |tick| tick.0))
}

const LINE: Pace = Pace { work: 0.5, aim: 200.0, lead: 0.0, now: 0.0, least: 10.0 };

#[test]
fn a_batch_is_due_when_its_first_item_is() {
    // 1,000 items came within the last tick, none was done: 500 core-seconds in 185 s.
    let (ages, t, waiting) = watched(&[(0.0, 0.0), (0.0, 0.0), (1000.0, 0.0)]);
    let pace = ages.pace(t, waiting, &LINE);
    assert!((pace - 500.0 / 185.0).abs() < 0.2, "{pace}");
    // A minute later, untouched, it has a minute less.
    let (ages, t, waiting) =
        watched(&[(0.0, 0.0), (0.0, 0.0), (1000.0, 0.0), (1000.0, 0.0), (1000.0, 0.0), (1000.0, 0.0)]);
    let pace = ages.pace(t, waiting, &LINE);
    assert!((pace - 500.0 / 140.0).abs() < 0.3, "{pace}");
}

#[test]
fn a_queue_that_stands_asks_for_what_arrives_when_it_is_as_long_as_it_may_be() {
    // Ten items a second come and are done; 1,800 wait, so each waits for three minutes, of 200 s.
    let ticks: Vec<(f64, f64)> =
        (0..40).map(|tick| ((f64::from(tick) * 150.0).min(1800.0), if tick < 12 { 0.0 } else { 10.0 })).collect();
    let (ages, t, waiting) = watched(&ticks);
    let pace = ages.pace(t, waiting, &LINE);
    assert!((4.0..7.5).contains(&pace), "{pace}");
    // With half as many it may wait.
    let ticks: Vec<(f64, f64)> =
        ticks.iter().map(|(waiting, done)| (waiting.min(900.0), if *waiting <= 900.0 { 0.0 } else { *done })).collect();
    let (ages, t, waiting) = watched(&ticks);
    assert!(ages.pace(t, waiting, &LINE) < 4.0);
}

#[test]
fn pods_that_start_later_have_less_time_and_less_to_do() {
    let (ages, t, waiting) = watched(&[(0.0, 0.0), (0.0, 0.0), (1000.0, 0.0)]);
    let pace = ages.pace(t, waiting, &Pace { lead: 60.0, now: 2.0, ..LINE });
    assert!((pace - (500.0 - 120.0) / 125.0).abs() < 0.3, "{pace}");
    assert_eq!(ages.pace(t, waiting, &Pace { lead: 60.0, now: 20.0, ..LINE }), 0.0);
    assert_eq!(ages.pace(t, 0.0, &LINE), 0.0);
}
