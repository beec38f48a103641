//! From the usage of containers to what one target's Snapshot says about each of its containers.
//!
//! CPU, throttling and pressure are of the *ready* pods: a pod that starts burns CPU without serving. Memory is of all
//! pods: a start can be its peak.
//!
//! Invariant: pure; what was not measured stays absent, and a pod without a fresh sample is not counted as reporting.

use std::{collections::BTreeMap, sync::Arc};

use super::{ContainerUsage, Containers, PodId, UsageTable};
use crate::decide::ContainerState;
use crate::units::{Bytes, Cores, Replicas, Seconds};

/// A pod's sample counts while it is at most this much older than the newest of the target: two of cAdvisor's usual
/// scrapes. A whole source that has stopped shows in the newest sample's age instead.
pub const SAMPLE_LAG: Seconds = Seconds(60.0);

/// A member of a target.
#[derive(Clone, Debug, PartialEq)]
pub struct UsagePod {
    /// Which pod.
    pub id: PodId,
    /// Whether it is ready.
    pub ready: bool,
}

/// The OOM counters of a target's containers at the last tick.
#[derive(Clone, Debug, Default)]
pub struct OomCounters {
    seen: BTreeMap<(PodId, Arc<str>), u64>,
    /// Pods that were there at the last tick, sorted; none before the first.
    pods: Option<Box<[PodId]>>,
}

/// Age of the newest sample of the target's pods.
#[must_use]
pub fn newest_age(table: &UsageTable, pods: &[UsagePod]) -> Option<Seconds> {
    let ages = pods.iter().filter_map(|p| table.pods.get(&p.id)).flat_map(Containers::values).filter_map(|c| c.age);
    ages.reduce(Seconds::min)
}

/// Fills in the usage fields of the containers.
pub fn fill(table: &UsageTable, pods: &[UsagePod], containers: &mut [ContainerState], counters: &mut OomCounters) {
    let newest = newest_age(table, pods);
    for state in containers.iter_mut() {
        let fresh: Vec<(&UsagePod, &ContainerUsage)> = pods
            .iter()
            .filter_map(|pod| Some((pod, table.pods.get(&pod.id)?.get(state.name.as_str())?)))
            .filter(|(_, usage)| is_fresh(usage, newest))
            .collect();
        let ready: Vec<&ContainerUsage> = fresh.iter().filter(|(pod, _)| pod.ready).map(|(_, usage)| *usage).collect();
        fill_cpu(state, &ready);
        fill_memory(state, fresh.iter().filter_map(|(_, usage)| usage.memory));
        state.oom_kills_delta = counters.delta(table, pods, &state.name);
    }
    counters.end_tick(pods);
}

fn is_fresh(usage: &ContainerUsage, newest: Option<Seconds>) -> bool {
    match (usage.age, newest) {
        (Some(age), Some(newest)) => age <= newest + SAMPLE_LAG,
        // Without any age the sample may be of any time.
        _ => false,
    }
}

fn fill_cpu(state: &mut ContainerState, ready: &[&ContainerUsage]) {
    let cpu: Vec<Cores> = ready.iter().filter_map(|u| u.cpu).collect();
    state.reporting_pods = Some(Replicas(u32::try_from(cpu.len()).unwrap_or(u32::MAX)));
    state.max_pod_cpu_cores = cpu.iter().copied().reduce(Cores::max);
    state.cpu_cores = (!cpu.is_empty()).then(|| cpu.iter().copied().sum());
    state.throttled_ratio = mean(ready.iter().filter_map(|u| u.throttled));
    state.cpu_pressure = mean(ready.iter().filter_map(|u| u.cpu_pressure));
    state.memory_pressure = mean(ready.iter().filter_map(|u| u.memory_pressure));
}

fn fill_memory(state: &mut ContainerState, sizes: impl Iterator<Item = Bytes>) {
    let sizes: Vec<Bytes> = sizes.collect();
    state.memory_max_pod_bytes = sizes.iter().copied().max();
    state.memory_mean_pod_bytes = mean(sizes.iter().map(|b| b.as_f64())).map(Bytes::ceil_from);
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut n) = (0.0, 0.0);
    for value in values {
        sum += value;
        n += 1.0;
    }
    (n > 0.0).then(|| sum / n)
}

impl OomCounters {
    /// Kills of a container since the last tick, over all pods; none when no pod reports the counter, or at the first
    /// tick, when nobody knows how much of it is old.
    fn delta(&mut self, table: &UsageTable, pods: &[UsagePod], container: &str) -> Option<u32> {
        let mut sum = None;
        for pod in pods {
            let Some(containers) = table.pods.get(&pod.id) else { continue };
            let at = containers.find_index(container).ok();
            let Some((name, usage)) = at.and_then(|at| containers.get_indexed(at)) else { continue };
            let Some(now) = usage.oom_events else { continue };
            let before = self.seen.insert((pod.id.clone(), Arc::clone(name)), now);
            let Some(known) = &self.pods else { continue };
            let killed = match before {
                // A counter that ran back began anew: all of it is new.
                Some(before) if now < before => now,
                Some(before) => now - before,
                // A pod that came since the last tick: all of it is new. One that was there and did not report: unknown.
                None if known.binary_search(&pod.id).is_ok() => 0,
                None => now,
            };
            sum = Some(sum.unwrap_or(0_u64).saturating_add(killed));
        }
        sum.map(|n| u32::try_from(n).unwrap_or(u32::MAX))
    }

    fn end_tick(&mut self, pods: &[UsagePod]) {
        let mut there: Box<[PodId]> = pods.iter().map(|p| p.id.clone()).collect();
        there.sort();
        self.seen.retain(|(pod, _), _| there.binary_search(pod).is_ok());
        self.pods = Some(there);
    }
}

#[cfg(test)]
mod tests;
