//! What the creation of a pod costs with a thousand policies in its namespace, for two ways to tell the API server the sizes.
//!
//! `make admission-cost` runs this alone and writes `simulations/results/admission.md`; without `ARBITER_RESULTS` nothing is
//! written. The namespaces are measured in turn, pod by pod, so that whatever else the machine does falls on all alike.

use std::{collections::BTreeMap, fmt::Write as _};

use arbiter::api::{NewContainer, PodSize, PodSizesSpec, SizedKind, SizedWorkload};
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    new_pods::play::Sizing,
    support::{ClusterWide, LABEL, Lab, await_some},
};

/// Policies in a namespace.
const MANY: usize = 1000;
/// Pods created in each namespace.
const TRIALS: usize = 200;
/// Pods before them that do not count: caches fill.
const WARM: usize = 20;
/// What a pod may cost beside one in a namespace that no admission policy looks at (median).
const BOUND: f64 = 2.0;

const GROUP: &str = "admission-cost";
const DIRECT: &str = "admission-cost-direct";
const HASH: &str = "7d9c8f6b5d";

fn name(number: usize) -> String {
    format!("web-{number:04}")
}

/// A pod as the controller of a `ReplicaSet` would create it.
fn pod(workload: &str, number: usize) -> Value {
    let owner = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{workload}-{HASH}"), "controller": true,
        "uid": "11111111-2222-3333-4444-555555555555",
    });
    let container = |name: &str| json!({"name": name, "image": "emulated", "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}});
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("pod-{number}"), "labels": {"app": workload, "pod-template-hash": HASH}, "ownerReferences": [owner]},
        // No node: what is measured is the creation, not the rest of its life.
        "spec": {"nodeSelector": {"type": "nowhere"}, "terminationGracePeriodSeconds": 0, "containers": [container("app"), container("proxy")]},
    })
}

fn row(number: usize) -> (SizedWorkload, PodSize) {
    let container =
        || NewContainer { cpu: Some("750m".into()), memory: Some("300Mi".into()), ..NewContainer::default() };
    let size = PodSize {
        policy: name(number),
        generation: 3,
        template_hash: HASH.into(),
        memory_for_other_templates: true,
        containers: ["app", "proxy"].map(|name| (name.to_owned(), container())).into(),
    };
    ((SizedKind::Deployment, name(number)), size)
}

/// Policies with a decided size in their status.
async fn policies(lab: &Lab, count: usize) {
    let one = |number: usize| async move {
        let name = name(number);
        let spec = json!({"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}, "mode": "Auto"});
        let object = json!({"metadata": {"name": name}, "spec": spec});
        lab.create("autoscaling.arbiter.io/v1alpha1", "ScalingPolicy", "scalingpolicies", object)
            .await
            .object("a policy");
        let desired = json!({"requests": {"cpu": "750m", "memory": "300Mi"}});
        let containers = json!([{"name": "app", "desired": desired}, {"name": "proxy", "desired": desired}]);
        let status = json!({"status": {"containers": containers, "templateHash": HASH}});
        let path = lab.path("autoscaling.arbiter.io/v1alpha1", &format!("scalingpolicies/{name}/status"));
        lab.patch(&path, &status).await.object("a status");
    };
    stream::iter((0..count).map(one)).buffer_unordered(8).collect::<Vec<()>>().await;
}

/// The other design: every policy of the namespace is a parameter, and a condition picks the one.
async fn reading_policies() -> ClusterWide {
    let name = format!("{DIRECT}-{}", std::process::id());
    let mine = "has(object.metadata.ownerReferences) && object.metadata.ownerReferences.exists(o, o.kind == 'ReplicaSet' && \
                o.name == params.spec.targetRef.name + '-' + object.metadata.labels['pod-template-hash'])";
    let sized = "params.spec.mode == 'Auto' && has(params.status) && has(params.status.containers)";
    let mutation = "Object{spec: Object.spec{containers: params.status.containers.map(c, Object.spec.containers{name: c.name, \
                    resources: Object.spec.containers.resources{requests: c.desired.requests}})}}";
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Ignore", "reinvocationPolicy": "IfNeeded",
            "paramKind": {"apiVersion": "autoscaling.arbiter.io/v1alpha1", "kind": "ScalingPolicy"},
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {LABEL: DIRECT}},
                "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
            },
            "matchConditions": [{"name": "sized", "expression": sized}, {"name": "mine", "expression": mine}],
            "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": mutation}}],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": name},
        "spec": {"policyName": name, "paramRef": {"selector": {}, "parameterNotFoundAction": "Allow"}},
    });
    ClusterWide::apply(&[policy, binding]).await
}

/// A namespace in which pods are created, and what is in it.
struct Place {
    what: String,
    lab: Lab,
    /// Whether its pods are sized.
    sized: bool,
    milliseconds: Vec<f64>,
}

impl Place {
    fn percentile(&self, percent: usize) -> f64 {
        self.milliseconds[(self.milliseconds.len() * percent).div_ceil(100).max(1) - 1]
    }
}

async fn places() -> Vec<Place> {
    let place =
        |what: &str, lab: Lab, sized: bool| Place { what: what.to_owned(), lab, sized, milliseconds: Vec::new() };
    let mut all = vec![
        place("no admission policy", Lab::new("cost-none", "none").await, false),
        place("the policy, no table in the namespace", Lab::new("cost-empty", GROUP).await, false),
    ];
    for rows in [1, 100, MANY] {
        let lab = Lab::new(&format!("cost-table-{rows}"), GROUP).await;
        // One of them is the pods' own.
        let table: BTreeMap<_, _> = (0..rows).map(row).collect();
        let started = Instant::now();
        lab.table(&table).await;
        let kilobytes = PodSizesSpec::of(&table).deployments.len() / 1024;
        eprintln!(
            "a table of {rows} rows: {kilobytes} KiB, written in {:.0} ms",
            started.elapsed().as_secs_f64() * 1e3
        );
        all.push(place(&format!("one table, {rows} rows"), lab, true));
    }
    for count in [1, 100, MANY] {
        let lab = Lab::new(&format!("cost-direct-{count}"), DIRECT).await;
        policies(&lab, count).await;
        all.push(place(&format!("each of {count} policies is a parameter"), lab, true));
    }
    all
}

async fn create(place: &Place, number: usize) -> f64 {
    let (path, pod) = (place.lab.path("v1", "pods"), pod(&name(0), number));
    let started = Instant::now();
    let answer = place.lab.send("POST", &path, &pod).await;
    let took = started.elapsed().as_secs_f64() * 1e3;
    let created = answer.object(&place.what);
    let cpu = &created["spec"]["containers"][1]["resources"]["requests"]["cpu"];
    assert_eq!(cpu, if place.sized { "750m" } else { "100m" }, "{}", place.what);
    took
}

#[tokio::test]
async fn a_pod_costs_at_most_twice_as_much_with_a_thousand_policies() {
    let sizing = Sizing::install(GROUP).await;
    let _direct = reading_policies().await;
    let mut places = places().await;
    sizing.settled().await;
    let last = places.last().expect("places");
    await_some("the other design in effect", 60, || async {
        let answer =
            last.lab.send("POST", &format!("{}?dryRun=All", last.lab.path("v1", "pods")), &pod(&name(0), 0)).await;
        let cpu = answer.object("a pod")["spec"]["containers"][0]["resources"]["requests"]["cpu"].clone();
        if cpu == "750m" { Ok(()) } else { Err(cpu.to_string()) }
    })
    .await;
    for number in 0..WARM + TRIALS {
        for index in 0..places.len() {
            // Each goes first as often as the others.
            let place = (index + number) % places.len();
            let took = create(&places[place], number).await;
            if number >= WARM {
                places[place].milliseconds.push(took);
            }
        }
    }
    for place in &mut places {
        place.milliseconds.sort_by(f64::total_cmp);
    }
    let none = places[0].percentile(50);
    let mut text = String::new();
    for place in &places {
        let (p50, p95) = (place.percentile(50), place.percentile(95));
        writeln!(text, "| {} | {TRIALS} | {p50:.2} | {p95:.2} | {:.2} |", place.what, p50 / none).expect("text");
    }
    eprintln!("{text}");
    if let Some(folder) = std::env::var_os("ARBITER_RESULTS") {
        std::fs::write(std::path::Path::new(&folder).join("admission.part"), &text).expect("writing the result");
    }
    let table = places.iter().find(|p| p.what == format!("one table, {MANY} rows")).expect("the table");
    let times = table.percentile(50) / none;
    assert!(times <= BOUND, "{times:.2} times the cost of a pod without admission policies");
}
