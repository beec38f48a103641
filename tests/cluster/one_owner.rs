//! The guard against a second owner, on a real API server: what is refused, and what must still pass although refusing is on.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{Answer, ClusterWide, LABEL, Lab, await_some, cluster};

const GROUP: &str = "autoscaling.arbiter.io/v1alpha1";
const HPA: (&str, &str, &str) = ("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers");
const HPA_V1: (&str, &str, &str) = ("autoscaling/v1", "HorizontalPodAutoscaler", "horizontalpodautoscalers");
const VPA: (&str, &str, &str) = ("autoscaling.k8s.io/v1", "VerticalPodAutoscaler", "verticalpodautoscalers");
const KEDA: (&str, &str, &str) = ("keda.sh/v1alpha1", "ScaledObject", "scaledobjects");

/// The kinds of others, as far as a test needs them: only where they are not there already, and never taken away, since
/// another test may use them.
pub(crate) async fn definitions() {
    let cluster = cluster().await;
    for (api_version, kind, plural) in [VPA, KEDA] {
        let (group, version) = api_version.split_once('/').expect("a group");
        let name = format!("{plural}.{group}");
        let object = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            // Groups of the project that owns Kubernetes ask for this.
            "metadata": {"name": name, "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"}},
            "spec": {
                "group": group, "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List")},
                "versions": [{"name": version, "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                    "type": "object", "x-kubernetes-preserve-unknown-fields": true}}}],
            },
        });
        let mut create = cluster.program("kubectl");
        create.arg("--kubeconfig").arg(cluster.admin_kubeconfig()).args(["create", "-f", "-"]);
        if let Err(error) = crate::support::run(&mut create, Some(&object.to_string())) {
            assert!(error.contains("AlreadyExists"), "{error}");
        }
        cluster.established(&[&name]);
    }
}

fn reference(kind: &str, name: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": kind, "name": name})
}

fn hpa(name: &str, target: &Value) -> Value {
    let metrics = json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}]);
    json!({"metadata": {"name": name}, "spec": {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 5, "metrics": metrics}})
}

fn hpa_v1(name: &str, target: &Value) -> Value {
    json!({"metadata": {"name": name}, "spec": {"scaleTargetRef": target, "maxReplicas": 5, "targetCPUUtilizationPercentage": 70}})
}

fn vpa(name: &str, target: &Value, mode: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"targetRef": target, "updatePolicy": {"updateMode": mode}}})
}

fn keda(name: &str, target: &Value) -> Value {
    let cron = json!({"timezone": "UTC", "start": "0 8 * * *", "end": "0 18 * * *", "desiredReplicas": "3"});
    let triggers = json!([{"type": "cron", "metadata": cron}]);
    json!({"metadata": {"name": name}, "spec": {"scaleTargetRef": target, "triggers": triggers}})
}

fn annotated(mut object: Value, key: &str, value: &str) -> Value {
    object["metadata"]["annotations"][key] = value.into();
    object
}

const DISPLACED: &str = "autoscaling.arbiter.io/displaced";
const ALLOWED: &str = "autoscaling.arbiter.io/allow-second-owner";

async fn create(lab: &Lab, (api_version, kind, plural): (&str, &str, &str), object: Value) -> Answer {
    lab.create(api_version, kind, plural, object).await
}

async fn policy(lab: &Lab, name: &str, spec: Value) {
    let object = json!({"metadata": {"name": name}, "spec": spec});
    lab.create(GROUP, "ScalingPolicy", "scalingpolicies", object).await.object("a policy");
}

fn owns(target: &str, mode: &str) -> Value {
    json!({"targetRef": reference("Deployment", target), "mode": mode})
}

/// Refuses in the labs of this test; gives back when that takes effect. The policy itself is the one that is installed.
async fn refusing(lab: &Lab, group: &str) -> ClusterWide {
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": format!("{group}-{}", std::process::id())},
        "spec": {
            "policyName": "arbiter-one-owner", "validationActions": ["Deny", "Audit"],
            "paramRef": {"selector": {}, "parameterNotFoundAction": "Allow"},
            "matchResources": {"namespaceSelector": {"matchLabels": {LABEL: group}}},
        },
    });
    let applied = ClusterWide::apply(&[binding]).await;
    policy(lab, "probe", owns("probe", "Auto")).await;
    await_some("the binding in effect", 60, || async {
        let path = format!("{}?dryRun=All", lab.path(HPA.0, HPA.2));
        let mut object = hpa("probe", &reference("Deployment", "probe"));
        object["kind"] = HPA.1.into();
        object["apiVersion"] = HPA.0.into();
        let answer = lab.send("POST", &path, &object).await;
        if answer.ok() { Err("not yet".into()) } else { Ok(()) }
    })
    .await;
    applied
}

#[tokio::test]
async fn a_second_owner_is_refused_and_nothing_else_is() {
    definitions().await;
    let group = "one-owner";
    let (lab, other) = (Lab::new(group, group).await, Lab::new("one-owner-2", group).await);
    let _refusing = refusing(&lab, group).await;
    policy(&lab, "web", owns("web", "Auto")).await;
    policy(&lab, "recommends", owns("recommended", "Recommend")).await;
    policy(&lab, "paused", owns("paused", "Paused")).await;
    for (name, levers) in
        [("counts", json!(["Replicas"])), ("sizes", json!(["Cpu", "Memory"])), ("memory", json!(["Memory"]))]
    {
        let mut spec = owns(name, "Auto");
        spec["levers"] = levers;
        policy(&lab, name, spec).await;
    }
    // A policy that is being deleted, held by a finalizer.
    let mut going =
        json!({"metadata": {"name": "going", "finalizers": ["example.com/held"]}, "spec": owns("going", "Auto")});
    going = lab.create(GROUP, "ScalingPolicy", "scalingpolicies", going).await.object("a policy");
    assert_eq!(going["metadata"]["name"], "going");
    let path = lab.path(GROUP, "scalingpolicies/going");
    lab.send("DELETE", &path, &Value::Null).await.object("deleting a policy");

    let on = |name: &str| reference("Deployment", name);
    let by_keda = |mut object: Value| {
        object["metadata"]["ownerReferences"] = json!([{"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "web",
            "uid": "11111111-2222-3333-4444-555555555555", "controller": true, "blockOwnerDeletion": true}]);
        object
    };
    let replicas = "already owns the replicas of Deployment";
    let size = "already owns the pod size of Deployment";
    let refused = [
        ("an HPA", HPA, hpa("r1", &on("web")), replicas),
        ("an HPA of version 1", HPA_V1, hpa_v1("r2", &on("web")), replicas),
        ("a VPA", VPA, vpa("r3", &on("web"), "Recreate"), size),
        ("a VPA that sizes new pods", VPA, vpa("r4", &on("web"), "Initial"), size),
        ("a VPA without a mode", VPA, json!({"metadata": {"name": "r5"}, "spec": {"targetRef": on("web")}}), size),
        ("a ScaledObject", KEDA, keda("r6", &on("web")), replicas),
        ("a ScaledObject that names no kind", KEDA, keda("r7", &json!({"name": "web"})), replicas),
        (
            "a paused ScaledObject that writes a count",
            KEDA,
            annotated(
                annotated(keda("r8", &on("web")), "autoscaling.keda.sh/paused", "true"),
                "autoscaling.keda.sh/paused-replicas",
                "3",
            ),
            replicas,
        ),
        ("an HPA while paused", HPA, hpa("r9", &on("paused")), replicas),
        ("an HPA beside replicas alone", HPA, hpa("r10", &on("counts")), replicas),
        ("a VPA beside sizes alone", VPA, vpa("r11", &on("sizes"), "Auto"), size),
        ("a VPA beside memory alone", VPA, vpa("r12", &on("memory"), "Auto"), size),
        ("an HPA with another word in the annotation", HPA, annotated(hpa("r13", &on("web")), ALLOWED, "no"), replicas),
    ];
    let mut wrong = Vec::new();
    for (what, kind, object, words) in refused {
        let answer = create(&lab, kind, object).await;
        if answer.code != 403 || !answer.message().contains(words) || !answer.message().contains(ALLOWED) {
            wrong.push(format!("{what}: {} {}", answer.code, answer.message()));
        }
    }
    let passes = [
        ("an HPA on another target", HPA, hpa("p1", &on("other"))),
        ("an HPA on another kind of that name", HPA, hpa("p2", &reference("StatefulSet", "web"))),
        ("an HPA where replicas are not moved", HPA, hpa("p3", &on("sizes"))),
        ("a ScaledObject where replicas are not moved", KEDA, keda("p4", &on("memory"))),
        ("a VPA where sizes are not moved", VPA, vpa("p5", &on("counts"), "Auto")),
        ("an HPA beside a recommendation", HPA, hpa("p6", &on("recommended"))),
        ("a VPA beside a recommendation", VPA, vpa("p7", &on("recommended"), "Auto")),
        ("an HPA beside a policy in deletion", HPA, hpa("p8", &on("going"))),
        ("a VPA that only recommends", VPA, vpa("p9", &on("web"), "Off")),
        (
            "a ScaledObject that is paused",
            KEDA,
            annotated(keda("p10", &on("web")), "autoscaling.keda.sh/paused", "true"),
        ),
        ("a displaced HPA out of a backup", HPA, annotated(hpa("p11", &on("web")), DISPLACED, "{}")),
        ("KEDA's own HPA", HPA, by_keda(hpa("keda-hpa-web", &on("web")))),
        ("an HPA that is allowed by hand", HPA, annotated(hpa("p12", &on("web")), ALLOWED, "true")),
        ("a VPA that is allowed by hand", VPA, annotated(vpa("p13", &on("web"), "Auto"), ALLOWED, "true")),
        ("a ScaledObject that is allowed by hand", KEDA, annotated(keda("p14", &on("web")), ALLOWED, "true")),
    ];
    for (what, kind, object) in passes {
        let answer = create(&lab, kind, object).await;
        if !answer.ok() {
            wrong.push(format!("{what}: {} {}", answer.code, answer.message()));
        }
    }
    let elsewhere = create(&other, HPA, hpa("web", &on("web"))).await;
    if !elsewhere.ok() {
        wrong.push(format!("an HPA in another namespace: {}", elsewhere.message()));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    lab.patch(&path, &json!({"metadata": {"finalizers": null}})).await.object("letting the policy go");
}

#[tokio::test]
async fn changes_of_what_is_there_pass_but_for_a_new_target() {
    definitions().await;
    let group = "one-owner-changes";
    let lab = Lab::new(group, group).await;
    let on = |name: &str| reference("Deployment", name);
    // They were there before the policy was.
    for (kind, object) in [
        (HPA, hpa("web", &on("web"))),
        (VPA, vpa("web", &on("web"), "Auto")),
        (KEDA, keda("web", &json!({"name": "web"}))),
    ] {
        create(&lab, kind, object).await.object("an autoscaler");
    }
    create(&lab, HPA, hpa("other", &on("other"))).await.object("an autoscaler");
    let held = json!({"metadata": {"finalizers": ["example.com/held"]}});
    create(&lab, HPA, {
        let mut object = hpa("held", &on("web"));
        object["metadata"]["finalizers"] = held["metadata"]["finalizers"].clone();
        object
    })
    .await
    .object("an autoscaler with a finalizer");
    let _refusing = refusing(&lab, group).await;
    policy(&lab, "web", owns("web", "Auto")).await;

    let at =
        |(api_version, _, plural): (&str, &str, &str), name: &str| lab.path(api_version, &format!("{plural}/{name}"));
    let open = json!({"spec": {"minReplicas": 1, "maxReplicas": i32::MAX, "behavior": {"scaleUp": {"selectPolicy": "Disabled"}, "scaleDown": {"selectPolicy": "Disabled"}}},
        "metadata": {"annotations": {DISPLACED: "{\"original\": {}}"}}});
    let back = json!({"spec": {"minReplicas": 2, "maxReplicas": 5, "behavior": null}, "metadata": {"annotations": {DISPLACED: null}}});
    let passes = [
        ("a chart's new label", at(HPA, "web"), json!({"metadata": {"labels": {"helm.sh/chart": "web-1.2.4"}}})),
        (
            "the same through version 1",
            at(HPA_V1, "web"),
            json!({"metadata": {"labels": {"helm.sh/chart": "web-1.2.5"}}}),
        ),
        ("a new bound", at(HPA, "web"), json!({"spec": {"maxReplicas": 6}})),
        (
            "another API version of the same target",
            at(HPA, "web"),
            json!({"spec": {"scaleTargetRef": {"apiVersion": "apps/v1beta2"}}}),
        ),
        ("arbiter standing it down", at(HPA, "web"), open),
        ("arbiter restoring it", at(HPA, "web"), back),
        ("arbiter standing a VPA down", at(VPA, "web"), json!({"spec": {"updatePolicy": {"updateMode": "Off"}}})),
        ("arbiter restoring a VPA", at(VPA, "web"), json!({"spec": {"updatePolicy": {"updateMode": "Auto"}}})),
        (
            "arbiter restoring a ScaledObject",
            at(KEDA, "web"),
            json!({"metadata": {"annotations": {"autoscaling.keda.sh/paused": null}}}),
        ),
        (
            "a kind that was left out and is the default",
            at(KEDA, "web"),
            json!({"spec": {"scaleTargetRef": {"kind": "Deployment"}}}),
        ),
        ("a target that nobody owns", at(HPA, "other"), json!({"spec": {"scaleTargetRef": {"name": "third"}}})),
    ];
    let mut wrong = Vec::new();
    for (what, path, patch) in passes {
        let answer = lab.patch(&path, &patch).await;
        if !answer.ok() || answer.warnings.iter().any(|w| w.contains("ScalingPolicy")) {
            wrong.push(format!("{what}: {} {} {:?}", answer.code, answer.message(), answer.warnings));
        }
    }
    for (what, path, patch) in [
        ("an HPA pointed at it", at(HPA, "other"), json!({"spec": {"scaleTargetRef": {"name": "web"}}})),
        ("the same through version 1", at(HPA_V1, "other"), json!({"spec": {"scaleTargetRef": {"name": "web"}}})),
    ] {
        let answer = lab.patch(&path, &patch).await;
        if answer.code != 403 {
            wrong.push(format!("{what}: {} {}", answer.code, answer.message()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let held = at(HPA, "held");
    lab.send("DELETE", &held, &Value::Null).await.object("deleting");
    assert!(lab.get(&held).await.body["metadata"]["deletionTimestamp"].is_string(), "held by its finalizer");
    lab.patch(&held, &json!({"metadata": {"finalizers": null}})).await.object("removing a finalizer");
    assert_eq!(lab.get(&held).await.code, 404);

    let namespace = format!("/api/v1/namespaces/{}", lab.namespace);
    lab.send("DELETE", &namespace, &Value::Null).await.object("deleting the namespace");
    await_some("the namespace gone", 90, || async {
        let answer = lab.get(&namespace).await;
        if answer.code == 404 { Ok(()) } else { Err(answer.body["status"].to_string()) }
    })
    .await;
}

#[tokio::test]
async fn by_default_it_is_a_warning_and_a_note_in_the_audit_log() {
    let group = "one-owner-warns";
    let lab = Lab::new(group, group).await;
    policy(&lab, "web", owns("web", "Auto")).await;
    // Policies reach the evaluation through a watch of the API server's own.
    let end = Instant::now() + Duration::from_mins(1);
    let mut number = 0;
    let answer = loop {
        number += 1;
        let answer = create(&lab, HPA, hpa(&format!("web-{number}"), &reference("Deployment", "web"))).await;
        assert!(answer.ok(), "{}", answer.message());
        if !answer.warnings.is_empty() {
            break answer;
        }
        assert!(Instant::now() < end, "no warning within 60 s");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let warning = &answer.warnings[0];
    let said = format!("ScalingPolicy {}/web (mode Auto) already owns the replicas of Deployment web", lab.namespace);
    assert!(warning.starts_with("299 ") && warning.contains(&said) && warning.contains(ALLOWED), "{warning}");

    let name = format!("web-{number}");
    await_some("the note in the audit log", 30, || async {
        let text = std::fs::read_to_string(lab.cluster.get("AUDIT_LOG")).expect("the audit log");
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut ours = events.filter(|e| {
            e["objectRef"]["namespace"] == lab.namespace.as_str()
                && e["objectRef"]["name"] == name.as_str()
                && e["verb"] == "create"
        });
        let note = ours.find_map(|e| {
            Some(e["annotations"]["validation.policy.admission.k8s.io/validation_failure"].as_str()?.to_owned())
        });
        match note {
            Some(note) if note.contains(&said) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}
