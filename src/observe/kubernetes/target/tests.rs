use serde_json::json;

use super::*;

fn deployment() -> Target {
    Target { api_version: "apps/v1".into(), kind: "Deployment".into(), name: "web".into() }
}

fn scale(selector: Option<&str>) -> Scale {
    serde_json::from_value(json!({"metadata": {"uid": "u", "resourceVersion": "7"}, "spec": {"replicas": 3},
        "status": {"replicas": 2, "selector": selector}}))
    .unwrap()
}

#[test]
fn an_empty_selector_is_refused() {
    for none in [None, Some("")] {
        let error = scale_facts(&scale(none), &deployment()).unwrap_err();
        assert_eq!(error.category(), "NoSelector");
    }
    let facts = scale_facts(&scale(Some("app=web")), &deployment()).unwrap();
    assert_eq!((facts.replicas, facts.uid.as_str(), facts.resource_version.as_str()), (Replicas(3), "u", "7"));
}

#[test]
fn kinds_without_scale_are_told_from_unknown_ones() {
    let resources: Vec<_> =
        [("deployments", "Deployment"), ("deployments/scale", "Scale"), ("daemonsets", "DaemonSet")]
            .into_iter()
            .map(|(name, kind)| {
                serde_json::from_value(
                    json!({"name": name, "kind": kind, "namespaced": true, "singularName": "", "verbs": []}),
                )
                .unwrap()
            })
            .collect();
    let kinds = scalable_kinds("apps/v1", &resources);
    assert!(kinds["Deployment"].1);
    assert!(!kinds["DaemonSet"].1);
    assert!(!kinds.contains_key("Scale"));
    assert_eq!(kinds["Deployment"].0.plural, "deployments");
}

#[test]
fn the_object_tells_template_owner_writer_and_volumes() {
    let metadata: ObjectMeta = serde_json::from_value(json!({
        "resourceVersion": "9",
        "ownerReferences": [{"apiVersion": "v1", "kind": "App", "name": "shop", "uid": "x", "controller": true}],
        "managedFields": [
            {"manager": "kubectl", "operation": "Update", "time": "2026-02-03T10:00:00Z", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
            {"manager": "helm", "operation": "Apply", "time": "2026-02-03T11:00:00Z", "fieldsV1": {"f:spec": {"f:paused": {}}}},
        ]}))
    .unwrap();
    let data = json!({"spec": {
        "volumeClaimTemplates": [{}],
        "persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete"},
        "template": {"spec": {
            "initContainers": [{"name": "migrate"}, {"name": "proxy", "restartPolicy": "Always"}],
            "containers": [{"name": "app", "resources": {"requests": {"cpu": 1}, "limits": {"memory": "1Gi"}}}]}}}});
    let facts = object_facts("StatefulSet", &metadata, &data);
    assert_eq!(facts.owner.as_deref(), Some("App shop"));
    assert_eq!(facts.last_writer.as_deref(), Some("kubectl"));
    assert!(facts.no_shrink.is_some());
    let names: Vec<_> = facts.template.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["app", "proxy"], "sidecars are sized, ordinary init containers are not");
    let container = &facts.template[0];
    assert_eq!(container.requests.cpu_cores, Some(crate::units::Cores(1.0)));
    assert_eq!(container.requests.memory_bytes, container.limits.memory_bytes, "as the API server defaults it");
}

#[test]
fn a_canary_of_flagger_owns_the_template_and_not_the_count() {
    let owned = |api_version: &str, kind: &str| {
        let owner = json!({"apiVersion": api_version, "kind": kind, "name": "web", "uid": "x", "controller": true});
        object_facts("Deployment", &serde_json::from_value(json!({"ownerReferences": [owner]})).unwrap(), &json!({}))
    };
    let primary = owned("flagger.app/v1beta1", "Canary");
    assert_eq!((primary.owner, primary.canary.as_deref()), (None, Some("web")));
    let other = owned("example.org/v1", "Canary");
    assert_eq!((other.owner.as_deref(), other.canary), (Some("Canary web"), None));
}

#[test]
fn a_rollout_may_take_its_template_from_elsewhere() {
    let data =
        json!({"spec": {"replicas": 3, "workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}});
    let facts = object_facts("Rollout", &ObjectMeta::default(), &data);
    assert_eq!(facts.template_from, Some(deployment()));
    assert!(facts.template.is_empty());
    let zero = ObjectFacts { last_writer: Some("rollouts-controller".into()), ..ObjectFacts::default() };
    assert!(neighbours::scaled_down_for_a_rollout(&deployment(), &zero, 0).is_some());
    assert!(neighbours::scaled_down_for_a_rollout(&deployment(), &zero, 3).is_none());
    let person = ObjectFacts { last_writer: Some("kubectl".into()), ..ObjectFacts::default() };
    assert!(neighbours::scaled_down_for_a_rollout(&deployment(), &person, 0).is_none());
}

#[test]
fn every_failure_is_a_sentence_with_a_next_step() {
    let target = deployment();
    let forbidden = refine(Failed::Api(403, String::new()), "get", "deployments/scale", "shop", &target);
    assert_eq!(
        forbidden.to_string(),
        "may not get deployments/scale in namespace shop: grant the verb get on deployments/scale to the controller"
    );
    let missing = refine(Failed::Api(404, String::new()), "get", "deployments/scale", "shop", &target);
    assert_eq!(missing.to_string(), "Deployment shop/web does not exist: create it or correct spec.targetRef.name");
    assert!(!missing.passing());
    assert!(refine(Failed::Other("timeout".into()), "get", "deployments", "shop", &target).passing());
}
