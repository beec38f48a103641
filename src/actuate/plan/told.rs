//! What people are told of resizes: one reason, and a sentence for each thing that keeps pods from their size. Pure.
//!
//! It goes into the condition `Limited`. What passes by itself within a minute is not told.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::{Attempts, Disruptions, Evictions, LeftAlone, Undo, Wanted, lacks, resize_of, size, stuck};
use crate::{decide::ResizeState, observe::kubernetes::PodFacts, policy::ResizeStrategy};

/// A resize that is on its way is not told before this: most deferred ones find room, and most errors pass.
const TOLD_AFTER: SignedDuration = SignedDuration::from_mins(1);
/// Sentences at most.
const MOST: usize = 3;

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// One word in CamelCase: what weighs most.
    pub reason: &'static str,
    /// Sentences.
    pub message: String,
}

/// What is told after a tick's requests.
#[must_use]
pub fn told(
    pods: &[&PodFacts],
    wanted: Wanted<'_>,
    attempts: &Attempts,
    evictions: &Evictions,
    undo: &Undo,
    now: Timestamp,
) -> Option<Told> {
    let all = pods.iter().filter(|p| p.counts()).count();
    let pods: Vec<_> = pods.iter().copied().filter(|p| p.counts()).collect();
    let mut said: Vec<(&'static str, String)> = Vec::new();
    // What nobody asks for any more is not told.
    let asked = pods.iter().filter_map(|pod| resize_of(pod, wanted, size::Restarts::Allowed));
    let mut refused =
        asked.filter_map(|ask| attempts.refusal(&ask, wanted.quota_left, now).map(|(d, m)| (d, m.to_owned())));
    if let Some((denial, message)) = refused.next() {
        said.push((denial.map_or("ResizeRefused", crate::actuate::Denial::reason), message));
    }
    let recreate = wanted.policy.resize.strategy == ResizeStrategy::InPlaceOrRecreate;
    if recreate {
        said.extend(evicting(&pods, wanted, attempts, evictions, now));
    }
    said.extend(pending(&pods, (all, recreate), attempts, now));
    said.extend(undo.reasons(now).into_iter().map(|why| ("ResizeUndone", why)));
    said.extend(left_alone(&pods, all, wanted));
    said.extend(kept(&pods, all, wanted, recreate));
    let reason = said.first()?.0;
    let message = said.into_iter().take(MOST).map(|(_, words)| words).collect::<Vec<_>>().join("; ");
    Some(Told { reason, message })
}

/// What holds evictions back.
fn evicting(
    pods: &[&PodFacts],
    wanted: Wanted<'_>,
    attempts: &Attempts,
    evictions: &Evictions,
    now: Timestamp,
) -> Option<(&'static str, String)> {
    let stuck = stuck(pods, wanted, attempts, now);
    let (pod, _) = stuck.first()?;
    if let Some(message) = evictions.held() {
        return Some(("EvictionHeld", message.to_owned()));
    }
    if let Some((cause, until)) = evictions.rests(now) {
        let until = until.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M UTC");
        let words = format!(
            "a pod that was evicted because its node {} came back no better: none is evicted for that before {until}",
            cause.words()
        );
        return Some(("EvictionInVain", words));
    }
    let down = Disruptions::of(&wanted.policy.resize, pods.iter().copied(), wanted.replicas);
    if stuck.len() == 1 && down.spares(pod.ready()) {
        let words = format!(
            "pod {} is the only ready one and is not evicted: write spec.resize.maxUnavailable: 1 to allow it",
            pod.name
        );
        return Some(("EvictionOfTheLast", words));
    }
    let words = format!(
        "{} of {} pods wait to be evicted, as many at once as spec.resize.maxUnavailable allows",
        stuck.len(),
        pods.len()
    );
    Some(("EvictionWaits", words))
}

/// Resizes that nodes have not granted.
fn pending(
    pods: &[&PodFacts],
    (all, recreate): (usize, bool),
    attempts: &Attempts,
    now: Timestamp,
) -> Vec<(&'static str, String)> {
    let of = |state: ResizeState, least: SignedDuration| {
        let since = |p: &&&PodFacts| attempts.deferred_since(p).or(p.resize_since);
        let long = pods.iter().filter(|p| p.resize == state).filter(|p| {
            least == SignedDuration::ZERO || since(p).is_some_and(|since| now.duration_since(since) >= least)
        });
        let ages: Vec<_> = long.map(|p| since(&p).map_or(SignedDuration::ZERO, |s| now.duration_since(s))).collect();
        ages.iter().max().map(|oldest| (ages.len(), minutes(*oldest)))
    };
    let mut said = Vec::new();
    if let Some((n, _)) = of(ResizeState::Infeasible, SignedDuration::ZERO) {
        let then = if recreate {
            "they are evicted"
        } else {
            "another size is asked for at once, the same one again after 5 min, then less and less often; more replicas carry \
             what is missing, and spec.resize.strategy InPlaceOrRecreate evicts such pods"
        };
        said.push((
            "ResizeInfeasible",
            format!("{n} of {all} pods cannot have their size on their nodes (Infeasible): {then}"),
        ));
    }
    if let Some((n, oldest)) = of(ResizeState::Error, TOLD_AFTER) {
        let then = if recreate {
            "after 5 min they are evicted"
        } else {
            "the condition PodResizeInProgress of the pods says why"
        };
        said.push((
            "ResizeFails",
            format!("the kubelet has failed to resize {n} of {all} pods for {oldest} and tries again: {then}"),
        ));
    }
    if let Some((n, oldest)) = of(ResizeState::Deferred, TOLD_AFTER) {
        let wait = minutes(attempts.waits().patience());
        let then = if recreate {
            format!("those that have waited for {wait} are evicted")
        } else {
            "more replicas carry what is missing".to_owned()
        };
        let words = format!(
            "{n} of {all} pods have waited for room on their nodes for {oldest} (Deferred): the kubelet tries again by \
             itself, and {then}"
        );
        said.push(("ResizeDeferred", words));
    }
    said
}

/// Pods that nothing can resize.
fn left_alone(pods: &[&PodFacts], all: usize, wanted: Wanted<'_>) -> Vec<(&'static str, String)> {
    let mut counts: BTreeMap<LeftAlone, usize> = BTreeMap::new();
    for pod in pods {
        let why = LeftAlone::of(pod).filter(|why| *why == LeftAlone::BestEffort || lacks(pod, wanted));
        if let Some(why) = why {
            *counts.entry(why).or_default() += 1;
        }
    }
    let said = counts
        .into_iter()
        .map(|(why, n)| ("NotResizable", format!("{n} of {all} pods are left as they are: {}", why.words())));
    said.collect()
}

/// Containers that would have to restart.
fn kept(pods: &[&PodFacts], all: usize, wanted: Wanted<'_>, recreate: bool) -> Option<(&'static str, String)> {
    let restarts = if recreate { size::Restarts::Allowed } else { size::Restarts::Forbidden };
    let mut names = BTreeSet::new();
    let mut n = 0;
    for pod in pods.iter().filter(|p| LeftAlone::of(p).is_none()) {
        let sizes = size::sizes(pod, wanted, restarts).unwrap_or_default();
        let kept: Vec<_> = pod.containers.iter().zip(&sizes).filter(|(_, s)| s.kept || s.restarts).collect();
        n += usize::from(!kept.is_empty());
        names.extend(kept.into_iter().map(|(c, _)| &*c.name));
    }
    let names = names.into_iter().collect::<Vec<_>>().join(", ");
    let words = if recreate {
        "restarts for it, as many pods at once as spec.resize.maxUnavailable allows"
    } else {
        "would restart for it (resizePolicy RestartContainer) and is left as it is: spec.resize.strategy InPlaceOrRecreate \
         restarts it to grow"
    };
    (n > 0).then(|| {
        ("ResizeRestarts", format!("{n} of {all} pods have another size than decided: container {names} {words}"))
    })
}

fn minutes(span: SignedDuration) -> String {
    if span < SignedDuration::from_mins(2) {
        format!("{} s", span.as_secs().max(0))
    } else {
        format!("{} min", span.as_mins())
    }
}

#[cfg(test)]
#[path = "told/tests.rs"]
mod tests;
