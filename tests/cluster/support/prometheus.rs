//! A Prometheus of a test's own: 5 s scrapes, targets from a file, its data in the cluster's folder.

use std::{ffi::OsString, fs, path::PathBuf, process::Command};

use serde_json::{Value, json};

use super::{
    cluster::Cluster,
    process::{Process, free_port, get},
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
        let config = json!({
            "global": {"scrape_interval": "5s", "scrape_timeout": "4s"},
            "scrape_configs": [{"job_name": "test", "honor_labels": true, "file_sd_configs": [{"files": ["targets.json"], "refresh_interval": "1s"}]}],
        });
        fs::write(dir.join("prometheus.yml"), config.to_string()).expect("a configuration for Prometheus");
        fs::write(dir.join("targets.json"), "[]").expect("targets for Prometheus");
        let binary = cluster.program("prometheus").get_program().to_owned();
        let mut server = Self { binary, dir, listen: format!("127.0.0.1:{}", free_port()), process: None };
        server.resume().await;
        server
    }

    /// Its base URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// Scrapes these addresses from now on.
    pub(crate) fn scrape(&self, targets: &[String]) {
        let text = json!([{"targets": targets}]).to_string();
        // In place by renaming: Prometheus watches the folder and must not read half a file.
        fs::write(self.dir.join("targets.new"), text).expect("targets for Prometheus");
        fs::rename(self.dir.join("targets.new"), self.dir.join("targets.json")).expect("targets for Prometheus");
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
