//! The workload emulator as a process (see `tests/cluster/emulator`).

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::OnceLock,
};

use serde_json::Value;

use super::cluster::root;

/// Label of every pod of a scene; its value is the namespace.
pub(super) const PART_OF: &str = "part-of";

/// What differs between tests.
#[derive(Clone, Debug)]
pub(crate) struct EmulatorOptions {
    /// Requests per second at the start.
    pub(crate) rate: f64,
    /// Core-seconds per item.
    pub(crate) work: f64,
    /// Exporters among which pods are spread.
    pub(crate) exporters: usize,
    /// Whether metrics.k8s.io is to know what pods use.
    pub(crate) annotate: bool,
    /// Server, stream and consumer of a queue.
    pub(crate) queue: Option<(String, String, String)>,
}

impl Default for EmulatorOptions {
    fn default() -> Self {
        Self { rate: 0.0, work: 0.05, exporters: 1, annotate: false, queue: None }
    }
}

/// An emulator; it ends when dropped, since its standard input closes.
#[derive(Debug)]
pub(crate) struct Emulator {
    child: Child,
    _input: ChildStdin,
    control: String,
    /// Addresses of its exporters.
    pub(crate) exporters: Vec<String>,
}

impl Emulator {
    /// Starts one for the pods of an app.
    pub(crate) fn start(kubeconfig: &Path, namespace: &str, app: &str, options: &EmulatorOptions, log: &Path) -> Self {
        let mut command = Command::new(binary());
        command.arg("--kubeconfig").arg(kubeconfig).args(["--namespace", namespace, "--app", app]);
        command.arg(format!("--selector={PART_OF}={namespace}")).arg(format!("--rate={}", options.rate));
        command.arg(format!("--work={}", options.work)).arg(format!("--exporters={}", options.exporters));
        if options.annotate {
            command.arg("--annotate");
        }
        if let Some((server, stream, consumer)) = &options.queue {
            command.args(["--nats", server, "--stream", stream, "--consumer", consumer]);
        }
        let log = std::fs::File::create(log).expect("a log file");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().expect("the emulator");
        let input = child.stdin.take().expect("its standard input");
        let mut line = String::new();
        let output = child.stdout.take().expect("its standard output");
        BufReader::new(output).read_line(&mut line).expect("its first line");
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("the emulator said {line:?}: {e}"));
        let exporters = said["exporters"].as_array().into_iter().flatten();
        let exporters = exporters.map(|e| e.as_str().unwrap_or_default().to_owned()).collect();
        let control = said["control"].as_str().unwrap_or_default().to_owned();
        Self { child, _input: input, control, exporters }
    }

    /// Changes the load: any of `rate`, `noise`, `work`, `memory`.
    pub(crate) async fn load(&self, change: Value) {
        let request = reqwest::Client::new().put(format!("{}/load", self.control)).json(&change);
        let answer = request.send().await.expect("the emulator answers");
        assert!(answer.status().is_success(), "the emulator refused {change}");
    }

    /// Kills an exporter; its pods go on.
    pub(crate) async fn stop_exporter(&self, index: usize) {
        self.exporter(index, "stop").await;
    }

    /// Starts it again.
    pub(crate) async fn start_exporter(&self, index: usize) {
        self.exporter(index, "start").await;
    }

    async fn exporter(&self, index: usize, action: &str) {
        let url = format!("{}/exporters/{index}/{action}", self.control);
        let answer = reqwest::Client::new().post(url).send().await.expect("the emulator answers");
        assert!(answer.status().is_success(), "exporter {index} {action}: {}", answer.status());
    }

    /// What it tells about itself: `totals`, `pods`, `capacity_cores`, `waiting`, `load`.
    pub(crate) async fn state(&self) -> Value {
        let text = super::process::get(&format!("{}/state", self.control)).await.expect("the emulator answers");
        serde_json::from_str(&text).expect("JSON")
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The built emulator: an example, since it needs the client of the queue, which is no dependency of arbiter. Cargo does
/// not build examples for one test target, so this does, once.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let profile = Path::new(env!("CARGO_BIN_EXE_arbiter")).parent().expect("a folder of binaries");
        let target = profile.parent().expect("the target folder");
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .current_dir(root())
            .args(["build", "--quiet", "--example", "workload-emulator", "--target-dir"])
            .arg(target);
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().is_ok_and(|s| s.success()), "the emulator does not build");
        profile.join("examples/workload-emulator")
    })
}
