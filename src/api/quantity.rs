//! Values that YAML may write as a number or as text: quantities (`4`, `"4"`, `50m`) and `10%`.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::rules;

/// A number or a text, as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IntOrText {
    /// Written as a whole number.
    Int(i64),
    /// Written as text.
    Text(String),
}

impl IntOrText {
    /// The text that was written, a number in its decimal form.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Int(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

impl From<i64> for IntOrText {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<&str> for IntOrText {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// A quantity above zero. `maxLength` bounds the cost of the CEL rules; without it the API server refuses the CRD.
pub(super) fn positive_quantity(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "maxLength": 32,
        "x-kubernetes-validations": rules(&[
            ("isQuantity(string(self))", "must be a quantity: a number with an optional suffix, for example 250m, 1.5 or 512Mi"),
            ("!isQuantity(string(self)) || quantity(string(self)).isGreaterThan(quantity('0'))", "must be more than 0"),
        ]),
    })
}

/// A quantity in 0..1, read as a share.
pub(super) fn share_quantity(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "maxLength": 32,
        "x-kubernetes-validations": rules(&[
            ("isQuantity(string(self))", "must be a quantity: a share such as \"0.1\" or 100m"),
            (
                "!isQuantity(string(self)) || (!quantity(string(self)).isLessThan(quantity('0')) && quantity(string(self)).isLessThan(quantity('1')))",
                "must be a share from 0 to below 1, for example \"0.1\"",
            ),
        ]),
    })
}

/// A number of pods, or a share of them in percent.
pub(super) fn count_or_percent(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "maxLength": 32,
        "x-kubernetes-validations": rules(&[(
            "string(self).matches('^([1-9][0-9]{0,5}|([1-9][0-9]?|100)%)$')",
            "must be a number of pods from 1, or a percentage from 1% to 100%",
        )]),
    })
}
