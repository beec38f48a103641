//! The horizontal pod autoscaler (`autoscaling/v2`), re-made from what it does.
//!
//! ```text
//!  pods, metrics ─▶ calculator / values ─▶ proposal ─▶ normalise (behavior) ─▶ reconcile ─▶ count, conditions, events
//! ```
//!
//! The pure parts take plain inputs and agree case by case with what the upstream controller answers
//! (`cargo test --test rivals`). An HPA has no other input than its metrics: that is a fact about it, not a handicap.

pub mod behavior;
pub mod calculator;
mod controller;
mod convert;
pub mod normalise;
pub mod pods;
pub mod reconcile;
pub mod replay;
pub mod values;
pub mod words;

pub use controller::{DOWNSCALE_WINDOW, Hpa, Metric, Resource, Target};
pub(super) use controller::{answer, bounds, replicas};

#[cfg(test)]
mod tests;
