//! I/O: The steps of [`crate::takeover`] as requests: a rival as a whole, a policy's finalizers.
//!
//! Each is conditional on the version that was seen: whatever changed meanwhile makes it a conflict, and the caller looks
//! again.

use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::{FIELD_MANAGER, Gate, Permit, WriteError, WriteKind, Writer};
use crate::{
    observe::kubernetes::{PolicyObject, object_of, plural_of, resource_of},
    policy::PolicyKey,
    takeover::{Act, Kind},
};

impl Writer {
    fn step(&self, what: &str, gate: Gate) -> Result<Permit, WriteError> {
        self.pass(WriteKind::Takeover, gate).map_err(|refusal| WriteError::Dropped { what: what.to_owned(), refusal })
    }

    /// Puts an autoscaler as a whole; answers with it as it is now. The object carries the version and uid that were seen.
    pub async fn rival(&self, act: Act, kind: Kind, object: &Value, gate: Gate) -> Result<Value, WriteError> {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let (namespace, name) = (text("namespace"), text("name"));
        let plural = plural_of(kind);
        let what = format!("{plural} {namespace}/{name} ({})", word(act));
        let typed: DynamicObject = serde_json::from_value(object.clone())
            .map_err(|e| WriteError::Refused { what: what.clone(), cause: e.to_string() })?;
        let permit = self.step(&what, gate)?;
        let api = Api::<DynamicObject>::namespaced_with(self.client.clone(), &namespace, &resource_of(kind));
        let options = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        let request = api.replace(&name, &options, &typed);
        let group = kind.api_version().split('/').next().unwrap_or_default();
        let answer = self.send(permit, &what, ("update", &format!("{plural}.{group}")), request).await?;
        Ok(object_of(kind, &answer))
    }

    /// Sets all finalizers of a policy, on the version that was seen; answers with the new version.
    pub async fn finalizers(
        &self,
        policy: &PolicyKey,
        resource_version: &str,
        finalizers: &[String],
        gate: Gate,
    ) -> Result<Option<String>, WriteError> {
        let what = format!("finalizers of ScalingPolicy {policy}");
        let permit = self.step(&what, gate)?;
        let api = Api::<PolicyObject>::namespaced(self.client.clone(), &policy.namespace);
        let body = json!({"metadata": {"resourceVersion": resource_version, "finalizers": finalizers}});
        let patch = Patch::Merge(&body);
        let options = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        let request = api.patch_metadata(&policy.name, &options, &patch);
        let answer = self.send(permit, &what, ("patch", "scalingpolicies.autoscaling.arbiter.io"), request).await?;
        Ok(answer.metadata.resource_version)
    }
}

const fn word(act: Act) -> &'static str {
    match act {
        Act::Save => "saved",
        Act::StandDown => "stood down",
        Act::Stamp => "stamped",
        Act::Restore => "given back",
    }
}
