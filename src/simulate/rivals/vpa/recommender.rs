//! The recommender: usage samples and kills in, a target and its bounds out.
//!
//! Per container: 90th percentile of usage (bounds: 50th and 95th), 15 % on top, bounds widened while little has been
//! seen, never less than the pod's minimum shared among its containers. Whole millicores and bytes after every stage.

use std::collections::BTreeMap;

use super::{
    amounts::{Amounts, Resource, scaled, truncated},
    policy::Policy,
    usage::{Aggregate, ContainerUsage},
};

/// Flags of the recommender; whole seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// `--target-cpu-percentile`, `--target-memory-percentile`.
    pub target_percentile: f64,
    /// `--recommendation-margin-fraction`.
    pub margin: f64,
    /// `--cpu-histogram-decay-half-life`.
    pub cpu_half_life: i64,
    /// `--memory-histogram-decay-half-life`.
    pub memory_half_life: i64,
    /// `--confidence-interval-cpu`, `--confidence-interval-memory`.
    pub confidence_interval: i64,
    /// `--memory-aggregation-interval`: one peak in each.
    pub memory_interval: i64,
    /// `--memory-aggregation-interval-count`: after so many intervals without news an aggregate goes.
    pub memory_intervals: i64,
    /// `--oom-bump-up-ratio`.
    pub oom_ratio: f64,
    /// `--oom-min-bump-up-bytes`.
    pub oom_min_bytes: i64,
    /// `--pod-recommendation-min-cpu-millicores` and `-min-memory-mb`: for a pod.
    pub pod_min: (i64, i64),
}

impl Default for Config {
    fn default() -> Self {
        Self {
            target_percentile: 0.9,
            margin: 0.15,
            cpu_half_life: DAY,
            memory_half_life: DAY,
            confidence_interval: DAY,
            memory_interval: DAY,
            memory_intervals: 8,
            oom_ratio: 1.2,
            oom_min_bytes: 100 << 20,
            pod_min: (25, 250 << 20),
        }
    }
}

const DAY: i64 = 86_400;
/// `--recommendation-lower-bound-cpu-percentile` and its memory twin.
const LOWER_PERCENTILE: f64 = 0.5;
/// `--recommendation-upper-bound-cpu-percentile` and its memory twin.
const UPPER_PERCENTILE: f64 = 0.95;
/// The lower bound is divided by the square of 1 + this / confidence: 1 within minutes.
const LOWER_DOUBT: f64 = 0.001;
/// `AggregateContainerStateGCInterval`.
const GARBAGE_INTERVAL: i64 = 3600;

/// Usage that the recommender has seen before: as much for whole days, once a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed {
    /// For how many days.
    pub days: i64,
    /// CPU of a container, in millicores.
    pub cpu_milli: i64,
    /// Memory of a container, in bytes.
    pub memory_bytes: i64,
}

/// What is recommended for one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recommendation {
    /// The container's name.
    pub container: String,
    /// What its requests should be.
    pub target: Amounts,
    /// Below this a pod is too small to stay.
    pub lower: Amounts,
    /// Above this a pod is too large to stay.
    pub upper: Amounts,
    /// The target before the policy's caps.
    pub uncapped: Amounts,
}

impl Recommendation {
    /// Target and bounds changed; the uncapped target stays.
    pub(super) fn changed(&self, change: impl Fn(Amounts) -> Amounts) -> Self {
        Self {
            container: self.container.clone(),
            target: change(self.target),
            lower: change(self.lower),
            upper: change(self.upper),
            uncapped: self.uncapped,
        }
    }
}

#[derive(Clone, Debug)]
struct Pod {
    /// Its template: pods of one share what is known of them.
    template: u64,
    containers: Vec<ContainerUsage>,
}

/// The recommender's memory of one workload.
#[derive(Clone, Debug)]
pub struct Recommender {
    config: Config,
    containers: Vec<String>,
    pods: BTreeMap<u64, Pod>,
    /// By template and container.
    aggregates: BTreeMap<(u64, usize), Aggregate>,
    collected: Option<i64>,
}

impl Recommender {
    /// Knows nothing yet. All pods have these containers.
    #[must_use]
    pub fn new(containers: Vec<String>, config: Config) -> Self {
        Self { config, containers, pods: BTreeMap::new(), aggregates: BTreeMap::new(), collected: None }
    }

    /// The containers it knows, in their order.
    #[must_use]
    pub fn containers(&self) -> &[String] {
        &self.containers
    }

    /// Pods it knows.
    pub fn pods(&self) -> impl Iterator<Item = u64> + '_ {
        self.pods.keys().copied()
    }

    /// A pod appears; known ones stay as they are.
    pub fn add_pod(&mut self, pod: u64, template: u64, now: i64) {
        let count = self.containers.len();
        for container in 0..count {
            let config = &self.config;
            self.aggregates.entry((template, container)).or_insert_with(|| Aggregate::new(config, now));
        }
        let new = || Pod { template, containers: vec![ContainerUsage::default(); count] };
        self.pods.entry(pod).or_insert_with(new);
    }

    /// Takes over a checkpoint: a container used as much for whole days before `now`.
    pub fn restore(&mut self, template: u64, container: usize, past: &Seed, now: i64) {
        let config = &self.config;
        let aggregate = self.aggregates.entry((template, container)).or_insert_with(|| Aggregate::new(config, now));
        aggregate.restore(past.days, past.cpu_milli, past.memory_bytes, now);
    }

    /// A pod is gone; what it taught stays.
    pub fn remove_pod(&mut self, pod: u64) {
        self.pods.remove(&pod);
    }

    /// CPU used by a container, in millicores; `at` and `now` in Unix seconds.
    pub fn add_cpu(&mut self, pod: u64, container: usize, milli: i64, at: i64, now: i64) {
        if let Some((usage, aggregate, _)) = self.of(pod, container, now) {
            usage.add_cpu(aggregate, milli, at);
        }
    }

    /// Memory used by a container, in bytes.
    pub fn add_memory(&mut self, pod: u64, container: usize, bytes: i64, at: i64, now: i64) {
        if let Some((usage, aggregate, config)) = self.of(pod, container, now) {
            usage.add_memory(aggregate, bytes, at, config);
        }
    }

    /// A container was killed for lack of memory while it requested so many bytes.
    pub fn add_oom(&mut self, pod: u64, container: usize, request: i64, at: i64, now: i64) {
        if let Some((usage, aggregate, config)) = self.of(pod, container, now) {
            usage.add_oom(aggregate, request, at, config);
        }
    }

    /// A container's memory and its aggregate, which is made anew when it was collected meanwhile.
    fn of(&mut self, pod: u64, container: usize, now: i64) -> Option<(&mut ContainerUsage, &mut Aggregate, &Config)> {
        let pod = self.pods.get_mut(&pod)?;
        let config = &self.config;
        let usage = pod.containers.get_mut(container)?;
        let key = (pod.template, container);
        Some((usage, self.aggregates.entry(key).or_insert_with(|| Aggregate::new(config, now)), config))
    }

    /// Forgets aggregates that nobody feeds any more; at most once an hour, whenever called.
    pub fn collect_garbage(&mut self, now: i64) {
        if self.collected.is_some_and(|last| now - last < GARBAGE_INTERVAL) {
            return;
        }
        self.collected = Some(now);
        let window = self.config.memory_interval * self.config.memory_intervals;
        let pods = &self.pods;
        self.aggregates.retain(|(template, _), aggregate| {
            let contributive = pods.values().any(|pod| pod.template == *template);
            !aggregate.is_garbage(contributive, now, window)
        });
    }

    /// What is recommended now, within the policy, for each container that has an aggregate: an empty one gets the minimum.
    pub fn recommend(&mut self, policy: &Policy) -> Vec<Recommendation> {
        let mut known = Vec::new();
        for (index, name) in self.containers.iter().enumerate() {
            let own = self.aggregates.iter_mut().filter(|((_, container), _)| *container == index);
            let (mut all, mut any) = (Aggregate::new(&self.config, 0), false);
            for (_, aggregate) in own {
                all.merge(aggregate);
                any = true;
            }
            if any && !policy.is_off(name) {
                known.push((name, all));
            }
        }
        let share = 1.0 / known.len() as f64;
        let (cpu, memory) = self.config.pod_min;
        let min = Amounts { cpu_milli: Some(scaled(cpu, share)), memory_bytes: Some(scaled(memory, share)) };
        let recommended = |(name, all): &(&String, Aggregate)| {
            let only = policy.of(name).and_then(|policy| policy.only);
            policy.capped(&self.estimate(name, all, min, only))
        };
        known.iter().map(recommended).collect()
    }

    /// Target and bounds of one container.
    fn estimate(&self, name: &str, all: &Aggregate, min: Amounts, only: Option<Resource>) -> Recommendation {
        let confidence = all.confidence(self.config.confidence_interval);
        let doubt = 1.0 + LOWER_DOUBT / confidence;
        let upper_factor = 1.0 + 1.0 / confidence;
        let lower_factor = 1.0 / (doubt * doubt);
        let bound = |percentile: f64, factor: f64| {
            let mut amounts = Amounts::default();
            for resource in Resource::ALL.into_iter().filter(|r| only.is_none_or(|only| only == *r)) {
                let base = match resource {
                    Resource::Cpu => truncated(all.cpu.percentile(percentile) * 1000.0),
                    Resource::Memory => truncated(all.memory.percentile(percentile)),
                };
                let with_margin = base + scaled(base, self.config.margin);
                amounts.set(resource, min.get(resource).max(Some(scaled(with_margin, factor))));
            }
            amounts
        };
        let target = bound(self.config.target_percentile, 1.0);
        Recommendation {
            container: name.to_owned(),
            target,
            lower: bound(LOWER_PERCENTILE, lower_factor),
            upper: bound(UPPER_PERCENTILE, upper_factor),
            uncapped: target,
        }
    }
}
