//! `spec.objective`, against the signals that it names.

use super::{Problems, parse_duration};
use crate::{
    api::{self, Role, ScalingPolicySpec},
    policy::{BacklogObjective, LatencyObjective, Objective},
    units::Seconds,
};

/// CPU used over CPU requested when nothing is said: what an HPA is commonly set to, and the model's anchor.
const DEFAULT_UTILIZATION: f64 = 0.7;

/// Share of good requests when a latency objective does not say.
const DEFAULT_SHARE: f64 = 0.99;

/// Shortest drain time: sources are polled every second.
const MIN_DRAIN: Seconds = Seconds(1.0);

/// Used where a value could not be read; the policy is refused anyway.
const UNREAD: Seconds = Seconds(1.0);

pub(super) fn compile(spec: &ScalingPolicySpec, problems: &mut Problems) -> Objective {
    let empty = api::Objective::default();
    let objective = spec.objective.as_ref().unwrap_or(&empty);
    let given = objective.utilization.as_ref().map(|u| u.cpu);
    if let Some(cpu) = given.filter(|cpu| !(1..=100).contains(cpu)) {
        problems.invalid("spec.objective.utilization.cpu", format!("is {cpu}, and must be a percentage from 1 to 100"));
    }
    Objective {
        latency: objective.latency.as_ref().map(|latency| compile_latency(spec, latency, problems)),
        backlog: objective.backlog.as_ref().map(|backlog| compile_backlog(spec, backlog, problems)),
        utilization: given.map_or(DEFAULT_UTILIZATION, |cpu| f64::from(cpu) / 100.0),
        utilization_given: given.is_some(),
        preference: objective.preference.unwrap_or_default(),
    }
}

fn compile_latency(
    spec: &ScalingPolicySpec,
    latency: &api::LatencyObjective,
    problems: &mut Problems,
) -> LatencyObjective {
    const PATH: &str = "spec.objective.latency";
    check_signal(spec, &latency.signal, Role::Latency, PATH, problems);
    let path = format!("{PATH}.target");
    let target = problems.take(&path, parse_duration(&latency.target));
    if target == Some(Seconds::ZERO) {
        problems.invalid(path, "must be more than 0, for example 250ms");
    }
    let share = latency
        .objective
        .as_deref()
        .map_or(Some(DEFAULT_SHARE), |text| problems.take(&format!("{PATH}.objective"), parse_share(text)));
    LatencyObjective {
        signal: latency.signal.clone(),
        target: target.unwrap_or(UNREAD),
        objective: share.unwrap_or(DEFAULT_SHARE),
    }
}

fn compile_backlog(
    spec: &ScalingPolicySpec,
    backlog: &api::BacklogObjective,
    problems: &mut Problems,
) -> BacklogObjective {
    const PATH: &str = "spec.objective.backlog";
    check_signal(spec, &backlog.signal, Role::Backlog, PATH, problems);
    let path = format!("{PATH}.drainWithin");
    let drain = problems.take(&path, parse_duration(&backlog.drain_within));
    if drain.is_some_and(|drain| drain < MIN_DRAIN) {
        problems.invalid(path, "must be at least 1s, for example 30s");
    }
    BacklogObjective { signal: backlog.signal.clone(), drain_within: drain.unwrap_or(UNREAD) }
}

/// A share strictly between 0 and 1, in the one form that the schema's pattern lets through.
fn parse_share(text: &str) -> Result<f64, String> {
    let digits = text.strip_prefix('0').unwrap_or(text).strip_prefix('.');
    let plain = digits.is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()));
    let share = if plain { text.parse().ok() } else { None };
    share.filter(|share: &f64| *share > 0.0 && *share < 1.0).ok_or_else(|| {
        format!("\"{text}\" is not a share of requests: write a number between 0 and 1 as text, for example \"0.99\"")
    })
}

fn check_signal(spec: &ScalingPolicySpec, name: &str, role: Role, parent: &str, problems: &mut Problems) {
    let path = format!("{parent}.signal");
    let Some((index, signal)) = spec.signals.iter().enumerate().find(|(_, signal)| signal.name == name) else {
        let names: Vec<&str> = spec.signals.iter().filter(|s| s.role == role).map(|s| s.name.as_str()).collect();
        let hint = if names.is_empty() {
            format!("add an entry to spec.signals with role: {role:?}")
        } else {
            format!("signals with role {role:?} are: {}", names.join(", "))
        };
        return problems.invalid(path, format!("there is no signal \"{name}\": {hint}"));
    };
    if signal.role != role {
        problems.invalid(
            path,
            format!(
                "signal \"{name}\" (spec.signals[{index}]) has role {:?}: name one with role {role:?}",
                signal.role
            ),
        );
    }
}
