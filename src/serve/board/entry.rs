//! Everything that the board keeps of one policy.

use std::{collections::VecDeque, sync::Arc};

use serde::Serialize;

use super::{
    Limits, Point, PolicyMeta, Row, Spark, holds_back,
    point::wanted_cores,
    replay::Kept,
    series::{Series, rounded},
};
use crate::{
    decide::{Decision, Reason},
    policy::PolicyKey,
    units::{Cores, Replicas},
};

/// Changes shown beside a decision.
const CHANGES: usize = 20;

/// Instants of a sparkline: one per two pixels of the list's narrowest width.
const SPARK: usize = 60;

/// Replicas and size of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shape {
    /// Replicas.
    pub replicas: Replicas,
    /// CPU request of a pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_cores: Option<Cores>,
}

impl Shape {
    fn of(decision: &Decision) -> Self {
        Self { replicas: decision.replicas, pod_cores: wanted_cores(decision) }
    }
}

/// A decision that differs from the one before.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// When, in milliseconds since the epoch.
    pub at: i64,
    /// What was wanted before.
    pub from: Shape,
    /// What is wanted now.
    pub to: Shape,
    /// Why, as a word.
    pub reason: Reason,
    /// Why, as a sentence.
    pub message: String,
}

/// The answer of `explain`: one decision and the changes that led to it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recorded {
    /// Whose.
    #[serde(flatten)]
    pub key: PolicyKey,
    /// The policy's unchanging side.
    #[serde(flatten)]
    pub meta: PolicyMeta,
    /// Ready pods at that instant, when it is still on the board.
    pub ready: Option<Replicas>,
    /// The decision with its explain record.
    pub decision: Decision,
    /// The last changes up to that instant, newest first.
    pub changes: Vec<Change>,
}

#[derive(Debug)]
pub(super) struct Entry {
    meta: PolicyMeta,
    pub(super) series: Series,
    pub(super) replay: Kept,
    latest: Arc<Decision>,
    /// Kept decisions, oldest first; `latest` may or may not be among them.
    decisions: VecDeque<Arc<Decision>>,
    changes: VecDeque<Change>,
}

impl Entry {
    pub(super) fn new(meta: PolicyMeta, point: Point, decision: &Decision) -> Self {
        let mut series = Series::default();
        series.push(point, Limits::LIVE);
        let latest = Arc::new(decision.clone());
        Self {
            meta,
            series,
            replay: Kept::default(),
            decisions: VecDeque::from([Arc::clone(&latest)]),
            latest,
            changes: VecDeque::new(),
        }
    }

    pub(super) fn record(&mut self, meta: PolicyMeta, point: Point, decision: &Decision, limits: Limits) {
        let (from, to) = (Shape::of(&self.latest), Shape::of(decision));
        let latest = Arc::new(decision.clone());
        if from != to {
            self.changes.push_back(Change {
                at: decision.at.as_millisecond(),
                from,
                to,
                reason: decision.reason,
                message: decision.message.clone(),
            });
            // In the demo any instant of the day can be asked for, with the changes before it.
            let keep = if limits.every_decision { limits.decisions } else { CHANGES };
            while self.changes.len() > keep {
                self.changes.pop_front();
            }
        }
        if limits.every_decision || from != to || self.latest.reason != decision.reason {
            self.decisions.push_back(Arc::clone(&latest));
            while self.decisions.len() > limits.decisions.max(1) {
                self.decisions.pop_front();
            }
        }
        self.meta = meta;
        self.latest = latest;
        self.series.push(point, limits);
    }

    pub(super) fn explain(&self, key: &PolicyKey, at_ms: Option<i64>) -> Recorded {
        let decision = match at_ms {
            Some(at) if at < self.latest.at.as_millisecond() => {
                let after = self.decisions.partition_point(|d| d.at.as_millisecond() <= at);
                self.decisions.get(after.saturating_sub(1)).unwrap_or(&self.latest)
            }
            _ => &self.latest,
        };
        let at = decision.at.as_millisecond();
        let changes = self.changes.iter().rev().filter(|c| c.at <= at).take(CHANGES).cloned().collect();
        Recorded {
            key: key.clone(),
            meta: self.meta.clone(),
            ready: self.series.iter().rfind(|p| p.at == decision.at).map(|p| p.ready),
            decision: Decision::clone(decision),
            changes,
        }
    }

    /// Whether somebody else writes this workload too.
    pub(super) fn contested(&self) -> bool {
        self.meta.fight.is_some() || self.latest.reason == Reason::RivalWrites
    }

    pub(super) fn stale_signals(&self) -> usize {
        self.latest.explain.signals.iter().filter(|s| holds_back(s.state)).count()
    }

    pub(super) fn row(&self, key: &PolicyKey) -> Row {
        let last = self.series.last().as_ref().map(|p| (p.replicas.0, p.ready.0, p.pod_cores));
        Row {
            key: key.clone(),
            meta: self.meta.clone(),
            at: self.latest.at.as_millisecond(),
            replicas: last.map_or(0, |(replicas, _, _)| replicas),
            ready: last.map_or(0, |(_, ready, _)| ready),
            desired: self.latest.replicas.0,
            pod_cores: last.and_then(|(_, _, pod_cores)| pod_cores),
            reason: self.latest.reason,
            message: self.latest.message.clone(),
            contested: self.contested(),
            spark: self.spark(),
        }
    }

    /// Instants evenly spread over the time that is kept, whatever their density: each shows the last one known then.
    fn spark(&self) -> Spark {
        let mut spark = Spark::default();
        let mut points = self.series.iter().peekable();
        let (Some(first), Some(last)) = (points.peek().map(|p| p.at.as_millisecond()), self.series.last()) else {
            return spark;
        };
        let span = last.at.as_millisecond() - first;
        let wanted = self.series.len().min(SPARK);
        let mut shown = None;
        for n in 1..=wanted {
            let until = first + span * i64::try_from(n).unwrap_or(1) / i64::try_from(wanted).unwrap_or(1);
            while let Some(point) = points.next_if(|p| p.at.as_millisecond() <= until) {
                shown = Some(point);
            }
            if let Some(point) = &shown {
                spark.demand.push(point.demand.and_then(|x| rounded(x.get())));
                spark.capacity.push(point.capacity.and_then(|x| rounded(x.get())));
            }
        }
        spark
    }
}
