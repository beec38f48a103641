//! The fence: what must hold before any write leaves.
//!
//! The leader's claim is current, the snapshot is young, the mode is Auto (for writes that touch a workload), and the
//! one token bucket of all writes has a token; reports leave a share of them to writes that move a workload, so that
//! ten thousand policies with something to say hold up none that has something to do. Time is an argument.
//!
//! Why a claim that is current now is enough for a request that takes a while: a claim runs out at the renew deadline
//! (10 s after the last renewal was *sent*), a request is given up after [`super::WRITE_TIMEOUT`] (3 s), and nobody else
//! takes the lease before its duration (15 s) has passed since they *saw* that renewal.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::{Refusal, WriteKind};
use crate::policy::Mode;

/// How long this instance may write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// Until when; `None`: not at all.
    pub until: Option<Instant>,
    /// Who holds the lease, as last seen.
    pub holder: Option<String>,
}

impl Claim {
    /// Whether this instance leads at an instant.
    #[must_use]
    pub fn current(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}

/// Tokens that refill at a steady rate.
#[derive(Clone, Debug)]
pub struct Bucket {
    per_second: f64,
    size: f64,
    tokens: f64,
    filled: Option<Instant>,
}

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub fn new(per_second: f64, size: f64) -> Self {
        Self { per_second, size, tokens: size, filled: None }
    }

    /// Takes a token, if there is one and at least this share of the bucket is full.
    pub fn take(&mut self, now: Instant, share: f64) -> bool {
        if let Some(filled) = self.filled {
            let passed = now.saturating_duration_since(filled).as_secs_f64();
            self.tokens = (self.tokens + passed * self.per_second).min(self.size);
        }
        self.filled = Some(now);
        let granted = self.tokens >= (self.size * share).max(1.0);
        if granted {
            self.tokens -= 1.0;
        }
        granted
    }
}

/// What one decision brings to the fence.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    /// Mode of the policy.
    pub mode: Mode,
    /// When the snapshot was taken.
    pub seen: Instant,
}

/// The right to send one request. It cannot be copied, and only the fence makes one.
#[derive(Debug)]
pub struct Permit(());

/// The fence; one per process.
#[derive(Debug)]
pub struct Fence {
    claim: watch::Receiver<Claim>,
    bucket: Mutex<Bucket>,
    max_age: Duration,
}

impl Fence {
    /// A fence with the claim to watch, the bucket of all writes, and the age at which a snapshot is too old.
    #[must_use]
    pub fn new(claim: watch::Receiver<Claim>, bucket: Bucket, max_age: Duration) -> Self {
        Self { claim, bucket: Mutex::new(bucket), max_age }
    }

    /// Whether this instance leads.
    #[must_use]
    pub fn leads(&self, now: Instant) -> bool {
        self.claim.borrow().current(now)
    }

    /// Lets one request pass, or says why not. The token is taken last, so that refusals cost none.
    pub fn pass(&self, kind: WriteKind, gate: Gate, now: Instant) -> Result<Permit, Refusal> {
        if kind.touches_workload() && gate.mode != Mode::Auto {
            return Err(Refusal::Mode);
        }
        if !self.leads(now) {
            return Err(Refusal::NotLeader);
        }
        if now.saturating_duration_since(gate.seen) > self.max_age {
            return Err(Refusal::Old);
        }
        let granted = self.bucket.lock().unwrap_or_else(PoisonError::into_inner).take(now, kind.leaves());
        if granted { Ok(Permit(())) } else { Err(Refusal::Rate) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE: Duration = Duration::from_secs(30);

    fn fence(until: Option<Instant>, tokens: f64) -> Fence {
        let (_, claim) = watch::channel(Claim { until, holder: None });
        Fence::new(claim, Bucket::new(1.0, tokens), AGE)
    }

    #[test]
    fn everything_must_hold() {
        let now = Instant::now();
        let later = now + Duration::from_secs(10);
        let gate = Gate { mode: Mode::Auto, seen: now };
        let open = || fence(Some(later), 1.0);
        assert!(open().pass(WriteKind::Scale, gate, now).is_ok());
        let refused = |fence: Fence, gate, at| fence.pass(WriteKind::Scale, gate, at).unwrap_err();
        for mode in [Mode::Recommend, Mode::Paused] {
            assert_eq!(refused(open(), Gate { mode, seen: now }, now), Refusal::Mode);
        }
        assert_eq!(refused(fence(None, 1.0), gate, now), Refusal::NotLeader);
        assert_eq!(refused(open(), gate, later), Refusal::NotLeader, "a claim ends at its instant");
        let long = fence(Some(now + 2 * AGE), 1.0);
        assert_eq!(refused(long, gate, now + AGE + Duration::from_millis(1)), Refusal::Old);
        assert_eq!(refused(fence(Some(later), 0.0), gate, now), Refusal::Rate);
    }

    #[test]
    fn status_is_written_in_every_mode_but_only_by_the_leader() {
        let now = Instant::now();
        let gate = Gate { mode: Mode::Recommend, seen: now };
        assert!(fence(Some(now + AGE), 1.0).pass(WriteKind::Status, gate, now).is_ok());
        assert_eq!(fence(None, 1.0).pass(WriteKind::Status, gate, now).unwrap_err(), Refusal::NotLeader);
    }

    #[test]
    fn one_bucket_serves_all_kinds_and_refills() {
        let now = Instant::now();
        let fence = fence(Some(now + AGE), 2.0);
        let gate = Gate { mode: Mode::Auto, seen: now };
        assert!(fence.pass(WriteKind::Scale, gate, now).is_ok());
        assert!(fence.pass(WriteKind::Status, gate, now).is_ok());
        assert_eq!(fence.pass(WriteKind::Event, gate, now).unwrap_err(), Refusal::Rate);
        assert!(fence.pass(WriteKind::Event, gate, now + Duration::from_secs(2)).is_ok());
    }

    #[test]
    fn reports_leave_tokens_to_writes_that_move_a_workload() {
        let now = Instant::now();
        let fence = fence(Some(now + AGE), 100.0);
        let gate = Gate { mode: Mode::Auto, seen: now };
        let granted = |kind| (0..200).take_while(|_| fence.pass(kind, gate, now).is_ok()).count();
        assert_eq!(granted(WriteKind::Event), 26);
        assert_eq!(granted(WriteKind::Status), 25);
        assert_eq!(granted(WriteKind::Memory), 25, "statuses without end do not keep it from being written");
        assert_eq!(granted(WriteKind::Scale), 24);
    }

    #[test]
    fn a_refused_write_costs_no_token() {
        let now = Instant::now();
        let fence = fence(Some(now + AGE), 1.0);
        let paused = Gate { mode: Mode::Paused, seen: now };
        for _ in 0..5 {
            assert_eq!(fence.pass(WriteKind::Resize, paused, now).unwrap_err(), Refusal::Mode);
        }
        assert!(fence.pass(WriteKind::Resize, Gate { mode: Mode::Auto, seen: now }, now).is_ok());
    }
}
