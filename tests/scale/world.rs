//! The cluster that is played: policies with their workloads and pods, in memory, as numbers.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::Value;
use tokio::{sync::broadcast, time::Instant};

use super::objects;

/// Policies of a namespace.
pub(crate) const PER_NAMESPACE: usize = 20;
/// Cores of load of a policy, per pod that it has at the start, in the mean.
const LOAD_PER_POD: f64 = 0.3;
/// How far the load goes up and down, and how long that takes, in seconds.
const SWING: f64 = 0.4;
const PERIOD: f64 = 3600.0;
/// Changes that may wait to be sent to a watch.
const CHANGES: usize = 1 << 16;

/// One workload.
#[derive(Debug)]
pub(crate) struct Workload {
    /// Pods by their number: CPU request in millicores, and version.
    pub(crate) pods: BTreeMap<u64, (u64, u64)>,
    /// Number of the next pod.
    next: u64,
    pub(crate) version: u64,
    /// Version and status of the policy.
    pub(crate) policy_version: u64,
    pub(crate) status: Value,
}

/// What was asked for, by kind.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) queries: AtomicU64,
    pub(crate) histories: AtomicU64,
    pub(crate) reads: AtomicU64,
    pub(crate) scales: AtomicU64,
    pub(crate) resizes: AtomicU64,
    pub(crate) statuses: AtomicU64,
    pub(crate) events: AtomicU64,
    pub(crate) memories: AtomicU64,
}

/// A change, for the watches of its kind.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) plural: &'static str,
    pub(crate) line: std::sync::Arc<str>,
}

/// The cluster.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) policies: usize,
    pub(crate) pods_at_first: usize,
    workloads: Vec<Mutex<Workload>>,
    pub(crate) leases: Mutex<BTreeMap<String, Value>>,
    /// What arbiter has written down of policies before.
    pub(crate) checkpoints: Vec<Value>,
    version: AtomicU64,
    pub(crate) changes: broadcast::Sender<Change>,
    pub(crate) counts: Counts,
    began: Instant,
}

impl World {
    pub(crate) fn new(policies: usize, pods: usize) -> Self {
        let workload = |_| {
            let pods = (0..pods as u64).map(|number| (number, (500, 1))).collect();
            Mutex::new(Workload { pods, next: 1000, version: 1, policy_version: 1, status: Value::Null })
        };
        Self {
            policies,
            pods_at_first: pods,
            workloads: (0..policies).map(workload).collect(),
            leases: Mutex::default(),
            checkpoints: Vec::new(),
            version: AtomicU64::new(10),
            changes: broadcast::channel(CHANGES).0,
            counts: Counts::default(),
            began: Instant::now(),
        }
    }

    pub(crate) fn workload(&self, index: usize) -> MutexGuard<'_, Workload> {
        self.workloads[index].lock().expect("no test thread panics with it")
    }

    pub(crate) fn next_version(&self) -> u64 {
        self.version.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    /// Pods in all.
    pub(crate) fn pods(&self) -> usize {
        (0..self.policies).map(|index| self.workload(index).pods.len()).sum()
    }

    /// Cores that the pods of a workload use, each.
    pub(crate) fn usage(&self, index: usize, workload: &Workload) -> f64 {
        let turn = self.began.elapsed().as_secs_f64() / PERIOD + index as f64 / self.policies as f64;
        // Up and down in straight lines.
        let wave = 4.0 * (turn.fract() - 0.5).abs() - 1.0;
        let load = LOAD_PER_POD * self.pods_at_first as f64 * (1.0 + SWING * wave);
        load / workload.pods.len().max(1) as f64
    }

    fn send(&self, plural: &'static str, kind: &str, object: &Value) {
        let line = format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n");
        drop(self.changes.send(Change { plural, line: line.into() }));
    }

    /// Sets the count of a workload: pods come, at once ready, or go.
    pub(crate) fn scale(&self, index: usize, replicas: usize) {
        let mut workload = self.workload(index);
        workload.version = self.next_version();
        while workload.pods.len() > replicas {
            let (number, (milli, _)) = workload.pods.pop_last().expect("more than wanted");
            self.send("pods", "DELETED", &objects::pod(index, number, milli, self.next_version()));
        }
        while workload.pods.len() < replicas {
            let (number, version) = (workload.next, self.next_version());
            workload.next += 1;
            workload.pods.insert(number, (500, version));
            self.send("pods", "ADDED", &objects::pod(index, number, 500, version));
        }
        self.send("replicasets", "MODIFIED", &objects::replica_set(index, replicas, workload.version));
    }

    /// Sets the size of a pod; whether there is such a pod.
    pub(crate) fn resize(&self, index: usize, number: u64, milli: u64) -> bool {
        let mut workload = self.workload(index);
        let version = self.next_version();
        let Some(pod) = workload.pods.get_mut(&number) else { return false };
        *pod = (milli, version);
        self.send("pods", "MODIFIED", &objects::pod(index, number, milli, version));
        true
    }

    /// Sets the status of a policy.
    pub(crate) fn set_status(&self, index: usize, patch: &Value) {
        let mut workload = self.workload(index);
        if !workload.status.is_object() {
            workload.status = Value::Object(serde_json::Map::new());
        }
        if let (Some(status), Some(patch)) = (workload.status.as_object_mut(), patch.as_object()) {
            for (key, value) in patch {
                if value.is_null() {
                    status.remove(key);
                } else {
                    status.insert(key.clone(), value.clone());
                }
            }
        }
        workload.policy_version = self.next_version();
        self.send("scalingpolicies", "MODIFIED", &objects::policy(index, &workload));
    }

    /// A pod reports something that changes nothing, as kubelets do all the time.
    pub(crate) fn stir(&self, index: usize) {
        let mut workload = self.workload(index);
        let version = self.next_version();
        if let Some((number, pod)) = workload.pods.iter_mut().next() {
            pod.1 = version;
            self.send("pods", "MODIFIED", &objects::pod(index, *number, pod.0, version));
        }
    }
}
