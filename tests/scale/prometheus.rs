//! The Prometheus that is played: what cAdvisor's series say of the pods.

use std::{
    fmt::Write as _,
    sync::{Arc, atomic::Ordering},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{Uri, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};

use super::{objects, world::World};

/// Age of a sample, in seconds: scrapes every 15 s.
const AGE: f64 = 9.0;
const MEMORY: f64 = 200e6;

/// Serves until the test ends; answers the URL.
pub(crate) async fn serve(world: Arc<World>) -> String {
    super::serve(Router::new().fallback(answer).with_state(world)).await
}

async fn answer(State(world): State<Arc<World>>, uri: Uri, body: Bytes) -> Response {
    if uri.path().ends_with("query_range") {
        world.counts.histories.fetch_add(1, Ordering::Relaxed);
        return json("{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[]}}".to_owned());
    }
    world.counts.queries.fetch_add(1, Ordering::Relaxed);
    let asked = String::from_utf8_lossy(&body);
    let value: fn(f64) -> f64 = if asked.contains("timestamp") {
        |_| AGE
    } else if asked.contains("container_cpu_usage_seconds_total") {
        |cores| cores
    } else if asked.contains("container_memory_working_set_bytes") {
        |_| MEMORY
    } else {
        // Throttling, pressure, OOM kills: kernels without them.
        return json("{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[]}}".to_owned());
    };
    json(vector(&world, value))
}

fn json(text: String) -> Response {
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}

fn vector(world: &World, value: fn(f64) -> f64) -> String {
    let mut text = String::from("{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[");
    let mut comma = "";
    for index in 0..world.policies {
        let (namespace, app) = (objects::namespace(index), objects::name(index));
        let workload = world.workload(index);
        let value = value(world.usage(index, &workload));
        for number in workload.pods.keys() {
            write!(
                text,
                "{comma}{{\"metric\":{{\"namespace\":\"{namespace}\",\"pod\":\"{app}-rs-{number}\",\"container\":\"app\"}},\
                 \"value\":[1767225600,\"{value:.4}\"]}}"
            )
            .expect("writing to a string cannot fail");
            comma = ",";
        }
    }
    text.push_str("]}}");
    text
}
