use axum::{
    body::{Body, to_bytes},
    http::{Request, StatusCode},
};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::simulate::{Load, TraceOptions, controller};

/// Two hours of a load that doubles after one.
fn demo() -> Demo {
    let mut csv = "timestamp_s,rps\n".to_owned();
    for minute in 0..120 {
        csv.push_str(&format!("{},{}\n", minute * 60, if minute < 60 { 50 } else { 100 }));
    }
    let load = Load::read("steps.csv", csv.as_bytes(), None).unwrap();
    let options = TraceOptions { warmup: Seconds(0.0), ..TraceOptions::default() };
    let mut scenario = Scenario::from_trace(load, options);
    scenario.duration = Seconds(7200.0);
    let contestants = ["hpa70", "hpa50"]
        .map(|name| Contestant {
            name: name.to_owned(),
            title: name.to_owned(),
            subtitle: String::new(),
            controller: controller(name, &scenario).unwrap(),
        })
        .into();
    Demo::new(&scenario, contestants, 1, "a made-up load".to_owned(), 600.0)
}

#[test]
fn a_day_is_played_to_its_end_and_summed_up() {
    let mut demo = demo();
    let mut ticks = 0;
    while demo.step() {
        ticks += 1;
    }
    assert_eq!(ticks, 7200 / 15);
    let status = demo.desk().status();
    assert!(status.finished);
    assert_eq!(status.at, status.end);
    assert!(status.sides.iter().all(|side| side.cost.get() > 0.0 && side.requests > 0.0 && side.pods_started > 0));
    assert!(status.sentence.starts_with("On the same load hpa50 paid $"), "{}", status.sentence);
    let history = demo.board().history(&demo.sides[0].key, None).unwrap();
    assert_eq!(history.t.len(), ticks);
    assert!(history.t.windows(2).all(|w| w[1] - w[0] == 15_000));
    assert!(history.latency.iter().flatten().count() > ticks / 2);
}

async fn turn(demo: &Demo, path: &str, origin: Option<&str>, body: &str) -> (StatusCode, Value) {
    let mut request = Request::post(path).header("host", "127.0.0.1:1").header("content-type", "application/json");
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    let router = router(demo.board(), demo.desk());
    let response = router.oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
    let status = response.status();
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap())
}

#[tokio::test]
async fn only_the_page_itself_turns_the_demo() {
    let demo = demo();
    let own = Some("http://127.0.0.1:1");
    assert_eq!(turn(&demo, "/api/v1/demo/pause", own, r#"{"paused":true}"#).await.1["paused"], json!(true));
    assert_eq!(turn(&demo, "/api/v1/demo/speed", own, r#"{"speed":1200}"#).await.1["speed"], json!(1200.0));
    for origin in [None, Some("http://evil.example"), Some("null")] {
        let (status, body) = turn(&demo, "/api/v1/demo/pause", origin, r#"{"paused":false}"#).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{body}");
    }
    assert!(demo.desk().status().paused, "a foreign page changed nothing");
    for body in ["{\"speed\":0}", "{\"speed\":1e9}", "{}", "faster"] {
        let (status, answer) = turn(&demo, "/api/v1/demo/speed", own, body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}: {answer}");
    }
    assert_eq!(demo.desk().status().speed, 1200.0);
}

#[tokio::test(start_paused = true)]
async fn the_pace_is_the_desks() {
    let demo = demo();
    let desk = demo.desk();
    let begin = desk.status().at;
    let played = tokio::spawn(play(demo));
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let two = desk.status().at - begin;
    assert!((1_150_000..=1_250_000).contains(&two), "two seconds at 600 are 20 min, not {two} ms");
    desk.set_paused(true);
    let at = desk.status().at;
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert_eq!(desk.status().at, at);
    desk.set_paused(false);
    assert!(played.await.unwrap().status().finished);
}
