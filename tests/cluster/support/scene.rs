//! One test's world: a namespace with a workload, a Prometheus, and instances of arbiter that see this namespace only.

use std::{path::PathBuf, time::Duration};

use arbiter::units::Quantity;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, Pod},
};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    audit::{AuditEvent, audit_events},
    cluster::{Cluster, cluster},
    emulator::{Emulator, EmulatorOptions, PART_OF},
    history::History,
    install::{self, Profile},
    process::Arbiter,
    prometheus::Prometheus,
    wait::await_some,
};

/// Name of the workload, of its label `app`, and of the policy.
pub(crate) const WEB: &str = "web";
/// Its container.
pub(crate) const CONTAINER: &str = "app";

/// Window of the usage of pods: four scrapes of the tests' Prometheus, as the default of 60 s is of a 15 s scrape.
const USAGE_WINDOW: &str = "20s";

/// A workload's start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    /// Replicas.
    pub(crate) replicas: u32,
    /// CPU request, as a quantity.
    pub(crate) cpu: &'static str,
    /// Memory request, as a quantity.
    pub(crate) memory: &'static str,
    /// From running to Ready, as a Go duration; empty: at once.
    pub(crate) start: &'static str,
    /// Whether the scene's emulator plays its pods; the load is spread over all pods that it plays.
    pub(crate) emulated: bool,
}

impl Default for Workload {
    fn default() -> Self {
        Self { replicas: 2, cpu: "500m", memory: "128Mi", start: "", emulated: true }
    }
}

/// A namespace and what runs for it.
pub(crate) struct Scene {
    /// The cluster.
    pub(crate) cluster: &'static Cluster,
    /// The namespace.
    pub(crate) namespace: String,
    /// The tests' own hands.
    pub(crate) admin: Client,
    /// Its Prometheus.
    pub(crate) prometheus: Prometheus,
    profile: Profile,
    kubeconfig: PathBuf,
}

impl Scene {
    /// A new namespace with a Prometheus.
    pub(crate) async fn new(name: &str, profile: Profile) -> Self {
        let cluster = cluster().await;
        let admin = cluster.admin().await;
        let namespace = format!("e2e-{name}-{}", std::process::id());
        let object = serde_json::from_value(json!({"metadata": {"name": namespace}})).expect("a namespace");
        let api: Api<Namespace> = Api::all(admin.clone());
        api.create(&PostParams::default(), &object).await.expect("creating a namespace");
        await_some("the namespace's ServiceAccount", 60, || {
            let api: Api<k8s_openapi::api::core::v1::ServiceAccount> = Api::namespaced(admin.clone(), &namespace);
            async move { api.get("default").await.map(drop).map_err(|e| e.to_string()) }
        })
        .await;
        let prometheus = Prometheus::start(cluster, &namespace).await;
        let kubeconfig = install::kubeconfig(cluster, profile).await;
        Self { cluster, namespace, admin, prometheus, profile, kubeconfig }
    }

    /// What its instances of arbiter may do.
    pub(super) const fn profile(&self) -> Profile {
        self.profile
    }

    /// A client with arbiter's rights.
    pub(crate) async fn arbiter_client(&self) -> Client {
        super::cluster::client(&self.kubeconfig).await
    }

    /// Where a process of the scene writes its log.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.cluster.dir().join(format!("{}-{name}.log", self.namespace))
    }

    /// Starts an instance of arbiter that is ready. `extra` comes after the scene's own arguments.
    pub(crate) async fn arbiter(&self, identity: &str, extra: &[&str]) -> Arbiter {
        let mut arbiter = self.arbiter_unready(identity, extra);
        arbiter.ready().await;
        arbiter
    }

    /// Starts an instance of arbiter and does not wait for it. Its queue, Prometheus and exporters are processes of this
    /// machine, which no namespace's pods are: policies may look at anything, unless `extra` names who may.
    pub(crate) fn arbiter_unready(&self, identity: &str, extra: &[&str]) -> Arbiter {
        self.arbiter_in(&[], identity, extra)
    }

    /// The same with these variables in its environment.
    pub(crate) fn arbiter_in(&self, environment: &[(&str, &str)], identity: &str, extra: &[&str]) -> Arbiter {
        let mut args = vec![
            format!("--namespace={}", self.namespace),
            format!("--lease-namespace={}", self.profile.namespace()),
            format!("--lease-name={}", self.namespace),
            format!("--identity={identity}"),
            format!("--prometheus={}", self.prometheus.url()),
            format!("--usage-window={USAGE_WINDOW}"),
            "--log=info,arbiter=debug".to_owned(),
        ];
        if !extra.iter().any(|a| a.starts_with("--trusted-namespace")) {
            args.push("--trusted-namespace=*".to_owned());
        }
        args.extend(extra.iter().map(|&a| a.to_owned()));
        Arbiter::start_in(environment, &self.kubeconfig, &args, &self.log(identity))
    }

    /// Creates a workload without an emulator.
    pub(crate) async fn deployment(&self, name: &str, workload: Workload) {
        let api: Api<Deployment> = Api::namespaced(self.admin.clone(), &self.namespace);
        let object = serde_json::from_value(deployment(name, &self.namespace, workload)).expect("a deployment");
        api.create(&PostParams::default(), &object).await.expect("creating the deployment");
    }

    /// Deletes a workload and waits until it is gone.
    pub(crate) async fn delete_deployment(&self, name: &str) {
        let api: Api<Deployment> = Api::namespaced(self.admin.clone(), &self.namespace);
        api.delete(name, &kube::api::DeleteParams::default()).await.expect("deleting the deployment");
        await_some("the deployment gone", 60, || async {
            match api.get_opt(name).await {
                Ok(None) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }

    /// Creates the workload without an emulator, with these fields of its pod template in the place of its own.
    pub(crate) async fn deployment_with(&self, workload: Workload, template: &Value) {
        let mut object = deployment(WEB, &self.namespace, workload);
        merge(&mut object["spec"]["template"], template);
        let api: Api<Deployment> = Api::namespaced(self.admin.clone(), &self.namespace);
        let object = serde_json::from_value(object).expect("a deployment");
        api.create(&PostParams::default(), &object).await.expect("creating the deployment");
    }

    /// Creates the workload with its emulator, scraped, and waits until its pods work.
    pub(crate) async fn workload(&self, workload: Workload, options: &EmulatorOptions) -> Emulator {
        self.deployment(WEB, workload).await;
        self.emulate(workload.replicas, options).await
    }

    /// Starts the emulator of the scene's pods, scraped, and waits until so many work.
    pub(crate) async fn emulate(&self, pods: u32, options: &EmulatorOptions) -> Emulator {
        let admin = self.cluster.admin_kubeconfig();
        let emulator = Emulator::start(&admin, &self.namespace, WEB, options, &self.log("emulator"));
        self.prometheus.scrape(&emulator.exporters);
        await_some("pods that work", 60, || async {
            let state = emulator.state().await;
            if state["pods"] == pods { Ok(()) } else { Err(state.to_string()) }
        })
        .await;
        emulator
    }

    /// Runs kubectl as admin in the namespace, and gives what it prints.
    pub(crate) fn kubectl(&self, args: &[&str], input: Option<&Value>) -> String {
        let args: Vec<&str> = ["--namespace", &self.namespace].into_iter().chain(args.iter().copied()).collect();
        self.cluster.kubectl(&args, input.map(Value::to_string).as_deref())
    }

    /// Applies an object of any kind, as a Git tool does that takes every field it names; the manager says which tool.
    pub(crate) fn apply(&self, manager: &str, object: &Value) {
        let manager = format!("--field-manager={manager}");
        self.kubectl(&["apply", "--server-side", "--force-conflicts", &manager, "-f", "-"], Some(object));
    }

    /// An object of any kind, by kind and name.
    pub(crate) fn object(&self, kind: &str, name: &str) -> Value {
        serde_json::from_str(&self.kubectl(&["get", kind, name, "-o", "json", "--show-managed-fields"], None))
            .expect("JSON")
    }

    /// Waits until Prometheus can tell the usage of every pod.
    pub(crate) async fn usage_known(&self, pods: u32) {
        let query = format!("count(rate(container_cpu_usage_seconds_total{{namespace=\"{}\"}}[30s]))", self.namespace);
        await_some("usage in Prometheus", 60, || async {
            let answer = self.prometheus.query(&query).await?;
            let count = answer[0]["value"][1].as_str().and_then(|v| v.parse().ok());
            if count == Some(pods) { Ok(()) } else { Err(answer.to_string()) }
        })
        .await;
    }

    /// Objects of a kind in this namespace.
    pub(crate) fn objects(&self, api_version: &str, kind: &str, plural: &str) -> Api<DynamicObject> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        Api::namespaced_with(self.admin.clone(), &self.namespace, &resource)
    }

    /// The policies.
    pub(crate) fn policies(&self) -> Api<DynamicObject> {
        self.objects("autoscaling.arbiter.io/v1alpha1", "ScalingPolicy", "scalingpolicies")
    }

    /// The kubeconfig that arbiter runs under.
    pub(crate) fn kubeconfig(&self) -> &std::path::Path {
        &self.kubeconfig
    }

    /// Creates or changes a policy.
    pub(crate) async fn policy(&self, name: &str, spec: Value) {
        let object = json!({"apiVersion": "autoscaling.arbiter.io/v1alpha1", "kind": "ScalingPolicy", "metadata": {"name": name}, "spec": spec});
        let params = PatchParams::apply("e2e").force();
        self.policies().patch(name, &params, &Patch::Apply(&object)).await.expect("applying the policy");
    }

    /// A policy's uid.
    pub(crate) async fn policy_uid(&self, name: &str) -> Option<String> {
        self.policies().get(name).await.expect("the policy").metadata.uid
    }

    /// A policy's status; `Null` when there is none.
    pub(crate) async fn status(&self, name: &str) -> Value {
        let policy = self.policies().get(name).await.expect("the policy");
        policy.data["status"].clone()
    }

    /// A condition as `Status/Reason: message`; empty when it is not there.
    pub(crate) async fn condition(&self, name: &str, kind: &str) -> String {
        let status = self.status(name).await;
        let condition = status["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == kind).cloned();
        let word = |c: &Value, key: &str| c[key].as_str().unwrap_or_default().to_owned();
        condition.map_or_else(String::new, |c| {
            format!("{}/{}: {}", word(&c, "status"), word(&c, "reason"), word(&c, "message"))
        })
    }

    /// The target's `spec.replicas`.
    pub(crate) async fn replicas(&self) -> u32 {
        self.replicas_of(WEB).await
    }

    /// `spec.replicas` of a workload.
    pub(crate) async fn replicas_of(&self, name: &str) -> u32 {
        let api: Api<Deployment> = Api::namespaced(self.admin.clone(), &self.namespace);
        let scale = api.get_scale(name).await.expect("the deployment's scale");
        scale.spec.and_then(|s| s.replicas).unwrap_or_default().try_into().expect("a count")
    }

    /// Sets `spec.replicas` as a deploy would.
    pub(crate) async fn set_replicas(&self, replicas: u32) {
        let api: Api<Deployment> = Api::namespaced(self.admin.clone(), &self.namespace);
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        api.patch(WEB, &PatchParams::default(), &patch).await.expect("setting replicas");
    }

    /// CPU requests of the pods that are not being deleted, as quantities, sorted.
    pub(crate) async fn pod_cpus(&self) -> Vec<String> {
        let api: Api<Pod> = Api::namespaced(self.admin.clone(), &self.namespace);
        let pods = api.list(&ListParams::default().labels(&format!("app={WEB}"))).await.expect("pods");
        let alive = pods.items.iter().filter(|p| p.metadata.deletion_timestamp.is_none());
        let mut cpus: Vec<String> = alive
            .filter_map(|p| p.spec.as_ref()?.containers.first()?.resources.as_ref()?.requests.as_ref()?.get("cpu"))
            .map(|q| q.0.clone())
            .collect();
        cpus.sort();
        cpus
    }

    /// Pods of the workload that are not being deleted, by name.
    pub(crate) async fn pods(&self) -> Vec<Pod> {
        let api: Api<Pod> = Api::namespaced(self.admin.clone(), &self.namespace);
        let pods = api.list(&ListParams::default().labels(&format!("app={WEB}"))).await.expect("pods");
        let alive = pods.items.into_iter().filter(|p| p.metadata.deletion_timestamp.is_none());
        let mut alive: Vec<_> = alive.collect();
        alive.sort_by_key(|p| p.metadata.name.clone());
        alive
    }

    /// CPU requests of the pods that are not being deleted, summed, in cores.
    pub(crate) async fn total_cpu(&self) -> f64 {
        self.pod_cpus().await.iter().map(|q| cores(q)).sum()
    }

    /// Waits until replicas and sizes have stayed as they are for so many seconds; gives both.
    pub(crate) async fn settled(&self, seconds: u64) -> (u32, Vec<String>) {
        let give_up = Instant::now() + Duration::from_mins(2);
        let mut seen = (self.replicas().await, self.pod_cpus().await);
        let mut since = Instant::now();
        while since.elapsed() < Duration::from_secs(seconds) {
            assert!(Instant::now() < give_up, "not at rest within 120 s: {seen:?}");
            tokio::time::sleep(Duration::from_millis(500)).await;
            let now = (self.replicas().await, self.pod_cpus().await);
            if now != seen {
                (seen, since) = (now, Instant::now());
            }
        }
        seen
    }

    /// Writes down every value of `spec.replicas` of the workload from now on.
    pub(crate) async fn history(&self) -> History {
        self.history_of(WEB).await
    }

    /// Writes down every value of `spec.replicas` of another workload from now on.
    pub(crate) async fn history_of(&self, name: &str) -> History {
        History::start(Api::namespaced(self.admin.clone(), &self.namespace), name).await
    }

    /// What this scene's arbiter asked of the API server about this namespace.
    pub(crate) fn audit(&self) -> Vec<AuditEvent> {
        let events = audit_events(self.cluster, &self.profile.user());
        events.into_iter().filter(|e| e.namespace == self.namespace).collect()
    }
}

impl Drop for Scene {
    /// The cluster may be one that stays.
    fn drop(&mut self) {
        let kubeconfig = self.cluster.admin_kubeconfig();
        let mut kubectl = self.cluster.program("kubectl");
        kubectl.arg("--kubeconfig").arg(kubeconfig).args(["delete", "namespace", "--wait=false", &self.namespace]);
        drop(super::cluster::run(&mut kubectl, None));
    }
}

/// Lays fields over others; lists are replaced.
fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => into.clone_from(from),
    }
}

/// A CPU quantity in cores.
pub(crate) fn cores(quantity: &str) -> f64 {
    quantity.parse::<Quantity>().expect("a quantity").as_f64()
}

fn deployment(name: &str, namespace: &str, workload: Workload) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "replicas": workload.replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": template(name, namespace, workload),
        },
    })
}

/// The pod template of a workload.
pub(crate) fn template(name: &str, namespace: &str, workload: Workload) -> Value {
    let mut labels = json!({"app": name});
    if workload.emulated {
        labels[PART_OF] = namespace.into();
    }
    let mut metadata = json!({"labels": labels});
    if !workload.start.is_empty() {
        metadata["annotations"] = json!({"sim/ready-delay": workload.start});
    }
    let requests = json!({"cpu": workload.cpu, "memory": workload.memory});
    json!({
        "metadata": metadata,
        "spec": {
            "nodeSelector": {"type": "kwok"},
            "tolerations": [{"operator": "Exists"}],
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": CONTAINER, "image": "emulated", "resources": {"requests": requests}}],
        },
    })
}
