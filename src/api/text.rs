//! Texts with a form: durations, names, addresses.
//!
//! Their forms are CEL rules and not patterns, because a rule has a message: the API server answers a pattern with the
//! regular expression alone.

use schemars::{Schema, SchemaGenerator, json_schema};

use super::rules;

/// Longest duration; one with every unit and nine digits each is shorter.
const DURATION_LENGTH: u32 = 32;

/// Longest DNS label.
const LABEL_LENGTH: u32 = 63;

/// Longest name of an object, host or label value that is taken.
const NAME_LENGTH: u32 = 253;

/// Characters of a URL's authority, and of a host with its port.
const AUTHORITY: &str = r"[^/?#@\s]+";

fn text(max: u32, pattern: &str, message: &str) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": max,
        "x-kubernetes-validations": rules(&[(&format!("self.matches(r'{pattern}')"), message)]),
    })
}

/// A duration for which `condition` holds, `d` being the duration.
fn duration(condition: &str, message: &str) -> Schema {
    const FORM: &str = r"self.matches(r'^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$')";
    json_schema!({
        "type": "string",
        "minLength": 2,
        "maxLength": DURATION_LENGTH,
        "x-kubernetes-validations": rules(&[
            (FORM, "must be a duration: a number and a unit (h, m, s, ms), for example 250ms or 1h30m"),
            (&format!("!{FORM} || ({})", condition.replace("d ", "duration(self) ")), message),
        ]),
    })
}

/// A time within which something is good.
pub(super) fn duration_over_zero(_: &mut SchemaGenerator) -> Schema {
    duration("d > duration('0s')", "must be more than 0, for example 250ms")
}

/// A time in which work is drained: sources are polled every second.
pub(super) fn duration_from_1s(_: &mut SchemaGenerator) -> Schema {
    duration("d >= duration('1s')", "must be at least 1s, for example 30s")
}

/// A time after which signals count as lost: one late scrape is not a loss.
pub(super) fn duration_from_10s(_: &mut SchemaGenerator) -> Schema {
    duration("d >= duration('10s')", "must be at least 10s, for example 5m")
}

/// How long a schedule lasts: cron has no finer step.
pub(super) fn duration_from_1m(_: &mut SchemaGenerator) -> Schema {
    duration("d >= duration('1m')", "must be at least 1m, for example 10h")
}

/// A rate window.
pub(super) fn window(_: &mut SchemaGenerator) -> Schema {
    duration("d >= duration('5s') && d <= duration('1h')", "must be from 5s to 1h, at least four scrape intervals")
}

/// A share strictly between 0 and 1, as text, because Kubernetes APIs hold no floating-point numbers.
pub(super) fn share(_: &mut SchemaGenerator) -> Schema {
    text(12, r"^0?\.[0-9]*[1-9][0-9]*$", "must be a number between 0 and 1 as text, for example \"0.99\"")
}

/// Name of a signal.
pub(super) fn label(_: &mut SchemaGenerator) -> Schema {
    text(LABEL_LENGTH, "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "must be a name of a-z, 0-9 and -, for example requests")
}

/// Name of a container, or `*`.
pub(super) fn container(_: &mut SchemaGenerator) -> Schema {
    text(
        LABEL_LENGTH,
        r"^(\*|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$",
        "must be the name of a container (a-z, 0-9 and -), or \"*\" for every container",
    )
}

/// An API version, with its group.
pub(super) fn api_version(_: &mut SchemaGenerator) -> Schema {
    text(128, "^([a-z0-9.-]+/)?v[0-9][a-z0-9]*$", "must be an API version, for example apps/v1")
}

/// A kind.
pub(super) fn kind(_: &mut SchemaGenerator) -> Schema {
    text(LABEL_LENGTH, "^[A-Z][A-Za-z0-9]*$", "must be a kind, for example Deployment")
}

/// Name of an object.
pub(super) fn object(_: &mut SchemaGenerator) -> Schema {
    text(NAME_LENGTH, "^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", "must be the name of an object: a-z, 0-9, - and .")
}

/// Base name of a Prometheus metric.
pub(super) fn metric(_: &mut SchemaGenerator) -> Schema {
    text(NAME_LENGTH, "^[a-zA-Z_:][a-zA-Z0-9_:]*$", "must be the name of a metric: letters, digits, _ and :")
}

/// Name of a stream or consumer.
pub(super) fn jetstream_name(_: &mut SchemaGenerator) -> Schema {
    text(NAME_LENGTH, r"^[^\s.*>/\\]+$", "must be a name without spaces and without . * > / \\")
}

/// A base URL: no credentials, which would end up in logs, and no path.
pub(super) fn base_url(_: &mut SchemaGenerator) -> Schema {
    let pattern = format!("^https?://{AUTHORITY}/?$");
    text(NAME_LENGTH, &pattern, "must be scheme, host and port only, for example http://nats.memes:8222")
}

/// Base URLs, at least one.
pub(super) fn base_urls(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": 16,
        "x-kubernetes-list-type": "set",
        "items": base_url(generator),
    })
}

/// Host and port.
pub(super) fn address(_: &mut SchemaGenerator) -> Schema {
    text(NAME_LENGTH, &format!("^{AUTHORITY}:[0-9]+$"), "must be host and port, for example redis.memes:6379")
}
