//! What people see over HTTP: the page and its JSON API; with a cluster also metrics and health.
//!
//! [`Board`] is the only thing that writers (the controller, the demo) know: they record what was seen and decided.
//! [`router`] answers from it. Nothing here decides, and nothing reads a cluster.
//!
//! Invariant: read-only. A request never reaches a workload, a policy or a decision; tenant text leaves only as JSON
//! strings, and the page shows it only as text.

mod api;
mod assets;
mod board;
pub mod catalogue;
pub mod demo;
mod guard;
#[cfg(feature = "controller")]
pub mod health;
#[cfg(feature = "controller")]
pub mod metrics;

pub use api::{ApiError, router};
pub use board::{
    Board, Change, Header, History, Limits, Mode as BoardMode, Point, PolicyMeta, Recorded, Replay, ReplayHeader, Shape,
};
pub use guard::loopback_only;
