//! The model as a whole, in a tiny closed loop.

mod allocations;
mod failures;
mod floor;
mod invariants;
pub(super) mod plant;
mod queue;
mod schedule;
mod sentences;
mod stability;
mod survives;
mod terms;
mod theory;
mod zero;
