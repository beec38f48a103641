//! Which pods to evict because they cannot get larger in place, and how many at once: pure.
//!
//! Only under the strategy `InPlaceOrRecreate`, only for growth, and only where the next pod can fare better: what its
//! template or its namespace forbids it meets as well. The next pod gets the decided size at birth or before it runs, and the
//! scheduler looks for a node that has room for it.
//!
//! Invariants: no more than `maxUnavailable` pods are down, those counted that are down anyway; the only ready pod stays
//! unless that was written as a number; what an eviction did not help is not tried again for a day, and no more pods are
//! evicted in a day for one cause than there are replicas.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{decide::ResizeState, observe::kubernetes::PodFacts, policy::ResizeRules};

/// The flap budget's span: after an eviction that did not help, and for as many evictions of one cause as there are replicas.
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// A pod whose resize the kubelet fails to carry out is given this long: it tries again by itself.
pub(super) const FAILED: SignedDuration = SignedDuration::from_mins(5);
/// An eviction that a disruption budget held is asked for again after this.
const BUDGET_PATIENCE: SignedDuration = SignedDuration::from_mins(1);
/// One that was refused otherwise.
const REFUSED_PATIENCE: SignedDuration = SignedDuration::from_mins(5);
/// Evictions that are remembered: more than these in a day are none, whatever the number of replicas.
const MOST: usize = 256;

/// Why a pod is evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Cause {
    /// Its node has had no room for longer than that takes.
    Deferred,
    /// Its node can never hold it.
    Infeasible,
    /// The kubelet fails to carry it out.
    Failed,
    /// The node's kubelet cannot resize.
    Node,
}

impl Cause {
    /// In words, to be read after "its node".
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Deferred => "has no room for its larger size",
            Self::Infeasible => "can never hold its larger size",
            Self::Failed => "fails to resize it",
            Self::Node => "cannot resize pods",
        }
    }
}

/// An eviction to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodEviction {
    /// Pod.
    pub namespace: String,
    /// Pod.
    pub name: String,
    /// Which object of that name.
    pub uid: String,
    /// Why.
    pub cause: Cause,
}

/// Pods that may be taken down in this tick.
#[derive(Clone, Copy, Debug)]
pub struct Disruptions {
    most: u32,
    covers_the_last: bool,
    down: u32,
    ready: u32,
}

impl Disruptions {
    /// What `maxUnavailable` leaves beside the pods that are missing or not ready.
    #[must_use]
    pub fn of<'a>(rules: &ResizeRules, pods: impl Iterator<Item = &'a PodFacts>, replicas: u32) -> Self {
        let (mut all, mut ready) = (0_u32, 0_u32);
        for pod in pods.filter(|p| p.counts()) {
            all += 1;
            ready += u32::from(pod.ready());
        }
        let most = rules.max_unavailable.of(replicas);
        let covers_the_last = rules.max_unavailable.covers_the_last(replicas);
        Self { most, covers_the_last, down: all.max(replicas).saturating_sub(ready), ready }
    }

    /// Takes a pod down, if it may be; a pod that is down already costs nothing but must be among those that may be.
    pub fn take(&mut self, ready: bool) -> bool {
        let down = self.down + u32::from(ready);
        if down > self.most || self.spares(ready) {
            return false;
        }
        self.down = down;
        self.ready -= u32::from(ready);
        true
    }

    /// Whether a pod is the only ready one, and not meant to be taken down.
    #[must_use]
    pub const fn spares(&self, ready: bool) -> bool {
        ready && self.ready == 1 && !self.covers_the_last
    }
}

/// Evictions that were made, and what holds further ones back. It outlives the process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Evictions {
    made: Vec<Made>,
    rests: BTreeMap<Cause, Timestamp>,
    #[serde(skip)]
    held: Option<(Timestamp, String)>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Made {
    at: Timestamp,
    pod: String,
    cause: Cause,
}

impl Evictions {
    /// Notes an eviction that was taken.
    pub fn taken(&mut self, eviction: &PodEviction, now: Timestamp) {
        self.held = None;
        self.made.push(Made { at: now, pod: eviction.name.clone(), cause: eviction.cause });
        let surplus = self.made.len().saturating_sub(MOST);
        self.made.drain(..surplus);
    }

    /// Notes an eviction that was not, and for how long none is asked for.
    pub fn refused(&mut self, by_budget: bool, message: &str, now: Timestamp) -> bool {
        let again = now + if by_budget { BUDGET_PATIENCE } else { REFUSED_PATIENCE };
        let news = self.held.as_ref().is_none_or(|(_, known)| known != message);
        self.held = Some((again, message.to_owned()));
        news
    }

    /// What an eviction was answered that was not made, while that is waited for.
    pub(super) fn held(&self) -> Option<&str> {
        self.held.as_ref().map(|(_, message)| message.as_str())
    }

    /// Until when nothing is evicted for a cause, because it did not help.
    pub(super) fn rests(&self, now: Timestamp) -> Option<(Cause, Timestamp)> {
        self.rests.iter().find(|(_, until)| now < **until).map(|(cause, until)| (*cause, *until))
    }

    /// Forgets what is a day old, and what held an eviction that nobody wants any more.
    pub(super) fn forget(&mut self, wanted: bool, now: Timestamp) {
        self.made.retain(|m| now.duration_since(m.at) < DAY);
        self.rests.retain(|_, until| now < *until);
        if !wanted {
            self.held = None;
        }
    }

    /// Whether pods may be evicted for a cause at all. A pod that came after an eviction for it and stands where the evicted
    /// one stood shows that evicting does not help. `more` are on their way already.
    pub(super) fn may(
        &mut self,
        stuck: &[(&PodFacts, Cause)],
        cause: Cause,
        (replicas, more): (u32, usize),
        now: Timestamp,
    ) -> bool {
        let first = self.made.iter().filter(|m| m.cause == cause).map(|m| m.at).min();
        // Creation times have whole seconds: a successor may seem to be older than the eviction by part of one.
        let after = |created: Timestamp, first: Timestamp| created.as_second() >= first.as_second();
        let again = |pod: &PodFacts| first.zip(pod.created).is_some_and(|(first, created)| after(created, first));
        if stuck.iter().any(|(pod, why)| *why == cause && again(pod)) {
            self.rests.entry(cause).or_insert(now + DAY);
        }
        let made = self.made.iter().filter(|m| m.cause == cause).count();
        let most = usize::try_from(replicas.max(1)).unwrap_or(MOST).min(MOST);
        self.rests.get(&cause).is_none_or(|until| now >= *until)
            && made + more < most
            && self.held.as_ref().is_none_or(|(again, _)| now >= *again)
    }

    /// Whether a pod of this name was evicted within a day: pods of a `StatefulSet` keep theirs.
    pub(super) fn was_evicted(&self, name: &str, cause: Cause) -> bool {
        self.made.iter().any(|m| m.pod == name && m.cause == cause)
    }
}

/// Why a pod that is to grow cannot do so where it is, once it has been given its time.
pub(super) fn cause(
    pod: &PodFacts,
    since: Option<Timestamp>,
    patience: SignedDuration,
    now: Timestamp,
) -> Option<Cause> {
    let for_ = since.or(pod.resize_since).map(|since| now.duration_since(since));
    match pod.resize {
        ResizeState::Infeasible => Some(Cause::Infeasible),
        ResizeState::Deferred => for_.filter(|d| *d >= patience).map(|_| Cause::Deferred),
        ResizeState::Error => for_.filter(|d| *d >= FAILED).map(|_| Cause::Failed),
        ResizeState::None | ResizeState::InProgress => None,
    }
}

#[cfg(test)]
#[path = "evictions/tests.rs"]
mod tests;
