//! The target's ready pods and the cores that each may use, from the API server.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Context as _;
use arbiter::units::Quantity;
use k8s_openapi::{api::core::v1::Pod as ApiPod, apimachinery::pkg::api::resource::Quantity as ApiQuantity};
use kube::{
    Api, Client, Config,
    api::ListParams,
    config::{KubeConfigOptions, Kubeconfig},
};

use super::plant::Pod;

/// How often pods are listed: well under the time that a controller takes between two steps.
const EVERY: Duration = Duration::from_millis(500);

/// The latest list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pods(Arc<Mutex<BTreeMap<String, Pod>>>);

impl Pods {
    /// The pods that are ready now.
    pub(crate) fn now(&self) -> BTreeMap<String, Pod> {
        self.0.lock().map(|pods| pods.clone()).unwrap_or_default()
    }
}

/// The pods of a namespace, with the rights of a kubeconfig.
pub(crate) async fn api(kubeconfig: &Path, namespace: &str) -> anyhow::Result<Api<ApiPod>> {
    let file = Kubeconfig::read_from(kubeconfig).context("reading the kubeconfig")?;
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    Ok(Api::namespaced(Client::try_from(config)?, namespace))
}

/// Lists pods now and from then on.
pub(crate) fn follow(api: Api<ApiPod>, selector: &str, container: &str) -> Pods {
    let params = ListParams::default().labels(selector);
    let container = container.to_owned();
    let pods = Pods::default();
    let shared = pods.clone();
    tokio::spawn(async move {
        let mut ticker = tokio::time::interval(EVERY);
        loop {
            ticker.tick().await;
            // A list that fails changes nothing: pods do not stop working when the API server does.
            if let Ok(list) = api.list(&params).await {
                let ready = list.items.iter().filter_map(|pod| ready(pod, &container)).collect();
                if let Ok(mut pods) = shared.0.lock() {
                    *pods = ready;
                }
            }
        }
    });
    pods
}

/// A pod that is ready and not being deleted, with the cores of the container: its limit, else its allocated request.
fn ready(pod: &ApiPod, container: &str) -> Option<(String, Pod)> {
    let name = pod.metadata.name.clone()?;
    let status = pod.status.as_ref()?;
    let is_ready = status.conditions.iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True");
    if !is_ready || pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let spec = pod.spec.as_ref()?.containers.iter().find(|c| c.name == container)?;
    let status = status.container_statuses.iter().flatten().find(|c| c.name == container);
    let cpu = |map: Option<&BTreeMap<String, ApiQuantity>>| {
        map.and_then(|m| m.get("cpu")).and_then(|q| q.0.parse::<Quantity>().ok()).map(Quantity::as_f64)
    };
    let actual = status.and_then(|s| s.resources.as_ref());
    let limit = cpu(actual.and_then(|r| r.limits.as_ref()))
        .or_else(|| cpu(spec.resources.as_ref().and_then(|r| r.limits.as_ref())));
    let request = cpu(status.and_then(|s| s.allocated_resources.as_ref()))
        .or_else(|| cpu(actual.and_then(|r| r.requests.as_ref())))
        .or_else(|| cpu(spec.resources.as_ref().and_then(|r| r.requests.as_ref())));
    Some((name, Pod { cores: limit.or(request)? }))
}
