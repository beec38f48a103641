//! One simulated pod: its containers, its life, its share of the load.

use std::sync::Arc;

use super::super::{HISTORY, Oom, Service, TICK_SECONDS, random::Stream};
use crate::{
    decide::ResizeState,
    units::{Bytes, maths},
};

/// In-place growth that the node cannot grant at once. Decreases always fit.
const DEFERRED_SHARE: f64 = 0.10;
/// When the kubelet has looked again at a deferred resize.
const DEFERRED_RETRY_SECONDS: f64 = 60.0;
/// An accepted resize reaches the cgroup after this many seconds.
const RESIZE_SECONDS: (f64, f64) = (5.0, 15.0);
/// CPU is burned on top of work for this long after the start.
const START_BURN_SECONDS: f64 = 30.0;
/// Load balancing is uneven: deviation and correlation time of a pod's share.
pub(super) const IMBALANCE_DEVIATION: f64 = 0.08;
const IMBALANCE_SECONDS: f64 = 300.0;
/// Time in which memory that grows after the start has mostly grown, and the noise on it.
const MEMORY_GROWTH_SECONDS: f64 = 7200.0;
const MEMORY_NOISE: f64 = 0.02;
/// The kubelet restarts a killed container at once, then after 10 s, doubled up to 300 s, until it has run for 10 min.
const BACK_OFF_SECONDS: f64 = 10.0;
const BACK_OFF_MAX_SECONDS: f64 = 300.0;
const BACK_OFF_RESET_SECONDS: f64 = 600.0;

/// Requests and limits of a container.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::simulate) struct Size {
    /// CPU request, in cores.
    pub(in crate::simulate) cpu: f64,
    /// CPU limit, in cores.
    pub(in crate::simulate) cpu_limit: Option<f64>,
    /// Memory request.
    pub(in crate::simulate) memory: Bytes,
    /// Memory limit.
    pub(in crate::simulate) memory_limit: Option<Bytes>,
}

/// What a container did in one step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::simulate) struct Sample {
    /// CPU used, in cores.
    pub(in crate::simulate) cpu: f64,
    /// CPU that it could use, in cores.
    pub(in crate::simulate) granted: f64,
    /// Working set, in bytes.
    pub(in crate::simulate) memory: f64,
    /// Whether it had more work than CPU.
    pub(in crate::simulate) short: bool,
}

/// The last steps in which a container served.
#[derive(Clone, Debug)]
pub(in crate::simulate) struct History {
    samples: [Sample; HISTORY],
    recorded: usize,
}

impl History {
    fn new() -> Self {
        Self { samples: [Sample::default(); HISTORY], recorded: 0 }
    }

    fn record(&mut self, sample: Sample) {
        self.samples[self.recorded % HISTORY] = sample;
        self.recorded += 1;
    }

    /// The samples of a window that ended `lag` steps ago.
    pub(in crate::simulate) fn window(&self, lag: usize, length: usize) -> impl ExactSizeIterator<Item = &Sample> {
        let end = self.recorded.saturating_sub(lag);
        let first = end.saturating_sub(length).max(self.recorded.saturating_sub(HISTORY));
        (first.min(end)..end).map(|index| &self.samples[index % HISTORY])
    }
}

/// One container of a pod.
#[derive(Clone, Debug)]
pub(in crate::simulate) struct Container {
    /// Size as the node has it.
    pub(in crate::simulate) size: Size,
    /// Working set, in bytes.
    pub(super) memory: f64,
    /// Its last kill for memory.
    pub(in crate::simulate) oom: Option<Oom>,
    /// The last steps in which it served.
    pub(in crate::simulate) history: History,
    since: f64,
    kills_in_a_row: i32,
}

/// A resize on its way.
#[derive(Clone, Debug)]
struct PendingResize {
    to: Arc<[Size]>,
    at: f64,
    state: ResizeState,
}

/// One pod.
#[derive(Clone, Debug)]
pub(in crate::simulate) struct Pod {
    /// Its number, from 1.
    pub(in crate::simulate) id: u64,
    /// Generation of the template it was made from.
    pub(in crate::simulate) template: u64,
    /// Work and memory of a request against what they were in the beginning.
    pub(super) factors: (f64, f64),
    /// The node that has it.
    pub(in crate::simulate) node: Option<u64>,
    /// When a node took it.
    pub(in crate::simulate) scheduled_at: f64,
    /// When it becomes (or became) ready, in seconds of the run; never while no node has it.
    pub(in crate::simulate) ready_at: f64,
    /// When it was created.
    pub(in crate::simulate) born_at: f64,
    /// When its node was lost.
    pub(super) lost_at: Option<f64>,
    /// Work waiting in it, in core-seconds.
    pub(in crate::simulate) backlog: f64,
    /// Its containers, in the order of the pod spec.
    pub(in crate::simulate) containers: Vec<Container>,
    starts_in: f64,
    imbalance: f64,
    resize: Option<PendingResize>,
    life: Stream,
    resizing: Stream,
}

/// After this time without a word from its node, a pod counts as not ready, and is deleted.
pub(super) const LOST_SECONDS: f64 = 40.0;

impl Pod {
    /// A pod that is created now; its randomness belongs to its number.
    pub(super) fn create(id: u64, seed: u64, now: f64, sizes: &[Size], service: &Service) -> Self {
        let mut life = Stream::new(seed, "pod-life", id);
        let starts_in = life.lognormal(service.start_median.get(), service.start_sigma);
        let container = |size: &Size| Container {
            size: *size,
            memory: 0.0,
            oom: None,
            history: History::new(),
            since: now,
            kills_in_a_row: 0,
        };
        Self {
            id,
            template: 1,
            factors: (1.0, 1.0),
            node: None,
            scheduled_at: f64::INFINITY,
            ready_at: f64::INFINITY,
            born_at: now,
            lost_at: None,
            backlog: 0.0,
            containers: sizes.iter().map(container).collect(),
            starts_in,
            imbalance: life.normal(),
            resize: None,
            life,
            resizing: Stream::new(seed, "pod-resize", id),
        }
    }

    /// A node takes it.
    pub(super) fn schedule(&mut self, now: f64, node: u64) {
        self.node = Some(node);
        self.scheduled_at = now;
        self.ready_at = now + self.starts_in;
        for container in &mut self.containers {
            container.since = now;
        }
    }

    /// Makes it one that has been ready for long; what grows with age in its memory begins now.
    pub(super) fn settle_in(&mut self, since: f64) {
        self.born_at = since;
        self.scheduled_at = since;
        self.ready_at = since;
    }

    /// Whether it takes requests, as far as the API server knows.
    pub(in crate::simulate) fn is_ready(&self, now: f64) -> bool {
        self.ready_at <= now && self.lost_at.is_none_or(|lost| now < lost + LOST_SECONDS)
    }

    /// Whether a container of it has been killed: it has run before.
    pub(in crate::simulate) fn restarts(&self) -> bool {
        self.containers.iter().any(|container| container.oom.is_some())
    }

    /// Since when it is not ready, when it is not: a kill, the loss of its node, or its creation.
    pub(in crate::simulate) fn unready_since(&self) -> f64 {
        let killed = self.containers.iter().filter_map(|container| container.oom).map(|oom| oom.at);
        killed.chain(self.lost_at.map(|lost| lost + LOST_SECONDS)).fold(self.born_at, f64::max)
    }

    /// Its weight in the load balancing.
    pub(super) fn weight(&self) -> f64 {
        (1.0 + IMBALANCE_DEVIATION * self.imbalance).clamp(0.5, 1.6)
    }

    /// Lets the share of load wander, once a tick.
    pub(super) fn drift(&mut self) {
        let pull = TICK_SECONDS / IMBALANCE_SECONDS;
        self.imbalance = self.imbalance * (1.0 - pull) + (2.0 * pull).sqrt() * self.life.normal();
    }

    /// CPU a container can get: its request stretched by what neighbours leave, at most its limit, less in warm-up.
    pub(super) fn granted(&self, container: usize, now: f64, stretch: f64, service: &Service) -> f64 {
        let size = &self.containers[container].size;
        let granted = size.cpu * stretch;
        let granted = size.cpu_limit.map_or(granted, |limit| granted.min(limit));
        if now - self.ready_at < service.warm_up.get() { granted * service.warm_up_capacity } else { granted }
    }

    /// CPU burned just after the start, on top of work.
    pub(super) fn start_burn(&self, now: f64, service: &Service) -> f64 {
        if now - self.ready_at < START_BURN_SECONDS { service.start_burn.get() } else { 0.0 }
    }

    /// Lets memory follow the load, once a tick: requests per second, and requests inside.
    pub(super) fn fill(&mut self, now: f64, rate: f64, inside: f64, service: &Service) {
        for (index, container) in self.containers.iter_mut().enumerate() {
            let age = (now - container.since).max(0.0);
            let noise = 1.0 + MEMORY_NOISE * self.life.normal().abs();
            if let Some(sidecar) = index.checked_sub(1).and_then(|index| service.sidecars.get(index)) {
                container.memory = sidecar.memory.as_f64() * noise;
                continue;
            }
            let grown = service.memory_growth * (1.0 - maths::exp(-age / MEMORY_GROWTH_SECONDS));
            let starting = now < self.ready_at + TICK_SECONDS;
            let peak = if starting { service.memory_start_peak.as_f64() } else { 0.0 };
            let base = service.memory_base.as_f64() * (grown + noise);
            let leaked = service.memory_leak_per_hour.as_f64() * age / 3600.0;
            let serving = service.memory_per_rps.as_f64() * rate + service.memory_per_request.as_f64() * inside;
            container.memory = (base + serving + leaked) * self.factors.1 + peak;
        }
    }

    /// Whether its containers have started, ready or not.
    pub(super) fn runs(&self, now: f64) -> bool {
        self.lost_at.is_none() && self.containers.iter().all(|container| container.since <= now) && self.node.is_some()
    }

    /// Records what a container did in a step in which the pod was ready: CPU that it used of what it could use.
    pub(super) fn record(&mut self, container: usize, (cpu, granted): (f64, f64), short: bool) {
        let container = &mut self.containers[container];
        container.history.record(Sample { cpu, granted, memory: container.memory, short });
    }

    /// Kills containers that are over their memory limit: they start again in the same pod. How many, and the last limit.
    pub(super) fn kill_over_limit(&mut self, now: f64, service: &Service) -> Option<(u32, usize, Bytes)> {
        let mut killed: Option<(u32, usize, Bytes)> = None;
        for index in 0..self.containers.len() {
            let container = &self.containers[index];
            if let Some(limit) = container.size.memory_limit.filter(|limit| container.memory > limit.as_f64()) {
                let kills = killed.map_or(0, |(kills, ..)| kills) + 1;
                killed = Some((kills, index, limit));
                self.restart(index, now, service);
            }
        }
        killed
    }

    fn restart(&mut self, index: usize, now: f64, service: &Service) {
        let container = &mut self.containers[index];
        let quiet = now - container.since > BACK_OFF_RESET_SECONDS;
        container.kills_in_a_row = if quiet { 1 } else { container.kills_in_a_row + 1 };
        let wait = match container.kills_in_a_row {
            1 => 0.0,
            more => (BACK_OFF_SECONDS * maths::exp2(f64::from(more - 2))).min(BACK_OFF_MAX_SECONDS),
        };
        container.oom = Some(Oom { at: now, request: Some(container.size.memory), limit: container.size.memory_limit });
        self.begin_again(index, now + wait, service);
    }

    /// A container starts again at an instant.
    fn begin_again(&mut self, index: usize, at: f64, service: &Service) {
        self.ready_at = at + self.life.lognormal(service.start_median.get(), service.start_sigma);
        self.backlog = 0.0;
        let container = &mut self.containers[index];
        container.since = at;
        container.memory = 0.0;
        container.history = History::new();
    }

    /// Whether another size is asked for than the one asked for last.
    pub(super) fn differs(&self, to: &[Size]) -> bool {
        match &self.resize {
            Some(pending) => super::differ(&pending.to, to),
            None => self.containers.iter().zip(to).any(|(container, to)| super::differ(&[container.size], &[*to])),
        }
    }

    /// Whether a container is asked to have less CPU than was asked for it last.
    pub(super) fn loses_cpu(&self, to: &[Size]) -> bool {
        to.iter().enumerate().any(|(index, to)| to.cpu < self.wanted(index).cpu * (1.0 - super::SAME_SIZE))
    }

    /// The sizes in its spec: what was asked for last.
    pub(in crate::simulate) fn wanted(&self, container: usize) -> Size {
        match &self.resize {
            Some(pending) => pending.to[container],
            None => self.containers[container].size,
        }
    }

    /// What it occupies on its node, in cores and bytes: what it has or what was granted, whichever is more.
    pub(super) fn reserved(&self) -> (f64, f64) {
        let granted = self.resize.as_ref().filter(|pending| pending.state == ResizeState::InProgress);
        self.containers.iter().enumerate().fold((0.0, 0.0), |sum, (index, container)| {
            let to = granted.map_or(container.size, |pending| pending.to[index]);
            let memory = container.size.memory.as_f64().max(to.memory.as_f64());
            (sum.0 + container.size.cpu.max(to.cpu), sum.1 + memory)
        })
    }

    /// Requests that are paid for, in cores and GiB.
    pub(super) fn paid(&self) -> (f64, f64) {
        self.containers
            .iter()
            .fold((0.0, 0.0), |sum, container| (sum.0 + container.size.cpu, sum.1 + container.size.memory.gib()))
    }

    /// Whether sizes ask the node for more of anything.
    pub(super) fn grows(&self, to: &[Size]) -> bool {
        let more =
            |(container, to): (&Container, &Size)| to.cpu > container.size.cpu || to.memory > container.size.memory;
        self.containers.iter().zip(to).any(more)
    }

    /// Asks for other sizes in place. `feasible`: the node could take them; `room`: it can now.
    pub(super) fn ask(&mut self, now: f64, to: Arc<[Size]>, feasible: bool, room: bool) {
        let deferred = self.grows(&to) && (self.resizing.uniform() < DEFERRED_SHARE || !room);
        let (soonest, latest) = RESIZE_SECONDS;
        let (state, wait) = match (feasible, deferred) {
            (false, _) => (ResizeState::Infeasible, f64::INFINITY),
            (true, true) => (ResizeState::Deferred, DEFERRED_RETRY_SECONDS),
            (true, false) => (ResizeState::InProgress, soonest + (latest - soonest) * self.resizing.uniform()),
        };
        self.resize = Some(PendingResize { to, at: now + wait, state });
    }

    /// Whether the time of a pending resize has come.
    pub(super) fn due(&self, now: f64) -> bool {
        self.resize.as_ref().is_some_and(|pending| pending.at <= now)
    }

    /// The sizes of a deferred resize that is looked at again; none: its time has come to happen.
    pub(super) fn deferred(&self) -> Option<Arc<[Size]>> {
        let pending = self.resize.as_ref().filter(|pending| pending.state == ResizeState::Deferred)?;
        Some(Arc::clone(&pending.to))
    }

    /// Lets a granted resize happen. Memory is never shrunk below what is used: the rest waits.
    pub(super) fn settle(&mut self, now: f64, service: &Service) {
        let Some(pending) = self.resize.take() else { return };
        let mut refused = false;
        for (index, to) in pending.to.iter().enumerate() {
            let container = &mut self.containers[index];
            let memory_differs = container.size.memory_limit != to.memory_limit;
            let restart = memory_differs && service.restart_on_memory_resize;
            let fits = restart || to.memory_limit.is_none_or(|limit| limit.as_f64() > container.memory);
            let keep = container.size;
            container.size =
                if fits { *to } else { Size { memory: keep.memory, memory_limit: keep.memory_limit, ..*to } };
            refused |= !fits;
            if restart {
                self.begin_again(index, now, service);
            }
        }
        if refused {
            self.resize = Some(pending);
        }
    }

    /// State of its resize as the pod's conditions tell it.
    pub(in crate::simulate) fn resize_state(&self) -> ResizeState {
        self.resize.as_ref().map_or(ResizeState::None, |pending| pending.state)
    }
}
