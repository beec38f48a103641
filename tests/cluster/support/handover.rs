//! When the workload changed hands, from what the API server showed to a watch.

use std::{
    pin::pin,
    sync::{Arc, Mutex},
};

use arbiter::{
    observe::clock::{Clock as _, SystemClock},
    takeover::{Kind, Rival},
};
use futures::StreamExt as _;
use jiff::Timestamp;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind},
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::scene::WEB;

/// Every version of an object, and when it was seen.
pub(crate) struct Watched {
    seen: Arc<Mutex<Vec<(Timestamp, Value)>>>,
    task: JoinHandle<()>,
}

impl Watched {
    /// From now on. `plural` names the resource.
    pub(crate) fn start(client: Client, namespace: &str, api_version: &str, kind: &str, plural: &str) -> Self {
        let (group, version) = api_version.split_once('/').expect("group/version");
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        let api: Api<DynamicObject> = Api::namespaced_with(client, namespace, &resource);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&seen);
        let config = watcher::Config::default().fields(&format!("metadata.name={WEB}"));
        let task = tokio::spawn(async move {
            let mut objects = pin!(watcher(api, config).default_backoff().applied_objects());
            while let Some(object) = objects.next().await {
                let Ok(object) = object else { continue };
                let object = serde_json::to_value(object).expect("JSON");
                shared.lock().expect("the record").push((SystemClock.now(), object));
            }
        });
        Self { seen, task }
    }

    /// A rival of this kind.
    pub(crate) fn rival(client: Client, namespace: &str, kind: Kind) -> Self {
        let plural = match kind {
            Kind::Hpa => "horizontalpodautoscalers",
            Kind::Vpa => "verticalpodautoscalers",
            Kind::ScaledObject => "scaledobjects",
        };
        Self::start(client, namespace, kind.api_version(), kind.as_str(), plural)
    }

    /// When it first was so, after an instant.
    pub(crate) fn first(&self, after: Timestamp, is: impl Fn(&Value) -> bool) -> Option<Timestamp> {
        let seen = self.seen.lock().expect("the record");
        seen.iter().find(|(at, object)| *at >= after && is(object)).map(|(at, _)| *at)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn rival(kind: Kind, object: &Value) -> Rival {
    Rival { kind, object: object.clone(), quiet: false }
}

/// Whether arbiter says that nobody else writes the workload.
fn in_control(policy: &Value) -> bool {
    let conditions = policy["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|c| c["type"] == "InControl" && c["status"] == "True")
}

/// A change of hands of one rival; times are seconds after it was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) kind: Kind,
    /// The rival is inert, as written.
    pub(crate) down: Option<f64>,
    /// Its controller has said that it acts on that; a VPA cannot say it.
    pub(crate) heard: Option<f64>,
    /// arbiter says that it is in control.
    pub(crate) owned: Option<f64>,
    /// The rival is active again; after it was asked to be given back.
    pub(crate) back: Option<f64>,
}

impl Taken {
    /// Reads it off what was seen, given when both were asked for.
    pub(crate) fn read(kind: Kind, rival_seen: &Watched, policy: &Watched, taken: Timestamp, given: Timestamp) -> Self {
        let after = |at: Option<Timestamp>, asked: Timestamp| at.map(|at| at.duration_since(asked).as_secs_f64());
        let inert = |object: &Value| rival(kind, object).inert();
        let heard = |object: &Value| inert(object) && rival(kind, object).observed() == Some(true);
        Self {
            kind,
            down: after(rival_seen.first(taken, inert), taken),
            heard: after(rival_seen.first(taken, heard), taken),
            owned: after(policy.first(taken, in_control), taken),
            back: after(rival_seen.first(given, |object| !inert(object)), given),
        }
    }

    /// Seconds in which nobody owned this side of the workload. For replicas: from the rival's being written inert to the
    /// moment in which its controller has heard of it, since arbiter may write from then on. For sizes: to the moment in
    /// which arbiter says that it is in control, since a VPA cannot say that it has heard.
    pub(crate) fn gap(&self) -> Option<f64> {
        let until = if self.kind.sizes() { self.owned } else { self.heard };
        Some((until? - self.down?).max(0.0))
    }
}
