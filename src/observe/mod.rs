//! [io] The world as Snapshots.
