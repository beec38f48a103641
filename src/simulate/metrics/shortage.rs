//! Pressure and throttling, as the kernel would tell of them.

use crate::simulate::{
    WINDOW_STEPS,
    latency::{pressure, throttled},
    plant::{Plant, Pod},
};

/// Sums over pods of one container's shares of time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shortage {
    /// Something waits for CPU.
    pub(super) pressure: f64,
    /// The quota of a period is used up.
    pub(super) throttled: f64,
}

impl Shortage {
    /// Adds a pod that reports usage.
    pub(super) fn add(&mut self, plant: &Plant, pod: &Pod, index: usize, lag: usize) {
        let container = &pod.containers[index];
        let work = match index.checked_sub(1).and_then(|index| plant.service.sidecars.get(index)) {
            Some(sidecar) => sidecar.work.get(),
            None => plant.service.work.get(),
        };
        let window = container.history.window(lag, WINDOW_STEPS);
        let steps = window.len().max(1) as f64;
        for sample in window {
            let granted = sample.granted.max(f64::MIN_POSITIVE);
            self.pressure += if sample.short { 1.0 } else { pressure(granted, sample.cpu / granted) } / steps;
            let Some(limit) = container.size.cpu_limit else { continue };
            let stopped = sample.short && granted >= limit;
            self.throttled += if stopped { 1.0 } else { throttled(limit, sample.cpu, work) } / steps;
        }
    }
}
