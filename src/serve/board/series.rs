//! A bounded series of instants: recent ones one by one, older ones thinned.
//!
//! Of each group of old instants **one real instant** stays: the one with the largest shortage, else the last one
//! whose decision differs from the group's first. Averages would show a moment that never was, beside a sentence
//! that was never said, and would hide exactly the moments that one looks for.

use std::{collections::VecDeque, sync::Arc};

use jiff::Timestamp;
use serde::Serialize;

use super::{Limits, Point};
use crate::{
    decide::Reason,
    units::{Cores, Replicas, Seconds},
};

/// The instants of one policy.
#[derive(Debug, Default)]
pub(super) struct Series {
    coarse: VecDeque<Kept>,
    fine: VecDeque<Kept>,
}

/// A point as it is kept: what is not known is NaN, which takes half the room of an `Option`.
#[derive(Clone, Debug)]
struct Kept {
    at: Timestamp,
    numbers: [f64; 8],
    replicas: Replicas,
    ready: Replicas,
    desired: Replicas,
    reason: Reason,
    message: Arc<str>,
}

impl From<Point> for Kept {
    fn from(p: Point) -> Self {
        let (cores, seconds) = (|x: Option<Cores>| x.map(Cores::get), |x: Option<Seconds>| x.map(Seconds::get));
        let numbers = [
            cores(p.demand),
            cores(p.planned),
            cores(p.capacity),
            cores(p.pod_cores),
            seconds(p.latency),
            seconds(p.latency_target),
            p.violation,
            p.backlog,
        ];
        Self {
            at: p.at,
            numbers: numbers.map(|x| x.unwrap_or(f64::NAN)),
            replicas: p.replicas,
            ready: p.ready,
            desired: p.desired,
            reason: p.reason,
            message: p.message,
        }
    }
}

impl Kept {
    fn point(&self) -> Point {
        let [demand, planned, capacity, pod_cores, latency, latency_target, violation, backlog] =
            self.numbers.map(|x| (!x.is_nan()).then_some(x));
        Point {
            at: self.at,
            demand: demand.map(Cores),
            planned: planned.map(Cores),
            capacity: capacity.map(Cores),
            replicas: self.replicas,
            ready: self.ready,
            desired: self.desired,
            pod_cores: pod_cores.map(Cores),
            latency: latency.map(Seconds),
            latency_target: latency_target.map(Seconds),
            violation,
            backlog,
            reason: self.reason,
            message: Arc::clone(&self.message),
        }
    }
}

impl Series {
    /// Adds an instant. One at or before the newest replaces what it contradicts: time never runs backwards here.
    pub(super) fn push(&mut self, mut point: Point, limits: Limits) {
        for kept in [&mut self.fine, &mut self.coarse] {
            while kept.back().is_some_and(|last| last.at >= point.at) {
                kept.pop_back();
            }
        }
        // Most instants say what the one before said.
        if let Some(last) = self.fine.back().filter(|last| last.message == point.message) {
            point.message = Arc::clone(&last.message);
        }
        self.fine.push_back(point.into());
        let group = limits.group.max(1);
        // More than once when the limit has fallen since.
        while self.fine.len() >= limits.fine + group {
            let old: Vec<Point> = self.fine.drain(..group).map(|kept| kept.point()).collect();
            self.coarse.extend(keep_one(old).map(Kept::from));
        }
        while self.coarse.len() > limits.coarse {
            self.coarse.pop_front();
        }
    }

    /// From the oldest to the newest.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = Point> {
        self.coarse.iter().chain(&self.fine).map(Kept::point)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.coarse.len() + self.fine.len()
    }

    /// The newest instant.
    pub(super) fn last(&self) -> Option<Point> {
        self.fine.back().map(Kept::point)
    }

    /// The instants after one, as columns.
    pub(super) fn history(&self, after_ms: Option<i64>) -> History {
        let mut history = History::default();
        for point in self.iter().filter(|p| after_ms.is_none_or(|after| p.at.as_millisecond() > after)) {
            history.push(&point);
        }
        history
    }
}

fn keep_one(group: Vec<Point>) -> Option<Point> {
    let shortage = |p: &Point| p.shortage().map_or(0.0, crate::units::Cores::get);
    let worst = group.iter().map(shortage).fold(0.0, f64::max);
    let index = if worst > 0.0 {
        group.iter().position(|p| shortage(p) == worst)
    } else {
        let first = group.first()?;
        group.iter().rposition(|p| (p.reason, p.desired) != (first.reason, first.desired))
    };
    let index = index.unwrap_or(group.len().checked_sub(1)?);
    group.into_iter().nth(index)
}

/// A stretch of instants as columns of equal length; `t` in milliseconds since the epoch, CPU in cores, times in
/// seconds, `violation` as a share; null is not known.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// When.
    pub t: Vec<i64>,
    /// Demand.
    pub demand: Vec<Option<f64>>,
    /// Demand with headroom and drain.
    pub planned: Vec<Option<f64>>,
    /// Demand that ready pods carry.
    pub capacity: Vec<Option<f64>>,
    /// Demand that is not carried.
    pub shortage: Vec<Option<f64>>,
    /// `spec.replicas`.
    pub replicas: Vec<u32>,
    /// Ready pods.
    pub ready: Vec<u32>,
    /// Replicas wanted.
    pub desired: Vec<u32>,
    /// CPU request of a pod.
    pub pod_cores: Vec<Option<f64>>,
    /// Latency at the objective.
    pub latency: Vec<Option<f64>>,
    /// Target of the latency objective.
    pub latency_target: Vec<Option<f64>>,
    /// Share of requests over the target.
    pub violation: Vec<Option<f64>>,
    /// Waiting items.
    pub backlog: Vec<Option<f64>>,
    /// Why, as a word.
    pub reason: Vec<Reason>,
    /// Why, as a sentence.
    pub message: Vec<String>,
}

/// Five significant digits: finer than a pixel, and a third of the bytes.
pub(super) fn rounded(x: f64) -> Option<f64> {
    if !x.is_finite() {
        return None;
    }
    format!("{x:.4e}").parse().ok()
}

impl History {
    fn push(&mut self, point: &Point) {
        let round = |x: Option<f64>| x.and_then(rounded);
        self.t.push(point.at.as_millisecond());
        self.demand.push(round(point.demand.map(crate::units::Cores::get)));
        self.planned.push(round(point.planned.map(crate::units::Cores::get)));
        self.capacity.push(round(point.capacity.map(crate::units::Cores::get)));
        self.shortage.push(round(point.shortage().map(crate::units::Cores::get)));
        self.replicas.push(point.replicas.0);
        self.ready.push(point.ready.0);
        self.desired.push(point.desired.0);
        self.pod_cores.push(round(point.pod_cores.map(crate::units::Cores::get)));
        self.latency.push(round(point.latency.map(crate::units::Seconds::get)));
        self.latency_target.push(round(point.latency_target.map(crate::units::Seconds::get)));
        self.violation.push(round(point.violation));
        self.backlog.push(round(point.backlog));
        self.reason.push(point.reason);
        self.message.push(point.message.to_string());
    }
}
