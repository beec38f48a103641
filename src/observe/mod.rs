//! [io] The world as Snapshots.

pub mod clock;
pub mod kubernetes;
pub mod members;
pub mod snapshot;
