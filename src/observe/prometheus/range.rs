//! Range queries: the history of one number.
//!
//! Invariant: samples are ascending in time and finite; what the server warns about is an error, because a history with
//! parts missing looks like a history.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    Prometheus,
    answer::{Number, position},
    promql, read_bounded,
};
use crate::observe::error::{ObserveError, shorten};

/// Largest answer that is read: 11,000 points of a hundred series.
const MAX_BODY: usize = 64 << 20;

/// What becomes of several series at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combine {
    /// Added.
    Sum,
    /// The largest counts.
    Max,
}

/// A stretch of time with a step, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First instant, as Unix time.
    pub from: i64,
    /// Last instant, as Unix time.
    pub to: i64,
    /// Step.
    pub step: u32,
}

#[derive(Deserialize)]
struct Envelope {
    status: String,
    #[serde(default)]
    data: Option<Data>,
    #[serde(default, rename = "errorType")]
    error_type: Option<String>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
struct Data {
    result: Vec<Matrix>,
}

#[derive(Deserialize)]
struct Matrix {
    #[serde(default)]
    values: Vec<(f64, Number)>,
}

impl Prometheus {
    /// Evaluates a query at each step of a span; instants without a value are left out. The configured matchers are
    /// added to every selector.
    pub async fn range(&self, query: &str, span: Span, combine: Combine) -> Result<Vec<(i64, f64)>, ObserveError> {
        let text = if self.extra_matchers.is_empty() {
            query.to_owned()
        } else {
            promql::with_matchers(query, &self.extra_matchers)?
        };
        let millis = i64::try_from(self.timeout.as_millis()).unwrap_or(i64::MAX);
        let request = self.client.query_range(text, span.from, span.to, f64::from(span.step)).timeout(millis);
        let receive = async {
            let mut response = request.post_raw().await.map_err(|e| self.transport(&e))?;
            let status = response.status().as_u16();
            let body = read_bounded(&mut response, MAX_BODY).await.map_err(|why| self.unusable(why))?;
            let Ok(envelope) = serde_json::from_slice::<Envelope>(&body) else {
                return Err(if (200..300).contains(&status) {
                    let why = serde_json::from_slice::<Envelope>(&body).err();
                    let why = why.map_or_else(String::new, |e| format!(", {}", position(&e)));
                    self.unusable(format!("it is not the query API's JSON{why}"))
                } else {
                    ObserveError::PrometheusStatus { url: self.shown_url.clone(), status, hint: super::hint(status) }
                });
            };
            self.decode(envelope, combine)
        };
        match tokio::time::timeout(self.timeout, receive).await {
            Ok(result) => result,
            Err(_elapsed) => Err(self.timed_out(self.timeout)),
        }
    }

    fn decode(&self, envelope: Envelope, combine: Combine) -> Result<Vec<(i64, f64)>, ObserveError> {
        if envelope.status != "success" {
            let message = shorten(&envelope.error.unwrap_or_default());
            return Err(match envelope.error_type.as_deref() {
                Some("bad_data" | "execution") => ObserveError::QueryRejected { message },
                other => self.unusable(format!("{}: {message}", shorten(other.unwrap_or("error")))),
            });
        }
        if let Some(warning) = envelope.warnings.first() {
            return Err(self.unusable(format!("it warns: {}", shorten(warning))));
        }
        let mut points: BTreeMap<i64, f64> = BTreeMap::new();
        for (at, Number(value)) in envelope.data.into_iter().flat_map(|data| data.result).flat_map(|s| s.values) {
            if !value.is_finite() {
                continue;
            }
            // Steps are whole seconds, so that instants are.
            #[expect(clippy::cast_possible_truncation, reason = "Unix time fits")]
            let at = at.round() as i64;
            points
                .entry(at)
                .and_modify(|known| *known = if combine == Combine::Sum { *known + value } else { known.max(value) })
                .or_insert(value);
        }
        Ok(points.into_iter().collect())
    }
}
