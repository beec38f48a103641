//! The model as a whole, in a tiny closed loop.

mod failures;
mod floor;
mod invariants;
mod plant;
mod schedule;
mod sentences;
mod stability;
mod terms;
mod zero;
