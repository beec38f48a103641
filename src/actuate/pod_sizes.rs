//! I/O: The table of what new pods get, one object per namespace: POST, PUT or DELETE, each conditional on what was seen.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api,
    api::{DeleteParams, PostParams, Preconditions},
};

use super::{FIELD_MANAGER, Gate, WriteError, WriteKind, Writer};
use crate::api::{POD_SIZES_LABEL, POD_SIZES_NAME, PodSize, PodSizes, PodSizesSpec, SizedWorkload};

/// The table of a namespace, as it stands in the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Uid and version of the object; none: there is none.
    pub object: Option<(String, String)>,
    /// Its rows.
    pub rows: BTreeMap<SizedWorkload, PodSize>,
}

impl Table {
    /// What was read. A table without its label is not seen by the API server: it counts as empty.
    #[must_use]
    pub fn of(object: PodSizes) -> Self {
        let ObjectMeta { uid, resource_version, labels, .. } = object.metadata;
        let (key, value) = POD_SIZES_LABEL;
        let seen = labels.is_some_and(|labels| labels.get(key).is_some_and(|v| v == value));
        Self { object: uid.zip(resource_version), rows: if seen { object.spec.rows() } else { BTreeMap::new() } }
    }
}

impl Writer {
    /// Makes the rows of a namespace's table these; the object goes with its last row. Answers with the table as it is
    /// then. A conflict means that somebody else wrote it: read it again.
    pub async fn pod_sizes(
        &self,
        namespace: &str,
        before: &Table,
        rows: &BTreeMap<SizedWorkload, PodSize>,
        gate: Gate,
    ) -> Result<Table, WriteError> {
        let what = format!("podsizes {namespace}/{POD_SIZES_NAME} ({} workloads)", rows.len());
        let permit = self
            .pass(WriteKind::PodSizes, gate)
            .map_err(|refusal| WriteError::Dropped { what: what.clone(), refusal })?;
        let api = Api::<PodSizes>::namespaced(self.client.clone(), namespace);
        let options = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        let mut object = PodSizes::new(POD_SIZES_NAME, PodSizesSpec::of(rows));
        let (key, value) = POD_SIZES_LABEL;
        object.metadata.labels = Some(BTreeMap::from([(key.to_owned(), value.to_owned())]));
        let resource = "podsizes";
        let written = match &before.object {
            None if rows.is_empty() => return Ok(Table::default()),
            None => self.send(permit, &what, ("create", resource), api.create(&options, &object)).await?,
            Some((uid, resource_version)) if rows.is_empty() => {
                let preconditions =
                    Preconditions { uid: Some(uid.clone()), resource_version: Some(resource_version.clone()) };
                let options = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
                self.send(permit, &what, ("delete", resource), api.delete(POD_SIZES_NAME, &options)).await?;
                return Ok(Table::default());
            }
            Some((uid, resource_version)) => {
                object.metadata.uid = Some(uid.clone());
                object.metadata.resource_version = Some(resource_version.clone());
                self.send(permit, &what, ("update", resource), api.replace(POD_SIZES_NAME, &options, &object)).await?
            }
        };
        Ok(Table::of(written))
    }
}
