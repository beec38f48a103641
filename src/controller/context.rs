//! What all ticks share: the cluster, the readings, the writer, and the places where results are shown.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use kube::{Client, runtime::events::Recorder};
use tokio::{sync::watch, time::Instant};

use super::{
    backfill::Backfill,
    checkpoint::Checkpoints,
    custody::{Hands, Turnstile},
    events::Notices,
    pod_sizes::Book,
    policies::TargetKey,
};
use crate::{
    actuate::{Blast, Gate, Refusal, WriteError, WriteKind, Writer},
    decide::{Reading, SignalState},
    observe::{
        clock::Clock,
        kubernetes::{Cluster, Targets, Watches},
        signals::{ReadContext, Readings, SignalHub},
        tenancy::Tenancy,
        usage::{PodId, UsageSource, UsageTable},
    },
    policy::{Mode, Policy, PolicyKey},
    serve::{Board, metrics::Metrics},
    units::Seconds,
};

/// A value and when it was read.
#[derive(Clone, Debug)]
pub struct Read<T> {
    /// The value.
    pub value: Arc<T>,
    /// When.
    pub at: Instant,
}

impl<T> Read<T> {
    fn new(value: T) -> Self {
        Self { value: Arc::new(value), at: Instant::now() }
    }

    /// Time since then.
    #[must_use]
    pub fn lag(&self) -> Seconds {
        Seconds(self.at.elapsed().as_secs_f64())
    }
}

/// Shared by all ticks of all policies.
pub struct Context {
    /// The watched cluster.
    pub cluster: Cluster,
    /// Raised when this instance begins to lead.
    pub epoch: watch::Sender<u64>,
    /// Reader of what is not watched.
    pub client: Client,
    /// Reader of targets.
    pub targets: Targets,
    /// What policies may look at.
    pub tenancy: Tenancy,
    /// Reader of signals.
    pub hub: SignalHub,
    /// Reader of usage.
    pub usage_source: Box<dyn UsageSource>,
    /// Reader of histories.
    pub backfill: Backfill,
    /// What outlives the process.
    pub checkpoints: Checkpoints,
    /// Sender of writes.
    pub writer: Writer,
    /// Where takeovers wait.
    pub turnstile: Turnstile,
    /// How many pods may be changed at once.
    pub blast: Mutex<Blast>,
    /// Publisher of Events; its client is the writer's.
    pub recorder: Recorder,
    /// Which Events were published lately.
    pub notices: Mutex<Notices>,
    /// What the page shows.
    pub board: Arc<Board>,
    /// What scrapers get.
    pub metrics: Metrics,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// What is known of each policy beside the cluster.
    pub known: Known,
}

/// Names of a target's pods, each with whether it is ready.
type KnownPods = Box<[(Arc<str>, bool)]>;

/// Readings, and what readers need to know.
#[derive(Debug)]
pub struct Known {
    usage: RwLock<Read<UsageTable>>,
    signals: RwLock<Read<Readings>>,
    policies: RwLock<BTreeMap<PolicyKey, Arc<Policy>>>,
    pods: RwLock<BTreeMap<PolicyKey, KnownPods>>,
    decided_on: Mutex<BTreeMap<PolicyKey, BTreeMap<String, f64>>>,
    owners: RwLock<Arc<BTreeMap<TargetKey, PolicyKey>>>,
    /// What new pods get.
    pub sizes: Book,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            usage: RwLock::new(Read::new(UsageTable::default())),
            signals: RwLock::new(Read::new(Readings::new())),
            policies: RwLock::default(),
            pods: RwLock::default(),
            decided_on: Mutex::default(),
            owners: RwLock::default(),
            sizes: Book::default(),
        }
    }
}

fn look<T: Clone>(lock: &RwLock<T>) -> T {
    lock.read().unwrap_or_else(PoisonError::into_inner).clone()
}

fn change<T, R>(lock: &RwLock<T>, f: impl FnOnce(&mut T) -> R) -> R {
    f(&mut lock.write().unwrap_or_else(PoisonError::into_inner))
}

impl Known {
    /// Usage as last read.
    #[must_use]
    pub fn usage(&self) -> Read<UsageTable> {
        look(&self.usage)
    }

    /// Which policy owns which target.
    #[must_use]
    pub fn owners(&self) -> Arc<BTreeMap<TargetKey, PolicyKey>> {
        look(&self.owners)
    }

    /// Notes which policy owns which target.
    pub fn set_owners(&self, owners: BTreeMap<TargetKey, PolicyKey>) {
        change(&self.owners, |o| *o = Arc::new(owners));
    }

    /// Compiled policies.
    #[must_use]
    pub fn policies(&self) -> Vec<Arc<Policy>> {
        look(&self.policies).into_values().collect()
    }

    /// Looks at the compiled policies of a namespace.
    pub fn in_namespace<T>(&self, namespace: &str, look: impl FnOnce(&mut dyn Iterator<Item = &Policy>) -> T) -> T {
        let known = self.policies.read().unwrap_or_else(PoisonError::into_inner);
        let first = PolicyKey { namespace: namespace.to_owned(), name: String::new() };
        let here = known.range(first..).take_while(|(key, _)| key.namespace == namespace);
        look(&mut here.map(|(_, policy)| policy.as_ref()))
    }

    /// Notes a compiled policy, or that there is none; answers whether that changed anything.
    pub fn set_policy(&self, key: &PolicyKey, policy: Option<&Arc<Policy>>) -> bool {
        change(&self.policies, |policies| {
            if policies.get(key) == policy {
                return false;
            }
            match policy {
                Some(policy) => drop(policies.insert(key.clone(), Arc::clone(policy))),
                None => drop(policies.remove(key)),
            }
            true
        })
    }

    /// Notes the pods of a policy's target, each with whether it is ready; answers whether they are the first.
    pub fn set_pods(&self, key: &PolicyKey, pods: KnownPods) -> bool {
        change(&self.pods, |known| known.insert(key.clone(), pods).is_none())
    }

    /// Forgets a policy.
    pub fn forget(&self, key: &PolicyKey) {
        self.set_policy(key, None);
        change(&self.pods, |pods| pods.remove(key));
        self.sizes.forget(key);
        self.decided_on.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Notes what values a decision rested on.
    pub fn note_decided(&self, key: &PolicyKey, signals: &BTreeMap<String, Reading>) {
        let values = signals.iter().filter_map(|(name, r)| Some((name.clone(), r.value?))).collect();
        self.decided_on.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), values);
    }

    /// What reading the signals of these policies needs.
    fn read_context<'a>(&self, policies: impl Iterator<Item = &'a PolicyKey>) -> ReadContext {
        let ready = |pods: &KnownPods| -> BTreeSet<String> {
            pods.iter().filter(|(_, ready)| *ready).map(|(name, _)| name.to_string()).collect()
        };
        let known = self.pods.read().unwrap_or_else(PoisonError::into_inner);
        ReadContext { ready_pods: policies.filter_map(|key| Some((key.clone(), ready(known.get(key)?)))).collect() }
    }

    fn pod_ids(&self) -> BTreeSet<PodId> {
        let pods = self.pods.read().unwrap_or_else(PoisonError::into_inner);
        let of = |(key, pods): (&PolicyKey, &KnownPods)| -> Vec<PodId> {
            let namespace: Arc<str> = key.namespace.as_str().into();
            pods.iter().map(|(name, _)| PodId { namespace: Arc::clone(&namespace), name: Arc::clone(name) }).collect()
        };
        pods.iter().flat_map(of).collect()
    }

    /// Policies of which a signal has risen by so much since it was decided on that waiting for the next tick is wrong.
    fn risen(&self, readings: &Readings) -> Vec<PolicyKey> {
        let decided = self.decided_on.lock().unwrap_or_else(PoisonError::into_inner);
        let rose = |key: &PolicyKey, name: &String, reading: &Reading| {
            let usable = matches!(reading.state, Some(SignalState::Fresh | SignalState::Late | SignalState::Partial));
            let before = decided.get(key).and_then(|values| values.get(name));
            usable
                && before.is_some_and(|before| reading.value.is_some_and(|value| value > before * RISE && value > 0.0))
        };
        let risen = readings.iter().filter(|(key, signals)| signals.iter().any(|(name, r)| rose(key, name, r)));
        risen.map(|(key, _)| key.clone()).collect()
    }
}

/// A signal that is so much higher than when it was last decided on wakes its policy. Ordinary noise of a rate stays
/// below a fifth.
const RISE: f64 = 1.2;

impl Context {
    /// What a takeover needs.
    pub const fn hands(&self) -> Hands<'_> {
        Hands {
            cluster: &self.cluster,
            targets: &self.targets,
            writer: &self.writer,
            client: &self.client,
            turnstile: &self.turnstile,
        }
    }

    /// Has policies and autoscalers listed anew.
    pub fn look_afresh(&self) {
        Watches::look_afresh(&self.cluster, &self.epoch);
    }

    /// Reads the usage of all known pods.
    pub async fn read_usage(&self) {
        let pods = self.known.pod_ids();
        if pods.is_empty() {
            return;
        }
        let started = Instant::now();
        let read = self.usage_source.read(self.clock.now(), &pods).await;
        self.metrics.observe_query("usage", started.elapsed());
        match read {
            Ok(table) => change(&self.known.usage, |usage| *usage = Read::new(table)),
            // What was read before grows old by itself.
            Err(error) => {
                self.metrics.count_failure("usage", error.category());
                tracing::warn!(category = error.category(), "Usage cannot be read: {error}.");
            }
        }
    }

    /// Reads the signals of all policies; answers who should decide again because of them.
    pub async fn read_signals(&self) -> Vec<PolicyKey> {
        let policies = self.known.policies();
        let wanted: Vec<&Policy> = policies.iter().map(AsRef::as_ref).filter(|p| !p.signals.is_empty()).collect();
        if wanted.is_empty() {
            return Vec::new();
        }
        let started = Instant::now();
        let readings =
            self.hub.read_all(self.clock.now(), &wanted, &self.known.read_context(wanted.iter().map(|p| &p.key))).await;
        self.metrics.observe_query("signals", started.elapsed());
        for reading in readings.values().flat_map(BTreeMap::values) {
            match reading.state {
                Some(SignalState::Absent) => self.metrics.count_failure("signals", "absent"),
                Some(SignalState::Invalid) => self.metrics.count_failure("signals", "invalid"),
                _ => {}
            }
        }
        let risen = self.known.risen(&readings);
        change(&self.known.signals, |signals| *signals = Read::new(readings));
        risen
    }

    /// The signals of one policy now: those that are queried as last read, grown older meanwhile; those of direct
    /// sources as last polled.
    pub fn signals_of(&self, policy: &Policy) -> BTreeMap<String, Reading> {
        let read = look(&self.known.signals);
        let lag = read.lag();
        let mut signals = read.value.get(&policy.key).cloned().unwrap_or_default();
        for reading in signals.values_mut() {
            reading.age_seconds = reading.age_seconds.map(|age| age + lag);
        }
        if policy.signals.iter().any(|signal| signal.source.is_direct()) {
            signals.extend(self.hub.polled(
                self.clock.now(),
                policy,
                &self.known.read_context([&policy.key].into_iter()),
            ));
        }
        signals.retain(|name, _| policy.signals.iter().any(|s| s.name == *name));
        signals
    }

    /// Polls the direct sources of all policies. An instance that stands by does too: what it has learned must be as good as
    /// what the leader has when it takes over.
    pub fn sync_direct_sources(&self) {
        self.hub.sync(self.known.policies().iter().map(AsRef::as_ref));
    }

    /// Writes down what is due of what is remembered, while this instance leads; at the end, all that has changed. Answers
    /// whether there was no room for something among all writes: after a tick that moved much there often is none.
    pub async fn keep_memory(&self, end: bool) -> bool {
        let Checkpoints::Objects(shelf) = &self.checkpoints else { return false };
        if !self.writer.leads() {
            return false;
        }
        for parcel in shelf.due(Instant::now(), end) {
            let gate = Gate { mode: Mode::Auto, seen: Instant::now() };
            let object = (shelf.namespace(), parcel.name.as_str());
            let written = self.writer.memory(object, shelf.labels(), parcel.data.clone(), gate).await;
            let result = written.as_ref().err().map_or("ok", WriteError::category);
            self.metrics.count_write(WriteKind::Memory.label(), result);
            if let Err(WriteError::Dropped { refusal: Refusal::Rate, .. }) = written {
                return true;
            }
            shelf.note(&parcel, written.is_ok(), Instant::now());
            if let Err(error) = written {
                tracing::warn!(category = error.category(), "What is remembered is not written down: {error}.");
            }
        }
        false
    }

    /// Reads signals again and again and sends on whom to wake.
    pub async fn follow_signals(self: Arc<Self>, every: Duration, wake: tokio::sync::mpsc::Sender<PolicyKey>) {
        let mut rounds = tokio::time::interval(every);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            for key in self.read_signals().await {
                // Full: the next full tick decides for everybody anyway.
                drop(wake.try_send(key));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::observe::tenancy::Tenancy;

    #[test]
    fn a_namespace_is_looked_at_alone() {
        let known = Known::default();
        let policy = |namespace: &str, name: &str| {
            let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": name});
            let metadata = json!({"namespace": namespace, "name": name, "generation": 1});
            let object =
                json!({"metadata": metadata, "spec": {"targetRef": target, "objective": {"utilization": {"cpu": 70}}}});
            Arc::new(
                super::super::policies::read(&serde_json::from_value(object).unwrap(), &Tenancy::default()).unwrap(),
            )
        };
        for (namespace, name) in [("a", "x"), ("shop", "api"), ("shop", "web"), ("shop-eu", "web"), ("z", "x")] {
            let policy = policy(namespace, name);
            known.set_policy(&policy.key, Some(&policy));
        }
        let names: Vec<String> = known.in_namespace("shop", |here| here.map(|policy| policy.key.to_string()).collect());
        assert_eq!(names, ["shop/api", "shop/web"]);
        assert_eq!(known.in_namespace("none", |here| here.count()), 0);
    }
}
