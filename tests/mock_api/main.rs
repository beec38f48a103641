//! The writers against an API server that misbehaves: conflicts, refusals, silence. No cluster.

#![expect(clippy::unwrap_used, clippy::unnecessary_wraps, reason = "a test fails by panicking; answers may be absent")]

mod evict;
mod lease;
mod resize;
mod rivals;
mod scale;
mod server;
mod tenancy;
