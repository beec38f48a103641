//! How fast the answer is: measured, printed, and held against its bound.
//!
//! `make measure` runs these alone (a machine that does other things measures itself) and writes
//! `simulations/results/live-latency.md`; without `ARBITER_RESULTS` nothing is written.

use std::{fmt::Write as _, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    specs::{self, with},
    support::{EmulatorOptions, Profile, Queue, Scene, WEB, Workload, await_some, await_that},
};

const TRIALS: usize = 20;
/// Messages of a burst, and the replicas that they are worth before anything is known about a message (ten each).
const BURST: usize = 100;
const WORTH: u32 = 10;
/// Bound on the 95th percentile, seconds: the source is polled every 1 to 2 s.
const BURST_BOUND: f64 = 3.0;
/// Scrape interval of the tests' Prometheus, and the bound beyond it, seconds.
const SCRAPE: f64 = 5.0;
const STEP_BOUND: f64 = SCRAPE + 2.0;
/// How long a step lasts: two windows of usage.
const LASTS: Duration = Duration::from_secs(40);
/// Replicas that carry the calm load with room to spare, so that it stays calm between trials.
const LEAST: u32 = 2;
/// Most memory of an idle controller, bytes.
const IDLE_BYTES: u64 = 60 << 20;

/// Sorted seconds with their summary.
struct Sample(Vec<f64>);

impl Sample {
    fn new(mut seconds: Vec<f64>) -> Self {
        seconds.sort_by(f64::total_cmp);
        Self(seconds)
    }

    /// Nearest rank.
    fn percentile(&self, percent: usize) -> f64 {
        self.0[(self.0.len() * percent).div_ceil(100).max(1) - 1]
    }

    fn row(&self, what: &str, bound: f64) -> String {
        let (least, most) = (self.0[0], self.0[self.0.len() - 1]);
        let (p50, p95) = (self.percentile(50), self.percentile(95));
        format!("| {what} | {} | {least:.2} | {p50:.2} | {p95:.2} | {most:.2} | {bound:.0} |", self.0.len())
    }
}

/// A phase against the controller's polls that differs from trial to trial and covers two seconds evenly.
async fn next_phase(trial: usize) {
    let step = Duration::from_millis(2_000 / TRIALS as u64);
    tokio::time::sleep(Duration::from_secs(2) + step * u32::try_from(trial * 7 % TRIALS).unwrap_or(0)).await;
}

/// One workload, queue and policy per trial, so that each burst is the first of its kind.
async fn burst(scene: &Scene, trial: usize) -> (String, Queue) {
    let name = format!("burst-{trial}");
    let queue = Queue::create(scene, &name).await;
    scene.deployment(&name, Workload { replicas: 1, cpu: "50m", ..Workload::default() }).await;
    let source = json!({
        "monitoringUrls": [queue.monitoring_url()], "account": "$G", "stream": queue.stream(), "consumer": queue.consumer(),
    });
    let spec = json!({
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "mode": "Auto",
        "levers": ["Replicas"],
        "replicas": {"min": 1, "max": 40},
        "objective": {"backlog": {"signal": "queue", "drainWithin": "60s"}},
        "signals": [{"name": "queue", "role": "Backlog", "natsJetStream": source}],
    });
    scene.policy(&name, spec).await;
    (name, queue)
}

#[tokio::test]
async fn a_queue_burst_is_answered_within_three_seconds() {
    let scene = Scene::new("measure-burst", Profile::Auto).await;
    let _emulator = scene.workload(Workload { replicas: 1, ..Workload::default() }, &EmulatorOptions::default()).await;
    let mut bursts = Vec::new();
    for trial in 0..TRIALS {
        bursts.push(burst(&scene, trial).await);
    }
    let mut arbiter = scene.arbiter("one", &[]).await;
    for (name, _) in &bursts {
        arbiter.decided(&scene.namespace, name).await;
    }
    let mut seconds = Vec::new();
    for (trial, (name, queue)) in bursts.iter().enumerate() {
        next_phase(trial).await;
        let history = scene.history_of(name).await;
        let start = Instant::now();
        queue.publish(BURST).await;
        let answer = await_some("the answer to a burst", 30, || async {
            history.changes().get(1).copied().ok_or_else(|| arbiter.last_words())
        })
        .await;
        assert!(answer.1 >= WORTH, "trial {trial}: the first write asks for {} replicas", answer.1);
        seconds.push((answer.0 - start).as_secs_f64());
    }
    let sample = Sample::new(seconds);
    report(
        "burst",
        &sample.row("queue burst worth 10 replicas → one write of `/scale`, direct NATS source", BURST_BOUND),
    );
    assert!(sample.percentile(95) <= BURST_BOUND, "p95 is {:.2} s", sample.percentile(95));
}

/// A policy on a gauge, which shows a step in one scrape; it shrinks quickly so that the next trial can begin.
fn on_gauge(scene: &Scene) -> Value {
    let query = format!("sum(app_offered_rate{{namespace=\"{}\",app=\"{WEB}\"}})", scene.namespace);
    with(
        specs::replicas_only(scene),
        json!({
            "signals": [{"name": "offered", "role": "Demand", "prometheus": {"query": query}}],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}},
            "replicas": {"min": LEAST, "max": 30},
        }),
    )
}

/// Some of the trials, in a scene of their own.
async fn steps(name: &str, trials: std::ops::Range<usize>) -> Vec<f64> {
    let scene = Scene::new(name, Profile::Auto).await;
    let options = EmulatorOptions { rate: 10.0, ..EmulatorOptions::default() };
    let emulator = scene.workload(Workload::default(), &options).await;
    scene.usage_known(2).await;
    scene.policy(WEB, on_gauge(&scene)).await;
    let mut arbiter = scene.arbiter("one", &[]).await;
    arbiter.decided(&scene.namespace, WEB).await;
    let mut seconds = Vec::new();
    for trial in trials {
        let (calm, _) = scene.settled(10).await;
        next_phase(trial).await;
        let history = scene.history().await;
        let start = Instant::now();
        emulator.load(json!({"rate": 60.0})).await;
        let answer = await_some("the answer to a step", 60, || async {
            history.changes().get(1).copied().ok_or_else(|| arbiter.last_words())
        })
        .await;
        assert!(answer.1 > calm, "trial {trial}: {calm} → {}", answer.1);
        seconds.push((answer.0 - start).as_secs_f64());
        // Until usage shows it too: a rate that comes and goes before would teach that requests cost nothing.
        tokio::time::sleep(LASTS).await;
        emulator.load(json!({"rate": 10.0})).await;
        await_that("back to calm", 120, || scene.replicas(), |n| *n <= LEAST).await;
    }
    seconds
}

#[tokio::test]
async fn a_metric_step_is_answered_within_a_scrape_and_two_seconds() {
    // Each trial waits for calm most of the time, so four scenes at once disturb each other little.
    let (a, b, c, d) = tokio::join!(
        steps("measure-step-a", 0..5),
        steps("measure-step-b", 5..10),
        steps("measure-step-c", 10..15),
        steps("measure-step-d", 15..TRIALS)
    );
    let sample = Sample::new([a, b, c, d].concat());
    report("step", &sample.row("metric step → write of `/scale`, through Prometheus with a 5 s scrape", STEP_BOUND));
    assert!(sample.percentile(95) <= STEP_BOUND, "p95 is {:.2} s", sample.percentile(95));
}

#[tokio::test]
async fn an_idle_controller_is_small() {
    let scene = Scene::new("measure-idle", Profile::Auto).await;
    let _emulator = scene.workload(Workload::default(), &EmulatorOptions { rate: 10.0, ..Default::default() }).await;
    scene.usage_known(2).await;
    scene.policy(WEB, specs::auto(&scene)).await;
    let mut arbiter = scene.arbiter("one", &[]).await;
    arbiter.decided(&scene.namespace, WEB).await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    let bytes = arbiter.resident_bytes();
    report(
        "idle",
        &format!(
            "\nMemory of an idle controller with one policy after a minute: {} MiB resident (bound: 60).",
            bytes >> 20
        ),
    );
    assert!(bytes <= IDLE_BYTES, "{bytes} bytes resident");
}

/// Prints a result, and puts it into the folder that `ARBITER_RESULTS` names; `make measure` joins the parts.
#[expect(clippy::print_stdout, reason = "a measurement is its output")]
fn report(name: &str, text: &str) {
    let mut line = String::new();
    writeln!(line, "{text}").expect("writing to a string cannot fail");
    println!("{line}");
    if let Some(folder) = std::env::var_os("ARBITER_RESULTS") {
        let file = std::path::Path::new(&folder).join(format!("{name}.part"));
        std::fs::write(file, line).expect("writing a result");
    }
}
