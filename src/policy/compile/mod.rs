//! `compile`: a spec becomes a [`Policy`], or all its problems with their field paths.
//!
//! Every check of the definition's CEL rules is made here again: a spec may come from a file, or from a cluster whose
//! definition is older. What a later release will bring is refused by name, never ignored.
//!
//! Must not stop at the first problem, read a clock, or guess: a value that cannot be read gets no default.

mod behavior;
mod bounds;
mod duration;
mod later;
mod objective;
mod promql;
mod schedules;
mod signals;
#[cfg(test)]
mod tests;

pub use duration::parse_duration;
#[cfg(feature = "controller")]
pub(crate) use promql::{nodes as promql_nodes, parse as parse_promql};
pub(crate) use signals::wakes;

use super::{
    Levers, OnRival, Policy, PolicyKey, Prices, SignalLoss, Target, Tuning,
    problem::{Problem, Problems},
};
use crate::{
    api::{Lever, ScalingPolicy, ScalingPolicySpec, Takeover, TargetRef},
    units::{Replicas, Seconds},
};

/// Namespace of an object that names none, as `kubectl` has it.
const DEFAULT_NAMESPACE: &str = "default";

/// How long signals are gone before the floor of `onSignalLoss` is taken, when the spec does not say: the time that
/// Kubernetes itself waits before it moves pods away from a silent node.
const DEFAULT_SIGNAL_LOSS: Seconds = Seconds(300.0);

/// Shortest `onSignalLoss.after`: a scrape that comes late is not a loss.
const MIN_SIGNAL_LOSS: Seconds = Seconds(10.0);

/// Compiles a policy: every default resolved, every text parsed, or **all** problems in the order of the spec.
///
/// The result depends on the spec, the name and the namespace alone; prices are the default and belong to whoever
/// runs the policy.
pub fn compile(policy: &ScalingPolicy) -> Result<Policy, Vec<Problem>> {
    let spec = &policy.spec;
    let mut problems = Problems::default();
    let key = PolicyKey {
        namespace: policy.metadata.namespace.clone().unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()),
        name: policy.metadata.name.clone().unwrap_or_default(),
    };
    let target = target(&spec.target_ref, &mut problems);
    let levers = levers(spec, &mut problems);
    let signals = signals::compile(&spec.signals, &mut problems);
    let objective = objective::compile(spec, &mut problems);
    let replicas = bounds::replicas(spec.replicas.as_ref(), &mut problems);
    let containers = bounds::containers(&spec.containers, &mut problems);
    let behavior = behavior::compile(spec.behavior.as_ref(), &mut problems);
    let resize = bounds::resize(spec.resize.as_ref(), &mut problems);
    let on_signal_loss = signal_loss(spec, replicas.max, &mut problems);
    let schedules = schedules::compile(&spec.schedules, levers.replicas, replicas.max, &mut problems);
    bounds::zero(spec, replicas, &mut problems);
    later::refuse(spec, &mut problems);
    let problems = problems.into_vec();
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Policy {
        key,
        target,
        mode: spec.mode,
        levers,
        objective,
        replicas,
        containers,
        signals,
        behavior,
        resize,
        schedules,
        on_signal_loss,
        on_rival: spec.on_rival.unwrap_or(OnRival::Floor),
        takes_over_from_git: spec.takeover == Some(Takeover::Force),
        prices: Prices::default(),
        tuning: Tuning::default(),
    })
}

fn target(target: &TargetRef, problems: &mut Problems) -> Target {
    for (field, value) in [("apiVersion", &target.api_version), ("kind", &target.kind), ("name", &target.name)] {
        if value.is_empty() {
            problems.invalid(format!("spec.targetRef.{field}"), "must not be empty");
        }
    }
    if !target.api_version.is_empty() && !is_api_version(&target.api_version) {
        problems.invalid(
            "spec.targetRef.apiVersion",
            format!("\"{}\" is not an API version: write group/version, for example apps/v1", target.api_version),
        );
    }
    match target.kind.as_str() {
        "DaemonSet" => problems.invalid(
            "spec.targetRef.kind",
            "a DaemonSet runs one pod per node and has no replica count to decide: name a Deployment or a StatefulSet",
        ),
        "Job" | "CronJob" | "Pod" => problems.invalid(
            "spec.targetRef.kind",
            format!(
                "a {} has no scale subresource: name a Deployment, a StatefulSet or another kind that has one",
                target.kind
            ),
        ),
        _ => {}
    }
    if let Some(c) = target.name.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-' | '.')) {
        problems.invalid(
            "spec.targetRef.name",
            format!("\"{}\" is not a name of an object: '{c}' is not allowed, use a-z, 0-9, - and .", target.name),
        );
    }
    Target { api_version: target.api_version.clone(), kind: target.kind.clone(), name: target.name.clone() }
}

fn is_api_version(text: &str) -> bool {
    let (group, version) = text.split_once('/').unwrap_or(("core", text));
    let is_version = version.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    !group.is_empty() && is_version && !version.contains('/')
}

fn levers(spec: &ScalingPolicySpec, problems: &mut Problems) -> Levers {
    let Some(list) = &spec.levers else { return Levers::ALL };
    if list.is_empty() {
        problems
            .invalid("spec.levers", "must not be empty: name at least one of Replicas, Cpu, Memory, or leave it out");
    }
    for (index, lever) in list.iter().enumerate().filter(|(index, lever)| list[..*index].contains(lever)) {
        problems.invalid(format!("spec.levers[{index}]"), format!("{lever:?} is named twice"));
    }
    Levers {
        replicas: list.contains(&Lever::Replicas),
        cpu: list.contains(&Lever::Cpu),
        memory: list.contains(&Lever::Memory),
    }
}

fn signal_loss(spec: &ScalingPolicySpec, max: Replicas, problems: &mut Problems) -> Option<SignalLoss> {
    let loss = spec.on_signal_loss.as_ref()?;
    let path = "spec.onSignalLoss.after";
    let after = match loss.after.as_deref().map(parse_duration) {
        None => DEFAULT_SIGNAL_LOSS,
        Some(parsed) => problems.take(path, parsed).unwrap_or(DEFAULT_SIGNAL_LOSS),
    };
    if after < MIN_SIGNAL_LOSS {
        problems.invalid(path, "must be at least 10s: one late scrape is not a loss");
    }
    let path = "spec.onSignalLoss.minReplicas";
    let min_replicas = Replicas(u32::try_from(loss.min_replicas).unwrap_or(0));
    if min_replicas.0 == 0 {
        problems.invalid(path, format!("is {}, and must be at least 1", loss.min_replicas));
    } else if min_replicas > max {
        problems.invalid(path, format!("is {min_replicas}, and replicas.max is {max}: raise max or lower this floor"));
    }
    Some(SignalLoss { after, min_replicas })
}
