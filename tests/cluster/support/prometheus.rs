//! A Prometheus of a test's own: 5 s scrapes, its data in the cluster's folder.

use std::{ffi::OsString, fs, path::PathBuf, process::Command};

use serde_json::{Value, json};

use super::{
    cluster::{Cluster, run},
    ports::free_port,
    process::{Process, get},
    wait::await_some,
};

/// A server and what it scrapes.
#[derive(Debug)]
pub(crate) struct Prometheus {
    binary: OsString,
    dir: PathBuf,
    listen: String,
    process: Option<Process>,
}

impl Prometheus {
    /// Starts a server without targets.
    pub(crate) async fn start(cluster: &Cluster, name: &str) -> Self {
        let dir = cluster.dir().join(format!("prometheus-{name}"));
        fs::create_dir_all(&dir).expect("a folder for Prometheus");
        let binary = cluster.program("prometheus").get_program().to_owned();
        let mut server = Self { binary, dir, listen: format!("127.0.0.1:{}", free_port()), process: None };
        server.configure(&[]);
        server.resume().await;
        server
    }

    /// Its base URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// Scrapes these addresses from now on.
    pub(crate) fn scrape(&self, targets: &[String]) {
        self.scrape_by(&[json!({"job_name": "test", "honor_labels": true, "static_configs": [{"targets": targets}]})]);
    }

    /// Scrapes by these configurations from now on.
    pub(crate) fn scrape_by(&self, jobs: &[Value]) {
        self.configure(jobs);
        if let Some(process) = &self.process {
            run(Command::new("kill").args(["-HUP", &process.id().to_string()]), None).expect("a hint to Prometheus");
        }
    }

    /// Writes the configuration. No `file_sd`: each watch of a file takes one of the machine's few inotify
    /// instances, and a server that gets none never reads its targets.
    fn configure(&self, jobs: &[Value]) {
        let config = json!({"global": {"scrape_interval": "5s", "scrape_timeout": "4s"}, "scrape_configs": jobs});
        fs::write(self.dir.join("prometheus.yml"), config.to_string()).expect("a configuration for Prometheus");
    }

    /// Kills the server; its data stay.
    pub(crate) fn stop(&mut self) {
        self.process = None;
    }

    /// Starts it again on the same port and data.
    pub(crate) async fn resume(&mut self) {
        let mut command = Command::new(&self.binary);
        command
            .current_dir(&self.dir)
            .arg("--config.file=prometheus.yml")
            .arg("--storage.tsdb.path=data")
            .arg(format!("--web.listen-address={}", self.listen));
        self.process = Some(Process::start(&command, &self.dir.join("log")));
        let url = format!("{}/-/ready", self.url());
        await_some("Prometheus ready", 60, || {
            let url = url.clone();
            async move { get(&url).await.map(drop) }
        })
        .await;
    }

    /// Gives it a past, in `OpenMetrics` text; it is stopped meanwhile.
    pub(crate) async fn remember(&mut self, cluster: &Cluster, past: &str) {
        self.stop();
        let file = self.dir.join("past.om");
        fs::write(&file, past).expect("writing a past");
        let mut promtool = cluster.program("promtool");
        // One block a day: promtool reads the whole text for each.
        promtool.args(["tsdb", "create-blocks-from", "--max-block-duration=24h", "openmetrics"]);
        run(promtool.arg(&file).arg(self.dir.join("data")), None).expect("giving Prometheus a past");
        fs::remove_file(&file).expect("removing a file");
        self.resume().await;
    }

    /// The answer to an instant query, as the API gives it; an error or a warning is a failure.
    pub(crate) async fn query(&self, expression: &str) -> Result<Value, String> {
        let url = reqwest::Url::parse_with_params(&format!("{}/api/v1/query", self.url()), [("query", expression)])
            .map_err(|e| e.to_string())?;
        let text = get(url.as_str()).await?;
        let answer: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
        if answer["status"] == "success" && answer["warnings"].is_null() {
            Ok(answer["data"]["result"].clone())
        } else {
            Err(format!("{expression}: {text}"))
        }
    }
}
