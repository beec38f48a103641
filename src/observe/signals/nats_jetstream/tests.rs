use serde_json::json;
use wiremock::matchers::{method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

fn wanted(urls: &[String]) -> Consumer {
    Consumer {
        within: None,
        urls: urls.to_vec(),
        account: "$G".to_owned(),
        stream: "MEMES".to_owned(),
        consumer: "gen".to_owned(),
    }
}

fn jsz(id: &str, consumer: &serde_json::Value) -> serde_json::Value {
    json!({"server_id": id, "account_details": [{"name": "$G", "id": "$G", "stream_detail": [
        {"name": "MEMES", "consumer_detail": [consumer]}]}]})
}

async fn server(id: &str, name: &str, answer: serde_json::Value) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path("/jsz"))
        .and(query_param("acc", "$G"))
        .and(query_param("consumers", "true"))
        .respond_with(ResponseTemplate::new(200).set_body_json(answer))
        .mount(&server)
        .await;
    Mock::given(path("/varz"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"server_id": id, "server_name": name})))
        .mount(&server)
        .await;
    server
}

async fn ask(servers: &[&MockServer]) -> Result<f64, ObserveError> {
    let urls: Vec<String> = servers.iter().map(|s| s.uri()).collect();
    NatsMonitor::new(None).expect("builds").backlog(&wanted(&urls)).await
}

async fn error_of(response: ResponseTemplate) -> ObserveError {
    let server = MockServer::start().await;
    Mock::given(path("/jsz")).respond_with(response).mount(&server).await;
    ask(&[&server]).await.expect_err("must fail")
}

#[tokio::test]
async fn what_waits_is_what_was_not_delivered_and_what_was_not_acknowledged() {
    let alone = server("A", "a", jsz("A", &json!({"name": "gen", "num_pending": 40, "num_ack_pending": 2}))).await;
    assert_eq!(ask(&[&alone]).await, Ok(42.0));
}

#[tokio::test]
async fn the_leaders_answer_counts_whatever_followers_say_and_wherever_it_stands() {
    let of =
        |pending: u64| json!({"name": "gen", "num_pending": pending, "num_ack_pending": 0, "cluster": {"leader": "b"}});
    let (a, b) = (server("A", "a", jsz("A", &of(0))).await, server("B", "b", jsz("B", &of(9))).await);
    assert_eq!(ask(&[&a, &b]).await, Ok(9.0));
    assert_eq!(ask(&[&b, &a]).await, Ok(9.0));
    let error = ask(&[&a]).await.expect_err("a follower's number is not a number");
    assert_eq!(
        error.to_string(),
        "consumer `gen` is led by `b`, which none of the monitoringUrls reached: add its URL"
    );
}

#[tokio::test]
async fn a_service_in_front_of_several_servers_is_asked_again() {
    let of =
        |pending: u64| json!({"name": "gen", "num_pending": pending, "num_ack_pending": 0, "cluster": {"leader": "b"}});
    let service = MockServer::start().await;
    let answer = |body: serde_json::Value| ResponseTemplate::new(200).set_body_json(body);
    Mock::given(path("/jsz")).respond_with(answer(jsz("A", &of(0)))).up_to_n_times(1).mount(&service).await;
    Mock::given(path("/jsz")).respond_with(answer(jsz("B", &of(9)))).mount(&service).await;
    Mock::given(path("/varz"))
        .respond_with(answer(json!({"server_id": "A", "server_name": "a"})))
        .up_to_n_times(1)
        .mount(&service)
        .await;
    Mock::given(path("/varz"))
        .respond_with(answer(json!({"server_id": "B", "server_name": "b"})))
        .mount(&service)
        .await;
    assert_eq!(ask(&[&service]).await, Ok(9.0));
}

#[tokio::test]
async fn a_consumer_without_leader_has_no_number() {
    let lost = json!({"name": "gen", "num_pending": 7, "num_ack_pending": 0, "cluster": {"leader": ""}});
    let a = server("A", "a", jsz("A", &lost)).await;
    let error = ask(&[&a]).await.expect_err("must fail");
    assert!(error.to_string().contains("led by no server at the moment"), "{error}");
}

#[tokio::test]
async fn what_does_not_exist_is_named() {
    let other = |name: &str| json!({"name": name, "num_pending": 1, "num_ack_pending": 0});
    let no_consumer = server("A", "a", jsz("A", &other("else"))).await;
    let error = ask(&[&no_consumer]).await.expect_err("must fail");
    assert_eq!(
        error.to_string(),
        "NATS stream `MEMES` has no consumer `gen`: create it, or correct natsJetStream.consumer"
    );
    let account = |details: serde_json::Value| json!({"server_id": "A", "account_details": details});
    let no_stream = server("A", "a", account(json!([{"name": "$G", "id": "$G"}]))).await;
    let error = ask(&[&no_stream]).await.expect_err("must fail").to_string();
    assert_eq!(error, "NATS account `$G` has no stream `MEMES`: create it, or correct natsJetStream.stream");
    let no_account = server("A", "a", account(json!([{"name": "OTHER"}]))).await;
    assert!(matches!(ask(&[&no_account]).await, Err(ObserveError::AccountNotFound { .. })));
    let disabled = server("A", "a", json!({"server_id": "A", "disabled": true})).await;
    assert!(matches!(ask(&[&disabled]).await, Err(ObserveError::JetStreamDisabled { .. })));
    // The most telling of several answers is reported.
    assert!(matches!(ask(&[&disabled, &no_consumer]).await, Err(ObserveError::ConsumerNotFound { .. })));
}

#[tokio::test]
async fn anything_but_jsz_is_an_error_that_does_not_repeat_the_body() {
    for response in [
        ResponseTemplate::new(200).set_body_string("secret"),
        ResponseTemplate::new(200).set_body_json(json!({"server_id": "A", "account_details": "secret"})),
        ResponseTemplate::new(500).set_body_string("secret"),
        ResponseTemplate::new(302).insert_header("location", "http://169.254.169.254/secret"),
        ResponseTemplate::new(200).set_body_bytes(vec![b' '; MAX_BODY + 1]),
    ] {
        let error = error_of(response).await;
        assert_eq!(error.category(), "answer", "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn nobody_there_and_too_slow_are_unreachable() {
    let slow = ResponseTemplate::new(200).set_delay(TIMEOUT * 3);
    let error = error_of(slow).await;
    assert!(error.to_string().contains("no answer within 2 s"), "{error}");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://user:hunter2@{}", listener.local_addr().expect("bound"));
    drop(listener);
    let error = NatsMonitor::new(None).expect("builds").backlog(&wanted(&[url])).await.expect_err("must fail");
    assert_eq!(error.category(), "unreachable");
    assert!(error.to_string().contains("Connection refused") && !error.to_string().contains("hunter2"), "{error}");
}
