//! What the workload controllers do: the count of pods, rolling updates, evictions; and what a controller's action means.

use std::sync::Arc;

use super::{
    super::{
        Action, PodAction,
        world::{CountOrShare, What},
    },
    Plant, Pod, Size,
    pod::LOST_SECONDS,
};
use crate::{
    decide::{ContainerSize, Decision},
    units::Cores,
};

/// A pod that leaves is paid for until its connections have drained.
pub(super) const DRAIN_SECONDS: f64 = 30.0;
/// `maxSurge` and `maxUnavailable` of a Deployment that says nothing.
const SURGE_SHARE: f64 = 0.25;
const UNAVAILABLE_SHARE: f64 = 0.25;

impl Plant {
    /// Carries out what a controller does: the count through `/scale`, sizes as the action says. Nothing while the API
    /// server refuses writes.
    pub(in crate::simulate) fn apply(&mut self, action: &Action) {
        if self.faults.refuses(self.now()) {
            return;
        }
        let decision = &action.decision;
        self.desired = decision.replicas.0;
        if !self.rolling {
            self.shrink();
        }
        match &action.pods {
            PodAction::InPlace => {
                let steady = self.sizes_in(&decision.containers);
                let running = self.boosted(&steady, decision);
                if self.resize.in_place() {
                    for pod in 0..self.pods.len() {
                        // A boost is for pods that run.
                        let waits = self.pods[pod].node.is_none();
                        self.ask(pod, if waits { &steady } else { &running });
                    }
                }
                self.new_sizes = steady;
            }
            PodAction::NewPods(sizes) => self.new_sizes = self.sizes_in(sizes),
            PodAction::Update { new_pods, evict, resize } => {
                self.new_sizes = self.sizes_in(new_pods);
                for (id, sizes) in resize {
                    let sizes = self.sizes_in(sizes);
                    if let Some(pod) = self.pods.iter().position(|pod| pod.id == *id) {
                        self.ask(pod, &sizes);
                    }
                }
                self.evict(evict);
            }
        }
        self.reconcile();
    }

    /// Sizes of all containers, from a list that names some of them; the others keep the template's.
    fn sizes_in(&self, sizes: &[ContainerSize]) -> Arc<[Size]> {
        let of = |(name, template): (&Arc<str>, &Size)| {
            let Some(wanted) = sizes.iter().find(|size| size.name == **name) else { return *template };
            Size {
                cpu: wanted.requests.cpu_cores.map_or(template.cpu, Cores::get),
                cpu_limit: wanted.limits.cpu_cores.map(Cores::get),
                memory: wanted.requests.memory_bytes.unwrap_or(template.memory),
                memory_limit: wanted.limits.memory_bytes,
            }
        };
        self.names.iter().zip(&self.template).map(of).collect()
    }

    /// What running pods get while a boost lasts.
    fn boosted(&self, steady: &Arc<[Size]>, decision: &Decision) -> Arc<[Size]> {
        let Some(boost) = &decision.boost else { return Arc::clone(steady) };
        let of = |(name, steady): (&Arc<str>, &Size)| match boost.containers.iter().find(|one| one.name == **name) {
            Some(one) => Size {
                cpu: one.cpu_cores.get(),
                cpu_limit: steady.cpu_limit.map(|limit| limit * one.cpu_cores.get() / steady.cpu),
                ..*steady
            },
            None => *steady,
        };
        self.names.iter().zip(steady.iter()).map(of).collect()
    }

    /// Asks a pod's node for other sizes, when they are others.
    fn ask(&mut self, pod: usize, to: &Arc<[Size]>) {
        if !self.pods[pod].differs(to) {
            return;
        }
        self.counts.resizes += 1;
        if self.pods[pod].node.is_none() {
            // Not on a node yet: the spec is changed, and the scheduler reads it.
            for (container, size) in self.pods[pod].containers.iter_mut().zip(to.iter()) {
                container.size = *size;
            }
            return;
        }
        self.counts.trims += u64::from(self.pods[pod].loses_cpu(to));
        self.put_to_node(pod, Arc::clone(to));
    }

    /// Lets a node judge a resize.
    fn put_to_node(&mut self, pod: usize, to: Arc<[Size]>) {
        let feasible = self.nodes.feasible(&self.pods[pod], &to) && !(self.refuses_raises && self.pods[pod].grows(&to));
        let room = feasible && self.nodes.has_room(&self.pods, &self.draining, pod, &to);
        let now = self.now();
        self.pods[pod].ask(now, to, feasible, room);
    }

    /// Lets resizes whose time has come happen, or be judged again.
    pub(super) fn settle_resizes(&mut self, now: f64) {
        for index in 0..self.pods.len() {
            if !self.pods[index].due(now) {
                continue;
            }
            match self.pods[index].deferred() {
                Some(to) => self.put_to_node(index, to),
                None => self.pods[index].settle(now, &self.service),
            }
        }
    }

    /// Evicts pods by their numbers, as far as the disruption budget lets it.
    fn evict(&mut self, evict: &[u64]) {
        let now = self.now();
        let needed = self.max_unavailable.map_or(0, |most| match most {
            CountOrShare::Count(pods) => self.desired.saturating_sub(pods),
            CountOrShare::Share(share) => self.desired - rounded(share * f64::from(self.desired), f64::ceil),
        });
        for id in evict {
            let Some(at) = self.pods.iter().position(|pod| pod.id == *id) else { continue };
            let healthy = self.ready().count();
            let ready = usize::from(self.pods[at].is_ready(now));
            if self.max_unavailable.is_some() && healthy < needed as usize + ready {
                continue;
            }
            self.remove(at);
            self.counts.evictions += 1;
        }
    }

    /// Takes a pod away: it drains if a node has it.
    fn remove(&mut self, at: usize) {
        let pod = self.pods.remove(at);
        if pod.node.is_some() && pod.lost_at.is_none() {
            self.draining.push((self.now() + DRAIN_SECONDS, pod));
        }
    }

    /// Makes and removes pods until the count is the wanted one; a rolling update goes on as far as surge allows.
    pub(super) fn reconcile(&mut self) {
        let (desired, total) = (self.desired as usize, self.pods.len());
        let old = if self.rolling { self.pods.iter().filter(|pod| pod.template < self.generation).count() } else { 0 };
        if old == 0 {
            self.rolling = false;
            self.shrink();
            for _ in total..desired {
                self.create();
            }
            return;
        }
        let surge = rounded(SURGE_SHARE * desired as f64, f64::ceil) as usize;
        let unavailable = rounded(UNAVAILABLE_SHARE * desired as f64, f64::floor) as usize;
        let new = total - old;
        for _ in 0..desired.saturating_sub(new).min((desired + surge).saturating_sub(total)) {
            self.create();
        }
        for _ in desired..new {
            self.remove_one(|old| !old);
        }
        let now = self.now();
        let unready_new = self.pods.iter().filter(|pod| pod.template == self.generation && !pod.is_ready(now)).count();
        let leave = self.pods.len().saturating_sub(desired.saturating_sub(unavailable) + unready_new).min(old);
        for _ in 0..leave {
            self.remove_one(|old| old);
        }
    }

    /// Removes pods beyond the wanted count.
    fn shrink(&mut self) {
        for _ in self.desired as usize..self.pods.len() {
            self.remove_one(|_| true);
        }
    }

    /// Removes a pod as a `ReplicaSet` chooses: without a node first, then unready, then from the fullest node, then the
    /// youngest. `among` chooses by whether it is of an old template.
    fn remove_one(&mut self, among: impl Fn(bool) -> bool) {
        let now = self.now();
        let together = |pod: &Pod| self.pods.iter().filter(|other| other.node == pod.node).count();
        let spread = !self.nodes.endless();
        let rank = |pod: &Pod| {
            let ready = pod.is_ready(now);
            let neighbours = if spread && ready { together(pod) } else { 0 };
            (pod.node.is_some(), ready, std::cmp::Reverse(neighbours), -pod.ready_at, std::cmp::Reverse(pod.id))
        };
        let victim =
            (0..self.pods.len()).filter(|at| among(self.pods[*at].template < self.generation)).min_by(|a, b| {
                let (a, b) = (rank(&self.pods[*a]), rank(&self.pods[*b]));
                (a.0, a.1, a.2).cmp(&(b.0, b.1, b.2)).then(a.3.total_cmp(&b.3)).then(a.4.cmp(&b.4))
            });
        if let Some(at) = victim {
            self.remove(at);
        }
    }

    /// A pod is created.
    pub(super) fn create(&mut self) {
        self.created += 1;
        self.counts.starts += 1;
        let mut pod = Pod::create(self.created, self.seed, self.now(), &self.new_sizes, &self.service);
        (pod.template, pod.factors) = (self.generation, self.factors);
        self.pods.push(pod);
    }

    /// Something happens to the workload.
    pub(super) fn happen(&mut self, what: What) {
        match what {
            What::Rollout { work_factor, memory_factor } => {
                self.generation += 1;
                self.factors = (work_factor, memory_factor);
                self.rolling = true;
            }
            What::CostChange { work_factor } => {
                self.factors.0 = work_factor;
                for pod in &mut self.pods {
                    pod.factors.0 = work_factor;
                }
            }
            What::NodeLoss { count } => {
                let now = self.now();
                let lost = self.nodes.lose(count, &self.pods);
                for pod in self.pods.iter_mut().filter(|pod| pod.node.is_some_and(|node| lost.contains(&node))) {
                    pod.lost_at = Some(now);
                }
                self.draining.retain(|(_, pod)| pod.node.is_none_or(|node| !lost.contains(&node)));
            }
            What::MetricOutage { .. }
            | What::WrongMetric { .. }
            | What::ApiRefusal { .. }
            | What::ControllerRestart { .. } => {}
        }
    }

    /// Pods whose node is gone are deleted once that has been noticed.
    pub(super) fn bury(&mut self, now: f64) {
        self.pods.retain(|pod| pod.lost_at.is_none_or(|lost| now < lost + LOST_SECONDS));
    }
}

/// A share of pods in whole pods.
fn rounded(pods: f64, how: fn(f64) -> f64) -> u32 {
    u32::try_from(super::whole(how(pods))).unwrap_or(u32::MAX)
}
