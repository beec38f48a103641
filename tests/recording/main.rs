//! `arbiter record` against a real Prometheus: a recorded trace, played once in the simulator as "what happened", is written
//! into Prometheus' own blocks with promtool, pulled out again, and replayed.
//!
//! `make test-cluster` runs it, on the programs that `tests/cluster/build` makes. It needs no API server.

#![expect(clippy::panic, reason = "a test fails by panicking")]

use std::{
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use ports::free_port;

#[path = "../common/ports.rs"]
mod ports;

/// Beginning of the history: a Monday.
const BEGINNING: i64 = 1_770_000_000 - 1_770_000_000 % 86_400;
/// A sample a minute for three days.
const ROWS: usize = 3 * 1440;
const MIB: f64 = 1_048_576.0;

const POLICY: &str = r#"
apiVersion: autoscaling.arbiter.io/v1alpha1
kind: ScalingPolicy
metadata: {name: web, namespace: shop}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  mode: Recommend
  objective:
    latency: {signal: latency, target: 200ms, objective: "0.99"}
  replicas: {min: 2, max: 60}
  containers:
    - {name: "*", cpu: {min: 50m, max: 4}, memory: {min: 64Mi, max: 4Gi}}
  signals:
    - name: requests
      role: Demand
      prometheus: {query: 'sum(rate(http_requests_total{namespace="shop"}[2m]))'}
    - name: latency
      role: Latency
      prometheus: {query: 'max(http_p99_seconds{namespace="shop"})'}
"#;

/// A minute of what happened.
struct Minute {
    cores: f64,
    pods: usize,
    request: f64,
    latency: Option<f64>,
}

#[test]
fn a_workloads_history_is_recorded_and_replayed() {
    let directory = tempfile::tempdir().expect("a directory");
    let here = directory.path();
    fs::write(here.join("policy.yaml"), POLICY).expect("a file");
    let happened = what_happened(here);
    assert_eq!(happened.len(), ROWS);
    let prometheus = Prometheus::filled(here, "true", &open_metrics(&happened, |_, cores| cores));
    let out = here.join("recording");
    let said = succeeded(&record(&prometheus.url, &out, here));
    assert!(said.contains("Recorded shop/web into") && said.contains("demand 12"), "{said}");
    recorded_is_what_happened(&out, &happened);
    let replay = arbiter(&["simulate", "--seeds", "1", "--controllers", "arbiter,hpa70"])
        .args([
            "--recording",
            &text(&out),
            "--policy",
            &text(&here.join("policy.yaml")),
            "--out",
            &text(&here.join("report")),
        ])
        .output()
        .expect("arbiter runs");
    let said = succeeded(&replay);
    assert!(said.starts_with("How well the plant reproduces the recording\n  Fitted: "), "{said}");
    assert!(said.contains("  Usage: differs by ") && said.contains("  Latency: differs by a factor of "), "{said}");
    assert!(said.contains("hpa70"), "{said}");
    let page = fs::read_to_string(here.join("report/report.html")).expect("a report");
    assert!(page.contains("How well the simulated service reproduces the recording"));
    let again = record(&prometheus.url, &out, here);
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("holds a finished recording"));
}

#[test]
fn a_workload_whose_cpu_is_not_its_requests_is_not_compared() {
    let directory = tempfile::tempdir().expect("a directory");
    let here = directory.path();
    fs::write(here.join("policy.yaml"), POLICY).expect("a file");
    let happened = what_happened(here);
    // A batch job in the same pods: half of the hours use four times the CPU, the others next to none.
    let batch = |row: usize, cores: f64| if (row / 60).is_multiple_of(2) { cores * 4.0 } else { cores * 0.1 };
    let prometheus = Prometheus::filled(here, "batch", &open_metrics(&happened, batch));
    let out = here.join("recording");
    succeeded(&record(&prometheus.url, &out, here));
    let replay = arbiter(&["simulate", "--recording", &text(&out), "--policy", &text(&here.join("policy.yaml"))]);
    let replay = { replay }.output().expect("arbiter runs");
    let said = String::from_utf8_lossy(&replay.stderr).into_owned();
    assert_eq!(replay.status.code(), Some(2), "{said}");
    assert!(said.contains("not compared: simulated usage differs from the recorded one by"), "{said}");
    assert!(replay.stdout.is_empty(), "nothing is compared");
}

#[test]
fn a_server_that_is_not_there_is_said_after_patience() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("policy.yaml"), POLICY).expect("a file");
    let url = format!("http://127.0.0.1:{}", free_port());
    let output = record(&url, &directory.path().join("recording"), directory.path());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains(&format!("Prometheus at {url} cannot be reached")), "{said}");
    assert!(said.contains("run the same command again"), "{said}");
}

#[test]
fn a_workloads_history_is_learned() {
    let directory = tempfile::tempdir().expect("a directory");
    let here = directory.path();
    fs::write(here.join("policy.yaml"), POLICY).expect("a file");
    let happened = what_happened(here);
    let server = Prometheus::filled(here, "learned", &open_metrics(&happened, |_, cores| cores));
    let object: arbiter::api::ScalingPolicy = serde_saphyr::from_str(POLICY).expect("a policy");
    let policy = arbiter::policy::compile(&object).expect("a sound policy");
    let now = jiff::Timestamp::from_second(BEGINNING + 3 * 86_400).expect("an instant");
    let config = arbiter::observe::prometheus::PrometheusConfig::new(server.url.clone());
    let prometheus = arbiter::observe::prometheus::Prometheus::new(&config).expect("a client");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let read = arbiter::observe::prometheus::history::read(&prometheus, &policy, now);
    let history = runtime.block_on(read).expect("a history");
    assert!(history.rows.len() > 800, "three days at five minutes: {}", history.rows.len());
    let last = &history.rows[400];
    assert_eq!((last.start, last.request_bytes), (Some(30.0), Some(512.0 * MIB)), "{last:?}");
    assert_eq!(last.memory.get("app"), Some(&(300.0 * MIB)));
    let memory = arbiter::decide::warm_start(&history, &policy, now);
    let known: serde_json::Value = serde_json::from_str(&memory.to_text().expect("text")).expect("JSON");
    let work = known["state"]["demand"]["work"].as_f64().expect("work is known");
    // Pods cost 0.05 idle, requests 0.010; they are told apart where the number of pods and the load part company.
    assert!((0.009..0.0125).contains(&work), "{work}");
    // A row speaks for the five minutes before it: the first one for the end of the day before.
    assert_eq!(known["state"]["peaks"]["app"]["daily"].as_array().map(Vec::len), Some(5), "{known}");
}

/// The files hold what Prometheus was filled with.
fn recorded_is_what_happened(out: &Path, happened: &[Minute]) {
    let column = |kind: &str| -> Vec<(i64, f64)> {
        let text = fs::read_to_string(out.join(format!("{kind}.csv"))).unwrap_or_else(|e| panic!("{kind}: {e}"));
        let row = |line: &str| {
            line.split_once(',').map(|(at, value)| (at.parse().expect("time"), value.parse().expect("value")))
        };
        text.lines().skip(1).filter_map(row).collect()
    };
    let minute = |at: i64| usize::try_from((at - BEGINNING) / 60).expect("after the beginning");
    let replicas = column("replicas");
    assert!(replicas.len() > 12_000, "three days at 20 s: {}", replicas.len());
    let same =
        replicas.iter().filter(|(at, n)| happened.get(minute(*at)).is_some_and(|m| (m.pods as f64 - n).abs() < 0.5));
    // A pod that went is seen for up to five minutes: Prometheus looks that far back.
    assert!(same.count() * 10 > replicas.len() * 7, "replicas are those that there were");
    let total = |samples: &[(i64, f64)]| samples.iter().map(|s| s.1).sum::<f64>() / samples.len() as f64;
    let usage = total(&column("usage"));
    let real = happened.iter().map(|m| m.cores).sum::<f64>() / happened.len() as f64;
    assert!((usage / real - 1.0).abs() < 0.05, "usage {usage} against {real}");
    assert_eq!(column("start").first().map(|s| s.1), Some(30.0));
    assert_eq!(column("memory_request").first().map(|s| s.1), Some(512.0 * MIB));
}

/// A real load under an HPA in the simulator: its timeline, by minute.
fn what_happened(here: &Path) -> Vec<Minute> {
    let out = here.join("happened");
    let trace = Path::new(env!("CARGO_MANIFEST_DIR")).join("simulations/traces/mongodb_rps_3d.csv");
    let run = arbiter(&[
        "simulate",
        "--seeds",
        "1",
        "--controllers",
        "hpa70",
        "--trace",
        &text(&trace),
        "--out",
        &text(&out),
    ])
    .output()
    .expect("arbiter runs");
    succeeded(&run);
    let timeline = fs::read_to_string(out.join("timeline.csv")).expect("a timeline");
    let mut lines = timeline.lines();
    let head: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let place = |name: &str| head.iter().position(|head| *head == name).unwrap_or_else(|| panic!("no column {name}"));
    let [cores, pods, request, latency] = ["demand_cores", "replicas", "pod_request_cores", "latency_s"].map(place);
    let minute = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        let pods: usize = cells[pods].parse().expect("a count");
        // Idle pods take a twentieth of a core each.
        let cores = cells[cores].parse::<f64>().expect("cores") + 0.05 * pods as f64;
        Minute { cores, pods, request: cells[request].parse().expect("cores"), latency: cells[latency].parse().ok() }
    };
    lines.map(minute).collect()
}

/// The history as Prometheus would have scraped it: counters per pod, kube-state-metrics' gauges, the service's own.
fn open_metrics(happened: &[Minute], cpu: impl Fn(usize, f64) -> f64) -> String {
    let most = happened.iter().map(|m| m.pods).max().expect("minutes");
    let mut families: Vec<(&str, &str, String)> = [
        ("http_requests", "counter"),
        ("http_p99_seconds", "gauge"),
        ("container_cpu_usage_seconds", "counter"),
        ("container_memory_working_set_bytes", "gauge"),
        ("kube_pod_status_phase", "gauge"),
        ("kube_pod_container_resource_requests", "gauge"),
        ("kube_pod_created", "gauge"),
        ("kube_pod_status_ready_time", "gauge"),
    ]
    .map(|(name, kind)| (name, kind, String::new()))
    .into();
    let mut used = vec![0.0; most];
    let mut requests = 0.0;
    for (row, minute) in happened.iter().enumerate() {
        let at = BEGINNING + 60 * i64::try_from(row).expect("rows");
        requests += (minute.cores - 0.05 * minute.pods as f64) / 0.010 * 60.0;
        let mut add = |family: usize, sample: String| families[family].2.push_str(&sample);
        add(0, format!("http_requests_total{{namespace=\"shop\"}} {requests} {at}\n"));
        if let Some(latency) = minute.latency {
            add(1, format!("http_p99_seconds{{namespace=\"shop\"}} {latency} {at}\n"));
        }
        for (pod, used) in used.iter_mut().enumerate().take(minute.pods) {
            *used += cpu(row, minute.cores) / minute.pods as f64 * 60.0;
            let pod = format!("namespace=\"shop\",pod=\"web-7d9c-{pod}\"");
            let container = format!("{pod},container=\"app\"");
            add(2, format!("container_cpu_usage_seconds_total{{{container}}} {used} {at}\n"));
            add(3, format!("container_memory_working_set_bytes{{{container}}} {} {at}\n", 300.0 * MIB));
            add(4, format!("kube_pod_status_phase{{{pod},phase=\"Running\"}} 1 {at}\n"));
            let request = format!("kube_pod_container_resource_requests{{{container},resource=");
            add(5, format!("{request}\"cpu\"}} {} {at}\n{request}\"memory\"}} {} {at}\n", minute.request, 512.0 * MIB));
            add(6, format!("kube_pod_created{{{pod}}} {BEGINNING} {at}\n"));
            add(7, format!("kube_pod_status_ready_time{{{pod}}} {} {at}\n", BEGINNING + 30));
        }
    }
    let mut text = String::new();
    for (name, kind, samples) in families {
        writeln!(text, "# TYPE {name} {kind}").expect("a string");
        // OpenMetrics wants the samples of a series together.
        let mut lines: Vec<&str> = samples.lines().collect();
        lines.sort_by_key(|line| line.split('}').next().map(ToOwned::to_owned));
        for line in lines {
            text.extend([line, "\n"]);
        }
    }
    text + "# EOF\n"
}

/// A server of the test's own, with nothing to scrape.
struct Prometheus {
    process: Child,
    url: String,
}

impl Prometheus {
    fn filled(here: &Path, name: &str, history: &str) -> Self {
        let dir = here.join(name);
        let data = dir.join("data");
        fs::create_dir_all(&data).expect("a directory");
        fs::write(dir.join("history.txt"), history).expect("a file");
        fs::write(dir.join("prometheus.yml"), "{}\n").expect("a file");
        let bin = programs();
        let import = Command::new(bin.join("promtool"))
            .args(["tsdb", "create-blocks-from", "openmetrics", "--quiet"])
            .arg(dir.join("history.txt"))
            .arg(&data)
            .output()
            .expect("promtool runs");
        succeeded(&import);
        let listen = format!("127.0.0.1:{}", free_port());
        let process = Command::new(bin.join("prometheus"))
            .current_dir(&dir)
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--storage.tsdb.retention.time=100y"])
            .arg(format!("--web.listen-address={listen}"))
            .stdout(Stdio::null())
            .stderr(fs::File::create(dir.join("log")).expect("a log"))
            .spawn()
            .expect("prometheus runs");
        let server = Self { process, url: format!("http://{listen}") };
        for _ in 0..300 {
            if ready(&listen) {
                return server;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        panic!("Prometheus is not ready after 60 s: {}", fs::read_to_string(dir.join("log")).unwrap_or_default());
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Already gone, or ended here; what is left of it is in the temporary directory.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn ready(listen: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(listen) else { return false };
    let asked = stream.write_all(b"GET /-/ready HTTP/1.0\r\n\r\n");
    let mut answer = String::new();
    asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.contains(" 200 ")
}

/// The folder of programs, made if need be.
fn programs() -> PathBuf {
    let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/build");
    let output = Command::new(build).arg("prometheus").output().expect("tests/cluster/build runs");
    PathBuf::from(succeeded(&output).lines().last().expect("it prints the folder").trim())
}

fn record(url: &str, out: &Path, here: &Path) -> Output {
    let day = |days: i64| jiff::Timestamp::from_second(BEGINNING + 86_400 * days).expect("an instant").to_string();
    arbiter(&["record", "--step", "20s", "--from", &day(0), "--to", &day(3), "--prometheus", url])
        .args(["--policy", &text(&here.join("policy.yaml")), "--out", &text(out)])
        .output()
        .expect("arbiter runs")
}

fn arbiter(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_arbiter"));
    command.args(arguments);
    command
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Standard output of what must have gone well.
fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{:?}: {}", output.status.code(), String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
