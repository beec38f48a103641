//! Latency of a pod: the share of requests that take longer than the objective, by capacity and utilization.
//!
//! A pod is a processor-sharing server: everything in it shares the CPU, and one request never uses more than one core.
//! The mean slowdown of such a server depends on the service time's mean alone (processor sharing is insensitive), so
//! Erlang's delay probability gives it exactly; around that mean, slowdown and service time are taken as lognormal, which
//! makes the response time lognormal too. Compared with a discrete-event simulation in the tests.
//!
//! Must not share anything with the decision model: a controller is judged by a world that is not its own.

use crate::units::maths;

/// Squared coefficient of variation of the work of a request. 2: more spread than exponential, as web services have it
/// (a mix of cheap and dear requests).
pub(super) const WORK_VARIATION: f64 = 2.0;

/// Capacities are tabulated from 1/16 to 16 cores, three per octave.
const CAPACITIES: usize = 25;
const CAPACITY_LOG2_MIN: f64 = -4.0;
const CAPACITY_PER_OCTAVE: f64 = 3.0;
/// Utilizations are tabulated from 0 to the last one at which a queue has a meaningful steady state within seconds.
const UTILIZATIONS: usize = 64;
const UTILIZATION_MAX: f64 = 0.995;

/// Probability that a request finds all cores busy: Erlang's C, linear between whole numbers of cores.
fn delay_probability(cores: f64, utilization: f64) -> f64 {
    if cores <= 1.0 {
        return utilization;
    }
    let below = cores.floor();
    let share = cores - below;
    erlang_c(below, utilization) * (1.0 - share) + erlang_c(below + 1.0, utilization) * share
}

/// Erlang's C for a whole number of servers.
fn erlang_c(servers: f64, utilization: f64) -> f64 {
    let offered = servers * utilization;
    let mut blocking = 1.0;
    let mut server = 1.0;
    while server <= servers {
        blocking = offered * blocking / (server + offered * blocking);
        server += 1.0;
    }
    blocking / (1.0 - utilization * (1.0 - blocking))
}

/// Mean slowdown against an idle core, and the variance of its logarithm.
fn slowdown(cores: f64, utilization: f64) -> (f64, f64) {
    let delay = delay_probability(cores, utilization);
    let mean =
        if cores <= 1.0 { 1.0 / (cores * (1.0 - utilization)) } else { 1.0 + delay / (cores * (1.0 - utilization)) };
    (mean, delay * utilization)
}

/// Variance of the logarithm of the response time.
fn spread(cores: f64, utilization: f64) -> f64 {
    maths::ln(1.0 + WORK_VARIATION) + slowdown(cores, utilization).1
}

/// Share of requests slower than `ratio` times the mean work of a request, in a pod of so many cores.
fn share_over(ratio: f64, cores: f64, utilization: f64) -> f64 {
    let variance = spread(cores, utilization);
    let distance = maths::ln(ratio / slowdown(cores, utilization).0) + variance / 2.0;
    tail(distance / variance.sqrt())
}

/// Upper tail of the standard normal.
fn tail(z: f64) -> f64 {
    0.5 * maths::erfc(z / std::f64::consts::SQRT_2)
}

/// The `z` whose upper tail is `share`, by bisection: exact enough and without constants to mistype.
fn tail_inverse(share: f64) -> f64 {
    let (mut low, mut high) = (-8.0, 8.0);
    for _ in 0..48 {
        let middle = 0.5 * (low + high);
        if tail(middle) > share { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// The tail for one objective, tabulated.
#[derive(Clone, Debug)]
pub(super) struct LatencyTable {
    objective_seconds: f64,
    shares: Vec<f64>,
}

impl LatencyTable {
    /// For requests of `work` core-seconds on average and an objective in seconds.
    pub(super) fn new(work_seconds: f64, objective_seconds: f64) -> Self {
        let ratio = objective_seconds / work_seconds;
        let shares = (0..CAPACITIES)
            .flat_map(|c| (0..UTILIZATIONS).map(move |u| (c, u)))
            .map(|(c, u)| {
                let cores = maths::exp2(CAPACITY_LOG2_MIN + c as f64 / CAPACITY_PER_OCTAVE);
                share_over(ratio, cores, UTILIZATION_MAX * u as f64 / (UTILIZATIONS - 1) as f64)
            })
            .collect();
        Self { objective_seconds, shares }
    }

    /// Share of requests over the objective; linear between the table's points.
    pub(super) fn share_over(&self, cores: f64, utilization: f64) -> f64 {
        let (c, c_part) = place((maths::log2(cores) - CAPACITY_LOG2_MIN) * CAPACITY_PER_OCTAVE, CAPACITIES);
        let (u, u_part) = place(utilization / UTILIZATION_MAX * (UTILIZATIONS - 1) as f64, UTILIZATIONS);
        let at = |c: usize, u: usize| self.shares[c * UTILIZATIONS + u];
        let row = |c: usize| at(c, u) * (1.0 - u_part) + at(c, u + 1) * u_part;
        row(c) * (1.0 - c_part) + row(c + 1) * c_part
    }

    /// Latency at a quantile, in seconds, for a pod size and utilization at which `share` of the requests is over the
    /// objective: over the objective exactly when more than `1 - quantile` of the requests are.
    pub(super) fn at_quantile(&self, quantile: f64, share: f64, cores: f64, utilization: f64) -> f64 {
        let width = spread(cores, utilization.clamp(0.0, UTILIZATION_MAX)).sqrt();
        // Below one in a million and above 99.9 % the shape of the tail is not known.
        let share = share.clamp(1e-6, 0.999);
        self.objective_seconds * maths::exp(width * (tail_inverse(1.0 - quantile) - tail_inverse(share)))
    }
}

/// Index of the grid cell that holds `position`, and the part of the cell before it; both ends are held.
fn place(position: f64, points: usize) -> (usize, f64) {
    let held = position.clamp(0.0, (points - 1) as f64);
    let cell = super::whole(held).min(points - 2);
    (cell, held - cell as f64)
}

#[cfg(test)]
mod tests {
    use super::{super::random::Stream, *};

    /// Share over the objective by discrete-event simulation: Poisson arrivals, lognormal work, processor sharing with
    /// at most one core per request. Work has mean 1.
    fn simulated(cores: f64, utilization: f64, ratio: f64) -> f64 {
        let sigma = maths::ln(1.0 + WORK_VARIATION).sqrt();
        let mut stream = Stream::new(7, "latency-des", 0);
        let gap = 1.0 / (cores * utilization);
        let mut next = 0.0;
        let (mut now, mut done, mut late) = (0.0, 0_u32, 0_u32);
        let mut inside: Vec<(f64, f64)> = Vec::new();
        while done < 120_000 {
            let rate = (cores / inside.len().max(1) as f64).min(1.0);
            let finish = inside.iter().map(|job| job.1).fold(f64::INFINITY, f64::min) / rate;
            let step = finish.min(next - now);
            for job in &mut inside {
                job.1 -= step * rate;
            }
            now += step;
            if now >= next {
                inside.push((now, stream.lognormal(maths::exp(-sigma * sigma / 2.0), sigma)));
                next = now - maths::ln(1.0 - stream.uniform()) * gap;
            }
            inside.retain(|job| {
                if job.1 > 1e-9 {
                    return true;
                }
                done += 1;
                late += u32::from(now - job.0 > ratio);
                false
            });
        }
        f64::from(late) / f64::from(done)
    }

    #[test]
    fn tail_is_near_a_discrete_event_simulation() {
        for (cores, utilization, ratio) in [
            (1.0, 0.3, 10.0),
            (1.0, 0.7, 20.0),
            (1.0, 0.85, 20.0),
            (2.0, 0.7, 10.0),
            (4.0, 0.8, 10.0),
            (0.5, 0.5, 20.0),
        ] {
            let (ours, theirs) = (share_over(ratio, cores, utilization), simulated(cores, utilization, ratio));
            assert!(
                (0.6..1.7).contains(&(ours / theirs)),
                "{cores} cores at {utilization}, {ratio}x: {ours} against {theirs}"
            );
        }
    }

    #[test]
    fn table_follows_the_formula_and_grows_with_utilization() {
        let table = LatencyTable::new(0.01, 0.2);
        for cores in [0.3, 1.0, 1.7, 4.0] {
            let mut last = 0.0;
            for step in 0_u32..20 {
                let utilization = f64::from(step) * 0.05;
                let share = table.share_over(cores, utilization);
                assert!(share >= last, "{cores} cores at {utilization}");
                assert!((share / share_over(20.0, cores, utilization) - 1.0).abs() < 0.15, "{cores} at {utilization}");
                last = share;
            }
        }
    }

    #[test]
    fn quantile_meets_the_objective_where_the_share_does() {
        let table = LatencyTable::new(0.01, 0.2);
        assert!((table.at_quantile(0.99, 0.01, 1.0, 0.7) - 0.2).abs() < 1e-6);
        assert!(table.at_quantile(0.99, 0.02, 1.0, 0.7) > 0.2);
        assert!(table.at_quantile(0.99, 0.0, 1.0, 0.0) < 0.2);
    }
}
