//! The cluster's objects in small own types: only the fields that a decision or a write needs.
//!
//! Each `…Object` is what the watch decodes; each `…Facts` is what is kept. Annotations, managed fields, volumes,
//! environments and the like are dropped on arrival, so that thousands of pods cost kilobytes each, not tens of them.
//!
//! Invariant: decoding never fails on content. A quantity that cannot be read is absent, a policy's spec is kept as
//! it came, and one odd object never stalls the watch of the others.

use std::{borrow::Cow, collections::BTreeMap};

use jiff::Timestamp;
use k8s_openapi::{
    ClusterResourceScope, NamespaceResourceScope, api::core::v1::ContainerState,
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::Resource;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    decide::{ResizeState, Resources},
    policy::PolicyKey,
    units::Quantity,
};

/// A list of resources as the API writes it; a number instead of a text is read as well.
type ResourceList = BTreeMap<String, Value>;

macro_rules! watched {
    ($(#[$doc:meta])* $name:ident, $scope:ty, $group:expr, $version:literal, $kind:literal, $plural:literal { $($(#[$attr:meta])* $vis:vis $field:ident : $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Deserialize)]
        pub struct $name {
            /// Object metadata.
            #[serde(default)]
            pub metadata: ObjectMeta,
            $($(#[$attr])* #[serde(default)] $vis $field: $type,)*
        }

        impl Resource for $name {
            type DynamicType = ();
            type Scope = $scope;

            fn kind((): &()) -> Cow<'_, str> {
                $kind.into()
            }
            fn group((): &()) -> Cow<'_, str> {
                $group.into()
            }
            fn version((): &()) -> Cow<'_, str> {
                $version.into()
            }
            fn plural((): &()) -> Cow<'_, str> {
                $plural.into()
            }
            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }
            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

watched!(
    /// A pod, as watched.
    PodObject, NamespaceResourceScope, "", "v1", "Pod", "pods" {
        spec: PodSpec,
        status: PodStatus,
    }
);
watched!(
    /// A replica set, as watched: a link of the owner chain.
    ReplicaSetObject, NamespaceResourceScope, "apps", "v1", "ReplicaSet", "replicasets" {
        spec: ReplicaSetSpec,
    }
);
watched!(
    /// A node, as watched.
    NodeObject, ClusterResourceScope, "", "v1", "Node", "nodes" {
        status: NodeStatus,
    }
);
watched!(
    /// A resource quota, as watched.
    QuotaObject, NamespaceResourceScope, "", "v1", "ResourceQuota", "resourcequotas" {
        spec: QuotaSpec,
        status: QuotaStatus,
    }
);
watched!(
    /// A limit range, as watched.
    LimitRangeObject, NamespaceResourceScope, "", "v1", "LimitRange", "limitranges" {
        spec: LimitRangeSpec,
    }
);
watched!(
    /// A scaling policy, as watched: its spec and status as they came, since reading them may fail.
    PolicyObject, NamespaceResourceScope, crate::api::GROUP, "v1alpha1", "ScalingPolicy", "scalingpolicies" {
        /// The spec, unread.
        pub spec: Value,
        /// The status, unread.
        pub status: Value,
    }
);

impl PolicyObject {
    /// Whose it is.
    pub fn key(&self) -> PolicyKey {
        PolicyKey {
            namespace: self.metadata.namespace.clone().unwrap_or_default(),
            name: self.metadata.name.clone().unwrap_or_default(),
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    node_name: Option<String>,
    containers: Vec<Container>,
    resources: Option<Value>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    name: String,
    resources: Requirements,
    resize_policy: Vec<ResizePolicy>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ResizePolicy {
    resource_name: String,
    restart_policy: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Requirements {
    requests: ResourceList,
    limits: ResourceList,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodStatus {
    phase: String,
    qos_class: Option<String>,
    conditions: Vec<PodCondition>,
    container_statuses: Vec<ContainerStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodCondition {
    #[serde(rename = "type")]
    type_: String,
    status: String,
    reason: Option<String>,
    last_transition_time: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerStatus {
    name: String,
    restart_count: u32,
    last_state: ContainerState,
    state: ContainerState,
    resources: Option<Requirements>,
    allocated_resources: Option<ResourceList>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ReplicaSetSpec {
    replicas: Option<u32>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct NodeStatus {
    allocatable: ResourceList,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct QuotaSpec {
    scopes: Vec<String>,
    scope_selector: Option<Value>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct QuotaStatus {
    hard: ResourceList,
    used: ResourceList,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct LimitRangeSpec {
    limits: Vec<LimitRangeItem>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct LimitRangeItem {
    #[serde(rename = "type")]
    type_: String,
    min: ResourceList,
    max: ResourceList,
}

/// A pod, as kept.
#[expect(clippy::struct_excessive_bools, reason = "independent facts that the API server states one by one")]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodFacts {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Unique id.
    pub uid: String,
    /// Generation of the spec; rises with each resize that the API server took.
    pub generation: i64,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Uid of the controller owner.
    pub owner: Option<String>,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether it has succeeded or failed for good.
    pub finished: bool,
    /// Node that it is bound to.
    pub node: Option<String>,
    /// Since when it is ready.
    pub ready_since: Option<Timestamp>,
    /// Whether the scheduler found no node.
    pub unschedulable: bool,
    /// State of an in-place resize.
    pub resize: ResizeState,
    /// Whether the pod itself carries `spec.resources`: then its containers are left alone.
    pub pod_level_resources: bool,
    /// Its quality-of-service class, as the API server computed it.
    pub qos: Qos,
    /// Containers in the order of the spec.
    pub containers: Vec<ContainerFacts>,
}

/// Quality-of-service class of a pod; a resize may not change it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Qos {
    /// No requests and no limits anywhere.
    BestEffort,
    /// Some requests.
    #[default]
    Burstable,
    /// Requests equal limits, for CPU and memory, everywhere.
    Guaranteed,
}

/// A container of a pod, as kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerFacts {
    /// Name.
    pub name: String,
    /// Requests in the spec: what is wanted.
    pub requests: Resources,
    /// Limits in the spec.
    pub limits: Resources,
    /// Requests that the node has set aside; absent before the pod starts.
    pub allocated: Option<Resources>,
    /// Whether the container would be restarted by a change of CPU or of memory.
    pub restarts_on_cpu: bool,
    /// See `restarts_on_cpu`.
    pub restarts_on_memory: bool,
    /// Restarts so far.
    pub restarts: u32,
    /// The last kill for want of memory that its status still shows.
    pub oom: Option<OomKill>,
}

/// A kill for want of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OomKill {
    /// When.
    pub at: Option<Timestamp>,
    /// Restart count at which it is shown: with the pod's uid and the container's name it names the kill.
    pub restarts: u32,
}

/// A replica set, as kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicaSetFacts {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Uid of the controller owner.
    pub owner: Option<String>,
    /// Replicas asked of it.
    pub replicas: u32,
    /// Revision that its Deployment or Rollout gave it.
    pub revision: u64,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// Hash of its template.
    pub template_hash: Option<String>,
}

/// A resource quota, as kept: what it allows and what is used.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QuotaFacts {
    /// Name.
    pub name: String,
    /// Requests that are left.
    pub left: Resources,
    /// Pods that are left.
    pub pods_left: Option<u32>,
}

/// Container bounds of a limit range.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LimitRangeFacts {
    /// Least request.
    pub min: Resources,
    /// Largest limit.
    pub max: Resources,
}

/// Reads a quantity written as text or number.
pub(super) fn quantity(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.to_string().parse().ok(),
        _ => None,
    }
}

fn cpu_and_memory(list: &ResourceList, cpu: &str, memory: &str) -> Resources {
    Resources {
        cpu_cores: list.get(cpu).and_then(quantity).map(Quantity::cores),
        memory_bytes: list.get(memory).and_then(quantity).map(Quantity::bytes),
    }
}

/// CPU and memory of a resource list.
pub(super) fn resources(list: &ResourceList) -> Resources {
    cpu_and_memory(list, "cpu", "memory")
}

/// Uid of the owner that controls an object.
pub(super) fn controller_uid(metadata: &ObjectMeta) -> Option<String> {
    let owners = metadata.owner_references.iter().flatten();
    owners.into_iter().find(|o| o.controller == Some(true)).map(|o| o.uid.clone())
}

impl PodObject {
    /// What is kept of it.
    #[must_use]
    pub fn facts(self) -> PodFacts {
        let Self { metadata, spec, status } = self;
        let condition = |type_: &str| status.conditions.iter().find(|c| c.type_ == type_);
        let is_true = |type_: &str| condition(type_).filter(|c| c.status == "True");
        let containers: Vec<_> = spec
            .containers
            .iter()
            .map(|c| c.facts(status.container_statuses.iter().find(|s| s.name == c.name)))
            .collect();
        PodFacts {
            uid: metadata.uid.clone().unwrap_or_default(),
            generation: metadata.generation.unwrap_or_default(),
            owner: controller_uid(&metadata),
            created: metadata.creation_timestamp.as_ref().map(|t| t.0),
            deleting: metadata.deletion_timestamp.is_some(),
            finished: matches!(status.phase.as_str(), "Succeeded" | "Failed"),
            node: spec.node_name.filter(|n| !n.is_empty()),
            ready_since: is_true("Ready").and_then(|c| c.last_transition_time),
            unschedulable: condition("PodScheduled")
                .is_some_and(|c| c.status == "False" && c.reason.as_deref() == Some("Unschedulable")),
            resize: resize_state(is_true("PodResizePending"), is_true("PodResizeInProgress")),
            pod_level_resources: spec.resources.is_some_and(|r| !r.is_null()),
            qos: match status.qos_class.as_deref() {
                Some("BestEffort") => Qos::BestEffort,
                Some("Guaranteed") => Qos::Guaranteed,
                _ => Qos::Burstable,
            },
            containers,
            namespace: metadata.namespace.unwrap_or_default(),
            name: metadata.name.unwrap_or_default(),
            labels: metadata.labels.unwrap_or_default(),
        }
    }
}

fn resize_state(pending: Option<&PodCondition>, in_progress: Option<&PodCondition>) -> ResizeState {
    match (pending, in_progress) {
        (Some(c), _) if c.reason.as_deref() == Some("Infeasible") => ResizeState::Infeasible,
        (Some(_), _) => ResizeState::Deferred,
        (None, Some(c)) if c.reason.as_deref() == Some("Error") => ResizeState::Error,
        (None, Some(_)) => ResizeState::InProgress,
        (None, None) => ResizeState::None,
    }
}

impl Container {
    fn facts(&self, status: Option<&ContainerStatus>) -> ContainerFacts {
        let restarts_on = |resource: &str| {
            self.resize_policy.iter().any(|p| p.resource_name == resource && p.restart_policy == "RestartContainer")
        };
        let restarts = status.map_or(0, |s| s.restart_count);
        let oom = status.and_then(|s| {
            let ended = [&s.state.terminated, &s.last_state.terminated];
            let killed = ended.into_iter().flatten().find(|t| t.reason.as_deref() == Some("OOMKilled"))?;
            Some(OomKill { at: killed.finished_at.as_ref().map(|t| t.0), restarts })
        });
        let allocated = status.and_then(|s| {
            let list = s.allocated_resources.as_ref().or(s.resources.as_ref().map(|r| &r.requests))?;
            Some(resources(list))
        });
        ContainerFacts {
            name: self.name.clone(),
            requests: resources(&self.resources.requests),
            limits: resources(&self.resources.limits),
            allocated,
            restarts_on_cpu: restarts_on("cpu"),
            restarts_on_memory: restarts_on("memory"),
            restarts,
            oom,
        }
    }
}

impl PodFacts {
    /// Whether it serves.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.ready_since.is_some() && !self.deleting && !self.finished
    }

    /// Whether it counts as a replica: neither going nor gone.
    #[must_use]
    pub fn counts(&self) -> bool {
        !self.deleting && !self.finished
    }

    /// Hash of the template it came from, under whichever label its controller writes it.
    #[must_use]
    pub fn template_hash(&self) -> Option<&str> {
        template_hash(&self.labels)
    }
}

/// The hash of a template, among the labels that controllers put on what they make of it: Deployments, Argo Rollouts,
/// and stateful sets.
fn template_hash(labels: &BTreeMap<String, String>) -> Option<&str> {
    let known = ["pod-template-hash", "rollouts-pod-template-hash", "controller-revision-hash"];
    known.into_iter().find_map(|label| labels.get(label)).map(String::as_str)
}

impl ReplicaSetObject {
    /// What is kept of it.
    #[must_use]
    pub fn facts(self) -> ReplicaSetFacts {
        let annotations = self.metadata.annotations.as_ref();
        ReplicaSetFacts {
            owner: controller_uid(&self.metadata),
            replicas: self.spec.replicas.unwrap_or(1),
            revision: ["deployment.kubernetes.io/revision", "rollout.argoproj.io/revision"]
                .into_iter()
                .find_map(|key| annotations?.get(key)?.parse().ok())
                .unwrap_or_default(),
            created: self.metadata.creation_timestamp.as_ref().map(|t| t.0),
            template_hash: self.metadata.labels.as_ref().and_then(template_hash).map(str::to_owned),
            namespace: self.metadata.namespace.unwrap_or_default(),
            name: self.metadata.name.unwrap_or_default(),
        }
    }
}

impl NodeObject {
    /// CPU and memory that pods may have on it.
    #[must_use]
    pub fn allocatable(&self) -> Resources {
        resources(&self.status.allocatable)
    }
}

impl QuotaObject {
    /// What it leaves, when it counts every pod; a scoped quota counts some, and none here is known to be among them.
    #[must_use]
    pub fn facts(self) -> Option<QuotaFacts> {
        if !self.spec.scopes.is_empty() || self.spec.scope_selector.is_some_and(|s| !s.is_null()) {
            return None;
        }
        let left = |names: &[&str]| {
            names.iter().find_map(|name| {
                let hard = quantity(self.status.hard.get(*name)?)?;
                let used = self.status.used.get(*name).and_then(quantity).map_or(0.0, Quantity::as_f64);
                Some((hard.as_f64() - used).max(0.0))
            })
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates; never negative")]
        let pods_left = left(&["pods", "count/pods"]).map(|n| n as u32);
        let resources = Resources {
            cpu_cores: left(&["requests.cpu", "cpu"]).map(crate::units::Cores),
            memory_bytes: left(&["requests.memory", "memory"]).map(crate::units::Bytes::ceil_from),
        };
        Some(QuotaFacts { name: self.metadata.name.clone().unwrap_or_default(), left: resources, pods_left })
    }
}

impl LimitRangeObject {
    /// Its bounds of containers, all items taken together.
    #[must_use]
    pub fn facts(&self) -> LimitRangeFacts {
        let mut facts = LimitRangeFacts::default();
        for item in self.spec.limits.iter().filter(|i| i.type_ == "Container") {
            facts.min = tightest(facts.min, resources(&item.min), crate::units::Cores::max, Ord::max);
            facts.max = tightest(facts.max, resources(&item.max), crate::units::Cores::min, Ord::min);
        }
        facts
    }
}

/// Takes two bounds together; an absent one does not bind.
pub(super) fn tightest(
    a: Resources,
    b: Resources,
    cpu: fn(crate::units::Cores, crate::units::Cores) -> crate::units::Cores,
    memory: fn(crate::units::Bytes, crate::units::Bytes) -> crate::units::Bytes,
) -> Resources {
    Resources {
        cpu_cores: a.cpu_cores.zip(b.cpu_cores).map(|(a, b)| cpu(a, b)).or(a.cpu_cores).or(b.cpu_cores),
        memory_bytes: a
            .memory_bytes
            .zip(b.memory_bytes)
            .map(|(a, b)| memory(a, b))
            .or(a.memory_bytes)
            .or(b.memory_bytes),
    }
}
