//! Warm start: what the history of a workload teaches, before it has been watched.
//!
//! The history is played through `decide` itself, a tick at a time, and what was learned is kept: the demand model, the
//! latency correction, the regrets of the sizes, memory peaks, start-up time. So a warm start knows what watching would
//! have taught, by the same formulas. What `decide` would have done is forgotten: counters, events, sizes asked for and
//! writes of others begin anew, so nothing shrinks because of a past that never was.
//!
//! Must not: believe what it cannot check. Numbers that are no measurement are dropped, a lone spike is cut, and where
//! too little is left, or the model does not explain the history, the answer is the cold [`Memory`]: watching for some
//! minutes is always good enough.
//!
//! Invariant: pure; the answer holds for any numbers whatsoever.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{
    ContainerState, Memory, Reading, ReplicaState, Resources, Snapshot,
    arith::{count, sane},
    decide, sample,
};
use crate::{
    policy::{Mode, Policy, Role},
    units::{Bytes, Cores, Replicas, Seconds},
};

/// A row speaks for this long at most; Prometheus is asked for one in five minutes.
pub const HISTORY_STEP: f64 = 300.0;
/// No history is read beyond this: regrets have a half-life of two days, and memory peaks are kept for eight.
pub const HISTORY_LENGTH: f64 = 7.0 * 86_400.0;
/// Time between two ticks of the replay, that of the live loop.
const TICK: f64 = 15.0;
/// Window that usage and rates of a row are said to be a mean over: a tick's two, so that each is compared with itself.
const WINDOW: f64 = 30.0;
/// Fewest rows with usage: two hours. Below that a cold start knows as much after its own first hours.
const FEWEST_ROWS: usize = 24;
/// Beyond so many times the 99th percentile a number is an error of measurement: no load of the recorded ones jumps as
/// far for less than a hundredth of a week.
const SPIKE: f64 = 10.0;
/// A Demand of zero while usage is above this share of its 99th percentile is a signal that was not there.
const BUSY: f64 = 0.1;
/// More than these a pod never has: the largest machines.
const MOST_CORES_PER_POD: f64 = 1024.0;
const MOST_BYTES: f64 = (1_u64 << 44) as f64;
const MOST_PODS: f64 = 100_000.0;
/// Name of the container in a replay that knows none.
const NO_CONTAINER: &str = "-";
/// The demand model must explain usage of the last day within this factor, in the median.
const EXPLAINS: f64 = 1.5;

/// What was measured of a workload, over all its pods unless it says otherwise. Anything may be missing, and nothing is
/// believed to be sensible.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistoryRow {
    /// Instant, as Unix time in seconds.
    pub at: f64,
    /// Pods that run.
    pub replicas: Option<f64>,
    /// CPU used, in cores.
    pub usage: Option<f64>,
    /// The Demand signal: work arriving per second.
    pub demand: Option<f64>,
    /// The Latency signal: seconds at the objective.
    pub latency: Option<f64>,
    /// The Backlog signal: items that wait.
    pub backlog: Option<f64>,
    /// CPU request of one pod, in cores.
    pub request_cores: Option<f64>,
    /// Memory request of one pod, in bytes.
    pub request_bytes: Option<f64>,
    /// Time from a pod's creation to ready, in seconds.
    pub start: Option<f64>,
    /// Working set of the largest pod's container in bytes, by container.
    pub memory: BTreeMap<String, f64>,
}

/// The history of a workload: rows, the oldest first, about [`HISTORY_STEP`] apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The rows.
    pub rows: Vec<HistoryRow>,
}

impl History {
    /// Adds what a snapshot shows, at most one row in [`HISTORY_STEP`], and forgets what is too old.
    pub fn note(&mut self, snapshot: &Snapshot, policy: &Policy) {
        let at = sample::seconds(snapshot.at);
        let start = snapshot.start_seconds.iter().map(|s| s.0).reduce(f64::max);
        if let Some(last) = self.rows.last_mut().filter(|last| at < last.at + HISTORY_STEP) {
            last.start = last.start.into_iter().chain(start).reduce(f64::max);
            return;
        }
        let sum = |part: fn(&ContainerState) -> Option<f64>| snapshot.containers.iter().map(part).sum::<Option<f64>>();
        let value = |role| snapshot.signals.get(&policy.signal_of(role)?.name)?.value;
        let largest = |c: &ContainerState| Some((c.name.clone(), c.memory_max_pod_bytes?.as_f64()));
        self.rows.push(HistoryRow {
            at,
            replicas: Some(snapshot.replicas.ready.as_f64()),
            usage: sum(|c| c.cpu_cores.map(|c| c.0)),
            demand: value(Role::Demand),
            latency: value(Role::Latency),
            backlog: value(Role::Backlog),
            request_cores: sum(|c| c.request.cpu_cores.map(|c| c.0)),
            request_bytes: sum(|c| c.request.memory_bytes.map(Bytes::as_f64)),
            start,
            memory: snapshot.containers.iter().filter_map(largest).collect(),
        });
        let old = self.rows.partition_point(|row| row.at < at - HISTORY_LENGTH);
        self.rows.drain(..old);
    }
}

/// The Memory that a history leaves: cold when it teaches nothing.
#[must_use]
pub fn warm_start(history: &History, policy: &Policy, now: Timestamp) -> Memory {
    let rows = clean(history, sample::seconds(now));
    if rows.iter().filter(|row| row.usage.is_some()).count() < FEWEST_ROWS {
        return Memory::new();
    }
    let policy = policy_of_replay(policy, &rows);
    let names: BTreeSet<&str> = rows.iter().flat_map(|row| row.memory.keys()).map(String::as_str).collect();
    let names: Vec<&str> = if names.is_empty() { vec![NO_CONTAINER] } else { names.into_iter().collect() };
    let mut memory = Memory::new();
    let mut before = f64::NEG_INFINITY;
    let mut start = None;
    for row in &rows {
        let mut snapshot = snapshot(row, &names, &policy);
        if row.start.is_some() && row.start != start {
            start = row.start;
            snapshot.start_seconds = start.map(Seconds).into_iter().collect();
        }
        let begins = (row.at - HISTORY_STEP).max(before);
        let ticks = count((row.at - begins) / TICK + 1e-6);
        for tick in (0..ticks).rev() {
            snapshot.at = sample::timestamp(row.at - f64::from(tick) * TICK);
            memory.replay_from_here(snapshot.at);
            drop(decide(&snapshot, &policy, &mut memory, snapshot.at));
            snapshot.start_seconds.clear();
        }
        before = row.at;
    }
    if explains(&memory, &rows) {
        let measured = rows.iter().filter(|row| row.usage.is_some()).count();
        memory.rested(sample::seconds(now), measured as f64 * HISTORY_STEP)
    } else {
        Memory::new()
    }
}

/// Whether the demand model explains what was used lately; without a Demand signal there is nothing to explain.
fn explains(memory: &Memory, rows: &[HistoryRow]) -> bool {
    let Some(last) = rows.last() else { return false };
    let measured = rows.iter().filter(|row| row.at > last.at - 86_400.0).filter_map(|row| {
        let usage = row.usage?;
        Some((usage, memory.demand.expects(row.replicas?, row.demand?)?))
    });
    let measured: Vec<(f64, f64)> = measured.collect();
    let peak = measured.iter().map(|(usage, _)| *usage).fold(0.0, f64::max);
    let busy = measured.iter().filter(|(usage, _)| *usage > BUSY * peak);
    let mut factors: Vec<f64> = busy.map(|(usage, expected)| (usage / expected).max(expected / usage)).collect();
    factors.sort_by(f64::total_cmp);
    factors.get(factors.len() / 2).is_none_or(|median| *median <= EXPLAINS)
}

/// The policy as it is replayed: nothing is acted on, and what has no history is not missed.
fn policy_of_replay(policy: &Policy, rows: &[HistoryRow]) -> Policy {
    let has = |part: fn(&HistoryRow) -> Option<f64>| rows.iter().any(|row| part(row).is_some());
    let demand = has(|row| row.demand);
    let mut policy = policy.clone();
    policy.mode = Mode::Recommend;
    policy.signals.retain(|signal| match signal.role {
        Role::Demand => demand,
        Role::Latency => has(|row| row.latency),
        // Without what arrives, work that came and went between two rows was never seen.
        Role::Backlog => demand && has(|row| row.backlog),
        Role::Saturation => false,
    });
    policy
}

/// The rows that may be believed, in order, numbers that are none dropped.
fn clean(history: &History, now: f64) -> Vec<HistoryRow> {
    let recent = |at: f64| at.is_finite() && at <= now && at > now - HISTORY_LENGTH - HISTORY_STEP;
    let mut rows: Vec<HistoryRow> = history.rows.iter().filter(|row| recent(row.at)).cloned().collect();
    rows.sort_by(|a, b| a.at.total_cmp(&b.at));
    rows.dedup_by(|a, b| a.at < b.at + 1.0);
    for row in &mut rows {
        let pods = row.replicas.and_then(sane).filter(|n| *n <= MOST_PODS);
        let between = |x: Option<f64>, most: f64| x.and_then(sane).filter(|x| *x <= most);
        row.usage = between(row.usage, MOST_CORES_PER_POD * pods.unwrap_or(0.0)).filter(|u| *u > 0.0);
        row.replicas = pods;
        for rate in [&mut row.demand, &mut row.latency, &mut row.backlog] {
            *rate = rate.and_then(sane);
        }
        row.request_cores = between(row.request_cores, MOST_CORES_PER_POD).filter(|c| *c > 0.0);
        row.request_bytes = between(row.request_bytes, MOST_BYTES).filter(|b| *b > 0.0);
        row.start = between(row.start, 1800.0);
        row.memory.retain(|_, bytes| sane(*bytes).is_some_and(|b| b > 0.0 && b <= MOST_BYTES));
    }
    cut_spikes(&mut rows);
    rows.retain(|row| row.replicas.is_some());
    rows
}

/// Drops what is far beyond nearly everything else, and a rate of nothing while there is plenty of work.
fn cut_spikes(rows: &mut [HistoryRow]) {
    let most = |values: Vec<f64>| {
        let mut values = values;
        values.sort_by(f64::total_cmp);
        // The 99th percentile; of a short history, the largest but one.
        let at = (values.len() * 99 / 100).min(values.len().saturating_sub(2));
        values.get(at).map_or(f64::INFINITY, |p99| SPIKE * p99)
    };
    let usage = most(rows.iter().filter_map(|row| row.usage).collect());
    let demand = most(rows.iter().filter_map(|row| row.demand).collect());
    let mut memory: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (name, bytes) in rows.iter().flat_map(|row| &row.memory) {
        memory.entry(name.clone()).or_default().push(*bytes);
    }
    let memory: BTreeMap<String, f64> = memory.into_iter().map(|(name, all)| (name, most(all))).collect();
    for row in rows {
        row.usage = row.usage.filter(|u| *u <= usage);
        row.demand =
            row.demand.filter(|d| *d <= demand && (*d > 0.0 || row.usage.is_none_or(|u| u <= BUSY * usage / SPIKE)));
        row.memory.retain(|name, bytes| *bytes <= memory[name]);
    }
}

/// A row as a snapshot. All containers are in each: one that is missing would count as gone.
fn snapshot(row: &HistoryRow, names: &[&str], policy: &Policy) -> Snapshot {
    let pods = Replicas(count(row.replicas.unwrap_or(0.0) + 0.5));
    let total: f64 = row.memory.values().sum();
    let containers = names.iter().enumerate().map(|(i, name)| {
        let used = row.memory.get(*name).copied();
        // Of the pod's request a container has as much as of what is used.
        let share = row.request_bytes.filter(|_| total > 0.0).map_or(1.0, |request| request / total);
        let request = if *name == NO_CONTAINER { row.request_bytes } else { used.map(|used| used * share) };
        let used = used.map(Bytes::ceil_from);
        ContainerState {
            name: (*name).to_owned(),
            // CPU is known of the pod only: the first container stands for it.
            request: Resources {
                cpu_cores: row.request_cores.filter(|_| i == 0).map(Cores),
                memory_bytes: request.map(Bytes::ceil_from),
            },
            reporting_pods: Some(pods),
            cpu_cores: row.usage.map(|u| Cores(if i == 0 { u } else { 0.0 })),
            memory_max_pod_bytes: used,
            memory_mean_pod_bytes: used,
            ..ContainerState::default()
        }
    });
    let reading = |value: f64| Reading { value: Some(value), age_seconds: Some(Seconds(WINDOW)), ..Reading::default() };
    let signals = policy.signals.iter().filter_map(|signal| {
        let value = match signal.role {
            Role::Demand => row.demand,
            Role::Latency => row.latency,
            Role::Backlog => row.backlog,
            Role::Saturation => None,
        };
        Some((signal.name.clone(), reading(value?)))
    });
    Snapshot {
        v: 0,
        at: sample::timestamp(row.at),
        replicas: ReplicaState { spec: pods, ready: pods, ..ReplicaState::default() },
        start_seconds: Vec::new(),
        usage_age_seconds: Some(Seconds(0.0)),
        window_seconds: Some(Seconds(WINDOW)),
        containers: containers.collect(),
        room: super::Room::default(),
        signals: signals.collect(),
    }
}

impl Memory {
    /// Takes over what a warm start knows; what happened at this one's own ticks stays. A cold one teaches nothing.
    pub fn learn_from(&mut self, warm: Self) {
        if let Some((watched, now)) = warm.clock.history() {
            self.take(warm, watched, now);
        }
    }

    /// What is left when the workload's object was made anew under its name: what was learned about the application. What
    /// was decided for the old object, what others wrote to it and what its pods were doing is forgotten; its template is
    /// known, so that another one is seen to be new.
    #[must_use]
    pub fn of_another_object(self, now: jiff::Timestamp) -> Self {
        let (now, clock) = (sample::seconds(now), self.clock.clone());
        let mut rested = self.rested(now, clock.watched());
        rested.clock.keep_template(&clock);
        rested
    }

    fn take(&mut self, learned: Self, watched: f64, now: f64) {
        self.demand = learned.demand;
        self.capacity = learned.capacity;
        self.queue = learned.queue;
        self.sizes = learned.sizes;
        self.trust.learn_from(&learned.trust);
        self.clock.learn_from(&learned.clock, watched, now);
        for (name, peaks) in learned.peaks {
            self.peaks.entry(name).or_default().learn_from(peaks);
        }
    }

    /// Forgets, in a replay, what `decide` would have done: the next row shows what was done.
    fn replay_from_here(&mut self, at: Timestamp) {
        self.vertical = super::vertical::Vertical::default();
        self.sizes.wait(sample::seconds(at));
    }

    /// What was learned alone, with all that was decided forgotten.
    fn rested(mut self, now: f64, watched: f64) -> Self {
        let mut rested = Self::new();
        self.sizes.wait(now);
        self.peaks.retain(|name, _| name != NO_CONTAINER);
        rested.take(self, watched, now);
        rested
    }
}

#[cfg(test)]
mod tests;
