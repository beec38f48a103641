//! The world outside the workload, drawn before the run: requests per step, gaps in the signal, neighbours on the nodes.
//!
//! A recording is resampled to the plant's step, tiled when it is shorter than what is asked for, rescaled so that its
//! 99.9th percentile is the chosen peak, and made noisy: an Ornstein–Uhlenbeck factor (load is not smooth between the
//! samples of a recording) times Poisson arrivals.
//!
//! Invariant: depends on the scenario and the seed alone; every controller meets the same.

use super::{Load, STEP_SECONDS, Scenario, random::Stream, whole};
use crate::units::maths;

/// Deviation of the load's noise: what remains of per-second measurements around their one-minute mean.
const NOISE_DEVIATION: f64 = 0.06;
/// Correlation time of that noise, in seconds.
const NOISE_SECONDS: f64 = 90.0;
/// Correlation time and deviation of how busy neighbours are; 0 = busy nodes, 1 = idle nodes.
const NEIGHBOUR_SECONDS: f64 = 300.0;
const NEIGHBOUR_DEVIATION: f64 = 0.25;
/// Amplitudes of tiles. An exact repetition would let a daily profile learn the replay.
const TILE_AMPLITUDE: (f64, f64) = (0.8, 1.2);
/// The quantile of the load that is scaled to the peak; the very largest sample is often an outlier.
const PEAK_QUANTILE: f64 = 0.999;

/// What one run meets, step by step.
#[derive(Clone, Debug)]
pub(super) struct Arrivals {
    /// Requests, or items of the queue, that arrive in the step.
    pub(super) requests: Vec<f64>,
    /// Whether the request signal is missing.
    pub(super) gap: Vec<bool>,
    /// How idle the neighbours are, in [0, 1].
    pub(super) idle_neighbours: Vec<f64>,
}

impl Arrivals {
    /// Draws the world of a scenario and a seed.
    pub(super) fn draw(scenario: &Scenario, seed: u64) -> Self {
        let steps = whole(scenario.duration.get() / STEP_SECONDS);
        let (mut rates, gap) = tiled(&scenario.load, steps, seed);
        let peak = || quantile(&rates, PEAK_QUANTILE).max(f64::MIN_POSITIVE);
        let cores = if scenario.load.in_cores { 1.0 } else { scenario.peak_cores.get() / peak() };
        let scale = cores / scenario.service.work.get();
        for rate in &mut rates {
            *rate *= scale;
        }
        Self {
            requests: noisy(&rates, scenario.load.noise.unwrap_or(NOISE_DEVIATION), seed),
            gap,
            idle_neighbours: neighbours(steps, seed),
        }
    }
}

/// Rate and gaps of every step: the recording itself, or tiles of it with random phase and amplitude.
fn tiled(load: &Load, steps: usize, seed: u64) -> (Vec<f64>, Vec<bool>) {
    let (rates, gaps) = resampled(load);
    if steps <= rates.len() {
        return (rates[..steps].to_vec(), gaps[..steps].to_vec());
    }
    let mut stream = Stream::new(seed, "tiles", 0);
    let mut out = (Vec::with_capacity(steps), Vec::with_capacity(steps));
    while out.0.len() < steps {
        let phase = whole(stream.uniform() * rates.len() as f64);
        let (low, high) = TILE_AMPLITUDE;
        let amplitude = low + (high - low) * stream.uniform();
        for i in 0..rates.len().min(steps - out.0.len()) {
            let at = (phase + i) % rates.len();
            out.0.push(rates[at] * amplitude);
            out.1.push(gaps[at]);
        }
    }
    out
}

/// The recording in plant steps: the mean of the samples within a step, else linear between its neighbours.
fn resampled(load: &Load) -> (Vec<f64>, Vec<bool>) {
    let samples = &load.samples;
    let steps = whole(load.length_seconds() / STEP_SECONDS).max(1);
    let mut next = 0;
    (0..steps)
        .map(|step| {
            let (start, end) = (step as f64 * STEP_SECONDS, (step + 1) as f64 * STEP_SECONDS);
            let first = next;
            while samples.get(next).is_some_and(|sample| sample.at < end) {
                next += 1;
            }
            let within = &samples[first..next];
            let current = samples[next.max(1) - 1];
            let missing = current.missing || within.iter().any(|sample| sample.missing);
            if !within.is_empty() {
                return (within.iter().map(|sample| sample.rate).sum::<f64>() / within.len() as f64, missing);
            }
            let Some(after) = samples.get(next).filter(|_| !load.held) else { return (current.rate, missing) };
            let part = (0.5 * (start + end) - current.at) / (after.at - current.at);
            (current.rate + (after.rate - current.rate) * part, missing)
        })
        .unzip()
}

/// Arrivals of every step.
fn noisy(rates: &[f64], deviation: f64, seed: u64) -> Vec<f64> {
    let mut noise = Stream::new(seed, "load-noise", 0);
    let mut arrivals = Stream::new(seed, "load-arrivals", 0);
    let keep = 1.0 - STEP_SECONDS / NOISE_SECONDS;
    let kick = deviation * (2.0 * STEP_SECONDS / NOISE_SECONDS).sqrt();
    let mut level = 0.0;
    rates
        .iter()
        .map(|rate| {
            level = keep * level + kick * noise.normal();
            arrivals.poisson(rate * STEP_SECONDS * maths::exp(level))
        })
        .collect()
}

/// How idle the neighbours are.
fn neighbours(steps: usize, seed: u64) -> Vec<f64> {
    let mut stream = Stream::new(seed, "neighbours", 0);
    let pull = STEP_SECONDS / NEIGHBOUR_SECONDS;
    let kick = NEIGHBOUR_DEVIATION * (2.0 * pull).sqrt();
    let mut level = 0.5;
    (0..steps)
        .map(|_| {
            level += (0.5 - level) * pull + kick * stream.normal();
            level.clamp(0.0, 1.0)
        })
        .collect()
}

/// What a load that is not tiled is scaled by: its own peak, in its own unit per second.
pub(super) fn peak(load: &Load) -> f64 {
    quantile(&resampled(load).0, PEAK_QUANTILE)
}

/// A quantile of unordered values.
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted.get(whole(share * last as f64)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{super::TraceOptions, *};
    use crate::units::{Cores, Seconds};

    fn scenario(csv: &str, hours: f64) -> Scenario {
        let load = Load::read("x.csv", csv.as_bytes(), None).unwrap();
        let mut scenario = Scenario::from_trace(load, TraceOptions::default());
        scenario.duration = Seconds(hours * 3600.0);
        scenario
    }

    #[test]
    fn the_peak_is_what_was_asked_for() {
        let mut scenario = scenario("timestamp_s,rps\n0,7\n3600,7\n", 2.0);
        scenario.peak_cores = Cores(4.0);
        let arrivals = Arrivals::draw(&scenario, 1);
        let mean = arrivals.requests.iter().sum::<f64>() / arrivals.requests.len() as f64;
        assert!((mean / STEP_SECONDS * 0.01 / 4.0 - 1.0).abs() < 0.05, "{mean}");
    }

    #[test]
    fn tiles_differ_and_repeat_by_seed() {
        let scenario = scenario("timestamp_s,rps\n0,1\n600,9\n1200,1\n1800,2\n", 3.0);
        let (first, again, other) =
            (Arrivals::draw(&scenario, 1), Arrivals::draw(&scenario, 1), Arrivals::draw(&scenario, 2));
        assert_eq!(first.requests, again.requests);
        assert_ne!(first.requests, other.requests);
        assert_eq!(first.requests.len(), 2160);
        let tile = 480;
        assert_ne!(first.requests[..tile], first.requests[tile..2 * tile]);
    }

    #[test]
    fn resampling_keeps_gaps_and_averages_fine_steps() {
        let load =
            Load::read("x.csv", &b"timestamp_s,rps\n0,1\n1,3\n2,2\n3,2\n4,2\n5,\n6,4\n7,4\n8,4\n9,4\n"[..], None)
                .unwrap();
        let (rates, gaps) = resampled(&load);
        assert_eq!(rates[0], 2.0);
        assert_eq!(gaps, [false, true]);
        let load = Load::read("x.csv", &b"timestamp_s,rps\n0,0\n20,20\n40,20\n"[..], None).unwrap();
        let (rates, _) = resampled(&load);
        assert_eq!(rates[..4], [0.0, 7.5, 12.5, 17.5]);
    }
}
