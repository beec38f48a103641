//! What is installed may do what its profile says, and no more.

use std::{collections::BTreeMap, process::Command};

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::{Api, api::PostParams};
use serde_json::{Value, json};

use crate::support::{Answer, Cluster, Lab, Profile, Scene, cluster, rendered, root, run};

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
        "update replicasets/scale",
        "update horizontalpodautoscalers/",
        "update verticalpodautoscalers/",
        "update scaledobjects/",
    ];
    assert_eq!(allowed_writes(&scene).await, wanted);
    assert!(!may(&scene, "get", "", "secrets", "").await, "reads Secrets");
}

/// What the chart renders, with the release's name and namespace that the kustomization has.
pub(crate) fn charted(cluster: &Cluster, profile: &str, more: &[&str]) -> Vec<Value> {
    let mut helm = cluster.program("helm");
    helm.args(["template", "arbiter"]).arg(root().join("deploy/helm/arbiter"));
    helm.args(["--namespace=arbiter-system", "--include-crds", "--kube-version=1.35.0"])
        .arg(format!("--set=profile={profile}"))
        .args(more);
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
    let newer = "--api-versions=admissionregistration.k8s.io/v1/MutatingAdmissionPolicy";
    let cases: [(&str, &[&str], &str); 4] = [
        ("observe", &[], "observe"),
        ("observe", &[newer], "observe"),
        ("auto", &[], "auto"),
        ("auto", &[newer], "auto-pod-sizes"),
    ];
    for (profile, more, overlay) in cases {
        let (chart, overlay) = (essence(&charted(cluster, profile, more)), essence(&rendered(cluster, overlay)));
        let names = |objects: &BTreeMap<String, Value>| objects.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&chart), names(&overlay), "{profile}");
        for (name, object) in &chart {
            assert_eq!(object, &overlay[name], "{profile}: {name}");
        }
    }
}

#[tokio::test]
async fn a_value_of_the_chart_chooses_what_a_second_owner_meets() {
    let cluster = cluster().await;
    let bindings = |value: &str| -> Vec<Value> {
        let objects = charted(cluster, "auto", &[&format!("--set=admission.secondOwner={value}")]);
        objects.into_iter().filter(|o| o["kind"] == "ValidatingAdmissionPolicyBinding").collect()
    };
    assert_eq!(bindings("Warn")[0]["spec"]["validationActions"], json!(["Warn", "Audit"]));
    assert_eq!(bindings("Deny")[0]["spec"]["validationActions"], json!(["Deny", "Audit"]));
    assert_eq!(bindings("Allow"), Vec::<Value>::new());
}

#[tokio::test]
async fn the_hook_before_an_uninstall_runs_what_the_binary_understands() {
    let objects = charted(cluster().await, "auto", &[]);
    let hook = objects.iter().find(|o| o["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete").expect("a hook");
    assert_eq!(hook["kind"], "Job");
    let args = hook["spec"]["template"]["spec"]["containers"][0]["args"].as_array().expect("arguments").clone();
    let args: Vec<&str> = args.iter().filter_map(Value::as_str).collect();
    assert!(args.contains(&"--all") && args.contains(&"--stop=arbiter"), "{args:?}");
    // Arguments are read in order: an unknown one fails before the help is printed.
    let help = Command::new(env!("CARGO_BIN_EXE_arbiter")).args(&args).arg("--help").output().expect("arbiter");
    assert!(help.status.success(), "{}", String::from_utf8_lossy(&help.stderr));
    let observed = charted(cluster().await, "observe", &[]);
    assert!(!observed.iter().any(|o| o["kind"] == "Job"), "observe displaces nothing");
}

#[tokio::test]
async fn each_shard_of_the_chart_has_its_deployment_and_the_hook_stops_all() {
    let objects = charted(cluster().await, "auto", &["--set=shards=3"]);
    let of = |kind: &str| objects.iter().filter(|o| o["kind"] == kind).cloned().collect::<Vec<_>>();
    let (deployments, budgets) = (of("Deployment"), of("PodDisruptionBudget"));
    assert_eq!((deployments.len(), budgets.len()), (3, 3));
    for (index, (deployment, budget)) in deployments.iter().zip(&budgets).enumerate() {
        assert_eq!(deployment["metadata"]["name"], format!("arbiter-{index}"));
        let selector = &deployment["spec"]["selector"]["matchLabels"];
        assert_eq!(selector["autoscaling.arbiter.io/shard"], index.to_string());
        assert_eq!(selector, &budget["spec"]["selector"]["matchLabels"]);
        let template = &deployment["spec"]["template"];
        assert_eq!(template["metadata"]["labels"]["autoscaling.arbiter.io/shard"], index.to_string());
        let args = template["spec"]["containers"][0]["args"].as_array().expect("arguments");
        assert!(args.contains(&format!("--shard={index}/3").into()), "{args:?}");
    }
    let hook = objects.iter().find(|o| o["kind"] == "Job").expect("a hook");
    let args = hook["spec"]["template"]["spec"]["containers"][0]["args"].to_string();
    assert!((0..3).all(|index| args.contains(&format!("--stop=arbiter-{index}"))), "{args}");
}

/// Asks for a pod without making it.
async fn asked(lab: &Lab, spec: &Value) -> Answer {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "arbiter"}, "spec": spec});
    lab.send("POST", &format!("{}?dryRun=All", lab.path("v1", "pods")), &pod).await
}

#[tokio::test]
async fn a_namespace_that_takes_only_restricted_pods_takes_every_pod_of_ours() {
    let lab = Lab::new("restricted", "restricted").await;
    let restricted = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    lab.patch(&format!("/api/v1/namespaces/{}", lab.namespace), &restricted).await.object("labelling the namespace");
    let account = json!({"metadata": {"name": "arbiter"}});
    lab.create("v1", "ServiceAccount", "serviceaccounts", account).await.object("an account");
    let mut objects = rendered(lab.cluster, "auto");
    for profile in ["observe", "auto"] {
        objects.extend(charted(lab.cluster, profile, &[]));
    }
    let pods: Vec<&Value> = objects.iter().map(|o| &o["spec"]["template"]["spec"]).filter(|s| s.is_object()).collect();
    let hook = |pod: &&Value| pod["containers"][0]["args"][0] == "release";
    assert!(pods.iter().any(hook) && !pods.iter().all(hook), "Deployments and the hook: {pods:?}");
    for pod in &pods {
        asked(&lab, pod).await.object("a pod of ours");
    }
    // The namespace does look: the same pod with one thing less is refused.
    let mut lax = pods[0].clone();
    lax["securityContext"]["seccompProfile"] = Value::Null;
    let answer = asked(&lab, &lax).await;
    assert!(answer.code == 403 && answer.message().contains("violates PodSecurity"), "{}", answer.message());
}
