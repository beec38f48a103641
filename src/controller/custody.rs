//! I/O: Who owns a workload: the protocol of [`crate::takeover`] carried out for one policy, write by write.
//!
//! What is seen comes from the watches, since every write is conditional on the version that was seen. An answer to a
//! write is kept in the index at once, so that the next step need not wait for the watch. After a change of leader nothing
//! is done before policies and autoscalers were listed anew.
//!
//! It must not decide anything about the workload: it says what may be written to it ([`Custody::licence`]).

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use tokio::{sync::Semaphore, time::Instant};

use crate::{
    actuate::{Gate, ScaleIntent, WriteError, WriteKind, Writer},
    api::DisplacedStatus,
    observe::kubernetes::{Cluster, PolicyObject, TargetError, Targets},
    policy::{self, Mode, PolicyKey},
    takeover::{self, Act, Kind, Outcome, Reason, Rival, Seen, Sides, Step, Target, TargetRef, Write},
    units::Replicas,
};

/// Writes of one policy in one tick: finalizer, then saving and standing down of two rivals, with as many conflicts. What
/// is left comes with the next tick.
const STEPS: usize = 12;

/// Pause after a conflict: the watch brings the newer version within some tens of milliseconds.
const CONFLICT_PAUSE: Duration = Duration::from_millis(50);

/// How long before its next sync an HPA is stood down: the write and the controller's watch take some tens of
/// milliseconds, some hundred on a loaded API server; the sync's own time varies by less. Longer is time without an owner.
const LEAD: Duration = Duration::from_millis(400);

/// The longest wait inside a tick, for the moment and then for the sync after it.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often the index is looked at during such a wait.
const GLANCE: Duration = Duration::from_millis(10);

/// Policies that may wait like that at a time: they hold places among the ticks that run side by side.
const WAITING: usize = 4;

/// What takeovers share.
#[derive(Debug)]
pub struct Turnstile(Semaphore);

impl Default for Turnstile {
    fn default() -> Self {
        Self(Semaphore::new(WAITING))
    }
}

/// What a takeover needs of the world.
#[derive(Clone, Copy)]
pub struct Hands<'a> {
    /// The watched cluster.
    pub cluster: &'a Cluster,
    /// Reader of targets.
    pub targets: &'a Targets,
    /// Sender of writes.
    pub writer: &'a Writer,
    /// Reader of what is not watched.
    pub client: &'a Client,
    /// Place to wait.
    pub turnstile: &'a Turnstile,
}

/// What is to become of a policy's workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// What the mode says.
    Mode,
    /// Given back: another policy was there first for the target.
    Outranked,
    /// Given back whatever the mode.
    Release,
    /// Given back: there is no such policy any more (asked of the API server, not of a watch).
    Orphaned,
}

/// What a policy says of ownership.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Whose.
    pub key: &'a PolicyKey,
    /// What it means; none when it cannot be read.
    pub policy: Option<&'a policy::Policy>,
    /// What is to become of it.
    pub aim: Aim,
    /// Whether anything is written; else it is only looked.
    pub writes: bool,
}

/// A reason and a sentence.
pub type Said = (&'static str, String);

/// Who owns a workload, as far as was found out.
#[derive(Clone, Debug, Default)]
pub struct Custody {
    /// What may be written to the workload.
    pub licence: Sides,
    /// Why it is not in our hands although it should be, or not given back.
    pub obstacle: Option<Said>,
    /// A write that failed, to be counted.
    pub error: Option<WriteError>,
    /// What mode Auto would do to other autoscalers, while the mode is Recommend.
    pub preview: Option<String>,
    /// Whether it was found out who owns the workload now; else what was said before stands.
    pub known: bool,
    /// What is displaced for the policy.
    pub displaced: Vec<DisplacedStatus>,
    /// Look again then.
    pub again: Option<Instant>,
    /// What it came to; none while something is still to be done.
    pub outcome: Option<Outcome>,
    /// Writes that were carried out, in order, as words.
    pub done: Vec<String>,
}

/// Carries the protocol out as far as it goes now.
pub async fn advance(hands: Hands<'_>, wanted: Wanted<'_>) -> Custody {
    let mut custody = Custody::default();
    for _ in 0..STEPS {
        let Some((seen, looked)) = look(hands, wanted).await else { return custody };
        let (seen, step) = match with_target(hands, wanted.key, seen).await {
            Ok(known) => known,
            Err(obstacle) => return Custody { obstacle: Some(obstacle), known: true, ..custody },
        };
        custody.displaced = displaced(&seen, wanted.key);
        let Step::Write(write) = step else { return settled(custody, &seen, step) };
        if !wanted.writes || !hands.writer.leads() {
            return custody;
        }
        if let Some(left) = moment(hands, wanted.key, &write, looked) {
            let Some(_place) = hands.turnstile.0.try_acquire().ok().filter(|_| left <= PATIENCE) else {
                return postponed(custody, &write, looked + left.saturating_sub(PATIENCE / 2));
            };
            tokio::time::sleep(left).await;
        }
        match carry_out(hands, wanted.key, &write, Gate { mode: mode(wanted), seen: looked }).await {
            Ok(()) => custody.done.push(words(&write)),
            Err(WriteError::Conflict { .. } | WriteError::Replaced { .. } | WriteError::Foreign { .. }) => {
                tokio::time::sleep(CONFLICT_PAUSE).await;
                continue;
            }
            Err(error) => return failed(custody, error),
        }
        if matches!(&write, Write::Rival { act: Act::StandDown, .. }) {
            until_quiet(hands, wanted).await;
        }
    }
    custody
}

/// Waits until the controller of what was just stood down has seen it, for a while: the sooner that is known, the shorter
/// the time without an owner.
async fn until_quiet(hands: Hands<'_>, wanted: Wanted<'_>) {
    let began = Instant::now();
    let Ok(_place) = hands.turnstile.0.try_acquire() else { return };
    while began.elapsed() < PATIENCE {
        let Some((seen, _)) = look(hands, wanted).await else { return };
        let waits = matches!(takeover::next(&seen), Step::Wait(refusal) if refusal.reason == Reason::StandingDown);
        if !waits || takeover::licence(&seen).replicas {
            return;
        }
        tokio::time::sleep(GLANCE).await;
    }
}

fn mode(wanted: Wanted<'_>) -> Mode {
    wanted.policy.map_or(Mode::Recommend, |policy| policy.mode)
}

/// What is seen of a policy's surroundings, and when it was looked at; none while that is not known.
async fn look(hands: Hands<'_>, wanted: Wanted<'_>) -> Option<(Seen, Instant)> {
    let now = Instant::now();
    let seen = {
        let index = hands.cluster.read();
        if !index.current() {
            return None;
        }
        let object = if wanted.aim == Aim::Orphaned { None } else { Some(index.policy(wanted.key)?) };
        let target = object.and_then(|object| object.spec.target.clone());
        Seen {
            rivals: index.rivals().around(wanted.key, target.as_ref(), now),
            blind: index.rivals().blind(&wanted.key.namespace),
            policy: object.map(|object| facts(object, target, wanted)),
            namespace_going: false,
            target: Target::default(),
        }
    };
    let deleting = seen.policy.as_ref().is_none_or(|policy| policy.deleting);
    let going = deleting && namespace_going(hands.client, &wanted.key.namespace).await;
    Some((Seen { namespace_going: going, ..seen }, now))
}

fn facts(object: &PolicyObject, target: Option<TargetRef>, wanted: Wanted<'_>) -> takeover::Policy {
    let meta = &object.metadata;
    let levers = wanted.policy.map(|policy| policy.levers);
    takeover::Policy {
        name: wanted.key.name.clone(),
        uid: meta.uid.clone().unwrap_or_default(),
        born: meta.creation_timestamp.as_ref().map_or(0, |t| t.0.as_second()),
        resource_version: meta.resource_version.clone().unwrap_or_default(),
        generation: meta.generation.unwrap_or_default(),
        mode: if wanted.aim == Aim::Release { Some(Mode::Recommend) } else { wanted.policy.map(|policy| policy.mode) },
        deleting: meta.deletion_timestamp.is_some(),
        outranked: wanted.aim == Aim::Outranked,
        finalizers: meta.finalizers.clone().unwrap_or_default(),
        levers: levers
            .map_or(Sides::BOTH, |levers| Sides { replicas: levers.replicas, sizes: levers.cpu || levers.memory }),
        target: target.unwrap_or(TargetRef { kind: String::new(), name: String::new() }),
        force: wanted.policy.is_some_and(|policy| policy.takes_over_from_git),
    }
}

/// Whether a namespace is being deleted. Where that cannot be asked it counts as staying: giving back in a namespace that
/// goes away costs a write and harms nothing.
async fn namespace_going(client: &Client, namespace: &str) -> bool {
    let namespaces = Api::<Namespace>::all(client.clone());
    let read = tokio::time::timeout(crate::actuate::WRITE_TIMEOUT, namespaces.get(namespace)).await;
    matches!(read, Ok(Ok(found)) if found.metadata.deletion_timestamp.is_some())
}

/// The next step, with the target's count where giving back needs it. The error is an obstacle.
async fn with_target(hands: Hands<'_>, key: &PolicyKey, seen: Seen) -> Result<(Seen, Step), Said> {
    let step = takeover::next(&seen);
    let Step::Write(Write::Rival { act: Act::Restore, kind, object }) = &step else { return Ok((seen, step)) };
    if kind.sizes() {
        return Ok((seen, step));
    }
    let rival = Rival { kind: *kind, object: object.clone(), quiet: true };
    let Some(target) = full_target(&rival) else { return Ok((seen, step)) };
    let target = match hands.targets.read(&key.namespace, &target).await {
        Ok(facts) => Target { uid: Some(facts.scale.uid), replicas: Some(facts.scale.replicas.0) },
        Err(error @ TargetError::Unreadable { .. }) => return Err(("TargetUnreadable", error.to_string())),
        // Gone, or nothing that has a count: there is nothing to bring inside.
        Err(_) => Target::default(),
    };
    let seen = Seen { target, ..seen };
    let step = takeover::next(&seen);
    Ok((seen, step))
}

/// The target of an autoscaler with its API version, as discovery needs it.
fn full_target(rival: &Rival) -> Option<policy::Target> {
    let TargetRef { kind, name } = rival.target()?;
    let at = if rival.kind == Kind::Vpa { "/spec/targetRef/apiVersion" } else { "/spec/scaleTargetRef/apiVersion" };
    let version = rival.object.pointer(at).and_then(serde_json::Value::as_str).filter(|text| !text.is_empty());
    Some(policy::Target { api_version: version.unwrap_or("apps/v1").to_owned(), kind, name })
}

fn displaced(seen: &Seen, key: &PolicyKey) -> Vec<DisplacedStatus> {
    let ours = |rival: &&Rival| rival.saved().ok().flatten().is_some_and(|saved| saved.stamp.policy == key.name);
    let status =
        |rival: &Rival| DisplacedStatus { kind: rival.kind.as_str().to_owned(), name: rival.name().to_owned() };
    seen.rivals.iter().filter(ours).map(status).collect()
}

/// Nothing more to write now.
fn settled(mut custody: Custody, seen: &Seen, step: Step) -> Custody {
    custody.known = true;
    custody.licence = takeover::licence(seen);
    match step {
        Step::Wait(refusal) | Step::Refused(refusal) => {
            custody.obstacle = Some((refusal.reason.as_str(), refusal.message));
        }
        Step::Done(outcome) => custody.outcome = Some(outcome),
        Step::Write(_) => {}
    }
    custody.preview = takeover::preview(seen);
    custody
}

/// Time until an HPA should be stood down; none: now.
fn moment(hands: Hands<'_>, key: &PolicyKey, write: &Write, now: Instant) -> Option<Duration> {
    let Write::Rival { act: Act::StandDown, kind: Kind::Hpa, object } = write else { return None };
    let name = object["metadata"]["name"].as_str()?.to_owned();
    let sync = hands.cluster.read().rivals().next_sync(&(key.namespace.clone(), Kind::Hpa, name), now)?;
    sync.checked_sub(LEAD).filter(|left| !left.is_zero())
}

/// A write that did not happen. Nobody may take the workload for ours because of it; a missing right is said by whoever
/// counts the error.
fn failed(custody: Custody, error: WriteError) -> Custody {
    let (known, obstacle) = match &error {
        // Held back here: nothing was found out.
        WriteError::Dropped { .. } => (false, None),
        WriteError::Forbidden { .. } => (true, None),
        _ => (true, Some(("WriteFailed", error.to_string()))),
    };
    Custody { obstacle, error: Some(error), known, ..custody }
}

fn postponed(mut custody: Custody, write: &Write, again: Instant) -> Custody {
    custody.known = true;
    custody.again = Some(again);
    if let Write::Rival { kind, object, .. } = write {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let message = format!(
            "{} {name} is stood down shortly before its next sync, so that the workload is not without an owner for long",
            kind.as_str()
        );
        custody.obstacle = Some((Reason::StandingDown.as_str(), message));
    }
    custody
}

async fn carry_out(hands: Hands<'_>, key: &PolicyKey, write: &Write, gate: Gate) -> Result<(), WriteError> {
    match write {
        Write::Rival { act, kind, object } => {
            let now_is = hands.writer.rival(*act, *kind, object, gate).await?;
            hands.cluster.write().rivals_mut().keep_newer(*kind, now_is, Instant::now());
            Ok(())
        }
        Write::Finalizers { resource_version, finalizers } => {
            let version = hands.writer.finalizers(key, resource_version, finalizers, gate).await?;
            hands.cluster.write().keep_finalizers(key, version, finalizers.clone());
            Ok(())
        }
        Write::BringInside { uid, from, to } => bring_inside(hands, key, (uid, *from, *to), gate).await,
    }
}

async fn bring_inside(
    hands: Hands<'_>,
    key: &PolicyKey,
    (uid, from, to): (&str, u32, u32),
    gate: Gate,
) -> Result<(), WriteError> {
    let Some(target) = restored_target(hands, key) else { return Ok(()) };
    let read = hands.targets.read(&key.namespace, &target).await;
    let facts = read.map_err(|error| WriteError::Failed { what: "the count".into(), cause: error.to_string() })?;
    let intent = ScaleIntent {
        resource: &facts.resource,
        namespace: &key.namespace,
        name: &target.name,
        uid,
        from: Replicas(from),
        to: Replicas(to),
        kind: WriteKind::Takeover,
    };
    hands.writer.scale(&intent, gate).await
}

/// The target of what is displaced for a policy, and moves its count.
fn restored_target(hands: Hands<'_>, key: &PolicyKey) -> Option<policy::Target> {
    let index = hands.cluster.read();
    let rivals = index.rivals().around(key, None, Instant::now());
    rivals.iter().filter(|rival| !rival.kind.sizes()).find_map(full_target)
}

fn words(write: &Write) -> String {
    match write {
        Write::Rival { act, kind, object } => {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let act = match act {
                Act::Save => "saved what it was",
                Act::StandDown => "stood down",
                Act::Stamp => "renewed for whom it is stood down",
                Act::Restore => "given back as it was",
            };
            format!("{} {name}: {act}", kind.as_str())
        }
        Write::Finalizers { finalizers, .. } if finalizers.iter().any(|f| f == takeover::FINALIZER) => {
            "finalizer added".to_owned()
        }
        Write::Finalizers { .. } => "finalizer removed".to_owned(),
        Write::BringInside { from, to, .. } => {
            format!("replicas {from} → {to}, within the bounds of what is given back")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actuate::Refusal;

    #[test]
    fn a_write_that_failed_is_an_obstacle_and_one_that_was_held_back_tells_nothing() {
        let what = "horizontalpodautoscalers shop/web (stood down)".to_owned();
        let error = WriteError::Failed { what: what.clone(), cause: "HTTP 500".into() };
        let told = failed(Custody::default(), error);
        let (reason, message) = told.obstacle.expect("an obstacle");
        assert!(told.known && reason == "WriteFailed" && message.contains("HTTP 500"), "{message}");
        let held = failed(Custody::default(), WriteError::Dropped { what, refusal: Refusal::Rate });
        assert!(!held.known && held.obstacle.is_none());
    }
}
