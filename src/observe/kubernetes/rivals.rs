//! Other people's autoscalers as they are known now: a part of the [`super::Index`]. No client, no waiting.
//!
//! Objects are kept whole, since giving one back means writing it whole. They are found by the workload that they name and
//! by the policy that they are displaced for, never by going through all of them.
//!
//! Invariant: what a relist does not name is forgotten, and only within the namespaces that the relist covered.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use serde_json::Value;
use tokio::time::Instant;

use super::pulse::Pulse;
use crate::{
    policy::PolicyKey,
    takeover::{Blind, Kind, Rival, SETTLE, TargetRef},
};

/// Namespace, kind and name of an autoscaler.
pub type RivalKey = (String, Kind, String);

#[derive(Clone, Debug)]
struct Entry {
    object: Arc<Value>,
    inert: bool,
    observed: Option<bool>,
    /// Since when it has been seen as inert (or not) as it is now.
    since: Instant,
    pulse: Pulse,
    target: Option<TargetRef>,
    displaced_for: Option<String>,
}

/// All autoscalers that are known.
#[derive(Debug, Default)]
pub struct Rivals {
    entries: BTreeMap<RivalKey, Entry>,
    by_target: BTreeMap<(String, TargetRef), BTreeSet<RivalKey>>,
    by_policy: BTreeMap<PolicyKey, BTreeSet<RivalKey>>,
    blind: BTreeMap<(Kind, String), String>,
    read: BTreeMap<(Kind, String), u64>,
}

fn rival(kind: Kind, object: Value) -> Rival {
    Rival { kind, object, quiet: false }
}

impl Entry {
    fn new(kind: Kind, object: Value, before: Option<&Self>, now: Instant) -> Self {
        let seen = rival(kind, object);
        let (inert, observed, target) = (seen.inert(), seen.observed(), seen.target());
        let displaced_for = seen.saved().ok().flatten().map(|saved| saved.stamp.policy);
        let mut pulse = before.map(|old| old.pulse.clone()).unwrap_or_default();
        if before.is_some_and(|old| old.object["status"] != seen.object["status"]) {
            pulse.beat(now);
        }
        let since = before.filter(|old| old.inert == inert && same_object(&old.object, &seen.object));
        Self {
            since: since.map_or(now, |old| old.since),
            object: Arc::new(seen.object),
            inert,
            observed,
            pulse,
            target,
            displaced_for,
        }
    }

    /// Whether a policy should look again because of a change: not for a status that only counts.
    fn matters(&self, old: &Self) -> bool {
        let of =
            |e: &Self| (e.object["metadata"]["annotations"].clone(), e.object["metadata"]["ownerReferences"].clone());
        old.inert != self.inert
            || old.observed != self.observed
            || old.object["spec"] != self.object["spec"]
            || of(old) != of(self)
    }
}

fn same_object(a: &Value, b: &Value) -> bool {
    a["metadata"]["uid"] == b["metadata"]["uid"]
}

fn key_of(kind: Kind, object: &Value) -> RivalKey {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    (text("namespace"), kind, text("name"))
}

fn version(object: &Value) -> Option<u64> {
    object["metadata"]["resourceVersion"].as_str()?.parse().ok()
}

impl Rivals {
    /// Keeps an object from a watch; answers whether a policy of its target should look again. One that is older than
    /// what is known (the watch lags behind our own write) changes nothing.
    pub fn keep_newer(&mut self, kind: Kind, object: Value, now: Instant) -> bool {
        let known = self.entries.get(&key_of(kind, &object));
        let older =
            known.is_some_and(|old| same_object(&old.object, &object) && version(&object) < version(&old.object));
        !older && self.keep(kind, object, now)
    }

    /// Keeps an object that was listed, whatever its version: after a restored backup versions begin anew.
    pub fn keep(&mut self, kind: Kind, object: Value, now: Instant) -> bool {
        let key = key_of(kind, &object);
        let before = self.entries.get(&key);
        let entry = Entry::new(kind, object, before, now);
        let matters = before.is_none_or(|old| entry.matters(old));
        self.unlink(&key);
        if let Some(target) = &entry.target {
            self.by_target.entry((key.0.clone(), target.clone())).or_default().insert(key.clone());
        }
        if let Some(policy) = &entry.displaced_for {
            let policy = PolicyKey { namespace: key.0.clone(), name: policy.clone() };
            self.by_policy.entry(policy).or_default().insert(key.clone());
        }
        self.entries.insert(key, entry);
        matters
    }

    /// Forgets an object.
    pub fn forget(&mut self, key: &RivalKey) {
        self.unlink(key);
        self.entries.remove(key);
    }

    fn unlink(&mut self, key: &RivalKey) {
        let Some(entry) = self.entries.get(key) else { return };
        if let Some(target) = &entry.target {
            unlink(&mut self.by_target, &(key.0.clone(), target.clone()), key);
        }
        if let Some(policy) = &entry.displaced_for {
            unlink(&mut self.by_policy, &PolicyKey { namespace: key.0.clone(), name: policy.clone() }, key);
        }
    }

    /// Names of all objects of a kind in a scope; the empty one is all namespaces.
    pub fn names(&self, kind: Kind, scope: &str) -> Vec<RivalKey> {
        self.entries.keys().filter(|(ns, k, _)| *k == kind && (scope.is_empty() || ns == scope)).cloned().collect()
    }

    /// Whom an object scales: its namespace and target.
    #[must_use]
    pub fn target_of(&self, key: &RivalKey) -> Option<&TargetRef> {
        self.entries.get(key)?.target.as_ref()
    }

    /// The policy that an object is displaced for.
    #[must_use]
    pub fn displaced_for(&self, key: &RivalKey) -> Option<PolicyKey> {
        let name = self.entries.get(key)?.displaced_for.clone()?;
        Some(PolicyKey { namespace: key.0.clone(), name })
    }

    /// Every autoscaler that names a target or is displaced for a policy, in order of kind and name.
    #[must_use]
    pub fn around(&self, policy: &PolicyKey, target: Option<&TargetRef>, now: Instant) -> Vec<Rival> {
        let displaced = self.by_policy.get(policy);
        let named = target.and_then(|target| self.by_target.get(&(policy.namespace.clone(), target.clone())));
        let mut keys: BTreeSet<&RivalKey> = displaced.into_iter().chain(named).flatten().collect();
        // Whoever else moves the target of something displaced counts when that is given back.
        let elsewhere = displaced.into_iter().flatten().filter_map(|key| self.target_of(key));
        let beside = elsewhere.filter_map(|target| self.by_target.get(&(policy.namespace.clone(), target.clone())));
        keys.extend(beside.flatten());
        keys.into_iter().filter_map(|key| self.rival(key, now)).collect()
    }

    fn rival(&self, key: &RivalKey, now: Instant) -> Option<Rival> {
        let entry = self.entries.get(key)?;
        let settled = entry.inert && now.saturating_duration_since(entry.since) >= SETTLE;
        let quiet = entry.observed.unwrap_or(settled);
        Some(Rival { kind: key.1, object: (*entry.object).clone(), quiet })
    }

    /// Time until the controller of an object looks at it next, if that can be told.
    #[must_use]
    pub fn next_sync(&self, key: &RivalKey, now: Instant) -> Option<Duration> {
        self.entries.get(key)?.pulse.next(now)
    }

    /// Policies for which something is displaced.
    #[must_use]
    pub fn displacing(&self) -> Vec<PolicyKey> {
        self.by_policy.keys().cloned().collect()
    }

    /// Notes that a kind was listed, or is known not to exist, in an epoch.
    pub fn mark_read(&mut self, kind: Kind, scope: &str, epoch: u64) {
        self.blind.remove(&(kind, scope.to_owned()));
        self.read.insert((kind, scope.to_owned()), epoch);
    }

    /// Notes that a kind cannot be read, and why, as the end of a sentence; answers whether that is news.
    pub fn mark_blind(&mut self, kind: Kind, scope: &str, why: String, epoch: u64) -> bool {
        self.read.insert((kind, scope.to_owned()), epoch);
        let news = self.blind.get(&(kind, scope.to_owned())) != Some(&why);
        self.blind.insert((kind, scope.to_owned()), why);
        news
    }

    /// Whether every kind was read, or found unreadable, since an epoch began.
    #[must_use]
    pub fn fresh(&self, scopes: &[String], epoch: u64) -> bool {
        Kind::ALL.iter().all(|kind| scopes.iter().all(|scope| self.fresh_kind(*kind, scope, epoch)))
    }

    /// [`Rivals::fresh`] of one kind in one scope.
    #[must_use]
    pub fn fresh_kind(&self, kind: Kind, scope: &str, epoch: u64) -> bool {
        self.read.get(&(kind, scope.to_owned())).is_some_and(|at| *at >= epoch)
    }

    /// Kinds that cannot be read in a namespace.
    #[must_use]
    pub fn blind(&self, namespace: &str) -> Vec<Blind> {
        let here = |scope: &str| scope.is_empty() || scope == namespace;
        let of = |((kind, scope), why): (&(Kind, String), &String)| {
            here(scope).then(|| Blind { kind: *kind, why: why.clone() })
        };
        self.blind.iter().filter_map(of).collect()
    }
}

fn unlink<K: Ord>(map: &mut BTreeMap<K, BTreeSet<RivalKey>>, at: &K, key: &RivalKey) {
    if let Some(keys) = map.get_mut(at) {
        keys.remove(key);
        if keys.is_empty() {
            map.remove(at);
        }
    }
}

#[cfg(test)]
#[path = "rivals/tests.rs"]
mod tests;
