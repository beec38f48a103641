//! A queue in front of the pods: items wait their turn, the oldest first; one that waits past its deadline is late.

use std::collections::VecDeque;

/// Items that came in the same step.
#[derive(Clone, Copy, Debug)]
struct Cohort {
    came_at: f64,
    items: f64,
    late: bool,
}

/// What waits, and what is being worked on.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting {
    cohorts: VecDeque<Cohort>,
    /// Items that wait.
    pub(super) items: f64,
    /// Items that pods work on.
    pub(super) in_flight: f64,
    /// The same a step before.
    before: (f64, f64),
}

impl Waiting {
    /// Items come.
    pub(super) fn arrive(&mut self, now: f64, items: f64) {
        self.before = (self.items, self.in_flight);
        if items > 0.0 {
            self.cohorts.push_back(Cohort { came_at: now, items, late: false });
            self.items += items;
        }
    }

    /// Pods can take so many items in this step; how many they took.
    pub(super) fn take(&mut self, capacity: f64) -> f64 {
        let mut left = capacity;
        while left > 0.0
            && let Some(cohort) = self.cohorts.front_mut()
        {
            let taken = cohort.items.min(left);
            cohort.items -= taken;
            left -= taken;
            if cohort.items > 0.0 {
                break;
            }
            self.cohorts.pop_front();
        }
        // Rounding must not leave a trace of an item in an empty queue.
        let taken = capacity - left;
        self.items = if self.cohorts.is_empty() { 0.0 } else { (self.items - taken).max(0.0) };
        taken
    }

    /// Items that have become late since this was asked last.
    pub(super) fn newly_late(&mut self, now: f64, deadline: f64) -> f64 {
        let mut late = 0.0;
        // The late ones are the first ones: all items have the same deadline.
        for cohort in self.cohorts.iter_mut().take_while(|cohort| now - cohort.came_at > deadline) {
            if !cohort.late {
                cohort.late = true;
                late += cohort.items;
            }
        }
        late
    }

    /// Waiting and in flight, some time after the last step began, as a share of a step.
    pub(super) fn seen(&self, part: f64) -> (f64, f64) {
        let between = |before: f64, after: f64| before + (after - before) * part;
        (between(self.before.0, self.items), between(self.before.1, self.in_flight))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first_and_an_item_is_late_once() {
        let mut waiting = Waiting::default();
        waiting.arrive(0.0, 10.0);
        waiting.arrive(5.0, 10.0);
        assert_eq!(waiting.take(4.0), 4.0);
        assert_eq!(waiting.newly_late(20.0, 10.0), 16.0);
        assert_eq!(waiting.newly_late(25.0, 10.0), 0.0);
        assert_eq!(waiting.take(100.0), 16.0);
        assert_eq!(waiting.items, 0.0);
        waiting.arrive(30.0, 3.0);
        assert_eq!(waiting.newly_late(35.0, 10.0), 0.0);
    }
}
