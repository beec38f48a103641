//! `/metrics`, `/healthz` and `/readyz`, for the cluster and its scrapers.
//!
//! Healthy: the loop still ticks. Ready: the cluster has been listed once. A standby is ready: it decides like the
//! leader and takes over at once. Whether it leads is a metric.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use tokio::time::Instant;

use super::metrics::Metrics;

/// Ticks that may be missed before the loop counts as stuck.
const MISSED: u32 = 4;

/// How the loop is.
#[derive(Debug)]
pub struct Health {
    started: Instant,
    patience: Duration,
    last_tick: AtomicU64,
    listed: AtomicBool,
}

impl Health {
    /// A loop that is to tick this often. The first ticks may take a minute, while a large cluster is listed.
    #[must_use]
    pub fn new(tick: Duration) -> Self {
        Self {
            started: Instant::now(),
            patience: (tick * MISSED).max(Duration::from_mins(1)),
            last_tick: AtomicU64::new(0),
            listed: AtomicBool::new(false),
        }
    }

    /// The loop ticked.
    pub fn ticked(&self) {
        let since = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_tick.store(since, Ordering::Relaxed);
    }

    /// The cluster has been listed.
    pub fn listed(&self) {
        self.listed.store(true, Ordering::Relaxed);
    }

    fn healthy(&self) -> bool {
        let last = Duration::from_millis(self.last_tick.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(last) < self.patience
    }
}

/// The three paths.
pub fn router(metrics: Metrics, health: Arc<Health>) -> Router {
    Router::new()
        .route("/metrics", get(expose).with_state(metrics))
        .route("/healthz", get(healthz).with_state(Arc::clone(&health)))
        .route("/readyz", get(readyz).with_state(health))
}

async fn expose(State(metrics): State<Metrics>) -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    match metrics.encode() {
        Ok(text) => (StatusCode::OK, kind, text),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, kind, String::new()),
    }
}

async fn healthz(State(health): State<Arc<Health>>) -> (StatusCode, &'static str) {
    if health.healthy() {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the loop does not tick\n")
    }
}

async fn readyz(State(health): State<Arc<Health>>) -> (StatusCode, &'static str) {
    if health.listed.load(Ordering::Relaxed) {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the cluster has not been listed yet\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_stops_ticking_is_not_healthy() {
        let health = Health::new(Duration::from_secs(15));
        assert!(health.healthy());
        tokio::time::advance(Duration::from_secs(50)).await;
        health.ticked();
        tokio::time::advance(Duration::from_secs(50)).await;
        assert!(health.healthy());
        tokio::time::advance(Duration::from_secs(11)).await;
        assert!(!health.healthy());
    }

    #[tokio::test]
    async fn ready_once_the_cluster_is_listed() {
        let health = Arc::new(Health::new(Duration::from_secs(15)));
        assert_eq!(readyz(State(Arc::clone(&health))).await.0, StatusCode::SERVICE_UNAVAILABLE);
        health.listed();
        assert_eq!(readyz(State(health)).await.0, StatusCode::OK);
    }
}
