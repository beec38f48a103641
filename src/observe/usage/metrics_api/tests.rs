use kube::client::Body;
use litemap::LiteMap;
use serde_json::json;

use super::*;

fn id(namespace: &str, name: &str) -> PodId {
    PodId { namespace: namespace.into(), name: name.into() }
}

/// An API server that answers each namespace's list with what a function gives.
fn api(answer: fn(&str) -> (u16, serde_json::Value)) -> MetricsApi {
    let (service, mut handle) = tower_test::mock::pair::<http::Request<Body>, http::Response<Body>>();
    tokio::spawn(async move {
        while let Some((request, send)) = handle.next_request().await {
            let (status, body) = answer(request.uri().path());
            let response = http::Response::builder().status(status).body(Body::from(body.to_string().into_bytes()));
            send.send_response(response.expect("a response"));
        }
    });
    MetricsApi::new(kube::Client::new(service, "default"))
}

fn answer(path: &str) -> (u16, serde_json::Value) {
    if path != "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods" {
        let message = "the server could not find the requested resource";
        return (
            404,
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": "NotFound", "code": 404}),
        );
    }
    let usage = json!([{"name": "app", "usage": {"cpu": "251284431n", "memory": "28Mi"}}]);
    (
        200,
        json!({"kind": "PodMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": {}, "items": [
        {"metadata": {"name": "web-1", "namespace": "shop"}, "timestamp": "2026-02-03T10:00:00Z", "window": "15.003s", "containers": usage},
        {"metadata": {"name": "other", "namespace": "shop"}, "timestamp": "2026-02-03T10:00:00Z", "window": "1m0s", "containers": usage}]}),
    )
}

fn now() -> Timestamp {
    "2026-02-03T10:00:12Z".parse().expect("an instant")
}

#[tokio::test]
async fn usage_carries_the_samples_own_age_and_window() {
    let pods = BTreeSet::from([id("shop", "web-1"), id("shop", "web-2")]);
    let table = api(answer).read(now(), &pods).await.expect("succeeds");
    let expected = ContainerUsage {
        cpu: Some(Cores(0.251_284_431)),
        memory: Some(Bytes(28 * Bytes::MIB)),
        age: Some(Seconds(12.0)),
        ..ContainerUsage::default()
    };
    assert_eq!(table.pods, LiteMap::from_iter([(id("shop", "web-1"), LiteMap::from_iter([("app".into(), expected)]))]));
    assert_eq!(table.window, Some(Seconds(15.003)));
    assert!(table.complete);
}

#[tokio::test]
async fn one_namespace_without_answer_leaves_the_others() {
    let pods = BTreeSet::from([id("shop", "web-1"), id("bank", "api-1")]);
    let table = api(answer).read(now(), &pods).await.expect("succeeds");
    assert_eq!(table.pods.len(), 1);
    assert!(!table.complete);
    assert!(table.notes[0].contains("namespace bank (HTTP 404"), "{:?}", table.notes);
}

#[tokio::test]
async fn no_answer_at_all_is_an_error_that_says_what_to_do() {
    let error = api(answer).read(now(), &BTreeSet::from([id("bank", "api-1")])).await.expect_err("must fail");
    assert_eq!(error.category(), "metrics_api");
    assert!(error.to_string().contains("install metrics-server"), "{error}");
}
