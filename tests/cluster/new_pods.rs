//! A pod that would be created without arbiter is created with it: a table of cases on a real API server.
//!
//! Each case has a namespace of its own and is played twice by the real controllers: first without a row, which shows that the
//! pod is created at its template's size, then with one. The rows are computed by arbiter's own code from the namespace's
//! real limit ranges and quotas; rows that no longer fit (written before something changed) are written out by hand.

mod alive;
mod cases;
pub(crate) mod play;

use futures::future::join_all;
use serde_json::json;

use self::{
    cases::{Case, cases},
    play::{Sizing, play},
};
use crate::support::{Lab, Webhook};

const GROUP: &str = "new-pods";

#[tokio::test]
async fn a_pod_that_would_be_created_without_arbiter_is_created_with_it() {
    let sizing = &Sizing::install(GROUP).await;
    let mut failed = Vec::new();
    // A few at a time: two cores run the whole control plane.
    let all = cases();
    let count = all.len();
    for some in all.chunks(6) {
        let played = join_all(some.iter().map(|case| async move {
            let lab = Lab::new(&format!("new-pods-{}", case.name), GROUP).await;
            play(sizing, &lab, case).await.map_err(|why| format!("{}: {why}", case.name))
        }));
        failed.extend(played.await.into_iter().filter_map(Result::err));
    }
    eprintln!("{count} cases");
    assert!(failed.is_empty(), "{} of {count} cases:\n{}", failed.len(), failed.join("\n"));
}

/// Plays a case in a namespace that has a webhook.
async fn behind(change: crate::support::Change, case: Case) {
    let group = format!("{GROUP}-{}", case.name);
    let sizing = Sizing::install(&group).await;
    let lab = Lab::new(&format!("new-pods-{}", case.name), &group).await;
    let _webhook = Webhook::start(&lab, change).await;
    play(&sizing, &lab, &case).await.unwrap_or_else(|why| panic!("{}: {why}", case.name));
}

#[tokio::test]
async fn a_sidecar_that_a_webhook_adds_stays_as_it_is() {
    let case = Case::new("sidecar", "100m/- 128Mi/-", "750m/- 300Mi/-");
    let case = case
        .alone("app 100m/- 128Mi/- | proxy 50m/200m 64Mi/64Mi")
        .expect("app 750m/- 300Mi/- | proxy 50m/200m 64Mi/64Mi");
    behind(
        |pod| {
            let has = pod["spec"]["containers"].as_array().is_some_and(|c| c.iter().any(|c| c["name"] == "proxy"));
            let resources =
                json!({"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "200m", "memory": "64Mi"}});
            let proxy = json!({"name": "proxy", "image": "proxy", "resources": resources});
            if has { json!([]) } else { json!([{"op": "add", "path": "/spec/containers/-", "value": proxy}]) }
        },
        case,
    )
    .await;
}

#[tokio::test]
async fn a_limit_that_a_webhook_sets_below_the_decided_request_gives_the_own_request_back() {
    let case = Case::new("late-limit", "100m/- 128Mi/-", "750m/- 300Mi/-");
    let case = case.alone("app 100m/200m 128Mi/256Mi").expect("app 100m/200m 128Mi/256Mi");
    behind(
        |_| json!([{"op": "add", "path": "/spec/containers/0/resources/limits", "value": {"cpu": "200m", "memory": "256Mi"}}]),
        case,
    )
    .await;
}

#[tokio::test]
async fn a_webhook_that_caps_limits_keeps_the_class_of_the_pod() {
    let case = Case::new("cap", "200m/200m 128Mi/128Mi", "750m/750m 300Mi/300Mi").class("Guaranteed");
    let case = case.alone("app 200m/200m 128Mi/128Mi").expect("app 200m/200m 128Mi/128Mi");
    behind(
        |pod| {
            // Caps: what is lower stays.
            let limits = &pod["spec"]["containers"][0]["resources"]["limits"];
            let cpu = if limits["cpu"] == "750m" { json!("500m") } else { limits["cpu"].clone() };
            let memory = if limits["memory"] == "300Mi" { json!("256Mi") } else { limits["memory"].clone() };
            json!([{"op": "add", "path": "/spec/containers/0/resources/limits", "value": {"cpu": cpu, "memory": memory}}])
        },
        case,
    )
    .await;
}
