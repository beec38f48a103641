//! A busy hour for measuring how long decisions take: what a controller of many replicas gets to see.

use super::{Load, Run, Scenario, SimulateError, TraceOptions, controller};
use crate::{
    decide::Snapshot,
    policy::Policy,
    units::{Cores, Replicas, Seconds},
};

/// A load that swings between a tenth and the whole of its peak within the hour.
const LOAD: &str = "timestamp_s,rps\n0,10\n900,100\n1800,20\n2700,90\n3600,60\n";
/// Work at the peak over the largest count of one-core pods: nearly as much as they carry, so that all counters are in use.
const PEAK_SHARE: f64 = 0.6;

/// The policy and the snapshots of an hour of arbiter with so many replicas at most.
///
/// # Errors
/// None: the load is well formed and the controller is there; what makes them says so in its own words.
pub fn busy_hour(replicas: u32) -> Result<(Policy, Vec<Snapshot>), SimulateError> {
    let load = Load::read("busy-hour", LOAD.as_bytes(), None)?;
    let peak_cores = Cores(f64::from(replicas) * PEAK_SHARE);
    let mut scenario = Scenario::from_trace(load, TraceOptions { peak_cores, ..TraceOptions::default() });
    scenario.duration = Seconds(3600.0);
    scenario.policy.replicas.max = Replicas(replicas);
    let mut run = Run::new(&scenario, controller("arbiter", &scenario)?, 1);
    let snapshots = std::iter::from_fn(|| run.advance()).map(|tick| tick.snapshot).collect();
    Ok((scenario.policy, snapshots))
}
