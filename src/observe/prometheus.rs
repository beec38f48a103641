//! Asking a Prometheus server (or anything that speaks its query API): instant queries, alone or in batches.
//!
//! Every query goes through [`Prometheus::query`], which adds the configured matchers and headers, bounds time and size,
//! and carries the API's `warnings`: an answer with warnings is never complete. Redirects are not followed (the headers
//! may hold a token) and the proxy environment is ignored.
//!
//! Invariant: what is not a well-formed, successful answer is an error; nothing is logged.

pub(crate) mod answer;
pub mod history;
pub mod promql;
pub mod range;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::time::Duration;

use futures::StreamExt;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

pub use answer::{Answer, NativeBucket, Sample, Series};

use super::error::{ObserveError, root_cause, shown};

/// Largest answer that is read. A usage query over 100,000 containers answers with about 20 MB.
const MAX_BODY: usize = 64 << 20;

/// Answers read at once. The server evaluates as many queries as `concurrency` allows, but answers about all of a cluster are
/// large: while one is decoded the next one arrives.
const AT_ONCE: usize = 2;

/// Where and how to ask.
#[derive(Clone)]
pub struct PrometheusConfig {
    /// Base URL, for example `http://prometheus.monitoring:9090`; a path in front of `/api/v1` is kept.
    pub url: String,
    /// Headers of every request, for example a token or a tenant.
    pub headers: Vec<(String, String)>,
    /// Equality matchers added to every selector of every query.
    pub extra_matchers: BTreeMap<String, String>,
    /// Longest wait for one query. The default of 3 s is a fifth of a 15 s tick.
    pub timeout: Duration,
    /// Queries under way at once; the default of 8 leaves room in Prometheus' own default of 20.
    pub concurrency: usize,
}

impl PrometheusConfig {
    /// The defaults, for a server at a URL.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            headers: Vec::new(),
            extra_matchers: BTreeMap::new(),
            timeout: Duration::from_secs(3),
            concurrency: 8,
        }
    }
}

/// A client of one server, with one connection pool.
pub struct Prometheus {
    client: prometheus_http_query::Client,
    shown_url: String,
    extra_matchers: BTreeMap<String, String>,
    timeout: Duration,
    concurrency: usize,
    /// Whose answer is being read.
    reading: tokio::sync::Semaphore,
}

/// What is made of a body; the error is half a sentence.
pub(crate) type Read<T> = Result<answer::Decoded<T>, String>;

/// Shows where, never the headers.
impl std::fmt::Debug for Prometheus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prometheus").field("url", &self.shown_url).finish_non_exhaustive()
    }
}

impl Prometheus {
    /// Builds the client. Nothing is sent yet.
    pub fn new(config: &PrometheusConfig) -> Result<Self, ObserveError> {
        let unusable = |why: String| ObserveError::Configuration { what: "the Prometheus URL".to_owned(), why };
        let url = reqwest::Url::parse(&config.url).map_err(|e| unusable(e.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(unusable(format!("the scheme is {} and must be http or https", url.scheme())));
        }
        let http = reqwest::Client::builder()
            .user_agent(concat!("arbiter/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers(&config.headers)?)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(config.timeout)
            .build()
            .map_err(|e| ObserveError::Configuration { what: "the HTTP client".to_owned(), why: root_cause(&e) })?;
        let client = prometheus_http_query::Client::from(http, url.as_str()).map_err(|e| unusable(e.to_string()))?;
        Ok(Self {
            client,
            shown_url: shown(&url),
            extra_matchers: config.extra_matchers.clone(),
            timeout: config.timeout,
            concurrency: config.concurrency.max(1),
            reading: tokio::sync::Semaphore::new(AT_ONCE),
        })
    }

    /// The server's URL, without credentials.
    #[must_use]
    pub fn shown_url(&self) -> &str {
        &self.shown_url
    }

    /// Evaluates a query now. The matchers of the configuration are added to every selector.
    pub async fn query(&self, promql: &str) -> Result<Answer, ObserveError> {
        self.ask(promql, &|_, body| answer::decode(body)).await
    }

    async fn ask<T>(&self, promql: &str, read: &impl Fn(&str, &[u8]) -> Read<T>) -> Result<T, ObserveError> {
        let text = if self.extra_matchers.is_empty() {
            promql.to_owned()
        } else {
            promql::with_matchers(promql, &self.extra_matchers)?
        };
        let millis = i64::try_from(self.timeout.as_millis()).unwrap_or(i64::MAX);
        // POST, because probes and usage queries outgrow what proxies allow in a URL. `raw`, because the library's own
        // decoding drops `warnings`.
        let request = self.client.query(text).timeout(millis).post_raw();
        match tokio::time::timeout(self.timeout, self.receive(request, |body| read(promql, body))).await {
            Ok(result) => result,
            Err(_elapsed) => Err(self.timed_out(self.timeout)),
        }
    }

    /// Evaluates many queries, a bounded number at once, each once. A server that cannot be reached is asked only once
    /// per batch, and no batch takes longer than twice the timeout of one query: the tick must not wait for the dead.
    pub async fn batch(&self, queries: &BTreeSet<String>) -> BTreeMap<String, Result<Answer, ObserveError>> {
        self.batch_as(queries, |_, body| answer::decode(body)).await
    }

    /// As [`Self::batch`], with what `read` makes of each query's body.
    pub(crate) async fn batch_as<T>(
        &self,
        queries: &BTreeSet<String>,
        read: impl Fn(&str, &[u8]) -> Read<T>,
    ) -> BTreeMap<String, Result<T, ObserveError>> {
        let allowed = self.timeout * 2;
        let deadline = tokio::time::Instant::now() + allowed;
        let dead: OnceLock<ObserveError> = OnceLock::new();
        let ask = |query: String| {
            let (dead, read) = (&dead, &read);
            async move {
                let result = match dead.get() {
                    Some(error) => Err(error.clone()),
                    None => match tokio::time::timeout_at(deadline, self.ask(&query, read)).await {
                        Ok(result) => result,
                        Err(_elapsed) => Err(self.timed_out(allowed)),
                    },
                };
                if let Err(error @ ObserveError::PrometheusUnreachable { .. }) = &result {
                    dead.get_or_init(|| error.clone());
                }
                (query, result)
            }
        };
        futures::stream::iter(queries.iter().cloned()).map(ask).buffer_unordered(self.concurrency).collect().await
    }

    fn timed_out(&self, after: Duration) -> ObserveError {
        ObserveError::PrometheusTimeout { url: self.shown_url.clone(), seconds: after.as_secs() }
    }

    async fn receive<T>(
        &self,
        request: impl Future<Output = Result<reqwest::Response, prometheus_http_query::Error>>,
        read: impl FnOnce(&[u8]) -> Read<T>,
    ) -> Result<T, ObserveError> {
        let mut response = request.await.map_err(|e| self.transport(&e))?;
        let status = response.status().as_u16();
        // Never closed. Until it is its turn the server holds the answer.
        let _turn = self.reading.acquire().await.ok();
        let body = read_bounded(&mut response, MAX_BODY).await.map_err(|why| self.unusable(why))?;
        match read(&body) {
            Ok(answer::Decoded::Success(answer)) if (200..300).contains(&status) => Ok(answer),
            Ok(answer::Decoded::Rejected(message)) => Err(ObserveError::QueryRejected { message }),
            Ok(answer::Decoded::Unavailable(why)) => Err(self.unusable(why)),
            Err(why) if (200..300).contains(&status) => Err(self.unusable(why)),
            _ => Err(ObserveError::PrometheusStatus { url: self.shown_url.clone(), status, hint: hint(status) }),
        }
    }

    fn unusable(&self, why: String) -> ObserveError {
        ObserveError::PrometheusAnswer { url: self.shown_url.clone(), why }
    }

    fn transport(&self, error: &prometheus_http_query::Error) -> ObserveError {
        let timeout = match error {
            prometheus_http_query::Error::Client(e) => e.inner().is_some_and(reqwest::Error::is_timeout),
            _ => false,
        };
        if timeout {
            return self.timed_out(self.timeout);
        }
        ObserveError::PrometheusUnreachable { url: self.shown_url.clone(), why: root_cause(error) }
    }
}

/// Reads a body up to a bound; the error is half a sentence.
pub(super) async fn read_bounded(response: &mut reqwest::Response, bound: usize) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > bound => {
                return Err(format!("it is larger than {} MiB", bound >> 20));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(error) => return Err(format!("it broke off: {}", root_cause(&error))),
        }
    }
}

fn headers(pairs: &[(String, String)]) -> Result<HeaderMap, ObserveError> {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        // The name is shown, the value never is.
        let bad = |why: &str| ObserveError::Configuration {
            what: format!("the Prometheus header `{name}`"),
            why: why.to_owned(),
        };
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad("the name is not a header name"))?;
        let mut value =
            HeaderValue::from_str(value).map_err(|_| bad("the value has characters headers cannot have"))?;
        value.set_sensitive(true);
        map.append(key, value);
    }
    Ok(map)
}

const fn hint(status: u16) -> &'static str {
    match status {
        300..=399 => "redirects are not followed, configure the final URL",
        401 | 403 => "the configured headers do not give access",
        404 | 405 => "there is no query API under this URL, check its path",
        429 => "it limits the rate of queries, raise its limit or use fewer signals",
        _ => "look into its log",
    }
}
