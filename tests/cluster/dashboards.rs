//! Every expression of the dashboards and alerts, on a real Prometheus that scrapes a real controller.

use serde_json::{Value, json};

use crate::{
    specs::{self, with},
    support::{EmulatorOptions, Profile, Queue, Scene, WEB, Workload, await_some, run},
};

#[path = "../common/dashboards.rs"]
mod expressions;

/// Expressions that rightly answer with nothing in this scene: nothing fails in it, and no state is bad in it.
const QUIET: [&str; 9] = [
    "overview.json: Query failures per minute",
    "workload.json: Changes of reason",
    "alerts.yaml: ArbiterSignalsStale",
    "alerts.yaml: ArbiterNotInControl",
    "alerts.yaml: ArbiterObjectiveUnreachable",
    "alerts.yaml: ArbiterLimitedByMax",
    "alerts.yaml: ArbiterNoLeader",
    "alerts.yaml: ArbiterTickSlow",
    "alerts.yaml: ArbiterResizeFailing",
];

/// A policy with a signal of each role.
fn policy(scene: &Scene, queue: &Queue) -> Value {
    let histogram = json!({"metric": "http_duration_seconds", "matchers": {"namespace": scene.namespace, "app": WEB}, "window": "20s"});
    let source = json!({
        "monitoringUrls": [queue.monitoring_url()], "account": "$G", "stream": queue.stream(), "consumer": queue.consumer(),
    });
    with(
        specs::auto(scene),
        json!({
            "objective": {
                "latency": {"signal": "latency", "target": "250ms", "objective": "0.99"},
                "backlog": {"signal": "queue", "drainWithin": "30s"},
            },
            "signals": [
                specs::requests(scene),
                {"name": "latency", "role": "Latency", "prometheusHistogram": histogram},
                {"name": "queue", "role": "Backlog", "natsJetStream": source},
            ],
        }),
    )
}

#[tokio::test]
async fn every_expression_answers() {
    let scene = Scene::new("dashboards", Profile::Auto).await;
    let queue = Queue::create(&scene, "dashboards").await;
    let options = EmulatorOptions { rate: 15.0, queue: Some(queue.address()), ..EmulatorOptions::default() };
    let emulator = scene.workload(Workload::default(), &options).await;
    scene.usage_known(2).await;
    scene.policy(WEB, policy(&scene, &queue)).await;
    let mut arbiter = scene.arbiter("one", &[]).await;
    arbiter.decided(&scene.namespace, WEB).await;
    scene.prometheus.scrape(&[emulator.exporters.clone(), vec![arbiter.address().to_owned()]].concat());

    for expression in expressions::expressions(&scene.namespace, WEB) {
        let quiet = QUIET.contains(&expression.place.as_str());
        await_some(&format!("{}: {}", expression.place, expression.text), 90, || async {
            let answer = scene.prometheus.query(&expression.text).await?;
            let empty = answer.as_array().is_some_and(Vec::is_empty);
            if quiet || !empty { Ok(()) } else { Err("an empty answer".to_owned()) }
        })
        .await;
    }
}

#[tokio::test]
async fn promtool_takes_the_rules() {
    let cluster = crate::support::cluster().await;
    let rules = crate::support::root().join("dashboards/rules/alerts.yaml");
    let tests = crate::support::root().join("dashboards/rules/alerts_test.yaml");
    run(cluster.program("promtool").args(["check", "rules"]).arg(rules), None).expect("promtool check rules");
    run(cluster.program("promtool").args(["test", "rules"]).arg(tests), None).expect("promtool test rules");
}
