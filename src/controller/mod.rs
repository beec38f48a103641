//! [io] The loop: observe, decide, actuate, report.

pub mod events;
pub mod lease;
pub mod shutdown;
pub mod status;
