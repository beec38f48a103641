//! Sizes of running pods on the real API server: what is granted, put off, refused, evicted, and undone.
//!
//! KWOK plays the kubelet (`sim/resize` says what it answers), the API server, its admission and the disruption controller are
//! real. A policy's least CPU is what makes pods grow: it needs no load.

use arbiter::observe::clock::{Clock as _, SystemClock};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Resource,
    api::{Patch, PatchParams, PostParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{
    specs::with,
    support::{CONTAINER, Emulator, EmulatorOptions, Profile, Scene, WEB, Workload, await_some, await_that, holds_for},
};

/// Ticks often, so that what is not repeated every tick shows within seconds.
const OFTEN: &str = "--tick=2s";

/// A policy of two replicas and their sizes.
fn sizes(cpu_min: &str) -> Value {
    json!({
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": WEB},
        "mode": "Auto",
        "replicas": {"min": 2, "max": 2},
        "containers": [container(CONTAINER, cpu_min)],
    })
}

fn container(name: &str, cpu_min: &str) -> Value {
    json!({"name": name, "cpu": {"min": cpu_min, "max": "40"}, "memory": {"max": "4Gi"}})
}

/// Resources of the container in the pod template.
fn resources(requests: &Value, limits: &Value) -> Value {
    json!({"spec": {"containers": [
        {"name": CONTAINER, "image": "emulated", "resources": {"requests": requests, "limits": limits}}]}})
}

fn annotated(resize: &str) -> Value {
    json!({"metadata": {"annotations": {"sim/resize": resize}}})
}

async fn annotate(scene: &Scene, pod: &Pod, resize: &str) {
    let api: Api<Pod> = Api::namespaced(scene.admin.clone(), &scene.namespace);
    let name = pod.metadata.name.as_deref().expect("a name");
    api.patch(name, &PatchParams::default(), &Patch::Merge(annotated(resize))).await.expect("annotating a pod");
}

/// Creates an object of the scene's namespace.
async fn create<K>(scene: &Scene, object: Value)
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::Serialize
        + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(scene.admin.clone(), &scene.namespace);
    let object = serde_json::from_value(object).expect("an object");
    api.create(&PostParams::default(), &object).await.expect("creating an object");
}

async fn resized(scene: &Scene, to: &str) {
    await_that("the size", 60, || scene.pod_cpus(), |cpus| cpus.len() == 2 && cpus.iter().all(|c| c == to)).await;
}

async fn limited(scene: &Scene, seconds: u64, parts: &[&str]) -> String {
    let says = |c: &String| parts.iter().all(|part| c.contains(part));
    await_that("the condition Limited", seconds, || scene.condition(WEB, "Limited"), says).await
}

/// Waits until nothing is said of resizes any more.
async fn free(scene: &Scene) {
    let quiet = |c: &String| !c.is_empty() && !["Resize", "resize", "pods "].iter().any(|word| c.contains(word));
    await_that("nothing to be said of resizes", 60, || scene.condition(WEB, "Limited"), quiet).await;
}

/// How many resizes arbiter has asked for, and how many of them were refused.
fn asked(scene: &Scene) -> (usize, usize) {
    let events = scene.audit();
    let resizes: Vec<_> = events.iter().filter(|e| e.resource == "pods/resize").collect();
    (resizes.len(), resizes.iter().filter(|e| e.code >= 400).count())
}

/// Waits until the audit log, which is written a moment later, has so many resizes and refusals.
async fn asked_exactly(scene: &Scene, expected: (usize, usize)) {
    await_that("resizes in the audit log", 10, async || asked(scene), |seen| *seen == expected).await;
}

#[tokio::test]
async fn a_larger_size_is_granted_in_place_and_the_class_of_service_stays() {
    let scene = Scene::new("guaranteed", Profile::Auto).await;
    let same = json!({"cpu": "500m", "memory": "128Mi"});
    scene.deployment_with(Workload::default(), &resources(&same, &same)).await;
    scene.policy(WEB, sizes("800m")).await;
    let _arbiter = scene.arbiter("one", &[OFTEN]).await;
    resized(&scene, "800m").await;
    for pod in scene.pods().await {
        let spec = serde_json::to_value(&pod.spec).expect("a spec");
        assert_eq!(spec["containers"][0]["resources"]["limits"]["cpu"], "800m", "{spec}");
        assert_eq!(pod.status.expect("a status").qos_class.as_deref(), Some("Guaranteed"));
    }
    asked_exactly(&scene, (2, 0)).await;
}

#[tokio::test]
async fn a_burstable_pod_that_reaches_its_limits_stays_burstable() {
    let scene = Scene::new("burstable", Profile::Auto).await;
    let (requests, limits) = (json!({"cpu": "400m", "memory": "128Mi"}), json!({"cpu": "500m", "memory": "128Mi"}));
    scene.deployment_with(Workload::default(), &resources(&requests, &limits)).await;
    let bounds = with(container(CONTAINER, "500m"), json!({"limits": "Unchanged"}));
    scene.policy(WEB, with(sizes("500m"), json!({"containers": [bounds]}))).await;
    let _arbiter = scene.arbiter("one", &[OFTEN]).await;
    resized(&scene, "499m").await;
    // The API server refuses a change of class.
    asked_exactly(&scene, (2, 0)).await;
}

#[tokio::test]
async fn a_sidecar_is_resized_and_an_ordinary_init_container_holds_nothing_back() {
    let scene = Scene::new("sidecar", Profile::Auto).await;
    let init = |name: &str| json!({"name": name, "image": "emulated", "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}});
    let template =
        json!({"spec": {"initContainers": [init("migrate"), with(init("proxy"), json!({"restartPolicy": "Always"}))]}});
    scene.deployment_with(Workload::default(), &template).await;
    // Twice what the template gives to both, as CPU is shared in proportion to that.
    let containers = json!([container(CONTAINER, "1"), container("proxy", "200m"), container("migrate", "300m")]);
    scene.policy(WEB, with(sizes("1"), json!({"containers": containers}))).await;
    let _arbiter = scene.arbiter("one", &[OFTEN]).await;
    resized(&scene, "1").await;
    let spec = serde_json::to_value(&scene.pods().await[0].spec).expect("a spec");
    let cpu = |i: usize| spec["initContainers"][i]["resources"]["requests"]["cpu"].clone();
    assert_eq!((cpu(0), cpu(1)), (json!("100m"), json!("200m")), "{spec}");
    assert_eq!(asked(&scene).1, 0);
}

#[tokio::test]
async fn a_deferred_resize_is_told_and_passes_when_there_is_room() {
    let scene = Scene::new("deferred", Profile::Auto).await;
    scene.deployment_with(Workload::default(), &annotated("Deferred")).await;
    scene.policy(WEB, sizes("800m")).await;
    let _arbiter = scene.arbiter("one", &[OFTEN]).await;
    resized(&scene, "800m").await;
    limited(&scene, 100, &["ResizeDeferred", "of 2 pods have waited for room", "the kubelet tries again by itself"])
        .await;
    asked_exactly(&scene, (2, 0)).await;
    for pod in scene.pods().await {
        annotate(&scene, &pod, "ok").await;
    }
    free(&scene).await;
}

#[tokio::test]
async fn an_infeasible_resize_never_stands_in_the_way_of_a_larger_one() {
    let scene = Scene::new("infeasible", Profile::Auto).await;
    scene.deployment_with(Workload::default(), &annotated("Infeasible")).await;
    scene.policy(WEB, sizes("800m")).await;
    let _arbiter = scene.arbiter("one", &[OFTEN]).await;
    resized(&scene, "800m").await;
    limited(&scene, 30, &["ResizeInfeasible", "InPlaceOrRecreate evicts such pods"]).await;
    asked_exactly(&scene, (2, 0)).await;
    holds_for("asked once", 10, async || asked(&scene), |asked| *asked == (2, 0)).await;
    for pod in scene.pods().await {
        annotate(&scene, &pod, "ok").await;
    }
    scene.policy(WEB, sizes("900m")).await;
    resized(&scene, "900m").await;
    free(&scene).await;
}

#[tokio::test]
async fn what_a_quota_refuses_is_said_and_not_asked_every_tick() {
    let scene = Scene::new("quota", Profile::Auto).await;
    scene.deployment_with(Workload::default(), &json!({})).await;
    let hard = |cpu: &str| json!({"metadata": {"name": "compute"}, "spec": {"hard": {"requests.cpu": cpu}}});
    create::<k8s_openapi::api::core::v1::ResourceQuota>(&scene, hard("1200m")).await;
    let api: Api<k8s_openapi::api::core::v1::ResourceQuota> = Api::namespaced(scene.admin.clone(), &scene.namespace);
    // A quota counts once its controller has seen it: before that everything passes.
    await_some("the quota's count of both pods", 60, || async {
        let status = api.get("compute").await.map_err(|e| e.to_string())?.status.unwrap_or_default();
        let used = status.used.unwrap_or_default().get("requests.cpu").map(|q| q.0.clone());
        if used.as_deref() == Some("1") { Ok(()) } else { Err(format!("{used:?}")) }
    })
    .await;
    scene.policy(WEB, sizes("800m")).await;
    let _arbiter = scene.arbiter("one", &[OFTEN]).await;
    limited(&scene, 60, &["ResizeBeyondQuota", "exceeded quota: compute", "raise the quota"]).await;
    asked_exactly(&scene, (1, 1)).await;
    holds_for("asked once", 15, async || asked(&scene), |asked| *asked == (1, 1)).await;
    assert_eq!(scene.pod_cpus().await, ["500m", "500m"]);
    api.patch("compute", &PatchParams::default(), &Patch::Merge(hard("2"))).await.expect("raising the quota");
    resized(&scene, "800m").await;
    free(&scene).await;
}

#[tokio::test]
async fn what_a_limit_range_refuses_is_said_and_not_asked_every_tick() {
    let scene = Scene::new("limit-range", Profile::Auto).await;
    let (requests, limits) = (json!({"cpu": "500m", "memory": "128Mi"}), json!({"cpu": "600m", "memory": "128Mi"}));
    scene.deployment_with(Workload::default(), &resources(&requests, &limits)).await;
    let most = json!({"metadata": {"name": "most"}, "spec": {"limits": [{"type": "Pod", "max": {"cpu": "700m"}}]}});
    create::<k8s_openapi::api::core::v1::LimitRange>(&scene, most).await;
    scene.policy(WEB, sizes("800m")).await;
    let _arbiter = scene.arbiter("one", &[OFTEN]).await;
    limited(&scene, 60, &["ResizeBeyondLimitRange", "700m", "within the limit range"]).await;
    asked_exactly(&scene, (1, 1)).await;
    holds_for("asked once", 15, async || asked(&scene), |asked| *asked == (1, 1)).await;
    // Another size is tried at once.
    let within = json!({"name": CONTAINER, "cpu": {"min": "550m", "max": "550m"}});
    scene.policy(WEB, with(sizes("550m"), json!({"containers": [within]}))).await;
    resized(&scene, "550m").await;
}

#[tokio::test]
async fn what_the_node_could_never_hold_is_said() {
    let scene = Scene::new("beyond-nodes", Profile::Auto).await;
    let one = |name: &str| json!({"name": name, "image": "emulated", "resources": {"requests": {"cpu": "500m", "memory": "64Mi"}}});
    scene.deployment_with(Workload::default(), &json!({"spec": {"containers": [one(CONTAINER), one("side")]}})).await;
    let containers = json!([container(CONTAINER, "20"), container("side", "20")]);
    scene.policy(WEB, with(sizes("20"), json!({"containers": containers}))).await;
    let _arbiter = scene.arbiter("one", &[OFTEN]).await;
    limited(&scene, 60, &["ResizeBeyondNode", "enough allocatable resources", "add larger nodes"]).await;
    asked_exactly(&scene, (2, 2)).await;
    holds_for("asked once", 10, async || asked(&scene), |asked| *asked == (2, 2)).await;
}

/// Writes into a pod's status that its container was killed for want of memory, and waits to be started again or runs.
async fn kill(scene: &Scene, pod: &Pod, restarts: u32, crashing: bool) {
    let name = pod.metadata.name.as_deref().expect("a name");
    let api: Api<Pod> = Api::namespaced(scene.admin.clone(), &scene.namespace);
    let now = SystemClock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let state = if crashing {
        json!({"waiting": {"reason": "CrashLoopBackOff"}, "running": null})
    } else {
        json!({"running": {"startedAt": now}})
    };
    let killed = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": now, "startedAt": now}});
    let mut status = serde_json::to_value(&pod.status).expect("a status")["containerStatuses"][0].clone();
    status["restartCount"] = restarts.into();
    status["state"] = state;
    status["lastState"] = killed;
    status["ready"] = (!crashing).into();
    let patch = json!({"status": {"containerStatuses": [status]}});
    api.patch_status(name, &PatchParams::default(), &Patch::Strategic(patch)).await.expect("writing a status");
}

fn memory_of(pod: &Pod) -> u64 {
    let spec = serde_json::to_value(&pod.spec).expect("a spec");
    let text = spec["containers"][0]["resources"]["requests"]["memory"].as_str().unwrap_or_default().to_owned();
    text.parse::<arbiter::units::Quantity>().expect("a quantity").bytes().0 >> 20
}

fn limit_in_force(pod: &Pod) -> Value {
    let status = serde_json::to_value(&pod.status).expect("a status");
    status["containerStatuses"][0]["resources"]["limits"]["memory"].clone()
}

async fn memories(scene: &Scene) -> Vec<u64> {
    scene.pods().await.iter().map(memory_of).collect()
}

#[tokio::test]
async fn a_container_that_is_killed_at_every_start_gets_more_memory_though_it_was_never_ready_nor_measured() {
    let scene = Scene::new("oom-loop", Profile::Auto).await;
    let same = json!({"cpu": "500m", "memory": "256Mi"});
    let never = json!({"metadata": {"annotations": {"sim/ready-delay": "1h"}}});
    scene.deployment_with(Workload::default(), &with(resources(&same, &same), never)).await;
    scene.policy(WEB, sizes("500m")).await;
    let mut arbiter = scene.arbiter("one", &[OFTEN]).await;
    arbiter.decided(&scene.namespace, WEB).await;
    let mut before = 256;
    for restarts in 1..=2 {
        for pod in scene.pods().await {
            kill(&scene, &pod, restarts, true).await;
        }
        let grown = |all: &Vec<u64>| all.len() == 2 && all.iter().all(|m| *m >= before + 100);
        await_that("more memory", 60, || memories(&scene), grown).await;
        // What the node has is what it was killed at the next time.
        let has = |pods: &Vec<Pod>| pods.iter().all(|p| limit_in_force(p) == json!(format!("{}Mi", memory_of(p))));
        await_that("the new size in place", 60, || scene.pods(), has).await;
        before = memories(&scene).await.into_iter().max().unwrap_or_default();
    }
    for pod in scene.pods().await {
        assert_eq!(pod.status.expect("a status").qos_class.as_deref(), Some("Guaranteed"));
    }
    assert_eq!(asked(&scene).1, 0);
}

async fn loaded(scene: &Scene, pods: u32) -> Emulator {
    let emulator = scene.emulate(pods, &EmulatorOptions { rate: 4.0, ..EmulatorOptions::default() }).await;
    scene.usage_known(pods).await;
    emulator
}

#[tokio::test]
async fn a_smaller_size_that_goes_wrong_is_undone_once_and_remembered_over_a_restart() {
    let scene = Scene::new("undo", Profile::Auto).await;
    let same = json!({"cpu": "500m", "memory": "256Mi"});
    scene.deployment_with(Workload::default(), &resources(&same, &same)).await;
    let _emulator = loaded(&scene, 2).await;
    let with_memory = |most: &str| {
        let bounds = json!({"name": CONTAINER, "cpu": {"min": "500m"}, "memory": {"max": most}});
        with(sizes("500m"), json!({"containers": [bounds]}))
    };
    scene.policy(WEB, with_memory("128Mi")).await;
    let state = tempfile::tempdir().expect("a directory");
    let kept = format!("--state-dir={}", state.path().display());
    let mut arbiter = scene.arbiter("one", &[OFTEN, &kept]).await;
    await_that("less memory", 120, || memories(&scene), |all| *all == [128, 128]).await;
    scene.policy(WEB, with_memory("2Gi")).await;
    await_that(
        "the smaller size in place",
        30,
        || scene.pods(),
        |pods| {
            pods.iter().all(|p| {
                serde_json::to_value(&p.status)
                    .is_ok_and(|s| s["containerStatuses"][0]["resources"]["limits"]["memory"] == "128Mi")
            })
        },
    )
    .await;
    kill(&scene, &scene.pods().await[0], 1, false).await;
    let words = ["was lowered from 256Mi to 128Mi", "killed for want of memory", "it stays at 256Mi or more until"];
    let said = limited(&scene, 60, &words).await;
    await_that("the size before", 60, || memories(&scene), |all| all.iter().all(|m| *m >= 256)).await;
    arbiter.kill();
    let _other = scene.arbiter("two", &[OFTEN, &kept]).await;
    holds_for("remembered", 15, || memories(&scene), |all| all.iter().all(|m| *m >= 256)).await;
    let until = said.split("until").nth(1).unwrap_or_default().to_owned();
    limited(&scene, 60, &["ResizeUndone", &until]).await;
}

/// A directory in which arbiter finds that room is waited for a minute and a half.
async fn patient(scene: &Scene) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let policy = scene.policy_uid(WEB).await;
    let text = json!({
        "uid": policy,
        "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": WEB},
        "at": SystemClock.now(),
        "memory": arbiter::decide::Memory::new(),
        "resizes": {"waits": [60.0, 60.0, 60.0]},
    });
    let file = directory.path().join(format!("{}.{WEB}.json", scene.namespace));
    std::fs::write(file, text.to_string()).expect("a file");
    directory
}

#[tokio::test]
async fn pods_that_wait_for_room_too_long_are_evicted_one_at_a_time_and_a_budget_is_honoured() {
    let scene = Scene::new("evict", Profile::Auto).await;
    scene.deployment_with(Workload { replicas: 3, ..Workload::default() }, &json!({})).await;
    let _emulator = loaded(&scene, 3).await;
    let before = scene.pods().await;
    for pod in &before {
        annotate(&scene, pod, "Deferred").await;
    }
    let budget =
        json!({"metadata": {"name": WEB}, "spec": {"minAvailable": 3, "selector": {"matchLabels": {"app": WEB}}}});
    create::<k8s_openapi::api::policy::v1::PodDisruptionBudget>(&scene, budget).await;
    let resize = json!({"strategy": "InPlaceOrRecreate", "maxUnavailable": 1});
    let spec = with(sizes("800m"), json!({"replicas": {"min": 3, "max": 3}, "resize": resize}));
    scene.policy(WEB, spec).await;
    let state = patient(&scene).await;
    let kept = format!("--state-dir={}", state.path().display());
    let arbiter = scene.arbiter("one", &[OFTEN, &kept]).await;
    limited(&scene, 180, &["EvictionHeld", "The disruption budget web needs 3 healthy pods"]).await;
    let names =
        |pods: &[Pod]| pods.iter().filter_map(|p| p.metadata.uid.clone()).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(names(&scene.pods().await), names(&before), "evicted against the budget");
    let evictions = || scene.audit().into_iter().filter(|e| e.resource == "pods/eviction").collect::<Vec<_>>();
    assert!(evictions().iter().all(|e| e.code == 429), "{:?}", evictions());

    let api: Api<k8s_openapi::api::policy::v1::PodDisruptionBudget> =
        Api::namespaced(scene.admin.clone(), &scene.namespace);
    api.delete(WEB, &kube::api::DeleteParams::default()).await.expect("deleting the budget");
    let ready = |pods: &[Pod]| {
        let is = |p: &&Pod| {
            let conditions = p.status.as_ref().and_then(|s| s.conditions.as_ref());
            conditions.is_some_and(|c| c.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
        };
        pods.iter().filter(is).count()
    };
    let mut fewest = 3;
    let start = tokio::time::Instant::now();
    loop {
        let pods = scene.pods().await;
        fewest = fewest.min(ready(&pods));
        let cpus = scene.pod_cpus().await;
        if names(&pods).is_disjoint(&names(&before)) && cpus == ["800m", "800m", "800m"] && ready(&pods) == 3 {
            break;
        }
        assert!(start.elapsed().as_secs() < 150, "not replaced: {cpus:?}; {}", arbiter.last_words());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(fewest >= 2, "{fewest} were ready");
    let made = evictions().iter().filter(|e| e.code < 300).count();
    assert_eq!(made, 3, "one for each");
    assert!(scene.audit().iter().all(|e| e.verb != "delete"), "only through the eviction API");
}

#[tokio::test]
async fn the_only_ready_pod_is_not_evicted_and_the_policy_says_how() {
    let scene = Scene::new("the-last", Profile::Auto).await;
    scene.deployment_with(Workload { replicas: 1, ..Workload::default() }, &annotated("Infeasible")).await;
    let _emulator = loaded(&scene, 1).await;
    let spec = json!({"replicas": {"min": 1, "max": 1}, "resize": {"strategy": "InPlaceOrRecreate"}});
    scene.policy(WEB, with(sizes("800m"), spec.clone())).await;
    let _arbiter = scene.arbiter("one", &[OFTEN]).await;
    let before = scene.pods().await[0].metadata.uid.clone();
    limited(&scene, 120, &["EvictionOfTheLast", "maxUnavailable: 1"]).await;
    let uid = || async { scene.pods().await.first().and_then(|p| p.metadata.uid.clone()) };
    holds_for("not evicted", 70, uid, |now| *now == before).await;
    let allowed =
        with(sizes("800m"), with(spec, json!({"resize": {"strategy": "InPlaceOrRecreate", "maxUnavailable": 1}})));
    scene.policy(WEB, allowed).await;
    await_that("its eviction", 60, uid, |now| now.is_some() && *now != before).await;
    // Its successor stands where it stood: its node refuses as well.
    limited(&scene, 60, &["EvictionInVain"]).await;
    let evictions = || scene.audit().iter().filter(|e| e.resource == "pods/eviction").count();
    holds_for("evicted once", 15, async || evictions(), |n| *n == 1).await;
}
