//! Pods that are never asked to have another size, and why: pure.
//!
//! What is so of the template (its class, its own resources) is so of the next pod as well, and replacing the pod would change
//! nothing.

use crate::observe::kubernetes::{Fixed, PodFacts, Qos};

/// Why a pod is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftAlone {
    /// A static pod.
    Static,
    /// A pod for Windows.
    Windows,
    /// The pod has resources of its own, which bound those of its containers.
    PodLevel,
    /// No container has requests or limits: any would change the class of service.
    BestEffort,
    /// The node's kubelet cannot resize.
    Node,
}

impl LeftAlone {
    /// Why a pod is left as it is, if so.
    #[must_use]
    pub const fn of(pod: &PodFacts) -> Option<Self> {
        match (pod.fixed, pod.pod_level_resources, pod.qos) {
            (Some(Fixed::Static), ..) => Some(Self::Static),
            (Some(Fixed::Windows), ..) => Some(Self::Windows),
            (_, true, _) => Some(Self::PodLevel),
            (_, _, Qos::BestEffort) => Some(Self::BestEffort),
            (Some(Fixed::Node), ..) => Some(Self::Node),
            (None, false, _) => None,
        }
    }

    /// Why, and what to do about it.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Static => "they are static pods: change the manifest on the node",
            Self::Windows => "pods for Windows cannot be resized",
            Self::PodLevel => {
                "they have resources of the whole pod (spec.resources): size the containers instead, or leave the levers Cpu \
                 and Memory out"
            }
            Self::BestEffort => {
                "they are BestEffort, and a first request would change that: give the containers of the template requests"
            }
            Self::Node => {
                "their nodes cannot resize (a kubelet older than 1.33): new pods get the size before they start"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_obstacle_has_its_name_and_the_rest_is_free() {
        let plain = PodFacts::default();
        assert_eq!(LeftAlone::of(&plain), None);
        for (pod, expected) in [
            (PodFacts { fixed: Some(Fixed::Static), qos: Qos::BestEffort, ..plain.clone() }, LeftAlone::Static),
            (PodFacts { fixed: Some(Fixed::Windows), ..plain.clone() }, LeftAlone::Windows),
            (PodFacts { fixed: Some(Fixed::Node), ..plain.clone() }, LeftAlone::Node),
            (PodFacts { fixed: Some(Fixed::Node), qos: Qos::BestEffort, ..plain.clone() }, LeftAlone::BestEffort),
            (PodFacts { pod_level_resources: true, ..plain.clone() }, LeftAlone::PodLevel),
        ] {
            assert_eq!(LeftAlone::of(&pod), Some(expected));
        }
        assert_eq!(LeftAlone::of(&PodFacts { qos: Qos::Guaranteed, ..plain }), None);
    }
}
