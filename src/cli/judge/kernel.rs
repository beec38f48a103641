//! How long one decision takes, and what is kept between two: measured alone, on one thread.

use super::super::{Failure, progress::Stopwatch};
use crate::{
    decide::{Memory, decide},
    simulate::busy_hour,
};

/// The largest count: as many counters as it has are in use.
const REPLICAS: u32 = 256;
/// Rounds over the same hour: enough for a steady percentile, few enough to take no second.
const ROUNDS: usize = 40;
/// Ticks until the model knows its workload: a quarter of an hour.
const WARM: usize = 60;

/// What was measured.
pub(super) struct Kernel {
    pub(super) p50_ns: u64,
    pub(super) p99_ns: u64,
    pub(super) state_bytes: usize,
}

/// Measures.
pub(super) fn measure() -> Result<Kernel, Failure> {
    let (policy, snapshots) = busy_hour(REPLICAS).map_err(|error| Failure::Input(error.to_string()))?;
    let mut nanoseconds = Vec::with_capacity(ROUNDS * snapshots.len());
    let mut state_bytes = 0;
    for round in 0..ROUNDS {
        let mut memory = Memory::default();
        for (tick, snapshot) in snapshots.iter().enumerate() {
            let watch = Stopwatch::start();
            let decision = std::hint::black_box(decide(snapshot, &policy, &mut memory, snapshot.at));
            let taken = watch.elapsed();
            drop(decision);
            if tick >= WARM {
                nanoseconds.push(u64::try_from(taken.as_nanos()).unwrap_or(u64::MAX));
            }
            if round == 0 {
                let bytes = serde_json::to_vec(&memory)
                    .map_err(|error| Failure::Environment(format!("the state cannot be written: {error}")))?;
                state_bytes = state_bytes.max(bytes.len());
            }
        }
    }
    nanoseconds.sort_unstable();
    let percentile = |percent: usize| nanoseconds.get(nanoseconds.len() * percent / 100).copied().unwrap_or_default();
    Ok(Kernel { p50_ns: percentile(50), p99_ns: percentile(99), state_bytes })
}
