//! Kinds of autoscalers that are absent, of another version, or may not be read.

use std::time::Duration;

use arbiter::{
    observe::kubernetes::{self, Cluster},
    policy::Shard,
    takeover::Kind,
};
use serde_json::{Value, json};

use crate::server::{Asked, client, failure};

/// Empty lists for what is not about autoscalers.
fn list(asked: &Asked) -> (u16, Value) {
    let kind = if asked.path.contains("scalingpolicies") { "ScalingPolicyList" } else { "List" };
    (200, json!({"kind": kind, "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []}))
}

async fn watched(answer: impl Fn(&Asked) -> Option<(u16, Value)> + Send + 'static) -> Cluster {
    let (client, _log) = client(move |asked| {
        // Watches stay open without a word.
        if asked.query.contains("watch=") { None } else { Some(answer(asked).unwrap_or_else(|| list(asked))) }
    });
    let watches = kubernetes::start(&client, &["shop".to_owned()], Shard::WHOLE);
    let cluster = watches.cluster.clone();
    let looked = async {
        while !cluster.read().current() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), looked)
        .await
        .expect("every kind is read or known not to be readable");
    cluster
}

fn blind(cluster: &Cluster) -> Vec<(Kind, String)> {
    cluster.read().rivals().blind("shop").into_iter().map(|blind| (blind.kind, blind.why)).collect()
}

fn groups(versions: &[&str]) -> Value {
    let versions: Vec<Value> =
        versions.iter().map(|v| json!({"groupVersion": format!("autoscaling.k8s.io/{v}"), "version": v})).collect();
    let group = json!({"name": "autoscaling.k8s.io", "versions": versions, "preferredVersion": versions[0]});
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]})
}

#[tokio::test]
async fn a_kind_that_is_not_installed_is_no_obstacle() {
    let cluster = watched(|asked| match asked.path.as_str() {
        "/apis" => Some((200, json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": []}))),
        path if path.contains("autoscaling.k8s.io") || path.contains("keda.sh") => failure(404, "not found"),
        _ => None,
    })
    .await;
    assert_eq!(blind(&cluster), []);
}

#[tokio::test]
async fn a_kind_in_another_version_is_one_and_says_which() {
    let resources = json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "autoscaling.k8s.io/v1beta2", "resources": [
        {"name": "verticalpodautoscalers", "singularName": "", "namespaced": true, "kind": "VerticalPodAutoscaler", "verbs": ["list"]}]});
    let cluster = watched(move |asked| match asked.path.as_str() {
        "/apis" => Some((200, groups(&["v1beta2"]))),
        "/apis/autoscaling.k8s.io/v1beta2" => Some((200, resources.clone())),
        path if path.contains("autoscaling.k8s.io/v1/") || path.contains("keda.sh") => failure(404, "not found"),
        _ => None,
    })
    .await;
    assert_eq!(blind(&cluster), [(Kind::Vpa, "only v1beta2 is served, autoscaling.k8s.io/v1 is needed".to_owned())]);
}

#[tokio::test]
async fn a_missing_right_names_the_verbs() {
    let cluster = watched(|asked| match asked.path.as_str() {
        "/apis" => Some((200, json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": []}))),
        path if path.contains("horizontalpodautoscalers") => failure(403, "forbidden"),
        path if path.contains("autoscaling.k8s.io") || path.contains("keda.sh") => failure(404, "not found"),
        _ => None,
    })
    .await;
    let why = "grant the verbs list and watch on horizontalpodautoscalers".to_owned();
    assert_eq!(blind(&cluster), [(Kind::Hpa, why)]);
}

#[tokio::test]
async fn a_kind_that_is_not_installed_is_not_asked_for_again_and_again() {
    let (client, log) = client(|asked| match asked.path.as_str() {
        _ if asked.query.contains("watch=") => None,
        "/apis" => Some((200, json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": []}))),
        path if path.contains("autoscaling.k8s.io") || path.contains("keda.sh") => failure(404, "not found"),
        _ => Some(list(asked)),
    });
    let _watches = kubernetes::start(&client, &["shop".to_owned()], Shard::WHOLE);
    tokio::time::sleep(Duration::from_secs(4)).await;
    let asked = log.all().iter().filter(|asked| asked.path.contains("keda.sh")).count();
    assert_eq!(asked, 1, "the backoff of a watch begins anew with every attempt");
}
