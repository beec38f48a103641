use super::{
    super::{
        SignalState, decide,
        tests::plant::{EPOCH, Plant, latency_policy, policy, snapshot},
    },
    *,
};
use crate::{
    decide::{Decision, Memory, Reason},
    policy::Role,
};

fn text(length: usize, of: &str) -> String {
    of.chars().cycle().take(length).collect()
}

/// A record with everything, as large as it may come: long names, and characters that JSON writes as six bytes.
fn largest(of: &str, number: f64) -> Explain {
    let row = |n: u32, ruled_out| Alternative {
        replicas: Replicas(n),
        pod_cores: Cores(number),
        chosen: n == 9,
        carries_cores: Cores(number),
        missing_cores: Cores(number),
        pods_per_hour: DollarsPerHour(number),
        shortage_per_hour: DollarsPerHour(number),
        switch_per_hour: DollarsPerHour(number),
        ruled_out,
    };
    let hold = |n| Hold { replica: Replicas(n), idle_seconds: Seconds(number), seconds_left: Seconds(number) };
    let signal = |i: usize| SignalVerdict {
        name: text(63, &format!("signal-{i}-")),
        role: Role::Saturation,
        value: Some(number),
        age_seconds: Some(Seconds(number)),
        state: SignalState::Partial,
        note: Some(text(160, of)),
    };
    Explain {
        binding: Some(Binding { constraint: Constraint::SignalsStale, seconds_left: Some(Seconds(number)) }),
        demand_cores: Some(Cores(number)),
        usage_cores: Some(Cores(number)),
        alternatives: vec![
            row(8, Some(Constraint::SignalsStale)),
            row(9, None),
            row(10, Some(Constraint::MaxReplicas)),
            row(12, Some(Constraint::NotManaged)),
            row(7, Some(Constraint::Inadmissible)),
        ],
        hold: Some(hold(9)),
        then_leave: vec![hold(8), hold(7), hold(6)],
        signals: (0..16).map(signal).collect(),
        held_back_by: (0..6).map(|_| cut(text(400, of))).collect(),
        limited: Some(cut(text(400, of))),
        unreachable: Some(cut(text(400, of))),
        ..Explain::default()
    }
}

#[test]
fn whatever_is_in_it_the_record_is_small() {
    for of in ["a", "\u{1}", "\"", "é", "𝕏"] {
        for number in [0.0, 1.2345, 123_456.789_1, f64::MAX, -1e-300] {
            let mut explain = largest(of, number);
            assert!(size_of(&explain) > LARGEST_RECORD && size_of(&explain) <= at_most(&explain));
            trim_to_size(&mut explain);
            assert!(size_of(&explain) <= LARGEST_RECORD, "{} bytes: {explain:?}", size_of(&explain));
            assert!(size_of(&explain) <= at_most(&explain), "an upper bound of what is left, too");
            assert!(explain.binding.is_some() && explain.limited.is_some() && explain.hold.is_some());
        }
    }
}

#[test]
fn what_matters_least_goes_first() {
    let mut explain = largest("a", 1.5);
    let whole = explain.clone();
    trim_to_size(&mut explain);
    assert!(explain.signals.iter().all(|s| s.note.is_none()), "notes");
    assert!(explain.then_leave.is_empty(), "later replicas");
    assert_eq!(explain.alternatives[..], whole.alternatives[..3], "other sizes, the neighbours stay");
    assert_eq!(explain.held_back_by, whole.held_back_by[..2]);
    assert!((2..16).contains(&explain.signals.len()));
    let mut small = Explain { signals: whole.signals[..2].to_vec(), ..Explain::default() };
    let before = small.clone();
    trim_to_size(&mut small);
    assert_eq!(small, before, "what fits stays whole");
}

#[test]
fn texts_are_cut_between_characters() {
    assert_eq!(cut("short".to_owned()), "short");
    for of in ["a", "é", "𝕏", "\u{1}", "\""] {
        let cut = cut(text(400, of));
        assert!(cut.ends_with('…') && cut.chars().count() <= LONGEST_TEXT, "{cut}");
        assert!(serde_json::to_string(&cut).expect("a text").len() <= LONGEST_JSON + 5);
    }
}

/// The row of so many replicas of the present size.
fn row(decision: &Decision, n: u32) -> &Alternative {
    let rows = &decision.explain.alternatives;
    let chosen = rows.iter().find(|a| a.chosen).expect("one is chosen");
    let same = |a: &&Alternative| a.replicas == Replicas(n) && a.pod_cores == chosen.pod_cores;
    rows.iter().find(same).unwrap_or_else(|| panic!("{n}: {rows:?}"))
}

#[test]
fn one_fewer_lacks_capacity_and_one_more_costs_its_start() {
    let s = snapshot(EPOCH, 4, 3.3);
    let decision = decide(&s, &policy(), &mut Memory::new(), s.at);
    let n = decision.replicas.0;
    let (fewer, chosen, more) = (row(&decision, n - 1), row(&decision, n), row(&decision, n + 1));
    assert!(fewer.missing_cores.0 > 0.0 && fewer.shortage_per_hour > chosen.pods_per_hour, "{fewer:?}");
    assert_eq!((fewer.ruled_out, chosen.ruled_out, more.ruled_out), (None, None, None), "prices say it");
    assert_eq!((chosen.missing_cores.0, more.missing_cores.0), (0.0, 0.0));
    assert!(more.switch_per_hour > chosen.switch_per_hour, "a pod costs until it serves");
    assert!(chosen.total_per_hour() < fewer.total_per_hour() && chosen.total_per_hour() < more.total_per_hour());
    let [smaller, larger] = &decision.explain.alternatives[3..] else { panic!("two sizes: {decision:?}") };
    assert!((0.7..0.71).contains(&smaller.pod_cores.0) && (1.41..1.42).contains(&larger.pod_cores.0));
    let not_managed = Some(Constraint::NotManaged);
    assert_eq!([smaller.ruled_out, larger.ruled_out], [not_managed; 2], "utilization does not tell sizes apart");
    assert_eq!(decision.explain.usage_cores, Some(Cores(3.3)));
}

#[test]
fn an_idle_replica_says_when_it_leaves_and_those_after_it_too() {
    let mut plant = Plant::new(policy(), 700.0, 12);
    plant.run(1800.0);
    plant.rate = 200.0;
    plant.run(300.0);
    let decision = plant.step();
    assert_eq!(decision.reason, Reason::HoldingForDemand, "{}", decision.message);
    let (n, explain) = (decision.replicas.0, &decision.explain);
    let hold = explain.hold.as_ref().expect("one waits");
    assert_eq!(explain.binding, Some(Binding { constraint: Constraint::Hold, seconds_left: Some(hold.seconds_left) }));
    assert_eq!(hold.replica, Replicas(n));
    let then: Vec<_> = explain.then_leave.iter().map(|h| h.replica.0).collect();
    assert_eq!(then, [n - 1, n - 2, n - 3]);
    assert!(explain.then_leave.iter().all(|h| h.seconds_left >= hold.seconds_left), "the last one leaves first");
    let fewer = row(&decision, n - 1);
    assert_eq!(fewer.ruled_out, Some(Constraint::Hold));
    // What is still to be paid is the rest of its hold at the price of a pod.
    let pod = row(&decision, n).pods_per_hour.0 / f64::from(n);
    assert!((fewer.switch_per_hour.0 - pod * hold.seconds_left.0 / 3600.0).abs() < 1e-3, "{fewer:?}");
}

#[test]
fn a_bound_rules_out_and_a_leading_size_is_shown_with_what_it_has_yet_to_earn() {
    let mut narrow = latency_policy();
    narrow.containers.default.cpu_max = Some(Cores(1.0));
    narrow.replicas.max = Replicas(12);
    let decision = Plant::new(narrow, 700.0, 8).step();
    let rows = &decision.explain.alternatives;
    let larger = rows.iter().find(|a| a.pod_cores.0 > 1.2).expect("a larger size is weighed");
    assert_eq!(larger.ruled_out, Some(Constraint::Bounds), "{rows:?}");

    let mut plant = Plant::new(latency_policy(), 900.0, 12);
    let mut seen = 0;
    while plant.t < 3000.0 {
        let decision = plant.step();
        let Some(size) = decision.explain.size.clone().filter(|_| decision.boost.is_none()) else { continue };
        let Some(row) = decision.explain.alternatives[3..].iter().find(|a| a.pod_cores == size.pod_cores) else {
            continue;
        };
        let left = (size.threshold_dollars - size.regret_dollars).max(0.0);
        assert!(row.switch_per_hour.0 >= left - 1e-3, "{size:?} {row:?}");
        seen += 1;
    }
    assert!(seen > 20, "{seen}");
}

/// The stream's contract only ever grows: what was written by the last blessed version is read.
#[test]
fn a_stream_that_was_written_before_is_read() {
    let lines = include_str!("../../../simulations/golden/stream.decisions.jsonl");
    let read = |line: &str| serde_json::from_str::<Decision>(line).expect("a decision");
    let decisions: Vec<_> = lines.lines().filter(|line| !line.starts_with("{\"error\"")).map(read).collect();
    assert!(decisions.iter().any(|d| !d.explain.alternatives.is_empty()), "{}", decisions.len());
}
