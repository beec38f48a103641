//! The vertical pod autoscaler: recommender, updater and admission, re-implemented from their behaviour (release 1.8).
//!
//! ```text
//!  usage samples, kills ─▶ recommender ─▶ target, bounds ─▶ updater ─▶ which pods, within which budget
//!                                                   └─────▶ admission ─▶ requests and limits of a new pod
//! ```
//!
//! Must not: know how a pod is resized or what it costs; round, clamp or wait in a way upstream does not. Each part is
//! replayed against recorded answers of the upstream code (`tests/rivals`).

pub mod admission;
pub mod amounts;
pub mod budget;
mod controller;
mod histogram;
pub mod policy;
pub mod priority;
mod recommender;
mod usage;

pub use controller::{Settings, UpdateMode, Vpa};
pub use recommender::{Config, Recommendation, Recommender, Seed};
