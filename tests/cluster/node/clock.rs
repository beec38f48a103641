//! The clock of arbiter's node is ten minutes off, either way: it reads, decides, leads and remembers as ever. Ages come from
//! Prometheus' clock, leases run out by the own one, and what was remembered by a clock that was ahead is from the future.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::{OFTEN, stage::Stage};
use crate::{
    specs::with,
    support::{Arbiter, CONTAINER, WEB, await_some, await_that},
};

/// Requests per second that one pod carries, that some do, and that need more.
const CALM: f64 = 3.0;
const MORE: f64 = 12.0;
const MOST: f64 = 25.0;
/// Duration of the lease, what a successor may take beyond it, and how often is looked.
const TAKEN_OVER: Duration = Duration::from_secs(15 + 2 + 1);

/// An instance whose wall clock is off.
async fn clocked(stage: &Stage, identity: &str, off: &str) -> Arbiter {
    let folders = std::fs::read_dir("/usr/lib").expect("/usr/lib").filter_map(Result::ok);
    let mut libraries = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    let library = libraries.find(|path| path.exists()).expect("Debian's libfaketime, which node-packages installs");
    let environment =
        [("LD_PRELOAD", library.to_str().expect("a path")), ("FAKETIME", off), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
    let mut arbiter = stage.scene.arbiter_in(&environment, identity, &[OFTEN, "--state-objects"]);
    arbiter.ready().await;
    arbiter
}

async fn leads(arbiter: &Arbiter, seconds: u64) {
    await_some("the lease", seconds, async || match arbiter.leads().await {
        Ok(true) => Ok(()),
        other => Err(format!("{other:?}; {}", arbiter.last_words())),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_ten_minutes_off_changes_nothing() {
    let stage =
        Stage::new("clock", &json!({"cpu": "150m", "memory": "32Mi"}), &json!({"cpu": "300m", "memory": "64Mi"})).await;
    let bounds = json!([{"name": CONTAINER, "cpu": {"min": "150m", "max": "300m"}}]);
    let policy = with(
        stage.sizes(&["Replicas", "Cpu"], &bounds),
        json!({"replicas": {"min": 1, "max": 6}, "behavior": {"scaleDown": {"stabilizationWindowSeconds": 30}}}),
    );
    stage.scene.policy(WEB, policy).await;
    stage.load.rate(CALM);

    let mut behind = clocked(&stage, "behind", "-10m").await;
    behind.decided(&stage.scene.namespace, WEB).await;
    let says = |condition: &'static str| stage.scene.condition(WEB, condition);
    await_that("fresh signals", 60, || says("SignalsFresh"), |c| c.starts_with("True")).await;
    assert_eq!(stage.scene.replicas().await, 1, "{}", behind.last_words());
    stage.load.rate(MORE);
    await_that("growth", 90, || stage.scene.replicas(), |n| *n > 1).await;

    // Its lease says ten minutes ago, and the successor's clock says in ten minutes.
    let mut ahead = clocked(&stage, "ahead", "+10m").await;
    assert_eq!(ahead.leads().await, Ok(false), "a lease that is renewed is left alone, whatever time it tells");
    let (count, history) = (stage.scene.replicas().await, stage.scene.history().await);
    behind.kill();
    let killed = Instant::now();
    leads(&ahead, TAKEN_OVER.as_secs()).await;
    super::report(&format!(
        "killed with a clock 10 min behind, led by one 10 min ahead after {:.1} s",
        killed.elapsed().as_secs_f64()
    ));
    let fresh = |c: &String| c.starts_with("True");
    // Partial while the exporters of the new pods are new.
    await_that("fresh signals", 60, || says("SignalsFresh"), fresh).await;

    // What it remembers is from the future for the next one. Nothing is kept before the past has been asked for.
    let recalled = ["Has learned from its history", "Its history is too short", "Its history cannot be read"];
    await_some("the past called back", 60, async || {
        let log = ahead.log();
        recalled.iter().any(|words| log.contains(words)).then_some(()).ok_or_else(|| ahead.last_words())
    })
    .await;
    let (_, well) = ahead.terminate().await;
    assert!(well, "{}", ahead.last_words());
    let mut behind = clocked(&stage, "behind-again", "-10m").await;
    leads(&behind, 30).await;
    behind.decided(&stage.scene.namespace, WEB).await;
    assert!(behind.log().contains("Goes on from what was remembered"), "{}", behind.last_words());
    stage.load.rate(MOST);
    let grown = await_that("more growth", 90, || stage.scene.replicas(), |n| *n > count).await;
    assert!(!history.fell(), "nothing was taken away under load: {:?}", history.counts());
    await_that("fresh signals", 60, || says("SignalsFresh"), fresh).await;
    super::report(&format!("clocks 10 min off: {count} pods, then {grown}; counts {:?}", history.counts()));
}
