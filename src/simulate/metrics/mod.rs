//! What a controller sees of the plant: late, averaged, sometimes missing, sometimes wrong.
//!
//! Usage and signals are means over 30 s that ended 15 s ago (a scrape interval and the pipeline behind it), older where
//! scrapes are rarer, the same for every controller. A container reports once its usage has been scraped often enough for
//! a rate, and again after a restart has reset its counters. A gap of the recording is a signal that ages, then vanishes.

mod pods;
mod shortage;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use shortage::Shortage;

use super::{
    LAG_STEPS, PodView, STEP_SECONDS, Scenario, TICK_SECONDS, WINDOW_STEPS,
    plant::{Plant, Pod, Size, Step},
    random::Stream,
    whole,
    world::Pipeline,
};
use crate::{
    decide::{ContainerState, Reading, ReplicaState, ResizeState, Resources, Room, SignalState, SizeGroup, Snapshot},
    policy::{Policy, Role, Signal},
    units::{Bytes, Cores, Replicas, Seconds},
};

/// Steps of usage without which a rate cannot be formed: two scrapes.
const LEAST_STEPS: usize = 3;
/// A series that has not been scraped for this long is no longer returned (Prometheus' lookback).
const LOOKBACK_SECONDS: f64 = 300.0;
/// Monday 5 January 2026, 00:00 UTC: where simulated time begins.
const BEGINNING: i64 = 1_767_571_200;

/// The instant of a moment of the run.
pub(super) fn instant(seconds: f64) -> Timestamp {
    let offset = SignedDuration::from_millis(i64::try_from(whole(seconds * 1000.0)).unwrap_or(i64::MAX));
    Timestamp::from_second(BEGINNING).and_then(|start| start.checked_add(offset)).unwrap_or(Timestamp::MAX)
}

/// The metrics pipeline: remembers the last request rate that was recorded.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    pipeline: Pipeline,
    last_rate: Option<f64>,
    gap_seconds: f64,
    pods: Vec<PodView>,
}

/// What a container reports: CPU as a mean, memory as the largest of the window.
#[derive(Clone, Copy, Debug)]
struct Usage {
    cpu: f64,
    memory: f64,
}

impl Metrics {
    pub(super) fn new(scenario: &Scenario) -> Self {
        Self { pipeline: scenario.world.pipeline, ..Self::default() }
    }

    /// Takes a snapshot; what became ready or was killed since the last one is reported once.
    pub(super) fn snapshot(&mut self, plant: &mut Plant, policy: &Policy) -> Snapshot {
        let started = std::mem::take(&mut plant.started);
        let lag = self.lag(plant.now());
        let mut containers = Vec::with_capacity(plant.names.len());
        for index in 0..plant.names.len() {
            let (kills, limit) = std::mem::take(&mut plant.killed[index]);
            let mut container = self.container_state(plant, index);
            container.oom_kills_delta = Some(kills);
            container.last_oom_limit_bytes = limit;
            containers.push(container);
        }
        let seen = containers.first().is_some_and(|container| container.cpu_cores.is_some());
        Snapshot {
            v: 0,
            at: instant(plant.now()),
            replicas: replica_state(plant),
            start_seconds: started.into_iter().map(Seconds).collect(),
            usage_age_seconds: seen.then_some(Seconds(lag as f64 * STEP_SECONDS)),
            window_seconds: Some(Seconds(WINDOW_STEPS as f64 * STEP_SECONDS)),
            containers,
            room: Room { node: Some(plant.largest_node()), ..Room::default() },
            signals: self.signals(plant, policy, lag),
        }
    }

    /// Steps between the end of the newest window and now: the pipeline, and the time since the last scrape.
    fn lag(&self, now: f64) -> usize {
        let scrape = self.pipeline.scrape.get();
        LAG_STEPS + whole((now - (now / scrape).floor() * scrape) / STEP_SECONDS)
    }

    /// What a container of a pod reports; nothing before it has been scraped often enough, or when it is lost.
    fn usage(&self, plant: &Plant, pod: &Pod, container: usize) -> Option<Usage> {
        let now = plant.now();
        if plant.faults.outage(now) || !pod.is_ready(now) || self.misses(plant, pod) {
            return None;
        }
        let window = pod.containers[container].history.window(self.lag(now), WINDOW_STEPS);
        let steps = window.len();
        if steps < LEAST_STEPS {
            return None;
        }
        let factor = plant.faults.usage_factor(now);
        let mut usage = Usage { cpu: 0.0, memory: 0.0 };
        for sample in window {
            usage.cpu += sample.cpu * factor / steps as f64;
            usage.memory = usage.memory.max(sample.memory);
        }
        Some(usage)
    }

    /// Whether the last scrape missed a pod.
    fn misses(&self, plant: &Plant, pod: &Pod) -> bool {
        let Pipeline { scrape, missing_pods } = self.pipeline;
        missing_pods > 0.0 && {
            let scrapes = whole(plant.now() / scrape.get()) as u64;
            Stream::new(plant.seed, "scrape", pod.id << 32 | scrapes).uniform() < missing_pods
        }
    }

    /// The first signal of each role that the plant can feed; others are absent.
    fn signals(&mut self, plant: &Plant, policy: &Policy, lag: usize) -> BTreeMap<String, Reading> {
        let end = plant.history.len().saturating_sub(lag);
        let window = plant.history.range(end.saturating_sub(WINDOW_STEPS)..end);
        let first = |role| policy.signal_of(role).map(|signal: &Signal| signal.name.as_str());
        let rate = self.request_rate(window.clone(), plant, lag);
        let lost = plant.faults.outage(plant.now());
        policy
            .signals
            .iter()
            .map(|signal| {
                let is = |role| first(role) == Some(signal.name.as_str());
                let reading = if lost {
                    absent()
                } else if is(Role::Demand) {
                    rate.clone()
                } else if is(Role::Latency) && plant.queue().is_none() {
                    self.latency(window.clone(), plant, lag)
                } else if is(Role::Backlog) {
                    backlog(plant)
                } else {
                    absent()
                };
                (signal.name.clone(), reading)
            })
            .collect()
    }

    fn request_rate<'a>(&mut self, window: impl Iterator<Item = &'a Step>, plant: &Plant, lag: usize) -> Reading {
        let recorded = window.filter(|step| step.recorded);
        let (sum, count) = recorded.fold((0.0, 0.0), |sum, step| (sum.0 + step.requests, sum.1 + 1.0));
        if count > 0.0 {
            self.last_rate = Some(sum / (count * STEP_SECONDS));
            self.gap_seconds = 0.0;
        } else {
            self.gap_seconds += TICK_SECONDS;
        }
        let factor = plant.faults.signal_factor(plant.now());
        self.aged(self.last_rate.map(|rate| rate * factor), lag)
    }

    /// A value with the age of the last recorded sample; nothing once it is older than the lookback.
    fn aged(&self, value: Option<f64>, lag: usize) -> Reading {
        let age = lag as f64 * STEP_SECONDS + self.gap_seconds;
        match value {
            Some(value) if age < LOOKBACK_SECONDS => {
                Reading { value: Some(value), age_seconds: Some(Seconds(age)), ..Reading::default() }
            }
            _ => absent(),
        }
    }

    fn latency<'a>(&self, window: impl Iterator<Item = &'a Step>, plant: &Plant, lag: usize) -> Reading {
        let recorded = window.filter(|step| step.recorded);
        let (mut steps, mut requests, mut over, mut capacity, mut utilization) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for step in recorded {
            steps += 1.0;
            requests += step.requests;
            over += step.over;
            capacity += step.pod_capacity;
            utilization += step.pod_utilization;
        }
        if steps == 0.0 {
            return absent();
        }
        // Who counts no requests sees no latency either.
        if requests * plant.faults.signal_factor(plant.now()) == 0.0 {
            let age_seconds = Some(Seconds(lag as f64 * STEP_SECONDS));
            return Reading { age_seconds, state: Some(SignalState::Idle), ..Reading::default() };
        }
        let share = over / requests;
        let capacity = (capacity / steps).max(1e-3);
        let at = plant.latency.at_quantile(plant.service.quantile, share, capacity, utilization / steps);
        Reading { violation_ratio: Some(share), ..self.aged(Some(at), lag) }
    }

    fn container_state(&self, plant: &Plant, index: usize) -> ContainerState {
        let template = plant.template[index];
        let mut state = ContainerState {
            name: plant.names[index].as_ref().to_owned(),
            request: resources(Some(template.cpu), Some(template.memory)),
            limit: resources(template.cpu_limit, template.memory_limit),
            sizes: size_groups(plant, index),
            ..ContainerState::default()
        };
        let (mut pods, mut sum, mut largest) = (0_u32, 0.0, 0.0_f64);
        let (mut memory, mut largest_memory) = (0.0, 0.0_f64);
        let mut shortage = Shortage::default();
        for pod in &plant.pods {
            let Some(usage) = self.usage(plant, pod, index) else { continue };
            shortage.add(plant, pod, index, self.lag(plant.now()));
            pods += 1;
            sum += usage.cpu;
            largest = largest.max(usage.cpu);
            memory += usage.memory;
            largest_memory = largest_memory.max(usage.memory);
        }
        state.reporting_pods = Some(Replicas(pods));
        if pods == 0 {
            return state;
        }
        state.cpu_cores = Some(Cores(sum));
        state.max_pod_cpu_cores = Some(Cores(largest));
        state.memory_max_pod_bytes = Some(Bytes::ceil_from(largest_memory));
        state.memory_mean_pod_bytes = Some(Bytes::ceil_from(memory / f64::from(pods)));
        // Zeros instead of gaps are zeros of everything that the pipeline carries.
        let factor = plant.faults.usage_factor(plant.now()).min(1.0);
        state.cpu_pressure = Some(shortage.pressure / f64::from(pods) * factor);
        // Only a quota throttles; without a limit the kernel reports no throttled period at all.
        state.throttled_ratio = template.cpu_limit.map(|_| shortage.throttled / f64::from(pods) * factor);
        state
    }
}

fn absent() -> Reading {
    Reading { state: Some(SignalState::Absent), ..Reading::default() }
}

/// What waits, as a broker tells it: 1 to 2 s old.
fn backlog(plant: &Plant) -> Reading {
    let Some((waiting, in_flight)) = plant.queue() else { return absent() };
    let value = (waiting + in_flight) * plant.faults.signal_factor(plant.now());
    Reading { value: Some(value), age_seconds: Some(Seconds(1.5)), ..Reading::default() }
}

fn replica_state(plant: &Plant) -> ReplicaState {
    let now = plant.now();
    let (mut ready, mut unschedulable, mut youngest) = (0, 0, None);
    for pod in &plant.pods {
        unschedulable += u32::from(pod.node.is_none() && pod.born_at < now);
        if pod.is_ready(now) {
            ready += 1;
            let age = now - pod.ready_at;
            youngest = Some(youngest.map_or(age, |youngest: f64| youngest.min(age)));
        }
    }
    ReplicaState {
        spec: Replicas(plant.desired),
        ready: count(ready),
        pending: count(plant.pods.len() - ready),
        unschedulable: Replicas(unschedulable),
        terminating: count(plant.terminating()),
        youngest_ready_age_seconds: youngest.map(Seconds),
        rolling_out: Some(plant.rolling),
        template_hash: Some(if plant.generation == 1 {
            "simulated".to_owned()
        } else {
            format!("simulated-{}", plant.generation)
        }),
        last_writer: None,
    }
}

/// Pods by the size that a container has in them, in the order in which sizes first appear among the pods.
fn size_groups(plant: &Plant, index: usize) -> Vec<SizeGroup> {
    let now = plant.now();
    let mut groups: Vec<(Size, ResizeState, u32, u32)> = Vec::new();
    for pod in &plant.pods {
        let ready = u32::from(pod.is_ready(now));
        let (size, resize) = (pod.containers[index].size, pod.resize_state());
        match groups.iter_mut().find(|group| (group.0, group.1) == (size, resize)) {
            Some(group) => {
                group.2 += 1;
                group.3 += ready;
            }
            None => groups.push((size, resize, 1, ready)),
        }
    }
    groups
        .into_iter()
        .map(|(size, resize, pods, ready)| SizeGroup {
            cpu_cores: Some(Cores(size.cpu)),
            memory_bytes: Some(size.memory),
            pods: Replicas(pods),
            ready: Replicas(ready),
            resize,
        })
        .collect()
}

fn resources(cpu: Option<f64>, memory: Option<Bytes>) -> Resources {
    Resources { cpu_cores: cpu.map(Cores), memory_bytes: memory }
}

fn count(pods: usize) -> Replicas {
    Replicas(u32::try_from(pods).unwrap_or(u32::MAX))
}
