//! `spec.schedules`: floors that return with the calendar.

use super::{
    super::schedule::{parse_cron, parse_zone},
    Problems, parse_duration,
};
use crate::{
    api,
    policy::Schedule,
    units::{Replicas, Seconds},
};

/// Shortest schedule: cron has no finer step.
const SHORTEST: Seconds = Seconds(60.0);
/// Longest schedule: what lasts longer than the longest month is no window but `replicas.min`.
const LONGEST: Seconds = Seconds(31.0 * 86_400.0);
/// The time zone when none is named.
const UTC: &str = "UTC";

/// All schedules; the count must be ours to raise.
pub(super) fn compile(given: &[api::Schedule], ours: bool, max: Replicas, problems: &mut Problems) -> Vec<Schedule> {
    if !given.is_empty() && !ours {
        problems.invalid("spec.schedules", "need the lever Replicas: add it to spec.levers, or leave schedules out");
    }
    let each = given.iter().enumerate();
    each.filter_map(|(index, schedule)| one(schedule, max, &format!("spec.schedules[{index}]"), problems)).collect()
}

fn one(given: &api::Schedule, max: Replicas, path: &str, problems: &mut Problems) -> Option<Schedule> {
    let cron = problems.take(&format!("{path}.cron"), parse_cron(&given.cron));
    let duration = problems.take(&format!("{path}.duration"), parse_duration(&given.duration));
    if duration.is_some_and(|duration| duration < SHORTEST || duration > LONGEST) {
        problems.invalid(format!("{path}.duration"), "must be from 1m to 744h, for example 10h");
    }
    let floor = Replicas(u32::try_from(given.min_replicas).unwrap_or(0));
    let path_to_floor = format!("{path}.minReplicas");
    if floor.0 == 0 {
        problems.invalid(path_to_floor, format!("is {}, and must be at least 1", given.min_replicas));
    } else if floor > max {
        problems
            .invalid(path_to_floor, format!("is {floor}, and replicas.max is {max}: raise max or lower this floor"));
    }
    let zone = given.time_zone.as_deref().unwrap_or(UTC);
    let zone = problems.take(&format!("{path}.timeZone"), parse_zone(zone));
    Some(Schedule::new(cron?, zone?, duration?, floor))
}
