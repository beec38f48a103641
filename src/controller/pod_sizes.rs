//! The size of new pods, from decision to row: noted for each policy, gathered for each namespace. Pure.
//!
//! [`super::tables`] writes what is gathered here. Invariants: only a policy in mode Auto has a row; a size with which pods
//! could not be created goes at once, and does not come back for an hour.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::{SignedDuration, Timestamp};

use super::{
    context::Context,
    guard::{Moves, Shrink},
};
use crate::{
    actuate::{Asked, Table, new_pods, sized_workload},
    api::{POD_SIZES_BYTES, PodSize, SizedWorkload},
    decide::{Decision, Reason, ReplicaState, Snapshot},
    observe::kubernetes::{Bounds, Index, TemplateContainer},
    policy::{Mode, Policy, PolicyKey},
    units::Replicas,
};

/// How long new pods keep their template's size after pods could not be created with ours: long enough that a scale-up
/// does not meet the same refusal again and again, short enough that a quota that was raised is used the same day.
const PAUSE: SignedDuration = SignedDuration::from_hours(1);

/// How long pods may be missing, while none is on its way, before the size is blamed: of kinds without a `ReplicaSet`, which do
/// not say why they create none. Controllers of a control plane create none either while their leader changes, which takes
/// their lease of 15 s, a retry, and a first look at everything: twice that and half of it again.
const MISSING: SignedDuration = SignedDuration::from_secs(45);

/// In the place of a namespace: what keeps tables from being written in all of them.
pub const EVERYWHERE: &str = "";

/// Words by which a refused pod names its resources, or the policy of somebody who looks at them.
const RESOURCE_WORDS: [&str; 6] = ["quota", "resources", "cpu", "memory", "limit", "denied"];

/// A decision, from the side of new pods.
#[derive(Clone, Copy, Debug)]
pub struct Noted<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// Generation of its spec.
    pub generation: Option<i64>,
    /// Uid of the target.
    pub target: &'a str,
    /// Containers of its pod template.
    pub template: &'a [TemplateContainer],
    /// What the decision rests on.
    pub snapshot: &'a Snapshot,
    /// The decision.
    pub decision: &'a Decision,
    /// What is carried out of it.
    pub moves: &'a Moves,
    /// Whether the size of pods is ours to decide now.
    pub ours: bool,
}

/// What bounds it and what came of it, beside the decision.
struct Surroundings {
    /// What the namespace asks of new pods.
    bounds: Bounds,
    /// Why pods of the target cannot be created, in the words of the API server.
    failure: Option<String>,
    /// Whether it would be said if they could not: a `ReplicaSet` says so.
    tells: bool,
    /// Pods that the namespace's policies may have together.
    sharers: u32,
}

/// A row and the workload that it is for.
pub type Row = (SizedWorkload, PodSize);

/// Rows of a table.
pub type Rows = BTreeMap<SizedWorkload, PodSize>;

/// Why new pods keep their template's size for a while.
#[derive(Clone, Debug)]
struct Pause {
    until: Timestamp,
    why: String,
}

/// What is known of new pods' sizes.
#[derive(Debug, Default)]
pub struct Book(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    /// By policy; none: decided that there is no row.
    rows: BTreeMap<PolicyKey, Option<Row>>,
    /// By policy: since when pods are missing, and pauses.
    missing: BTreeMap<PolicyKey, Timestamp>,
    pauses: BTreeMap<PolicyKey, Pause>,
    /// Tables as they stand in the cluster, by namespace.
    found: BTreeMap<String, Table>,
    /// Reason and sentence by namespace: why its table cannot be written.
    problems: BTreeMap<String, (&'static str, String)>,
    changed: bool,
}

impl Book {
    fn open(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what a decision means for new pods.
    pub fn note(&self, context: &Context, noted: Noted<'_>) {
        let namespace = &noted.policy.key.namespace;
        self.note_in(noted, || {
            let index = context.cluster.read();
            Surroundings {
                bounds: index.bounds(namespace),
                failure: index.failure(noted.target).map(str::to_owned),
                tells: index.has_replica_sets(noted.target),
                sharers: context.known.in_namespace(namespace, sharers),
            }
        });
    }

    fn note_in(&self, noted: Noted<'_>, around: impl FnOnce() -> Surroundings) {
        let key = &noted.policy.key;
        if noted.policy.mode != Mode::Auto || !noted.ours {
            let mut pages = self.open();
            pages.pauses.remove(key);
            pages.missing.remove(key);
            return pages.set(key, None);
        }
        // At somebody else's zero nothing is decided.
        if noted.decision.reason == Reason::ScaledToZero {
            return;
        }
        let around = around();
        let mut pages = self.open();
        pages.look_for_refusals(key, &around, &noted.snapshot.replicas, noted.snapshot.at);
        let current = pages.current(key);
        let paused = pages.pauses.contains_key(key);
        let row = if paused { None } else { row(noted, &around, current.as_ref()) };
        pages.set(key, row);
    }

    /// Notes that a policy has no row: nothing can be decided for it.
    pub fn clear(&self, key: &PolicyKey) {
        self.open().set(key, None);
    }

    /// Forgets a policy; its row goes with it.
    pub fn forget(&self, key: &PolicyKey) {
        let mut pages = self.open();
        pages.changed |= pages.rows.remove(key).is_some();
        pages.missing.remove(key);
        pages.pauses.remove(key);
    }

    /// Why new pods of a policy's target keep their template's size, in words.
    #[must_use]
    pub fn remark(&self, key: &PolicyKey) -> Option<String> {
        let pages = self.open();
        let pause = pages.pauses.get(key)?;
        Some(format!("new pods keep their template's size until {:.0}, since {}", pause.until, pause.why))
    }

    /// Why the table of a namespace cannot be written: reason and sentence. Nothing, where it would have no row.
    #[must_use]
    pub fn problem(&self, key: &PolicyKey) -> Option<(&'static str, String)> {
        let pages = self.open();
        let wanted = pages.rows.get(key).is_some_and(Option::is_some);
        let problem = pages.problems.get(&key.namespace).or_else(|| pages.problems.get(EVERYWHERE));
        problem.filter(|_| wanted).cloned()
    }

    /// Notes why a table cannot be written, or that it can.
    pub fn set_problem(&self, namespace: &str, problem: Option<(&'static str, String)>) {
        let mut pages = self.open();
        match problem {
            Some(problem) => drop(pages.problems.insert(namespace.to_owned(), problem)),
            None => drop(pages.problems.remove(namespace)),
        }
    }

    /// Whether anything changed since it was asked last.
    pub fn take_changed(&self) -> bool {
        std::mem::take(&mut self.open().changed)
    }

    /// Whether any policy has a row.
    #[must_use]
    pub fn wants_any(&self) -> bool {
        self.open().rows.values().any(Option::is_some)
    }

    /// Notes all tables that stand in a namespace, or in all where it has no name.
    pub fn set_found(&self, scope: &str, found: BTreeMap<String, Table>) {
        let mut pages = self.open();
        pages.found.retain(|namespace, _| !scope.is_empty() && namespace != scope);
        pages.found.extend(found);
        pages.changed = true;
    }

    /// Notes the table of one namespace.
    pub fn set_table(&self, namespace: &str, table: Table) {
        self.open().found.insert(namespace.to_owned(), table);
    }

    /// Namespaces whose tables are not as they should be: the table as it stands, and its rows as they should be.
    #[must_use]
    pub fn due(&self, index: &Index) -> Vec<(String, Table, Rows)> {
        let pages = self.open();
        let mut wanted: BTreeMap<String, Rows> = BTreeMap::new();
        for (key, row) in &pages.rows {
            if let Some((workload, size)) = row {
                wanted.entry(key.namespace.clone()).or_default().insert(workload.clone(), size.clone());
            }
        }
        for (namespace, table) in &pages.found {
            let rows = wanted.entry(namespace.clone()).or_default();
            for (workload, size) in &table.rows {
                // After a change of leader: what another instance decided holds until this one has decided.
                let key = PolicyKey { namespace: namespace.clone(), name: size.policy.clone() };
                if !pages.rows.contains_key(&key) && in_auto(index, &key) {
                    rows.entry(workload.clone()).or_insert_with(|| size.clone());
                }
            }
        }
        let table = |namespace: &str| pages.found.get(namespace).cloned().unwrap_or_default();
        let all = wanted.into_iter().map(|(ns, rows)| (table(&ns), cut(&ns, rows), ns));
        all.filter(|(table, rows, _)| table.rows != *rows).map(|(table, rows, ns)| (ns, table, rows)).collect()
    }
}

impl Pages {
    fn set(&mut self, key: &PolicyKey, row: Option<Row>) {
        if self.rows.get(key) != Some(&row) {
            self.rows.insert(key.clone(), row);
            self.changed = true;
        }
    }

    /// The row that new pods of a policy's target get now.
    fn current(&self, key: &PolicyKey) -> Option<PodSize> {
        if let Some(row) = self.rows.get(key) {
            return row.as_ref().map(|(_, size)| size.clone());
        }
        let table = self.found.get(&key.namespace)?;
        table.rows.values().find(|size| size.policy == key.name).cloned()
    }

    /// Begins a pause when pods could not be created with our size, ends the one that is over.
    fn look_for_refusals(&mut self, key: &PolicyKey, around: &Surroundings, pods: &ReplicaState, now: Timestamp) {
        self.pauses.retain(|k, pause| k != key || now < pause.until);
        // What was missing before there was a size of ours does not miss for it.
        let ours = self.current(key).is_some();
        let on_their_way = pods.pending > Replicas(0) || pods.terminating > Replicas(0);
        if ours && !around.tells && !on_their_way && pods.ready < pods.spec {
            self.missing.entry(key.clone()).or_insert(now);
        } else {
            self.missing.remove(key);
        }
        if !ours {
            return;
        }
        let words = around.failure.as_deref();
        let refused = words.filter(|words| RESOURCE_WORDS.iter().any(|word| words.contains(word)));
        let missing = self.missing.get(key).is_some_and(|since| now.duration_since(*since) >= MISSING);
        let why = match refused {
            Some(words) => format!("pods of this one could not be created: {words}"),
            None if missing => "pods of this one were not created".to_owned(),
            None => return,
        };
        self.pauses.insert(key.clone(), Pause { until: now + PAUSE, why });
    }
}

fn row(noted: Noted<'_>, around: &Surroundings, current: Option<&PodSize>) -> Option<Row> {
    let hash = noted.snapshot.replicas.template_hash.as_deref()?;
    let workload = sized_workload(&noted.policy.target)?;
    let held = noted.moves.sizes != Some(Shrink::Allowed);
    let at_least = current.filter(|size| held && size.template_hash == hash);
    let size = new_pods(Asked {
        policy: noted.policy,
        generation: noted.generation.unwrap_or_default(),
        decided: &noted.decision.containers,
        template: noted.template,
        template_hash: hash,
        bounds: &around.bounds,
        sharers: around.sharers,
        new_template: noted.moves.sizes.is_none(),
        at_least,
        at_least_own: held && at_least.is_none(),
    })?;
    Some((workload, size))
}

/// Pods that those policies of a namespace that size pods may have together.
fn sharers(policies: &mut dyn Iterator<Item = &Policy>) -> u32 {
    let sizing = |p: &&Policy| p.mode == Mode::Auto && (p.levers.cpu || p.levers.memory);
    policies.filter(sizing).map(|p| p.replicas.max.0).fold(0, u32::saturating_add)
}

fn in_auto(index: &Index, key: &PolicyKey) -> bool {
    index.policy(key).is_some_and(|p| p.metadata.deletion_timestamp.is_none() && p.spec.mode.as_deref() == Some("Auto"))
}

/// As many rows as the API server stores in one object, in their order.
fn cut(namespace: &str, rows: Rows) -> Rows {
    let mut bytes = 1;
    let mut out = BTreeSet::new();
    for (workload, size) in &rows {
        bytes += size.line(&workload.1).len() + 1;
        if bytes > POD_SIZES_BYTES {
            out.insert(workload.clone());
        }
    }
    if let Some(first) = out.first() {
        tracing::warn!(
            namespace,
            workloads = out.len(),
            first = first.1,
            "The table of new pods' sizes is full: pods of these workloads are resized after they are created."
        );
    }
    rows.into_iter().filter(|(workload, _)| !out.contains(workload)).collect()
}

#[cfg(test)]
#[path = "pod_sizes/tests.rs"]
mod tests;
