//! The protocol: the one write that comes next, and what may be written to the workload meanwhile.
//!
//! Order of a takeover: every refusal first, then the finalizer, then for each rival what it was, then its standing down,
//! then the wait until its controller has seen that. Order of a release: the count inside the rival's bounds, then the
//! rival with its annotation in one write, then the finalizer. Each function below is one of these, told in that order.

use super::{
    Act, FINALIZER, Kind, Outcome, Policy, Refusal, Rival, Saved, Seen, Sides, Stamp, Step, Write, hpa, rival::Owner,
};
use crate::policy::Mode;

/// What the policy is after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish<'a> {
    Own(&'a Policy),
    Freeze,
    Release,
}

fn wish(seen: &Seen) -> Wish<'_> {
    match &seen.policy {
        None => Wish::Release,
        Some(policy) if policy.deleting || policy.outranked => Wish::Release,
        Some(policy) => match policy.mode {
            Some(Mode::Auto) => Wish::Own(policy),
            Some(Mode::Recommend) => Wish::Release,
            Some(Mode::Paused) | None => Wish::Freeze,
        },
    }
}

/// The one write that comes next, or why there is none.
#[must_use]
pub fn next(seen: &Seen) -> Step {
    if seen.namespace_going {
        return finalizer(seen, false).map_or(Step::Done(Outcome::Going), Step::Write);
    }
    match wish(seen) {
        Wish::Own(policy) => own(seen, policy),
        Wish::Freeze => Step::Done(Outcome::Frozen),
        Wish::Release => release(seen),
    }
}

/// What may be written to the workload, as far as its other autoscalers go. The lease, the age of what was seen and the
/// mode at the time of writing are the fence's matter.
#[must_use]
pub fn licence(seen: &Seen) -> Sides {
    let Wish::Own(policy) = wish(seen) else { return Sides::NONE };
    if seen.namespace_going || obstacle(seen, policy).is_some() {
        return Sides::NONE;
    }
    let stamp = Stamp::of(policy);
    let ours = |rival: &&Rival| match rival.saved() {
        Ok(Some(saved)) => saved.down && saved.stamp == stamp && rival.inert(),
        Ok(None) => rival.inert(),
        Err(_) => false,
    };
    let rivals = rivals_of(seen, policy);
    if !rivals.iter().all(ours) || !kedas_hpas_are_gone(seen, &rivals) {
        return Sides::NONE;
    }
    let quiet = |sizes: bool| rivals.iter().filter(|rival| rival.kind.sizes() == sizes).all(|rival| rival.quiet);
    Sides {
        replicas: policy.levers.replicas && quiet(false),
        sizes: policy.levers.sizes && quiet(false) && quiet(true),
    }
}

/// The rivals of a policy: those that move, on its target, what it moves. KEDA's own HPAs are KEDA's.
fn rivals_of<'a>(seen: &'a Seen, policy: &Policy) -> Vec<&'a Rival> {
    let mine = |rival: &&Rival| {
        let lever = if rival.kind.sizes() { policy.levers.sizes } else { policy.levers.replicas };
        lever && rival.target().as_ref() == Some(&policy.target) && scaled_object_of(seen, rival).is_none()
    };
    seen.rivals.iter().filter(mine).collect()
}

/// The `ScaledObject` that an HPA was made for, when it is there to be stood down itself.
fn scaled_object_of<'a>(seen: &'a Seen, hpa: &Rival) -> Option<&'a Rival> {
    let Owner::Keda(uid) = hpa.owner() else { return None };
    seen.rivals.iter().find(|rival| rival.kind == Kind::ScaledObject && rival.uid() == uid)
}

fn kedas_hpas_are_gone(seen: &Seen, rivals: &[&Rival]) -> bool {
    let left =
        |hpa: &Rival| scaled_object_of(seen, hpa).is_some_and(|by| rivals.iter().any(|rival| rival.uid() == by.uid()));
    !seen.rivals.iter().any(left)
}

/// Whether a rival is displaced for this policy; an annotation that cannot be read is for nobody.
fn displaced_for(rival: &Rival, policy: Option<&Policy>) -> Option<Saved> {
    let saved = rival.saved().ok()??;
    policy.is_none_or(|policy| policy.name == saved.stamp.policy).then_some(saved)
}

// === Taking over ===

/// Why the rivals of a policy are not taken over, or are no longer ours.
fn obstacle(seen: &Seen, policy: &Policy) -> Option<Refusal> {
    let relevant = |kind: Kind| if kind.sizes() { policy.levers.sizes } else { policy.levers.replicas };
    if let Some(blind) = seen.blind.iter().find(|blind| relevant(blind.kind)) {
        return Some(Refusal::blind(blind));
    }
    let rivals = rivals_of(seen, policy);
    for sizes in [false, true] {
        let same: Vec<&Rival> = rivals.iter().filter(|rival| rival.kind.sizes() == sizes).copied().collect();
        if same.len() > 1 {
            return Some(Refusal::several(&same));
        }
    }
    rivals.into_iter().find_map(|rival| obstacle_of(rival, policy))
}

fn obstacle_of(rival: &Rival, policy: &Policy) -> Option<Refusal> {
    match rival.saved() {
        Err(what) => return Some(Refusal::unreadable(rival, &what)),
        Ok(Some(saved)) if saved.stamp.policy != policy.name => {
            return Some(Refusal::held(rival, &saved.stamp.policy));
        }
        Ok(Some(saved)) if saved.down => {
            return (!rival.inert()).then(|| Refusal::edited(rival, what_was_edited(rival)));
        }
        Ok(_) => {}
    }
    if rival.inert() {
        return None;
    }
    match rival.owner() {
        Owner::Nobody => {}
        Owner::Keda(_) => return Some(Refusal::owned(rival, "a ScaledObject that cannot be seen")),
        Owner::Other(owner) => return Some(Refusal::owned(rival, &owner)),
    }
    rival.in_git().filter(|_| !policy.force).map(|tool| Refusal::git(rival, tool))
}

fn what_was_edited(rival: &Rival) -> &'static str {
    match rival.kind {
        Kind::Hpa => hpa::what_is_not_ours(&rival.object).unwrap_or("spec"),
        Kind::Vpa => "spec.updatePolicy.updateMode",
        Kind::ScaledObject => "its annotations about pausing",
    }
}

fn own(seen: &Seen, policy: &Policy) -> Step {
    let rivals = rivals_of(seen, policy);
    // What was displaced for another target or lever goes back first: two policies that swapped targets wait for nobody.
    let elsewhere = |rival: &&Rival| displaced_for(rival, Some(policy)).is_some() && !rivals.contains(rival);
    for rival in seen.rivals.iter().filter(elsewhere) {
        if let Some(step @ Step::Write(_)) = give_back(seen, rival) {
            return step;
        }
    }
    if let Some(refusal) = obstacle(seen, policy) {
        let waits = matches!(refusal.reason, super::Reason::HeldByAnotherPolicy);
        return if waits { Step::Wait(refusal) } else { Step::Refused(refusal) };
    }
    let concerned = rivals.iter().any(|rival| !rival.inert() || displaced_for(rival, Some(policy)).is_some());
    let anything = concerned || seen.rivals.iter().any(|rival| elsewhere(&rival));
    if let Some(write) = finalizer(seen, anything) {
        return Step::Write(write);
    }
    rivals
        .iter()
        .find_map(|rival| displace(rival, policy))
        .or_else(|| wait(seen, &rivals))
        .unwrap_or_else(|| left(seen, &rivals, policy))
}

/// The next write that makes a rival inert, none when it is.
fn displace(rival: &Rival, policy: &Policy) -> Option<Step> {
    let write = |act: Act, object| Some(Step::Write(Write::Rival { act, kind: rival.kind, object }));
    let stamp = Stamp::of(policy);
    let Some(saved) = displaced_for(rival, Some(policy)) else {
        let save = || write(Act::Save, rival.annotated(&Saved::new(stamp, rival.original())));
        return (!rival.inert()).then(save).flatten();
    };
    if saved.stamp.newer_than(policy) {
        return Some(Step::Wait(Refusal::stale(rival)));
    }
    // What somebody changed between the two writes is the original.
    if !saved.down && saved.original != rival.original() {
        return write(Act::Save, rival.annotated(&Saved::new(stamp, rival.original())));
    }
    if !saved.down {
        return write(Act::StandDown, rival.stood_down(&Saved { stamp, ..saved }));
    }
    if saved.stamp != stamp {
        return write(Act::Stamp, rival.annotated(&Saved { stamp, ..saved }));
    }
    None
}

/// The wait for controllers that may still act on what they saw before.
fn wait(seen: &Seen, rivals: &[&Rival]) -> Option<Step> {
    let loud = rivals.iter().find(|rival| !rival.quiet || !kedas_hpas_are_gone(seen, &[rival]))?;
    Some(Step::Wait(Refusal::standing_down(loud)))
}

/// Owned; what could not be given back elsewhere is said.
fn left(seen: &Seen, rivals: &[&Rival], policy: &Policy) -> Step {
    let elsewhere = |rival: &&Rival| displaced_for(rival, Some(policy)).is_some() && !rivals.contains(rival);
    seen.rivals.iter().filter(elsewhere).find_map(|rival| give_back(seen, rival)).unwrap_or(Step::Done(Outcome::Owned))
}

// === Giving back ===

fn release(seen: &Seen) -> Step {
    let policy = seen.policy.as_ref();
    let mut held_up = None;
    for rival in &seen.rivals {
        match give_back(seen, rival) {
            Some(step @ Step::Write(_)) => return step,
            Some(step) => held_up = held_up.or(Some(step)),
            None => {}
        }
    }
    if let Some(step) = held_up {
        return step;
    }
    let bound = policy.is_some_and(|policy| policy.finalizers.iter().any(|finalizer| finalizer == FINALIZER));
    if let Some(blind) = seen.blind.first().filter(|_| bound) {
        return Step::Refused(Refusal::blind(blind));
    }
    finalizer(seen, false).map_or(Step::Done(Outcome::Released), Step::Write)
}

/// The next step that gives one rival back; none when it is not displaced for this policy.
fn give_back(seen: &Seen, rival: &Rival) -> Option<Step> {
    let policy = seen.policy.as_ref();
    if let Err(what) = rival.saved() {
        return Some(Step::Refused(Refusal::unreadable(rival, &what)));
    }
    let saved = displaced_for(rival, policy)?;
    if policy.is_some_and(|policy| saved.stamp.newer_than(policy)) {
        return Some(Step::Wait(Refusal::stale(rival)));
    }
    let object = match rival.restored(&saved) {
        Ok(object) => object,
        Err(what) => return Some(Step::Refused(Refusal::edited(rival, &what))),
    };
    let back = Rival { object, ..rival.clone() };
    let wakes = rival.inert() && !back.inert();
    if wakes && let Some(other) = second_owner(seen, rival) {
        return Some(Step::Refused(Refusal::second(rival, other)));
    }
    if wakes && let Some(write) = bring_inside(seen, rival, &back) {
        return Some(Step::Write(write));
    }
    Some(Step::Write(Write::Rival { act: Act::Restore, kind: rival.kind, object: back.object }))
}

/// Another autoscaler that moves the same thing of the same target now.
fn second_owner<'a>(seen: &'a Seen, rival: &Rival) -> Option<&'a Rival> {
    let same = |other: &&Rival| {
        other.kind.sizes() == rival.kind.sizes()
            && other.target() == rival.target()
            && other.uid() != rival.uid()
            && !other.inert()
            && other.owner() != Owner::Keda(rival.uid().to_owned())
    };
    seen.rivals.iter().find(same)
}

/// The count that a rival would correct at once, corrected while it is still down.
fn bring_inside(seen: &Seen, rival: &Rival, back: &Rival) -> Option<Write> {
    let (least, most) = rival.bounds(&back.object)?;
    // Of a target that is not the policy's the count is not known, and it is another's to move.
    if seen.policy.as_ref().is_some_and(|policy| rival.target().as_ref() != Some(&policy.target)) {
        return None;
    }
    let (uid, from) = (seen.target.uid.clone()?, seen.target.replicas?);
    let to = from.clamp(least, most.max(least));
    (to != from).then_some(Write::BringInside { uid, from, to })
}

/// The write that gives the policy our finalizer or takes it away; none when it is so already.
fn finalizer(seen: &Seen, wanted: bool) -> Option<Write> {
    let policy = seen.policy.as_ref()?;
    let has = policy.finalizers.iter().any(|finalizer| finalizer == FINALIZER);
    if has == wanted {
        return None;
    }
    let mut finalizers: Vec<String> = policy.finalizers.iter().filter(|name| *name != FINALIZER).cloned().collect();
    finalizers.extend(wanted.then(|| FINALIZER.to_owned()));
    Some(Write::Finalizers { resource_version: policy.resource_version.clone(), finalizers })
}
