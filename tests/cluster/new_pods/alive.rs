//! The same with arbiter running: what it writes into the table, when it takes it back, and what new pods get without the
//! policy.

use std::{collections::BTreeMap, time::Duration};

use arbiter::api::{PodSize, PodSizesSpec, SIZED_BY, SizedKind, SizedWorkload};
use serde_json::{Value, json};

use super::play::Sizing;
use crate::support::{CONTAINER, Lab, Profile, Scene, WEB, Workload, await_that, holds_for};

const SIZES: &str = "autoscaling.arbiter.io/v1alpha1";
type Rows = BTreeMap<SizedWorkload, PodSize>;

const START: Workload = Workload { replicas: 2, cpu: "100m", memory: "128Mi", emulated: false, start: "" };

/// A policy that wants larger pods, whatever they use.
fn larger(mode: &str) -> Value {
    json!({
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": WEB},
        "mode": mode,
        "levers": ["Cpu", "Memory"],
        "containers": [{"name": CONTAINER, "cpu": {"min": "300m"}, "memory": {"min": "256Mi"}}],
    })
}

/// A scene in whose namespace new pods are sized.
async fn scene(name: &str) -> (Scene, Sizing, Lab) {
    let scene = Scene::new(name, Profile::Auto).await;
    let lab = Lab::of(&scene.namespace, name).await;
    let sizing = Sizing::install(name).await;
    (scene, sizing, lab)
}

async fn pods(lab: &Lab) -> Vec<Value> {
    let list = lab.get(&format!("{}?labelSelector=app%3D{WEB}", lab.path("v1", "pods"))).await.object("pods");
    let alive = list["items"].as_array().cloned().unwrap_or_default().into_iter();
    alive.filter(|p| p["metadata"]["deletionTimestamp"].is_null()).collect()
}

/// `cpu memory annotation` of each pod, sorted.
async fn sizes(lab: &Lab) -> Vec<String> {
    let size = |p: &Value| {
        let requests = &p["spec"]["containers"][0]["resources"]["requests"];
        let by = p["metadata"]["annotations"][SIZED_BY].as_str().and_then(|by| by.split(' ').next()).unwrap_or("-");
        format!("{} {} {by}", requests["cpu"].as_str().unwrap_or("-"), requests["memory"].as_str().unwrap_or("-"))
    };
    let mut all: Vec<String> = pods(lab).await.iter().map(size).collect();
    all.sort();
    all
}

/// Rows of the table; none: there is no table.
async fn rows(lab: &Lab) -> Option<Rows> {
    let answer = lab.get(&lab.path(SIZES, "podsizes/arbiter")).await;
    let read = |spec: &Value| serde_json::from_value::<PodSizesSpec>(spec.clone()).expect("a table");
    answer.ok().then(|| read(&answer.body["spec"]).rows())
}

fn of(name: &str) -> SizedWorkload {
    (SizedKind::Deployment, name.to_owned())
}

async fn row_written(lab: &Lab) -> PodSize {
    let has = |rows: &Option<Rows>| rows.as_ref().is_some_and(|r| r.contains_key(&of(WEB)));
    await_that("a row", 60, || rows(lab), has).await.unwrap_or_default()[&of(WEB)].clone()
}

async fn table_gone(lab: &Lab) {
    await_that("no table", 60, || rows(lab), Option::is_none).await;
}

#[tokio::test]
async fn new_pods_begin_at_the_decided_size_as_long_as_the_policy_is_in_auto() {
    let (scene, sizing, lab) = scene("born").await;
    scene.deployment(WEB, START).await;
    scene.policy(WEB, larger("Recommend")).await;
    let mut arbiter = scene.arbiter("one", &[]).await;
    arbiter.decided(&scene.namespace, WEB).await;
    holds_for("no table in mode Recommend", 5, || rows(&lab), Option::is_none).await;

    scene.policy(WEB, larger("Auto")).await;
    let row = row_written(&lab).await;
    assert!(row.line(WEB).ends_with(&format!(" m {CONTAINER}=300m,,256Mi,")), "{}", row.line(WEB));
    assert_eq!((row.policy.as_str(), row.generation), (WEB, 2));
    // Those that run are resized in place and carry no mark.
    await_that("running pods resized", 60, || sizes(&lab), |s| *s == ["300m 256Mi -"; 2]).await;
    sizing.settled().await;
    let resizes = || scene.audit().iter().filter(|e| e.resource == "pods/resize").count();
    let before = resizes();
    scene.set_replicas(4).await;
    let born = format!("300m 256Mi {WEB}@2");
    await_that("four pods", 60, || sizes(&lab), |s| s.len() == 4).await;
    assert_eq!(sizes(&lab).await, ["300m 256Mi -", "300m 256Mi -", &born, &born]);
    holds_for("no resize of pods that were born right", 5, || async { resizes() }, |n| *n == before).await;

    // A change of mode takes the size back, and so does the end of the policy.
    scene.policy(WEB, larger("Recommend")).await;
    table_gone(&lab).await;
    sizing.settled().await;
    scene.set_replicas(5).await;
    await_that("five pods", 60, || sizes(&lab), |s| s.len() == 5).await;
    assert_eq!(sizes(&lab).await[0], "100m 128Mi -");
    scene.policy(WEB, larger("Auto")).await;
    row_written(&lab).await;
    lab.send("DELETE", &lab.path(SIZES, &format!("scalingpolicies/{WEB}")), &Value::Null)
        .await
        .object("deleting the policy");
    table_gone(&lab).await;
    sizing.settled().await;
    scene.set_replicas(7).await;
    await_that("seven pods", 60, || sizes(&lab), |s| s.len() == 7).await;
    assert_eq!(sizes(&lab).await[0], "100m 128Mi -", "the template's own");
}

#[tokio::test]
async fn a_new_leader_takes_over_the_table_and_clears_what_nobody_owns() {
    let (scene, _sizing, lab) = scene("heir").await;
    scene.deployment(WEB, START).await;
    let stale = PodSize { policy: "gone".into(), generation: 1, template_hash: "h".into(), ..PodSize::default() };
    lab.table(&BTreeMap::from([(of("other"), stale)])).await;
    scene.policy(WEB, larger("Auto")).await;
    let mut arbiter = scene.arbiter("one", &[]).await;
    arbiter.decided(&scene.namespace, WEB).await;
    row_written(&lab).await;
    let cleared = |rows: &Option<Rows>| rows.as_ref().is_some_and(|r| !r.contains_key(&of("other")));
    await_that("the stale row gone", 30, || rows(&lab), cleared).await;

    // Killed: its rows hold. Meanwhile the mode changes; the heir takes them back.
    arbiter.kill();
    scene.policy(WEB, larger("Recommend")).await;
    assert!(rows(&lab).await.is_some());
    let _heir = scene.arbiter("two", &[]).await;
    table_gone(&lab).await;
}

/// A policy of somebody else's that looks at sizes: what arbiter cannot know beforehand.
async fn somebody_refuses(lab: &Lab) -> crate::support::ClusterWide {
    let name = format!("refuses-{}", lab.namespace);
    let large = "object.spec.containers.all(c, !has(c.resources.requests) || !('cpu' in c.resources.requests) || \
                 !quantity(c.resources.requests['cpu']).isGreaterThan(quantity('200m')))";
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": lab.namespace}},
                "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
            },
            "validations": [{"expression": large, "message": "no pod may ask for more than 200m cpu"}],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    });
    crate::support::ClusterWide::apply(&[policy, binding]).await
}

#[tokio::test]
async fn a_size_with_which_pods_are_refused_goes_at_once() {
    let (scene, sizing, lab) = scene("refused").await;
    scene.deployment(WEB, START).await;
    let _refuses = somebody_refuses(&lab).await;
    scene.policy(WEB, larger("Auto")).await;
    let mut arbiter = scene.arbiter("one", &[]).await;
    arbiter.decided(&scene.namespace, WEB).await;
    row_written(&lab).await;
    sizing.settled().await;
    let started = tokio::time::Instant::now();
    scene.set_replicas(4).await;
    table_gone(&lab).await;
    eprintln!("the row was gone {:.1} s after the scale-up", started.elapsed().as_secs_f64());
    await_that("four pods", 60, || sizes(&lab), |s| s.len() == 4).await;
    eprintln!("all pods were there after {:.1} s", started.elapsed().as_secs_f64());
    assert!(started.elapsed() < Duration::from_secs(30));
    let said = "pods of this one could not be created";
    let limited = || scene.condition(WEB, "Limited");
    let limited = await_that("the reason", 60, limited, |c| c.contains(said)).await;
    assert!(limited.starts_with("True/") && limited.contains("no pod may ask for more than 200m cpu"), "{limited}");
}

#[tokio::test]
async fn where_nothing_sizes_new_pods_they_are_resized_at_once_unscheduled_ones_too() {
    // No policy is installed for this namespace.
    let scene = Scene::new("unsized", Profile::Auto).await;
    let lab = Lab::of(&scene.namespace, "unsized").await;
    scene.deployment(WEB, START).await;
    scene.policy(WEB, larger("Auto")).await;
    let mut arbiter = scene.arbiter("one", &[]).await;
    arbiter.decided(&scene.namespace, WEB).await;
    await_that("running pods resized", 60, || sizes(&lab), |s| *s == ["300m 256Mi -"; 2]).await;
    let started = tokio::time::Instant::now();
    scene.set_replicas(4).await;
    await_that("new pods resized", 20, || sizes(&lab), |s| *s == ["300m 256Mi -"; 4]).await;
    eprintln!("new pods were resized {:.1} s after the scale-up", started.elapsed().as_secs_f64());

    // Pods that no node takes.
    let requests = json!({"cpu": START.cpu, "memory": START.memory});
    let pod = json!({
        "nodeSelector": {"type": "nowhere"},
        "containers": [{"name": CONTAINER, "image": "app", "resources": {"requests": requests}}],
    });
    let labels = json!({"app": "lost"});
    let template = json!({"metadata": {"labels": labels}, "spec": pod});
    scene.apply(
        "e2e",
        &json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "lost"},
            "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}}),
    );
    scene
        .policy("lost", {
            let mut spec = larger("Auto");
            spec["targetRef"]["name"] = "lost".into();
            spec
        })
        .await;
    let unscheduled = || async {
        let list = lab.get(&format!("{}?labelSelector=app%3Dlost", lab.path("v1", "pods"))).await.object("pods");
        let pods = list["items"].as_array().cloned().unwrap_or_default();
        let lost = pods.iter().filter(|p| p["spec"]["nodeName"].is_null());
        lost.map(|p| p["spec"]["containers"][0]["resources"]["requests"]["cpu"].as_str().unwrap_or("-").to_owned())
            .collect::<Vec<_>>()
    };
    await_that("an unscheduled pod resized", 120, unscheduled, |s| s.iter().any(|cpu| cpu == "300m")).await;
}
