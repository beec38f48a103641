//! The one place of this room that reads a clock.
//!
//! Whoever needs the time is handed a [`Clock`]; tests hand in one that they move themselves.

use jiff::Timestamp;

/// A source of the present instant.
pub trait Clock: Send + Sync {
    /// The present instant.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one door through which real time comes in")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
