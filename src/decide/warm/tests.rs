//! Histories, honest and not.

use proptest::prelude::*;

use super::{
    super::tests::plant::{EPOCH, latency_policy, policy, snapshot},
    *,
};

const ROWS: u32 = 3 * 288;

/// Three days of 4 pods that cost 0.02 idle, 0.01 core-seconds per request, 20 to 220 requests per second.
fn honest() -> History {
    let row = |i: u32| {
        let demand = 20.0 + 200.0 * f64::from((i % 288).min(288 - i % 288)) / 144.0;
        HistoryRow {
            at: EPOCH + HISTORY_STEP * f64::from(i),
            replicas: Some(4.0),
            usage: Some(0.08 + 0.01 * demand),
            demand: Some(demand),
            latency: Some(0.05),
            backlog: None,
            request_cores: Some(1.0),
            request_bytes: Some(512e6),
            start: Some(70.0),
            memory: BTreeMap::from([("app".to_owned(), 300e6 + 1e6 * demand), ("mesh".to_owned(), 40e6)]),
        }
    };
    History { rows: (0..ROWS).map(row).collect() }
}

fn now() -> Timestamp {
    sample::timestamp(EPOCH + HISTORY_STEP * f64::from(ROWS))
}

/// The warm Memory after a change of every row.
fn after(change: impl Fn(usize, &mut HistoryRow)) -> Memory {
    let mut history = honest();
    history.rows.iter_mut().enumerate().for_each(|(i, row)| change(i, row));
    warm_start(&history, &latency_policy(), now())
}

#[test]
fn a_history_teaches_what_watching_would_have() {
    let warm = after(|_, _| {});
    let work = warm.demand.work().unwrap();
    assert!((work / 0.01 - 1.0).abs() < 0.03, "{work}");
    let usage = warm.demand.expects(4.0, 100.0).unwrap();
    assert!((usage / 1.08 - 1.0).abs() < 0.02, "{usage}");
    assert!((1.5..2.3).contains(&warm.demand.demand_peak), "{}", warm.demand.demand_peak);
    let peak = |name: &str| warm.peaks[name].peak().0;
    assert_eq!((peak("app"), peak("mesh"), warm.peaks.len()), (520_000_000, 40_000_000, 2));
    let mut memory = warm.clone();
    let mut first = snapshot(EPOCH + HISTORY_STEP * f64::from(ROWS), 4, 1.08);
    let sample = sample::Sample::read(&first, &mut memory.clock, first.at);
    assert!((50.0..=70.0).contains(&sample.start_p90), "{}", sample.start_p90);
    assert!(sample.uptime > 2.9 * 86_400.0 && sample.hold(120.0) == 120.0);
    // Nothing leaves because of decisions that were never acted on.
    first.signals.insert("requests".to_owned(), super::super::tests::plant::reading(100.0));
    first.signals.insert("latency".to_owned(), super::super::tests::plant::reading(0.05));
    let decision = decide(&first, &latency_policy(), &mut warm.clone(), first.at);
    assert_eq!(decision.replicas.0, 4, "{}", decision.message);
}

#[test]
fn a_history_without_signals_still_teaches_memory_and_peaks() {
    let warm = {
        let mut history = honest();
        history.rows.iter_mut().for_each(|row| (row.demand, row.latency) = (None, None));
        warm_start(&history, &policy(), now())
    };
    assert_eq!(warm.demand.work(), None);
    assert!(warm.demand.demand_peak > 1.5 && warm.peaks["app"].peak().0 == 520_000_000);
}

#[test]
fn gaps_and_lies_are_survived() {
    let truth = after(|_, _| {}).demand.work().unwrap();
    let same = |why: &str, memory: Memory| {
        let work = memory.demand.work().unwrap_or_else(|| panic!("{why}: nothing learned"));
        assert!((work / truth - 1.0).abs() < 0.1, "{why}: {work} against {truth}");
        let peak = memory.demand.demand_peak;
        assert!((1.0..3.0).contains(&peak), "{why}: {peak}");
        let peak = memory.peaks["app"].peak().0;
        assert!((510_000_000..=520_000_000).contains(&peak), "{why}: {peak}");
    };
    same(
        "every other row is missing",
        after(|i, row| {
            if i % 2 == 0 {
                row.at = f64::NAN;
            }
        }),
    );
    same(
        "half a day without usage",
        after(|i, row| {
            if i % 288 > 140 {
                row.usage = None;
            }
        }),
    );
    same(
        "an hour of zero usage a day",
        after(|i, row| {
            if i % 288 < 12 {
                row.usage = Some(0.0);
            }
        }),
    );
    same(
        "an hour of zero requests at the peak",
        after(|i, row| {
            if (140..152).contains(&(i % 288)) {
                row.demand = Some(0.0);
            }
        }),
    );
    same(
        "negative numbers",
        after(|i, row| {
            if i % 10 == 0 {
                (row.usage, row.demand) = (Some(-5.0), Some(-1.0));
            }
        }),
    );
    same(
        "spikes",
        after(|i, row| {
            if i % 200 == 7 {
                (row.usage, row.demand) = (Some(4000.0), Some(1e9));
                row.memory.insert("app".to_owned(), 1e12);
            }
        }),
    );
    same("rows in the future", {
        let mut history = honest();
        history.rows.extend(honest().rows.into_iter().map(|row| HistoryRow {
            at: row.at + 1e7,
            usage: Some(3.9),
            ..row
        }));
        warm_start(&history, &latency_policy(), now())
    });
}

#[test]
fn what_teaches_nothing_gives_a_cold_start() {
    assert!(warm_start(&History::default(), &latency_policy(), now()).is_new());
    let short = History { rows: honest().rows.split_off(ROWS as usize - 20) };
    assert!(warm_start(&short, &latency_policy(), now()).is_new(), "less than two hours");
    assert!(after(|_, row| row.usage = Some(f64::NAN)).is_new());
    assert!(after(|_, row| row.replicas = None).is_new());
    assert!(after(|_, row| row.at -= 1e8).is_new(), "three years old");
    // Usage that has nothing to do with the signal.
    let unrelated = after(|i, row| row.usage = Some(if i % 2 == 0 { 3.5 } else { 0.4 }));
    assert!(unrelated.is_new());
    let mut memory = Memory::new();
    memory.learn_from(Memory::new());
    assert!(memory.is_new(), "a cold one teaches nothing");
}

#[test]
fn what_was_seen_meanwhile_is_kept() {
    let policy = latency_policy();
    let mut live = Memory::new();
    let start = EPOCH + HISTORY_STEP * f64::from(ROWS);
    for tick in 0..4 {
        let mut snapshot = snapshot(start + 15.0 * f64::from(tick), 6, 1.2);
        snapshot.containers[0].memory_max_pod_bytes = Some(Bytes(900 << 20));
        drop(decide(&snapshot, &policy, &mut live, snapshot.at));
    }
    let (clock, counters) = (live.clock.clone(), live.counters.clone());
    live.learn_from(after(|_, _| {}));
    assert_eq!(live.counters, counters);
    assert_eq!(live.peaks["app"].peak(), Bytes(900 << 20));
    assert!(live.demand.work().is_some() && live.clock != clock);
}

fn any_number() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        4 => (0.0..50.0_f64).prop_map(Some),
        1 => Just(None),
        1 => proptest::sample::select(vec![0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, f64::MAX, 1e-300]).prop_map(Some),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_history_makes_a_memory_that_shrinks_or_panics(
        rows in proptest::collection::vec((proptest::array::uniform9(any_number().boxed()), -1000.0..1000.0_f64), 0..80),
        rate in 0.0..400.0_f64,
    ) {
        let mut at = EPOCH;
        let rows = rows.into_iter().map(|(n, step)| {
            at += 300.0 + step;
            let memory = n[8].map(|bytes| ("app".to_owned(), bytes)).into_iter().collect();
            HistoryRow {
                at, replicas: n[0], usage: n[1], demand: n[2], latency: n[3], backlog: n[4], request_cores: n[5], request_bytes: n[6],
                start: n[7], memory,
            }
        });
        let history = History { rows: rows.collect() };
        let now = sample::timestamp(at);
        let mut memory = warm_start(&history, &latency_policy(), now);
        prop_assert!(memory.to_text().unwrap().len() <= 20 << 10);
        prop_assert_eq!(Memory::from_text(memory.to_text().unwrap().as_bytes()).unwrap(), memory.clone());
        for tick in 0..20 {
            let mut snapshot = snapshot(at + 15.0 * f64::from(tick), 6, 0.1 + 0.01 * rate);
            snapshot.signals.insert("requests".to_owned(), super::super::tests::plant::reading(rate));
            snapshot.signals.insert("latency".to_owned(), super::super::tests::plant::reading(0.05));
            let decision = decide(&snapshot, &latency_policy(), &mut memory, snapshot.at);
            prop_assert!(decision.replicas.0 >= 6, "{}", decision.message);
        }
    }
}
