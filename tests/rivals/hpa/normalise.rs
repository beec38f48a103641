//! `hpa_normalise`: sequences of proposals, stabilised, limited, applied.

use std::collections::BTreeMap;

use arbiter::simulate::rivals::hpa::{
    behavior::{Behavior, Rules, Select, StepPolicy, StepUnit, WrittenRules},
    normalise::{Bounds, Limit},
    reconcile::{Autoscaler, HpaSpec, MetricProposal, Reconciled},
    words::{MetricKind, RescaleReason},
};
use serde::Deserialize;

use crate::Tally;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sequence {
    id: u64,
    min_replicas: Option<i32>,
    max_replicas: i32,
    #[serde(rename = "downscaleStabilizationS")]
    downscale_stabilization: f64,
    behavior: Option<CaseBehavior>,
    effective_behavior: Option<CaseBehavior>,
    steps: Vec<Step>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CaseBehavior {
    scale_up: Option<CaseRules>,
    scale_down: Option<CaseRules>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CaseRules {
    stabilization_window_seconds: Option<f64>,
    select_policy: Option<String>,
    policies: Option<Vec<CasePolicy>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CasePolicy {
    #[serde(rename = "type")]
    unit: String,
    value: i32,
    period_seconds: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    t: f64,
    current: i32,
    proposal: Option<i32>,
    #[serde(default)]
    restart: bool,
    min_replicas: Option<i32>,
    max_replicas: Option<i32>,
    #[serde(default)]
    update_fails: bool,
    expect: Expect,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Expect {
    desired: i32,
    rescaled: bool,
    #[serde(default)]
    error: bool,
    stabilized: Option<i32>,
    stabilize_reason: Option<String>,
    limited: Option<bool>,
    limit_reason: Option<String>,
    conditions: BTreeMap<String, String>,
    #[serde(default)]
    events: Vec<String>,
    rescale_reason: Option<String>,
}

impl CaseRules {
    fn written(&self) -> Result<WrittenRules, String> {
        let select = match self.select_policy.as_deref() {
            None => None,
            Some("Max") => Some(Select::Max),
            Some("Min") => Some(Select::Min),
            Some("Disabled") => Some(Select::Disabled),
            Some(other) => return Err(format!("unknown selectPolicy {other}")),
        };
        let policies = self.policies.as_ref().map(|policies| policies.iter().map(CasePolicy::step).collect());
        Ok(WrittenRules { window: self.stabilization_window_seconds, select, policies: policies.transpose()? })
    }
}

impl CasePolicy {
    fn step(&self) -> Result<StepPolicy, String> {
        let unit = match self.unit.as_str() {
            "Pods" => StepUnit::Pods,
            "Percent" => StepUnit::Percent,
            other => return Err(format!("unknown policy type {other}")),
        };
        Ok(StepPolicy { unit, value: self.value, period: self.period_seconds })
    }
}

impl CaseBehavior {
    /// With everything written, as the API server stores it; only the window of the controller's flag may be absent.
    fn resolved(&self, window: f64) -> Result<Behavior, String> {
        let rules = |rules: &Option<CaseRules>| {
            let written = rules.as_ref().ok_or("an effective behavior has both directions")?.written()?;
            Ok::<_, String>(Rules {
                window: written.window.unwrap_or(window),
                select: written.select.ok_or("an effective behavior has a selectPolicy")?,
                policies: written.policies.ok_or("an effective behavior has policies")?,
            })
        };
        Ok(Behavior { up: rules(&self.scale_up)?, down: rules(&self.scale_down)? })
    }
}

impl Sequence {
    /// The behavior with our defaults.
    fn behavior(&self) -> Result<Option<Behavior>, String> {
        let written =
            |rules: &Option<CaseRules>| rules.as_ref().map_or(Ok(WrittenRules::default()), CaseRules::written);
        let defaulted = |behavior: &CaseBehavior| {
            let (up, down) = (written(&behavior.scale_up)?, written(&behavior.scale_down)?);
            Ok::<_, String>(Behavior::defaulted(&up, &down, self.downscale_stabilization))
        };
        self.behavior.as_ref().map(defaulted).transpose()
    }
}

fn worded(seen: &Reconciled, hpa: &Autoscaler) -> Expect {
    let status = |condition: &arbiter::simulate::rivals::hpa::words::Condition| {
        format!("{}/{}", if condition.status { "True" } else { "False" }, condition.reason)
    };
    let reason = |reason: RescaleReason| match reason {
        RescaleReason::AboveMax => "above_max",
        RescaleReason::BelowMin => "below_min",
        RescaleReason::MetricAboveTarget => "metric_above_target",
        RescaleReason::AllBelowTarget => "all_below_target",
        RescaleReason::Unexplained => "none",
    };
    Expect {
        desired: seen.desired,
        rescaled: seen.rescaled,
        error: seen.failed,
        stabilized: seen.normalised.map(|n| n.stabilized),
        stabilize_reason: seen.normalised.map(|n| n.stabilisation.reason().to_owned()),
        limited: seen.normalised.map(|n| n.limit != Limit::WithinRange),
        limit_reason: seen.normalised.map(|n| n.limit.reason().to_owned()),
        conditions: hpa.conditions().iter().map(|(kind, c)| (kind.name().to_owned(), status(c))).collect(),
        events: seen.events.iter().map(|&event| event.to_owned()).collect(),
        rescale_reason: seen.reason.map(|r| reason(r).to_owned()),
    }
}

/// Replays a sequence; each step is a case, the defaults of `behavior` are one more.
pub fn replay(line: &str) -> Result<Tally, String> {
    let sequence: Sequence = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let mut tally = Tally::default();
    let behavior = sequence.behavior()?;
    let window = sequence.downscale_stabilization;
    let effective = sequence.effective_behavior.as_ref().map(|b| b.resolved(window)).transpose()?;
    let defaults = || format!("sequence {}: defaults {behavior:?} instead of {effective:?}", sequence.id);
    tally.case((behavior != effective).then(defaults));
    let bounds = Bounds { min: sequence.min_replicas.unwrap_or(1), max: sequence.max_replicas };
    let mut hpa = Autoscaler::new(HpaSpec { bounds, behavior, downscale_window: window, outliving_metric: true });
    for step in &sequence.steps {
        if step.restart {
            hpa.restart();
        }
        let bounds = &mut hpa.spec.bounds;
        *bounds = Bounds { min: step.min_replicas.unwrap_or(bounds.min), max: step.max_replicas.unwrap_or(bounds.max) };
        let metric = MetricProposal { kind: MetricKind::External, replicas: step.proposal };
        let seen = hpa.reconcile(step.t, step.current, || vec![metric], |_| !step.update_fails);
        let answer = worded(&seen, &hpa);
        let difference = || format!("sequence {} at {}: {answer:?} instead of {:?}", sequence.id, step.t, step.expect);
        tally.case((answer != step.expect).then(difference));
    }
    Ok(tally)
}
