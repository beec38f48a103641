//! `hpa_replicas`: one metric and its pods make a proposal.

use arbiter::simulate::rivals::hpa::{
    calculator::{Calculator, Failure, MetricError, Outcome, PodsMetric, Proposal, Tolerance},
    pods::{
        ContainerRequest, ContainerUsage, Phase, Pod, PodMetric, Readiness, ReadyCondition, StartUp, metric_of,
        request_of,
    },
    values::sum_of_series,
};
use serde::Deserialize;

use crate::Tally;

/// Window of a custom metric that names none.
const CUSTOM_WINDOW: f64 = 60.0;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    id: u64,
    kind: String,
    resource: Option<String>,
    container: Option<String>,
    now: f64,
    #[serde(rename = "cpuInitializationPeriodS")]
    cpu_initialization_period: f64,
    #[serde(rename = "initialReadinessDelayS")]
    initial_readiness_delay: f64,
    tolerance_down: f64,
    tolerance_up: f64,
    spec_replicas: i32,
    status_replicas: i32,
    target: i64,
    values_milli: Option<Vec<i64>>,
    value_timestamp: Option<f64>,
    #[serde(default)]
    metrics_api_error: bool,
    pods: Vec<CasePod>,
    #[serde(default)]
    stray_metrics: Vec<CasePod>,
    #[serde(default)]
    undefined_usage: bool,
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CasePod {
    phase: String,
    deleting: bool,
    start_time: Option<f64>,
    ready: Option<CaseReady>,
    #[serde(default)]
    containers: Vec<CaseContainer>,
    pod_request_milli: Option<i64>,
    metric: Option<CaseMetric>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CaseReady {
    status: String,
    last_transition: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CaseContainer {
    name: String,
    request_milli: Option<i64>,
    usage_milli: Option<i64>,
    init: Option<String>,
    #[serde(default)]
    unreported: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CaseMetric {
    timestamp: f64,
    #[serde(rename = "windowS")]
    window: Option<f64>,
    value_milli: Option<i64>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Expect {
    replicas: i32,
    utilization: Option<i32>,
    usage_milli: i64,
    timestamp: Option<f64>,
    error: Option<String>,
}

impl CasePod {
    /// Regular containers and init containers that restart: those that have requests and metrics.
    fn lasting(&self) -> impl Iterator<Item = &CaseContainer> {
        self.containers.iter().filter(|container| container.init.as_deref() != Some("plain"))
    }

    fn metric(&self, container: Option<&str>) -> Option<PodMetric> {
        let metric = self.metric.as_ref()?;
        let listed = self.lasting().filter(|c| !c.unreported);
        let usage: Vec<_> = listed.map(|c| ContainerUsage { name: &c.name, milli: c.usage_milli }).collect();
        let milli = metric.value_milli.or_else(|| metric_of(&usage, container))?;
        Some(PodMetric { timestamp: metric.timestamp, window: metric.window.unwrap_or(CUSTOM_WINDOW), milli })
    }

    fn pod(&self, container: Option<&str>) -> Pod {
        let requests: Vec<_> =
            self.lasting().map(|c| ContainerRequest { name: &c.name, milli: c.request_milli }).collect();
        Pod {
            phase: match self.phase.as_str() {
                "Pending" => Phase::Pending,
                "Running" => Phase::Running,
                "Succeeded" => Phase::Succeeded,
                "Failed" => Phase::Failed,
                _ => Phase::Unknown,
            },
            deleting: self.deleting,
            start_time: self.start_time,
            ready: self.ready.as_ref().map(|ready| ReadyCondition {
                status: match ready.status.as_str() {
                    "True" => Readiness::True,
                    "False" => Readiness::False,
                    _ => Readiness::Unknown,
                },
                last_transition: ready.last_transition,
            }),
            request: request_of(&requests, self.pod_request_milli, container),
            metric: self.metric(container),
        }
    }
}

/// What the re-made calculator answers.
fn outcome(case: &Case) -> Result<Outcome, String> {
    if case.metrics_api_error {
        return Ok(Err(MetricError::Api.into()));
    }
    let calculator = Calculator {
        tolerance: Tolerance { down: case.tolerance_down, up: case.tolerance_up },
        start_up: StartUp {
            cpu_initialization: case.cpu_initialization_period,
            initial_readiness_delay: case.initial_readiness_delay,
        },
    };
    let container = case.container.as_deref();
    let pods: Vec<_> = case.pods.iter().map(|pod| pod.pod(container)).collect();
    let strays: Vec<_> = case.stray_metrics.iter().filter_map(|pod| pod.metric(container)).collect();
    let first = case.pods.iter().chain(&case.stray_metrics).find_map(|pod| pod.metric.as_ref());
    let metric = PodsMetric {
        pods: &pods,
        strays: &strays,
        cpu: case.resource.as_deref() == Some("cpu"),
        timestamp: first.map(|metric| metric.timestamp),
    };
    let series = case.values_milli.as_deref().unwrap_or_default();
    let timestamp = case.value_timestamp.unwrap_or_default();
    Ok(match case.kind.as_str() {
        "resource_utilization" | "container_resource_utilization" => {
            let percent = i32::try_from(case.target).map_err(|_| "a target beyond 32 bits".to_owned())?;
            calculator.utilization(case.spec_replicas, percent, metric, case.now)
        }
        "resource_average_value" | "container_resource_average_value" | "pods_average_value" => {
            calculator.average_value(case.spec_replicas, case.target, metric, case.now)
        }
        "object_value" => calculator.value(case.spec_replicas, case.target, one(series)?, &pods),
        "external_value" => sum_of_series(series)
            .map_err(Failure::from)
            .and_then(|usage| calculator.value(case.spec_replicas, case.target, usage, &pods)),
        "object_average_value" => {
            Ok(calculator.object_share(case.status_replicas, case.target, one(series)?, timestamp))
        }
        "external_average_value" => calculator.external_share(case.status_replicas, case.target, series, timestamp),
        kind => return Err(format!("unknown kind {kind}")),
    })
}

/// An object's value.
fn one(series: &[i64]) -> Result<i64, String> {
    match series {
        [value] => Ok(*value),
        _ => Err(format!("an object has one value, not {}", series.len())),
    }
}

/// An answer in the corpus's words.
fn worded(outcome: Outcome, kind: &str) -> Expect {
    match outcome {
        Ok(Proposal { replicas, utilization, usage, timestamp }) => {
            Expect { replicas, utilization, usage_milli: usage, timestamp, error: None }
        }
        Err(Failure { error, usage, timestamp }) => Expect {
            replicas: 0,
            utilization: kind.ends_with("_utilization").then_some(0),
            usage_milli: usage,
            timestamp,
            error: Some(error.category().to_owned()),
        },
    }
}

/// Compares a line. Cases flagged `extreme` are compared as well: conversions and overflows are upstream's.
pub fn replay(line: &str) -> Result<Tally, String> {
    let case: Case = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let mut answer = worded(outcome(&case)?, &case.kind);
    if case.undefined_usage {
        answer.usage_milli = case.expect.usage_milli;
    }
    let mut tally = Tally::default();
    let difference = || format!("case {} ({}): {answer:?} instead of {:?}", case.id, case.kind, case.expect);
    tally.case((answer != case.expect).then(difference));
    Ok(tally)
}
