//! The query API's answers, decoded without losing `warnings` and native histograms.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

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
pub(crate) enum Decoded<T> {
    /// `status: success`.
    Success(T),
    /// The query is at fault.
    Rejected(String),
    /// The server is at fault.
    Unavailable(String),
}

/// Decodes a body; the error is half a sentence that does not repeat the body.
pub(crate) fn decode(body: &[u8]) -> Result<Decoded<Answer>, String> {
    decode_as(body, |data, warnings| {
        let series = match data {
            Value::Vector(series) => series.into_iter().map(RawSeries::decode).collect::<Result<_, _>>()?,
            Value::Scalar(value) => vec![Series { labels: BTreeMap::new(), sample: Sample::Number(value) }],
        };
        Ok(Answer { series, warnings })
    })
}

/// Decodes a body about containers without keeping it: an [`Answer`] about all of a cluster would be large. Answers with the
/// warnings; what is seen of each series is whole, or nothing is seen.
pub(crate) fn decode_containers<'a>(
    body: &'a [u8],
    see: impl FnOnce(&mut dyn Iterator<Item = ContainerSeries<'a>>),
) -> Result<Decoded<Vec<String>>, String> {
    decode_as(body, |data, warnings| {
        if let Value::Vector(series) = data {
            if series.iter().any(|s: &ContainerSeries<'_>| s.value.is_none() && s.histogram.is_none()) {
                return Err(NO_SAMPLE.to_owned());
            }
            see(&mut series.into_iter());
        }
        Ok(warnings)
    })
}

const NO_SAMPLE: &str = "a series has neither a value nor a histogram";

/// What an instant query gives.
enum Value<S> {
    Vector(Vec<S>),
    Scalar(f64),
}

fn decode_as<'a, S: Deserialize<'a>, T>(
    body: &'a [u8],
    take: impl FnOnce(Value<S>, Vec<String>) -> Result<T, String>,
) -> Result<Decoded<T>, String> {
    let envelope: Envelope<Data<S>> = envelope(body)?;
    let (data, warnings) = match envelope.open() {
        Ok(opened) => opened,
        Err(Fault::Query(message)) => return Ok(Decoded::Rejected(message)),
        Err(Fault::Server(why)) => return Ok(Decoded::Unavailable(why)),
    };
    let value = match data {
        Some(Data::Vector(series)) => Value::Vector(series),
        Some(Data::Scalar((_, Number(value)))) => Value::Scalar(value),
        Some(Data::Matrix(_)) => {
            return Ok(Decoded::Rejected("it gives a range of values, not one: use for example rate(…)".to_owned()));
        }
        Some(Data::String(_)) => return Ok(Decoded::Rejected("it gives a text, not a number".to_owned())),
        None => return Err("it is marked as a success and has no data".to_owned()),
    };
    take(value, warnings).map(Decoded::Success)
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
pub(crate) fn envelope<'a, D: Deserialize<'a>>(body: &'a [u8]) -> Result<Envelope<D>, String> {
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
enum Data<S> {
    Vector(Vec<S>),
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

/// A series of which only is read whose container it is about and its number.
#[derive(Deserialize)]
pub(crate) struct ContainerSeries<'a> {
    #[serde(borrow, default)]
    metric: ContainerLabels<'a>,
    value: Option<(f64, Number)>,
    histogram: Option<serde::de::IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ContainerLabels<'a> {
    #[serde(borrow)]
    namespace: Cow<'a, str>,
    #[serde(borrow)]
    pod: Cow<'a, str>,
    #[serde(borrow)]
    container: Cow<'a, str>,
}

impl ContainerSeries<'_> {
    /// Namespace, pod and container, when it has all three.
    pub(crate) fn whose(&self) -> Option<(&str, &str, &str)> {
        let ContainerLabels { namespace, pod, container } = &self.metric;
        let all = !(namespace.is_empty() || pod.is_empty() || container.is_empty());
        all.then_some((namespace, pod, container))
    }

    /// The number, unless it is a histogram.
    pub(crate) const fn number(&self) -> Option<f64> {
        match &self.value {
            Some((_, Number(value))) => Some(*value),
            None => None,
        }
    }
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
            (None, None) => return Err(NO_SAMPLE.to_owned()),
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
