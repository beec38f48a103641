//! Every version of every object of the histories, as the API server showed it to a watch of the test's own, which goes
//! past the proxies.
//!
//! Versions of all kinds are in one order: a `resourceVersion` is a revision of the one etcd.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::StreamExt as _;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind},
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use serde_json::Value;
use tokio::task::JoinSet;

/// Start of the name of every history's namespace.
pub(super) const PREFIX: &str = "fault-";

/// A kind that is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The workload.
    Deployment,
    /// Its pods.
    Pod,
    /// The autoscaler that was there first.
    Hpa,
    /// The policy.
    Policy,
    /// The table of new pods' sizes.
    Table,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Deployment, Self::Pod, Self::Hpa, Self::Policy, Self::Table];

    fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = match self {
            Self::Deployment => ("apps", "v1", "Deployment", "deployments"),
            Self::Pod => ("", "v1", "Pod", "pods"),
            Self::Hpa => ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
            Self::Policy => ("autoscaling.arbiter.io", "v1alpha1", "ScalingPolicy", "scalingpolicies"),
            Self::Table => ("autoscaling.arbiter.io", "v1alpha1", "PodSizes", "podsizes"),
        };
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    }
}

/// An object as it was from a revision on; none: it was deleted.
#[derive(Clone, Debug)]
pub(super) struct Version {
    /// Revision.
    pub(super) at: u64,
    /// Name.
    pub(super) name: String,
    /// The object.
    pub(super) object: Option<Value>,
}

/// All versions of one history's objects, by kind, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Versions(pub(super) BTreeMap<Kind, Vec<Version>>);

impl Versions {
    /// All versions of a kind.
    pub(super) fn of(&self, kind: Kind) -> &[Version] {
        self.0.get(&kind).map_or(&[], Vec::as_slice)
    }

    /// The object of a kind at a revision: of those kinds that a history has one of.
    pub(super) fn at(&self, kind: Kind, revision: u64) -> Option<&Value> {
        self.of(kind).iter().take_while(|version| version.at <= revision).last()?.object.as_ref()
    }

    /// The objects of a kind that exist, by name.
    pub(super) fn now(&self, kind: Kind) -> BTreeMap<&str, &Value> {
        let mut all = BTreeMap::new();
        for version in self.of(kind) {
            match &version.object {
                Some(object) => drop(all.insert(version.name.as_str(), object)),
                None => drop(all.remove(version.name.as_str())),
            }
        }
        all
    }

    fn add(&mut self, kind: Kind, version: Version) {
        let all = self.0.entry(kind).or_default();
        let place = all.partition_point(|known| known.at < version.at);
        // A watch that began anew shows again what is known.
        if all.get(place).is_none_or(|known| known.at != version.at || known.name != version.name) {
            all.insert(place, version);
        }
    }
}

/// By namespace; none: that history is over.
type All = BTreeMap<String, Option<Versions>>;
type Shared = Arc<Mutex<All>>;

/// The record of all histories that run.
pub(super) struct Record {
    all: Shared,
    _watches: JoinSet<()>,
}

impl Record {
    /// Begins to write down.
    pub(super) fn start(client: &Client) -> Self {
        let all = Shared::default();
        let mut watches = JoinSet::new();
        for kind in Kind::ALL {
            let api: Api<DynamicObject> = Api::all_with(client.clone(), &kind.resource());
            watches.spawn(follow(api, kind, Arc::clone(&all)));
        }
        Self { all, _watches: watches }
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at one history.
    pub(super) fn look<T>(&self, namespace: &str, look: impl FnOnce(&Versions) -> T) -> T {
        let all = self.lock();
        let known = all.get(namespace).and_then(Option::as_ref);
        look(known.unwrap_or(&Versions::default()))
    }

    /// Takes one history out; what comes of it afterwards is not written down.
    pub(super) fn take(&self, namespace: &str) -> Versions {
        self.lock().insert(namespace.to_owned(), None).flatten().unwrap_or_default()
    }

    /// Every pod of every history: namespace, name, and the pod.
    pub(super) fn each_pod(&self, mut with: impl FnMut(&str, &str, &Value)) {
        for (namespace, versions) in self.lock().iter() {
            let Some(versions) = versions else { continue };
            for (name, pod) in versions.now(Kind::Pod) {
                with(namespace, name, pod);
            }
        }
    }
}

async fn follow(api: Api<DynamicObject>, kind: Kind, all: Shared) {
    let mut events = pin!(watcher(api, watcher::Config::default()).default_backoff());
    while let Some(event) = events.next().await {
        let (object, deleted) = match event {
            Ok(Event::Apply(object) | Event::InitApply(object)) => (object, false),
            Ok(Event::Delete(object)) => (object, true),
            _ => continue,
        };
        let meta = &object.metadata;
        let Some(namespace) = meta.namespace.clone().filter(|name| name.starts_with(PREFIX)) else { continue };
        let at = meta.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or_default();
        let name = meta.name.clone().unwrap_or_default();
        let value = serde_json::to_value(&object).expect("an object is JSON");
        let version = Version { at, name, object: (!deleted).then_some(value) };
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(versions) = all.entry(namespace).or_insert_with(|| Some(Versions::default())) {
            versions.add(kind, version);
        }
    }
}
