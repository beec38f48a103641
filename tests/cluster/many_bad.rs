//! Thousands of policies that mean nothing beside a hundred that do: the good ones notice nothing, the bad ones are each
//! told why, once, and nothing grows without bound.
//!
//! `ARBITER_BAD_POLICIES` says how many are bad (400); `ARBITER_RESULTS` names a folder for what was measured.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use kube::api::{Api, DynamicObject, ListParams, PostParams};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    specs::{self, with},
    support::{AuditEvent, EmulatorOptions, Profile, Scene, WEB, Workload, await_some, await_that},
};

/// Bad policies unless the environment says otherwise: what is told them takes two minutes.
const BAD: usize = 400;
const GOOD: usize = 100;
/// Requests of the test under way at once.
const HANDS: usize = 16;
/// Writes per second of a controller, over all kinds, and how many may come at once (`controller::run`).
const WRITES_PER_SECOND: usize = 20;
const WRITE_BURST: usize = 100;
/// Seconds between ticks.
const TICK_SECONDS: usize = 15;
/// Memory of a controller with a hundred good policies, and what one bad policy may add: its object as watched, its
/// condition twice (as it is and as it was written), its metrics. Bytes.
const GOOD_BYTES: u64 = 90 << 20;
const BYTES_OF_A_BAD_ONE: u64 = 16 << 10;
/// Longest message of a condition.
const LONGEST: usize = 4_100;

fn bad() -> usize {
    std::env::var("ARBITER_BAD_POLICIES").map_or(BAD, |text| text.parse().expect("ARBITER_BAD_POLICIES is a number"))
}

/// What the definition's schema lets through and compiling does not, differently for each number.
fn malformed(i: usize) -> Value {
    let query =
        |query: String| json!({"signals": [{"name": "load", "role": "Demand", "prometheus": {"query": query}}]});
    let long = "x".repeat(3_000 + i % 1_000);
    match i % 8 {
        0 => query(format!("sum(rate(requests_{i}[1m])")),
        1 => query(format!("rate(requests_{i}[])")),
        2 => query(format!("requests_{i}[5m]")),
        3 => query(format!("requests{{app=\"\\é{i}\"}}")),
        4 => query(format!("requests{{app=~\"({i}\"}}")),
        5 => query(format!("sum({long}")),
        6 => {
            json!({"schedules": [{"cron": format!("{} 8 * * 1-5", 60 + i % 40), "duration": "10h", "minReplicas": 2}]})
        }
        _ => with(
            query(format!("{{__name__=\"{i}\"")),
            json!({"schedules": [{"cron": "0 25 * * *", "duration": "1h", "minReplicas": 2}]}),
        ),
    }
}

/// What the schema refuses.
fn refused(i: usize) -> Value {
    match i % 4 {
        0 => json!({"mode": format!("Auto{i}")}),
        1 => json!({"replicas": {"min": 5, "max": 2}}),
        2 => json!({"signals": [{"name": "load", "role": "Demand"}]}),
        _ => json!({"signals": [{"name": "load", "role": "Demand", "prometheus": {"query": "x".repeat(5_000)}}]}),
    }
}

fn policy(name: &str, target: &str, spec: &Value) -> DynamicObject {
    let target = json!({"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}, "mode": "Auto"});
    serde_json::from_value(json!({
        "apiVersion": "autoscaling.arbiter.io/v1alpha1", "kind": "ScalingPolicy", "metadata": {"name": name},
        "spec": with(target, spec.clone()),
    }))
    .expect("a policy")
}

/// Creates policies; gives how many the API server refused.
async fn create(api: &Api<DynamicObject>, all: impl Iterator<Item = DynamicObject>) -> usize {
    let send = |object: DynamicObject| async move {
        match api.create(&PostParams::default(), &object).await {
            Ok(_) => 0,
            Err(kube::Error::Api(status)) if status.code == 422 || status.code == 400 => 1,
            Err(error) => panic!("{:?}: {error}", object.metadata.name),
        }
    };
    stream::iter(all.map(send)).buffer_unordered(HANDS).fold(0, |sum, one| async move { sum + one }).await
}

/// The condition `Ready` of an object, as status, reason and message.
fn ready(object: &DynamicObject) -> Option<(String, String, String)> {
    let conditions = object.data["status"]["conditions"].as_array()?;
    let ready = conditions.iter().find(|c| c["type"] == "Ready")?;
    let word = |key: &str| ready[key].as_str().unwrap_or_default().to_owned();
    Some((word("status"), word("reason"), word("message")))
}

/// Policies whose names begin so.
async fn named(api: &Api<DynamicObject>, prefix: &str) -> Vec<DynamicObject> {
    let all = api.list(&ListParams::default().match_any()).await.expect("policies");
    all.items.into_iter().filter(|o| o.metadata.name.as_ref().is_some_and(|n| n.starts_with(prefix))).collect()
}

/// Waits until every bad policy has its condition.
async fn all_told(api: &Api<DynamicObject>, wanted: usize) -> Vec<DynamicObject> {
    // All try at the same tick, and reports leave half of the burst to deeds.
    let patience = 120 + TICK_SECONDS * wanted / (WRITE_BURST / 2);
    let start = Instant::now();
    loop {
        let bad = named(api, "bad-").await;
        let told = bad.iter().filter(|o| ready(o).is_some()).count();
        if told == wanted {
            return bad;
        }
        assert!(start.elapsed().as_secs() < patience as u64, "{told} of {wanted} told within {patience} s");
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
}

/// The most writes in any ten seconds.
fn busiest(events: &[AuditEvent]) -> usize {
    let mut at: Vec<i64> = events.iter().filter(|e| e.writes()).filter_map(|e| Some(e.at?.as_millisecond())).collect();
    at.sort_unstable();
    at.iter()
        .enumerate()
        .map(|(i, first)| at[i..].iter().take_while(|t| **t - first < 10_000).count())
        .max()
        .unwrap_or(0)
}

async fn good_ones(scene: &Scene) {
    let small = Workload { replicas: 1, cpu: "50m", emulated: false, ..Workload::default() };
    let names: Vec<String> = (1..GOOD).map(|i| format!("good-{i}")).collect();
    stream::iter(&names).for_each_concurrent(HANDS, |name| scene.deployment(name, small)).await;
    let promql = format!("sum(app_offered_rate{{namespace=\"{}\"}})", scene.namespace);
    let spec = json!({"signals": [{"name": "load", "role": "Demand", "prometheus": {"query": promql}}], "levers": ["Replicas"],
        "replicas": {"min": 1, "max": 1}});
    let policies = names.iter().map(|name| policy(name, name, &spec));
    assert_eq!(create(&scene.policies(), policies).await, 0, "a good policy was refused");
    scene.policy(WEB, with(specs::replicas_only(scene), json!({"replicas": {"min": 1, "max": 20}}))).await;
}

#[tokio::test]
async fn bad_policies_hold_up_nobody() {
    let bad = bad();
    let scene = Scene::new("many-bad", Profile::Auto).await;
    let emulator = scene.workload(Workload::default(), &EmulatorOptions { rate: 10.0, ..Default::default() }).await;
    scene.usage_known(2).await;
    let api = scene.policies();
    assert_eq!(create(&api, (0..bad).map(|i| policy(&format!("bad-{i}"), &format!("t-{i}"), &malformed(i)))).await, 0);
    let turned_away =
        create(&api, (0..bad / 10).map(|i| policy(&format!("no-{i}"), &format!("n-{i}"), &refused(i)))).await;
    assert_eq!(turned_away, bad / 10, "the schema lets something through");
    good_ones(&scene).await;

    let start = Instant::now();
    let mut arbiter = scene.arbiter("one", &[]).await;
    arbiter.decided(&scene.namespace, WEB).await;
    let decided = |text: &str| text.lines().filter(|l| l.starts_with("arbiter_decision_info{")).count();
    await_some("all good policies decided", 60, || {
        let metrics = arbiter.metrics();
        async move {
            let count = decided(&metrics.await?);
            if count == GOOD { Ok(()) } else { Err(format!("{count} decided")) }
        }
    })
    .await;
    let all_decided = start.elapsed();
    // While thousands are being told why, one grows as ever.
    let ticks = arbiter.ticks().await;
    let (step, under_way) = (Instant::now(), named(&api, "bad-").await.iter().filter(|o| ready(o).is_none()).count());
    emulator.load(json!({"rate": 60.0})).await;
    await_that("growth of the good policy", 60, || scene.replicas(), |n| *n >= 6).await;
    let grown = step.elapsed();
    assert!(under_way > 0, "all were told before the load rose: this shows nothing");
    let told = all_told(&api, bad).await;
    let all_told = start.elapsed();
    let paced = (arbiter.ticks().await - ticks) as f64 / step.elapsed().as_secs_f64() * 15.0;
    assert!(paced >= 0.8, "{paced:.2} of the usual ticks");
    for object in &told {
        let (status, reason, message) = ready(object).expect("told");
        let one_line = !message.contains('\n') && message.chars().count() <= LONGEST;
        assert!(
            status == "False" && reason == "Invalid" && one_line && message.starts_with("spec."),
            "{reason}: {message}"
        );
    }
    let memory = arbiter.resident_bytes();
    let bound = GOOD_BYTES + bad as u64 * BYTES_OF_A_BAD_ONE;
    assert!(memory <= bound, "{memory} bytes resident, more than {bound}");
    quiet_afterwards(&scene, bad).await;
    let numbers = format!(
        "| {bad} | {GOOD} | {:.1} | {:.1} | {:.0} | {} | {} |",
        all_decided.as_secs_f64(),
        grown.as_secs_f64(),
        all_told.as_secs_f64(),
        busiest(&scene.audit()),
        memory >> 20
    );
    report(&numbers);
}

/// Each was told once, at the rate of writes, and then never again.
async fn quiet_afterwards(scene: &Scene, bad: usize) {
    let of_bad = |events: &[AuditEvent]| {
        events.iter().filter(|e| e.resource == "scalingpolicies/status" && e.name.starts_with("bad-")).count()
    };
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = scene.audit();
    assert_eq!(of_bad(&before), bad, "status writes of bad policies");
    let most = busiest(&before);
    assert!(most <= WRITE_BURST + 10 * WRITES_PER_SECOND, "{most} writes within ten seconds");
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(of_bad(&scene.audit()), bad, "a status was written again within a minute");
}

/// Prints what was measured, and puts it into the folder that `ARBITER_RESULTS` names.
#[expect(clippy::print_stdout, reason = "a measurement is its output")]
fn report(numbers: &str) {
    println!("{numbers}");
    if let Some(folder) = std::env::var_os("ARBITER_RESULTS") {
        std::fs::write(std::path::Path::new(&folder).join("many-bad.part"), numbers).expect("writing a result");
    }
}
