//! Signals and usage read from a real Prometheus and a real NATS server, while what they come from dies and comes back.
//!
//! Only the reading is under test: no workload, no decision. What is claimed: an answer whose exporters are dead is
//! never taken for a fresh one, whatever it says; what was taken away for good is let go at once; what comes back is
//! fresh again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use arbiter::{
    decide::{Reading, SignalState},
    observe::{
        clock::{Clock, SystemClock},
        prometheus::{Prometheus as Client, PrometheusConfig},
        signals::{HubConfig, ReadContext, SignalHub},
        usage::{Cadvisor, PodId, UsageSource},
    },
    policy::{OnAbsent, Policy, PolicyKey, Role, Signal, Source},
    units::Seconds,
};
use async_nats::jetstream::{self, consumer::pull, stream};
use futures::StreamExt;
use serde_json::json;
use tokio::time::Instant;

use crate::support::{Exporter, Prometheus, await_some, cluster};

/// Two scrapes, the look at the file of targets, and a read.
const TWO_SCRAPES: Duration = Duration::from_secs(13);

/// The demand of all tests here: three exporters with 100, 60 and 40 a second.
const DEMAND: &str = "sum(rate(signals_requests_total[20s]))";

struct Reader {
    hub: SignalHub,
    policy: Policy,
}

impl Reader {
    fn new(url: Option<&str>, signals: &[Signal]) -> Self {
        let prometheus = url.map(|url| Arc::new(Client::new(&PrometheusConfig::new(url)).expect("a client")));
        let hub = SignalHub::new(HubConfig::new(prometheus), Arc::new(SystemClock)).expect("a hub");
        let policy = policy(signals);
        hub.sync([&policy]);
        Self { hub, policy }
    }

    async fn all(&self) -> BTreeMap<String, Reading> {
        let context = ReadContext::default();
        let mut readings = self.hub.read_all(SystemClock.now(), &[&self.policy], &context).await;
        readings.remove(&self.policy.key).expect("the policy's readings")
    }

    async fn read(&self, name: &str) -> Reading {
        self.all().await.remove(name).expect("a reading for every signal")
    }

    /// Waits until a signal has a state and a value, and says what it was until then.
    async fn becomes(&self, name: &str, state: SignalState, within: Duration, value: impl Fn(Option<f64>) -> bool) {
        let start = Instant::now();
        loop {
            let reading = self.read(name).await;
            if reading.state == Some(state) && value(reading.value) {
                eprintln!("{name} is {state:?} after {:.1} s: {reading:?}", start.elapsed().as_secs_f64());
                return;
            }
            assert!(start.elapsed() < within, "{name} is not {state:?} within {within:?}: {reading:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

fn near(wanted: f64) -> impl Fn(Option<f64>) -> bool {
    move |value| value.is_some_and(|v| (v - wanted).abs() <= wanted * 0.1)
}

fn any(_value: Option<f64>) -> bool {
    true
}

fn signal(name: &str, role: Role, on_absent: OnAbsent, source: Source) -> Signal {
    Signal { name: name.into(), role, source, on_absent, survives_zero: false }
}

fn query(name: &str, on_absent: OnAbsent, text: &str) -> Signal {
    signal(name, Role::Demand, on_absent, Source::Prometheus { query: text.into() })
}

fn policy(signals: &[Signal]) -> Policy {
    serde_json::from_value(json!({
        "key": {"namespace": "shop", "name": "web"},
        "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "mode": "Recommend", "levers": {"replicas": true, "cpu": true, "memory": true},
        "objective": {"latency": {"signal": "latency", "target": 0.25, "objective": 0.9}, "backlog": null,
            "utilization": 0.7, "utilization_given": false, "preference": "Balanced"},
        "replicas": {"min": 1, "max": 10}, "containers": {"named": {}, "default": {"limits": "Proportional"}},
        "signals": signals, "behavior": {}, "resize": {"strategy": "InPlaceOnly", "trimsPerPodPerDay": 96},
        "onSignalLoss": null, "onRival": "Floor", "prices": {"coreHour": 0.03, "gibHour": 0.004},
    }))
    .expect("a policy")
}

/// Three exporters, scraped.
async fn three_exporters(prometheus: &Prometheus) -> Vec<Exporter> {
    let mut exporters = Vec::new();
    for rate in [100.0, 60.0, 40.0] {
        exporters
            .push(Exporter::start(move |seconds, _| format!("signals_requests_total {:.3}\n", rate * seconds)).await);
    }
    scrape(prometheus, &exporters);
    exporters
}

fn scrape(prometheus: &Prometheus, exporters: &[Exporter]) {
    prometheus.scrape(&exporters.iter().map(Exporter::address).collect::<Vec<_>>());
}

#[tokio::test]
async fn one_of_three_exporters_dead_is_partial_until_it_is_back_or_taken_away() {
    let prometheus = Prometheus::start(cluster().await, "signals-one-of-three").await;
    let mut exporters = three_exporters(&prometheus).await;
    let reader = Reader::new(Some(&prometheus.url()), &[query("requests", OnAbsent::Hold, DEMAND)]);
    reader.becomes("requests", SignalState::Fresh, Duration::from_mins(1), near(200.0)).await;
    exporters[2].kill();
    reader.becomes("requests", SignalState::Partial, TWO_SCRAPES, any).await;
    let note = reader.read("requests").await.note.unwrap_or_default();
    assert!(note.contains(&exporters[2].address()), "says which exporter: {note}");
    // The value falls and stands still. A minute later both counts agree again: what is missing is still missing.
    let end = Instant::now() + Duration::from_secs(75);
    let mut last = None;
    while Instant::now() < end {
        let reading = reader.read("requests").await;
        assert_eq!(reading.state, Some(SignalState::Partial), "{reading:?}");
        last = reading.value;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(near(160.0)(last), "the two that live: {last:?}");
    // Back: not fresh before its rate is whole again, which takes the query's range.
    exporters[2].revive().await;
    let back = Instant::now();
    loop {
        let reading = reader.read("requests").await;
        if reading.state == Some(SignalState::Fresh) {
            assert!(reading.value.is_some_and(|v| v > 190.0), "fresh before it is whole: {reading:?}");
            break;
        }
        assert!(back.elapsed() < TWO_SCRAPES * 3, "{reading:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // Taken away for good, as service discovery does when a target shrinks: nothing is missing.
    reader.becomes("requests", SignalState::Fresh, TWO_SCRAPES * 3, near(200.0)).await;
    exporters.pop().expect("the third").kill();
    scrape(&prometheus, &exporters);
    reader.becomes("requests", SignalState::Fresh, TWO_SCRAPES * 3, near(160.0)).await;
}

#[tokio::test]
async fn all_exporters_dead_is_never_fresh_whatever_the_query_answers() {
    let mut prometheus = Prometheus::start(cluster().await, "signals-all-dead").await;
    let mut exporters = three_exporters(&prometheus).await;
    let signals = [
        query("requests", OnAbsent::Hold, DEMAND),
        query("fallback", OnAbsent::Hold, &format!("{DEMAND} or vector(0)")),
        query("zero", OnAbsent::Zero, DEMAND),
        query("rejected", OnAbsent::Zero, "label_replace(up, \"a\", \"$1\", \"job\", \"(\")"),
        query("never", OnAbsent::Hold, "sum(rate(signals_never_total[1m]))"),
    ];
    let reader = Reader::new(Some(&prometheus.url()), &signals);
    for name in ["requests", "fallback", "zero"] {
        reader.becomes(name, SignalState::Fresh, Duration::from_mins(1), near(200.0)).await;
    }
    let rejected = reader.read("rejected").await;
    assert_eq!(rejected.state, Some(SignalState::Invalid), "{rejected:?}");
    assert!(rejected.note.is_some_and(|n| n.contains("correct the query")));
    assert_eq!(reader.read("never").await.state, Some(SignalState::Absent));

    exporters.iter_mut().for_each(Exporter::kill);
    let killed = Instant::now();
    for name in ["requests", "fallback", "zero"] {
        reader.becomes(name, SignalState::Stale, TWO_SCRAPES, any).await;
    }
    let mut seen: Vec<(u64, Option<f64>)> = Vec::new();
    while killed.elapsed() < Duration::from_mins(1) {
        let readings = reader.all().await;
        let requests = &readings["requests"];
        seen.push((killed.elapsed().as_secs(), requests.value.map(f64::round)));
        for name in ["requests", "fallback", "zero"] {
            let reading = &readings[name];
            assert!(matches!(reading.state, Some(SignalState::Stale | SignalState::Absent)), "{name}: {reading:?}");
            let age = reading.age_seconds.map_or(f64::INFINITY, Seconds::get);
            // The age is looked for in steps of half a minute: never younger than the last sample.
            assert!(age + 11.0 >= killed.elapsed().as_secs_f64(), "{name} is older than {age}");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    eprintln!("what the query answered while everything was dead: {seen:?}");
    assert_eq!(reader.read("requests").await.state, Some(SignalState::Absent), "the query is empty at last");
    assert_eq!(reader.read("zero").await.value, None, "a dead exporter is an error, and never zero");

    for exporter in &mut exporters {
        exporter.revive().await;
    }
    reader.becomes("requests", SignalState::Fresh, TWO_SCRAPES * 3, |v| v.is_some_and(|v| v > 190.0)).await;

    prometheus.stop();
    reader.becomes("requests", SignalState::Absent, Duration::from_secs(5), |v| v.is_none()).await;
    // The first failure may be that of a connection that was open.
    let note = reader.read("requests").await.note.unwrap_or_default();
    assert!(note.contains("cannot be reached (Connection refused") && note.contains(&prometheus.url()), "{note}");
    assert_eq!(reader.read("zero").await.value, None, "an error is never zero");
    prometheus.resume().await;
    reader.becomes("requests", SignalState::Fresh, Duration::from_mins(1), near(200.0)).await;
}

/// What a kubelet's cAdvisor exports for one pod, with sample times of its own as cAdvisor gives them.
fn cadvisor(pod: &str, cores: f64, seconds: f64, now_millis: i64) -> String {
    let labels = format!("namespace=\"shop\",pod=\"{pod}\"");
    let whole = format!("container=\"\",id=\"/kubepods/{pod}\",{labels}");
    let app = format!("container=\"app\",id=\"/kubepods/{pod}/app\",{labels}");
    let (used, periods) = (cores * seconds, 10.0 * seconds);
    format!(
        "container_cpu_usage_seconds_total{{{whole}}} {used:.4} {now_millis}\n\
         container_cpu_usage_seconds_total{{{app}}} {used:.4} {now_millis}\n\
         container_memory_working_set_bytes{{{app}}} 104857600 {now_millis}\n\
         container_cpu_cfs_periods_total{{{app}}} {periods:.2} {now_millis}\n\
         container_cpu_cfs_throttled_periods_total{{{app}}} {:.2} {now_millis}\n\
         container_pressure_cpu_waiting_seconds_total{{{app}}} {:.4} {now_millis}\n\
         container_oom_events_total{{{app}}} 3 {now_millis}\n",
        periods * 0.12,
        seconds * 0.3,
    )
}

#[tokio::test]
async fn usage_has_each_pods_own_age_and_latency_comes_from_buckets() {
    let prometheus = Prometheus::start(cluster().await, "signals-usage").await;
    let node = |pod: &'static str, cores: f64| Exporter::start(move |s, now| cadvisor(pod, cores, s, now));
    let latency = Exporter::start(|s, _| {
        let bucket = |le: &str, rate: f64| format!("web_seconds_bucket{{le=\"{le}\"}} {:.3}\n", rate * s);
        [bucket("0.1", 50.0), bucket("0.25", 80.0), bucket("1", 100.0), bucket("+Inf", 100.0)].concat()
    });
    let mut exporters = vec![node("web-1", 0.5).await, node("web-2", 0.75).await, latency.await];
    scrape(&prometheus, &exporters);

    let client = Arc::new(Client::new(&PrometheusConfig::new(prometheus.url())).expect("a client"));
    let source = Cadvisor::new(client, Seconds(20.0));
    let id = |name: &str| PodId { namespace: "shop".into(), name: name.into() };
    let pods = BTreeSet::from([id("web-1"), id("web-2"), id("web-3")]);
    let table = await_some("usage of both pods", 60, || async {
        let table = source.read(SystemClock.now(), &pods).await.map_err(|e| e.to_string())?;
        let known = table.pods.values().filter(|c| c.get("app").is_some_and(|u| u.cpu.is_some())).count();
        if known == 2 && table.complete { Ok(table) } else { Err(format!("{table:?}")) }
    })
    .await;
    let web = table.pods[&id("web-1")].get("app").expect("the container");
    assert!((web.cpu.expect("CPU").get() - 0.5).abs() < 0.05, "{web:?}");
    assert_eq!((web.memory.map(|m| m.0), web.oom_events), (Some(104_857_600), Some(3)));
    assert!((web.throttled.expect("throttling") - 0.12).abs() < 0.02, "{web:?}");
    assert!((web.cpu_pressure.expect("pressure") - 0.3).abs() < 0.05, "{web:?}");
    assert!(web.age.is_some_and(|a| a.get() < 7.0) && web.memory_pressure.is_none(), "{web:?}");
    assert!(table.notes.is_empty(), "{:?}", table.notes);

    let histogram = Source::PrometheusHistogram {
        metric: "web_seconds".into(),
        matchers: BTreeMap::from([("job".into(), "test".into())]),
        window: Seconds(20.0),
    };
    let reader = Reader::new(Some(&prometheus.url()), &[signal("latency", Role::Latency, OnAbsent::Hold, histogram)]);
    reader.becomes("latency", SignalState::Fresh, Duration::from_mins(1), near(0.625)).await;
    let over = reader.read("latency").await.violation_ratio;
    assert!(near(0.2)(over), "{over:?}");

    // A node dies. Its series carry times of their own, so that Prometheus keeps them for five minutes; their age tells.
    exporters[0].kill();
    await_some("the dead node's age", 60, || async {
        let table = source.read(SystemClock.now(), &pods).await.map_err(|e| e.to_string())?;
        let age = |pod: &str| table.pods.get(&id(pod)).and_then(|c| c.get("app")?.age).map(Seconds::get);
        match (age("web-1"), age("web-2")) {
            (Some(dead), Some(alive)) if dead > 20.0 && alive < 7.0 => Ok(()),
            ages => Err(format!("{ages:?}")),
        }
    })
    .await;
}

#[tokio::test]
async fn a_queue_is_seen_within_two_seconds_and_what_is_missing_is_named() {
    let cluster = cluster().await;
    let (server, monitoring) = (cluster.get("NATS_URL"), cluster.get("NATS_MONITOR_URL"));
    let name = format!("SIGNALS-{}", std::process::id());
    let context = jetstream::new(async_nats::connect(server).await.expect("NATS"));
    let config = stream::Config {
        name: name.clone(),
        subjects: vec![format!("{name}.>")],
        storage: stream::StorageType::Memory,
        ..stream::Config::default()
    };
    let stream = context.create_stream(config).await.expect("a stream");
    let config = pull::Config { durable_name: Some("worker".into()), ..pull::Config::default() };
    let consumer = stream.create_consumer(config).await.expect("a consumer");

    let source = |account: &str, stream: &str, consumer: &str| Source::NatsJetStream {
        monitoring_urls: vec![monitoring.to_owned()],
        account: account.into(),
        stream: stream.into(),
        consumer: consumer.into(),
    };
    let backlog = |name: &str, source| signal(name, Role::Backlog, OnAbsent::Hold, source);
    let reader = Reader::new(
        None,
        &[
            backlog("queue", source("$G", &name, "worker")),
            backlog("account", source("NOBODY", &name, "worker")),
            backlog("stream", source("$G", "NOWHERE", "worker")),
            backlog("consumer", source("$G", &name, "nothing")),
        ],
    );
    let mut wakes = reader.hub.wakes();
    reader.becomes("queue", SignalState::Fresh, Duration::from_secs(10), |v| v == Some(0.0)).await;
    for (name, sentence) in [
        ("account", "no JetStream account `NOBODY`"),
        ("stream", "has no stream `NOWHERE`"),
        ("consumer", "has no consumer `nothing`"),
    ] {
        let reading = reader.read(name).await;
        assert_eq!((reading.state, reading.value), (Some(SignalState::Absent), None), "{name}");
        assert!(reading.note.as_ref().is_some_and(|n| n.contains(sentence)), "{reading:?}");
    }

    let start = Instant::now();
    for _ in 0..40 {
        let sent = context.publish(format!("{name}.work"), "work".into()).await.expect("publishing");
        sent.await.expect("the server's acknowledgement");
    }
    let woken = tokio::time::timeout(Duration::from_secs(5), wakes.recv()).await.expect("woken");
    eprintln!("woken {:.2} s after the first message", start.elapsed().as_secs_f64());
    assert_eq!(woken, Some(PolicyKey { namespace: "shop".into(), name: "web".into() }));
    reader.becomes("queue", SignalState::Fresh, Duration::from_secs(2), |v| v == Some(40.0)).await;
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());

    // Delivered and not acknowledged still waits.
    let batch: Vec<_> = consumer.fetch().max_messages(10).messages().await.expect("messages").collect().await;
    let messages: Vec<_> = batch.into_iter().map(|m| m.expect("a message")).collect();
    assert_eq!(messages.len(), 10);
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert_eq!(reader.read("queue").await.value, Some(40.0));
    }
    for message in messages {
        message.ack().await.expect("acknowledging");
    }
    reader.becomes("queue", SignalState::Fresh, Duration::from_secs(5), |v| v == Some(30.0)).await;
    context.delete_stream(&name).await.expect("deleting the stream");
    reader.becomes("queue", SignalState::Absent, Duration::from_secs(5), |v| v.is_none()).await;
}
