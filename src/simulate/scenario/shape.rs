//! Loads that are made, not recorded: their shapes, in cores of work.
//!
//! What is random about a shape comes from its own seed, so a file always means the same load; the noise of requests on
//! top of it comes from the run's seed.

use serde::Deserialize;

use super::values::{Amount, Span};
use crate::{
    simulate::{Load, STEP_SECONDS, random::Stream},
    units::maths,
};

/// Shapes by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Shape {
    /// `steps`: levels that hold until the next one.
    Steps,
    /// A day: `low` at night, `high` at noon, over `period`.
    Diurnal,
    /// `low`, then at `at` a rise to `high`, which is held and falls again; again every `period`, if there is one.
    Flash,
    /// Up and down in straight lines, again and again: `low` held, `rise`, `high` held, `fall`.
    Ramps,
    /// Around `low` with a lognormal deviation that lasts about `correlation`.
    Noisy,
    /// `low`, and `items` at once every `period`, more or less.
    Batches,
}

/// The load of a scenario: recorded or made.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LoadFile {
    pub(super) trace: Option<String>,
    pub(super) column: Option<String>,
    pub(super) peak_cores: Option<Amount>,
    pub(super) shape: Option<Shape>,
    pub(super) seed: Option<u64>,
    pub(super) noise: Option<Amount>,
    pub(super) low: Option<Amount>,
    pub(super) high: Option<Amount>,
    pub(super) at: Option<Span>,
    pub(super) rise: Option<Span>,
    pub(super) hold: Option<Span>,
    pub(super) fall: Option<Span>,
    pub(super) period: Option<Span>,
    pub(super) deviation: Option<Amount>,
    pub(super) correlation: Option<Span>,
    pub(super) items: Option<Amount>,
    #[serde(default)]
    pub(super) steps: Vec<Level>,
}

/// A level of a load of steps.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Level {
    pub(super) at: Span,
    pub(super) cores: Amount,
}

/// A load that rises and falls in straight lines.
#[derive(Clone, Copy)]
struct Trapezoid {
    low: f64,
    high: f64,
    at: f64,
    rise: f64,
    hold: f64,
    fall: f64,
}

impl Trapezoid {
    fn value(&self, time: f64) -> f64 {
        let since = time - self.at;
        let part = if since < 0.0 {
            0.0
        } else if since < self.rise {
            since / self.rise
        } else if since < self.rise + self.hold {
            1.0
        } else if since < self.rise + self.hold + self.fall {
            1.0 - (since - self.rise - self.hold) / self.fall
        } else {
            0.0
        };
        self.low + (self.high - self.low) * part
    }
}

impl LoadFile {
    /// Makes the load of a shape; what is missing is said. `work` is the work of a request, in core-seconds.
    pub(super) fn made(&self, name: &str, shape: Shape, seconds: f64, work: f64) -> Result<Load, String> {
        let steps = crate::simulate::whole(seconds / STEP_SECONDS);
        let times = (0..steps).map(|step| step as f64 * STEP_SECONDS);
        let noise = self.noise.map(|noise| noise.0);
        let load = |cores: Vec<f64>| Load::of_cores(name.to_owned(), cores.into_iter(), noise);
        Ok(match shape {
            Shape::Steps => load(self.levels(times)?),
            Shape::Diurnal => {
                let (low, high) = (amount(self.low, "low")?, amount(self.high, "high")?);
                let period = self.period.map_or(86_400.0, |period| period.0.get());
                let day = |time: f64| 0.5 - 0.5 * maths::cos(std::f64::consts::TAU * time / period);
                load(times.map(|time| low + (high - low) * day(time)).collect())
            }
            Shape::Flash => {
                let shape = self.trapezoid(time(self.at, "at")?)?;
                let period = self.period.map_or(f64::INFINITY, |period| period.0.get());
                let within =
                    |time: f64| if period.is_finite() { time - (time / period).floor() * period } else { time };
                load(times.map(|time| shape.value(within(time))).collect())
            }
            Shape::Ramps => {
                let (rise, hold) = (time(self.rise, "rise")?, time(self.hold, "hold")?);
                let shape = self.trapezoid(hold)?;
                let period = 2.0 * hold + rise + shape.fall;
                load(times.map(|time| shape.value(time - (time / period).floor() * period)).collect())
            }
            Shape::Noisy => load(self.wandering(steps)?),
            Shape::Batches => load(self.batches(steps, work)?),
        })
    }

    fn trapezoid(&self, at: f64) -> Result<Trapezoid, String> {
        let or_zero = |span: Option<Span>| span.map_or(0.0, |span| span.0.get());
        Ok(Trapezoid {
            low: amount(self.low, "low")?,
            high: amount(self.high, "high")?,
            at,
            rise: or_zero(self.rise),
            hold: time(self.hold, "hold")?,
            fall: or_zero(self.fall),
        })
    }

    fn levels(&self, times: impl Iterator<Item = f64>) -> Result<Vec<f64>, String> {
        if self.steps.is_empty() {
            return Err("has no `steps`; write for example steps: [{at: 0h, cores: 2}, {at: 1h, cores: 6}]".to_owned());
        }
        if self.steps[0].at.0.get() > 0.0 || self.steps.windows(2).any(|pair| pair[0].at.0 >= pair[1].at.0) {
            return Err("has `steps` out of order; begin with at: 0h and let each come after the one before".to_owned());
        }
        let level = |time: f64| {
            let passed = self.steps.partition_point(|level| level.at.0.get() <= time);
            self.steps[passed - 1].cores.0
        };
        Ok(times.map(level).collect())
    }

    fn wandering(&self, steps: usize) -> Result<Vec<f64>, String> {
        let low = amount(self.low, "low")?;
        let (deviation, correlation) =
            (amount(self.deviation, "deviation")?, time(self.correlation, "correlation")?.max(STEP_SECONDS));
        let keep = maths::exp(-STEP_SECONDS / correlation);
        let kick = deviation * (1.0 - keep * keep).sqrt();
        let mut stream = Stream::new(self.seed(), "shape", 0);
        let mut level = deviation * stream.normal();
        Ok((0..steps)
            .map(|_| {
                level = keep * level + kick * stream.normal();
                low * maths::exp(level - deviation * deviation / 2.0)
            })
            .collect())
    }

    fn batches(&self, steps: usize, work: f64) -> Result<Vec<f64>, String> {
        /// Batches come and are as large as they are meant to be, give or take this share.
        const JITTER: f64 = 0.3;
        let (items, period) = (amount(self.items, "items")?, time(self.period, "period")?.max(STEP_SECONDS));
        let mut cores = vec![self.low.map_or(0.0, |low| low.0); steps];
        let mut stream = Stream::new(self.seed(), "shape", 0);
        let mut jittered = |value: f64| value * (1.0 + JITTER * (2.0 * stream.uniform() - 1.0));
        let mut at = jittered(period);
        while let Some(step) = cores.get_mut(crate::simulate::whole(at / STEP_SECONDS)) {
            *step += jittered(items) * work / STEP_SECONDS;
            at += jittered(period);
        }
        Ok(cores)
    }

    fn seed(&self) -> u64 {
        self.seed.unwrap_or(1)
    }
}

fn amount(value: Option<Amount>, field: &str) -> Result<f64, String> {
    value.map(|value| value.0).ok_or_else(|| format!("needs `{field}`, in cores of work (`items`: a number); add it"))
}

fn time(value: Option<Span>, field: &str) -> Result<f64, String> {
    value.map(|value| value.0.get()).ok_or_else(|| format!("needs `{field}`, a time such as 10m; add it"))
}
