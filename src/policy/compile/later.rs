//! What the schema holds and this version cannot do yet. Each is refused by name: a field that is silently ignored is
//! a promise that is silently broken. A release that brings one deletes its lines here.

use super::{Problems, parse_duration};
use crate::{
    api::{ResizeStrategy, ScalingPolicySpec, Schedule, Signal},
    units::{Replicas, Seconds},
};

/// Shortest schedule: cron has no finer step.
const MIN_SCHEDULE: Seconds = Seconds(60.0);

/// What to do about a field that nothing takes the place of.
const OUT: &str = "leave it out";

/// What takes the place of a source.
const THROUGH_PROMETHEUS: &str = "read its exporter with the source prometheus";

pub(super) fn refuse(spec: &ScalingPolicySpec, max: Replicas, problems: &mut Problems) {
    for (index, signal) in spec.signals.iter().enumerate() {
        refuse_source(signal, &format!("spec.signals[{index}]"), problems);
    }
    if spec.replicas.as_ref().and_then(|replicas| replicas.min) == Some(0) {
        problems.later("spec.replicas.min", "scaling to zero", "write at least 1");
    }
    if let Some(resize) = spec.resize.as_ref().filter(|r| r.strategy == Some(ResizeStrategy::InPlaceOrRecreate)) {
        problems.later("spec.resize.strategy", "InPlaceOrRecreate", "write InPlaceOnly or Initial");
        if resize.max_unavailable.is_some() {
            problems.later("spec.resize.maxUnavailable", "restarting pods to resize them", OUT);
        }
    }
    if spec.allow_volume_deletion == Some(true) {
        problems.later("spec.allowVolumeDeletion", "deleting volumes of a StatefulSet that shrinks", OUT);
    }
    if !spec.schedules.is_empty() {
        problems.later("spec.schedules", "a floor by the calendar", "leave it out and set replicas.min");
    }
    for (index, schedule) in spec.schedules.iter().enumerate() {
        check_schedule(schedule, max, &format!("spec.schedules[{index}]"), problems);
    }
}

fn refuse_source(signal: &Signal, path: &str, problems: &mut Problems) {
    if signal.rabbitmq.is_some() {
        problems.later(format!("{path}.rabbitmq"), "the source rabbitmq", THROUGH_PROMETHEUS);
    }
    if let Some(redis) = &signal.redis {
        if redis.list.is_some() == redis.stream.is_some() {
            problems.invalid(format!("{path}.redis"), "must have exactly one of list and stream");
        }
        problems.later(format!("{path}.redis"), "the source redis", THROUGH_PROMETHEUS);
    }
    if signal.external_metric.is_some() {
        problems.later(format!("{path}.externalMetric"), "the source externalMetric", THROUGH_PROMETHEUS);
    }
    let nats = signal.nats_jet_stream.as_ref().and_then(|source| source.auth_secret_ref.as_ref());
    let rabbitmq = signal.rabbitmq.as_ref().and_then(|source| source.auth_secret_ref.as_ref());
    let redis = signal.redis.as_ref().and_then(|source| source.auth_secret_ref.as_ref());
    for (source, secret) in [("natsJetStream", nats), ("rabbitmq", rabbitmq), ("redis", redis)] {
        if secret.is_some() {
            problems.later(format!("{path}.{source}.authSecretRef"), "reading credentials from a Secret", OUT);
        }
    }
}

/// Schedules are refused as a whole, and their mistakes are said all the same.
fn check_schedule(schedule: &Schedule, max: Replicas, path: &str, problems: &mut Problems) {
    let cron = schedule.cron.parse::<croner::Cron>().map(drop).map_err(|error| {
        format!("\"{}\" is not a cron expression ({error}): write five fields, for example 0 8 * * 1-5", schedule.cron)
    });
    problems.take(&format!("{path}.cron"), cron);
    let duration = problems.take(&format!("{path}.duration"), parse_duration(&schedule.duration));
    if duration.is_some_and(|duration| duration < MIN_SCHEDULE) {
        problems.invalid(format!("{path}.duration"), "must be at least 1m, for example 10h");
    }
    let path_to_floor = format!("{path}.minReplicas");
    if schedule.min_replicas < 1 {
        problems.invalid(path_to_floor, format!("is {}, and must be at least 1", schedule.min_replicas));
    } else if i64::from(schedule.min_replicas) > i64::from(max.0) {
        problems.invalid(
            path_to_floor,
            format!("is {}, and replicas.max is {max}: raise max or lower this floor", schedule.min_replicas),
        );
    }
    if let Some(zone) = &schedule.time_zone {
        let known = jiff::tz::TimeZone::get(zone).map(drop).map_err(|_| {
            format!("\"{zone}\" is not a time zone: write a name of the tz database, for example Europe/Paris")
        });
        problems.take(&format!("{path}.timeZone"), known);
    }
}
