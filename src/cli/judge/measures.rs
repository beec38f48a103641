//! The measures: what the model must reach, what it aims at, what it reaches on each half.

use super::{
    cases::{self, KEDA, QUEUE, USUAL, WAYS},
    halves::{Half, Halves},
    kernel::Kernel,
    results::{At, Results, geomean, late, mean},
};

/// arbiter and its rivals at the usual setting.
pub(super) const ARBITER: At<'static> = (USUAL, "arbiter");
pub(super) const HPA: At<'static> = (USUAL, "hpa70");
pub(super) const HPA_VPA: At<'static> = (USUAL, "hpa70-vpa");
pub(super) const HINDSIGHT: At<'static> = (USUAL, "hpa-hindsight");
pub(super) const ORACLE: At<'static> = (USUAL, "oracle-n");
/// An HPA that violates less than this serves its load: what arbiter saves there is not bought with lateness.
const SERVED: f64 = 0.015;

/// One measure; the smaller the better.
pub(super) struct Measure {
    pub(super) name: String,
    pub(super) least: f64,
    pub(super) aim: f64,
    pub(super) write: fn(f64) -> String,
    /// On each half; none where it was not measured.
    pub(super) halves: [Option<f64>; 2],
    /// The worst load of each half, with its value.
    pub(super) worst: [Option<(f64, String)>; 2],
}

/// A value and the load that has the largest one.
type Found = Option<(f64, Option<(f64, String)>)>;

/// What measures are made of.
pub(super) struct Measured<'a> {
    pub(super) results: &'a Results,
    pub(super) halves: &'a Halves,
    pub(super) kernel: Option<&'a Kernel>,
}

impl Measured<'_> {
    /// Loads of a half at a setting.
    pub(super) fn traces(&self, half: Half, setting: &str) -> Vec<&str> {
        let traces = self.results.traces(setting).into_iter();
        traces.filter(|trace| self.halves.get(*trace) == Some(&half)).collect()
    }

    /// All measures, in the order of the report.
    pub(super) fn all(&self) -> Vec<Measure> {
        let mut all = vec![self.worst_of_all()];
        all.extend(self.ratios());
        all.extend(self.restlessness());
        all.extend(WAYS.iter().zip([(0.95, 0.85), (1.0, 0.93)]).flat_map(|(way, bounds)| self.way(*way, bounds)));
        all.extend(self.queues());
        all.extend(self.kernel());
        all
    }

    /// A measure of both halves.
    fn measure(
        &self,
        name: &str,
        (least, aim): (f64, f64),
        write: fn(f64) -> String,
        find: impl Fn(&[&str]) -> Found,
    ) -> Measure {
        let [development, judged] = Half::ALL.map(|half| find(&self.traces(half, USUAL)));
        let value = |found: &Found| found.as_ref().map(|found| found.0);
        let halves = [value(&development), value(&judged)];
        let worst = [development, judged].map(|found| found.and_then(|found| found.1));
        Measure { name: name.to_owned(), least, aim, write, halves, worst }
    }

    /// J against hpa70 on the worst load at the worst setting.
    fn worst_of_all(&self) -> Measure {
        self.measure("worst load, every peak and condition: J against hpa70", (1.03, 0.98), ratio, |traces| {
            let worst = largest(cases::compared().into_iter().flat_map(|setting| {
                let against = move |trace| self.results.ratio(trace, (setting, "arbiter"), (setting, "hpa70"));
                traces.iter().map(move |trace| (against(*trace), format!("{trace} at {setting}")))
            }))?;
            Some((worst.0, Some(worst)))
        })
    }

    /// Geometric means of J against someone else's.
    fn ratios(&self) -> Vec<Measure> {
        let served = |trace: &str| {
            self.results.mean(trace, HPA, |score| score.violation_ratio).is_some_and(|late| late < SERVED)
        };
        let over = |name: &str, bounds, rival: At<'static>, among: &dyn Fn(&str) -> bool| {
            self.measure(name, bounds, ratio, |traces| {
                let traces: Vec<&str> = traces.iter().copied().filter(|trace| among(trace)).collect();
                geometric(&traces, |trace| self.results.ratio(trace, ARBITER, rival))
            })
        };
        let violations = self.measure("violations, mean: over hpa70's", (1.0, 0.5), ratio, |traces| {
            let of = |at: At<'static>| {
                let late = |trace: &&str| self.results.mean(trace, at, late);
                traces.iter().map(late).collect::<Option<Vec<f64>>>().and_then(|late| mean(&late))
            };
            let each =
                |trace: &str| Some(self.results.mean(trace, ARBITER, late)? / self.results.mean(trace, HPA, late)?);
            let worst = largest(traces.iter().map(|trace| (each(trace), (*trace).to_owned())));
            Some((of(ARBITER)? / of(HPA).filter(|late| *late > 0.0)?, worst))
        });
        vec![
            over("J against oracle-n, geometric mean", (1.33, 1.15), ORACLE, &|_| true),
            over("the same where hpa70 violates < 1.5 %", (1.17, 1.07), ORACLE, &served),
            over("J against the best of 20 HPAs in hindsight, geometric mean", (0.97, 0.90), HINDSIGHT, &|_| true),
            over("J against hpa70, geometric mean", (0.84, 0.75), HPA, &|_| true),
            over("J against hpa70-vpa, geometric mean", (0.89, 0.80), HPA_VPA, &|_| true),
            violations,
        ]
    }

    /// Holding while saturated, trims, reversals.
    fn restlessness(&self) -> Vec<Measure> {
        let hold = self.measure("saturated and still holding, longest, in lead times", (2.0, 1.0), number, |traces| {
            let peaks = cases::peaks();
            let worst = largest(peaks.into_iter().flat_map(|setting| {
                let longest = move |trace| {
                    self.results.most(trace, (setting, "arbiter"), |score| score.longest_saturated_hold_leads)
                };
                traces.iter().map(move |trace| (longest(*trace), format!("{trace} at {setting}")))
            }))?;
            Some((worst.0, Some(worst)))
        });
        let trims =
            self.measure("in-place trims per pod and day at the default budget", (96.0, 24.0), number, |traces| {
                arithmetic(traces, |trace| self.results.mean(trace, ARBITER, |score| Some(score.trims_per_pod_day)))
            });
        let reversals = self.measure("reversals per hour, mean", (0.6, 0.3), number, |traces| {
            arithmetic(traces, |trace| self.results.mean(trace, ARBITER, |score| Some(score.reversals_per_hour)))
        });
        vec![hold, trims, reversals]
    }

    /// A way in with fewer signals against hpa70.
    fn way(&self, (name, words): (&'static str, &str), (least, aim): (f64, f64)) -> [Measure; 2] {
        let each = move |trace: &str| self.results.ratio(trace, (USUAL, name), HPA);
        let mean = self.measure(&format!("{words}: J against hpa70, geometric mean"), (least, aim), ratio, |traces| {
            geometric(traces, each)
        });
        let worst = self.measure(&format!("{words}: worst load"), (1.03, 1.0), ratio, |traces| {
            let worst = largest(traces.iter().map(|trace| (each(trace), (*trace).to_owned())))?;
            Some((worst.0, Some(worst)))
        });
        [mean, worst]
    }

    /// Queues, which are made: there are no halves of them.
    fn queues(&self) -> Option<Measure> {
        let traces = self.results.traces(QUEUE);
        let found = geometric(&traces, |trace| self.queue(trace).map(|queue| queue.ratio))?;
        Some(Measure {
            name: "queues: J against the best of 36 KEDA settings at equal or fewer late items, geometric mean"
                .to_owned(),
            least: 1.1,
            aim: 0.9,
            write: ratio,
            halves: [None, Some(found.0)],
            worst: [None, found.1],
        })
    }

    /// A queue under arbiter and under KEDA.
    pub(super) fn queue(&self, trace: &str) -> Option<Queue> {
        let at = (QUEUE, "arbiter");
        let (j, lateness) = (self.results.j(trace, at)?, self.results.mean(trace, at, late)?);
        let mut settings: Vec<(f64, f64)> = Vec::new();
        for (_, scores) in self.results.of(trace, (QUEUE, KEDA)) {
            let js: Vec<f64> = scores.values().map(|score| score.j.get()).collect();
            let lates = scores.values().map(late).collect::<Option<Vec<f64>>>()?;
            settings.push((mean(&js)?, mean(&lates)?));
        }
        let cheapest =
            |settings: &mut dyn Iterator<Item = &(f64, f64)>| settings.min_by(|a, b| a.0.total_cmp(&b.0)).copied();
        let best = cheapest(&mut settings.iter())?;
        // Where no setting of KEDA's is as punctual, its cheapest one is what arbiter has fewer late items than.
        let equal = cheapest(&mut settings.iter().filter(|(_, late)| *late <= lateness + 1e-9)).unwrap_or(best);
        Some(Queue { j, late: lateness, best, equal, ratio: j / equal.0 })
    }

    /// One decision, and what is kept between decisions.
    fn kernel(&self) -> Vec<Measure> {
        let Some(kernel) = self.kernel else { return Vec::new() };
        let one = |name: &str, value: f64, (least, aim)| Measure {
            name: name.to_owned(),
            least,
            aim,
            write: number,
            halves: [None, Some(value)],
            worst: [None, None],
        };
        vec![
            one("one decision at 256 replicas, p50, µs", kernel.p50_ns as f64 / 1000.0, (10.0, 3.0)),
            one("one decision at 256 replicas, p99, µs", kernel.p99_ns as f64 / 1000.0, (50.0, 15.0)),
            one("state of a workload as JSON, KB", kernel.state_bytes as f64 / 1000.0, (20.0, 8.0)),
        ]
    }
}

/// A queue under arbiter and under KEDA: J and share of late items.
pub(super) struct Queue {
    pub(super) j: f64,
    pub(super) late: f64,
    /// KEDA's cheapest setting.
    pub(super) best: (f64, f64),
    /// Its cheapest one with no more late items than arbiter.
    pub(super) equal: (f64, f64),
    pub(super) ratio: f64,
}

pub(super) fn ratio(value: f64) -> String {
    format!("{value:.3}")
}

pub(super) fn number(value: f64) -> String {
    format!("{value:.2}")
}

/// The largest of named values.
fn largest(values: impl Iterator<Item = (Option<f64>, String)>) -> Option<(f64, String)> {
    values.filter_map(|(value, name)| Some((value?, name))).max_by(|a, b| a.0.total_cmp(&b.0))
}

/// Geometric mean over loads; none where one has no value.
fn geometric(traces: &[&str], each: impl Fn(&str) -> Option<f64>) -> Found {
    let values = traces.iter().map(|trace| each(trace)).collect::<Option<Vec<f64>>>()?;
    let worst = largest(values.iter().zip(traces).map(|(value, trace)| (Some(*value), (*trace).to_owned())));
    Some((geomean(&values)?, worst))
}

/// Mean over loads; none where one has no value.
fn arithmetic(traces: &[&str], each: impl Fn(&str) -> Option<f64>) -> Found {
    let values = traces.iter().map(|trace| each(trace)).collect::<Option<Vec<f64>>>()?;
    let worst = largest(values.iter().zip(traces).map(|(value, trace)| (Some(*value), (*trace).to_owned())));
    Some((mean(&values)?, worst))
}
