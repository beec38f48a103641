use std::time::Duration;

use serde_json::json;
use wiremock::matchers::{body_string_contains, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

fn vector(values: &[(&str, &str)]) -> serde_json::Value {
    let series: Vec<_> =
        values.iter().map(|(pod, value)| json!({"metric": {"pod": pod}, "value": [1_700_000_000.5, value]})).collect();
    json!({"status": "success", "data": {"resultType": "vector", "result": series}})
}

async fn answering(response: ResponseTemplate) -> (MockServer, Prometheus) {
    let server = MockServer::start().await;
    Mock::given(method("POST")).and(path("/api/v1/query")).respond_with(response).mount(&server).await;
    let mut config = PrometheusConfig::new(server.uri());
    config.timeout = Duration::from_millis(300);
    let prometheus = Prometheus::new(&config).expect("valid configuration");
    (server, prometheus)
}

async fn error_of(response: ResponseTemplate) -> ObserveError {
    let (_server, prometheus) = answering(response).await;
    prometheus.query("up").await.expect_err("must fail")
}

#[tokio::test]
async fn a_vector_is_read_with_labels_infinities_and_nan() {
    let body = vector(&[("a", "1.5"), ("b", "NaN"), ("c", "+Inf")]);
    let (_server, prometheus) = answering(ResponseTemplate::new(200).set_body_json(body)).await;
    let answer = prometheus.query("up").await.expect("succeeds");
    assert_eq!(answer.series[0].label("pod"), Some("a"));
    assert_eq!(answer.series[0].number(), Some(1.5));
    assert!(answer.series[1].number().is_some_and(f64::is_nan));
    assert_eq!(answer.series[2].number(), Some(f64::INFINITY));
    assert!(answer.warnings.is_empty());
}

#[tokio::test]
async fn warnings_are_carried() {
    let mut body = vector(&[("a", "1")]);
    body["warnings"] = json!(["store-2 did not answer"]);
    let (_server, prometheus) = answering(ResponseTemplate::new(200).set_body_json(body)).await;
    assert_eq!(prometheus.query("up").await.expect("succeeds").warnings, ["store-2 did not answer"]);
}

#[tokio::test]
async fn scalars_and_native_histograms_are_read() {
    let scalar = json!({"status": "success", "data": {"resultType": "scalar", "result": [1.0, "7"]}});
    let (_server, prometheus) = answering(ResponseTemplate::new(200).set_body_json(scalar)).await;
    assert_eq!(prometheus.query("7").await.expect("succeeds").series[0].number(), Some(7.0));
    let histogram = json!({"status": "success", "data": {"resultType": "vector", "result": [
        {"metric": {}, "histogram": [1.0, {"count": "3", "sum": "1", "buckets": [[0, "0.1", "0.2", "1"], [0, "0.2", "0.4", "2"]]}]}]}});
    let (_server, prometheus) = answering(ResponseTemplate::new(200).set_body_json(histogram)).await;
    let answer = prometheus.query("h").await.expect("succeeds");
    assert_eq!(
        answer.series[0].sample,
        Sample::Histogram(vec![
            NativeBucket { lower: 0.1, upper: 0.2, count: 1.0 },
            NativeBucket { lower: 0.2, upper: 0.4, count: 2.0 },
        ])
    );
}

#[tokio::test]
async fn what_the_server_says_about_the_query_is_carried_and_cut() {
    for (status, kind) in [(400, "bad_data"), (422, "execution")] {
        let message = format!("parse error: {}", "x".repeat(5000));
        let body = json!({"status": "error", "errorType": kind, "error": message});
        let error = error_of(ResponseTemplate::new(status).set_body_json(body)).await;
        assert_eq!(error.category(), "query");
        assert!(error.to_string().contains("parse error"), "{error}");
        assert!(error.to_string().len() < 300, "{error}");
    }
}

#[tokio::test]
async fn a_server_at_fault_is_not_the_querys_fault() {
    let body = json!({"status": "error", "errorType": "unavailable", "error": "shutting down"});
    let error = error_of(ResponseTemplate::new(503).set_body_json(body)).await;
    assert_eq!(error.category(), "answer");
    assert!(error.to_string().contains("shutting down"));
}

#[tokio::test]
async fn anything_but_the_api_is_an_error_that_does_not_repeat_the_body() {
    for (response, category) in [
        (ResponseTemplate::new(200).set_body_string("<html>secret login"), "answer"),
        (ResponseTemplate::new(200).set_body_json(json!({"status": "success"})), "answer"),
        (
            ResponseTemplate::new(200).set_body_json(
                json!({"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}}]}}),
            ),
            "answer",
        ),
        (ResponseTemplate::new(404).set_body_string("secret page"), "status"),
        (ResponseTemplate::new(302).insert_header("location", "http://secret/"), "status"),
        (ResponseTemplate::new(401).set_body_string("secret"), "status"),
    ] {
        let error = error_of(response).await;
        assert_eq!(error.category(), category, "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let matrix = json!({"status": "success", "data": {"resultType": "matrix", "result": []}});
    let error = error_of(ResponseTemplate::new(200).set_body_json(matrix)).await;
    assert!(error.to_string().contains("range of values"), "{error}");
}

#[tokio::test]
async fn a_slow_server_times_out_and_a_whole_batch_does_too() {
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_secs(5)).set_body_json(vector(&[]));
    let (_server, prometheus) = answering(slow).await;
    assert_eq!(prometheus.query("up").await.expect_err("must time out").category(), "timeout");
    let queries: BTreeSet<String> = (0..100).map(|i| format!("up == {i}")).collect();
    let answers = tokio::time::timeout(Duration::from_secs(3), prometheus.batch(&queries)).await.expect("bounded");
    assert_eq!(answers.len(), 100);
    assert!(answers.values().all(|a| a.as_ref().is_err_and(|e| e.category() == "timeout")));
}

/// Speaks raw HTTP, because a mock server does not break off in the middle.
async fn raw_server(answer: &'static [u8]) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            if stream.read(&mut request).await.is_ok() {
                stream.write_all(answer).await.ok();
            }
        }
    });
    url
}

#[tokio::test]
async fn half_a_body_is_an_error() {
    let url = raw_server(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{\"status\":\"succ",
    )
    .await;
    let prometheus = Prometheus::new(&PrometheusConfig::new(url)).expect("valid configuration");
    let error = prometheus.query("up").await.expect_err("must fail");
    assert_eq!(error.category(), "answer");
    assert!(error.to_string().contains("broke off"), "{error}");
}

#[tokio::test]
async fn an_unreachable_server_is_named_without_its_password_and_asked_once_per_batch() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let config = PrometheusConfig::new(format!("http://me:hunter2@{address}/prom?token=hunter2"));
    let prometheus = Prometheus::new(&config).expect("valid configuration");
    let error = prometheus.query("up").await.expect_err("must fail");
    assert_eq!(
        error.to_string(),
        format!(
            "Prometheus at http://{address}/prom cannot be reached (Connection refused (os error 111)): check the URL, \
             the Service and network policies"
        )
    );
    assert!(!format!("{prometheus:?}").contains("hunter2"));
    let queries: BTreeSet<String> = (0..50).map(|i| format!("up == {i}")).collect();
    let answers = prometheus.batch(&queries).await;
    assert!(answers.values().all(|a| a.as_ref().is_err_and(|e| e.category() == "unreachable")));
}

#[tokio::test]
async fn matchers_and_headers_are_on_every_query() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(header("x-scope-orgid", "shop"))
        .and(body_string_contains("tenant%3D%22a%22"))
        .respond_with(ResponseTemplate::new(200).set_body_json(vector(&[("a", "1")])))
        .expect(2)
        .mount(&server)
        .await;
    let mut config = PrometheusConfig::new(server.uri());
    config.headers.push(("X-Scope-OrgID".to_owned(), "shop".to_owned()));
    config.extra_matchers.insert("tenant".to_owned(), "a".to_owned());
    let prometheus = Prometheus::new(&config).expect("valid configuration");
    prometheus.query("sum(up)").await.expect("matched");
    let answers = prometheus.batch(&BTreeSet::from(["rate(x[1m])".to_owned()])).await;
    assert!(answers.values().all(Result::is_ok));
}

#[test]
fn bad_settings_are_named() {
    for url in ["not a url", "ftp://prometheus"] {
        let error = Prometheus::new(&PrometheusConfig::new(url)).expect_err("must be refused");
        assert_eq!(error.category(), "configuration");
    }
    let mut config = PrometheusConfig::new("http://prometheus");
    config.headers.push(("Authorization".to_owned(), "hunter2\n".to_owned()));
    let error = Prometheus::new(&config).expect_err("must be refused").to_string();
    assert!(error.contains("Authorization") && !error.contains("hunter2"), "{error}");
}

mod text {
    use super::promql::*;
    use super::*;

    fn extra() -> BTreeMap<String, String> {
        BTreeMap::from([("tenant".to_owned(), "a\"b".to_owned())])
    }

    #[test]
    fn every_selector_gets_the_matchers_also_where_the_librarys_visitor_does_not_look() {
        for (query, selectors) in [
            ("x", 1),
            ("x{zone=\"b\",zone!=\"a\"}", 1),
            ("sum by (pod) (rate(x{a=\"b\"}[1m] offset 5m)) / ignoring(pod) group_left y", 2),
            ("topk(scalar(count(x)), y)", 2),
            ("quantile_over_time(0.9, rate(x[1m])[10m:30s])", 1),
            ("-x + absent(y) * on() vector(scalar(z))", 3),
            ("label_replace(x, \"a\", \"$1\", \"b\", \"(.*)\") or (y and z unless w)", 4),
            ("{__name__=~\"x|y\"} @ end()", 1),
            ("{a=\"1\" or b=\"2\"}", 2),
        ] {
            let text = with_matchers(query, &extra()).expect(query);
            assert_eq!(text.matches("tenant=\"a\\\"b\"").count(), selectors, "{text}");
        }
    }

    #[test]
    fn a_query_that_does_not_parse_is_said_so() {
        let error = with_matchers("rate(x", &extra()).expect_err("must fail");
        assert_eq!(error.category(), "query");
    }

    #[test]
    fn selectors_are_reduced_and_listed_once() {
        let found = |query: &str| selectors(&parse(query).expect(query));
        assert_eq!(
            found("sum(rate(x{a=\"b\"}[1m])) / sum(rate(x{a=\"b\"}[5m] offset 1h))"),
            [Selector { text: "x{a=\"b\"}".to_owned(), offset: 0.0, range: Some(Range { seconds: 60.0, samples: 2 }) }]
        );
        assert_eq!(found("sum(avg_over_time((x[5m])))")[0].range, Some(Range { seconds: 300.0, samples: 1 }));
        assert_eq!(found("absent(x) + y")[0].text, "y");
        assert_eq!(found("vector(3) + time()"), []);
        assert_eq!(
            found("max_over_time(x[10m:1m] offset 2m) + y offset 30s").iter().map(|s| s.offset).collect::<Vec<_>>(),
            [120.0, 30.0]
        );
        assert_eq!(found("x @ 1700000000")[0].offset, f64::INFINITY);
        assert_eq!(found("topk(scalar(k), x)").len(), 2);
    }

    #[test]
    fn a_list_of_texts_is_a_pattern_of_exactly_these() {
        assert_eq!(one_of(["web-0", "a.b", "10.0.0.1:80"]), r"web-0|a\.b|10\.0\.0\.1:80");
        assert_eq!(matcher("pod", "=~", r"a\.b"), r#"pod=~"a\\.b""#);
    }
}
