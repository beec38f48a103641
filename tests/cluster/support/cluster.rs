//! The control plane: started once for this process, found through the environment file of `tests/cluster/up`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

/// A cluster that runs, and where its parts are.
#[derive(Debug)]
pub(crate) struct Cluster {
    env: BTreeMap<String, String>,
}

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The cluster of this process; the first caller starts it and installs arbiter's objects.
pub(crate) async fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    let started = tokio::task::spawn_blocking(|| {
        CLUSTER.get_or_init(|| {
            drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
            let cluster = Cluster::start();
            super::install::install(&cluster);
            cluster
        })
    });
    started.await.expect("starting the cluster")
}

impl Cluster {
    fn start() -> Self {
        let file = std::env::var_os("ARBITER_TEST_ENV").map_or_else(up, PathBuf::from);
        let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        Self { env: parse(&text) }
    }

    /// A value of the environment file.
    pub(crate) fn get(&self, key: &str) -> &str {
        self.env.get(key).unwrap_or_else(|| panic!("tests/cluster/up gives no {key}"))
    }

    /// The cluster's folder: logs and files of the processes that tests start go there too.
    pub(crate) fn dir(&self) -> PathBuf {
        PathBuf::from(self.get("ARBITER_CLUSTER_DIR"))
    }

    /// One of the programs that belong to the cluster: `kubectl`, `helm`, `prometheus`, `promtool`.
    pub(crate) fn program(&self, name: &str) -> Command {
        Command::new(Path::new(self.get("BIN")).join(name))
    }

    /// The admin's kubeconfig: for the tests' own hands only.
    pub(crate) fn admin_kubeconfig(&self) -> PathBuf {
        PathBuf::from(self.get("KUBECONFIG_ADMIN"))
    }

    /// A client with the admin's rights, bound to the runtime that calls.
    pub(crate) async fn admin(&self) -> Client {
        client(&self.admin_kubeconfig()).await
    }

    /// Runs kubectl as admin and gives its standard output; fails with what it says on standard error.
    pub(crate) fn kubectl(&self, args: &[&str], input: Option<&str>) -> String {
        let mut command = self.program("kubectl");
        command.arg("--kubeconfig").arg(self.admin_kubeconfig()).args(args);
        run(&mut command, input).unwrap_or_else(|e| panic!("kubectl {}: {e}", args.join(" ")))
    }

    /// Waits until custom resource definitions are established. kubectl takes one that was made a moment ago and has no
    /// conditions for an error, so it is asked again.
    pub(crate) fn established(&self, names: &[&str]) {
        let names: Vec<String> = names.iter().map(|name| format!("crd/{name}")).collect();
        let mut failed = String::new();
        for _ in 0..60 {
            let mut wait = self.program("kubectl");
            wait.arg("--kubeconfig").arg(self.admin_kubeconfig()).args(["wait", "--for=condition=Established"]);
            match run(wait.arg("--timeout=30s").args(&names), None) {
                Ok(_) => return,
                Err(error) => failed = error,
            }
            std::thread::sleep(std::time::Duration::from_millis(500));
        }
        panic!("{}: {failed}", names.join(" "));
    }
}

/// A client for a kubeconfig file.
pub(crate) async fn client(kubeconfig: &Path) -> Client {
    let file = Kubeconfig::read_from(kubeconfig).expect("the kubeconfig");
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.expect("the kubeconfig");
    Client::try_from(config).expect("a client")
}

/// Starts a cluster that ends with this process; gives its environment file.
fn up() -> PathBuf {
    let script = root().join("tests/cluster/up");
    let output = Command::new(&script)
        .args(["--owner", &std::process::id().to_string()])
        .stderr(Stdio::inherit())
        .output()
        .unwrap_or_else(|e| panic!("{}: {e}", script.display()));
    assert!(output.status.success(), "{} failed: {}", script.display(), output.status);
    let text = String::from_utf8(output.stdout).expect("a path");
    PathBuf::from(text.lines().last().expect("tests/cluster/up prints the path of its environment file").trim())
}

/// `KEY=VALUE` lines, values possibly in quotes, comments and blank lines between.
fn parse(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.trim_start_matches("export ").split_once('='));
    pairs.map(|(key, value)| (key.into(), value.trim_matches(['\'', '"']).into())).collect()
}

/// Runs a command to its end; gives standard output, or standard error as the failure.
pub(crate) fn run(command: &mut Command, input: Option<&str>) -> Result<String, String> {
    use std::io::Write as _;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| format!("{}: {e}", command.get_program().display()))?;
    let mut stdin = child.stdin.take().ok_or("no standard input")?;
    stdin.write_all(input.unwrap_or_default().as_bytes()).map_err(|e| e.to_string())?;
    drop(stdin);
    let output = child.wait_with_output().map_err(|e| e.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
