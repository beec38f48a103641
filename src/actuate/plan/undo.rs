//! What was made smaller and went wrong: undone once, and not done again for a while. Pure.
//!
//! Every pod that was made smaller is watched for a few minutes. Where a container is killed for want of memory, restarts, is
//! throttled, or its pod is no longer ready, the size before is remembered as a floor, with the reason. The floor goes into
//! the snapshots that are decided on, so the decision itself takes the size back, plans with it, and says why.
//!
//! It outlives the process. A new template begins anew.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

use super::{PodResize, ResizeKind};
use crate::{
    decide::{ContainerSize, ContainerState, Decision, Resources, SizeFloor, Snapshot},
    observe::kubernetes::PodFacts,
    units::{Bytes, Cores, Quantity},
};

/// How long a pod is watched after it was made smaller: what is too small for its caches or its garbage collector shows
/// within minutes, and what happens later has other causes more often.
const WATCHED: SignedDuration = SignedDuration::from_mins(10);
/// A reading of throttling that began before the shrink is none of it: the window of usage, twice.
const SETTLED: SignedDuration = SignedDuration::from_mins(2);
/// Throttling that counts: so much more of the time than before.
const MORE_THROTTLED: f64 = 0.10;
/// … while demand is not higher than so many times what it was: else it is the load and not the size.
const SAME_DEMAND: f64 = 1.1;
/// Pods that restart or are no longer ready count from this share of those that were made smaller on, or from two of them: one
/// among many has its own reasons.
const SHARE: usize = 5;
const FEW: usize = 2;
/// How long a floor holds the first time; each further time twice as long, up to the longest.
const FIRST_FLOOR: SignedDuration = SignedDuration::from_hours(24);
const LONGEST_FLOOR: SignedDuration = SignedDuration::from_hours(8 * 24);
/// Pods that are watched at most.
const MOST: usize = 256;

/// What is watched, and what was learned.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Undo {
    template: Option<String>,
    watched: Vec<Watched>,
    lessons: BTreeMap<String, Lesson>,
}

/// A container that was made smaller, and how it was then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Watched {
    at: Timestamp,
    uid: String,
    container: String,
    cpu: Option<Lowered<Cores>>,
    memory: Option<Lowered<Bytes>>,
    restarts: u32,
    ready: bool,
    throttled: Option<f64>,
    demand: Option<Cores>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Lowered<T> {
    from: T,
    to: T,
}

/// What a container is not made smaller than.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Lesson {
    cpu: Option<Floor<Cores>>,
    memory: Option<Floor<Bytes>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Floor<T> {
    least: T,
    until: Timestamp,
    times: u32,
    why: String,
}

/// What went wrong.
enum Wrong {
    Killed(usize),
    Restarted(usize),
    NotReady(usize),
    Throttled(f64, f64),
}

impl Wrong {
    fn words(&self) -> String {
        let pods = |n: &usize| if *n == 1 { "a pod was".to_owned() } else { format!("{n} pods were") };
        match self {
            Self::Killed(n) => format!("{} killed for want of memory", pods(n)),
            Self::Restarted(n) => format!("{} restarted", pods(n)),
            Self::NotReady(n) => format!("{} no longer ready", pods(n)),
            Self::Throttled(before, now) => {
                format!("pods were throttled {:.0} % of the time instead of {:.0} %", 100.0 * now, 100.0 * before)
            }
        }
    }
}

fn lowered<T: PartialOrd + Copy>(from: Option<T>, to: Option<T>) -> Option<Lowered<T>> {
    from.zip(to).filter(|(from, to)| to < from).map(|(from, to)| Lowered { from, to })
}

impl Undo {
    /// Notes a resize that was taken, when it made something smaller.
    pub fn shrunk(&mut self, resize: &PodResize, pod: &PodFacts, decided: (&Snapshot, &Decision), now: Timestamp) {
        if resize.kind == ResizeKind::Withdraw {
            return;
        }
        let (snapshot, decision) = decided;
        for (change, before) in resize.containers.iter().zip(&resize.before) {
            let Some(container) = pod.containers.iter().find(|c| *c.name == *change.name) else { continue };
            let state = state_of(snapshot, &change.name);
            let (cpu, memory) = differences(before, change);
            if cpu.is_none() && memory.is_none() {
                continue;
            }
            self.watch(Watched {
                at: now,
                uid: pod.uid.to_string(),
                container: change.name.clone(),
                cpu,
                memory,
                restarts: container.restarts,
                ready: pod.ready(),
                throttled: state.and_then(|s| s.throttled_ratio).filter(|_| container.limits.cpu_cores.is_some()),
                demand: decision.explain.demand_cores,
            });
        }
    }

    /// What was lowered twice within the time is watched from its first size on.
    fn watch(&mut self, mut new: Watched) {
        if let Some(known) = self.watched.iter().position(|w| w.uid == new.uid && w.container == new.container) {
            let old = self.watched.remove(known);
            let cpu =
                |l: Lowered<Cores>| Lowered { from: old.cpu.map_or(l.from, |o| Cores(o.from.0.max(l.from.0))), ..l };
            let memory = |l: Lowered<Bytes>| Lowered { from: old.memory.map_or(l.from, |o| o.from.max(l.from)), ..l };
            (new.cpu, new.memory) = (new.cpu.map(cpu).or(old.cpu), new.memory.map(memory).or(old.memory));
            new.throttled = old.throttled;
        }
        self.watched.push(new);
        let surplus = self.watched.len().saturating_sub(MOST);
        self.watched.drain(..surplus);
    }

    /// Looks at what became of the pods that were made smaller; says what is undone now.
    pub fn look(&mut self, pods: &[&PodFacts], decided: (&Snapshot, &Decision), now: Timestamp) -> Vec<String> {
        let (snapshot, decision) = decided;
        let template = &snapshot.replicas.template_hash;
        if template.is_some() && *template != self.template {
            let first = self.template.is_none();
            self.template.clone_from(template);
            if !first {
                (self.watched, self.lessons) = (Vec::new(), BTreeMap::new());
            }
        }
        self.watched.retain(|w| now.duration_since(w.at) < WATCHED && pods.iter().any(|p| *p.uid == *w.uid));
        if snapshot.replicas.rolling_out == Some(true) {
            return Vec::new();
        }
        let containers: BTreeSet<String> = self.watched.iter().map(|w| w.container.clone()).collect();
        let mut news = Vec::new();
        for name in containers {
            for (wrong, cpu, memory) in self.judge(&name, pods, snapshot, decision, now) {
                news.extend(self.learn(&name, &wrong, (cpu, memory), now));
            }
        }
        news
    }

    /// What went wrong with a container, and whether its CPU or its memory is to blame.
    fn judge(
        &self,
        name: &str,
        pods: &[&PodFacts],
        snapshot: &Snapshot,
        decision: &Decision,
        now: Timestamp,
    ) -> Vec<(Wrong, bool, bool)> {
        let watched: Vec<_> = self.watched.iter().filter(|w| w.container == name).collect();
        let (mut killed, mut restarted, mut not_ready) = (0, 0, 0);
        for watch in &watched {
            let Some(pod) = pods.iter().find(|p| *p.uid == *watch.uid && p.counts()) else { continue };
            let Some(container) = pod.containers.iter().find(|c| *c.name == *name) else { continue };
            let oom = container.oom.as_ref();
            let fresh = oom.is_some_and(|o| o.at.is_some_and(|at| at > watch.at) || o.restarts > watch.restarts);
            if fresh && watch.memory.is_some() {
                killed += 1;
            } else if container.restarts > watch.restarts && !fresh {
                restarted += 1;
            } else if watch.ready && !pod.ready() {
                not_ready += 1;
            }
        }
        let many = |n: usize| n > 0 && (n >= FEW || n * SHARE >= watched.len());
        let mut wrong = Vec::new();
        if killed > 0 {
            wrong.push((Wrong::Killed(killed), false, true));
        }
        if many(restarted + not_ready) {
            let what = if restarted >= not_ready { Wrong::Restarted(restarted) } else { Wrong::NotReady(not_ready) };
            wrong.push((what, true, true));
        }
        if let Some((before, ratio)) = throttled(&watched, state_of(snapshot, name), decision, now) {
            wrong.push((Wrong::Throttled(before, ratio), true, false));
        }
        wrong
    }

    /// Remembers the size before as a floor.
    fn learn(&mut self, name: &str, wrong: &Wrong, (cpu, memory): (bool, bool), now: Timestamp) -> Vec<String> {
        let mine = |w: &&mut Watched| w.container == name;
        let (mut cpus, mut memories) = (Vec::new(), Vec::new());
        let mut since = now;
        for watch in self.watched.iter_mut().filter(mine) {
            since = since.min(watch.at);
            if cpu {
                cpus.extend(watch.cpu.take());
            }
            if memory {
                memories.extend(watch.memory.take());
            }
        }
        self.watched.retain(|w| w.cpu.is_some() || w.memory.is_some());
        let lesson = self.lessons.entry(name.to_owned()).or_default();
        let mut news = Vec::new();
        let words = |what: &str, from: String, to: String, until: Timestamp| {
            format!(
                "{what} of `{name}` was lowered from {from} to {to} at {} and {}: it stays at {from} or more until {}",
                clock(since, "%H:%M"),
                wrong.words(),
                clock(until, "%Y-%m-%d %H:%M"),
            )
        };
        if let Some(most) = cpus.into_iter().max_by(|a, b| a.from.0.total_cmp(&b.from.0)) {
            let (until, times) = next(lesson.cpu.as_ref(), now);
            let why = words("CPU", Quantity::format_cores(most.from), Quantity::format_cores(most.to), until);
            news.push(why.clone());
            lesson.cpu = Some(Floor { least: most.from, until, times, why });
        }
        if let Some(most) = memories.into_iter().max_by_key(|l| l.from) {
            let (until, times) = next(lesson.memory.as_ref(), now);
            let why = words("memory", Quantity::format_bytes(most.from), Quantity::format_bytes(most.to), until);
            news.push(why.clone());
            lesson.memory = Some(Floor { least: most.from, until, times, why });
        }
        news
    }

    /// What a container is not made smaller than now.
    #[must_use]
    pub fn floor(&self, container: &str, now: Timestamp) -> Option<SizeFloor> {
        let lesson = self.lessons.get(container)?;
        let cpu = lesson.cpu.as_ref().filter(|f| now < f.until);
        let memory = lesson.memory.as_ref().filter(|f| now < f.until);
        let why: Vec<_> = cpu.map(|f| f.why.as_str()).into_iter().chain(memory.map(|f| f.why.as_str())).collect();
        let least = Resources { cpu_cores: cpu.map(|f| f.least), memory_bytes: memory.map(|f| f.least) };
        (!why.is_empty()).then(|| SizeFloor { least, why: why.join("; ") })
    }

    /// The reasons of all floors that hold.
    pub(super) fn reasons(&self, now: Timestamp) -> Vec<String> {
        self.lessons.keys().filter_map(|name| self.floor(name, now)).map(|floor| floor.why).collect()
    }
}

/// How long the next floor holds, and the how manyth it is. A floor that ended long ago counts no more.
fn next<T>(before: Option<&Floor<T>>, now: Timestamp) -> (Timestamp, u32) {
    let recent = before.filter(|f| now.duration_since(f.until) < LONGEST_FLOOR);
    let times = recent.map_or(1, |f| f.times.saturating_add(1));
    let length = (FIRST_FLOOR * (1_i32 << (times - 1).min(4))).min(LONGEST_FLOOR);
    (now + length, times)
}

fn state_of<'a>(snapshot: &'a Snapshot, name: &str) -> Option<&'a ContainerState> {
    snapshot.containers.iter().find(|c| c.name == name)
}

/// What a change makes smaller. Limits go along with requests.
fn differences(before: &ContainerSize, change: &ContainerSize) -> (Option<Lowered<Cores>>, Option<Lowered<Bytes>>) {
    let (before, change) = (before.requests, change.requests);
    (lowered(before.cpu_cores, change.cpu_cores), lowered(before.memory_bytes, change.memory_bytes))
}

/// Shares of the time before and now, when containers that got less CPU are throttled more without more demand.
fn throttled(
    watched: &[&Watched],
    state: Option<&ContainerState>,
    decision: &Decision,
    now: Timestamp,
) -> Option<(f64, f64)> {
    let ratio = state?.throttled_ratio?;
    let demand = decision.explain.demand_cores;
    let blamed = watched.iter().filter(|w| w.cpu.is_some() && now.duration_since(w.at) >= SETTLED);
    let same = |w: &&&Watched| demand.zip(w.demand).is_some_and(|(now, then)| now.0 <= SAME_DEMAND * then.0);
    let before = blamed.filter(same).filter_map(|w| w.throttled).reduce(f64::max)?;
    (ratio >= before + MORE_THROTTLED).then_some((before, ratio))
}

fn clock(at: Timestamp, format: &str) -> String {
    format!("{} UTC", at.to_zoned(TimeZone::UTC).strftime(format))
}

#[cfg(test)]
#[path = "undo/tests.rs"]
mod tests;
