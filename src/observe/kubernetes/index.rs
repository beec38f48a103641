//! The cluster as it is known now: an index that watches feed and ticks read. No client, no waiting.
//!
//! Invariant: what a relist does not name is forgotten, and only within the namespaces that the relist covered.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::objects::{
    LimitRangeFacts, LimitRangeObject, NodeObject, PodFacts, PodObject, PolicyObject, QuotaFacts, QuotaObject,
    ReplicaSetFacts, ReplicaSetObject, tightest,
};
use super::rivals::{RivalKey, Rivals};
use crate::{
    decide::{LimitRangeBounds, Quota, Resources, Room},
    policy::PolicyKey,
    takeover::TargetRef,
    units::{Bytes, Cores, Replicas},
};

/// Kinds that are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Pods.
    Pods,
    /// Replica sets.
    ReplicaSets,
    /// Scaling policies.
    Policies,
    /// Nodes.
    Nodes,
    /// Resource quotas.
    Quotas,
    /// Limit ranges.
    LimitRanges,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Pods, Self::ReplicaSets, Self::Policies, Self::Nodes, Self::Quotas, Self::LimitRanges];

    /// Whether nothing can be decided without it; the others only bound what is decided.
    #[must_use]
    pub const fn required(self) -> bool {
        matches!(self, Self::Pods | Self::ReplicaSets | Self::Policies)
    }

    /// Its name in the API.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Pods => "pods",
            Self::ReplicaSets => "replicasets",
            Self::Policies => "scalingpolicies",
            Self::Nodes => "nodes",
            Self::Quotas => "resourcequotas",
            Self::LimitRanges => "limitranges",
        }
    }
}

type ByName<T> = BTreeMap<String, BTreeMap<String, T>>;

/// What a watch does with the objects of one kind.
pub trait Watched: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + 'static {
    /// Which kind it is.
    const KIND: Kind;

    /// Keeps an object; names the policies that should decide again because of it.
    fn keep(self, index: &mut Index) -> Vec<PolicyKey>;

    /// Forgets an object.
    fn forget(index: &mut Index, namespace: &str, name: &str) -> Vec<PolicyKey>;

    /// Names of what is kept, by namespace (the empty one for objects of the cluster).
    fn names(index: &Index) -> Vec<(String, String)>;
}

/// Everything that is known of the cluster.
#[derive(Debug, Default)]
pub struct Index {
    pods: ByName<Arc<PodFacts>>,
    replica_sets: BTreeMap<String, ReplicaSetFacts>,
    replica_set_uids: BTreeMap<(String, String), String>,
    policies: BTreeMap<PolicyKey, Arc<PolicyObject>>,
    nodes: BTreeMap<String, Resources>,
    quotas: ByName<QuotaFacts>,
    limit_ranges: ByName<LimitRangeFacts>,
    synced: BTreeSet<(Kind, String)>,
    problems: BTreeMap<(Kind, String), String>,
    targets: BTreeMap<String, PolicyKey>,
    named: BTreeMap<(String, TargetRef), BTreeSet<PolicyKey>>,
    rivals: Rivals,
    scopes: Vec<String>,
    epoch: u64,
    epochs: BTreeMap<(Kind, String), u64>,
}

fn put<T>(map: &mut ByName<T>, namespace: String, name: String, value: T) -> Option<T> {
    map.entry(namespace).or_default().insert(name, value)
}

fn take<T>(map: &mut ByName<T>, namespace: &str, name: &str) -> Option<T> {
    let inner = map.get_mut(namespace)?;
    let taken = inner.remove(name);
    if inner.is_empty() {
        map.remove(namespace);
    }
    taken
}

fn names_of<T>(map: &ByName<T>) -> Vec<(String, String)> {
    map.iter().flat_map(|(ns, inner)| inner.keys().map(move |name| (ns.clone(), name.clone()))).collect()
}

impl Index {
    /// Pods of a namespace.
    pub fn pods(&self, namespace: &str) -> impl Iterator<Item = &Arc<PodFacts>> {
        self.pods.get(namespace).into_iter().flat_map(BTreeMap::values)
    }

    /// A pod by its name.
    #[must_use]
    pub fn pod(&self, namespace: &str, name: &str) -> Option<&Arc<PodFacts>> {
        self.pods.get(namespace)?.get(name)
    }

    /// A replica set by its uid.
    #[must_use]
    pub fn replica_set(&self, uid: &str) -> Option<&ReplicaSetFacts> {
        self.replica_sets.get(uid)
    }

    /// The newest replica set that a Deployment or Rollout owns: highest revision, then youngest.
    #[must_use]
    pub fn newest_replica_set(&self, owner: &str) -> Option<&ReplicaSetFacts> {
        let owned = self.replica_sets.values().filter(|r| r.owner.as_deref() == Some(owner));
        owned.max_by_key(|r| (r.revision, r.created))
    }

    /// All policies, in the order of their keys.
    #[must_use]
    pub fn policies(&self) -> Vec<Arc<PolicyObject>> {
        self.policies.values().cloned().collect()
    }

    /// A policy by its key.
    #[must_use]
    pub fn policy(&self, key: &PolicyKey) -> Option<&Arc<PolicyObject>> {
        self.policies.get(key)
    }

    /// What is left to grow into in a namespace.
    #[must_use]
    pub fn room(&self, namespace: &str) -> Room {
        let quotas = self.quotas.get(namespace).into_iter().flat_map(BTreeMap::values);
        let node = self.nodes.values().copied().reduce(|a, b| tightest(a, b, Cores::max, Ord::max));
        let limit_range = self.limit_ranges.get(namespace).into_iter().flat_map(BTreeMap::values).fold(
            None,
            |bounds: Option<LimitRangeBounds>, item| {
                let bounds = bounds.unwrap_or_default();
                Some(LimitRangeBounds {
                    min: tightest(bounds.min, item.min, Cores::max, Ord::max),
                    max: tightest(bounds.max, item.max, Cores::min, Ord::min),
                })
            },
        );
        Room { quota: quotas.fold(None, tighter_quota), node, limit_range }
    }

    /// Notes which policy owns a target, so that changes of its pods wake it.
    pub fn claim_target(&mut self, uid: &str, key: &PolicyKey) {
        if self.targets.get(uid) != Some(key) {
            self.targets.retain(|_, owner| owner != key);
            self.targets.insert(uid.to_owned(), key.clone());
        }
    }

    /// Forgets the target of a policy.
    pub fn release_target(&mut self, key: &PolicyKey) {
        self.targets.retain(|_, owner| owner != key);
    }

    /// Other people's autoscalers.
    #[must_use]
    pub const fn rivals(&self) -> &Rivals {
        &self.rivals
    }

    /// Other people's autoscalers, to be changed by their watches and after a write.
    pub const fn rivals_mut(&mut self) -> &mut Rivals {
        &mut self.rivals
    }

    /// Policies that a change of an autoscaler concerns: the ones that name its target, and the one that displaced it.
    #[must_use]
    pub fn policies_of_rival(&self, key: &RivalKey) -> Vec<PolicyKey> {
        let named = self.rivals.target_of(key).and_then(|target| self.named.get(&(key.0.clone(), target.clone())));
        named.into_iter().flatten().cloned().chain(self.rivals.displaced_for(key)).collect()
    }

    /// Says which namespaces are watched.
    pub fn watch(&mut self, scopes: Vec<String>) {
        self.scopes = scopes;
    }

    /// What was listed so far counts as old: policies and autoscalers have to be listed anew. Answers with the epoch.
    pub const fn raise_epoch(&mut self) -> u64 {
        self.epoch += 1;
        self.epoch
    }

    /// Whether policies and autoscalers were listed, each kind of them, since the epoch began.
    #[must_use]
    pub fn current(&self) -> bool {
        let listed = |s: &String| self.epochs.get(&(Kind::Policies, s.clone())).is_some_and(|at| *at >= self.epoch);
        self.scopes.iter().all(listed) && self.rivals.fresh(&self.scopes, self.epoch)
    }

    /// Notes that a kind was listed in an epoch.
    pub(super) fn mark_epoch(&mut self, kind: Kind, scope: &str, epoch: u64) {
        self.epochs.insert((kind, scope.to_owned()), epoch);
    }

    /// Keeps the answer to a write of a policy's metadata, which the watch will bring a moment later.
    pub fn keep_finalizers(&mut self, key: &PolicyKey, resource_version: Option<String>, finalizers: Vec<String>) {
        let Some(known) = self.policies.get(key) else { return };
        let mut object = PolicyObject::clone(known);
        object.metadata.resource_version = resource_version;
        object.metadata.finalizers = Some(finalizers);
        self.policies.insert(key.clone(), Arc::new(object));
    }

    /// Whether every required kind has been listed once.
    #[must_use]
    pub fn synced(&self, scopes: &[String]) -> bool {
        let required = Kind::ALL.into_iter().filter(|k| k.required());
        required.into_iter().all(|k| scopes.iter().all(|s| self.synced.contains(&(k, s.clone()))))
    }

    /// Notes that a kind has been listed.
    pub(super) fn mark_synced(&mut self, kind: Kind, scope: &str) {
        self.synced.insert((kind, scope.to_owned()));
        self.problems.remove(&(kind, scope.to_owned()));
    }

    /// Notes what keeps a kind from being watched; answers whether that is news.
    pub(super) fn note_problem(&mut self, kind: Kind, scope: &str, problem: String) -> bool {
        let key = (kind, scope.to_owned());
        let news = self.problems.get(&key) != Some(&problem);
        self.problems.insert(key, problem);
        news
    }

    /// What keeps required kinds from being watched, in words.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.problems.iter().find(|((kind, _), _)| kind.required()).map(|(_, text)| text.as_str())
    }

    fn unname(&mut self, key: &PolicyKey, target: Option<TargetRef>) {
        let Some(target) = target else { return };
        let place = (key.namespace.clone(), target);
        let Some(keys) = self.named.get_mut(&place) else { return };
        keys.remove(key);
        if keys.is_empty() {
            self.named.remove(&place);
        }
    }

    /// The policy whose target a pod or replica set of this owner belongs to.
    fn policy_of_owner(&self, owner: Option<&str>) -> Option<&PolicyKey> {
        let owner = owner?;
        self.targets.get(owner).or_else(|| {
            let above = self.replica_sets.get(owner)?.owner.as_deref()?;
            self.targets.get(above)
        })
    }
}

/// The workload that a policy names, read without compiling it.
#[must_use]
pub fn named_target(policy: &PolicyObject) -> Option<TargetRef> {
    let at = policy.spec.get("targetRef")?;
    let text = |field: &str| at.get(field).and_then(serde_json::Value::as_str).map(str::to_owned);
    Some(TargetRef { kind: text("kind")?, name: text("name")? })
}

/// Of two quotas each resource's smaller remainder, under the name of the one with less CPU left.
#[expect(clippy::unnecessary_wraps, reason = "the shape that a fold over an optional start needs")]
fn tighter_quota(kept: Option<Quota>, next: &QuotaFacts) -> Option<Quota> {
    let pods = next.pods_left.map(Replicas);
    let Some(kept) = kept else {
        return Some(Quota { name: next.name.clone(), left: next.left, pods });
    };
    let rank = |r: &Resources| r.cpu_cores.map_or(f64::INFINITY, Cores::get);
    let name = if rank(&next.left) < rank(&kept.left) { next.name.clone() } else { kept.name.clone() };
    let min: fn(Bytes, Bytes) -> Bytes = Ord::min;
    Some(Quota {
        name,
        left: tightest(kept.left, next.left, Cores::min, min),
        pods: kept.pods.zip(pods).map(|(a, b)| a.min(b)).or(kept.pods).or(pods),
    })
}

/// Whether a pod's change is one that a policy should decide on at once rather than at the next tick.
fn pod_wakes(old: Option<&PodFacts>, new: &PodFacts) -> bool {
    let ooms = |p: &PodFacts| p.containers.iter().filter_map(|c| c.oom.as_ref()).map(|o| o.restarts).sum::<u32>();
    match old {
        None => new.counts(),
        Some(old) => ooms(new) > ooms(old) || (!old.ready() && new.ready()),
    }
}

impl Watched for PodObject {
    const KIND: Kind = Kind::Pods;

    fn keep(self, index: &mut Index) -> Vec<PolicyKey> {
        let facts = Arc::new(self.facts());
        let (namespace, name) = (facts.namespace.clone(), facts.name.clone());
        let old = put(&mut index.pods, namespace, name, Arc::clone(&facts));
        if !pod_wakes(old.as_deref(), &facts) {
            return Vec::new();
        }
        index.policy_of_owner(facts.owner.as_deref()).cloned().into_iter().collect()
    }

    fn forget(index: &mut Index, namespace: &str, name: &str) -> Vec<PolicyKey> {
        let gone = take(&mut index.pods, namespace, name);
        gone.and_then(|p| index.policy_of_owner(p.owner.as_deref()).cloned()).into_iter().collect()
    }

    fn names(index: &Index) -> Vec<(String, String)> {
        names_of(&index.pods)
    }
}

impl Watched for ReplicaSetObject {
    const KIND: Kind = Kind::ReplicaSets;

    fn keep(self, index: &mut Index) -> Vec<PolicyKey> {
        let uid = self.metadata.uid.clone().unwrap_or_default();
        let facts = self.facts();
        index.replica_set_uids.insert((facts.namespace.clone(), facts.name.clone()), uid.clone());
        let woken = index.policy_of_owner(facts.owner.as_deref()).cloned();
        let old = index.replica_sets.insert(uid, facts.clone());
        // A change of the count, ours or somebody's: the decision is looked at again at once.
        woken.filter(|_| old.is_some_and(|o| o.replicas != facts.replicas)).into_iter().collect()
    }

    fn forget(index: &mut Index, namespace: &str, name: &str) -> Vec<PolicyKey> {
        if let Some(uid) = index.replica_set_uids.remove(&(namespace.to_owned(), name.to_owned())) {
            index.replica_sets.remove(&uid);
        }
        Vec::new()
    }

    fn names(index: &Index) -> Vec<(String, String)> {
        index.replica_set_uids.keys().cloned().collect()
    }
}

impl Watched for PolicyObject {
    const KIND: Kind = Kind::Policies;

    fn keep(mut self, index: &mut Index) -> Vec<PolicyKey> {
        self.metadata.managed_fields = None;
        self.metadata.annotations = None;
        let key = self.key();
        let target = named_target(&self);
        let old = index.policies.insert(key.clone(), Arc::new(self));
        if let Some(before) = old.as_ref().map(|o| named_target(o)).filter(|before| *before != target) {
            index.unname(&key, before);
        }
        if let Some(target) = target {
            index.named.entry((key.namespace.clone(), target)).or_default().insert(key.clone());
        }
        let new = index.policies.get(&key);
        // Our own status writes do not move the generation and wake nobody; finalizers say what a deletion waits for.
        let of = |o: &Arc<PolicyObject>| (o.metadata.generation, o.metadata.finalizers.clone(), o.metadata.uid.clone());
        let changed = old.as_ref().map(of) != new.map(of);
        changed.then_some(key).into_iter().collect()
    }

    fn forget(index: &mut Index, namespace: &str, name: &str) -> Vec<PolicyKey> {
        let key = PolicyKey { namespace: namespace.to_owned(), name: name.to_owned() };
        // Woken once more, so that what is kept and shown of it goes at once.
        let gone = index.policies.remove(&key);
        if let Some(gone) = &gone {
            index.unname(&key, named_target(gone));
        }
        gone.map(|_| key).into_iter().collect()
    }

    fn names(index: &Index) -> Vec<(String, String)> {
        index.policies.keys().map(|k| (k.namespace.clone(), k.name.clone())).collect()
    }
}

impl Watched for NodeObject {
    const KIND: Kind = Kind::Nodes;

    fn keep(self, index: &mut Index) -> Vec<PolicyKey> {
        index.nodes.insert(self.metadata.name.clone().unwrap_or_default(), self.allocatable());
        Vec::new()
    }

    fn forget(index: &mut Index, _namespace: &str, name: &str) -> Vec<PolicyKey> {
        index.nodes.remove(name);
        Vec::new()
    }

    fn names(index: &Index) -> Vec<(String, String)> {
        index.nodes.keys().map(|name| (String::new(), name.clone())).collect()
    }
}

impl Watched for QuotaObject {
    const KIND: Kind = Kind::Quotas;

    fn keep(self, index: &mut Index) -> Vec<PolicyKey> {
        let namespace = self.metadata.namespace.clone().unwrap_or_default();
        let name = self.metadata.name.clone().unwrap_or_default();
        match self.facts() {
            Some(facts) => drop(put(&mut index.quotas, namespace, name, facts)),
            None => drop(take(&mut index.quotas, &namespace, &name)),
        }
        Vec::new()
    }

    fn forget(index: &mut Index, namespace: &str, name: &str) -> Vec<PolicyKey> {
        take(&mut index.quotas, namespace, name);
        Vec::new()
    }

    fn names(index: &Index) -> Vec<(String, String)> {
        names_of(&index.quotas)
    }
}

impl Watched for LimitRangeObject {
    const KIND: Kind = Kind::LimitRanges;

    fn keep(self, index: &mut Index) -> Vec<PolicyKey> {
        let facts = self.facts();
        let namespace = self.metadata.namespace.unwrap_or_default();
        put(&mut index.limit_ranges, namespace, self.metadata.name.unwrap_or_default(), facts);
        Vec::new()
    }

    fn forget(index: &mut Index, namespace: &str, name: &str) -> Vec<PolicyKey> {
        take(&mut index.limit_ranges, namespace, name);
        Vec::new()
    }

    fn names(index: &Index) -> Vec<(String, String)> {
        names_of(&index.limit_ranges)
    }
}
