//! A burst in a JetStream queue is answered at once, in one step, from the queue's own server.

use serde_json::{Value, json};

use crate::{
    specs::{self, with},
    support::{EmulatorOptions, Profile, Queue, Scene, WEB, Workload, await_some},
};

/// Core-seconds per message.
const WORK: f64 = 0.05;

/// Largest count: the burst is worth more, whatever an item is believed to cost.
const MOST: u32 = 10;

/// Replicas only, to drain what waits within 30 s.
fn policy(scene: &Scene, queue: &Queue) -> Value {
    let source = json!({
        "monitoringUrls": [queue.monitoring_url()], "account": "$G", "stream": queue.stream(), "consumer": queue.consumer(),
    });
    with(
        specs::replicas_only(scene),
        json!({
            "objective": {"backlog": {"signal": "queue", "drainWithin": "30s"}},
            "signals": [{"name": "queue", "role": "Backlog", "natsJetStream": source}],
            "replicas": {"min": 1, "max": MOST},
        }),
    )
}

#[tokio::test]
async fn a_burst_is_answered_in_one_step() {
    let scene = Scene::new("burst", Profile::Auto).await;
    let queue = Queue::create(&scene, "burst").await;
    let options = EmulatorOptions { work: WORK, queue: Some(queue.address()), ..Default::default() };
    let emulator = scene.workload(Workload { replicas: 1, ..Workload::default() }, &options).await;
    scene.usage_known(1).await;
    scene.policy(WEB, policy(&scene, &queue)).await;
    let mut arbiter = scene.arbiter("one", &[]).await;
    arbiter.decided(&scene.namespace, WEB).await;
    let history = scene.history().await;

    // 150 core-seconds, far more than one half-core pod does in 30 s.
    queue.publish(3_000).await;
    let answered = await_some("the answer", 10, || async {
        history.changes().get(1).copied().ok_or_else(|| arbiter.last_words())
    })
    .await;
    assert_eq!(answered.1, MOST, "answered with too few");

    await_some("an empty queue", 90, || async {
        let waiting = queue.waiting().await;
        if waiting == 0 { Ok(()) } else { Err(format!("{waiting} wait; {}", emulator.state().await)) }
    })
    .await;
    let counts = history.counts();
    let growth = counts.windows(2).filter(|pair| pair[1] > pair[0]).count();
    assert_eq!(growth, 1, "more than one step up: {counts:?}");
}
