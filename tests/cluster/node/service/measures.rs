//! What the service tells Prometheus.

use std::{
    fmt::Write as _,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Upper bounds of the histogram's buckets, seconds.
const BOUNDS: [f64; 8] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

#[derive(Default)]
struct Counts {
    arrived: u64,
    refused: u64,
    answered: u64,
    seconds: f64,
    within: [u64; BOUNDS.len()],
}

/// Counters since the start.
#[derive(Default)]
pub(crate) struct Measures(Mutex<Counts>);

impl Measures {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request came.
    pub(crate) fn arrived(&self) {
        self.counts().arrived += 1;
    }

    /// It found no room.
    pub(crate) fn refused(&self) {
        self.counts().refused += 1;
    }

    /// It was answered so long after it came.
    pub(crate) fn answered(&self, after: Duration) {
        let mut counts = self.counts();
        counts.answered += 1;
        counts.seconds += after.as_secs_f64();
        for (within, bound) in counts.within.iter_mut().zip(BOUNDS) {
            *within += u64::from(after.as_secs_f64() <= bound);
        }
    }

    /// The text format of Prometheus.
    pub(crate) fn text(&self, queued: usize) -> String {
        let counts = self.counts();
        let mut text = String::new();
        let mut one = |name: &str, kind: &str, value: String| {
            writeln!(text, "# TYPE {name} {kind}\n{name} {value}").expect("writing to a string cannot fail");
        };
        one("http_requests_total", "counter", counts.arrived.to_string());
        one("http_requests_refused_total", "counter", counts.refused.to_string());
        one("http_requests_in_queue", "gauge", queued.to_string());
        let name = "http_request_duration_seconds";
        text.push_str(&format!("# TYPE {name} histogram\n"));
        let mut line = |end: &str, value: String| {
            writeln!(text, "{name}{end} {value}").expect("writing to a string cannot fail");
        };
        line("_count", counts.answered.to_string());
        line("_sum", counts.seconds.to_string());
        for (bound, within) in BOUNDS.iter().zip(counts.within) {
            line(&format!("_bucket{{le=\"{bound}\"}}"), within.to_string());
        }
        line("_bucket{le=\"+Inf\"}", counts.answered.to_string());
        text
    }
}
