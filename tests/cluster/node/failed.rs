//! A resize that the kubelet accepts and cannot carry out: less memory than the container uses.
//!
//! arbiter never asks for less than the working set, which leaves out page cache that has not been used lately. The kubelet looks at
//! all memory that is charged to the container, page cache included: a service that has written a file is refused.

use serde_json::json;

use super::{OFTEN, report, stage::Stage};
use crate::support::{CONTAINER, WEB, await_some, await_that};

const MIB: i64 = 1 << 20;
/// What the policy allows, what the pod has, and what the service writes between them, MiB.
const MOST: i64 = 96;
const HAD: i64 = 256;
const WRITTEN: i64 = 160;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_memory_limit_below_the_page_cache_fails_is_said_and_passes_when_the_cache_is_gone() {
    let memory = format!("{HAD}Mi");
    let stage = Stage::new("failed", &json!({"cpu": "100m", "memory": memory}), &json!({"memory": memory})).await;
    let (identity, cgroup) = (stage.identity().await, stage.cgroup().await);
    stage.ask(&format!("/fill/{WRITTEN}")).await;
    let (used, working) = page_cache(&stage).await;
    let bounds = json!([{"name": CONTAINER, "memory": {"min": "32Mi", "max": format!("{MOST}Mi")}}]);
    stage.scene.policy(WEB, stage.sizes(&["Memory"], &bounds)).await;
    let _arbiter = stage.scene.arbiter("one", &[OFTEN]).await;
    // Nothing becomes smaller in arbiter's first minute.
    let why = stage.condition(120, "PodResizeInProgress", "Error").await;
    assert!(why.contains("below current usage"), "{why}");
    let said = stage.limited(120, &["ResizeFails", "1 of 1 pods", "PodResizeInProgress of the pods says why"]).await;
    report(&format!(
        "ResizeError with {used:.0} MiB in use, {working:.0} MiB of them the working set: the kubelet says: {why}; arbiter says: {said}"
    ));
    assert_eq!((cgroup.memory_limit(), stage.identity().await), (HAD * MIB, identity.clone()), "nothing was done");

    stage.ask("/fill/0").await;
    await_that("the smaller limit in the cgroup", 120, async || cgroup.memory_limit(), |seen| *seen == MOST * MIB)
        .await;
    let quiet = |c: &String| !c.is_empty() && !c.contains("Resize");
    await_that("nothing more to be said", 60, || stage.scene.condition(WEB, "Limited"), quiet).await;
    assert_eq!(stage.identity().await, identity, "the same container, never restarted");
}

/// Waits until Prometheus shows that what was written is charged to the container and no part of its working set; MiB of both.
async fn page_cache(stage: &Stage) -> (f64, f64) {
    let labels = format!("namespace=\"{}\",container=\"{CONTAINER}\"", stage.scene.namespace);
    await_some("page cache that is no working set", 90, || async {
        let mib = |kind: &str| format!("max(container_memory_{kind}_bytes{{{labels}}}) / {MIB}");
        let (used, working) = (mib("usage"), mib("working_set"));
        let (used, working) = (stage.value(&used).await, stage.value(&working).await);
        match (used, working) {
            (Some(used), Some(working)) if used > WRITTEN as f64 * 0.9 && working < MOST as f64 * 0.7 => {
                Ok((used, working))
            }
            seen => Err(format!("{seen:?}")),
        }
    })
    .await
}
