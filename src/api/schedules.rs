//! `spec.schedules`: load that is known beforehand.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text;

/// A floor of the replica count that returns with the calendar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// When it begins: five cron fields, for example `0 8 * * 1-5`. A time that the clock skips is the moment at which it
    /// goes on; one that comes twice begins both times.
    #[schemars(length(min = 9, max = 120))]
    pub cron: String,
    /// How long it lasts, whatever clocks show meanwhile: a duration such as 10h, at most 744h.
    #[schemars(schema_with = "text::duration_from_1m")]
    pub duration: String,
    /// Time zone of the cron fields, as the tz database names it, for example Europe/Paris. Default: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub time_zone: Option<String>,
    /// Fewest replicas meanwhile.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_replicas: i32,
}
