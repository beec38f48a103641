//! The size that a pod is to have, as far as it may be moved: pure.
//!
//! What may not move stays as it is, container by container and resource by resource, and does not hold back the rest.

use super::Wanted;
use crate::{
    decide::Resources,
    observe::kubernetes::{ContainerFacts, PodFacts, Qos},
    policy::ResizeStrategy,
    units::{Bytes, Cores},
};

/// What keeps a Burstable pod one: so much less is requested than its limit.
const BELOW_LIMIT: Cores = Cores(0.001);

/// Requests and limits of one container.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Size {
    pub(super) requests: Resources,
    pub(super) limits: Resources,
    /// Having it means a restart of the container.
    pub(super) restarts: bool,
    /// A restart that is not allowed keeps it from its size.
    pub(super) kept: bool,
}

/// Whether containers that restart when they are resized may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Restarts {
    Allowed,
    Forbidden,
}

/// The sizes that a pod's containers are to have, in its order; `None` when its class of service cannot be kept.
pub(super) fn sizes(pod: &PodFacts, wanted: Wanted<'_>, restarts: Restarts) -> Option<Vec<Size>> {
    let mut sizes: Vec<_> = pod.containers.iter().map(|c| size(pod, c, wanted, restarts)).collect();
    keep_class(pod, &mut sizes).then_some(sizes)
}

/// What a pod has: what its node has set aside, else what it asks for.
pub(super) fn had(container: &ContainerFacts) -> Size {
    let known = |told: Option<Resources>, asked: Resources| Resources {
        cpu_cores: told.and_then(|t| t.cpu_cores).or(asked.cpu_cores),
        memory_bytes: told.and_then(|t| t.memory_bytes).or(asked.memory_bytes),
    };
    Size {
        requests: known(container.allocated, container.requests),
        limits: known(container.limits_in_force, container.limits),
        ..Size::default()
    }
}

fn millis(r: Resources) -> Option<u64> {
    r.cpu_cores.map(Cores::millis_ceil)
}

/// Whether something of one is more than of the other.
pub(super) fn more(one: Resources, other: Resources) -> bool {
    millis(one) > millis(other) || one.memory_bytes > other.memory_bytes
}

/// Whether anything of a size is more than of another.
pub(super) fn exceeds(size: &Size, other: &Size) -> bool {
    more(size.requests, other.requests) || more(size.limits, other.limits)
}

/// The parts of a size that differ from what is asked for now.
pub(super) fn changed(from: Resources, to: Resources) -> Resources {
    Resources {
        cpu_cores: to.cpu_cores.filter(|_| millis(from) != millis(to)),
        memory_bytes: to.memory_bytes.filter(|_| from.memory_bytes != to.memory_bytes),
    }
}

/// Keeps the class of service, which no resize may change: a Burstable pod whose requests would reach its limits everywhere
/// asks for a hair less.
fn keep_class(pod: &PodFacts, sizes: &mut [Size]) -> bool {
    let would_be = guaranteed(sizes) && !pod.init_unguaranteed;
    if would_be == (pod.qos == Qos::Guaranteed) {
        return true;
    }
    if !would_be {
        return false;
    }
    for (container, size) in pod.containers.iter().zip(sizes.iter_mut()).rev() {
        if let Some(cpu) = size.requests.cpu_cores.filter(|_| millis(container.requests) != millis(size.requests)) {
            size.requests.cpu_cores = Some(Cores((cpu.0 - BELOW_LIMIT.0).max(BELOW_LIMIT.0)));
            return cpu.0 > BELOW_LIMIT.0;
        }
        let moved = container.requests.memory_bytes != size.requests.memory_bytes;
        if let Some(memory) = size.requests.memory_bytes.filter(|m| moved && m.0 > Bytes::MIB) {
            size.requests.memory_bytes = Some(Bytes(memory.0 - Bytes::MIB));
            return true;
        }
    }
    false
}

fn guaranteed(sizes: &[Size]) -> bool {
    sizes.iter().all(|s| {
        s.requests.memory_bytes.is_some()
            && s.requests.memory_bytes == s.limits.memory_bytes
            && millis(s.requests).is_some()
            && millis(s.requests) == millis(s.limits)
    })
}

/// Requests and limits that a container is to have.
fn size(pod: &PodFacts, container: &ContainerFacts, wanted: Wanted<'_>, restarts: Restarts) -> Size {
    let as_is = Size { requests: container.requests, limits: container.limits, ..Size::default() };
    let Some(decided) = wanted.decision.containers.iter().find(|c| *c.name == *container.name) else { return as_is };
    let mut size = as_is;
    let levers = wanted.policy.levers;
    let fixed = pod.qos == Qos::Guaranteed;
    // What does not run yet, or not just now, is not restarted.
    let costs = |restarts_on: bool| restarts_on && container.running;
    if levers.cpu {
        let boost = wanted.decision.boost.as_ref().filter(|_| pod.ready());
        let boosted = boost.and_then(|b| b.containers.iter().find(|c| *c.name == *container.name)).map(|c| c.cpu_cores);
        let target = decided.requests.cpu_cores.map(|steady| boosted.map_or(steady, |b| b.max(steady)));
        let limit = decided.limits.cpu_cores.map(|l| target.map_or(l, |t| l.max(t)));
        let costs = costs(container.restarts_on_cpu);
        let room = Movable { may_shrink: wanted.may_shrink && !costs, fixed };
        let from = (as_is.requests.cpu_cores, as_is.limits.cpu_cores);
        let to = room.moved(from, (target, limit), Cores::max, Cores::min);
        if let Some((request, limit)) = size.allow(from, to, costs, wanted, restarts) {
            (size.requests.cpu_cores, size.limits.cpu_cores) = (request, limit);
        }
    }
    if levers.memory {
        let target = decided.requests.memory_bytes;
        let in_use = wanted.memory_in_use.get(&*container.name);
        let fits = target.zip(in_use).is_some_and(|(target, used)| *used < target);
        let costs = costs(container.restarts_on_memory);
        let room = Movable { may_shrink: wanted.may_shrink && fits && !costs, fixed };
        let from = (as_is.requests.memory_bytes, as_is.limits.memory_bytes);
        let to = room.moved(from, (target, decided.limits.memory_bytes), Ord::max, Ord::min);
        if let Some((request, limit)) = size.allow(from, to, costs, wanted, restarts) {
            (size.requests.memory_bytes, size.limits.memory_bytes) = (request, limit);
        }
    }
    size
}

/// Request and limit.
type Pair<T> = (Option<T>, Option<T>);

impl Size {
    /// A move as far as its restart, if it costs one, is allowed.
    fn allow<T: Copy + PartialEq>(
        &mut self,
        from: Pair<T>,
        to: Pair<T>,
        costs: bool,
        wanted: Wanted<'_>,
        restarts: Restarts,
    ) -> Option<Pair<T>> {
        if !costs || from == to {
            return Some(to);
        }
        let allowed = wanted.policy.resize.strategy == ResizeStrategy::InPlaceOrRecreate;
        if allowed && restarts == Restarts::Allowed {
            self.restarts = true;
            return Some(to);
        }
        self.kept = true;
        None
    }
}

#[derive(Clone, Copy)]
struct Movable {
    may_shrink: bool,
    fixed: bool,
}

impl Movable {
    /// Request and limit after the move: a limit neither appears nor vanishes, and the request stays within it.
    fn moved<T: Copy + PartialOrd>(
        self,
        (request, limit): Pair<T>,
        (to, to_limit): Pair<T>,
        max: fn(T, T) -> T,
        min: fn(T, T) -> T,
    ) -> Pair<T> {
        let Some(mut to) = to else { return (request, limit) };
        let mut new_limit = limit.map(|old| if self.fixed { to } else { to_limit.unwrap_or(old) });
        if !self.may_shrink {
            to = request.map_or(to, |old| max(to, old));
            new_limit = limit.zip(new_limit).map(|(old, new)| max(old, new));
        }
        let request = new_limit.map_or(to, |l| min(to, l));
        (Some(request), new_limit)
    }
}
