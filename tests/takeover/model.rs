//! The state space for the checker.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::Instant,
};

use arbiter::policy::Mode;
use serde_json::Value;
use stateright::{Checker, Model, Property};

use super::{
    mind::{Flaw, Look, Mind, Pol, Put, Shown, Thought},
    world::{Deed, Place, Slot, World, compares},
};

pub const ONE_OWNER: &str = "at most one active owner";
pub const YIELDS: &str = "who sees a rival active does not act";
pub const RESTORABLE: &str = "what a rival was can be given back";
pub const PROGRESS: &str = "left alone, it comes to rest";

/// Something read, and whether it was written since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct View<T> {
    what: T,
    old: bool,
}

/// What an instance saw of the rivals and the count, each as old as it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rivals {
    slots: [View<Option<Shown>>; 2],
    count: u8,
}

/// A request that is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    put: Put,
    old: bool,
}

/// One instance. Nothing else survives in it from one step to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Instance {
    policy: Option<View<Option<Pol>>>,
    rivals: Option<Rivals>,
    request: Option<Request>,
}

/// A state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    world: World,
    leader: u8,
    instances: [Instance; 2],
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    SeesPolicy,
    SeesRivals,
    Sends(u8),
    Lands(u8),
    Lost(u8),
    Crashes,
    LeaseMoves,
    Scales,
    ControllerSees(u8),
    RivalScales(u8),
    Person(Deed),
}

impl Instance {
    fn look(&self) -> Option<Look> {
        let (policy, rivals) = (self.policy?, self.rivals?);
        Some(Look { policy: policy.what, rivals: rivals.slots.map(|view| view.what), count: rivals.count })
    }

    /// Somebody wrote: what was seen is old, and what is on its way will collide.
    fn outdate(&mut self, place: Place) {
        match place {
            Place::Policy => {
                if let Some(view) = self.policy.as_mut() {
                    view.old = true;
                }
            }
            Place::Slot(slot) => {
                if let Some(rivals) = self.rivals.as_mut() {
                    rivals.slots[usize::from(slot)].old = true;
                }
            }
            Place::Count => {}
        }
        if let Some(request) = self.request.as_mut().filter(|request| request.put.place() == place) {
            request.old = true;
        }
    }
}

/// How much is let loose.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// Acts of people.
    pub people: u8,
    /// Whether people change the mode and nothing else.
    pub only_modes: bool,
    /// Whether a deposed instance goes on deciding from what it last saw. Otherwise what it had sent still arrives.
    pub undead: bool,
    /// Whether the count moves: out of the rival's bounds by us, back into them by the rival.
    pub counts: bool,
    /// States after which the search ends, breadth first; none: the whole space.
    pub at_most: Option<usize>,
}

/// The model.
pub struct Protocol {
    mind: Mind,
    first: World,
    scope: Scope,
    ends: Mutex<HashMap<World, (bool, bool)>>,
}

impl Protocol {
    /// A policy in mode Auto that was just made, autoscalers at work, and a number of acts of people.
    pub fn new(flaw: Flaw, rivals: &[Value], scope: Scope) -> Self {
        let mind = Mind::new(flaw);
        let mut slots = [None; 2];
        for (slot, rival) in slots.iter_mut().zip(rivals) {
            let object = mind.number(rival.clone());
            *slot = Some(Slot { shown: Shown { object, acting: true }, truth: object, by_hand: false });
        }
        let policy = Some(Pol { mode: Mode::Auto, deleting: false, finalizer: false, generation: 1 });
        let first = World { policy, slots, count: 3, people: scope.people, spoiled: false };
        Self { mind, first, scope, ends: Mutex::default() }
    }

    fn licence(&self, state: &State) -> arbiter::takeover::Sides {
        let look = state.instances[usize::from(state.leader)].look();
        look.map_or(arbiter::takeover::Sides::NONE, |look| self.mind.think(&look).1)
    }

    /// Owners that act now, of replicas and of sizes, without those that a person woke.
    fn owners(&self, state: &State) -> [usize; 2] {
        let licence = self.licence(state);
        let mut owners = [usize::from(licence.replicas), usize::from(licence.sizes)];
        for (number, slot) in state.world.slots.iter().enumerate() {
            if let Some(slot) = slot.filter(|slot| !slot.by_hand && state.world.active(&self.mind, number)) {
                owners[usize::from(self.mind.facts(slot.shown.object).kind.sizes())] += 1;
            }
        }
        owners
    }

    /// Of replicas and of sizes: whether a leader that sees all there is leaves alone what an autoscaler moves.
    fn yields(&self, state: &State) -> bool {
        let leader = &state.instances[usize::from(state.leader)];
        let licence = self.licence(state);
        let acts = |slot: usize| {
            let Some(it) = state.world.slots[slot] else { return false };
            let licensed = if self.mind.facts(it.shown.object).kind.sizes() { licence.sizes } else { licence.replicas };
            licensed && state.world.active(&self.mind, slot)
        };
        leader.look() != Some(state.world.look()) || !(0..2).any(acts)
    }

    /// Whether a world makes progress, and whether it can be given back.
    fn end(&self, world: &World) -> (bool, bool) {
        if let Some(known) = self.ends.lock().unwrap_or_else(PoisonError::into_inner).get(world) {
            return *known;
        }
        let end = (world.makes_progress(&self.mind), world.is_restorable(&self.mind));
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).insert(*world, end);
        end
    }

    fn sends(&self, state: &mut State, number: u8) -> Option<()> {
        let instance = &mut state.instances[usize::from(number)];
        let Thought::Put(put) = self.mind.think(&instance.look()?).0 else { return None };
        let old = match put.place() {
            Place::Policy => instance.policy?.old,
            Place::Slot(slot) => instance.rivals?.slots[usize::from(slot)].old,
            Place::Count => false,
        };
        instance.request = Some(Request { put, old });
        Some(())
    }

    fn lands(&self, state: &mut State, number: u8) -> Option<()> {
        let request = state.instances[usize::from(number)].request.take()?;
        let fenced = request.put.place() == Place::Count && state.leader != number;
        if (request.old && compares(&self.mind)) || fenced {
            return Some(());
        }
        state.world.put(&self.mind, request.put);
        state.outdate(request.put.place());
        Some(())
    }
}

impl State {
    fn leader_acts(&mut self, action: Action) {
        let world = self.world;
        let leader = &mut self.instances[usize::from(self.leader)];
        match action {
            Action::SeesPolicy => leader.policy = Some(View { what: world.policy, old: false }),
            Action::SeesRivals => {
                let slots = world.slots.map(|slot| View { what: slot.map(|slot| slot.shown), old: false });
                leader.rivals = Some(Rivals { slots, count: world.count });
            }
            _ => (leader.policy, leader.rivals) = (None, None),
        }
    }

    fn outdate(&mut self, place: Place) {
        self.instances.iter_mut().for_each(|instance| instance.outdate(place));
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State { world: self.first, leader: 0, instances: [Instance::default(); 2] }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let leader = &state.instances[usize::from(state.leader)];
        actions.extend([Action::SeesRivals, Action::LeaseMoves]);
        // A new leader sees the rivals first: a policy that is absent is then younger news.
        if leader.rivals.is_some() {
            actions.extend([Action::SeesPolicy, Action::Crashes]);
        }
        for number in 0..2 {
            let request = state.instances[usize::from(number)].request.is_some();
            actions.extend(if request {
                vec![Action::Lands(number), Action::Lost(number)]
            } else {
                vec![Action::Sends(number)]
            });
            actions.push(Action::ControllerSees(number));
        }
        if self.scope.counts {
            actions.extend([Action::Scales, Action::RivalScales(0)]);
        }
        let deeds = state.world.deeds(&self.mind).into_iter();
        let let_loose = |deed: &Deed| !self.scope.only_modes || matches!(deed, Deed::Mode(_));
        actions.extend(deeds.filter(let_loose).map(Action::Person));
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = *state;
        match action {
            Action::SeesPolicy | Action::SeesRivals | Action::Crashes => next.leader_acts(action),
            Action::Sends(number) => self.sends(&mut next, number)?,
            Action::Lands(number) => self.lands(&mut next, number)?,
            Action::Lost(number) => next.instances[usize::from(number)].request = None,
            Action::LeaseMoves => {
                if !self.scope.undead {
                    let old = &mut next.instances[usize::from(next.leader)];
                    (old.policy, old.rivals) = (None, None);
                }
                next.leader = 1 - next.leader;
                let new = &mut next.instances[usize::from(next.leader)];
                (new.policy, new.rivals) = (None, None);
            }
            Action::Scales => next.world.count = if self.licence(state).replicas { 9 } else { next.world.count },
            Action::ControllerSees(slot) => {
                if next.world.controller_sees(&self.mind, slot.into()) {
                    next.outdate(Place::Slot(slot));
                }
            }
            Action::RivalScales(slot) => {
                next.world.slots[usize::from(slot)].filter(|it| it.shown.acting)?;
                next.world.count = 3;
            }
            Action::Person(deed) => {
                let place = next.world.person(&self.mind, deed);
                next.outdate(place);
            }
        }
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_OWNER, |model: &Self, state: &State| {
                model.owners(state).into_iter().all(|owners| owners <= 1)
            }),
            Property::always(YIELDS, |model: &Self, state: &State| model.yields(state)),
            Property::always(RESTORABLE, |model: &Self, state: &State| model.end(&state.world).1),
            Property::always(PROGRESS, |model: &Self, state: &State| model.end(&state.world).0),
            // The model is worth something only if it gets there.
            Property::sometimes("owned", |model: &Self, state: &State| {
                model.licence(state) == arbiter::takeover::Sides::BOTH
                    && (!model.scope.counts || state.world.count == 9)
            }),
            Property::sometimes("given back", |model: &Self, state: &State| {
                state.world.policy.is_none()
                    && state.world.slots[0].is_some_and(|slot| slot.shown.object == slot.truth)
                    && state.world.people < model.first.people
            }),
        ]
    }
}

/// Explores the space, whole or as far as the scope says; every property must hold.
#[expect(clippy::disallowed_methods, reason = "how long a test takes is told, nothing depends on it")]
pub fn hold(name: &str, model: Protocol) {
    let started = Instant::now();
    let at_most = model.scope.at_most;
    let builder = model.checker().threads(2);
    let builder = if let Some(states) = at_most { builder.target_state_count(states) } else { builder };
    let checker = builder.spawn_bfs().join();
    let mind = &checker.model().mind;
    eprintln!(
        "{name}: {} states, depth {}, {} objects, {} different looks, {:.1} s",
        checker.unique_state_count(),
        checker.max_depth(),
        mind.kinds(),
        mind.thoughts(),
        started.elapsed().as_secs_f64()
    );
    for property in [ONE_OWNER, YIELDS, RESTORABLE, PROGRESS] {
        checker.assert_no_discovery(property);
    }
    if at_most.is_none() {
        checker.assert_properties();
    }
}

/// Explores a broken protocol; the property must have a counterexample, which is printed.
pub fn find(flaw: Flaw, property: &'static str, scope: Scope) {
    let model = Protocol::new(flaw, &[super::hpa("r-0")], scope);
    let checker =
        model.checker().threads(2).finish_when(stateright::HasDiscoveries::AllOf([property].into())).spawn_bfs().join();
    let found: BTreeMap<&str, _> = checker.discoveries().into_iter().collect();
    let path = found.get(property).cloned();
    assert!(path.is_some(), "{flaw:?} was not found out by: {property}; found {:?}", found.keys());
    let path = path.unwrap();
    eprintln!("{flaw:?}: {} states, steps {:?}", checker.unique_state_count(), path.into_actions());
}
