//! arbiter beside the real HPA controller, the real VPA and the real KEDA: it takes their workload over under load, and
//! gives it back as it was. `live` is the long comparison.

use arbiter::{
    observe::clock::{Clock as _, SystemClock},
    takeover::Kind,
};
use serde_json::{Value, json};

use crate::{
    specs::{self, with},
    support::{
        Arbiter, EmulatorOptions, Profile, Queue, Scene, Taken, WEB, Watched, Workload, as_written, await_some, hpa,
        scaled_object, start_peers, vpa,
    },
};

/// Longest time without an owner of replicas, in seconds.
const GAP: f64 = 1.0;
/// Seconds for a takeover: an HPA is stood down just before its next sync, which come every 15 s.
const TAKEOVER: u64 = 60;
const RELEASE: u64 = 30;

/// A workload with its old owners, and what is seen of them.
struct Owned<'a> {
    scene: &'a Scene,
    spec: Value,
    policy: Watched,
    rivals: Vec<(Kind, Watched)>,
}

impl<'a> Owned<'a> {
    fn new(scene: &'a Scene, spec: Value, kinds: &[Kind]) -> Self {
        let watch = |kind: &Kind| (*kind, Watched::rival(scene.admin.clone(), &scene.namespace, *kind));
        let group = "autoscaling.arbiter.io/v1alpha1";
        let client = scene.admin.clone();
        let policy = Watched::start(client, &scene.namespace, group, "ScalingPolicy", "scalingpolicies");
        Self { scene, spec, policy, rivals: kinds.iter().map(watch).collect() }
    }

    async fn mode(&self, mode: &str) {
        self.scene.policy(WEB, with(self.spec.clone(), json!({"mode": mode}))).await;
    }

    fn as_written(&self) -> Vec<String> {
        self.rivals.iter().map(|(kind, _)| as_written(&self.scene.object(kind.as_str(), WEB))).collect()
    }

    /// Takes over and gives back; `under_load` changes the load as it begins.
    async fn change_hands(&self, arbiter: &Arbiter, under_load: impl Future<Output = ()>) {
        let before = self.as_written();
        let history = self.scene.history().await;
        let taken = SystemClock.now();
        under_load.await;
        self.mode("Auto").await;
        await_some("everybody stood down", TAKEOVER, || async {
            let down = self.rivals.iter().all(|(kind, seen)| {
                let read = Taken::read(*kind, seen, &self.policy, taken, taken);
                read.down.is_some() && (kind.sizes() || read.heard.is_some())
            });
            if down { Ok(()) } else { Err(self.words(arbiter).await) }
        })
        .await;
        let counts = history.counts();
        assert!(counts.iter().all(|n| *n >= counts[0]), "fewer than ran: {counts:?}");

        let given = SystemClock.now();
        self.mode("Recommend").await;
        await_some("everything given back as it was", RELEASE, || async {
            let now = self.as_written();
            if now == before {
                Ok(())
            } else {
                Err(format!("{now:?} instead of {before:?}; {}", self.words(arbiter).await))
            }
        })
        .await;
        for (kind, seen) in &self.rivals {
            let read = await_some("the watch", 10, || async {
                let read = Taken::read(*kind, seen, &self.policy, taken, given);
                read.back.map(|_| read).ok_or_else(|| format!("{read:?}"))
            })
            .await;
            // Sizes wait for a VPA, whose updater cannot say that it has heard; replicas do not.
            assert!(kind.sizes() || read.gap().is_some_and(|gap| gap <= GAP), "no owner for too long: {read:?}");
        }
    }

    async fn words(&self, arbiter: &Arbiter) -> String {
        let condition = self.scene.condition(WEB, "InControl").await;
        format!("InControl {condition}; {}", arbiter.last_words())
    }
}

/// Waits until a condition of a rival is True: its controller works on it.
async fn active(scene: &Scene, kind: Kind, condition: &str) {
    await_some(&format!("{} {condition}", kind.as_str()), 90, || async {
        let status = scene.object(kind.as_str(), WEB)["status"].clone();
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let is_true = conditions.iter().any(|c| c["type"] == condition && c["status"] == "True");
        if is_true { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn hpa_and_vpa_are_taken_over_under_load_and_given_back() {
    start_peers().await;
    let scene = Scene::new("peers-hpa", Profile::Auto).await;
    let options = EmulatorOptions { rate: 24.0, annotate: true, ..EmulatorOptions::default() };
    let emulator = scene.workload(Workload { replicas: 4, ..Workload::default() }, &options).await;
    scene.usage_known(4).await;
    for object in [vpa(("100m", "1")), hpa(70, (2, 20))] {
        scene.create(&object);
    }
    let owned = Owned::new(&scene, specs::auto(&scene), &[Kind::Vpa, Kind::Hpa]);
    owned.mode("Recommend").await;
    let mut arbiter = scene.arbiter("one", &[]).await;
    arbiter.decided(&scene.namespace, WEB).await;
    active(&scene, Kind::Hpa, "ScalingActive").await;
    active(&scene, Kind::Vpa, "RecommendationProvided").await;
    owned.change_hands(&arbiter, emulator.load(json!({"rate": 36.0}))).await;
}

#[tokio::test]
async fn keda_is_taken_over_with_a_backlog_and_given_back() {
    start_peers().await;
    let scene = Scene::new("peers-keda", Profile::Auto).await;
    let queue = Queue::create(&scene, "peers-keda").await;
    let options = EmulatorOptions { annotate: true, queue: Some(queue.address()), ..EmulatorOptions::default() };
    let _emulator = scene.workload(Workload { replicas: 1, ..Workload::default() }, &options).await;
    scene.usage_known(1).await;
    scene.create(&scaled_object(&queue, 20, (1, 10)));
    let source = json!({
        "monitoringUrls": [queue.monitoring_url()], "account": "$G", "stream": queue.stream(), "consumer": queue.consumer(),
    });
    let spec = json!({
        "objective": {"backlog": {"signal": "queue", "drainWithin": "30s"}},
        "signals": [{"name": "queue", "role": "Backlog", "natsJetStream": source}],
        "replicas": {"min": 1, "max": 10},
    });
    let owned = Owned::new(&scene, with(specs::replicas_only(&scene), spec), &[Kind::ScaledObject]);
    owned.mode("Recommend").await;
    let mut arbiter = scene.arbiter("one", &[]).await;
    arbiter.decided(&scene.namespace, WEB).await;
    active(&scene, Kind::ScaledObject, "Ready").await;
    owned.change_hands(&arbiter, queue.publish(1_500)).await;
}
