//! The plant: pods that serve requests, five seconds at a time.
//!
//! It knows nothing of the decision model and shares no formula with it. Work per request grows near saturation, load
//! balancing is uneven, neighbours take what a pod's request does not hold, pods take time to start and burn CPU when
//! they do, running pods are resized with a delay or not at all, memory can be exhausted, nodes can be full or lost.
//!
//! Invariant: deterministic; everything random belongs to a stream drawn before the run or to one pod.

mod neighbours;
mod nodes;
mod outlook;
mod pod;
mod queue;
mod replicas;
mod serve;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, sync::Arc};

use nodes::Nodes;
pub(super) use pod::{Pod, Size};
use queue::Waiting;
use serve::Moment;

use super::{
    HISTORY, STEP_SECONDS, STEPS_PER_TICK, Scenario, Service,
    arrivals::Arrivals,
    latency::LatencyTable,
    whole,
    world::{CountOrShare, Event, Faults, What},
};
use crate::{decide::Resources, policy::ResizeStrategy, units::Bytes};

/// Name of the container that serves.
pub(super) const CONTAINER: &str = "app";
/// Sizes closer than this are the same.
const SAME_SIZE: f64 = 1e-6;

/// What happened in one step.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Step {
    /// Requests, or items of the queue, that arrived.
    pub(super) requests: f64,
    /// Requests over the objective; of a queue: items that became late.
    pub(super) over: f64,
    /// Work that arrived, in cores, at low-load cost.
    pub(super) demand: f64,
    /// Work left waiting, in core-seconds.
    pub(super) backlog: f64,
    /// CPU requests of ready pods beyond their idle cost, in cores: the container that serves.
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
    /// Those of them that take CPU from a pod on a node.
    pub(super) trims: u64,
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
    /// Names of the containers, in the order of the pod spec.
    pub(super) names: Vec<Arc<str>>,
    /// Their sizes in the pod template.
    pub(super) template: Vec<Size>,
    /// Generation of the template.
    pub(super) generation: u64,
    /// Whether pods of an older template are being replaced.
    pub(super) rolling: bool,
    pub(super) latency: LatencyTable,
    pub(super) counts: Counts,
    /// The last steps, oldest first.
    pub(super) history: VecDeque<Step>,
    /// `spec.replicas`.
    pub(super) desired: u32,
    /// Start times of pods that became ready since they were last looked at.
    pub(super) started: Vec<f64>,
    /// Kills since they were last looked at, and the limit of the last one, by container.
    pub(super) killed: Vec<(u32, Option<Bytes>)>,
    pub(super) faults: Faults,
    pub(super) seed: u64,
    deadline: Option<f64>,
    waiting: Waiting,
    events: Vec<Event>,
    nodes: Nodes,
    refuses_raises: bool,
    max_unavailable: Option<CountOrShare>,
    factors: (f64, f64),
    downstream_latency: Option<LatencyTable>,
    downstream_backlog: f64,
    core_second: f64,
    gib_second: f64,
    resize: ResizeStrategy,
    new_sizes: Arc<[Size]>,
    /// Pods that drain, with the end of it.
    draining: Vec<(f64, Pod)>,
    arrivals: Arrivals,
    step: usize,
    created: u64,
}

impl Plant {
    pub(super) fn new(scenario: &Scenario, seed: u64) -> Self {
        let service = scenario.service.clone();
        let (names, template) = containers(&service);
        let prices = scenario.policy.prices;
        let world = &scenario.world;
        let mut plant = Self {
            latency: LatencyTable::new(service.work.get(), service.objective.get()),
            downstream_latency: service
                .downstream
                .map(|behind| LatencyTable::new(behind.latency.get(), service.objective.get())),
            downstream_backlog: 0.0,
            pods: Vec::new(),
            new_sizes: template.clone().into(),
            killed: vec![(0, None); names.len()],
            names,
            template,
            generation: 1,
            rolling: false,
            counts: Counts::default(),
            history: VecDeque::with_capacity(HISTORY),
            desired: 0,
            started: Vec::new(),
            faults: Faults::default(),
            deadline: world.queue.map(|queue| queue.deadline.get()),
            waiting: Waiting::default(),
            events: world.events.clone(),
            nodes: Nodes::new(&world.nodes, seed),
            refuses_raises: world.refuses_raises,
            max_unavailable: world.max_unavailable,
            factors: (1.0, 1.0),
            core_second: prices.core_hour.get() / 3600.0,
            gib_second: prices.gib_hour.get() / 3600.0,
            resize: scenario.policy.resize.strategy,
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
        let pods = (rate * self.service.work.get() / (0.7 * self.template[0].cpu)).ceil();
        let range = scenario.policy.replicas;
        let needed = u32::try_from(whole(pods)).unwrap_or(u32::MAX).clamp(range.min.0, range.max.0);
        self.desired = scenario.world.initial.map_or(needed, |pods| pods.0);
        self.reconcile();
        self.nodes.schedule(0.0, &mut self.pods, &[]);
        self.nodes.settle_in(&self.pods);
        for pod in self.pods.iter_mut().filter(|pod| pod.node.is_some()) {
            pod.settle_in(LONG_READY);
        }
        self.counts = Counts::default();
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

    /// Pods that drain, as the API server still lists them.
    pub(super) fn draining(&self) -> impl Iterator<Item = &Pod> {
        self.draining.iter().map(|(_, pod)| pod)
    }

    /// Whether a controller will be gone for a while.
    pub(super) fn may_lose_its_controller(&self) -> bool {
        self.events.iter().any(|event| matches!(event.what, What::ControllerRestart { .. }))
    }

    /// Allocatable of the largest node.
    pub(super) fn largest_node(&self) -> Resources {
        self.nodes.largest().unwrap_or(nodes::ENDLESS)
    }

    /// Waiting items and those in flight, a second or two ago; none without a queue.
    pub(super) fn queue(&self) -> Option<(f64, f64)> {
        /// A queue is read 1 to 2 s late.
        const AGE_SECONDS: f64 = 1.5;
        self.deadline.map(|_| self.waiting.seen(1.0 - AGE_SECONDS / STEP_SECONDS))
    }

    /// Plays one step.
    pub(super) fn step(&mut self) -> Step {
        let now = self.now();
        // What changes over minutes is looked at once a tick: half of the plant's time would go there.
        let tick = self.step.is_multiple_of(STEPS_PER_TICK);
        for what in self.faults.pass(&self.events, now) {
            self.happen(what);
        }
        self.settle_resizes(now);
        if tick {
            self.bury(now);
            self.reconcile();
            for pod in &mut self.pods {
                pod.drift();
            }
        }
        self.nodes.visit(now, &self.pods, &self.draining);
        self.nodes.schedule(now, &mut self.pods, &self.draining);
        let mut step = Step {
            requests: self.arrivals.requests[self.step],
            recorded: !self.arrivals.gap[self.step],
            ..Step::default()
        };
        let stretch = 1.0 + self.service.contention * self.arrivals.idle_neighbours[self.step];
        let moment = Moment { now, stretch, tick };
        match self.deadline {
            Some(deadline) => self.work_off(moment, deadline, &mut step),
            None => self.serve(moment, &mut step),
        }
        if tick {
            self.kill(now);
        }
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

    /// Containers over their memory limit are killed, those that start included.
    fn kill(&mut self, now: f64) {
        for pod in &mut self.pods {
            if !pod.runs(now) {
                continue;
            }
            if !pod.is_ready(now) {
                pod.fill(now, 0.0, 0.0, &self.service);
            }
            if let Some((kills, container, limit)) = pod.kill_over_limit(now, &self.service) {
                self.counts.oom_kills += u64::from(kills);
                self.killed[container].0 += kills;
                self.killed[container].1 = Some(limit);
            }
        }
    }

    /// Charges requests from a pod's creation to the end of its drain.
    fn pay(&mut self, now: f64, step: &mut Step) {
        self.draining.retain(|pod| pod.0 > now);
        let pods = self.pods.iter().chain(self.draining.iter().map(|(_, pod)| pod));
        let (cores, gib) = pods.map(Pod::paid).fold((0.0, 0.0), |sum, pod| (sum.0 + pod.0, sum.1 + pod.1));
        step.paid_cores = cores;
        step.cost = STEP_SECONDS * (cores * self.core_second + gib * self.gib_second);
    }
}

/// Names and template sizes of a service's containers.
fn containers(service: &Service) -> (Vec<Arc<str>>, Vec<Size>) {
    let cpu = service.request_cores.get();
    let mut names: Vec<Arc<str>> = vec![CONTAINER.into()];
    let mut sizes = vec![Size {
        cpu,
        cpu_limit: service.cpu_limit_ratio.map(|ratio| cpu * ratio),
        memory: service.request_memory,
        memory_limit: Some(service.request_memory),
    }];
    for sidecar in &service.sidecars {
        names.push(sidecar.name.as_str().into());
        sizes.push(Size {
            cpu: sidecar.request_cores.get(),
            cpu_limit: None,
            memory: sidecar.request_memory,
            memory_limit: Some(sidecar.request_memory),
        });
    }
    (names, sizes)
}

/// Whether a resize is worth a request to the API server.
fn differ(a: &[Size], b: &[Size]) -> bool {
    a.iter().zip(b).any(|(a, b)| {
        (a.cpu - b.cpu).abs() > SAME_SIZE * b.cpu
            || a.memory != b.memory
            || a.memory_limit != b.memory_limit
            || a.cpu_limit.is_some() != b.cpu_limit.is_some()
    })
}
