//! I/O: The loop: full ticks for all policies, single ticks for those that something woke.
//!
//! A policy is decided by one task at a time. What wakes it while it is being decided makes it decide once more
//! afterwards; what wakes it too often waits for `APART`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use super::{
    context::Context,
    orphans::Orphans,
    policies, shutdown,
    tables::Tables,
    workload::{Wishes, Workload},
};
use crate::{
    actuate::Claim,
    policy::PolicyKey,
    serve::{BoardMode, Header, health::Health},
};

/// Least time between two ticks of one policy: a burst of new pods is one change, and a queue is still answered within
/// a second.
const APART: Duration = Duration::from_millis(500);

/// Policies decided at the same time; each waits for one or two answers of the API server.
const CONCURRENCY: usize = 16;

/// How soon after the first look at a workload its usage is asked for.
const SOON: Duration = Duration::from_secs(1);

/// How often reports that there was no room for among all writes are tried again, and how many: as many as the half of the
/// writes that reports may take.
const TELL_AGAIN: Duration = Duration::from_secs(1);
const TOLD_AGAIN: usize = 20;

/// What feeds the loop.
#[derive(Debug)]
pub struct Feeds {
    /// Changes in the cluster.
    pub cluster: mpsc::Receiver<PolicyKey>,
    /// Backlogs that rose.
    pub direct: mpsc::Receiver<PolicyKey>,
    /// Signals that rose.
    pub signals: mpsc::Receiver<PolicyKey>,
    /// The leader's claim.
    pub claim: watch::Receiver<Claim>,
}

enum Slot {
    Idle(Box<Workload>),
    Busy { again: bool },
}

/// The writer of tables: here, or in a task, and then whether it is needed once more.
enum TableSlot {
    Idle(Tables),
    Busy { again: bool },
}

struct Done {
    workload: Box<Workload>,
    wishes: Wishes,
}

/// A full tick under way.
struct Pass {
    started: Instant,
    waiting: BTreeSet<PolicyKey>,
}

/// The loop.
pub struct Engine {
    context: Arc<Context>,
    health: Arc<Health>,
    /// Watched namespaces.
    scopes: Vec<String>,
    slots: BTreeMap<PolicyKey, Slot>,
    last: BTreeMap<PolicyKey, Instant>,
    due: Due,
    /// Policies with something to say that there was no room for.
    untold: BTreeSet<PolicyKey>,
    running: JoinSet<Done>,
    refreshing: JoinSet<()>,
    orphans: Orphans,
    tables: TableSlot,
    writing: JoinSet<Tables>,
    keeping: JoinSet<bool>,
    /// Something of what is remembered waits for room among all writes.
    unkept: bool,
    room: Arc<Semaphore>,
    pass: Option<Pass>,
    led: bool,
    holder: Option<String>,
    said_unsynced: bool,
    /// Version of the policies that owners of targets were found for.
    owners_of: Option<u64>,
    stale: Stale,
}

/// What is no longer what policies name, and is brought up to date once for many of them.
#[derive(Clone, Copy, Debug, Default)]
struct Stale {
    /// Direct sources that are polled.
    sources: bool,
    /// Targets that are remembered.
    targets: bool,
}

impl Engine {
    /// A loop that has not begun.
    #[must_use]
    pub fn new(context: Arc<Context>, health: Arc<Health>, scopes: Vec<String>) -> Self {
        Self {
            context,
            health,
            scopes,
            slots: BTreeMap::new(),
            last: BTreeMap::new(),
            due: Due::default(),
            untold: BTreeSet::new(),
            owners_of: None,
            stale: Stale::default(),
            running: JoinSet::new(),
            refreshing: JoinSet::new(),
            orphans: Orphans::default(),
            tables: TableSlot::Idle(Tables::default()),
            writing: JoinSet::new(),
            keeping: JoinSet::new(),
            unkept: false,
            room: Arc::new(Semaphore::new(CONCURRENCY)),
            pass: None,
            led: false,
            holder: None,
            said_unsynced: false,
        }
    }

    /// Runs until stopped. What is under way then may end soon, or is dropped: every write is one request, whole or not sent.
    pub async fn run(mut self, tick: Duration, mut feeds: Feeds, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut again = tokio::time::interval(TELL_AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.tidy();
            let next_due = self.due.next();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Ok(()) = feeds.claim.changed() => self.claim_changed(&feeds.claim.borrow_and_update().clone(), &mut ticks),
                Some(done) = self.running.join_next() => match done {
                    Ok(done) => self.done(done, &mut ticks),
                    // A policy whose task is gone would never be decided again: the process ends and starts anew.
                    Err(gone) => if let Ok(panic) = gone.try_into_panic() { std::panic::resume_unwind(panic) },
                },
                Some(key) = feeds.direct.recv() => self.wake(key),
                Some(key) = feeds.signals.recv() => self.wake(key),
                Some(key) = feeds.cluster.recv() => self.wake(key),
                () = sleep_until(next_due) => self.run_due(),
                Some(_) = self.refreshing.join_next() => self.decide_all(),
                Some(written) = self.writing.join_next() => match written {
                    Ok(tables) => self.tables_written(tables),
                    Err(gone) => if let Ok(panic) = gone.try_into_panic() { std::panic::resume_unwind(panic) },
                },
                Some(unkept) = self.keeping.join_next() => self.unkept = matches!(unkept, Ok(true)),
                _ = again.tick(), if self.unkept || !self.untold.is_empty() => self.tell_again(),
                _ = ticks.tick() => self.full_tick(),
            }
        }
        self.finish().await;
        self.refreshing.abort_all();
        self.writing.abort_all();
        self.keeping.abort_all();
        if self.context.writer.leads() {
            self.keep_now();
        }
    }

    /// Lets what is being decided come to its end for a moment: what is remembered of it is in there. What waits for its place
    /// comes back as it is.
    async fn finish(&mut self) {
        self.room.close();
        let ends = Instant::now() + shutdown::KEEP / 4;
        while let Ok(Some(done)) = tokio::time::timeout_at(ends, self.running.join_next()).await {
            if let Ok(Done { workload, .. }) = done
                && let Some(slot) = self.slots.get_mut(workload.key())
            {
                *slot = Slot::Idle(workload);
            }
        }
        self.running.abort_all();
    }

    /// Writes down what is remembered of each policy, as far as that goes in the time that the end may take.
    fn keep_now(&mut self) {
        let ends = Instant::now() + shutdown::KEEP / 2;
        for slot in self.slots.values_mut() {
            if let Slot::Idle(workload) = slot
                && Instant::now() < ends
            {
                workload.keep_now(&self.context);
            }
        }
    }

    fn claim_changed(&mut self, claim: &Claim, ticks: &mut tokio::time::Interval) {
        let leads = claim.current(Instant::now());
        self.context.metrics.set_leader(leads);
        self.holder.clone_from(&claim.holder);
        if leads != self.led {
            self.led = leads;
            if leads {
                self.context.look_afresh();
                ticks.reset_immediately();
            }
        }
    }

    /// Reads what all policies share; deciding follows when that is done, or at once when the reading still runs.
    fn full_tick(&mut self) {
        self.health.ticked();
        if !self.listed() {
            return;
        }
        // A claim that ran out without being lost to anybody is noticed here.
        let leads = self.context.writer.leads();
        self.context.metrics.set_leader(leads);
        self.led = leads;
        self.find_owners();
        if self.refreshing.is_empty() {
            let context = Arc::clone(&self.context);
            self.refreshing.spawn(async move {
                tokio::join!(context.read_usage(), context.read_signals());
            });
        } else {
            self.decide_all();
        }
    }

    fn listed(&mut self) -> bool {
        let (synced, problem) = {
            let index = self.context.cluster.read();
            (index.synced(&self.scopes), index.problem().map(str::to_owned))
        };
        if synced {
            self.health.listed();
        } else if !self.said_unsynced {
            self.said_unsynced = true;
            tracing::info!(
                "Waiting for the cluster to be listed{}.",
                problem.map(|p| format!(": {p}")).unwrap_or_default()
            );
        }
        synced
    }

    /// Decides for every policy that exists, and forgets the others.
    fn decide_all(&mut self) {
        self.orphans.sweep(&self.context);
        let keys: BTreeSet<_> = self.context.cluster.read().policies().iter().map(|p| p.key()).collect();
        let gone: Vec<_> = self.slots.keys().filter(|k| !keys.contains(*k)).cloned().collect();
        for key in gone {
            self.forget(&key);
        }
        self.pass = Some(Pass { started: Instant::now(), waiting: keys.clone() });
        for key in keys {
            self.due.remove(&key);
            if !self.start(&key) {
                self.finish_in_pass(&key);
            }
        }
        self.end_pass();
        self.sync_tables();
    }

    fn wake(&mut self, key: PolicyKey) {
        if !self.context.cluster.read().synced(&self.scopes) {
            return;
        }
        let soonest = self.last.get(&key).map_or_else(Instant::now, |last| *last + APART);
        self.due.add(key, soonest);
    }

    fn run_due(&mut self) {
        self.find_owners();
        for key in self.due.take(Instant::now()) {
            self.start(&key);
        }
        self.sync_tables();
    }

    /// Has tables of new pods' sizes written, once all of a full tick have been decided.
    fn sync_tables(&mut self) {
        if self.pass.is_some() {
            return;
        }
        if let TableSlot::Idle(mut tables) = std::mem::replace(&mut self.tables, TableSlot::Busy { again: true }) {
            self.tables = TableSlot::Busy { again: false };
            let (context, scopes) = (Arc::clone(&self.context), self.scopes.clone());
            self.writing.spawn(async move {
                tables.sync(&context, &scopes).await;
                tables
            });
        }
    }

    fn tables_written(&mut self, tables: Tables) {
        let again = matches!(self.tables, TableSlot::Busy { again: true });
        self.tables = TableSlot::Idle(tables);
        if again {
            self.sync_tables();
        }
    }

    /// Starts a tick of one policy; answers whether one was started.
    fn start(&mut self, key: &PolicyKey) -> bool {
        let Some(object) = self.context.cluster.read().policy(key).cloned() else {
            self.forget(key);
            return false;
        };
        let slot = self.slots.remove(key).unwrap_or_else(|| {
            self.context.checkpoints.meet(key);
            Slot::Idle(Box::new(Workload::new(key.clone())))
        });
        let (next, workload) = match slot {
            Slot::Idle(workload) => (Slot::Busy { again: false }, Some(workload)),
            Slot::Busy { .. } => (Slot::Busy { again: true }, None),
        };
        self.slots.insert(key.clone(), next);
        let Some(mut workload) = workload else { return false };
        self.last.insert(key.clone(), Instant::now());
        let (context, room) = (Arc::clone(&self.context), Arc::clone(&self.room));
        self.running.spawn(async move {
            // Closed at the end.
            let Ok(_place) = room.acquire_owned().await else { return Done { workload, wishes: Wishes::default() } };
            // In a box of its own, so that thousands that wait for their place take little room.
            let wishes = Box::pin(workload.tick(&context, &object)).await;
            Done { workload, wishes }
        });
        true
    }

    /// Tries again what is remembered and some of the reports that there was no room for.
    fn tell_again(&mut self) {
        if self.unkept {
            self.keep_memory();
        }
        for key in self.untold.iter().take(TOLD_AGAIN).cloned().collect::<Vec<_>>() {
            // One that is being decided comes back with what it has to say then.
            self.untold.remove(&key);
            let Some(object) = self.context.cluster.read().policy(&key).cloned() else { continue };
            let Some(slot) = self.slots.get_mut(&key) else { continue };
            match std::mem::replace(slot, Slot::Busy { again: false }) {
                Slot::Idle(mut workload) => {
                    let context = Arc::clone(&self.context);
                    self.running.spawn(async move {
                        workload.tell_again(&context, &object).await;
                        Done { workload, wishes: Wishes::default() }
                    });
                }
                busy @ Slot::Busy { .. } => *slot = busy,
            }
        }
    }

    fn done(&mut self, done: Done, ticks: &mut tokio::time::Interval) {
        let key = done.workload.key().clone();
        match self.slots.get(&key) {
            // Deleted meanwhile: its last report may have come after it was forgotten.
            None => {
                self.forget(&key);
            }
            Some(slot) => {
                let again = matches!(slot, Slot::Busy { again: true });
                if done.workload.untold() {
                    self.untold.insert(key.clone());
                }
                self.slots.insert(key.clone(), Slot::Idle(done.workload));
                if again {
                    self.wake(key.clone());
                }
            }
        }
        self.stale.sources |= done.wishes.sources_changed;
        if let Some(again) = done.wishes.again {
            self.due.add(key.clone(), again);
        }
        if done.wishes.usage_unknown {
            ticks.reset_after(SOON);
        }
        self.finish_in_pass(&key);
        self.end_pass();
        self.sync_tables();
    }

    fn finish_in_pass(&mut self, key: &PolicyKey) {
        if let Some(pass) = &mut self.pass {
            pass.waiting.remove(key);
        }
    }

    fn end_pass(&mut self) {
        let Some(pass) = self.pass.take_if(|pass| pass.waiting.is_empty()) else { return };
        let took = pass.started.elapsed();
        self.context.metrics.observe_tick(took);
        self.context.board.set_header(Header {
            mode: BoardMode::Run,
            leader: Some(self.led),
            holder: self.holder.clone(),
            tick_ms: Some(took.as_secs_f64() * 1000.0),
            last_tick: Some(self.context.clock.now()),
        });
        self.keep_memory();
    }

    fn keep_memory(&mut self) {
        if self.keeping.is_empty() {
            let context = Arc::clone(&self.context);
            self.keeping.spawn(async move { context.keep_memory(false).await });
        }
    }

    fn forget(&mut self, key: &PolicyKey) {
        self.slots.remove(key);
        self.last.remove(key);
        self.due.remove(key);
        self.untold.remove(key);
        self.context.known.forget(key);
        self.context.checkpoints.forget(key);
        self.context.board.forget(key);
        self.context.metrics.forget(key);
        self.context.cluster.write().release_target(key);
        self.context.notices.lock().unwrap_or_else(std::sync::PoisonError::into_inner).forget(key);
        self.stale = Stale { sources: true, targets: true };
    }

    /// Finds out which policy owns which target, when policies have changed.
    fn find_owners(&mut self) {
        let (version, policies) = {
            let index = self.context.cluster.read();
            let version = index.policies_version();
            if self.owners_of == Some(version) {
                return;
            }
            (version, index.policies())
        };
        self.context.known.set_owners(policies::owners(&policies));
        self.owners_of = Some(version);
    }

    /// What follows from changed policies and need not be done for each of many: once, when they have all been decided.
    fn tidy(&mut self) {
        if self.pass.is_some() {
            return;
        }
        let stale = std::mem::take(&mut self.stale);
        if stale.sources {
            self.context.sync_direct_sources();
        }
        if stale.targets {
            let policies = self.context.known.policies();
            let named: BTreeSet<_> = policies.iter().map(|p| (p.key.namespace.as_str(), &p.target)).collect();
            self.context.targets.retain(|namespace, target| named.contains(&(namespace, target)));
        }
    }
}

/// When policies are to be decided again, before the next full tick.
#[derive(Debug, Default)]
struct Due {
    at: BTreeMap<PolicyKey, Instant>,
    order: BTreeSet<(Instant, PolicyKey)>,
}

impl Due {
    /// The sooner of two wishes counts.
    fn add(&mut self, key: PolicyKey, at: Instant) {
        if let Some(before) = self.at.get(&key) {
            if *before <= at {
                return;
            }
            self.order.remove(&(*before, key.clone()));
        }
        self.at.insert(key.clone(), at);
        self.order.insert((at, key));
    }

    fn remove(&mut self, key: &PolicyKey) {
        if let Some(at) = self.at.remove(key) {
            self.order.remove(&(at, key.clone()));
        }
    }

    fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes out those whose time has come.
    fn take(&mut self, now: Instant) -> Vec<PolicyKey> {
        let mut due = Vec::new();
        while let Some((at, key)) = self.order.pop_first() {
            if at > now {
                self.order.insert((at, key));
                break;
            }
            self.at.remove(&key);
            due.push(key);
        }
        due
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
