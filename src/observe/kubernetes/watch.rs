//! I/O: Watches that keep the [`Index`] current, one task per kind and namespace.
//!
//! A watch that fails is said once, with the verb that is missing where that is the cause, and is tried again with
//! the client library's backoff. Nothing here decides anything.

use std::{
    collections::BTreeSet,
    sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use futures::StreamExt;
use kube::{
    Api, Client, Resource,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use super::{
    index::{Index, Kind, Watched},
    objects::{LimitRangeObject, NodeObject, PodObject, PolicyObject, QuotaObject, ReplicaSetObject},
    rival_watch::Follower,
};
use crate::{
    policy::{PolicyKey, Shard},
    takeover,
};

/// Wakes that may wait to be read; more are dropped, since the next full tick decides for everybody anyway.
const WAKES: usize = 1024;

/// The index, shared between watches and ticks. Its lock is held for as long as one look or one change takes.
#[derive(Clone, Debug, Default)]
pub struct Cluster(Arc<RwLock<Index>>);

impl Cluster {
    /// Looks into the index.
    pub fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Changes the index.
    pub fn write(&self) -> RwLockWriteGuard<'_, Index> {
        self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Running watches.
#[derive(Debug)]
pub struct Watches {
    /// What they keep.
    pub cluster: Cluster,
    /// Policies that should decide again.
    pub wakes: mpsc::Receiver<PolicyKey>,
    /// Namespaces that are watched; one empty name stands for all.
    pub scopes: Vec<String>,
    /// Raised by whoever needs policies and autoscalers as they are now: they are listed anew, and what was listed before
    /// counts as old ([`Index::current`]).
    pub epoch: watch::Sender<u64>,
    tasks: JoinSet<()>,
}

/// Starts the watches of all namespaces, or of those named; what is in namespaces of other shards is not kept.
#[must_use]
pub fn start(client: &Client, namespaces: &[String], shard: Shard) -> Watches {
    let scopes = if namespaces.is_empty() { vec![String::new()] } else { namespaces.to_vec() };
    let cluster = Cluster::default();
    cluster.write().watch(scopes.clone(), shard);
    let (wake, wakes) = mpsc::channel(WAKES);
    let (epoch, never) = (watch::Sender::new(0), watch::Sender::new(0).subscribe());
    let mut tasks = JoinSet::new();
    for scope in &scopes {
        let keeper = |kind| Keeper {
            kind,
            scope: scope.clone(),
            cluster: cluster.clone(),
            wake: wake.clone(),
            epoch: if kind == Kind::Policies { epoch.subscribe() } else { never.clone() },
        };
        tasks.spawn(keeper(Kind::Pods).run(namespaced::<PodObject>(client, scope)));
        tasks.spawn(keeper(Kind::ReplicaSets).run(namespaced::<ReplicaSetObject>(client, scope)));
        tasks.spawn(keeper(Kind::Policies).run(namespaced::<PolicyObject>(client, scope)));
        tasks.spawn(keeper(Kind::Quotas).run(namespaced::<QuotaObject>(client, scope)));
        tasks.spawn(keeper(Kind::LimitRanges).run(namespaced::<LimitRangeObject>(client, scope)));
        for kind in takeover::Kind::ALL {
            let (cluster, wake) = (cluster.clone(), wake.clone());
            let follower = Follower { kind, scope: scope.clone(), cluster, wake, epoch: epoch.subscribe() };
            tasks.spawn(follower.run(client.clone()));
        }
    }
    let nodes = Keeper { kind: Kind::Nodes, scope: String::new(), cluster: cluster.clone(), wake, epoch: never };
    tasks.spawn(nodes.run(Api::<NodeObject>::all(client.clone())));
    Watches { cluster, wakes, scopes, epoch, tasks }
}

impl Watches {
    /// Has policies and autoscalers listed anew: whoever begins to write must not rest on an old look.
    pub fn look_afresh(cluster: &Cluster, epoch: &watch::Sender<u64>) {
        epoch.send_replace(cluster.write().raise_epoch());
    }

    /// Ends the watches.
    pub fn abort(&mut self) {
        self.tasks.abort_all();
    }
}

fn namespaced<K>(client: &Client, scope: &str) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
{
    if scope.is_empty() { Api::all(client.clone()) } else { Api::namespaced(client.clone(), scope) }
}

struct Keeper {
    kind: Kind,
    scope: String,
    cluster: Cluster,
    wake: mpsc::Sender<PolicyKey>,
    epoch: watch::Receiver<u64>,
}

impl Keeper {
    /// Watches for ever; lists anew when an epoch begins.
    async fn run<K: Watched + DeserializeOwned>(mut self, api: Api<K>) {
        loop {
            let epoch = *self.epoch.borrow_and_update();
            let mut events = watcher(api.clone(), watcher::Config::default()).default_backoff().boxed();
            let mut listed = BTreeSet::new();
            loop {
                tokio::select! {
                    // A sender that is gone raises no epoch any more.
                    Ok(()) = self.epoch.changed() => break,
                    event = events.next() => match event {
                        Some(Ok(event)) => self.take(event, &mut listed, epoch),
                        Some(Err(error)) => self.say(&error),
                        None => return,
                    },
                }
            }
        }
    }

    fn take<K: Watched>(&self, event: Event<K>, listed: &mut BTreeSet<(String, String)>, epoch: u64) {
        let done = matches!(event, Event::InitDone);
        let mut index = self.cluster.write();
        let woken = take_event(&mut index, event, &self.scope, listed);
        if done {
            index.mark_epoch(self.kind, &self.scope, epoch);
        }
        for key in woken {
            // Full: the next full tick comes in seconds and decides for everybody.
            drop(self.wake.try_send(key));
        }
    }

    fn say(&self, error: &watcher::Error) {
        let problem = watch_problem(self.kind, &self.scope, error);
        let news = self.cluster.write().note_problem(self.kind, &self.scope, problem.clone());
        match (news, self.kind.required()) {
            (false, _) => {}
            (true, true) => tracing::error!("{problem}"),
            (true, false) => tracing::warn!("{problem}; it will not bound decisions"),
        }
    }
}

/// Brings one event into the index; answers whom to wake.
fn take_event<K: Watched>(
    index: &mut Index,
    event: Event<K>,
    scope: &str,
    listed: &mut BTreeSet<(String, String)>,
) -> Vec<PolicyKey> {
    match event {
        Event::Apply(object) | Event::InitApply(object) if !index.owns(&full_name(&object).0) => Vec::new(),
        Event::Apply(object) => object.keep(index),
        Event::Delete(object) => {
            let (namespace, name) = full_name(&object);
            K::forget(index, &namespace, &name)
        }
        Event::Init => {
            listed.clear();
            Vec::new()
        }
        Event::InitApply(object) => {
            listed.insert(full_name(&object));
            object.keep(index)
        }
        Event::InitDone => {
            let known = K::names(index).into_iter().filter(|(ns, _)| scope.is_empty() || ns == scope);
            let gone: Vec<_> = known.filter(|name| !listed.contains(name)).collect();
            listed.clear();
            index.mark_synced(K::KIND, scope);
            gone.iter().flat_map(|(namespace, name)| K::forget(index, namespace, name)).collect()
        }
    }
}

fn full_name<K: Resource>(object: &K) -> (String, String) {
    let meta = object.meta();
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

/// The HTTP status with which the API server refused a watch.
pub(super) fn refusal_of(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(s))
        | watcher::Error::WatchStartFailed(kube::Error::Api(s))
        | watcher::Error::WatchFailed(kube::Error::Api(s))
        | watcher::Error::WatchError(s) => Some(s.code),
        _ => None,
    }
}

/// One sentence on why a watch does not run.
fn watch_problem(kind: Kind, scope: &str, error: &watcher::Error) -> String {
    let plural = kind.plural();
    let place = if scope.is_empty() { "in all namespaces".to_owned() } else { format!("in namespace {scope}") };
    match refusal_of(error) {
        Some(403) => format!("{plural} cannot be read {place}: grant the verbs list and watch on {plural}"),
        Some(404) => format!(
            "{plural} are not known to the API server: install the custom resource definitions (arbiter crds | kubectl apply -f -)"
        ),
        _ => format!("{plural} cannot be watched {place}: {}", crate::observe::root_cause(error)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(namespace: &str, name: &str) -> PodObject {
        serde_json::from_value(json!({"metadata": {"namespace": namespace, "name": name, "uid": name,
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "rs", "controller": true}]}}))
        .unwrap()
    }

    fn replica_set(replicas: u32) -> ReplicaSetObject {
        serde_json::from_value(json!({"metadata": {"namespace": "shop", "name": "web-1", "uid": "rs",
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "deploy", "controller": true}]},
            "spec": {"replicas": replicas}}))
        .unwrap()
    }

    fn names(index: &Index, namespace: &str) -> Vec<String> {
        index.pods(namespace).map(|p| p.name.to_string()).collect()
    }

    #[test]
    fn a_relist_forgets_what_it_does_not_name_in_its_namespace_only() {
        let mut index = Index::default();
        let mut listed = BTreeSet::new();
        for p in [pod("shop", "a"), pod("shop", "b"), pod("other", "c")] {
            take_event(&mut index, Event::Apply(p), "", &mut listed);
        }
        take_event(&mut index, Event::<PodObject>::Init, "shop", &mut listed);
        take_event(&mut index, Event::InitApply(pod("shop", "b")), "shop", &mut listed);
        take_event(&mut index, Event::<PodObject>::InitDone, "shop", &mut listed);
        assert_eq!(names(&index, "shop"), ["b"]);
        assert_eq!(names(&index, "other"), ["c"]);
    }

    #[test]
    fn new_pods_and_changed_counts_wake_the_policy_of_their_target() {
        let mut index = Index::default();
        let key = PolicyKey { namespace: "shop".into(), name: "web".into() };
        index.claim_target("deploy", &key);
        let mut listed = BTreeSet::new();
        assert!(take_event(&mut index, Event::Apply(replica_set(2)), "", &mut listed).is_empty());
        assert_eq!(take_event(&mut index, Event::Apply(pod("shop", "a")), "", &mut listed), std::slice::from_ref(&key));
        assert!(take_event(&mut index, Event::Apply(pod("shop", "a")), "", &mut listed).is_empty(), "nothing new");
        assert_eq!(take_event(&mut index, Event::Apply(replica_set(3)), "", &mut listed), [key]);
        assert!(take_event(&mut index, Event::Apply(replica_set(3)), "", &mut listed).is_empty());
    }

    #[test]
    fn a_missing_right_is_said_with_its_verbs() {
        let status = kube::core::Status::failure("no", "Forbidden").with_code(403);
        let error = watcher::Error::InitialListFailed(kube::Error::Api(Box::new(status)));
        let text = watch_problem(Kind::Nodes, "", &error);
        assert_eq!(text, "nodes cannot be read in all namespaces: grant the verbs list and watch on nodes");
    }
}
