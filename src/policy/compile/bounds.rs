//! Bounds: `spec.replicas`, `spec.containers`, `spec.resize`.

use std::collections::BTreeMap;

use super::Problems;
use crate::{
    api::{self, IntOrText, Role, ScalingPolicySpec, SizeRange},
    policy::{ContainerRule, ContainerRules, MaxUnavailable, ReplicaRange, ResizeRules, ResizeStrategy},
    units::{Quantity, Replicas},
};

/// Bounds when the spec gives none.
const DEFAULT_REPLICAS: ReplicaRange = ReplicaRange { min: Replicas(1), max: Replicas(10) };

/// The name that stands for every container that is not named.
const ANY: &str = "*";

/// Longest name of a container, as for every DNS label.
const MAX_NAME: usize = 63;

pub(super) fn replicas(given: Option<&api::Replicas>, problems: &mut Problems) -> ReplicaRange {
    let Some(given) = given else { return DEFAULT_REPLICAS };
    let min = given.min.map_or(Some(DEFAULT_REPLICAS.min.0), |min| u32::try_from(min).ok());
    let max = given.max.map_or(Some(DEFAULT_REPLICAS.max.0), |max| u32::try_from(max).ok().filter(|max| *max > 0));
    if min.is_none() {
        problems.invalid("spec.replicas.min", "must not be negative");
    }
    if max.is_none() {
        problems.invalid("spec.replicas.max", "must be at least 1");
    }
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        let hint = if given.max.is_none() { " (the default)" } else { "" };
        problems
            .invalid("spec.replicas.min", format!("is {min}, and max is {max}{hint}: min must not be more than max"));
    }
    ReplicaRange {
        min: Replicas(min.unwrap_or(DEFAULT_REPLICAS.min.0)),
        max: Replicas(max.unwrap_or(DEFAULT_REPLICAS.max.0)),
    }
}

/// Zero replicas need something that is measured without pods and says that work has come.
pub(super) fn zero(spec: &ScalingPolicySpec, range: ReplicaRange, problems: &mut Problems) {
    if range.min != Replicas(0) {
        return;
    }
    let brings_work = |s: &&api::Signal| matches!(s.role, Role::Demand | Role::Backlog);
    if spec.signals.iter().any(super::wakes) {
        return;
    }
    let hint = match spec.signals.iter().enumerate().find(|(_, s)| brings_work(s)) {
        Some((index, _)) => format!("if spec.signals[{index}] is measured without pods, set its survivesZero: true"),
        None => "add a signal with role: Backlog (a queue), or one with role: Demand and survivesZero: true".to_owned(),
    };
    problems.invalid("spec.replicas.min", format!("is 0, and no signal tells of work while no pod runs: {hint}"));
}

pub(super) fn containers(given: &[api::ContainerRule], problems: &mut Problems) -> ContainerRules {
    let mut named = BTreeMap::new();
    let mut default = None;
    for (index, rule) in given.iter().enumerate() {
        let path = format!("spec.containers[{index}]");
        let (cpu_min, cpu_max) = range(rule.cpu.as_ref(), &format!("{path}.cpu"), problems);
        let (memory_min, memory_max) = range(rule.memory.as_ref(), &format!("{path}.memory"), problems);
        let compiled = ContainerRule {
            cpu_min: cpu_min.map(Quantity::cores),
            cpu_max: cpu_max.map(Quantity::cores),
            memory_min: memory_min.map(Quantity::bytes),
            memory_max: memory_max.map(Quantity::bytes),
            limits: rule.limits.unwrap_or_default(),
        };
        if rule.name != ANY && !is_label(&rule.name) {
            problems.invalid(
                format!("{path}.name"),
                format!("\"{}\" is not a container name: use a-z, 0-9 and -, or \"*\" for every container", rule.name),
            );
        }
        let twice = if rule.name == ANY {
            default.replace(compiled).is_some()
        } else {
            named.insert(rule.name.clone(), compiled).is_some()
        };
        if twice {
            problems.invalid(
                format!("{path}.name"),
                format!("container \"{}\" has a rule already: name it once", rule.name),
            );
        }
    }
    ContainerRules { named, default: default.unwrap_or_default() }
}

/// Whether a text is a DNS label, which names of containers and signals are.
pub(super) fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.len() <= MAX_NAME
        && text.bytes().all(|b| inner(b) || b == b'-')
        && text.bytes().next().is_some_and(inner)
        && text.bytes().last().is_some_and(inner)
}

fn range(given: Option<&SizeRange>, path: &str, problems: &mut Problems) -> (Option<Quantity>, Option<Quantity>) {
    let Some(given) = given else { return (None, None) };
    let mut read = |value: Option<&IntOrText>, name: &str| {
        let path = format!("{path}.{name}");
        let quantity = problems.take(&path, value?.text().parse::<Quantity>().map_err(|error| error.to_string()))?;
        if quantity <= Quantity::from_nanos(0) {
            problems.invalid(path, format!("is {quantity}, and must be more than 0"));
        }
        Some(quantity)
    };
    let min = read(given.min.as_ref(), "min");
    let max = read(given.max.as_ref(), "max");
    if let (Some(low), Some(high)) = (min, max)
        && low > high
    {
        let written = |value: &Option<IntOrText>| value.as_ref().map(IntOrText::text).unwrap_or_default();
        problems.invalid(
            format!("{path}.min"),
            format!("is {}, and max is {}: min must not be more than max", written(&given.min), written(&given.max)),
        );
    }
    (min, max)
}

pub(super) fn resize(given: Option<&api::Resize>, problems: &mut Problems) -> ResizeRules {
    let default = ResizeRules::default();
    let Some(given) = given else { return default };
    let mut max_unavailable = default.max_unavailable;
    if let Some(text) = given.max_unavailable.as_ref().map(IntOrText::text) {
        match count_or_percent(&text) {
            Some(most) => max_unavailable = most,
            None => problems.invalid(
                "spec.resize.maxUnavailable",
                format!("\"{text}\" is not a number of pods from 1, nor a percentage from 1% to 100%"),
            ),
        }
    }
    let trims = given.trims_per_pod_per_day.map_or(Some(default.trims_per_pod_per_day), |t| u32::try_from(t).ok());
    if trims.is_none() {
        problems.invalid("spec.resize.trimsPerPodPerDay", "must not be negative: 0 means none");
    }
    let strategy = match given.strategy {
        Some(api::ResizeStrategy::Initial) => ResizeStrategy::Initial,
        Some(api::ResizeStrategy::InPlaceOrRecreate) => ResizeStrategy::InPlaceOrRecreate,
        Some(api::ResizeStrategy::InPlaceOnly) | None => default.strategy,
    };
    ResizeRules { strategy, trims_per_pod_per_day: trims.unwrap_or(default.trims_per_pod_per_day), max_unavailable }
}

fn count_or_percent(text: &str) -> Option<MaxUnavailable> {
    let share = text.strip_suffix('%');
    let digits = share.unwrap_or(text);
    let most = if share.is_some() { 100 } else { 999_999 };
    let number = digits.parse::<u32>().ok().filter(|_| !digits.starts_with(['0', '+']));
    let number = number.filter(|number| (1..=most).contains(number))?;
    Some(if share.is_some() { MaxUnavailable::Percent(number) } else { MaxUnavailable::Pods(number) })
}
