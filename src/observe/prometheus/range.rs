//! Range queries: the history of one number.
//!
//! Invariant: samples are ascending in time and finite; what the server warns about is an error, because a history with
//! parts missing looks like a history.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    Prometheus,
    answer::{Envelope, Fault, Number, envelope},
    promql, read_bounded,
};
use crate::observe::error::ObserveError;

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

/// Data of a range query's envelope.
#[derive(Deserialize)]
pub(crate) struct Data {
    pub(crate) result: Vec<Matrix>,
}

/// One series over time.
#[derive(Deserialize)]
pub(crate) struct Matrix {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(f64, Number)>,
}

/// Samples of one number: Unix time and value, ascending.
pub type Points = Vec<(i64, f64)>;

impl Prometheus {
    /// Evaluates a query at each step of a span; instants without a value are left out. The configured matchers are
    /// added to every selector.
    pub async fn range(&self, query: &str, span: Span, combine: Combine) -> Result<Points, ObserveError> {
        Ok(points(self.matrix(query, span).await?.iter(), combine))
    }

    /// The same, apart for each value of a label; of several series with one value the largest counts.
    pub async fn range_by(
        &self,
        label: &str,
        query: &str,
        span: Span,
    ) -> Result<BTreeMap<String, Points>, ObserveError> {
        let mut parts: BTreeMap<String, Vec<Matrix>> = BTreeMap::new();
        for series in self.matrix(query, span).await? {
            if let Some(value) = series.metric.get(label) {
                parts.entry(value.clone()).or_default().push(series);
            }
        }
        Ok(parts.into_iter().map(|(value, series)| (value, points(series.iter(), Combine::Max))).collect())
    }

    async fn matrix(&self, query: &str, span: Span) -> Result<Vec<Matrix>, ObserveError> {
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
            match envelope::<Data>(&body) {
                Ok(envelope) => self.series(envelope),
                Err(why) if (200..300).contains(&status) => Err(self.unusable(why)),
                Err(_) => Err(ObserveError::PrometheusStatus {
                    url: self.shown_url.clone(),
                    status,
                    hint: super::hint(status),
                }),
            }
        };
        match tokio::time::timeout(self.timeout, receive).await {
            Ok(result) => result,
            Err(_elapsed) => Err(self.timed_out(self.timeout)),
        }
    }

    fn series(&self, envelope: Envelope<Data>) -> Result<Vec<Matrix>, ObserveError> {
        let (data, warnings) = envelope.open().map_err(|fault| match fault {
            Fault::Query(message) => ObserveError::QueryRejected { message },
            Fault::Server(why) => self.unusable(why),
        })?;
        if let Some(warning) = warnings.first() {
            return Err(self.unusable(format!("it warns: {warning}")));
        }
        data.map(|data| data.result)
            .ok_or_else(|| self.unusable("it is marked as a success and has no data".to_owned()))
    }
}

/// One number of several series.
pub(crate) fn points<'a>(series: impl Iterator<Item = &'a Matrix>, combine: Combine) -> Points {
    let mut points: BTreeMap<i64, f64> = BTreeMap::new();
    for (at, Number(value)) in series.flat_map(|series| &series.values) {
        if !value.is_finite() {
            continue;
        }
        // Steps are whole seconds, so that instants are.
        #[expect(clippy::cast_possible_truncation, reason = "Unix time fits")]
        let at = at.round() as i64;
        points
            .entry(at)
            .and_modify(|known| *known = if combine == Combine::Sum { *known + value } else { known.max(*value) })
            .or_insert(*value);
    }
    // A sum of finite numbers need not be one.
    points.into_iter().filter(|(_, value)| value.is_finite()).collect()
}
