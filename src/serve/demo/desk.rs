//! What the page of the demo sees and turns: progress, counters, pause, speed.

use std::sync::{PoisonError, RwLock};

use serde::Serialize;

use crate::{
    simulate::Score,
    units::{Dollars, Seconds},
};

/// Slowest and fastest playing, in cluster seconds per second: real time, and a day in a second.
const SPEEDS: std::ops::RangeInclusive<f64> = 1.0..=86_400.0;

/// One side, counted from the start of the day.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SideStatus {
    /// Namespace of its policy on the board.
    pub namespace: String,
    /// Name of its policy on the board.
    pub name: String,
    /// Title on the page.
    pub title: String,
    /// What it is, in a line.
    pub subtitle: String,
    /// Paid so far.
    pub cost: Dollars,
    /// Pods created so far.
    pub pods_started: u64,
    /// Requests so far.
    pub requests: f64,
    /// Requests over the objective so far.
    pub requests_over_slo: f64,
    /// The score so far.
    pub score: Score,
}

impl SideStatus {
    /// Share of requests over the objective; `None` without requests.
    #[must_use]
    pub fn over_ratio(&self) -> Option<f64> {
        (self.requests > 0.0).then(|| self.requests_over_slo / self.requests)
    }
}

/// The state of the demo; instants in milliseconds since the epoch.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Beginning of the day.
    pub start: i64,
    /// End of the day.
    pub end: i64,
    /// How far it has been played.
    pub at: i64,
    /// Cluster seconds per second.
    pub speed: f64,
    /// The speed that it began with.
    pub usual_speed: f64,
    /// Whether it stands still.
    pub paused: bool,
    /// Whether the day is over.
    pub finished: bool,
    /// Target of the latency objective.
    pub latency_target: Option<Seconds>,
    /// Where the recording comes from.
    pub source: String,
    /// The outcome in a sentence.
    pub sentence: String,
    /// The rival, then arbiter.
    pub sides: Vec<SideStatus>,
}

/// The shared state of the demo.
#[derive(Debug)]
pub struct Desk {
    status: RwLock<Status>,
}

impl Desk {
    pub(super) fn new(status: Status) -> Self {
        Self { status: RwLock::new(status) }
    }

    /// The state now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Cluster seconds per second, 0 while it is paused.
    pub(super) fn pace(&self) -> f64 {
        let status = self.status.read().unwrap_or_else(PoisonError::into_inner);
        if status.paused { 0.0 } else { status.speed }
    }

    /// Sets the speed; false when it is out of range.
    pub(super) fn set_speed(&self, speed: f64) -> bool {
        let fits = SPEEDS.contains(&speed);
        if fits {
            self.change(|status| status.speed = speed);
        }
        fits
    }

    pub(super) fn set_paused(&self, paused: bool) {
        self.change(|status| status.paused = paused);
    }

    pub(super) fn publish(&self, at: i64, sides: Vec<SideStatus>, finished: bool) {
        self.change(|status| {
            status.sentence = sentence(&sides, status.latency_target).unwrap_or_default();
            (status.at, status.sides, status.finished) = (at, sides, finished);
        });
    }

    fn change(&self, f: impl FnOnce(&mut Status)) {
        f(&mut self.status.write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The outcome, whoever won; none when there are not two sides, or nothing was served.
fn sentence(sides: &[SideStatus], target: Option<Seconds>) -> Option<String> {
    let [rival, own] = sides else { return None };
    let (rival_over, own_over) = (rival.over_ratio()?, own.over_ratio()?);
    let change = own.cost / rival.cost - 1.0;
    let compared = match (change * 100.0).round() {
        0.0 => "the same".to_owned(),
        less if less < 0.0 => format!("{:.0} % less", -less),
        more => format!("{more:.0} % more"),
    };
    let limit = target.map_or_else(|| "the objective".to_owned(), |t| format!("{:.0} ms", t.get() * 1000.0));
    Some(format!(
        "On the same load {} paid ${:.2} where {} paid ${:.2} ({compared}); {} of its requests took over {limit}, there {}.",
        own.title,
        own.cost.get(),
        rival.title,
        rival.cost.get(),
        percent(own_over),
        percent(rival_over),
    ))
}

/// A share as people read it.
#[must_use]
pub(crate) fn percent(ratio: f64) -> String {
    match ratio * 100.0 {
        0.0 => "0 %".to_owned(),
        p if p < 0.01 => "<0.01 %".to_owned(),
        p if p < 1.0 => format!("{p:.2} %"),
        p if p < 10.0 => format!("{p:.1} %"),
        p => format!("{p:.0} %"),
    }
}
