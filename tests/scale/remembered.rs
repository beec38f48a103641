//! What is remembered of each policy after a week, as the objects in which arbiter finds it at a start: with them nothing is
//! left that fills up for days.

use arbiter::{
    controller::{
        checkpoint::{Checkpoints, Of, Shelf},
        resizes::Kept,
    },
    decide::{Decision, Memory, Snapshot, decide},
    observe::clock::{Clock as _, SystemClock},
    policy::{Policy, compile},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{objects, world::World};

const TICK: SignedDuration = SignedDuration::from_secs(15);
const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Workloads whose week is played; the others remember one of them.
const PLAYED: usize = 8;
/// Cores of load in the mean, how far a day goes up and down, and how far a sample is off.
const LOAD: f64 = 3.0;
const SWING: f64 = 0.6;
const NOISE: f64 = 0.1;
const DAY_SECONDS: f64 = 86_400.0;
/// Namespace and name of the lease, which the objects are named after.
const LEASE: &str = "arbiter";

/// The objects, as the API server has them.
pub(crate) fn checkpoints(world: &World) -> Vec<Value> {
    let now = SystemClock.now();
    let weeks: Vec<Memory> = (0..PLAYED).map(|seed| week(&policy(world, 0), seed, now)).collect();
    let all = Checkpoints::Objects(Shelf::new(LEASE.to_owned(), LEASE, LEASE.to_owned()));
    for index in 0..world.policies {
        let Policy { key, target, .. } = policy(world, index);
        let (uid, object) = objects::uids(index);
        let of = Of { uid: &uid, target: &target, object: &object };
        all.write(&key, of, now, (&weeks[index % PLAYED], Kept::default())).expect("a checkpoint");
    }
    let Checkpoints::Objects(shelf) = all else { return Vec::new() };
    let labels = shelf.labels();
    let parcels = shelf.due(tokio::time::Instant::now(), true).into_iter();
    parcels
        .map(|parcel| {
            json!({"apiVersion": "v1", "kind": "ConfigMap", "binaryData": parcel.data,
                "metadata": {"namespace": LEASE, "name": parcel.name, "resourceVersion": "1", "labels": labels}})
        })
        .collect()
}

fn policy(world: &World, index: usize) -> Policy {
    let object = objects::policy(index, &world.workload(index));
    compile(&serde_json::from_value(object).expect("a policy")).expect("a policy without problems")
}

/// What a workload's memory is after a week that ends now, if each decision was carried out at once.
fn week(policy: &Policy, seed: usize, now: Timestamp) -> Memory {
    let mut memory = Memory::new();
    let mut last: Option<Decision> = None;
    let mut at = now - WEEK;
    let mut dice = seed as u64 + 1;
    while at < now {
        let turn = at.as_duration().as_secs_f64() / DAY_SECONDS + seed as f64 / PLAYED as f64;
        let wave = 4.0 * (turn.fract() - 0.5).abs() - 1.0;
        dice = dice.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        let off = (dice >> 33) as f64 / f64::from(1_u32 << 30) - 1.0;
        let load = LOAD * (1.0 + SWING * wave) * (1.0 + NOISE * off);
        last = Some(decide(&observed(at, last.as_ref(), load), policy, &mut memory, at));
        at += TICK;
    }
    memory
}

fn observed(at: Timestamp, before: Option<&Decision>, load: f64) -> Snapshot {
    let replicas = before.map_or(10, |decision| decision.replicas.0);
    let decided = before.and_then(|decision| decision.containers.first()?.requests.cpu_cores);
    let cores = decided.map_or(0.5, arbiter::units::Cores::get);
    let pod = (load / f64::from(replicas)).min(cores);
    let memory = 200_000_000;
    serde_json::from_value(json!({
        "at": at, "usageAgeSeconds": 9, "windowSeconds": 60, "signals": {},
        "replicas": {"spec": replicas, "ready": replicas, "youngestReadyAgeSeconds": 600, "templateHash": "5d9c7b4f6"},
        "containers": [{
            "name": "app", "request": {"cpuCores": 0.5, "memoryBytes": 268_435_456}, "reportingPods": replicas,
            "cpuCores": pod * f64::from(replicas), "maxPodCpuCores": pod,
            "memoryMaxPodBytes": memory, "memoryMeanPodBytes": memory,
            "sizes": [{"cpuCores": cores, "memoryBytes": 268_435_456, "pods": replicas, "ready": replicas}],
        }],
    }))
    .expect("a snapshot")
}
