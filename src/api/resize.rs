//! `spec.resize`: how running pods may be resized.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{quantity, quantity::IntOrText};

/// How running pods may be resized.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ResizeStrategy {
    /// Never evicts, never restarts.
    #[default]
    InPlaceOnly,
    /// In place where that works, else by replacing the pod.
    InPlaceOrRecreate,
    /// New pods only.
    Initial,
}

/// How running pods may be resized.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resize {
    /// How: `InPlaceOnly` never evicts and never restarts, `InPlaceOrRecreate` evicts pods that cannot get larger in
    /// place, Initial sizes new pods only. Default: `InPlaceOnly`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ResizeStrategy")]
    pub strategy: Option<ResizeStrategy>,
    /// Pods that may be restarted or evicted at once for a resize, a number or a percentage, at least one; pods that are not
    /// ready count, and disruption budgets are honoured besides. Only `InPlaceOrRecreate` restarts pods. The only ready
    /// pod is spared unless this is a number. Default: 10%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "quantity::count_or_percent")]
    pub max_unavailable: Option<IntOrText>,
    /// In-place CPU decreases that follow demand, per pod and day; growth has no budget, 0 means none. Default: 96.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1440))]
    pub trims_per_pod_per_day: Option<i32>,
}
