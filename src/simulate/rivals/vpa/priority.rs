//! Which pods the updater touches, and in which order.

use std::cmp::Reverse;

use super::{
    Recommendation,
    amounts::{Amounts, Resource},
    policy::Policy,
};

/// Flags of the updater that choose pods; whole seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// `--pod-update-threshold`: relative change that an old pod is touched for.
    pub min_change: f64,
    /// `--in-recommendation-bounds-eviction-lifetime-threshold`: from this age on a pod is old.
    pub lifetime: i64,
    /// `--evict-after-oom-threshold`: a kill so soon after the start, and so recent, is reason enough.
    pub quick_oom: i64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { min_change: 0.1, lifetime: 12 * 3600, quick_oom: 600 }
    }
}

/// A container as the updater sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpdatableContainer {
    /// Its name.
    pub name: String,
    /// Requests of the spec.
    pub requests: Amounts,
    /// Limits of the spec.
    pub limits: Amounts,
    /// Requests that the container's status reports, which count when they are there.
    pub status_requests: Option<Amounts>,
    /// Start and end of its last life, when that ended by a kill for lack of memory.
    pub killed: Option<(i64, i64)>,
}

/// A pod as the updater sees it; Unix seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpdatablePod {
    /// When its containers were started; none while it has no start time.
    pub start: Option<i64>,
    /// Containers that the admission controller says it looked at; none: no such annotation.
    pub observed: Option<Vec<String>>,
    /// Its containers.
    pub containers: Vec<UpdatableContainer>,
}

/// One line of `evictionRequirements`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// Resources of which one must move so.
    pub resources: Vec<Resource>,
    /// Whether the target must be higher than the request; else lower.
    pub higher: bool,
}

/// How urgent a pod is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Priority {
    /// A request lies outside the bounds (or is missing).
    pub outside: bool,
    /// A request is to grow.
    pub scale_up: bool,
    /// Sum over the resources of the relative change.
    pub difference: f64,
}

impl UpdatableContainer {
    fn requests(&self) -> Amounts {
        self.status_requests.unwrap_or(self.requests)
    }
}

impl UpdatablePod {
    fn observes(&self, container: &str) -> bool {
        self.observed.as_ref().is_none_or(|names| names.iter().any(|name| name == container))
    }

    /// Each container with what is recommended for it in this pod.
    fn advised(&self, advice: &[Recommendation], policy: &Policy) -> Vec<(&UpdatableContainer, Recommendation)> {
        let found = |name: &str| advice.iter().find(|advice| advice.container == name);
        let containers = self.containers.iter();
        containers.filter_map(|c| Some((c, policy.for_container(found(&c.name)?, c.limits)))).collect()
    }

    /// How urgent it is to change the pod.
    #[must_use]
    pub fn priority(&self, advice: &[Recommendation], policy: &Policy) -> Priority {
        let mut priority = Priority::default();
        let advised = self.advised(advice, policy);
        for resource in Resource::ALL {
            let (mut requested, mut recommended, mut any) = (0_i128, 0_i128, false);
            for (container, advice) in advised.iter().filter(|(container, _)| self.observes(&container.name)) {
                let Some(target) = advice.target.get(resource) else { continue };
                any = true;
                recommended += i128::from(target);
                let Some(request) = container.requests().get(resource) else {
                    priority.scale_up = true;
                    priority.outside = true;
                    continue;
                };
                requested += i128::from(request);
                priority.scale_up |= target > request;
                priority.outside |= advice.lower.get(resource).is_some_and(|lower| request < lower)
                    || advice.upper.get(resource).is_some_and(|upper| request > upper);
            }
            if any {
                // Summed in thousandths of the unit, of which there is always one.
                let unit = if resource == Resource::Cpu { 1.0 } else { 1000.0 };
                let requested = (requested as f64 * unit).max(1.0);
                priority.difference += (requested - recommended as f64 * unit).abs() / requested;
            }
        }
        priority
    }

    /// Whether an observed container was killed soon after its start, and not long ago.
    fn quick_oom(&self, policy: &Policy, threshold: i64, now: i64) -> bool {
        self.containers.iter().filter(|c| self.observes(&c.name) && !policy.is_off(&c.name)).any(|container| {
            container
                .killed
                .is_some_and(|(started, finished)| finished - started < threshold && now - finished < threshold)
        })
    }

    /// Whether the pod is to be changed at all.
    fn qualifies(&self, priority: &Priority, policy: &Policy, thresholds: &Thresholds, now: i64) -> bool {
        let quick_oom = self.quick_oom(policy, thresholds.quick_oom, now);
        if quick_oom {
            return priority.difference != 0.0;
        }
        let old = self.start.is_some_and(|start| now >= start + thresholds.lifetime);
        priority.outside || (old && priority.difference >= thresholds.min_change)
    }

    /// Whether every requirement holds in one of its containers.
    fn admitted(&self, advice: &[Recommendation], policy: &Policy, requirements: &[Requirement]) -> bool {
        if requirements.is_empty() {
            return true;
        }
        self.advised(advice, policy).iter().any(|(container, advice)| {
            let requests = container.requests();
            // A resource without a target counts as one with the target 0: lower than any request.
            let moves = |requirement: &Requirement, resource: Resource| {
                let target = advice.target.get(resource).unwrap_or(0);
                requests.get(resource).is_some_and(|r| if requirement.higher { target > r } else { target < r })
            };
            // Where a request is missing nothing can be compared, and the pod passes.
            let bare = Resource::ALL.iter().any(|resource| requests.get(*resource).is_none());
            bare || requirements.iter().all(|one| one.resources.iter().any(|resource| moves(one, *resource)))
        })
    }
}

/// The pods to change, most urgent first: those that are to grow, then by the size of the change; ties in input order.
#[must_use]
pub fn order(
    pods: &[UpdatablePod],
    advice: &[Recommendation],
    policy: &Policy,
    requirements: &[Requirement],
    thresholds: &Thresholds,
    now: i64,
) -> Vec<usize> {
    let mut chosen: Vec<(usize, Priority)> = Vec::new();
    // Without any recommendation the updater passes the workload by.
    let pods = if advice.is_empty() { &[] } else { pods };
    for (index, pod) in pods.iter().enumerate() {
        let priority = pod.priority(advice, policy);
        if pod.qualifies(&priority, policy, thresholds, now) {
            chosen.push((index, priority));
        }
    }
    chosen.sort_by(|(_, a), (_, b)| {
        Reverse(a.scale_up).cmp(&Reverse(b.scale_up)).then(b.difference.total_cmp(&a.difference))
    });
    chosen.retain(|(index, _)| pods[*index].admitted(advice, policy, requirements));
    chosen.into_iter().map(|(index, _)| index).collect()
}
