//! Processes that a test starts and that end with it.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use arbiter::decide::Snapshot;
use tokio::time::Instant;

use super::{cluster::run, ports::free_port, wait::await_some};

/// A child process, killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a command with both outputs in a log file. `setpriv` sees to it that it ends with the thread of the test,
    /// also when this process is killed.
    pub(crate) fn start(command: &Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).expect("a log file");
        let errors = file.try_clone().expect("a log file");
        let mut bound = Command::new("setpriv");
        bound.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
        bound.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
        if let Some(folder) = command.get_current_dir() {
            bound.current_dir(folder);
        }
        let child = bound.stdin(Stdio::null()).stdout(file).stderr(errors).spawn();
        let child = child.unwrap_or_else(|e| panic!("setpriv {}: {e}", command.get_program().display()));
        Self { child, log: log.to_owned() }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits for the end.
    pub(crate) fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// SIGTERM, and waits for the end; answers how long that took and whether it ended well.
    pub(crate) async fn terminate(&mut self) -> (Duration, bool) {
        let started = Instant::now();
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill");
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return (started.elapsed(), status.success());
            }
            assert!(started.elapsed() < Duration::from_secs(30), "it does not end: {}", self.last_words());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Fails when the process has ended, with the end of its log.
    pub(crate) fn check(&mut self) -> Result<(), String> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            ended => Err(format!("the process ended ({ended:?}): {}", self.last_words())),
        }
    }

    /// All of the log.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The end of the log.
    pub(crate) fn last_words(&self) -> String {
        let text = self.log();
        let lines: Vec<&str> = text.lines().collect();
        format!("{}:\n{}", self.log.display(), lines[lines.len().saturating_sub(30)..].join("\n"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An instance of `arbiter run`.
#[derive(Debug)]
pub(crate) struct Arbiter {
    process: Process,
    base: String,
    page: String,
}

impl Arbiter {
    /// Starts the built binary with these arguments: metrics and health at one free port, page and API at another.
    pub(crate) fn start(kubeconfig: &Path, args: &[String], log: &Path) -> Self {
        Self::start_in(&[], kubeconfig, args, log)
    }

    /// The same with these variables in its environment.
    pub(crate) fn start_in(environment: &[(&str, &str)], kubeconfig: &Path, args: &[String], log: &Path) -> Self {
        let [listen, page] = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_arbiter"));
        command.env("KUBECONFIG", kubeconfig).envs(environment.iter().copied()).arg("run");
        command.arg(format!("--listen={listen}")).arg(format!("--page-listen={page}")).args(args);
        Self {
            process: Process::start(&command, log),
            base: format!("http://{listen}"),
            page: format!("http://{page}"),
        }
    }

    /// Where its metrics are.
    pub(crate) fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    /// Waits until it says that it is ready.
    pub(crate) async fn ready(&mut self) {
        let url = format!("{}/readyz", self.base);
        let process = &mut self.process;
        await_some("arbiter ready", 60, || {
            let running = process.check();
            let url = url.clone();
            async move {
                running?;
                get(&url).await.map(drop)
            }
        })
        .await;
    }

    /// Waits until it has decided about a policy: the series of the reason is there.
    pub(crate) async fn decided(&mut self, namespace: &str, policy: &str) {
        let wanted = [format!("namespace=\"{namespace}\""), format!("policy=\"{policy}\"")];
        await_some("a first decision", 60, || {
            let running = self.process.check();
            let (text, wanted) = (self.metrics(), &wanted);
            async move {
                running?;
                let text = text.await?;
                let series = |l: &&str| l.starts_with("arbiter_decision_info{") && wanted.iter().all(|w| l.contains(w));
                text.lines().find(series).map(drop).ok_or("no decision yet".into())
            }
        })
        .await;
    }

    /// Its metrics, in Prometheus' text format.
    pub(crate) fn metrics(&self) -> impl Future<Output = Result<String, String>> + use<> {
        let url = format!("{}/metrics", self.base);
        async move { get(&url).await }
    }

    /// Whether it leads, by its own metric.
    pub(crate) async fn leads(&self) -> Result<bool, String> {
        let text = self.metrics().await?;
        let line = text.lines().find(|l| l.starts_with("arbiter_leader")).ok_or("no arbiter_leader")?;
        Ok(line.ends_with(" 1") || line.ends_with(" 1.0"))
    }

    /// Replicas of a policy by its own metric: `current`, `ready` or `desired`.
    pub(crate) async fn replicas(&self, namespace: &str, policy: &str, kind: &str) -> Option<u32> {
        let text = self.metrics().await.ok()?;
        let wanted = [("namespace", namespace), ("policy", policy), ("kind", kind)];
        let wanted = wanted.map(|(label, value)| format!("{label}=\"{value}\""));
        let series = |l: &&str| l.starts_with("arbiter_replicas{") && wanted.iter().all(|w| l.contains(w));
        let value: f64 = text.lines().find(series)?.rsplit(' ').next()?.parse().ok()?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of a test's pods")]
        Some(value as u32)
    }

    /// What it has seen of a policy's workload, tick by tick, as its replay has it.
    pub(crate) async fn snapshots(&self, namespace: &str, policy: &str) -> Vec<Snapshot> {
        let url = format!("{}/api/v1/policies/{namespace}/{policy}/replay", self.page);
        let text = get(&url).await.expect("a replay");
        let lines = text.lines().skip(1); // the first is the header
        lines.map(|line| serde_json::from_str(line).expect("a snapshot")).collect()
    }

    /// What `arbiter explain` prints about a policy.
    pub(crate) fn explain(&self, namespace: &str, policy: &str) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_arbiter"));
        command.args(["explain", "--server", &self.page, "--namespace", namespace, policy]);
        run(&mut command, None).expect("an explanation")
    }

    /// Ticks so far.
    pub(crate) async fn ticks(&self) -> u64 {
        let text = self.metrics().await.expect("metrics");
        let count = text.lines().find_map(|l| l.strip_prefix("arbiter_tick_duration_seconds_count "));
        count.expect("arbiter_tick_duration_seconds_count").trim().parse().expect("a count")
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// SIGTERM, and waits for the end; answers how long that took and whether it ended well.
    pub(crate) async fn terminate(&mut self) -> (Duration, bool) {
        self.process.terminate().await
    }

    /// All of its log.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Sends it a signal, for example `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        // A process that has just ended is none to send it to.
        Command::new("kill").args([&format!("-{name}"), &id]).status().map(|_| ()).expect("kill(1) runs");
    }

    /// Whether it has ended.
    pub(crate) fn ended(&mut self) -> bool {
        self.process.check().is_err()
    }

    /// Memory in use, in bytes, as the kernel counts it.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("/proc");
        let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:")).expect("VmRSS");
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kilobytes * 1024
    }

    /// The end of its log.
    pub(crate) fn last_words(&self) -> String {
        self.process.last_words()
    }
}

/// The body of a successful GET.
pub(crate) async fn get(url: &str) -> Result<String, String> {
    let answer = reqwest::get(url).await.map_err(|e| format!("{url}: {e}"))?;
    let status = answer.status();
    let text = answer.text().await.map_err(|e| format!("{url}: {e}"))?;
    if status.is_success() { Ok(text) } else { Err(format!("{url}: {status}: {text}")) }
}
