//! The takeover protocol, model-checked: every interleaving of two instances (one of them deposed, with stale reads and
//! late writes), crashes, the rivals' controllers, and people, within a number of acts of people.
//!
//! The model calls the real `arbiter::takeover::{next, licence}` on real objects. That it can fail is shown by breaking
//! the protocol on purpose, once per rule.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod mind;
mod model;
mod world;

use mind::{Flaw, hpa, scaled_object, vpa};
use model::{Protocol, Scope, find, hold};

/// Two acts of people; a deposed leader's requests still arrive.
const TWO_ACTS: Scope = Scope { people: 2, only_modes: false, undead: false, counts: true, at_most: None };
/// One act of people.
const ONE_ACT: Scope = Scope { people: 1, ..TWO_ACTS };
/// One act, and a deposed leader that does not know that it is one. The space is larger than a test may take: its first
/// states, breadth first.
const UNDEAD: Scope = Scope { undead: true, counts: false, at_most: Some(800_000), ..ONE_ACT };
/// Recommend and back to Auto: what is decided in between may arrive afterwards.
const THERE_AND_BACK: Scope = Scope { only_modes: true, counts: false, ..TWO_ACTS };

#[test]
fn an_hpa_has_one_owner_through_crashes_and_two_acts_of_people() {
    hold("HPA", Protocol::new(Flaw::None, &[hpa("r-0")], TWO_ACTS));
}

#[test]
fn an_hpa_has_one_owner_while_a_deposed_leader_goes_on() {
    hold("HPA, deposed leader goes on", Protocol::new(Flaw::None, &[hpa("r-0")], UNDEAD));
}

#[test]
fn an_hpa_and_a_vpa_have_one_owner_each() {
    hold("HPA and VPA", Protocol::new(Flaw::None, &[hpa("r-0"), vpa("r-1")], ONE_ACT));
}

#[test]
fn a_scaled_object_has_one_owner() {
    hold("ScaledObject", Protocol::new(Flaw::None, &[scaled_object("r-0")], TWO_ACTS));
}

#[test]
fn acting_before_standing_down_is_found() {
    find(Flaw::ActsBeforeStandingDown, model::ONE_OWNER, UNDEAD);
}

#[test]
fn acting_before_the_rival_has_seen_it_is_found() {
    find(Flaw::ActsBeforeObserved, model::ONE_OWNER, UNDEAD);
}

#[test]
fn forgetting_to_save_is_found() {
    find(Flaw::ForgetsToSave, model::RESTORABLE, UNDEAD);
}

#[test]
fn ignoring_stamps_is_found() {
    find(Flaw::IgnoresStamps, model::ONE_OWNER, THERE_AND_BACK);
}

#[test]
fn overwriting_blindly_is_found() {
    find(Flaw::OverwritesBlindly, model::RESTORABLE, UNDEAD);
}

#[test]
fn a_finalizer_that_stays_is_found() {
    find(Flaw::KeepsFinalizer, model::PROGRESS, UNDEAD);
}
