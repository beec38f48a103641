//! I/O: Watches of other people's autoscalers, one per kind and namespace.
//!
//! Kinds whose definition is not installed are no problem and are looked for again, so that one that is installed later is
//! found within half a minute. A kind that is there in another version only, or that may not be
//! read, is: a workload cannot be taken over while nobody can tell who else moves it.

use std::{collections::BTreeSet, time::Duration};

use futures::StreamExt;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind},
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use serde_json::Value;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout},
};

use super::{
    rivals::RivalKey,
    watch::{Cluster, refusal_of},
};
use crate::{policy::PolicyKey, takeover::Kind};

/// How the API server names a kind of autoscaler.
#[must_use]
pub fn resource_of(kind: Kind) -> ApiResource {
    let (group, version) = kind.api_version().split_once('/').expect("every kind has a group");
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind.as_str()), plural_of(kind))
}

/// The name of a kind in rights and paths.
#[must_use]
pub const fn plural_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Vpa => "verticalpodautoscalers",
        Kind::Hpa => "horizontalpodautoscalers",
        Kind::ScaledObject => "scaledobjects",
    }
}

/// An autoscaler as JSON, with the words that tell its kind: lists leave them out of their items.
#[must_use]
pub fn object_of(kind: Kind, object: &DynamicObject) -> Value {
    let mut value = serde_json::to_value(object).expect("an object that was JSON");
    value["apiVersion"] = kind.api_version().into();
    value["kind"] = kind.as_str().into();
    value
}

/// How often a kind that is not installed is looked for. The watch's own backoff begins anew with every attempt, so that it
/// alone would ask about once a second for ever.
const INSTALLED_AGAIN: Duration = Duration::from_secs(30);

/// One watch.
pub(super) struct Follower {
    pub(super) kind: Kind,
    pub(super) scope: String,
    pub(super) cluster: Cluster,
    pub(super) wake: mpsc::Sender<PolicyKey>,
    pub(super) epoch: watch::Receiver<u64>,
}

impl Follower {
    /// Watches for ever; lists anew when an epoch begins.
    pub(super) async fn run(mut self, client: Client) {
        let resource = resource_of(self.kind);
        let api: Api<DynamicObject> = if self.scope.is_empty() {
            Api::all_with(client.clone(), &resource)
        } else {
            Api::namespaced_with(client.clone(), &self.scope, &resource)
        };
        loop {
            let epoch = *self.epoch.borrow_and_update();
            let mut events = watcher(api.clone(), watcher::Config::default()).default_backoff().boxed();
            let mut listed = BTreeSet::new();
            loop {
                tokio::select! {
                    changed = self.epoch.changed() => match changed {
                        Ok(()) => break,
                        Err(_) => return,
                    },
                    event = events.next() => match event {
                        Some(Ok(event)) => self.take(event, &mut listed, epoch),
                        Some(Err(error)) => if self.problem(&client, &error, epoch).await {
                            match timeout(INSTALLED_AGAIN, self.epoch.changed()).await {
                                Ok(Ok(())) => break,
                                Ok(Err(_)) => return,
                                Err(_) => {}
                            }
                        },
                        None => return,
                    },
                }
            }
        }
    }

    fn take(&self, event: Event<DynamicObject>, listed: &mut BTreeSet<RivalKey>, epoch: u64) {
        let now = Instant::now();
        match event {
            Event::Apply(object) | Event::InitApply(object)
                if !self.cluster.read().owns(object.metadata.namespace.as_deref().unwrap_or_default()) => {}
            Event::Apply(object) => {
                let value = object_of(self.kind, &object);
                self.change(&key_of(self.kind, &object), |cluster| {
                    cluster.write().rivals_mut().keep_newer(self.kind, value, now)
                });
            }
            Event::Delete(object) => self.forget(&key_of(self.kind, &object)),
            Event::Init => listed.clear(),
            Event::InitApply(object) => {
                listed.insert(key_of(self.kind, &object));
                let value = object_of(self.kind, &object);
                self.change(&key_of(self.kind, &object), |cluster| {
                    cluster.write().rivals_mut().keep(self.kind, value, now)
                });
            }
            Event::InitDone => {
                let known = self.cluster.read().rivals().names(self.kind, &self.scope);
                for gone in known.iter().filter(|key| !listed.contains(*key)) {
                    self.forget(gone);
                }
                listed.clear();
                self.read(epoch);
            }
        }
    }

    /// Changes what is known of an object and wakes the policies of its targets, before and after.
    fn change(&self, key: &RivalKey, change: impl FnOnce(&Cluster) -> bool) {
        let before = self.cluster.read().policies_of_rival(key);
        if change(&self.cluster) {
            self.wake(before.into_iter().chain(self.cluster.read().policies_of_rival(key)));
        }
    }

    fn forget(&self, key: &RivalKey) {
        self.change(key, |cluster| {
            cluster.write().rivals_mut().forget(key);
            true
        });
    }

    fn wake(&self, keys: impl Iterator<Item = PolicyKey>) {
        for key in keys.collect::<BTreeSet<_>>() {
            // Full: the next full tick decides for everybody anyway.
            drop(self.wake.try_send(key));
        }
    }

    /// The kind is not installed.
    fn absent(&self, epoch: u64) {
        let known = self.cluster.read().rivals().names(self.kind, &self.scope);
        for key in &known {
            self.forget(key);
        }
        let news = !self.cluster.read().rivals().fresh_kind(self.kind, &self.scope, epoch);
        if news {
            self.read(epoch);
        }
    }

    /// The kind was listed, or is known not to exist.
    fn read(&self, epoch: u64) {
        self.cluster.write().rivals_mut().mark_read(self.kind, &self.scope, epoch);
        let all = self.cluster.read().policies();
        self.wake(all.iter().map(|policy| policy.key()));
    }

    /// Notes why the kind cannot be watched; answers whether it is just not installed.
    async fn problem(&self, client: &Client, error: &watcher::Error, epoch: u64) -> bool {
        let plural = plural_of(self.kind);
        let Some(code @ (403 | 404)) = refusal_of(error) else {
            // What is known stays; the watch tries again.
            tracing::warn!("{plural} cannot be watched: {}.", crate::observe::root_cause(error));
            return false;
        };
        let Some(why) = problem_of(client, self.kind, code).await else {
            self.absent(epoch);
            return true;
        };
        let news = self.cluster.write().rivals_mut().mark_blind(self.kind, &self.scope, why.clone(), epoch);
        if news {
            tracing::warn!("{plural} cannot be read: {why}; no workload is taken over from them.");
            let all = self.cluster.read().policies();
            self.wake(all.iter().map(|policy| policy.key()));
        }
        false
    }
}

fn key_of(kind: Kind, object: &DynamicObject) -> RivalKey {
    let meta = &object.metadata;
    (meta.namespace.clone().unwrap_or_default(), kind, meta.name.clone().unwrap_or_default())
}

/// Why a kind cannot be read, as the end of a sentence; none when it is just not installed.
pub(super) async fn problem_of(client: &Client, kind: Kind, code: u16) -> Option<String> {
    if code == 403 {
        return Some(format!("grant the verbs list and watch on {}", plural_of(kind)));
    }
    let versions = other_version(client, kind).await?;
    Some(format!("only {versions} is served, {} is needed", kind.api_version()))
}

/// The versions of a kind's group that are served instead of the one that is needed; none when the group is not served
/// at all, or does not have the kind.
async fn other_version(client: &Client, kind: Kind) -> Option<String> {
    let (group, version) = kind.api_version().split_once('/').expect("every kind has a group");
    let groups = client.list_api_groups().await.ok()?;
    let versions: Vec<String> =
        groups.groups.into_iter().find(|g| g.name == group)?.versions.into_iter().map(|v| v.version).collect();
    if versions.iter().any(|served| served == version) {
        return None;
    }
    let mut having = Vec::new();
    for version in versions {
        let resources = client.list_api_group_resources(&format!("{group}/{version}")).await.ok()?;
        if resources.resources.iter().any(|r| r.name == plural_of(kind)) {
            having.push(version);
        }
    }
    (!having.is_empty()).then(|| having.join(" and "))
}
