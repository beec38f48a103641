//! Histories from a server that is well, slow, wrong, or not there.

use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate, matchers::path};

use super::*;
use crate::{observe::prometheus::PrometheusConfig, policy::compile};

const NOW: i64 = 1_770_112_800;

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::from_second(NOW).unwrap()
    }
}

const POLICY: &str = include_str!("../../../simulations/policy.yaml");

fn policy() -> Arc<Policy> {
    let object: crate::api::ScalingPolicy = serde_saphyr::from_str(POLICY).unwrap();
    Arc::new(compile(&object).unwrap())
}

/// Four pods, a wave of 100 to 200 requests per second, 0.01 core-seconds each; `broken` queries are refused.
struct Wave {
    broken: &'static str,
}

impl Respond for Wave {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let number = |name: &str| -> i64 {
            body.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}="))?.parse().ok()).unwrap()
        };
        let (start, end, step) = (number("start"), number("end"), number("step"));
        if !self.broken.is_empty() && body.contains(self.broken) {
            let answer = json!({"status": "error", "errorType": "bad_data", "error": "no such function"});
            return ResponseTemplate::new(400).set_body_json(answer);
        }
        let demand = |i: i64| 100.0 + ((i % 288) - 144).abs() as f64 * 100.0 / 144.0;
        let value = |i: i64| match () {
            () if body.contains("container_cpu_usage") => 0.08 + 0.01 * demand(i),
            () if body.contains("kube_pod_status_phase") => 4.0,
            () if body.contains("container_memory") => 300e6,
            () if body.contains("requests%7B") && body.contains("cpu") => 1.0,
            () if body.contains("requests%7B") => 512e6,
            () if body.contains("kube_pod_created") => 40.0,
            () if body.contains("http_requests") => demand(i),
            () => 0.05,
        };
        let values: Vec<Value> =
            (0..=(end - start) / step).map(|i| json!([start + i * step, value(i).to_string()])).collect();
        let result = json!([{"metric": {"container": "app"}, "values": values}]);
        ResponseTemplate::new(200)
            .set_body_json(json!({"status": "success", "data": {"resultType": "matrix", "result": result}}))
    }
}

async fn outcome(server: &MockServer, respond: impl Respond + 'static) -> Outcome {
    Mock::given(path("/api/v1/query_range")).respond_with(respond).mount(server).await;
    let config = PrometheusConfig { timeout: Duration::from_millis(800), ..PrometheusConfig::new(server.uri()) };
    let backfill = Backfill::start(Prometheus::new(&config).unwrap(), Arc::new(Fixed));
    let policy = policy();
    assert!(backfill.ask(&policy));
    for _ in 0..600 {
        if let Some(outcome) = backfill.fetch(&policy.key) {
            assert!(backfill.fetch(&policy.key).is_none(), "told once");
            return outcome;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_week_is_learned_in_nine_questions() {
    let server = MockServer::start().await;
    let learned = outcome(&server, Wave { broken: "" }).await.unwrap();
    assert!(!learned.is_new());
    let asked = server.received_requests().await.unwrap();
    assert!(asked.len() <= 9, "{}", asked.len());
    let text = learned.to_text().unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    let work = value["state"]["demand"]["work"].as_f64().unwrap();
    assert!((work / 0.01 - 1.0).abs() < 0.03, "{work}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_the_server_refuses_is_done_without() {
    let server = MockServer::start().await;
    let learned = outcome(&server, Wave { broken: "kube_pod_created" }).await.unwrap();
    assert!(!learned.is_new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_a_sentence() {
    let server = MockServer::start().await;
    let said = outcome(&server, Wave { broken: "container_cpu_usage" }).await.unwrap_err();
    assert!(said.contains("no such function"), "{said}");
    let server = MockServer::start().await;
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_secs(5));
    let said = outcome(&server, slow).await.unwrap_err();
    assert!(said.contains("did not answer within"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_history_is_a_cold_start() {
    let server = MockServer::start().await;
    let empty = json!({"status": "success", "data": {"resultType": "matrix", "result": []}});
    let learned = outcome(&server, ResponseTemplate::new(200).set_body_json(empty)).await.unwrap();
    assert!(learned.is_new());
}

#[test]
fn without_a_metrics_server_nobody_waits() {
    let none = Backfill::none();
    assert!(!none.ask(&policy()) && none.fetch(&policy().key).is_none());
}
