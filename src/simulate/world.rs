//! The world around a service: nodes, what goes wrong and when, how metrics arrive, a queue in front.
//!
//! The default is the world of a bare recorded load: room for everything, nothing goes wrong.

use crate::units::{Bytes, Cores, Replicas, Seconds};

/// What surrounds the service of a scenario.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct World {
    /// Kinds of nodes; none: there is always room, on nodes of 16 cores and 64 GiB.
    pub nodes: Vec<NodePool>,
    /// What happens, in the order of time.
    pub events: Vec<Event>,
    /// How metrics arrive.
    pub pipeline: Pipeline,
    /// A queue in front of the pods, which work off items instead of answering requests.
    pub queue: Option<Queue>,
    /// How many pods an eviction may leave missing; none: no budget guards the pods.
    pub max_unavailable: Option<CountOrShare>,
    /// Pods at the beginning; none: as many as an operator would run for the first minute's load.
    pub initial: Option<Replicas>,
    /// Whether nodes refuse every raise of a running pod's size as infeasible.
    pub refuses_raises: bool,
}

/// Nodes of one kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NodePool {
    /// Allocatable CPU of a node.
    pub cpu: Cores,
    /// Allocatable memory of a node.
    pub memory: Bytes,
    /// Nodes at the beginning.
    pub count: u32,
    /// Most nodes; more than `count`: nodes are added for pods that find no room.
    pub max: u32,
    /// Time from a pod without room to a node that takes it.
    pub provisioning: Seconds,
    /// Others who want room on these nodes; none: what the workload frees stays free.
    pub neighbours: Option<Neighbours>,
}

/// Pods of others. They come to each node by themselves, take CPU that is free there, and leave after hours: what a
/// workload trimmed away may be gone when it wants it back. They take no memory worth mentioning.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbours {
    /// How many want a place on a node in an hour, on average.
    pub per_hour: f64,
    /// What one of them requests, on average, as a share of the node: half as much to half as much again.
    pub size: f64,
    /// The most of a node that they take together, as a share.
    pub share: f64,
    /// How long one stays, on average.
    pub stay: Seconds,
}

impl Default for Neighbours {
    /// Pods of half a core on a node of eight that stay two hours and would take three quarters of it: the share of
    /// allocatable CPU that is requested on clusters that are run with care (half to nine tenths).
    fn default() -> Self {
        Self { per_hour: 6.0, size: 0.0625, share: 0.9, stay: Seconds(7200.0) }
    }
}

/// A number of pods, or a share of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CountOrShare {
    /// Pods.
    Count(u32),
    /// Share of the wanted replicas, rounded up.
    Share(f64),
}

/// How metrics arrive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pipeline {
    /// Time between two scrapes: 15, 30 or 60 s.
    pub scrape: Seconds,
    /// Share of pods whose usage is missing from a scrape.
    pub missing_pods: f64,
}

impl Default for Pipeline {
    fn default() -> Self {
        Self { scrape: Seconds(15.0), missing_pods: 0.0 }
    }
}

/// A queue of items.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Queue {
    /// An item that has waited this long is late.
    pub deadline: Seconds,
}

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// When, since the start of the run.
    pub at: Seconds,
    /// What.
    pub what: What,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What {
    /// A new pod template, rolled out with 25 % surge and 25 % unavailable, as Deployments do.
    Rollout {
        /// Work per request against what it was in the beginning.
        work_factor: f64,
        /// Memory against what it was in the beginning.
        memory_factor: f64,
    },
    /// Requests cost something else at once and in all pods, and no new template tells of it.
    CostChange {
        /// Work per request against what it was in the beginning.
        work_factor: f64,
    },
    /// Usage and signals cannot be read.
    MetricOutage {
        /// How long.
        lasts: Seconds,
    },
    /// Usage and signals arrive multiplied; by 0: zeros instead of gaps.
    WrongMetric {
        /// How long.
        lasts: Seconds,
        /// By what.
        factor: f64,
        /// Which of them.
        of: Metric,
    },
    /// Nodes are gone, with their pods.
    NodeLoss {
        /// Nodes, those with most pods first.
        count: u32,
    },
    /// The API server refuses every write.
    ApiRefusal {
        /// How long.
        lasts: Seconds,
    },
    /// The controller is gone for a while (restart, change of leader) and has forgotten what it only kept in memory.
    ControllerRestart {
        /// How long.
        lasts: Seconds,
        /// What it finds when it is back.
        kept: Kept,
    },
}

/// What a controller finds of its past after a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kept {
    /// Nothing.
    #[default]
    Nothing,
    /// The state that it had written down.
    Checkpoint,
    /// The history that the metrics server has, a row in five minutes.
    History,
}

/// Which metrics are wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Metric {
    /// CPU usage of pods.
    Usage,
    /// Signals: requests, latency, backlog.
    Signals,
    /// All of them.
    #[default]
    All,
}

/// What holds now, of what has happened so far. Instants are seconds since the start of the run.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    next: usize,
    outage_until: f64,
    wrong_until: f64,
    wrong: (f64, Metric),
    refusal_until: f64,
    down_until: f64,
    restarted: Option<Kept>,
}

impl Faults {
    /// Takes what happens up to `now`; what changes the workload itself is handed out.
    pub(super) fn pass(&mut self, events: &[Event], now: f64) -> Vec<What> {
        let mut workload = Vec::new();
        while let Some(event) = events.get(self.next).filter(|event| event.at.get() <= now) {
            self.next += 1;
            match event.what {
                What::Rollout { .. } | What::NodeLoss { .. } | What::CostChange { .. } => workload.push(event.what),
                What::MetricOutage { lasts } => self.outage_until = now + lasts.get(),
                What::WrongMetric { lasts, factor, of } => {
                    self.wrong_until = now + lasts.get();
                    self.wrong = (factor, of);
                }
                What::ApiRefusal { lasts } => self.refusal_until = now + lasts.get(),
                What::ControllerRestart { lasts, kept } => {
                    self.down_until = now + lasts.get();
                    self.restarted = Some(kept);
                }
            }
        }
        workload
    }

    /// Whether nothing can be measured.
    pub(super) fn outage(&self, now: f64) -> bool {
        now < self.outage_until
    }

    /// What usage is multiplied with.
    pub(super) fn usage_factor(&self, now: f64) -> f64 {
        if now < self.wrong_until && self.wrong.1 != Metric::Signals { self.wrong.0 } else { 1.0 }
    }

    /// What signals are multiplied with.
    pub(super) fn signal_factor(&self, now: f64) -> f64 {
        if now < self.wrong_until && self.wrong.1 != Metric::Usage { self.wrong.0 } else { 1.0 }
    }

    /// Whether writes are refused.
    pub(super) fn refuses(&self, now: f64) -> bool {
        now < self.refusal_until
    }

    /// Whether the controller is gone.
    pub(super) fn down(&self, now: f64) -> bool {
        now < self.down_until
    }

    /// What the controller finds that comes back now from having been gone; told once.
    pub(super) fn back(&mut self, now: f64) -> Option<Kept> {
        if self.down(now) { None } else { self.restarted.take() }
    }
}
