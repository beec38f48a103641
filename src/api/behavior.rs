//! `spec.behavior`: rate limits and stabilization, as in HPA `autoscaling/v2`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{quantity, quantity::IntOrText};

/// Which of several rate limits of one direction counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SelectPolicy {
    /// The one that allows the largest change.
    #[default]
    Max,
    /// The one that allows the smallest change.
    Min,
    /// The direction is closed.
    Disabled,
}

/// Limits of how fast the replica count moves, each direction by itself. A direction that is absent or `{}` does not
/// limit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Behavior {
    /// Limits of growth; once anything is given, what is left out is as in an HPA: no stabilization, the larger of 4
    /// pods and 100 % per 15 s. Default: growth goes to the answer in one step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_up: Option<DirectionRules>,
    /// Limits of shrinking; once anything is given, what is left out is as in an HPA: stabilization 300 s, 100 % per
    /// 15 s. Default: the model decides how long a replica is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_down: Option<DirectionRules>,
}

/// Limits of one direction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DirectionRules {
    /// How long the most conservative of the recent answers counts, in seconds. For scaleDown this is how long a
    /// replica that is no longer needed is held. Default: 0 for scaleUp, 300 for scaleDown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub stabilization_window_seconds: Option<i32>,
    /// Which of the policies counts: Max (the largest change), Min (the smallest) or Disabled (no change in this
    /// direction). Default: Max.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SelectPolicy")]
    pub select_policy: Option<SelectPolicy>,
    /// Rate limits. Default: 4 pods and 100 % per 15 s for scaleUp, 100 % per 15 s for scaleDown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub policies: Option<Vec<RateLimit>>,
    /// Deadband as a share, for example "0.1": smaller changes are not made. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "quantity::share_quantity")]
    pub tolerance: Option<IntOrText>,
}

/// What a rate limit counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RateLimitType {
    /// Pods.
    Pods,
    /// Percent of the count at the period's start.
    Percent,
}

/// A rate limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RateLimit {
    /// What the value counts: Pods, or Percent of the count at the period's start.
    #[serde(rename = "type")]
    pub type_: RateLimitType,
    /// How much may change within a period.
    #[schemars(range(min = 1))]
    pub value: i32,
    /// Length of the period in seconds.
    #[schemars(range(min = 1, max = 1800))]
    pub period_seconds: i32,
}
