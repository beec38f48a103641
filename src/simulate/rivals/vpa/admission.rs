//! What a new pod gets: requests become the target, limits keep their ratio to the requests.

use super::{
    Recommendation,
    amounts::{Amounts, Resource},
    policy::Policy,
};

/// A container as the template has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TemplateContainer {
    /// Its name.
    pub name: String,
    /// Requests of the template.
    pub requests: Amounts,
    /// Limits of the template.
    pub limits: Amounts,
}

/// What is set over a container's requests and limits; what is absent stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    /// Requests that are set.
    pub requests: Amounts,
    /// Limits that are set.
    pub limits: Amounts,
}

/// What admission sets on a container; nothing without a recommendation for it.
#[must_use]
pub fn patch(container: &TemplateContainer, advice: &[Recommendation], policy: &Policy) -> Patch {
    let Some(found) = advice.iter().find(|advice| advice.container == container.name) else { return Patch::default() };
    let target = policy.for_container(found, container.limits).target;
    let mut limits = Amounts::default();
    if !policy.is_requests_only(&container.name) {
        for resource in Resource::ALL {
            let limit = limit(container.limits.get(resource), container.requests.get(resource), target.get(resource));
            limits.set(resource, limit);
        }
    }
    Patch { requests: target, limits }
}

/// The limit beside a new request: the old one's ratio is kept, rounded down. A limit without a request implies an equal
/// request. None when there was no limit, or nothing to scale it to.
fn limit(limit: Option<i64>, request: Option<i64>, target: Option<i64>) -> Option<i64> {
    let limit = limit.filter(|limit| *limit != 0)?;
    let target = target.filter(|target| *target != 0)?;
    match request.filter(|request| *request != 0) {
        Some(request) if request != limit => {
            let scaled = i128::from(limit) * i128::from(target) / i128::from(request);
            Some(i64::try_from(scaled).unwrap_or(i64::MAX))
        }
        _ => Some(target),
    }
}
