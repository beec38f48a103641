//! The counters are lazy capacity provisioning, and as good as it.

use super::{Counters, Step};

/// A small generator; the tests need spread, not quality.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, n: u32) -> u32 {
        super::super::arith::count(self.next() * f64::from(n))
    }
}

/// Cost of `n` replicas during a step, in units of a replica's price times a second.
fn stage(step: &Step, n: usize) -> f64 {
    let missing = (step.planned - n as f64 * step.k).max(0.0);
    step.dt * (n as f64 + step.shortage / step.pod * missing)
}

/// Lazy capacity provisioning as it is defined: two optimal cost functions, one that charges switching on, one off.
struct Explicit {
    on: Vec<f64>,
    off: Vec<f64>,
    n: usize,
}

impl Explicit {
    fn new(max: usize, beta: f64) -> Self {
        Self { on: (0..=max).map(|n| n as f64 * beta).collect(), off: vec![0.0; max + 1], n: 0 }
    }

    fn step(&mut self, step: &Step) -> usize {
        let beta = step.hold;
        let max = self.on.len() - 1;
        let spread = |from: &[f64], cost: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
            (0..=max)
                .map(|to| (0..=max).map(|y| from[y] + cost(y, to)).fold(f64::INFINITY, f64::min) + stage(step, to))
                .collect()
        };
        self.on = spread(&self.on, &|from, to| beta * to.saturating_sub(from) as f64);
        self.off = spread(&self.off, &|from, to| beta * from.saturating_sub(to) as f64);
        let least = |costs: &[f64]| costs.iter().copied().fold(f64::INFINITY, f64::min);
        let (best_on, best_off) = (least(&self.on), least(&self.off));
        let low = self.on.iter().position(|c| *c <= best_on + 1e-7).expect("not empty");
        let high = self.off.iter().rposition(|c| *c <= best_off + 1e-7).expect("not empty");
        self.n = self.n.clamp(low, high.max(low));
        self.n
    }
}

/// The optimum with foresight, from nothing.
fn optimum(steps: &[Step], max: usize) -> f64 {
    let mut best: Vec<f64> = (0..=max).map(|n| if n == 0 { 0.0 } else { f64::INFINITY }).collect();
    for step in steps {
        best = (0..=max)
            .map(|to| {
                let before = (0..=max).map(|y| best[y] + step.hold * to.saturating_sub(y) as f64);
                before.fold(f64::INFINITY, f64::min) + stage(step, to)
            })
            .collect();
    }
    best.into_iter().fold(f64::INFINITY, f64::min)
}

fn step(planned: f64, hold: f64) -> Step {
    Step { dt: 15.0, pod: 1.0, shortage: 20.0, k: 1.0, planned, must: 0.0, hold }
}

#[test]
fn counters_are_lazy_capacity_provisioning() {
    let mut rng = Rng(7);
    for instance in 0..4000 {
        let max = 2 + rng.below(6);
        let hold = 40.0 + 400.0 * rng.next();
        let mut explicit = Explicit::new(max as usize, hold);
        let mut counters = Counters::default();
        counters.resize(max, 0, hold);
        let mut n = 0;
        let mut x = rng.next() * f64::from(max);
        for t in 0..40 {
            if rng.next() < 0.3 {
                x = rng.next() * f64::from(max);
            }
            let step = Step { shortage: 2.0 + 30.0 * rng.next(), ..step(x, hold) };
            let next = counters.step(&step, n);
            counters.settle(n, next, hold);
            n = next;
            assert_eq!(n as usize, explicit.step(&step), "instance {instance}, step {t}, x {x}");
        }
    }
}

/// Costs of the counters on a sequence that may look at the present count.
fn cost(mut sequence: impl FnMut(u32) -> f64, length: usize, max: u32, hold: f64) -> (f64, Vec<Step>) {
    let mut counters = Counters::default();
    counters.resize(max, 0, hold);
    let (mut n, mut sum, mut steps) = (0, 0.0, Vec::new());
    for _ in 0..length {
        let step = Step { dt: 1.0, ..step(sequence(n), hold) };
        let next = counters.step(&step, n);
        counters.settle(n, next, hold);
        sum += hold * f64::from(next.saturating_sub(n)) + stage(&step, next as usize);
        n = next;
        steps.push(step);
    }
    (sum, steps)
}

#[test]
fn even_an_adversary_gets_no_more_than_three_times_the_optimum() {
    // Work appears exactly while the replica is off, and vanishes when it is on.
    let (sum, steps) = cost(|n| if n == 0 { 1.0 } else { 0.0 }, 20_000, 1, 600.0);
    let ratio = sum / optimum(&steps, 1);
    assert!((2.5..=3.02).contains(&ratio), "{ratio}");
    let mut rng = Rng(3);
    for _ in 0..50 {
        let mut x = 0.0;
        let sequence = |n: u32| {
            if rng.next() < 0.05 {
                x = if rng.next() < 0.5 { f64::from(n) + 0.3 } else { 4.0 * rng.next() };
            }
            x
        };
        let (sum, steps) = cost(sequence, 600, 4, 120.0);
        let ratio = sum / optimum(&steps, 4);
        assert!(ratio <= 3.02, "{ratio}");
    }
}

/// Every change of a replica is paid for: between two of them `hold` seconds of its price are won or wasted.
#[test]
fn replicas_change_no_more_often_than_waste_allows() {
    let mut rng = Rng(11);
    for instance in 0..300 {
        let max = 1 + rng.below(8);
        let hold = 30.0 + 600.0 * rng.next();
        let mut counters = Counters::default();
        counters.resize(max, 0, hold);
        let mut toggles = vec![0_u32; max as usize];
        let mut spent = vec![0.0; max as usize];
        let (mut n, mut x) = (0, 0.0);
        for _ in 0..500 {
            if rng.next() < 0.2 {
                x = 1.3 * rng.next() * f64::from(max);
            }
            let step = Step { dt: 1.0 + 14.0 * rng.next(), shortage: 2.0 + 30.0 * rng.next(), ..step(x, hold) };
            let next = counters.step(&step, n);
            counters.settle(n, next, hold);
            for (i, (toggles, spent)) in toggles.iter_mut().zip(&mut spent).enumerate() {
                *toggles += u32::from((i < n as usize) != (i < next as usize));
                *spent += step.dt * step.waste(i as f64, step.planned).abs();
            }
            n = next;
        }
        for (i, (toggles, spent)) in toggles.iter().zip(&spent).enumerate() {
            let most = 1.0 + spent / (hold * (1.0 - 1e-5));
            assert!(f64::from(*toggles) <= most, "instance {instance}, replica {i}: {toggles} changes, {most:.2} paid");
        }
    }
}

/// Shortage is convex in the count, so a replica is never idle for less time than the one before it.
#[test]
fn a_later_replica_has_been_idle_for_longer() {
    let mut rng = Rng(23);
    for _ in 0..100 {
        let (max, hold) = (2 + rng.below(30), 60.0 + 900.0 * rng.next());
        let mut counters = Counters::default();
        counters.resize(max, 0, hold);
        let mut n = 0;
        for _ in 0..200 {
            let step = step(1.2 * rng.next() * f64::from(max), hold);
            let next = counters.step(&step, n);
            counters.settle(n, next, hold);
            n = next;
            assert!(counters.idle.windows(2).all(|pair| pair[0] <= pair[1]), "{:?}", counters.idle);
        }
    }
}

#[test]
fn demand_is_never_provided_lazily() {
    let mut counters = Counters::default();
    counters.resize(20, 3, 1800.0);
    // A woken tick a millisecond after the last: no time for a counter to move, and yet ten replicas.
    let step = Step { dt: 0.001, must: 9.5, ..step(10.2, 1800.0) };
    assert_eq!(counters.step(&step, 3), 10);
}

#[test]
fn a_replica_lives_hold_seconds_after_its_last_use() {
    for (tick, hold) in [(15.0, 600.0), (1.0, 60.0), (7.0, 100.0), (60.0, 1800.0)] {
        let mut counters = Counters::default();
        counters.resize(5, 4, hold);
        let quiet = Step { dt: tick, must: 1.5, ..step(1.5, hold) };
        let mut lived = 0.0;
        while counters.step(&quiet, 4) == 4 {
            lived += tick;
            assert!(lived <= hold, "tick {tick}, hold {hold}");
        }
        assert!(lived + tick >= hold * (1.0 - 1e-5), "lived {lived}, tick {tick}, hold {hold}");
    }
}

#[test]
fn without_hold_a_replica_leaves_at_once_and_needed_ones_stay() {
    let mut counters = Counters::default();
    counters.resize(8, 6, 0.0);
    assert_eq!(counters.step(&Step { must: 3.5, ..step(3.5, 0.0) }, 6), 4);
    counters.settle(6, 4, 0.0);
    assert_eq!(counters.step(&Step { dt: 0.0, must: 3.5, ..step(3.5, 0.0) }, 4), 4);
}

#[test]
fn thousands_of_replicas_are_counted_in_groups() {
    let mut counters = Counters::default();
    counters.resize(5000, 100, 600.0);
    assert!(counters.idle.len() <= 513);
    let up = counters.step(&Step { must: 3000.5, ..step(3000.5, 600.0) }, 100);
    assert!((3001..=3011).contains(&up), "{up}");
    counters.settle(100, up, 600.0);
    let mut n = up;
    for _ in 0..41 {
        n = counters.step(&Step { must: 100.5, ..step(100.5, 600.0) }, up);
    }
    assert!((101..=111).contains(&n), "{n}");
}
