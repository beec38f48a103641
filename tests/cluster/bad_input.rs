//! What is wrong is said in a sentence, on the policy that is wrong; nothing else stops and nothing shrinks.

use serde_json::{Value, json};

use crate::{
    specs::{self, with},
    support::{EmulatorOptions, Profile, Queue, Scene, WEB, Workload, await_that},
};

/// A signal that reads a consumer.
fn jetstream(url: &str, stream: &str, consumer: &str) -> Value {
    let source = json!({"monitoringUrls": [url], "account": "$G", "stream": stream, "consumer": consumer});
    json!({"name": "queue", "role": "Backlog", "natsJetStream": source})
}

/// A policy on another workload of the scene, with one signal.
fn on(name: &str, signal: &Value) -> Value {
    json!({"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}, "mode": "Auto", "signals": [signal]})
}

fn target(api_version: &str, kind: &str, name: &str) -> Value {
    json!({"targetRef": {"apiVersion": api_version, "kind": kind, "name": name}, "mode": "Auto"})
}

/// Policy, spec, condition, its reason or status, and what the sentence must name.
type Case = (&'static str, Value, &'static str, Vec<String>);

fn cases(scene: &Scene, queue: &Queue) -> Vec<Case> {
    let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    let promql = |query: &str| json!({"name": "load", "role": "Demand", "prometheus": {"query": query}});
    let url = queue.monitoring_url();
    let unknown_metric = format!("sum(rate(no_such_metric{{namespace=\"{}\"}}[1m]))", scene.namespace);
    vec![
        ("kind", target("example.org/v1", "Widget", "w"), "Ready", words(&["Widget"])),
        ("no-scale", target("v1", "ConfigMap", "kube-root-ca.crt"), "Ready", words(&["scale"])),
        ("gone", target("apps/v1", "Deployment", "nobody"), "Ready", words(&["nobody"])),
        ("syntax", on("w-syntax", &promql("sum(rate(x[))")), "Ready", words(&["spec.signals[0].prometheus.query"])),
        ("absent", on("w-absent", &promql(&unknown_metric)), "SignalsFresh", words(&["load"])),
        (
            "no-server",
            on("w-no-server", &jetstream("http://127.0.0.1:9", "s", "c")),
            "SignalsFresh",
            words(&["queue", "127.0.0.1:9"]),
        ),
        ("no-stream", on("w-no-stream", &jetstream(url, "nowhere", "c")), "SignalsFresh", words(&["queue", "nowhere"])),
        (
            "no-consumer",
            on("w-no-consumer", &jetstream(url, queue.stream(), "nobody")),
            "SignalsFresh",
            words(&["queue", "nobody"]),
        ),
    ]
}

#[tokio::test]
async fn each_mistake_has_its_sentence_and_the_rest_goes_on() {
    let scene = Scene::new("bad-input", Profile::Auto).await;
    let queue = Queue::create(&scene, "bad-input").await;
    let emulator = scene.workload(Workload::default(), &EmulatorOptions { rate: 10.0, ..Default::default() }).await;
    scene.usage_known(2).await;
    let cases = cases(&scene, &queue);
    for (name, spec, _, _) in &cases {
        let target = spec["targetRef"]["name"].as_str().unwrap_or_default();
        if target.starts_with("w-") {
            scene.deployment(target, Workload { replicas: 3, emulated: false, ..Workload::default() }).await;
        }
        scene.policy(name, spec.clone()).await;
    }
    scene.policy(WEB, with(specs::replicas_only(&scene), json!({"replicas": {"min": 1, "max": 20}}))).await;
    let mut arbiter = scene.arbiter("one", &[]).await;
    arbiter.decided(&scene.namespace, WEB).await;

    for (name, _, condition, words) in &cases {
        let what = format!("{name}: {condition} False, naming {words:?}");
        let says = |c: &String| c.starts_with("False") && words.iter().all(|word| c.contains(word.as_str()));
        await_that(&what, 60, || scene.condition(name, condition), says).await;
    }
    // The good one among them is served.
    emulator.load(json!({"rate": 60.0})).await;
    await_that("growth of the good policy", 60, || scene.replicas(), |n| *n >= 6).await;
    for (name, spec, _, _) in &cases {
        let target = spec["targetRef"]["name"].as_str().unwrap_or_default();
        if target.starts_with("w-") {
            assert!(scene.replicas_of(target).await >= 3, "{name}: shrunk on what it does not know");
        }
    }
}
