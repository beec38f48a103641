//! The other autoscalers: VPA and KEDA as processes beside the control plane, and the objects that tell them what to do.

use std::{process::Command, sync::OnceLock};

use serde_json::{Value, json};

use super::{
    cluster::{cluster, root, run},
    queue::Queue,
    scene::{CONTAINER, Scene, WEB},
};

/// Half-life of the CPU usage that VPA remembers here, in seconds: `tests/cluster/lib/peers.sh`, where it stands in for a day.
const HALF_LIFE: i64 = 30;
/// Where VPA's histogram of CPU begins and how its buckets grow (`DefaultHistogramBucketSizeGrowth` and `NewCPUHistogram`).
const FIRST_BUCKET: f64 = 0.01;
const BUCKET_GROWTH: f64 = 0.05;
/// Largest weight of a bucket of a checkpoint: the others are told relative to it.
const FULL_WEIGHT: u32 = 10_000;
/// Days that a seeded VPA has watched: as long as it looks back.
const DAYS: i64 = 8;

/// Starts VPA, KEDA and metrics-server in the cluster of this process; once, and nothing happens where they run.
pub(crate) async fn start_peers() {
    static STARTED: OnceLock<()> = OnceLock::new();
    let dir = cluster().await.dir();
    let started = tokio::task::spawn_blocking(move || {
        STARTED.get_or_init(|| {
            let mut script = Command::new(root().join("tests/cluster/peers"));
            run(script.arg("--dir").arg(dir), None).unwrap_or_else(|e| panic!("VPA and KEDA do not start: {e}"));
        });
    });
    started.await.expect("starting VPA and KEDA");
}

/// Stops or starts one of their processes.
pub(crate) async fn service(action: &str, name: &str) {
    let dir = cluster().await.dir();
    let mut script = Command::new(root().join("tests/cluster/service"));
    run(script.args([action, name, "--dir"]).arg(dir), None).unwrap_or_else(|e| panic!("{action} {name}: {e}"));
}

fn target() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": WEB})
}

/// An HPA on CPU, with the behavior that it has by default.
pub(crate) fn hpa(percent: u32, (least, most): (u32, u32)) -> Value {
    let cpu = json!({"name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}});
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": WEB},
        "spec": {"scaleTargetRef": target(), "minReplicas": least, "maxReplicas": most,
                 "metrics": [{"type": "Resource", "resource": cpu}]},
    })
}

/// A VPA on CPU that resizes in place where it can.
pub(crate) fn vpa((least, most): (&str, &str)) -> Value {
    let rule = json!({
        "containerName": CONTAINER, "controlledResources": ["cpu"], "controlledValues": "RequestsOnly",
        "minAllowed": {"cpu": least}, "maxAllowed": {"cpu": most},
    });
    json!({
        "apiVersion": "autoscaling.k8s.io/v1", "kind": "VerticalPodAutoscaler", "metadata": {"name": WEB},
        "spec": {"targetRef": target(), "updatePolicy": {"updateMode": "InPlaceOrRecreate"},
                 "resourcePolicy": {"containerPolicies": [rule]}},
    })
}

/// A `ScaledObject` on the backlog of a queue.
pub(crate) fn scaled_object(queue: &Queue, threshold: u32, (least, most): (u32, u32)) -> Value {
    let metadata = json!({
        "natsServerMonitoringEndpoint": queue.monitoring_url().trim_start_matches("http://"), "account": "$G",
        "stream": queue.stream(), "consumer": queue.consumer(), "lagThreshold": threshold.to_string(),
    });
    json!({
        "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": WEB},
        "spec": {"scaleTargetRef": {"name": WEB}, "minReplicaCount": least, "maxReplicaCount": most,
                 "triggers": [{"type": "nats-jetstream", "metadata": metadata}]},
    })
}

/// What VPA would have written down after eight days of pods that each use so many cores. It reads this at its start only.
pub(crate) fn checkpoint(cores: f64, pods: u32, now: jiff::Timestamp) -> Value {
    let ratio = arbiter::units::maths::ln(cores / FIRST_BUCKET * BUCKET_GROWTH + 1.0);
    let bucket = (ratio / arbiter::units::maths::ln(1.0 + BUCKET_GROWTH)).floor();
    // Steady weight of samples every 15 s under a half-life of 30 s: two a half-life, over ln 2, times the pod's request.
    let weight = f64::from(pods) * 2.0 / std::f64::consts::LN_2;
    let reference = now.as_second() - now.as_second().rem_euclid(HALF_LIFE);
    let at = |seconds: i64| jiff::Timestamp::from_second(seconds).expect("a time").to_string();
    let histogram = |weight: f64, bucket: f64| {
        let weights = json!({ format!("{bucket:.0}"): FULL_WEIGHT });
        json!({"referenceTimestamp": at(reference), "bucketWeights": weights, "totalWeight": weight})
    };
    json!({
        "apiVersion": "autoscaling.k8s.io/v1", "kind": "VerticalPodAutoscalerCheckpoint",
        "metadata": {"name": format!("{WEB}-{CONTAINER}")},
        "spec": {"vpaObjectName": WEB, "containerName": CONTAINER},
        "status": {
            "version": "v3", "totalSamplesCount": DAYS * 1440 * i64::from(pods), "lastUpdateTime": at(now.as_second()),
            "firstSampleStart": at(now.as_second() - DAYS * 86_400), "lastSampleStart": at(now.as_second()),
            "cpuHistogram": histogram(weight, bucket), "memoryHistogram": histogram(1.0, 0.0),
        },
    })
}

impl Scene {
    /// Creates an object as a person would.
    pub(crate) fn create(&self, object: &Value) {
        self.cluster.kubectl(&["create", "--namespace", &self.namespace, "-f", "-"], Some(&object.to_string()));
    }

    /// The policy that `arbiter import` makes of objects of this scene.
    pub(crate) fn imported(&self, kinds: &str) -> Value {
        let objects = self.cluster.kubectl(&["get", kinds, "--namespace", &self.namespace, "-o", "yaml"], None);
        let mut import = Command::new(env!("CARGO_BIN_EXE_arbiter"));
        import.args(["import", "-"]).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut child = import.spawn().expect("arbiter import");
        let mut input = child.stdin.take().expect("its standard input");
        std::io::Write::write_all(&mut input, objects.as_bytes()).expect("writing to arbiter import");
        drop(input);
        // Exit code 1 is a thing that was not carried over; it says which on standard error.
        let output = child.wait_with_output().expect("arbiter import");
        let text = String::from_utf8(output.stdout).expect("text");
        let policies = serde_saphyr::from_multiple::<Value>(&text).expect("a policy");
        policies.into_iter().find(|p| p["kind"] == "ScalingPolicy").expect("a policy")["spec"].clone()
    }
}

/// The object as text, without the fields that the API server and controllers fill in.
pub(crate) fn as_written(object: &Value) -> String {
    let mut object = object.clone();
    if let Some(all) = object.as_object_mut() {
        all.remove("status");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for field in ["resourceVersion", "generation", "managedFields"] {
            metadata.remove(field);
        }
        // No annotations and an empty map of them are the same object.
        if metadata.get("annotations").and_then(Value::as_object).is_some_and(serde_json::Map::is_empty) {
            metadata.remove("annotations");
        }
    }
    object.to_string()
}
