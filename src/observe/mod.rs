//! I/O: The world as Snapshots.
//!
//! [`kubernetes`] watches the cluster, [`prometheus`] asks a metrics server, [`usage`] reads what containers use,
//! [`signals`] reads what policies name, within what [`tenancy`] lets them; [`members`], [`rollout`] and [`snapshot`] put one workload together. They hand on values
//! with their age and completeness; what that means for a decision is not their business.
//!
//! Invariants: absent is not zero; NaN never leaves this room; an answer with warnings is never complete; an age
//! comes from the samples themselves and never from the time of asking.

pub mod clock;
mod error;
pub mod kubernetes;
pub mod members;
pub mod prometheus;
pub mod rollout;
pub mod signals;
pub mod snapshot;
pub mod tenancy;
pub mod usage;

pub use error::{MAX_REMOTE_TEXT, ObserveError, root_cause, shorten};
