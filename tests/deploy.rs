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

/// What a template of the chart is without its directives: every value that is computed reads `x`, every branch is taken.
fn skeleton(path: &str) -> Vec<Value> {
    let mut text = String::new();
    for line in file(path).lines() {
        let mut plain = String::new();
        let mut rest = line;
        while let Some((before, after)) = rest.split_once("{{") {
            let (_, after) =
                after.split_once("}}").unwrap_or_else(|| panic!("{path}: a directive over two lines: {line}"));
            plain.push_str(before);
            plain.push('x');
            rest = after;
        }
        plain.push_str(rest);
        // A line of directives and nothing else.
        if line.trim_start().starts_with("{{") && plain.trim().chars().all(|c| c == 'x') {
            continue;
        }
        text.push_str(&plain);
        text.push('\n');
    }
    serde_saphyr::from_multiple(&text).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Every pod specification in the files of a folder, with the file it is in.
fn pod_specs(folder: &str, read: impl Fn(&str) -> Vec<Value>) -> Vec<(String, Value)> {
    let mut specs = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if file(&path).contains("containers:") {
                let templates = read(&path).into_iter().map(|o| o["spec"]["template"]["spec"].clone());
                specs.extend(templates.filter(Value::is_object).map(|spec| (path.clone(), spec)));
            }
        }
    }
    specs
}

/// In what a pod specification falls short of the Pod Security Standard "restricted", and of a read-only root and a fixed user
/// beyond it.
fn shortcomings(pod: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut must = |holds: bool, what: String| {
        if !holds {
            found.push(what);
        }
    };
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        must(pod[field].is_null(), format!("{field} is set"));
    }
    let plain =
        ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"];
    for volume in pod["volumes"].as_array().into_iter().flatten() {
        let kinds = volume.as_object().unwrap().keys().filter(|key| *key != "name");
        kinds.for_each(|kind| must(plain.contains(&kind.as_str()), format!("a volume of kind {kind}")));
    }
    let all = &pod["securityContext"];
    must(all["runAsNonRoot"] == true, "the pod may run as root".into());
    must(all["runAsUser"] == 65532 && all["runAsGroup"] == 65532, "the pod has another user than the image's".into());
    must(all["seccompProfile"]["type"] == "RuntimeDefault", "the pod has no seccomp profile".into());
    for field in ["sysctls", "seLinuxOptions", "windowsOptions", "appArmorProfile"] {
        must(all[field].is_null(), format!("the pod sets {field}"));
    }
    let lists = ["containers", "initContainers", "ephemeralContainers"];
    for container in lists.iter().flat_map(|list| pod[*list].as_array().into_iter().flatten()) {
        let (name, own) = (&container["name"], &container["securityContext"]);
        must(own["allowPrivilegeEscalation"] == false, format!("{name} may gain privileges"));
        must(own["readOnlyRootFilesystem"] == true, format!("{name} may write its root"));
        let dropped = own["capabilities"]["drop"].as_array().is_some_and(|list| list.iter().any(|c| c == "ALL"));
        must(dropped && own["capabilities"]["add"].is_null(), format!("{name} keeps capabilities"));
        // What holds for the pod holds for the container, unless it says otherwise.
        for field in ["privileged", "runAsNonRoot", "runAsUser", "seccompProfile", "procMount", "seLinuxOptions"] {
            must(own[field].is_null(), format!("{name} sets {field}"));
        }
        let ports = container["ports"].as_array().into_iter().flatten();
        ports.for_each(|port| must(port["hostPort"].is_null(), format!("{name} has a port of the host")));
    }
    found
}

#[test]
fn every_container_is_restricted_and_has_a_read_only_root() {
    let chart = pod_specs("deploy/helm/arbiter/templates", skeleton);
    let kustomization = pod_specs("deploy/kustomize", documents);
    let files: Vec<&str> = chart.iter().chain(&kustomization).map(|(path, _)| path.as_str()).collect();
    for file in ["templates/deployment.yaml", "templates/release-hook.yaml", "kustomize/base/deployment.yaml"] {
        assert!(files.iter().any(|path| path.ends_with(file)), "{file} has no pod: {files:?}");
    }
    for (path, pod) in chart.iter().chain(&kustomization) {
        assert_eq!(shortcomings(pod), Vec::<String>::new(), "{path}");
    }
}

/// Takes something from a pod.
type Spoil = fn(&mut Value);

#[test]
fn what_falls_short_of_the_standard_is_seen() {
    let (_, good) = pod_specs("deploy/kustomize", documents).remove(0);
    let spoiled: [(&str, Spoil); 6] = [
        ("seccomp", |pod| pod["securityContext"]["seccompProfile"] = Value::Null),
        ("root", |pod| pod["securityContext"]["runAsNonRoot"] = false.into()),
        ("write its root", |pod| pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"] = Value::Null),
        ("capabilities", |pod| pod["containers"][0]["securityContext"]["capabilities"] = Value::Null),
        ("may gain", |pod| pod["initContainers"] = serde_json::json!([{"name": "sidecar"}])),
        ("hostPath", |pod| pod["volumes"] = serde_json::json!([{"name": "v", "hostPath": {"path": "/"}}])),
    ];
    for (words, spoil) in spoiled {
        let mut pod = good.clone();
        spoil(&mut pod);
        assert!(shortcomings(&pod).iter().any(|found| found.contains(words)), "{words}: {:?}", shortcomings(&pod));
    }
}
