//! Backlog of a `JetStream` consumer, read from the servers' monitoring endpoints (`/jsz`).
//!
//! What waits is what was not delivered yet (`num_pending`) and what was delivered and not acknowledged
//! (`num_ack_pending`). Every server that hosts a replica of a consumer lists it, but only its leader knows these numbers,
//! so all endpoints are asked and the leader's answer counts. An endpoint may be a Service in front of several servers:
//! connections are not reused, and a follower's answer is a reason to ask the same endpoint again.
//!
//! It must not follow redirects, use the environment's proxy, wait for more than [`TIMEOUT`] or read more than
//! [`MAX_BODY`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::observe::error::{ObserveError, root_cause, shown};
use crate::observe::prometheus::read_bounded;

/// Longest wait for one endpoint.
pub const TIMEOUT: Duration = Duration::from_secs(2);
/// Largest answer that is read: about 1,000 consumers.
pub const MAX_BODY: usize = 1 << 20;
/// How often one endpoint is asked within a poll, when followers answer: three finds the leader of three servers behind
/// one Service in 70 % of the polls, which come every second.
const ATTEMPTS: u32 = 3;

/// Which consumer of which servers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Consumer {
    /// Monitoring base URLs.
    pub urls: Vec<String>,
    /// Account.
    pub account: String,
    /// Stream.
    pub stream: String,
    /// Consumer.
    pub consumer: String,
}

/// A client of monitoring endpoints, shared by all consumers.
pub struct NatsMonitor {
    http: reqwest::Client,
    /// Names of servers by their id: `/jsz` gives only the id, and leaders are called by name.
    names: Mutex<BTreeMap<String, String>>,
}

impl NatsMonitor {
    /// Builds the client. Nothing is sent yet.
    pub fn new() -> Result<Self, ObserveError> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("arbiter/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(TIMEOUT)
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|e| ObserveError::Configuration { what: "the HTTP client".to_owned(), why: root_cause(&e) })?;
        Ok(Self { http, names: Mutex::default() })
    }

    /// Items that wait for a consumer, by its leader's account.
    pub async fn backlog(&self, consumer: &Consumer) -> Result<f64, ObserveError> {
        let answers = futures::future::join_all(consumer.urls.iter().map(|url| self.ask(url, consumer))).await;
        let mut worst: Option<ObserveError> = None;
        for answer in answers {
            match answer {
                Ok(items) => return Ok(items),
                Err(error) if worst.as_ref().is_none_or(|w| telling(&error) > telling(w)) => worst = Some(error),
                Err(_) => {}
            }
        }
        Err(worst.unwrap_or_else(|| ObserveError::Configuration {
            what: "natsJetStream.monitoringUrls".to_owned(),
            why: "it is empty".to_owned(),
        }))
    }

    async fn ask(&self, url: &str, consumer: &Consumer) -> Result<f64, ObserveError> {
        let mut last = None;
        let mut seen = BTreeSet::new();
        for _ in 0..ATTEMPTS {
            match self.ask_once(url, consumer).await? {
                Answer::Leader(items) => return Ok(items),
                Answer::Follower { server, leader } => {
                    // The same server again: there is only one behind this URL.
                    let repeated = !seen.insert(server);
                    last = Some(leader);
                    if repeated {
                        break;
                    }
                }
            }
        }
        Err(ObserveError::LeaderNotReached {
            consumer: consumer.consumer.clone(),
            leader: last
                .filter(|l| !l.is_empty())
                .map_or_else(|| "no server at the moment".to_owned(), |l| format!("`{l}`")),
        })
    }

    async fn ask_once(&self, url: &str, consumer: &Consumer) -> Result<Answer, ObserveError> {
        let base = reqwest::Url::parse(url).map_err(|e| ObserveError::Configuration {
            what: "natsJetStream.monitoringUrls".to_owned(),
            why: e.to_string(),
        })?;
        let query = [("acc", consumer.account.as_str()), ("consumers", "true"), ("config", "true")];
        let jsz: Jsz = self.get(&base, "jsz", &query).await?;
        if jsz.disabled {
            return Err(ObserveError::JetStreamDisabled { url: shown(&base) });
        }
        let found = find(jsz.account_details, consumer)?;
        let items = found.num_pending.saturating_add(found.num_ack_pending) as f64;
        // A server alone has no cluster, and leads everything.
        let Some(cluster) = found.cluster else { return Ok(Answer::Leader(items)) };
        let server = self.name_of(&base, &jsz.server_id).await?;
        if cluster.leader == server {
            return Ok(Answer::Leader(items));
        }
        Ok(Answer::Follower { server, leader: cluster.leader })
    }

    async fn name_of(&self, base: &reqwest::Url, id: &str) -> Result<String, ObserveError> {
        let known = self.names.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        if let Some(name) = known {
            return Ok(name);
        }
        // Behind a Service this may be another server than the one just asked: what it says holds for its own id.
        let varz: Varz = self.get(base, "varz", &[]).await?;
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= MAX_NAMES {
            names.clear();
        }
        names.insert(varz.server_id, varz.server_name);
        Ok(names.get(id).cloned().unwrap_or_default())
    }

    async fn get<T: DeserializeOwned>(
        &self,
        base: &reqwest::Url,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, ObserveError> {
        let mut url = base.clone();
        url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
        let unusable = |why: String| ObserveError::NatsAnswer { url: shown(&url), why };
        let mut response =
            self.http.get(url.clone()).query(query).send().await.map_err(|e| ObserveError::NatsUnreachable {
                url: shown(base),
                why: if e.is_timeout() { format!("no answer within {} s", TIMEOUT.as_secs()) } else { root_cause(&e) },
            })?;
        if !response.status().is_success() {
            return Err(unusable(format!("HTTP {}", response.status().as_u16())));
        }
        let body = read_bounded(&mut response, MAX_BODY).await.map_err(&unusable)?;
        serde_json::from_slice(&body).map_err(|_| unusable(format!("it is not the JSON of /{path}")))
    }
}

/// Ids kept: far more than the servers of any cluster, and a bound for ids that change at every start.
const MAX_NAMES: usize = 1000;

enum Answer {
    Leader(f64),
    Follower { server: String, leader: String },
}

/// How much an error tells: when endpoints disagree, the most telling one is reported.
const fn telling(error: &ObserveError) -> u8 {
    match error {
        ObserveError::LeaderNotReached { .. } => 6,
        ObserveError::ConsumerNotFound { .. } => 5,
        ObserveError::StreamNotFound { .. } => 4,
        ObserveError::AccountNotFound { .. } => 3,
        ObserveError::JetStreamDisabled { .. } => 2,
        ObserveError::NatsAnswer { .. } => 1,
        _ => 0,
    }
}

fn find(accounts: Vec<AccountDetail>, wanted: &Consumer) -> Result<ConsumerDetail, ObserveError> {
    // Some versions answer an unknown account with another one.
    let account = accounts
        .into_iter()
        .find(|a| a.name == wanted.account || a.id == wanted.account)
        .ok_or_else(|| ObserveError::AccountNotFound { account: wanted.account.clone() })?;
    let stream = account.stream_detail.into_iter().find(|s| s.name == wanted.stream).ok_or_else(|| {
        ObserveError::StreamNotFound { account: wanted.account.clone(), stream: wanted.stream.clone() }
    })?;
    stream.consumer_detail.into_iter().find(|c| c.name == wanted.consumer).ok_or_else(|| {
        ObserveError::ConsumerNotFound { stream: wanted.stream.clone(), consumer: wanted.consumer.clone() }
    })
}

#[derive(Deserialize)]
struct Jsz {
    server_id: String,
    #[serde(default)]
    disabled: bool,
    #[serde(default)]
    account_details: Vec<AccountDetail>,
}

#[derive(Deserialize)]
struct AccountDetail {
    #[serde(default)]
    name: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    stream_detail: Vec<StreamDetail>,
}

#[derive(Deserialize)]
struct StreamDetail {
    name: String,
    #[serde(default)]
    consumer_detail: Vec<ConsumerDetail>,
}

#[derive(Deserialize)]
struct ConsumerDetail {
    name: String,
    num_pending: u64,
    num_ack_pending: u64,
    #[serde(default)]
    cluster: Option<ClusterInfo>,
}

#[derive(Deserialize)]
struct ClusterInfo {
    #[serde(default)]
    leader: String,
}

#[derive(Deserialize)]
struct Varz {
    server_id: String,
    server_name: String,
}

#[cfg(test)]
mod tests;
