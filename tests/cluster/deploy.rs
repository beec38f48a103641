//! What is installed may do what its profile says, and no more.

use std::collections::BTreeMap;

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::{Api, api::PostParams};
use serde_json::{Value, json};

use crate::support::{Cluster, Profile, Scene, cluster, rendered, root, run};

/// Whether the scene's arbiter may do this in its namespace, as the API server says.
async fn may(scene: &Scene, verb: &str, group: &str, resource: &str, subresource: &str) -> bool {
    let attributes = ResourceAttributes {
        namespace: Some(scene.namespace.clone()),
        verb: Some(verb.into()),
        group: Some(group.into()),
        resource: Some(resource.into()),
        subresource: Some(subresource.into()).filter(|s: &String| !s.is_empty()),
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
    let api: Api<SelfSubjectAccessReview> = Api::all(scene.arbiter_client().await);
    let review = SelfSubjectAccessReview { spec, ..Default::default() };
    let answer = api.create(&PostParams::default(), &review).await.expect("a review");
    answer.status.expect("an answer").allowed
}

const WRITES: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];

/// Group, resource, subresource of everything that is somebody else's.
const OTHERS: [(&str, &str, &str); 14] = [
    ("", "pods", ""),
    ("", "pods", "resize"),
    ("", "pods", "eviction"),
    ("", "secrets", ""),
    ("", "configmaps", ""),
    ("apps", "deployments", ""),
    ("apps", "deployments", "scale"),
    ("apps", "statefulsets", ""),
    ("apps", "statefulsets", "scale"),
    ("apps", "replicasets", "scale"),
    ("autoscaling", "horizontalpodautoscalers", ""),
    ("autoscaling.k8s.io", "verticalpodautoscalers", ""),
    ("keda.sh", "scaledobjects", ""),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicies", ""),
];

async fn allowed_writes(scene: &Scene) -> Vec<String> {
    let mut allowed = Vec::new();
    for (group, resource, subresource) in OTHERS {
        for verb in WRITES {
            if may(scene, verb, group, resource, subresource).await {
                allowed.push(format!("{verb} {resource}/{subresource}"));
            }
        }
    }
    allowed
}

#[tokio::test]
async fn the_observe_profile_may_write_nothing_of_anybodys() {
    let scene = Scene::new("observe", Profile::Observe).await;
    assert_eq!(allowed_writes(&scene).await, Vec::<String>::new());
    assert!(!may(&scene, "get", "", "secrets", "").await, "reads Secrets");
    assert!(may(&scene, "patch", "autoscaling.arbiter.io", "scalingpolicies", "status").await);
    assert!(may(&scene, "create", "events.k8s.io", "events", "").await);
    assert!(may(&scene, "watch", "", "pods", "").await);
}

#[tokio::test]
async fn the_auto_profile_adds_scale_resize_eviction_and_takeover_alone() {
    let scene = Scene::new("auto", Profile::Auto).await;
    let wanted = [
        "patch pods/resize",
        "create pods/eviction",
        "update deployments/scale",
        "patch deployments/scale",
        "update statefulsets/scale",
        "patch statefulsets/scale",
        "update replicasets/scale",
        "patch replicasets/scale",
        "update horizontalpodautoscalers/",
        "update verticalpodautoscalers/",
        "update scaledobjects/",
    ];
    assert_eq!(allowed_writes(&scene).await, wanted);
    assert!(!may(&scene, "get", "", "secrets", "").await, "reads Secrets");
}

/// What the chart renders, with the release's name and namespace that the kustomization has.
fn charted(cluster: &Cluster, profile: &str) -> Vec<Value> {
    let mut helm = cluster.program("helm");
    helm.args(["template", "arbiter"]).arg(root().join("deploy/helm/arbiter"));
    helm.args(["--namespace=arbiter-system", "--include-crds", "--kube-version=1.35.0"])
        .arg(format!("--set=profile={profile}"));
    let text = run(&mut helm, None).expect("helm template");
    serde_saphyr::from_multiple(&text).expect("rendered YAML")
}

/// Kind and name of each object, with the part of it that decides what the installation may do and does.
fn essence(objects: &[Value]) -> BTreeMap<String, Value> {
    let hook = |o: &Value| o["metadata"]["annotations"].get("helm.sh/hook").is_some();
    let part = |o: &Value| match o["kind"].as_str()? {
        // Only helm has hooks; `kubectl delete -k` comes after `arbiter release`, as docs/ownership.md says.
        _ if hook(o) => None,
        "Role" | "ClusterRole" => Some(o["rules"].clone()),
        "RoleBinding" | "ClusterRoleBinding" => Some(json!([o["roleRef"], o["subjects"]])),
        // A namespace is helm's affair; that both carry the same definition is a plain test (tests/deploy.rs).
        "Namespace" | "CustomResourceDefinition" => None,
        "ServiceAccount" => Some(json!({})),
        _ => Some(o["spec"].clone()),
    };
    let name = |o: &Value| format!("{} {}", o["kind"], o["metadata"]["name"]);
    objects.iter().filter_map(|o| Some((name(o), part(o)?))).collect()
}

#[tokio::test]
async fn the_chart_and_the_kustomization_install_the_same() {
    let cluster = cluster().await;
    for profile in ["observe", "auto"] {
        let (chart, overlay) = (essence(&charted(cluster, profile)), essence(&rendered(cluster, profile)));
        let names = |objects: &BTreeMap<String, Value>| objects.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&chart), names(&overlay), "{profile}");
        for (name, object) in &chart {
            assert_eq!(object, &overlay[name], "{profile}: {name}");
        }
    }
}
