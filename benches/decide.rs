//! Time of one decision: a quarter of an hour of ticks, on a workload that has been running for most of a simulated hour.
//!
//! One tick alone would not do: now and then a table of capacities is made anew, and that tick costs several times the
//! others.
use std::hint::black_box;

use arbiter::{
    decide::{Memory, Snapshot, decide},
    policy::Policy,
    simulate::{Load, Run, Scenario, TraceOptions, controller},
    units::{Cores, Replicas, Seconds},
};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

/// A day that swings between a tenth and the whole of its peak within the hour that is played.
const LOAD: &str = "timestamp_s,rps\n0,10\n900,100\n1800,20\n2700,90\n3600,60\n";

/// Ticks that are timed together: a quarter of an hour.
const TICKS: usize = 60;

/// The policy, the Memory after three quarters of an hour, and the snapshots that come next.
fn warm(max: u32) -> (Policy, Memory, Vec<Snapshot>) {
    let load = Load::read("bench.csv", LOAD.as_bytes(), None).expect("the load above is well formed");
    // As much work as the largest count of one-core pods can carry, so that all counters are in use.
    let peak_cores = Cores(f64::from(max) * 0.6);
    let mut scenario = Scenario::from_trace(load, TraceOptions { peak_cores, ..TraceOptions::default() });
    scenario.duration = Seconds(3600.0);
    scenario.policy.replicas.max = Replicas(max);
    let actor = controller("arbiter", &scenario).expect("arbiter is a controller");
    let mut run = Run::new(&scenario, actor, 1);
    let mut snapshots: Vec<Snapshot> = std::iter::from_fn(|| run.advance()).map(|tick| tick.snapshot).collect();
    let next = snapshots.split_off(snapshots.len() - TICKS);
    let mut memory = Memory::default();
    for snapshot in &snapshots {
        drop(decide(snapshot, &scenario.policy, &mut memory, snapshot.at));
    }
    (scenario.policy, memory, next)
}

fn decisions(criterion: &mut Criterion) {
    for max in [64, 256] {
        let (policy, memory, snapshots) = warm(max);
        let mut group = criterion.benchmark_group("decide");
        group.throughput(Throughput::Elements(TICKS as u64));
        group.bench_function(format!("{TICKS} ticks, n_max={max}"), |bencher| {
            bencher.iter_batched_ref(
                || memory.clone(),
                |memory| {
                    for snapshot in &snapshots {
                        black_box(decide(snapshot, &policy, memory, snapshot.at));
                    }
                },
                BatchSize::SmallInput,
            );
        });
        group.finish();
    }
}

criterion_group!(benches, decisions);
criterion_main!(benches);
