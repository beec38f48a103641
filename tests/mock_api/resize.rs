//! Sizes of running pods: what goes out, and what a refusal means.

use arbiter::{
    actuate::{Denial, Gate, PodResize, ResizeKind, WriteError},
    decide::{ContainerSize, Resources},
    observe::kubernetes::PodFacts,
    policy::Mode,
    units::Cores,
};
use http::Method;
use serde_json::json;
use tokio::time::Instant;

use crate::server::{auto, client, failure, writer};

fn resize() -> PodResize {
    PodResize {
        namespace: "shop".into(),
        name: "web-1".into(),
        uid: "u".into(),
        containers: vec![ContainerSize {
            name: "app".into(),
            requests: Resources { cpu_cores: Some(Cores(1.2)), memory_bytes: None },
            limits: Resources::default(),
        }],
        before: vec![],
        sidecars: vec![],
        kind: ResizeKind::Grow,
        restarts: false,
        relieves: false,
        killed: false,
    }
}

fn pod(uid: &str) -> PodFacts {
    PodFacts { namespace: "shop".into(), name: "web-1".into(), uid: uid.into(), ..PodFacts::default() }
}

#[tokio::test]
async fn one_patch_to_the_subresource_and_never_to_the_pod() {
    let (client, log) = client(|_| Some((200, json!({"metadata": {"name": "web-1"}}))));
    writer(client).resize(&resize(), Some(&pod("u")), auto()).await.unwrap();
    let asked = log.all();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].method, Method::PATCH);
    assert_eq!(asked[0].path, "/api/v1/namespaces/shop/pods/web-1/resize");
    assert_eq!(asked[0].body["metadata"]["uid"], "u");
    assert_eq!(asked[0].body["spec"]["containers"][0]["resources"], json!({"requests": {"cpu": "1200m"}}));
}

#[tokio::test]
async fn a_pod_that_is_gone_or_another_is_left_alone() {
    let (client, log) = client(|_| failure(500, "never asked"));
    let writer = writer(client);
    let leaving = PodFacts { deleting: true, ..pod("u") };
    for current in [None, Some(pod("other")), Some(leaving)] {
        let error = writer.resize(&resize(), current.as_ref(), auto()).await.unwrap_err();
        assert!(matches!(error, WriteError::Replaced { .. }), "{error}");
    }
    assert!(log.all().is_empty());
}

#[tokio::test]
async fn each_refusal_is_told_apart_says_what_to_do_and_is_asked_once() {
    let beyond = "pods \"web-1\" is forbidden: resize exceeds what any node has";
    let mut node = failure(403, beyond).unwrap();
    node.1["details"] = json!({"causes": [{"reason": "NodeCapacity", "message": "cpu"}]});
    let cases = [
        (
            failure(403, "pods \"web-1\" is forbidden: exceeded quota: compute, requested: requests.cpu=200m").unwrap(),
            Denial::Quota,
            "raise the quota",
        ),
        (
            failure(403, "pods \"web-1\" is forbidden: maximum cpu usage per Container is 1, but limit is 2").unwrap(),
            Denial::LimitRange,
            "within the limit range",
        ),
        (node, Denial::NodeCapacity, "add larger nodes"),
        (
            failure(422, "Pod \"web-1\" is invalid: Pod QOS Class may not change as a result of resizing").unwrap(),
            Denial::Qos,
            "in the pod template",
        ),
    ];
    for (answer, expected, remedy) in cases {
        let words = answer.1["message"].as_str().unwrap().to_owned();
        let (client, log) = client(move |_| Some(answer.clone()));
        let error = writer(client).resize(&resize(), Some(&pod("u")), auto()).await.unwrap_err();
        assert!(matches!(error, WriteError::Denied { denial, .. } if denial == expected), "{error}");
        assert_eq!(error.category(), "refused");
        let sentence = error.to_string();
        assert!(sentence.contains(&words) && sentence.contains(remedy), "{sentence}");
        assert_eq!(log.all().len(), 1);
    }
}

#[tokio::test]
async fn what_no_rule_explains_is_refused_in_the_servers_words_and_a_missing_right_is_named() {
    let odd = "Pod \"web-1\" is invalid: spec: Forbidden: something new";
    let right = "pods \"web-1\" is forbidden: User \"arbiter\" cannot patch resource \"pods/resize\" in API group \"\"";
    for (code, words, says) in [(422, odd, odd), (403, right, "grant the verb patch on pods/resize")] {
        let (client, _) = client(move |_| failure(code, words));
        let error = writer(client).resize(&resize(), Some(&pod("u")), auto()).await.unwrap_err();
        assert!(matches!(error, WriteError::Refused { .. } | WriteError::Forbidden { .. }), "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[tokio::test]
async fn recommend_resizes_nothing() {
    let (client, log) = client(|_| Some((200, json!({}))));
    let gate = Gate { mode: Mode::Recommend, seen: Instant::now() };
    let error = writer(client).resize(&resize(), Some(&pod("u")), gate).await.unwrap_err();
    assert_eq!(error.category(), "dropped");
    assert!(log.all().is_empty());
}
