//! Usage from metrics.k8s.io: CPU and memory of containers, one list per namespace.
//!
//! The API gives each pod's own sample time and window. Throttling, pressure and OOM kills are not in it, and stay absent.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::{ContainerUsage, PodId, UsageSource, UsageTable};
use crate::observe::error::{ObserveError, root_cause, shorten};
use crate::units::{Bytes, Cores, Quantity, Seconds};

/// Longest wait for one list: metrics-server answers from memory.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Lists under way at once: they go through the API server, which has better things to do.
const CONCURRENCY: usize = 4;

/// metrics.k8s.io of one cluster.
pub struct MetricsApi {
    client: kube::Client,
}

impl MetricsApi {
    /// Reads with a cluster client, which needs to be allowed to list `pods.metrics.k8s.io`.
    #[must_use]
    pub const fn new(client: kube::Client) -> Self {
        Self { client }
    }

    async fn list(&self, namespace: String) -> (String, Result<Vec<PodMetrics>, ObserveError>) {
        let items = self.items(&namespace).await.map_err(|why| {
            let namespace = namespace.clone();
            ObserveError::MetricsApi { namespace, why }
        });
        (namespace, items)
    }

    async fn items(&self, namespace: &str) -> Result<Vec<PodMetrics>, String> {
        // Names of namespaces are DNS labels: nothing in them needs escaping.
        let request = http::Request::get(format!("/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods"))
            .body(Vec::new())
            .map_err(|e| e.to_string())?;
        match tokio::time::timeout(TIMEOUT, self.client.request::<PodMetricsList>(request)).await {
            Ok(Ok(list)) => Ok(list.items),
            Ok(Err(kube::Error::Api(status))) if status.code == 403 => {
                Err("grant the verb list on pods.metrics.k8s.io to the controller".to_owned())
            }
            Ok(Err(kube::Error::Api(status))) => Err(format!("HTTP {}: {}", status.code, shorten(&status.message))),
            Ok(Err(error)) => Err(root_cause(&error)),
            Err(_elapsed) => Err(format!("no answer within {} s", TIMEOUT.as_secs())),
        }
    }

    async fn read_pods(&self, now: Timestamp, pods: &BTreeSet<PodId>) -> Result<UsageTable, ObserveError> {
        let namespaces: BTreeSet<String> = pods.iter().map(|p| p.namespace.to_string()).collect();
        let wanted = namespaces.len();
        let lists: BTreeMap<String, _> = futures::stream::iter(namespaces)
            .map(|namespace| self.list(namespace))
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await;
        let mut table = UsageTable { complete: true, ..UsageTable::default() };
        let mut failures = Vec::new();
        for (namespace, list) in lists {
            match list {
                Ok(items) => items.into_iter().for_each(|item| add(now, &namespace, item, pods, &mut table)),
                Err(error) => failures.push(error),
            }
        }
        table.complete = failures.is_empty();
        table.notes = failures.iter().map(ToString::to_string).collect();
        match failures.into_iter().next() {
            Some(error) if table.notes.len() == wanted => Err(error),
            _ => Ok(table),
        }
    }
}

impl UsageSource for MetricsApi {
    fn read<'a>(
        &'a self,
        now: Timestamp,
        pods: &'a BTreeSet<PodId>,
    ) -> BoxFuture<'a, Result<UsageTable, ObserveError>> {
        Box::pin(self.read_pods(now, pods))
    }
}

fn add(now: Timestamp, namespace: &str, item: PodMetrics, wanted: &BTreeSet<PodId>, table: &mut UsageTable) {
    let pod = PodId { namespace: namespace.into(), name: item.metadata.name.into() };
    if !wanted.contains(&pod) {
        return;
    }
    let age = item.timestamp.map(|at| Seconds(now.duration_since(at).as_secs_f64().max(0.0)));
    // Windows differ a little between nodes; the longest is the one that every mean is covered by.
    if let Some(window) = item.window.as_deref().and_then(go_duration) {
        table.window = Some(table.window.map_or(window, |w| w.max(window)));
    }
    let containers = table.pods.entry(pod).or_default();
    for container in item.containers {
        let cpu = container.usage.get("cpu").and_then(|text| Some(Cores(amount(text)?)));
        let memory = container.usage.get("memory").and_then(|text| Some(Bytes::ceil_from(amount(text)?)));
        containers.insert(container.name.into(), ContainerUsage { cpu, memory, age, ..ContainerUsage::default() });
    }
}

fn amount(text: &str) -> Option<f64> {
    let value = text.parse::<Quantity>().ok()?.as_f64();
    (value.is_finite() && value >= 0.0).then_some(value)
}

/// A Go duration as the API writes it, for example `15.003s` or `1m0s`.
fn go_duration(text: &str) -> Option<Seconds> {
    let duration: SignedDuration = text.parse().ok()?;
    (duration > SignedDuration::ZERO).then(|| Seconds(duration.as_secs_f64()))
}

#[derive(Clone, Deserialize)]
struct PodMetricsList {
    #[serde(default)]
    items: Vec<PodMetrics>,
}

#[derive(Clone, Deserialize)]
struct PodMetrics {
    metadata: Metadata,
    #[serde(default)]
    timestamp: Option<Timestamp>,
    #[serde(default)]
    window: Option<String>,
    #[serde(default)]
    containers: Vec<ContainerMetrics>,
}

#[derive(Clone, Deserialize)]
struct Metadata {
    name: String,
}

#[derive(Clone, Deserialize)]
struct ContainerMetrics {
    name: String,
    #[serde(default)]
    usage: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests;
