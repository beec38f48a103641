//! `arbiter run`.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use jiff::SignedDuration;
use tracing_subscriber::EnvFilter;

use super::Failure;
use crate::{
    controller::{self, Config, ControllerError, lease::Timing},
    observe::{prometheus::PrometheusConfig, tenancy::Tenancy},
    policy::Shard,
    units::Seconds,
};

/// Arguments of `arbiter run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  arbiter run --prometheus http://prometheus.monitoring:9090\n\n\
                        KUBECONFIG is read as kubectl reads it; inside a cluster the service account is used.")]
pub(super) struct Args {
    /// Context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Namespace to watch, several times for several [default: all]
    #[arg(long = "namespace", short = 'n', value_name = "NAME", env = "ARBITER_NAMESPACES", value_delimiter = ',')]
    namespaces: Vec<String>,
    /// URL of Prometheus or of anything that answers its query API; without it usage comes from metrics.k8s.io
    #[arg(long, alias = "prometheus-url", value_name = "URL", env = "ARBITER_PROMETHEUS")]
    prometheus: Option<String>,
    /// Header of every query, several times for several
    #[arg(
        long,
        value_name = "NAME: VALUE",
        env = "ARBITER_PROMETHEUS_HEADER",
        hide_env_values = true,
        requires = "prometheus"
    )]
    prometheus_header: Vec<String>,
    /// Equality matcher added to every selector of every query, for example cluster=eu1
    #[arg(long, value_name = "LABEL=VALUE", requires = "prometheus")]
    extra_matcher: Vec<String>,
    /// Namespace whose policies may look at series and hosts of all namespaces, several times for several, `*` for all; those of
    /// others see their own namespace only [default: none]
    #[arg(long = "trusted-namespace", value_name = "NAME", env = "ARBITER_TRUSTED_NAMESPACES", value_delimiter = ',')]
    trusted_namespaces: Vec<String>,
    /// Label that names the namespace of a series, several times for several; the first is added to selectors without any
    /// [default: namespace]
    #[arg(long = "namespace-label", value_name = "LABEL", env = "ARBITER_NAMESPACE_LABELS", value_delimiter = ',', value_parser = label)]
    namespace_labels: Vec<String>,
    /// Host that policies of every namespace may ask directly, with or without a port, several times for several
    #[arg(long = "allow-source", value_name = "HOST[:PORT]", env = "ARBITER_ALLOW_SOURCES", value_delimiter = ',')]
    allowed_sources: Vec<String>,
    /// Directory in which what is remembered of each workload outlives a restart [default: kept in memory alone, and read from
    /// Prometheus' history after a restart]
    #[arg(long, value_name = "DIR", env = "ARBITER_STATE_DIR")]
    state_dir: Option<std::path::PathBuf>,
    /// Keep what is remembered in config maps of the lease's namespace instead, many policies in each, so that it outlives
    /// the node too
    #[arg(long, conflicts_with = "state_dir", env = "ARBITER_STATE_OBJECTS")]
    state_objects: bool,
    /// Window that CPU usage is a mean over
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    usage_window: Duration,
    /// Time between ticks of all policies; what cannot wait wakes its policy in between
    #[arg(long, value_name = "DURATION", default_value = "15s", env = "ARBITER_TICK", value_parser = duration)]
    tick: Duration,
    /// Pods that may be resized or evicted in a tick, over all policies: growth goes first, shrinking may use half of them,
    /// evictions a twentieth
    #[arg(long, value_name = "NUMBER", default_value_t = crate::actuate::PODS_PER_TICK, env = "ARBITER_PODS_PER_TICK", value_parser = clap::value_parser!(u32).range(1..))]
    pods_per_tick: u32,
    /// Time between readings of signals; one that has risen by a fifth wakes its policy
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    signal_interval: Duration,
    /// Time between polls of queues
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    poll_interval: Duration,
    /// Address of /metrics, /healthz and /readyz
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080", env = "ARBITER_LISTEN")]
    listen: SocketAddr,
    /// Address of the page and its JSON API, which show all policies to whoever reaches them
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081", env = "ARBITER_PAGE_LISTEN")]
    page_listen: SocketAddr,
    /// Namespace of the lease [default: that of the service account or context]
    #[arg(long, value_name = "NAME", env = "ARBITER_LEASE_NAMESPACE")]
    lease_namespace: Option<String>,
    /// Which share of the namespaces this instance decides for, where several controllers divide them: its number from 0
    /// and how many there are, for example 0/3
    #[arg(long, value_name = "N/OF", default_value = "0/1", env = "ARBITER_SHARD")]
    shard: Shard,
    /// Name of the lease; of the instances that share it, and their shard, one writes
    #[arg(long, value_name = "NAME", default_value = "arbiter")]
    lease_name: String,
    /// Name of this instance, unique among them [default: host name and process id]
    #[arg(long, value_name = "NAME", env = "ARBITER_IDENTITY")]
    identity: Option<String>,
    /// Another instance takes over this long after it last saw the lease renewed
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = duration)]
    lease_duration: Duration,
    /// This instance stops writing this long after it last renewed the lease
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    lease_renew_deadline: Duration,
    /// Time between attempts to take or renew the lease
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    lease_retry: Duration,
    /// Form of the log on stderr
    #[arg(long, value_enum, default_value = "text", env = "ARBITER_LOG_FORMAT")]
    log_format: LogFormat,
    // The client logs every failed connection itself; what fails is said by whoever asked for it.
    /// What is logged, for example info,arbiter=debug
    #[arg(long, value_name = "FILTER", default_value = "info,kube_client::client::builder=off", env = "ARBITER_LOG")]
    log: String,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// For machines, one object per line
    Json,
}

/// Runs `arbiter run`.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    start_log(&args.log, args.log_format)?;
    let config = config(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|e| Failure::Environment(format!("no threads can be started: {e}")))?;
    runtime.block_on(controller::run(config)).map_err(failure)?;
    runtime.shutdown_timeout(Duration::from_millis(100));
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` hands it over")]
fn failure(error: ControllerError) -> Failure {
    match error {
        ControllerError::Source(_) => Failure::Input(error.to_string()),
        _ => Failure::Environment(error.to_string()),
    }
}

fn config(args: Args) -> Result<Config, Failure> {
    let Args {
        context,
        namespaces,
        prometheus,
        prometheus_header,
        extra_matcher,
        trusted_namespaces,
        namespace_labels,
        allowed_sources,
        state_dir,
        state_objects,
        usage_window,
        tick,
        pods_per_tick,
        signal_interval,
        poll_interval,
        listen,
        page_listen,
        lease_namespace,
        shard,
        lease_name,
        identity,
        lease_duration,
        lease_renew_deadline,
        lease_retry,
        log_format: _,
        log: _,
    } = args;
    let timing = Timing { duration: lease_duration, renew_deadline: lease_renew_deadline, retry: lease_retry };
    if timing.renew_deadline + crate::actuate::WRITE_TIMEOUT >= timing.duration
        || timing.retry * 2 > timing.renew_deadline
    {
        return Err(Failure::Input(format!(
            "--lease-duration must be more than --lease-renew-deadline and {} s together, and --lease-renew-deadline at \
             least twice --lease-retry: for example 15s, 10s, 2s",
            crate::actuate::WRITE_TIMEOUT.as_secs()
        )));
    }
    let prometheus = match prometheus {
        Some(url) => Some(PrometheusConfig {
            headers: pairs(&prometheus_header, ':', "--prometheus-header", "X-Scope-OrgID: tenant")?,
            extra_matchers: pairs(&extra_matcher, '=', "--extra-matcher", "cluster=eu1")?.into_iter().collect(),
            ..PrometheusConfig::new(url)
        }),
        None => None,
    };
    Ok(Config {
        context,
        namespaces,
        prometheus,
        tenancy: Tenancy::new(trusted_namespaces, namespace_labels, allowed_sources),
        state_dir,
        state_objects,
        usage_window: Seconds(usage_window.as_secs_f64()),
        tick,
        pods_per_tick,
        signal_interval,
        poll_interval,
        listen,
        page_listen,
        lease_namespace,
        shard,
        lease_name,
        identity: identity.unwrap_or_else(default_identity),
        timing,
    })
}

/// Splits `NAME<separator>VALUE`. A value may be secret and is not repeated in the error.
pub(super) fn pairs(
    texts: &[String],
    separator: char,
    flag: &str,
    example: &str,
) -> Result<Vec<(String, String)>, Failure> {
    let split = |text: &String| {
        let (name, value) = text.split_once(separator)?;
        let (name, value) = (name.trim(), value.trim());
        (!name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
    };
    let all: Option<Vec<_>> = texts.iter().map(split).collect();
    all.ok_or_else(|| Failure::Input(format!("{flag}: write it like \"{example}\"")))
}

pub(super) fn default_identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|h| h.trim().to_owned());
    let host = host.filter(|h| !h.is_empty()).unwrap_or_else(|| "arbiter".into());
    format!("{host}-{}", std::process::id())
}

/// A span of time such as 15s, 1500ms or 1m30s, above zero.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<SignedDuration>().ok().and_then(|d| Duration::try_from(d).ok());
    parsed.filter(|d| !d.is_zero()).ok_or_else(|| "write a span of time above zero, for example 15s or 1500ms".into())
}

/// The name of a Prometheus label.
fn label(text: &str) -> Result<String, String> {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let sound = text.starts_with(first) && text.chars().all(|c| first(c) || c.is_ascii_digit());
    let refusal = || format!("\"{text}\" is not the name of a label: use letters, digits and _");
    sound.then(|| text.to_owned()).ok_or_else(refusal)
}

fn start_log(filter: &str, format: LogFormat) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter).map_err(|e| Failure::Input(format!("--log \"{filter}\": {e}")))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    started.map_err(|e| Failure::Environment(format!("the log cannot be started: {e}")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Only {
        #[command(flatten)]
        args: Args,
    }

    fn parse(flags: &[&str]) -> Result<Config, String> {
        let args = Only::try_parse_from(std::iter::once(&"arbiter").chain(flags)).map_err(|e| e.to_string())?.args;
        config(args).map_err(|e| e.to_string())
    }

    #[test]
    fn defaults_are_those_of_the_design() {
        let config = parse(&[]).unwrap();
        assert_eq!(config.tick, Duration::from_secs(15));
        assert_eq!(config.timing, Timing::default());
        assert!(config.page_listen.ip().is_loopback());
        assert!(config.namespaces.is_empty());
        assert!(config.tenancy.confines("shop"), "nobody is trusted unless named");
    }

    #[test]
    fn headers_and_matchers_are_pairs_and_values_are_not_repeated() {
        let config = parse(&[
            "--prometheus=http://p",
            "--prometheus-header=Authorization: Bearer x:y",
            "--extra-matcher=cluster=eu1",
        ]);
        let prometheus = config.unwrap().prometheus.unwrap();
        assert_eq!(prometheus.headers, [("Authorization".to_owned(), "Bearer x:y".to_owned())]);
        assert_eq!(prometheus.extra_matchers, BTreeMap::from([("cluster".to_owned(), "eu1".to_owned())]));
        let error = parse(&["--prometheus=http://p", "--prometheus-header=secret"]).err().unwrap();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn who_may_look_at_what_is_told_by_flags() {
        let config = parse(&["--trusted-namespace=ops,infra", "--trusted-namespace=platform"]).unwrap();
        for (namespace, confined) in [("ops", false), ("infra", false), ("platform", false), ("shop", true)] {
            assert_eq!(config.tenancy.confines(namespace), confined, "{namespace}");
        }
        assert!(!parse(&["--trusted-namespace=*"]).unwrap().tenancy.confines("shop"));
        assert!(parse(&["--namespace-label=a-b"]).err().unwrap().contains("not the name of a label"));
        let config = parse(&["--namespace-label=ns", "--allow-source=NATS.shared:8222"]).unwrap();
        assert_eq!(config.tenancy.within("shop"), "ns=\"shop\"");
        assert!(config.tenancy.is_open(&"http://nats.shared:8222".parse().unwrap()));
    }

    #[test]
    fn times_that_would_let_two_instances_write_are_refused() {
        assert!(parse(&["--lease-renew-deadline=12s"]).err().unwrap().contains("--lease-duration"));
        assert!(parse(&["--lease-retry=6s"]).is_err());
        assert!(parse(&["--lease-duration=9s", "--lease-renew-deadline=5s", "--lease-retry=1s"]).is_ok());
    }

    #[test]
    fn spans_of_time_are_read_as_people_write_them() {
        assert_eq!(duration("1500ms").unwrap(), Duration::from_millis(1500));
        assert_eq!(duration("1m30s").unwrap(), Duration::from_secs(90));
        for text in ["0s", "-5s", "soon", ""] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
