use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request},
};
use serde_json::Value;
use tower::ServiceExt;

use super::*;
use crate::{
    decide::{Decision, Snapshot},
    serve::{Limits, PolicyMeta, loopback_only},
};

/// What a tenant may write into a name that reaches a sentence.
const HOSTILE: &str = "</script><img src=x onerror=alert(1)>";

fn board() -> Arc<Board> {
    let board = Board::new(Limits::LIVE);
    let policy = crate::serve::board::tests::policy();
    let snapshot: Snapshot =
        serde_json::from_value(json!({"at": "2026-02-03T10:00:00Z", "replicas": {"spec": 8, "ready": 7}})).unwrap();
    let decision: Decision = serde_json::from_value(json!({
        "at": "2026-02-03T10:00:00Z", "replicas": 9, "containers": [], "boost": null, "reason": "CpuDemand",
        "message": HOSTILE, "explain": {"demandCores": 7.4}
    }))
    .unwrap();
    board.record_with_memory(&policy, PolicyMeta::of(&policy), &snapshot, &decision, || json!({"n": 1}));
    Arc::new(board)
}

async fn ask(router: Router, method: Method, path: &str, host: &str) -> (StatusCode, HeaderMap, String) {
    let request = Request::builder().method(method).uri(path).header("host", host).body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, 1 << 24).await.unwrap();
    (parts.status, parts.headers, String::from_utf8(bytes.to_vec()).unwrap())
}

async fn get_json(path: &str) -> (StatusCode, Value) {
    let (status, _, body) = ask(router(board()), Method::GET, path, "127.0.0.1").await;
    (status, serde_json::from_str(&body).unwrap())
}

#[tokio::test]
async fn views_of_a_policy() {
    let (status, list) = get_json("/api/v1/policies").await;
    assert_eq!(status, StatusCode::OK);
    let row = &list["policies"][0];
    assert_eq!(
        (row["namespace"].as_str(), row["desired"].as_u64(), row["ready"].as_u64()),
        (Some("memes"), Some(9), Some(7))
    );
    let (_, explain) = get_json("/api/v1/policies/memes/web/explain").await;
    assert_eq!(explain["decision"]["explain"]["demandCores"], 7.4);
    let (_, history) = get_json("/api/v1/policies/memes/web/history?after=0").await;
    assert_eq!(history["demand"], json!([7.4]));
    assert_eq!(history["capacity"], json!([null]));
    let (_, state) = get_json("/api/v1/state").await;
    assert_eq!((state["mode"].as_str(), state["policies"].as_u64()), (Some("run"), Some(1)));
}

#[tokio::test]
async fn a_replay_is_a_header_and_snapshots() {
    let (status, headers, body) = ask(router(board()), Method::GET, "/api/v1/policies/memes/web/replay", "x").await;
    assert_eq!((status, headers["content-type"].to_str().unwrap()), (StatusCode::OK, "application/x-ndjson"));
    let lines: Vec<Value> = body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["memory"], json!({"n": 1}));
    assert_eq!(lines[0]["policy"]["key"]["name"], "web");
    assert_eq!(lines[1]["replicas"]["spec"], 8);
}

#[tokio::test]
async fn errors_are_one_sentence_in_json() {
    for (method, path, status) in [
        (Method::GET, "/api/v1/policies/memes/other/explain", StatusCode::NOT_FOUND),
        (Method::GET, "/api/v1/policies/memes/other/replay", StatusCode::NOT_FOUND),
        (Method::GET, "/api/v1/policies/memes/web/history?after=yesterday", StatusCode::BAD_REQUEST),
        (Method::GET, "/api/v1/nothing", StatusCode::NOT_FOUND),
        (Method::GET, "/assets/../Cargo.toml", StatusCode::NOT_FOUND),
        (Method::POST, "/api/v1/policies", StatusCode::METHOD_NOT_ALLOWED),
        (Method::DELETE, "/api/v1/policies/memes/web/explain", StatusCode::METHOD_NOT_ALLOWED),
        (Method::POST, "/api/v1/demo/pause", StatusCode::NOT_FOUND),
    ] {
        let (got, headers, body) = ask(router(board()), method.clone(), path, "127.0.0.1").await;
        assert_eq!(got, status, "{method} {path}: {body}");
        let error: Value = serde_json::from_str(&body).unwrap();
        assert!(error["error"].as_str().is_some_and(|e| e.len() > 10), "{body}");
        assert!(headers.contains_key("content-security-policy"), "{path}");
    }
}

#[tokio::test]
async fn every_answer_is_guarded() {
    for path in ["/", "/assets/app.js", "/assets/style.css", "/api/v1/state", "/nothing"] {
        let (_, headers, _) = ask(router(board()), Method::GET, path, "127.0.0.1").await;
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["referrer-policy"], "no-referrer");
    }
    let (_, headers, body) = ask(router(board()), Method::GET, "/api/v1/policies", "127.0.0.1").await;
    assert_eq!(headers["content-type"], "application/json");
    assert!(body.contains("onerror"), "text leaves as it is, as a JSON string");
}

#[tokio::test]
async fn a_foreign_host_name_is_refused() {
    let (status, ..) = ask(loopback_only(router(board())), Method::GET, "/api/v1/state", "evil.example").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (status, ..) = ask(loopback_only(router(board())), Method::GET, "/api/v1/state", "localhost:8081").await;
    assert_eq!(status, StatusCode::OK);
}
