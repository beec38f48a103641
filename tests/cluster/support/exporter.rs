//! A scrape target inside the test, which can be killed and revived.

use std::{net::SocketAddr, sync::Arc};

use arbiter::observe::clock::{Clock as _, SystemClock};
use axum::{Router, routing::get};
use tokio::{net::TcpListener, task::JoinHandle, time::Instant};

use super::ports::free_port;

/// Text of the exposition, from the seconds since the start and the time in milliseconds.
type Render = Arc<dyn Fn(f64, i64) -> String + Send + Sync>;

/// A scrape target.
pub(crate) struct Exporter {
    address: SocketAddr,
    render: Render,
    start: Instant,
    server: Option<JoinHandle<()>>,
}

impl Exporter {
    /// Serves on a free port.
    pub(crate) async fn start(render: impl Fn(f64, i64) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", free_port())).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let mut exporter = Self { address, render: Arc::new(render), start: Instant::now(), server: None };
        exporter.serve(listener);
        exporter
    }

    /// Where it is scraped, as Prometheus' label `instance` has it.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Refuses connections from now on; its counters run on.
    pub(crate) fn kill(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
        }
    }

    /// Serves again on the same port.
    pub(crate) async fn revive(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("the same port");
        self.serve(listener);
    }

    fn serve(&mut self, listener: TcpListener) {
        let (render, start) = (Arc::clone(&self.render), self.start);
        let handler = move || {
            let text = render(start.elapsed().as_secs_f64(), SystemClock.now().as_millisecond());
            // One scrape per connection: a kept-alive connection would survive the listener's end.
            async move { ([("connection", "close"), ("content-type", "text/plain; version=0.0.4")], text) }
        };
        let router = Router::new().route("/metrics", get(handler));
        self.server = Some(tokio::spawn(async move {
            drop(axum::serve(listener, router).await);
        }));
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.kill();
    }
}
