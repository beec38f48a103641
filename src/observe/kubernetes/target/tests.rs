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
    let facts = object_facts(&metadata, &data);
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
fn our_own_writes_are_nobody_elses() {
    let entry = |manager: &str, time: &str| -> ManagedFieldsEntry {
        serde_json::from_value(json!({"manager": manager, "time": time, "fieldsV1": {"f:spec": {"f:replicas": {}}}}))
            .unwrap()
    };
    let ours = entry(crate::actuate::FIELD_MANAGER, "2026-02-03T12:00:00Z");
    assert_eq!(foreign_writer(&[entry("kubectl", "2026-02-03T10:00:00Z"), ours.clone()]), None);
    assert_eq!(foreign_writer(&[entry("hpa", "2026-02-03T13:00:00Z"), ours]).as_deref(), Some("hpa"));
    assert_eq!(foreign_writer(&[]), None);
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
