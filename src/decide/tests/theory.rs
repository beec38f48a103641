//! What the model's document proves, checked on the running model: bounds of the loop's gain, of learning, of sizes.

use super::{
    super::{
        capacity::{Capacity, Feedback, allowed_by_latency, lattice},
        demand::{Demand, From, MemoryFit},
        price::Price,
        size::{Choice, Regrets},
    },
    plant::{Disturb, Plant, latency_policy, policy},
};
use crate::{
    decide::Snapshot,
    policy::Policy,
    units::{Cores, maths},
};

/// A small generator; the tests need spread, not quality.
pub(super) struct Rng(pub(super) u64);

impl Rng {
    /// Uniform in 0..1.
    pub(super) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform on a logarithmic scale.
    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low * maths::pow(high / low, self.next())
    }
}

/// A larger pod pools its work: what it may be used to never falls with its size, whatever the objective.
#[test]
fn allowed_utilization_is_monotone_in_size() {
    let mut rng = Rng(5);
    for _ in 0..500 {
        let (ratio, share) = (rng.between(0.5, 500.0), rng.between(1e-5, 0.5));
        let allowed = lattice().map(|r| allowed_by_latency(r, ratio, share));
        assert!(allowed.windows(2).all(|pair| pair[0] <= pair[1] + 1e-9), "T/b {ratio}, {share}: {allowed:?}");
        assert!(allowed.iter().all(|rho| (0.0..1.0).contains(rho)));
    }
    // And so does what a pod carries, under every correction.
    for adjustment in [0.6, 1.0, 1.4] {
        let capacity = capacity(&latency_policy(), 0.01, adjustment);
        let carried = lattice().map(|r| capacity.of(r));
        assert!(carried.windows(2).all(|pair| pair[0] < pair[1]), "{carried:?}");
    }
}

fn capacity(policy: &Policy, work: f64, adjustment: f64) -> Capacity {
    let demand = Demand { cores: 1.0, from: From::Rate, idle: 0.02, work: Some(work) };
    let mut feedback = Feedback::default();
    feedback.adjustment = adjustment;
    Capacity::of_tick(policy, &demand, 0.1, &mut feedback)
}

/// The loop from an error of the idle cost back to itself: below 1 it is stable for every delay.
#[test]
fn the_gain_of_the_loop_stays_below_one() {
    for (instance, policy) in (0..24).zip([latency_policy(), policy()].into_iter().cycle()) {
        let mut rng = Rng(instance);
        let mut plant = Plant::new(policy, 300.0, 8);
        plant.idle = rng.between(0.001, 0.12);
        plant.work = rng.between(0.002, 0.05);
        plant.delay = [0, 1, 2, 4][(instance % 4) as usize];
        let cores = rng.between(1.0, 12.0);
        let mut level = 1.0;
        for tick in 0..1440 {
            if rng.next() < 0.02 {
                level = rng.between(0.1, 1.5);
            }
            plant.rate = level * cores / plant.work * (1.0 + 0.1 * (rng.next() - 0.5));
            let decision = plant.step();
            // An hour is enough to converge.
            if tick < 240 {
                continue;
            }
            let explain = &decision.explain;
            let (Some(idle), Some(k)) = (explain.idle_cores, explain.capacity_cores) else {
                panic!("nothing is known after an hour: {}", decision.message);
            };
            let gain = (1.0 + explain.headroom.unwrap_or(0.0)) * (plant.idle - idle.0).abs() / k.0;
            assert!(gain < 1.0, "instance {instance}, tick {tick}: gain {gain}, k {}, idle {}", k.0, idle.0);
        }
    }
}

fn work(plant: &Plant) -> f64 {
    plant.last.as_ref().and_then(|d| d.explain.work_core_seconds).expect("is known")
}

/// A day at a hundredth of the peak teaches nothing about the work of a request, noise or not.
#[test]
fn idle_keeps_b() {
    for noise in [0.0, 0.3] {
        let mut rng = Rng(2);
        let mut plant = Plant::new(latency_policy(), 500.0, 8);
        plant.run(12.0 * 3600.0);
        let known = work(&plant);
        for _ in 0..5760 {
            plant.rate = 4.0 * (1.0 + noise * (rng.next() - 0.5));
            // What an idle runtime does besides requests comes and goes.
            plant.idle = 0.02 * (1.0 + noise * (rng.next() - 0.5));
            plant.step();
        }
        let still = work(&plant);
        assert!((still / known - 1.0).abs() < 0.05, "noise {noise}: {known} -> {still}");
    }
}

/// Usage of throttled pods is a lower bound: it never makes a request look cheaper.
#[test]
fn throttled_usage_never_lowers_the_work_of_a_request() {
    let mut plant = Plant::new(latency_policy(), 500.0, 8);
    plant.policy.levers.cpu = false;
    plant.run(6.0 * 3600.0);
    let known = work(&plant);
    // Nobody acts: pods stand at their limit for two hours, with half of the work that arrives.
    let (n, rate) = (plant.replicas(), plant.rate);
    plant.rate = 3.0 * rate;
    for _ in 0..480 {
        plant.step();
        plant.scale(n);
    }
    let after = work(&plant);
    assert!(after >= 0.98 * known, "{known} -> {after}");
}

/// The same evidence on the same side for minutes means that the request costs something else now.
#[test]
fn unannounced_cost_change() {
    for factor in [1.6, 0.5] {
        for swing in [0.0, 0.2] {
            let mut plant = Plant::new(latency_policy(), 500.0, 8);
            plant.run(6.0 * 3600.0);
            plant.work *= factor;
            for _ in 0..120 {
                plant.rate = 500.0 * (1.0 + swing * maths::sin(plant.t / 300.0));
                plant.step();
            }
            let work = work(&plant);
            assert!((work / plant.work - 1.0).abs() < 0.1, "{factor}, swing {swing}: {work} for {}", plant.work);
        }
    }
}

/// A signal that tells three times the requests, or a fifth of them, is held to what usage allows and proves.
#[test]
fn a_wrong_rate_is_held_to_what_usage_says() {
    fn told(snapshot: &mut Snapshot, factor: f64) {
        if let Some(rate) = snapshot.signals.get_mut("requests").and_then(|r| r.value.as_mut()) {
            *rate *= factor;
        }
    }
    let wrong: [(Disturb, (f64, f64), &str); 2] = [
        (|s, _| told(s, 3.0), (0.8, 1.3), "rate, lowered by usage"),
        (|s, _| told(s, 0.2), (0.7, 1.01), "rate, raised by usage"),
    ];
    for (disturb, range, from) in wrong {
        let mut plant = Plant::new(latency_policy(), 400.0, 8);
        plant.run(6.0 * 3600.0);
        plant.disturb = disturb;
        // What settles takes a minute, and what was wrong for long is learned: in between, usage decides, less an idle cost
        // that takes some of the blame.
        plant.run(120.0);
        let mut held = 0;
        for _ in 0..8 {
            let explain = plant.step().explain;
            if explain.demand_from.as_deref() == Some(from) {
                held += 1;
                let share = explain.demand_cores.expect("is known").0 / (plant.work * plant.rate);
                assert!((range.0..=range.1).contains(&share), "{from}: {share} of what arrives");
            }
        }
        assert!(held > 0, "{from}: {:?}", plant.last.map(|d| d.explain.demand_from));
    }
}

/// Every change of size has been earned: there are no more of them than regret pays for.
#[test]
fn sizes_change_no_more_often_than_regret_allows() {
    let policy = latency_policy();
    let (price, memory) = (Price::of(&policy), MemoryFit::default());
    let capacity = capacity(&policy, 0.01, 1.0);
    let mut changes = 0;
    for instance in 0..12 {
        let mut rng = Rng(instance);
        let mut regrets = Regrets::default();
        let (mut size, mut demand, mut before) = (1.0, 4.0, 0.0);
        let (mut won, mut paid, mut last): (f64, f64, f64) = (0.0, 0.0, 0.0);
        for tick in 0..(3 * 5760_u32) {
            if rng.next() < 0.005 {
                demand = rng.between(0.2, 20.0);
            }
            let t = 15.0 * f64::from(tick);
            let replicas = (1.1 * demand / capacity.of(size)).ceil().clamp(1.0, 40.0);
            let leader = regrets.step(&Choice {
                dt: 15.0,
                t,
                uptime: t,
                lead: 75.0,
                hold: 600.0,
                size,
                replicas: super::super::arith::count(replicas),
                gib: 1.0,
                demand,
                planned: 1.1 * demand,
                peak: 20.0,
                bounds: (1, 40),
                capacity: &capacity,
                price: &price,
                memory: &memory,
                fits: &|_| true,
                frozen: false,
                trims: false,
                patience: 1.0,
                tuning: &policy.tuning,
            });
            let Some(leader) = leader else {
                before = 0.0;
                continue;
            };
            won += (leader.regret - before).max(0.0);
            before = leader.regret;
            if leader.taken {
                assert!(t - last >= 600.0 && t >= 1800.0, "at {t}, after {last}");
                assert!(leader.regret > leader.threshold && leader.threshold > 0.0);
                (paid, last, before, size) = (paid + leader.threshold, t, 0.0, leader.size);
                changes += 1;
            }
        }
        assert!(paid <= won + 1e-9, "instance {instance}: paid {paid} of {won}");
    }
    assert!(changes > 10, "something was changed: {changes}");
}

/// What a replica of the size in use is worth when work is missing: never less than four times its price.
#[test]
fn replica_always_pays() {
    let mut rng = Rng(4);
    let mut plant = Plant::new(latency_policy(), 900.0, 12);
    for tick in 0..5760 {
        if rng.next() < 0.003 {
            plant.rate = rng.between(1.0, 1500.0);
        }
        let decision = plant.step();
        let Some(Cores(k)) = decision.explain.capacity_cores else { continue };
        let core = plant.policy.prices.core_hour.0;
        let pod =
            core * decision.containers[0].requests.cpu_cores.expect("has one").0 + plant.policy.prices.gib_hour.0 * 0.5;
        let shortage = plant.policy.objective.preference.shortage_factor() * core;
        assert!(shortage * k >= 4.0 * pod, "tick {tick}: a replica of {k} cores for {pod}");
    }
}
