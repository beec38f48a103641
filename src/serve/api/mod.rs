//! The JSON API: read-only views of the [`Board`].
//!
//! | path | answer |
//! |---|---|
//! | `/api/v1/state` | the writer, and counts over all policies |
//! | `/api/v1/policies` | one row per policy, contested ones first |
//! | `/api/v1/policies/{ns}/{name}/explain[?at=MS]` | the decision that held at an instant, with its numbers and the changes before it |
//! | `/api/v1/policies/{ns}/{name}/history[?after=MS]` | columns of equal length |
//! | `/api/v1/policies/{ns}/{name}/replay` | NDJSON: a header line, then snapshots |
//!
//! Instants are milliseconds since the epoch. An error is `{"error": "one sentence"}` with its status.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;
use serde_json::json;

use super::{Board, History, Recorded, assets, guard};
use crate::policy::PolicyKey;

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// No policy of that name has been recorded.
    #[error("there is no policy {0} here: /api/v1/policies lists those that are decided on")]
    NoSuchPolicy(PolicyKey),
    /// The policy is known, but no snapshot of it is kept.
    #[error("no snapshot of {0} is kept for replay: only a controller keeps them, from its first tick on")]
    NoSnapshots(PolicyKey),
    /// No such path.
    #[error(
        "there is nothing at this path: the API is /api/v1/state, /api/v1/policies and, below a policy, explain, history, replay"
    )]
    NoSuchPath,
    /// A path that exists, asked with another method.
    #[error("this path is not asked this way: everything under /api/v1 is read with GET")]
    WrongMethod,
    /// A query or body that cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// The Host header names somebody else.
    #[error("this server answers on loopback names only: use http://127.0.0.1 or http://localhost")]
    ForeignHost,
    /// A change was asked for by another page.
    #[error("only the page itself may ask for this: the Origin header has to be this server")]
    ForeignOrigin,
}

impl ApiError {
    /// A word for a label.
    #[must_use]
    pub const fn category(&self) -> &'static str {
        match self {
            Self::NoSuchPolicy(_) | Self::NoSnapshots(_) | Self::NoSuchPath => "not_found",
            Self::WrongMethod => "method",
            Self::Unreadable(_) => "unreadable",
            Self::ForeignHost | Self::ForeignOrigin => "foreign",
        }
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchPolicy(_) | Self::NoSnapshots(_) | Self::NoSuchPath => StatusCode::NOT_FOUND,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unreadable(_) => StatusCode::BAD_REQUEST,
            Self::ForeignHost | Self::ForeignOrigin => StatusCode::FORBIDDEN,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status(), Json(json!({"error": self.to_string()}))).into_response()
    }
}

/// The page and its API over a board. Security headers are on every answer; who may connect is the caller's to
/// decide (see [`super::loopback_only`]).
#[must_use]
pub fn router(board: Arc<Board>) -> Router {
    finish(routes(board))
}

/// The routes without headers and fallbacks, for the demo to add to.
pub(super) fn routes(board: Arc<Board>) -> Router {
    Router::new()
        .route("/", get(assets::index))
        .route("/assets/{name}", get(assets::asset))
        .route("/api/v1/state", get(state))
        .route("/api/v1/policies", get(policies))
        .route("/api/v1/policies/{namespace}/{name}/explain", get(explain))
        .route("/api/v1/policies/{namespace}/{name}/history", get(history))
        .route("/api/v1/policies/{namespace}/{name}/replay", get(replay))
        .with_state(board)
}

/// Adds what every answer needs.
pub(super) fn finish(router: Router) -> Router {
    guard::with_headers(
        router.fallback(async || ApiError::NoSuchPath).method_not_allowed_fallback(async || ApiError::WrongMethod),
    )
}

#[derive(Debug, Deserialize)]
struct At {
    at: Option<i64>,
}

#[derive(Debug, Deserialize)]
struct After {
    after: Option<i64>,
}

fn readable<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, ApiError> {
    query.map(|Query(q)| q).map_err(|_| {
        ApiError::Unreadable("the query is not readable: instants are whole milliseconds since the epoch".to_owned())
    })
}

async fn state(State(board): State<Arc<Board>>) -> Response {
    Json(board.state()).into_response()
}

async fn policies(State(board): State<Arc<Board>>) -> Response {
    Json(json!({"policies": board.rows()})).into_response()
}

async fn explain(
    State(board): State<Arc<Board>>,
    Path((namespace, name)): Path<(String, String)>,
    query: Result<Query<At>, QueryRejection>,
) -> Result<Json<Recorded>, ApiError> {
    let key = PolicyKey { namespace, name };
    let at = readable(query)?.at;
    board.explain(&key, at).map(Json).ok_or(ApiError::NoSuchPolicy(key))
}

async fn history(
    State(board): State<Arc<Board>>,
    Path((namespace, name)): Path<(String, String)>,
    query: Result<Query<After>, QueryRejection>,
) -> Result<Json<History>, ApiError> {
    let key = PolicyKey { namespace, name };
    let after = readable(query)?.after;
    board.history(&key, after).map(Json).ok_or(ApiError::NoSuchPolicy(key))
}

async fn replay(
    State(board): State<Arc<Board>>,
    Path((namespace, name)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let key = PolicyKey { namespace, name };
    let Some(replay) = board.snapshots(&key) else {
        return Err(if board.keys().contains(&key) { ApiError::NoSnapshots(key) } else { ApiError::NoSuchPolicy(key) });
    };
    let body =
        ndjson(&replay).map_err(|e| ApiError::Unreadable(format!("the replay of {key} cannot be written: {e}")))?;
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"))], body).into_response())
}

fn ndjson(replay: &super::Replay) -> Result<String, serde_json::Error> {
    let mut text = serde_json::to_string(&replay.header)?;
    for snapshot in &replay.snapshots {
        text.push('\n');
        text.push_str(&serde_json::to_string(snapshot)?);
    }
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests;
