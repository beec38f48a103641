//! When the HPA controller will look at an object next, told from when it last wrote its status.
//!
//! A change of an HPA's spec is acted on at its next sync only: its controller queues every object a fixed period after the
//! sync before and drops earlier requests (`--horizontal-pod-autoscaler-sync-period`, 15 s; `enqueueHPA` in
//! kube-controller-manager). Between an HPA's standing down and that sync the workload has no owner, so an HPA is stood
//! down just before the sync. Each sync that saw other metrics writes the status, which the watch shows.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// Arrivals that are kept: enough to find the period although some syncs write nothing.
const KEPT: usize = 8;

/// The shortest sync period that is believed; status writes that come closer together belong to one sync.
const SHORTEST: Duration = Duration::from_millis(900);

/// Periods after which the last arrival says nothing of the next sync: each sync adds its own duration.
const STALE_PERIODS: u32 = 4;

/// Arrivals of status changes of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    arrivals: VecDeque<Instant>,
}

impl Pulse {
    /// Notes that a change of the status arrived.
    pub fn beat(&mut self, now: Instant) {
        if self.arrivals.back().is_some_and(|last| now.saturating_duration_since(*last) < SHORTEST) {
            return;
        }
        self.arrivals.push_back(now);
        while self.arrivals.len() > KEPT {
            self.arrivals.pop_front();
        }
    }

    /// Time until the next sync; none when too little was seen to tell.
    #[must_use]
    pub fn next(&self, now: Instant) -> Option<Duration> {
        let last = *self.arrivals.back()?;
        // Syncs that change nothing are not seen, so a gap is a multiple of the period: the shortest one is it.
        let gaps = self.arrivals.iter().zip(self.arrivals.iter().skip(1)).map(|(a, b)| *b - *a);
        let period = gaps.min()?;
        let passed = now.saturating_duration_since(last);
        if passed > period * STALE_PERIODS {
            return None;
        }
        let into = Duration::from_nanos(u64::try_from(passed.as_nanos() % period.as_nanos()).ok()?);
        period.checked_sub(into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pulse(at: &[u64], origin: Instant) -> Pulse {
        let mut pulse = Pulse::default();
        for millis in at {
            pulse.beat(origin + Duration::from_millis(*millis));
        }
        pulse
    }

    #[test]
    fn the_next_sync_is_a_period_after_the_last() {
        let t0 = Instant::now();
        let seen = pulse(&[0, 15_020, 30_040], t0);
        assert_eq!(seen.next(t0 + Duration::from_millis(40_060)), Some(Duration::from_millis(5_000)));
    }

    #[test]
    fn syncs_that_write_nothing_are_reckoned_with() {
        let t0 = Instant::now();
        let seen = pulse(&[0, 45_000, 60_000], t0);
        assert_eq!(seen.next(t0 + Duration::from_secs(80)), Some(Duration::from_secs(10)));
    }

    #[test]
    fn nothing_is_told_from_one_beat_or_from_old_ones() {
        let t0 = Instant::now();
        assert_eq!(pulse(&[0], t0).next(t0), None);
        assert_eq!(pulse(&[0, 15_000], t0).next(t0 + Duration::from_secs(90)), None);
    }

    #[test]
    fn two_writes_of_one_sync_are_one_beat() {
        let t0 = Instant::now();
        let seen = pulse(&[0, 100, 15_000, 15_120], t0);
        assert_eq!(seen.next(t0 + Duration::from_secs(20)), Some(Duration::from_secs(10)));
    }
}
