//! What a number was lately: a step function of time, so that two measurements are compared over the same window.

use serde::{Deserialize, Serialize};

use super::arith::keep_last;

/// Steps that are kept; a usage window of half a minute sees at most eight (one tick in 15 s, one look in 5 s).
const STEPS: usize = 24;

/// Values since an instant (unix seconds), oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Past(Vec<(f64, f64)>);

impl Past {
    /// Notes a value; answers whether it is another one than before.
    pub(super) fn note(&mut self, t: f64, value: f64) -> bool {
        if self.0.last().is_some_and(|&(_, last)| last == value) {
            return false;
        }
        // A measurement that is older than the last one came late: it holds from then on all the same.
        let t = self.0.last().map_or(t, |&(last, _)| t.max(last));
        keep_last(&mut self.0, STEPS, (t, value));
        true
    }

    /// Mean over `[from, to]`; before the oldest step its value is taken, and 0 when nothing was ever noted.
    pub(super) fn mean(&self, (from, to): (f64, f64)) -> f64 {
        let Some(&(_, oldest)) = self.0.first() else { return 0.0 };
        let mut sum = 0.0;
        let mut at = from;
        let mut current = oldest;
        for &(since, value) in &self.0 {
            if since > at {
                let until = since.min(to);
                sum += current * (until - at).max(0.0);
                at = until.max(at);
            }
            if since <= to {
                current = value;
            }
        }
        sum += current * (to - at).max(0.0);
        if to > from { sum / (to - from) } else { current }
    }
}

#[cfg(test)]
mod tests {
    use super::Past;

    #[test]
    fn a_mean_weighs_values_by_their_time() {
        let mut past = Past::default();
        assert_eq!(past.mean((0.0, 30.0)), 0.0);
        for (t, value) in [(0.0, 2.0), (10.0, 2.0), (20.0, 8.0)] {
            past.note(t, value);
        }
        assert_eq!(past.mean((-30.0, 0.0)), 2.0, "before the oldest step");
        assert_eq!(past.mean((10.0, 40.0)), 6.0, "a third at 2, two thirds at 8");
        assert_eq!(past.mean((50.0, 50.0)), 8.0, "a window of no length");
    }

    #[test]
    fn old_steps_are_forgotten() {
        let mut past = Past::default();
        for i in 0..1000 {
            past.note(f64::from(i), f64::from(i % 7));
        }
        assert_eq!(past.0.len(), super::STEPS);
    }
}
