//! The decision model: `(&Snapshot, &Policy, &mut Memory, now) -> Decision`.

mod decision;
mod snapshot;

pub use decision::*;
pub use snapshot::*;
