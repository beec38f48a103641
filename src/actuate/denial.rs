//! Which rule of the cluster refuses a resize or an eviction. Pure.
//!
//! The API server says 403 for a quota, a limit range, the size of nodes and a missing right alike, 422 for the class of
//! service, 429 for a disruption budget and for too many requests. What tells them apart are the causes in the answer where
//! it has some, else its words (Kubernetes 1.33 to 1.37).

use kube::core::response::StatusDetails;
use serde::{Deserialize, Serialize};

/// A rule by which the API server refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Denial {
    /// No node could ever hold the pod (admission plugin `PodResizeValidator`, from 1.36).
    NodeCapacity,
    /// A `ResourceQuota` of the namespace.
    Quota,
    /// A `LimitRange` of the namespace.
    LimitRange,
    /// The pod's quality-of-service class would change.
    Qos,
    /// The pod cannot be resized at all: its node or its kind does not support it.
    Unsupported,
    /// A `PodDisruptionBudget` allows no eviction now.
    DisruptionBudget,
}

impl Denial {
    /// Reads an answer; `None`: none of these rules.
    #[must_use]
    pub fn of(code: u16, message: &str, details: Option<&StatusDetails>) -> Option<Self> {
        let causes = details.map(|d| d.causes.as_slice()).unwrap_or_default();
        let caused_by = |reason: &str| causes.iter().any(|c| c.reason == reason);
        let says = |words: &str| message.contains(words);
        match code {
            _ if caused_by("NodeCapacity") => Some(Self::NodeCapacity),
            _ if caused_by("DisruptionBudget") => Some(Self::DisruptionBudget),
            429 if says("disruption budget") => Some(Self::DisruptionBudget),
            // Several budgets select the pod: the API server evicts none of these.
            500 if says("PodDisruptionBudget") => Some(Self::DisruptionBudget),
            403 if says("exceeded quota") || says("failed quota") => Some(Self::Quota),
            403 if ["usage per Container", "usage per Pod", "limit to request ratio per"].into_iter().any(says) => {
                Some(Self::LimitRange)
            }
            403 if says("node") && says("capacity") => Some(Self::NodeCapacity),
            422 if says("QOS Class") || says("QoS") => Some(Self::Qos),
            403 | 422 if says("without support for resize") || says("may not be resized") => Some(Self::Unsupported),
            _ => None,
        }
    }

    /// One word for a condition.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NodeCapacity => "ResizeBeyondNodes",
            Self::Quota => "ResizeBeyondQuota",
            Self::LimitRange => "ResizeBeyondLimitRange",
            Self::Qos => "ResizeChangesQos",
            Self::Unsupported => "ResizeUnsupported",
            Self::DisruptionBudget => "EvictionHeldByBudget",
        }
    }

    /// Why, in words to be read after "because".
    #[must_use]
    pub const fn because(self) -> &'static str {
        match self {
            Self::NodeCapacity => "no node could hold the pod",
            Self::Quota => "a quota of the namespace leaves no room for it",
            Self::LimitRange => "a limit range of the namespace does not allow it",
            Self::Qos => "it would change the pod's quality-of-service class",
            Self::Unsupported => "the pod or its node does not support it",
            Self::DisruptionBudget => "a disruption budget allows no eviction now",
        }
    }

    /// What to do about it, and when it is asked again.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::NodeCapacity => "lower cpu.max or memory.max of spec.containers, or add larger nodes",
            Self::Quota => {
                "raise the quota, or lower cpu.max or memory.max of spec.containers; asked again when more of it is left"
            }
            Self::LimitRange => "set the bounds of spec.containers within the limit range, or change that",
            Self::Qos => "set requests or limits in the pod template for the class that is meant",
            Self::Unsupported => "spec.resize.strategy InPlaceOrRecreate replaces such pods",
            Self::DisruptionBudget => "asked again in a minute",
        }
    }

    /// Whether the same ask of another pod of the workload meets the same answer.
    #[must_use]
    pub const fn is_of_the_namespace(self) -> bool {
        matches!(self, Self::NodeCapacity | Self::Quota | Self::LimitRange)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caused(reason: &str) -> StatusDetails {
        serde_json::from_value(serde_json::json!({"causes": [{"reason": reason}]})).unwrap()
    }

    #[test]
    fn answers_are_told_apart() {
        let cases = [
            (
                403,
                "pods \"w\" is forbidden: exceeded quota: compute, requested: requests.cpu=2, used: …",
                Some(Denial::Quota),
            ),
            (
                403,
                "pods \"w\" is forbidden: failed quota: compute: must specify limits.cpu for: app",
                Some(Denial::Quota),
            ),
            (
                403,
                "pods \"w\" is forbidden: maximum cpu usage per Container is 1, but limit is 2",
                Some(Denial::LimitRange),
            ),
            (403, "pods \"w\" is forbidden: minimum memory usage per Pod is 1Gi", Some(Denial::LimitRange)),
            (
                403,
                "pods \"w\" is forbidden: cpu max limit to request ratio per Container is 2",
                Some(Denial::LimitRange),
            ),
            (403, "pods \"w\" is forbidden: node has not enough capacity", Some(Denial::NodeCapacity)),
            (
                422,
                "Pod \"w\" is invalid: spec: Forbidden: Pod QOS Class may not change as a result of resizing",
                Some(Denial::Qos),
            ),
            (422, "Pod \"w\" is invalid: Pod running on node without support for resize", Some(Denial::Unsupported)),
            (429, "Cannot evict pod as it would violate the pod's disruption budget.", Some(Denial::DisruptionBudget)),
            (
                500,
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
                Some(Denial::DisruptionBudget),
            ),
            (403, "pods \"w\" is forbidden: User \"arbiter\" cannot patch resource \"pods/resize\"", None),
            (429, "Too many requests, please try again later.", None),
            (500, "etcdserver: request timed out", None),
        ];
        for (code, message, expected) in cases {
            assert_eq!(Denial::of(code, message, None), expected, "{message}");
        }
        assert_eq!(Denial::of(403, "no words", Some(&caused("NodeCapacity"))), Some(Denial::NodeCapacity));
        assert_eq!(Denial::of(429, "no words", Some(&caused("DisruptionBudget"))), Some(Denial::DisruptionBudget));
    }
}
