//! What the pods of all histories do with their load, as one scrape target.
//!
//! Each history has a rate of requests; a request is worth [`WORK`] core-seconds, and a pod uses no more than it was
//! given. A Prometheus scrapes this, so that usage and signals are its answers.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
};

use arbiter::observe::clock::{Clock as _, SystemClock};
use serde_json::Value;

use super::record::Record;
use crate::support::{CONTAINER, Exporter, WEB, cores};

/// Core-seconds per request.
const WORK: f64 = 0.01;
/// Working set of a pod, bytes.
const MEMORY: f64 = 33_554_432.0;

/// Requests per second of each history.
#[derive(Clone, Debug, Default)]
pub(super) struct Loads(Arc<Mutex<BTreeMap<String, f64>>>);

impl Loads {
    /// Sets a history's rate; none: it is over.
    pub(super) fn set(&self, namespace: &str, rate: Option<f64>) {
        let mut loads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match rate {
            Some(rate) => drop(loads.insert(namespace.to_owned(), rate)),
            None => drop(loads.remove(namespace)),
        }
    }

    fn all(&self) -> BTreeMap<String, f64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Seconds of CPU that each pod has used, and when it was last reckoned.
#[derive(Debug, Default)]
struct Used {
    seconds: BTreeMap<(String, String), f64>,
    at: Option<i64>,
}

/// Serves the metrics of all histories.
pub(super) async fn serve(record: Arc<Record>, loads: Loads) -> Exporter {
    let used = Mutex::new(Used::default());
    Exporter::start(move |_, _| {
        let mut used = used.lock().unwrap_or_else(PoisonError::into_inner);
        render(&record, &loads.all(), &mut used, SystemClock.now().as_millisecond())
    })
    .await
}

fn render(record: &Record, loads: &BTreeMap<String, f64>, used: &mut Used, now: i64) -> String {
    let passed = used.at.map_or(0.0, |at| (now - at) as f64 / 1000.0);
    used.at = Some(now);
    let mut pods: BTreeMap<String, Vec<(String, f64)>> = BTreeMap::new();
    record.each_pod(|namespace, name, pod| {
        if ready(pod) && loads.contains_key(namespace) {
            pods.entry(namespace.to_owned()).or_default().push((name.to_owned(), requested(pod)));
        }
    });
    let mut seconds = BTreeMap::new();
    for (namespace, pods) in &pods {
        let rate = loads.get(namespace).copied().unwrap_or_default();
        let share = rate * WORK / pods.len().max(1) as f64;
        for (name, most) in pods {
            let key = (namespace.clone(), name.clone());
            let before = used.seconds.get(&key).copied().unwrap_or_default();
            seconds.insert(key, before + share.min(*most) * passed);
        }
    }
    used.seconds = seconds;
    text(loads, &used.seconds).expect("writing to a string cannot fail")
}

fn text(loads: &BTreeMap<String, f64>, used: &BTreeMap<(String, String), f64>) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    writeln!(out, "# TYPE app_offered_rate gauge")?;
    for (namespace, rate) in loads {
        writeln!(out, "app_offered_rate{{namespace=\"{namespace}\",app=\"{WEB}\"}} {rate}")?;
    }
    let labels = |(namespace, pod): &(String, String)| {
        format!("namespace=\"{namespace}\",pod=\"{pod}\",container=\"{CONTAINER}\",image=\"emulated\"")
    };
    writeln!(out, "# TYPE container_cpu_usage_seconds_total counter")?;
    for (key, seconds) in used {
        writeln!(out, "container_cpu_usage_seconds_total{{{}}} {seconds}", labels(key))?;
    }
    writeln!(out, "# TYPE container_memory_working_set_bytes gauge")?;
    for key in used.keys() {
        writeln!(out, "container_memory_working_set_bytes{{{}}} {MEMORY}", labels(key))?;
    }
    Ok(out)
}

fn ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    pod["metadata"]["deletionTimestamp"].is_null()
        && conditions.into_iter().flatten().any(|c| c["type"] == "Ready" && c["status"] == "True")
}

/// CPU that a pod's container requests, in cores.
pub(super) fn requested(pod: &Value) -> f64 {
    let cpu = &pod["spec"]["containers"][0]["resources"]["requests"]["cpu"];
    cpu.as_str().map_or(0.0, cores)
}
