//! Gardener's HVPA (deprecated in 2025): a horizontal and a vertical autoscaler as black boxes, their changes blended.
//!
//! With the weight `w` of the vertical side, the size moves by `w` of what the vertical one wants and the count by `1 − w`
//! of what the horizontal one wants. Both wants answer the whole load, and capacity is their product: one pod of 1 core
//! under a load of 5 becomes 3 pods of 3 cores.
//!
//! The blend is written to the pod template, so every change is a rollout: a quarter of the pods at a time. Bands and
//! stages by replica count, which the original also has, are left out: they choose `w`, which is one number here.

use super::vpa::{Vpa, amounts::Resource};
use crate::{
    decide::{ContainerSize, Resources},
    simulate::{Action, Controller, PodAction, PodView, View, whole},
    units::{Bytes, Cores, Replicas},
};

/// Seconds between two changes of one side (`stabilizationDuration` in the project's sample).
const STABILIZATION: f64 = 180.0;
/// A smaller relative change of size is not written (`minChange`; there a setting for each workload).
const MIN_CHANGE: f64 = 0.1;
/// Share of pods that a rollout takes down at a time (`maxUnavailable` of a Deployment).
const ROLLOUT_SHARE: f64 = 0.25;

/// A blend of two autoscalers.
pub struct Hvpa {
    name: String,
    horizontal: Box<dyn Controller + Send>,
    vertical: Vpa,
    /// The vertical side's share of the answer, 0 to 1.
    weight: f64,
    template: Vec<ContainerSize>,
    /// When the count and the size were written last.
    written: (f64, f64),
}

impl Hvpa {
    /// A blend with the vertical side's weight, 0 to 1.
    #[must_use]
    pub fn new(name: &str, horizontal: Box<dyn Controller + Send>, vertical: Vpa, weight: f64) -> Self {
        let written = (f64::NEG_INFINITY, f64::NEG_INFINITY);
        Self { name: name.to_owned(), horizontal, vertical, weight, template: Vec::new(), written }
    }

    /// The count on its way from the present one to the wanted one; whole replicas, rounded up.
    fn count(&self, now: u32, wanted: u32) -> u32 {
        let (now, wanted) = (f64::from(now), f64::from(wanted));
        u32::try_from(whole((now + (wanted - now) * (1.0 - self.weight)).ceil())).unwrap_or(u32::MAX)
    }

    /// The template on its way to what the vertical side wants.
    fn blended(&self) -> Vec<ContainerSize> {
        let blend = |container: &ContainerSize| {
            let Some(advice) = self.vertical.advice().iter().find(|advice| advice.container == container.name) else {
                return container.clone();
            };
            let toward = |now: f64, wanted: f64| now + (wanted - now) * self.weight;
            let requests = Resources {
                cpu_cores: container.requests.cpu_cores.map(|now| {
                    let wanted = advice.target.get(Resource::Cpu).map(|milli| milli as f64 / 1000.0);
                    Cores(wanted.map_or(now.get(), |wanted| toward(now.get(), wanted)))
                }),
                memory_bytes: container.requests.memory_bytes.map(|now| {
                    let wanted = advice.target.get(Resource::Memory).map(|bytes| bytes as f64);
                    wanted.map_or(now, |wanted| Bytes::ceil_from(toward(now.as_f64(), wanted)))
                }),
            };
            scaled(container, requests)
        };
        self.template.iter().map(blend).collect()
    }

    /// Pods of an older size that may go now: a quarter, once all others are ready.
    fn rollout(&self, pods: &[PodView]) -> Vec<u64> {
        let live: Vec<&PodView> = pods.iter().filter(|pod| !pod.deleting).collect();
        if live.iter().any(|pod| !pod.ready) {
            return Vec::new();
        }
        let at_once = whole(live.len() as f64 * ROLLOUT_SHARE).max(1);
        let old = |pod: &&&PodView| pod.containers.iter().zip(&self.template).any(|(a, b)| a.requests != b.requests);
        live.iter().filter(old).take(at_once).map(|pod| pod.id).collect()
    }
}

/// A container with other requests and limits in their old ratio.
fn scaled(container: &ContainerSize, requests: Resources) -> ContainerSize {
    let (old, limits) = (&container.requests, &container.limits);
    let cpu = |limit: Cores| match (old.cpu_cores, requests.cpu_cores) {
        (Some(old), Some(new)) if old.get() > 0.0 => Cores(limit.get() * new.get() / old.get()),
        _ => limit,
    };
    let memory = |limit: Bytes| match (old.memory_bytes, requests.memory_bytes) {
        (Some(old), Some(new)) if old.0 > 0 => Bytes::ceil_from(limit.as_f64() * new.as_f64() / old.as_f64()),
        _ => limit,
    };
    let limits = Resources { cpu_cores: limits.cpu_cores.map(cpu), memory_bytes: limits.memory_bytes.map(memory) };
    ContainerSize { name: container.name.clone(), requests, limits }
}

/// Whether a size differs by enough to be written.
fn differs(old: &[ContainerSize], new: &[ContainerSize]) -> bool {
    let far = |old: f64, new: f64| (new - old).abs() > MIN_CHANGE * old;
    old.iter().zip(new).any(|(old, new)| {
        let cpu = old.requests.cpu_cores.zip(new.requests.cpu_cores);
        let memory = old.requests.memory_bytes.zip(new.requests.memory_bytes);
        cpu.is_some_and(|(old, new)| far(old.get(), new.get()))
            || memory.is_some_and(|(old, new)| far(old.as_f64(), new.as_f64()))
    })
}

impl Controller for Hvpa {
    fn name(&self) -> &str {
        &self.name
    }

    fn tick(&mut self, view: &View<'_>) -> Action {
        if self.template.is_empty() {
            let own = |c: &crate::decide::ContainerState| ContainerSize {
                name: c.name.clone(),
                requests: c.request,
                limits: c.limit,
            };
            self.template = view.snapshot.containers.iter().map(own).collect();
        }
        let Action { mut decision, .. } = self.horizontal.tick(view);
        self.vertical.observe(view);
        let (current, mut count) = (view.snapshot.replicas.spec.0, view.snapshot.replicas.spec.0);
        if view.now - self.written.0 >= STABILIZATION {
            count = self.count(current, decision.replicas.0);
            if count != current {
                self.written.0 = view.now;
            }
        }
        let blended = self.blended();
        if view.now - self.written.1 >= STABILIZATION && differs(&self.template, &blended) {
            self.template = blended;
            self.written.1 = view.now;
        }
        decision.message = format!(
            "hpa wants {}, {}: {current} → {count} by a vertical weight of {}",
            decision.replicas.0,
            self.vertical.sentence(),
            self.weight
        );
        decision.replicas = Replicas(count);
        decision.containers.clone_from(&self.template);
        let (new_pods, evict) = (self.template.clone(), self.rollout(view.pods));
        Action { decision, pods: PodAction::Update { new_pods, evict, resize: Vec::new() } }
    }
}
