//! What the schema holds and this version cannot do yet. Each is refused by name: a field that is silently ignored is
//! a promise that is silently broken. A release that brings one deletes its lines here.

use super::Problems;
use crate::api::{ScalingPolicySpec, Signal};

/// What to do about a field that nothing takes the place of.
const OUT: &str = "leave it out";

/// What takes the place of a source.
const THROUGH_PROMETHEUS: &str = "read its exporter with the source prometheus";

pub(super) fn refuse(spec: &ScalingPolicySpec, problems: &mut Problems) {
    for (index, signal) in spec.signals.iter().enumerate() {
        refuse_source(signal, &format!("spec.signals[{index}]"), problems);
    }
    if spec.allow_volume_deletion == Some(true) {
        problems.later("spec.allowVolumeDeletion", "deleting volumes of a StatefulSet that shrinks", OUT);
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
