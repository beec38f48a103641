//! What arbiter does, side by side with what it says where it may not.

use std::process::Command;

use arbiter::observe::kubernetes::{plural_of, resource_of};
use arbiter::takeover::Kind;
use serde_json::{Value, json};

use super::{World, conditions};
use crate::{
    one_owner,
    support::{
        ACCOUNTS, CONTAINER, EmulatorOptions, Lab, Profile, Right, Scene, WEB, Workload, await_some, await_that, right,
        template,
    },
    targets,
};

/// API version of arbiter's own objects.
pub(super) const ARBITER: &str = "autoscaling.arbiter.io/v1alpha1";
const GROUP: &str = "autoscaling.arbiter.io";
const DISPLACED: &str = "autoscaling.arbiter.io/displaced";

/// Creates a workload of a kind of `apps/v1`.
pub(super) async fn workload(lab: &Lab, kind: &str, name: &str, replicas: u32) {
    let template = template(name, &lab.namespace, Workload { emulated: false, ..Workload::default() });
    let mut spec = json!({"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template});
    if kind == "StatefulSet" {
        spec["serviceName"] = name.into();
    }
    let object = json!({"metadata": {"name": name}, "spec": spec});
    lab.create("apps/v1", kind, &plural(kind), object).await.object("a workload");
}

/// Applies a policy for the Deployment of its name, unless the spec says otherwise.
pub(super) async fn policy(lab: &Lab, name: &str, spec: &Value) {
    let mut all = json!({"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}, "mode": "Auto"});
    all.as_object_mut().expect("a map").extend(spec.as_object().expect("a map").clone());
    let path = lab.path(ARBITER, &format!("scalingpolicies/{name}"));
    if lab.get(&path).await.ok() {
        lab.patch(&path, &json!({"spec": all})).await.object("changing a policy");
    } else {
        let object = json!({"metadata": {"name": name}, "spec": all});
        lab.create(ARBITER, "ScalingPolicy", "scalingpolicies", object).await.object("a policy");
    }
}

fn plural(kind: &str) -> String {
    format!("{}s", kind.to_lowercase())
}

/// Counts of every kind of target: `/scale` read and written, the object read, its usage, and an Event about it.
pub(super) async fn counts(world: &World) {
    let lab = Lab::new("rights-counts", "rights").await;
    world.cluster.kubectl(&["apply", "--server-side", "-f", "-"], Some(&targets::definition().to_string()));
    world.cluster.established(&[&format!("shops.{}", targets::GROUP)]);
    let shops = format!("{}/v1", targets::GROUP);
    let kinds =
        [("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"), ("apps/v1", "ReplicaSet"), (shops.as_str(), "Shop")];
    for (api_version, kind) in kinds {
        let name = kind.to_lowercase();
        if kind == "Shop" {
            let shop = json!({"metadata": {"name": name}, "spec": {"shape": {"size": 2}}});
            lab.create(api_version, kind, "shops", shop).await.object("a Shop");
            let status = json!({"status": {"size": 2, "selector": "app=shop"}});
            lab.patch(&lab.path(api_version, "shops/shop/status"), &status).await.object("its status");
        } else {
            workload(&lab, kind, &name, 2).await;
        }
        let target = json!({"apiVersion": api_version, "kind": kind, "name": name});
        let spec = json!({"targetRef": target, "levers": ["Replicas"], "replicas": {"min": 3, "max": 3}});
        policy(&lab, &name, &spec).await;
    }
    let each = |subresource: &str, verb: &str| {
        kinds.map(|(api_version, kind)| {
            let group = api_version.split('/').next().unwrap_or_default();
            right(group, &format!("{}{subresource}", plural(kind)), verb)
        })
    };
    world.is_told(&lab, &each("/scale", "get"), &[]).await;
    world.is_told(&lab, &each("", "get"), &[]).await;
    let reports = [right("metrics.k8s.io", "pods", "list"), right("events.k8s.io", "events", "create")];
    world.is_told(&lab, &[&each("/scale", "update")[..], &reports].concat(), &[]).await;

    let arbiter = world.arbiter(&lab.namespace, &[]);
    for (api_version, kind) in kinds {
        let scale = lab.path(api_version, &format!("{}/{}/scale", plural(kind), kind.to_lowercase()));
        await_some(&format!("a {kind} of three"), 60, || async {
            let count = lab.get(&scale).await.object("a scale")["spec"]["replicas"].clone();
            if count == 3 { Ok(()) } else { Err(format!("{count}; {}", arbiter.last_words())) }
        })
        .await;
    }
}

/// The autoscaler of this kind, on the Deployment of its name.
fn rival(kind: Kind, name: &str) -> Value {
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": name});
    let cpu = json!({"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}});
    let cron = json!({"timezone": "UTC", "start": "0 8 * * *", "end": "0 18 * * *", "desiredReplicas": "3"});
    let spec = match kind {
        Kind::Hpa => json!({"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 5,
            "metrics": [{"type": "Resource", "resource": cpu}]}),
        Kind::Vpa => json!({"targetRef": target, "updatePolicy": {"updateMode": "Recreate"}}),
        Kind::ScaledObject => {
            json!({"scaleTargetRef": {"name": name}, "triggers": [{"type": "cron", "metadata": cron}]})
        }
    };
    json!({"metadata": {"name": name}, "spec": spec})
}

/// Waits until an autoscaler has arbiter's mark, or has it no more.
async fn displaced(lab: &Lab, kind: Kind, is: bool) {
    let path = lab.path(kind.api_version(), &format!("{}/{}", plural_of(kind), name_of(kind)));
    let seen = async || lab.get(&path).await.object("an autoscaler")["metadata"]["annotations"][DISPLACED].clone();
    await_that(&format!("{} displaced: {is}", kind.as_str()), 120, seen, |mark| mark.is_string() == is).await;
}

fn name_of(kind: Kind) -> String {
    kind.as_str().to_lowercase()
}

/// Other autoscalers are stood down, and given back: by a change of mode, by deleting the policy, and after the policy was
/// torn away while arbiter was not there.
pub(super) async fn owners(world: &World) {
    one_owner::definitions().await;
    let lab = Lab::new("rights-owners", "rights").await;
    for kind in Kind::ALL {
        let name = name_of(kind);
        workload(&lab, "Deployment", &name, 2).await;
        lab.create(kind.api_version(), kind.as_str(), plural_of(kind), rival(kind, &name))
            .await
            .object("an autoscaler");
        let levers = if kind.sizes() { json!(["Cpu", "Memory"]) } else { json!(["Replicas"]) };
        policy(&lab, &name, &json!({"levers": levers})).await;
    }
    let policies = |verb: &str| right(GROUP, "scalingpolicies", verb);
    world.is_told(&lab, &[policies("patch")], &[]).await;
    let updates = Kind::ALL.map(|kind| right(&resource_of(kind).group, plural_of(kind), "update"));
    world.is_told(&lab, &updates, &[]).await;

    let mut arbiter = world.arbiter(&lab.namespace, &[]);
    for kind in Kind::ALL {
        displaced(&lab, kind, true).await;
    }
    policy(&lab, &name_of(Kind::Hpa), &json!({"mode": "Recommend"})).await;
    displaced(&lab, Kind::Hpa, false).await;
    delete(&lab, Kind::Vpa).await;
    displaced(&lab, Kind::Vpa, false).await;
    arbiter.kill();
    let path = lab.path(ARBITER, &format!("scalingpolicies/{}", name_of(Kind::ScaledObject)));
    lab.patch(&path, &json!({"metadata": {"finalizers": null}})).await.object("tearing the finalizer off");
    delete(&lab, Kind::ScaledObject).await;
    // Something to report.
    policy(&lab, &name_of(Kind::Hpa), &json!({"mode": "Paused"})).await;
    world.is_told(&lab, &[policies("get"), right(GROUP, "scalingpolicies/status", "patch")], &[]).await;
    let _arbiter = world.arbiter(&lab.namespace, &[]);
    displaced(&lab, Kind::ScaledObject, false).await;
}

async fn delete(lab: &Lab, kind: Kind) {
    let path = lab.path(ARBITER, &format!("scalingpolicies/{}", name_of(kind)));
    lab.send("DELETE", &path, &Value::Null).await.object("deleting a policy");
}

/// Sizes of pods that run, and the table for those to come: created, changed, deleted.
pub(super) async fn sizes(world: &World) {
    let lab = Lab::new("rights-sizes", "rights").await;
    workload(&lab, "Deployment", WEB, 2).await;
    let sized = |mode: &str, cpu: &str| json!({"mode": mode, "levers": ["Cpu", "Memory"], "containers": [{"name": CONTAINER, "cpu": {"min": cpu}}]});
    let table = |verb: &str| right(GROUP, "podsizes", verb);
    policy(&lab, WEB, &sized("Auto", "800m")).await;
    let resize = right("", "pods/resize", "patch");
    world.is_told(&lab, &[table("list"), resize.clone()], &[]).await;
    world.is_told(&lab, &[table("create"), resize], &[]).await;
    let rows = async || lab.get(&lab.path(ARBITER, "podsizes/arbiter")).await.body["spec"].to_string();
    let mut arbiter = world.arbiter(&lab.namespace, &[]);
    await_that("a table", 60, rows, |rows| rows.contains("800m")).await;
    let cpus = async || {
        let pods = lab.get(&lab.path("v1", "pods")).await.object("pods");
        pods["items"].as_array().into_iter().flatten().map(cpu_of).collect::<Vec<_>>()
    };
    await_that("running pods resized", 60, cpus, |cpus| *cpus == ["800m"; 2]).await;
    arbiter.kill();
    policy(&lab, WEB, &sized("Auto", "900m")).await;
    world.is_told(&lab, &[table("update")], &[]).await;
    let mut arbiter = world.arbiter(&lab.namespace, &[]);
    await_that("a changed table", 60, rows, |rows| rows.contains("900m")).await;
    arbiter.kill();
    policy(&lab, WEB, &sized("Recommend", "900m")).await;
    world.is_told(&lab, &[table("delete")], &[]).await;
    let _arbiter = world.arbiter(&lab.namespace, &[]);
    let gone = async || lab.get(&lab.path(ARBITER, "podsizes/arbiter")).await.code;
    await_that("no table", 60, gone, |code| *code == 404).await;
}

fn cpu_of(pod: &Value) -> String {
    pod["spec"]["containers"][0]["resources"]["requests"]["cpu"].as_str().unwrap_or_default().to_owned()
}

/// A pod that its node can never give its size is evicted; that needs to be known to be ready and measured.
pub(super) async fn eviction(world: &World) {
    let scene = Scene::new("rights-eviction", Profile::Auto).await;
    let lab = Lab::of(&scene.namespace, "rights").await;
    let infeasible = json!({"metadata": {"annotations": {"sim/resize": "Infeasible"}}});
    scene.deployment_with(Workload { replicas: 1, ..Workload::default() }, &infeasible).await;
    let _emulator = scene.emulate(1, &EmulatorOptions { rate: 4.0, ..EmulatorOptions::default() }).await;
    scene.usage_known(1).await;
    let containers = json!([{"name": CONTAINER, "cpu": {"min": "800m"}, "memory": {"max": "4Gi"}}]);
    let spec = json!({"replicas": {"min": 1, "max": 1}, "containers": containers,
        "resize": {"strategy": "InPlaceOrRecreate", "maxUnavailable": 1}});
    policy(&lab, WEB, &spec).await;
    let usage = [format!("--prometheus={}", scene.prometheus.url()), "--usage-window=20s".to_owned()];
    world.is_told(&lab, &[right("", "pods/eviction", "create")], &usage).await;
    let uid = async || scene.pods().await.first().and_then(|p| p.metadata.uid.clone());
    let before = uid().await;
    let _arbiter = world.arbiter(&lab.namespace, &usage);
    await_that("its eviction", 120, uid, |now| now.is_some() && *now != before).await;
}

/// Everything that is watched: listed, then followed.
pub(super) async fn watches(world: &World) {
    let lab = Lab::new("rights-watches", "rights").await;
    let of = |verb: &str| -> Vec<Right> {
        let watched =
            |r: &&Right| r.verb == verb && world.everywhere.contains(&Right { verb: "watch".into(), ..(*r).clone() });
        world.everywhere.iter().filter(watched).cloned().collect()
    };
    world.is_told(&lab, &of("list"), &[]).await;
    world.is_told(&lab, &of("watch"), &[]).await;
    world.arbiter(&lab.namespace, &[]).ready().await;
}

/// The lease: read, made, renewed.
pub(super) async fn leases(world: &World) {
    let lab = Lab::new("rights-leases", "rights").await;
    for right in world.own.iter().filter(|right| right.resource == "leases") {
        world.is_told(&lab, std::slice::from_ref(right), &[]).await;
    }
}

/// A direct source of a confined namespace: the Service that its host names says which pods are asked.
pub(super) async fn sources(world: &World) {
    let lab = Lab::new("rights-sources", "rights").await;
    workload(&lab, "Deployment", "web", 1).await;
    let url = format!("http://nats.{}:8222", lab.namespace);
    let source = json!({"monitoringUrls": [url], "stream": "S", "consumer": "c"});
    policy(&lab, "web", &json!({"signals": [{"name": "queue", "role": "Backlog", "natsJetStream": source}]})).await;
    world.is_told(&lab, &[right("", "services", "get")], &[]).await;
    let arbiter = world.arbiter(&lab.namespace, &[]);
    await_some("a Service that was looked for", 60, || async {
        let said = conditions(&lab).await;
        if said.contains("there is no Service nats") {
            Ok(())
        } else {
            Err(format!("{said}; {}", arbiter.last_words()))
        }
    })
    .await;
}

/// The hook before an uninstall stops the controller's Deployment.
pub(super) async fn stopping(world: &World) {
    let lab = Lab::new("rights-stopping", "rights").await;
    let name = format!("stopped-{}", std::process::id());
    let theirs = |args: &[&str]| world.cluster.kubectl(&[&["--namespace", ACCOUNTS][..], args].concat(), None);
    theirs(&["create", "deployment", &name, "--image=emulated", "--replicas=1"]);
    let release = |kubeconfig: &std::path::Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_arbiter"));
        command.env("KUBECONFIG", kubeconfig).arg("release").arg(format!("--namespace={}", lab.namespace));
        command.arg(format!("--lease-namespace={ACCOUNTS}")).args(["--lease-name", &name, "--stop", &name]);
        let output = command.output().expect("arbiter release");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let stop = right("apps", "deployments/scale", "patch");
    let (code, said) = release(world.lacking(std::slice::from_ref(&stop)).await.kubeconfig());
    assert!(code == Some(3) && stop.is_asked_for_in(&said), "{code:?}: {said}");
    world.have_been_said(&[stop]);
    let (code, said) = release(world.whole.kubeconfig());
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(theirs(&["get", "deployment", &name, "-o", "jsonpath={.spec.replicas}"]), "0");
    theirs(&["delete", "deployment", &name, "--wait=false"]);
}
