use super::*;
use crate::simulate::random::Stream;

/// A small instance with every cost written out.
struct Small {
    shape: Shape,
    charges: Charges,
    /// By tick.
    grids: Vec<Vec<f64>>,
    /// By tick: count and sizes that may be grown into.
    reach: Option<Vec<(usize, Vec<u8>)>>,
}

fn index(number: usize) -> u8 {
    u8::try_from(number).expect("a small number")
}

impl Stages for Small {
    fn ticks(&self) -> usize {
        self.grids.len()
    }

    fn shape(&self) -> Shape {
        self.shape
    }

    fn charges(&self) -> &Charges {
        &self.charges
    }

    fn fill(&mut self, tick: usize, grid: &mut [f64]) {
        grid.copy_from_slice(&self.grids[tick]);
    }

    fn reach(&self, tick: usize) -> Option<Reach<'_>> {
        self.reach.as_ref().map(|reach| Reach { count: reach[tick].0, size: &reach[tick].1 })
    }
}

impl Small {
    /// Random costs: some states forbidden, switching from free to dear.
    fn random(stream: &mut Stream, limited: bool) -> Self {
        let whole = |stream: &mut Stream, below: f64| crate::simulate::whole(stream.uniform() * below);
        let shape = Shape { counts: 1 + whole(stream, 4.0), sizes: 1 + whole(stream, 3.0) };
        let ticks = 1 + whole(stream, 3.99);
        let dear = 0.3 * stream.uniform();
        let rising = |stream: &mut Stream| {
            let mut price = 0.0;
            let mut next = || {
                price += dear * stream.uniform();
                price
            };
            (0..shape.sizes).map(|_| next()).collect::<Vec<f64>>()
        };
        let charges = Charges { start: rising(stream), leave: rising(stream) };
        let mut cost = || if stream.uniform() < 0.1 { f64::INFINITY } else { stream.uniform() };
        let grids = (0..ticks).map(|_| (0..shape.counts * shape.sizes).map(|_| cost()).collect()).collect();
        let reach = limited.then(|| {
            let size = |stream: &mut Stream| (0..shape.counts).map(|_| index(whole(stream, 3.0))).collect();
            (0..ticks).map(|_| (whole(stream, 4.0), size(stream))).collect()
        });
        Self { shape, charges, grids, reach }
    }

    /// What a sequence of states costs; infinite when it is not possible.
    fn cost(&self, path: &[State]) -> f64 {
        let mut cost = 0.0;
        for (tick, &(n, r)) in path.iter().enumerate() {
            cost += self.grids[tick][n * self.shape.sizes + r];
            if tick > 0 {
                let step = switch(&self.charges, self.reach(tick), path[tick - 1], (n, r));
                cost += step.unwrap_or(f64::INFINITY);
            }
        }
        cost
    }

    /// The least cost over every sequence that there is.
    fn exhaustive(&self) -> f64 {
        let states = self.shape.counts * self.shape.sizes;
        let sequences = (0..self.grids.len()).fold(1, |product, _| product * states);
        let mut best = f64::INFINITY;
        for mut number in 0..sequences {
            let mut path = Vec::new();
            for _ in 0..self.grids.len() {
                let state = number % states;
                path.push((state / self.shape.sizes, state % self.shape.sizes));
                number /= states;
            }
            best = best.min(self.cost(&path));
        }
        best
    }
}

fn equals_exhaustive_search(limited: bool) {
    let mut stream = Stream::new(11, "oracle-instances", u64::from(limited));
    let (mut possible, mut switched) = (0, 0);
    for instance in 0..400 {
        let mut small = Small::random(&mut stream, limited);
        let expected = small.exhaustive();
        let found = optimum(&mut small);
        if expected.is_infinite() {
            assert!(found.is_infinite(), "instance {instance}: nothing is possible, {found} was found");
            continue;
        }
        assert!((found - expected).abs() < 1e-9, "instance {instance}: {found}, exhaustive search finds {expected}");
        let (cost, path) = path(&mut small);
        assert_eq!(cost, found);
        assert!((small.cost(&path) - expected).abs() < 1e-9, "instance {instance}: {path:?} does not cost {expected}");
        possible += 1;
        switched += usize::from(path.windows(2).any(|pair| pair[0].0 != pair[1].0));
    }
    // The instances are of use only if most can be solved and many are worth a switch.
    assert!(possible > 300 && switched > 50, "{possible} possible, {switched} with a switch");
}

#[test]
fn free_growth_equals_exhaustive_search() {
    equals_exhaustive_search(false);
}

#[test]
fn limited_growth_equals_exhaustive_search() {
    equals_exhaustive_search(true);
}

#[test]
fn a_path_over_many_blocks_costs_the_optimum() {
    let mut stream = Stream::new(3, "oracle-long", 0);
    let shape = Shape { counts: 5, sizes: 4 };
    let charges = Charges { start: vec![0.1, 0.2, 0.3, 0.4], leave: vec![0.2, 0.3, 0.4, 0.5] };
    let ticks = 3 * BLOCK + 17;
    let grids = (0..ticks).map(|_| (0..20).map(|_| stream.uniform()).collect()).collect();
    let reach = (0..ticks).map(|t| (t % 5, vec![index(t % 4); 5])).collect();
    for reach in [None, Some(reach)] {
        let mut long = Small { shape, charges: charges.clone(), grids: Vec::clone(&grids), reach };
        let (cost, path) = path(&mut long);
        assert_eq!(cost, optimum(&mut long));
        assert_eq!(path.len(), ticks);
        assert!((long.cost(&path) - cost).abs() < 1e-9);
    }
}
