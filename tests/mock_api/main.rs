//! The writers against an API server that misbehaves: conflicts, refusals, silence. No cluster.

#![expect(clippy::panic, reason = "a test fails by panicking")]

mod lease;
mod resize;
mod scale;
mod server;
