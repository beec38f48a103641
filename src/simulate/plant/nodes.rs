//! Nodes: which pod fits where, when more come, what is lost with one.
//!
//! A pod occupies what it has or is about to have, whichever is more, until the end of its drain. What is free is added up
//! from the pods when somebody asks, so it cannot drift from them.

use super::{super::world::NodePool, Pod, Size};
use crate::{
    decide::Resources,
    units::{Bytes, Cores},
};

/// Rounding of sums of requests, in cores and bytes.
const SLACK: f64 = 1e-6;

/// One node.
#[derive(Clone, Copy, Debug)]
struct Node {
    id: u64,
    pool: usize,
    cpu: f64,
    memory: f64,
    ready_at: f64,
}

impl Node {
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
}

/// What is free on each node, in the order of the nodes.
type Free = Vec<(f64, f64)>;

impl Nodes {
    pub(super) fn new(pools: &[NodePool]) -> Self {
        let mut nodes = Self { pools: pools.to_vec(), list: Vec::new(), created: 0 };
        for (index, pool) in pools.iter().enumerate() {
            for _ in 0..pool.count {
                nodes.add(index, f64::NEG_INFINITY);
            }
        }
        nodes
    }

    fn add(&mut self, pool: usize, ready_at: f64) {
        let NodePool { cpu, memory, .. } = self.pools[pool];
        self.created += 1;
        self.list.push(Node { id: self.created, pool, cpu: cpu.get(), memory: memory.as_f64(), ready_at });
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
        let mut free: Free = self.list.iter().map(|node| (node.cpu, node.memory)).collect();
        for pod in pods {
            if let Some(index) = self.list.iter().position(|node| pod.node == Some(node.id)) {
                let (cpu, memory) = pod.reserved();
                free[index].0 -= cpu;
                free[index].1 -= memory;
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
                let node = self.list[self.list.len() - 1];
                free.push((node.cpu, node.memory));
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
        let Some(index) = self.list.iter().position(|node| pods[pod].node == Some(node.id)) else { return true };
        let free = self.free(pods.iter().chain(draining.iter().map(|(_, pod)| pod)))[index];
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
