//! What policies of a namespace may look at: its own series, and its own pods.
//!
//! A policy's author is not the cluster's admin. [`Tenancy`] holds the admin's words (which namespaces are trusted, which
//! labels name a namespace, which hosts everybody may ask); [`Tenancy::confine`] narrows a compiled policy to its
//! namespace or refuses it; [`Doors`] leads a direct source to pods of that namespace and to nothing else.
//!
//! Must not repeat what another namespace's objects hold; a refusal says what the policy's own author wrote and what to
//! do.
//!
//! Invariant: the policies that anybody reads signals for have passed `confine`. What is not surely the namespace's own
//! is refused.

mod doors;
mod queries;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Url;

use super::prometheus::promql::matcher;
use crate::policy::{Policy, Problem, ProblemKind, Source};

pub use doors::{Doors, Way};

/// Label that names the namespace of a series, unless the admin names others: service discovery of pods and services sets
/// it, and an exporter's own label of the name is moved aside (`exported_namespace`).
pub const NAMESPACE_LABEL: &str = "namespace";

/// The word for all namespaces.
const ALL: &str = "*";

/// The admin's words on what policies may look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenancy {
    /// Namespaces whose policies may look at anything; `*`: all.
    trusted: BTreeSet<String>,
    /// Labels that name the namespace of a series. The first is added where a selector pins none.
    labels: Vec<String>,
    /// Hosts, with or without a port, that policies of every namespace may ask directly.
    hosts: BTreeSet<String>,
}

/// Everybody may look at anything.
impl Default for Tenancy {
    fn default() -> Self {
        Self::new([ALL.to_owned()], Vec::new(), [])
    }
}

impl Tenancy {
    /// Trusted namespaces, labels that name a namespace (none: [`NAMESPACE_LABEL`]), and hosts open to all.
    pub fn new(
        trusted: impl IntoIterator<Item = String>,
        labels: Vec<String>,
        hosts: impl IntoIterator<Item = String>,
    ) -> Self {
        let labels = if labels.is_empty() { vec![NAMESPACE_LABEL.to_owned()] } else { labels };
        let hosts = hosts.into_iter().map(|host| host.to_ascii_lowercase()).collect();
        Self { trusted: trusted.into_iter().collect(), labels, hosts }
    }

    /// Whether policies of a namespace may look at their own namespace only.
    #[must_use]
    pub fn confines(&self, namespace: &str) -> bool {
        !self.trusted.contains(ALL) && !self.trusted.contains(namespace)
    }

    /// Matchers of arbiter's own questions about exporters, for policies of a namespace; empty for a trusted one.
    #[must_use]
    pub fn within(&self, namespace: &str) -> String {
        if !self.confines(namespace) {
            return String::new();
        }
        matcher(self.label(), "=", namespace)
    }

    /// Narrows a policy's signals to its namespace.
    ///
    /// # Errors
    /// All that the policy may not ask for, with field paths.
    pub fn confine(&self, policy: &mut Policy) -> Result<(), Vec<Problem>> {
        if !self.confines(&policy.key.namespace) {
            return Ok(());
        }
        let namespace = policy.key.namespace.clone();
        let mut problems = Vec::new();
        for (index, signal) in policy.signals.iter_mut().enumerate() {
            let path = format!("spec.signals[{index}]");
            let found = match &mut signal.source {
                Source::Prometheus { query } => self.query(&namespace, query, &path),
                Source::PrometheusHistogram { matchers, .. } => self.matchers(&namespace, matchers, &path),
                Source::NatsJetStream { monitoring_urls, .. } => self.urls(&namespace, monitoring_urls, &path),
            };
            problems.extend(found);
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// Whether everybody may ask this URL directly.
    #[must_use]
    pub fn is_open(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let port = url.port_or_known_default().map(|port| format!("{host}:{port}"));
        self.hosts.contains(host) || port.is_some_and(|host| self.hosts.contains(&host))
    }

    /// The label that is added.
    fn label(&self) -> &str {
        self.labels.first().map_or(NAMESPACE_LABEL, String::as_str)
    }

    fn query(&self, namespace: &str, query: &mut String, path: &str) -> Vec<Problem> {
        match queries::confine(query, namespace, &self.labels) {
            Ok(confined) => {
                *query = confined;
                Vec::new()
            }
            Err(why) => vec![refusal(&format!("{path}.prometheus.query"), &why)],
        }
    }

    fn matchers(&self, namespace: &str, matchers: &mut BTreeMap<String, String>, path: &str) -> Vec<Problem> {
        let named = |label: &&String| matchers.contains_key(*label);
        let pinned = self.labels.iter().filter(named).any(|label| matchers[label] == namespace);
        let foreign = self.labels.iter().find(|label| matchers.get(*label).is_some_and(|value| value != namespace));
        if !pinned && let Some(label) = foreign {
            let why = format!("asks for another namespace: write {label}: {namespace}, or leave it out");
            return vec![refusal(&format!("{path}.prometheusHistogram.matchers[{label}]"), &why)];
        }
        if !pinned {
            matchers.insert(self.label().to_owned(), namespace.to_owned());
        }
        Vec::new()
    }

    fn urls(&self, namespace: &str, urls: &[String], path: &str) -> Vec<Problem> {
        let refused = |(index, text): (usize, &String)| {
            let url = Url::parse(text).ok();
            let allowed = url.is_some_and(|url| self.is_open(&url) || doors::service_of(&url, namespace).is_some());
            let why = format!(
                "names no Service of namespace {namespace}: write http://SERVICE.{namespace}:PORT, or have the admin \
                 allow the host (--allow-source)"
            );
            (!allowed).then(|| refusal(&format!("{path}.natsJetStream.monitoringUrls[{index}]"), &why))
        };
        urls.iter().enumerate().filter_map(refused).collect()
    }
}

fn refusal(path: &str, message: &str) -> Problem {
    Problem::new(path, message, ProblemKind::NotAllowed)
}
