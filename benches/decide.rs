//! Time of one decision: a quarter of an hour of ticks, on a workload that has been running for most of a simulated hour.
//!
//! One tick alone would not do: now and then a table of capacities is made anew, and that tick costs several times the
//! others.
use std::hint::black_box;

use arbiter::{
    decide::{Memory, Snapshot, decide},
    policy::Policy,
    simulate::busy_hour,
};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

/// Ticks that are timed together: a quarter of an hour.
const TICKS: usize = 60;

/// The policy, the Memory after three quarters of an hour, and the snapshots that come next.
fn warm(max: u32) -> (Policy, Memory, Vec<Snapshot>) {
    let (policy, mut snapshots) = busy_hour(max).expect("an hour that is made of constants");
    let next = snapshots.split_off(snapshots.len() - TICKS);
    let mut memory = Memory::default();
    for snapshot in &snapshots {
        drop(decide(snapshot, &policy, &mut memory, snapshot.at));
    }
    (policy, memory, next)
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
