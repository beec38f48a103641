//! I/O: The replica count, through `/scale`: GET, compare, PUT.
//!
//! What was decided on is a count of one object: when either is no longer so, the decision is void and nothing is
//! written. A resourceVersion that moved while the count stayed (a status change moves it) is no such change; then it
//! is tried again, a few times, while the snapshot is valid.

use std::time::Duration;

use k8s_openapi::api::autoscaling::v1::Scale;
use kube::{
    Api,
    api::{DynamicObject, PostParams},
    core::ApiResource,
};

use super::{
    FIELD_MANAGER, Gate, WriteError, WriteKind, Writer,
    writer::{Answer, answer, refused},
};
use crate::units::Replicas;

/// Attempts for one decision: controllers write a target's status in bursts of a few.
const TRIES: u32 = 3;

/// Pause before the next attempt: such a burst lasts some tens of milliseconds.
const PAUSE: Duration = Duration::from_millis(50);

/// A count to write.
#[derive(Clone, Debug)]
pub struct ScaleIntent<'a> {
    /// Kind of the target.
    pub resource: &'a ApiResource,
    /// Namespace of the target.
    pub namespace: &'a str,
    /// Name of the target.
    pub name: &'a str,
    /// Uid of the object that was decided on.
    pub uid: &'a str,
    /// Count that was decided on.
    pub from: Replicas,
    /// Count that is wanted.
    pub to: Replicas,
    /// [`WriteKind::Scale`] for a decision, [`WriteKind::Takeover`] for a count that is handed back.
    pub kind: WriteKind,
}

impl ScaleIntent<'_> {
    fn what(&self) -> String {
        format!("{}/scale {}/{} ({} → {})", self.resource.plural, self.namespace, self.name, self.from, self.to)
    }
}

impl Writer {
    /// Writes the count. `Ok` also when it already is what is wanted.
    pub async fn scale(&self, intent: &ScaleIntent<'_>, gate: Gate) -> Result<(), WriteError> {
        let what = intent.what();
        let api = Api::<DynamicObject>::namespaced_with(self.client.clone(), intent.namespace, intent.resource);
        let resource = format!("{}/scale", intent.resource.plural);
        for _ in 0..TRIES {
            let permit =
                self.pass(intent.kind, gate).map_err(|refusal| WriteError::Dropped { what: what.clone(), refusal })?;
            let read = tokio::time::timeout(super::WRITE_TIMEOUT, api.get_scale(intent.name)).await;
            let found = match read {
                Ok(Ok(scale)) => scale,
                Ok(Err(kube::Error::Api(s))) if s.code == 404 => return Err(WriteError::Replaced { what }),
                Ok(Err(kube::Error::Api(s))) => {
                    return Err(refused(&what, "get", &resource, s.code, s.message.clone()));
                }
                Ok(Err(e)) => {
                    return Err(WriteError::Failed { what, cause: crate::observe::root_cause(&e) });
                }
                Err(_) => return Err(WriteError::Failed { what, cause: "no answer to the read".into() }),
            };
            let Some(next) = next_scale(&found, intent, &what)? else { return Ok(()) };
            let options = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
            // The read took time; a claim that ran out meanwhile must not be used.
            if !self.leads() {
                return Err(WriteError::Dropped { what, refusal: super::Refusal::NotLeader });
            }
            match answer(permit, api.replace_scale(intent.name, &options, &next)).await {
                Answer::Ok(_) => return Ok(()),
                Answer::Status(409, ..) => tokio::time::sleep(PAUSE).await,
                Answer::Status(code, cause, _) => return Err(refused(&what, "update", &resource, code, cause)),
                Answer::Unknown(cause) => return Err(WriteError::Failed { what, cause }),
            }
        }
        Err(WriteError::Conflict { what, tries: TRIES })
    }
}

/// The object to put, `None` when the count is there already, an error when it is not what was decided on.
fn next_scale(found: &Scale, intent: &ScaleIntent<'_>, what: &str) -> Result<Option<Scale>, WriteError> {
    if found.metadata.uid.as_deref() != Some(intent.uid) {
        return Err(WriteError::Replaced { what: what.to_owned() });
    }
    let count = found.spec.as_ref().and_then(|s| s.replicas).unwrap_or_default();
    let count = Replicas(u32::try_from(count).unwrap_or_default());
    if count == intent.to {
        return Ok(None);
    }
    if count != intent.from {
        return Err(WriteError::Foreign { what: what.to_owned(), expected: intent.from, found: count });
    }
    let mut next = found.clone();
    next.status = None;
    next.spec.get_or_insert_default().replicas = Some(i32::try_from(intent.to.0).unwrap_or(i32::MAX));
    Ok(Some(next))
}
