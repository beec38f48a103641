//! One size: arbiter is started, decides for everybody, and is watched for a while.

use std::{
    collections::BTreeMap,
    fs,
    process::{Child, Command, Stdio},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use serde_json::json;
use tokio::time::Instant;

use super::{
    api,
    ports::free_port,
    prometheus, remembered,
    world::{Counts, World},
};

/// Time between two ticks: the default.
const TICK: f64 = 15.0;
/// Pods that report something per second, and thousand pods.
const STIRRED: f64 = 1.0;
/// How long the first decisions may take.
const PATIENCE: Duration = Duration::from_mins(5);
/// By then something of what is remembered has been written: a minute after the start, and a tick.
const WRITTEN: f64 = 90.0;
/// Clock ticks of the kernel in a second, in `/proc/PID/stat`.
const CLOCK: f64 = 100.0;

/// How much there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) policies: usize,
    /// Of each policy, at first.
    pub(crate) pods: usize,
    /// Whether it starts with what is remembered after a week, and is watched until what the page shows is full as well.
    pub(crate) remembers: bool,
}

/// What was seen.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) size: Size,
    pub(crate) pods: usize,
    /// Cores used, in the mean.
    pub(crate) cores: f64,
    /// Resident memory at the end, and at most, in MiB.
    pub(crate) rss: f64,
    pub(crate) rss_peak: f64,
    /// Duration of a tick over all policies, median and 99th percentile, seconds.
    pub(crate) tick: (f64, f64),
    /// Queries of Prometheus and reads of the API server in a tick.
    pub(crate) queries: f64,
    pub(crate) reads: f64,
    /// Writes per second: counts, sizes, statuses, Events, what is remembered.
    pub(crate) writes: [f64; 5],
    /// Seconds from the start until every policy was decided once.
    pub(crate) first: f64,
}

/// The process, killed when dropped.
struct Arbiter {
    child: Child,
    metrics: String,
}

impl Drop for Arbiter {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Arbiter {
    fn start(folder: &std::path::Path, api: &str, prometheus: &str) -> Self {
        let kubeconfig = folder.join("kubeconfig");
        let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "played",
            "clusters": [{"name": "played", "cluster": {"server": api}}],
            "users": [{"name": "arbiter", "user": {"token": "played"}}],
            "contexts": [{"name": "played", "context": {"cluster": "played", "user": "arbiter", "namespace": "arbiter"}}]});
        fs::write(&kubeconfig, config.to_string()).expect("a kubeconfig");
        let port = free_port();
        let log = fs::File::create(folder.join("arbiter.log")).expect("a log");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", env!("CARGO_BIN_EXE_arbiter"), "run", "--log=warn"]);
        command.args([format!("--prometheus={prometheus}"), format!("--listen=127.0.0.1:{port}")]);
        command.args(["--page-listen=127.0.0.1:0", "--lease-namespace=arbiter", "--state-objects"]);
        command.env("KUBECONFIG", &kubeconfig).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Self { child: command.spawn().expect("setpriv"), metrics: format!("http://127.0.0.1:{port}/metrics") }
    }

    /// Its metrics by series; empty while it does not answer.
    async fn series(&self) -> BTreeMap<String, f64> {
        let Ok(answer) = reqwest::get(&self.metrics).await else { return BTreeMap::new() };
        let text = answer.text().await.unwrap_or_default();
        let lines =
            text.lines().filter(|line| line.starts_with("arbiter_tick") || line.starts_with("arbiter_decision_d"));
        lines
            .filter_map(|line| line.rsplit_once(' ').and_then(|(k, v)| Some((k.to_owned(), v.parse().ok()?))))
            .collect()
    }

    fn cpu_seconds(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("arbiter runs");
        let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
        let ticks = |at: usize| fields[at].parse::<f64>().expect("a number");
        (ticks(11) + ticks(12)) / CLOCK
    }

    fn memory(&self, field: &str) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("arbiter runs");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("a field");
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1024.0
    }
}

/// Measures one size.
pub(crate) async fn measure(size: Size, seconds: u64) -> Row {
    let mut world = World::new(size.policies, size.pods);
    if size.remembers {
        world.checkpoints = remembered::checkpoints(&world);
    }
    let world = Arc::new(world);
    let (api, prometheus) = (api::serve(Arc::clone(&world)).await, prometheus::serve(Arc::clone(&world)).await);
    let stirring = tokio::spawn(stir(Arc::clone(&world)));
    let folder = tempfile::tempdir().expect("a directory");
    let started = Instant::now();
    let arbiter = Arbiter::start(folder.path(), &api, &prometheus);
    let log = || fs::read_to_string(folder.path().join("arbiter.log")).unwrap_or_default();
    let decided = "arbiter_decision_duration_seconds_count";
    loop {
        let all = arbiter.series().await.get(decided).is_some_and(|n| *n >= size.policies as f64);
        if all {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{size:?}: not all decided within {PATIENCE:?}: {}", log());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let first = started.elapsed().as_secs_f64();
    let asked = world.counts.histories.load(Ordering::Relaxed);
    assert!(
        !size.remembers || asked == 0,
        "{size:?}: {asked} histories were asked for: what was remembered was not read"
    );
    // The first ticks answer what is new: a whole one passes before the watch begins.
    tokio::time::sleep(Duration::from_secs_f64(2.0 * TICK)).await;
    let before = (arbiter.cpu_seconds(), counts(&world), arbiter.series().await, Instant::now());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let took = before.3.elapsed().as_secs_f64();
    let (cpu, after, series) = (arbiter.cpu_seconds(), counts(&world), arbiter.series().await);
    let per_tick = |at: usize| (after[at] - before.1[at]) / (took / TICK);
    let per_second = |at: usize| (after[at] - before.1[at]) / took;
    stirring.abort();
    let kept = after[6] - before.1[6];
    assert!(
        took < WRITTEN || kept > 0.0,
        "{size:?}: nothing of what is remembered was written within {took:.0} s: {}",
        log()
    );
    Row {
        size,
        pods: world.pods(),
        cores: (cpu - before.0) / took,
        rss: arbiter.memory("VmRSS"),
        rss_peak: arbiter.memory("VmHWM"),
        tick: (quantile(&before.2, &series, 0.5), quantile(&before.2, &series, 0.99)),
        queries: per_tick(0),
        reads: per_tick(1),
        writes: [2, 3, 4, 5, 6].map(per_second),
        first,
    }
}

/// Pods report things that change nothing.
async fn stir(world: Arc<World>) {
    let pods = (world.policies * world.pods_at_first) as f64;
    let pause = Duration::from_secs_f64(1.0 / (STIRRED * pods / 1000.0));
    for turn in 0.. {
        tokio::time::sleep(pause).await;
        world.stir(turn * 7919 % world.policies);
    }
}

fn counts(world: &World) -> [f64; 7] {
    let counts = &world.counts;
    let Counts { queries, reads, scales, resizes, statuses, events, memories, .. } = counts;
    [queries, reads, scales, resizes, statuses, events, memories].map(|count| count.load(Ordering::Relaxed) as f64)
}

/// A quantile of the ticks between two looks, from the histogram's buckets, as Prometheus reckons it.
fn quantile(before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>, q: f64) -> f64 {
    let head = "arbiter_tick_duration_seconds_bucket{le=\"";
    let of = |series: &str| after[series] - before.get(series).copied().unwrap_or(0.0);
    let bound = |series: &str| series.strip_prefix(head)?.strip_suffix("\"}")?.parse::<f64>().ok();
    let mut buckets: Vec<(f64, f64)> = after.keys().filter_map(|series| Some((bound(series)?, of(series)))).collect();
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total = buckets.last().map_or(0.0, |last| last.1);
    let (mut low, mut below) = (0.0, 0.0);
    for (high, count) in buckets {
        if count >= q * total && count > below {
            let high = if high.is_finite() { high } else { low };
            return low + (high - low) * (q * total - below) / (count - below);
        }
        (low, below) = (high, count);
    }
    f64::NAN
}
