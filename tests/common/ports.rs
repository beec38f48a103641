//! Ports for processes that tests start and tell where to listen.

use std::{
    net::TcpListener,
    ops::Range,
    sync::atomic::{AtomicU16, Ordering},
};

/// Below the blocks of `tests/cluster/up` and below the range from which the kernel gives ports to outgoing connections
/// (32768 on Linux): of that range any could be taken by a connection between the look at it and the process' own bind.
const PORTS: Range<u16> = 10_240..20_000;

/// A port on which nobody listens, and which this process has not been given lately.
pub(crate) fn free_port() -> u16 {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let count = u32::from(PORTS.end - PORTS.start);
    // Test processes side by side begin apart.
    let first = std::process::id().wrapping_mul(613) % count;
    let port = |nth: u16| PORTS.start + u16::try_from((first + u32::from(nth)) % count).unwrap_or_default();
    (0..PORTS.end - PORTS.start)
        .map(|_| port(GIVEN.fetch_add(1, Ordering::Relaxed)))
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}
