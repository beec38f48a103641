//! Pods as the API server and the metrics API tell of them.

use super::{
    super::{ContainerView, Phase, UsageSample},
    Metrics, PodView, resources,
};
use crate::{
    simulate::{
        STEP_SECONDS, WINDOW_STEPS,
        plant::{Plant, Pod},
    },
    units::{Bytes, Cores},
};

impl Metrics {
    /// The pods, oldest first. What a look before has allocated is used again.
    pub(in crate::simulate) fn pods(&mut self, plant: &Plant) -> &[PodView] {
        let mut views = std::mem::take(&mut self.pods);
        let total = plant.pods.len() + plant.terminating();
        views.truncate(total);
        views.resize_with(total, empty);
        let listed = plant.pods.iter().map(|pod| (pod, false)).chain(plant.draining().map(|pod| (pod, true)));
        for ((pod, deleting), view) in listed.zip(&mut views) {
            self.view(plant, pod, deleting, view);
        }
        if plant.terminating() > 0 {
            views.sort_unstable_by_key(|view| view.id);
        }
        self.pods = views;
        &self.pods
    }

    /// One pod, seen from outside.
    fn view(&self, plant: &Plant, pod: &Pod, deleting: bool, view: &mut PodView) {
        let now = plant.now();
        let ready = pod.is_ready(now) && !deleting;
        view.id = pod.id;
        view.created_at = pod.born_at;
        view.phase = if pod.ready_at <= now || pod.restarts() { Phase::Running } else { Phase::Pending };
        view.deleting = deleting;
        view.ready = ready;
        view.ready_since = if ready { pod.ready_at } else { pod.unready_since() };
        view.started_at = pod.node.map(|_| pod.scheduled_at);
        view.template = pod.template;
        view.containers.clear();
        let age = self.lag(now) as f64 * STEP_SECONDS;
        for (index, name) in plant.names.iter().enumerate() {
            let (wanted, container) = (pod.wanted(index), &pod.containers[index]);
            let usage = if ready { self.usage(plant, pod, index) } else { None };
            view.containers.push(ContainerView {
                name: std::sync::Arc::clone(name),
                requests: resources(Some(wanted.cpu), Some(wanted.memory)),
                limits: resources(wanted.cpu_limit, wanted.memory_limit),
                usage: usage.map(|usage| UsageSample {
                    cpu_cores: Cores(usage.cpu),
                    memory: Bytes::ceil_from(usage.memory),
                    at: now - age,
                    window: WINDOW_STEPS as f64 * STEP_SECONDS,
                }),
                oom: container.oom,
                resize: pod.resize_state(),
            });
        }
    }
}

fn empty() -> PodView {
    PodView {
        id: 0,
        created_at: 0.0,
        phase: Phase::Pending,
        deleting: false,
        ready: false,
        ready_since: 0.0,
        started_at: None,
        containers: Vec::new(),
        template: 0,
    }
}
