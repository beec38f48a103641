//! The API server that is played: discovery, lists in pages, watches, and the writes of arbiter.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Query, State},
    http::{Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use futures::StreamExt;
use serde_json::{Value, json};

use super::{objects, world::World};

/// Kinds that are listed and watched here.
const KINDS: [&str; 4] = ["pods", "replicasets", "scalingpolicies", "nodes"];
/// Kinds that are known and empty.
const EMPTY: [&str; 3] = ["resourcequotas", "limitranges", "horizontalpodautoscalers"];
/// Kind of the objects in which arbiter keeps what it remembers; it only lists them.
const CHECKPOINTS: &str = "configmaps";
const NODES: usize = 500;

/// Serves until the test ends; answers the URL.
pub(crate) async fn serve(world: Arc<World>) -> String {
    super::serve(Router::new().fallback(answer).with_state(world)).await
}

async fn answer(
    State(world): State<Arc<World>>,
    method: Method,
    uri: Uri,
    Query(query): Query<BTreeMap<String, String>>,
    body: Bytes,
) -> Response {
    let path: Vec<&str> = uri.path().trim_matches('/').split('/').collect();
    // Without the group: `version`, `namespaces/NS/KIND/NAME/SUBRESOURCE`, `KIND`.
    let rest = match path.as_slice() {
        ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
        ["version"] => {
            return ok(json!({"major": "1", "minor": "37", "gitVersion": "v1.37.1", "platform": "played",
            "buildDate": "", "compiler": "", "gitCommit": "", "gitTreeState": "", "goVersion": ""}));
        }
        _ => return missing(),
    };
    let rest = if let ["namespaces", _, rest @ ..] = rest { rest } else { rest };
    let sent = || serde_json::from_slice::<Value>(&body).unwrap_or_default();
    match (method.as_str(), rest) {
        ("GET", []) => discovery(&path),
        ("GET", [kind]) if *kind == "leases" => leases(&world),
        ("GET", [kind]) if query.get("watch").is_some_and(|w| w == "true" || w == "1") => watch(&world, kind),
        ("GET", [kind]) => list(&world, kind, &query),
        (_, ["leases"]) => lease(&world, None, sent()),
        ("GET", ["leases", name]) => {
            let found = world.leases.lock().expect("no panic").get(*name).cloned();
            found.map_or_else(missing, ok)
        }
        (_, ["leases", name]) => lease(&world, Some(name), sent()),
        ("PATCH", [kind, _name]) if *kind == CHECKPOINTS => {
            world.counts.memories.fetch_add(1, Ordering::Relaxed);
            ok(sent())
        }
        (_, [_kind, name, rest @ ..]) => object(&world, method.as_str(), (name, rest), &sent()),
        ("POST", _) => {
            world.counts.events.fetch_add(1, Ordering::Relaxed);
            (StatusCode::CREATED, axum::Json(sent())).into_response()
        }
        _ => missing(),
    }
}

fn ok(value: Value) -> Response {
    axum::Json(value).into_response()
}

fn missing() -> Response {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "not found", "reason": "NotFound",
        "code": 404});
    (StatusCode::NOT_FOUND, axum::Json(status)).into_response()
}

fn discovery(path: &[&str]) -> Response {
    let resource = |name: &str, kind: &str| json!({"name": name, "singularName": "", "namespaced": true, "kind": kind, "verbs": ["get", "list", "watch"]});
    let resources = match path {
        ["apis", "apps", "v1"] => vec![
            resource("deployments", "Deployment"),
            resource("deployments/scale", "Scale"),
            resource("replicasets", "ReplicaSet"),
        ],
        ["apis", "admissionregistration.k8s.io", "v1"] => Vec::new(),
        _ => return missing(),
    };
    ok(
        json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": path[1..].join("/"), "resources": resources}),
    )
}

/// How many objects of a kind there are to walk over, and what the walk gives at a place.
fn items(world: &World, kind: &str, from: usize, most: usize) -> (Vec<Value>, Option<usize>) {
    if kind == CHECKPOINTS {
        let all = world.checkpoints.iter().skip(from).take(most).cloned().collect();
        return (all, Some(from.saturating_add(most)).filter(|next| *next < world.checkpoints.len()));
    }
    let mut found = Vec::new();
    let count = if kind == "nodes" { NODES } else { world.policies };
    for index in from..count {
        if found.len() >= most {
            return (found, Some(index));
        }
        if kind == "nodes" {
            found.push(objects::node(index));
            continue;
        }
        let workload = world.workload(index);
        match kind {
            "pods" => found.extend(workload.pods.iter().map(|(n, (milli, v))| objects::pod(index, *n, *milli, *v))),
            "replicasets" => found.push(objects::replica_set(index, workload.pods.len(), workload.version)),
            _ => found.push(objects::policy(index, &workload)),
        }
    }
    (found, None)
}

fn list(world: &World, kind: &str, query: &BTreeMap<String, String>) -> Response {
    world.counts.reads.fetch_add(1, Ordering::Relaxed);
    if EMPTY.contains(&kind) {
        return ok(
            json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": world.version().to_string()},
            "items": []}),
        );
    }
    if !KINDS.contains(&kind) && kind != CHECKPOINTS {
        return missing();
    }
    let version = world.version().to_string();
    let from = query.get("continue").and_then(|text| text.parse().ok()).unwrap_or(0);
    let most = query.get("limit").and_then(|text| text.parse().ok()).unwrap_or(usize::MAX);
    let (items, next) = items(world, kind, from, most);
    let next = next.map(|next| next.to_string()).unwrap_or_default();
    ok(
        json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": version, "continue": next}, "items": items}),
    )
}

fn watch(world: &World, kind: &str) -> Response {
    let kind = kind.to_owned();
    let changes = world.changes.subscribe();
    let lines = futures::stream::unfold(changes, move |mut changes| {
        let kind = kind.clone();
        async move {
            loop {
                match changes.recv().await {
                    Ok(change) if change.plural == kind => {
                        return Some((Ok::<_, std::io::Error>(Bytes::from(change.line.to_string())), changes));
                    }
                    Ok(_) => {}
                    // Behind, or over: the watch ends, and the client lists anew.
                    Err(_) => return None,
                }
            }
        }
    });
    Response::builder()
        .header("content-type", "application/json")
        .body(Body::from_stream(lines.boxed()))
        .expect("a response")
}

fn leases(world: &World) -> Response {
    let leases: Vec<Value> = world.leases.lock().expect("no panic").values().cloned().collect();
    ok(json!({"kind": "LeaseList", "apiVersion": "coordination.k8s.io/v1", "metadata": {}, "items": leases}))
}

fn lease(world: &World, name: Option<&str>, mut lease: Value) -> Response {
    lease["metadata"]["resourceVersion"] = world.next_version().to_string().into();
    let name = name.or(lease["metadata"]["name"].as_str()).unwrap_or_default().to_owned();
    world.leases.lock().expect("no panic").insert(name, lease.clone());
    ok(lease)
}

fn object(world: &World, method: &str, (name, rest): (&str, &[&str]), sent: &Value) -> Response {
    let counts = &world.counts;
    let Some((index, number)) = objects::index_of(name).filter(|(index, _)| *index < world.policies) else {
        return ok(sent.clone());
    };
    match (method, rest) {
        ("GET", _) => {
            counts.reads.fetch_add(1, Ordering::Relaxed);
            let workload = world.workload(index);
            ok(if rest == ["scale"] { objects::scale(index, &workload) } else { objects::deployment(index, &workload) })
        }
        (_, ["scale"]) => {
            counts.scales.fetch_add(1, Ordering::Relaxed);
            let replicas = sent["spec"]["replicas"].as_u64().and_then(|n| usize::try_from(n).ok());
            world.scale(index, replicas.expect("a count"));
            ok(objects::scale(index, &world.workload(index)))
        }
        (_, ["resize"]) => {
            counts.resizes.fetch_add(1, Ordering::Relaxed);
            let cpu = sent["spec"]["containers"][0]["resources"]["requests"]["cpu"].as_str().expect("a size");
            let cores: arbiter::units::Quantity = cpu.parse().expect("a quantity");
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size of a pod")]
            let milli = (cores.as_f64() * 1000.0).round() as u64;
            let number = number.expect("a pod");
            if world.resize(index, number, milli) { ok(objects::pod(index, number, milli, 1)) } else { missing() }
        }
        (_, ["status"]) => {
            counts.statuses.fetch_add(1, Ordering::Relaxed);
            world.set_status(index, &sent["status"]);
            ok(objects::policy(index, &world.workload(index)))
        }
        _ => ok(sent.clone()),
    }
}
