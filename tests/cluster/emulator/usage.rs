//! What each pod uses, told to KWOK in annotations: its kubelets serve it to metrics-server, and that one to HPA and VPA.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use tokio::sync::Mutex;

use super::plant::Plant;

/// How often usage is told: metrics-server asks every 15 s.
const EVERY: Duration = Duration::from_secs(2);
/// A change below this share is not told.
const WORTH_TELLING: f64 = 0.02;
/// Pods that are told at the same time.
const AT_ONCE: usize = 8;

/// Tells for ever. What the API server refuses is told again the next time.
pub(crate) async fn tell(plant: Arc<Mutex<Plant>>, api: Api<Pod>) {
    let mut told: BTreeMap<String, f64> = BTreeMap::new();
    let mut ticker = tokio::time::interval(EVERY);
    ticker.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticker.tick().await;
        let (usage, memory) = {
            let mut plant = plant.lock().await;
            (plant.usage(), plant.load().memory)
        };
        told.retain(|pod, _| usage.contains_key(pod));
        let changed = usage
            .into_iter()
            .filter(|(pod, cores)| told.get(pod).is_none_or(|last| (cores - last).abs() > last * WORTH_TELLING));
        let api = &api;
        let telling = futures::stream::iter(changed.collect::<Vec<_>>()).map(|(pod, cores)| async move {
            let annotations = serde_json::json!({
                "kwok.x-k8s.io/usage-cpu": format!("{:.0}m", cores * 1000.0),
                "kwok.x-k8s.io/usage-memory": format!("{memory:.0}"),
            });
            let patch = Patch::Merge(serde_json::json!({"metadata": {"annotations": annotations}}));
            api.patch(&pod, &PatchParams::default(), &patch).await.ok().map(|_| (pod, cores))
        });
        told.extend(telling.buffer_unordered(AT_ONCE).filter_map(|done| async { done }).collect::<Vec<_>>().await);
    }
}
