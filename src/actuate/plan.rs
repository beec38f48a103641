//! Which running pods to resize, and to what: pure.
//!
//! A pod is left alone when the API server or the kubelet could not or should not do it: `BestEffort` pods, pods with
//! `spec.resources` of their own, a change of the quality-of-service class, a limit that would vanish or appear, a
//! resource whose change restarts the container, memory below what is in use. A pod whose resize is pending, or was
//! refused, is not asked again every tick.
//!
//! Growth comes first, and is never held back by trims' budget or by a pod that is still being resized.

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

use crate::{
    decide::{ContainerSize, Decision, ResizeState, Resources},
    observe::kubernetes::{ContainerFacts, PodFacts, Qos},
    policy::{Levers, Policy, ResizeStrategy},
    units::{Bytes, Cores},
};

/// Resizes per policy and tick. Each is one request; the rest follow at the next tick, growth first.
const PER_TICK: usize = 20;

/// How long a pod whose node has no room, or whose resize was refused, is left before it is asked again. The kubelet
/// itself retries what it deferred; a new question only puts it to the end of its queue.
const PATIENCE: SignedDuration = SignedDuration::from_mins(5);

/// How young a pod is when [`ResizeStrategy::Initial`] may still size it.
const INITIAL: SignedDuration = SignedDuration::from_mins(2);

/// Span of the budget of trims.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// What was tried on pods, by uid.
#[derive(Clone, Debug, Default)]
pub struct Attempts {
    pods: BTreeMap<String, Attempt>,
}

#[derive(Clone, Debug, Default)]
struct Attempt {
    last: Option<(Timestamp, Vec<ContainerSize>)>,
    refused: bool,
    trims: VecDeque<Timestamp>,
}

impl Attempts {
    /// Notes what was sent and whether it was taken.
    pub fn note(&mut self, resize: &PodResize, taken: bool, now: Timestamp) {
        let attempt = self.pods.entry(resize.uid.clone()).or_default();
        attempt.last = Some((now, resize.containers.clone()));
        attempt.refused = !taken;
        if taken && resize.trim {
            attempt.trims.push_back(now);
        }
        while attempt.trims.front().is_some_and(|t| now.duration_since(*t) > DAY) {
            attempt.trims.pop_front();
        }
    }

    /// Forgets pods that are gone.
    pub fn retain(&mut self, lives: impl Fn(&str) -> bool) {
        self.pods.retain(|uid, _| lives(uid));
    }

    fn of(&self, uid: &str) -> Option<&Attempt> {
        self.pods.get(uid)
    }
}

/// A resize to send.
#[derive(Clone, Debug, PartialEq)]
pub struct PodResize {
    /// Pod.
    pub namespace: String,
    /// Pod.
    pub name: String,
    /// Which object of that name.
    pub uid: String,
    /// Containers with what changes in them; what does not is left out.
    pub containers: Vec<ContainerSize>,
    /// Whether nothing grows: it counts against the budget of trims.
    pub trim: bool,
}

/// What pods are to have.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// The decision.
    pub decision: &'a Decision,
    /// Working set of the largest pod, by container; absent: not known.
    pub memory_in_use: &'a BTreeMap<String, Bytes>,
    /// Whether sizes may become smaller.
    pub may_shrink: bool,
}

/// The resizes of one tick, growth first, ready pods first, in the order of names.
#[must_use]
pub fn plan_resizes<'a>(
    pods: impl Iterator<Item = &'a PodFacts>,
    wanted: Wanted<'_>,
    attempts: &Attempts,
    now: Timestamp,
) -> Vec<PodResize> {
    let mut planned: Vec<_> = pods
        .filter(|p| p.counts() && !p.pod_level_resources && p.qos != Qos::BestEffort)
        .filter(|p| wanted.policy.resize.strategy != ResizeStrategy::Initial || young(p, now))
        .filter_map(|pod| {
            let resize = plan_pod(pod, wanted)?;
            due(pod, &resize, attempts.of(&pod.uid), wanted.policy, now).then_some((resize.trim, !pod.ready(), resize))
        })
        .collect();
    planned.sort_by_key(|(trim, unready, _)| (*trim, *unready));
    planned.into_iter().map(|(_, _, resize)| resize).take(PER_TICK).collect()
}

fn young(pod: &PodFacts, now: Timestamp) -> bool {
    pod.created.is_some_and(|c| now.duration_since(c) < INITIAL)
}

/// Whether this is the time to ask.
fn due(pod: &PodFacts, resize: &PodResize, attempt: Option<&Attempt>, policy: &Policy, now: Timestamp) -> bool {
    let since_last = attempt.and_then(|a| a.last.as_ref()).map(|(at, _)| now.duration_since(*at));
    let waited = since_last.is_none_or(|d| d >= PATIENCE);
    let stuck = matches!(pod.resize, ResizeState::Deferred | ResizeState::Infeasible | ResizeState::Error);
    if (stuck || attempt.is_some_and(|a| a.refused)) && !waited {
        return false;
    }
    if !resize.trim {
        return true;
    }
    let spent = attempt.map_or(0, |a| a.trims.iter().filter(|t| now.duration_since(**t) < DAY).count());
    pod.resize == ResizeState::None
        && spent < usize::try_from(policy.resize.trims_per_pod_per_day).unwrap_or(usize::MAX)
}

fn plan_pod(pod: &PodFacts, wanted: Wanted<'_>) -> Option<PodResize> {
    let sizes: Vec<_> = pod.containers.iter().map(|c| size_of(pod, c, wanted)).collect();
    let changes: Vec<_> = pod
        .containers
        .iter()
        .zip(&sizes)
        .filter_map(|(c, (requests, limits))| {
            let change = ContainerSize {
                name: c.name.clone(),
                requests: changed(c.requests, *requests),
                limits: changed(c.limits, *limits),
            };
            (change.requests != Resources::default() || change.limits != Resources::default()).then_some(change)
        })
        .collect();
    if changes.is_empty() || guaranteed(&sizes) != (pod.qos == Qos::Guaranteed) {
        return None;
    }
    let trim = !pod.containers.iter().zip(&sizes).any(|(c, (requests, _))| grows(c.requests, *requests));
    Some(PodResize {
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        uid: pod.uid.clone(),
        containers: changes,
        trim,
    })
}

fn changed(from: Resources, to: Resources) -> Resources {
    let cpu = |r: Resources| r.cpu_cores.map(Cores::millis_ceil);
    Resources {
        cpu_cores: to.cpu_cores.filter(|_| cpu(from) != cpu(to)),
        memory_bytes: to.memory_bytes.filter(|_| from.memory_bytes != to.memory_bytes),
    }
}

fn grows(from: Resources, to: Resources) -> bool {
    let cpu = |r: Resources| r.cpu_cores.map(Cores::millis_ceil);
    cpu(to) > cpu(from) || to.memory_bytes > from.memory_bytes
}

fn guaranteed(sizes: &[(Resources, Resources)]) -> bool {
    let cpu = |r: Resources| r.cpu_cores.map(Cores::millis_ceil);
    sizes.iter().all(|(requests, limits)| {
        requests.memory_bytes.is_some()
            && requests.memory_bytes == limits.memory_bytes
            && cpu(*requests).is_some()
            && cpu(*requests) == cpu(*limits)
    })
}

/// Requests and limits that a container is to have; what may not move stays as it is.
fn size_of(pod: &PodFacts, container: &ContainerFacts, wanted: Wanted<'_>) -> (Resources, Resources) {
    let (mut requests, mut limits) = (container.requests, container.limits);
    let Some(size) = wanted.decision.containers.iter().find(|c| c.name == container.name) else {
        return (requests, limits);
    };
    let Levers { cpu, memory, .. } = wanted.policy.levers;
    let fixed = pod.qos == Qos::Guaranteed;
    if cpu && !container.restarts_on_cpu {
        let boost = wanted.decision.boost.as_ref().filter(|_| pod.ready());
        let boosted = boost.and_then(|b| b.containers.iter().find(|c| c.name == container.name)).map(|c| c.cpu_cores);
        let target = size.requests.cpu_cores.map(|steady| boosted.map_or(steady, |b| b.max(steady)));
        let limit = size.limits.cpu_cores.map(|l| target.map_or(l, |t| l.max(t)));
        let room = Movable { may_shrink: wanted.may_shrink, fixed };
        (requests.cpu_cores, limits.cpu_cores) =
            room.moved((requests.cpu_cores, limits.cpu_cores), (target, limit), Cores::max, Cores::min);
    }
    if memory && !container.restarts_on_memory {
        let target = size.requests.memory_bytes;
        let in_use = wanted.memory_in_use.get(&container.name);
        let fits = target.zip(in_use).is_some_and(|(target, used)| *used < target);
        let room = Movable { may_shrink: wanted.may_shrink && fits, fixed };
        (requests.memory_bytes, limits.memory_bytes) = room.moved(
            (requests.memory_bytes, limits.memory_bytes),
            (target, size.limits.memory_bytes),
            Ord::max,
            Ord::min,
        );
    }
    (requests, limits)
}

#[derive(Clone, Copy)]
struct Movable {
    may_shrink: bool,
    fixed: bool,
}

impl Movable {
    /// Request and limit after the move: a limit neither appears nor vanishes, and the request stays within it.
    fn moved<T: Copy + PartialOrd>(
        self,
        (request, limit): (Option<T>, Option<T>),
        (to, to_limit): (Option<T>, Option<T>),
        max: fn(T, T) -> T,
        min: fn(T, T) -> T,
    ) -> (Option<T>, Option<T>) {
        let Some(mut to) = to else { return (request, limit) };
        let mut new_limit = limit.map(|old| if self.fixed { to } else { to_limit.unwrap_or(old) });
        if !self.may_shrink {
            to = request.map_or(to, |old| max(to, old));
            new_limit = limit.zip(new_limit).map(|(old, new)| max(old, new));
        }
        let request = new_limit.map_or(to, |l| min(to, l));
        (Some(request), new_limit)
    }
}

#[cfg(test)]
#[path = "plan/tests.rs"]
mod tests;
