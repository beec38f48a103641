//! From a proposal to a count: stabilised over past proposals, then limited by steps and bounds.
//!
//! An HPA without `behavior` keeps the highest proposal of its window and at most doubles (or reaches four); one with
//! `behavior` looks back in both directions and obeys its step policies. Proposals are remembered as they were made,
//! before stabilisation.
//!
//! Pure but for the history that is handed in. Times are seconds.

use super::{
    behavior::{Behavior, Steps},
    convert::to_i32,
};

/// Without `behavior`, growth to this count is always allowed.
const GROWTH_FLOOR: f64 = 4.0;
/// Without `behavior`, growth in one step to this many times the count.
const GROWTH_FACTOR: f64 = 2.0;

/// What the controller remembers of one HPA; a restart loses it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    proposals: Vec<(f64, i32)>,
    /// Steps made under `behavior`.
    pub steps: Steps,
}

/// Bounds of the count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// `minReplicas`.
    pub min: i32,
    /// `maxReplicas`.
    pub max: i32,
}

/// What stabilisation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stabilised {
    /// Nothing: the proposal stands.
    Ready,
    /// Growing waits.
    Up,
    /// Shrinking waits.
    Down,
}

/// Which limit binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// None.
    WithinRange,
    /// `minReplicas`.
    TooFew,
    /// `maxReplicas`.
    TooMany,
    /// The step allowed for growing.
    ScaleUp,
    /// The step allowed for shrinking.
    ScaleDown,
}

/// A count and how it came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Normalised {
    /// After stabilisation, before limits.
    pub stabilized: i32,
    /// What stabilisation did.
    pub stabilisation: Stabilised,
    /// After limits.
    pub desired: i32,
    /// Which limit binds.
    pub limit: Limit,
}

impl History {
    /// Whether nothing is remembered: an HPA seen for the first time.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.proposals.is_empty()
    }

    /// The current count as first recommendation: nothing shrinks faster for a controller that just began.
    pub fn seed(&mut self, current: i32, now: f64) {
        self.proposals.push((now, current));
    }

    /// Remembers a proposal in the place of the last one that nobody looks at any more, if there is one.
    fn store(&mut self, proposal: i32, now: f64, is_old: impl Fn(f64) -> bool) {
        match self.proposals.iter_mut().rfind(|(at, _)| is_old(*at)) {
            Some(old) => *old = (now, proposal),
            None => self.proposals.push((now, proposal)),
        }
    }

    /// The highest proposal of the window, this one and one exactly a window old included.
    fn highest(&self, proposal: i32, cutoff: f64) -> i32 {
        self.proposals.iter().filter(|(at, _)| *at >= cutoff).fold(proposal, |high, (_, past)| high.max(*past))
    }

    /// A count without `behavior`.
    pub fn plain(&mut self, current: i32, proposal: i32, bounds: Bounds, window: f64, now: f64) -> Normalised {
        let cutoff = now - window;
        let stabilized = self.highest(proposal, cutoff);
        self.store(proposal, now, |at| at < cutoff);
        let stabilisation = if stabilized == proposal { Stabilised::Ready } else { Stabilised::Down };
        let step = to_i32((f64::from(current) * GROWTH_FACTOR).max(GROWTH_FLOOR));
        let (desired, limit) = match stabilized {
            low if low < bounds.min => (bounds.min, Limit::TooFew),
            high if bounds.max > step && high > step => (step, Limit::ScaleUp),
            high if high > bounds.max => (bounds.max, Limit::TooMany),
            within => (within, Limit::WithinRange),
        };
        Normalised { stabilized, stabilisation, desired, limit }
    }

    /// A count with `behavior`.
    pub fn behaved(
        &mut self,
        current: i32,
        proposal: i32,
        bounds: Bounds,
        behavior: &Behavior,
        now: f64,
    ) -> Normalised {
        let stabilized = self.stabilise(current, proposal, behavior, now);
        let stabilisation = match stabilized == proposal {
            true => Stabilised::Ready,
            false if proposal >= current => Stabilised::Up,
            false => Stabilised::Down,
        };
        let (desired, limit) = self.limited(current, stabilized, bounds, behavior, now);
        Normalised { stabilized, stabilisation, desired, limit }
    }

    /// The current count, raised to the lowest proposal of the window for growing and lowered to the highest one of the
    /// window for shrinking; proposals exactly a window old are out.
    fn stabilise(&mut self, current: i32, proposal: i32, behavior: &Behavior, now: f64) -> i32 {
        let (up_cutoff, down_cutoff) = (now - behavior.up.window, now - behavior.down.window);
        let (mut up, mut down) = (proposal, proposal);
        for (at, past) in &self.proposals {
            if *at > up_cutoff {
                up = up.min(*past);
            }
            if *at > down_cutoff {
                down = down.max(*past);
            }
        }
        self.store(proposal, now, |at| at < up_cutoff && at < down_cutoff);
        current.max(up).min(down)
    }

    fn limited(&self, current: i32, wanted: i32, bounds: Bounds, behavior: &Behavior, now: f64) -> (i32, Limit) {
        if wanted > current {
            let step = self.steps.ceiling(&behavior.up, current, now);
            let (ceiling, limit) =
                if bounds.max > step { (step, Limit::ScaleUp) } else { (bounds.max, Limit::TooMany) };
            if wanted > ceiling {
                return (ceiling, limit);
            }
        } else if wanted < current {
            let step = self.steps.floor(&behavior.down, current, now);
            let (floor, limit) = if bounds.min < step { (step, Limit::ScaleDown) } else { (bounds.min, Limit::TooFew) };
            if wanted < floor {
                return (floor, limit);
            }
        }
        (wanted, Limit::WithinRange)
    }
}
