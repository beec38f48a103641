//! What people see over HTTP: the page and its JSON API; with a cluster also metrics and health.

pub mod catalogue;
#[cfg(feature = "controller")]
pub mod health;
#[cfg(feature = "controller")]
pub mod metrics;
