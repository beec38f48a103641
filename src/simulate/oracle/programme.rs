//! Dynamic programming over (count, size): the cheapest sequence of states when every cost is known in advance.
//!
//! `V(t, n, r) = stage(t, n, r) + min over (n', r') of V(t-1, n', r') + switch`. A switch costs something per pod that
//! starts (at the size it starts with) and per pod that leaves (at the size it leaves with); resizing is free, as it is in
//! the score. Because that separates, the minimum over all earlier states is a running minimum over counts, upwards for
//! growth and downwards for shrinking: a tick takes as many operations as there are states, not their square.
//!
//! Must not know what a state costs or why: [`Stages`] tells.
//!
//! Invariant: equal to an exhaustive search over all sequences (see the tests).

/// Ticks between two kept value grids. The path is found by playing each block again: memory of one block instead of a
/// whole month, for twice the time.
const BLOCK: usize = 256;

/// What the states of every tick cost, and where one can go.
///
/// A grid of states is laid out count by count: the state of count `n` and size `r` (both indices) is `n * sizes + r`.
pub(super) trait Stages {
    /// Number of ticks.
    fn ticks(&self) -> usize;
    /// Number of counts and of sizes.
    fn shape(&self) -> Shape;
    /// The switching costs, by size.
    fn charges(&self) -> &Charges;
    /// The cost of each state in a tick; infinite for one that is never worth being in. Ticks are asked for in any
    /// order.
    fn fill(&mut self, tick: usize, grid: &mut [f64]);
    /// What may be grown into at a tick. `None`: everything.
    fn reach(&self, tick: usize) -> Option<Reach<'_>>;
}

/// Size of a grid of states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) counts: usize,
    pub(super) sizes: usize,
}

/// Cost of one pod that starts or leaves, by size.
#[derive(Clone, Debug)]
pub(super) struct Charges {
    pub(super) start: Vec<f64>,
    pub(super) leave: Vec<f64>,
}

/// What may be grown into; what is there already may always be kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach<'a> {
    /// The largest count.
    pub(super) count: usize,
    /// The largest size, by count.
    pub(super) size: &'a [u8],
}

impl Reach<'_> {
    fn allows(&self, (n0, r0): State, (n, r): State) -> bool {
        (n <= n0 || n <= self.count) && (r <= r0 || r <= usize::from(self.size[n]))
    }
}

/// Count and size of a state, as indices.
pub(super) type State = (usize, usize);

/// The least total cost.
pub(super) fn optimum(stages: &mut impl Stages) -> f64 {
    let mut front = Front::new(stages.shape());
    for tick in 0..stages.ticks() {
        front.advance(stages, tick);
    }
    front.best().0
}

/// The least total cost and a sequence of states that has it, one per tick.
pub(super) fn path(stages: &mut impl Stages) -> (f64, Vec<State>) {
    let shape = stages.shape();
    let ticks = stages.ticks();
    let mut front = Front::new(shape);
    let mut kept = Vec::new();
    for tick in 0..ticks {
        if tick.is_multiple_of(BLOCK) {
            kept.push(front.value.clone());
        }
        front.advance(stages, tick);
    }
    let (cost, mut state) = front.best();
    let mut path = vec![(0, 0); ticks];
    let mut block = vec![Vec::new(); BLOCK];
    for (index, start) in kept.into_iter().enumerate().rev() {
        let first = index * BLOCK;
        let last = ticks.min(first + BLOCK);
        front.value = start;
        for tick in first..last {
            block[tick - first].clone_from(&front.value);
            if tick + 1 < last {
                front.advance(stages, tick);
            }
        }
        for tick in (first..last).rev() {
            path[tick] = state;
            if tick > 0 {
                state = before(&block[tick - first], shape, stages.charges(), stages.reach(tick), state);
            }
        }
    }
    (cost, path)
}

/// What going from one state to another costs; none when it is out of reach.
pub(super) fn switch(charges: &Charges, reach: Option<Reach<'_>>, from: State, to: State) -> Option<f64> {
    if reach.is_some_and(|reach| !reach.allows(from, to)) {
        return None;
    }
    let ((n0, r0), (n, r)) = (from, to);
    Some(if n > n0 { (n - n0) as f64 * charges.start[r] } else { (n0 - n) as f64 * charges.leave[r0] })
}

/// The state before `state` on a cheapest path, given the values of the tick before.
fn before(value: &[f64], shape: Shape, charges: &Charges, reach: Option<Reach<'_>>, state: State) -> State {
    let mut best = (f64::INFINITY, state);
    for n in 0..shape.counts {
        for r in 0..shape.sizes {
            let so_far = value[n * shape.sizes + r];
            // Not being better without the switch, it is not with it.
            if so_far >= best.0 {
                continue;
            }
            if let Some(cost) = switch(charges, reach, (n, r), state)
                && so_far + cost < best.0
            {
                best = (so_far + cost, (n, r));
            }
        }
    }
    best.1
}

/// The values of all states after a tick, and room to work in.
struct Front {
    shape: Shape,
    value: Vec<f64>,
    next: Vec<f64>,
    /// By size: the cheapest way from a smaller count to the present one, where any size may be left for this one…
    up: Vec<f64>,
    /// …and where only sizes from this one on may.
    up_held: Vec<f64>,
    /// By size: the cheapest way from a larger count.
    down: Vec<f64>,
    /// By state: the cheapest way from a larger count or the same, from a size not below.
    held: Vec<f64>,
    /// By count: the cheapest way from a larger count or the same, from any size.
    any: Vec<f64>,
}

impl Front {
    /// Before the first tick every state is free: what a workload begins with is not a decision.
    fn new(shape: Shape) -> Self {
        let states = shape.counts * shape.sizes;
        Self {
            shape,
            value: vec![0.0; states],
            next: vec![0.0; states],
            up: vec![0.0; shape.sizes],
            up_held: vec![0.0; shape.sizes],
            down: vec![0.0; shape.sizes],
            held: vec![0.0; states],
            any: vec![0.0; shape.counts],
        }
    }

    /// The cheapest state.
    fn best(&self) -> (f64, State) {
        let mut best = (f64::INFINITY, 0);
        for (index, value) in self.value.iter().enumerate() {
            if *value < best.0 {
                best = (*value, index);
            }
        }
        (best.0, (best.1 / self.shape.sizes, best.1 % self.shape.sizes))
    }

    /// Values after one more tick.
    fn advance(&mut self, stages: &mut impl Stages, tick: usize) {
        stages.fill(tick, &mut self.next);
        if tick > 0 {
            match stages.reach(tick) {
                None => {
                    self.shrink(stages.charges(), false);
                    self.grow(stages.charges());
                }
                Some(reach) => {
                    self.shrink(stages.charges(), true);
                    self.grow_within(stages.charges(), reach);
                }
            }
        }
        std::mem::swap(&mut self.value, &mut self.next);
    }

    /// Fills `any` (and `held` when asked): a running minimum from the largest count down.
    fn shrink(&mut self, charges: &Charges, held: bool) {
        let sizes = self.shape.sizes;
        self.down.fill(f64::INFINITY);
        for (n, row) in self.value.chunks_exact(sizes).enumerate().rev() {
            let mut least = f64::INFINITY;
            for ((down, value), leave) in self.down.iter_mut().zip(row).zip(&charges.leave) {
                // Here `down` becomes the cheapest way to this count with that size left, stay included.
                *down = value.min(*down + leave);
                least = least.min(*down);
            }
            self.any[n] = least;
            if held {
                let mut least = f64::INFINITY;
                for (held, down) in self.held[n * sizes..(n + 1) * sizes].iter_mut().zip(&self.down).rev() {
                    least = least.min(*down);
                    *held = least;
                }
            }
        }
    }

    /// Adds the way to each state where everything can be reached: a running minimum from the smallest count up.
    fn grow(&mut self, charges: &Charges) {
        let sizes = self.shape.sizes;
        self.up.fill(f64::INFINITY);
        for (n, row) in self.next.chunks_exact_mut(sizes).enumerate() {
            let stay = self.any[n];
            for ((next, up), start) in row.iter_mut().zip(&mut self.up).zip(&charges.start) {
                // A way that shrinks first and grows again is never cheaper than growing less: `any` may stand for it.
                let way = stay.min(*up);
                *next += way;
                *up = way + start;
            }
        }
    }

    /// The same where growth has limits.
    fn grow_within(&mut self, charges: &Charges, reach: Reach<'_>) {
        let sizes = self.shape.sizes;
        self.up.fill(f64::INFINITY);
        self.up_held.fill(f64::INFINITY);
        for (n, row) in self.next.chunks_exact_mut(sizes).enumerate() {
            let (count, size) = (n <= reach.count, usize::from(reach.size[n]));
            for (r, next) in row.iter_mut().enumerate() {
                let held = self.held[n * sizes + r];
                let (any_way, held_way) = (self.any[n].min(self.up[r]), held.min(self.up_held[r]));
                *next += match (count, r <= size) {
                    (true, true) => any_way,
                    (true, false) => held_way,
                    (false, true) => self.any[n],
                    (false, false) => held,
                };
                self.up[r] = any_way + charges.start[r];
                self.up_held[r] = held_way + charges.start[r];
            }
        }
    }
}

#[cfg(test)]
mod tests;
