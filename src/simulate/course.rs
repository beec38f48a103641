//! The course of a run in a few lines: what a scenario shows, readable without a plot.

use super::{plant::Step, run::Truth};

/// Parts that a run is cut into.
pub const PARTS: usize = 12;

/// One twelfth of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Part {
    /// Hours from the start of the run to where it begins.
    pub from_hours: f64,
    /// Work that arrived, mean, in cores.
    pub demand_cores: f64,
    /// Ready pods, mean.
    pub ready: f64,
    /// CPU request of a pod's serving container, mean over pods and time, in cores.
    pub pod_cores: f64,
    /// Requests or items.
    pub requests: f64,
    /// Those of them that were late.
    pub late: f64,
    ticks: f64,
}

/// The parts of a run.
#[derive(Clone, Debug)]
pub(super) struct Course {
    seconds: f64,
    parts: [Part; PARTS],
}

impl Course {
    pub(super) fn new(duration_seconds: f64) -> Self {
        let seconds = duration_seconds / PARTS as f64;
        let part = |index| Part { from_hours: index as f64 * seconds / 3600.0, ..Part::default() };
        Self { seconds, parts: std::array::from_fn(part) }
    }

    /// Adds the 15 s after an instant.
    pub(super) fn add(&mut self, now: f64, truth: &Truth, steps: &[Step]) {
        let part = &mut self.parts[super::whole(now / self.seconds).min(PARTS - 1)];
        part.ticks += 1.0;
        part.demand_cores += truth.demand_cores.get();
        part.ready += truth.ready.as_f64();
        part.pod_cores += truth.pod_request_cores.get();
        part.requests += steps.iter().map(|step| step.requests).sum::<f64>();
        part.late += steps.iter().map(|step| step.over).sum::<f64>();
    }

    /// Means over each part.
    pub(super) fn parts(&self) -> Vec<Part> {
        let mean = |part: &Part| {
            let ticks = part.ticks.max(1.0);
            let (demand_cores, ready, pod_cores) =
                (part.demand_cores / ticks, part.ready / ticks, part.pod_cores / ticks);
            Part { demand_cores, ready, pod_cores, ..*part }
        };
        self.parts.iter().map(mean).collect()
    }
}
