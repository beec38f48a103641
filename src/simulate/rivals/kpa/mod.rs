//! Knative's pod autoscaler on requests per second, or on requests at a time where the workload has a queue.
//!
//! Upstream scrapes a sidecar in every pod each second. Here it has what every controller has: the demand signal, a
//! mean over 30 s that ended 15 s ago, so its panic window holds one reading; a queue it sees 1 to 2 s old. It has no
//! activator: a workload at zero is woken by its signal.
//!
//! Must not: see anything but the demand, the queue and the counts.

pub mod decider;

use std::collections::VecDeque;

use self::decider::{Decider, Demand, Flags, Wanted};
use super::{
    super::{Action, Controller, PodAction, TICK_SECONDS, View},
    Answer,
};
use crate::{decide::Reason, policy::ReplicaRange, units::Replicas};

/// `requests-per-second-target-percentage`, `container-concurrency-target-percentage`.
pub const TARGET_UTILIZATION: f64 = 0.7;

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KpaMetric {
    /// Requests per second, the named signal.
    Rate {
        /// Name of the signal in the snapshot.
        signal: String,
    },
    /// Requests that wait or are worked on.
    Concurrency,
}

/// Knative's autoscaler of one revision.
#[derive(Clone, Debug)]
pub struct Kpa {
    name: String,
    metric: KpaMetric,
    range: ReplicaRange,
    decider: Decider,
    /// Readings of the stable window, oldest first.
    readings: VecDeque<(f64, f64)>,
    /// Since when nothing is wanted.
    idle_since: Option<f64>,
}

impl Kpa {
    /// An autoscaler; `capacity`: what one pod takes of the metric, of which 70 % are aimed at.
    #[must_use]
    pub fn new(name: &str, metric: KpaMetric, capacity: f64, range: ReplicaRange) -> Self {
        let decider = Decider::new(Flags::default(), capacity * TARGET_UTILIZATION);
        Self { name: name.to_owned(), metric, range, decider, readings: VecDeque::new(), idle_since: None }
    }

    /// What it says when it looks once.
    pub fn look(&mut self, view: &View<'_>) -> Answer {
        let current = view.snapshot.replicas.spec;
        self.read(view);
        let Some(demand) = self.demand(view.now) else {
            let message = format!("no demand was seen for a minute: {} replicas stay", current.0);
            return Answer { replicas: current, reason: Reason::WaitingForData, message };
        };
        let ready = view.snapshot.replicas.ready.0;
        let wanted = self.decider.look(view.now, TICK_SECONDS, ready, demand);
        let bounded = wanted.pods.clamp(self.range.min.0, self.range.max.0);
        let replicas = Replicas(self.kept_from_zero(view.now, current.0, bounded));
        let reason = match wanted {
            Wanted { pods, .. } if pods > self.range.max.0 => Reason::LimitedByMax,
            _ if replicas.0 == 0 => Reason::ScaledToZero,
            Wanted { pods, .. } if pods < self.range.min.0 => Reason::LimitedByMin,
            Wanted { panicking: true, .. } => Reason::Saturated,
            _ => Reason::CpuDemand,
        };
        let panic = if wanted.panicking { ", panicking" } else { "" };
        let message = format!(
            "demand {:.1} over a minute, {:.1} now{panic}: {} → {}",
            demand.stable, demand.panic, current.0, replicas.0
        );
        Answer { replicas, reason, message }
    }

    /// Takes the newest reading and forgets those that left the window.
    fn read(&mut self, view: &View<'_>) {
        let reading = match &self.metric {
            KpaMetric::Rate { signal } => view.snapshot.signals.get(signal).and_then(|reading| reading.value),
            KpaMetric::Concurrency => view.queue.map(|queue| queue.waiting + queue.in_flight),
        };
        self.readings.extend(reading.filter(|value| value.is_finite()).map(|value| (view.now, value)));
        let oldest = view.now - self.decider.flags().stable_window;
        while self.readings.front().is_some_and(|(at, _)| *at <= oldest) {
            self.readings.pop_front();
        }
    }

    /// Means over both windows; the panic window always holds the newest reading.
    fn demand(&self, now: f64) -> Option<Demand> {
        let (_, newest) = self.readings.back()?;
        let mean = |from: f64| {
            let inside = self.readings.iter().filter(|(at, _)| *at > from).map(|(_, value)| *value);
            let (sum, count) = inside.fold((0.0, 0.0), |sum, value| (sum.0 + value, sum.1 + 1.0));
            if count > 0.0 { sum / count } else { *newest }
        };
        let Flags { stable_window, panic_window, .. } = self.decider.flags();
        Some(Demand { stable: mean(now - stable_window), panic: mean(now - panic_window) })
    }

    /// The last pod goes only after nothing has been wanted for the grace period.
    fn kept_from_zero(&mut self, now: f64, current: u32, wanted: u32) -> u32 {
        if wanted > 0 || current == 0 {
            self.idle_since = None;
            return wanted;
        }
        let since = *self.idle_since.get_or_insert(now);
        u32::from(now - since < self.decider.flags().grace)
    }
}

impl Controller for Kpa {
    fn name(&self) -> &str {
        &self.name
    }

    fn tick(&mut self, view: &View<'_>) -> Action {
        self.look(view).action(view, PodAction::NewPods(Vec::new()))
    }
}

#[cfg(test)]
mod tests;
