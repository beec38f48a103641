//! Objects as the API server writes them.

use serde_json::{Value, json};

use super::world::{PER_NAMESPACE, Workload};

const CREATED: &str = "2026-01-01T00:00:00Z";

pub(crate) fn namespace(index: usize) -> String {
    format!("team-{:04}", index / PER_NAMESPACE)
}

pub(crate) fn name(index: usize) -> String {
    format!("app-{index:05}")
}

/// Uids of a policy's object and of its target.
pub(crate) fn uids(index: usize) -> (String, String) {
    (format!("uid-policy-{}", name(index)), format!("uid-{}", name(index)))
}

/// The workload of a name like `app-00042`, `app-00042-rs` or `app-00042-rs-7`, and what follows.
pub(crate) fn index_of(name: &str) -> Option<(usize, Option<u64>)> {
    let mut parts = name.strip_prefix("app-")?.split('-');
    let index = parts.next()?.parse().ok()?;
    Some((index, parts.nth(1).and_then(|number| number.parse().ok())))
}

fn metadata(index: usize, name: &str, uid: &str, version: u64, owner: Option<(&str, &str, &str)>) -> Value {
    let owners = owner.map(|(kind, name, uid)| {
        json!([{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": true}])
    });
    json!({"namespace": namespace(index), "name": name, "uid": uid, "resourceVersion": version.to_string(),
        "generation": 1, "creationTimestamp": CREATED, "ownerReferences": owners.unwrap_or_else(|| json!([])),
        "labels": {"app": self::name(index), "pod-template-hash": "5d9c7b4f6"}})
}

fn containers(milli: u64) -> Value {
    let resources = json!({"requests": {"cpu": format!("{milli}m"), "memory": "256Mi"}});
    json!([{"name": "app", "image": "registry.example/team/app:1.42.0", "resources": resources}])
}

pub(crate) fn pod(index: usize, number: u64, milli: u64, version: u64) -> Value {
    let (app, rs) = (name(index), format!("{}-rs", name(index)));
    let pod = format!("{rs}-{number}");
    let when = json!({"lastTransitionTime": CREATED});
    let condition = |kind: &str| {
        let mut condition = when.clone();
        condition["type"] = kind.into();
        condition["status"] = "True".into();
        condition
    };
    let conditions = ["PodScheduled", "Initialized", "ContainersReady", "Ready"].map(condition);
    let requests = json!({"cpu": format!("{milli}m"), "memory": "256Mi"});
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": metadata(index, &pod, &format!("uid-{pod}"), version, Some(("ReplicaSet", &rs, &format!("uid-{rs}")))),
        "spec": {"nodeName": format!("node-{:03}", index % 500), "containers": containers(milli), "restartPolicy": "Always",
            "serviceAccountName": "default", "terminationGracePeriodSeconds": 30},
        "status": {"phase": "Running", "qosClass": "Burstable", "startTime": CREATED, "podIP": "10.0.0.1",
            "conditions": conditions,
            "containerStatuses": [{"name": "app", "ready": true, "started": true, "restartCount": 0, "image": app,
                "state": {"running": {"startedAt": CREATED}}, "allocatedResources": requests,
                "resources": {"requests": requests}}]}})
}

pub(crate) fn replica_set(index: usize, replicas: usize, version: u64) -> Value {
    let (app, rs) = (name(index), format!("{}-rs", name(index)));
    let mut metadata =
        metadata(index, &rs, &format!("uid-{rs}"), version, Some(("Deployment", &app, &format!("uid-{app}"))));
    metadata["annotations"] = json!({"deployment.kubernetes.io/revision": "1"});
    json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata, "spec": {"replicas": replicas},
        "status": {"replicas": replicas, "readyReplicas": replicas}})
}

pub(crate) fn deployment(index: usize, workload: &Workload) -> Value {
    let (app, replicas) = (name(index), workload.pods.len());
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": metadata(index, &app, &uids(index).1, workload.version, None),
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": app}},
            "template": {"metadata": {"labels": {"app": app}}, "spec": {"containers": containers(500)}}},
        "status": {"observedGeneration": 1, "replicas": replicas, "updatedReplicas": replicas, "readyReplicas": replicas,
            "availableReplicas": replicas}})
}

pub(crate) fn scale(index: usize, workload: &Workload) -> Value {
    let (app, replicas) = (name(index), workload.pods.len());
    json!({"apiVersion": "autoscaling/v1", "kind": "Scale",
        "metadata": metadata(index, &app, &uids(index).1, workload.version, None),
        "spec": {"replicas": replicas}, "status": {"replicas": replicas, "selector": format!("app={app}")}})
}

pub(crate) fn policy(index: usize, workload: &Workload) -> Value {
    let app = name(index);
    json!({"apiVersion": "autoscaling.arbiter.io/v1alpha1", "kind": "ScalingPolicy",
        "metadata": metadata(index, &app, &uids(index).0, workload.policy_version, None),
        "spec": {"mode": "Auto", "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": app},
            "objective": {"utilization": {"cpu": 70}}, "replicas": {"min": 2, "max": 40},
            "containers": [{"name": "app", "cpu": {"min": "100m", "max": "2"}}]},
        "status": workload.status})
}

pub(crate) fn node(index: usize) -> Value {
    let has = json!({"cpu": "64", "memory": "256Gi", "pods": "250"});
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": format!("node-{index:03}"), "resourceVersion": "1"},
        "status": {"allocatable": has, "capacity": has}})
}
