//! What policies name as signals, read and judged.
//!
//! One file per source: [`prometheus`], [`prometheus_histogram`], [`nats_jetstream`]. [`probe`] finds out whether the
//! series behind a value are young and all there, [`judge`] says what a value is worth, and [`SignalHub`] does it for all
//! policies together: identical queries are asked once, a bounded number at a time.
//!
//! Invariant: every signal of every policy gets a [`Reading`](crate::decide::Reading) with a state; one source's failure
//! touches no other.

pub mod buckets;
mod hub;
pub mod judge;
pub mod nats_jetstream;
mod poller;
pub mod probe;
pub mod prometheus;
pub mod prometheus_histogram;

pub use hub::{HubConfig, ReadContext, Readings, SignalHub};
