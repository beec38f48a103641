//! Nodes: which pod fits where, when more come, what is lost with one.
//!
//! A pod occupies what it has or is about to have, whichever is more, until the end of its drain. What is free is added up
//! from the pods when somebody asks, so it cannot drift from them.

use super::{super::world::NodePool, Pod, Size, neighbours::Guests};
use crate::{
    decide::Resources,
    units::{Bytes, Cores},
};

/// Rounding of sums of requests, in cores and bytes.
const SLACK: f64 = 1e-6;
/// A node that was added leaves when none of the workload's pods has been on it for this long: the cluster autoscaler's
/// `--scale-down-unneeded-time`.
const UNNEEDED_SECONDS: f64 = 600.0;

/// One node.
#[derive(Clone, Debug)]
struct Node {
    id: u64,
    pool: usize,
    cpu: f64,
    memory: f64,
    ready_at: f64,
    /// When a pod of the workload was last on it, as far as anybody looked.
    needed_at: f64,
    guests: Option<Guests>,
}

impl Node {
    /// What the workload's pods leave, and others have not taken.
    fn free(&self, ours: (f64, f64)) -> (f64, f64) {
        let taken = self.guests.as_ref().map_or(0.0, Guests::taken);
        (self.cpu - ours.0 - taken, self.memory - ours.1)
    }

    /// What those of some pods that are on it occupy.
    fn occupied<'a>(&self, pods: impl Iterator<Item = &'a Pod>) -> (f64, f64) {
        let on_it = pods.filter(|pod| pod.node == Some(self.id)).map(Pod::reserved);
        on_it.fold((0.0, 0.0), |sum, pod| (sum.0 + pod.0, sum.1 + pod.1))
    }

    /// Share of it that is left free once a need is met: the mean of CPU and memory.
    fn share_left(&self, free: (f64, f64), need: (f64, f64)) -> f64 {
        f64::midpoint((free.0 - need.0) / self.cpu, (free.1 - need.1) / self.memory)
    }
}

/// All nodes. Without pools there is always room.
#[derive(Clone, Debug)]
pub(super) struct Nodes {
    pools: Vec<NodePool>,
    list: Vec<Node>,
    created: u64,
    seed: u64,
}

/// What is free on each node, in the order of the nodes.
type Free = Vec<(f64, f64)>;

impl Nodes {
    pub(super) fn new(pools: &[NodePool], seed: u64) -> Self {
        let mut nodes = Self { pools: pools.to_vec(), list: Vec::new(), created: 0, seed };
        for (index, pool) in pools.iter().enumerate() {
            for _ in 0..pool.count {
                nodes.add(index, f64::NEG_INFINITY);
            }
        }
        nodes
    }

    fn add(&mut self, pool: usize, ready_at: f64) {
        let NodePool { cpu, memory, neighbours, .. } = self.pools[pool];
        self.created += 1;
        let id = self.created;
        let guests = neighbours.map(|kind| {
            if ready_at.is_finite() {
                Guests::from(kind, self.seed, id, ready_at)
            } else {
                Guests::settled(kind, self.seed, id)
            }
        });
        let (cpu, memory) = (cpu.get(), memory.as_f64());
        self.list.push(Node { id, pool, cpu, memory, ready_at, needed_at: ready_at, guests });
    }

    /// Lets others fill what the workload's first pods leave, as they did before the run.
    pub(super) fn settle_in(&mut self, pods: &[Pod]) {
        self.visit(0.0, pods, &[]);
    }

    /// Lets others come and go, and added nodes leave that nobody needs.
    pub(super) fn visit(&mut self, now: f64, pods: &[Pod], draining: &[(f64, Pod)]) {
        let all = || pods.iter().chain(draining.iter().map(|(_, pod)| pod));
        for node in &mut self.list {
            if node.guests.as_ref().is_some_and(|guests| guests.stir(now)) {
                let (ours, _) = node.occupied(all());
                if let Some(guests) = &mut node.guests {
                    guests.pass(now, node.cpu, ours);
                }
            }
        }
        let least: usize = self.pools.iter().map(|pool| pool.count as usize).sum();
        if self.list.len() > least {
            self.leave(now, all);
        }
    }

    /// Takes away what was added and is not needed any more.
    fn leave<'a, I: Iterator<Item = &'a Pod>>(&mut self, now: f64, pods: impl Fn() -> I) {
        for node in &mut self.list {
            if node.ready_at > now || pods().any(|pod| pod.node == Some(node.id)) {
                node.needed_at = now;
            }
        }
        self.list.retain(|node| node.ready_at == f64::NEG_INFINITY || now - node.needed_at < UNNEEDED_SECONDS);
    }

    /// Whether there is always room.
    pub(super) fn endless(&self) -> bool {
        self.pools.is_empty()
    }

    /// Allocatable of the largest node that there is; of the largest that there could be while there is none.
    pub(super) fn largest(&self) -> Option<Resources> {
        let used = |pool: usize| self.list.iter().any(|node| node.pool == pool);
        let pools = self.pools.iter().enumerate();
        let (_, pool) = pools.max_by(|a, b| used(a.0).cmp(&used(b.0)).then(a.1.cpu.get().total_cmp(&b.1.cpu.get())))?;
        Some(Resources { cpu_cores: Some(pool.cpu), memory_bytes: Some(pool.memory) })
    }

    fn free<'a>(&self, pods: impl Iterator<Item = &'a Pod>) -> Free {
        let mut free: Free = self.list.iter().map(|node| node.free((0.0, 0.0))).collect();
        for pod in pods {
            if let Some(index) = self.list.iter().position(|node| pod.node == Some(node.id)) {
                take(&mut free[index], pod.reserved());
            }
        }
        free
    }

    /// Puts waiting pods on nodes, the oldest first, each where the largest share is left
    /// free (the scheduler's `LeastAllocated`); asks for nodes for those that find no room.
    pub(super) fn schedule(&mut self, now: f64, pods: &mut [Pod], draining: &[(f64, Pod)]) {
        if self.endless() {
            for pod in pods.iter_mut().filter(|pod| pod.node.is_none()) {
                pod.schedule(now, 0);
            }
            return;
        }
        if pods.iter().all(|pod| pod.node.is_some()) {
            return;
        }
        let mut free = self.free(pods.iter().chain(draining.iter().map(|(_, pod)| pod)));
        let mut left: Vec<(f64, f64)> = Vec::new();
        for pod in pods.iter_mut().filter(|pod| pod.node.is_none()) {
            let need = pod.reserved();
            let ready = self.list.iter().enumerate().filter(|(_, node)| node.ready_at <= now);
            let fitting = ready.filter(|(index, _)| fits(free[*index], need));
            let left_free = |index: usize| self.list[index].share_left(free[index], need);
            // Later nodes win only when a larger share is left free there.
            let best = fitting.fold(None, |best: Option<usize>, (index, _)| match best {
                Some(before) if left_free(before) >= left_free(index) => Some(before),
                _ => Some(index),
            });
            match best {
                Some(index) => {
                    pod.schedule(now, self.list[index].id);
                    take(&mut free[index], need);
                }
                None => left.push(need),
            }
        }
        self.provide(now, left, free);
    }

    /// Asks for as many nodes as the pods left over need beyond those already on their way.
    fn provide(&mut self, now: f64, left: Vec<(f64, f64)>, mut free: Free) {
        for need in left {
            let coming = (0..self.list.len()).find(|i| self.list[*i].ready_at > now && fits(free[*i], need));
            if let Some(index) = coming {
                take(&mut free[index], need);
                continue;
            }
            let room =
                |pool: usize| self.list.iter().filter(|node| node.pool == pool).count() < self.pools[pool].max as usize;
            let pool = (0..self.pools.len())
                .find(|i| room(*i) && fits((self.pools[*i].cpu.get(), self.pools[*i].memory.as_f64()), need));
            if let Some(pool) = pool {
                self.add(pool, now + self.pools[pool].provisioning.get());
                free.push((self.pools[pool].cpu.get(), self.pools[pool].memory.as_f64()));
                take(&mut free[self.list.len() - 1], need);
            }
        }
    }

    /// Whether a pod's node could ever take it at these sizes.
    pub(super) fn feasible(&self, pod: &Pod, sizes: &[Size]) -> bool {
        let Some(node) = self.list.iter().find(|node| pod.node == Some(node.id)) else { return true };
        fits((node.cpu, node.memory), sum(sizes))
    }

    /// Whether a pod's node has room for it at these sizes now.
    pub(super) fn has_room(&self, pods: &[Pod], draining: &[(f64, Pod)], pod: usize, sizes: &[Size]) -> bool {
        let Some(node) = self.list.iter().find(|node| pods[pod].node == Some(node.id)) else { return true };
        let free = node.free(node.occupied(pods.iter().chain(draining.iter().map(|(_, pod)| pod))));
        let ((cpu, memory), own) = (free, pods[pod].reserved());
        fits((cpu + own.0, memory + own.1), sum(sizes))
    }

    /// Takes nodes away, those with most pods first; their numbers.
    pub(super) fn lose(&mut self, count: u32, pods: &[Pod]) -> Vec<u64> {
        let mut lost: Vec<(usize, u64)> = self
            .list
            .iter()
            .map(|node| (pods.iter().filter(|pod| pod.node == Some(node.id)).count(), node.id))
            .collect();
        lost.sort_by_key(|(pods, id)| (std::cmp::Reverse(*pods), *id));
        lost.truncate(count as usize);
        let lost: Vec<u64> = lost.into_iter().map(|(_, id)| id).collect();
        self.list.retain(|node| !lost.contains(&node.id));
        lost
    }
}

/// CPU and memory requests of all containers.
pub(super) fn sum(sizes: &[Size]) -> (f64, f64) {
    sizes.iter().fold((0.0, 0.0), |sum, size| (sum.0 + size.cpu, sum.1 + size.memory.as_f64()))
}

fn fits(free: (f64, f64), need: (f64, f64)) -> bool {
    need.0 <= free.0 + SLACK && need.1 <= free.1 + SLACK
}

fn take(free: &mut (f64, f64), need: (f64, f64)) {
    free.0 -= need.0;
    free.1 -= need.1;
}

/// Allocatable of the nodes of an endless cluster: no pod is larger than a node.
pub(super) const ENDLESS: Resources =
    Resources { cpu_cores: Some(Cores(16.0)), memory_bytes: Some(Bytes(64 * Bytes::GIB)) };
