//! Progress on stderr, and the stopwatch: the only place outside the controller that reads a clock.

use std::time::{Duration, Instant};

/// A bar of ticks done, on stderr when it is a terminal and nowhere else.
pub(super) fn bar(total: u64) -> indicatif::ProgressBar {
    let style = indicatif::ProgressStyle::with_template("{bar:32} {percent:>3} % {msg} · {eta} left");
    let bar = indicatif::ProgressBar::new(total);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Time since it was started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[expect(clippy::disallowed_methods, reason = "measures how long work takes; never reaches a decision or a score")]
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    pub(super) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}
