//! I/O: Puts the parts of the controller together, runs them, and takes them down in order.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use kube::{
    Client,
    config::KubeConfigOptions,
    runtime::events::{Recorder, Reporter},
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{
    ControllerError,
    backfill::{self, Backfill},
    checkpoint::{Checkpoints, Shelf},
    context::{Context, Known},
    custody::Turnstile,
    engine::{Engine, Feeds},
    events::Notices,
    lease, shutdown,
};
use crate::{
    actuate::{Blast, Bucket, Claim, FIELD_MANAGER, Fence, Writer, writing_client},
    observe::{
        clock::{Clock, SystemClock},
        kubernetes::{self, Targets},
        prometheus::{Prometheus, PrometheusConfig},
        root_cause, shorten,
        signals::{HubConfig, SignalHub},
        tenancy::{Doors, Tenancy},
        usage::{Cadvisor, MetricsApi, UsageSource},
    },
    policy::Shard,
    serve::{Board, Limits, health, loopback_only, metrics::Metrics, router},
    units::Seconds,
};

/// How long the API server may take for its first answer.
const FIRST_ANSWER: Duration = Duration::from_secs(10);

/// Writes per second over all policies and kinds, and how many may come at once. A burst resizes one tick's worth of
/// pods ([`crate::actuate`]) of a few policies; the rate stays far below a client's fair share of the API server.
const WRITES_PER_SECOND: f64 = 20.0;
/// See [`WRITES_PER_SECOND`].
const WRITE_BURST: f64 = 100.0;

/// A snapshot older than this is not acted on, however long the ticks are: a burst of requests may delay a write by
/// seconds, and after more than that the world is another one.
const SNAPSHOT_AGE: Duration = Duration::from_secs(20);

/// How long a query of usage may take: it is about all pods at once, and the tick does not wait for it.
const USAGE_TIMEOUT: Duration = Duration::from_secs(8);

/// Settings of a controller.
#[derive(Clone)]
pub struct Config {
    /// Context of the kubeconfig; none: its current one, or the cluster that this runs in.
    pub context: Option<String>,
    /// Namespaces to watch; none: all.
    pub namespaces: Vec<String>,
    /// The metrics server; none: usage from metrics.k8s.io, no query signals.
    pub prometheus: Option<PrometheusConfig>,
    /// What policies may look at.
    pub tenancy: Tenancy,
    /// Directory in which what is remembered of each workload is kept.
    pub state_dir: Option<PathBuf>,
    /// Whether it is kept in objects of the lease's namespace instead.
    pub state_objects: bool,
    /// Window that usage is a mean over.
    pub usage_window: Seconds,
    /// Time between ticks.
    pub tick: Duration,
    /// Pods that may be resized or evicted in a tick, over all policies.
    pub pods_per_tick: u32,
    /// Time between readings of signals, between ticks.
    pub signal_interval: Duration,
    /// Time between polls of direct sources.
    pub poll_interval: Duration,
    /// Address of metrics and health.
    pub listen: SocketAddr,
    /// Address of the page and its API.
    pub page_listen: SocketAddr,
    /// Namespace of the lease; none: the one that this runs in, or that of the context.
    pub lease_namespace: Option<String>,
    /// Which namespaces this instance decides for.
    pub shard: Shard,
    /// Name of the only shard's lease; others' are made from it.
    pub lease_name: String,
    /// Name of this instance.
    pub identity: String,
    /// Times of the lease.
    pub timing: lease::Timing,
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(config: Config) -> Result<(), ControllerError> {
    let stop = CancellationToken::new();
    shutdown::on_signal(stop.clone()).map_err(ControllerError::Signals)?;
    let connection = cluster_config(config.context.as_deref()).await?;
    let client = connect(&connection).await?;
    let metrics_listener = listen(config.listen, "--listen").await?;
    let page_listener = listen(config.page_listen, "--page-listen").await?;

    let (claim_sender, claim) = watch::channel(Claim::default());
    let fence = Arc::new(Fence::new(claim.clone(), Bucket::new(WRITES_PER_SECOND, WRITE_BURST), SNAPSHOT_AGE));
    let write_client = writing_client(connection.clone()).map_err(|e| unusable(&e))?;
    let writer = Writer::new(write_client.clone(), fence);
    let settings = lease::Settings {
        namespace: config.lease_namespace.clone().unwrap_or_else(|| connection.default_namespace.clone()),
        base: config.lease_name.clone(),
        shard: config.shard,
        identity: config.identity.clone(),
        timing: config.timing,
    };
    let mut watches = kubernetes::start(&client, &config.namespaces, config.shard);
    let checkpoints = checkpoints(&config, &client, &settings).await?;
    let context = Arc::new(context(&config, &client, (writer, checkpoints), &watches)?);
    let health = Arc::new(health::Health::new(config.tick));

    let mut servers = JoinSet::new();
    serve(&mut servers, metrics_listener, health::router(context.metrics.clone(), Arc::clone(&health)), &stop);
    let page = router(Arc::clone(&context.board));
    let page = if config.page_listen.ip().is_loopback() { loopback_only(page) } else { page };
    serve(&mut servers, page_listener, page, &stop);

    let released = CancellationToken::new();
    let lease = tokio::spawn(lease::run(write_client, settings, SystemClock, claim_sender, released.clone()));
    let (wake, signals) = mpsc::channel(1024);
    let follower = tokio::spawn(Arc::clone(&context).follow_signals(config.signal_interval, wake));
    let direct = context.hub.wakes();
    let cluster = std::mem::replace(&mut watches.wakes, mpsc::channel(1).1);
    let feeds = Feeds { cluster, direct, signals, claim };
    tracing::info!(
        identity = config.identity,
        metrics = %config.listen,
        page = %config.page_listen,
        tick = ?config.tick,
        "The controller runs."
    );
    Engine::new(Arc::clone(&context), health, watches.scopes.clone()).run(config.tick, feeds, stop).await;

    follower.abort();
    if tokio::time::timeout(shutdown::KEEP, context.keep_memory(true)).await != Ok(false) {
        tracing::warn!("Not all that is remembered was written down in time.");
    }
    // Only now, when nothing writes any more, is the lease given back.
    watches.abort();
    released.cancel();
    if tokio::time::timeout(shutdown::GRACE, lease).await.is_err() {
        tracing::warn!("The lease was not given back in time; it will run out.");
    }
    servers.abort_all();
    tracing::info!("Stopped.");
    Ok(())
}

/// Where what is remembered is kept. What cannot be read is said; then history or watching takes its place.
async fn checkpoints(
    config: &Config,
    client: &Client,
    lease: &lease::Settings,
) -> Result<Checkpoints, ControllerError> {
    if config.state_objects {
        let shelf = Shelf::new(lease.namespace.clone(), &lease.lease(), lease.base.clone());
        match tokio::time::timeout(FIRST_ANSWER, shelf.load(client)).await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => tracing::warn!("What was remembered cannot be read: {why}."),
            Err(_) => tracing::warn!("What was remembered cannot be read: the API server did not answer in time."),
        }
        return Ok(Checkpoints::Objects(shelf));
    }
    Checkpoints::open(config.state_dir.clone()).map_err(|error| ControllerError::StateDir {
        directory: config.state_dir.clone().unwrap_or_default(),
        cause: error.to_string(),
    })
}

fn context(
    config: &Config,
    client: &Client,
    (writer, checkpoints): (Writer, Checkpoints),
    watches: &kubernetes::Watches,
) -> Result<Context, ControllerError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let prometheus = config.prometheus.as_ref().map(Prometheus::new).transpose()?.map(Arc::new);
    let usage_source: Box<dyn UsageSource> = match &config.prometheus {
        Some(shared) => {
            let config_of_usage = PrometheusConfig { timeout: USAGE_TIMEOUT, ..shared.clone() };
            Box::new(Cadvisor::new(Arc::new(Prometheus::new(&config_of_usage)?), config.usage_window))
        }
        None => Box::new(MetricsApi::new(client.clone())),
    };
    let doors = Doors::new(client.clone(), watches.cluster.clone(), config.tenancy.clone());
    let hub = HubConfig { poll_interval: config.poll_interval, doors: Some(doors), ..HubConfig::new(prometheus) };
    let backfill = match &config.prometheus {
        Some(live) => {
            let config = PrometheusConfig { timeout: backfill::QUERY_TIMEOUT, concurrency: 1, ..live.clone() };
            Backfill::start(Prometheus::new(&config)?, Arc::clone(&clock))
        }
        None => Backfill::none(),
    };
    let reporter = Reporter { controller: FIELD_MANAGER.into(), instance: Some(config.identity.clone()) };
    Ok(Context {
        cluster: watches.cluster.clone(),
        epoch: watches.epoch.clone(),
        client: client.clone(),
        turnstile: Turnstile::default(),
        targets: Targets::new(client.clone()),
        tenancy: config.tenancy.clone(),
        hub: SignalHub::new(hub, Arc::clone(&clock))?,
        usage_source,
        backfill,
        checkpoints,
        recorder: Recorder::new(writer.client(), reporter),
        writer,
        blast: Mutex::new(Blast::new(config.pods_per_tick, config.tick)),
        notices: Mutex::new(Notices::default()),
        board: Arc::new(Board::new(Limits::LIVE)),
        metrics: Metrics::new(),
        clock,
        known: Known::default(),
    })
}

/// The cluster as kubectl would find it: KUBECONFIG or ~/.kube/config, else the one that this runs in.
pub(super) async fn cluster_config(context: Option<&str>) -> Result<kube::Config, ControllerError> {
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let named = context.is_some() || std::env::var_os("KUBECONFIG").is_some();
    let from_file = kube::Config::from_kubeconfig(&options).await;
    let found = match from_file {
        Ok(config) => Ok(config),
        // A file that was named and cannot be read is a mistake, not a reason to look elsewhere.
        Err(e) if named => Err(match std::env::var_os("KUBECONFIG") {
            Some(file) => format!("{}: {}", file.display(), in_one_line(&e)),
            None => in_one_line(&e),
        }),
        Err(e) => {
            kube::Config::incluster().map_err(|inside| format!("{}; and inside a cluster: {inside}", in_one_line(&e)))
        }
    };
    found.map_err(|cause| ControllerError::Kubeconfig { cause })
}

/// What the parser says, without the excerpt that it draws below.
fn in_one_line(error: &kube::config::KubeconfigError) -> String {
    let text = error.to_string();
    shorten(text.lines().next().unwrap_or_default())
}

fn unusable(error: &kube::Error) -> ControllerError {
    ControllerError::Kubeconfig { cause: root_cause(error) }
}

/// A client whose API server has answered.
pub(super) async fn connect(config: &kube::Config) -> Result<Client, ControllerError> {
    let client = Client::try_from(config.clone()).map_err(|e| unusable(&e))?;
    let url = config.cluster_url.to_string();
    let version = match tokio::time::timeout(FIRST_ANSWER, client.apiserver_version()).await {
        Ok(Ok(version)) => version,
        Ok(Err(kube::Error::Api(s))) if matches!(s.code, 401 | 403) => {
            return Err(ControllerError::Refused { url, cause: s.message.clone() });
        }
        Ok(Err(error)) => return Err(ControllerError::Unreachable { url, cause: root_cause(&error) }),
        Err(_) => {
            let cause = format!("no answer within {} s", FIRST_ANSWER.as_secs());
            return Err(ControllerError::Unreachable { url, cause });
        }
    };
    tracing::info!(url, version = version.git_version, "The API server answers.");
    Ok(client)
}

async fn listen(address: SocketAddr, flag: &'static str) -> Result<TcpListener, ControllerError> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|e| ControllerError::Listen { address, flag, cause: e.to_string() })
}

fn serve(servers: &mut JoinSet<()>, listener: TcpListener, router: axum::Router, stop: &CancellationToken) {
    let stop = stop.clone();
    servers.spawn(async move {
        let ended = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
        if let Err(error) = ended {
            tracing::error!("A server ended: {error}.");
        }
    });
}
