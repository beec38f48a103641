//! What an HPA says: condition types, their reasons, events.

use super::normalise::{Limit, Stabilised};

/// Types of conditions, as they are written in the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConditionType {
    /// Whether the count could be read and written.
    AbleToScale,
    /// Whether the workload is at zero because of this HPA.
    ScaledToZero,
    /// Whether metrics give a count.
    ScalingActive,
    /// Whether a limit binds.
    ScalingLimited,
}

impl ConditionType {
    /// Its name in the status.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AbleToScale => "AbleToScale",
            Self::ScaledToZero => "ScaledToZero",
            Self::ScalingActive => "ScalingActive",
            Self::ScalingLimited => "ScalingLimited",
        }
    }
}

/// A condition's status and reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// True or False.
    pub status: bool,
    /// The reason's word.
    pub reason: &'static str,
}

/// Kind of a metric, for the word that its failure gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// A resource of whole pods.
    Resource,
    /// A resource of one container.
    ContainerResource,
    /// A custom metric of pods.
    Pods,
    /// A metric of one object.
    Object,
    /// A metric from outside the cluster.
    External,
}

impl MetricKind {
    /// Reason and event of a metric that cannot be had.
    #[must_use]
    pub const fn failed(self) -> &'static str {
        match self {
            Self::Resource => "FailedGetResourceMetric",
            Self::ContainerResource => "FailedGetContainerResourceMetric",
            Self::Pods => "FailedGetPodsMetric",
            Self::Object => "FailedGetObjectMetric",
            Self::External => "FailedGetExternalMetric",
        }
    }

    /// Whether it exists without pods: only such a metric can wake a workload from zero.
    #[must_use]
    pub const fn outlives_pods(self) -> bool {
        matches!(self, Self::Object | Self::External)
    }
}

impl Stabilised {
    /// Its word.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Ready => "ReadyForNewScale",
            Self::Up => "ScaleUpStabilized",
            Self::Down => "ScaleDownStabilized",
        }
    }
}

impl Limit {
    /// Its word.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::WithinRange => "DesiredWithinRange",
            Self::TooFew => "TooFewReplicas",
            Self::TooMany => "TooManyReplicas",
            Self::ScaleUp => "ScaleUpLimit",
            Self::ScaleDown => "ScaleDownLimit",
        }
    }
}

/// Why the count was changed, as the event says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RescaleReason {
    /// The count was above `maxReplicas`; metrics were not consulted.
    AboveMax,
    /// The count was below `minReplicas`; metrics were not consulted.
    BelowMin,
    /// A metric asks for more.
    MetricAboveTarget,
    /// No metric asks for what there is.
    AllBelowTarget,
    /// No metric asks for a change: stabilisation alone raised the count.
    Unexplained,
}
