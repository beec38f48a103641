//! An HTTP/1.1 server that can also break a connection instead of answering.

use std::{fmt, net::SocketAddr};

use axum::body::{Body, Bytes};
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};

/// Largest body that is taken. A list of all that a block of histories has is below 2 MB.
const LARGEST: usize = 32 << 20;

/// The connection is closed without an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is broken on purpose")
    }
}

impl std::error::Error for Broken {}

/// An answer, or none.
pub(super) type Answer = Result<Response<Body>, Broken>;

/// A server on a free port, until it is dropped.
pub(super) struct Server {
    /// Where it listens.
    pub(super) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// Starts it. A client that goes away takes the handler's work with it.
    pub(super) async fn start<F>(handler: impl Fn(Request<Bytes>) -> F + Clone + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                let handler = handler.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let handler = handler.clone();
                    async move {
                        let (parts, body) = request.into_parts();
                        let body = axum::body::to_bytes(Body::new(body), LARGEST).await.map_err(|_| Broken)?;
                        handler(Request::from_parts(parts, body)).await
                    }
                });
                connections.spawn(async move {
                    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        Self { address, task }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The first half of a body under the head of the whole, then nothing more.
pub(super) fn half(mut answer: Response<()>, body: &Bytes) -> Response<Body> {
    answer.headers_mut().insert(http::header::CONTENT_LENGTH, body.len().into());
    let first = body.slice(..body.len() / 2);
    let parts = futures::stream::iter([Ok(first), Err(Broken)]);
    answer.map(|()| Body::from_stream(parts))
}

/// An answer with a whole body.
pub(super) fn whole(answer: Response<()>, body: Bytes) -> Response<Body> {
    answer.map(|()| Body::from(body))
}

/// An answer from parts.
pub(super) fn answer(code: u16, content_type: &str) -> Response<()> {
    let answer = Response::builder().status(code).header(http::header::CONTENT_TYPE, content_type);
    answer.body(()).expect("a status and a content type make an answer")
}
