//! What is installed may do what its profile says, and no more.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::{Api, api::PostParams};

use crate::support::{Profile, Scene};

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
async fn the_auto_profile_adds_scale_and_resize_alone() {
    let scene = Scene::new("auto", Profile::Auto).await;
    let wanted = [
        "patch pods/resize",
        "update deployments/scale",
        "patch deployments/scale",
        "update statefulsets/scale",
        "patch statefulsets/scale",
        "update replicasets/scale",
        "patch replicasets/scale",
    ];
    assert_eq!(allowed_writes(&scene).await, wanted);
    assert!(!may(&scene, "get", "", "secrets", "").await, "reads Secrets");
}
