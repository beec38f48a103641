//! A step in the load is answered, and given back when it is over.

use serde_json::json;

use crate::{
    specs,
    support::{EmulatorOptions, Profile, Scene, Workload, await_some},
};

/// 10 requests per second at 0.05 core-seconds are half a core; 60 are three.
const CALM: f64 = 10.0;
const BUSY: f64 = 60.0;
const BUSY_CORES: f64 = 3.0;
const WORK: f64 = 0.05;

#[tokio::test]
async fn a_load_step_grows_the_workload_and_its_end_shrinks_it() {
    let scene = Scene::new("step", Profile::Auto).await;
    let emulator =
        scene.workload(Workload::default(), &EmulatorOptions { rate: CALM, work: WORK, ..Default::default() }).await;
    scene.usage_known(2).await;
    scene.policy("web", specs::auto(&scene)).await;
    let arbiter = scene.arbiter("one", &[]).await;

    emulator.load(json!({"rate": BUSY})).await;
    await_some("capacity for the step", 90, || async {
        let state = emulator.state().await;
        let cores = state["capacity_cores"].as_f64().unwrap_or_default();
        let served = state["waiting"].as_f64() < Some(1.0);
        if cores > BUSY_CORES && served { Ok(()) } else { Err(format!("{state}; {}", arbiter.last_words())) }
    })
    .await;
    let status = scene.status("web").await;
    assert!(!status["decision"]["message"].as_str().unwrap_or_default().is_empty(), "no sentence: {status}");

    emulator.load(json!({"rate": CALM})).await;
    await_some("capacity given back", 240, || async {
        let state = emulator.state().await;
        let cores = state["capacity_cores"].as_f64().unwrap_or_default();
        if cores < BUSY_CORES / 2.0 { Ok(()) } else { Err(format!("{state}; {}", arbiter.last_words())) }
    })
    .await;
    // At rest it carries the calm load, with room to spare and nobody waiting.
    scene.settled(20).await;
    let state = emulator.state().await;
    let (cores, waiting) = (state["capacity_cores"].as_f64(), state["waiting"].as_f64());
    assert!(
        cores > Some(CALM * WORK) && waiting < Some(1.0),
        "shrunk below the load: {state}; {}",
        arbiter.last_words()
    );
}
