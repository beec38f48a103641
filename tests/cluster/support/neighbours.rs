//! Other people's controllers, for real: Argo Rollouts and Flagger, built from their Go modules, one process for the
//! namespace of a scene. And the rights that arbiter is given beside them.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    cluster::{root, run},
    ports::free_port,
    process::Process,
    scene::Scene,
};

/// The folder of a part of `tests/cluster/build`, which builds it where it is missing.
fn part(name: &str) -> PathBuf {
    let output = Command::new(root().join("tests/cluster/build")).arg(name).stderr(Stdio::inherit()).output();
    let output = output.expect("tests/cluster/build");
    assert!(output.status.success(), "tests/cluster/build {name} failed: {}", output.status);
    PathBuf::from(String::from_utf8(output.stdout).expect("a path").trim())
}

/// Installs custom resource definitions; they are the cluster's, and other tests may have done so.
fn install(scene: &Scene, folder: &std::path::Path, names: &[&str]) {
    // kubectl does not follow a link to a folder.
    let folder = folder.canonicalize().expect("the definitions").to_string_lossy().into_owned();
    scene.cluster.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", &folder], None);
    for name in names {
        scene.cluster.established(&[name]);
        // Served a moment later; Flagger ends when it starts before that.
        let list = || {
            let mut kubectl = scene.cluster.program("kubectl");
            kubectl.arg("--kubeconfig").arg(scene.cluster.admin_kubeconfig()).args(["get", name, "--all-namespaces"]);
            run(&mut kubectl, None)
        };
        let served = (0..60).any(|_| {
            let served = list().is_ok();
            if !served {
                std::thread::sleep(Duration::from_millis(500));
            }
            served
        });
        assert!(served, "{name} is not served");
    }
}

/// Starts the controller of Argo Rollouts.
pub(crate) fn argo_rollouts(scene: &Scene) -> Process {
    let folder = part("argo-rollouts");
    install(scene, &folder.join("argo-rollouts-crds"), &["rollouts.argoproj.io", "analysisruns.argoproj.io"]);
    let mut command = Command::new(folder.join("rollouts-controller"));
    command.arg("--kubeconfig").arg(scene.cluster.admin_kubeconfig());
    command.args(["--namespaced", "--namespace", &scene.namespace, "--leader-elect=false"]);
    command.arg(format!("--metricsPort={}", free_port())).arg(format!("--healthzPort={}", free_port()));
    Process::start(&command, &scene.log("rollouts-controller"))
}

/// Starts Flagger, which shifts traffic by Services alone.
pub(crate) fn flagger(scene: &Scene) -> Process {
    let folder = part("flagger");
    let names = ["canaries.flagger.app", "metrictemplates.flagger.app", "alertproviders.flagger.app"];
    install(scene, &folder.join("flagger-crds"), &names);
    let mut command = Command::new(folder.join("flagger"));
    command.arg("-kubeconfig").arg(scene.cluster.admin_kubeconfig());
    command.args(["-namespace", &scene.namespace, "-mesh-provider", "kubernetes", "-log-level", "info"]);
    command.args(["-metrics-server", &scene.prometheus.url(), "-port", &free_port().to_string()]);
    Process::start(&command, &scene.log("flagger"))
}

/// Gives arbiter, in the scene's namespace, the rights that the chart gives it for an `extraScaleResources` entry.
pub(crate) fn grant(scene: &Scene, group: &str, resource: &str) {
    let mut helm = scene.cluster.program("helm");
    helm.args(["template", "arbiter"]).arg(root().join("deploy/helm/arbiter"));
    helm.args(["--kube-version=1.35.0", "--set=profile=auto"]);
    let extra = json!([{"apiGroup": group, "resource": resource}]);
    helm.arg(format!("--set-json=extraScaleResources={extra}")).args(["--show-only=templates/rbac.yaml"]);
    let text = run(&mut helm, None).expect("helm template");
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text).expect("rendered YAML");
    let rules = objects.iter().flat_map(|o| o["rules"].as_array().cloned().unwrap_or_default());
    let rules: Vec<Value> = rules.filter(|rule| rule["apiGroups"] == json!([group])).collect();
    assert!(!rules.is_empty(), "the chart has no rule for {group}");
    let name = format!("extra-{resource}");
    let kind =
        |kind: &str| json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name}});
    let (mut role, mut binding) = (kind("Role"), kind("RoleBinding"));
    role["rules"] = rules.into();
    binding["roleRef"] = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name});
    let account = json!({"kind": "ServiceAccount", "name": "arbiter", "namespace": scene.profile().namespace()});
    binding["subjects"] = json!([account]);
    scene.apply("e2e", &role);
    scene.apply("e2e", &binding);
}
