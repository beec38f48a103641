//! A namespace for tests that ask the API server alone: requests as they go over the wire, answers with their warnings.

use std::{collections::BTreeMap, time::Duration};

use arbiter::api::{POD_SIZES_LABEL, POD_SIZES_NAME, PodSize, PodSizesSpec, SizedWorkload};
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::cluster::{Cluster, cluster};

/// An answer of the API server.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// HTTP status.
    pub(crate) code: u16,
    /// Warning headers.
    pub(crate) warnings: Vec<String>,
    /// The object, or the status that says why not.
    pub(crate) body: Value,
}

impl Answer {
    /// Whether it was accepted.
    pub(crate) fn ok(&self) -> bool {
        self.code < 300
    }

    /// The object; fails with the refusal.
    #[track_caller]
    pub(crate) fn object(self, what: &str) -> Value {
        assert!(self.ok(), "{what}: {}", self.message());
        self.body
    }

    /// The API server's words.
    pub(crate) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }
}

/// A namespace that goes with its test.
pub(crate) struct Lab {
    /// The cluster.
    pub(crate) cluster: &'static Cluster,
    /// The namespace; it carries a label [`LABEL`] with its own name.
    pub(crate) namespace: String,
    client: Client,
}

/// Label by which an admission policy of a test finds its namespaces: all labs of one test have one value.
pub(crate) const LABEL: &str = "arbiter-lab";

impl Lab {
    /// A new namespace, labelled for the test `group`, in which pods can be created.
    pub(crate) async fn new(name: &str, group: &str) -> Self {
        let cluster = cluster().await;
        let namespace = format!("lab-{name}-{}", std::process::id());
        let lab = Self { cluster, client: cluster.admin().await, namespace };
        let object = json!({"metadata": {"name": lab.namespace, "labels": {LABEL: group}}});
        lab.send("POST", "/api/v1/namespaces", &object).await.object("the namespace");
        let account = lab.path("v1", "serviceaccounts/default");
        let end = Instant::now() + Duration::from_mins(1);
        while !lab.get(&account).await.ok() {
            assert!(Instant::now() < end, "no ServiceAccount in {}", lab.namespace);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        lab
    }

    /// A namespace that is there and goes with somebody else; it is labelled for the test `group`.
    pub(crate) async fn of(namespace: &str, group: &str) -> Self {
        let cluster = cluster().await;
        let lab = Self { cluster, client: cluster.admin().await, namespace: namespace.to_owned() };
        let label = json!({"metadata": {"labels": {LABEL: group}}});
        lab.patch(&format!("/api/v1/namespaces/{namespace}"), &label).await.object("labelling the namespace");
        lab
    }

    /// Path of a resource (`plural`, `plural/name`, `plural/name/subresource`) in this namespace.
    pub(crate) fn path(&self, api_version: &str, resource: &str) -> String {
        let root = if api_version.contains('/') { "apis" } else { "api" };
        format!("/{root}/{api_version}/namespaces/{}/{resource}", self.namespace)
    }

    /// Reads.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &Value::Null).await
    }

    /// Creates an object; its kind and version are added.
    pub(crate) async fn create(&self, api_version: &str, kind: &str, plural: &str, mut object: Value) -> Answer {
        object["apiVersion"] = api_version.into();
        object["kind"] = kind.into();
        self.send("POST", &self.path(api_version, plural), &object).await
    }

    /// Creates the table of new pods' sizes.
    pub(crate) async fn table(&self, rows: &BTreeMap<SizedWorkload, PodSize>) {
        let (key, value) = POD_SIZES_LABEL;
        let metadata = json!({"name": POD_SIZES_NAME, "labels": {key: value}});
        let object = json!({"metadata": metadata, "spec": PodSizesSpec::of(rows)});
        self.create("autoscaling.arbiter.io/v1alpha1", "PodSizes", "podsizes", object).await.object("a table");
    }

    /// Merge patch.
    pub(crate) async fn patch(&self, path: &str, patch: &Value) -> Answer {
        self.send("PATCH", path, patch).await
    }

    /// One request. PATCH is a merge patch.
    pub(crate) async fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        let content = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = http::Request::builder().method(method).uri(path).header("Content-Type", content);
        let request = request.body(Body::from(bytes)).expect("a request");
        let response = self.client.send(request).await.unwrap_or_else(|e| panic!("{method} {path}: {e}"));
        let code = response.status().as_u16();
        let header = response.headers().get_all("warning").iter();
        let warnings = header.filter_map(|w| w.to_str().ok().map(str::to_owned)).collect();
        let bytes = response.into_body().collect_bytes().await.expect("an answer");
        let body =
            serde_json::from_slice(&bytes).unwrap_or_else(|_| json!({"message": String::from_utf8_lossy(&bytes)}));
        Answer { code, warnings, body }
    }
}

impl Drop for Lab {
    /// The cluster may be one that stays.
    fn drop(&mut self) {
        delete(self.cluster, &["namespace", &self.namespace]);
    }
}

/// Objects of the whole cluster that go with their test.
pub(crate) struct ClusterWide {
    cluster: &'static Cluster,
    objects: Vec<(String, String)>,
}

impl ClusterWide {
    /// Applies objects.
    pub(crate) async fn apply(objects: &[Value]) -> Self {
        let cluster = cluster().await;
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        cluster.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", "-"], Some(&list.to_string()));
        let name = |o: &Value, at: &str| o.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self { cluster, objects: objects.iter().map(|o| (name(o, "/kind"), name(o, "/metadata/name"))).collect() }
    }
}

impl Drop for ClusterWide {
    fn drop(&mut self) {
        for (kind, name) in &self.objects {
            delete(self.cluster, &[kind, name]);
        }
    }
}

fn delete(cluster: &Cluster, what: &[&str]) {
    let mut kubectl = cluster.program("kubectl");
    kubectl.arg("--kubeconfig").arg(cluster.admin_kubeconfig()).args(["delete", "--wait=false", "--ignore-not-found"]);
    drop(super::cluster::run(kubectl.args(what), None));
}
