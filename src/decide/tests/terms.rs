//! Single terms, with numbers that can be checked by hand.

use super::{
    super::{capacity::allowed_by_latency, limits::Events},
    plant::{EPOCH, Plant, latency_policy, policy, reading, signal, snapshot},
};
use crate::{
    decide::{Decision, Memory, Quota, Reason, ResizeState, Resources, SizeGroup, Snapshot, decide},
    policy::{
        DirectionRules, Levers, Limits, Policy, RateLimit, Role,
        SelectPolicy::{Disabled, Max, Min},
    },
    units::{Bytes, Cores, Replicas, Seconds},
};

fn once(snapshot: &Snapshot, policy: &Policy) -> Decision {
    decide(snapshot, policy, &mut Memory::new(), snapshot.at)
}

#[test]
fn allowed_utilization_grows_with_the_size_of_the_pod() {
    // Target over service time 20, 1 %: the values of the model's document.
    for (size, want) in [(0.25, 0.0), (0.5, 0.40), (1.0, 0.70), (2.0, 0.85), (4.0, 0.92)] {
        let rho = allowed_by_latency(size, 20.0, 0.01);
        assert!((rho - want).abs() < 0.015, "{size}: {rho}");
    }
    // An objective that even an idle pod misses is planned for as well as can be, not without bound.
    assert!(allowed_by_latency(1.0, 5.0, 0.01) < 0.5);
    assert!(allowed_by_latency(4.0, 5.0, 0.01) > 0.3);
}

#[test]
fn utilization_alone_tracks_the_autoscaler_it_replaces() {
    // ceil(U / (0.7 r)), planned half a tolerance over.
    for (usage, want) in [(2.0, 3), (3.5, 5), (7.0, 10), (14.0, 20), (0.3, 1)] {
        let n = once(&snapshot(EPOCH, 1, usage), &policy()).replicas.0;
        let hpa = (usage / 0.7_f64).ceil();
        assert_eq!(n, want, "usage {usage}");
        assert!((f64::from(n) - hpa).abs() <= 1.0);
    }
}

#[test]
fn partial_sums_are_scaled_for_growth_only() {
    let mut half = snapshot(EPOCH, 10, 4.0);
    half.containers[0].reporting_pods = Some(Replicas(5));
    assert_eq!(once(&half, &policy()).replicas, Replicas(11), "8 cores of work, not 4");
    let mut few = snapshot(EPOCH, 10, 0.5);
    few.containers[0].reporting_pods = Some(Replicas(5));
    assert_eq!(once(&few, &policy()).replicas, Replicas(10));
}

#[test]
fn new_pods_that_do_not_report_yet_are_not_missing() {
    let mut memory = Memory::new();
    for tick in 0..20 {
        let n = if tick < 10 { 5 } else { 10 };
        let mut s = snapshot(EPOCH + 15.0 * f64::from(tick), n, 3.4);
        s.containers[0].reporting_pods = Some(Replicas(if tick < 13 { 5 } else { 10 }));
        let decided = decide(&s, &policy(), &mut memory, s.at).replicas.0;
        assert!(decided <= 10, "tick {tick}: {decided}");
    }
}

/// (events as (seconds ago, change), current, wanted, rules, allowed).
type Case<'a> = (&'a [(f64, i64)], u32, u32, DirectionRules, u32);

/// Rate limits as HPA counts them.
#[test]
fn behavior_counts_as_the_autoscaler_does() {
    let pods = |value, period| RateLimit::Pods { value, period: Seconds(period) };
    let percent = |value, period| RateLimit::Percent { value, period: Seconds(period) };
    let rules = |select, rates: &[RateLimit]| DirectionRules { select, rates: rates.to_vec(), ..Default::default() };
    let up: [Case; 10] = [
        (&[], 10, 100, rules(Max, &[pods(4, 15.0), percent(100, 15.0)]), 20),
        (&[], 1, 100, rules(Max, &[pods(4, 15.0), percent(100, 15.0)]), 5),
        (&[], 10, 100, rules(Min, &[pods(4, 15.0), percent(100, 15.0)]), 14),
        (&[], 10, 100, rules(Disabled, &[pods(4, 15.0)]), 10),
        (&[], 10, 100, rules(Max, &[]), 100),
        // Four of ten were added in the period: it began at six.
        (&[(10.0, 4)], 10, 100, rules(Max, &[pods(5, 60.0)]), 11),
        (&[(10.0, 4)], 10, 100, rules(Max, &[percent(100, 60.0)]), 12),
        // An event exactly one period old no longer counts.
        (&[(60.0, 4)], 10, 100, rules(Max, &[pods(5, 60.0)]), 15),
        // What was removed in the period counts too.
        (&[(10.0, -3)], 10, 100, rules(Max, &[pods(5, 60.0)]), 18),
        // A share is rounded up.
        (&[], 3, 100, rules(Max, &[percent(10, 60.0)]), 4),
    ];
    for (i, (events, current, wanted, rules, expected)) in up.iter().enumerate() {
        let mut policy = policy();
        policy.replicas.max = Replicas(1000);
        policy.behavior.scale_up = Some(rules.clone());
        assert_eq!(limited(&policy, events, *current, *wanted), *expected, "up {i}");
    }
    let down: [Case; 7] = [
        (&[], 10, 1, rules(Max, &[pods(4, 15.0), percent(50, 15.0)]), 5),
        (&[], 10, 1, rules(Min, &[pods(4, 15.0), percent(50, 15.0)]), 6),
        (&[], 10, 1, rules(Disabled, &[]), 10),
        (&[], 10, 1, rules(Max, &[percent(100, 15.0)]), 1),
        // Ten per cent of seven is cut down to six.
        (&[], 7, 1, rules(Max, &[percent(10, 60.0)]), 6),
        (&[(10.0, -3)], 7, 1, rules(Max, &[pods(4, 60.0)]), 6),
        (&[(10.0, -4)], 6, 1, rules(Max, &[pods(4, 60.0)]), 6),
    ];
    for (i, (events, current, wanted, rules, expected)) in down.iter().enumerate() {
        let mut policy = policy();
        policy.behavior.scale_down = Some(rules.clone());
        assert_eq!(limited(&policy, events, *current, *wanted), *expected, "down {i}");
    }
}

fn limited(policy: &Policy, events: &[(f64, i64)], current: u32, wanted: u32) -> u32 {
    use super::super::limits::{Wish, apply};
    let mut log = Events::default();
    for (ago, change) in events {
        let to = u32::try_from(100 + change).expect("small");
        log.decided(EPOCH - ago, crate::policy::Mode::Recommend, 100, to);
    }
    let wish = Wish { t: EPOCH, current, wanted, pod_cores: 1.0, pod_bytes: 1e9, k: 1.0, planned: 1.0, scheduled: 0 };
    apply(&wish, &snapshot(EPOCH, current, 1.0), policy, &mut log).replicas
}

#[test]
fn growth_waits_for_its_window_only_where_one_was_written() {
    let mut policy = policy();
    policy.behavior.scale_up = Some(DirectionRules { stabilization: Some(Seconds(60.0)), ..Default::default() });
    let mut plant = Plant::new(policy, 300.0, 5);
    plant.run(1800.0);
    let n = plant.replicas();
    plant.rate = 1000.0;
    let counts = plant.run(180.0);
    let waited = counts.iter().take_while(|c| **c == n).count();
    assert!((4..=6).contains(&waited), "{counts:?}");
}

#[test]
fn a_tolerance_for_growth_binds_where_the_user_wrote_it() {
    // 4 pods at 75 %: growth without, none within 10 %.
    let mut policy = policy();
    assert_eq!(once(&snapshot(EPOCH, 4, 3.0), &policy).replicas, Replicas(5));
    policy.behavior.scale_up = Some(DirectionRules { tolerance: Some(0.1), ..Default::default() });
    assert_eq!(once(&snapshot(EPOCH, 4, 3.0), &policy).replicas, Replicas(4));
    assert_eq!(once(&snapshot(EPOCH, 4, 3.6), &policy).replicas, Replicas(5));
}

#[test]
fn a_quota_bounds_growth_and_says_so() {
    let mut tight = snapshot(EPOCH, 4, 3.9);
    let left = Resources { cpu_cores: Some(Cores(1.2)), memory_bytes: None };
    tight.room.quota = Some(Quota { name: "compute".to_owned(), left, pods: None });
    let decision = once(&tight, &policy());
    assert_eq!((decision.replicas, decision.reason), (Replicas(5), Reason::LimitedByQuota));
    assert_eq!(decision.message, "quota `compute` leaves 1.2 cores: 5 of 6 replicas");
}

#[test]
fn a_new_template_freezes_shrinking_and_not_growth() {
    let mut plant = Plant::new(policy(), 700.0, 12);
    plant.policy.behavior.scale_down = Some(DirectionRules { stabilization: Some(Seconds(0.0)), ..Default::default() });
    plant.template = Some("a".to_owned());
    plant.run(1800.0);
    let n = plant.replicas();
    plant.template = Some("b".to_owned());
    plant.rate = 200.0;
    let frozen = plant.run(570.0);
    assert!(frozen.iter().all(|c| *c == n), "{frozen:?}");
    assert_eq!(plant.last.as_ref().expect("ran").reason, Reason::RolloutInProgress);
    plant.rate = 900.0;
    plant.run(45.0);
    assert!(plant.replicas() > n);
    plant.rate = 200.0;
    plant.run(120.0);
    assert!(plant.replicas() < n);
}

#[test]
fn a_lever_left_out_is_taken_as_given() {
    let mut fixed = policy();
    fixed.levers = Levers { replicas: false, cpu: false, memory: false };
    let s = snapshot(EPOCH, 4, 3.9);
    let decision = once(&s, &fixed);
    assert_eq!(decision.replicas, Replicas(4));
    assert_eq!(decision.containers[0].requests, s.containers[0].request);
    // Only the size may move: it carries the demand alone.
    fixed.levers.cpu = true;
    let mut plant = Plant::new(fixed, 800.0, 4);
    plant.run(600.0);
    assert!(plant.size > 2.5, "{}", plant.size);
    assert_eq!(plant.replicas(), 4);
}

#[test]
fn memory_follows_its_peak_and_a_kill_counts_once_per_limit() {
    let mut memory = Memory::new();
    let policy = policy();
    let mut tick = |t: f64, peak: u64, kill: Option<u64>, limit: u64| {
        let mut s = snapshot(EPOCH + t, 3, 1.2);
        let c = &mut s.containers[0];
        c.memory_max_pod_bytes = Some(Bytes(peak << 20));
        c.request.memory_bytes = Some(Bytes(256 << 20));
        c.limit.memory_bytes = Some(Bytes(256 << 20));
        c.oom_kills_delta = kill.map(|_| 1);
        c.last_oom_limit_bytes = kill.map(|k| Bytes(k << 20));
        let decision = decide(&s, &policy, &mut memory, s.at);
        let size = &decision.containers[0];
        assert_eq!(size.limits.memory_bytes, size.requests.memory_bytes, "stays guaranteed");
        assert!(size.limits.memory_bytes.expect("given").0 >= limit << 20);
        (size.requests.memory_bytes.expect("given").0 >> 20, decision)
    };
    assert_eq!(tick(0.0, 200, None, 0).0, 256, "lowering waits");
    assert_eq!(tick(15.0, 250, None, 0).0, 300, "peak + 20 %, at once");
    let (raised, decision) = tick(30.0, 250, Some(300), 300);
    assert_eq!(raised, 400, "a kill adds 100 MiB at least");
    assert_eq!(decision.reason, Reason::OutOfMemory);
    assert_eq!(tick(45.0, 250, Some(256), 300).0, 400, "a pod of the old size died: nothing new");
    assert_eq!(tick(60.0, 250, Some(300), 300).0, 400, "and another of the same limit");
    assert_eq!(tick(75.0, 250, Some(400), 400).0, 500);
    for hour in 1..30 {
        tick(3600.0 * f64::from(hour), 100, None, 0);
    }
    assert_eq!(tick(7.0 * 86_400.0, 100, None, 0).0, 500, "remembered for eight days");
    assert_eq!(tick(9.0 * 86_400.0, 100, None, 0).0, 120, "and no longer");
}

#[test]
fn sizes_are_complete_and_proportional() {
    let mut policy = policy();
    policy.levers.replicas = false;
    let mut s = snapshot(EPOCH, 2, 5.0);
    s.containers[0].limit = s.containers[0].request;
    let mut mesh = s.containers[0].clone();
    mesh.name = "mesh".to_owned();
    mesh.request = Resources { cpu_cores: Some(Cores(0.1)), memory_bytes: Some(Bytes(128 << 20)) };
    mesh.limit = Resources { cpu_cores: Some(Cores(0.4)), memory_bytes: None };
    mesh.cpu_cores = Some(Cores(0.02));
    mesh.memory_max_pod_bytes = Some(Bytes(40 << 20));
    let mut bare = mesh.clone();
    bare.name = "bare".to_owned();
    (bare.request, bare.limit) = (Resources::default(), Resources::default());
    s.containers.extend([mesh, bare]);
    let sizes = once(&s, &policy).containers;
    let cpu = |i: usize| sizes[i].requests.cpu_cores.expect("has one").0;
    assert!(cpu(0) > 3.0, "{}", cpu(0));
    assert_eq!(sizes[0].limits.cpu_cores, sizes[0].requests.cpu_cores, "guaranteed stays guaranteed");
    assert!((cpu(1) / cpu(0) - 0.1).abs() < 0.002, "in proportion");
    assert!((sizes[1].limits.cpu_cores.expect("has one").0 / cpu(1) - 4.0).abs() < 0.02);
    assert_eq!(sizes[1].limits.memory_bytes, None);
    assert_eq!(sizes[2].requests, Resources::default(), "nothing is invented");
    policy.containers.default.limits = Limits::Unchanged;
    let capped = once(&s, &policy).containers;
    assert_eq!(capped[0].requests.cpu_cores, Some(Cores(1.0)), "never above its limit");
}

#[test]
fn a_refused_raise_is_answered_with_replicas() {
    let mut plant = Plant::new(latency_policy(), 400.0, 8);
    plant.run(4.0 * 3600.0);
    let n = plant.replicas();
    let mut s = plant.observe();
    s.containers[0].sizes = vec![SizeGroup {
        cpu_cores: Some(Cores(plant.size * 0.3)),
        memory_bytes: None,
        pods: Replicas(n),
        ready: Replicas(n),
        resize: ResizeState::Deferred,
    }];
    let refused = decide(&s, &plant.policy, &mut plant.memory, s.at);
    assert!(refused.replicas.0 > n, "{}", refused.message);
}

#[test]
fn running_pods_are_boosted_while_new_ones_start() {
    let mut plant = Plant::new(policy(), 400.0, 6);
    plant.start = 120.0;
    plant.run(1800.0);
    plant.rate = 900.0;
    plant.run(45.0);
    let decision = plant.last.clone().expect("ran");
    let boost = decision.boost.expect("boosted");
    assert!(boost.containers[0].cpu_cores.0 > 1.0 && boost.containers[0].cpu_cores.0 <= 2.0);
    plant.run(1200.0);
    assert!(plant.last.as_ref().expect("ran").boost.is_none());
    assert_eq!(plant.size, 1.0);
}

/// A boost that the budget cannot end would outlast a burst by a quarter of an hour; and pods that are not trimmed are no
/// cheap way to wait.
#[test]
fn without_trims_left_nothing_is_boosted_and_replicas_leave_sooner() {
    let spend = |plant: &mut Plant| {
        while plant.memory.vertical.may_decrease() {
            plant.memory.vertical.pay();
        }
    };
    for spent in [false, true] {
        let mut plant = Plant::new(policy(), 400.0, 6);
        plant.start = 120.0;
        plant.run(3600.0);
        plant.rate = 500.0;
        if spent {
            spend(&mut plant);
        }
        let (boosted, n) = ((0..4).any(|_| plant.step().boost.is_some()), plant.replicas());
        assert!(boosted != spent && n > 6, "{n}: {:?}", plant.last);

        let mut plant = Plant::new(latency_policy(), 400.0, 6);
        plant.run(4.0 * 3600.0);
        plant.rate = 250.0;
        plant.run(60.0);
        if spent {
            spend(&mut plant);
        }
        let hold = plant.step().explain.hold.map(|hold| hold.idle_seconds.0 + hold.seconds_left.0);
        assert_eq!(hold, Some(if spent { 900.0 } else { 2700.0 }), "{:?}", plant.last);
    }
}

#[test]
fn trims_keep_their_budget() {
    for (trims, most) in [(0, 0), (12, 12), (96, 96)] {
        let mut policy = latency_policy();
        policy.resize.trims_per_pod_per_day = trims;
        let mut plant = Plant::new(policy, 400.0, 8);
        let mut decreases = 0;
        for i in 0..5760 {
            // A day of a wave of twenty minutes.
            plant.rate = if i / 40 % 2 == 0 { 400.0 } else { 150.0 };
            let before = plant.last.as_ref().map_or(1.0, |d| d.containers[0].requests.cpu_cores.expect("has one").0);
            let after = plant.step().containers[0].requests.cpu_cores.expect("has one").0;
            if after < before {
                decreases += 1;
            }
        }
        // A change of the nominal size is not a trim; there are few.
        assert!(decreases <= most + 2, "{trims}: {decreases}");
        // Ten minutes of less are worth a trim where there may be many, not where there may be one in two hours.
        assert!(trims < 96 || decreases > 0, "{trims}: {:?}", plant.last);
    }
}

#[test]
fn work_per_item_comes_from_energy_balance() {
    let mut policy = policy();
    policy.signals = vec![signal("queue", Role::Backlog), signal("rate", Role::Demand)];
    policy.objective.backlog =
        Some(crate::policy::BacklogObjective { signal: "queue".to_owned(), drain_within: Seconds(90.0) });
    let mut memory = Memory::new();
    let (work, rate) = (0.2, 10.0);
    for tick in 0..400 {
        let mut s = snapshot(EPOCH + 15.0 * f64::from(tick), 4, 4.0 * 0.01 + work * rate);
        s.signals.insert("queue".to_owned(), reading(3.0));
        s.signals.insert("rate".to_owned(), reading(rate));
        let decision = decide(&s, &policy, &mut memory, s.at);
        if tick > 100 {
            let found = decision.explain.work_core_seconds.expect("known");
            assert!((found / work - 1.0).abs() < 0.15, "{found}");
        }
    }
    // A burst worth ten pods for a minute, less what the four do until others come: half as many where pods grow in place.
    let mut fixed = policy.clone();
    fixed.levers.cpu = false;
    let mut s = snapshot(EPOCH + 6001.0, 4, 4.0 * 0.01 + work * rate);
    s.signals.insert("queue".to_owned(), reading(10.0 * 0.95 * 60.0 / work));
    s.signals.insert("rate".to_owned(), reading(rate));
    let n = decide(&s, &fixed, &mut memory.clone(), s.at).replicas.0;
    assert!((7..=10).contains(&n), "{n}");
    let n = decide(&s, &policy, &mut memory, s.at).replicas.0;
    assert!((4..=5).contains(&n), "{n}");
}
