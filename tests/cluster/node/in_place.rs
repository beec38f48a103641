//! A size that arbiter writes is the size that the kernel enforces, in the container that runs; and what the kernel does to
//! the container is what arbiter reads.

use std::time::Duration;

use arbiter::{decide::ContainerState, observe::usage::DEFAULT_WINDOW};
use serde_json::json;

use super::{
    OFTEN,
    cgroup::{Cgroup, Limits},
    report,
    stage::Stage,
};
use crate::{
    specs::with,
    support::{Arbiter, CONTAINER, WEB, await_that, cores},
};

/// Requests per second that cost 0.28 cores; the container may use 0.2.
const TOO_MUCH: f64 = 14.0;
/// Seconds after which an answer is late: a request takes some 20 ms of CPU.
const TARGET: f64 = 0.5;
/// What the kernel counted and what Prometheus makes of its scrapes of about the same time may differ by so much.
const NEAR: f64 = 0.2;
const MIB: i64 = 1 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_size_is_changed_in_the_running_container_and_throttling_is_read_as_it_comes() {
    let stage =
        Stage::new("in-place", &json!({"cpu": "100m", "memory": "64Mi"}), &json!({"cpu": "200m", "memory": "128Mi"}))
            .await;
    let (identity, cgroup) = (stage.identity().await, stage.cgroup().await);
    assert_eq!((cgroup.cpu_limit(), cgroup.memory_limit()), (Some(200), 128 * MIB));
    assert!(cgroup.has_share_of(100), "{}", cgroup.cpu_share());
    let bounds = |cpu: [&str; 2], memory: [&str; 2]| {
        let (cpu, memory) = (json!({"min": cpu[0], "max": cpu[1]}), json!({"min": memory[0], "max": memory[1]}));
        stage.sizes(&["Cpu", "Memory"], &json!([{"name": CONTAINER, "cpu": cpu, "memory": memory}]))
    };
    let policy = bounds(["100m", "800m"], ["64Mi", "64Mi"]);
    stage.scene.policy(WEB, with(policy.clone(), json!({"mode": "Recommend"}))).await;
    let arbiter = stage.scene.arbiter("one", &[OFTEN]).await;
    stage.load.rate(TOO_MUCH);
    throttling_is_read(&stage, &arbiter, &cgroup).await;
    assert_eq!(cgroup.cpu_limit(), Some(200), "Recommend writes nothing");

    let limits = Limits::of(&cgroup);
    stage.scene.policy(WEB, policy).await;
    await_that("a larger limit in the cgroup", 60, async || cgroup.cpu_limit(), |limit| *limit > Some(300)).await;
    await_that("answers in time", 120, async || stage.load.last(10, TARGET), |s| s.sent > 100 && s.late < 0.05).await;
    let seen = || async { stage.seen(&arbiter).await.throttled_ratio };
    let calm = await_that("less throttling", 60, seen, |x| x.is_some_and(|x| x < 0.1)).await;
    requested_is_enforced(&stage, &cgroup).await;
    let calm = calm.expect("throttling");
    report(&format!("throttled after the resize: {calm:.2}; limits of the container, millicores: {}", limits.told()));

    // Less, by the owner's word: with nothing but sizes to move, arbiter keeps what carries the peak that it has seen.
    stage.load.rate(2.0);
    stage.scene.policy(WEB, bounds(["100m", "150m"], ["64Mi", "64Mi"])).await;
    await_that("a smaller limit in the cgroup", 60, async || cgroup.cpu_limit(), |limit| *limit == Some(300)).await;
    requested_is_enforced(&stage, &cgroup).await;

    for (memory, limit) in [(["96Mi", "256Mi"], 192), (["64Mi", "64Mi"], 128)] {
        stage.scene.policy(WEB, bounds(["100m", "150m"], memory)).await;
        await_that("the memory limit in the cgroup", 60, async || cgroup.memory_limit(), |seen| *seen == limit * MIB)
            .await;
    }
    assert_eq!(stage.identity().await, identity, "the same container, never restarted");
    let resizes: Vec<_> = stage.scene.audit().into_iter().filter(|e| e.resource == "pods/resize").collect();
    let delays = limits.delays(&resizes);
    assert!(delays.len() >= 2, "up and down: {:?}", limits.all());
    report(&format!("ms from the answer to a resize until the cgroup had it: {delays:?}"));
}

/// The container has the request and the limit, twice that, which the pod's spec says by now.
async fn requested_is_enforced(stage: &Stage, cgroup: &Cgroup) {
    let look = || async {
        #[expect(clippy::cast_possible_truncation, reason = "millicores of a pod")]
        let millis = (cores(&stage.scene.pod_cpus().await[0]) * 1000.0).round() as i64;
        (
            millis,
            cgroup.cpu_share(),
            cgroup.cpu_limit(),
            cgroup.has_share_of(millis) && cgroup.cpu_limit() == Some(2 * millis),
        )
    };
    await_that("the pod's request and limit in the cgroup", 15, look, |(.., same)| *same).await;
}

/// Throttling in the snapshot is what the kernel has counted, and it is said; pressure is there where the kubelet exports it.
async fn throttling_is_read(stage: &Stage, arbiter: &Arbiter, cgroup: &Cgroup) {
    let seen = || async { stage.seen(arbiter).await.throttled_ratio };
    await_that("throttling in the snapshot", 90, seen, |x| x.is_some_and(|x| x > 0.5)).await;
    let ((periods, throttled), waited) = (cgroup.periods(), cgroup.cpu_waited());
    // What arbiter reads is a mean over so long: it is to be of this load alone.
    tokio::time::sleep(Duration::from_secs_f64(DEFAULT_WINDOW.get())).await;
    let (now, waited_now) = (cgroup.periods(), cgroup.cpu_waited());
    let counted = (now.1 - throttled) / (now.0 - periods);
    let seen = stage.seen(arbiter).await;
    let read = seen.throttled_ratio.expect("throttling");
    assert!((read - counted).abs() < NEAR, "the kernel counted {counted:.2}, arbiter has read {read:.2}");
    let explained = arbiter.explain(&stage.scene.namespace, WEB);
    assert!(explained.contains("throttled"), "{explained}");
    report(&format!("throttled: the kernel counted {counted:.2}, arbiter has read {read:.2}"));
    let waited = waited.zip(waited_now).map(|(before, now)| (now - before) / DEFAULT_WINDOW.get());
    pressure_is_read(stage, cgroup, &seen, waited).await;
}

/// A kubelet exports pressure on cgroup v2 alone; on v1 it is absent, whatever the kernel knows.
async fn pressure_is_read(stage: &Stage, cgroup: &Cgroup, seen: &ContainerState, kernel: Option<f64>) {
    let labels = format!("namespace=\"{}\"", stage.scene.namespace);
    let query = format!("count(container_pressure_cpu_waiting_seconds_total{{{labels}}})");
    let (exported, read) = (stage.value(&query).await.is_some(), seen.cpu_pressure);
    let told = |share: Option<f64>| share.map_or("nothing".to_owned(), |share| format!("{share:.2}"));
    let (said, seen) = (told(kernel), told(read));
    report(&format!("CPU pressure (cgroup v{}): the kernel says {said}, arbiter has read {seen}", cgroup.version()));
    match kernel.filter(|_| cgroup.version() == 2) {
        Some(kernel) => {
            let read = read.expect("CPU pressure in the snapshot");
            assert!(
                exported && (read - kernel).abs() < NEAR,
                "the kernel says {kernel:.2}, arbiter has read {read:.2}"
            );
        }
        None => {
            assert_eq!((exported, read), (false, None), "no kubelet exports pressure here, so nothing is known of it");
        }
    }
}
