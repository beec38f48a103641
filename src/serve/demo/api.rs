//! The demo's own routes: its state, and the two things that can be turned. They exist in no other router.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{State, rejection::JsonRejection},
    http::HeaderMap,
    routing::{get, post},
};
use serde::Deserialize;

use super::{Desk, Status};
use crate::serve::{ApiError, Board, api, guard};

/// The page with the demo's routes. Serve it on loopback.
#[must_use]
pub fn router(board: Arc<Board>, desk: Arc<Desk>) -> Router {
    let own = Router::new()
        .route("/api/v1/demo", get(status))
        .route("/api/v1/demo/speed", post(speed))
        .route("/api/v1/demo/pause", post(pause))
        .with_state(desk);
    guard::loopback_only(api::finish(api::routes(board).merge(own)))
}

#[derive(Debug, Deserialize)]
struct Speed {
    speed: f64,
}

#[derive(Debug, Deserialize)]
struct Pause {
    paused: bool,
}

fn allowed<T>(headers: &HeaderMap, body: Result<Json<T>, JsonRejection>, example: &str) -> Result<T, ApiError> {
    if !guard::same_origin(headers) {
        return Err(ApiError::ForeignOrigin);
    }
    body.map(|Json(body)| body)
        .map_err(|_| ApiError::Unreadable(format!("the body is not readable: send JSON, for example {example}")))
}

async fn status(State(desk): State<Arc<Desk>>) -> Json<Status> {
    Json(desk.status())
}

async fn speed(
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
    body: Result<Json<Speed>, JsonRejection>,
) -> Result<Json<Status>, ApiError> {
    let Speed { speed } = allowed(&headers, body, r#"{"speed": 600}"#)?;
    if desk.set_speed(speed) {
        Ok(Json(desk.status()))
    } else {
        Err(ApiError::Unreadable(format!("speed {speed} is out of range: 1 to 86400 seconds of the day per second")))
    }
}

async fn pause(
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
    body: Result<Json<Pause>, JsonRejection>,
) -> Result<Json<Status>, ApiError> {
    desk.set_paused(allowed(&headers, body, r#"{"paused": true}"#)?.paused);
    Ok(Json(desk.status()))
}
