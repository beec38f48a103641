//! From one pod size to complete requests and limits of each container.
//!
//! CPU is shared in proportion to the template's requests; memory is each container's own. Limits keep their ratio
//! (a container whose limit equals its request keeps that), or stay and cap the request. A container without a request
//! is left without one: nothing is invented. Bounds: the policy's, then `LimitRange`, node and limit, which are facts.

use super::{
    ContainerState, LimitRangeBounds, Resources, Snapshot,
    arith::sane,
    memory::{Change, Peaks},
    sample::{Few, Sample},
};
use crate::{
    policy::{ContainerRule, Limits, Policy},
    units::{Bytes, Cores},
};

/// The least CPU request that is written, cores.
const LEAST_CORES: f64 = 0.001;
/// The least memory request that is written: a container below it does not start.
const LEAST_BYTES: u64 = 4 << 20;
/// Requests are rounded up to whole MiB: a number that people can read, and no write for a page.
const GRAIN: u64 = Bytes::MIB;

/// Complete size of one container, in the order of the snapshot; its name is added when a decision is made of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Requests.
    pub(super) requests: Resources,
    /// Limits.
    pub(super) limits: Resources,
}

/// CPU bounds of one container: (least, most).
fn cpu_bounds(container: &ContainerState, rule: &ContainerRule, snapshot: &Snapshot) -> (f64, f64) {
    let cores = |c: Option<Cores>| c.and_then(|c| sane(c.0)).filter(|c| *c > 0.0);
    let range = snapshot.room.limit_range.unwrap_or_default();
    let own = cores(container.limit.cpu_cores);
    let request = cores(container.request.cpu_cores);
    let mut most = cores(rule.cpu_max).unwrap_or(f64::INFINITY);
    let least = cores(rule.cpu_min).unwrap_or(LEAST_CORES).max(LEAST_CORES).min(most);
    if let Some(node) = snapshot.room.node.and_then(|n| cores(n.cpu_cores)) {
        most = most.min(node);
    }
    match (rule.limits, own, request) {
        (Limits::Unchanged, Some(limit), _) => most = most.min(limit),
        (Limits::Proportional, Some(limit), Some(request)) => {
            if let Some(max) = cores(range.max.cpu_cores) {
                most = most.min(max * request / limit);
            }
        }
        _ => {}
    }
    if let Some(max) = cores(range.max.cpu_cores) {
        most = most.min(max);
    }
    let undone = container.floor.as_ref().and_then(|floor| cores(floor.least.cpu_cores));
    let least = least.max(cores(range.min.cpu_cores).unwrap_or(0.0)).max(undone.unwrap_or(0.0));
    (least.min(most), most)
}

/// The size that the bounds make of an asked pod size, cores.
pub(super) fn fit(snapshot: &Snapshot, policy: &Policy, template: f64, asked: f64) -> f64 {
    let scale = asked / template.max(1e-9);
    let parts = snapshot.containers.iter().filter_map(|c| {
        let request = c.request.cpu_cores.and_then(|r| sane(r.0)).filter(|r| *r > 0.0)?;
        let (least, most) = cpu_bounds(c, policy.containers.of(&c.name), snapshot);
        Some((request * scale).clamp(least, most))
    });
    parts.sum()
}

/// CPU request of each container for a pod size; `None` for containers without a request.
pub(super) fn share_cpu(snapshot: &Snapshot, policy: &Policy, template: f64, asked: f64) -> Few<Option<Cores>> {
    let scale = asked / template.max(1e-9);
    let part = |c: &ContainerState| {
        let request = c.request.cpu_cores.and_then(|r| sane(r.0)).filter(|r| *r > 0.0)?;
        if !policy.levers.cpu {
            return Some(Cores(request));
        }
        let (least, most) = cpu_bounds(c, policy.containers.of(&c.name), snapshot);
        let millis = Cores((request * scale).clamp(least, most)).millis_ceil();
        // Rounding up must not cross a bound.
        let cores = Cores::from_millis(millis.max(1));
        Some(if cores.0 > most { Cores(most) } else { cores })
    };
    snapshot.containers.iter().map(part).collect()
}

/// Memory bounds of one container in bytes: (least, most).
fn memory_bounds(container: &ContainerState, rule: &ContainerRule, snapshot: &Snapshot) -> (u64, u64) {
    let range: LimitRangeBounds = snapshot.room.limit_range.unwrap_or_default();
    let mut most = rule.memory_max.map_or(1 << 50, |b| b.0);
    let least = rule.memory_min.map_or(LEAST_BYTES, |b| b.0).min(most);
    if let Some(node) = snapshot.room.node.and_then(|n| n.memory_bytes) {
        most = most.min(node.0);
    }
    let (request, limit) = (container.request.memory_bytes, container.limit.memory_bytes);
    match (rule.limits, limit, request) {
        (Limits::Unchanged, Some(limit), _) => most = most.min(limit.0),
        (Limits::Proportional, Some(limit), Some(request)) if limit.0 > 0 => {
            if let Some(max) = range.max.memory_bytes {
                most = most.min(Bytes::ceil_from(max.as_f64() * request.as_f64() / limit.as_f64()).0);
            }
        }
        _ => {}
    }
    if let Some(max) = range.max.memory_bytes {
        most = most.min(max.0);
    }
    let undone = container.floor.as_ref().and_then(|floor| floor.least.memory_bytes).map_or(0, |b| b.0);
    let least = least.max(range.min.memory_bytes.map_or(0, |b| b.0)).max(undone);
    (least.min(most), most)
}

/// Resources as somebody wrote them; what is no amount of CPU is left out.
pub(super) fn as_given(given: Resources) -> Resources {
    Resources { cpu_cores: given.cpu_cores.filter(|c| sane(c.0).is_some()), ..given }
}

/// The limits that go with new requests.
fn limits_of(container: &ContainerState, rule: &ContainerRule, requests: &Resources) -> Resources {
    if rule.limits == Limits::Unchanged {
        return as_given(container.limit);
    }
    let cpu = match (as_given(container.limit).cpu_cores, container.request.cpu_cores, requests.cpu_cores) {
        (Some(limit), Some(old), Some(new)) if old.0 > 0.0 && limit.0.is_finite() => {
            if limit == old {
                Some(new)
            } else {
                Some(Cores::from_millis(Cores(limit.0 * new.0 / old.0).millis_ceil()))
            }
        }
        (limit, ..) => limit,
    };
    let memory = match (container.limit.memory_bytes, container.request.memory_bytes, requests.memory_bytes) {
        (Some(limit), Some(old), Some(new)) if old.0 > 0 => {
            let scaled = Bytes::ceil_from(limit.as_f64() * (new.as_f64() / old.as_f64()));
            Some(if limit == old { new } else { scaled })
        }
        (limit, ..) => limit,
    };
    Resources { cpu_cores: cpu, memory_bytes: memory }
}

/// Complete sizes, and the most telling change of memory with its container.
pub(super) fn sizes(
    snapshot: &Snapshot,
    policy: &Policy,
    sample: &Sample,
    cpu: &[Option<Cores>],
    peaks: &mut std::collections::BTreeMap<String, Peaks>,
    frozen: bool,
) -> (Few<Shape>, Option<(usize, Change)>) {
    peaks.retain(|name, _| snapshot.containers.iter().any(|c| c.name == *name));
    let mut told: Option<(usize, Change)> = None;
    let mut all = Few::new();
    for (i, container) in snapshot.containers.iter().enumerate() {
        let rule = policy.containers.of(&container.name);
        let mut memory = container.request.memory_bytes;
        if let (Some(request), true) = (memory.filter(|b| b.0 > 0), policy.levers.memory) {
            // The order of the lookup matters for allocation only: names are few and stable.
            let peaks = match peaks.get_mut(&container.name) {
                Some(peaks) => peaks,
                None => peaks.entry(container.name.clone()).or_default(),
            };
            peaks.learn(container, sample);
            if sample.new_template {
                peaks.adopt(request.0);
            }
            let bounds = memory_bounds(container, rule, snapshot);
            let need = peaks.need((request.0, container.limit.memory_bytes.map(|b| b.0)), bounds, sample, frozen);
            let whole = need.request.0.div_ceil(GRAIN).saturating_mul(GRAIN);
            let unchanged = need.request == request;
            memory = Some(if unchanged || whole > bounds.1 { need.request } else { Bytes(whole) });
            let killed = |change: Change| matches!(change, Change::Killed { .. });
            let first = told.is_none_or(|(_, before)| killed(need.change) && !killed(before));
            if need.change != Change::None && first {
                told = Some((i, need.change));
            }
        }
        let requests = Resources { cpu_cores: cpu.get(i).copied().flatten(), memory_bytes: memory };
        let limits = limits_of(container, rule, &requests);
        all.push(Shape { requests, limits });
    }
    (all, told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::{
        Memory, SizeFloor, decide,
        tests::plant::{EPOCH, latency_policy, snapshot},
    };

    #[test]
    fn what_was_undone_bounds_the_size_from_below_and_is_told() {
        let policy = latency_policy();
        let mut snapshot = snapshot(EPOCH, 10, 4.0);
        let before = decide(&snapshot, &policy, &mut Memory::new(), snapshot.at).containers[0].requests;
        let doubled = Resources {
            cpu_cores: before.cpu_cores.map(|c| Cores(2.0 * c.0)),
            memory_bytes: before.memory_bytes.map(|m| Bytes(2 * m.0)),
        };
        let why = "CPU of `app` was lowered and pods were throttled".to_owned();
        snapshot.containers[0].floor = Some(SizeFloor { least: doubled, why: why.clone() });
        let decision = decide(&snapshot, &policy, &mut Memory::new(), snapshot.at);
        let requests = decision.containers[0].requests;
        assert!(
            requests.cpu_cores >= doubled.cpu_cores && requests.memory_bytes >= doubled.memory_bytes,
            "{requests:?}"
        );
        assert!(decision.explain.held_back_by.contains(&why), "{:?}", decision.explain.held_back_by);
        let text = serde_json::to_string(&snapshot).unwrap();
        assert_eq!(serde_json::from_str::<Snapshot>(&text).unwrap(), snapshot, "{text}");
    }
}
