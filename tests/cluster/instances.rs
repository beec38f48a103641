//! Instances die and others take over; whoever leads goes on where the last one stood.

use std::time::Duration;

use k8s_openapi::api::{coordination::v1::Lease, core::v1::ConfigMap};
use kube::{Api, api::ListParams};
use serde_json::json;
use tokio::time::Instant;

use crate::{
    specs::{self, with},
    support::{Arbiter, EmulatorOptions, Profile, Scene, WEB, Workload, await_some, await_that, holds_for},
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

/// What the end may take, with the lease given back; and until another instance has it.
const HAND_OVER: Duration = Duration::from_secs(2);

#[tokio::test]
async fn one_that_is_told_to_stop_hands_over_within_two_seconds() {
    let scene = Scene::new("handover", Profile::Auto).await;
    let _emulator = scene.workload(Workload::default(), &EmulatorOptions { rate: CALM, ..Default::default() }).await;
    scene.usage_known(2).await;
    scene.policy(WEB, specs::replicas_only(&scene)).await;
    let mut instances =
        [scene.arbiter("one", &["--state-objects"]).await, scene.arbiter("two", &["--state-objects"]).await];
    let mut taken = Vec::new();
    for turn in 0..3 {
        let identity = format!("three-{turn}");
        let [old, new] = &mut instances;
        await_that("the older one leads", 30, async || old.leads().await == Ok(true), |leads| *leads).await;
        new.decided(&scene.namespace, WEB).await;
        let started = Instant::now();
        let (took, well) = old.terminate().await;
        assert!(well && took < HAND_OVER, "{took:?}: {}", old.last_words());
        await_that("the other leads", 5, async || new.leads().await == Ok(true), |leads| *leads).await;
        taken.push(started.elapsed());
        instances.rotate_left(1);
        instances[1] = scene.arbiter(&identity, &["--state-objects"]).await;
    }
    taken.sort();
    assert!(taken[1] <= HAND_OVER && taken[2] <= HAND_OVER + Duration::from_secs(1), "{taken:?}");
}

/// Names of held leases of a scene, sorted.
async fn held(scene: &Scene) -> Vec<String> {
    let leases: Api<Lease> = Api::namespaced(scene.admin.clone(), Profile::Auto.namespace());
    let leases = leases.list(&ListParams::default()).await.expect("leases");
    let is_held = |lease: &Lease| {
        lease.spec.as_ref().is_some_and(|s| s.holder_identity.as_deref().is_some_and(|h| !h.is_empty()))
    };
    let names = leases.items.iter().filter(|lease| is_held(lease)).filter_map(|lease| lease.metadata.name.clone());
    let mut names: Vec<String> = names.filter(|name| name.starts_with(&scene.namespace)).collect();
    names.sort();
    names
}

/// How many of the instances lead, and how many have decided for the scene's policy.
async fn leading_and_deciding(scene: &Scene, instances: &[Arbiter]) -> (usize, usize) {
    let (mut leading, mut deciding) = (0, 0);
    for instance in instances {
        leading += usize::from(instance.leads().await == Ok(true));
        let desired = instance.replicas(&scene.namespace, WEB, "desired").await;
        deciding += usize::from(desired.is_some());
    }
    (leading, deciding)
}

#[tokio::test]
async fn of_several_shards_one_decides_and_their_number_can_be_changed() {
    let scene = Scene::new("shards", Profile::Auto).await;
    let emulator = scene.workload(Workload::default(), &EmulatorOptions { rate: CALM, ..Default::default() }).await;
    scene.usage_known(2).await;
    scene.policy(WEB, specs::replicas_only(&scene)).await;
    let name = &scene.namespace;
    let mut two = Vec::new();
    for shard in 0..2 {
        two.push(scene.arbiter(&format!("of-2-{shard}"), &[&format!("--shard={shard}/2")]).await);
    }
    await_that("two lead, one decides", 60, async || leading_and_deciding(&scene, &two).await, |n| *n == (2, 1)).await;
    assert_eq!(held(&scene).await, [format!("{name}-0-of-2"), format!("{name}-1-of-2")]);

    let mut three = Vec::new();
    for shard in 0..3 {
        three.push(scene.arbiter(&format!("of-3-{shard}"), &[&format!("--shard={shard}/3")]).await);
    }
    holds_for(
        "the old ones go on alone",
        10,
        async || (leading_and_deciding(&scene, &two).await.0, leading_and_deciding(&scene, &three).await.0),
        |leading| *leading == (2, 0),
    )
    .await;
    two[0].terminate().await;
    assert_eq!(leading_and_deciding(&scene, &three).await.0, 0, "one of the old is still there");
    // Killed, so its lease has to run out.
    two[1].kill();
    let most = LEASE_SECONDS + SLACK_SECONDS;
    await_that("three lead, one decides", most, async || leading_and_deciding(&scene, &three).await, |n| *n == (3, 1))
        .await;
    emulator.load(json!({"rate": BUSY})).await;
    await_some("growth by a new one", 60, || async {
        let replicas = scene.replicas().await;
        if replicas > 4 { Ok(()) } else { Err(format!("{replicas} replicas")) }
    })
    .await;
}

#[tokio::test]
async fn what_is_remembered_outlives_the_instance_in_objects() {
    let scene = Scene::new("remembered", Profile::Auto).await;
    let _emulator = scene.workload(Workload::default(), &EmulatorOptions { rate: CALM, ..Default::default() }).await;
    scene.usage_known(2).await;
    scene.policy(WEB, specs::replicas_only(&scene)).await;
    let mut first = scene.arbiter("one", &["--state-objects", "--tick=2s"]).await;
    first.decided(&scene.namespace, WEB).await;
    let ticks = first.ticks().await;
    await_that("some ticks", 60, async || first.ticks().await, |n| *n >= ticks + 5).await;
    let (took, well) = first.terminate().await;
    assert!(well && took < HAND_OVER, "{took:?}: {}", first.last_words());

    let objects: Api<ConfigMap> = Api::namespaced(scene.admin.clone(), Profile::Auto.namespace());
    let label = ListParams::default().labels(&format!("autoscaling.arbiter.io/memory-of={}", scene.namespace));
    let kept = objects.list(&label).await.expect("configmaps");
    assert_eq!(kept.items.len(), 1, "{}", first.last_words());
    let parts = kept.items[0].binary_data.clone().unwrap_or_default();
    assert_eq!(parts.len(), 1);
    let size = parts.values().next().expect("one").0.len();
    assert!(size < 4096, "{size} bytes");

    let mut second = scene.arbiter("two", &["--state-objects"]).await;
    second.decided(&scene.namespace, WEB).await;
    assert!(second.log().contains("Goes on from what was remembered"), "{}", second.last_words());
    drop(second);
    // Cut in half it is said, and nothing else is lost.
    let (key, bytes) = parts.into_iter().next().expect("one");
    let half = json!({"binaryData": {(key): k8s_openapi::ByteString(bytes.0[..size / 2].to_vec())}});
    let name = kept.items[0].metadata.name.clone().expect("a name");
    let patch = kube::api::Patch::Merge(&half);
    objects.patch(&name, &kube::api::PatchParams::default(), &patch).await.expect("damaging it");
    let mut third = scene.arbiter("three", &["--state-objects"]).await;
    third.decided(&scene.namespace, WEB).await;
    assert!(third.log().contains("What was remembered is lost: part"), "{}", third.last_words());
}
