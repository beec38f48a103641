//! What someone who knows everything would know of the plant before a run: the load that comes, the CPU that neighbours
//! leave, and how late a pod of a size is under a load. The oracle looks here and nowhere else.
//!
//! Must not compute anything of its own: each number is what [`Plant::step`] will use.

use super::{
    Plant, Pod, STEP_SECONDS, Size, What, pod, replicas,
    serve::{Moment, serve_pod},
};
use crate::units::Bytes;

/// A pod that has been ready for this long is neither warming up nor burning CPU for its start.
const LONG_READY: f64 = -3600.0;

impl Plant {
    /// Requests that arrive, step by step.
    pub(in crate::simulate) fn future_requests(&self) -> &[f64] {
        &self.arrivals.requests
    }

    /// CPU that a core of request stands for in a step.
    pub(in crate::simulate) fn stretch(&self, step: usize) -> f64 {
        let stretch = 1.0 + self.service.contention * self.arrivals.idle_neighbours[step];
        self.service.cpu_limit_ratio.map_or(stretch, |ratio| stretch.min(ratio))
    }

    /// The largest value of [`Plant::stretch`].
    pub(in crate::simulate) fn most_stretch(&self) -> f64 {
        1.0 + self.service.contention
    }

    /// Deviation of a pod's share of the load.
    pub(in crate::simulate) const IMBALANCE: f64 = pod::IMBALANCE_DEVIATION;

    /// A pod leaves, and is still paid for so long.
    pub(in crate::simulate) const DRAIN: f64 = replicas::DRAIN_SECONDS;

    /// The share of requests that what is behind the service makes late, step by step: no pod can help.
    pub(in crate::simulate) fn future_lateness_behind(&mut self) -> Vec<f64> {
        let requests = self.arrivals.requests.clone();
        let shares = requests.into_iter().map(|requests| self.downstream(requests).0).collect();
        self.downstream_backlog = 0.0;
        shares
    }

    /// Work of a request against what it was in the beginning; while a rollout may go on, the lesser of both.
    pub(in crate::simulate) fn work_factor(&self, step: usize) -> f64 {
        /// No rollout of a few pods takes longer.
        const ROLLOUT_SECONDS: f64 = 1800.0;
        let now = step as f64 * STEP_SECONDS;
        let mut factor = 1.0;
        for event in self.events.iter().take_while(|event| event.at.get() <= now) {
            factor = match event.what {
                What::Rollout { work_factor, .. } if now < event.at.get() + ROLLOUT_SECONDS => work_factor.min(factor),
                What::Rollout { work_factor, .. } | What::CostChange { work_factor } => work_factor,
                _ => factor,
            };
        }
        factor
    }

    /// The least memory of a pod against what it was in the beginning.
    pub(in crate::simulate) fn least_memory_factor(&self) -> f64 {
        let factors = self.events.iter().filter_map(|event| match event.what {
            What::Rollout { memory_factor, .. } => Some(memory_factor),
            _ => None,
        });
        factors.fold(1.0, f64::min)
    }

    /// The share of late requests in a pod with so many cores of work and so many cores of capacity, nothing waiting, by
    /// the work of a request against what it was in the beginning.
    pub(in crate::simulate) fn late_share(&self, factor: f64) -> impl FnMut(f64, f64) -> f64 {
        let plenty = Size { cpu: 1e6, cpu_limit: None, memory: Bytes(u64::MAX), memory_limit: None };
        let mut pod = Pod::create(0, 0, LONG_READY, &vec![plenty; self.template.len()], &self.service);
        pod.ready_at = LONG_READY;
        pod.factors.0 = factor;
        let moment = Moment { now: 0.0, stretch: 1.0, tick: false };
        move |work, capacity| {
            pod.containers[0].size.cpu = capacity;
            pod.backlog = 0.0;
            // Lateness is a share: with no work at all it is that of the very first request.
            let requests = (work * STEP_SECONDS / (self.service.work.get() * factor)).max(f64::MIN_POSITIVE);
            serve_pod(&mut pod, requests, moment, &self.service, &self.latency).share_over
        }
    }
}
