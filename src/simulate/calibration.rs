//! How well the plant reproduces what a recording shows: the service fitted to it, played with the recorded replicas and
//! sizes, compared with the recorded usage and latency.
//!
//! A comparison of controllers on a plant that does not behave like the workload would be worth nothing:
//! [`Calibration::refusal`] says so.
//!
//! Invariant: the fit uses usage, demand, replicas and start times alone; latency is never fitted, so that its error is an
//! honest one.

use super::{
    Action, Controller, Load, PodAction, Run, Scenario, SimulateError, TraceOptions, View, arrivals,
    recording::{Kind, Recording, Samples, last_at},
};
use crate::{
    decide::{ContainerSize, Decision, Explain, Reason, Resources},
    units::{Bytes, Cores, Replicas, Seconds, maths},
};

/// Mean difference of usage that is accepted, as a share of usage: what two equal weeks of one service differ by.
const USAGE_ERROR: f64 = 0.25;
/// Factor between simulated and recorded latency that is accepted in the middle of cases: an objective is met or missed
/// by less.
const LATENCY_FACTOR: f64 = 2.0;
/// Fewer rows with both demand and usage than this fit nothing.
const LEAST_ROWS: usize = 30;
/// What is compared first: pods that were made before the recording began are still starting in the plant.
const SETTLING: f64 = 900.0;
/// Work below this is not told apart from nothing, in seconds.
const LEAST_WORK: f64 = 1e-6;

/// The fitted service and what it misses.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// CPU time per request.
    pub work: Seconds,
    /// CPU that a pod uses without requests.
    pub idle: Cores,
    /// Time from creation to Ready.
    pub start: Option<Seconds>,
    /// Sum of the differences of usage over the sum of usage.
    pub usage_error: f64,
    /// Median factor between simulated and recorded latency, from 1; none without a recorded latency.
    pub latency_factor: Option<f64>,
    /// Medians of simulated and recorded latency.
    pub latency: Option<(Seconds, Seconds)>,
    /// Instants that were compared.
    pub compared: usize,
}

impl Calibration {
    /// Why controllers should not be compared on this plant; none when they may.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        if self.usage_error > USAGE_ERROR {
            return Some(format!(
                "simulated usage differs from the recorded one by {:.0} % (at most {:.0} %): demand does not explain the CPU \
                 that is used; give the policy a Demand signal that counts the work",
                self.usage_error * 100.0,
                USAGE_ERROR * 100.0
            ));
        }
        match (self.latency_factor, self.latency) {
            (Some(factor), Some((simulated, recorded))) if factor > LATENCY_FACTOR => Some(format!(
                "simulated latency differs from the recorded one by a factor of {factor:.1} (at most {LATENCY_FACTOR:.0}): {:.0} ms \
                 against {:.0} ms in the middle of cases; what requests wait for is not CPU, so sizes and counts would be \
                 judged wrongly",
                simulated.get() * 1000.0,
                recorded.get() * 1000.0
            )),
            _ => None,
        }
    }

    /// Names and values, for the terminal and the report.
    #[must_use]
    pub fn rows(&self) -> Vec<(String, String)> {
        let mut rows = vec![
            (
                "Fitted".to_owned(),
                format!(
                    "{:.2} ms of CPU per request, {:.3} cores per idle pod{}",
                    self.work.get() * 1000.0,
                    self.idle.get(),
                    self.start.map_or_else(String::new, |start| format!(", {:.0} s to start", start.get()))
                ),
            ),
            (
                "Usage".to_owned(),
                format!("differs by {:.1} % over {} instants", self.usage_error * 100.0, self.compared),
            ),
        ];
        let latency = match (self.latency_factor, self.latency) {
            (Some(factor), Some((simulated, recorded))) => format!(
                "differs by a factor of {factor:.2} in the middle of cases: {:.0} ms simulated, {:.0} ms recorded",
                simulated.get() * 1000.0,
                recorded.get() * 1000.0
            ),
            _ => "not recorded: the violations below are the plant's alone".to_owned(),
        };
        rows.push(("Latency".to_owned(), latency));
        rows
    }
}

/// A scenario that plays a recording: its load, and a service fitted to it.
pub fn scenario(recording: &Recording, name: &str, options: TraceOptions) -> Result<Scenario, SimulateError> {
    let empty = Samples::new();
    let of = |kind: Kind| recording.series.get(&kind).unwrap_or(&empty);
    let mut csv = String::from("timestamp_s,rps\n");
    for (at, value) in of(Kind::Demand) {
        csv.push_str(&format!("{at},{value}\n"));
    }
    let mut load = Load::read(&Kind::Demand.file(), csv.as_bytes(), None)?;
    name.clone_into(&mut load.name);
    let (work, idle) = fit(of(Kind::Demand), of(Kind::Usage), of(Kind::Replicas)).ok_or_else(|| {
        SimulateError::Recording(format!(
            "{}: fewer than {LEAST_ROWS} instants have demand, usage and replicas, or usage does not grow with demand; record \
             a longer time, or a Demand signal that counts the work",
            recording.manifest.policy
        ))
    })?;
    let mut scenario = Scenario::from_trace(load, options);
    let service = &mut scenario.service;
    (service.work, service.idle) = (Seconds(work), Cores(idle));
    if let Some(start) = median(of(Kind::Start)) {
        service.start_median = Seconds(start.max(1.0));
    }
    if let Some((_, cores)) = of(Kind::CpuRequest).first().filter(|sample| sample.1 > 0.0) {
        service.request_cores = Cores(*cores);
    }
    if let Some((_, bytes)) = of(Kind::MemoryRequest).first().filter(|sample| sample.1 > 0.0) {
        service.request_memory = Bytes::ceil_from(*bytes);
    }
    scenario.peak_cores = Cores(work * arrivals::peak(&scenario.load));
    Ok(scenario)
}

/// Plays the recorded replicas and sizes, and compares.
#[must_use]
pub fn calibrate(recording: &Recording, scenario: &Scenario) -> Calibration {
    let mut scenario = scenario.clone();
    scenario.duration = Seconds(scenario.load.length_seconds());
    let origin = recording.series.get(&Kind::Demand).and_then(|s| s.first()).map_or(0, |sample| sample.0);
    let replay = Replay { origin, recording: recording.clone() };
    let mut run = Run::new(&scenario, Box::new(replay), 1);
    let (mut difference, mut total, mut compared) = (0.0, 0.0, 0);
    let (mut factors, mut simulated, mut recorded) = (Vec::new(), Vec::new(), Vec::new());
    let mut seconds = 0.0;
    while let Some(tick) = run.advance() {
        let now = origin + whole(seconds);
        seconds += super::TICK.get();
        if seconds < SETTLING {
            continue;
        }
        let usage: Option<f64> = tick.snapshot.containers.iter().map(|c| c.cpu_cores.map(Cores::get)).sum();
        let real = recording.series.get(&Kind::Usage).and_then(|samples| exactly(samples, now));
        if let (Some(usage), Some(real)) = (usage, real) {
            difference += (usage - real).abs();
            total += real;
            compared += 1;
        }
        let real = recording.series.get(&Kind::Latency).and_then(|samples| exactly(samples, now));
        if let (Some(latency), Some(real)) = (tick.truth.latency_seconds, real.filter(|real| *real > 0.0)) {
            factors.push(maths::ln(latency.get().max(1e-6) / real).abs());
            simulated.push(latency.get());
            recorded.push(real);
        }
    }
    let latency = middle(&mut simulated).zip(middle(&mut recorded)).map(|(s, r)| (Seconds(s), Seconds(r)));
    Calibration {
        work: scenario.service.work,
        idle: scenario.service.idle,
        start: recording.series.get(&Kind::Start).and_then(|s| median(s)).map(Seconds),
        usage_error: if total > 0.0 { difference / total } else { 1.0 },
        latency_factor: middle(&mut factors).map(maths::exp),
        latency,
        compared,
    }
}

/// A sample within a tick of an instant.
fn exactly(samples: &[(i64, f64)], now: i64) -> Option<f64> {
    let at = samples.partition_point(|sample| sample.0 <= now).checked_sub(1)?;
    samples.get(at).filter(|sample| now - sample.0 < whole(super::TICK.get())).map(|sample| sample.1)
}

/// Work per request and idle cost per pod that explain usage best (least squares, neither below zero).
fn fit(demand: &[(i64, f64)], usage: &[(i64, f64)], replicas: &[(i64, f64)]) -> Option<(f64, f64)> {
    let rows: Vec<(f64, f64, f64)> =
        usage.iter().filter_map(|(at, cores)| Some((last_at(demand, *at)?, last_at(replicas, *at)?, *cores))).collect();
    if rows.len() < LEAST_ROWS {
        return None;
    }
    let sum = |of: fn(&(f64, f64, f64)) -> f64| rows.iter().map(of).sum::<f64>();
    let (xx, xn, nn) = (sum(|r| r.0 * r.0), sum(|r| r.0 * r.1), sum(|r| r.1 * r.1));
    let (xy, ny) = (sum(|r| r.0 * r.2), sum(|r| r.1 * r.2));
    let determinant = xx * nn - xn * xn;
    let both = (determinant > 1e-9 * xx * nn)
        .then(|| ((xy * nn - ny * xn) / determinant, (ny * xx - xy * xn) / determinant))
        .filter(|(_, idle)| *idle >= 0.0);
    let (work, idle) = both.unwrap_or_else(|| (if xx > 0.0 { xy / xx } else { 0.0 }, 0.0));
    (work > LEAST_WORK).then_some((work, idle))
}

fn median(samples: &[(i64, f64)]) -> Option<f64> {
    middle(&mut samples.iter().map(|sample| sample.1).collect::<Vec<_>>())
}

fn middle(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Whole seconds.
fn whole(seconds: f64) -> i64 {
    i64::try_from(super::whole(seconds)).unwrap_or(i64::MAX)
}

/// Does what was done.
struct Replay {
    origin: i64,
    recording: Recording,
}

impl Controller for Replay {
    fn name(&self) -> &'static str {
        "as recorded"
    }

    fn tick(&mut self, view: &View<'_>) -> Action {
        let now = self.origin + whole(view.now);
        let at = |kind: Kind| {
            let samples = self.recording.series.get(&kind)?;
            // What the first sample shows was there before it.
            last_at(samples, now).or_else(|| samples.first().map(|sample| sample.1))
        };
        let spec = view.snapshot.replicas.spec;
        let replicas =
            at(Kind::Replicas).map_or(spec, |n| Replicas(u32::try_from(whole(n.round())).unwrap_or(u32::MAX)));
        let size = |name: &str, before: &Resources| ContainerSize {
            name: name.to_owned(),
            requests: Resources {
                cpu_cores: at(Kind::CpuRequest).filter(|c| *c > 0.0).map(Cores).or(before.cpu_cores),
                memory_bytes: at(Kind::MemoryRequest)
                    .filter(|b| *b > 0.0)
                    .map(Bytes::ceil_from)
                    .or(before.memory_bytes),
            },
            limits: Resources::default(),
        };
        let containers = view.snapshot.containers.iter().map(|c| size(&c.name, &c.request)).collect();
        let decision = Decision {
            v: 0,
            at: view.snapshot.at,
            replicas,
            containers,
            boost: None,
            reason: Reason::CpuDemand,
            message: "as recorded".to_owned(),
            explain: Explain::default(),
        };
        Action { decision, pods: PodAction::InPlace }
    }
}

#[cfg(test)]
mod tests;
