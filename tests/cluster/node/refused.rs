//! What a real kubelet, and the API server before it, answer to a size that cannot be had, and what arbiter says of it.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    OFTEN, report,
    stage::{Stage, container},
};
use crate::support::{CONTAINER, Profile, Scene, WEB, await_that};

fn least(stage: &Stage, names: &[&str], cpu: &str) -> Value {
    let bounds = |name: &&str| json!({"name": name, "cpu": {"min": cpu, "max": "64"}});
    stage.sizes(&["Cpu"], &names.iter().map(bounds).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_node_could_never_hold_is_refused_by_the_api_server() {
    let scene = Scene::new("node-beyond", Profile::Auto).await;
    let (requests, limits) = (json!({"cpu": "100m", "memory": "32Mi"}), json!({"cpu": "200m", "memory": "64Mi"}));
    // Two of them, as no single container is asked to be larger than the largest node.
    let containers = json!([
        container(&scene, CONTAINER, 8080, &requests, &limits),
        container(&scene, "side", 8081, &requests, &limits)
    ]);
    let stage = Stage::with_containers(scene, &containers).await;
    let (identity, cgroup) = (stage.identity().await, stage.cgroup().await);
    let most = stage.allocatable().await * 6 / 10;
    stage.scene.policy(WEB, least(&stage, &[CONTAINER, "side"], &format!("{most}m"))).await;
    let _arbiter = stage.scene.arbiter("one", &[OFTEN]).await;
    let said = stage.limited(60, &["ResizeBeyondNode", "enough allocatable resources", "add larger nodes"]).await;
    report(&format!("larger than the node: {said}"));
    assert_eq!((cgroup.cpu_limit(), stage.identity().await), (Some(200), identity), "nothing was done");
    let codes: Vec<_> = stage.scene.audit().iter().filter(|e| e.resource == "pods/resize").map(|e| e.code).collect();
    assert!(!codes.is_empty() && codes.iter().all(|code| *code == 403), "{codes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_kubelet_calls_infeasible_is_said_and_the_container_stays_as_it_is() {
    // A node with exclusive CPUs resizes no Guaranteed pod.
    let same = json!({"cpu": "300m", "memory": "64Mi"});
    let stage = Stage::new("infeasible", &same, &same).await;
    let (identity, cgroup) = (stage.identity().await, stage.cgroup().await);
    stage.scene.policy(WEB, least(&stage, &[CONTAINER], "400m")).await;
    let _arbiter = stage.scene.arbiter("one", &[OFTEN]).await;
    let why = stage.condition(60, "PodResizePending", "Infeasible").await;
    let said = stage.limited(30, &["ResizeInfeasible", "1 of 1 pods", "InPlaceOrRecreate evicts such pods"]).await;
    report(&format!("Infeasible: the kubelet says: {why}; arbiter says: {said}"));
    assert_eq!((cgroup.cpu_limit(), stage.identity().await), (Some(300), identity), "nothing was done");
    assert_eq!(stage.scene.pod_cpus().await, ["400m"], "it was asked for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_no_room_now_is_deferred_and_granted_by_the_kubelet_when_there_is() {
    let (requests, limits) = (json!({"cpu": "200m", "memory": "64Mi"}), json!({"cpu": "400m", "memory": "128Mi"}));
    let stage = Stage::new("deferred", &requests, &limits).await;
    let (identity, cgroup) = (stage.identity().await, stage.cgroup().await);
    // 700m are left for the pod, and 900m would fit the node.
    neighbour(&stage, stage.allocatable().await - 700).await;
    stage.scene.policy(WEB, least(&stage, &[CONTAINER], "900m")).await;
    let _arbiter = stage.scene.arbiter("one", &[OFTEN]).await;
    let why = stage.condition(60, "PodResizePending", "Deferred").await;
    let words = ["ResizeDeferred", "1 of 1 pods have waited for room", "the kubelet tries again by itself"];
    let said = stage.limited(100, &words).await;
    report(&format!("Deferred: the kubelet says: {why}; arbiter says: {said}"));
    assert_eq!((cgroup.cpu_limit(), stage.identity().await), (Some(400), identity.clone()), "nothing was done");

    stage.scene.kubectl(&["delete", "pod", "neighbour", "--wait=true"], None);
    let gone = Instant::now();
    await_that("the larger size in the cgroup", 60, async || cgroup.cpu_limit(), |limit| *limit == Some(1800)).await;
    report(&format!("granted {:.1} s after the neighbour was gone", gone.elapsed().as_secs_f64()));
    assert!(cgroup.has_share_of(900), "{}", cgroup.cpu_share());
    let quiet = |c: &String| !c.is_empty() && !c.contains("Resize");
    await_that("nothing more to be said", 60, || stage.scene.condition(WEB, "Limited"), quiet).await;
    assert_eq!(stage.identity().await, identity, "the same container, never restarted");
    let asked = stage.scene.audit().iter().filter(|e| e.resource == "pods/resize").count();
    assert_eq!(asked, 1, "asked once: the kubelet tried again by itself");
}

/// A pod that requests so many millicores, and uses none.
async fn neighbour(stage: &Stage, millis: i64) {
    let requests = json!({"cpu": format!("{millis}m"), "memory": "16Mi"});
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "neighbour"},
        "spec": {
            "nodeSelector": {"type": "real"},
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "idle",
                "image": stage.scene.cluster.get("SERVICE_IMAGE"),
                "imagePullPolicy": "Never",
                "args": ["pause"],
                "resources": {"requests": requests},
            }],
        },
    });
    stage.scene.kubectl(&["create", "-f", "-"], Some(&pod));
    let phase = || async { stage.scene.object("pod", "neighbour")["status"]["phase"].clone() };
    await_that("the neighbour", 60, phase, |phase| phase == "Running").await;
}
