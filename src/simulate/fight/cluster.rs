//! The smallest cluster two autoscalers can fight on: constant work shared evenly, no noise, nodes without end.
//!
//! Every pod uses `idle + work / ready pods`, whatever it requests (nodes have room), so whatever moves is moved by the
//! autoscalers. Metrics end 30 s ago and pods take 30 s to start, as in the idealised loop of `docs/fight.md`; nothing
//! here is random.

use std::{collections::VecDeque, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use crate::{
    decide::{ContainerSize, ContainerState, ReplicaState, ResizeState, Resources, SizeGroup, Snapshot},
    simulate::{
        Action, ContainerView, Controller, Phase, PodAction, PodView, QueueView, TICK_SECONDS, UsageSample, View,
    },
    units::{Bytes, Cores, Replicas},
};

/// Container of the pods.
const CONTAINER: &str = "app";
/// Memory of a pod, which plays no part.
const MEMORY: Bytes = Bytes(256 * Bytes::MIB);
/// Ticks from the end of a usage window to the look that sees it.
const LAG_TICKS: usize = 2;
/// When everything begins: an ordinary Monday.
const START: i64 = 1_767_571_200;

/// What there is to do, and by what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    /// Pods at the start, all of them ready.
    pub(super) replicas: u32,
    /// CPU request of a pod at the start, in cores.
    pub(super) request: f64,
    /// CPU that a pod uses without work, in cores.
    pub(super) idle: f64,
    /// Work, in cores, at an instant (seconds).
    pub(super) work: fn(f64) -> f64,
    /// From a pod's creation to its readiness, in seconds.
    pub(super) start: f64,
    /// The queue that the work comes from, if it does.
    pub(super) queue: Option<Queue>,
}

/// A queue that pods work off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Queue {
    /// Items that come in a second.
    pub(super) arrivals: f64,
    /// Items that a pod finishes in a second.
    pub(super) rate: f64,
}

/// The state after a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Point {
    /// Seconds since the start.
    pub(super) at: f64,
    /// Replicas asked for.
    pub(super) replicas: u32,
    /// CPU request of a new pod, in cores.
    pub(super) request: f64,
    /// CPU request of a pod, mean over all, in cores.
    pub(super) mean_request: f64,
    /// Items that wait.
    pub(super) waiting: f64,
}

#[derive(Clone, Debug)]
struct Pod {
    id: u64,
    created: f64,
    ready: f64,
    request: f64,
    /// Usage of the last ticks in which it was ready, oldest first.
    usage: VecDeque<f64>,
}

/// The cluster.
pub(super) struct Cluster {
    setup: Setup,
    tick: usize,
    pods: Vec<Pod>,
    created: u64,
    desired: u32,
    /// CPU request of a new pod.
    request: f64,
    waiting: VecDeque<f64>,
    /// Pods that were evicted.
    pub(super) evictions: u64,
    /// Pods that were resized in place.
    pub(super) resizes: u64,
}

impl Cluster {
    pub(super) fn new(setup: Setup) -> Self {
        let mut cluster = Self {
            setup,
            tick: 0,
            pods: Vec::new(),
            created: 0,
            desired: setup.replicas,
            request: setup.request,
            waiting: VecDeque::from([0.0; LAG_TICKS + 1]),
            evictions: 0,
            resizes: 0,
        };
        cluster.fill(-86_400.0);
        for pod in &mut cluster.pods {
            pod.ready = pod.created;
        }
        for _ in 0..=LAG_TICKS {
            cluster.work();
        }
        cluster.waiting.iter_mut().for_each(|waiting| *waiting = 0.0);
        cluster
    }

    fn now(&self) -> f64 {
        self.tick as f64 * TICK_SECONDS
    }

    /// The state before anybody looks.
    pub(super) fn start(&self) -> Point {
        self.point(0.0)
    }

    fn point(&self, at: f64) -> Point {
        Point {
            at,
            replicas: self.desired,
            request: self.request,
            mean_request: self.pods.iter().map(|pod| pod.request).sum::<f64>() / self.pods.len().max(1) as f64,
            waiting: self.waiting.back().copied().unwrap_or(0.0),
        }
    }

    /// One look of the controller and the 15 s that follow.
    pub(super) fn step(&mut self, controller: &mut dyn Controller) -> Point {
        let (snapshot, pods) = (self.snapshot(), self.views());
        let queue = self.setup.queue.map(|_| QueueView { waiting: self.waiting[0], in_flight: 0.0 });
        let action = controller.tick(&View { snapshot: &snapshot, now: self.now(), pods: &pods, queue });
        self.apply(&action);
        self.work();
        self.tick += 1;
        self.point(self.now())
    }

    fn apply(&mut self, action: &Action) {
        self.desired = action.decision.replicas.0;
        if let PodAction::Update { new_pods, evict, resize } = &action.pods {
            self.request = request_of(new_pods).unwrap_or(self.setup.request);
            for (id, sizes) in resize {
                let pod = self.pods.iter_mut().find(|pod| pod.id == *id);
                if let Some((pod, request)) = pod.zip(request_of(sizes)) {
                    pod.request = request;
                    self.resizes += 1;
                }
            }
            let before = self.pods.len();
            self.pods.retain(|pod| !evict.contains(&pod.id));
            self.evictions += (before - self.pods.len()) as u64;
        }
        // The youngest go first; of pods of one age, the last created.
        self.pods.truncate(self.desired as usize);
        self.fill(self.now());
    }

    /// Makes the pods that are missing.
    fn fill(&mut self, created: f64) {
        while self.pods.len() < self.desired as usize {
            self.created += 1;
            let (id, ready) = (self.created, created + self.setup.start);
            self.pods.push(Pod { id, created, ready, request: self.request, usage: VecDeque::new() });
        }
    }

    /// The ready pods share the work of a tick.
    fn work(&mut self) {
        let now = self.now();
        let ready = self.pods.iter().filter(|pod| pod.ready <= now).count() as f64;
        let share = if ready > 0.0 { (self.setup.work)(now) / ready } else { 0.0 };
        for pod in self.pods.iter_mut().filter(|pod| pod.ready <= now) {
            pod.usage.push_back(self.setup.idle + share);
            if pod.usage.len() > LAG_TICKS + 1 {
                pod.usage.pop_front();
            }
        }
        if let Some(queue) = &self.setup.queue {
            let waiting = self.waiting.back().copied().unwrap_or(0.0);
            let change = TICK_SECONDS * (queue.arrivals - queue.rate * ready);
            self.waiting.push_back((waiting + change).max(0.0));
            self.waiting.pop_front();
        }
    }

    fn views(&self) -> Vec<PodView> {
        let now = self.now();
        let name: Arc<str> = CONTAINER.into();
        let view = |pod: &Pod| {
            let ready = pod.ready <= now;
            let seen = pod.usage.len() > LAG_TICKS;
            let usage = seen.then(|| UsageSample {
                cpu_cores: Cores(pod.usage[0]),
                memory: MEMORY,
                at: now - LAG_TICKS as f64 * TICK_SECONDS,
                window: TICK_SECONDS,
            });
            let container = ContainerView {
                name: Arc::clone(&name),
                requests: resources(pod.request),
                limits: Resources::default(),
                usage,
                oom: None,
                resize: ResizeState::None,
            };
            PodView {
                id: pod.id,
                created_at: pod.created,
                phase: if ready { Phase::Running } else { Phase::Pending },
                deleting: false,
                ready,
                ready_since: if ready { pod.ready } else { pod.created },
                started_at: Some(pod.created),
                containers: vec![container],
                template: 1,
            }
        };
        self.pods.iter().map(view).collect()
    }

    fn snapshot(&self) -> Snapshot {
        let now = self.now();
        let ready = self.pods.iter().filter(|pod| pod.ready <= now).count();
        let seconds = SignedDuration::from_secs(15 * i64::try_from(self.tick).unwrap_or(0));
        let reports: Vec<f64> = self.pods.iter().filter(|p| p.usage.len() > LAG_TICKS).map(|p| p.usage[0]).collect();
        let group = |pod: &Pod| SizeGroup {
            cpu_cores: Some(Cores(pod.request)),
            memory_bytes: Some(MEMORY),
            pods: Replicas(1),
            ready: Replicas(u32::from(pod.ready <= now)),
            resize: ResizeState::None,
        };
        let container = ContainerState {
            name: CONTAINER.to_owned(),
            request: resources(self.setup.request),
            reporting_pods: Some(count(reports.len())),
            cpu_cores: (!reports.is_empty()).then(|| Cores(reports.iter().sum())),
            sizes: self.pods.iter().map(group).collect(),
            ..ContainerState::default()
        };
        Snapshot {
            v: 0,
            at: Timestamp::constant(START, 0) + seconds,
            replicas: ReplicaState {
                spec: Replicas(self.desired),
                ready: count(ready),
                pending: count(self.pods.len() - ready),
                ..ReplicaState::default()
            },
            start_seconds: Vec::new(),
            usage_age_seconds: None,
            window_seconds: None,
            containers: vec![container],
            room: crate::decide::Room::default(),
            signals: std::collections::BTreeMap::new(),
        }
    }
}

fn count(pods: usize) -> Replicas {
    Replicas(u32::try_from(pods).unwrap_or(u32::MAX))
}

fn resources(cores: f64) -> Resources {
    Resources { cpu_cores: Some(Cores(cores)), memory_bytes: Some(MEMORY) }
}

fn request_of(sizes: &[ContainerSize]) -> Option<f64> {
    sizes.first().and_then(|size| size.requests.cpu_cores).map(Cores::get)
}
