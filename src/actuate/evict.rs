//! I/O: The eviction of a pod, through the eviction API alone: disruption budgets are the API server's to honour.
//!
//! The uid travels as a precondition, so that a pod made anew under the same name is never evicted.

use k8s_openapi::{
    api::{core::v1::Pod, policy::v1::Eviction},
    apimachinery::pkg::apis::meta::v1::{DeleteOptions, ObjectMeta, Preconditions},
};
use kube::{Api, api::PostParams};
use serde_json::Value;

use super::{FIELD_MANAGER, Gate, PodEviction, WriteError, WriteKind, Writer};
use crate::observe::kubernetes::PodFacts;

impl Writer {
    /// Sends one eviction. `current` is the pod as it is known now: when it is another one, or is going, nothing is sent.
    pub async fn evict(
        &self,
        eviction: &PodEviction,
        current: Option<&PodFacts>,
        gate: Gate,
    ) -> Result<(), WriteError> {
        let what = format!("eviction of pod {}/{}", eviction.namespace, eviction.name);
        if current.is_none_or(|p| *p.uid != *eviction.uid || !p.counts()) {
            return Err(WriteError::Replaced { what });
        }
        let permit =
            self.pass(WriteKind::Evict, gate).map_err(|refusal| WriteError::Dropped { what: what.clone(), refusal })?;
        let api = Api::<Pod>::namespaced(self.client.clone(), &eviction.namespace);
        let options = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        // Not `Api::evict`: that of kube 5.0.0 writes `delete_options`, which the API server does not know, and the
        // precondition with it is lost.
        let body = body(eviction);
        let request = api.create_subresource::<_, Value>("eviction", &eviction.name, &options, &body);
        match self.send(permit, &what, ("create", "pods/eviction"), request).await {
            // The uid did not fit, or the pod is another one by now.
            Err(WriteError::Conflict { what, .. }) => Err(WriteError::Replaced { what }),
            other => other.map(drop),
        }
    }
}

fn body(eviction: &PodEviction) -> Eviction {
    let preconditions = Preconditions { uid: Some(eviction.uid.clone()), resource_version: None };
    Eviction {
        metadata: ObjectMeta {
            name: Some(eviction.name.clone()),
            namespace: Some(eviction.namespace.clone()),
            ..ObjectMeta::default()
        },
        delete_options: Some(DeleteOptions { preconditions: Some(preconditions), ..DeleteOptions::default() }),
    }
}
