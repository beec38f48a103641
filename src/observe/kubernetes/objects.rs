//! The cluster's objects in small own types: only the fields that a decision or a write needs.
//!
//! Each `…Object` is what the watch decodes; each `…Facts` is what is kept. Annotations, managed fields, volumes,
//! environments and the like are dropped on arrival, so that thousands of pods cost kilobytes each, not tens of them.
//!
//! Invariant: decoding never fails on content. A quantity that cannot be read is absent, a policy's spec is kept as
//! it came, and one odd object never stalls the watch of the others.

mod address;
mod bounds;
mod room;
mod share;
mod unread;

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::{
    ClusterResourceScope, NamespaceResourceScope, api::core::v1::ContainerState,
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::Resource;
use serde::Deserialize;
use serde_json::Value;

use super::pods::{self, Fixed};
use crate::{
    decide::{ResizeState, Resources},
    policy::PolicyKey,
    units::Quantity,
};

pub use address::Address;
pub use bounds::{Bounds, PerResource};
pub use unread::{Unread, UnreadSpec};

use address::ContainerPort;

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
        status: ReplicaSetStatus,
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
        pub spec: UnreadSpec,
        /// The status, unread.
        pub status: Unread,
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
    host_network: bool,
    containers: Vec<Container>,
    init_containers: Vec<Container>,
    os: Option<Os>,
    resources: Option<Value>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Os {
    name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Container {
    name: String,
    ports: Vec<ContainerPort>,
    resources: Requirements,
    resize_policy: Vec<ResizePolicy>,
    pub(super) restart_policy: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ResizePolicy {
    resource_name: String,
    restart_policy: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Requirements {
    requests: ResourceList,
    limits: ResourceList,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodStatus {
    phase: String,
    qos_class: Option<String>,
    #[serde(rename = "podIP")]
    pod_ip: String,
    #[serde(rename = "hostIP")]
    host_ip: String,
    conditions: Vec<PodCondition>,
    container_statuses: Vec<ContainerStatus>,
    init_container_statuses: Vec<ContainerStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodCondition {
    #[serde(rename = "type")]
    pub(super) type_: String,
    pub(super) status: String,
    pub(super) reason: Option<String>,
    pub(super) message: Option<String>,
    pub(super) last_transition_time: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerStatus {
    name: String,
    restart_count: u32,
    last_state: ContainerState,
    pub(super) state: ContainerState,
    pub(super) resources: Option<Requirements>,
    allocated_resources: Option<ResourceList>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ReplicaSetSpec {
    replicas: Option<u32>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ReplicaSetStatus {
    conditions: Vec<PodCondition>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct NodeStatus {
    allocatable: ResourceList,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct QuotaSpec {
    hard: ResourceList,
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
#[serde(rename_all = "camelCase", default)]
struct LimitRangeItem {
    #[serde(rename = "type")]
    type_: String,
    min: ResourceList,
    max: ResourceList,
    default: ResourceList,
    max_limit_request_ratio: ResourceList,
}

/// A pod, as kept.
#[expect(clippy::struct_excessive_bools, reason = "independent facts that the API server states one by one")]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodFacts {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// Unique id.
    pub uid: Arc<str>,
    /// Generation of the spec; rises with each resize that the API server took.
    pub generation: i64,
    /// Labels.
    pub labels: Arc<BTreeMap<String, String>>,
    /// Uid of the controller owner.
    pub owner: Option<Arc<str>>,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether it has succeeded or failed for good.
    pub finished: bool,
    /// Node that it is bound to.
    pub node: Option<Arc<str>>,
    /// Where it is reached.
    pub address: Address,
    /// Ports of its containers that have names.
    pub ports: Arc<[(String, u16)]>,
    /// Since when it is ready.
    pub ready_since: Option<Timestamp>,
    /// Whether the scheduler found no node.
    pub unschedulable: bool,
    /// State of an in-place resize.
    pub resize: ResizeState,
    /// Since when it is in that state, as its condition says.
    pub resize_since: Option<Timestamp>,
    /// Why nothing can resize it, if so.
    pub fixed: Option<Fixed>,
    /// Whether an ordinary init container has requests that are not its limits: then the pod is not Guaranteed, whatever
    /// its containers are.
    pub init_unguaranteed: bool,
    /// Whether the pod itself carries `spec.resources`: then its containers are left alone.
    pub pod_level_resources: bool,
    /// Its quality-of-service class, as the API server computed it.
    pub qos: Qos,
    /// Containers in the order of the spec, sidecars after them. Ordinary init containers are not among them: they cannot
    /// be resized.
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
#[expect(clippy::struct_excessive_bools, reason = "independent facts that the API server states one by one")]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerFacts {
    /// Name.
    pub name: Arc<str>,
    /// Requests in the spec: what is wanted.
    pub requests: Resources,
    /// Limits in the spec.
    pub limits: Resources,
    /// Whether it is a restartable init container.
    pub sidecar: bool,
    /// Whether it runs.
    pub running: bool,
    /// Limits in force; absent before the pod starts.
    pub limits_in_force: Option<Resources>,
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
    /// The limit that was in force.
    pub limit: Option<crate::units::Bytes>,
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
    /// Why it can create no pods, in the words of the API server.
    pub failure: Option<String>,
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
        let statuses = || status.container_statuses.iter().chain(&status.init_container_statuses);
        let (sidecars, init): (Vec<_>, Vec<_>) = spec.init_containers.iter().partition(|c| pods::is_sidecar(c));
        let sized = spec.containers.iter().chain(sidecars);
        let containers: Vec<_> = sized.map(|c| c.facts(statuses().find(|s| s.name == c.name))).collect();
        let (resize, resize_since) = pods::resize(&status.conditions);
        PodFacts {
            uid: metadata.uid.as_deref().unwrap_or_default().into(),
            generation: metadata.generation.unwrap_or_default(),
            owner: controller_uid(&metadata).map(Arc::from),
            created: metadata.creation_timestamp.as_ref().map(|t| t.0),
            deleting: metadata.deletion_timestamp.is_some(),
            finished: matches!(status.phase.as_str(), "Succeeded" | "Failed"),
            node: spec.node_name.filter(|n| !n.is_empty()).map(Arc::from),
            address: Address::of(spec.host_network, &status.pod_ip, &status.host_ip),
            ports: address::named(spec.containers.iter().flat_map(|c| &c.ports)),
            ready_since: is_true("Ready").and_then(|c| c.last_transition_time),
            unschedulable: condition("PodScheduled")
                .is_some_and(|c| c.status == "False" && c.reason.as_deref() == Some("Unschedulable")),
            resize,
            resize_since,
            fixed: pods::fixed(&metadata, spec.os.as_ref().map(|os| os.name.as_str()), &status.container_statuses),
            init_unguaranteed: init.iter().any(|c| !c.guaranteed()),
            pod_level_resources: spec.resources.is_some_and(|r| !r.is_null()),
            qos: match status.qos_class.as_deref() {
                Some("BestEffort") => Qos::BestEffort,
                Some("Guaranteed") => Qos::Guaranteed,
                _ => Qos::Burstable,
            },
            containers,
            namespace: metadata.namespace.unwrap_or_default().into(),
            name: metadata.name.unwrap_or_default().into(),
            labels: Arc::new(metadata.labels.unwrap_or_default()),
        }
    }
}

impl Container {
    /// Whether requests are limits, for CPU and memory.
    fn guaranteed(&self) -> bool {
        let limits = resources(&self.resources.limits);
        let requests = resources(&self.resources.requests);
        limits.cpu_cores.is_some() && limits.memory_bytes.is_some() && limits == requests
    }

    fn facts(&self, status: Option<&ContainerStatus>) -> ContainerFacts {
        let restarts_on = |resource: &str| {
            self.resize_policy.iter().any(|p| p.resource_name == resource && p.restart_policy == "RestartContainer")
        };
        let restarts = status.map_or(0, |s| s.restart_count);
        let in_force = status.and_then(|s| s.resources.as_ref()).map(|r| resources(&r.limits));
        let oom = status.and_then(|s| {
            let ended = [&s.state.terminated, &s.last_state.terminated];
            let killed = ended.into_iter().flatten().find(|t| t.reason.as_deref() == Some("OOMKilled"))?;
            let limit = in_force.and_then(|l| l.memory_bytes);
            Some(OomKill { at: killed.finished_at.as_ref().map(|t| t.0), limit, restarts })
        });
        let allocated = status.and_then(|s| {
            let list = s.allocated_resources.as_ref().or(s.resources.as_ref().map(|r| &r.requests))?;
            Some(resources(list))
        });
        ContainerFacts {
            name: self.name.as_str().into(),
            requests: resources(&self.resources.requests),
            limits: resources(&self.resources.limits),
            sidecar: pods::is_sidecar(self),
            running: status.is_some_and(|s| s.state.running.is_some()),
            limits_in_force: in_force,
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
/// and `StatefulSet`s.
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
            failure: self
                .status
                .conditions
                .into_iter()
                .find(|c| c.type_ == "ReplicaFailure" && c.status == "True")
                .map(|c| c.message.or(c.reason).unwrap_or_default()),
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
