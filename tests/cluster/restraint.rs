//! What arbiter leaves alone: everything under Recommend, a target that is taken; and what it does not put up with.

use std::collections::BTreeSet;

use serde_json::json;

use crate::{
    specs::{self, with},
    support::{EmulatorOptions, Profile, Scene, WEB, Workload, await_that},
};

/// Three cores of load on two half-core pods.
const BUSY: f64 = 60.0;

#[tokio::test]
async fn recommend_writes_nothing_to_any_workload_or_pod() {
    let scene = Scene::new("recommend", Profile::Observe).await;
    let emulator = scene.workload(Workload::default(), &EmulatorOptions { rate: 10.0, ..Default::default() }).await;
    scene.usage_known(2).await;
    scene.policy(WEB, with(specs::auto(&scene), json!({"mode": "Recommend"}))).await;
    let mut arbiter = scene.arbiter("one", &[]).await;
    arbiter.decided(&scene.namespace, WEB).await;
    emulator.load(json!({"rate": BUSY})).await;
    let status =
        await_that("a recommendation", 60, || scene.status(WEB), |s| s["replicas"]["desired"].as_u64() > Some(2)).await;
    assert_eq!(status["replicas"]["current"], 2, "{status}");
    let condition = scene.condition(WEB, "InControl").await;
    assert!(condition.starts_with("Unknown/RecommendOnly"), "{condition}");

    assert_eq!(scene.replicas().await, 2);
    assert_eq!(scene.pod_cpus().await, ["500m", "500m"]);
    let events = await_that(
        "the status in the audit log",
        30,
        async || scene.audit(),
        |events| events.iter().any(|e| e.resource == "scalingpolicies/status" && e.code == 200),
    )
    .await;
    let written: BTreeSet<&str> = events.iter().filter(|e| e.writes()).map(|e| e.resource.as_str()).collect();
    assert!(written.iter().all(|r| ["scalingpolicies/status", "events"].contains(r)), "writes: {written:?}");
    let refused: Vec<_> = events.iter().filter(|e| e.code == 403).collect();
    assert!(refused.is_empty(), "asked for what it may not: {refused:?}");
}

#[tokio::test]
async fn auto_under_the_observe_profile_says_which_verb_is_missing() {
    let scene = Scene::new("no-right", Profile::Observe).await;
    let _emulator = scene.workload(Workload::default(), &EmulatorOptions { rate: BUSY, ..Default::default() }).await;
    scene.usage_known(2).await;
    scene.policy(WEB, specs::replicas_only(&scene)).await;
    let _arbiter = scene.arbiter("one", &[]).await;
    let says = |status: &serde_json::Value| status["conditions"].to_string().contains("deployments/scale");
    await_that("a condition that names the right", 90, || scene.status(WEB), says).await;
    assert_eq!(scene.replicas().await, 2);
}

#[tokio::test]
async fn a_second_policy_on_the_same_target_is_refused() {
    let scene = Scene::new("second", Profile::Auto).await;
    let _emulator = scene.workload(Workload::default(), &EmulatorOptions { rate: 10.0, ..Default::default() }).await;
    scene.usage_known(2).await;
    scene.policy("b-first", specs::replicas_only(&scene)).await;
    let _arbiter = scene.arbiter("one", &[]).await;
    await_that("the first is ready", 60, || scene.condition("b-first", "Ready"), |c| c.starts_with("True")).await;
    // Creation times have whole seconds; after one has passed, the later policy is the later one also by name "a…".
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let other = with(specs::replicas_only(&scene), json!({"replicas": {"min": 20, "max": 30}}));
    scene.policy("a-second", other).await;
    let taken = |c: &String| c.starts_with("False/TargetTaken");
    let condition = await_that("TargetTaken", 60, || scene.condition("a-second", "Ready"), taken).await;
    assert!(condition.contains("b-first"), "does not name who has it: {condition}");
    let first = scene.condition("b-first", "Ready").await;
    assert!(first.starts_with("True"), "{first}");
    assert!(scene.replicas().await < 20, "the refused policy's bounds were used");
}

#[tokio::test]
async fn a_deploy_that_resets_replicas_is_grown_back_at_the_next_tick() {
    let scene = Scene::new("reset", Profile::Auto).await;
    let workload = Workload { replicas: 8, ..Workload::default() };
    let _emulator = scene.workload(workload, &EmulatorOptions { rate: BUSY, ..Default::default() }).await;
    scene.usage_known(8).await;
    let spec =
        with(specs::replicas_only(&scene), json!({"behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}}}));
    scene.policy(WEB, spec).await;
    let mut arbiter = scene.arbiter("one", &[]).await;
    arbiter.decided(&scene.namespace, WEB).await;
    let (before, _) = scene.settled(10).await;
    assert!(before >= 7, "three cores on half-core pods, but {before} replicas");
    let history = scene.history().await;
    scene.set_replicas(3).await;
    // A changed count wakes the next tick; without the wake it would be the interval of 15 s.
    let restored = |counts: &Vec<u32>| counts.len() >= 3 && counts.last() >= Some(&7);
    await_that("growth restored", 20, async || history.counts(), restored).await;
    assert_eq!(history.counts().get(1), Some(&3), "{:?}", history.counts());
}
