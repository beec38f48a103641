//! Why two autoscalers on one workload fight: the known cases, played by the re-implemented autoscalers themselves.
//!
//! A horizontal autoscaler wants `usage = τ · request`; a vertical one wants `request = κ · usage`. Both are content only
//! where `κ · τ = 1`, whatever the load: elsewhere the pair has no resting place and walks to a bound, and where the
//! product is close enough to 1 every state is a resting place, so the load no longer decides. [`play`] shows each way it
//! can end on the smallest cluster there is (`cluster`): steady work, no noise, no shortage of nodes.
//!
//! Must not: decide how a case ends from what the case is. [`Class`] is read off the course alone.

mod cases;
mod cluster;
mod plot;
mod text;

pub use cases::CASES;
pub use plot::plots;
pub(crate) use plot::{escaped, label};
pub use text::{ladders, table, text};

use cluster::{Cluster, Point, Setup};

use super::{Controller, TICK_SECONDS, whole};

/// How a case ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Replicas end at their maximum.
    DriftsToMax,
    /// Replicas end well below the start, under the same work.
    Collapses,
    /// Nothing of note moves.
    Holds,
    /// Replicas find the count that the work needs and stay there.
    Settles,
    /// Work rose and fell again; replicas rose and stayed.
    Ratchets,
    /// Replicas still grow at the end, under the same work.
    Creeps,
    /// Replicas go up and down without end.
    Oscillates,
    /// The first answer is far more than the work needs.
    Overshoots,
}

impl Class {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::DriftsToMax => "drifts to the maximum",
            Self::Collapses => "collapses",
            Self::Holds => "holds",
            Self::Settles => "settles",
            Self::Ratchets => "ratchets: never comes back",
            Self::Creeps => "creeps upwards",
            Self::Oscillates => "oscillates",
            Self::Overshoots => "overshoots",
        }
    }
}

/// One case.
pub struct Case {
    /// Its letter.
    pub key: &'static str,
    /// Name of its picture's file, without extension.
    pub file: &'static str,
    /// What runs, in words.
    pub title: &'static str,
    /// What is not the components' default, and why.
    pub note: &'static str,
    /// The product that decides, where there is one: the vertical factor times the horizontal target.
    pub product: Option<f64>,
    /// How it should end.
    pub expected: Class,
    /// Replicas in the idealised loop, or as measured on a real control plane.
    pub reference: &'static str,
    /// For how long it is played, in seconds.
    pub seconds: f64,
    /// The upper bound of replicas.
    pub max: u32,
    setup: Setup,
    controller: fn() -> Box<dyn Controller + Send>,
}

/// What became of a case.
pub struct Course {
    /// The case.
    pub case: &'static Case,
    /// How it ended.
    pub class: Class,
    /// Pods that were evicted.
    pub evictions: u64,
    /// Pods that were resized in place.
    pub resizes: u64,
    points: Vec<Point>,
}

/// A stretch in which neither the count nor the request of new pods changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rung {
    /// When it began, in seconds.
    pub at: f64,
    /// Replicas.
    pub replicas: u32,
    /// CPU request of a new pod, in cores.
    pub request: f64,
}

/// A change of fewer replicas than this share is not of note.
const NOTABLE: f64 = 1.25;
/// Reserving more than this multiple of what is needed overshoots.
const OVERSHOOT: f64 = 1.5;
/// More changes of direction an hour than this, to the end, is oscillation.
const REVERSALS_PER_HOUR: f64 = 4.0;

/// Plays a case.
#[must_use]
pub fn play(case: &'static Case) -> Course {
    let mut controller = (case.controller)();
    let mut cluster = Cluster::new(case.setup);
    let ticks = whole(case.seconds / TICK_SECONDS);
    let mut points = vec![cluster.start()];
    points.extend((0..ticks).map(|_| cluster.step(controller.as_mut())));
    let (evictions, resizes) = (cluster.evictions, cluster.resizes);
    Course { case, class: classify(case, &points), evictions, resizes, points }
}

/// Reads off a course how it ends.
fn classify(case: &Case, points: &[Point]) -> Class {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Class::Holds };
    let half = &points[points.len() / 2..];
    let start = f64::from(case.setup.replicas);
    let end = f64::from(last.replicas);
    let work = case.setup.work;
    let highest_work = points.iter().map(|point| work(point.at)).fold(0.0, f64::max);
    if per_hour(half) > REVERSALS_PER_HOUR {
        return Class::Oscillates;
    }
    if last.replicas == case.max {
        return Class::DriftsToMax;
    }
    let needed = work(first.at);
    let too_small = case.setup.queue.is_none() && case.setup.request * start < needed;
    if too_small && points.iter().any(|point| offered(point) > OVERSHOOT * needed) {
        return Class::Overshoots;
    }
    if end * NOTABLE < start {
        return Class::Collapses;
    }
    let still = half.iter().all(|point| point.replicas == last.replicas);
    match end > start * NOTABLE {
        false => Class::Holds,
        true if !still => Class::Creeps,
        true if highest_work > needed => Class::Ratchets,
        true => Class::Settles,
    }
}

/// What the count and the size that are asked for amount to, in cores.
fn offered(point: &Point) -> f64 {
    f64::from(point.replicas) * point.request
}

/// Changes of direction of the count in an hour.
fn per_hour(points: &[Point]) -> f64 {
    let steps = points.windows(2).filter(|pair| pair[0].replicas != pair[1].replicas);
    let directions: Vec<bool> = steps.map(|pair| pair[1].replicas > pair[0].replicas).collect();
    let reversals = directions.windows(2).filter(|pair| pair[0] != pair[1]).count();
    reversals as f64 / (points.len() as f64 * TICK_SECONDS / 3600.0)
}

impl Course {
    /// The rungs of its ladder: settled states, in order. A state counts as settled when it lasts two minutes.
    #[must_use]
    pub fn rungs(&self) -> Vec<Rung> {
        const SETTLED_TICKS: usize = 8;
        let same = |a: &Point, b: &Point| a.replicas == b.replicas && a.request == b.request;
        let stretches = self.points.chunk_by(same).filter(|stretch| stretch.len() >= SETTLED_TICKS);
        let rung = |first: &Point| Rung { at: first.at, replicas: first.replicas, request: first.request };
        let mut rungs: Vec<Rung> =
            vec![Rung { at: 0.0, replicas: self.case.setup.replicas, request: self.case.setup.request }];
        for stretch in stretches {
            let next = rung(&stretch[0]);
            if rungs.last().is_some_and(|last| last.replicas != next.replicas || last.request != next.request) {
                rungs.push(next);
            }
        }
        rungs
    }

    /// The most that count and size together ever asked for, in cores.
    #[must_use]
    pub fn most_offered(&self) -> f64 {
        self.points.iter().map(offered).fold(0.0, f64::max)
    }

    /// Fewest and most replicas of the second half.
    #[must_use]
    pub fn span(&self) -> (u32, u32) {
        let half = self.points[self.points.len() / 2..].iter().map(|point| point.replicas);
        (half.clone().min().unwrap_or(0), half.max().unwrap_or(0))
    }

    /// Changes of direction of the count in an hour of the second half.
    #[must_use]
    pub fn reversals_per_hour(&self) -> f64 {
        per_hour(&self.points[self.points.len() / 2..])
    }

    /// Replicas at the end.
    #[must_use]
    pub fn last_replicas(&self) -> u32 {
        self.points.last().map_or(0, |point| point.replicas)
    }

    /// CPU request of a pod at the end, mean over all, in cores.
    #[must_use]
    pub fn last_request(&self) -> f64 {
        self.points.last().map_or(0.0, |point| point.mean_request)
    }
}
