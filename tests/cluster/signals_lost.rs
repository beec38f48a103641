//! What is not known never shrinks a workload: the server gone, the exporter gone, a third of the exporters gone.
//!
//! Each test has a hold that would shrink within seconds, and a query (`sum(rate(…))`) that falls while its series vanish:
//! a controller that believed it would shrink.

use serde_json::json;

use crate::{
    specs::{self, with},
    support::{Arbiter, Emulator, EmulatorOptions, Profile, Scene, WEB, Workload, await_that, holds_for},
};

/// The load needs the six half cores that run: 40 requests of 0.05 core-seconds are two cores.
const RATE: f64 = 40.0;
const PODS: u32 = 6;

struct Running {
    scene: Scene,
    emulator: Emulator,
    _arbiter: Arbiter,
    replicas: u32,
    cpus: Vec<String>,
}

/// A workload under control, at rest, with fresh signals.
async fn running(name: &str, exporters: usize) -> Running {
    let scene = Scene::new(name, Profile::Auto).await;
    let workload = Workload { replicas: PODS, ..Workload::default() };
    let options = EmulatorOptions { rate: RATE, exporters, ..EmulatorOptions::default() };
    let emulator = scene.workload(workload, &options).await;
    scene.usage_known(PODS).await;
    let spec = with(specs::auto(&scene), json!({"behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}}}));
    scene.policy(WEB, spec).await;
    let mut arbiter = scene.arbiter("one", &[]).await;
    arbiter.decided(&scene.namespace, WEB).await;
    await_that("fresh signals", 60, || scene.condition(WEB, "SignalsFresh"), |c| c.starts_with("True")).await;
    let (replicas, cpus) = scene.settled(20).await;
    Running { scene, emulator, _arbiter: arbiter, replicas, cpus }
}

impl Running {
    /// Nothing shrinks for so many seconds, and somewhere in that time `SignalsFresh` says that it is not, and why.
    async fn nothing_shrinks(&self, seconds: u64, word: &str) {
        let history = self.scene.history().await;
        let condition = await_that(
            "SignalsFresh False",
            seconds,
            || self.scene.condition(WEB, "SignalsFresh"),
            |c| c.starts_with("False"),
        );
        let sizes = holds_for("pod sizes", seconds, || self.scene.total_cpu(), |cores| *cores >= self.total() - 1e-9);
        let (condition, ()) = tokio::join!(condition, sizes);
        assert!(condition.contains(word), "the condition does not name {word}: {condition}");
        assert!(!history.fell(), "replicas fell: {:?}", history.counts());
    }

    fn total(&self) -> f64 {
        self.cpus.iter().map(|c| crate::support::cores(c)).sum()
    }

    /// Signals become fresh, and coming back moves nothing that the same load did not need before.
    async fn recovers(&self) {
        let fresh = |c: &String| c.starts_with("True");
        await_that("fresh signals again", 90, || self.scene.condition(WEB, "SignalsFresh"), fresh).await;
        holds_for("capacity after the return", 30, || self.scene.total_cpu(), |cores| *cores >= self.total() * 0.75)
            .await;
        let replicas = self.scene.replicas().await;
        assert!(replicas <= self.replicas * 2, "grew from {} to {replicas} for nothing", self.replicas);
        let state = self.emulator.state().await;
        assert!(state["waiting"].as_f64() < Some(1.0), "the load is not served: {state}");
    }
}

#[tokio::test]
async fn prometheus_stopped_for_two_minutes() {
    let mut running = running("prometheus-gone", 1).await;
    running.scene.prometheus.stop();
    running.nothing_shrinks(120, "requests").await;
    running.scene.prometheus.resume().await;
    running.recovers().await;
}

#[tokio::test]
async fn the_only_exporter_killed() {
    let running = running("exporter-gone", 1).await;
    running.emulator.stop_exporter(0).await;
    running.nothing_shrinks(120, "requests").await;
    running.emulator.start_exporter(0).await;
    running.recovers().await;
}

#[tokio::test]
async fn one_of_three_exporters_killed() {
    let running = running("exporter-third", 3).await;
    running.emulator.stop_exporter(1).await;
    running.nothing_shrinks(120, "requests").await;
    running.emulator.start_exporter(1).await;
    running.recovers().await;
}
