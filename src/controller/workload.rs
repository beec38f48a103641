//! I/O: One policy, from look to report: target, snapshot, decision, writes, status.
//!
//! The decision in the middle is a value; what is written and shown are views of it. Everything that this policy alone
//! remembers lives here and goes with it.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::{
    checkpoint,
    context::Context,
    guard::{Moves, Shrink, moves},
    pod_sizes::Noted,
    policies::{self, NotReady},
    report::Reporter,
    status::{Decided, View},
};
use crate::{
    actuate::{Attempts, Gate, PodResize, ScaleIntent, Wanted, WriteError, WriteKind, plan_resizes},
    decide::{Decision, Memory, Snapshot, decide},
    observe::{
        kubernetes::{PodFacts, PolicyObject, TargetFacts},
        members::{Members, members},
        snapshot::{Parts, Seen, assemble},
    },
    policy::{Mode, Policy, PolicyKey},
    serve::{PolicyMeta, metrics::PolicySeries},
    units::{Bytes, Replicas},
};

/// What a tick of one policy asks of the loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// The set of policies or signals changed.
    pub sources_changed: bool,
    /// Pods became known whose usage has not been asked for yet.
    pub usage_unknown: bool,
}

/// A spec once compiled: uid and generation of the object, and what came of it.
type Compiled = (String, Option<i64>, Result<Arc<Policy>, NotReady>);

/// What is remembered about one policy.
#[derive(Debug)]
pub struct Workload {
    key: PolicyKey,
    compiled: Option<Compiled>,
    since: Option<Timestamp>,
    memory: Memory,
    recalled: Recalled,
    seen: Seen,
    attempts: Attempts,
    refusals: BTreeMap<WriteKind, Refused>,
    reporter: Reporter,
}

/// How long a write for which a right is missing is not tried again: the condition says it, and a stream of refusals
/// helps nobody.
const FORBIDDEN: SignedDuration = SignedDuration::from_mins(1);

/// A write that the API server refused.
#[derive(Clone, Debug)]
struct Refused {
    reason: &'static str,
    message: String,
    /// Not to be tried before; none: at the next tick.
    again: Option<Timestamp>,
}

/// How far what is known of the past has been called back.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Recalled {
    /// Not asked for yet.
    #[default]
    Not,
    /// Its history is being read.
    Asked,
    /// All that can be had is there; last written down then.
    Done { kept: Option<Timestamp> },
}

/// A look at a workload.
struct Look {
    target: TargetFacts,
    members: Members,
    snapshot: Snapshot,
    taken: Instant,
}

impl Workload {
    /// A policy about which nothing is remembered.
    #[must_use]
    pub fn new(key: PolicyKey) -> Self {
        Self {
            reporter: Reporter::new(&key),
            key,
            compiled: None,
            since: None,
            memory: Memory::new(),
            recalled: Recalled::default(),
            seen: Seen::default(),
            attempts: Attempts::default(),
            refusals: BTreeMap::new(),
        }
    }

    /// Whose it is.
    #[must_use]
    pub const fn key(&self) -> &PolicyKey {
        &self.key
    }

    /// One tick.
    pub async fn tick(&mut self, context: &Context, object: &PolicyObject) -> Wishes {
        let mut wishes = Wishes::default();
        self.reporter.start(object, context.writer.leads());
        let outcome = self.try_tick(context, object, &mut wishes).await;
        if let Err(not_ready) = outcome {
            if !not_ready.passing() {
                context.known.sizes.clear(&self.key);
            }
            self.not_ready(context, object, &not_ready).await;
        }
        wishes
    }

    async fn try_tick(
        &mut self,
        context: &Context,
        object: &PolicyObject,
        wishes: &mut Wishes,
    ) -> Result<(), NotReady> {
        let policy = self.compile(object).inspect_err(|_refused| {
            wishes.sources_changed |= context.known.set_policy(&self.key, None);
        })?;
        if let Some(target) = policies::target_of(object)
            && let Some(owner) = context.known.owners().get(&target).filter(|owner| **owner != self.key)
        {
            wishes.sources_changed |= context.known.set_policy(&self.key, None);
            return Err(policies::taken(&target, owner));
        }
        wishes.sources_changed |= context.known.set_policy(&self.key, Some(&policy));
        let look = self.look(context, &policy, wishes).await?;
        self.recall(context, &policy, look.snapshot.at);
        let before = self.memory.clone();
        let started = Instant::now();
        let decision = decide(&look.snapshot, &policy, &mut self.memory, look.snapshot.at);
        context.metrics.observe_decision(started.elapsed());
        context.known.note_decided(&self.key, &look.snapshot.signals);
        let since = *self.since.get_or_insert(look.snapshot.at);
        let moves = moves(&policy, &look.snapshot, &decision, look.target.object.no_shrink.as_deref(), since);
        context.known.sizes.note(
            context,
            Noted {
                policy: &policy,
                generation: object.metadata.generation,
                target: &look.target.scale.uid,
                template: &look.target.object.template,
                snapshot: &look.snapshot,
                decision: &decision,
                moves: &moves,
                ours: object.metadata.deletion_timestamp.is_none(),
            },
        );
        self.show(context, &policy, &look, &decision, || serde_json::to_value(&before).unwrap_or_default());
        if policy.mode == Mode::Auto {
            self.act(context, &policy, &look, &decision, &moves).await;
        } else {
            self.refusals.clear();
        }
        self.report(context, object, &policy, &look, &decision, &moves).await;
        self.keep(context, &policy, look.snapshot.at);
        Ok(())
    }

    /// Calls back what is known of the past: what was written down, else what the metrics server has, once it is there.
    fn recall(&mut self, context: &Context, policy: &Arc<Policy>, now: Timestamp) {
        match self.recalled {
            Recalled::Not => {
                let kept = context.checkpoints.read(&self.key, self.uid(), &policy.target, now);
                let kept = kept.unwrap_or_else(|error| {
                    tracing::warn!(policy = %self.key, "What was remembered is lost: {error}.");
                    None
                });
                if let Some(memory) = kept.filter(|memory| !memory.is_new()) {
                    tracing::info!(policy = %self.key, "Goes on from what was remembered.");
                    self.memory = memory;
                    self.recalled = Recalled::Done { kept: Some(now) };
                } else if context.backfill.ask(policy) {
                    self.recalled = Recalled::Asked;
                } else {
                    self.recalled = Recalled::Done { kept: None };
                }
            }
            Recalled::Asked => {
                let Some(outcome) = context.backfill.fetch(&self.key) else { return };
                self.recalled = Recalled::Done { kept: None };
                match outcome {
                    Ok(learned) if learned.is_new() => {
                        tracing::info!(policy = %self.key, "Its history is too short to learn from: it is watched first.");
                    }
                    Ok(learned) => {
                        tracing::info!(policy = %self.key, "Has learned from its history.");
                        self.memory.learn_from(*learned);
                        // A replay begins anew: its snapshots do not say what was learned.
                        context.board.restart_replay(&self.key);
                    }
                    Err(why) => {
                        context.metrics.count_failure("history", "unreadable");
                        tracing::warn!(policy = %self.key, "Its history cannot be read: {why}; it is watched first.");
                    }
                }
            }
            Recalled::Done { .. } => {}
        }
    }

    /// Writes down what is remembered, now and then.
    fn keep(&mut self, context: &Context, policy: &Policy, now: Timestamp) {
        let Recalled::Done { kept } = self.recalled else { return };
        if kept.is_some_and(|at| now.duration_since(at) < checkpoint::EVERY) {
            return;
        }
        self.recalled = Recalled::Done { kept: Some(now) };
        if let Err(error) = context.checkpoints.write(&self.key, self.uid(), &policy.target, now, &self.memory) {
            tracing::warn!(policy = %self.key, "What is remembered cannot be written down: {error}.");
        }
    }

    /// Uid of the policy's object.
    fn uid(&self) -> &str {
        self.compiled.as_ref().map_or("", |(uid, _, _)| uid)
    }

    /// The compiled policy; what was remembered of another target or another object of this name is forgotten.
    fn compile(&mut self, object: &PolicyObject) -> Result<Arc<Policy>, NotReady> {
        let uid = object.metadata.uid.clone().unwrap_or_default();
        let generation = object.metadata.generation;
        if let Some((known_uid, known_generation, outcome)) = &self.compiled
            && *known_uid == uid
            && *known_generation == generation
        {
            return outcome.clone();
        }
        let outcome = policies::read(object).map(Arc::new);
        let before = self.compiled.take().and_then(|(_, _, outcome)| outcome.ok());
        if let (Some(before), Ok(now)) = (before, &outcome)
            && before.target != now.target
        {
            *self = Self::new(self.key.clone());
            self.reporter.start(object, false);
        }
        self.compiled = Some((uid, generation, outcome.clone()));
        outcome
    }

    async fn look(&mut self, context: &Context, policy: &Policy, wishes: &mut Wishes) -> Result<Look, NotReady> {
        let namespace = &self.key.namespace;
        let taken = Instant::now();
        let target = context
            .targets
            .read(namespace, &policy.target)
            .await
            .map_err(|error| NotReady::new(error.category(), error.to_string()))?;
        let signals = context.signals_of(policy);
        let usage = context.known.usage();
        let uid = target.scale.uid.clone();
        let (found, template_hash, room) = {
            let index = context.cluster.read();
            let owner_of = |uid: &str| index.replica_set(uid).and_then(|r| r.owner.clone());
            let pods = index.pods(namespace);
            let found = members(pods, &target.scale.selector, &uid, target.owned_by_chain, owner_of);
            let newest = index.newest_replica_set(&uid).and_then(|r| r.template_hash.clone());
            (found, target.object.template_hash.clone().or(newest), index.room(namespace))
        };
        context.cluster.write().claim_target(&uid, &self.key);
        let ready = found.pods.iter().filter(|p| p.counts()).map(|p| (p.name.clone(), p.ready())).collect();
        wishes.usage_unknown |= context.known.set_pods(&self.key, ready);
        let parts = Parts {
            target: &target,
            pods: &found.pods,
            template_hash: template_hash.as_deref(),
            room: &room,
            usage: &usage.value,
            usage_lag: usage.lag(),
            signals: &signals,
        };
        let snapshot = assemble(parts, &mut self.seen, context.clock.now());
        Ok(Look { target, members: found, snapshot, taken })
    }

    fn show(
        &self,
        context: &Context,
        policy: &Policy,
        look: &Look,
        decision: &Decision,
        memory: impl FnOnce() -> serde_json::Value,
    ) {
        let fight = self.reporter.fight();
        let meta = PolicyMeta { fight, ..PolicyMeta::of(policy) };
        context.board.record_with_memory(policy, meta, &look.snapshot, decision, memory);
        tracing::debug!(
            policy = %self.key,
            reason = ?decision.reason,
            replicas = look.snapshot.replicas.spec.0,
            desired = decision.replicas.0,
            "{}",
            decision.message
        );
    }

    /// Writes what passed the guard: the count first when it grows, sizes first when it shrinks.
    async fn act(&mut self, context: &Context, policy: &Policy, look: &Look, decision: &Decision, moves: &Moves) {
        let gate = Gate { mode: policy.mode, seen: look.taken };
        let grows = moves.replicas.is_some_and(|to| to > look.snapshot.replicas.spec);
        if grows {
            self.scale(context, policy, look, decision, moves.replicas, gate).await;
        }
        if let Some(shrink) = moves.sizes {
            self.resize(context, policy, look, decision, shrink, gate).await;
        }
        if !grows {
            self.scale(context, policy, look, decision, moves.replicas, gate).await;
        }
    }

    async fn scale(
        &mut self,
        context: &Context,
        policy: &Policy,
        look: &Look,
        decision: &Decision,
        to: Option<Replicas>,
        gate: Gate,
    ) {
        let Some(to) = to else {
            self.refusals.remove(&WriteKind::Scale);
            return;
        };
        if self.forbidden(WriteKind::Scale, look.snapshot.at) {
            return;
        }
        let intent = ScaleIntent {
            resource: &look.target.resource,
            namespace: &self.key.namespace,
            name: &policy.target.name,
            uid: &look.target.scale.uid,
            from: look.target.scale.replicas,
            to,
        };
        let written = context.writer.scale(&intent, gate).await;
        if written.is_ok() {
            tracing::info!(policy = %self.key, from = intent.from.0, to = to.0, "Scaled: {}.", decision.message);
        }
        self.count(context, WriteKind::Scale, written.err().as_ref(), look.snapshot.at);
    }

    async fn resize(
        &mut self,
        context: &Context,
        policy: &Policy,
        look: &Look,
        decision: &Decision,
        shrink: Shrink,
        gate: Gate,
    ) {
        let memory_in_use: BTreeMap<String, Bytes> =
            look.snapshot.containers.iter().filter_map(|c| Some((c.name.clone(), c.memory_max_pod_bytes?))).collect();
        let wanted = Wanted { policy, decision, memory_in_use: &memory_in_use, may_shrink: shrink == Shrink::Allowed };
        let pods = &look.members.pods;
        self.attempts.retain(|uid| pods.iter().any(|p| p.uid == uid));
        let now = look.snapshot.at;
        let planned = plan_resizes(pods.iter().map(AsRef::as_ref), wanted, &self.attempts, now);
        if self.forbidden(WriteKind::Resize, now) {
            return;
        }
        for resize in planned {
            let current: Option<Arc<PodFacts>> = context.cluster.read().pod(&resize.namespace, &resize.name).cloned();
            let written = context.writer.resize(&resize, current.as_deref(), gate).await;
            self.note_resize(context, &resize, written.as_ref().err(), now);
            if matches!(written, Err(WriteError::Dropped { .. } | WriteError::Forbidden { .. })) {
                break;
            }
        }
    }

    fn note_resize(&mut self, context: &Context, resize: &PodResize, error: Option<&WriteError>, now: Timestamp) {
        match error {
            None => {
                self.attempts.note(resize, true, now);
                tracing::info!(policy = %self.key, pod = resize.name, trim = resize.trim, "Resized in place.");
            }
            Some(WriteError::Refused { .. } | WriteError::Forbidden { .. }) => self.attempts.note(resize, false, now),
            Some(_) => {}
        }
        self.count(context, WriteKind::Resize, error, now);
    }

    /// Whether a right is known to be missing for this kind of write.
    fn forbidden(&self, kind: WriteKind, now: Timestamp) -> bool {
        self.refusals.get(&kind).and_then(|r| r.again).is_some_and(|again| now < again)
    }

    /// Counts a write; a refusal is remembered for the condition and logged when it is news.
    fn count(&mut self, context: &Context, kind: WriteKind, error: Option<&WriteError>, now: Timestamp) {
        context.metrics.count_write(kind.label(), error.map_or("ok", WriteError::category));
        let Some(error) = error else {
            self.refusals.remove(&kind);
            return;
        };
        let (reason, again) = match error {
            WriteError::Forbidden { .. } => ("Forbidden", Some(now + FORBIDDEN)),
            WriteError::Refused { .. } => ("WriteRefused", None),
            WriteError::Dropped { .. } => {
                tracing::debug!(policy = %self.key, "{error}.");
                return;
            }
            _ => {
                tracing::warn!(policy = %self.key, category = error.category(), "{error}.");
                return;
            }
        };
        let message = error.to_string();
        let known = self.refusals.insert(kind, Refused { reason, message: message.clone(), again });
        if known.is_none_or(|known| known.message != message) {
            tracing::warn!(policy = %self.key, category = error.category(), "{message}.");
        }
    }

    async fn report(
        &mut self,
        context: &Context,
        object: &PolicyObject,
        policy: &Policy,
        look: &Look,
        decision: &Decision,
        moves: &Moves,
    ) {
        let remark = look
            .members
            .by_selector_only
            .then_some("its pods are told by labels alone, since no owner reference of theirs leads to it");
        let bound = moves.bound.clone().or_else(|| context.known.sizes.remark(&self.key));
        let refused = self.refusals.values().next().map(|r| (r.reason, r.message.clone()));
        let refused = refused.or_else(|| context.known.sizes.problem(&self.key));
        let view = View::Decided(Decided {
            policy,
            snapshot: &look.snapshot,
            decision,
            not_in_control: refused.as_ref().map(|(reason, message)| (*reason, message.as_str())),
            bound: bound.as_deref(),
            remark,
        });
        let gate = Gate { mode: policy.mode, seen: look.taken };
        self.reporter.report(context, object, view, gate).await;
        let series = PolicySeries::of(policy, &look.snapshot, decision, self.reporter.status());
        context.metrics.record(&self.key, series);
    }

    async fn not_ready(&mut self, context: &Context, object: &PolicyObject, not_ready: &NotReady) {
        let mode = match &self.compiled {
            Some((_, _, Ok(policy))) => Some(policy.mode),
            _ => None,
        };
        let view = View::NotReady { reason: &not_ready.reason, message: &not_ready.message };
        let gate = Gate { mode: mode.unwrap_or_default(), seen: Instant::now() };
        self.reporter.report(context, object, view, gate).await;
        context.metrics.record(&self.key, PolicySeries::undecided(mode, self.reporter.status()));
    }
}
