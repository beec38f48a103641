//! I/O: The target of a policy: found by discovery whatever its kind, read through `/scale`.
//!
//! `/scale` is read on every tick; the object itself only when its resourceVersion has moved, for what `/scale` does
//! not say: the pod template, the owner, who wrote the count last. Every way in which a target can be unfit is a
//! [`TargetError`]: a word for the condition, a sentence for people.

mod neighbours;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::{api::autoscaling::v1::Scale, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Client,
    api::DynamicObject,
    core::{ApiResource, GroupVersionKind, Selector},
};
use serde_json::Value;
use tokio::time::Instant;

use super::{objects, writers};
use crate::{
    decide::Resources,
    observe::{
        members::parse_selector,
        rollout::{self, RolloutFacts},
        root_cause,
    },
    policy::Target,
    units::Replicas,
};

/// How long what the API server serves is believed. New kinds appear with their CRDs, rarely.
const DISCOVERY_TTL: Duration = Duration::from_mins(10);

/// How long a failed discovery is believed, so that a missing CRD costs one request in half a minute.
const DISCOVERY_FAILED_TTL: Duration = Duration::from_secs(30);

/// How long a target is not read again after a right was missing: the condition says it, and a stream of refusals helps
/// nobody.
const FORBIDDEN_TTL: Duration = Duration::from_mins(1);

/// How long it is said that a Git tool keeps the count after it was last seen to own it: each write of ours takes the field
/// from it, each of its syncs (3 min for Argo CD, 10 min for Flux where nothing else is asked) takes it back.
const KEPT_TTL: Duration = Duration::from_mins(30);

/// How long one read may take: well within a tick.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a target cannot be scaled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// No such kind.
    #[error(
        "the API server knows no kind {kind} in {api_version}: correct spec.targetRef or install its custom resource definition"
    )]
    UnknownKind {
        /// Of the reference.
        api_version: String,
        /// Of the reference.
        kind: String,
    },
    /// The kind has no `/scale`.
    #[error(
        "{kind} ({api_version}) has no scale subresource: point spec.targetRef at an object that can be scaled, such as a Deployment"
    )]
    NoScale {
        /// Of the reference.
        api_version: String,
        /// Of the reference.
        kind: String,
    },
    /// One pod per node is not a count to be decided.
    #[error(
        "a DaemonSet runs one pod per node, so there is no replica count to decide: remove this policy, or use a Deployment"
    )]
    DaemonSet,
    /// No object of this name.
    #[error("{kind} {namespace}/{name} does not exist: create it or correct spec.targetRef.name")]
    NotFound {
        /// Of the reference.
        kind: String,
        /// Of the policy.
        namespace: String,
        /// Of the reference.
        name: String,
    },
    /// `/scale` names no pods.
    #[error(
        "the scale subresource of {kind} {name} gives {found}, so its pods cannot be told from others: set a selector on the target"
    )]
    NoSelector {
        /// Of the reference.
        kind: String,
        /// Of the reference.
        name: String,
        /// What it gives instead.
        found: String,
    },
    /// Somebody above decides the count.
    #[error("{kind} {name} is itself controlled by {owner}: point spec.targetRef at {owner}")]
    HasOwner {
        /// Of the reference.
        kind: String,
        /// Of the reference.
        name: String,
        /// Kind and name of the owner.
        owner: String,
    },
    /// Flagger serves from another Deployment.
    #[error(
        "Canary {canary} of Flagger takes new versions from Deployment {name} and serves from Deployment {primary}: point \
         spec.targetRef at Deployment {primary}"
    )]
    CanarySource {
        /// Of the reference.
        name: String,
        /// The Canary.
        canary: String,
        /// What serves.
        primary: String,
    },
    /// A right is missing.
    #[error(
        "may not {verb} {resource} in namespace {namespace}: grant the verb {verb} on {resource} to the controller"
    )]
    Forbidden {
        /// The verb.
        verb: &'static str,
        /// The resource, with its subresource.
        resource: String,
        /// Of the policy.
        namespace: String,
    },
    /// The API server did not answer, or answered nonsense.
    #[error("{what} cannot be read: {cause}; it is tried again at the next tick")]
    Unreadable {
        /// What was read.
        what: String,
        /// Why not.
        cause: String,
    },
}

impl TargetError {
    /// The reason of the condition: a closed set.
    #[must_use]
    pub const fn category(&self) -> &'static str {
        match self {
            Self::UnknownKind { .. } => "UnknownKind",
            Self::NoScale { .. } => "NoScale",
            Self::DaemonSet => "DaemonSet",
            Self::NotFound { .. } => "TargetNotFound",
            Self::NoSelector { .. } => "NoSelector",
            Self::HasOwner { .. } => "TargetHasOwner",
            Self::CanarySource { .. } => "CanarySource",
            Self::Forbidden { .. } => "Forbidden",
            Self::Unreadable { .. } => "TargetUnreadable",
        }
    }

    /// Whether it may pass by itself: then what is known and shown stays.
    #[must_use]
    pub const fn passing(&self) -> bool {
        matches!(self, Self::Unreadable { .. })
    }
}

/// What `/scale` says.
#[derive(Clone, Debug)]
pub struct ScaleFacts {
    /// Uid of the target.
    pub uid: String,
    /// Version of the object.
    pub resource_version: String,
    /// `spec.replicas`.
    pub replicas: Replicas,
    /// Which pods it means.
    pub selector: Selector,
}

/// A container of the pod template.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TemplateContainer {
    /// Name.
    pub name: String,
    /// Requests; like the API server does for pods, a missing one is taken from the limit.
    pub requests: Resources,
    /// Limits.
    pub limits: Resources,
}

/// What the object itself says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObjectFacts {
    /// Version of the object that the rest was read from.
    pub resource_version: String,
    /// Containers of the pod template; empty when it has none to read.
    pub template: Vec<TemplateContainer>,
    /// Hash of the newest template, for kinds that tell it in their status.
    pub template_hash: Option<String>,
    /// Kind and name of the owner that controls it.
    pub owner: Option<String>,
    /// The Canary of Flagger that owns it; it moves the template, and leaves the count to others.
    pub canary: Option<String>,
    /// The object that its pod template is taken from, where it has none itself.
    pub template_from: Option<Target>,
    /// What it says of its rollout.
    pub rollout: RolloutFacts,
    /// Why its pod template is not known, half a sentence.
    pub no_template: Option<String>,
    /// Who keeps its count and will write it back, half a sentence, and when that was last seen.
    pub kept: Option<(String, Instant)>,
    /// Why it must not shrink, in words.
    pub no_shrink: Option<String>,
    /// Who wrote `spec.replicas` last, when that was somebody else.
    pub last_writer: Option<String>,
}

/// A target, read.
#[derive(Clone, Debug)]
pub struct TargetFacts {
    /// How the API server names its kind.
    pub resource: ApiResource,
    /// What `/scale` says.
    pub scale: ScaleFacts,
    /// What the object says.
    pub object: Arc<ObjectFacts>,
    /// What it, and what is beside it, says of its rollout.
    pub rollout: RolloutFacts,
    /// What is to be said about it now, half a sentence each.
    pub remarks: Vec<String>,
    /// Whether its pods are known to be tied to it by owner references.
    pub owned_by_chain: bool,
}

type Kinds = Arc<BTreeMap<String, (ApiResource, bool)>>;
type ObjectKey = (String, Target);

/// Reader of targets with its caches.
pub struct Targets {
    client: Client,
    kinds: Mutex<BTreeMap<String, (Instant, Option<Kinds>)>>,
    objects: Mutex<BTreeMap<ObjectKey, Arc<ObjectFacts>>>,
    others: Mutex<BTreeMap<ObjectKey, neighbours::Seen>>,
    refused: Mutex<BTreeMap<ObjectKey, (Instant, TargetError)>>,
}

impl std::fmt::Debug for Targets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Targets").field("kinds", &self.kinds).field("objects", &self.objects).finish_non_exhaustive()
    }
}

impl Targets {
    /// A reader with empty caches.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            client,
            kinds: Mutex::default(),
            objects: Mutex::default(),
            others: Mutex::default(),
            refused: Mutex::default(),
        }
    }

    /// Reads a target.
    pub async fn read(&self, namespace: &str, target: &Target) -> Result<TargetFacts, TargetError> {
        let key = (namespace.to_owned(), target.clone());
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some((at, error)) = refused
            && at.elapsed() < FORBIDDEN_TTL
        {
            return Err(error);
        }
        let read = self.look(namespace, target).await;
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        match &read {
            Err(error @ TargetError::Forbidden { .. }) => drop(refused.insert(key, (Instant::now(), error.clone()))),
            _ => drop(refused.remove(&key)),
        }
        drop(refused);
        read
    }

    async fn look(&self, namespace: &str, target: &Target) -> Result<TargetFacts, TargetError> {
        if target.kind == "DaemonSet" {
            return Err(TargetError::DaemonSet);
        }
        let resource = self.resolve(target).await?;
        let api = Api::<DynamicObject>::namespaced_with(self.client.clone(), namespace, &resource);
        let what = format!("{}/scale {namespace}/{}", resource.plural, target.name);
        let scale = within(&what, api.get_scale(&target.name))
            .await
            .map_err(|e| refine(e, "get", &format!("{}/scale", resource.plural), namespace, target))?;
        let scale = scale_facts(&scale, target)?;
        let object = self.object(&api, namespace, target, &resource, &scale.resource_version).await?;
        if let Some(owner) = &object.owner {
            let (kind, name) = (target.kind.clone(), target.name.clone());
            return Err(TargetError::HasOwner { kind, name, owner: owner.clone() });
        }
        let rollout = self.beside(namespace, target, &api, &object).await?;
        let owned_by_chain = matches!(target.kind.as_str(), "Deployment" | "ReplicaSet" | "StatefulSet" | "Rollout");
        let scaled_down = neighbours::scaled_down_for_a_rollout(target, &object, scale.replicas.0);
        let kept = object.kept.as_ref().filter(|(_, seen)| seen.elapsed() < KEPT_TTL).map(|(words, _)| words.clone());
        let remarks = object.no_template.iter().cloned().chain(kept).chain(scaled_down).collect();
        Ok(TargetFacts { resource, scale, object, rollout, remarks, owned_by_chain })
    }

    /// Forgets what is cached of targets that no policy names any more.
    pub fn retain(&self, wanted: impl Fn(&str, &Target) -> bool) {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner).retain(|(ns, target), _| wanted(ns, target));
        self.others.lock().unwrap_or_else(PoisonError::into_inner).retain(|(ns, target), _| wanted(ns, target));
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).retain(|(ns, target), _| wanted(ns, target));
    }

    async fn object(
        &self,
        api: &Api<DynamicObject>,
        namespace: &str,
        target: &Target,
        resource: &ApiResource,
        version: &str,
    ) -> Result<Arc<ObjectFacts>, TargetError> {
        let key = (namespace.to_owned(), target.clone());
        let known = self.objects.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(known) = known.as_ref().filter(|o| o.resource_version == version) {
            return Ok(Arc::clone(known));
        }
        let what = format!("{} {namespace}/{}", resource.plural, target.name);
        let object = within(&what, api.get(&target.name))
            .await
            .map_err(|e| refine(e, "get", &resource.plural, namespace, target))?;
        let mut facts = object_facts(&target.kind, &object.metadata, &object.data);
        facts.kept = facts.kept.or_else(|| known?.kept.clone());
        if let Some(workload) = &facts.template_from {
            match self.template_of(namespace, workload).await {
                Ok(data) => facts.template = template(&data),
                Err(why) => {
                    // Not kept: it is looked for again at the next tick.
                    facts.no_template = Some(format!("its pod template is not known ({why})"));
                    return Ok(Arc::new(facts));
                }
            }
        }
        let facts = Arc::new(facts);
        self.objects.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::clone(&facts));
        Ok(facts)
    }

    async fn resolve(&self, target: &Target) -> Result<ApiResource, TargetError> {
        let unknown =
            || TargetError::UnknownKind { api_version: target.api_version.clone(), kind: target.kind.clone() };
        let kinds = self.kinds_of(&target.api_version).await?.ok_or_else(unknown)?;
        match kinds.get(&target.kind) {
            None => Err(unknown()),
            Some((_, false)) => {
                Err(TargetError::NoScale { api_version: target.api_version.clone(), kind: target.kind.clone() })
            }
            Some((resource, true)) => Ok(resource.clone()),
        }
    }

    /// Kinds that an API version serves; `None` when it serves none.
    async fn kinds_of(&self, api_version: &str) -> Result<Option<Kinds>, TargetError> {
        let cached = self.kinds.lock().unwrap_or_else(PoisonError::into_inner).get(api_version).cloned();
        if let Some((_, kinds)) = cached.filter(|(until, _)| *until > Instant::now()) {
            return Ok(kinds);
        }
        let what = format!("the list of kinds in {api_version}");
        let listed = if api_version.contains('/') {
            within(&what, self.client.list_api_group_resources(api_version)).await
        } else {
            within(&what, self.client.list_core_api_resources(api_version)).await
        };
        let kinds = match listed {
            Ok(list) => Some(Arc::new(scalable_kinds(api_version, &list.resources))),
            Err(Failed::Api(404 | 400, _)) => None,
            Err(Failed::Api(_, cause) | Failed::Other(cause)) => return Err(TargetError::Unreadable { what, cause }),
        };
        let ttl = if kinds.is_some() { DISCOVERY_TTL } else { DISCOVERY_FAILED_TTL };
        let entry = (Instant::now() + ttl, kinds.clone());
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner).insert(api_version.to_owned(), entry);
        Ok(kinds)
    }
}

/// Kinds of an API version, each with whether it can be scaled.
fn scalable_kinds(
    api_version: &str,
    resources: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResource],
) -> BTreeMap<String, (ApiResource, bool)> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let main = resources.iter().filter(|r| !r.name.contains('/') && r.namespaced);
    main.map(|r| {
        let gvk = GroupVersionKind::gvk(group, version, &r.kind);
        let scale = format!("{}/scale", r.name);
        let scalable = resources.iter().any(|s| s.name == scale);
        (r.kind.clone(), (ApiResource::from_gvk_with_plural(&gvk, &r.name), scalable))
    })
    .collect()
}

fn scale_facts(scale: &Scale, target: &Target) -> Result<ScaleFacts, TargetError> {
    let text = scale.status.as_ref().and_then(|s| s.selector.as_deref()).unwrap_or_default();
    let no_selector = |found: &str| TargetError::NoSelector {
        kind: target.kind.clone(),
        name: target.name.clone(),
        found: found.to_owned(),
    };
    let selector = parse_selector(text).ok_or_else(|| no_selector("a selector that cannot be read"))?;
    if selector.selects_all() {
        return Err(no_selector("no selector"));
    }
    let replicas = scale.spec.as_ref().and_then(|s| s.replicas).unwrap_or_default();
    Ok(ScaleFacts {
        uid: scale.metadata.uid.clone().unwrap_or_default(),
        resource_version: scale.metadata.resource_version.clone().unwrap_or_default(),
        replicas: Replicas(u32::try_from(replicas).unwrap_or_default()),
        selector,
    })
}

fn object_facts(kind: &str, metadata: &ObjectMeta, data: &Value) -> ObjectFacts {
    let owners = metadata.owner_references.iter().flatten();
    let canary = neighbours::canary_of(metadata);
    let owner = owners.into_iter().find(|o| o.controller == Some(true)).map(|o| format!("{} {}", o.kind, o.name));
    let text = |pointer: &str| data.pointer(pointer).and_then(Value::as_str);
    let keeps_volumes =
        data.pointer("/spec/volumeClaimTemplates").and_then(Value::as_array).is_some_and(|v| !v.is_empty());
    let deletes = text("/spec/persistentVolumeClaimRetentionPolicy/whenScaled") == Some("Delete");
    ObjectFacts {
        resource_version: metadata.resource_version.clone().unwrap_or_default(),
        template: template(data),
        template_from: workload_ref(data),
        template_hash: text("/status/updateRevision").or_else(|| text("/status/currentPodHash")).map(str::to_owned),
        owner: owner.filter(|_| canary.is_none()),
        canary,
        rollout: rollout::facts(kind, metadata.generation, data),
        no_template: None,
        kept: writers::kept(metadata).map(|words| (words, Instant::now())),
        no_shrink: (deletes && keeps_volumes).then(|| {
            "shrinking would delete volumes (persistentVolumeClaimRetentionPolicy.whenScaled: Delete)".to_owned()
        }),
        last_writer: writers::last(metadata.managed_fields.as_deref().unwrap_or_default()),
    }
}

/// What an Argo Rollout takes its template from.
fn workload_ref(data: &Value) -> Option<Target> {
    let text = |field: &str| Some(data.pointer("/spec/workloadRef")?[field].as_str()?.to_owned());
    Some(Target { api_version: text("apiVersion")?, kind: text("kind")?, name: text("name")? })
}

/// Containers of the pod template, then its sidecars.
fn template(data: &Value) -> Vec<TemplateContainer> {
    let list = |pointer: &str| data.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    let sidecars = list("/spec/template/spec/initContainers").filter(|c| c["restartPolicy"] == "Always");
    list("/spec/template/spec/containers").chain(sidecars).map(template_container).collect()
}

fn template_container(container: &Value) -> TemplateContainer {
    let list = |pointer: &str| {
        let map = container.pointer(pointer).and_then(Value::as_object);
        objects::resources(&map.into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect())
    };
    let (requests, limits) = (list("/resources/requests"), list("/resources/limits"));
    TemplateContainer {
        name: container.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
        requests: Resources {
            cpu_cores: requests.cpu_cores.or(limits.cpu_cores),
            memory_bytes: requests.memory_bytes.or(limits.memory_bytes),
        },
        limits,
    }
}

enum Failed {
    Api(u16, String),
    Other(String),
}

async fn within<T>(what: &str, read: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Failed> {
    match tokio::time::timeout(READ_TIMEOUT, read).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(kube::Error::Api(status))) => Err(Failed::Api(status.code, status.message.clone())),
        Ok(Err(error)) => Err(Failed::Other(root_cause(&error))),
        Err(_) => Err(Failed::Other(format!("no answer for {what} within {} s", READ_TIMEOUT.as_secs()))),
    }
}

fn refine(failed: Failed, verb: &'static str, resource: &str, namespace: &str, target: &Target) -> TargetError {
    match failed {
        Failed::Api(403, _) => {
            TargetError::Forbidden { verb, resource: resource.to_owned(), namespace: namespace.to_owned() }
        }
        Failed::Api(404, _) => TargetError::NotFound {
            kind: target.kind.clone(),
            namespace: namespace.to_owned(),
            name: target.name.clone(),
        },
        Failed::Api(_, cause) | Failed::Other(cause) => {
            TargetError::Unreadable { what: format!("{resource} {namespace}/{}", target.name), cause }
        }
    }
}

#[cfg(test)]
#[path = "target/tests.rs"]
mod tests;
