//! What was asked of pods and what became of it: when the same is asked again, and how long is waited for room. Pure.

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{PodResize, ResizeKind};
use crate::{
    actuate::Denial,
    decide::{ContainerSize, ResizeState, Resources},
    observe::kubernetes::PodFacts,
};

/// How long the same ask is not repeated after it was refused, or was found infeasible, the first time. The kubelet looks
/// at a deferred resize again by itself; a new question only puts it to the end of its queue.
pub(super) const PATIENCE: SignedDuration = SignedDuration::from_mins(5);
/// It doubles up to this.
const LONGEST_PATIENCE: SignedDuration = SignedDuration::from_hours(1);

/// Span of the budget of trims.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// How long a deferred resize is waited for before anything is known of how long they take: the upstream updater's wait
/// (VPA `InPlaceOrRecreate`, 5 min).
const FIRST_WAIT: SignedDuration = SignedDuration::from_mins(5);
/// What was learned stays within these: the kubelet looks again every half minute or so, and nobody waits for room for hours.
const LEAST_WAIT: SignedDuration = SignedDuration::from_mins(1);
const LONGEST_WAIT: SignedDuration = SignedDuration::from_mins(30);
/// Waits that are remembered, and how many tell anything.
const WAITS: usize = 32;
const ENOUGH_WAITS: usize = 3;

/// What was tried, and what is known from it.
#[derive(Clone, Debug, Default)]
pub struct Attempts {
    pods: BTreeMap<String, Attempt>,
    denied: Vec<Denied>,
    /// Deferred resizes: uid → (since, generation).
    deferred: BTreeMap<String, (Timestamp, i64)>,
    waits: Waits,
}

#[derive(Clone, Debug, Default)]
struct Attempt {
    last: Option<Timestamp>,
    /// Times that an infeasible ask was taken back to be asked again.
    withdrawn: u32,
    trims: VecDeque<Timestamp>,
}

/// An ask that the API server refused.
#[derive(Clone, Debug)]
struct Denied {
    ask: Vec<ContainerSize>,
    /// The pod; none: any of the workload.
    uid: Option<String>,
    denial: Option<Denial>,
    at: Timestamp,
    quota_left: Option<Resources>,
    message: String,
}

/// How long deferred resizes have waited for room, in seconds, the newest last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Waits(VecDeque<f64>);

impl Waits {
    /// The wait after which room is not coming: one and a half times what nine of ten waits took.
    #[must_use]
    pub fn patience(&self) -> SignedDuration {
        if self.0.len() < ENOUGH_WAITS {
            return FIRST_WAIT;
        }
        let mut sorted: Vec<_> = self.0.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let p90 = sorted[(sorted.len() * 9).div_ceil(10) - 1];
        let wait = SignedDuration::try_from_secs_f64(1.5 * p90).unwrap_or(LONGEST_WAIT);
        wait.clamp(LEAST_WAIT, LONGEST_WAIT)
    }

    fn learn(&mut self, wait: SignedDuration) {
        self.0.push_back(wait.as_secs_f64().max(0.0));
        if self.0.len() > WAITS {
            self.0.pop_front();
        }
    }
}

impl Attempts {
    /// Attempts of a process that knows how long room was waited for before.
    #[must_use]
    pub fn with_waits(waits: Waits) -> Self {
        Self { waits, ..Self::default() }
    }

    /// How long room was waited for.
    #[must_use]
    pub const fn waits(&self) -> &Waits {
        &self.waits
    }

    /// Looks at the pods of a tick: forgets those that are gone, and learns how long room was waited for.
    pub fn observe<'a>(&mut self, pods: impl Iterator<Item = &'a PodFacts> + Clone, now: Timestamp) {
        self.pods.retain(|uid, _| pods.clone().any(|p| *p.uid == **uid));
        self.denied.retain(|d| now.duration_since(d.at) < PATIENCE);
        let before = std::mem::take(&mut self.deferred);
        for pod in pods.filter(|p| p.counts()) {
            let known = before.get(&*pod.uid).filter(|(_, generation)| *generation == pod.generation);
            match pod.resize {
                ResizeState::Deferred => {
                    let since = known.map_or(pod.resize_since.unwrap_or(now), |(since, _)| *since);
                    self.deferred.insert(pod.uid.to_string(), (since, pod.generation));
                }
                ResizeState::None | ResizeState::InProgress => {
                    if let Some((since, _)) = known {
                        self.waits.learn(now.duration_since(*since));
                    }
                }
                ResizeState::Infeasible | ResizeState::Error => {}
            }
            if pod.resize == ResizeState::None
                && let Some(attempt) = self.pods.get_mut(&*pod.uid)
                && attempt.last.is_some_and(|last| now.duration_since(last) > LONGEST_PATIENCE)
            {
                attempt.withdrawn = 0;
            }
        }
    }

    /// Since when a pod's resize is deferred, as far as it was seen.
    pub(super) fn deferred_since(&self, pod: &PodFacts) -> Option<Timestamp> {
        self.deferred.get(&*pod.uid).map(|(since, _)| *since)
    }

    /// Notes a resize that the API server took.
    pub fn taken(&mut self, resize: &PodResize, now: Timestamp) {
        let attempt = self.pods.entry(resize.uid.clone()).or_default();
        attempt.last = Some(now);
        match resize.kind {
            ResizeKind::Trim => attempt.trims.push_back(now),
            ResizeKind::Withdraw => attempt.withdrawn += 1,
            ResizeKind::Grow => {}
        }
        while attempt.trims.front().is_some_and(|t| now.duration_since(*t) > DAY) {
            attempt.trims.pop_front();
        }
    }

    /// Notes a resize that was refused, and by which rule; answers whether that is news.
    pub fn refused(
        &mut self,
        resize: &PodResize,
        denial: Option<Denial>,
        message: &str,
        quota_left: Option<Resources>,
        now: Timestamp,
    ) -> bool {
        let uid = Some(resize.uid.clone()).filter(|_| !denial.is_some_and(Denial::is_of_the_namespace));
        let news = !self.denied.iter().any(|d| d.denial == denial && d.message == message);
        self.denied.retain(|d| !(d.uid == uid && d.ask == resize.containers));
        let ask = resize.containers.clone();
        self.denied.push(Denied { ask, uid, denial, at: now, quota_left, message: message.to_owned() });
        news
    }

    /// Whether the same ask was refused a moment ago, and nothing has changed that would let it pass.
    #[must_use]
    pub fn stands_refused(&self, resize: &PodResize, quota_left: Option<Resources>, now: Timestamp) -> bool {
        self.refusal(resize, quota_left, now).is_some()
    }

    /// The refusal that stands against an ask: its rule, and the sentence.
    pub(super) fn refusal(
        &self,
        resize: &PodResize,
        quota_left: Option<Resources>,
        now: Timestamp,
    ) -> Option<(Option<Denial>, &str)> {
        let stands = self.denied.iter().find(|d| {
            let same = d.uid.as_ref().is_none_or(|uid| *uid == resize.uid) && d.ask == resize.containers;
            let more_quota = d.denial == Some(Denial::Quota) && has_more(quota_left, d.quota_left);
            same && now.duration_since(d.at) < PATIENCE && !more_quota
        })?;
        Some((stands.denial, stands.message.as_str()))
    }

    /// Whether growth is refused by a rule of the namespace, which the next pod would meet as well.
    pub(super) fn refused_everywhere(&self) -> bool {
        self.denied.iter().any(|d| d.uid.is_none())
    }

    /// Whether the API server knows that the pod's node could never hold what was asked for.
    pub(super) fn beyond_its_node(&self, pod: &PodFacts) -> bool {
        self.denied.iter().any(|d| d.denial == Some(Denial::NodeCapacity) && d.uid.as_deref() == Some(&*pod.uid))
    }

    /// When an infeasible ask may be asked again.
    pub(super) fn asks_again(&self, pod: &PodFacts) -> Option<Timestamp> {
        let attempt = self.pods.get(&*pod.uid);
        let last = attempt.and_then(|a| a.last).or(pod.resize_since)?;
        let doubled = 1_i32 << attempt.map_or(0, |a| a.withdrawn).min(8);
        Some(last + (PATIENCE * doubled).min(LONGEST_PATIENCE))
    }

    /// Whether this is the time to ask.
    pub(super) fn due(&self, pod: &PodFacts, resize: &PodResize, trims_a_day: u32, now: Timestamp) -> bool {
        let attempt = self.pods.get(&*pod.uid);
        let waited = attempt.and_then(|a| a.last).is_none_or(|last| now.duration_since(last) >= PATIENCE);
        match (resize.kind, pod.resize) {
            // What is smaller than the pending ask may find room, what is larger waits its turn; memory after a kill never does.
            (ResizeKind::Grow, ResizeState::Deferred) => resize.relieves || resize.killed || waited,
            (ResizeKind::Grow | ResizeKind::Withdraw, _) => true,
            (ResizeKind::Trim, ResizeState::InProgress | ResizeState::Error) => false,
            (ResizeKind::Trim, _) => {
                let spent = attempt.map_or(0, |a| a.trims.iter().filter(|t| now.duration_since(**t) < DAY).count());
                spent < usize::try_from(trims_a_day).unwrap_or(usize::MAX)
            }
        }
    }
}

/// Whether more is left of a quota than was.
fn has_more(now: Option<Resources>, then: Option<Resources>) -> bool {
    match (now, then) {
        (Some(now), Some(then)) => now.cpu_cores > then.cpu_cores || now.memory_bytes > then.memory_bytes,
        (now, then) => now.is_none() && then.is_some(),
    }
}

#[cfg(test)]
#[path = "attempts/tests.rs"]
mod tests;
