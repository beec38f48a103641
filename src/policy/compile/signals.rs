//! `spec.signals`: one role and exactly one source each.

use std::collections::BTreeSet;

use super::{Problems, bounds::is_label, parse_duration, promql};
use crate::{
    api::{self, NatsJetStreamSource, PrometheusHistogramSource, Role},
    policy::{Signal, Source},
    units::Seconds,
};

/// Rate window of a histogram when the spec gives none: four scrapes of 15 s.
const DEFAULT_WINDOW: Seconds = Seconds(60.0);

/// Shortest and longest rate window: under two fast scrapes a rate is empty, over an hour it is history.
const WINDOWS: (Seconds, Seconds) = (Seconds(5.0), Seconds(3600.0));

/// The account that NATS uses when none is configured.
const GLOBAL_ACCOUNT: &str = "$G";

/// The sources, as the spec names them.
const SOURCES: &str = "prometheus, prometheusHistogram, natsJetStream, rabbitmq, redis or externalMetric";

pub(super) fn compile(given: &[api::Signal], problems: &mut Problems) -> Vec<Signal> {
    let mut seen = BTreeSet::new();
    let mut compiled = Vec::with_capacity(given.len());
    for (index, signal) in given.iter().enumerate() {
        let path = format!("spec.signals[{index}]");
        if !is_label(&signal.name) {
            problems.invalid(
                format!("{path}.name"),
                format!("\"{}\" is not a name: use up to 63 of a-z, 0-9 and -", signal.name),
            );
        }
        if !seen.insert(signal.name.as_str()) {
            problems.invalid(
                format!("{path}.name"),
                format!("signal \"{}\" is there already: names are unique", signal.name),
            );
        }
        if let Some(source) = source(signal, &path, problems) {
            compiled.push(Signal {
                name: signal.name.clone(),
                role: signal.role,
                on_absent: signal.on_absent.unwrap_or_default(),
                survives_zero: survives_zero(signal),
                source,
            });
        }
    }
    compiled
}

/// Whether a signal is measured while no pod of the target runs: what the spec says, else true for queues and external
/// metrics, which others measure.
pub(super) fn survives_zero(signal: &api::Signal) -> bool {
    let others = [
        signal.nats_jet_stream.is_some(),
        signal.rabbitmq.is_some(),
        signal.redis.is_some(),
        signal.external_metric.is_some(),
    ];
    signal.survives_zero.unwrap_or(others.contains(&true))
}

/// Whether a signal tells of work while no pod runs.
pub(crate) fn wakes(signal: &api::Signal) -> bool {
    matches!(signal.role, Role::Demand | Role::Backlog) && survives_zero(signal)
}

/// The one source, when this version reads it; the others are refused by name in `later`.
fn source(signal: &api::Signal, path: &str, problems: &mut Problems) -> Option<Source> {
    let given: Vec<&str> = [
        ("prometheus", signal.prometheus.is_some()),
        ("prometheusHistogram", signal.prometheus_histogram.is_some()),
        ("natsJetStream", signal.nats_jet_stream.is_some()),
        ("rabbitmq", signal.rabbitmq.is_some()),
        ("redis", signal.redis.is_some()),
        ("externalMetric", signal.external_metric.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, given)| given.then_some(name))
    .collect();
    match given.as_slice() {
        [] => problems.invalid(path, format!("has no source: add one of {SOURCES}")),
        [_] => {}
        several => problems.invalid(path, format!("has {} sources ({}): keep one", several.len(), several.join(", "))),
    }
    check_role(signal, &given, path, problems);
    let prometheus = signal.prometheus.as_ref().and_then(|source| {
        problems.take(&format!("{path}.prometheus.query"), promql::check(&source.query))?;
        Some(Source::Prometheus { query: source.query.clone() })
    });
    let histogram = signal
        .prometheus_histogram
        .as_ref()
        .map(|source| histogram(source, &format!("{path}.prometheusHistogram"), problems));
    let nats = signal.nats_jet_stream.as_ref().map(|source| nats(source, &format!("{path}.natsJetStream"), problems));
    prometheus.or(histogram).or(nats)
}

fn check_role(signal: &api::Signal, sources: &[&str], path: &str, problems: &mut Problems) {
    for source in sources {
        let wanted = match *source {
            "prometheusHistogram" => Role::Latency,
            "natsJetStream" | "rabbitmq" | "redis" => Role::Backlog,
            _ => continue,
        };
        if signal.role != wanted {
            problems.invalid(
                format!("{path}.role"),
                format!("is {:?}, and {source} measures {wanted:?}: set role: {wanted:?}", signal.role),
            );
        }
    }
}

fn histogram(given: &PrometheusHistogramSource, path: &str, problems: &mut Problems) -> Source {
    let metric = &given.metric;
    if let Some(suffix) = ["_bucket", "_count", "_sum"].into_iter().find(|suffix| metric.ends_with(suffix)) {
        let base = metric.strip_suffix(suffix).unwrap_or(metric);
        problems.invalid(format!("{path}.metric"), format!("is the base name without {suffix}: write {base}"));
    } else if !is_identifier(metric, true) {
        problems.invalid(
            format!("{path}.metric"),
            format!("\"{metric}\" is not a metric name: use letters, digits, _ and :"),
        );
    }
    for label in given.matchers.keys().filter(|label| !is_identifier(label, false)) {
        problems
            .invalid(format!("{path}.matchers[{label}]"), "is not a label name: use letters, digits and _".to_owned());
    }
    let path = format!("{path}.window");
    let window =
        given.window.as_deref().map_or(Some(DEFAULT_WINDOW), |text| problems.take(&path, parse_duration(text)));
    if window.is_some_and(|window| window < WINDOWS.0 || window > WINDOWS.1) {
        problems.invalid(path, "must be from 5s to 1h, at least four scrape intervals");
    }
    Source::PrometheusHistogram {
        metric: metric.clone(),
        matchers: given.matchers.clone(),
        window: window.unwrap_or(DEFAULT_WINDOW),
    }
}

fn is_identifier(text: &str, colons: bool) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_' || (colons && c == ':');
    text.starts_with(first) && text.chars().all(|c| first(c) || c.is_ascii_digit())
}

fn nats(given: &NatsJetStreamSource, path: &str, problems: &mut Problems) -> Source {
    if given.monitoring_urls.is_empty() {
        problems.invalid(
            format!("{path}.monitoringUrls"),
            "must not be empty: name the monitoring endpoints, for example http://nats.memes:8222",
        );
    }
    for (index, url) in given.monitoring_urls.iter().enumerate() {
        problems.take(&format!("{path}.monitoringUrls[{index}]"), check_url(url));
    }
    for (field, name) in [("stream", &given.stream), ("consumer", &given.consumer)] {
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || ".*>/\\".contains(c)) {
            problems.invalid(
                format!("{path}.{field}"),
                format!("\"{name}\" is not the name of a {field}: names have no spaces and none of . * > / \\"),
            );
        }
    }
    Source::NatsJetStream {
        monitoring_urls: given.monitoring_urls.iter().map(|url| url.trim_end_matches('/').to_owned()).collect(),
        account: given.account.clone().unwrap_or_else(|| GLOBAL_ACCOUNT.to_owned()),
        stream: given.stream.clone(),
        consumer: given.consumer.clone(),
    }
}

/// A base URL: scheme, host and perhaps a port. No credentials, which would end up in logs; no path, which is arbiter's.
fn check_url(url: &str) -> Result<(), String> {
    const ADVICE: &str = "write scheme, host and port only, for example http://nats.memes:8222";
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let Some(rest) = rest else { return Err(format!("\"{url}\" does not begin with http:// or https://: {ADVICE}")) };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains('@') {
        return Err(format!("must not hold credentials: {ADVICE}"));
    }
    if authority.is_empty() || authority.contains(|c: char| c.is_whitespace() || "/?#".contains(c)) {
        return Err(format!("\"{url}\" is not a base URL: {ADVICE}"));
    }
    let port = authority.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.ends_with(']'));
    match port.map(str::parse::<u16>) {
        Some(Err(_)) => Err(format!("\"{url}\" has no valid port: {ADVICE}")),
        _ => Ok(()),
    }
}
