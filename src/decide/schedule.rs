//! Schedules: floors that return with the calendar.
//!
//! Where several hold, the highest counts. A floor is there from its start to its end and not a second before: the time
//! is the user's. Replicas up to it are never idle, so that after its end they leave by the usual hold.

use jiff::Timestamp;

use super::ScheduledFloor;
use crate::{
    policy::{Policy, Schedule},
    units::Replicas,
};

/// What the calendar says at an instant.
#[derive(Clone, Debug, Default)]
pub(super) struct Calendar<'a> {
    /// The floor that holds now.
    pub(super) now: Option<Floor<'a>>,
    /// The floor that begins next.
    pub(super) next: Option<Floor<'a>>,
}

/// One window of one schedule.
#[derive(Clone, Debug)]
pub(super) struct Floor<'a> {
    /// Fewest replicas.
    pub(super) replicas: u32,
    start: Timestamp,
    /// When it ends.
    pub(super) end: Timestamp,
    schedule: &'a Schedule,
}

impl<'a> Calendar<'a> {
    /// Looks at all schedules.
    pub(super) fn of(policy: &'a Policy, now: Timestamp) -> Self {
        if !policy.levers.replicas {
            return Self::default();
        }
        let floor = |schedule: &'a Schedule, (start, end): (Timestamp, Timestamp)| Floor {
            replicas: schedule.min_replicas.0.min(policy.replicas.max.0.max(1)),
            start,
            end,
            schedule,
        };
        let held = policy.schedules.iter().filter_map(|s| Some(floor(s, s.window(now)?)));
        let to_come = policy.schedules.iter().filter_map(|s| Some(floor(s, s.next_window(now)?)));
        Self {
            // Of equally high ones the one that ends last.
            now: held.max_by_key(|floor| (floor.replicas, floor.end)),
            next: to_come.min_by_key(|floor| (floor.start, std::cmp::Reverse(floor.replicas))),
        }
    }

    /// The floor that holds now; 0 without one.
    pub(super) fn floor(&self) -> u32 {
        self.now.as_ref().map_or(0, |floor| floor.replicas)
    }

    /// For the record: the floor that holds, and the one that begins next.
    pub(super) fn record(&self) -> Vec<ScheduledFloor> {
        let each = [(&self.now, true), (&self.next, false)].into_iter();
        each.filter_map(|(floor, active)| {
            let Floor { replicas, start, end, .. } = floor.as_ref()?;
            Some(ScheduledFloor { min_replicas: Replicas(*replicas), active, start: *start, end: *end })
        })
        .collect()
    }
}

impl Floor<'_> {
    /// `at least 10 until 18:00 (Europe/Paris)`
    pub(super) fn words(&self) -> String {
        let (begun, ends) = (self.schedule.on_its_clock(self.start), self.schedule.on_its_clock(self.end));
        // The day matters only where it is another one.
        let shape = if begun.date() == ends.date() { "%H:%M" } else { "%a %d %b %H:%M" };
        format!("at least {} until {} ({})", self.replicas, ends.strftime(shape), self.schedule.time_zone())
    }

    /// The schedule's cron expression.
    pub(super) fn cron(&self) -> &str {
        self.schedule.cron()
    }
}
