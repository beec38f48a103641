//! What must hold in every history, judged from the versions of its objects and from the audit log, never from what
//! arbiter says; but for the last, which compares what it says with what is.
//!
//! Each answers with sentences; none means that it holds.

use std::{collections::BTreeMap, time::Duration};

use arbiter::takeover::Saved;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{
    history::{History, Steps, Variant, conditions, rival},
    record::{Kind, Versions},
    sites::Site,
};
use crate::support::AuditEvent;

/// Manager of the fields that arbiter writes, and of those that the HPA controller does.
const OURS: &str = "arbiter";
const HPA_CONTROLLER: &str = "kube-controller-manager";

/// Up to which age a sample of Prometheus is fresh (`observe::signals::judge::PROMETHEUS_LIMITS`), and what may pass from a decision until the API server
/// has its status: the target's reads, a write's timeout, and the wait for room among all writes until the next tick.
const FRESH: SignedDuration = SignedDuration::from_secs(30);
const ON_ITS_WAY: SignedDuration = SignedDuration::from_secs(15);

/// A status that is written so long after a signal was lost rests on what was read since: it is read and decided on every
/// 5 s, an answer is waited for for 3 s, and so is the write's.
const NOTICED: SignedDuration = SignedDuration::from_secs(16);

/// All of them on one history.
pub(super) fn judge(history: &History, versions: &Versions, steps: Steps) -> Vec<String> {
    let mut wrong = one_owner(versions);
    wrong.extend(originals(versions));
    wrong.extend(count_stays(versions, steps));
    if history.variant != Variant::Evicted {
        wrong.extend(sizes_stay(versions));
    }
    wrong.extend(status_true(versions, steps));
    wrong.into_iter().map(|what| format!("{}: {what}", history.namespace)).collect()
}

fn count(object: &Value) -> u64 {
    object["spec"]["replicas"].as_u64().unwrap_or_default()
}

/// Who owns the count of a Deployment, by its managed fields.
fn manager(object: &Value) -> Option<&str> {
    let fields = object["metadata"]["managedFields"].as_array()?.iter();
    let mut owners = fields.filter(|entry| !entry["fieldsV1"]["f:spec"]["f:replicas"].is_null());
    owners.next()?["manager"].as_str()
}

/// Writes of the count: revision, manager, from, to.
fn writes(versions: &Versions) -> Vec<(u64, String, u64, u64)> {
    let all = versions.of(Kind::Deployment);
    let changes = all.iter().zip(all.iter().skip(1)).filter_map(|(before, after)| {
        let (old, new) = (count(before.object.as_ref()?), count(after.object.as_ref()?));
        let who = manager(after.object.as_ref()?).unwrap_or_default().to_owned();
        (old != new).then_some((after.at, who, old, new))
    });
    changes.collect()
}

/// Never two owners: arbiter writes the count only while the HPA is inert, the HPA only while it is not, or before arbiter
/// wrote.
fn one_owner(versions: &Versions) -> Vec<String> {
    let inert = |at| versions.at(Kind::Hpa, at).is_none_or(|hpa| rival(hpa).inert());
    let writes = writes(versions);
    let mut wrong = Vec::new();
    for (at, who, from, to) in &writes {
        if who == OURS && !inert(*at) {
            wrong.push(format!("one owner: at {at} arbiter wrote {from} → {to} while the HPA was active"));
        }
        let down_since = versions.of(Kind::Hpa).iter().filter(|version| version.at <= *at).rev();
        let down_since = down_since.take_while(|v| v.object.as_ref().is_some_and(|hpa| rival(hpa).inert())).last();
        let ours_before = |since: u64| writes.iter().any(|(w, who, ..)| who == OURS && *w > since && w < at);
        if who == HPA_CONTROLLER && down_since.is_some_and(|version| ours_before(version.at)) {
            wrong.push(format!("one owner: at {at} the HPA wrote {from} → {to} although it was stood down"));
        }
    }
    wrong
}

/// The HPA can be given back as it was, at every moment: it is as it was, or its annotation says how it was.
fn originals(versions: &Versions) -> Vec<String> {
    let all = versions.of(Kind::Hpa);
    let Some(first) = all.first().and_then(|version| version.object.as_ref()) else { return Vec::new() };
    let original = rival(first).original();
    let mut wrong = Vec::new();
    for version in all {
        let Some(object) = &version.object else { continue };
        let (at, now) = (version.at, rival(object));
        match now.saved() {
            Err(why) => wrong.push(format!("original: at {at} the annotation cannot be read: {why}")),
            Ok(None) if now.original() != original => {
                wrong.push(format!("original: at {at} nothing says what it was, and it is {}", now.original()));
            }
            Ok(Some(Saved { original: saved, .. })) if saved != original => {
                wrong.push(format!("original: at {at} the annotation says {saved}"));
            }
            Ok(_) => {}
        }
    }
    wrong
}

/// The load never falls before the last step, however little is known of it: so the count may not either.
fn count_stays(versions: &Versions, steps: Steps) -> Vec<String> {
    let held = |at: u64| steps.may_shrink_from.is_none_or(|from| at <= from);
    let ours = writes(versions).into_iter().filter(|(at, who, from, to)| held(*at) && who == OURS && to < from);
    ours.map(|(at, _, from, to)| format!("shrink: at {at} arbiter wrote {from} → {to} under full load")).collect()
}

/// Nor may a pod's size. (What a node can never hold is taken back; where that happens this is not asked.)
fn sizes_stay(versions: &Versions) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut sizes = BTreeMap::new();
    for version in versions.of(Kind::Pod) {
        let Some(pod) = &version.object else { continue };
        let cpu = super::plant::requested(pod);
        let before = sizes.insert(&version.name, cpu);
        if before.is_some_and(|before| cpu < before) {
            wrong.push(format!("shrink: at {} pod {} went from {before:?} to {cpu} cores", version.at, version.name));
        }
    }
    wrong
}

/// When arbiter wrote a policy's status last.
fn told(policy: &Value) -> Option<Timestamp> {
    let fields = policy["metadata"]["managedFields"].as_array()?.iter();
    let status = |entry: &&Value| entry["manager"] == OURS && entry["subresource"] == "status";
    fields.filter(status).filter_map(|entry| entry["time"].as_str()?.parse().ok()).max()
}

/// What a status claims when it is written is so.
fn status_true(versions: &Versions, steps: Steps) -> Vec<String> {
    let all = versions.of(Kind::Policy);
    let mut wrong = Vec::new();
    for (before, after) in all.iter().zip(all.iter().skip(1)) {
        let (Some(old), Some(new)) = (&before.object, &after.object) else { continue };
        if old["status"] == new["status"] {
            continue;
        }
        let says = conditions(new);
        let controls = says.get("InControl").is_some_and(|said| said.starts_with("True"));
        let hpa = versions.at(Kind::Hpa, after.at).map(rival);
        if controls && hpa.as_ref().is_some_and(|hpa| !hpa.inert()) {
            wrong.push(format!("status: at {} InControl is True while the HPA is active", after.at));
        }
        let fresh = says.get("SignalsFresh").is_some_and(|said| said.starts_with("True"));
        if let Some(why) = told(new).filter(|_| fresh).and_then(|at| stale(new, at, steps)) {
            wrong.push(format!("status: at {} SignalsFresh is True, {why}", after.at));
        }
        let seen = new["status"]["observedGeneration"].as_i64();
        if seen > new["metadata"]["generation"].as_i64() {
            wrong.push(format!("status: at {} it has observed {seen:?}, which is not there", after.at));
        }
    }
    wrong
}

/// Why signals cannot be as fresh as a status claims that was written then: while the signal is lost nothing is known but what
/// was sampled before, and that grows old.
fn stale(policy: &Value, written: Timestamp, steps: Steps) -> Option<String> {
    // The API server keeps whole seconds.
    let second = SignedDuration::from_secs(1);
    let dark = steps.dark.filter(|[_, to]| written + second <= *to);
    if let Some([from, _]) = dark.filter(|[from, _]| *from + NOTICED <= written) {
        return Some(format!("at {written}, and it is lost since {from}"));
    }
    let sampled = policy["status"]["signals"].as_array()?.iter();
    let oldest: Timestamp = sampled.filter_map(|signal| signal["sampleTime"].as_str()?.parse().ok()).min()?;
    if written.duration_since(oldest) > FRESH + ON_ITS_WAY {
        return Some(format!("and its sample of {oldest} was old at {written}"));
    }
    let unseen = dark.filter(|[from, _]| oldest > *from + second);
    unseen.map(|[from, _]| format!("and its sample of {oldest} cannot have been seen: lost since {from}"))
}

/// No write rests on a claim that had run out: each comes after a renewal of the lease that is young enough. `margin` is
/// the renew deadline and the longest that a write may be on its way.
pub(super) fn fenced(events: &[AuditEvent], margin: Duration) -> Vec<String> {
    let margin = SignedDuration::try_from(margin).expect("some seconds");
    let mut renewed = None;
    let mut wrong = Vec::new();
    let mut ordered: Vec<&AuditEvent> = events.iter().filter(|event| event.writes()).collect();
    ordered.sort_by_key(|event| event.received);
    for event in ordered {
        let Some(at) = event.received else { continue };
        if event.resource == "leases" {
            renewed = if event.code < 300 { Some(at) } else { renewed };
        } else if renewed.is_none_or(|renewed| at.duration_since(renewed) > margin) {
            wrong.push(format!(
                "lease: {} {} {}/{} came {:?} after the last renewal",
                event.verb,
                event.resource,
                event.namespace,
                event.name,
                renewed.map(|renewed| at.duration_since(renewed))
            ));
        }
    }
    wrong
}

/// Every write that the API server saw is one that a site names.
pub(super) fn named(events: &[AuditEvent]) -> Vec<String> {
    let known: Vec<_> = Site::ALL.iter().map(|site| site.audited()).collect();
    let writes = events.iter().filter(|event| event.writes());
    let unknown = writes.filter(|event| !known.contains(&(event.verb.as_str(), event.resource.as_str())));
    unknown.map(|event| format!("no site names {} of {}", event.verb, event.resource)).collect()
}

#[cfg(test)]
#[path = "oracles/tests.rs"]
mod tests;
