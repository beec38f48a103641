//! The resource policy of a vertical pod autoscaler: what it may control, between which amounts.

use super::{
    Recommendation,
    amounts::{Amounts, Resource},
};

/// The name that stands for every container without a policy of its own.
const ANY: &str = "*";

/// What the policy says of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerPolicy {
    /// The container's name; `*` for all others.
    pub container: String,
    /// Mode `Off`: nothing is recommended.
    pub off: bool,
    /// `minAllowed`.
    pub min: Amounts,
    /// `maxAllowed`; wins over `minAllowed`.
    pub max: Amounts,
    /// `controlledResources`, when only one is controlled.
    pub only: Option<Resource>,
    /// `controlledValues: RequestsOnly`: limits stay, and requests stay below them.
    pub requests_only: bool,
}

/// The whole policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy(pub Vec<ContainerPolicy>);

impl Policy {
    /// What it says of a container.
    #[must_use]
    pub fn of(&self, container: &str) -> Option<&ContainerPolicy> {
        let named = |name: &str| self.0.iter().find(|policy| policy.container == name);
        named(container).or_else(|| named(ANY))
    }

    /// Whether a container is left alone.
    #[must_use]
    pub fn is_off(&self, container: &str) -> bool {
        self.of(container).is_some_and(|policy| policy.off)
    }

    /// Whether only a container's requests are changed.
    #[must_use]
    pub fn is_requests_only(&self, container: &str) -> bool {
        self.of(container).is_some_and(|policy| policy.requests_only)
    }

    /// A recommendation within `minAllowed` and `maxAllowed`; the uncapped target stays.
    #[must_use]
    pub fn capped(&self, recommendation: &Recommendation) -> Recommendation {
        let Some(policy) = self.of(&recommendation.container) else { return recommendation.clone() };
        let cap = |amounts: Amounts| {
            amounts.map(|resource, amount| {
                let above = policy.min.get(resource).map_or(amount, |min| amount.max(min));
                policy.max.get(resource).filter(|max| *max != 0).map_or(above, |max| above.min(max))
            })
        };
        recommendation.changed(cap)
    }

    /// A recommendation for one pod: capped, and with `RequestsOnly` not above the container's limits.
    #[must_use]
    pub fn for_container(&self, recommendation: &Recommendation, limits: Amounts) -> Recommendation {
        let capped = self.capped(recommendation);
        if !self.is_requests_only(&recommendation.container) {
            return capped;
        }
        capped.changed(|amounts| {
            amounts.map(|resource, amount| limits.get(resource).map_or(amount, |limit| amount.min(limit)))
        })
    }
}
