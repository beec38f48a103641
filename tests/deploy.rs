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
    let name = "autoscaling.arbiter.io_scalingpolicies.yaml";
    let (chart, generated) = (file(&format!("deploy/helm/arbiter/crds/{name}")), file(&format!("crds/{name}")));
    assert_eq!(chart, generated, "run make crds");
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
    assert_eq!(
        writes,
        [
            "autoscaling.arbiter.io/scalingpolicies/status patch",
            "events.k8s.io/events create",
            "events.k8s.io/events patch"
        ]
    );
    assert!(!rights.iter().any(|r| r.contains("secrets") || r.contains('*')), "{rights:?}");
}

#[test]
fn auto_adds_scale_resize_eviction_and_takeover_and_nothing_else() {
    const ADDED: [&str; 7] = [
        "/namespaces get",
        "/pods/eviction create",
        "/pods/resize patch",
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
