//! One scrape target. It can be stopped, as a process that died, and started again on the same port.

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, http::StatusCode, routing::get};
use tokio::{net::TcpListener, sync::Mutex, task::JoinHandle};

use super::plant::Plant;

/// A scrape target and the task that serves it.
#[derive(Debug)]
pub(crate) struct Exporter {
    index: usize,
    address: SocketAddr,
    plant: Arc<Mutex<Plant>>,
    server: Option<JoinHandle<()>>,
}

impl Exporter {
    /// Listens on a free port.
    pub(crate) async fn start(index: usize, plant: Arc<Mutex<Plant>>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut exporter = Self { index, address: listener.local_addr()?, plant, server: None };
        exporter.serve(listener);
        Ok(exporter)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops: connections are refused from now on.
    pub(crate) async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
            // Cancelled is what was asked for.
            drop(server.await);
        }
    }

    /// Listens again on the same port; nothing happens when it does already.
    pub(crate) async fn resume(&mut self) -> anyhow::Result<()> {
        if self.server.is_none() {
            let listener = TcpListener::bind(self.address).await?;
            self.serve(listener);
        }
        Ok(())
    }

    fn serve(&mut self, listener: TcpListener) {
        let (index, plant) = (self.index, Arc::clone(&self.plant));
        let handler = move || {
            let plant = Arc::clone(&plant);
            // One scrape per connection: a kept-alive connection would survive the listener's end.
            async move {
                let text = plant.lock().await.render(index).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
                Ok::<_, StatusCode>(([("connection", "close")], text))
            }
        };
        let router = Router::new().route("/metrics", get(handler));
        self.server = Some(tokio::spawn(async move {
            drop(axum::serve(listener, router).await);
        }));
    }
}
