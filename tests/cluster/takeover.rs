//! Taking a workload over from an HPA and giving it back, on a real API server with its real HPA controller.

use std::process::{Command, Output};

use kube::{
    Api,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::{
    specs::{self, with},
    support::{Profile, Scene, WEB, Workload, await_some, await_that, holds_for},
};

const DISPLACED: &str = "autoscaling.arbiter.io/displaced";

fn hpas(scene: &Scene) -> Api<DynamicObject> {
    scene.objects("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
}

/// An HPA on the workload, with bounds and a behavior of its own.
fn hpa(name: &str) -> Value {
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "annotations": {"team": "shop"}, "labels": {"app": WEB}},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": WEB},
            "minReplicas": 2, "maxReplicas": 6,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 120}},
        },
    })
}

async fn create(scene: &Scene, object: Value) -> Value {
    let object: DynamicObject = serde_json::from_value(object).expect("an object");
    let made = hpas(scene).create(&PostParams::default(), &object).await.expect("creating an HPA");
    serde_json::to_value(made).expect("JSON")
}

async fn read(scene: &Scene, name: &str) -> Value {
    serde_json::to_value(hpas(scene).get(name).await.expect("the HPA")).expect("JSON")
}

/// The object without what the server sets.
fn essence(object: &Value) -> Value {
    let mut object = object.clone();
    for field in ["managedFields", "resourceVersion", "generation"] {
        object["metadata"].as_object_mut().expect("metadata").remove(field);
    }
    object.as_object_mut().expect("an object").remove("status");
    object
}

fn stood_down(object: &Value) -> bool {
    let spec = &object["spec"];
    spec["minReplicas"] == 1
        && spec["maxReplicas"] == i32::MAX
        && spec["behavior"]["scaleUp"]["selectPolicy"] == "Disabled"
        && spec["behavior"]["scaleDown"]["selectPolicy"] == "Disabled"
        && object["metadata"]["annotations"][DISPLACED].is_string()
}

async fn control(scene: &Scene, wanted: &str) -> String {
    await_that("InControl", 90, || scene.condition(WEB, "InControl"), |c| c.starts_with(wanted)).await
}

/// A workload of three pods under an HPA, taken over.
async fn owned(name: &str) -> (Scene, Value, crate::support::Arbiter) {
    let scene = Scene::new(name, Profile::Auto).await;
    scene.deployment(WEB, Workload { replicas: 3, emulated: false, ..Workload::default() }).await;
    let original = create(&scene, hpa(WEB)).await;
    scene.policy(WEB, specs::replicas_only(&scene)).await;
    let arbiter = scene.arbiter("one", &[]).await;
    control(&scene, "True/InControl").await;
    assert!(stood_down(&read(&scene, WEB).await), "{}", read(&scene, WEB).await);
    (scene, original, arbiter)
}

async fn given_back(scene: &Scene, original: &Value) {
    await_some("the HPA as it was", 60, || async {
        let now = essence(&read(scene, WEB).await);
        if now == essence(original) { Ok(()) } else { Err(now.to_string()) }
    })
    .await;
}

async fn finalizers(scene: &Scene) -> Vec<String> {
    scene.policies().get(WEB).await.expect("the policy").metadata.finalizers.unwrap_or_default()
}

#[tokio::test]
async fn an_hpa_is_stood_down_and_given_back_as_it_was() {
    let (scene, original, _arbiter) = owned("takeover").await;
    let status = scene.status(WEB).await;
    assert_eq!(status["displaced"], json!([{"kind": "HorizontalPodAutoscaler", "name": WEB}]), "{status}");
    assert_eq!(finalizers(&scene).await, ["autoscaling.arbiter.io/release"]);
    // What is stood down corrects nothing: a count that the HPA would have pulled inside its bounds.
    scene.set_replicas(8).await;
    holds_for("nobody corrects the count", 20, || scene.replicas(), |count| *count == 8).await;

    let history = scene.history().await;
    scene.policy(WEB, with(specs::replicas_only(&scene), json!({"mode": "Recommend"}))).await;
    given_back(&scene, &original).await;
    let condition = control(&scene, "Unknown/RecommendOnly").await;
    assert!(condition.contains("Auto would stand down HorizontalPodAutoscaler web"), "{condition}");
    await_that("no finalizer", 30, || finalizers(&scene), Vec::is_empty).await;
    // The count was brought inside the bounds before the HPA could; what follows is the HPA's.
    assert_eq!(history.counts().get(..2), Some(&[8, 6][..]), "{:?}", history.counts());
}

#[tokio::test]
async fn a_deleted_policy_gives_back_before_it_goes() {
    let (scene, original, _arbiter) = owned("takeover-delete").await;
    scene.policies().delete(WEB, &DeleteParams::default()).await.expect("deleting the policy");
    given_back(&scene, &original).await;
    await_some("the policy gone", 60, || async {
        match scene.policies().get_opt(WEB).await {
            Ok(None) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

#[tokio::test]
async fn paused_keeps_the_hpa_down_and_writes_nothing() {
    let (scene, _original, _arbiter) = owned("takeover-paused").await;
    scene.policy(WEB, with(specs::replicas_only(&scene), json!({"mode": "Paused"}))).await;
    control(&scene, "Unknown/Paused").await;
    let before = read(&scene, WEB).await;
    assert!(stood_down(&before));
    holds_for("stays stood down", 20, || read(&scene, WEB), stood_down).await;
}

async fn release(scene: &Scene, kubeconfig: &std::path::Path, extra: &[String]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_arbiter"));
    command.env("KUBECONFIG", kubeconfig).arg("release").arg(format!("--namespace={}", scene.namespace));
    command.arg(format!("--lease-name={}", scene.namespace)).args(extra);
    let ended = tokio::task::spawn_blocking(move || command.output());
    ended.await.expect("a thread").expect("arbiter release")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn release_gives_back_when_the_controller_is_gone_and_refuses_while_it_runs() {
    let (scene, original, mut arbiter) = owned("takeover-release").await;
    let admin = scene.cluster.admin_kubeconfig();
    let refused = release(&scene, &admin, &[]).await;
    assert_eq!(refused.status.code(), Some(3), "{}", said(&refused));
    assert!(said(&refused).contains("one keeps renewing lease"), "{}", said(&refused));
    assert!(stood_down(&read(&scene, WEB).await));

    arbiter.kill();
    // The rights of the chart's own ServiceAccount are enough: the hook before an uninstall runs under it, and stops the
    // controller's Deployment first.
    let own = scene.kubeconfig().to_owned();
    let controller = format!("stopped-by-{}", scene.namespace);
    let in_its_namespace = |args: &[&str]| {
        let namespace = ["--namespace", Profile::Auto.namespace()];
        scene.cluster.kubectl(&[&namespace[..], args].concat(), None)
    };
    in_its_namespace(&["create", "deployment", &controller, "--image=emulated", "--replicas=1"]);
    let released = release(&scene, &own, &[format!("--stop={controller}")]).await;
    let replicas = in_its_namespace(&["get", "deployment", &controller, "-o", "jsonpath={.spec.replicas}"]);
    in_its_namespace(&["delete", "deployment", &controller, "--wait=false"]);
    assert_eq!(replicas, "0", "the controller's Deployment was not stopped");
    assert_eq!(released.status.code(), Some(0), "{}", said(&released));
    assert!(said(&released).contains("HorizontalPodAutoscaler web: given back as it was"), "{}", said(&released));
    assert_eq!(essence(&read(&scene, WEB).await), essence(&original));
    assert!(finalizers(&scene).await.is_empty());
    let again = release(&scene, &own, &[]).await;
    assert_eq!(again.status.code(), Some(0), "{}", said(&again));
    assert!(said(&again).contains("0 given back, 1 had nothing displaced"), "{}", said(&again));
}

async fn edit(scene: &Scene, patch: Value) {
    hpas(scene).patch(WEB, &PatchParams::default(), &Patch::Merge(patch)).await.expect("editing the HPA");
}

#[tokio::test]
async fn an_edit_by_hand_is_reported_and_kept() {
    let (scene, original, _arbiter) = owned("takeover-edited").await;
    edit(&scene, json!({"spec": {"maxReplicas": 9}})).await;
    let condition = control(&scene, "False/RivalEdited").await;
    assert!(condition.contains("spec.maxReplicas"), "{condition}");
    holds_for("the edit stays", 20, || read(&scene, WEB), |hpa| hpa["spec"]["maxReplicas"] == 9).await;
    scene.policy(WEB, with(specs::replicas_only(&scene), json!({"mode": "Recommend"}))).await;
    let mut with_edit = original.clone();
    with_edit["spec"]["maxReplicas"] = 9.into();
    given_back(&scene, &with_edit).await;
}

#[tokio::test]
async fn a_corrupted_annotation_is_never_written_back() {
    let (scene, _original, _arbiter) = owned("takeover-corrupt").await;
    let text = read(&scene, WEB).await["metadata"]["annotations"][DISPLACED].as_str().expect("ours").to_owned();
    let wrong = text.replace("\"maxReplicas\":6", "\"maxReplicas\":600");
    assert_ne!(text, wrong, "{text}");
    edit(&scene, json!({"metadata": {"annotations": {DISPLACED: wrong}}})).await;
    let condition = control(&scene, "False/AnnotationUnreadable").await;
    assert!(condition.contains("put HorizontalPodAutoscaler web right by hand"), "{condition}");
    scene.policy(WEB, with(specs::replicas_only(&scene), json!({"mode": "Recommend"}))).await;
    holds_for("no wrong original", 20, || read(&scene, WEB), |hpa| hpa["spec"]["maxReplicas"] == i32::MAX).await;
    // The person puts it right and removes the annotation: the policy is free.
    edit(&scene, json!({"spec": {"maxReplicas": 6}, "metadata": {"annotations": {DISPLACED: null}}})).await;
    await_that("no finalizer", 60, || finalizers(&scene), Vec::is_empty).await;
}

#[tokio::test]
async fn a_rival_that_appears_later_ends_our_writing_and_is_named() {
    let (scene, _original, _arbiter) = owned("takeover-later").await;
    create(&scene, hpa("newcomer")).await;
    let condition = control(&scene, "False/SeveralRivals").await;
    assert!(condition.contains("newcomer"), "{condition}");
    assert!(stood_down(&read(&scene, WEB).await), "what is displaced stays so");
    let newcomer = read(&scene, "newcomer").await;
    assert_eq!(newcomer["spec"]["maxReplicas"], 6, "{newcomer}");
    hpas(&scene).delete("newcomer", &DeleteParams::default()).await.expect("deleting the newcomer");
    control(&scene, "True/InControl").await;
}

/// The workload under Auto with these HPAs: what is said, and nothing is changed.
async fn refused(name: &str, objects: Vec<Value>, reason: &str) -> (Scene, String, crate::support::Arbiter) {
    let scene = Scene::new(name, Profile::Auto).await;
    scene.deployment(WEB, Workload { replicas: 3, emulated: false, ..Workload::default() }).await;
    let mut originals = Vec::new();
    for object in objects {
        originals.push(create(&scene, object).await);
    }
    scene.policy(WEB, specs::replicas_only(&scene)).await;
    let arbiter = scene.arbiter("one", &[]).await;
    let condition = control(&scene, &format!("False/{reason}")).await;
    for original in &originals {
        let name = original["metadata"]["name"].as_str().expect("a name");
        assert_eq!(essence(&read(&scene, name).await), essence(original), "changed although refused");
    }
    assert!(finalizers(&scene).await.is_empty(), "a finalizer although nothing is displaced");
    (scene, condition, arbiter)
}

#[tokio::test]
async fn two_hpas_an_owned_one_and_one_in_git_are_left_alone() {
    let several = refused("takeover-two", vec![hpa(WEB), hpa("other")], "SeveralRivals");
    let mut owned = hpa(WEB);
    owned["metadata"]["ownerReferences"] = json!([{"apiVersion": "example.org/v1", "kind": "App", "name": "shop", "uid": "6d1b7a1e-0000-4000-8000-000000000000", "controller": true}]);
    let owned = refused("takeover-owned", vec![owned], "RivalOwned");
    let mut in_git = hpa(WEB);
    in_git["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"] =
        "shop:autoscaling/HorizontalPodAutoscaler:shop/web".into();
    let in_git = refused("takeover-git", vec![in_git], "RivalInGit");
    let (several, owned, (git, condition, _arbiter)) = tokio::join!(several, owned, in_git);
    assert!(several.1.contains("other"), "{}", several.1);
    assert!(owned.1.contains("App shop"), "{}", owned.1);
    assert!(condition.contains("Argo CD") && condition.contains("takeover: Force"), "{condition}");
    git.policy(WEB, with(specs::replicas_only(&git), json!({"takeover": "Force"}))).await;
    control(&git, "True/InControl").await;
    assert!(stood_down(&read(&git, WEB).await));
}

#[tokio::test]
async fn a_missing_right_is_named_and_nothing_is_displaced() {
    let scene = Scene::new("takeover-right", Profile::Observe).await;
    scene.deployment(WEB, Workload { replicas: 3, emulated: false, ..Workload::default() }).await;
    let original = create(&scene, hpa(WEB)).await;
    scene.policy(WEB, specs::replicas_only(&scene)).await;
    let _arbiter = scene.arbiter("one", &[]).await;
    let condition = control(&scene, "False/Forbidden").await;
    assert!(condition.contains("grant the verb patch on scalingpolicies"), "{condition}");
    assert!(scene.condition(WEB, "Ready").await.starts_with("True"), "the rest goes on");
    assert_eq!(essence(&read(&scene, WEB).await), essence(&original));
}

#[tokio::test]
async fn a_namespace_that_goes_away_is_not_held_up() {
    let (scene, _original, _arbiter) = owned("takeover-namespace").await;
    let api: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(scene.admin.clone());
    api.delete(&scene.namespace, &DeleteParams::default()).await.expect("deleting the namespace");
    await_some("the namespace gone", 90, || async {
        match api.get_opt(&scene.namespace).await {
            Ok(None) => Ok(()),
            other => Err(format!("{:?}", other.map(|ns| ns.map(|ns| ns.status)))),
        }
    })
    .await;
}

#[tokio::test]
async fn what_a_vanished_policy_left_is_given_back() {
    let (scene, original, arbiter) = owned("takeover-orphan").await;
    // Its controller is away while somebody tears the finalizer off and deletes it.
    drop(arbiter);
    let none = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    scene.policies().patch(WEB, &PatchParams::default(), &none).await.expect("tearing the finalizer off");
    scene.policies().delete(WEB, &DeleteParams::default()).await.expect("deleting the policy");
    assert!(stood_down(&read(&scene, WEB).await));
    let _arbiter = scene.arbiter("two", &[]).await;
    given_back(&scene, &original).await;
}

#[tokio::test]
async fn a_target_that_is_gone_or_made_anew_holds_nothing_up() {
    let (scene, original, _arbiter) = owned("takeover-target").await;
    scene.delete_deployment(WEB).await;
    let condition = await_that("no target", 60, || scene.condition(WEB, "Ready"), |c| c.starts_with("False")).await;
    assert!(condition.contains("TargetNotFound"), "{condition}");
    assert!(stood_down(&read(&scene, WEB).await), "the takeover of the name stands");
    scene.deployment(WEB, Workload { replicas: 3, emulated: false, ..Workload::default() }).await;
    control(&scene, "True/InControl").await;
    scene.delete_deployment(WEB).await;
    scene.policies().delete(WEB, &DeleteParams::default()).await.expect("deleting the policy");
    given_back(&scene, &original).await;
}

#[tokio::test]
async fn two_policies_that_swap_targets_give_back_before_they_take() {
    let scene = Scene::new("takeover-swap", Profile::Auto).await;
    for name in ["a", "b"] {
        scene.deployment(name, Workload { replicas: 3, emulated: false, ..Workload::default() }).await;
        let mut hpa = hpa(name);
        hpa["spec"]["scaleTargetRef"]["name"] = name.into();
        create(&scene, hpa).await;
    }
    let on = |name: &str| {
        let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": name});
        with(specs::replicas_only(&scene), json!({"targetRef": target, "signals": []}))
    };
    scene.policy("first", on("a")).await;
    scene.policy("second", on("b")).await;
    let _arbiter = scene.arbiter("one", &[]).await;
    let displaced = |policy: &'static str, hpa: &'static str| {
        let scene = &scene;
        await_that(
            "what is displaced",
            90,
            move || scene.status(policy),
            move |status| status["displaced"] == json!([{"kind": "HorizontalPodAutoscaler", "name": hpa}]),
        )
    };
    displaced("first", "a").await;
    displaced("second", "b").await;
    scene.policy("first", on("b")).await;
    scene.policy("second", on("a")).await;
    displaced("first", "b").await;
    displaced("second", "a").await;
    for (policy, name) in [("first", "b"), ("second", "a")] {
        let text =
            read(&scene, name).await["metadata"]["annotations"][DISPLACED].as_str().unwrap_or_default().to_owned();
        assert!(text.contains(&format!("\"policy\":\"{policy}\"")), "{name}: {text}");
    }
}
