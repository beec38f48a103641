//! Instances die and others take over; whoever leads goes on where the last one stood.

use serde_json::json;

use crate::{
    specs::{self, with},
    support::{EmulatorOptions, Profile, Scene, WEB, Workload, await_some, await_that, holds_for},
};

/// Requests per second before and after the step.
const CALM: f64 = 10.0;
const BUSY: f64 = 60.0;
/// The lease's duration, which is the longest that nobody leads, and what a loaded machine adds.
const LEASE_SECONDS: u64 = 15;
const SLACK_SECONDS: u64 = 10;

#[tokio::test]
async fn killed_in_the_middle_of_growing_it_converges_without_turning_back() {
    let scene = Scene::new("killed", Profile::Auto).await;
    let emulator = scene.workload(Workload::default(), &EmulatorOptions { rate: CALM, ..Default::default() }).await;
    scene.usage_known(2).await;
    // Growth in small steps, so that there is a middle.
    let behavior = json!({
        "scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 15}], "stabilizationWindowSeconds": 0},
        "scaleDown": {"stabilizationWindowSeconds": 300},
    });
    scene.policy(WEB, with(specs::replicas_only(&scene), json!({"behavior": behavior}))).await;
    let mut arbiter = scene.arbiter("one", &[]).await;
    arbiter.decided(&scene.namespace, WEB).await;
    let history = scene.history().await;

    emulator.load(json!({"rate": BUSY})).await;
    await_that("the second step", 90, async || history.changes().len(), |n| *n >= 3).await;
    arbiter.kill();
    let at_death = scene.replicas().await;
    let mut second = scene.arbiter("two", &[]).await;
    second.decided(&scene.namespace, WEB).await;
    await_some("convergence", 180, || async {
        let state = emulator.state().await;
        let served = state["waiting"].as_f64() < Some(1.0) && state["capacity_cores"].as_f64().is_some_and(|c| c > 3.0);
        if served { Ok(()) } else { Err(format!("{state}; {}", second.last_words())) }
    })
    .await;
    assert!(scene.replicas().await > at_death, "it was killed when all was done: {:?}", history.counts());
    assert!(!history.fell(), "turned back: {:?}", history.counts());
}

#[tokio::test]
async fn the_second_instance_takes_over_within_the_lease_time() {
    let scene = Scene::new("takeover", Profile::Auto).await;
    let emulator = scene.workload(Workload::default(), &EmulatorOptions { rate: CALM, ..Default::default() }).await;
    scene.usage_known(2).await;
    scene.policy(WEB, specs::replicas_only(&scene)).await;
    let mut first = scene.arbiter("one", &[]).await;
    await_that("the first leads", 30, async || first.leads().await == Ok(true), |leads| *leads).await;
    let second = scene.arbiter("two", &[]).await;
    holds_for("one leader", 5, async || (first.leads().await, second.leads().await), |l| *l == (Ok(true), Ok(false)))
        .await;

    first.kill();
    emulator.load(json!({"rate": BUSY})).await;
    await_that(
        "the second leads",
        LEASE_SECONDS + SLACK_SECONDS,
        async || second.leads().await == Ok(true),
        |leads| *leads,
    )
    .await;
    await_some("growth by the second", 60, || async {
        let replicas = scene.replicas().await;
        if replicas > 4 { Ok(()) } else { Err(format!("{replicas} replicas; {}", second.last_words())) }
    })
    .await;
    // The first comes back and waits.
    let first = scene.arbiter("one", &[]).await;
    holds_for("one leader", 5, async || (first.leads().await, second.leads().await), |l| *l == (Ok(false), Ok(true)))
        .await;
}
