//! The proxy between arbiter and Prometheus.

use std::{sync::Arc, time::Duration};

use axum::body::{Body, Bytes};
use http::{Request, Response, header};
use serde_json::json;
use tokio::time::sleep;

use super::{
    places::{Places, SHARED},
    plan::{Class, Fault, Kind},
    server::{Answer, Broken, Server, answer, half, whole},
};

/// The proxy of one block of histories.
pub(super) struct Metrics {
    server: Server,
}

impl Metrics {
    /// Starts one in front of a server.
    pub(super) async fn start(upstream: &str, places: Arc<Places>) -> Self {
        let shared = Arc::new((upstream.to_owned(), reqwest::Client::new(), places));
        let server = Server::start(move |request| {
            let shared = Arc::clone(&shared);
            async move { handle(&shared, request).await }
        });
        Self { server: server.await }
    }

    /// Its base URL.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }
}

async fn handle(
    (upstream, client, places): &(String, reqwest::Client, Arc<Places>),
    request: Request<Bytes>,
) -> Answer {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let place = places.named_in(&format!("{path} {}", String::from_utf8_lossy(request.body())));
    let class = if place == SHARED { Class::Usage } else { Class::Signal };
    let fault = places.fault(&place, class, request.uri().path());
    if let Some(answered) = instead(fault).await {
        return answered;
    }
    let mut passed = client.request(request.method().clone(), format!("{upstream}{path}"));
    if let Some(kind) = request.headers().get(header::CONTENT_TYPE) {
        passed = passed.header(header::CONTENT_TYPE, kind);
    }
    let answered = passed.body(request.body().clone()).send().await.map_err(|_| Broken)?;
    let head = answer(answered.status().as_u16(), "application/json");
    let body = answered.bytes().await.map_err(|_| Broken)?;
    match fault.map(|fault| fault.kind) {
        Some(Kind::DropAnswer) => Err(Broken),
        Some(Kind::Half) => Ok(half(head, &body)),
        _ => Ok(whole(head, body)),
    }
}

/// An answer without the server; none: it is asked.
async fn instead(fault: Option<Fault>) -> Option<Answer> {
    let Fault { kind, millis } = fault?;
    let text =
        |code: u16, text: String| -> Response<Body> { whole(answer(code, "application/json"), Bytes::from(text)) };
    match kind {
        Kind::Delay => {
            sleep(Duration::from_millis(millis)).await;
            None
        }
        Kind::DropRequest => Some(Err(Broken)),
        Kind::TooMany => Some(Ok(text(429, "too many requests".into()))),
        Kind::Error => {
            let error = json!({"status": "error", "errorType": "internal", "error": "a fault of the test"});
            Some(Ok(text(500, error.to_string())))
        }
        Kind::Empty => {
            let empty = json!({"status": "success", "data": {"resultType": "vector", "result": []}});
            Some(Ok(text(200, empty.to_string())))
        }
        _ => None,
    }
}
