//! What both proxies know of the histories that they serve: whose request it is, whether faults are on, what was done.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::plan::{self, Class, Fault, Kind, mix};

/// The place of requests that belong to no single history: nodes, the lease, usage of all pods.
pub(super) const SHARED: &str = "";

/// A fault that was done.
#[derive(Clone, Debug)]
pub(super) struct Done {
    /// Class of the request, and the how-manieth of it.
    pub(super) request: (Class, u64),
    /// What was done.
    pub(super) fault: Fault,
    /// Method and path, or the first words of a query.
    pub(super) what: String,
}

/// One history, as the proxies see it.
#[derive(Debug, Default)]
struct Place {
    seed: u64,
    on: bool,
    blackout: bool,
    counts: BTreeMap<Class, u64>,
    done: Vec<Done>,
}

/// All histories of a block.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<BTreeMap<String, Place>>);

impl Places {
    /// Histories by namespace, with their seeds; the shared place has one of its own.
    pub(super) fn new(seeds: impl Iterator<Item = (String, u64)>, shared: u64, on: bool) -> Self {
        let place = |seed| Place { seed, on, ..Place::default() };
        let all = seeds.chain([(SHARED.to_owned(), shared)]);
        Self(Mutex::new(all.map(|(name, seed)| (name, place(seed))).collect()))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The history that a text names, if it names one and no other; else what is shared.
    pub(super) fn named_in(&self, text: &str) -> String {
        let places = self.lock();
        let mut named = places.keys().filter(|name| !name.is_empty() && text.contains(name.as_str()));
        match (named.next(), named.next()) {
            (Some(only), None) => only.clone(),
            _ => SHARED.to_owned(),
        }
    }

    /// Counts a request, and says what is to be done to it.
    pub(super) fn fault(&self, name: &str, class: Class, what: &str) -> Option<Fault> {
        let mut places = self.lock();
        let name = if places.contains_key(name) { name } else { SHARED };
        let place = places.get_mut(name)?;
        let count = place.counts.entry(class).or_default();
        let nth = *count;
        *count += 1;
        let fault = if place.blackout && class == Class::Signal {
            let kinds = [Kind::Empty, Kind::Error, Kind::Half, Kind::DropRequest];
            Some(Fault { kind: kinds[usize::try_from(mix(place.seed, nth) % 4).unwrap_or_default()], millis: 0 })
        } else {
            plan::fault(place.seed, class, nth).filter(|_| place.on)
        };
        if let Some(fault) = fault {
            place.done.push(Done { request: (class, nth), fault, what: what.to_owned() });
        }
        fault
    }

    /// Whether faults are on for a history.
    pub(super) fn on(&self, name: &str) -> bool {
        self.lock().get(name).is_some_and(|place| place.on)
    }

    /// Ends the faults of a history.
    pub(super) fn heal(&self, name: &str) {
        if let Some(place) = self.lock().get_mut(name) {
            (place.on, place.blackout) = (false, false);
        }
    }

    /// Whether a history's signal is lost: every answer to a question about it is worthless.
    pub(super) fn set_blackout(&self, name: &str, blackout: bool) {
        if let Some(place) = self.lock().get_mut(name) {
            place.blackout = blackout;
        }
    }

    /// What was done to a history's requests.
    pub(super) fn done(&self, name: &str) -> Vec<Done> {
        self.lock().get(name).map(|place| place.done.clone()).unwrap_or_default()
    }
}
