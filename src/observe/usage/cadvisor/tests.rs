use serde_json::{Value, json};
use wiremock::matchers::body_string_contains;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::observe::prometheus::PrometheusConfig;

fn id(namespace: &str, name: &str) -> PodId {
    PodId { namespace: namespace.to_owned(), name: name.to_owned() }
}

fn rows(rows: &[(&str, &str, &str)]) -> Value {
    let result: Vec<_> = rows
        .iter()
        .map(|(namespace, pod, value)| {
            json!({"metric": {"namespace": namespace, "pod": pod, "container": "app"}, "value": [1.0, value]})
        })
        .collect();
    json!({"status": "success", "data": {"resultType": "vector", "result": result}})
}

async fn answer(server: &MockServer, part: &str, body: &Value) {
    // The query is a form field: what is looked for is its name, which needs no escaping.
    Mock::given(body_string_contains(part))
        .respond_with(ResponseTemplate::new(200).set_body_json(body))
        .mount(server)
        .await;
}

fn source(server: &MockServer) -> Cadvisor {
    let prometheus = Prometheus::new(&PrometheusConfig::new(server.uri())).expect("valid configuration");
    Cadvisor::new(Arc::new(prometheus), DEFAULT_WINDOW)
}

#[tokio::test]
async fn every_kind_is_asked_once_and_matched_to_pods() {
    let server = MockServer::start().await;
    answer(&server, "timestamp", &rows(&[("shop", "web-1", "12")])).await;
    answer(&server, "cfs_throttled", &rows(&[("shop", "web-1", "1.0000001")])).await;
    answer(&server, "container_cpu_usage", &rows(&[("shop", "web-1", "0.5"), ("shop", "other", "9")])).await;
    answer(&server, "working_set", &rows(&[("shop", "web-1", "1048576")])).await;
    answer(&server, "cpu_waiting", &rows(&[("shop", "web-1", "NaN")])).await;
    answer(&server, "memory_stalled", &rows(&[])).await;
    answer(&server, "oom_events", &rows(&[("shop", "web-1", "3")])).await;
    let pods = BTreeSet::from([id("shop", "web-1"), id("bank", "api-1")]);
    let table = source(&server).read(Timestamp::UNIX_EPOCH, &pods).await.expect("succeeds");
    let expected = ContainerUsage {
        cpu: Some(Cores(0.5)),
        memory: Some(Bytes(Bytes::MIB)),
        throttled: Some(1.0),
        cpu_pressure: None,
        memory_pressure: None,
        oom_events: Some(3),
        age: Some(Seconds(12.0)),
    };
    assert_eq!(table.pods, BTreeMap::from([(id("shop", "web-1"), BTreeMap::from([("app".to_owned(), expected)]))]));
    assert!(table.complete && table.notes.is_empty(), "{:?}", table.notes);
    assert_eq!(server.received_requests().await.map(|r| r.len()), Some(Kind::ALL.len()));
}

#[tokio::test]
async fn a_warning_is_not_complete_and_a_missing_extra_is_only_noted() {
    let server = MockServer::start().await;
    let mut warned = rows(&[("shop", "web-1", "0.5")]);
    warned["warnings"] = json!(["store-2 is away"]);
    Mock::given(body_string_contains("container_pressure"))
        .respond_with(
            ResponseTemplate::new(422)
                .set_body_json(json!({"status": "error", "errorType": "execution", "error": "too many samples"})),
        )
        .mount(&server)
        .await;
    answer(&server, "container_cpu_usage", &warned).await;
    answer(&server, "container_", &rows(&[])).await;
    let pods = BTreeSet::from([id("shop", "web-1")]);
    let table = source(&server).read(Timestamp::UNIX_EPOCH, &pods).await.expect("succeeds");
    assert!(!table.complete);
    assert!(table.notes.iter().any(|n| n.contains("store-2 is away")), "{:?}", table.notes);
    assert!(table.notes.iter().any(|n| n.contains("CPU pressure usage: the query was rejected")), "{:?}", table.notes);
}

#[tokio::test]
async fn a_dead_server_is_an_error_and_no_pods_are_no_question() {
    let server = MockServer::start().await;
    let source = source(&server);
    let none = source.read(Timestamp::UNIX_EPOCH, &BTreeSet::new()).await.expect("nothing to ask");
    assert!(none.pods.is_empty() && none.complete);
    assert_eq!(server.received_requests().await.map(|r| r.len()), Some(0));
    let error = source.read(Timestamp::UNIX_EPOCH, &BTreeSet::from([id("shop", "web-1")])).await;
    assert!(error.is_err_and(|e| e.category() == "status"));
}

#[test]
fn many_pods_are_asked_for_in_pieces_that_hold_each_pod_once() {
    let pods: BTreeSet<PodId> = (0..2000).map(|i| id("shop", &format!("web-7d9c5bf4f-{i:05}"))).collect();
    let lists = label_lists(&pods);
    assert!(lists.len() > 1 && lists.iter().all(|l| l.len() < MAX_LIST + 200));
    for pod in &pods {
        assert_eq!(lists.iter().filter(|l| l.contains(&pod.name)).count(), 1);
    }
    for kind in Kind::ALL {
        let query = kind.query(&lists[0], "60000ms");
        crate::observe::prometheus::promql::parse(&query).expect(&query);
    }
}
