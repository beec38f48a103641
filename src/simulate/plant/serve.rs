//! What becomes of the requests, or items, of one step.
//!
//! Every ready pod gets its share of the requests; its containers each do their part of the work, and the one with the
//! least room decides. What waits is served later, or given up. Behind all pods there may be a shared bottleneck.

use super::{
    super::{STEP_SECONDS, latency::LatencyTable, service::Downstream},
    Plant, Pod, Service, Step,
};
use crate::units::maths;

/// Work per request grows by this share as a pod saturates (cache misses, context switches, collection).
const SATURATION_COST: f64 = 0.15;
/// Clients give up after this long: more work than that never waits in a pod.
const PATIENCE_SECONDS: f64 = 10.0;
/// A share of requests is never judged at a higher utilization than this; beyond it there is a backlog.
const JUDGED_UTILIZATION: f64 = 0.99;

/// What became of a pod's requests in one step.
pub(super) struct Served {
    pub(super) share_over: f64,
    capacity: f64,
    utilization: f64,
    busy: f64,
}

/// A moment: now, how much more than their requests pods get, whether it is a tick.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    pub(super) now: f64,
    pub(super) stretch: f64,
    pub(super) tick: bool,
}

impl Plant {
    /// Spreads the step's requests over the ready pods.
    pub(super) fn serve(&mut self, moment: Moment, step: &mut Step) {
        let Moment { now, tick, .. } = moment;
        let (mut weights, mut ready) = (0.0, 0.0);
        for pod in self.pods.iter().filter(|pod| pod.is_ready(now)) {
            weights += pod.weight();
            ready += 1.0;
        }
        if ready == 0.0 {
            step.over = step.requests;
            step.demand = step.requests * self.service.work.get() / STEP_SECONDS;
            return;
        }
        let (downstream_share, downstream_inside) = self.downstream(step.requests);
        for index in 0..self.pods.len() {
            let pod = &mut self.pods[index];
            if !pod.is_ready(now) {
                continue;
            }
            let part = pod.weight() / weights;
            let requests = step.requests * part;
            step.demand += requests * pod.factors.0 * self.service.work.get() / STEP_SECONDS;
            if pod.lost_at.is_some() {
                // The load balancer has not heard yet: what it sends there is lost.
                step.over += requests;
                continue;
            }
            let served = serve_pod(pod, requests, moment, &self.service, &self.latency);
            step.over += requests * (1.0 - (1.0 - served.share_over) * (1.0 - downstream_share));
            step.backlog += pod.backlog;
            step.capacity += (pod.containers[0].size.cpu - self.service.idle.get()).max(0.0);
            step.pod_capacity += served.capacity / ready;
            step.pod_utilization += served.utilization / ready;
            if tick {
                let inside = served.busy + pod.backlog / self.service.work.get() + downstream_inside * part;
                pod.fill(now, requests / STEP_SECONDS, inside, &self.service);
            }
        }
    }

    /// Lets pods work off the queue.
    pub(super) fn work_off(&mut self, moment: Moment, deadline: f64, step: &mut Step) {
        let Moment { now, stretch, tick } = moment;
        self.waiting.arrive(now, step.requests);
        let work = self.service.work.get();
        let able = |pod: &Pod| {
            let granted = pod.granted(0, now, stretch, &self.service).max(1e-3);
            (granted, (granted - self.service.idle.get()).max(0.0) / (work * pod.factors.0 * (1.0 + SATURATION_COST)))
        };
        let works = |pod: &Pod| pod.is_ready(now) && pod.lost_at.is_none();
        let per_second: f64 = self.pods.iter().filter(|pod| works(pod)).map(|pod| able(pod).1).sum();
        let taken = self.waiting.take(per_second * STEP_SECONDS) / STEP_SECONDS;
        let share = if per_second > 0.0 { taken / per_second } else { 0.0 };
        let abilities: Vec<(f64, f64)> = self.pods.iter().map(able).collect();
        self.waiting.in_flight = 0.0;
        for (pod, (granted, items)) in self.pods.iter_mut().zip(abilities) {
            if !works(pod) {
                continue;
            }
            let cores = items * share * work * pod.factors.0 * (1.0 + SATURATION_COST * share * share);
            self.waiting.in_flight += cores;
            step.capacity += (pod.containers[0].size.cpu - self.service.idle.get()).max(0.0);
            if tick {
                pod.fill(now, items * share, cores, &self.service);
            }
            let used = self.service.idle.get() + cores + pod.start_burn(now, &self.service);
            pod.record(0, (used.min(granted), granted), share >= 1.0);
            record_sidecars(pod, items * share, moment, &self.service);
        }
        step.demand = step.requests * work / STEP_SECONDS;
        step.backlog = self.waiting.items * work;
        step.over = self.waiting.newly_late(now + STEP_SECONDS, deadline);
    }

    /// Share of requests that the bottleneck behind the service makes late, and how many wait in it.
    pub(super) fn downstream(&mut self, requests: f64) -> (f64, f64) {
        let Some((Downstream { rps, latency }, table)) = self.service.downstream.zip(self.downstream_latency.as_ref())
        else {
            return (0.0, 0.0);
        };
        let waiting = self.downstream_backlog + requests;
        let served = waiting.min(rps * STEP_SECONDS);
        self.downstream_backlog = (waiting - served).min(rps * PATIENCE_SECONDS);
        let delay = self.downstream_backlog / rps;
        let utilization = (requests / (rps * STEP_SECONDS)).min(JUDGED_UTILIZATION);
        let objective = self.service.objective.get();
        let share = if delay > objective {
            1.0
        } else {
            table.share_over(rps * latency.get(), utilization).max(delay / objective)
        };
        (share, self.downstream_backlog)
    }
}

/// One pod, one step: what it serves, what waits, which share is late.
pub(super) fn serve_pod(
    pod: &mut Pod,
    requests: f64,
    moment: Moment,
    service: &Service,
    latency: &LatencyTable,
) -> Served {
    let Moment { now, stretch, .. } = moment;
    let idle = service.idle.get();
    let capacity = pod.granted(0, now, stretch, service).max(1e-3);
    let mut available = (capacity - idle).max(1e-3);
    let work = service.work.get() * pod.factors.0;
    let nominal = requests * work / STEP_SECONDS;
    let narrow = narrowest_sidecar(pod, requests / STEP_SECONDS, work, moment, service);
    // Work that the scarcest container lets through, in the first container's CPU.
    available = available.min(narrow.map_or(f64::INFINITY, |narrow| narrow.available));
    let fullness = (nominal / available).min(1.0);
    let demand = nominal * (1.0 + SATURATION_COST * fullness * fullness);
    let wanted = demand + pod.backlog / STEP_SECONDS;
    let served = wanted.min(available);
    let waiting = (wanted - served) * STEP_SECONDS;
    let delay = waiting / available;
    pod.backlog = waiting.min(available * PATIENCE_SECONDS);
    let utilization = ((demand + idle) / capacity).min(JUDGED_UTILIZATION);
    let objective = service.objective.get();
    let share_over = if delay > objective {
        1.0
    } else {
        // Dearer requests on a pod are the usual ones on a smaller pod, with the objective as much nearer.
        let own = latency.share_over_log2(maths::log2(capacity / pod.factors.0), utilization);
        let beside = narrow.map_or(0.0, |narrow| latency.share_over(narrow.capacity, narrow.utilization));
        own.max(beside).max(delay / objective)
    };
    let used = capacity.min(idle + served + pod.start_burn(now, service));
    pod.record(0, (used, capacity), wanted > available);
    record_sidecars(pod, served / work.max(f64::MIN_POSITIVE), moment, service);
    Served { share_over, capacity, utilization, busy: served }
}

/// A container beside the first one, in units of the first one's work.
#[derive(Clone, Copy)]
struct Narrow {
    available: f64,
    capacity: f64,
    utilization: f64,
}

/// The sidecar that lets the least work through; none without any that works on requests.
fn narrowest_sidecar(pod: &Pod, rate: f64, work: f64, moment: Moment, service: &Service) -> Option<Narrow> {
    let mut narrowest: Option<Narrow> = None;
    for (index, sidecar) in service.sidecars.iter().enumerate().filter(|(_, sidecar)| sidecar.work.get() > 0.0) {
        let granted = pod.granted(index + 1, moment.now, moment.stretch, service).max(1e-3);
        let scale = work / sidecar.work.get();
        let one = Narrow {
            available: (granted - sidecar.idle.get()).max(1e-3) * scale,
            capacity: granted * scale,
            utilization: ((rate * sidecar.work.get() + sidecar.idle.get()) / granted).min(JUDGED_UTILIZATION),
        };
        if narrowest.is_none_or(|before| one.available < before.available) {
            narrowest = Some(one);
        }
    }
    narrowest
}

/// Records what the sidecars used for so many requests per second.
fn record_sidecars(pod: &mut Pod, rate: f64, moment: Moment, service: &Service) {
    for (index, sidecar) in service.sidecars.iter().enumerate() {
        let granted = pod.granted(index + 1, moment.now, moment.stretch, service);
        let used = sidecar.idle.get() + rate * sidecar.work.get();
        pod.record(index + 1, (used.min(granted), granted), used > granted);
    }
}
