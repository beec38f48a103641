//! [io] Decisions as writes.
