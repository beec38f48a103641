//! The cluster as it is known now: an index that watches feed and ticks read. No client, no waiting.
//!
//! Invariant: what a relist does not name is forgotten, and only within the namespaces that the relist covered.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::objects::{
    Bounds, LimitRangeFacts, LimitRangeObject, NodeObject, PodFacts, PodObject, PolicyObject, QuotaFacts, QuotaObject,
    ReplicaSetFacts, ReplicaSetObject, tightest,
};
use super::rivals::{RivalKey, Rivals};
use crate::{
    decide::{LimitRangeBounds, Quota, Resources, Room},
    policy::{PolicyKey, Shard},
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

type ByName<T> = BTreeMap<Arc<str>, BTreeMap<Arc<str>, T>>;

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
    /// Pods by the uid of what controls them, and their names.
    controlled: ByName<Arc<PodFacts>>,
    replica_sets: BTreeMap<String, ReplicaSetFacts>,
    replica_set_uids: BTreeMap<(String, String), String>,
    /// Uids of replica sets by the uid of what controls them.
    replica_sets_of: BTreeMap<String, BTreeSet<String>>,
    policies: BTreeMap<PolicyKey, Arc<PolicyObject>>,
    /// Changes with every policy that comes, goes or is changed.
    policies_version: u64,
    nodes: BTreeMap<String, Resources>,
    largest_node: Option<Resources>,
    quotas: ByName<QuotaFacts>,
    limit_ranges: ByName<LimitRangeFacts>,
    bounds: BTreeMap<(Kind, String), BTreeMap<String, Bounds>>,
    synced: BTreeSet<(Kind, String)>,
    problems: BTreeMap<(Kind, String), String>,
    targets: BTreeMap<String, PolicyKey>,
    target_of: BTreeMap<PolicyKey, String>,
    named: BTreeMap<(String, TargetRef), BTreeSet<PolicyKey>>,
    rivals: Rivals,
    scopes: Vec<String>,
    shard: Shard,
    epoch: u64,
    epochs: BTreeMap<(Kind, String), u64>,
}

fn put<T>(map: &mut ByName<T>, namespace: Arc<str>, name: Arc<str>, value: T) -> Option<T> {
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
    map.iter().flat_map(|(ns, inner)| inner.keys().map(move |name| (ns.to_string(), name.to_string()))).collect()
}

impl Index {
    /// Pods of a namespace.
    pub fn pods(&self, namespace: &str) -> impl Iterator<Item = &Arc<PodFacts>> {
        self.pods.get(namespace).into_iter().flat_map(BTreeMap::values)
    }

    /// Pods that an object controls, itself or through a replica set.
    pub fn pods_of<'a>(&'a self, uid: &'a str) -> impl Iterator<Item = &'a Arc<PodFacts>> {
        let owners = self.replica_sets_of.get(uid).into_iter().flatten().map(String::as_str).chain([uid]);
        owners.filter_map(|owner| self.controlled.get(owner)).flat_map(BTreeMap::values)
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
        self.replica_sets_of(owner).max_by_key(|r| (r.revision, r.created))
    }

    fn replica_sets_of(&self, owner: &str) -> impl Iterator<Item = &ReplicaSetFacts> + use<'_> {
        self.replica_sets_of.get(owner).into_iter().flatten().filter_map(|uid| self.replica_sets.get(uid))
    }

    /// All policies, in the order of their keys.
    #[must_use]
    pub fn policies(&self) -> Vec<Arc<PolicyObject>> {
        self.policies.values().cloned().collect()
    }

    /// A number that is another one when a policy has come, gone or changed, beside its status.
    #[must_use]
    pub const fn policies_version(&self) -> u64 {
        self.policies_version
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
        let node = self.largest_node;
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

    /// What a namespace asks of new pods.
    #[must_use]
    pub fn bounds(&self, namespace: &str) -> Bounds {
        let of = |kind: Kind| self.bounds.get(&(kind, namespace.to_owned())).into_iter().flat_map(BTreeMap::values);
        let bounds = of(Kind::LimitRanges).chain(of(Kind::Quotas)).fold(Bounds::default(), |a, b| a.and(*b));
        Bounds { node: self.largest_node.unwrap_or_default(), ..bounds }
    }

    /// Why a replica set of this owner can create no pods, in the words of the API server.
    #[must_use]
    pub fn failure(&self, owner: &str) -> Option<&str> {
        self.replica_sets_of(owner).filter(|r| r.replicas > 0).find_map(|r| r.failure.as_deref())
    }

    /// Whether pods of this owner are made by replica sets, which say why they can create none.
    #[must_use]
    pub fn has_replica_sets(&self, owner: &str) -> bool {
        self.replica_sets_of(owner).next().is_some()
    }

    /// Notes which policy owns a target, so that changes of its pods wake it.
    pub fn claim_target(&mut self, uid: &str, key: &PolicyKey) {
        if self.targets.get(uid) != Some(key) {
            self.release_target(key);
            self.targets.insert(uid.to_owned(), key.clone());
            self.target_of.insert(key.clone(), uid.to_owned());
        }
    }

    /// Forgets the target of a policy.
    pub fn release_target(&mut self, key: &PolicyKey) {
        let before = self.target_of.remove(key);
        if let Some(uid) = before.filter(|uid| self.targets.get(uid) == Some(key)) {
            self.targets.remove(&uid);
        }
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

    /// Says which namespaces are watched, and which of them are this shard's.
    pub fn watch(&mut self, scopes: Vec<String>, shard: Shard) {
        self.scopes = scopes;
        self.shard = shard;
    }

    /// Whether what is in a namespace is kept here.
    #[must_use]
    pub fn owns(&self, namespace: &str) -> bool {
        self.shard.owns(namespace)
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

    /// The replica set is no longer controlled by this object.
    fn disown(&mut self, owner: &str, uid: &str) {
        if let Some(owned) = self.replica_sets_of.get_mut(owner) {
            owned.remove(uid);
            if owned.is_empty() {
                self.replica_sets_of.remove(owner);
            }
        }
    }

    fn measure_nodes(&mut self) {
        self.largest_node = self.nodes.values().copied().fold(None, larger);
    }

    fn forget_bounds(&mut self, kind: Kind, namespace: &str, name: &str) {
        if let Some(of_namespace) = self.bounds.get_mut(&(kind, namespace.to_owned())) {
            of_namespace.remove(name);
            if of_namespace.is_empty() {
                self.bounds.remove(&(kind, namespace.to_owned()));
            }
        }
    }

    fn names_of_bounds(&self, kind: Kind) -> Vec<(String, String)> {
        let of_kind = self.bounds.iter().filter(|((k, _), _)| *k == kind);
        of_kind.flat_map(|((_, ns), inner)| inner.keys().map(move |name| (ns.clone(), name.clone()))).collect()
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

#[expect(clippy::unnecessary_wraps, reason = "the shape that a fold over an optional start needs")]
fn larger(known: Option<Resources>, node: Resources) -> Option<Resources> {
    Some(known.map_or(node, |known| tightest(known, node, Cores::max, Ord::max)))
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
        let mut facts = self.facts();
        let before = index.pod(&facts.namespace, &facts.name);
        if before.is_some_and(|before| **before == facts) {
            // Most of what pods report is not kept.
            return Vec::new();
        }
        let brothers = facts.owner.as_ref().and_then(|owner| index.controlled.get(owner));
        for known in brothers.and_then(|pods| pods.values().next()).into_iter().chain(before) {
            facts.share(known);
        }
        let facts = Arc::new(facts);
        let (namespace, name) = (facts.namespace.clone(), facts.name.clone());
        let old = put(&mut index.pods, namespace, name.clone(), Arc::clone(&facts));
        if let Some(owner) = old.as_ref().and_then(|o| o.owner.as_ref()).filter(|o| facts.owner.as_ref() != Some(o)) {
            take(&mut index.controlled, owner, &name);
        }
        if let Some(owner) = &facts.owner {
            put(&mut index.controlled, owner.clone(), name, Arc::clone(&facts));
        }
        if !pod_wakes(old.as_deref(), &facts) {
            return Vec::new();
        }
        index.policy_of_owner(facts.owner.as_deref()).cloned().into_iter().collect()
    }

    fn forget(index: &mut Index, namespace: &str, name: &str) -> Vec<PolicyKey> {
        let gone = take(&mut index.pods, namespace, name);
        if let Some(owner) = gone.as_ref().and_then(|pod| pod.owner.as_ref()) {
            take(&mut index.controlled, owner, name);
        }
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
        let old = index.replica_sets.insert(uid.clone(), facts.clone());
        if let Some(before) =
            old.as_ref().and_then(|o| o.owner.as_deref()).filter(|o| facts.owner.as_deref() != Some(o))
        {
            index.disown(before, &uid);
        }
        if let Some(owner) = &facts.owner {
            index.replica_sets_of.entry(owner.clone()).or_default().insert(uid);
        }
        // A change of the count, ours or somebody's, or pods that cannot be created: looked at again at once.
        let changed = |o: ReplicaSetFacts| {
            o.replicas != facts.replicas || (facts.failure.is_some() && o.failure != facts.failure)
        };
        woken.filter(|_| old.is_some_and(changed)).into_iter().collect()
    }

    fn forget(index: &mut Index, namespace: &str, name: &str) -> Vec<PolicyKey> {
        if let Some(uid) = index.replica_set_uids.remove(&(namespace.to_owned(), name.to_owned())) {
            let gone = index.replica_sets.remove(&uid);
            if let Some(owner) = gone.and_then(|gone| gone.owner) {
                index.disown(&owner, &uid);
            }
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
        let target = self.spec.target.clone();
        let old = index.policies.insert(key.clone(), Arc::new(self));
        if let Some(before) = old.as_ref().map(|o| o.spec.target.clone()).filter(|before| *before != target) {
            index.unname(&key, before);
        }
        if let Some(target) = target {
            index.named.entry((key.namespace.clone(), target)).or_default().insert(key.clone());
        }
        let new = index.policies.get(&key);
        // Our own status writes do not move the generation and wake nobody; finalizers say what a deletion waits for.
        let of = |o: &Arc<PolicyObject>| (o.metadata.generation, o.metadata.finalizers.clone(), o.metadata.uid.clone());
        let changed = old.as_ref().map(of) != new.map(of);
        index.policies_version += u64::from(changed);
        changed.then_some(key).into_iter().collect()
    }

    fn forget(index: &mut Index, namespace: &str, name: &str) -> Vec<PolicyKey> {
        let key = PolicyKey { namespace: namespace.to_owned(), name: name.to_owned() };
        // Woken once more, so that what is kept and shown of it goes at once.
        let gone = index.policies.remove(&key);
        if let Some(gone) = &gone {
            index.unname(&key, gone.spec.target.clone());
            index.policies_version += 1;
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
        let (name, has) = (self.metadata.name.clone().unwrap_or_default(), self.allocatable());
        match index.nodes.insert(name, has) {
            // Nothing that is known becomes smaller: each of many nodes is looked at once when they are listed.
            None => index.largest_node = larger(index.largest_node, has),
            Some(before) if before == has => {}
            Some(_) => index.measure_nodes(),
        }
        Vec::new()
    }

    fn forget(index: &mut Index, _namespace: &str, name: &str) -> Vec<PolicyKey> {
        index.nodes.remove(name);
        index.measure_nodes();
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
        index.bounds.entry((Kind::Quotas, namespace.clone())).or_default().insert(name.clone(), self.bounds());
        match self.facts() {
            Some(facts) => drop(put(&mut index.quotas, namespace.into(), name.into(), facts)),
            None => drop(take(&mut index.quotas, &namespace, &name)),
        }
        Vec::new()
    }

    fn forget(index: &mut Index, namespace: &str, name: &str) -> Vec<PolicyKey> {
        take(&mut index.quotas, namespace, name);
        index.forget_bounds(Kind::Quotas, namespace, name);
        Vec::new()
    }

    fn names(index: &Index) -> Vec<(String, String)> {
        index.names_of_bounds(Kind::Quotas)
    }
}

impl Watched for LimitRangeObject {
    const KIND: Kind = Kind::LimitRanges;

    fn keep(self, index: &mut Index) -> Vec<PolicyKey> {
        let facts = self.facts();
        let bounds = self.bounds();
        let namespace = self.metadata.namespace.unwrap_or_default();
        let name = self.metadata.name.unwrap_or_default();
        index.bounds.entry((Kind::LimitRanges, namespace.clone())).or_default().insert(name.clone(), bounds);
        put(&mut index.limit_ranges, namespace.into(), name.into(), facts);
        Vec::new()
    }

    fn forget(index: &mut Index, namespace: &str, name: &str) -> Vec<PolicyKey> {
        take(&mut index.limit_ranges, namespace, name);
        index.forget_bounds(Kind::LimitRanges, namespace, name);
        Vec::new()
    }

    fn names(index: &Index) -> Vec<(String, String)> {
        names_of(&index.limit_ranges)
    }
}
