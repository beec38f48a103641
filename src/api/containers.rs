//! `spec.containers`: bounds of container sizes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{quantity, quantity::IntOrText, rules_at, text};

/// What happens to limits when requests move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Limits {
    /// Keep the limit/request ratio.
    #[default]
    Proportional,
    /// Leave limits alone; a request never exceeds one.
    Unchanged,
}

/// Bounds of one container's size.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ContainerRule {
    /// Name of the container in the pod template, or `*` for every container that is not named.
    #[schemars(schema_with = "text::container")]
    pub name: String,
    /// Bounds of the CPU request. Default: not bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<SizeRange>,
    /// Bounds of the memory request. Default: not bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<SizeRange>,
    /// What happens to limits when requests move: Proportional keeps the ratio of limit to request, Unchanged leaves
    /// limits alone and never lets a request exceed one. Default: Proportional.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Limits")]
    pub limits: Option<Limits>,
}

/// Bounds of one resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = rules_at(&[(
    ".min",
    "!has(self.min) || !has(self.max) || !isQuantity(string(self.min)) || !isQuantity(string(self.max)) || \
     !quantity(string(self.min)).isGreaterThan(quantity(string(self.max)))",
    "min must not be more than max",
)])))]
pub struct SizeRange {
    /// Smallest request, a quantity such as 50m or 64Mi. Default: not bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "quantity::positive_quantity")]
    pub min: Option<IntOrText>,
    /// Largest request, a quantity such as 4 or 4Gi. Default: not bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "quantity::positive_quantity")]
    pub max: Option<IntOrText>,
}
