//! A pod as a discrete-event simulation: where the latency table comes from, and what it is tested against.
//!
//! A pod is a processor-sharing server: everything in it shares the CPU, and one request never uses more than one core.
//! Every request is therefore served at the same speed, so a single virtual clock that runs at that speed tells when each
//! is done: a request that needs `w` leaves when the clock has gone `w` further. Work has mean 1, so times are in units of
//! the mean work of a request.
//!
//! Must not be called by a run: it is slow, and a run reads the table.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::super::random::Stream;
use crate::units::maths;

/// Distribution of the work of a request, with mean 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Work {
    /// With this squared coefficient of variation.
    Lognormal(f64),
    /// Memoryless.
    #[cfg(test)]
    Exponential,
    /// Always the same.
    #[cfg(test)]
    Constant,
}

impl Work {
    fn draw(self, stream: &mut Stream) -> f64 {
        match self {
            Self::Lognormal(variation) => {
                let variance = maths::ln(1.0 + variation);
                stream.lognormal(maths::exp(-variance / 2.0), variance.sqrt())
            }
            #[cfg(test)]
            Self::Exponential => -maths::ln(1.0 - stream.uniform()),
            #[cfg(test)]
            Self::Constant => 1.0,
        }
    }
}

/// A pod under Poisson arrivals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Server {
    /// Cores.
    pub(super) cores: f64,
    /// Work that arrives over cores, below 1.
    pub(super) utilization: f64,
    /// Work of a request.
    pub(super) work: Work,
}

/// A request inside: the virtual time at which it is done, and when it came.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Job {
    done_at: f64,
    came_at: f64,
}

impl Eq for Job {}

impl PartialOrd for Job {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Job {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.done_at.total_cmp(&other.done_at).then(self.came_at.total_cmp(&other.came_at))
    }
}

impl Server {
    /// Serves so many requests and tells the sojourn time of each, in the order in which they leave. The server begins
    /// empty; a tenth more is served before, untold.
    pub(super) fn serve(&self, requests: usize, stream: &mut Stream, mut tell: impl FnMut(f64)) {
        let mean_gap = 1.0 / (self.cores * self.utilization);
        let (mut now, mut virtual_now, mut next) = (0.0, 0.0, 0.0);
        let mut inside: BinaryHeap<Reverse<Job>> = BinaryHeap::new();
        let untold = requests / 10;
        let mut done = 0;
        while done < requests + untold {
            let speed = (self.cores / inside.len().max(1) as f64).min(1.0);
            let finish = inside.peek().map(|Reverse(job)| now + (job.done_at - virtual_now) / speed);
            match finish {
                Some(finish) if finish <= next => {
                    let Some(Reverse(job)) = inside.pop() else { return };
                    now = finish;
                    virtual_now = job.done_at;
                    done += 1;
                    if done > untold {
                        tell(now - job.came_at);
                    }
                }
                _ => {
                    virtual_now += (next - now) * speed;
                    now = next;
                    let done_at = virtual_now + self.work.draw(stream);
                    inside.push(Reverse(Job { done_at, came_at: now }));
                    next = now - maths::ln(1.0 - stream.uniform()) * mean_gap;
                }
            }
        }
    }
}
