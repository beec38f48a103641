//! One workload at one instant: what is known of its target, pods, usage and signals, put together. Pure.
//!
//! The only memory is [`Seen`]: which pods were ready and how often containers were killed when the snapshot before was
//! taken, because start times and kills are reported once.
//!
//! Invariant: what is not known is absent, never 0.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;

use super::{
    kubernetes::{ContainerFacts, PodFacts, TargetFacts, TemplateContainer},
    rollout::Rollout,
    usage::{
        PodId, UsageTable,
        aggregate::{OomCounters, UsagePod, fill, newest_age},
    },
};
use crate::{
    decide::{ContainerState, Reading, ReplicaState, ResizeState, Resources, Room, SizeGroup, Snapshot},
    units::{Bytes, Cores, Replicas, Seconds},
};

/// What one snapshot is put together from.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The target.
    pub target: &'a TargetFacts,
    /// Pods of the target.
    pub pods: &'a [Arc<PodFacts>],
    /// Hash of the newest template, when the target has one.
    pub template_hash: Option<&'a str>,
    /// Whether its pods are being replaced.
    pub rollout: &'a Rollout,
    /// Room to grow in.
    pub room: &'a Room,
    /// Usage of pods, theirs among others.
    pub usage: &'a UsageTable,
    /// Time since the usage was read; its samples are that much older now.
    pub usage_lag: Seconds,
    /// Signals by name.
    pub signals: &'a BTreeMap<String, Reading>,
}

/// What the snapshot before saw.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    started: bool,
    ready: BTreeSet<Arc<str>>,
    kills: BTreeMap<(Arc<str>, Arc<str>), u32>,
    counters: OomCounters,
}

/// Puts a snapshot together and notes what it saw.
#[must_use]
pub fn assemble(parts: Parts<'_>, seen: &mut Seen, now: Timestamp) -> Snapshot {
    let start_seconds = start_times(parts.pods, seen);
    let mut containers: Vec<_> = names(parts).into_iter().map(|c| container(parts, c, seen)).collect();
    let members = usage_pods(parts.pods);
    let usage_age = newest_age(parts.usage, &members).map(|age| age + parts.usage_lag);
    fill_usage(parts, &members, &mut containers, seen);
    note(parts.pods, seen);
    Snapshot {
        v: 0,
        at: now,
        replicas: replicas(parts, now),
        start_seconds,
        usage_age_seconds: usage_age,
        window_seconds: usage_age.and(parts.usage.window),
        containers,
        room: parts.room.clone(),
        signals: parts.signals.clone(),
    }
}

fn usage_pods(pods: &[Arc<PodFacts>]) -> Vec<UsagePod> {
    let running = pods.iter().filter(|p| p.counts());
    running
        .map(|p| UsagePod { id: PodId { namespace: p.namespace.clone(), name: p.name.clone() }, ready: p.ready() })
        .collect()
}

/// Fills in what is measured. A kill is seen in the pod's status, or only in the counter when a child process was
/// killed: whichever saw more counts.
fn fill_usage(parts: Parts<'_>, members: &[UsagePod], containers: &mut [ContainerState], seen: &mut Seen) {
    let kills: Vec<_> = containers.iter().map(|c| c.oom_kills_delta).collect();
    fill(parts.usage, members, containers, &mut seen.counters);
    for (container, in_status) in containers.iter_mut().zip(kills) {
        container.oom_kills_delta = container.oom_kills_delta.max(in_status);
    }
}

fn count(pods: &[Arc<PodFacts>], which: impl Fn(&PodFacts) -> bool) -> Replicas {
    Replicas(u32::try_from(pods.iter().filter(|p| which(p)).count()).unwrap_or(u32::MAX))
}

fn replicas(parts: Parts<'_>, now: Timestamp) -> ReplicaState {
    let youngest = parts.pods.iter().filter(|p| p.ready()).filter_map(|p| p.ready_since).max();
    ReplicaState {
        spec: parts.target.scale.replicas,
        ready: count(parts.pods, PodFacts::ready),
        pending: count(parts.pods, |p| p.counts() && !p.ready()),
        unschedulable: count(parts.pods, |p| p.counts() && p.unschedulable),
        terminating: count(parts.pods, |p| p.deleting && !p.finished),
        youngest_ready_age_seconds: youngest.map(|t| between(t, now)),
        rolling_out: parts.rollout.holds(),
        template_hash: parts.template_hash.map(str::to_owned),
        last_writer: parts.target.object.last_writer.clone(),
    }
}

fn between(from: Timestamp, to: Timestamp) -> Seconds {
    Seconds(to.duration_since(from).as_secs_f64().max(0.0))
}

/// Times from creation to ready of pods that became ready since the snapshot before. Pods that were ready before this
/// process looked, or whose containers restarted, tell nothing about a start.
fn start_times(pods: &[Arc<PodFacts>], seen: &Seen) -> Vec<Seconds> {
    if !seen.started {
        return Vec::new();
    }
    let fresh = pods.iter().filter(|p| p.ready() && !seen.ready.contains(&p.uid));
    fresh
        .filter(|p| p.containers.iter().all(|c| c.restarts == 0))
        .filter_map(|p| Some(between(p.created?, p.ready_since?)))
        .collect()
}

/// Containers in the order of the pod template, then those that only pods have (injected ones), by name.
fn names(parts: Parts<'_>) -> Vec<TemplateContainer> {
    let mut all = parts.target.object.template.clone();
    let mut injected = BTreeMap::new();
    for container in parts.pods.iter().filter(|p| p.counts()).flat_map(|p| &p.containers) {
        if !all.iter().any(|c| *c.name == *container.name) {
            injected.entry(container.name.clone()).or_insert_with(|| TemplateContainer {
                name: container.name.to_string(),
                requests: container.requests,
                limits: container.limits,
            });
        }
    }
    all.extend(injected.into_values());
    all
}

fn container(parts: Parts<'_>, template: TemplateContainer, seen: &Seen) -> ContainerState {
    let TemplateContainer { name, requests, limits } = template;
    let own: Vec<_> = parts
        .pods
        .iter()
        .filter_map(|p| p.containers.iter().find(|c| *c.name == *name).map(|c| (p.as_ref(), c)))
        .collect();
    let kills: u32 = own.iter().map(|(p, c)| new_kills(p, c, seen)).sum();
    let last_kill = own.iter().filter(|(_, c)| c.oom.is_some()).max_by_key(|(_, c)| c.oom.as_ref().and_then(|o| o.at));
    ContainerState {
        request: requests,
        limit: limits,
        oom_kills_delta: seen.started.then_some(kills),
        last_oom_limit_bytes: last_kill.and_then(|(_, c)| c.oom.as_ref()?.limit.or(c.limits.memory_bytes)),
        sizes: size_groups(&own),
        name,
        ..ContainerState::default()
    }
}

/// Kills that the snapshot before had not seen. A pod that is new since then counts from zero.
fn new_kills(pod: &PodFacts, container: &ContainerFacts, seen: &Seen) -> u32 {
    let Some(kill) = &container.oom else { return 0 };
    let before = seen.kills.get(&(pod.uid.clone(), container.name.clone())).copied().unwrap_or_default();
    u32::from(seen.started && kill.restarts.max(1) > before)
}

/// What pods of one group share: CPU in millicores, memory, resize.
type Size = (Option<u64>, Option<Bytes>, ResizeState);

fn size_groups(own: &[(&PodFacts, &ContainerFacts)]) -> Vec<SizeGroup> {
    let mut groups: BTreeMap<Size, (u32, u32)> = BTreeMap::new();
    for (pod, container) in own.iter().filter(|(p, _)| p.counts()) {
        let Resources { cpu_cores, memory_bytes } = container.allocated.unwrap_or(container.requests);
        let (pods, ready) = groups.entry((cpu_cores.map(Cores::millis_ceil), memory_bytes, pod.resize)).or_default();
        *pods += 1;
        *ready += u32::from(pod.ready());
    }
    let group = |((millis, memory_bytes, resize), (pods, ready)): (Size, (u32, u32))| SizeGroup {
        cpu_cores: millis.map(Cores::from_millis),
        memory_bytes,
        pods: Replicas(pods),
        ready: Replicas(ready),
        resize,
    };
    groups.into_iter().map(group).collect()
}

fn note(pods: &[Arc<PodFacts>], seen: &mut Seen) {
    seen.started = true;
    seen.ready = pods.iter().filter(|p| p.ready()).map(|p| p.uid.clone()).collect();
    seen.kills = pods
        .iter()
        .flat_map(|p| p.containers.iter().map(move |c| (p, c)))
        .filter_map(|(p, c)| Some(((p.uid.clone(), c.name.clone()), c.oom.as_ref()?.restarts.max(1))))
        .collect();
}

#[cfg(test)]
#[path = "snapshot/tests.rs"]
mod tests;
