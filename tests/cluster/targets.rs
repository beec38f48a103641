//! What is scaled, whatever its kind, and what its rollouts mean: Deployments, stateful and replica sets, custom resources,
//! Argo Rollouts and Flagger's canaries, the last two with their real controllers; and a target that is made anew.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    specs::{self, with},
    support::{
        CONTAINER, Emulator, EmulatorOptions, Profile, Scene, WEB, Workload, argo_rollouts, await_some, await_that,
        flagger, grant, holds_for, template,
    },
};

/// Requests per second that two half-core pods carry with ease, and what needs six or more.
const CALM: f64 = 10.0;
const BUSY: f64 = 60.0;

const ROLLOUTS: &str = "rollouts.argoproj.io";

fn options(rate: f64) -> EmulatorOptions {
    EmulatorOptions { rate, ..EmulatorOptions::default() }
}

/// A policy that moves the count of an object of any kind.
fn on(scene: &Scene, api_version: &str, kind: &str, name: &str) -> Value {
    let target = json!({"apiVersion": api_version, "kind": kind, "name": name});
    with(specs::replicas_only(scene), json!({"targetRef": target}))
}

/// `spec.replicas` of an object of any kind.
fn count(scene: &Scene, kind: &str, name: &str) -> u64 {
    scene.object(kind, name)["spec"]["replicas"].as_u64().unwrap_or(1)
}

async fn grows(scene: &Scene, kind: &str, name: &str, least: u64) {
    await_that(&format!("{kind} {name} grown to {least}"), 90, async || count(scene, kind, name), |n| *n >= least)
        .await;
}

async fn says(scene: &Scene, policy: &str, condition: &str, words: &str) -> String {
    let what = format!("{condition} of {policy} saying {words:?}");
    // A burst of changes is written step by step, and then once in two minutes.
    await_that(&what, 180, || scene.condition(policy, condition), |c| c.contains(words)).await
}

/// A workload of this kind with pods that the emulator plays.
fn workload(scene: &Scene, api_version: &str, kind: &str, spec: Value) -> Value {
    let own = json!({"replicas": 2, "selector": {"matchLabels": {"app": WEB}}, "template": pods(scene)});
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": WEB}, "spec": with(own, spec)})
}

fn pods(scene: &Scene) -> Value {
    template(WEB, &scene.namespace, Workload::default())
}

/// The same pods with another template.
fn new_pods(scene: &Scene, version: &str) -> Value {
    let mut pods = pods(scene);
    pods["metadata"]["annotations"] = json!({"version": version});
    pods
}

async fn emulated(scene: &Scene) -> Emulator {
    let emulator = scene.emulate(2, &options(CALM)).await;
    scene.usage_known(2).await;
    emulator
}

#[tokio::test]
async fn stateful_sets_and_replica_sets_are_scaled_like_deployments() {
    for kind in ["StatefulSet", "ReplicaSet"] {
        let scene = Scene::new(&format!("kind-{}", kind.to_lowercase()), Profile::Auto).await;
        let spec = if kind == "StatefulSet" { json!({"serviceName": WEB}) } else { json!({}) };
        scene.apply("e2e", &workload(&scene, "apps/v1", kind, spec));
        let emulator = emulated(&scene).await;
        scene.policy(WEB, on(&scene, "apps/v1", kind, WEB)).await;
        let mut arbiter = scene.arbiter("one", &[]).await;
        arbiter.decided(&scene.namespace, WEB).await;
        emulator.load(json!({"rate": BUSY})).await;
        grows(&scene, kind, WEB, 6).await;
        assert_eq!(says(&scene, WEB, "InControl", "nobody else").await.split('/').next(), Some("True"));
    }
}

#[tokio::test]
async fn a_stateful_set_that_waits_for_its_pods_to_be_deleted_is_no_rollout() {
    let scene = Scene::new("on-delete", Profile::Auto).await;
    let spec = json!({"serviceName": WEB, "updateStrategy": {"type": "OnDelete"}});
    scene.apply("e2e", &workload(&scene, "apps/v1", "StatefulSet", spec.clone()));
    let _emulator = emulated(&scene).await;
    // Seen first with two templates: nothing in its history says that one of them is new.
    scene.apply(
        "e2e",
        &workload(&scene, "apps/v1", "StatefulSet", with(spec, json!({"template": new_pods(&scene, "2")}))),
    );
    await_that(
        "two revisions",
        30,
        async || scene.object("statefulset", WEB)["status"].clone(),
        |s| s["updateRevision"] != s["currentRevision"],
    )
    .await;
    scene.policy(WEB, on(&scene, "apps/v1", "StatefulSet", WEB)).await;
    let _arbiter = scene.arbiter("one", &[]).await;
    let ready = says(&scene, WEB, "Ready", "OnDelete").await;
    assert!(ready.contains("holds nothing up any more"), "{ready}");
    let status = scene.status(WEB).await;
    assert_ne!(status["decision"]["reason"], "RolloutInProgress", "{status}");
}

pub(crate) const GROUP: &str = "targets.e2e.arbiter.io";

/// A kind of our own with `/scale`, whose count is not called replicas.
pub(crate) fn definition() -> Value {
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": open, "status": open}}});
    let scale = json!({"specReplicasPath": ".spec.shape.size", "statusReplicasPath": ".status.size", "labelSelectorPath": ".status.selector"});
    let version = json!({"name": "v1", "served": true, "storage": true, "schema": schema, "subresources": {"status": {}, "scale": scale}});
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": format!("shops.{GROUP}")},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": {"kind": "Shop", "plural": "shops", "singular": "shop"}, "versions": [version]}})
}

/// Plays the operator of a Shop: its replica set, which it owns, has the size that the Shop asks for.
fn operate(scene: &Scene, uid: &str) {
    let size = scene.object("shops", WEB)["spec"]["shape"]["size"].clone();
    let mut set = workload(scene, "apps/v1", "ReplicaSet", json!({"replicas": size}));
    set["metadata"]["ownerReferences"] =
        json!([{"apiVersion": format!("{GROUP}/v1"), "kind": "Shop", "name": WEB, "uid": uid, "controller": true}]);
    scene.apply("shop-operator", &set);
    let status = json!({"status": {"size": size, "selector": format!("app={WEB}")}});
    scene.kubectl(&["patch", "shops", WEB, "--subresource=status", "--type=merge", "-p", &status.to_string()], None);
}

#[tokio::test]
async fn a_custom_resource_is_scaled_wherever_it_keeps_its_count() {
    let scene = Scene::new("custom", Profile::Auto).await;
    scene.apply("e2e", &definition());
    scene.cluster.established(&[&format!("shops.{GROUP}")]);
    let shop = json!({"apiVersion": format!("{GROUP}/v1"), "kind": "Shop", "metadata": {"name": WEB}, "spec": {"shape": {"size": 2}}});
    scene.apply("e2e", &shop);
    let uid = scene.object("shops", WEB)["metadata"]["uid"].as_str().expect("a uid").to_owned();
    operate(&scene, &uid);
    let emulator = emulated(&scene).await;
    scene.policy(WEB, on(&scene, &format!("{GROUP}/v1"), "Shop", WEB)).await;
    let _arbiter = scene.arbiter("one", &[]).await;

    // Without the right it is said which one is missing, and it is not asked for again and again.
    let ready = says(&scene, WEB, "Ready", "shops/scale").await;
    assert!(ready.starts_with("False/Forbidden") && ready.contains("grant the verb get"), "{ready}");
    tokio::time::sleep(Duration::from_secs(40)).await;
    let refused = scene.audit().into_iter().filter(|e| e.code == 403).count();
    assert!(refused <= 2, "{refused} refusals in less than a minute");

    grant(&scene, GROUP, "shops");
    let ready = says(&scene, WEB, "Ready", "is observed and decided for").await;
    assert!(!ready.contains("labels alone"), "its pods have a chain of owners: {ready}");
    emulator.load(json!({"rate": BUSY})).await;
    await_some("the Shop grown, and its pods with it", 90, || async {
        operate(&scene, &uid);
        let size = scene.object("shops", WEB)["spec"]["shape"]["size"].clone();
        if size.as_u64() >= Some(6) { Ok(()) } else { Err(size.to_string()) }
    })
    .await;
    // A foreign write to a count of another name is told from ours.
    let size = json!({"spec": {"shape": {"size": 3}}});
    scene.kubectl(&["patch", "shops", WEB, "--type=merge", "--field-manager=person", "-p", &size.to_string()], None);
    await_that(
        "growth restored",
        60,
        async || scene.object("shops", WEB)["spec"]["shape"]["size"].as_u64(),
        |n| *n >= Some(6),
    )
    .await;
}

/// Steps of the Rollout under test: the index after its last one.
const STEPS: u64 = 2;
/// What Argo's controller is given to act on a promotion.
const ROLLOUT_SYNC: Duration = Duration::from_secs(5);

/// Promotes past a pause as `kubectl argo rollouts promote` does: the pause goes, or, where it is gone already and the
/// rollout stands still all the same, the step. Seen soon after its count had grown: the pause gone and the rollout Paused, for
/// two minutes once and for five seconds, after which the step ended it, once. Why is not known.
async fn promote_if_paused(scene: &Scene, status: &Value) {
    if status["phase"] != "Paused" {
        return;
    }
    let next = if status["pauseConditions"].is_array() {
        json!({"pauseConditions": null})
    } else {
        json!({"currentStepIndex": STEPS})
    };
    let patch = json!({"status": next}).to_string();
    eprintln!("promotes by {patch}");
    scene.kubectl(&["patch", ROLLOUTS, WEB, "--subresource=status", "--type=merge", "-p", &patch], None);
    tokio::time::sleep(ROLLOUT_SYNC).await;
}

#[tokio::test]
async fn an_argo_rollout_keeps_its_count_and_sizes_during_its_steps_and_grows() {
    let scene = Scene::new("argo", Profile::Auto).await;
    let mut controller = argo_rollouts(&scene);
    grant(&scene, "argoproj.io", "rollouts");
    let steps = json!({"strategy": {"canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}}, "replicas": 6});
    let rollout = |pods: Value| {
        workload(&scene, "argoproj.io/v1alpha1", "Rollout", with(steps.clone(), json!({"template": pods})))
    };
    scene.apply("e2e", &rollout(pods(&scene)));
    let emulator = scene.emulate(6, &options(BUSY)).await;
    scene.usage_known(6).await;
    controller.check().expect("the controller of Argo Rollouts");
    let target = json!({"targetRef": {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": WEB}});
    scene.policy(WEB, with(specs::auto(&scene), target)).await;
    let mut arbiter = scene.arbiter("one", &[]).await;
    arbiter.decided(&scene.namespace, WEB).await;
    await_that("Healthy", 60, async || scene.object(ROLLOUTS, WEB)["status"].clone(), |s| s["phase"] == "Healthy")
        .await;

    let mut deploy = rollout(new_pods(&scene, "2"));
    // A deploy of today leaves the count to whoever owns it.
    deploy["spec"].as_object_mut().expect("a spec").remove("replicas");
    scene.kubectl(
        &[
            "patch",
            ROLLOUTS,
            WEB,
            "--type=merge",
            "-p",
            &json!({"spec": {"template": deploy["spec"]["template"]}}).to_string(),
        ],
        None,
    );
    await_that(
        "paused at its step",
        90,
        async || scene.object(ROLLOUTS, WEB)["status"].clone(),
        |s| s["phase"] == "Paused",
    )
    .await;
    // The pause may be told after the step.
    let paused = |ready: &String| {
        ready.contains("its Rollout is at step 2 of 2") && ready.contains("paused: no shrink and no resize")
    };
    await_that("the step and its pause told", 180, || scene.condition(WEB, "Ready"), paused).await;
    let members = async || {
        let both = scene.object(ROLLOUTS, WEB)["status"]["readyReplicas"].as_u64();
        (arbiter.replicas(&scene.namespace, WEB, "ready").await.map(u64::from), both)
    };
    await_that("canary and stable pods as members", 60, members, |(seen, both)| both.is_some() && seen == both).await;
    let status = scene.status(WEB).await;
    assert_eq!(status["templateHash"], scene.object(ROLLOUTS, WEB)["status"]["currentPodHash"], "{status}");

    // Little to do, for longer than the hold of 30 s: nothing leaves and nothing is resized.
    let (before, sizes) = (count(&scene, ROLLOUTS, WEB), scene.pod_cpus().await);
    emulator.load(json!({"rate": CALM})).await;
    holds_for(
        "count and sizes",
        60,
        async || (count(&scene, ROLLOUTS, WEB), scene.pod_cpus().await),
        |seen| seen.0 == before && seen.1.iter().all(|size| sizes.contains(size)),
    )
    .await;
    // Much to do: it grows in the middle of the step, stable and canary both.
    emulator.load(json!({"rate": 2.0 * BUSY})).await;
    grows(&scene, ROLLOUTS, WEB, before + 4).await;
    let control = scene.condition(WEB, "InControl").await;
    assert!(control.starts_with("True"), "{control}");

    // Promoted: pods are of one template, and the count is still the one that was decided.
    await_that(
        "Healthy",
        120,
        async || {
            let status = scene.object(ROLLOUTS, WEB)["status"].clone();
            promote_if_paused(&scene, &status).await;
            status
        },
        |s| s["phase"] == "Healthy",
    )
    .await;
    assert!(count(&scene, ROLLOUTS, WEB) >= before + 4);
    await_that("the step forgotten", 180, || scene.condition(WEB, "Ready"), |c| !c.contains("its Rollout")).await;
}

#[tokio::test]
async fn a_rollout_by_reference_has_the_template_of_the_deployment_that_it_stands_for() {
    let scene = Scene::new("argo-ref", Profile::Auto).await;
    let mut controller = argo_rollouts(&scene);
    grant(&scene, "argoproj.io", "rollouts");
    scene.apply("e2e", &workload(&scene, "apps/v1", "Deployment", json!({})));
    let reference = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": WEB, "scaleDown": "onsuccess"});
    let spec = json!({"replicas": 2, "workloadRef": reference, "selector": {"matchLabels": {"app": WEB}}, "strategy": {"canary": {}}});
    scene.apply(
        "e2e",
        &json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": WEB}, "spec": spec}),
    );
    await_that("the Deployment at zero", 120, || scene.replicas(), |n| *n == 0).await;
    controller.check().expect("the controller of Argo Rollouts");
    let emulator = emulated(&scene).await;
    scene.policy(WEB, on(&scene, "argoproj.io/v1alpha1", "Rollout", WEB)).await;
    scene.policy("old", on(&scene, "apps/v1", "Deployment", WEB)).await;
    let _arbiter = scene.arbiter("one", &[]).await;

    let status = await_that("sizes", 90, || scene.status(WEB), |s| s["containers"][0]["name"] == CONTAINER).await;
    assert_eq!(status["containers"][0]["desired"]["requests"]["cpu"], "500m", "{status}");
    let old = says(&scene, "old", "Ready", "point spec.targetRef at that Rollout").await;
    assert!(old.contains("Argo Rollouts has scaled it to zero"), "{old}");
    emulator.load(json!({"rate": BUSY})).await;
    grows(&scene, ROLLOUTS, WEB, 6).await;
    assert_eq!(scene.replicas().await, 0, "the Deployment is the Rollout's");
}

#[tokio::test]
async fn flaggers_primary_is_what_is_scaled_and_its_canary_is_left_alone() {
    let scene = Scene::new("flagger", Profile::Auto).await;
    let mut controller = flagger(&scene);
    let source = |pods: Value| workload(&scene, "apps/v1", "Deployment", json!({"template": pods, "replicas": 4}));
    scene.apply("e2e", &source(pods(&scene)));
    let emulator = scene.emulate(4, &options(BUSY / 2.0)).await;
    scene.usage_known(4).await;
    scene.policy("source", on(&scene, "apps/v1", "Deployment", WEB)).await;
    scene.policy("primary", on(&scene, "apps/v1", "Deployment", "web-primary")).await;
    let _arbiter = scene.arbiter("one", &[]).await;
    says(&scene, "source", "Ready", "is observed and decided for").await;

    // The Canary comes: Flagger makes the primary and scales the source to zero, and the policy on the source says so.
    let analysis = json!({"interval": "10s", "threshold": 5, "iterations": 9});
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": WEB});
    let spec = json!({"provider": "kubernetes", "targetRef": target, "service": {"port": 80}, "analysis": analysis});
    scene.apply(
        "e2e",
        &json!({"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "metadata": {"name": "shop"}, "spec": spec}),
    );
    let phase = async || scene.object("canaries", "shop")["status"]["phase"].as_str().unwrap_or_default().to_owned();
    await_that("the Canary initialized", 120, phase, |p| p == "Initialized").await;
    controller.check().expect("Flagger");
    let refused = says(&scene, "source", "Ready", "False/CanarySource").await;
    assert!(
        refused.contains("Canary shop") && refused.contains("point spec.targetRef at Deployment web-primary"),
        "{refused}"
    );
    holds_for("the source at zero", 20, || scene.replicas(), |n| *n == 0).await;
    let primary = says(&scene, "primary", "Ready", "is observed and decided for").await;
    assert!(primary.starts_with("True"), "{primary}");

    // A new version: Flagger scales the source up for its analysis; meanwhile the primary does not shrink, and grows.
    let patch = json!({"spec": {"template": new_pods(&scene, "2")}});
    scene.kubectl(&["patch", "deployment", WEB, "--type=merge", "-p", &patch.to_string()], None);
    await_that("the analysis", 90, phase, |p| p == "Progressing").await;
    let ready = says(&scene, "primary", "Ready", "Canary shop has a new version under analysis").await;
    assert!(ready.contains("no shrink and no resize"), "{ready}");
    let before = scene.replicas_of("web-primary").await;
    emulator.load(json!({"rate": 2.0 * BUSY})).await;
    grows(&scene, "deployment", "web-primary", u64::from(before) + 3).await;
    let grown = scene.replicas_of("web-primary").await;

    // Promoted: Flagger writes template and count of the primary at once. That is a deploy, not a rival, and what it took
    // away is grown back.
    await_that("promoted", 180, phase, |p| p == "Succeeded").await;
    await_that("the growth restored", 60, || scene.replicas_of("web-primary"), |n| *n >= grown.min(before + 3)).await;
    await_that("the source at zero", 60, || scene.replicas(), |n| *n == 0).await;
    let control = scene.condition("primary", "InControl").await;
    assert!(control.starts_with("True"), "{control}");
    let source: Vec<_> = scene
        .audit()
        .into_iter()
        .filter(|e| e.writes() && e.name == WEB && e.resource == "deployments/scale")
        .collect();
    assert!(source.len() <= 2, "it fought for the source: {source:?}");
}

#[tokio::test]
async fn a_rollout_that_is_stuck_is_said_to_hold_nothing_up() {
    let scene = Scene::new("stuck", Profile::Auto).await;
    let surge = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 2, "maxUnavailable": 0}});
    let spec = json!({"progressDeadlineSeconds": 15, "strategy": surge});
    scene.apply("e2e", &workload(&scene, "apps/v1", "Deployment", spec.clone()));
    let emulator = emulated(&scene).await;
    scene.policy(WEB, specs::auto(&scene)).await;
    let mut arbiter = scene.arbiter("one", &[]).await;
    arbiter.decided(&scene.namespace, WEB).await;
    let (settled, sizes) = scene.settled(20).await;

    let mut broken = new_pods(&scene, "2");
    broken["metadata"]["annotations"]["sim/ready-delay"] = "1h".into();
    let patch = json!({"spec": {"template": broken}});
    scene.kubectl(&["patch", "deployment", WEB, "--type=merge", "-p", &patch.to_string()], None);
    let reason = |s: &Value| s["decision"]["reason"] == "RolloutInProgress";
    await_that("the rollout in the decision", 180, || scene.status(WEB), reason).await;
    // Pods of the surge are no capacity, and their coming is no reason to move anything.
    assert_eq!(scene.replicas().await, settled);
    let still =
        says(&scene, WEB, "Ready", "its rollout stands still (no progress for 15 s, ProgressDeadlineExceeded)").await;
    assert!(still.contains("holds nothing up any more"), "{still}");
    let status = scene.status(WEB).await;
    let told = status["decision"]["message"].as_str().unwrap_or_default();
    assert!(
        told.contains("no shrink and no resize until") && told.contains("UTC"),
        "an end of the hold is said: {status}"
    );
    assert!(scene.pod_cpus().await.iter().all(|size| sizes.contains(size) || size == "500m"));
    emulator.load(json!({"rate": BUSY})).await;
    await_that("growth all the same", 60, || scene.replicas(), |n| *n > settled + 2).await;
}

#[tokio::test]
async fn a_deploy_that_recreates_all_pods_takes_nothing_away() {
    let scene = Scene::new("recreate", Profile::Auto).await;
    let spec = json!({"replicas": 6, "strategy": {"type": "Recreate"}});
    scene.apply("e2e", &workload(&scene, "apps/v1", "Deployment", spec));
    let _emulator = scene.emulate(6, &options(BUSY)).await;
    scene.usage_known(6).await;
    scene.policy(WEB, specs::replicas_only(&scene)).await;
    let mut arbiter = scene.arbiter("one", &[]).await;
    arbiter.decided(&scene.namespace, WEB).await;
    scene.settled(20).await;
    let history = scene.history().await;
    let mut slow = new_pods(&scene, "2");
    slow["metadata"]["annotations"]["sim/ready-delay"] = "8s".into();
    let patch = json!({"spec": {"template": slow}});
    scene.kubectl(&["patch", "deployment", WEB, "--type=merge", "-p", &patch.to_string()], None);
    let ready = async || arbiter.replicas(&scene.namespace, WEB, "ready").await;
    await_that("no pod seen", 30, ready, |n| *n == Some(0)).await;
    await_that("pods again", 60, ready, |n| *n >= Some(6)).await;
    holds_for("nothing leaves", 45, async || history.fell(), |fell| !fell).await;
}

#[tokio::test]
async fn a_target_that_is_made_anew_never_gets_the_old_count() {
    let scene = Scene::new("anew", Profile::Auto).await;
    let old = Workload { replicas: 8, ..Workload::default() };
    let _emulator = scene.workload(old, &options(CALM)).await;
    scene.usage_known(8).await;
    // Held for ten minutes: what was decided for the old object would be written to the new one at once.
    let spec = with(specs::auto(&scene), json!({"behavior": {"scaleDown": {"stabilizationWindowSeconds": 600}}}));
    scene.policy(WEB, spec).await;
    let mut arbiter = scene.arbiter("one", &[]).await;
    arbiter.decided(&scene.namespace, WEB).await;
    holds_for("eight held", 20, || scene.replicas(), |n| *n == 8).await;

    scene.kubectl(&["delete", "deployment", WEB, "--wait=true"], None);
    says(&scene, WEB, "Ready", "False/TargetNotFound").await;
    scene.deployment(WEB, Workload::default()).await;
    let history = scene.history().await;
    says(&scene, WEB, "Ready", "is observed and decided for").await;
    holds_for("the new object's own count", 60, async || history.counts(), |counts| counts.iter().all(|n| *n <= 4))
        .await;
    let control = scene.condition(WEB, "InControl").await;
    assert!(control.starts_with("True"), "{control}; {}", arbiter.last_words());
}
