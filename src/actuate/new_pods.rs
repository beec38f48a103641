//! What a new pod of a workload gets: pure.
//!
//! Invariant: **a pod that would be created without arbiter is created with it**. The amounts are complete (a limit beside
//! each request that has one), within the limit ranges and the node, no larger than the template where a quota might
//! refuse the difference, and shaped as the template is: a request that equals its limit still does, a limit that is above its
//! request still is, nothing appears and nothing vanishes, so that the quality-of-service class stays. What cannot be
//! had so is left out, and the pod keeps its own.
//!
//! CPU and memory never depend on each other here; each is worked in whole units ([`Amount`]).

use std::collections::BTreeMap;

use crate::{
    api::{NewContainer, PodSize, SizedKind, SizedWorkload},
    decide::{ContainerSize, Resources},
    observe::kubernetes::{Bounds, TemplateContainer},
    policy::{Policy, Target},
    units::{Bytes, Cores, Quantity},
};

/// Millicores of CPU, bytes of memory.
type Amount = u64;

/// What the size of new pods follows from.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// Generation of its spec.
    pub generation: i64,
    /// Decided sizes.
    pub decided: &'a [ContainerSize],
    /// Containers of the pod template.
    pub template: &'a [TemplateContainer],
    /// Hash of that template.
    pub template_hash: &'a str,
    /// What the namespace asks of new pods.
    pub bounds: &'a Bounds,
    /// Pods that the namespace's policies may have together: quotas are shared among so many.
    pub sharers: u32,
    /// Whether the template is new and not decided on yet: its own CPU wins, and of memory the larger.
    pub new_template: bool,
    /// The size that holds now, where nothing may become smaller.
    pub at_least: Option<&'a PodSize>,
    /// Whether nothing may become smaller than in the template.
    pub at_least_own: bool,
}

/// Name of a workload in the table; none: its pods do not tell their template, so they are not sized when created.
#[must_use]
pub fn sized_workload(target: &Target) -> Option<SizedWorkload> {
    let group = target.api_version.split_once('/').map_or("", |(group, _)| group);
    let kind = match (group, target.kind.as_str()) {
        ("apps", "Deployment") => SizedKind::Deployment,
        ("apps", "StatefulSet") => SizedKind::StatefulSet,
        ("argoproj.io", "Rollout") => SizedKind::Rollout,
        _ => return None,
    };
    Some((kind, target.name.clone()))
}

/// The size of new pods; none: they keep their template's.
#[must_use]
pub fn new_pods(asked: Asked<'_>) -> Option<PodSize> {
    let levers = asked.policy.levers;
    let cpu = if levers.cpu && !asked.new_template { sized(&asked, &CPU) } else { BTreeMap::new() };
    let memory = if levers.memory { sized(&asked, &MEMORY) } else { BTreeMap::new() };
    let container = |name: &str| {
        let (cpu, memory) = (cpu.get(name), memory.get(name));
        let text = |amount: Option<Amount>, resource: &Resource| amount.map(resource.text);
        NewContainer {
            cpu: text(cpu.map(|p| p.new.request), &CPU),
            cpu_limit: text(cpu.and_then(|p| p.new.limit), &CPU),
            memory: text(memory.map(|p| p.new.request), &MEMORY),
            memory_limit: text(memory.and_then(|p| p.new.limit), &MEMORY),
        }
    };
    let named = cpu.keys().chain(memory.keys()).map(|name| ((*name).to_owned(), container(name)));
    let containers: BTreeMap<_, _> = named.collect();
    let bounds = asked.bounds;
    let memory_is_free = bounds.requests_left.memory_bytes.is_none() && bounds.limits_left.memory_bytes.is_none();
    (!containers.is_empty()).then(|| PodSize {
        policy: asked.policy.key.name.clone(),
        generation: asked.generation,
        template_hash: asked.template_hash.to_owned(),
        memory_for_other_templates: !memory.is_empty() && memory_is_free,
        containers,
    })
}

/// One of the two resources: how its amounts are read and written.
struct Resource {
    /// From what is known, rounded up.
    least: fn(Resources) -> Option<Amount>,
    /// From what is known, rounded down.
    most: fn(Resources) -> Option<Amount>,
    /// Largest limit divided by request.
    ratio: fn(&Bounds) -> Option<f64>,
    /// Whether a limit range bounds the pod as a whole.
    whole_pod: fn(&Bounds) -> bool,
    /// Request and limit in a table's row.
    written: fn(&NewContainer) -> (Option<&String>, Option<&String>),
    /// As a quantity.
    text: fn(Amount) -> String,
    /// The least by which a limit stays above a request that it does not equal.
    step: Amount,
}

const CPU: Resource = Resource {
    least: |r| r.cpu_cores.map(Cores::millis_ceil),
    most: |r| r.cpu_cores.map(millis_floor),
    ratio: |b| b.ratio.cpu,
    whole_pod: |b| b.whole_pod.cpu,
    written: |c| (c.cpu.as_ref(), c.cpu_limit.as_ref()),
    text: |millis| Quantity::format_cores(Cores::from_millis(millis)),
    step: 1,
};

const MEMORY: Resource = Resource {
    least: |r| r.memory_bytes.map(|b| b.0),
    most: |r| r.memory_bytes.map(|b| b.0),
    ratio: |b| b.ratio.memory,
    whole_pod: |b| b.whole_pod.memory,
    written: |c| (c.memory.as_ref(), c.memory_limit.as_ref()),
    text: |bytes| Quantity::format_bytes(Bytes(bytes)),
    step: Bytes::MIB,
};

/// A hair above, so that 1.2 cores, which may be 1199.9999999999998 in binary, stays 1200m.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, which is what is meant")]
fn millis_floor(cores: Cores) -> Amount {
    (cores.0 * 1000.0 + 1e-6).floor() as Amount
}

/// Request and limit of one container, in one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    request: Amount,
    limit: Option<Amount>,
}

impl Size {
    fn equal(self) -> bool {
        self.limit == Some(self.request)
    }

    /// Both amounts, each by itself. Of two sizes that are both equal in request and limit, or both not, the outcome is
    /// of the same shape, and a ratio that both keep is kept.
    fn each(self, other: Self, choose: fn(Amount, Amount) -> Amount) -> Self {
        Self {
            request: choose(self.request, other.request),
            limit: self.limit.zip(other.limit).map(|(a, b)| choose(a, b)),
        }
    }
}

/// A container as the pod would have it, and as it shall be.
struct Pair {
    own: Size,
    new: Size,
}

/// Sizes by container name.
fn sized<'a>(asked: &Asked<'a>, resource: &Resource) -> BTreeMap<&'a str, Pair> {
    if (resource.whole_pod)(asked.bounds) {
        return BTreeMap::new();
    }
    let (mut pairs, mut others) = (BTreeMap::new(), Vec::new());
    for container in asked.template {
        let Some(own) = own(container, asked.bounds, resource) else { continue };
        let decided = asked.decided.iter().find(|d| d.name == container.name);
        match decided.and_then(|d| fitted(own, wanted(own, d, asked, resource)?, asked.bounds, resource)) {
            Some(new) => drop(pairs.insert(container.name.as_str(), Pair { own, new })),
            None => others.push(own),
        }
    }
    if larger_than_allowed(asked, resource, &pairs, &others) {
        for pair in pairs.values_mut() {
            pair.new = pair.new.each(pair.own, Ord::min);
        }
    }
    pairs
}

/// What the API server will see of a container of the template: limit ranges fill in a limit that is not given.
fn own(container: &TemplateContainer, bounds: &Bounds, resource: &Resource) -> Option<Size> {
    let request = (resource.least)(container.requests)?;
    let limit = (resource.least)(container.limits).or_else(|| (resource.most)(bounds.default_limit));
    Some(Size { request, limit })
}

/// What was decided, in the shape of the container, before any bound.
fn wanted(own: Size, decided: &ContainerSize, asked: &Asked<'_>, resource: &Resource) -> Option<Size> {
    let request = (resource.least)(decided.requests)?;
    let mut size = Size { request, limit: own.limit.map(|own| (resource.least)(decided.limits).unwrap_or(own)) };
    if asked.new_template || asked.at_least_own {
        size = size.each(own, Ord::max);
    }
    if let Some(before) = asked.at_least.and_then(|s| s.containers.get(&decided.name)) {
        let (request, limit) = (resource.written)(before);
        let amount = |text: Option<&String>| text.and_then(|t| t.parse().ok()).and_then(|q| read(q, resource));
        if let Some(request) = amount(request) {
            size = size.each(Size { request, limit: amount(limit).or(size.limit) }, Ord::max);
        }
    }
    if own.equal() {
        size.limit = Some(size.request);
    }
    Some(size)
}

fn read(quantity: Quantity, resource: &Resource) -> Option<Amount> {
    (resource.least)(Resources { cpu_cores: Some(quantity.cores()), memory_bytes: Some(quantity.bytes()) })
}

/// The size within the bounds of a container, in the same shape; none: there is none.
fn fitted(own: Size, wanted: Size, bounds: &Bounds, resource: &Resource) -> Option<Size> {
    let least = (resource.least)(bounds.min).unwrap_or(0).max(1);
    let most = (resource.most)(bounds.max).unwrap_or(Amount::MAX);
    let on_node = most.min((resource.most)(bounds.node).unwrap_or(Amount::MAX));
    if least > on_node {
        return None;
    }
    let Some(limit) = wanted.limit else {
        return Some(Size { request: wanted.request.clamp(least, on_node), limit: None });
    };
    if own.equal() {
        let both = limit.max(wanted.request).clamp(least, on_node);
        return Some(Size { request: both, limit: Some(both) });
    }
    let limit = limit.clamp(least, most);
    let ratio = (resource.ratio)(bounds);
    let for_ratio = ratio.map_or(0, |ratio| ceil(limit as f64 / ratio.max(1.0)));
    let below = limit.checked_sub(resource.step)?;
    let request = wanted.request.clamp(least, on_node).max(for_ratio).min(below);
    (request >= least.max(for_ratio) && request <= on_node).then_some(Size { request, limit: Some(limit) })
}

/// A hair below, so that a quotient that is whole stays so.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, which is what is meant")]
fn ceil(amount: f64) -> Amount {
    (amount - 1e-6).ceil() as Amount
}

/// Whether a pod of these sizes might not find a node, or be refused by a quota, where one of the template's would not.
fn larger_than_allowed(asked: &Asked<'_>, resource: &Resource, pairs: &BTreeMap<&str, Pair>, others: &[Size]) -> bool {
    let sum = |new: bool, part: fn(Size) -> Amount| {
        let sizes = pairs.values().map(|p| if new { p.new } else { p.own }).chain(others.iter().copied());
        sizes.map(part).fold(0, Amount::saturating_add)
    };
    let request: fn(Size) -> Amount = |s| s.request;
    let limit: fn(Size) -> Amount = |s| s.limit.unwrap_or(0);
    let shared = |left: Resources| (resource.most)(left).map(|left| left / Amount::from(asked.sharers.max(1)));
    let bounds = asked.bounds;
    let exceeds = |most: Option<Amount>, part| most.is_some_and(|most| sum(true, part) > most.max(sum(false, part)));
    exceeds((resource.most)(bounds.node), request)
        || exceeds(shared(bounds.requests_left), request)
        || exceeds(shared(bounds.limits_left), limit)
}

#[cfg(test)]
#[path = "new_pods/tests.rs"]
mod tests;
