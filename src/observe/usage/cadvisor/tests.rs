use serde_json::{Value, json};
use wiremock::matchers::body_string_contains;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::observe::prometheus::PrometheusConfig;

fn id(namespace: &str, name: &str) -> PodId {
    PodId { namespace: namespace.into(), name: name.into() }
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
    assert_eq!(table.pods, LiteMap::from_iter([(id("shop", "web-1"), LiteMap::from_iter([("app".into(), expected)]))]));
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
fn the_more_pods_the_less_each_is_named_and_the_queries_stay_as_many() {
    let pods = |namespaces: usize, each: usize| -> BTreeSet<PodId> {
        let of =
            |n: usize| (0..each).map(move |i| id(&format!("team-number-{n:04}"), &format!("web-7d9c5bf4f-{i:05}")));
        (0..namespaces).flat_map(of).collect()
    };
    let few = labels(&pods(2, 100));
    assert!(few.contains("web-7d9c5bf4f-00099") && few.contains("team-number-0001"), "{few}");
    let many = labels(&pods(2, 2000));
    assert!(many.contains("team-number-0001") && !many.contains("web-"), "{many}");
    assert_eq!(labels(&pods(2000, 1)), matcher("container", "!~", "|POD"));
    for text in [few, many] {
        assert!(text.len() < 2 * MAX_LIST, "{}", text.len());
        for kind in Kind::ALL {
            let query = kind.query(&text, "60000ms");
            crate::observe::prometheus::promql::parse(&query).expect(&query);
        }
    }
}
