//! The query API's answers, decoded without losing `warnings` and native histograms.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _};

use crate::observe::error::shorten;

/// What an instant query answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// One entry per series; a scalar is one series without labels.
    pub series: Vec<Series>,
    /// The API's warnings. Not empty: the answer is not complete.
    pub warnings: Vec<String>,
}

/// One series at the instant of evaluation. That instant is not kept: it says nothing about the samples' age.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Value, possibly NaN or infinite.
    pub sample: Sample,
}

/// A number or a native histogram.
#[derive(Clone, Debug, PartialEq)]
pub enum Sample {
    /// A number.
    Number(f64),
    /// A native histogram's buckets.
    Histogram(Vec<NativeBucket>),
}

/// One bucket of a native histogram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NativeBucket {
    /// Lower bound.
    pub lower: f64,
    /// Upper bound.
    pub upper: f64,
    /// Observations (per second, after `rate`).
    pub count: f64,
}

impl Series {
    /// The number, unless it is a histogram.
    #[must_use]
    pub const fn number(&self) -> Option<f64> {
        match self.sample {
            Sample::Number(value) => Some(value),
            Sample::Histogram(_) => None,
        }
    }

    /// A label's value; absent and empty are the same in Prometheus.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }
}

/// A body that is the API's.
pub(crate) enum Decoded {
    /// `status: success`.
    Success(Answer),
    /// The query is at fault.
    Rejected(String),
    /// The server is at fault.
    Unavailable(String),
}

/// Decodes a body; the error is half a sentence that does not repeat the body.
pub(crate) fn decode(body: &[u8]) -> Result<Decoded, String> {
    let envelope: Envelope<Data> = envelope(body)?;
    let (data, warnings) = match envelope.open() {
        Ok(opened) => opened,
        Err(Fault::Query(message)) => return Ok(Decoded::Rejected(message)),
        Err(Fault::Server(why)) => return Ok(Decoded::Unavailable(why)),
    };
    let series = match data {
        Some(Data::Vector(series)) => series.into_iter().map(RawSeries::decode).collect::<Result<_, _>>()?,
        Some(Data::Scalar((_, Number(value)))) => {
            vec![Series { labels: BTreeMap::new(), sample: Sample::Number(value) }]
        }
        Some(Data::Matrix(_)) => {
            return Ok(Decoded::Rejected("it gives a range of values, not one: use for example rate(…)".to_owned()));
        }
        Some(Data::String(_)) => return Ok(Decoded::Rejected("it gives a text, not a number".to_owned())),
        None => return Err("it is marked as a success and has no data".to_owned()),
    };
    Ok(Decoded::Success(Answer { series, warnings }))
}

/// What the API wraps every answer in, with data of one endpoint.
#[derive(Deserialize)]
pub(crate) struct Envelope<D> {
    status: String,
    data: Option<D>,
    #[serde(rename = "errorType")]
    error_type: Option<String>,
    error: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
}

/// Who is at fault when an envelope holds an error, and what it says.
pub(crate) enum Fault {
    Query(String),
    Server(String),
}

/// Reads an envelope; the error is half a sentence that does not repeat the body.
pub(crate) fn envelope<D: DeserializeOwned>(body: &[u8]) -> Result<Envelope<D>, String> {
    serde_json::from_slice(body)
        .map_err(|e| format!("it is not the query API's JSON, line {} column {}", e.line(), e.column()))
}

impl<D> Envelope<D> {
    /// The data and what the server warns about.
    pub(crate) fn open(self) -> Result<(Option<D>, Vec<String>), Fault> {
        if self.status == "error" {
            let message = shorten(&self.error.unwrap_or_default());
            return Err(match self.error_type.as_deref() {
                Some("bad_data" | "execution") => Fault::Query(message),
                other => Fault::Server(format!("{}: {message}", shorten(other.unwrap_or("error")))),
            });
        }
        Ok((self.data, self.warnings.iter().map(|w| shorten(w)).collect()))
    }
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<RawSeries>),
    Scalar((f64, Number)),
    Matrix(serde::de::IgnoredAny),
    String(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct RawSeries {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    value: Option<(f64, Number)>,
    histogram: Option<(f64, RawHistogram)>,
}

#[derive(Deserialize)]
struct RawHistogram {
    #[serde(default)]
    buckets: Vec<(u8, Number, Number, Number)>,
}

impl RawSeries {
    fn decode(self) -> Result<Series, String> {
        let sample = match (self.value, self.histogram) {
            (Some((_, Number(value))), _) => Sample::Number(value),
            (None, Some((_, histogram))) => Sample::Histogram(
                histogram
                    .buckets
                    .into_iter()
                    .map(|(_, lower, upper, count)| NativeBucket { lower: lower.0, upper: upper.0, count: count.0 })
                    .collect(),
            ),
            (None, None) => return Err("a series has neither a value nor a histogram".to_owned()),
        };
        Ok(Series { labels: self.metric, sample })
    }
}

/// The API writes numbers as text, because JSON has no NaN and no infinity.
pub(super) struct Number(pub(super) f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map(Self).map_err(|_| D::Error::custom("a sample is not a number"))
    }
}
