//! I/O: Sizes of running pods, from the decision to the requests.
//!
//! What is sent and when is planned by pure functions ([`plan`]); here the plan meets the cluster as it is now and the budget
//! of the whole cluster ([`crate::actuate::Blast`]), and what became of it is noted. What this workload's resizes taught is
//! remembered here, and the part of it that must outlive the process is written down with the rest ([`Kept`]).

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{context::Context, guard::Shrink};
use crate::{
    actuate::{
        Attempts, Change, Denial, Evictions, Gate, PodEviction, PodResize, ResizeKind, Told, Undo, Waits, Wanted,
        WriteError, WriteKind, missing, plan, told,
    },
    decide::{Decision, Snapshot},
    observe::kubernetes::PodFacts,
    policy::{Policy, PolicyKey},
    units::Bytes,
};

/// What is to be carried out.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// Pods of its target.
    pub pods: &'a [Arc<PodFacts>],
    /// What was decided on.
    pub snapshot: &'a Snapshot,
    /// The decision.
    pub decision: &'a Decision,
    /// Whether sizes may become smaller; none: nothing is resized now.
    pub sizes: Option<Shrink>,
    /// What the decision brings to the fence.
    pub gate: Gate,
}

/// What outlives the process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    undo: Undo,
    evictions: Evictions,
    waits: Waits,
}

/// What is remembered of the resizes of one workload.
#[derive(Debug, Default)]
pub struct Resizes {
    attempts: Attempts,
    evictions: Evictions,
    undo: Undo,
    told: Option<Told>,
    /// Since when pods wait because the cluster's budget is spent.
    crowded: Option<Timestamp>,
    /// Something was learned that should be written down now.
    news: bool,
}

/// Pods that wait for the cluster's budget are told of after this.
const CROWDED: SignedDuration = SignedDuration::from_mins(1);

/// What became of a request.
type Outcome = (WriteKind, Option<WriteError>);

impl Resizes {
    /// Goes on from what was written down.
    pub fn restore(&mut self, kept: Kept) {
        self.undo = kept.undo;
        self.evictions = kept.evictions;
        self.attempts = Attempts::with_waits(kept.waits);
    }

    /// What is to be written down.
    #[must_use]
    pub fn kept(&self) -> Kept {
        Kept { undo: self.undo.clone(), evictions: self.evictions.clone(), waits: self.attempts.waits().clone() }
    }

    /// Whether something was learned since it was asked last.
    pub const fn take_news(&mut self) -> bool {
        std::mem::replace(&mut self.news, false)
    }

    /// Marks the sizes that containers are not to go below.
    pub fn mark(&self, snapshot: &mut Snapshot) {
        for container in &mut snapshot.containers {
            container.floor = self.undo.floor(&container.name, snapshot.at);
        }
    }

    /// What keeps pods from their sizes: reason and sentence.
    #[must_use]
    pub fn told(&self) -> Option<(&'static str, &str)> {
        self.told.as_ref().map(|told| (told.reason, told.message.as_str()))
    }

    /// Nothing is carried out, and nothing is told.
    pub fn rest(&mut self) {
        self.told = None;
    }

    /// Looks at what became of earlier requests and sends what is due, as far as the rights for it are not known to be
    /// missing; answers what became of each request.
    pub async fn carry_out(
        &mut self,
        context: &Context,
        task: Task<'_>,
        may: impl Fn(WriteKind) -> bool,
    ) -> Vec<Outcome> {
        let pods: Vec<&PodFacts> = task.pods.iter().map(AsRef::as_ref).collect();
        let now = task.snapshot.at;
        self.attempts.observe(pods.iter().copied(), now);
        for news in self.undo.look(&pods, (task.snapshot, task.decision), now) {
            self.news = true;
            tracing::warn!(policy = %task.policy.key, "A resize is undone: {news}.");
        }
        self.told = None;
        let Some(shrink) = task.sizes else { return Vec::new() };
        let memory_in_use: BTreeMap<String, Bytes> = task.snapshot.containers.iter().filter_map(in_use).collect();
        let wanted = Wanted {
            policy: task.policy,
            decision: task.decision,
            memory_in_use: &memory_in_use,
            may_shrink: shrink == Shrink::Allowed,
            replicas: task.snapshot.replicas.spec.0,
            quota_left: task.snapshot.room.quota.as_ref().map(|quota| quota.left),
        };
        let planned = plan(&pods, wanted, &self.attempts, &mut self.evictions, now);
        let mut outcomes = Vec::new();
        if may(WriteKind::Resize) {
            self.resize(context, task, wanted, planned.resizes, &mut outcomes).await;
        }
        if may(WriteKind::Evict) {
            self.evict(context, task, planned.evictions, &mut outcomes).await;
        }
        self.told = told(&pods, wanted, &self.attempts, &self.evictions, &self.undo, now)
            .or_else(|| waits_for_pods(missing(&pods, wanted)))
            .or_else(|| self.crowd(now));
        outcomes
    }

    fn crowd(&self, now: Timestamp) -> Option<Told> {
        self.crowded.filter(|since| now.duration_since(*since) >= CROWDED)?;
        let message = "its pods wait for their turn: as many pods of the cluster as may be are changed in every tick \
                       (--pods-per-tick)";
        Some(Told { reason: "ResizeWaitsItsTurn", message: message.to_owned() })
    }

    async fn resize(
        &mut self,
        context: &Context,
        task: Task<'_>,
        wanted: Wanted<'_>,
        planned: Vec<PodResize>,
        outcomes: &mut Vec<Outcome>,
    ) {
        let now = task.snapshot.at;
        let mut crowded = false;
        for resize in planned {
            // Refused to another pod of this tick.
            if self.attempts.stands_refused(&resize, wanted.quota_left, now) {
                continue;
            }
            let change = if resize.kind == ResizeKind::Trim { Change::Shrink } else { Change::Grow };
            if !take(context, &task.policy.key, change) {
                crowded = true;
                continue;
            }
            let current = current(context, &resize.namespace, &resize.name);
            let error = context.writer.resize(&resize, current.as_deref(), task.gate).await.err();
            self.note_resize(task, &resize, wanted, error.as_ref());
            let stop = matches!(error, Some(WriteError::Dropped { .. } | WriteError::Forbidden { .. }));
            outcomes.push((WriteKind::Resize, error));
            if stop {
                break;
            }
        }
        self.crowded = if crowded { self.crowded.or(Some(now)) } else { None };
    }

    fn note_resize(&mut self, task: Task<'_>, resize: &PodResize, wanted: Wanted<'_>, error: Option<&WriteError>) {
        let (now, key) = (task.snapshot.at, &task.policy.key);
        let denial = match error {
            None => {
                self.attempts.taken(resize, now);
                if let Some(pod) = task.pods.iter().find(|p| *p.uid == *resize.uid) {
                    self.undo.shrunk(resize, pod, (task.snapshot, task.decision), now);
                }
                tracing::info!(policy = %key, pod = resize.name, kind = ?resize.kind, "Resized in place.");
                return;
            }
            Some(WriteError::Denied { denial, .. }) => Some(*denial),
            Some(WriteError::Refused { .. }) => None,
            Some(_) => return,
        };
        let message = error.map(ToString::to_string).unwrap_or_default();
        if self.attempts.refused(resize, denial, &message, wanted.quota_left, now) {
            tracing::warn!(policy = %key, pod = resize.name, "{message}.");
        }
    }

    async fn evict(
        &mut self,
        context: &Context,
        task: Task<'_>,
        planned: Vec<PodEviction>,
        outcomes: &mut Vec<Outcome>,
    ) {
        for eviction in planned {
            if !take(context, &task.policy.key, Change::Evict) {
                break;
            }
            let current = current(context, &eviction.namespace, &eviction.name);
            let error = context.writer.evict(&eviction, current.as_deref(), task.gate).await.err();
            let stop = self.note_eviction(task, &eviction, error.as_ref());
            outcomes.push((WriteKind::Evict, error));
            if stop {
                break;
            }
        }
    }

    /// Notes an eviction; answers whether no other is asked for now.
    fn note_eviction(&mut self, task: Task<'_>, eviction: &PodEviction, error: Option<&WriteError>) -> bool {
        let (now, key): (Timestamp, &PolicyKey) = (task.snapshot.at, &task.policy.key);
        match error {
            None => {
                self.evictions.taken(eviction, now);
                self.news = true;
                tracing::info!(policy = %key, pod = eviction.name, "Evicted: its node {}.", eviction.cause.words());
                false
            }
            Some(WriteError::Replaced { .. }) => false,
            Some(error @ (WriteError::Denied { .. } | WriteError::Refused { .. } | WriteError::Failed { .. })) => {
                let by_budget = matches!(error, WriteError::Denied { denial: Denial::DisruptionBudget, .. });
                if self.evictions.refused(by_budget, &error.to_string(), now) {
                    tracing::warn!(policy = %key, pod = eviction.name, "{error}.");
                }
                true
            }
            Some(_) => true,
        }
    }
}

fn in_use(container: &crate::decide::ContainerState) -> Option<(String, Bytes)> {
    Some((container.name.clone(), container.memory_max_pod_bytes?))
}

/// Growth that waits for pods that a quota must have room for.
fn waits_for_pods(missing: u32) -> Option<Told> {
    let message = format!(
        "{missing} of its pods are still to be created within the namespace's quota: running pods grow after that"
    );
    (missing > 0).then_some(Told { reason: "ResizeWaitsForPods", message })
}

/// The pod as it is known now.
fn current(context: &Context, namespace: &str, name: &str) -> Option<Arc<PodFacts>> {
    context.cluster.read().pod(namespace, name).cloned()
}

/// Takes a pod from the budget of the cluster.
fn take(context: &Context, key: &PolicyKey, change: Change) -> bool {
    let granted = context.blast.lock().unwrap_or_else(PoisonError::into_inner).take(key, change, Instant::now());
    if !granted {
        tracing::debug!(policy = %key, ?change, "Waits: as many pods as one tick may change have been changed.");
    }
    granted
}
