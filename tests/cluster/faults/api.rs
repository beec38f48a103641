//! The proxy between arbiter and the API server.
//!
//! It passes requests on under its own credentials, and does to some of them what [`super::plan`] says. It also knows the
//! site of every write, and can have the process killed at one: after the write took, before or after its answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::body::{Body, Bytes};
use http::{Request, Response, header};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use super::{
    places::{Places, SHARED},
    plan::{Class, Fault, Kind},
    server::{Answer, Broken, Server, answer, half, whole},
    sites::{Known, Route, Site, classify},
    stream,
};

/// Least time between two kills of one process: it must come to something in between.
const KILLS_APART: Duration = Duration::from_millis(1_500);
/// A process that was killed has read the answer that it was to read by then.
const READ: Duration = Duration::from_millis(20);
/// How long a request whose process is being killed is held.
const DEATH: Duration = Duration::from_secs(2);
/// Lists whose staleness an API server cannot be accused of once the workload was given back: arbiter asks for the most
/// recent ones, and ownership rests on that (`docs/faults.md`).
const OWNERSHIP: [&str; 1] = ["horizontalpodautoscalers"];
/// Never stale: a policy's older version says what a person no longer wants; and tables are read by a list every five minutes
/// alone, so that what an old one hides would be missed for longer than a history lasts.
const NEVER_STALE: [&str; 2] = ["scalingpolicies", "podsizes"];

/// Where a process is killed: the site, and whether it still gets the answer.
pub(super) type Kill = (Site, bool);

/// How a process is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// At once.
    Killed,
    /// It is told to end, and killed at one of its last writes if such a kill is in the plan.
    Told,
}

/// What the proxy saw, beside faults.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// How often a write of each site took.
    pub(super) sites: BTreeMap<Site, u64>,
    /// Writes that no site names.
    pub(super) unnamed: Vec<String>,
    /// Lists that allow an old answer.
    pub(super) undemanding: Vec<String>,
    /// Kills that were done.
    pub(super) kills: Vec<Kill>,
}

#[derive(Debug, Default)]
struct State {
    known: Known,
    seen: Seen,
    /// Kills that are to come, and when the last one was.
    armed: BTreeSet<Kill>,
    killed: Option<Instant>,
    /// Those whose writes are under way: one may still be refused, and then its kill is to come as before.
    trying: BTreeSet<Kill>,
    /// The first answer to each list.
    lists: BTreeMap<String, Bytes>,
    given_back: BTreeSet<String>,
}

/// The proxy of one instance of arbiter.
pub(super) struct Api {
    shared: Arc<Shared>,
    server: Server,
}

struct Shared {
    upstream: Client,
    agent: String,
    places: Arc<Places>,
    state: Mutex<State>,
    ends: mpsc::UnboundedSender<End>,
    /// Whether no request about the lease gets through.
    cut_off: AtomicBool,
}

/// A kill whose write is under way. A write that does not take, or that its client gives up, is nothing to be killed after: then
/// it is to come as before.
struct Trying<'a> {
    shared: &'a Shared,
    kill: Option<Kill>,
}

impl Drop for Trying<'_> {
    fn drop(&mut self) {
        if let Some(kill) = self.kill {
            self.shared.arm_again(kill);
        }
    }
}

/// A request, understood.
struct Call {
    request: Request<Bytes>,
    route: Route,
    class: Class,
    site: Option<Site>,
    place: String,
    text: String,
}

impl Api {
    /// Starts one in front of the API server of a kubeconfig. `agent` is the name that the audit log gets. Whoever reads
    /// `ends` ends the process.
    pub(super) async fn start(
        kubeconfig: &Path,
        agent: &str,
        places: Arc<Places>,
        armed: BTreeSet<Kill>,
        ends: mpsc::UnboundedSender<End>,
    ) -> Self {
        let file = Kubeconfig::read_from(kubeconfig).expect("the kubeconfig");
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
        let mut config = config.expect("the kubeconfig");
        config.default_retry = false;
        let upstream = Client::try_from(config).expect("a client");
        let state = Mutex::new(State { armed, ..State::default() });
        let shared = Shared { upstream, agent: agent.to_owned(), places, state, ends, cut_off: AtomicBool::new(false) };
        let shared = Arc::new(shared);
        let handle = Arc::clone(&shared);
        let server = Server::start(move |request| Arc::clone(&handle).handle(request)).await;
        Self { shared, server }
    }

    /// A kubeconfig that leads here.
    pub(super) fn kubeconfig(&self) -> String {
        let server = format!("http://{}", self.server.address);
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
            "clusters": [{"name": "proxy", "cluster": {"server": server}}],
            "users": [{"name": "proxy", "user": {}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
        })
        .to_string()
    }

    /// What was seen so far.
    pub(super) fn seen(&self) -> Seen {
        self.shared.lock().seen.clone()
    }

    /// Writes to anything but the lease that took.
    pub(super) fn written(&self) -> u64 {
        let seen = self.seen();
        let lease = [Site::LeaseCreate, Site::LeaseTake, Site::LeaseRenew, Site::LeaseRelease];
        seen.sites.iter().filter(|(site, _)| !lease.contains(site)).map(|(_, times)| times).sum()
    }

    /// From now on a history gives its workload back, to an autoscaler with this largest count.
    pub(super) fn goes_back(&self, namespace: &str, most: u64) {
        let mut state = self.shared.lock();
        state.known.goes_back(namespace, most);
        state.given_back.insert(namespace.to_owned());
    }

    /// Adds kills.
    pub(super) fn arm(&self, kills: &BTreeSet<Kill>) {
        self.shared.lock().armed.extend(kills);
    }

    /// Those of some kills that are still to come.
    pub(super) fn still_armed(&self, kills: &BTreeSet<Kill>) -> BTreeSet<Kill> {
        let state = self.shared.lock();
        state.armed.iter().chain(&state.trying).filter(|kill| kills.contains(kill)).copied().collect()
    }

    /// Ends what is left of the kills but for these.
    pub(super) fn disarm_but(&self, kept: &[Site]) {
        self.shared.lock().armed.retain(|(site, _)| kept.contains(site));
    }

    /// Whether requests about the lease get through.
    pub(super) fn cut_off_from_lease(&self, cut_off: bool) {
        self.shared.cut_off.store(cut_off, Ordering::Relaxed);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn handle(self: Arc<Self>, request: Request<Bytes>) -> Answer {
        let call = self.understand(request);
        if call.class == Class::Lease && self.cut_off.load(Ordering::Relaxed) {
            return Err(Broken);
        }
        if let Some(kill) = call.site.and_then(|site| self.take_kill(site)) {
            return self.kill_at(kill, &call).await;
        }
        // A process that does not get an answer to its first question ends and is started again: nothing to learn.
        let spared = call.text.ends_with("/version");
        let fault = self.places.fault(&call.place, call.class, &call.text).filter(|_| !spared);
        if call.class == Class::Watch { self.watch(call, fault).await } else { self.plain(call, fault).await }
    }

    fn understand(&self, request: Request<Bytes>) -> Call {
        let (method, uri) = (request.method().as_str(), request.uri());
        let query = uri.query().unwrap_or_default();
        let route = Route::of(uri.path());
        let text = format!("{method} {}", uri.path());
        let reads = method == "GET";
        let class = match (reads, query.contains("watch=true"), &route.name) {
            _ if route.resource == "leases" => Class::Lease,
            (false, ..) => Class::Write,
            (true, true, _) => Class::Watch,
            (true, false, None) if !route.resource.is_empty() => Class::List,
            _ => Class::Get,
        };
        let mut state = self.lock();
        if class == Class::List && query.contains("resourceVersion=0") {
            state.seen.undemanding.push(text.clone());
        }
        let site = if reads {
            None
        } else {
            let body = serde_json::from_slice(request.body()).unwrap_or_default();
            let site = classify(method, &route, &body, &state.known);
            if site.is_none() {
                state.seen.unnamed.push(text.clone());
            }
            site
        };
        drop(state);
        let place = route.namespace.clone().unwrap_or_else(|| SHARED.to_owned());
        Call { request, route, class, site, place, text }
    }

    /// The kill that waits for this site, if it is time for one.
    fn take_kill(&self, site: Site) -> Option<Kill> {
        let mut state = self.lock();
        if state.killed.is_some_and(|at| at.elapsed() < KILLS_APART) {
            return None;
        }
        let kill = state.armed.iter().find(|(armed, _)| *armed == site).copied()?;
        state.armed.remove(&kill);
        state.trying.insert(kill);
        state.killed = Some(Instant::now());
        Some(kill)
    }

    fn arm_again(&self, kill: Kill) {
        let mut state = self.lock();
        state.armed.insert(kill);
        state.trying.remove(&kill);
        state.killed = None;
    }

    async fn kill_at(&self, kill: Kill, call: &Call) -> Answer {
        let mut trying = Trying { shared: self, kill: Some(kill) };
        let (head, body) = self.forward(call).await?;
        if !head.status().is_success() {
            return Ok(whole(head, body));
        }
        trying.kill = None;
        {
            let mut state = self.lock();
            state.seen.kills.push(kill);
            state.trying.remove(&kill);
        }
        let ends = self.ends.clone();
        let (_, answered) = kill;
        if answered {
            tokio::spawn(async move {
                sleep(READ).await;
                ends.send(End::Killed).unwrap_or_default();
            });
            return Ok(whole(head, body));
        }
        ends.send(End::Killed).unwrap_or_default();
        sleep(DEATH).await;
        Err(Broken)
    }

    async fn plain(&self, call: Call, fault: Option<Fault>) -> Answer {
        let Some(Fault { kind, millis }) = fault else {
            let (head, body) = self.forward(&call).await?;
            return Ok(whole(head, body));
        };
        let span = Duration::from_millis(millis);
        if kind == Kind::Delay {
            sleep(span).await;
        }
        match kind {
            Kind::DropRequest => return Err(Broken),
            Kind::Conflict => return Ok(refusal(409, "Conflict")),
            Kind::Gone => return Ok(refusal(410, "Expired")),
            Kind::TooMany => return Ok(refusal(429, "TooManyRequests")),
            Kind::Error => return Ok(refusal(500, "InternalError")),
            Kind::Stale => {
                if let Some(old) = self.old_list(&call) {
                    return Ok(whole(answer(200, "application/json"), old));
                }
            }
            _ => {}
        }
        let (head, body) = self.forward(&call).await?;
        match kind {
            Kind::LateAnswer => sleep(span).await,
            Kind::Twice => drop(self.forward(&call).await),
            Kind::DropAnswer => return Err(Broken),
            Kind::FailAfter => return Ok(refusal(500, "InternalError")),
            Kind::Half => return Ok(half(head, &body)),
            _ => {}
        }
        Ok(whole(head, body))
    }

    fn old_list(&self, call: &Call) -> Option<Bytes> {
        let state = self.lock();
        let resource = call.route.resource.as_str();
        let back = state.given_back.contains(&call.place) && OWNERSHIP.contains(&resource);
        if back || NEVER_STALE.contains(&resource) {
            return None;
        }
        state.lists.get(&call.request.uri().to_string()).cloned()
    }

    async fn watch(&self, call: Call, fault: Option<Fault>) -> Answer {
        match fault.map(|fault| fault.kind) {
            Some(Kind::TooMany) => return Ok(refusal(429, "TooManyRequests")),
            Some(Kind::Error) => return Ok(refusal(500, "InternalError")),
            _ => {}
        }
        let answered = self.send(&call).await?;
        let head = answer(answered.status().as_u16(), "application/json");
        let body = Body::new(answered.into_body());
        if !head.status().is_success() {
            return Ok(head.map(|()| body));
        }
        let events = stream::spoil(body, fault, Arc::clone(&self.places), call.place);
        Ok(head.map(|()| events))
    }

    /// Passes a request on and reads the whole answer.
    async fn forward(&self, call: &Call) -> Result<(Response<()>, Bytes), Broken> {
        let answered = self.send(call).await?;
        let kind = answered.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).map(str::to_owned);
        let head = answer(answered.status().as_u16(), kind.as_deref().unwrap_or("application/json"));
        let body = answered.into_body().collect_bytes().await.map_err(|_| Broken)?;
        if head.status().is_success() {
            let mut state = self.lock();
            if let Some(site) = call.site {
                state.known.done(site, &call.route);
                *state.seen.sites.entry(site).or_default() += 1;
            }
            if call.class == Class::List {
                state.lists.entry(call.request.uri().to_string()).or_insert_with(|| body.clone());
            }
        }
        Ok((head, body))
    }

    async fn send(&self, call: &Call) -> Result<Response<kube::client::Body>, Broken> {
        let path = call.request.uri().path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::builder().method(call.request.method()).uri(path);
        for name in [header::CONTENT_TYPE, header::ACCEPT] {
            if let Some(value) = call.request.headers().get(&name) {
                request = request.header(name, value);
            }
        }
        let request = request.header(header::USER_AGENT, &self.agent);
        let request = request.body(kube::client::Body::from(call.request.body().clone())).map_err(|_| Broken)?;
        self.upstream.send(request).await.map_err(|_| Broken)
    }
}

/// A refusal as the API server words it.
fn refusal(code: u16, reason: &str) -> Response<Body> {
    let mut head = answer(code, "application/json");
    if code == 429 {
        head.headers_mut().insert(header::RETRY_AFTER, 1.into());
    }
    whole(head, Bytes::from(stream::status(code, reason).to_string()))
}

#[test]
fn refusals_are_read_as_the_api_servers() {
    let status: kube::core::Status = serde_json::from_value(stream::status(409, "Conflict")).expect("a status");
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    assert!(status.is_failure(), "{status:?}");
    assert_eq!(stream::status(410, "Expired")["status"], Value::from("Failure"));
}
