//! One simulated pod: its size, its life, its share of the load.

use std::collections::VecDeque;

use super::super::{Oom, Service, TICK_SECONDS, random::Stream};
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
/// Code is compiled and caches fill just after the start: less is served, and more is burned.
const WARM_UP_SECONDS: f64 = 20.0;
const WARM_UP_CAPACITY: f64 = 0.6;
const START_BURN_SECONDS: f64 = 30.0;
const START_BURN_CORES: f64 = 0.3;
/// Load balancing is uneven: deviation and correlation time of a pod's share.
const IMBALANCE_DEVIATION: f64 = 0.08;
const IMBALANCE_SECONDS: f64 = 300.0;
/// Memory that grows after the start (caches): share of the base, and its time.
const MEMORY_GROWTH: f64 = 0.15;
const MEMORY_GROWTH_SECONDS: f64 = 7200.0;
const MEMORY_NOISE: f64 = 0.02;
/// Usage samples kept: a window and the lag before it.
const HISTORY: usize = 9;

/// Requests and limits of a pod.
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

/// A resize on its way.
#[derive(Clone, Copy, Debug)]
struct PendingResize {
    to: Size,
    at: f64,
    deferred: bool,
}

/// What a pod did in one step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::simulate) struct Sample {
    /// CPU used, in cores.
    pub(in crate::simulate) cpu: f64,
    /// Working set, in bytes.
    pub(in crate::simulate) memory: f64,
    /// Whether it had more work than CPU.
    pub(in crate::simulate) short: bool,
}

/// One pod.
#[derive(Clone, Debug)]
pub(in crate::simulate) struct Pod {
    /// Its number, from 1.
    pub(in crate::simulate) id: u64,
    /// Size as the node has it.
    pub(in crate::simulate) size: Size,
    /// When it becomes (or became) ready, in seconds of the run.
    pub(in crate::simulate) ready_at: f64,
    /// When it was created.
    pub(in crate::simulate) born_at: f64,
    /// Work waiting in it, in core-seconds.
    pub(in crate::simulate) backlog: f64,
    /// Working set, in bytes.
    pub(super) memory: f64,
    /// The last steps in which it was ready, oldest first.
    pub(in crate::simulate) history: VecDeque<Sample>,
    /// Its last kill for memory.
    pub(in crate::simulate) oom: Option<Oom>,
    container_since: f64,
    imbalance: f64,
    resize: Option<PendingResize>,
    life: Stream,
    resizing: Stream,
}

impl Pod {
    /// A pod that is created now; its randomness belongs to its number.
    pub(super) fn create(number: u64, seed: u64, now: f64, size: Size, service: &Service) -> Self {
        let mut life = Stream::new(seed, "pod-life", number);
        let start = life.lognormal(service.start_median.get(), service.start_sigma);
        Self {
            id: number,
            oom: None,
            size,
            ready_at: now + start,
            born_at: now,
            backlog: 0.0,
            memory: service.memory_base.as_f64(),
            history: VecDeque::with_capacity(HISTORY),
            container_since: now,
            imbalance: life.normal(),
            resize: None,
            life,
            resizing: Stream::new(seed, "pod-resize", number),
        }
    }

    /// Whether it takes requests.
    pub(in crate::simulate) fn is_ready(&self, now: f64) -> bool {
        self.ready_at <= now
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

    /// CPU it can get: its request stretched by what neighbours leave, at most its limit, less while it warms up.
    pub(super) fn capacity(&self, now: f64, stretch: f64) -> f64 {
        let granted = self.size.cpu * stretch;
        let granted = self.size.cpu_limit.map_or(granted, |limit| granted.min(limit));
        if now - self.ready_at < WARM_UP_SECONDS { granted * WARM_UP_CAPACITY } else { granted }
    }

    /// CPU burned just after the start, on top of work.
    pub(super) fn start_burn(&self, now: f64) -> f64 {
        if now - self.ready_at < START_BURN_SECONDS { START_BURN_CORES } else { 0.0 }
    }

    /// Lets memory follow a request rate, once a tick.
    pub(super) fn fill(&mut self, now: f64, requests_per_second: f64, service: &Service) {
        let base = service.memory_base.as_f64();
        let grown = 1.0 - maths::exp(-(now - self.container_since) / MEMORY_GROWTH_SECONDS);
        let noise = MEMORY_NOISE * self.life.normal().abs();
        self.memory =
            base * (1.0 + MEMORY_GROWTH * grown + noise) + service.memory_per_rps.as_f64() * requests_per_second;
    }

    /// Records a step in which it was ready.
    pub(super) fn record(&mut self, sample: Sample) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(sample);
    }

    /// The container was killed: it starts again in the same pod.
    pub(super) fn restart(&mut self, now: f64, service: &Service) {
        self.oom = Some(Oom { at: now, request: Some(self.size.memory), limit: self.size.memory_limit });
        self.ready_at = now + self.life.lognormal(service.start_median.get(), service.start_sigma);
        self.container_since = now;
        self.memory = service.memory_base.as_f64();
        self.backlog = 0.0;
        self.history.clear();
    }

    /// The size that was asked for last.
    pub(in crate::simulate) fn wanted(&self) -> Size {
        self.resize.map_or(self.size, |pending| pending.to)
    }

    /// Asks for another size in place, if it is another; whether it did.
    pub(super) fn resize(&mut self, now: f64, to: Size) -> bool {
        let differs = super::differ(&self.wanted(), &to);
        if differs {
            self.ask(now, to);
        }
        differs
    }

    /// Asks for another size in place.
    fn ask(&mut self, now: f64, to: Size) {
        let grows = to.cpu > self.size.cpu || to.memory > self.size.memory;
        let deferred = grows && self.resizing.uniform() < DEFERRED_SHARE;
        let (soonest, latest) = RESIZE_SECONDS;
        let wait =
            if deferred { DEFERRED_RETRY_SECONDS } else { soonest + (latest - soonest) * self.resizing.uniform() };
        self.resize = Some(PendingResize { to, at: now + wait, deferred });
    }

    /// Lets a pending resize happen when its time has come. Memory is never shrunk below what is used.
    pub(super) fn settle(&mut self, now: f64) {
        let Some(pending) = self.resize.filter(|pending| pending.at <= now) else { return };
        if pending.deferred {
            self.ask(now, pending.to);
            return;
        }
        let memory_fits = pending.to.memory_limit.is_none_or(|limit| limit.as_f64() > self.memory);
        if memory_fits {
            self.size = pending.to;
            self.resize = None;
        } else {
            self.size = Size { cpu: pending.to.cpu, cpu_limit: pending.to.cpu_limit, ..self.size };
        }
    }

    /// State of its resize as the pod's conditions tell it.
    pub(in crate::simulate) fn resize_state(&self) -> ResizeState {
        match self.resize {
            None => ResizeState::None,
            Some(pending) if pending.deferred => ResizeState::Deferred,
            Some(_) => ResizeState::InProgress,
        }
    }
}
