//! What the schema holds and this version cannot do yet. Each is refused by name: a field that is silently ignored is
//! a promise that is silently broken. A release that brings one deletes its lines here.

use super::{Problems, parse_duration};
use crate::api::{ResizeStrategy, ScalingPolicySpec, Schedule, Signal};

pub(super) fn refuse(spec: &ScalingPolicySpec, problems: &mut Problems) {
    for (index, signal) in spec.signals.iter().enumerate() {
        refuse_source(signal, &format!("spec.signals[{index}]"), problems);
    }
    if spec.replicas.as_ref().and_then(|replicas| replicas.min) == Some(0) {
        problems.later("spec.replicas.min", "scaling to zero");
    }
    if let Some(resize) = spec.resize.as_ref().filter(|r| r.strategy == Some(ResizeStrategy::InPlaceOrRecreate)) {
        problems.later("spec.resize.strategy", "InPlaceOrRecreate");
        if resize.max_unavailable.is_some() {
            problems.later("spec.resize.maxUnavailable", "restarting pods to resize them");
        }
    }
    if spec.allow_volume_deletion == Some(true) {
        problems.later("spec.allowVolumeDeletion", "deleting volumes of a StatefulSet that shrinks");
    }
    if !spec.schedules.is_empty() {
        problems.later("spec.schedules", "a floor by the calendar");
    }
    for (index, schedule) in spec.schedules.iter().enumerate() {
        check_schedule(schedule, &format!("spec.schedules[{index}]"), problems);
    }
}

fn refuse_source(signal: &Signal, path: &str, problems: &mut Problems) {
    if signal.rabbitmq.is_some() {
        problems.later(format!("{path}.rabbitmq"), "the source rabbitmq");
    }
    if signal.redis.is_some() {
        problems.later(format!("{path}.redis"), "the source redis");
    }
    if signal.external_metric.is_some() {
        problems.later(format!("{path}.externalMetric"), "the source externalMetric");
    }
    let nats = signal.nats_jet_stream.as_ref().and_then(|source| source.auth_secret_ref.as_ref());
    let rabbitmq = signal.rabbitmq.as_ref().and_then(|source| source.auth_secret_ref.as_ref());
    let redis = signal.redis.as_ref().and_then(|source| source.auth_secret_ref.as_ref());
    for (source, secret) in [("natsJetStream", nats), ("rabbitmq", rabbitmq), ("redis", redis)] {
        if secret.is_some() {
            problems.later(format!("{path}.{source}.authSecretRef"), "reading credentials from a Secret");
        }
    }
}

/// Schedules are refused as a whole, and their mistakes are said all the same.
fn check_schedule(schedule: &Schedule, path: &str, problems: &mut Problems) {
    let cron = schedule.cron.parse::<croner::Cron>().map(drop).map_err(|error| {
        format!("\"{}\" is not a cron expression ({error}): write five fields, for example 0 8 * * 1-5", schedule.cron)
    });
    problems.take(&format!("{path}.cron"), cron);
    problems.take(&format!("{path}.duration"), parse_duration(&schedule.duration));
    if schedule.min_replicas < 1 {
        problems
            .invalid(format!("{path}.minReplicas"), format!("is {}, and must be at least 1", schedule.min_replicas));
    }
    if let Some(zone) = &schedule.time_zone {
        let known = jiff::tz::TimeZone::get(zone).map(drop).map_err(|_| {
            format!("\"{zone}\" is not a time zone: write a name of the tz database, for example Europe/Paris")
        });
        problems.take(&format!("{path}.timeZone"), known);
    }
}
