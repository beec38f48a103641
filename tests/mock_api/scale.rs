//! The count: GET, compare, PUT; what is tried again and what is not.

use arbiter::{
    actuate::{Gate, ScaleIntent, WriteError, WriteKind},
    policy::Mode,
    units::Replicas,
};
use http::Method;
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::server::{Asked, auto, client, failure, writer, writer_until};

fn scale(uid: &str, version: usize, replicas: u32) -> Option<(u16, Value)> {
    let metadata = json!({"name": "web", "namespace": "shop", "uid": uid, "resourceVersion": version.to_string()});
    Some((
        200,
        json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": {"replicas": replicas},
        "status": {"replicas": replicas, "selector": "app=web"}}),
    ))
}

fn resource() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", "Deployment"))
}

fn intent(resource: &ApiResource) -> ScaleIntent<'_> {
    ScaleIntent {
        resource,
        namespace: "shop",
        name: "web",
        uid: "u",
        from: Replicas(3),
        to: Replicas(9),
        kind: WriteKind::Scale,
    }
}

#[tokio::test]
async fn the_put_carries_the_version_and_the_count() {
    let (client, log) = client(|_| scale("u", 7, 3));
    writer(client).scale(&intent(&resource()), auto()).await.unwrap();
    let asked = log.all();
    assert_eq!(asked.iter().map(|a| a.method.as_str()).collect::<Vec<_>>(), ["GET", "PUT"]);
    assert_eq!(asked[1].path, "/apis/apps/v1/namespaces/shop/deployments/web/scale");
    assert_eq!(asked[1].body["metadata"]["resourceVersion"], "7");
    assert_eq!(asked[1].body["spec"]["replicas"], 9);
}

#[tokio::test]
async fn a_moved_version_is_tried_again_with_the_new_one() {
    let mut version = 0;
    let (client, log) = client(move |asked: &Asked| {
        if asked.method == Method::GET {
            version += 1;
            return scale("u", version, 3);
        }
        if version < 3 { failure(409, "the object has been modified") } else { scale("u", version, 9) }
    });
    writer(client).scale(&intent(&resource()), auto()).await.unwrap();
    let puts: Vec<_> = log.all().into_iter().filter(|a| a.method == Method::PUT).collect();
    assert_eq!(puts.iter().map(|p| p.body["metadata"]["resourceVersion"].clone()).collect::<Vec<_>>(), ["1", "2", "3"]);
}

#[tokio::test]
async fn conflicts_end_after_three_attempts() {
    let (client, log) =
        client(|asked: &Asked| if asked.method == Method::GET { scale("u", 7, 3) } else { failure(409, "modified") });
    let error = writer(client).scale(&intent(&resource()), auto()).await.unwrap_err();
    assert!(matches!(error, WriteError::Conflict { tries: 3, .. }), "{error}");
    assert_eq!(log.count(&Method::PUT), 3);
}

#[tokio::test]
async fn a_count_changed_by_somebody_else_is_not_overwritten() {
    for (when, changed) in [("before", 1), ("between", 2)] {
        let mut reads = 0;
        let (client, log) = client(move |asked: &Asked| {
            if asked.method == Method::GET {
                reads += 1;
                return scale("u", reads, if reads >= changed { 5 } else { 3 });
            }
            failure(409, "modified")
        });
        let error = writer(client).scale(&intent(&resource()), auto()).await.unwrap_err();
        assert!(matches!(error, WriteError::Foreign { found: Replicas(5), .. }), "{when}: {error}");
        assert_eq!(log.count(&Method::PUT), changed - 1, "{when}");
    }
}

#[tokio::test]
async fn another_object_of_the_same_name_is_left_alone() {
    for answer in [scale("other", 7, 3), failure(404, "not found")] {
        let (client, log) = client(move |_| answer.clone());
        let error = writer(client).scale(&intent(&resource()), auto()).await.unwrap_err();
        assert!(matches!(error, WriteError::Replaced { .. }), "{error}");
        assert_eq!(log.count(&Method::PUT), 0);
    }
}

#[tokio::test]
async fn what_is_there_already_is_not_written() {
    let (client, log) = client(|_| scale("u", 7, 9));
    writer(client).scale(&intent(&resource()), auto()).await.unwrap();
    assert_eq!(log.count(&Method::PUT), 0);
}

#[tokio::test]
async fn a_failed_write_is_never_repeated_blindly() {
    for (code, category) in [(429, "failed"), (500, "failed"), (503, "failed"), (504, "failed"), (422, "refused")] {
        let (client, log) = client(
            move |asked: &Asked| {
                if asked.method == Method::GET { scale("u", 7, 3) } else { failure(code, "no") }
            },
        );
        let error = writer(client).scale(&intent(&resource()), auto()).await.unwrap_err();
        assert_eq!(error.category(), category, "{code}");
        assert_eq!(log.count(&Method::PUT), 1, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn silence_ends_the_attempt_in_time_and_is_not_repeated() {
    let (client, log) = client(|asked: &Asked| if asked.method == Method::GET { scale("u", 7, 3) } else { None });
    let started = Instant::now();
    let error = writer(client).scale(&intent(&resource()), auto()).await.unwrap_err();
    assert_eq!(error.category(), "failed");
    assert!(started.elapsed() <= arbiter::actuate::WRITE_TIMEOUT * 2, "{:?}", started.elapsed());
    assert_eq!(log.count(&Method::PUT), 1);
}

#[tokio::test]
async fn a_missing_right_is_named() {
    let (client, _) = client(|asked: &Asked| {
        let message =
            "deployments.apps \"web\" is forbidden: User \"arbiter\" cannot update resource \"deployments/scale\"";
        if asked.method == Method::GET { scale("u", 7, 3) } else { failure(403, message) }
    });
    let error = writer(client).scale(&intent(&resource()), auto()).await.unwrap_err().to_string();
    assert!(error.contains("grant the verb update on deployments/scale"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_closed_fence_lets_no_request_out_at_all() {
    let (client, log) = client(|_| scale("u", 7, 3));
    let resource = resource();
    let intent = intent(&resource);
    let now = Instant::now();
    for mode in [Mode::Recommend, Mode::Paused] {
        let refused = writer(client.clone()).scale(&intent, Gate { mode, seen: now }).await.unwrap_err();
        assert_eq!(refused.category(), "dropped", "{mode:?}");
    }
    let standby = writer_until(client.clone(), None).scale(&intent, auto()).await.unwrap_err();
    assert_eq!(standby.category(), "dropped");
    let leader = writer(client);
    tokio::time::advance(std::time::Duration::from_secs(21)).await;
    let old = leader.scale(&intent, Gate { mode: Mode::Auto, seen: now }).await.unwrap_err();
    assert_eq!(old.category(), "dropped");
    assert!(log.all().is_empty(), "{:?}", log.all());
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_has_run_out_stops_the_write() {
    let (client, log) = client(|_| scale("u", 7, 3));
    let leader = writer_until(client, Some(Instant::now() + std::time::Duration::from_secs(1)));
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    assert_eq!(leader.scale(&intent(&resource()), auto()).await.unwrap_err().category(), "dropped");
    assert!(log.all().is_empty());
}
