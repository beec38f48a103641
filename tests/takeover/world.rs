//! The cluster of the model: one policy, one target, up to two autoscalers of others with their controllers, two
//! instances of which one holds the lease, and people.
//!
//! What is worse than the real thing, so that what holds here holds there: a request may take effect at any later time,
//! also after its sender crashed, looked again or lost the lease; policy and rivals are seen apart and may be arbitrarily
//! old; and, where asked for, a deposed instance goes on deciding from what it last saw, for ever. What is assumed:
//! `/scale` is written under the lease only (the fence's times), the API server compares resource versions, and a new
//! leader looks afresh.

use arbiter::{
    policy::Mode,
    takeover::{ANNOTATION, Act, Kind, Outcome, Reason},
};
use serde_json::{Value, json};

use super::mind::{Flaw, Look, Mind, Object, Pol, Put, Shown, Thought};

/// An autoscaler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    pub shown: Shown,
    /// What it would be had arbiter never been there.
    pub truth: Object,
    /// A person made it active while it was stood down, or made it at all, since arbiter came.
    pub by_hand: bool,
}

/// What the API server holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub policy: Option<Pol>,
    pub slots: [Option<Slot>; 2],
    pub count: u8,
    /// Acts of people that are still to come.
    pub people: u8,
    /// A person did what only a person can put right.
    pub spoiled: bool,
}

/// Which object a write was to, and so whose version counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    Policy,
    Slot(u8),
    Count,
}

impl Put {
    pub const fn place(self) -> Place {
        match self {
            Self::Rival { slot, .. } => Place::Slot(slot),
            Self::Finalizer(_) => Place::Policy,
            Self::Count { .. } => Place::Count,
        }
    }
}

/// What people do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deed {
    Mode(Mode),
    DeletePolicy,
    /// Another metric: nothing that standing down touches.
    EditMetrics(u8),
    /// Applies the manifest again: the fields are as they were, the annotation stays.
    Reapply(u8),
    /// Another maximum, by hand.
    EditMax(u8),
    Corrupt(u8),
    DeleteRival(u8),
    /// A second HPA on the target.
    AddHpa,
}

impl World {
    pub fn look(&self) -> Look {
        Look { policy: self.policy, rivals: self.slots.map(|slot| slot.map(|slot| slot.shown)), count: self.count }
    }

    pub fn active(&self, mind: &Mind, slot: usize) -> bool {
        self.slots[slot].is_some_and(|slot| slot.shown.acting || !mind.inert(slot.shown.object))
    }

    /// A controller sees its object, acts on it from now on, and says so. Whether anything changed.
    pub fn controller_sees(&mut self, mind: &Mind, slot: usize) -> bool {
        let Some(it) = self.slots[slot].as_mut() else { return false };
        let before = it.shown;
        it.shown.acting = !mind.inert(it.shown.object);
        let acting = it.shown.acting;
        if mind.facts(it.shown.object).kind == Kind::Vpa {
            it.by_hand &= acting;
            return before != it.shown;
        }
        it.shown.object = mind.edited(it.shown.object, |object| {
            if object["kind"] == Kind::Hpa.as_str() {
                object["metadata"]["generation"] = 1.into();
            } else if object["kind"] == Kind::ScaledObject.as_str() {
                let said = if acting { "False" } else { "True" };
                object["status"] = json!({ "conditions": [{ "type": "Paused", "status": said }] });
            }
        });
        if !acting {
            it.by_hand = false;
        }
        before != it.shown
    }

    /// A write of ours takes effect.
    pub fn put(&mut self, mind: &Mind, put: Put) {
        match put {
            Put::Finalizer(wanted) => {
                if let Some(policy) = self.policy.as_mut() {
                    policy.finalizer = wanted;
                    if policy.deleting && !wanted {
                        self.policy = None;
                    }
                }
            }
            Put::Count { from, to } => {
                if self.count == from {
                    self.count = to;
                }
            }
            Put::Rival { slot, act, object } => {
                if let Some(it) = self.slots[usize::from(slot)].as_mut() {
                    it.shown.object = object;
                    let silent = mind.inert(object) && !it.shown.acting;
                    if silent || act == Act::Restore {
                        it.by_hand = false;
                    }
                }
            }
        }
    }

    pub fn deeds(&self, mind: &Mind) -> Vec<Deed> {
        let mut deeds = Vec::new();
        if self.people == 0 {
            return deeds;
        }
        if let Some(policy) = self.policy.filter(|policy| !policy.deleting) {
            let others = [Mode::Auto, Mode::Recommend, Mode::Paused].into_iter().filter(|mode| *mode != policy.mode);
            deeds.extend(others.map(Deed::Mode));
            deeds.push(Deed::DeletePolicy);
        }
        for (slot, it) in (0_u8..).zip(&self.slots) {
            let Some(it) = it else { continue };
            deeds.extend([Deed::EditMetrics(slot), Deed::DeleteRival(slot)]);
            if mind.facts(it.shown.object).kind == Kind::Hpa {
                deeds.push(Deed::EditMax(slot));
            }
            if mind.facts(it.shown.object).marked {
                deeds.extend([Deed::Corrupt(slot), Deed::Reapply(slot)]);
            }
        }
        if self.slots[1].is_none() {
            deeds.push(Deed::AddHpa);
        }
        deeds
    }

    /// A person does something; returns what was written.
    pub fn person(&mut self, mind: &Mind, deed: Deed) -> Place {
        self.people -= 1;
        match deed {
            Deed::Mode(mode) => {
                let policy = self.policy.as_mut().unwrap();
                policy.mode = mode;
                policy.generation += 1;
                Place::Policy
            }
            Deed::DeletePolicy => {
                self.delete_policy();
                Place::Policy
            }
            Deed::EditMetrics(slot) => {
                self.edit(mind, slot, |object| object["spec"]["metrics"] = json!([{ "type": "Pods" }]))
            }
            Deed::EditMax(slot) => {
                self.spoiled = true;
                self.edit(mind, slot, |object| object["spec"]["maxReplicas"] = 8.into())
            }
            Deed::Corrupt(slot) => {
                self.spoiled = true;
                let it = self.slots[usize::from(slot)].as_mut().unwrap();
                it.shown.object = mind.edited(it.shown.object, |object| {
                    let annotation = &mut object["metadata"]["annotations"][ANNOTATION];
                    *annotation = annotation.as_str().unwrap().replace("original", "orginal").into();
                });
                Place::Slot(slot)
            }
            Deed::Reapply(slot) => {
                self.spoiled = true;
                let truth = mind.object(self.slots[usize::from(slot)].unwrap().truth);
                let apply = |object: &mut Value| {
                    let annotation = object["metadata"]["annotations"].get(ANNOTATION).cloned();
                    object["spec"] = truth["spec"].clone();
                    object["metadata"]["annotations"] = truth["metadata"]["annotations"].clone();
                    if let Some(annotation) = annotation {
                        object["metadata"]["annotations"][ANNOTATION] = annotation;
                    }
                };
                self.edit(mind, slot, apply)
            }
            Deed::DeleteRival(slot) => {
                self.slots[usize::from(slot)] = None;
                Place::Slot(slot)
            }
            Deed::AddHpa => {
                self.spoiled = true;
                let object = mind.number(super::mind::hpa("r-1"));
                let shown = Shown { object, acting: true };
                self.slots[1] = Some(Slot { shown, truth: object, by_hand: true });
                Place::Slot(1)
            }
        }
    }

    fn delete_policy(&mut self) {
        if let Some(policy) = self.policy.as_mut() {
            policy.deleting = true;
            policy.generation += 1;
            if !policy.finalizer {
                self.policy = None;
            }
        }
    }

    fn edit(&mut self, mind: &Mind, slot: u8, edit: impl Fn(&mut Value)) -> Place {
        let it = self.slots[usize::from(slot)].as_mut().unwrap();
        let was_inert = mind.inert(it.shown.object);
        it.shown.object = mind.edited(it.shown.object, &edit);
        it.truth = mind.edited(it.truth, &edit);
        it.by_hand |= was_inert && !mind.inert(it.shown.object);
        Place::Slot(slot)
    }

    /// What becomes of it when it is left alone: one instance, no people, no crash. None: it never comes to rest.
    fn rest(mut self, mind: &Mind) -> Option<(Self, Thought)> {
        for _ in 0..40 {
            let (thought, _) = mind.think(&self.look());
            if let Thought::Put(put) = thought {
                self.put(mind, put);
                continue;
            }
            let moved = (0..2).map(|slot| self.controller_sees(mind, slot)).fold(false, |any, moved| any | moved);
            if !moved {
                return Some((self, thought));
            }
        }
        None
    }

    /// Left alone, it ends in a state that the documents name.
    pub fn makes_progress(&self, mind: &Mind) -> bool {
        let Some((end, thought)) = self.rest(mind) else { return false };
        let (_, licence) = mind.think(&end.look());
        let marked = |slot: Option<Slot>| slot.is_some_and(|slot| mind.facts(slot.shown.object).marked);
        match thought {
            Thought::Done(Outcome::Owned) => licence.replicas && licence.sizes,
            Thought::Done(Outcome::Released) => {
                !end.slots.into_iter().any(marked) && end.policy.is_none_or(|policy| !policy.finalizer)
            }
            Thought::Done(Outcome::Frozen) => end.policy.is_some_and(|policy| policy.mode == Mode::Paused),
            Thought::Refused(_) => self.spoiled,
            _ => false,
        }
    }

    /// If the policy is deleted now, every autoscaler comes back as it would be had arbiter never been there.
    pub fn is_restorable(&self, mind: &Mind) -> bool {
        let mut gone = *self;
        gone.delete_policy();
        let Some((end, thought)) = gone.rest(mind) else { return false };
        if matches!(thought, Thought::Refused(Reason::AnnotationUnreadable | Reason::SecondOwner)) {
            return self.spoiled;
        }
        let as_it_was = |slot: Slot| bare(&mind.object(slot.shown.object)) == bare(&mind.object(slot.truth));
        end.policy.is_none() && end.slots.into_iter().flatten().all(as_it_was)
    }
}

/// An object without what the server sets.
fn bare(object: &Value) -> String {
    let mut object = object.clone();
    object["status"] = Value::Null;
    object["metadata"]["generation"] = Value::Null;
    object.to_string()
}

/// Whether writes are compared with what was seen.
pub fn compares(mind: &Mind) -> bool {
    mind.flaw != Flaw::OverwritesBlindly
}
