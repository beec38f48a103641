//! The whole loop on real parts: requests become late, arbiter grows the workload, requests are in time, and it shrinks again.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::{OFTEN, cgroup::Limits, load::Stretch, report, stage::Stage, stage::ready};
use crate::{
    specs::with,
    support::{CONTAINER, WEB, await_some, await_that},
};

/// Requests per second: 0.06 cores, which one pod carries with ease, and 0.5 cores, of which it may use 0.3.
const CALM: f64 = 3.0;
const BUSY: f64 = 25.0;
/// Seconds after which an answer is late: a request takes some 20 ms of CPU.
const TARGET: f64 = 0.5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_answers_bring_capacity_capacity_brings_answers_in_time_and_calm_gives_it_back() {
    let stage =
        Stage::new("closes", &json!({"cpu": "150m", "memory": "32Mi"}), &json!({"cpu": "300m", "memory": "64Mi"}))
            .await;
    let bounds = json!([{"name": CONTAINER, "cpu": {"min": "150m", "max": "300m"}}]);
    let policy = with(
        stage.sizes(&["Replicas", "Cpu"], &bounds),
        json!({"replicas": {"min": 1, "max": 6}, "behavior": {"scaleDown": {"stabilizationWindowSeconds": 30}}}),
    );
    stage.scene.policy(WEB, policy).await;
    let mut arbiter = stage.scene.arbiter("one", &[OFTEN]).await;
    stage.load.rate(CALM);
    arbiter.decided(&stage.scene.namespace, WEB).await;
    let calm = await_that("calm", 90, async || stage.load.last(20, TARGET), |s| s.sent > 55 && s.late < 0.02).await;
    let (calm_pods, calm_cores) = (stage.scene.replicas().await, stage.scene.total_cpu().await);
    assert_eq!(calm_pods, 1, "one pod carries the calm load");
    let (identity, limits) = (stage.identity().await, Limits::of(&stage.cgroup().await));
    let history = stage.scene.history().await;

    let step = Instant::now();
    stage.load.rate(BUSY);
    let served = |s: &Stretch| s.sent > 350 && s.late < 0.02;
    let recovered = await_that("answers in time", 180, async || stage.load.last(15, TARGET), served).await;
    let seconds = step.elapsed().as_secs_f64() - 15.0;
    let late = stage.load.between(step, step + Duration::from_secs(15), TARGET);
    assert!(late.late > 0.3, "the step was no step: {late:?}");
    let (pods, cores) = (stage.scene.replicas().await, stage.scene.total_cpu().await);
    assert!(pods > calm_pods && cores > calm_cores, "{pods} pods of {cores} cores; {}", arbiter.last_words());
    let first = history.changes().get(1).map(|(at, count)| ((*at - step).as_secs_f64(), *count));
    let first =
        first.map_or("no write of /scale".to_owned(), |(s, n)| format!("first write of /scale ({n}) after {s:.1} s"));
    report(&format!(
        "an eightfold step: calm on {calm_cores:.2} cores: {calm}; first 15 s: {late}; {first}; after {seconds:.0} s, on {pods} pods of \
         {cores:.2} cores together: {recovered}; limits of the first pod, millicores: {}",
        limits.told()
    ));

    stage.load.rate(CALM);
    let ended = Instant::now();
    await_some("capacity given back", 240, || async {
        let (pods, now) = (stage.scene.pods().await, stage.scene.total_cpu().await);
        if now < cores / 2.0 && pods.iter().all(ready) {
            Ok(())
        } else {
            Err(format!("{now}; {}", arbiter.last_words()))
        }
    })
    .await;
    let given_back = ended.elapsed().as_secs_f64();
    let after = await_that("calm", 60, async || stage.load.last(15, TARGET), |s| s.sent > 40 && s.late < 0.02).await;
    report(&format!("end of the step: half of the cores given back after {given_back:.0} s, then {after}"));
    for pod in stage.scene.pods().await {
        let now = super::cgroup::identity(&pod, CONTAINER);
        assert_eq!(now.1, 0, "restarted: {now:?}, first was {identity:?}");
    }
}
