//! Backlog of a `JetStream` consumer, read from the servers' monitoring endpoints (`/jsz`).
//!
//! What waits is what was not delivered yet (`num_pending`) and what was delivered and not acknowledged
//! (`num_ack_pending`). Every server that hosts a replica of a consumer lists it, but only its leader knows these numbers,
//! so all endpoints are asked and the leader's answer counts. An endpoint may be a Service in front of several servers:
//! connections are not reused, and a follower's answer is a reason to ask the same endpoint again.
//!
//! It must not follow redirects, use the environment's proxy, wait for more than [`TIMEOUT`], read more than
//! [`MAX_BODY`], or ask for a confined namespace what [`Doors`] does not lead to.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;

use crate::observe::error::{ObserveError, root_cause, shorten, shown};
use crate::observe::prometheus::read_bounded;
use crate::observe::tenancy::{Doors, Way};

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
    /// The namespace whose pods alone may be asked; none: any.
    pub within: Option<String>,
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
    doors: Option<Doors>,
    /// Names of servers by their id: `/jsz` gives only the id, and leaders are called by name. What servers of a confined
    /// namespace say counts there alone.
    names: Mutex<BTreeMap<(Option<String>, String), String>>,
}

impl NatsMonitor {
    /// Builds the client. Nothing is sent yet. Without doors no confined consumer is asked.
    pub fn new(doors: Option<Doors>) -> Result<Self, ObserveError> {
        Ok(Self { http: client(None)?, doors, names: Mutex::default() })
    }

    /// Items that wait for a consumer, by its leader's account.
    pub async fn backlog(&self, consumer: &Consumer) -> Result<f64, ObserveError> {
        let answers = futures::future::join_all(consumer.urls.iter().map(|url| self.ask(url, consumer))).await;
        most_telling(answers, || ObserveError::Configuration {
            what: "natsJetStream.monitoringUrls".to_owned(),
            why: "it is empty".to_owned(),
        })
    }

    /// Asks what a URL leads to: one endpoint, or each pod of a Service.
    async fn ask(&self, url: &str, consumer: &Consumer) -> Result<f64, ObserveError> {
        let ways = self.ways(url, consumer).await?;
        let answers = futures::future::join_all(ways.iter().map(|way| self.ask_one(way, consumer))).await;
        most_telling(answers, || ObserveError::NotPolledYet)
    }

    async fn ways(&self, url: &str, consumer: &Consumer) -> Result<Vec<Way>, ObserveError> {
        let url = reqwest::Url::parse(url).map_err(|e| ObserveError::Configuration {
            what: "natsJetStream.monitoringUrls".to_owned(),
            why: e.to_string(),
        })?;
        match (&consumer.within, &self.doors) {
            (None, _) => Ok(vec![Way::open(url)]),
            (Some(namespace), Some(doors)) => doors.ways(namespace, url).await,
            (Some(namespace), None) => {
                Err(ObserveError::NotAllowed { url: shown(&url), why: format!("pods of {namespace} are not known") })
            }
        }
    }

    async fn ask_one(&self, way: &Way, consumer: &Consumer) -> Result<f64, ObserveError> {
        let mut last = None;
        let mut seen = BTreeSet::new();
        for _ in 0..ATTEMPTS {
            match self.ask_once(way, consumer).await? {
                Answer::Leader(items) => return Ok(items),
                Answer::Follower { server, leader } => {
                    // The same server again: there is only one behind this way.
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
                .map_or_else(|| "no server at the moment".to_owned(), |l| format!("`{}`", shorten(&l))),
        })
    }

    async fn ask_once(&self, way: &Way, consumer: &Consumer) -> Result<Answer, ObserveError> {
        let query = [("acc", consumer.account.as_str()), ("consumers", "true"), ("config", "true")];
        let body = self.get(way, "jsz", &query).await?;
        let read = read(&body, consumer).map_err(|why| why.at(way))?;
        // A server alone has no cluster, and leads everything.
        let Some(leader) = read.leader else { return Ok(Answer::Leader(read.items)) };
        let server = self.name_of(way, consumer, &read.server).await?;
        if leader == server {
            return Ok(Answer::Leader(read.items));
        }
        Ok(Answer::Follower { server, leader })
    }

    async fn name_of(&self, way: &Way, consumer: &Consumer, id: &str) -> Result<String, ObserveError> {
        let key = |id: &str| (consumer.within.clone(), id.to_owned());
        let known = self.names.lock().unwrap_or_else(PoisonError::into_inner).get(&key(id)).cloned();
        if let Some(name) = known {
            return Ok(name);
        }
        // Behind a Service this may be another server than the one just asked: what it says holds for its own id.
        let body = self.get(way, "varz", &[]).await?;
        let varz: Varz = serde_json::from_slice(&body).map_err(|_| not_the_json_of("varz", way))?;
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= MAX_NAMES {
            names.clear();
        }
        names.insert(key(&varz.server_id), varz.server_name);
        Ok(names.get(&key(id)).cloned().unwrap_or_default())
    }

    async fn get(&self, way: &Way, path: &str, query: &[(&str, &str)]) -> Result<Vec<u8>, ObserveError> {
        let mut url = way.url.clone();
        url.set_path(&format!("{}/{path}", way.url.path().trim_end_matches('/')));
        let unusable = |why: String| ObserveError::NatsAnswer { url: format!("{}/{path}", way.shown), why };
        let dialled = way.address.map(|address| dial(&self.http, &mut url, address)).transpose()?;
        let http = dialled.as_ref().unwrap_or(&self.http);
        let mut response = http.get(url).query(query).send().await.map_err(|e| ObserveError::NatsUnreachable {
            url: way.shown.clone(),
            why: if e.is_timeout() { format!("no answer within {} s", TIMEOUT.as_secs()) } else { root_cause(&e) },
        })?;
        if !response.status().is_success() {
            return Err(unusable(format!("HTTP {}", response.status().as_u16())));
        }
        read_bounded(&mut response, MAX_BODY).await.map_err(&unusable)
    }
}

/// A client; with a host and its address, one that knows no other.
fn client(host: Option<(&str, SocketAddr)>) -> Result<reqwest::Client, ObserveError> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("arbiter/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(TIMEOUT)
        .pool_max_idle_per_host(0);
    if let Some((host, address)) = host {
        builder = builder.resolve(host, address);
    }
    builder.build().map_err(|e| ObserveError::Configuration { what: "the HTTP client".to_owned(), why: root_cause(&e) })
}

/// The client for an address, and the URL for it: the address itself, but for https, where the certificate is the host's.
fn dial(
    shared: &reqwest::Client,
    url: &mut reqwest::Url,
    address: SocketAddr,
) -> Result<reqwest::Client, ObserveError> {
    if url.scheme() == "https" {
        let host = url.host_str().unwrap_or_default().to_owned();
        return client(Some((&host, address)));
    }
    // Fails for URLs without a host alone.
    url.set_ip_host(address.ip()).ok();
    url.set_port(Some(address.port())).ok();
    Ok(shared.clone())
}

/// The first answer, or the error that tells most.
fn most_telling(
    answers: Vec<Result<f64, ObserveError>>,
    none: impl FnOnce() -> ObserveError,
) -> Result<f64, ObserveError> {
    let mut worst: Option<ObserveError> = None;
    for answer in answers {
        match answer {
            Ok(items) => return Ok(items),
            Err(error) if worst.as_ref().is_none_or(|w| telling(&error) > telling(w)) => worst = Some(error),
            Err(_) => {}
        }
    }
    Err(worst.unwrap_or_else(none))
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

/// What a `/jsz` says of a consumer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Read {
    /// Items that wait.
    pub(crate) items: f64,
    /// Name of the leader; none: the server stands alone.
    pub(crate) leader: Option<String>,
    /// Id of the server that answered.
    pub(crate) server: String,
}

/// Why a `/jsz` says nothing of a consumer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Unread {
    NotJson,
    Disabled,
    Error(ObserveError),
}

impl Unread {
    fn at(self, way: &Way) -> ObserveError {
        match self {
            Self::NotJson => not_the_json_of("jsz", way),
            Self::Disabled => ObserveError::JetStreamDisabled { url: way.shown.clone() },
            Self::Error(error) => error,
        }
    }
}

fn not_the_json_of(path: &str, way: &Way) -> ObserveError {
    ObserveError::NatsAnswer { url: format!("{}/{path}", way.shown), why: format!("it is not the JSON of /{path}") }
}

/// Reads a `/jsz`.
pub(crate) fn read(body: &[u8], consumer: &Consumer) -> Result<Read, Unread> {
    let jsz: Jsz = serde_json::from_slice(body).map_err(|_| Unread::NotJson)?;
    if jsz.disabled {
        return Err(Unread::Disabled);
    }
    let found = find(jsz.account_details, consumer).map_err(Unread::Error)?;
    let items = found.num_pending.saturating_add(found.num_ack_pending) as f64;
    Ok(Read { items, leader: found.cluster.map(|cluster| cluster.leader), server: jsz.server_id })
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
