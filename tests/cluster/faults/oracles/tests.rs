//! Each oracle finds what it is for.

use arbiter::takeover::{ANNOTATION, Stamp};
use serde_json::json;

use super::{super::record::Version, *};

fn deployment(count: u64, manager: &str) -> Value {
    let fields = json!([{"manager": manager, "fieldsV1": {"f:spec": {"f:replicas": {}}}}]);
    json!({"metadata": {"managedFields": fields}, "spec": {"replicas": count}})
}

fn hpa(active: bool) -> Value {
    let (most, policy) = if active { (2, "Max") } else { (i32::MAX, "Disabled") };
    let behavior = json!({"scaleUp": {"selectPolicy": policy}, "scaleDown": {"selectPolicy": policy}});
    json!({"metadata": {}, "spec": {"minReplicas": 1, "maxReplicas": most, "behavior": behavior}})
}

fn with(object: Value, saved: &Saved) -> Value {
    let mut object = object;
    object["metadata"]["annotations"] = json!({ANNOTATION: saved.text()});
    object
}

/// Stood down, with what it was according to the annotation.
fn down_from(original: &Value) -> Value {
    let stamp = Stamp { policy: "web".into(), uid: "u".into(), born: 1, generation: 1 };
    let mut saved = Saved::new(stamp, rival(original).original());
    saved.down = true;
    with(hpa(false), &saved)
}

fn down() -> Value {
    down_from(&hpa(true))
}

fn versions(all: &[(Kind, u64, Value)]) -> Versions {
    let mut versions = Versions::default();
    for (kind, at, object) in all {
        let version = Version { at: *at, name: "web".into(), object: Some(object.clone()) };
        versions.0.entry(*kind).or_default().push(version);
    }
    versions
}

#[test]
fn two_owners_are_found() {
    use Kind::{Deployment, Hpa};
    let ours = deployment(3, OURS);
    let good = versions(&[
        (Hpa, 1, hpa(true)),
        (Hpa, 4, down()),
        (Deployment, 2, deployment(1, "kubectl")),
        (Deployment, 5, ours.clone()),
    ]);
    assert!(one_owner(&good).is_empty());
    let early = versions(&[
        (Hpa, 1, hpa(true)),
        (Hpa, 9, down()),
        (Deployment, 2, deployment(1, "kubectl")),
        (Deployment, 5, ours.clone()),
    ]);
    assert_eq!(one_owner(&early).len(), 1);
    let theirs = deployment(2, HPA_CONTROLLER);
    let both = versions(&[
        (Hpa, 1, hpa(true)),
        (Hpa, 4, down()),
        (Deployment, 2, deployment(1, "kubectl")),
        (Deployment, 5, ours),
        (Deployment, 6, theirs),
    ]);
    assert_eq!(one_owner(&both).len(), 1);
}

#[test]
fn a_lost_original_is_found() {
    assert!(
        originals(&versions(&[(Kind::Hpa, 1, hpa(true)), (Kind::Hpa, 2, down()), (Kind::Hpa, 3, hpa(true))]))
            .is_empty()
    );
    assert_eq!(originals(&versions(&[(Kind::Hpa, 1, hpa(true)), (Kind::Hpa, 2, hpa(false))])).len(), 1);
    let wrong = down_from(&hpa(false));
    assert_eq!(originals(&versions(&[(Kind::Hpa, 1, hpa(true)), (Kind::Hpa, 2, wrong)])).len(), 1);
}

#[test]
fn shrinking_under_load_is_found() {
    let fell = versions(&[(Kind::Deployment, 1, deployment(3, "kubectl")), (Kind::Deployment, 2, deployment(1, OURS))]);
    let found = |from| count_stays(&fell, Steps { may_shrink_from: from, dark: None }).len();
    assert_eq!((found(None), found(Some(5)), found(Some(1))), (1, 1, 0));
    let pod = |cpu: &str| json!({"spec": {"containers": [{"resources": {"requests": {"cpu": cpu}}}]}});
    let smaller = versions(&[(Kind::Pod, 1, pod("200m")), (Kind::Pod, 2, pod("100m"))]);
    assert_eq!(sizes_stay(&smaller).len(), 1);
}

#[test]
fn a_status_that_claims_too_much_is_found() {
    let policy = |status: &str| {
        let condition = json!({"type": "InControl", "status": status, "reason": "InControl"});
        json!({"metadata": {"generation": 1}, "status": {"observedGeneration": 1, "conditions": [condition]}})
    };
    let told = |hpa: Value| {
        versions(&[(Kind::Hpa, 1, hpa), (Kind::Policy, 2, policy("Unknown")), (Kind::Policy, 3, policy("True"))])
    };
    assert!(status_true(&told(down()), Steps::default()).is_empty());
    assert_eq!(status_true(&told(hpa(true)), Steps::default()).len(), 1);
}

#[test]
fn freshness_that_cannot_be_is_found() {
    let time = |second: i64| Timestamp::from_second(second).expect("a time");
    let policy = |written: i64, status: &str, sampled: i64| {
        let condition = json!({"type": "SignalsFresh", "status": status, "reason": "Fresh"});
        let fields = json!([{"manager": OURS, "subresource": "status", "time": time(written).to_string()}]);
        let signals = json!([{"name": "load", "state": "Fresh", "sampleTime": time(sampled).to_string()}]);
        json!({"metadata": {"generation": 1, "managedFields": fields}, "status": {"conditions": [condition], "signals": signals}})
    };
    let told = |written, sampled| {
        versions(&[(Kind::Policy, 1, policy(0, "False", 0)), (Kind::Policy, 2, policy(written, "True", sampled))])
    };
    let dark = Some([1_000, 1_030].map(time));
    let found =
        |written, sampled, dark| status_true(&told(written, sampled), Steps { may_shrink_from: None, dark }).len();
    assert_eq!(found(1_010, 999, dark), 0, "sampled before");
    assert_eq!(found(1_010, 1_005, dark), 1, "sampled in the dark");
    assert_eq!(found(1_020, 999, dark), 1, "never noticed");
    assert_eq!(found(1_031, 1_029, dark), 0, "the dark is over");
    assert_eq!((found(1_045, 1_000, None), found(1_046, 1_000, None)), (0, 1), "old");
}

fn audited(second: i64, verb: &str, resource: &str) -> AuditEvent {
    let at = Timestamp::from_second(second).expect("a time");
    AuditEvent {
        user: "arbiter".into(),
        agent: "one".into(),
        verb: verb.into(),
        resource: resource.into(),
        namespace: "shop".into(),
        name: "web".into(),
        code: 200,
        received: Some(at),
        at: Some(at),
    }
}

#[test]
fn a_write_after_the_lease_is_found() {
    let renewed = audited(1, "update", "leases");
    let young = audited(3, "update", "deployments/scale");
    let late = audited(9, "update", "deployments/scale");
    assert!(fenced(&[renewed.clone(), young.clone()], Duration::from_secs(5)).is_empty());
    assert_eq!(fenced(&[renewed, young, late.clone()], Duration::from_secs(5)).len(), 1);
    assert_eq!(fenced(&[late], Duration::from_secs(5)).len(), 1);
}

#[test]
fn a_write_without_a_site_is_found() {
    assert!(named(&[audited(1, "update", "deployments/scale"), audited(1, "get", "pods")]).is_empty());
    assert_eq!(named(&[audited(1, "patch", "deployments")]).len(), 1);
}
