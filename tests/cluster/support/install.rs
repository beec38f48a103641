//! arbiter's objects in the cluster, exactly as `deploy/kustomize` renders them, and the identities that follow from
//! them.
//!
//! The overlay `auto` is applied as it is. The profile `observe` is installed a second time, in a namespace of its own:
//! its objects are the rendered ones with the namespace and the names of cluster-wide bindings changed.

use std::path::PathBuf;

use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{Api, api::PostParams};
use serde_json::{Value, json};

use super::cluster::{Cluster, root};

/// Namespace that the overlays render.
const NAMESPACE: &str = "arbiter-system";
/// Namespace of the second installation.
const OBSERVE_NAMESPACE: &str = "arbiter-observe";
/// Name of the `ServiceAccount` and of most objects.
const NAME: &str = "arbiter";
/// Longer than any run of the tests.
const TOKEN_SECONDS: i64 = 4 * 3600;

/// What an instance of arbiter may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Reads and reports.
    Observe,
    /// Also writes `/scale` and sizes.
    Auto,
}

impl Profile {
    /// Namespace in which it is installed; its lease lives there.
    pub(crate) fn namespace(self) -> &'static str {
        match self {
            Self::Observe => OBSERVE_NAMESPACE,
            Self::Auto => NAMESPACE,
        }
    }

    /// Its user name, as RBAC and the audit log have it.
    pub(crate) fn user(self) -> String {
        format!("system:serviceaccount:{}:{NAME}", self.namespace())
    }
}

/// The objects of an overlay.
pub(crate) fn rendered(cluster: &Cluster, overlay: &str) -> Vec<Value> {
    let path = root().join("deploy/kustomize/overlays").join(overlay);
    let text = cluster.kubectl(&["kustomize", &path.to_string_lossy()], None);
    serde_saphyr::from_multiple::<Value>(&text).expect("rendered YAML")
}

/// Applies both profiles.
pub(crate) fn install(cluster: &Cluster) {
    apply(cluster, &rendered(cluster, "auto"));
    let second: Vec<Value> = rendered(cluster, "observe").into_iter().filter_map(elsewhere).collect();
    apply(cluster, &second);
    cluster.established(&["scalingpolicies.autoscaling.arbiter.io", "podsizes.autoscaling.arbiter.io"]);
}

fn apply(cluster: &Cluster, objects: &[Value]) {
    // Namespaces first: kubectl keeps the order of a list.
    let (first, rest): (Vec<&Value>, Vec<&Value>) = objects.iter().partition(|o| o["kind"] == "Namespace");
    let list = json!({"apiVersion": "v1", "kind": "List", "items": ([first, rest].concat())});
    cluster.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", "-"], Some(&list.to_string()));
}

/// The object in the second namespace; nothing for cluster-wide objects that both installations share.
fn elsewhere(mut object: Value) -> Option<Value> {
    match object["kind"].as_str()? {
        "Namespace" => object["metadata"]["name"] = OBSERVE_NAMESPACE.into(),
        "CustomResourceDefinition" | "ClusterRole" => return None,
        "ClusterRoleBinding" => {
            let name = format!("{}-observe", object["metadata"]["name"].as_str()?);
            object["metadata"]["name"] = name.into();
        }
        _ => object["metadata"]["namespace"] = OBSERVE_NAMESPACE.into(),
    }
    for subject in object.get_mut("subjects").and_then(Value::as_array_mut).into_iter().flatten() {
        subject["namespace"] = OBSERVE_NAMESPACE.into();
    }
    Some(object)
}

/// A kubeconfig for the `ServiceAccount` of a profile.
pub(crate) async fn kubeconfig(cluster: &Cluster, profile: Profile) -> PathBuf {
    kubeconfig_of(cluster, profile.namespace(), NAME).await
}

/// A kubeconfig for any `ServiceAccount`.
pub(crate) async fn kubeconfig_of(cluster: &Cluster, namespace: &str, account: &str) -> PathBuf {
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.admin().await, namespace);
    let spec = TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..TokenRequestSpec::default() };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let answer = accounts.create_token_request(account, &PostParams::default(), &request).await.expect("a token");
    let token = answer.status.expect("a token").token;
    let admin = std::fs::read_to_string(cluster.admin_kubeconfig()).expect("the admin's kubeconfig");
    let mut config: Value = serde_saphyr::from_str(&admin).expect("the admin's kubeconfig");
    for user in config["users"].as_array_mut().into_iter().flatten() {
        user["user"] = json!({"token": token});
    }
    let file = cluster.dir().join(format!("{namespace}-{account}.kubeconfig"));
    // Written whole, then named: another test may read the name at this moment.
    let scratch = cluster.dir().join(format!(".{namespace}-{account}-{}.kubeconfig", super::ports::free_port()));
    std::fs::write(&scratch, config.to_string()).expect("writing a kubeconfig");
    std::fs::rename(&scratch, &file).expect("naming a kubeconfig");
    file
}
