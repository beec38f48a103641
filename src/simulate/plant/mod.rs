//! The plant: pods that serve requests, five seconds at a time.
//!
//! It knows nothing of the decision model and shares no formula with it. Work per request grows near saturation, load
//! balancing is uneven, neighbours take what a pod's request does not hold, pods take time to start and burn CPU when
//! they do, running pods are resized with a delay, memory can be exhausted.
//!
//! Invariant: deterministic; everything random belongs to a stream drawn before the run or to one pod.

mod pod;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

pub(super) use pod::{Pod, Sample, Size};

use super::{
    Action, PodAction, STEP_SECONDS, STEPS_PER_TICK, Scenario, Service, arrivals::Arrivals, latency::LatencyTable,
    whole,
};
use crate::{
    decide::{ContainerSize, Decision},
    policy::ResizeStrategy,
    units::Cores,
};

/// Name of the only container.
pub(super) const CONTAINER: &str = "app";
/// Steps of request metrics that are kept: a window and the lag before it.
const HISTORY: usize = 9;
/// A pod that leaves is paid for until its connections have drained.
const DRAIN_SECONDS: f64 = 30.0;
/// What a pod gets beyond its request when its neighbours are idle.
const NEIGHBOUR_STRETCH: f64 = 0.4;
/// Work per request grows by this share as a pod saturates (cache misses, context switches, collection).
const SATURATION_COST: f64 = 0.15;
/// Clients give up after this long: more work than that never waits in a pod.
const PATIENCE_SECONDS: f64 = 10.0;
/// A share of requests is never judged at a higher utilization than this; beyond it there is a backlog.
const JUDGED_UTILIZATION: f64 = 0.995;
/// Sizes closer than this are the same.
const SAME_SIZE: f64 = 1e-6;

/// What happened in one step.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Step {
    /// Requests that arrived.
    pub(super) requests: f64,
    /// Requests over the objective.
    pub(super) over: f64,
    /// Work that arrived, in cores, at low-load cost.
    pub(super) demand: f64,
    /// Work left waiting, in core-seconds.
    pub(super) backlog: f64,
    /// CPU requests of ready pods beyond their idle cost, in cores.
    pub(super) capacity: f64,
    /// Mean capacity and utilization of a pod, for the shape of the latency.
    pub(super) pod_capacity: f64,
    /// See `pod_capacity`.
    pub(super) pod_utilization: f64,
    /// Whether the request signal was recorded.
    pub(super) recorded: bool,
    /// CPU requests that were paid for, in cores (draining pods included).
    pub(super) paid_cores: f64,
    /// Cost of the step, in dollars.
    pub(super) cost: f64,
}

/// Counts of events since the start of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Counts {
    /// Pods created after the start.
    pub(super) starts: u64,
    /// In-place resizes asked for.
    pub(super) resizes: u64,
    /// Pods evicted.
    pub(super) evictions: u64,
    /// Containers killed for memory.
    pub(super) oom_kills: u64,
}

/// The simulated workload.
#[derive(Clone, Debug)]
pub(super) struct Plant {
    pub(super) service: Service,
    pub(super) pods: Vec<Pod>,
    pub(super) template: Size,
    pub(super) latency: LatencyTable,
    pub(super) counts: Counts,
    /// The last steps, oldest first.
    pub(super) history: VecDeque<Step>,
    /// `spec.replicas`.
    pub(super) desired: u32,
    /// Start times of pods that became ready since they were last looked at.
    pub(super) started: Vec<f64>,
    /// Kills since they were last looked at, and the limit of the last one.
    pub(super) killed: (u32, Option<crate::units::Bytes>),
    core_second: f64,
    gib_second: f64,
    resize: ResizeStrategy,
    new_size: Size,
    /// Pods that drain, with the end of it.
    draining: Vec<(f64, Pod)>,
    arrivals: Arrivals,
    step: usize,
    seed: u64,
    created: u64,
}

impl Plant {
    pub(super) fn new(scenario: &Scenario, seed: u64) -> Self {
        let service = scenario.service.clone();
        let cpu = service.request_cores.get();
        let template = Size {
            cpu,
            cpu_limit: service.cpu_limit_ratio.map(|ratio| cpu * ratio),
            memory: service.request_memory,
            memory_limit: Some(service.request_memory),
        };
        let prices = scenario.policy.prices;
        let mut plant = Self {
            latency: LatencyTable::new(service.work.get(), service.objective.get()),
            pods: Vec::new(),
            template,
            counts: Counts::default(),
            history: VecDeque::with_capacity(HISTORY),
            desired: 0,
            started: Vec::new(),
            killed: (0, None),
            core_second: prices.core_hour.get() / 3600.0,
            gib_second: prices.gib_hour.get() / 3600.0,
            resize: scenario.policy.resize.strategy,
            new_size: template,
            draining: Vec::new(),
            arrivals: Arrivals::draw(scenario, seed),
            step: 0,
            seed,
            created: 0,
            service,
        };
        plant.populate(scenario);
        plant
    }

    /// The pods that run at the beginning: as many as an operator would have for the first minute's load.
    fn populate(&mut self, scenario: &Scenario) {
        const LONG_READY: f64 = -3600.0;
        let first = &self.arrivals.requests[..self.arrivals.requests.len().min(12)];
        let rate = first.iter().sum::<f64>() / (first.len().max(1) as f64 * STEP_SECONDS);
        let pods = (rate * self.service.work.get() / (0.7 * self.template.cpu)).ceil();
        let range = scenario.policy.replicas;
        let count = u32::try_from(whole(pods)).unwrap_or(u32::MAX).clamp(range.min.0, range.max.0);
        for _ in 0..count {
            let mut pod = self.create();
            pod.born_at = LONG_READY;
            pod.ready_at = LONG_READY;
            self.pods.push(pod);
        }
        self.desired = count;
    }

    /// Seconds since the start of the run.
    pub(super) fn now(&self) -> f64 {
        self.step as f64 * STEP_SECONDS
    }

    /// Whether the load is at its end.
    pub(super) fn finished(&self) -> bool {
        self.step >= self.arrivals.requests.len()
    }

    /// Pods that take requests.
    pub(super) fn ready(&self) -> impl Iterator<Item = &Pod> {
        let now = self.now();
        self.pods.iter().filter(move |pod| pod.is_ready(now))
    }

    /// Pods that drain.
    pub(super) fn terminating(&self) -> usize {
        self.draining.len()
    }

    fn create(&mut self) -> Pod {
        self.created += 1;
        Pod::create(self.created, self.seed, self.now(), self.new_size, &self.service)
    }

    /// Pods that drain, as the API server still lists them.
    pub(super) fn draining(&self) -> impl Iterator<Item = &Pod> {
        self.draining.iter().map(|(_, pod)| pod)
    }

    /// Carries out what a controller does: the count through `/scale`, sizes as the action says.
    pub(super) fn apply(&mut self, action: &Action) {
        let decision = &action.decision;
        self.scale(decision.replicas.0);
        match &action.pods {
            PodAction::InPlace => {
                let steady = self.size_in(&decision.containers);
                let running = boosted(steady, decision);
                if self.resize == ResizeStrategy::InPlaceOnly {
                    for pod in &mut self.pods {
                        self.counts.resizes += u64::from(pod.resize(self.step as f64 * STEP_SECONDS, running));
                    }
                }
                self.new_size = steady;
            }
            PodAction::NewPods(sizes) => self.new_size = self.size_in(sizes),
            PodAction::Update { new_pods, evict, resize } => {
                self.new_size = self.size_in(new_pods);
                for (id, sizes) in resize {
                    let size = self.size_in(sizes);
                    let now = self.now();
                    if let Some(pod) = self.pods.iter_mut().find(|pod| pod.id == *id) {
                        self.counts.resizes += u64::from(pod.resize(now, size));
                    }
                }
                self.evict(evict);
            }
        }
        while self.pods.len() < self.desired as usize {
            let pod = self.create();
            self.pods.push(pod);
            self.counts.starts += 1;
        }
    }

    /// The size that a list of containers means; what it does not name is the template's.
    fn size_in(&self, containers: &[ContainerSize]) -> Size {
        let container = containers.iter().find(|container| container.name == CONTAINER);
        container.map_or(self.template, |wanted| Size {
            cpu: wanted.requests.cpu_cores.map_or(self.template.cpu, Cores::get),
            cpu_limit: wanted.limits.cpu_cores.map(Cores::get),
            memory: wanted.requests.memory_bytes.unwrap_or(self.template.memory),
            memory_limit: wanted.limits.memory_bytes,
        })
    }

    /// Removes pods as a `ReplicaSet` does: unready first, then the youngest.
    fn scale(&mut self, replicas: u32) {
        let now = self.now();
        self.desired = replicas;
        let keep = replicas as usize;
        if self.pods.len() > keep {
            self.pods.sort_by(|a, b| a.ready_at.total_cmp(&b.ready_at));
            self.draining.extend(self.pods.drain(keep..).map(|pod| (now + DRAIN_SECONDS, pod)));
        }
    }

    fn evict(&mut self, evict: &[u64]) {
        let end = self.now() + DRAIN_SECONDS;
        for id in evict {
            if let Some(at) = self.pods.iter().position(|pod| pod.id == *id) {
                self.draining.push((end, self.pods.remove(at)));
                self.counts.evictions += 1;
            }
        }
    }

    /// Plays one step.
    pub(super) fn step(&mut self) -> Step {
        let now = self.now();
        // What changes over minutes is looked at once a tick: half of the plant's time would go there.
        let tick = self.step.is_multiple_of(STEPS_PER_TICK);
        for pod in &mut self.pods {
            pod.settle(now);
            if tick {
                pod.drift();
            }
        }
        let mut step = Step {
            requests: self.arrivals.requests[self.step],
            recorded: !self.arrivals.gap[self.step],
            ..Step::default()
        };
        step.demand = step.requests * self.service.work.get() / STEP_SECONDS;
        self.serve(now, tick, &mut step);
        self.pay(now, &mut step);
        self.step += 1;
        let (before, after) = (now, self.now());
        for pod in self.pods.iter().filter(|pod| pod.ready_at > before && pod.ready_at <= after) {
            self.started.push(pod.ready_at - pod.born_at);
        }
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(step);
        step
    }

    /// Spreads the step's requests over the ready pods.
    fn serve(&mut self, now: f64, tick: bool, step: &mut Step) {
        let stretch = 1.0 + NEIGHBOUR_STRETCH * self.arrivals.idle_neighbours[self.step];
        let (mut weights, mut ready) = (0.0, 0.0);
        for pod in self.pods.iter().filter(|pod| pod.is_ready(now)) {
            weights += pod.weight();
            ready += 1.0;
        }
        if ready == 0.0 {
            step.over = step.requests;
            return;
        }
        let mut kills = 0;
        for pod in self.pods.iter_mut().filter(|pod| pod.is_ready(now)) {
            let requests = step.requests * pod.weight() / weights;
            let served = serve_pod(pod, requests, now, stretch, &self.service, &self.latency);
            step.over += served.over;
            step.backlog += pod.backlog;
            step.capacity += (pod.size.cpu - self.service.idle.get()).max(0.0);
            step.pod_capacity += served.capacity / ready;
            step.pod_utilization += served.utilization / ready;
            if tick {
                pod.fill(now, requests / STEP_SECONDS, &self.service);
            }
            pod.record(Sample { memory: pod.memory, ..served.sample });
            if let Some(limit) = pod.size.memory_limit.filter(|limit| pod.memory > limit.as_f64()) {
                kills += 1;
                self.killed.1 = Some(limit);
                pod.restart(now, &self.service);
            }
        }
        self.killed.0 += kills;
        self.counts.oom_kills += u64::from(kills);
    }

    /// Charges requests from a pod's creation to the end of its drain.
    fn pay(&mut self, now: f64, step: &mut Step) {
        self.draining.retain(|pod| pod.0 > now);
        let running = self.pods.iter().map(|pod| (pod.size.cpu, pod.size.memory.gib()));
        let draining = self.draining.iter().map(|(_, pod)| (pod.size.cpu, pod.size.memory.gib()));
        let (cores, gib) = running.chain(draining).fold((0.0, 0.0), |sum, pod| (sum.0 + pod.0, sum.1 + pod.1));
        step.paid_cores = cores;
        step.cost = STEP_SECONDS * (cores * self.core_second + gib * self.gib_second);
    }
}

/// What became of a pod's requests in one step.
struct Served {
    over: f64,
    capacity: f64,
    utilization: f64,
    sample: Sample,
}

/// One pod, one step: what it serves, what waits, which share is late.
fn serve_pod(
    pod: &mut Pod,
    requests: f64,
    now: f64,
    stretch: f64,
    service: &Service,
    latency: &LatencyTable,
) -> Served {
    let idle = service.idle.get();
    let capacity = pod.capacity(now, stretch).max(1e-3);
    let available = (capacity - idle).max(1e-3);
    let nominal = requests * service.work.get() / STEP_SECONDS;
    let fullness = (nominal / available).min(1.0);
    let demand = nominal * (1.0 + SATURATION_COST * fullness * fullness);
    let wanted = demand + pod.backlog / STEP_SECONDS;
    let served = wanted.min(available);
    let waiting = (wanted - served) * STEP_SECONDS;
    let delay = waiting / available;
    pod.backlog = waiting.min(available * PATIENCE_SECONDS);
    let utilization = (demand + idle) / capacity;
    let objective = service.objective.get();
    let share = if delay > objective {
        1.0
    } else {
        latency.share_over(capacity, utilization.min(JUDGED_UTILIZATION)).max(delay / objective)
    };
    let cpu = capacity.min(idle + served + pod.start_burn(now));
    let short = wanted > available;
    Served {
        over: share * requests,
        capacity,
        utilization: utilization.min(JUDGED_UTILIZATION),
        sample: Sample { cpu, memory: 0.0, short },
    }
}

/// What running pods get while a boost lasts.
fn boosted(steady: Size, decision: &Decision) -> Size {
    let boost = decision.boost.as_ref().and_then(|boost| boost.containers.iter().find(|c| c.name == CONTAINER));
    boost.map_or(steady, |boost| Size {
        cpu: boost.cpu_cores.get(),
        cpu_limit: steady.cpu_limit.map(|limit| limit * boost.cpu_cores.get() / steady.cpu),
        ..steady
    })
}

/// Whether a resize is worth a request to the API server.
fn differ(a: &Size, b: &Size) -> bool {
    (a.cpu - b.cpu).abs() > SAME_SIZE * b.cpu
        || a.memory != b.memory
        || a.memory_limit != b.memory_limit
        || a.cpu_limit.is_some() != b.cpu_limit.is_some()
}
