//! A scene on the real node: the service as a Deployment, a Prometheus that scrapes it and the kubelet, and requests.

use arbiter::{decide::ContainerState, units::Quantity};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Api, api::ListParams};
use serde_json::{Value, json};

use super::{
    cgroup::{Cgroup, identity},
    load::Load,
};
use crate::{
    specs,
    support::{Arbiter, CONTAINER, Profile, Scene, WEB, Workload, await_some, await_that},
};

/// Where the service listens.
const PORT: u16 = 8080;
/// CPU time of a request.
pub(super) const WORK: f64 = 0.02;

/// A scene with what is special on a real node.
pub(super) struct Stage {
    pub(super) scene: Scene,
    pub(super) load: Load,
}

/// A container of the service.
pub(super) fn container(scene: &Scene, name: &str, port: u16, requests: &Value, limits: &Value) -> Value {
    let work = format!("--work-ms={}", WORK * 1000.0);
    json!({
        "name": name,
        "image": scene.cluster.get("SERVICE_IMAGE"),
        "imagePullPolicy": "Never",
        "args": ["serve", format!("--port={port}"), "--workers=2", "--queue=1000", work],
        "ports": [{"containerPort": port}],
        "resources": {"requests": requests, "limits": limits},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": port}, "periodSeconds": 1, "timeoutSeconds": 5},
        "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
    })
}

impl Stage {
    /// One pod of the service that is ready and measured.
    pub(super) async fn new(name: &str, requests: &Value, limits: &Value) -> Self {
        let scene = Scene::new(&format!("node-{name}"), Profile::Auto).await;
        let containers = json!([container(&scene, CONTAINER, PORT, requests, limits)]);
        Self::with_containers(scene, &containers).await
    }

    /// The same with these containers in its pod.
    pub(super) async fn with_containers(scene: Scene, containers: &Value) -> Self {
        let nodes: Api<Node> = Api::all(scene.admin.clone());
        let nodes = nodes.list(&ListParams::default()).await.expect("nodes");
        let names: Vec<_> = nodes.items.iter().filter_map(|n| n.metadata.name.as_deref()).collect();
        assert_eq!(names, [scene.cluster.get("NODE")], "the real node alone: tests/cluster/up --with-node --nodes 0");
        scene.prometheus.scrape_by(&jobs(&scene));
        let pod = json!({"spec": {
            "nodeSelector": {"type": "real"},
            "volumes": [{"name": "scratch", "emptyDir": {}}],
            "containers": containers,
        }});
        scene.deployment_with(Workload { replicas: 1, emulated: false, ..Workload::default() }, &pod).await;
        let stage = Self { load: Load::start(&scene), scene };
        await_that("a ready pod", 60, || stage.scene.pods(), |pods| pods.len() == 1 && pods.iter().all(ready)).await;
        stage.measured().await;
        stage
    }

    /// Waits until Prometheus has the usage of the first container.
    async fn measured(&self) {
        let labels = format!("namespace=\"{}\",container=\"{CONTAINER}\"", self.scene.namespace);
        let query = format!("count(rate(container_cpu_usage_seconds_total{{{labels}}}[30s]))");
        await_some("usage from the kubelet's cAdvisor in Prometheus", 90, || async {
            let answer = self.scene.prometheus.query(&query).await?;
            if answer[0]["value"][1] == "1" { Ok(()) } else { Err(answer.to_string()) }
        })
        .await;
    }

    /// The value of a query that has one.
    pub(super) async fn value(&self, query: &str) -> Option<f64> {
        let answer = self.scene.prometheus.query(query).await.expect("an answer of Prometheus");
        answer[0]["value"][1].as_str().and_then(|text| text.parse().ok())
    }

    /// The only pod.
    pub(super) async fn pod(&self) -> Pod {
        let pods = self.scene.pods().await;
        assert_eq!(pods.len(), 1, "one pod");
        pods.into_iter().next().expect("a pod")
    }

    /// The cgroup of the only pod's first container.
    pub(super) async fn cgroup(&self) -> Cgroup {
        Cgroup::of(self.scene.cluster, &self.pod().await, CONTAINER)
    }

    /// Container id and restarts of the only pod's first container.
    pub(super) async fn identity(&self) -> (String, i32) {
        identity(&self.pod().await, CONTAINER)
    }

    /// Asks the service of the only pod for something.
    pub(super) async fn ask(&self, path: &str) -> String {
        let address = self.pod().await.status.and_then(|s| s.pod_ip).expect("an address");
        let answer = reqwest::get(format!("http://{address}:{PORT}{path}")).await.expect("an answer of the service");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.text().await.expect("text")
    }

    /// What arbiter has seen last of the first container.
    pub(super) async fn seen(&self, arbiter: &Arbiter) -> ContainerState {
        let snapshots = arbiter.snapshots(&self.scene.namespace, WEB).await;
        let last = snapshots.into_iter().next_back().expect("a snapshot");
        last.containers.into_iter().find(|c| c.name == CONTAINER).expect("the container")
    }

    /// Millicores that the node has for pods.
    pub(super) async fn allocatable(&self) -> i64 {
        let nodes: Api<Node> = Api::all(self.scene.admin.clone());
        let node = nodes.get(self.scene.cluster.get("NODE")).await.expect("the node");
        let cpu = node.status.and_then(|s| s.allocatable).and_then(|a| a.get("cpu").cloned()).expect("its CPU");
        #[expect(clippy::cast_possible_truncation, reason = "cores of a machine")]
        let millis = (cpu.0.parse::<Quantity>().expect("a quantity").as_f64() * 1000.0) as i64;
        millis
    }

    /// A policy of one replica in mode Auto that moves sizes alone.
    pub(super) fn sizes(&self, levers: &[&str], containers: &Value) -> Value {
        json!({
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": WEB},
            "mode": "Auto",
            "replicas": {"min": 1, "max": 1},
            "levers": levers,
            "containers": containers,
            "signals": [specs::requests(&self.scene)],
        })
    }

    /// Waits until the condition Limited has these words.
    pub(super) async fn limited(&self, seconds: u64, parts: &[&str]) -> String {
        let says = |c: &String| parts.iter().all(|part| c.contains(part));
        await_that("the condition Limited", seconds, || self.scene.condition(WEB, "Limited"), says).await
    }

    /// Waits until the only pod has a condition with this reason; gives its message.
    pub(super) async fn condition(&self, seconds: u64, kind: &str, reason: &str) -> String {
        let look = || async {
            let pod = self.pod().await;
            let conditions = pod.status.and_then(|s| s.conditions).unwrap_or_default();
            let found = conditions.into_iter().find(|c| c.type_ == kind);
            found.map(|c| (c.reason.unwrap_or_default(), c.message.unwrap_or_default())).unwrap_or_default()
        };
        await_that(kind, seconds, look, |(r, _)| r == reason).await.1
    }
}

/// Whether a pod is ready.
pub(super) fn ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_ref());
    conditions.into_iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True")
}

/// What Prometheus scrapes: the kubelet's cAdvisor, and the pods of the namespace that it finds by itself.
fn jobs(scene: &Scene) -> [Value; 2] {
    let client = scene.cluster.get("KUBELET_CLIENT");
    let cadvisor = json!({
        "job_name": "kubelet",
        "scheme": "https",
        "metrics_path": "/metrics/cadvisor",
        "tls_config": {
            "ca_file": scene.cluster.get("API_SERVER_CA"),
            "cert_file": format!("{client}.crt"),
            "key_file": format!("{client}.key"),
        },
        "static_configs": [{"targets": [scene.cluster.get("KUBELET_ADDRESS")]}],
    });
    let label = |from: &str, to: &str| json!({"source_labels": [from], "target_label": to});
    let service = json!({
        "job_name": "service",
        "kubernetes_sd_configs": [{
            "role": "pod",
            "kubeconfig_file": scene.cluster.admin_kubeconfig(),
            "namespaces": {"names": [scene.namespace]},
        }],
        "relabel_configs": [
            label("__meta_kubernetes_namespace", "namespace"),
            label("__meta_kubernetes_pod_name", "pod"),
            label("__meta_kubernetes_pod_label_app", "app"),
        ],
    });
    [cadvisor, service]
}
