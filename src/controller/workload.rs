//! I/O: One policy, from look to report: target, snapshot, decision, writes, status.
//!
//! The decision in the middle is a value; what is written and shown are views of it. Everything that this policy alone
//! remembers lives here and goes with it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::{
    checkpoint::{self, Remembered},
    context::Context,
    custody::{self, Aim, Custody, Wanted as Ownership},
    guard::{self, Moves, Shrink, moves},
    pod_sizes::Noted,
    policies::{self, NotReady},
    report::Reporter,
    resizes::{Resizes, Task},
    status::{self, Decided, View},
};
use crate::{
    actuate::{Gate, ScaleIntent, WriteError, WriteKind},
    decide::{Decision, Memory, Snapshot, decide},
    observe::{
        kubernetes::{PolicyObject, TargetFacts},
        members::{Members, members},
        rollout::{self, Rollout},
        snapshot::{Parts, Seen, assemble},
    },
    policy::{Mode, Policy, PolicyKey},
    serve::{PolicyMeta, metrics::PolicySeries},
    units::Replicas,
};

/// What a tick of one policy asks of the loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// The set of policies or signals changed.
    pub sources_changed: bool,
    /// Pods became known whose usage has not been asked for yet.
    pub usage_unknown: bool,
    /// Decide again then.
    pub again: Option<Instant>,
}

/// A spec once compiled: uid and generation of the object, and what came of it.
type Compiled = (String, Option<i64>, Result<Arc<Policy>, NotReady>);

/// What is remembered about one policy.
#[derive(Debug)]
pub struct Workload {
    key: PolicyKey,
    compiled: Option<Compiled>,
    since: Option<Timestamp>,
    /// Uid of the target that was decided for last.
    target: Option<String>,
    memory: Memory,
    recalled: Recalled,
    seen: Seen,
    /// When its pods became known.
    met: Option<Instant>,
    resizes: Resizes,
    refusals: BTreeMap<WriteKind, Refused>,
    custody: Custody,
    reporter: Reporter,
}

/// How long nothing is said of usage that was not asked for yet: a second until it is, and a query's timeout (8 s).
const ANSWERED: Duration = Duration::from_secs(9);

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
    /// All that can be had is there; it is written down next then.
    Done { next: Timestamp },
}

/// A look at a workload.
struct Look {
    target: TargetFacts,
    members: Members,
    rollout: Rollout,
    snapshot: Snapshot,
    taken: Instant,
    /// Its usage has not been asked for yet.
    unasked: bool,
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
            target: None,
            memory: Memory::new(),
            recalled: Recalled::default(),
            seen: Seen::default(),
            met: None,
            resizes: Resizes::default(),
            refusals: BTreeMap::new(),
            custody: Custody::default(),
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
        self.reporter.start(object, context.writer.leads(), context.clock.now());
        let outcome = self.try_tick(context, object, &mut wishes).await;
        if let Err(not_ready) = outcome {
            if !not_ready.passing() {
                context.known.sizes.clear(&self.key);
            }
            self.not_ready(context, object, &not_ready).await;
        }
        wishes
    }

    /// Whether something is to be said that there was no room for among all writes.
    #[must_use]
    pub const fn untold(&self) -> bool {
        self.reporter.untold()
    }

    /// Tries once more to say it.
    pub async fn tell_again(&mut self, context: &Context, object: &PolicyObject) {
        self.reporter.tell_again(context, object).await;
    }

    async fn try_tick(
        &mut self,
        context: &Context,
        object: &PolicyObject,
        wishes: &mut Wishes,
    ) -> Result<(), NotReady> {
        let compiled = self.compile(context, object);
        let outranked = policies::target_of(object).and_then(|target| {
            let owners = context.known.owners();
            let owner = owners.get(&target).filter(|owner| **owner != self.key)?;
            Some(policies::taken(&target, owner))
        });
        let deleting = object.metadata.deletion_timestamp.is_some();
        let policy = compiled.as_ref().ok().map(AsRef::as_ref);
        self.take_or_give_back(context, policy, outranked.is_some() && !deleting).await;
        wishes.again = self.custody.again;
        let unfit = if deleting { Some(policies::deleting()) } else { outranked };
        let policy = compiled.and_then(|policy| unfit.map_or(Ok(policy), Err)).inspect_err(|_refused| {
            wishes.sources_changed |= context.known.set_policy(&self.key, None);
        })?;
        wishes.sources_changed |= context.known.set_policy(&self.key, Some(&policy));
        let look = self.look(context, &policy, wishes).await?;
        self.meet(context, &look);
        self.recall(context, &policy, &look);
        let before = self.memory.clone();
        let started = Instant::now();
        let decision = decide(&look.snapshot, &policy, &mut self.memory, look.snapshot.at);
        context.metrics.observe_decision(started.elapsed());
        context.known.note_decided(&self.key, &look.snapshot.signals);
        let since = *self.since.get_or_insert(look.snapshot.at);
        let target = guard::Target {
            no_shrink: look.target.object.no_shrink.as_deref(),
            stands: matches!(look.rollout, Rollout::Stands(_)),
        };
        let moves = moves(&policy, &look.snapshot, &decision, target, since).licensed(self.custody.licence);
        if self.custody.known {
            let noted = Noted {
                policy: &policy,
                generation: object.metadata.generation,
                target: &look.target.scale.uid,
                template: &look.target.object.template,
                snapshot: &look.snapshot,
                decision: &decision,
                moves: &moves,
                ours: self.custody.licence.sizes,
            };
            context.known.sizes.note(context, noted);
        }
        self.show(context, &policy, &look, &decision, || serde_json::to_value(&before).unwrap_or_default());
        if policy.mode == Mode::Auto {
            self.act(context, &policy, &look, &decision, &moves).await;
        } else {
            self.refusals.retain(|kind, _| *kind == WriteKind::Takeover);
            self.resizes.rest();
        }
        self.report(context, object, &policy, &look, &decision, &moves).await;
        self.keep(context, &policy, look.snapshot.at);
        Ok(())
    }

    /// Takes the workload over from its other autoscalers, or gives it back, as far as that goes now.
    async fn take_or_give_back(&mut self, context: &Context, policy: Option<&Policy>, outranked: bool) {
        let now = context.clock.now();
        let writes = !self.forbidden(WriteKind::Takeover, now);
        let aim = if outranked { Aim::Outranked } else { Aim::Mode };
        let wanted = Ownership { key: &self.key, policy, aim, writes };
        let custody = custody::advance(context.hands(), wanted).await;
        for done in &custody.done {
            context.metrics.count_write(WriteKind::Takeover.label(), "ok");
            tracing::info!(policy = %self.key, "{done}.");
        }
        // A write that failed is logged where it is counted.
        let news = custody.obstacle.as_ref().filter(|_| custody.error.is_none());
        let news = news.filter(|obstacle| self.custody.obstacle.as_ref() != Some(*obstacle));
        if let Some((reason, message)) = news {
            tracing::warn!(policy = %self.key, reason, "{message}.");
        }
        match &custody.error {
            Some(error) => self.count(context, WriteKind::Takeover, Some(error), now),
            None if writes => drop(self.refusals.remove(&WriteKind::Takeover)),
            None => {}
        }
        self.custody = custody;
    }

    /// Notes which object it is. Of one that was made anew under the name nothing is known but what its application is
    /// like: the count of the old one is nothing to it.
    fn meet(&mut self, context: &Context, look: &Look) {
        let uid = &look.target.scale.uid;
        if self.target.as_ref() == Some(uid) {
            return;
        }
        if self.target.replace(uid.clone()).is_some() {
            tracing::info!(policy = %self.key, "The target was made anew: what was decided for the old one is forgotten.");
            self.memory = std::mem::take(&mut self.memory).of_another_object(look.snapshot.at);
            self.resizes = Resizes::default();
            self.refusals.clear();
            self.since = None;
            // A replay begins anew: its snapshots do not say what was forgotten.
            context.board.restart_replay(&self.key);
        }
    }

    /// Calls back what is known of the past: what was written down, else what the metrics server has, once it is there.
    fn recall(&mut self, context: &Context, policy: &Arc<Policy>, look: &Look) {
        let now = look.snapshot.at;
        match self.recalled {
            Recalled::Not => {
                let of = checkpoint::Of { uid: self.uid(), target: &policy.target, object: &look.target.scale.uid };
                let kept = context.checkpoints.read(&self.key, of, now);
                let kept = kept.unwrap_or_else(|error| {
                    tracing::warn!(policy = %self.key, "What was remembered is lost: {error}.");
                    Remembered::default()
                });
                self.resizes.restore(kept.resizes);
                if let Some(memory) = kept.memory.filter(|memory| !memory.is_new()) {
                    tracing::info!(policy = %self.key, "Goes on from what was remembered.");
                    self.memory = memory;
                    self.recalled = Recalled::Done { next: context.checkpoints.due(&self.key, Some(now), now) };
                } else if context.backfill.ask(policy) {
                    self.recalled = Recalled::Asked;
                } else {
                    self.recalled = Recalled::Done { next: context.checkpoints.due(&self.key, None, now) };
                }
            }
            Recalled::Asked => {
                let Some(outcome) = context.backfill.fetch(&self.key) else { return };
                self.recalled = Recalled::Done { next: context.checkpoints.due(&self.key, None, now) };
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
        let Recalled::Done { next } = self.recalled else { return };
        if !self.resizes.take_news() && now < next {
            return;
        }
        self.recalled = Recalled::Done { next: context.checkpoints.due(&self.key, Some(now), now) };
        let object = self.target.as_deref().unwrap_or_default();
        let of = checkpoint::Of { uid: self.uid(), target: &policy.target, object };
        let remembered = (&self.memory, self.resizes.kept());
        if let Err(error) = context.checkpoints.write(&self.key, of, now, remembered) {
            tracing::warn!(policy = %self.key, "What is remembered cannot be written down: {error}.");
        }
    }

    /// Writes down what is remembered, at the end.
    pub fn keep_now(&mut self, context: &Context) {
        let policy = self.compiled.as_ref().and_then(|(_, _, policy)| policy.clone().ok());
        if let (Recalled::Done { next }, Some(policy)) = (&mut self.recalled, policy) {
            let now = context.clock.now();
            *next = now;
            self.keep(context, &policy, now);
        }
    }

    /// Uid of the policy's object.
    fn uid(&self) -> &str {
        self.compiled.as_ref().map_or("", |(uid, _, _)| uid)
    }

    /// The compiled policy; what was remembered of another target or another object of this name is forgotten.
    fn compile(&mut self, context: &Context, object: &PolicyObject) -> Result<Arc<Policy>, NotReady> {
        let uid = object.metadata.uid.clone().unwrap_or_default();
        let generation = object.metadata.generation;
        if let Some((known_uid, known_generation, outcome)) = &self.compiled
            && *known_uid == uid
            && *known_generation == generation
        {
            return outcome.clone();
        }
        let outcome = policies::read(object, &context.tenancy).map(Arc::new);
        let before = self.compiled.take().and_then(|(_, _, outcome)| outcome.ok());
        if let (Some(before), Ok(now)) = (before, &outcome)
            && before.target != now.target
        {
            *self = Self::new(self.key.clone());
            self.reporter.start(object, false, context.clock.now());
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
            let selector = &target.scale.selector;
            let found = if target.owned_by_chain {
                members(index.pods_of(&uid), selector, &uid, true, owner_of)
            } else {
                members(index.pods(namespace), selector, &uid, false, owner_of)
            };
            let newest = index.newest_replica_set(&uid).and_then(|r| r.template_hash.clone());
            (found, target.object.template_hash.clone().or(newest), index.room(namespace))
        };
        context.cluster.write().claim_target(&uid, &self.key);
        let ready = found.pods.iter().filter(|p| p.counts()).map(|p| (p.name.clone(), p.ready())).collect();
        if context.known.set_pods(&self.key, ready) {
            wishes.usage_unknown = true;
            self.met = Some(taken);
        }
        let unasked = self.met.is_some_and(|met| usage.at < met && met.elapsed() < ANSWERED);
        let now = context.clock.now();
        let rollout = rollout::judge(&target.rollout, &found.pods, template_hash.as_deref(), now);
        let parts = Parts {
            target: &target,
            pods: &found.pods,
            template_hash: template_hash.as_deref(),
            rollout: &rollout,
            room: &room,
            usage: &usage.value,
            usage_lag: usage.lag(),
            signals: &signals,
        };
        let mut snapshot = assemble(parts, &mut self.seen, now);
        self.resizes.mark(&mut snapshot);
        Ok(Look { target, members: found, rollout, snapshot, taken, unasked })
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
        self.resize(context, policy, look, decision, moves.sizes, gate).await;
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
            kind: WriteKind::Scale,
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
        sizes: Option<Shrink>,
        gate: Gate,
    ) {
        let now = look.snapshot.at;
        let task = Task { policy, pods: &look.members.pods, snapshot: &look.snapshot, decision, sizes, gate };
        let (resizable, evictable) = (!self.forbidden(WriteKind::Resize, now), !self.forbidden(WriteKind::Evict, now));
        let may = |kind| if kind == WriteKind::Evict { evictable } else { resizable };
        for (kind, error) in self.resizes.carry_out(context, task, may).await {
            self.count(context, kind, error.as_ref(), now);
        }
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
            // Of pods: said in `Limited`, and logged when it is news.
            WriteError::Denied { .. } => return,
            WriteError::Refused { .. } if kind != WriteKind::Scale => return,
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
        let told = "its pods are told by labels alone, since no owner reference of theirs leads to it";
        let by_labels = look.members.by_selector_only.then(|| told.to_owned());
        let remarks: Vec<String> =
            by_labels.into_iter().chain(look.rollout.remark()).chain(look.target.remarks.iter().cloned()).collect();
        let remark = (!remarks.is_empty()).then(|| remarks.join("; "));
        let bound = moves.bound.clone().or_else(|| context.known.sizes.remark(&self.key));
        let unwritten = context.known.sizes.problem(&self.key);
        let ownership = ownership(&self.custody, &self.refusals);
        let obstacle = unwritten.as_ref().map(|(reason, message)| (*reason, message.as_str()));
        let view = View::Decided(Decided {
            policy,
            snapshot: &look.snapshot,
            decision,
            ownership: status::Ownership { obstacle: ownership.obstacle.or(obstacle), ..ownership },
            bound: bound.as_deref(),
            resizes: self.resizes.told(),
            remark: remark.as_deref(),
        });
        let gate = Gate { mode: policy.mode, seen: look.taken };
        // Said at once, that its usage is absent would be taken back a second later, of every policy at every start.
        if !look.unasked || moves.replicas.is_some() || moves.sizes.is_some() {
            self.reporter.report(context, object, view, gate).await;
        }
        let series = PolicySeries::of(policy, &look.snapshot, decision, self.reporter.status());
        context.metrics.record(&self.key, series);
    }

    async fn not_ready(&mut self, context: &Context, object: &PolicyObject, not_ready: &NotReady) {
        let mode = match &self.compiled {
            Some((_, _, Ok(policy))) => Some(policy.mode),
            _ => None,
        };
        let ownership = ownership(&self.custody, &self.refusals);
        let view = View::NotReady { reason: &not_ready.reason, message: &not_ready.message, ownership };
        let gate = Gate { mode: mode.unwrap_or_default(), seen: Instant::now() };
        self.reporter.report(context, object, view, gate).await;
        context.metrics.record(&self.key, PolicySeries::undecided(mode, self.reporter.status()));
    }
}

/// What is said of who owns the workload: an obstacle of the takeover first, then a refused write.
fn ownership<'a>(custody: &'a Custody, refusals: &'a BTreeMap<WriteKind, Refused>) -> status::Ownership<'a> {
    let refusal = refusals.values().next().map(|r| (r.reason, r.message.as_str()));
    let obstacle = custody.obstacle.as_ref().map(|(reason, message)| (*reason, message.as_str()));
    status::Ownership {
        known: custody.known,
        obstacle: obstacle.or(refusal),
        preview: custody.preview.as_deref(),
        displaced: &custody.displaced,
    }
}
