//! I/O: The size of a running pod, through `pods/resize`.
//!
//! A strategic merge patch: a JSON merge patch would replace the list of containers, which the API server refuses. The
//! uid travels inside as a precondition, so that a pod made anew under the same name is never touched.

use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Map, Value, json};

use super::{FIELD_MANAGER, Gate, PodResize, WriteError, WriteKind, Writer};
use crate::{decide::Resources, observe::kubernetes::PodFacts, units::Quantity};

/// Only the metadata is read of the answer.
type Answered = kube::core::PartialObjectMeta<k8s_openapi::api::core::v1::Pod>;

impl Writer {
    /// Sends one resize. `current` is the pod as it is known now, not as it was decided on: when it is another one, or
    /// is going, nothing is sent.
    pub async fn resize(&self, resize: &PodResize, current: Option<&PodFacts>, gate: Gate) -> Result<(), WriteError> {
        let what = format!("pods/resize {}/{} ({})", resize.namespace, resize.name, words(resize));
        if current.is_none_or(|p| *p.uid != *resize.uid || !p.counts()) {
            return Err(WriteError::Replaced { what });
        }
        let permit = self
            .pass(WriteKind::Resize, gate)
            .map_err(|refusal| WriteError::Dropped { what: what.clone(), refusal })?;
        let api = Api::<Answered>::namespaced(self.client.clone(), &resize.namespace);
        let options = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        let patch = Patch::Strategic(body(resize));
        let request = api.patch_subresource("resize", &resize.name, &options, &patch);
        match self.send(permit, &what, ("patch", "pods/resize"), request).await {
            // The uid in the patch did not fit.
            Err(WriteError::Conflict { what, .. }) => Err(WriteError::Replaced { what }),
            other => other.map(drop),
        }
    }
}

fn body(resize: &PodResize) -> Value {
    let mut spec = Map::new();
    for container in &resize.containers {
        let mut resources = Map::new();
        for (field, amounts) in [("requests", container.requests), ("limits", container.limits)] {
            let list = list(amounts);
            if !list.is_empty() {
                resources.insert(field.to_owned(), Value::Object(list));
            }
        }
        let place = if resize.sidecars.contains(&container.name) { "initContainers" } else { "containers" };
        let entry = json!({"name": container.name, "resources": resources});
        if let Value::Array(list) = spec.entry(place).or_insert_with(|| json!([])) {
            list.push(entry);
        }
    }
    json!({"metadata": {"uid": resize.uid}, "spec": spec})
}

fn list(amounts: Resources) -> Map<String, Value> {
    let cpu = amounts.cpu_cores.map(|c| ("cpu".to_owned(), Quantity::format_cores(c).into()));
    let memory = amounts.memory_bytes.map(|m| ("memory".to_owned(), Quantity::format_bytes(m).into()));
    cpu.into_iter().chain(memory).collect()
}

fn words(resize: &PodResize) -> String {
    let parts = resize.containers.iter().map(|c| {
        let cpu = c.requests.cpu_cores.map(|x| format!("cpu {}", Quantity::format_cores(x)));
        let memory = c.requests.memory_bytes.map(|x| format!("memory {}", Quantity::format_bytes(x)));
        let amounts: Vec<_> = cpu.into_iter().chain(memory).collect();
        format!("{} {}", c.name, if amounts.is_empty() { "limits".to_owned() } else { amounts.join(", ") })
    });
    parts.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        actuate::ResizeKind,
        decide::ContainerSize,
        units::{Bytes, Cores},
    };

    #[test]
    fn the_patch_names_the_object_and_only_what_changes() {
        let resize = PodResize {
            namespace: "shop".into(),
            name: "web-1".into(),
            uid: "u".into(),
            containers: vec![ContainerSize {
                name: "app".into(),
                requests: Resources { cpu_cores: Some(Cores(1.2)), memory_bytes: None },
                limits: Resources { cpu_cores: None, memory_bytes: Some(Bytes(256 << 20)) },
            }],
            before: vec![],
            sidecars: vec![],
            kind: ResizeKind::Grow,
            restarts: false,
            relieves: false,
            killed: false,
        };
        let expected = json!({"metadata": {"uid": "u"}, "spec": {"containers": [
            {"name": "app", "resources": {"requests": {"cpu": "1200m"}, "limits": {"memory": "256Mi"}}}]}});
        assert_eq!(body(&resize), expected);
        assert_eq!(words(&resize), "app cpu 1200m");
        let sidecar = PodResize { sidecars: vec!["app".into()], ..resize };
        assert!(body(&sidecar)["spec"]["initContainers"].is_array() && body(&sidecar)["spec"]["containers"].is_null());
    }
}
