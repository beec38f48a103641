//! What is written down every second: the workload as the API server shows it, and what its users get.

use std::collections::VecDeque;

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::ListParams};

use super::{Case, WORK};
use crate::support::{Emulator, Queue, Scene, WEB, cores};

/// A moment. Counts with "so far" begin with the first phase.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Row {
    /// Seconds since the first phase began.
    pub(super) at: f64,
    /// `spec.replicas`.
    pub(super) replicas: u32,
    /// Pods that are ready.
    pub(super) ready: u32,
    /// Pods that are paid for: all that exist.
    pub(super) pods: u32,
    /// Their CPU requests, in cores.
    pub(super) cores: f64,
    /// Their memory requests, in GiB.
    pub(super) gib: f64,
    /// Work that arrives, in cores.
    pub(super) load: f64,
    /// Cores of the pods that work.
    pub(super) capacity: f64,
    /// Items that wait.
    pub(super) waiting: f64,
    /// Age of the oldest message, in seconds; zero for a service.
    pub(super) age: f64,
    /// Items that arrived so far.
    pub(super) arrived: f64,
    /// Items that were late so far.
    pub(super) late: f64,
    /// Containers that were restarted, of the pods that exist.
    pub(super) restarts: u32,
}

impl Row {
    /// Mean CPU request of a pod, in cores.
    pub(super) fn size(&self) -> f64 {
        if self.pods == 0 { 0.0 } else { self.cores / f64::from(self.pods) }
    }
}

/// Looks, and moves the load.
pub(super) struct Recorder<'a> {
    case: Case,
    scene: &'a Scene,
    emulator: &'a Emulator,
    pods: Api<Pod>,
    line: Option<Line<'a>>,
    rate: f64,
}

/// The queue: when its messages came, the oldest first.
struct Line<'a> {
    queue: &'a Queue,
    waiting: VecDeque<(f64, f64)>,
    published: f64,
    consumed: f64,
    due: f64,
    late: f64,
    last: f64,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(case: Case, scene: &'a Scene, emulator: &'a Emulator, queue: Option<&'a Queue>) -> Self {
        let line = queue.map(|queue| Line {
            queue,
            waiting: VecDeque::new(),
            published: 0.0,
            consumed: 0.0,
            due: 0.0,
            late: 0.0,
            last: 0.0,
        });
        let pods = Api::namespaced(scene.admin.clone(), &scene.namespace);
        Self { case, scene, emulator, pods, line, rate: 0.0 }
    }

    /// One look, at a time and a rate of items.
    pub(super) async fn look(&mut self, at: f64, rate: f64) -> Row {
        if let Some(line) = &mut self.line {
            line.publish(at, rate).await;
        } else if (rate - self.rate).abs() > 0.0 {
            self.rate = rate;
            self.emulator.load(serde_json::json!({"rate": rate})).await;
        }
        let mut row = Row { at, load: rate * WORK, replicas: self.scene.replicas().await, ..Row::default() };
        let pods = self.pods.list(&ListParams::default().labels(&format!("app={WEB}"))).await.expect("pods");
        pods.items.iter().for_each(|pod| count(&mut row, pod));
        let state = self.emulator.state().await;
        let number = |value: &serde_json::Value| value.as_f64().expect("a number");
        row.capacity = number(&state["capacity_cores"]);
        row.waiting = number(&state["waiting"]);
        row.arrived = number(&state["totals"]["arrived"]);
        row.late = number(&state["totals"]["late"]);
        if let Some(line) = &mut self.line {
            line.consumed(at, number(&state["totals"]["consumed"]), self.case.objective());
            (row.waiting, row.age) = (line.published - line.consumed, line.age(at));
            (row.arrived, row.late) = (line.published, line.late);
        }
        row
    }
}

/// Adds one pod to a row.
fn count(row: &mut Row, pod: &Pod) {
    row.pods += 1;
    let status = pod.status.as_ref();
    let conditions = status.into_iter().flat_map(|s| s.conditions.iter().flatten());
    let is_ready = conditions.filter(|c| c.type_ == "Ready").any(|c| c.status == "True");
    row.ready += u32::from(is_ready && pod.metadata.deletion_timestamp.is_none());
    let restarts = status.into_iter().flat_map(|s| s.container_statuses.iter().flatten()).map(|c| c.restart_count);
    row.restarts += restarts.sum::<i32>().unsigned_abs();
    let containers = pod.spec.as_ref().map_or(&[][..], |spec| spec.containers.as_slice());
    for container in containers {
        let requests = container.resources.as_ref().and_then(|r| r.requests.as_ref());
        let request = |name: &str| requests.and_then(|r| r.get(name)).map_or(0.0, |q| cores(&q.0));
        row.cores += request("cpu");
        row.gib += request("memory") / f64::from(1_u32 << 30);
    }
}

impl Line<'_> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some whole messages, never negative")]
    async fn publish(&mut self, at: f64, rate: f64) {
        self.due += rate * (at - self.last);
        self.last = at;
        let whole = self.due.floor();
        if whole >= 1.0 {
            self.queue.publish(whole as usize).await;
            self.due -= whole;
            self.published += whole;
            self.waiting.push_back((at, whole));
        }
    }

    /// Takes what was consumed off the front, and counts what was older than the objective.
    fn consumed(&mut self, at: f64, total: f64, objective: f64) {
        let mut taken = total - self.consumed;
        self.consumed = total;
        while taken > 0.0 {
            let Some((came, left)) = self.waiting.front_mut() else { return };
            let some = taken.min(*left);
            if at - *came > objective {
                self.late += some;
            }
            (taken, *left) = (taken - some, *left - some);
            if *left < 0.5 {
                self.waiting.pop_front();
            }
        }
    }

    fn age(&self, at: f64) -> f64 {
        self.waiting.front().map_or(0.0, |(came, _)| at - came)
    }
}
