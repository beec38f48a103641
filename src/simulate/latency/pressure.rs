//! What the kernel tells of a container's shortage of CPU: pressure, and throttled periods.
//!
//! Pressure ("some", PSI) is the share of time in which something in the container could run and does not. A pod is a
//! processor-sharing server, and how many requests are inside one does not depend on how their work is spread: it is
//! that of Erlang's formula. Throttling is what a quota does within its period of 100 ms: a container may use more
//! cores than its limit until the period's share is used up, and stands still for the rest.

use super::WORK_VARIATION;
use crate::units::maths;

/// The period of a CPU quota (CFS bandwidth control; Kubernetes' default).
const PERIOD_SECONDS: f64 = 0.1;

/// Probability that all of a whole number of servers are busy (Erlang C).
pub(super) fn erlang_c(servers: f64, utilization: f64) -> f64 {
    let offered = servers * utilization;
    let (mut blocking, mut server) = (1.0, 1.0);
    while server <= servers {
        blocking = offered * blocking / (server + offered * blocking);
        server += 1.0;
    }
    blocking / (1.0 - utilization * (1.0 - blocking))
}

/// Share of time in which something waits for CPU, in a container that can use so many cores and uses this part of them.
pub(in crate::simulate) fn pressure(cores: f64, utilization: f64) -> f64 {
    let utilization = utilization.clamp(0.0, 1.0);
    if cores < 1.0 {
        // One request alone is slowed down too: it stands still for the part of the core that is not granted.
        return utilization * (utilization + (1.0 - utilization) * (1.0 - cores));
    }
    // More inside than cores: one more than all busy, which has the utilization as its odds.
    let whole = |servers: f64| utilization * erlang_c(servers, utilization);
    let below = cores.floor();
    let part = cores - below;
    if part == 0.0 { whole(below) } else { whole(below) * (1.0 - part) + whole(below + 1.0) * part }
}

/// Share of periods in which a quota of so many cores stops a container that uses this many on average, in requests
/// that cost `work` seconds: the tail of what arrives in a period, as a normal distribution has it.
pub(in crate::simulate) fn throttled(limit: f64, used: f64, work: f64) -> f64 {
    let deviation = ((1.0 + WORK_VARIATION) * work * used * PERIOD_SECONDS).sqrt();
    if deviation <= 0.0 {
        return 0.0;
    }
    0.5 * maths::erfc((limit - used) * PERIOD_SECONDS / (deviation * std::f64::consts::SQRT_2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_is_the_chance_that_more_is_inside_than_there_are_cores() {
        // One core, utilization u: geometric, so two or more with probability u².
        assert!((pressure(1.0, 0.7) - 0.49).abs() < 1e-12);
        // Two cores at 0.7: Erlang C is 0.5765.
        assert!((pressure(2.0, 0.7) - 0.7 * 0.5765).abs() < 1e-4);
        assert_eq!((pressure(4.0, 0.0), pressure(0.5, 0.0)), (0.0, 0.0));
        assert!((pressure(3.0, 1.0) - 1.0).abs() < 1e-9 && (pressure(0.3, 1.0) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn more_cores_at_the_same_utilization_wait_less_and_nothing_jumps() {
        let mut before = 1.0;
        for eighth in 1..=128 {
            let now = pressure(f64::from(eighth) / 8.0, 0.7);
            assert!(now < before && before - now < 0.35, "{eighth}: {before} {now}");
            before = now;
        }
    }

    #[test]
    fn quotas_throttle_bursts_long_before_the_mean_reaches_them() {
        // A quarter of all periods at 70 % of one core in requests of 10 ms, nearly none at half of it on four.
        assert!((throttled(1.0, 0.7, 0.010) - 0.256).abs() < 0.01, "{}", throttled(1.0, 0.7, 0.010));
        assert!(throttled(4.0, 2.0, 0.010) < 0.01);
        assert_eq!(throttled(1.0, 0.0, 0.010), 0.0);
        assert!((throttled(1.0, 1.0, 0.010) - 0.5).abs() < 1e-9);
    }
}
