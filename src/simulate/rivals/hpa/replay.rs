//! A recorded HPA played again: the same inputs into the re-made one, and how far apart the counts are.
//!
//! A recording has a count and a utilization, not pods, so every pod of the count is taken to be ready, measured and
//! alike. Two questions are asked of it. *Next step*: with the recorded count and utilization, is the next count the
//! recorded one? *Alone*: with the recorded usage divided among its own pods, where does the replay go by itself?
//!
//! Pure; times are seconds.

use super::{
    DOWNSCALE_WINDOW,
    calculator::{Calculator, PodsMetric},
    normalise::Bounds,
    pods::{Phase, Pod, PodMetric, Readiness, ReadyCondition},
    reconcile::{Autoscaler, HpaSpec, MetricProposal},
    words::MetricKind,
};

/// `--horizontal-pod-autoscaler-sync-period`, seconds.
pub const SYNC: f64 = 15.0;
/// Request of a pod in the replay; only ratios to it matter. Large, so that rounding to thousandths does not show.
const REQUEST_MILLI: i64 = 1_000_000;

/// A row of a recording.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recorded {
    /// When, seconds.
    pub at: f64,
    /// Count in the workload's spec.
    pub replicas: i32,
    /// CPU of a pod in percent of its request; none in a gap.
    pub percent: Option<f64>,
}

/// Which question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Every look begins at the recorded count.
    NextStep,
    /// The replay lives with its own count. A pod uses at most its request, as one whose limit equals it.
    Alone,
}

/// The HPA that was recorded, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    /// `averageUtilization`.
    pub target_percent: i32,
    /// Bounds.
    pub bounds: Bounds,
    /// Seconds after the recording's beginning at which the first look falls; recordings do not say.
    pub phase: f64,
}

/// How far a replay is from its recording.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Distance {
    /// Looks that were compared.
    pub looks: u32,
    /// Looks with the same count.
    pub same: u32,
    /// Sum of the differences' amounts, replicas.
    pub sum: f64,
    /// Sum of the differences, replicas: positive where the replay has more.
    pub bias: f64,
    /// Largest difference, replicas.
    pub worst: u32,
}

impl Distance {
    /// Adds another one's looks.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            looks: self.looks + other.looks,
            same: self.same + other.same,
            sum: self.sum + other.sum,
            bias: self.bias + other.bias,
            worst: self.worst.max(other.worst),
        }
    }

    fn look(&mut self, recorded: i32, replayed: i32) {
        let difference = replayed.abs_diff(recorded);
        self.looks += 1;
        self.same += u32::from(difference == 0);
        self.sum += f64::from(difference);
        self.bias += f64::from(replayed) - f64::from(recorded);
        self.worst = self.worst.max(difference);
    }
}

/// Plays a recording (rows in order of time) again.
#[must_use]
pub fn replay(recording: &[Recorded], setting: Setting, question: Question) -> Distance {
    let mut distance = Distance::default();
    let (Some(first), Some(last)) = (recording.first(), recording.last()) else { return distance };
    let spec =
        HpaSpec { bounds: setting.bounds, behavior: None, downscale_window: DOWNSCALE_WINDOW, outliving_metric: false };
    let mut hpa = Autoscaler::new(spec);
    let mut own = first.replicas;
    let mut now = first.at + setting.phase;
    while now + SYNC <= last.at {
        let row = row_at(recording, now);
        let current = if question == Question::Alone { own } else { row.replicas };
        let percent = row.percent.map(|percent| match question {
            Question::NextStep => percent,
            Question::Alone => (percent * f64::from(row.replicas) / f64::from(current.max(1))).min(100.0),
        });
        let proposal = proposal(current, percent, setting.target_percent, now);
        own = hpa.reconcile(now, current, || vec![proposal], |_| true).desired;
        // What was decided now shows in the recording by the next look.
        now += SYNC;
        distance.look(row_at(recording, now).replicas, own);
    }
    distance
}

/// The newest row at a time; the first one before it.
fn row_at(recording: &[Recorded], now: f64) -> Recorded {
    let after = recording.partition_point(|row| row.at <= now);
    recording[after.saturating_sub(1)]
}

fn proposal(current: i32, percent: Option<f64>, target: i32, now: f64) -> MetricProposal {
    let usage = percent.map(|percent| super::convert::to_i64(percent / 100.0 * REQUEST_MILLI as f64));
    let pod = Pod {
        phase: Phase::Running,
        deleting: false,
        start_time: Some(f64::NEG_INFINITY),
        ready: Some(ReadyCondition { status: Readiness::True, last_transition: f64::NEG_INFINITY }),
        request: Ok(REQUEST_MILLI),
        metric: usage.map(|milli| PodMetric { timestamp: now, window: SYNC, milli }),
    };
    let pods = vec![pod; usize::try_from(current).unwrap_or(0)];
    let metric = PodsMetric { pods: &pods, strays: &[], cpu: true, timestamp: usage.map(|_| now) };
    let outcome = Calculator::default().utilization(current, target, metric, now);
    MetricProposal { kind: MetricKind::Resource, replicas: outcome.ok().map(|proposal| proposal.replicas) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTING: Setting = Setting { target_percent: 80, bounds: Bounds { min: 1, max: 20 }, phase: 0.0 };

    /// An HPA at 80 %: two pods, a step to 120 % of their load, five minutes after it has gone (the look at 390 s), two.
    fn recording() -> Vec<Recorded> {
        let row = |at, replicas, percent| Recorded { at, replicas, percent: Some(percent) };
        vec![
            row(0.0, 2, 80.0),
            row(60.0, 2, 96.0),
            row(75.0, 3, 64.0),
            row(90.0, 3, 53.0),
            row(390.0, 3, 53.0),
            row(405.0, 2, 80.0),
            row(420.0, 2, 80.0),
        ]
    }

    #[test]
    fn the_same_inputs_give_the_same_counts() {
        for question in [Question::NextStep, Question::Alone] {
            let distance = replay(&recording(), SETTING, question);
            assert_eq!((distance.looks, distance.same, distance.worst), (28, 28, 0), "{question:?}: {distance:?}");
        }
    }

    #[test]
    fn another_target_is_told_apart() {
        let distance = replay(&recording(), Setting { target_percent: 50, ..SETTING }, Question::Alone);
        assert!(distance.same < 10 && distance.bias > 20.0 && distance.worst >= 1, "{distance:?}");
        assert_eq!(distance.with(distance).looks, 56);
    }

    #[test]
    fn a_gap_holds_and_nothing_recorded_is_nothing_compared() {
        let mut gap = recording();
        gap[1].percent = None;
        let distance = replay(&gap, SETTING, Question::NextStep);
        assert_eq!((distance.looks, distance.same), (28, 27));
        assert_eq!(replay(&[], SETTING, Question::Alone), Distance::default());
    }
}
