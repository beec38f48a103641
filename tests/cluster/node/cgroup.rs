//! What the kernel was told about one container: the files of its cgroup, version 1 or 2.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arbiter::{
    observe::clock::{Clock as _, SystemClock},
    units::maths,
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use tokio::task::JoinHandle;

use crate::support::{AuditEvent, Cluster};

/// The hierarchies, or the one of version 2, are mounted here.
const MOUNTED: &str = "/sys/fs/cgroup";

/// A container's cgroup.
#[derive(Clone, Debug)]
pub(super) struct Cgroup {
    version: u32,
    /// Below a hierarchy.
    path: PathBuf,
}

/// How often a cgroup is looked at while its changes are noted: a resize takes a quarter of a second.
const LOOK: Duration = Duration::from_millis(10);

/// The identity of a running container: what a restart changes.
pub(super) fn identity(pod: &Pod, container: &str) -> (String, i32) {
    let statuses = pod.status.as_ref().and_then(|s| s.container_statuses.as_ref());
    let status = statuses.into_iter().flatten().find(|s| s.name == container).expect("the container's status");
    (status.container_id.clone().expect("a container that runs"), status.restart_count)
}

impl Cgroup {
    /// The cgroup of a pod's container, as the kubelet's driver `cgroupfs` names it.
    pub(super) fn of(cluster: &Cluster, pod: &Pod, container: &str) -> Self {
        let (id, _) = identity(pod, container);
        let uid = pod.metadata.uid.as_ref().expect("a uid");
        let class = pod.status.as_ref().and_then(|s| s.qos_class.as_deref()).expect("a class of service");
        let mut path = Path::new(cluster.get("NODE_CGROUP").trim_start_matches('/')).join("kubepods");
        if class != "Guaranteed" {
            path.push(class.to_lowercase());
        }
        path.push(format!("pod{uid}"));
        path.push(id.trim_start_matches("containerd://"));
        Self { version: cluster.get("CGROUP_VERSION").parse().expect("a version"), path }
    }

    /// Which version of cgroups the node has.
    pub(super) fn version(&self) -> u32 {
        self.version
    }

    fn name(&self, controller: &str, file: &str) -> PathBuf {
        let hierarchy = if self.version == 2 { PathBuf::from(MOUNTED) } else { Path::new(MOUNTED).join(controller) };
        hierarchy.join(&self.path).join(file)
    }

    fn read(&self, controller: &str, file: &str) -> String {
        let name = self.name(controller, file);
        fs::read_to_string(&name).unwrap_or_else(|e| panic!("{}: {e}", name.display())).trim().to_owned()
    }

    /// Whether the container is still there.
    fn exists(&self) -> bool {
        self.name("cpu", "cpu.stat").exists()
    }

    fn number(&self, controller: &str, file: &str) -> i64 {
        let text = self.read(controller, file);
        text.parse().unwrap_or_else(|e| panic!("{file}: {text}: {e}"))
    }

    /// The CPU limit in millicores; none: not limited.
    pub(super) fn cpu_limit(&self) -> Option<i64> {
        let (quota, period) = if self.version == 2 {
            let text = self.read("", "cpu.max");
            let (quota, period) = text.split_once(' ').expect("quota and period");
            (quota.parse().unwrap_or(-1), period.parse().expect("a period"))
        } else {
            (self.number("cpu", "cpu.cfs_quota_us"), self.number("cpu", "cpu.cfs_period_us"))
        };
        (quota > 0).then(|| quota * 1000 / period)
    }

    /// The share of CPU: `cpu.shares` of version 1, `cpu.weight` of version 2.
    pub(super) fn cpu_share(&self) -> i64 {
        if self.version == 2 { self.number("", "cpu.weight") } else { self.number("cpu", "cpu.shares") }
    }

    /// Whether the share is that of a request of so many millicores. What version 2 makes of `cpu.shares` differs between
    /// releases of runc: either is right.
    pub(super) fn has_share_of(&self, millis: i64) -> bool {
        let (share, shares) = (self.cpu_share(), millis * 1024 / 1000);
        if self.version == 1 {
            return share == shares;
        }
        // The line of KEP-2254, and the curve of runc 1.3.2 that gives one core the default weight of 100.
        let line = 1 + (shares - 2) * 9999 / 262_142;
        let l = maths::log2(shares as f64);
        let curve = maths::pow(10.0, (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0).ceil();
        share == line || share as f64 == curve
    }

    /// The memory limit in bytes.
    pub(super) fn memory_limit(&self) -> i64 {
        if self.version == 2 { self.number("", "memory.max") } else { self.number("memory", "memory.limit_in_bytes") }
    }

    /// Periods so far, and those in which it was throttled.
    pub(super) fn periods(&self) -> (f64, f64) {
        let text = self.read("cpu", "cpu.stat");
        let pairs = text.lines().filter_map(|line| line.split_once(' '));
        let stat: BTreeMap<_, f64> = pairs.filter_map(|(key, value)| Some((key, value.parse().ok()?))).collect();
        (stat["nr_periods"], stat["nr_throttled"])
    }

    /// Seconds in which something in it waited for CPU (PSI), as the kernel has it; none: this kernel keeps none. Version 1 has
    /// the file in the hierarchy of version 2 that is mounted beside it, where runc puts containers too.
    pub(super) fn cpu_waited(&self) -> Option<f64> {
        let root = if self.version == 2 { PathBuf::from(MOUNTED) } else { Path::new(MOUNTED).join("unified") };
        let text = fs::read_to_string(root.join(&self.path).join("cpu.pressure")).ok()?;
        let some = text.lines().find(|line| line.starts_with("some "))?;
        let micros: f64 = some.rsplit_once("total=")?.1.parse().ok()?;
        Some(micros / 1e6)
    }
}

/// A CPU limit: since when, and how many millicores.
pub(super) type Limit = (Timestamp, Option<i64>);

/// Every CPU limit that a container had, until it ends or this is dropped.
pub(super) struct Limits {
    seen: Arc<Mutex<Vec<Limit>>>,
    task: JoinHandle<()>,
}

impl Drop for Limits {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Limits {
    /// Begins with the limit of now.
    pub(super) fn of(cgroup: &Cgroup) -> Self {
        let seen = Arc::new(Mutex::new(Vec::<Limit>::new()));
        let (shared, cgroup) = (Arc::clone(&seen), cgroup.clone());
        let task = tokio::spawn(async move {
            while cgroup.exists() {
                note(&shared, cgroup.cpu_limit());
                tokio::time::sleep(LOOK).await;
            }
        });
        Self { seen, task }
    }

    /// All so far.
    pub(super) fn all(&self) -> Vec<Limit> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same in words: 200, 300, none.
    pub(super) fn told(&self) -> String {
        let limit = |(_, limit): &Limit| limit.map_or("none".to_owned(), |millis| millis.to_string());
        self.all().iter().map(limit).collect::<Vec<_>>().join(", ")
    }

    /// Milliseconds from the API server's answer to a resize until the cgroup had it, for each change: the answer is the
    /// last one before it.
    pub(super) fn delays(&self, resizes: &[AuditEvent]) -> Vec<i128> {
        let answers: Vec<Timestamp> = resizes.iter().filter(|e| e.code < 300).filter_map(|e| e.at).collect();
        let changes = self.all();
        let delay = |(at, _): &Limit| {
            let answer = answers.iter().filter(|answer| *answer <= at).max()?;
            Some(at.duration_since(*answer).as_millis())
        };
        changes.iter().skip(1).filter_map(delay).collect()
    }
}

fn note(seen: &Mutex<Vec<Limit>>, limit: Option<i64>) {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    if seen.last().is_none_or(|(_, last)| *last != limit) {
        seen.push((SystemClock.now(), limit));
    }
}
