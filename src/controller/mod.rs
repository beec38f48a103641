//! I/O: The loop: observe, decide, actuate, report.
//!
//! [`engine`] decides when, [`workload`] takes one policy from look to report, [`status`], [`events`], [`guard`] and
//! [`policies`] are the pure halves of that, [`lease`] says who writes, [`custody`] whose the workload is. [`run()`] puts
//! the parts together.
//!
//! Invariants: every instance decides, one writes; decisions are values, and nothing but the writers sends them; what
//! is wrong with one policy is said on that policy and stops no other.

pub mod backfill;
pub mod checkpoint;
pub mod context;
pub mod custody;
pub mod engine;
mod error;
pub mod events;
pub mod guard;
pub mod lease;
mod orphans;
pub mod policies;
pub mod release;
pub mod report;
pub mod resizes;
mod run;
pub mod shutdown;
pub mod status;
pub mod workload;

pub use error::ControllerError;
pub use run::{Config, run};
