use serde_json::json;
use wiremock::matchers::{body_string_contains, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::observe::clock::SystemClock;
use crate::observe::prometheus::PrometheusConfig;
use crate::policy::{LatencyObjective, Objective, OnAbsent};

fn key(name: &str) -> PolicyKey {
    PolicyKey { namespace: "shop".to_owned(), name: name.to_owned() }
}

fn signal(name: &str, role: Role, source: Source) -> Signal {
    Signal { name: name.to_owned(), role, source, on_absent: OnAbsent::Hold, survives_zero: false }
}

fn query(text: &str) -> Source {
    Source::Prometheus { query: text.to_owned() }
}

fn policy(name: &str, signals: &[Signal]) -> Policy {
    serde_json::from_value(json!({
        "key": {"namespace": "shop", "name": name}, "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "mode": "Recommend", "levers": {"replicas": true, "cpu": true, "memory": true},
        "objective": {"latency": null, "backlog": null, "utilization": 0.7, "utilization_given": false, "preference": "Balanced"},
        "replicas": {"min": 1, "max": 10}, "containers": {"named": {}, "default": {"limits": "Proportional"}},
        "signals": signals, "behavior": {}, "resize": {"strategy": "InPlaceOnly", "trimsPerPodPerDay": 96},
        "onSignalLoss": null, "onRival": "Floor", "prices": {"coreHour": 0.03, "gibHour": 0.004},
    }))
    .expect("a policy")
}

fn hub(server: Option<&MockServer>) -> SignalHub {
    let prometheus =
        server.map(|s| Arc::new(Prometheus::new(&PrometheusConfig::new(s.uri())).expect("valid configuration")));
    let config = HubConfig { poll_interval: Duration::from_millis(20), ..HubConfig::new(prometheus) };
    SignalHub::new(config, Arc::new(SystemClock)).expect("builds")
}

fn now() -> Timestamp {
    SystemClock.now()
}

fn vector(rows: &serde_json::Value) -> ResponseTemplate {
    ResponseTemplate::new(200)
        .set_body_json(json!({"status": "success", "data": {"resultType": "vector", "result": rows}}))
}

fn probe_rows(dead: bool) -> serde_json::Value {
    let row = |part: &str, value: &str| json!({"metric": {"arbiter_part": part}, "value": [1.0, value]});
    let mut rows = vec![row("age", "3"), row("now", "2"), row("peak", "3"), row("scraped", "2")];
    if dead {
        rows.push(json!({"metric": {"arbiter_part": "dead", "job": "web", "instance": "c:1"}, "value": [1.0, "0"]}));
    }
    json!(rows)
}

/// A server with a live probe for every selector, and a number for every other query.
async fn server(dead: bool, times: u64) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(body_string_contains("arbiter_part"))
        .respond_with(vector(&probe_rows(dead)))
        .up_to_n_times(times)
        .mount(&server)
        .await;
    server
}

#[tokio::test]
async fn identical_queries_of_many_policies_are_asked_once() {
    let server = server(false, 100).await;
    Mock::given(path("/api/v1/query"))
        .respond_with(vector(&json!([{"metric": {}, "value": [1.0, "67"]}])))
        .mount(&server)
        .await;
    let policies: Vec<Policy> =
        (0..20).map(|i| policy(&format!("p{i}"), &[signal("d", Role::Demand, query("sum(rate(x[1m]))"))])).collect();
    let readings =
        hub(Some(&server)).read_all(now(), &policies.iter().collect::<Vec<_>>(), &ReadContext::default()).await;
    assert_eq!(readings.len(), 20);
    for signals in readings.values() {
        assert_eq!(signals["d"].value, Some(67.0));
        assert_eq!(signals["d"].state, Some(SignalState::Fresh), "{:?}", signals["d"].note);
        assert_eq!(signals["d"].age_seconds, Some(Seconds(3.0)));
    }
    assert_eq!(server.received_requests().await.map(|r| r.len()), Some(2), "the value and its probe");
}

#[tokio::test]
async fn a_dead_exporter_is_remembered_until_it_answers_or_is_taken_away() {
    // The first probe finds it; the later ones look back over a window that no longer holds it.
    let server = server(true, 1).await;
    Mock::given(body_string_contains("arbiter_part")).respond_with(vector(&probe_rows(false))).mount(&server).await;
    let down = json!([{"metric": {"job": "web", "instance": "c:1", "__name__": "up"}, "value": [1.0, "0"]}]);
    Mock::given(body_string_contains("query=up")).respond_with(vector(&down)).up_to_n_times(1).mount(&server).await;
    Mock::given(body_string_contains("query=up"))
        .respond_with(ResponseTemplate::new(500))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    Mock::given(body_string_contains("query=up")).respond_with(vector(&json!([]))).mount(&server).await;
    Mock::given(path("/api/v1/query"))
        .respond_with(vector(&json!([{"metric": {}, "value": [1.0, "67"]}])))
        .mount(&server)
        .await;
    let policy = policy("p", &[signal("d", Role::Demand, query("sum(rate(x[1m]))"))]);
    let hub = hub(Some(&server));
    let mut states = Vec::new();
    for _ in 0..5 {
        let readings = hub.read_all(now(), &[&policy], &ReadContext::default()).await;
        states.push(readings[&key("p")]["d"].state);
    }
    assert_eq!(
        states,
        [SignalState::Partial, SignalState::Partial, SignalState::Partial, SignalState::Fresh, SignalState::Fresh]
            .map(Some),
        "found, still down, not known, gone"
    );
}

#[tokio::test]
async fn one_bad_query_touches_no_other_signal() {
    let server = server(false, 100).await;
    Mock::given(body_string_contains("query=bad"))
        .respond_with(
            ResponseTemplate::new(422)
                .set_body_json(json!({"status": "error", "errorType": "execution", "error": "many-to-many"})),
        )
        .mount(&server)
        .await;
    Mock::given(path("/api/v1/query"))
        .respond_with(vector(&json!([{"metric": {}, "value": [1.0, "1"]}])))
        .mount(&server)
        .await;
    let policy = policy(
        "p",
        &[
            signal("bad", Role::Demand, query("bad")),
            signal("unparsable", Role::Demand, query("sum(")),
            signal("good", Role::Demand, query("good")),
        ],
    );
    let readings = hub(Some(&server)).read_all(now(), &[&policy], &ReadContext::default()).await;
    let of = |name: &str| readings[&key("p")][name].clone();
    assert_eq!((of("bad").state, of("unparsable").state), (Some(SignalState::Invalid), Some(SignalState::Invalid)));
    assert!(of("bad").note.is_some_and(|n| n.contains("many-to-many")));
    assert_eq!((of("good").state, of("good").value), (Some(SignalState::Fresh), Some(1.0)));
}

#[tokio::test]
async fn a_value_whose_probe_fails_is_partial() {
    let server = MockServer::start().await;
    Mock::given(body_string_contains("arbiter_part")).respond_with(ResponseTemplate::new(500)).mount(&server).await;
    Mock::given(path("/api/v1/query"))
        .respond_with(vector(&json!([{"metric": {}, "value": [1.0, "1"]}])))
        .mount(&server)
        .await;
    let policy = policy("p", &[signal("d", Role::Demand, query("x"))]);
    let readings = hub(Some(&server)).read_all(now(), &[&policy], &ReadContext::default()).await;
    assert_eq!(readings[&key("p")]["d"].state, Some(SignalState::Partial));
}

#[tokio::test]
async fn a_histogram_is_read_at_the_objective_and_idle_without_demand() {
    let server = server(false, 100).await;
    let bucket = |le: &str, value: &str| json!({"metric": {"le": le}, "value": [1.0, value]});
    let buckets = json!([bucket("0.1", "50"), bucket("0.25", "90"), bucket("1", "100"), bucket("+Inf", "100")]);
    Mock::given(body_string_contains("busy_bucket")).respond_with(vector(&buckets)).mount(&server).await;
    let rest = json!([bucket("0.1", "0"), bucket("+Inf", "0")]);
    Mock::given(body_string_contains("rest_bucket")).respond_with(vector(&rest)).mount(&server).await;
    Mock::given(body_string_contains("demand"))
        .respond_with(vector(&json!([{"metric": {}, "value": [1.0, "0"]}])))
        .mount(&server)
        .await;
    Mock::given(path("/api/v1/query")).respond_with(vector(&json!([]))).mount(&server).await;
    let histogram = |metric: &str| Source::PrometheusHistogram {
        metric: metric.to_owned(),
        matchers: BTreeMap::from([("app".to_owned(), "web".to_owned())]),
        window: Seconds(60.0),
    };
    let mut policy = policy(
        "p",
        &[
            signal("latency", Role::Latency, histogram("busy")),
            signal("rest", Role::Latency, histogram("rest")),
            signal("d", Role::Demand, query("demand")),
        ],
    );
    let latency = LatencyObjective { signal: "latency".to_owned(), target: Seconds(0.25), objective: 0.95 };
    policy.objective = Objective { latency: Some(latency), ..policy.objective };
    let readings = hub(Some(&server)).read_all(now(), &[&policy], &ReadContext::default()).await;
    let reading = &readings[&key("p")]["latency"];
    assert_eq!(reading.state, Some(SignalState::Fresh), "{:?}", reading.note);
    assert!((reading.value.expect("a latency") - 0.625).abs() < 1e-9);
    assert!((reading.violation_ratio.expect("a share") - 0.1).abs() < 1e-9);
    assert_eq!(readings[&key("p")]["rest"].state, Some(SignalState::Idle));
}

#[tokio::test]
async fn without_a_metrics_server_every_query_says_so() {
    let policy = policy("p", &[signal("d", Role::Demand, query("x"))]);
    let readings = hub(None).read_all(now(), &[&policy], &ReadContext::default()).await;
    assert!(readings[&key("p")]["d"].note.as_ref().is_some_and(|n| n.contains("no Prometheus server is configured")));
}

#[tokio::test]
async fn a_queue_is_polled_wakes_its_policy_and_ends_with_it() {
    let jsz = |pending: u64| {
        ResponseTemplate::new(200)
            .set_body_json(json!({"server_id": "A", "account_details": [{"name": "$G", "stream_detail": [
            {"name": "S", "consumer_detail": [{"name": "c", "num_pending": pending, "num_ack_pending": 0}]}]}]}))
    };
    let nats = MockServer::start().await;
    let quiet = Mock::given(path("/jsz")).respond_with(jsz(0)).mount_as_scoped(&nats).await;
    let source = Source::NatsJetStream {
        monitoring_urls: vec![nats.uri()],
        account: "$G".to_owned(),
        stream: "S".to_owned(),
        consumer: "c".to_owned(),
    };
    let policy = policy("p", &[signal("queue", Role::Backlog, source)]);
    let hub = hub(None);
    let mut wakes = hub.wakes();
    let context = ReadContext::default();
    let first = hub.read_all(now(), &[&policy], &context).await;
    assert_eq!(first[&key("p")]["queue"].state, Some(SignalState::Absent), "not polled yet is not zero");
    hub.sync([&policy]);
    let read = || async { hub.read_all(now(), &[&policy], &context).await[&key("p")]["queue"].clone() };
    while read().await.value != Some(0.0) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(quiet);
    let burst = Mock::given(path("/jsz")).respond_with(jsz(40)).mount_as_scoped(&nats).await;
    let woken = tokio::time::timeout(Duration::from_secs(5), wakes.recv()).await.expect("woken at once");
    assert_eq!(woken, Some(key("p")));
    assert_eq!((read().await.value, read().await.state), (Some(40.0), Some(SignalState::Fresh)));
    drop(burst);
    // Without a server the last number grows old, and says why.
    while read().await.note.is_none() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(read().await.value, Some(40.0));
    hub.sync([]);
    let before = nats.received_requests().await.map(|r| r.len());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(nats.received_requests().await.map(|r| r.len()), before, "nobody reads it, nobody polls it");
}
