//! What is shipped for installing agrees with itself: no cluster, no helm needed.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, fs, path::PathBuf, process::Command};

use serde_json::Value;

fn file(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn documents(path: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&file(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

#[test]
fn the_chart_carries_the_generated_definition() {
    for plural in arbiter::api::DEFINITIONS {
        let name = format!("autoscaling.arbiter.io_{plural}.yaml");
        let (chart, generated) = (file(&format!("deploy/helm/arbiter/crds/{name}")), file(&format!("crds/{name}")));
        assert_eq!(chart, generated, "run make crds");
    }
}

#[test]
fn chart_kustomization_and_binary_have_the_same_admission_policies() {
    for (name, text) in arbiter::api::ADMISSION {
        for folder in ["deploy/helm/arbiter/files", &format!("deploy/kustomize/components/{name}")] {
            assert_eq!(file(&format!("{folder}/{name}.yaml")), text, "{folder}: run make crds");
        }
        let objects: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
        assert_eq!(objects.len(), 2, "a policy and its binding");
        assert_eq!(objects[0]["metadata"]["name"], objects[1]["spec"]["policyName"]);
        // Whatever is wrong with arbiter or its objects, the cluster goes on as without it.
        assert_eq!(objects[0]["spec"]["failurePolicy"], "Ignore");
        assert_eq!(objects[1]["spec"]["paramRef"]["parameterNotFoundAction"], "Allow");
    }
}

#[test]
fn the_binary_prints_what_is_installed() {
    let printed = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_arbiter")).arg("crds").args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let objects: Vec<Value> = serde_saphyr::from_multiple(&String::from_utf8(output.stdout).unwrap()).unwrap();
        objects.iter().map(|o| format!("{} {}", o["kind"], o["metadata"]["name"]).replace('"', "")).collect::<Vec<_>>()
    };
    let group = "autoscaling.arbiter.io";
    let definitions = ["scalingpolicies", "podsizes"].map(|p| format!("CustomResourceDefinition {p}.{group}"));
    assert_eq!(printed(&[]), definitions);
    assert_eq!(printed(&["--only", "podsizes"]), definitions[1..]);
    let one_owner =
        ["ValidatingAdmissionPolicy arbiter-one-owner", "ValidatingAdmissionPolicyBinding arbiter-one-owner"];
    let pod_sizes = ["MutatingAdmissionPolicy arbiter-pod-sizes", "MutatingAdmissionPolicyBinding arbiter-pod-sizes"];
    assert_eq!(printed(&["--admission"]), [one_owner, pod_sizes].concat());
    assert_eq!(printed(&["--admission", "one-owner"]), one_owner);
}

#[test]
fn the_binary_takes_the_arguments_that_the_deployment_gives() {
    let deployment = &documents("deploy/kustomize/base/deployment.yaml")[0];
    let args = deployment["spec"]["template"]["spec"]["containers"][0]["args"].as_array().unwrap();
    let args = args.iter().map(|a| a.as_str().unwrap());
    // Arguments are read in order: an unknown one fails before the help is printed.
    let output = Command::new(env!("CARGO_BIN_EXE_arbiter")).args(args).arg("--help").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// `group/resource verb` of every rule of the cluster roles in a file.
fn rights(path: &str) -> BTreeSet<String> {
    let mut rights = BTreeSet::new();
    let roles = documents(path).into_iter().filter(|d| d["kind"] == "ClusterRole");
    for rule in roles.flat_map(|r| r["rules"].as_array().unwrap().clone()) {
        let words = |key: &str| -> Vec<String> {
            rule[key].as_array().unwrap().iter().map(|w| w.as_str().unwrap().to_owned()).collect()
        };
        for group in words("apiGroups") {
            for resource in words("resources") {
                rights.extend(words("verbs").iter().map(|verb| format!("{group}/{resource} {verb}")));
            }
        }
    }
    rights
}

#[test]
fn observe_writes_nothing_but_its_own_reports() {
    let reads = |right: &&String| [" get", " list", " watch"].iter().any(|verb| right.ends_with(verb));
    let rights = rights("deploy/kustomize/base/rbac.yaml");
    let writes: Vec<&String> = rights.iter().filter(|r| !reads(r)).collect();
    assert_eq!(writes, ["autoscaling.arbiter.io/scalingpolicies/status patch", "events.k8s.io/events create"]);
    assert!(!rights.iter().any(|r| r.contains("secrets") || r.contains('*')), "{rights:?}");
}

#[test]
fn auto_adds_what_actuating_needs_and_nothing_else() {
    const ADDED: [&str; 10] = [
        "/namespaces get",
        "/pods/eviction create",
        "/pods/resize patch",
        "autoscaling.arbiter.io/podsizes create",
        "autoscaling.arbiter.io/podsizes delete",
        "autoscaling.arbiter.io/podsizes update",
        "autoscaling.arbiter.io/scalingpolicies patch",
        "autoscaling.k8s.io/verticalpodautoscalers update",
        "autoscaling/horizontalpodautoscalers update",
        "keda.sh/scaledobjects update",
    ];
    let rights = rights("deploy/kustomize/overlays/auto/rbac.yaml");
    let beside_scale: Vec<_> = rights.iter().filter(|r| !r.contains("/scale ")).collect();
    assert_eq!(beside_scale, ADDED);
    assert!(rights.contains("apps/deployments/scale update"), "{rights:?}");
}
