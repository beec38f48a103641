//! A bounded series of instants: recent ones one by one, older ones thinned.
//!
//! Of each group of old instants **one real instant** stays: the one with the largest shortage, else the last one
//! whose decision differs from the group's first. Averages would show a moment that never was, beside a sentence
//! that was never said, and would hide exactly the moments that one looks for.

use std::collections::VecDeque;

use serde::Serialize;

use super::{Limits, Point};
use crate::decide::Reason;

/// The instants of one policy.
#[derive(Debug, Default)]
pub(super) struct Series {
    coarse: VecDeque<Point>,
    fine: VecDeque<Point>,
}

impl Series {
    /// Adds an instant. One at or before the newest replaces what it contradicts: time never runs backwards here.
    pub(super) fn push(&mut self, point: Point, limits: Limits) {
        for kept in [&mut self.fine, &mut self.coarse] {
            while kept.back().is_some_and(|last| last.at >= point.at) {
                kept.pop_back();
            }
        }
        self.fine.push_back(point);
        let group = limits.group.max(1);
        // More than once when the limit has fallen since.
        while self.fine.len() >= limits.fine + group {
            let old: Vec<Point> = self.fine.drain(..group).collect();
            self.coarse.extend(keep_one(old));
        }
        while self.coarse.len() > limits.coarse {
            self.coarse.pop_front();
        }
    }

    /// From the oldest to the newest.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Point> + ExactSizeIterator<Item = &Point> {
        Both { first: self.coarse.iter(), second: self.fine.iter() }
    }

    /// The newest instant.
    pub(super) fn last(&self) -> Option<&Point> {
        self.fine.back()
    }

    /// The instants after one, as columns.
    pub(super) fn history(&self, after_ms: Option<i64>) -> History {
        let mut history = History::default();
        for point in self.iter().filter(|p| after_ms.is_none_or(|after| p.at.as_millisecond() > after)) {
            history.push(point);
        }
        history
    }
}

/// Two deques as one exact-size iterator (`Chain` is not one).
struct Both<'a> {
    first: std::collections::vec_deque::Iter<'a, Point>,
    second: std::collections::vec_deque::Iter<'a, Point>,
}

impl<'a> Iterator for Both<'a> {
    type Item = &'a Point;
    fn next(&mut self) -> Option<&'a Point> {
        self.first.next().or_else(|| self.second.next())
    }
    fn size_hint(&self) -> (usize, Option<usize>) {
        let n = self.first.len() + self.second.len();
        (n, Some(n))
    }
}

impl DoubleEndedIterator for Both<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.second.next_back().or_else(|| self.first.next_back())
    }
}

impl ExactSizeIterator for Both<'_> {}

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
