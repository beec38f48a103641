//! Every value that a target's `spec.replicas` had, from a watch: no change is missed between two looks.

use std::{
    pin::pin,
    sync::{Arc, Mutex},
};

use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api,
    runtime::{WatchStreamExt as _, watcher},
};
use tokio::{task::JoinHandle, time::Instant};

use super::wait::await_some;

/// A change: when it was seen, and the count since.
pub(crate) type Change = (Instant, u32);

/// A running record.
#[derive(Debug)]
pub(crate) struct History {
    changes: Arc<Mutex<Vec<Change>>>,
    task: JoinHandle<()>,
}

impl History {
    /// Starts with the count of now.
    pub(super) async fn start(api: Api<Deployment>, name: &str) -> Self {
        let changes = Arc::new(Mutex::new(Vec::<Change>::new()));
        let shared = Arc::clone(&changes);
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let task = tokio::spawn(async move {
            let mut objects = pin!(watcher(api, config).default_backoff().applied_objects());
            while let Some(object) = objects.next().await {
                let Some(count) = object.ok().and_then(|o| o.spec?.replicas) else { continue };
                let count = u32::try_from(count).expect("a count");
                let mut changes = shared.lock().expect("the record");
                if changes.last().is_none_or(|(_, last)| *last != count) {
                    changes.push((Instant::now(), count));
                }
            }
        });
        let history = Self { changes, task };
        await_some("the record's first value", 30, || async {
            if history.changes().is_empty() { Err("nothing".to_owned()) } else { Ok(()) }
        })
        .await;
        history
    }

    /// All values so far, the first being the one at the start.
    pub(crate) fn changes(&self) -> Vec<Change> {
        self.changes.lock().expect("the record").clone()
    }

    /// The counts alone.
    pub(crate) fn counts(&self) -> Vec<u32> {
        self.changes().into_iter().map(|(_, count)| count).collect()
    }

    /// Whether the count ever fell.
    pub(crate) fn fell(&self) -> bool {
        self.counts().windows(2).any(|pair| pair[1] < pair[0])
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.task.abort();
    }
}
