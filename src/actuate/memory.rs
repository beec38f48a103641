//! I/O: What is remembered of many policies, as one object: written whole, since only the leader of a shard writes its own.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::ConfigMap};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};

use super::{FIELD_MANAGER, Gate, WriteError, WriteKind, Writer};

impl Writer {
    /// Makes a `ConfigMap` of a namespace hold these parts; none: deletes it.
    ///
    /// # Errors
    /// When it was not written.
    pub async fn memory(
        &self,
        (namespace, name): (&str, &str),
        labels: BTreeMap<String, String>,
        parts: Option<BTreeMap<String, ByteString>>,
        gate: Gate,
    ) -> Result<(), WriteError> {
        let what = format!("configmap {namespace}/{name}");
        let permit = self
            .pass(WriteKind::Memory, gate)
            .map_err(|refusal| WriteError::Dropped { what: what.clone(), refusal })?;
        let api = Api::<ConfigMap>::namespaced(self.client.clone(), namespace);
        let Some(parts) = parts else {
            let options = DeleteParams::default();
            return match self.send(permit, &what, ("delete", "configmaps"), api.delete(name, &options)).await {
                Err(WriteError::Refused { cause, .. }) if cause.contains("not found") => Ok(()),
                other => other.map(drop),
            };
        };
        let mut object = ConfigMap { binary_data: Some(parts), ..ConfigMap::default() };
        object.metadata.name = Some(name.to_owned());
        object.metadata.labels = Some(labels);
        let options = PatchParams::apply(FIELD_MANAGER).force();
        let patch = Patch::Apply(&object);
        self.send(permit, &what, ("patch", "configmaps"), api.patch(name, &options, &patch)).await.map(drop)
    }
}
