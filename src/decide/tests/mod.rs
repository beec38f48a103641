//! The model as a whole, in a tiny closed loop.

mod allocations;
mod failures;
mod floor;
mod invariants;
mod plant;
mod sentences;
mod stability;
mod terms;
mod theory;
