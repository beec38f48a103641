//! The horizontal pod autoscaler (`autoscaling/v2`) on CPU utilization, without `behavior`: the way most HPAs run.
//!
//! The arithmetic is the upstream controller's, in whole percent and millicores: tolerance 0.1 inclusive, unready pods
//! counted at 0 % when growing and left out when shrinking, scale-down to the highest recommendation of the last 300 s,
//! growth to at most twice the count or 4. It has no other input than CPU: that is a fact about it, not a handicap given
//! to it.
//!
//! Seen here are sums over pods of one size, so utilization is the sum over the sum, as upstream computes it; a ready pod
//! whose usage window has not passed yet is unready to it (its metric would be older than its readiness).

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use super::super::super::{Action, Controller, PodAction, View};
use crate::{
    decide::{ContainerSize, Decision, Explain, Reason, Snapshot},
    policy::ReplicaRange,
    units::Replicas,
};

/// `--horizontal-pod-autoscaler-tolerance`.
const TOLERANCE: f64 = 0.1;
/// `--horizontal-pod-autoscaler-downscale-stabilization`.
const STABILIZATION: SignedDuration = SignedDuration::from_secs(300);
/// Growth without `behavior`: to twice the count, or to this.
const GROWTH_FLOOR: u32 = 4;

/// An HPA with one CPU utilization target.
#[derive(Clone, Debug)]
pub struct Hpa {
    name: String,
    target_percent: u32,
    range: ReplicaRange,
    /// Recommendations, oldest first.
    recommendations: VecDeque<(Timestamp, u32)>,
}

/// Pods as the HPA groups them; usage and requests in millicores.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Pods {
    ready: u32,
    usage: u64,
    request: u64,
    unready: u32,
    unready_request: u64,
}

/// A proposal and the utilization behind it, in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Proposal {
    replicas: u32,
    percent: u64,
}

impl Hpa {
    /// An HPA with a target in percent of the request.
    #[must_use]
    pub fn new(name: &str, target_percent: u32, range: ReplicaRange) -> Self {
        Self { name: name.to_owned(), target_percent, range, recommendations: VecDeque::new() }
    }

    /// The highest recommendation of the window, this one included.
    fn stabilized(&mut self, now: Timestamp, proposal: u32) -> u32 {
        self.recommendations.retain(|(at, _)| now.duration_since(*at) <= STABILIZATION);
        self.recommendations.push_back((now, proposal));
        self.recommendations.iter().map(|(_, replicas)| *replicas).max().unwrap_or(proposal)
    }

    /// The count, its reason and its sentence.
    fn answer(&mut self, snapshot: &Snapshot) -> (u32, Reason, String) {
        let current = snapshot.replicas.spec.0;
        let ReplicaRange { min: Replicas(min), max: Replicas(max) } = self.range;
        if self.recommendations.is_empty() {
            self.recommendations.push_back((snapshot.at, current));
        }
        if current == 0 {
            return (0, Reason::ScaledToZero, "0 replicas: the HPA is disabled".to_owned());
        }
        if current > max {
            return (max, Reason::LimitedByMax, format!("{current} replicas are above max {max}"));
        }
        if current < min {
            return (min, Reason::LimitedByMin, format!("{current} replicas are below min {min}"));
        }
        let Some(proposal) = pods_of(snapshot).and_then(|pods| propose(pods, self.target_percent, current)) else {
            return (current, Reason::WaitingForData, "no CPU metrics: nothing is scaled".to_owned());
        };
        let stabilized = self.stabilized(snapshot.at, proposal.replicas);
        let step = current.saturating_mul(2).max(GROWTH_FLOOR);
        let answer = stabilized.clamp(min, max.min(step));
        let (reason, why) = match answer {
            _ if stabilized < min => (Reason::LimitedByMin, format!(", held at min {min}")),
            _ if stabilized > max && max <= step => {
                (Reason::LimitedByMax, format!(" wants {stabilized}, max is {max}"))
            }
            _ if stabilized > step => {
                (Reason::LimitedByBehavior, format!(" wants {stabilized}, at most {step} in one step"))
            }
            _ if stabilized > proposal.replicas => {
                (Reason::HoldingForDemand, format!(" wants {}, highest of 5 min holds", proposal.replicas))
            }
            _ => (Reason::CpuDemand, String::new()),
        };
        let Proposal { percent, .. } = proposal;
        let target = self.target_percent;
        (answer, reason, format!("cpu at {percent} % of request against {target} %: {current} → {answer}{why}"))
    }
}

/// Groups pods; none without usage or requests.
fn pods_of(snapshot: &Snapshot) -> Option<Pods> {
    let mut usage = 0;
    let mut request = 0.0;
    let mut reporting = u32::MAX;
    for container in &snapshot.containers {
        usage += container.cpu_cores?.millis_ceil();
        reporting = reporting.min(container.reporting_pods?.0);
        let pods: u32 = container.sizes.iter().map(|size| size.pods.0).sum();
        let sum: Option<f64> = container.sizes.iter().map(|s| Some(s.cpu_cores?.get() * s.pods.as_f64())).sum();
        request += sum? / f64::from(pods.max(1));
    }
    let per_pod = crate::units::Cores(request).millis_ceil();
    let listed = snapshot.replicas.ready.0 + snapshot.replicas.pending.0;
    let ready = reporting.min(listed);
    let unready = listed - ready;
    (ready > 0 && per_pod > 0).then(|| Pods {
        ready,
        usage,
        request: per_pod * u64::from(ready),
        unready,
        unready_request: per_pod * u64::from(unready),
    })
}

/// The replica calculator's answer for a utilization metric; none without any usable metric.
fn propose(pods: Pods, target_percent: u32, current: u32) -> Option<Proposal> {
    if pods.ready == 0 || pods.request == 0 {
        return None;
    }
    let percent = pods.usage * 100 / pods.request;
    let ratio = percent as f64 / f64::from(target_percent);
    let hold = Some(Proposal { replicas: current, percent });
    let within = |ratio: f64| (1.0 - TOLERANCE..=1.0 + TOLERANCE).contains(&ratio);
    let replicas =
        |ratio: f64, pods: u32| u32::try_from(super::super::super::whole((ratio * f64::from(pods)).ceil())).ok();
    if pods.unready == 0 || ratio <= 1.0 {
        if within(ratio) {
            return hold;
        }
        return Some(Proposal { replicas: replicas(ratio, pods.ready)?, percent });
    }
    // Unready pods are taken to use nothing; growth that vanishes by that is not wanted.
    let rebalanced = pods.usage * 100 / (pods.request + pods.unready_request);
    let ratio = rebalanced as f64 / f64::from(target_percent);
    let wanted = replicas(ratio, pods.ready + pods.unready)?;
    if within(ratio) || ratio < 1.0 || wanted < current {
        return hold;
    }
    Some(Proposal { replicas: wanted, percent })
}

impl Controller for Hpa {
    fn name(&self) -> &str {
        &self.name
    }

    fn tick(&mut self, view: &View<'_>) -> Action {
        let snapshot = view.snapshot;
        let (replicas, reason, message) = self.answer(snapshot);
        let containers = snapshot
            .containers
            .iter()
            .map(|c| ContainerSize { name: c.name.clone(), requests: c.request, limits: c.limit })
            .collect();
        let (at, replicas) = (snapshot.at, Replicas(replicas));
        let explain = Explain::default();
        let decision = Decision { v: 0, at, replicas, containers, boost: None, reason, message, explain };
        Action { decision, pods: PodAction::NewPods(Vec::new()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods(ready: u32, usage: u64, unready: u32) -> Pods {
        let (request, unready_request) = (1000 * u64::from(ready), 1000 * u64::from(unready));
        Pods { ready, usage, request, unready, unready_request }
    }

    fn wanted(pods: Pods, current: u32) -> u32 {
        propose(pods, 70, current).expect("there are metrics").replicas
    }

    #[test]
    fn proposals_follow_the_replica_calculator() {
        // ceil of the ratio times the ready pods, with utilization in whole percent.
        assert_eq!(wanted(pods(4, 4000, 0), 4), 6);
        assert_eq!(wanted(pods(4, 1000, 0), 4), 2);
        // 76.9 % truncates to 76, which is within 10 % of 70; 77 % is exactly at the edge and within; 78 % is not.
        assert_eq!(wanted(pods(10, 7690, 0), 10), 10);
        assert_eq!(wanted(pods(10, 7700, 0), 10), 10);
        assert_eq!(wanted(pods(10, 7800, 0), 10), 12);
        assert_eq!(wanted(pods(10, 6300, 0), 10), 10);
        assert_eq!(wanted(pods(10, 6200, 0), 10), 9);
        // Unready pods count at 0 % when growing: 4 × 100 % over 8 pods is 50 %, so nothing more is added.
        assert_eq!(wanted(pods(4, 4000, 4), 8), 8);
        assert_eq!(wanted(pods(4, 8000, 4), 8), 12);
        // They are left out when shrinking.
        assert_eq!(wanted(pods(4, 1000, 4), 8), 2);
        assert_eq!(propose(pods(0, 0, 3), 70, 3), None);
    }

    #[test]
    fn scaling_down_waits_for_the_highest_of_five_minutes() {
        let range = ReplicaRange { min: Replicas(2), max: Replicas(60) };
        let mut hpa = Hpa::new("hpa70", 70, range);
        let at = |seconds| Timestamp::from_second(seconds).expect("a small number of seconds");
        assert_eq!(hpa.stabilized(at(0), 9), 9);
        assert_eq!(hpa.stabilized(at(15), 3), 9);
        assert_eq!(hpa.stabilized(at(300), 4), 9);
        assert_eq!(hpa.stabilized(at(315), 4), 4);
    }
}
