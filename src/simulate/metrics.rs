//! What a controller sees of the plant: late, averaged, sometimes missing.
//!
//! Usage and signals are means over 30 s that ended 15 s ago (a scrape interval and the pipeline behind it), the same
//! for every controller. A pod reports once its usage has been scraped often enough for a rate. A gap of the recording
//! is a signal that ages, then vanishes.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{
    ContainerView, LAG_STEPS, Phase, PodView, STEP_SECONDS, TICK_SECONDS, UsageSample, WINDOW_STEPS,
    plant::{CONTAINER, Plant, Pod, Sample, Size, Step},
};
use crate::{
    decide::{ContainerState, Reading, ReplicaState, ResizeState, Resources, Room, SignalState, SizeGroup, Snapshot},
    policy::{Policy, Role},
    units::{Bytes, Cores, Replicas, Seconds},
};

/// Steps of usage without which a rate cannot be formed: two scrapes.
const LEAST_STEPS: usize = 3;
/// A series that has not been scraped for this long is no longer returned (Prometheus' lookback).
const LOOKBACK_SECONDS: f64 = 300.0;
/// Allocatable of the nodes: pods are never Pending for room, but no pod is larger than a node.
const NODE: Resources = Resources { cpu_cores: Some(Cores(16.0)), memory_bytes: Some(Bytes(64 * Bytes::GIB)) };
/// Monday 5 January 2026, 00:00 UTC: where simulated time begins.
const BEGINNING: i64 = 1_767_571_200;

/// The instant of a moment of the run.
pub(super) fn instant(seconds: f64) -> Timestamp {
    let offset = SignedDuration::from_millis(i64::try_from(super::whole(seconds * 1000.0)).unwrap_or(i64::MAX));
    Timestamp::from_second(BEGINNING).and_then(|start| start.checked_add(offset)).unwrap_or(Timestamp::MAX)
}

/// The metrics pipeline: remembers the last request rate that was recorded.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    last_rate: Option<f64>,
    gap_seconds: f64,
}

impl Metrics {
    /// Takes a snapshot; what became ready or was killed since the last one is reported once.
    pub(super) fn snapshot(&mut self, plant: &mut Plant, policy: &Policy) -> Snapshot {
        let started = std::mem::take(&mut plant.started);
        let (kills, limit) = std::mem::take(&mut plant.killed);
        let mut container = container_state(plant);
        container.oom_kills_delta = Some(kills);
        container.last_oom_limit_bytes = limit;
        Snapshot {
            v: 0,
            at: instant(plant.now()),
            replicas: replica_state(plant),
            start_seconds: started.into_iter().map(Seconds).collect(),
            usage_age_seconds: container.cpu_cores.map(|_| Seconds(LAG_STEPS as f64 * STEP_SECONDS)),
            window_seconds: Some(Seconds(WINDOW_STEPS as f64 * STEP_SECONDS)),
            containers: vec![container],
            room: Room { node: Some(NODE), ..Room::default() },
            signals: self.signals(plant, policy),
        }
    }

    /// The pods as the API server and the metrics API tell of them, oldest first.
    pub(super) fn pods(plant: &Plant) -> Vec<PodView> {
        let now = plant.now();
        let mut pods: Vec<PodView> = plant.pods.iter().map(|pod| pod_view(pod, now, false)).collect();
        pods.extend(plant.draining().map(|pod| pod_view(pod, now, true)));
        pods.sort_by_key(|pod| pod.id);
        pods
    }

    /// The first signal of each role that a recorded load can feed; others are absent.
    fn signals(&mut self, plant: &Plant, policy: &Policy) -> BTreeMap<String, Reading> {
        let window = window_of(&plant.history);
        let (demand, latency) = (policy.signal_of(Role::Demand), policy.signal_of(Role::Latency));
        let is = |first: Option<&crate::policy::Signal>, name: &str| first.is_some_and(|signal| signal.name == name);
        let rate = self.request_rate(&window);
        policy
            .signals
            .iter()
            .map(|signal| {
                let reading = if is(demand, &signal.name) {
                    rate.clone()
                } else if is(latency, &signal.name) {
                    self.latency(&window, plant)
                } else {
                    Reading { state: Some(SignalState::Absent), ..Reading::default() }
                };
                (signal.name.clone(), reading)
            })
            .collect()
    }

    fn request_rate(&mut self, window: &[Step]) -> Reading {
        let recorded = window.iter().filter(|step| step.recorded);
        let (sum, count) = recorded.fold((0.0, 0.0), |sum, step| (sum.0 + step.requests, sum.1 + 1.0));
        if count > 0.0 {
            self.last_rate = Some(sum / (count * STEP_SECONDS));
            self.gap_seconds = 0.0;
        } else {
            self.gap_seconds += TICK_SECONDS;
        }
        self.aged(self.last_rate)
    }

    /// A value with the age of the last recorded sample; nothing once it is older than the lookback.
    fn aged(&self, value: Option<f64>) -> Reading {
        let age = LAG_STEPS as f64 * STEP_SECONDS + self.gap_seconds;
        match value {
            Some(value) if age < LOOKBACK_SECONDS => {
                Reading { value: Some(value), age_seconds: Some(Seconds(age)), ..Reading::default() }
            }
            _ => Reading { state: Some(SignalState::Absent), ..Reading::default() },
        }
    }

    fn latency(&self, window: &[Step], plant: &Plant) -> Reading {
        let recorded: Vec<&Step> = window.iter().filter(|step| step.recorded).collect();
        let requests: f64 = recorded.iter().map(|step| step.requests).sum();
        if recorded.is_empty() {
            return self.aged(None);
        }
        if requests == 0.0 {
            let age_seconds = Some(Seconds(LAG_STEPS as f64 * STEP_SECONDS));
            return Reading { age_seconds, state: Some(SignalState::Idle), ..Reading::default() };
        }
        let share = recorded.iter().map(|step| step.over).sum::<f64>() / requests;
        let mean = |value: fn(&Step) -> f64| recorded.iter().map(|s| value(s)).sum::<f64>() / recorded.len() as f64;
        let capacity = mean(|step| step.pod_capacity).max(1e-3);
        let at = plant.latency.at_quantile(plant.service.quantile, share, capacity, mean(|step| step.pod_utilization));
        Reading { violation_ratio: Some(share), ..self.aged(Some(at)) }
    }
}

/// The samples of the window that ended a lag ago.
fn window_of<'a, T: Clone + 'a>(history: &std::collections::VecDeque<T>) -> Vec<T> {
    let end = history.len().saturating_sub(LAG_STEPS);
    history.iter().take(end).skip(end.saturating_sub(WINDOW_STEPS)).cloned().collect()
}

fn replica_state(plant: &Plant) -> ReplicaState {
    let now = plant.now();
    let ready = plant.ready().count();
    let youngest = plant.ready().map(|pod| now - pod.ready_at).min_by(f64::total_cmp);
    ReplicaState {
        spec: Replicas(plant.desired),
        ready: count(ready),
        pending: count(plant.pods.len() - ready),
        unschedulable: Replicas(0),
        terminating: count(plant.terminating()),
        youngest_ready_age_seconds: youngest.map(Seconds),
        rolling_out: Some(false),
        template_hash: Some("simulated".to_owned()),
        last_writer: None,
    }
}

fn container_state(plant: &Plant) -> ContainerState {
    let reports: Vec<Vec<Sample>> =
        plant.ready().map(|pod| window_of(&pod.history)).filter(|window| window.len() >= LEAST_STEPS).collect();
    let mut state = ContainerState {
        name: CONTAINER.to_owned(),
        request: resources(Some(plant.template.cpu), Some(plant.template.memory)),
        limit: resources(plant.template.cpu_limit, plant.template.memory_limit),
        reporting_pods: Some(count(reports.len())),
        sizes: size_groups(plant),
        ..ContainerState::default()
    };
    if reports.is_empty() {
        return state;
    }
    let mean =
        |window: &[Sample], value: fn(&Sample) -> f64| window.iter().map(value).sum::<f64>() / window.len() as f64;
    let cpu: Vec<f64> = reports.iter().map(|window| mean(window, |sample| sample.cpu)).collect();
    let memory: Vec<f64> =
        reports.iter().map(|window| window.iter().map(|sample| sample.memory).fold(0.0, f64::max)).collect();
    state.cpu_cores = Some(Cores(cpu.iter().sum()));
    state.max_pod_cpu_cores = Some(Cores(cpu.iter().copied().fold(0.0, f64::max)));
    state.memory_max_pod_bytes = Some(Bytes::ceil_from(memory.iter().copied().fold(0.0, f64::max)));
    state.memory_mean_pod_bytes = Some(Bytes::ceil_from(memory.iter().sum::<f64>() / memory.len() as f64));
    // Only a quota throttles; without a limit the kernel reports no throttled period at all.
    if plant.template.cpu_limit.is_some() {
        let short = |sample: &Sample| f64::from(u8::from(sample.short));
        let throttled: f64 = reports.iter().map(|window| mean(window, short)).sum();
        state.throttled_ratio = Some(throttled / reports.len() as f64);
    }
    state
}

/// One pod, seen from outside.
fn pod_view(pod: &Pod, now: f64, deleting: bool) -> PodView {
    let ready = pod.is_ready(now) && !deleting;
    let window = window_of(&pod.history);
    let usage = (ready && window.len() >= LEAST_STEPS).then(|| {
        let steps = window.len() as f64;
        UsageSample {
            cpu_cores: Cores(window.iter().map(|sample| sample.cpu).sum::<f64>() / steps),
            memory: Bytes::ceil_from(window.iter().map(|sample| sample.memory).fold(0.0, f64::max)),
            at: now - LAG_STEPS as f64 * STEP_SECONDS,
            window: steps * STEP_SECONDS,
        }
    });
    let size = pod.wanted();
    PodView {
        id: pod.id,
        created_at: pod.born_at,
        phase: if pod.is_ready(now) { Phase::Running } else { Phase::Pending },
        deleting,
        ready,
        ready_since: if ready { pod.ready_at } else { pod.born_at },
        started_at: Some(pod.born_at),
        containers: vec![ContainerView {
            name: CONTAINER.into(),
            requests: resources(Some(size.cpu), Some(size.memory)),
            limits: resources(size.cpu_limit, size.memory_limit),
            usage,
            oom: pod.oom,
            resize: pod.resize_state(),
        }],
        template: 1,
    }
}

/// Pods by the size they have, in the order in which sizes first appear among the pods.
fn size_groups(plant: &Plant) -> Vec<SizeGroup> {
    let now = plant.now();
    let mut groups: Vec<(Size, ResizeState, u32, u32)> = Vec::new();
    for pod in &plant.pods {
        let ready = u32::from(pod.is_ready(now));
        let key = |pod: &Pod| (pod.size, pod.resize_state());
        match groups.iter_mut().find(|group| (group.0, group.1) == key(pod)) {
            Some(group) => {
                group.2 += 1;
                group.3 += ready;
            }
            None => groups.push((pod.size, pod.resize_state(), 1, ready)),
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
