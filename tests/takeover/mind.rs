//! What an instance makes of what it saw: the real protocol on real objects, remembered by small numbers, so that a
//! million states cost a few thousand calls.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use arbiter::{
    policy::Mode,
    takeover::{
        self, ANNOTATION, Act, FINALIZER, Kind, Outcome, Policy, Reason, Rival, Seen, Sides, Step, Target, TargetRef,
        Write,
    },
};
use serde_json::{Value, json};

/// An object by its number.
pub type Object = u16;

/// The policy, as far as it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pol {
    pub mode: Mode,
    pub deleting: bool,
    pub finalizer: bool,
    pub generation: u8,
}

/// An autoscaler as an instance sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shown {
    pub object: Object,
    /// Its controller still acts, or again, on an object that was active; for KEDA: its HPA is there.
    pub acting: bool,
}

/// All that an instance sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Look {
    pub policy: Option<Pol>,
    pub rivals: [Option<Shown>; 2],
    pub count: u8,
}

/// A write, by numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Put {
    Rival { slot: u8, act: Act, object: Object },
    Finalizer(bool),
    Count { from: u8, to: u8 },
}

/// A step, by numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thought {
    Put(Put),
    Wait(Reason),
    Refused(Reason),
    Done(Outcome),
}

/// The ways in which the protocol can be broken on purpose: the checker must find each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    None,
    /// Takes the workload as soon as the originals are saved.
    ActsBeforeStandingDown,
    /// Takes the workload before the rival's controller has seen that it is stood down.
    ActsBeforeObserved,
    /// Changes the rival without having saved what it was.
    ForgetsToSave,
    /// Ignores for which version of the policy a rival is displaced.
    IgnoresStamps,
    /// Writes without the version that was seen.
    OverwritesBlindly,
    /// Never takes its finalizer away.
    KeepsFinalizer,
}

/// What of an object is asked at every state.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    pub kind: Kind,
    pub inert: bool,
    pub marked: bool,
}

/// Every object met, by number, and the number of each text.
#[derive(Default)]
struct Objects {
    all: Vec<(Value, Facts)>,
    numbers: HashMap<String, Object>,
}

/// The real protocol with its memory.
pub struct Mind {
    pub flaw: Flaw,
    objects: Mutex<Objects>,
    thoughts: Mutex<HashMap<Look, (Thought, Sides)>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Mind {
    pub fn new(flaw: Flaw) -> Self {
        Self { flaw, objects: Mutex::default(), thoughts: Mutex::default() }
    }

    pub fn number(&self, object: Value) -> Object {
        let text = object.to_string();
        let mut objects = locked(&self.objects);
        if let Some(number) = objects.numbers.get(&text) {
            return *number;
        }
        let number = Object::try_from(objects.all.len()).unwrap();
        let kind = Kind::ALL.into_iter().find(|kind| object["kind"] == kind.as_str()).unwrap();
        let marked = object["metadata"]["annotations"].get(ANNOTATION).is_some();
        let rival = Rival { kind, object, quiet: true };
        let facts = Facts { kind, inert: rival.inert(), marked };
        objects.all.push((rival.object, facts));
        objects.numbers.insert(text, number);
        number
    }

    pub fn object(&self, number: Object) -> Value {
        locked(&self.objects).all[usize::from(number)].0.clone()
    }

    pub fn facts(&self, number: Object) -> Facts {
        locked(&self.objects).all[usize::from(number)].1
    }

    pub fn kinds(&self) -> usize {
        locked(&self.objects).all.len()
    }

    pub fn thoughts(&self) -> usize {
        locked(&self.thoughts).len()
    }

    /// Another object made of one.
    pub fn edited(&self, number: Object, edit: impl FnOnce(&mut Value)) -> Object {
        let before = self.object(number);
        let mut object = before.clone();
        edit(&mut object);
        // A generation that was observed is as good as the first: so the objects stay few.
        let counts = object["spec"] != before["spec"] && object["kind"] == Kind::Hpa.as_str();
        if counts {
            object["metadata"]["generation"] = 2.into();
        }
        self.number(object)
    }

    pub fn rival(&self, shown: Shown) -> Rival {
        let (kind, object) = (self.facts(shown.object).kind, self.object(shown.object));
        let mut rival = Rival { kind, object, quiet: true };
        rival.quiet = rival.observed().unwrap_or(shown.acting != rival.inert());
        rival
    }

    pub fn inert(&self, object: Object) -> bool {
        self.facts(object).inert
    }

    pub fn think(&self, look: &Look) -> (Thought, Sides) {
        if let Some(known) = locked(&self.thoughts).get(look) {
            return *known;
        }
        let seen = self.seen(look);
        let thought = self.number_step(&self.step(&seen), &seen);
        let new = (thought, self.licence(&seen));
        locked(&self.thoughts).insert(*look, new);
        new
    }

    fn seen(&self, look: &Look) -> Seen {
        let mut rivals = Vec::new();
        for shown in look.rivals.into_iter().flatten() {
            let rival = self.rival(shown);
            if rival.kind == Kind::ScaledObject && shown.acting {
                rivals.push(kedas_hpa(&rival));
            }
            rivals.push(rival);
        }
        let mut seen = Seen {
            policy: look.policy.map(policy),
            namespace_going: false,
            target: Target { uid: Some("t-1".into()), replicas: Some(look.count.into()) },
            rivals,
            blind: Vec::new(),
        };
        if self.flaw == Flaw::IgnoresStamps {
            let stamp = seen.rivals.iter().find_map(|rival| Some(rival.saved().ok()??.stamp.generation));
            if let (Some(policy), Some(generation)) = (seen.policy.as_mut(), stamp) {
                policy.generation = generation;
            }
        }
        seen
    }

    fn step(&self, seen: &Seen) -> Step {
        let step = takeover::next(seen);
        match (self.flaw, &step) {
            (Flaw::ForgetsToSave, Step::Write(Write::Rival { act: Act::Save, object, .. })) => {
                let mut later = seen.clone();
                let uid = object["metadata"]["uid"].clone();
                let rival = later.rivals.iter_mut().find(|rival| rival.object["metadata"]["uid"] == uid).unwrap();
                rival.object = object.clone();
                let Step::Write(Write::Rival { act, kind, mut object }) = takeover::next(&later) else { return step };
                object["metadata"]["annotations"].as_object_mut().unwrap().remove(ANNOTATION);
                Step::Write(Write::Rival { act, kind, object })
            }
            (Flaw::KeepsFinalizer, Step::Write(Write::Finalizers { finalizers, .. })) if finalizers.is_empty() => {
                Step::Done(Outcome::Released)
            }
            _ => step,
        }
    }

    fn licence(&self, seen: &Seen) -> Sides {
        let mut seen = seen.clone();
        match self.flaw {
            Flaw::ActsBeforeStandingDown => {
                seen.rivals.retain(|rival| !matches!(rival.saved(), Ok(Some(_))));
            }
            Flaw::ActsBeforeObserved => seen.rivals.iter_mut().for_each(|rival| rival.quiet = true),
            _ => {}
        }
        takeover::licence(&seen)
    }

    fn number_step(&self, step: &Step, seen: &Seen) -> Thought {
        match step {
            Step::Wait(refusal) => Thought::Wait(refusal.reason),
            Step::Refused(refusal) => Thought::Refused(refusal.reason),
            Step::Done(outcome) => Thought::Done(*outcome),
            Step::Write(Write::Finalizers { finalizers, .. }) => {
                Thought::Put(Put::Finalizer(finalizers.iter().any(|f| f == FINALIZER)))
            }
            Step::Write(Write::BringInside { from, to, .. }) => {
                Thought::Put(Put::Count { from: u8::try_from(*from).unwrap(), to: u8::try_from(*to).unwrap() })
            }
            Step::Write(Write::Rival { act, object, .. }) => {
                let slot = u8::from(object["metadata"]["uid"] == "r-1");
                let uid = &object["metadata"]["uid"];
                let before = seen.rivals.iter().find(|rival| rival.object["metadata"]["uid"] == *uid).unwrap();
                let before = self.number(before.object.clone());
                let object = self.edited(before, |value| *value = object.clone());
                Thought::Put(Put::Rival { slot, act: *act, object })
            }
        }
    }
}

fn policy(pol: Pol) -> Policy {
    Policy {
        name: "web".into(),
        uid: "p-1".into(),
        born: 1,
        resource_version: "1".into(),
        generation: pol.generation.into(),
        mode: Some(pol.mode),
        deleting: pol.deleting,
        outranked: false,
        finalizers: if pol.finalizer { vec![FINALIZER.into()] } else { Vec::new() },
        levers: Sides::BOTH,
        target: TargetRef { kind: "Deployment".into(), name: "web".into() },
        force: false,
    }
}

fn metadata(name: &str, uid: &str) -> Value {
    json!({ "name": name, "uid": uid, "resourceVersion": "1", "annotations": { "team": "shop" } })
}

fn target() -> Value {
    json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" })
}

/// An HPA as people write it, its controller at work.
pub fn hpa(uid: &str) -> Value {
    let mut metadata = metadata(uid, uid);
    metadata["generation"] = 1.into();
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata,
        "spec": {
            "scaleTargetRef": target(), "minReplicas": 2, "maxReplicas": 5, "metrics": [{ "type": "Resource" }],
            "behavior": { "scaleDown": { "selectPolicy": "Min", "policies": [{ "type": "Pods", "value": 1, "periodSeconds": 60 }] } },
        },
        "status": { "observedGeneration": 1 },
    })
}

/// A VPA.
pub fn vpa(uid: &str) -> Value {
    json!({
        "apiVersion": "autoscaling.k8s.io/v1", "kind": "VerticalPodAutoscaler", "metadata": metadata(uid, uid),
        "spec": { "targetRef": target() },
    })
}

/// A `ScaledObject`.
pub fn scaled_object(uid: &str) -> Value {
    json!({
        "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": metadata(uid, uid),
        "spec": { "scaleTargetRef": { "name": "web" }, "minReplicaCount": 2, "maxReplicaCount": 5 },
        "status": { "conditions": [{ "type": "Paused", "status": "False" }] },
    })
}

fn kedas_hpa(of: &Rival) -> Rival {
    let mut object = hpa("keda-hpa");
    let owner = json!({ "kind": "ScaledObject", "name": of.name(), "uid": of.uid(), "controller": true });
    object["metadata"]["ownerReferences"] = json!([owner]);
    Rival { kind: Kind::Hpa, object, quiet: true }
}
