//! I/O: What others make of a target: Flagger's canaries, and templates that live elsewhere.
//!
//! Flagger takes a Deployment `NAME` as the source of new versions and serves from a Deployment `NAME-primary`, which its
//! `Canary` owns; outside an analysis the source stands at zero. All of that shows in the two Deployments, so the right
//! to read `canaries.flagger.app` is never asked for. Where Flagger's kinds are not served, nothing is asked at all.
//!
//! Sources: Flagger, `pkg/canary/deployment_controller.go` (names, owner, scaling of the source); Argo Rollouts,
//! `spec.workloadRef`.

use std::{sync::PoisonError, time::Duration};

use kube::{Api, api::DynamicObject};
use serde_json::Value;
use tokio::time::Instant;

use super::{Failed, ObjectFacts, ObjectKey, ObjectMeta, TargetError, Targets, within};
use crate::{
    observe::rollout::{self, RolloutFacts},
    policy::Target,
};

/// What Flagger adds to the name of a Deployment.
const PRIMARY: &str = "-primary";
const FLAGGER: &str = "flagger.app/v1beta1";
/// What Argo Rollouts writes as.
const ARGO_ROLLOUTS: &str = "rollouts-controller";

/// How long it is believed that a Deployment has no primary. Flagger makes one when a Canary is new, and scales the source
/// right after, which is seen at once.
const SOURCE_TTL: Duration = Duration::from_mins(1);
/// How long an analysis is believed to go on, or not to: less than a tick.
const ANALYSIS_TTL: Duration = Duration::from_secs(10);

/// The other Deployment of a canary, as far as it matters.
#[derive(Clone, Debug)]
pub(super) enum Other {
    /// There is none, or it is nobody's canary.
    None,
    /// The primary of a source, and the Canary that owns it.
    Primary { canary: String, name: String },
    /// The source of a primary: its replicas, and what it says of its rollout.
    Source { replicas: u64, facts: RolloutFacts },
}

/// What was found of the other Deployment: when, and at which version of the target.
pub(super) type Seen = (Instant, String, Other);

/// The Canary that owns an object.
pub(super) fn canary_of(metadata: &ObjectMeta) -> Option<String> {
    let owners = metadata.owner_references.iter().flatten();
    let group = |version: &str| version.split('/').next() == FLAGGER.split('/').next();
    let mut owners = owners.filter(|o| o.controller == Some(true) && o.kind == "Canary" && group(&o.api_version));
    owners.next().map(|o| o.name.clone())
}

/// What there is to say of a Deployment at zero that Argo Rollouts scales down for a Rollout.
pub(super) fn scaled_down_for_a_rollout(target: &Target, object: &ObjectFacts, replicas: u32) -> Option<String> {
    let theirs = object.last_writer.as_deref() == Some(ARGO_ROLLOUTS);
    (target.kind == "Deployment" && theirs && replicas == 0).then(|| {
        "Argo Rollouts has scaled it to zero for a Rollout that takes its template by workloadRef: point spec.targetRef at \
         that Rollout"
            .to_owned()
    })
}

impl Targets {
    /// The rollout of a target with what Flagger does beside it; an error when the target only serves a canary.
    pub(super) async fn beside(
        &self,
        namespace: &str,
        target: &Target,
        api: &Api<DynamicObject>,
        object: &ObjectFacts,
    ) -> Result<RolloutFacts, TargetError> {
        let plain = object.rollout.clone();
        if target.kind != "Deployment" || !target.api_version.starts_with("apps/") {
            return Ok(plain);
        }
        match self.other(namespace, target, api, object).await {
            Other::None => Ok(plain),
            Other::Primary { canary, name } => {
                Err(TargetError::CanarySource { name: target.name.clone(), canary, primary: name })
            }
            Other::Source { replicas: 0, .. } => Ok(plain),
            Other::Source { facts, .. } => {
                let canary = object.canary.as_deref().unwrap_or_default();
                Ok(RolloutFacts {
                    under_way: Some(format!("Canary {canary} has a new version under analysis")),
                    in_steps: true,
                    moved: plain.moved.max(facts.moved),
                    ..plain
                })
            }
        }
    }

    async fn other(&self, namespace: &str, target: &Target, api: &Api<DynamicObject>, object: &ObjectFacts) -> Other {
        let source = object.canary.as_ref().and_then(|_| target.name.strip_suffix(PRIMARY));
        if source.is_none() && (object.canary.is_some() || !matches!(self.kinds_of(FLAGGER).await, Ok(Some(_)))) {
            return Other::None;
        }
        let key: ObjectKey = (namespace.to_owned(), target.clone());
        let ttl = if source.is_some() { ANALYSIS_TTL } else { SOURCE_TTL };
        let known = self.others.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some((at, version, other)) = known
            && version == object.resource_version
            && at.elapsed() < ttl
        {
            return other;
        }
        let name = source.map_or_else(|| format!("{}{PRIMARY}", target.name), str::to_owned);
        let other = match within(&format!("deployments {namespace}/{name}"), api.get(&name)).await {
            Ok(found) if source.is_some() => Other::Source {
                replicas: found.data.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1),
                facts: rollout::facts("Deployment", found.metadata.generation, &found.data),
            },
            Ok(found) => canary_of(&found.metadata).map_or(Other::None, |canary| Other::Primary { canary, name }),
            // What cannot be read now is taken for absent until the next look; the target itself was read with the same right.
            Err(_) => Other::None,
        };
        let seen = (Instant::now(), object.resource_version.clone(), other.clone());
        self.others.lock().unwrap_or_else(PoisonError::into_inner).insert(key, seen);
        other
    }

    /// The object that a Rollout takes its pod template from. A template that cannot be read is unknown, and why is half a
    /// sentence.
    pub(super) async fn template_of(&self, namespace: &str, workload: &Target) -> Result<Value, String> {
        let (api_version, kind, name) = (&workload.api_version, &workload.kind, &workload.name);
        let what = format!("{kind} {name}, which spec.workloadRef names");
        let kinds = self.kinds_of(api_version).await.map_err(|error| error.to_string())?;
        let resource = kinds.and_then(|kinds| kinds.get(kind).map(|(resource, _)| resource.clone()));
        let resource = resource.ok_or_else(|| format!("{what}, is of no kind that is served"))?;
        let api = Api::<DynamicObject>::namespaced_with(self.client.clone(), namespace, &resource);
        match within(&what, api.get(name)).await {
            Ok(found) => Ok(found.data),
            Err(Failed::Api(403, _)) => {
                let plural = &resource.plural;
                Err(format!("{what}, may not be read: grant the verb get on {plural} to the controller"))
            }
            Err(Failed::Api(404, _)) => Err(format!("{what}, does not exist")),
            Err(Failed::Api(_, cause) | Failed::Other(cause)) => Err(format!("{what}, cannot be read: {cause}")),
        }
    }
}
