//! Which running pods to resize and to what, which to evict, and which to leave alone: pure.
//!
//! | part | what it says |
//! |---|---|
//! | `eligible` | pods that nothing can resize |
//! | `size` | the size that a pod is to have, as far as it may be moved |
//! | `attempts` | what was asked and refused, and when it is asked again |
//! | `evictions` | pods that cannot get larger where they are, and how many may be down at once |
//! | `undo` | what was made smaller, went wrong, and is not done again |
//! | `told` | what of all this people are told |
//!
//! Growth comes first, and is never held back by trims' budget or by a pod that is still being resized. What cannot be
//! resized does not hold back the rest. All outcomes with what is done about them: docs/resize.md.

mod attempts;
mod eligible;
mod evictions;
mod size;
mod told;
mod undo;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

pub use attempts::{Attempts, Waits};
pub use eligible::LeftAlone;
pub use evictions::{Cause, Disruptions, Evictions, PodEviction};
pub use told::{Told, told};
pub use undo::Undo;

use crate::{
    decide::{ContainerSize, Decision, ResizeState, Resources},
    observe::kubernetes::PodFacts,
    policy::{Policy, ResizeStrategy},
    units::Bytes,
};
use size::{Restarts, Size, changed, exceeds, had, more, sizes};

/// Resizes per policy and tick. Each is one request; the rest follow at the next tick, growth first.
const PER_TICK: usize = 20;

/// How young a pod is when [`ResizeStrategy::Initial`] may still size it.
const INITIAL: SignedDuration = SignedDuration::from_mins(2);

/// What a resize does to a pod, against what the pod has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResizeKind {
    /// Something grows.
    Grow,
    /// Nothing changes: an ask that was not granted is taken back.
    Withdraw,
    /// Nothing grows and something shrinks: it counts against the budget of trims.
    Trim,
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
    /// What these containers have.
    pub before: Vec<ContainerSize>,
    /// Those among them that are sidecars: restartable init containers.
    pub sidecars: Vec<String>,
    /// What it does to the pod.
    pub kind: ResizeKind,
    /// Whether a container restarts for it.
    pub restarts: bool,
    /// Whether it asks for less of something than is pending.
    pub relieves: bool,
    /// Whether it gives more memory to a container that was killed for want of it.
    pub killed: bool,
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
    /// Whether sizes may become smaller, and pods be taken down.
    pub may_shrink: bool,
    /// `spec.replicas` of the target.
    pub replicas: u32,
    /// What the namespace's quota leaves.
    pub quota_left: Option<Resources>,
}

/// What is sent in one tick.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Resizes, growth first, pods that were killed and then ready ones first, in the order of names.
    pub resizes: Vec<PodResize>,
    /// Evictions.
    pub evictions: Vec<PodEviction>,
}

/// Plans one tick.
#[must_use]
pub fn plan(
    pods: &[&PodFacts],
    wanted: Wanted<'_>,
    attempts: &Attempts,
    evictions: &mut Evictions,
    now: Timestamp,
) -> Plan {
    let mut down = Disruptions::of(&wanted.policy.resize, pods.iter().copied(), wanted.replicas);
    let resizes = resizes(pods, wanted, attempts, &mut down, now);
    let evictions = evict(pods, wanted, attempts, evictions, &mut down, now);
    Plan { resizes, evictions }
}

fn resizes(
    pods: &[&PodFacts],
    wanted: Wanted<'_>,
    attempts: &Attempts,
    down: &mut Disruptions,
    now: Timestamp,
) -> Vec<PodResize> {
    let initial = wanted.policy.resize.strategy == ResizeStrategy::Initial;
    let pods_first = missing(pods, wanted) > 0;
    let trims = wanted.policy.resize.trims_per_pod_per_day;
    let may = |pod: &PodFacts, resize: &PodResize| {
        !attempts.stands_refused(resize, wanted.quota_left, now) && attempts.due(pod, resize, trims, now)
    };
    let mut planned: Vec<_> = pods
        .iter()
        .filter(|p| p.counts() && LeftAlone::of(p).is_none() && (!initial || young(p, now)))
        .filter_map(|pod| {
            let resize = resize_of(pod, wanted, Restarts::Allowed).or_else(|| take_back(pod, wanted, attempts, now))?;
            Some((*pod, resize))
        })
        .filter(|(_, resize)| !pods_first || resize.kind != ResizeKind::Grow || resize.killed)
        .collect();
    planned.sort_by_key(|(pod, resize)| (resize.kind, !resize.killed, !pod.ready()));
    let mut due = Vec::new();
    for (pod, resize) in planned {
        if due.len() == PER_TICK {
            break;
        }
        let allowed = !resize.restarts || (wanted.may_shrink && may(pod, &resize) && down.take(pod.ready()));
        let resize = if allowed { Some(resize) } else { resize_of(pod, wanted, Restarts::Forbidden) };
        due.extend(resize.filter(|resize| may(pod, resize)));
    }
    due
}

/// Pods that are still to be created where a quota counts: what is left of it is theirs first, since a pod that would be
/// created without us is created. Only a container that is killed for want of memory comes before them.
#[must_use]
pub fn missing(pods: &[&PodFacts], wanted: Wanted<'_>) -> u32 {
    let there = u32::try_from(pods.iter().filter(|p| p.counts()).count()).unwrap_or(u32::MAX);
    wanted.quota_left.map_or(0, |_| wanted.replicas.saturating_sub(there))
}

fn young(pod: &PodFacts, now: Timestamp) -> bool {
    pod.created.is_some_and(|c| now.duration_since(c) < INITIAL)
}

/// The resize that gives a pod its size, if it asks for another one now.
fn resize_of(pod: &PodFacts, wanted: Wanted<'_>, restarts: Restarts) -> Option<PodResize> {
    ask(pod, &sizes(pod, wanted, restarts)?)
}

/// What an infeasible resize asked for is taken back after a while, so that it can be asked again: the kubelet looks at it anew
/// only when the pod asks for something else.
fn take_back(pod: &PodFacts, wanted: Wanted<'_>, attempts: &Attempts, now: Timestamp) -> Option<PodResize> {
    let due = pod.resize == ResizeState::Infeasible && attempts.asks_again(pod).is_some_and(|at| now >= at);
    let evicted = wanted.policy.resize.strategy == ResizeStrategy::InPlaceOrRecreate;
    if !due || evicted {
        return None;
    }
    let as_it_is: Vec<_> = pod.containers.iter().map(had).collect();
    ask(pod, &as_it_is).filter(|resize| resize.kind == ResizeKind::Withdraw)
}

/// The resize that asks for these sizes; `None`: the pod asks for them already.
fn ask(pod: &PodFacts, to: &[Size]) -> Option<PodResize> {
    let mut resize = PodResize {
        namespace: pod.namespace.to_string(),
        name: pod.name.to_string(),
        uid: pod.uid.to_string(),
        containers: Vec::new(),
        before: Vec::new(),
        sidecars: Vec::new(),
        kind: ResizeKind::Withdraw,
        restarts: false,
        relieves: false,
        killed: false,
    };
    let (mut grows, mut shrinks) = (false, false);
    for (container, to) in pod.containers.iter().zip(to) {
        let had = had(container);
        grows |= exceeds(to, &had);
        shrinks |= exceeds(&had, to);
        let requests = changed(container.requests, to.requests);
        let limits = changed(container.limits, to.limits);
        if requests == Resources::default() && limits == Resources::default() {
            continue;
        }
        let asked = Size { requests: container.requests, limits: container.limits, ..Size::default() };
        resize.relieves |= exceeds(&asked, to);
        resize.killed |= container.oom.is_some() && to.requests.memory_bytes > had.requests.memory_bytes;
        resize.restarts |= to.restarts;
        resize.sidecars.extend(container.sidecar.then(|| container.name.to_string()));
        let named = |requests, limits| ContainerSize { name: container.name.to_string(), requests, limits };
        resize.before.push(named(had.requests, had.limits));
        resize.containers.push(named(requests, limits));
    }
    resize.kind = match (grows, shrinks) {
        (true, _) => ResizeKind::Grow,
        (false, true) => ResizeKind::Trim,
        (false, false) => ResizeKind::Withdraw,
    };
    (!resize.containers.is_empty()).then_some(resize)
}

/// Whether a pod has less of something set aside than it is to have.
fn lacks(pod: &PodFacts, wanted: Wanted<'_>) -> bool {
    let to = sizes(pod, wanted, Restarts::Forbidden);
    to.is_some_and(|to| pod.containers.iter().zip(&to).any(|(c, to)| more(to.requests, had(c).requests)))
}

/// Pods that are to grow and cannot do so where they are, with the cause.
fn stuck<'a>(
    pods: &[&'a PodFacts],
    wanted: Wanted<'_>,
    attempts: &Attempts,
    now: Timestamp,
) -> Vec<(&'a PodFacts, Cause)> {
    let patience = attempts.waits().patience();
    let placed = pods.iter().copied().filter(|p| p.counts() && p.node.is_some());
    let cause = |pod: &'a PodFacts| {
        let cause = match LeftAlone::of(pod) {
            Some(LeftAlone::Node) => Some(Cause::Node),
            Some(_) => None,
            None if attempts.beyond_its_node(pod) => Some(Cause::Infeasible),
            // Another ask than the pending one is tried first.
            None if resize_of(pod, wanted, Restarts::Forbidden).is_some() => None,
            None => evictions::cause(pod, attempts.deferred_since(pod), patience, now),
        };
        cause.filter(|_| lacks(pod, wanted)).map(|cause| (pod, cause))
    };
    placed.filter_map(cause).collect()
}

fn evict(
    pods: &[&PodFacts],
    wanted: Wanted<'_>,
    attempts: &Attempts,
    evictions: &mut Evictions,
    down: &mut Disruptions,
    now: Timestamp,
) -> Vec<PodEviction> {
    let strategy = wanted.policy.resize.strategy == ResizeStrategy::InPlaceOrRecreate;
    let stuck = if strategy { stuck(pods, wanted, attempts, now) } else { Vec::new() };
    evictions.forget(!stuck.is_empty(), now);
    // The next pod would meet what the namespace refuses as well.
    if stuck.is_empty() || !wanted.may_shrink || attempts.refused_everywhere() {
        return Vec::new();
    }
    let mut chosen = Vec::new();
    // Those that are down already cost nothing.
    let mut order: Vec<_> = stuck.iter().collect();
    order.sort_by_key(|(pod, _)| pod.ready());
    for (pod, cause) in order {
        let more = chosen.iter().filter(|c: &&PodEviction| c.cause == *cause).count();
        let may = evictions.may(&stuck, *cause, (wanted.replicas, more), now);
        let may = may && !evictions.was_evicted(&pod.name, *cause);
        if may && down.take(pod.ready()) {
            chosen.push(PodEviction {
                namespace: pod.namespace.to_string(),
                name: pod.name.to_string(),
                uid: pod.uid.to_string(),
                cause: *cause,
            });
        }
    }
    chosen
}

#[cfg(test)]
#[path = "plan/tests.rs"]
mod tests;
