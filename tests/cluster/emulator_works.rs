//! The emulator behaves as pods would, through real parts: what the other tests rest on.

use serde_json::json;

use crate::support::{EmulatorOptions, Profile, Scene, Workload, await_some};

#[tokio::test]
async fn usage_and_requests_reach_prometheus_and_vanish_with_their_exporter() {
    let mut scene = Scene::new("emulator", Profile::Observe).await;
    let options = EmulatorOptions { rate: 10.0, work: 0.05, exporters: 2, ..EmulatorOptions::default() };
    let emulator = scene.workload(Workload::default(), &options).await;
    let namespace = scene.namespace.clone();
    let sum = |metric: &str| format!("sum(rate({metric}{{namespace=\"{namespace}\"}}[20s]))");
    let near = |wanted: f64, expression: String| {
        let prometheus = &scene.prometheus;
        async move {
            await_some(&format!("{expression} near {wanted}"), 60, || async {
                let answer = prometheus.query(&expression).await?;
                let value: f64 = answer[0]["value"][1].as_str().and_then(|v| v.parse().ok()).ok_or("nothing")?;
                if (value - wanted).abs() < wanted * 0.1 { Ok(()) } else { Err(value.to_string()) }
            })
            .await;
        }
    };
    // 10 items per second at 0.05 core-seconds, and a little for nothing.
    near(0.51, sum("container_cpu_usage_seconds_total")).await;
    near(10.0, sum("http_requests_total")).await;
    // More than the two half cores carry: usage stops at capacity, and pods are throttled.
    emulator.load(json!({"rate": 40.0})).await;
    near(1.0, sum("container_cpu_usage_seconds_total")).await;
    near(40.0, sum("http_requests_total")).await;
    emulator.stop_exporter(0).await;
    near(20.0, sum("http_requests_total")).await;
    emulator.start_exporter(0).await;
    near(40.0, sum("http_requests_total")).await;
    scene.prometheus.stop();
    assert!(scene.prometheus.query("up").await.is_err(), "a stopped server answers nothing");
    scene.prometheus.resume().await;
}
