//! Evictions: through the eviction API alone, of the very pod that was meant, and what a refusal means.

use arbiter::{
    actuate::{Cause, Denial, Gate, PodEviction, WriteError},
    observe::kubernetes::PodFacts,
    policy::Mode,
};
use http::Method;
use serde_json::json;
use tokio::time::Instant;

use crate::server::{auto, client, failure, writer};

fn eviction() -> PodEviction {
    PodEviction { namespace: "shop".into(), name: "web-1".into(), uid: "u".into(), cause: Cause::Deferred }
}

fn pod(uid: &str) -> PodFacts {
    PodFacts { namespace: "shop".into(), name: "web-1".into(), uid: uid.into(), ..PodFacts::default() }
}

#[tokio::test]
async fn one_eviction_with_the_uid_as_a_precondition_and_never_a_delete() {
    let (client, log) = client(|_| Some((201, json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}))));
    writer(client).evict(&eviction(), Some(&pod("u")), auto()).await.unwrap();
    let asked = log.all();
    assert_eq!(asked.len(), 1);
    assert_eq!(
        (&asked[0].method, asked[0].path.as_str()),
        (&Method::POST, "/api/v1/namespaces/shop/pods/web-1/eviction")
    );
    assert_eq!((&asked[0].body["apiVersion"], &asked[0].body["kind"]), (&json!("policy/v1"), &json!("Eviction")));
    assert_eq!(asked[0].body["deleteOptions"]["preconditions"]["uid"], "u");
}

#[tokio::test]
async fn a_disruption_budget_is_an_answer_and_too_many_requests_is_none() {
    let (held, busy) = ("Cannot evict pod as it would violate the pod's disruption budget.", "Too many requests");
    for (message, denied) in [(held, true), (busy, false)] {
        let (client, log) = client(move |_| failure(429, message));
        let error = writer(client).evict(&eviction(), Some(&pod("u")), auto()).await.unwrap_err();
        assert_eq!(matches!(error, WriteError::Denied { denial: Denial::DisruptionBudget, .. }), denied, "{error}");
        assert!(error.to_string().contains(message), "{error}");
        assert_eq!(log.all().len(), 1, "asked once");
    }
}

#[tokio::test]
async fn another_pod_of_the_name_is_never_evicted() {
    let (client, log) = client(|_| failure(409, "the UID in the precondition (u) does not match"));
    let writer = writer(client);
    let leaving = PodFacts { deleting: true, ..pod("u") };
    for (current, requests) in [(None, 0), (Some(pod("other")), 0), (Some(leaving), 0), (Some(pod("u")), 1)] {
        let error = writer.evict(&eviction(), current.as_ref(), auto()).await.unwrap_err();
        assert!(matches!(error, WriteError::Replaced { .. }), "{error}");
        assert_eq!(log.all().len(), requests);
    }
}

#[tokio::test]
async fn a_missing_right_is_named_and_other_modes_evict_nothing() {
    let words =
        "pods \"web-1\" is forbidden: User \"arbiter\" cannot create resource \"pods/eviction\" in API group \"\"";
    let (client, log) = client(move |_| failure(403, words));
    let writer = writer(client);
    let error = writer.evict(&eviction(), Some(&pod("u")), auto()).await.unwrap_err().to_string();
    assert!(error.contains("grant the verb create on pods/eviction"), "{error}");
    for mode in [Mode::Recommend, Mode::Paused] {
        let gate = Gate { mode, seen: Instant::now() };
        assert_eq!(writer.evict(&eviction(), Some(&pod("u")), gate).await.unwrap_err().category(), "dropped");
    }
    assert_eq!(log.all().len(), 1);
}
