//! KEDA's `ScaledObject`: bounds, triggers that are signals, fallback, and the behavior of its HPA.
//!
//! A trigger says how many items (or requests per second) one replica is good for. A policy says in what time waiting
//! work is done, and learns from CPU usage what a replica carries; so a threshold becomes a time where the work of an
//! item is given, and is said to be left where it is not.

use serde_json::Value;

use super::{
    draft::Draft,
    hpa,
    object::{Left, Object, number, whole},
};
use crate::api::{self, BacklogObjective, NatsJetStreamSource, PrometheusSource, RedisSource, Role, SignalLoss};

/// KEDA's defaults.
const DEFAULT_MAX: i32 = 100;
const DEFAULT_POLLING: f64 = 30.0;
const DEFAULT_LAG: f64 = 10.0;
const DEFAULT_LIST: f64 = 5.0;
/// Time to drain when the work of an item is not given.
const DRAIN: &str = "30s";

/// What makes a PromQL query a rate, not a level.
const RATES: [&str; 4] = ["rate(", "irate(", "increase(", "deriv("];

/// Puts a `ScaledObject` into a draft.
pub(super) fn take(draft: &mut Draft, object: &Object, item_seconds: Option<f64>, left: &mut Vec<Left>) {
    if !draft.takes_replicas(object, left) {
        return;
    }
    draft.comes_from(object);
    // How often KEDA looks has no meaning elsewhere; what it does at zero is left with zero itself.
    let known =
        ["scaleTargetRef", "minReplicaCount", "maxReplicaCount", "triggers", "fallback", "advanced", "pollingInterval"];
    left.extend(object.unknown("spec", &known));
    let fewest = whole(object.at("/spec/minReplicaCount")).unwrap_or(0);
    draft.spec.replicas = Some(api::Replicas {
        min: Some(fewest),
        max: Some(whole(object.at("/spec/maxReplicaCount")).unwrap_or(DEFAULT_MAX)),
    });
    advanced(draft, object, left);
    fallback(draft, object, left);
    for (index, trigger) in object.at("/spec/triggers").as_array().into_iter().flatten().enumerate() {
        let one = Trigger { object, path: format!("spec.triggers[{index}]"), value: trigger, item_seconds };
        one.take(draft, left);
    }
    awake_without_signals(draft, object, left);
    hpa::without_target(draft, object, left);
}

/// Zero replicas need something that tells of work: where every such trigger was left, one replica stays.
fn awake_without_signals(draft: &mut Draft, object: &Object, left: &mut Vec<Left>) {
    if !draft.sleeps() || draft.spec.signals.iter().any(crate::policy::wakes) {
        return;
    }
    if let Some(replicas) = &mut draft.spec.replicas {
        replicas.min = Some(1);
    }
    let what = "is 0, and no trigger that wakes the workload was carried over: min is 1";
    left.push(object.left("spec.minReplicaCount", what, "add a signal of waiting work, then set replicas.min to 0"));
}

/// The HPA that KEDA makes.
fn advanced(draft: &mut Draft, object: &Object, left: &mut Vec<Left>) {
    let config = "spec.advanced.horizontalPodAutoscalerConfig";
    left.extend(object.unknown("spec.advanced", &["horizontalPodAutoscalerConfig", "restoreToOriginalReplicaCount"]));
    left.extend(object.unknown(config, &["name", "behavior"]));
    if object.at("/spec/advanced/restoreToOriginalReplicaCount") == true {
        let what = "sets the count back when the object goes, and a policy leaves what runs";
        left.push(object.left("spec.advanced.restoreToOriginalReplicaCount", what, "scale by hand then"));
    }
    draft.spec.behavior = Some(hpa::behavior(object, &format!("{config}.behavior"), left));
}

/// Replicas for the time without a metric.
fn fallback(draft: &mut Draft, object: &Object, left: &mut Vec<Left>) {
    let Some(replicas) = whole(object.at("/spec/fallback/replicas")) else { return };
    left.extend(object.unknown("spec.fallback", &["failureThreshold", "replicas", "behavior"]));
    let polling = number(object.at("/spec/pollingInterval")).unwrap_or(DEFAULT_POLLING);
    let failures = number(object.at("/spec/fallback/failureThreshold")).unwrap_or(3.0);
    let after = (polling * failures).clamp(10.0, 86_400.0).ceil();
    draft.spec.on_signal_loss = Some(SignalLoss { after: Some(format!("{after}s")), min_replicas: replicas.max(1) });
    let behavior = object.at("/spec/fallback/behavior").as_str().unwrap_or("static");
    if behavior != "currentReplicasIfHigher" {
        let what = format!("is {behavior}, and on signal loss a policy raises to {replicas} and never lowers");
        left.push(object.left("spec.fallback", &what, "lower the number if it is too many"));
    }
}

/// One trigger.
struct Trigger<'a> {
    object: &'a Object<'a>,
    path: String,
    value: &'a Value,
    item_seconds: Option<f64>,
}

impl Trigger<'_> {
    fn text(&self, field: &str) -> Option<String> {
        match &self.value["metadata"][field] {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    fn left(&self, field: &str, what: &str, instead: &str) -> Left {
        let path = if field.is_empty() { self.path.clone() } else { format!("{}.{field}", self.path) };
        self.object.left(&path, what, instead)
    }

    fn take(&self, draft: &mut Draft, left: &mut Vec<Left>) {
        let kind = self.value["type"].as_str().unwrap_or_default();
        match kind {
            "prometheus" => self.prometheus(draft, left),
            "nats-jetstream" => self.nats(draft, left),
            "redis" => self.redis(draft, left),
            "cpu" => self.cpu(draft, left),
            "cron" => self.cron(draft, left),
            "memory" => {
                let what = "scales on memory, which more pods rarely lower";
                left.push(self.left("", what, "add Memory to spec.levers, which sizes pods by their peaks"));
            }
            _ => {
                let what = format!("has the type {kind}, for which there is no source");
                left.push(self.left("", &what, "read its exporter through a signal with a prometheus query"));
            }
        }
        if !self.value["authenticationRef"].is_null() {
            let what = "names credentials, and sources are read without";
            left.push(self.left("authenticationRef", what, "give the metrics server's headers to the controller"));
        }
        left.extend(
            self.object.unknown(
                &self.path,
                &["type", "name", "metadata", "metricType", "authenticationRef", "useCachedMetrics"],
            ),
        );
    }

    /// Metadata beside what is understood.
    fn rest(&self, known: &[&str], left: &mut Vec<Left>) {
        left.extend(self.object.unknown(&format!("{}.metadata", self.path), known));
    }

    fn cpu(&self, draft: &mut Draft, left: &mut Vec<Left>) {
        self.rest(&["type", "value", "containerName"], left);
        let kind = self.value["metricType"].as_str().map(str::to_owned).or_else(|| self.text("type"));
        let percent = self.text("value").and_then(|value| value.trim().parse::<i32>().ok());
        let Some(percent) = percent.filter(|_| kind.as_deref().is_none_or(|kind| kind == "Utilization")) else {
            let what = "wants an amount of CPU per pod, and an objective is a share of the request";
            left.push(self.left("", what, "write spec.objective.utilization.cpu as that share"));
            return;
        };
        if let Some(container) = self.text("containerName") {
            let what = format!("counts container {container} alone, and an objective counts the whole pod");
            left.push(self.left("metadata.containerName", &what, "check spec.objective.utilization"));
        }
        hpa::utilization(draft, self.object, &self.path, percent, left);
    }

    /// A floor by the calendar: KEDA gives it a start and an end, a policy a start and how long it lasts.
    fn cron(&self, draft: &mut Draft, left: &mut Vec<Left>) {
        self.rest(&["timezone", "start", "end", "desiredReplicas"], left);
        let (start, end) = (self.text("start").unwrap_or_default(), self.text("end").unwrap_or_default());
        let desired = self.text("desiredReplicas").and_then(|n| n.trim().parse::<i32>().ok()).filter(|n| *n >= 1);
        let desired = desired.ok_or_else(|| "desiredReplicas is not a number above zero".to_owned());
        let floor = crate::policy::time_between(&start, &end).and_then(|lasts| Ok((lasts, desired?)));
        let (lasts, min_replicas) = match floor {
            Ok(floor) => floor,
            Err(why) => {
                let what = format!("is a floor by the calendar, and {why}");
                left.push(self.left(
                    "",
                    &what,
                    "write spec.schedules with a start and a duration, one for each length",
                ));
                return;
            }
        };
        let (hours, minutes) = (lasts.get() / 3600.0, (lasts.get() / 60.0).ceil());
        let duration = if hours.fract() == 0.0 { format!("{hours}h") } else { format!("{minutes}m") };
        draft.spec.schedules.push(api::Schedule {
            cron: start,
            duration,
            time_zone: self.text("timezone"),
            min_replicas,
        });
    }

    fn prometheus(&self, draft: &mut Draft, left: &mut Vec<Left>) {
        self.rest(
            &["serverAddress", "query", "threshold", "metricName", "ignoreNullValues", "activationThreshold"],
            left,
        );
        let Some(query) = self.text("query") else {
            left.push(self.left("metadata.query", "is missing", "the trigger measures nothing; remove or correct it"));
            return;
        };
        let is_rate = RATES.iter().any(|function| query.contains(function));
        let role = if is_rate { Role::Demand } else { Role::Backlog };
        let mut signal = self.signal(draft, role);
        signal.prometheus = Some(PrometheusSource { query });
        // What KEDA wakes a workload by is measured while none of its pods runs.
        signal.survives_zero = draft.sleeps().then_some(true);
        if self.text("ignoreNullValues").is_none_or(|text| text != "false") && role == Role::Backlog {
            // What KEDA does with an empty answer unless it is told otherwise.
            signal.on_absent = Some(api::OnAbsent::Zero);
        }
        if let Some(address) = self.text("serverAddress") {
            let shown = address.split('@').next_back().unwrap_or_default();
            let what = format!("is {shown}; the metrics server is the controller's, for all policies");
            left.push(self.left(
                "metadata.serverAddress",
                &what,
                "check that `arbiter run --prometheus` is given the same",
            ));
        }
        self.activation("activationThreshold", left);
        let threshold = self.text("threshold").and_then(|text| text.trim().parse().ok());
        let name = signal.name.clone();
        draft.spec.signals.push(signal);
        if is_rate {
            let per = self.text("threshold").unwrap_or_default();
            let what =
                format!("gives a replica {per} per second, and what a replica carries is learned from its CPU usage");
            left.push(self.left(
                "metadata.threshold",
                &what,
                "set spec.objective.latency, or utilization, to say how full pods may be",
            ));
        } else {
            self.backlog(draft, name, ("threshold", threshold), left);
        }
    }

    fn nats(&self, draft: &mut Draft, left: &mut Vec<Left>) {
        let known = [
            "natsServerMonitoringEndpoint",
            "account",
            "stream",
            "consumer",
            "lagThreshold",
            "activationLagThreshold",
            "useHttps",
        ];
        self.rest(&known, left);
        let (Some(endpoint), Some(stream), Some(consumer)) =
            (self.text("natsServerMonitoringEndpoint"), self.text("stream"), self.text("consumer"))
        else {
            left.push(self.left("metadata", "lacks the endpoint, the stream or the consumer", "complete the trigger"));
            return;
        };
        let scheme = if self.text("useHttps").as_deref() == Some("true") { "https" } else { "http" };
        let mut signal = self.signal(draft, Role::Backlog);
        signal.nats_jet_stream = Some(NatsJetStreamSource {
            monitoring_urls: vec![format!("{scheme}://{endpoint}")],
            account: self.text("account"),
            stream,
            consumer,
            auth_secret_ref: None,
        });
        let name = signal.name.clone();
        draft.spec.signals.push(signal);
        self.activation("activationLagThreshold", left);
        let threshold = self.text("lagThreshold").and_then(|text| text.trim().parse().ok()).unwrap_or(DEFAULT_LAG);
        self.backlog(draft, name, ("lagThreshold", Some(threshold)), left);
    }

    fn redis(&self, draft: &mut Draft, left: &mut Vec<Left>) {
        self.rest(&["address", "listName", "listLength", "activationListLength", "databaseIndex"], left);
        let (Some(address), Some(list)) = (self.text("address"), self.text("listName")) else {
            left.push(self.left("metadata", "takes its address or list from elsewhere", "write a signal by hand"));
            return;
        };
        let mut signal = self.signal(draft, Role::Backlog);
        signal.redis = Some(RedisSource {
            address,
            database: self.text("databaseIndex").and_then(|text| text.parse().ok()),
            list: Some(list),
            stream: None,
            auth_secret_ref: None,
        });
        let name = signal.name.clone();
        draft.spec.signals.push(signal);
        self.activation("activationListLength", left);
        let threshold = self.text("listLength").and_then(|text| text.trim().parse().ok()).unwrap_or(DEFAULT_LIST);
        self.backlog(draft, name, ("listLength", Some(threshold)), left);
    }

    fn signal(&self, draft: &Draft, role: Role) -> api::Signal {
        let role_name = if role == Role::Demand { "requests" } else { "queue" };
        let name = self.value["name"].as_str().map(str::to_owned).or_else(|| self.text("metricName"));
        api::Signal {
            name: draft.signal_name(name.as_deref().unwrap_or(role_name)),
            role,
            prometheus: None,
            prometheus_histogram: None,
            nats_jet_stream: None,
            rabbitmq: None,
            redis: None,
            external_metric: None,
            on_absent: None,
            survives_zero: None,
        }
    }

    fn activation(&self, field: &str, left: &mut Vec<Left>) {
        if self.text(field).is_some_and(|text| text.trim().parse::<f64>().is_ok_and(|value| value > 0.0)) {
            let what = "is above zero, and any waiting item wakes a workload";
            left.push(self.left(&format!("metadata.{field}"), what, "subtract it in the query"));
        }
    }

    /// The objective for waiting work: a threshold of items per replica is the time in which one replica does them.
    fn backlog(
        &self,
        draft: &mut Draft,
        signal: String,
        (field, threshold): (&str, Option<f64>),
        left: &mut Vec<Left>,
    ) {
        if draft.objective().backlog.is_some() {
            let what = "is a second queue, and an objective names one";
            left.push(self.left("", what, "it is watched, and replicas follow the first"));
            return;
        }
        let drain_within = match (self.item_seconds, threshold.filter(|t| *t > 0.0)) {
            (Some(seconds), Some(threshold)) => format!("{}s", (threshold * seconds).clamp(1.0, 86_400.0).ceil()),
            (_, threshold) => {
                let items = threshold.map_or_else(|| "some".to_owned(), |t| t.to_string());
                let what = format!("gives a replica {items} waiting items, and an objective is a time, here {DRAIN}");
                let instead = "give --item-time, the time that a replica works on one item";
                left.push(self.left(&format!("metadata.{field}"), &what, instead));
                DRAIN.to_owned()
            }
        };
        draft.objective().backlog = Some(BacklogObjective { signal, drain_within });
    }
}
