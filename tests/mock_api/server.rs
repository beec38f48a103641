//! An API server that answers from a function and remembers what it was asked.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use arbiter::{
    actuate::{Bucket, Claim, Fence, Gate, Writer},
    policy::Mode,
};
use http::{Method, Request, Response};
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tokio::{sync::watch, time::Instant};

/// A request, as far as tests look at it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: Value,
}

/// What was asked, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Asked>>>);

impl Log {
    pub(crate) fn all(&self) -> Vec<Asked> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, method: &Method) -> usize {
        self.all().iter().filter(|a| a.method == *method).count()
    }
}

/// A client whose requests are answered by a function; `None`: never.
pub(crate) fn client(answer: impl FnMut(&Asked) -> Option<(u16, Value)> + Send + 'static) -> (Client, Log) {
    let (service, mut handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    let log = Log::default();
    let (seen, mut answer) = (log.clone(), answer);
    tokio::spawn(async move {
        let mut unanswered = Vec::new();
        while let Some((request, reply)) = handle.next_request().await {
            let (parts, body) = request.into_parts();
            let bytes = body.collect_bytes().await.unwrap();
            let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            let (path, query) = (parts.uri.path().to_owned(), parts.uri.query().unwrap_or_default().to_owned());
            let asked = Asked { method: parts.method, path, query, body };
            seen.0.lock().unwrap().push(asked.clone());
            match answer(&asked) {
                Some((status, body)) => {
                    let body = Body::from(serde_json::to_vec(&body).unwrap());
                    reply.send_response(Response::builder().status(status).body(body).unwrap());
                }
                None => unanswered.push(reply),
            }
        }
    });
    (Client::new(service, "shop"), log)
}

/// The answer of a failure, with the reason that the API server gives for its code.
pub(crate) fn failure(code: u16, message: &str) -> Option<(u16, Value)> {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        422 => "Invalid",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    };
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message, "code": code});
    Some((code, body))
}

/// A writer whose claim holds for a minute.
pub(crate) fn writer(client: Client) -> Writer {
    writer_until(client, Some(Instant::now() + Duration::from_mins(1)))
}

/// A writer with a claim until an instant.
pub(crate) fn writer_until(client: Client, until: Option<Instant>) -> Writer {
    let (_, claim) = watch::channel(Claim { until, holder: None });
    Writer::new(client, Arc::new(Fence::new(claim, Bucket::new(10.0, 100.0), Duration::from_secs(20))))
}

/// What a decision of a policy in mode Auto brings to the fence.
pub(crate) fn auto() -> Gate {
    Gate { mode: Mode::Auto, seen: Instant::now() }
}
