//! The test's hand on the emulator: the load, and the exporters' lives.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post, put},
};
use tokio::{net::TcpListener, sync::Mutex};

use super::{
    exporter::Exporter,
    plant::{Load, Plant},
};

type Shared = (Arc<Mutex<Plant>>, Arc<Mutex<Vec<Exporter>>>);

/// Serves `GET /state`, `PUT /load`, `POST /exporters/{index}/{stop,start}` on a free port.
pub(crate) async fn start(plant: Arc<Mutex<Plant>>, exporters: Vec<Exporter>) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let router = Router::new()
        .route("/state", get(state))
        .route("/load", put(load))
        .route("/exporters/{index}/{action}", post(exporter))
        .with_state((plant, Arc::new(Mutex::new(exporters))));
    tokio::spawn(async move { drop(axum::serve(listener, router).await) });
    Ok(address)
}

async fn state(State((plant, _)): State<Shared>) -> Json<serde_json::Value> {
    Json(serde_json::to_value(plant.lock().await.state()).unwrap_or_default())
}

/// The fields that are given replace those in force.
async fn load(
    State((plant, _)): State<Shared>,
    Json(change): Json<serde_json::Value>,
) -> Result<Json<Load>, StatusCode> {
    let mut plant = plant.lock().await;
    let mut load = serde_json::to_value(plant.load()).unwrap_or_default();
    let (Some(fields), Some(given)) = (load.as_object_mut(), change.as_object()) else {
        return Err(StatusCode::BAD_REQUEST);
    };
    fields.extend(given.clone());
    let load: Load = serde_json::from_value(load).map_err(|_| StatusCode::BAD_REQUEST)?;
    plant.set_load(load);
    Ok(Json(load))
}

async fn exporter(State((_, exporters)): State<Shared>, Path((index, action)): Path<(usize, String)>) -> StatusCode {
    let mut exporters = exporters.lock().await;
    let Some(exporter) = exporters.get_mut(index) else { return StatusCode::NOT_FOUND };
    match action.as_str() {
        "stop" => exporter.stop().await,
        "start" if exporter.resume().await.is_ok() => {}
        "start" => return StatusCode::CONFLICT,
        _ => return StatusCode::NOT_FOUND,
    }
    StatusCode::NO_CONTENT
}
