//! An hour of noisy steady load through the real decision and the real judgement on what is worth a status write, on a clock
//! of the test's own: at most 15 writes. The end-to-end test sees the same on a live API server, for minutes.

use arbiter::{
    api::ScalingPolicyStatus,
    controller::status::{self, Decided, Ownership, Pace, View},
    decide::{Decision, Memory, Snapshot, decide},
    policy::{Policy, compile},
    units::Cores,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

const TICK: SignedDuration = SignedDuration::from_secs(15);
/// An hour to settle in, and the hour that counts.
const TICKS: u32 = 480;
const BUDGET: usize = 15;
/// Mean demand in cores, and the share that a sample may be off.
const DEMAND: f64 = 3.0;
const NOISE: f64 = 0.2;

fn policy() -> Policy {
    let object = json!({
        "apiVersion": "autoscaling.arbiter.io/v1alpha1",
        "kind": "ScalingPolicy",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "mode": "Auto",
            "replicas": {"min": 1, "max": 30},
            "signals": [{"name": "requests", "role": "Demand", "prometheus": {"query": "sum(rate(http_requests_total[1m]))"}}],
        },
    });
    compile(&serde_json::from_value(object).expect("a policy")).expect("a policy without problems")
}

/// The world does what was decided at once, and shows a noisy sample.
fn observed(at: Timestamp, before: Option<&Decision>, demand: f64) -> Snapshot {
    let replicas = before.map_or(6, |d| d.replicas.0);
    let wanted = before.and_then(|d| d.containers.first()).and_then(|c| c.requests.cpu_cores);
    let cores = wanted.map_or(1.0, Cores::get);
    let pod = demand / f64::from(replicas);
    serde_json::from_value(json!({
        "at": at,
        "replicas": {"spec": replicas, "ready": replicas, "youngestReadyAgeSeconds": 600, "templateHash": "7d9c"},
        "usageAgeSeconds": 10,
        "windowSeconds": 60,
        "containers": [{
            "name": "app",
            "request": {"cpuCores": 1.0, "memoryBytes": 268_435_456},
            "reportingPods": replicas,
            "cpuCores": demand,
            "maxPodCpuCores": (pod * 1.1).min(cores),
            "memoryMaxPodBytes": 134_217_728,
            "memoryMeanPodBytes": 134_217_728,
            "sizes": [{"cpuCores": cores, "memoryBytes": 268_435_456, "pods": replicas, "ready": replicas}],
        }],
        "signals": {"requests": {"value": demand * 20.0, "ageSeconds": 10, "state": "Fresh"}},
    }))
    .expect("a snapshot")
}

/// Uniform in -1..1 from a seed and a counter (`SplitMix64`).
fn noise(seed: u64, tick: u32) -> f64 {
    let mut z = (seed * 1_000_003 + u64::from(tick)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

/// Writes in the second hour.
fn writes(seed: u64) -> usize {
    let policy = policy();
    let mut memory = Memory::default();
    let (mut pace, mut written, mut current) =
        (Pace::new("web"), ScalingPolicyStatus::default(), ScalingPolicyStatus::default());
    let mut last: Option<Decision> = None;
    let mut count = 0;
    for tick in 0..TICKS {
        let now = Timestamp::UNIX_EPOCH + TICK * i32::try_from(tick).expect("a few hundred");
        let snapshot = observed(now, last.as_ref(), DEMAND * (1.0 + NOISE * noise(seed, tick)));
        let decision = decide(&snapshot, &policy, &mut memory, now);
        let view = Decided {
            policy: &policy,
            snapshot: &snapshot,
            decision: &decision,
            ownership: Ownership::ALONE,
            bound: None,
            resizes: None,
            remark: None,
        };
        current = status::next(&current, View::Decided(view), Some(1), now);
        let change = status::change(&written, &current);
        if pace.due(change, now) {
            pace.wrote(change, now);
            written.clone_from(&current);
            count += usize::from(tick >= TICKS / 2);
        }
        last = Some(decision);
    }
    count
}

#[test]
fn an_hour_of_noise_costs_at_most_fifteen_writes() {
    for seed in 1..=5 {
        let count = writes(seed);
        assert!((1..=BUDGET).contains(&count), "seed {seed}: {count} status writes in an hour");
    }
}
