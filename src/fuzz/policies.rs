//! Policies as people write them, and the queries in them.

use promql_parser::parser::Expr;
use serde_json::Value;

use super::is_a_line;
use crate::{
    api::{ScalingPolicy, ScalingPolicySpec},
    cli::judged,
    observe::{
        prometheus::promql,
        signals::{probe, prometheus::Questions},
        tenancy::Tenancy,
    },
    policy::{Policy, Problem, Source, compile},
};

/// The namespace that confined policies have here.
const OWN: &str = "shop";

/// A file of policies: each problem is one line with a place; a policy without problems has sound bounds and finite
/// numbers, survives being written down, and confining it leaves nothing of other namespaces in it.
pub(super) fn policy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (sound, problems) = judged("policy.yaml", text);
    for problem in &problems {
        assert!(problem.starts_with("policy.yaml:") && is_a_line(problem), "{problem:?}");
    }
    for policy in sound {
        check(policy);
    }
    // As the controller gets it, from a cluster whose definition is older: without the schema's checks.
    for spec in specs(text) {
        let mut policy = ScalingPolicy::new("web", spec);
        policy.metadata.namespace = Some(OWN.to_owned());
        match compile(&policy) {
            Ok(policy) => check(policy),
            Err(problems) => refused(&problems),
        }
    }
}

fn specs(text: &str) -> Vec<ScalingPolicySpec> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap_or_default();
    documents.into_iter().filter_map(|mut d| serde_json::from_value(d.get_mut("spec")?.take()).ok()).collect()
}

fn refused(problems: &[Problem]) {
    assert!(!problems.is_empty(), "refused without a problem");
    for problem in problems {
        assert!(problem.path.starts_with("spec.") && !problem.message.is_empty(), "{problem:?}");
        assert!(is_a_line(&problem.to_string()), "{problem:?}");
    }
}

fn check(mut policy: Policy) {
    assert!(policy.replicas.min <= policy.replicas.max && policy.replicas.max.0 > 0, "{:?}", policy.replicas);
    let objective = &policy.objective;
    assert!(objective.utilization > 0.0 && objective.utilization <= 1.0, "utilization {}", objective.utilization);
    let positive = |seconds: f64| seconds.is_finite() && seconds > 0.0;
    assert!(
        objective.latency.as_ref().is_none_or(|l| positive(l.target.get()) && l.objective > 0.0 && l.objective < 1.0)
    );
    assert!(objective.backlog.as_ref().is_none_or(|b| positive(b.drain_within.get())));
    assert!(policy.on_signal_loss.is_none_or(|l| positive(l.after.get()) && l.min_replicas <= policy.replicas.max));
    for rule in policy.containers.named.values().chain([&policy.containers.default]) {
        let cores = [rule.cpu_min, rule.cpu_max].into_iter().flatten();
        assert!(cores.into_iter().all(|c| c.get().is_finite() && c.get() > 0.0), "{rule:?}");
        assert!(rule.cpu_min.zip(rule.cpu_max).is_none_or(|(min, max)| min <= max), "{rule:?}");
        assert!(rule.memory_min.zip(rule.memory_max).is_none_or(|(min, max)| min <= max), "{rule:?}");
    }
    let text = serde_json::to_string(&policy).expect("a policy can be written");
    assert_eq!(serde_json::from_str::<Policy>(&text).expect("what was written can be read"), policy);
    OWN.clone_into(&mut policy.key.namespace);
    match Tenancy::new([], Vec::new(), []).confine(&mut policy) {
        Ok(()) => policy.signals.iter().for_each(|signal| confined(&signal.source)),
        Err(problems) => refused(&problems),
    }
}

fn confined(source: &Source) {
    match source {
        Source::Prometheus { query } => every_selector_is_pinned(query),
        Source::PrometheusHistogram { matchers, .. } => {
            assert_eq!(matchers.get("namespace").map(String::as_str), Some(OWN));
        }
        Source::NatsJetStream { monitoring_urls, .. } => {
            let host = |url: &String| reqwest::Url::parse(url).ok()?.domain().map(str::to_owned);
            let own = |url: &String| host(url).is_some_and(|host| host.split('.').nth(1) == Some(OWN));
            assert!(monitoring_urls.iter().all(own), "{monitoring_urls:?}");
        }
    }
}

/// A query: confined, it pins its namespace in every selector, whatever it was; its probes can be asked.
pub(super) fn promql(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let confine = |mut policy: Policy| Tenancy::new([], Vec::new(), []).confine(&mut policy).map(|()| policy);
    match with_query(text).and_then(confine) {
        Ok(policy) => {
            policy.signals.iter().for_each(|signal| confined(&signal.source));
            let Source::Prometheus { query } = &policy.signals[0].source else { unreachable!("it is a query") };
            let questions = Questions::of(query).expect("what was confined parses");
            for selector in &questions.selectors {
                every_selector_is_pinned(&probe::query(selector, "namespace=\"shop\""));
            }
        }
        Err(problems) => refused(&problems),
    }
}

fn with_query(query: &str) -> Result<Policy, Vec<Problem>> {
    let spec = serde_json::json!({"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "signals": [{"name": "load", "role": "Demand", "prometheus": {"query": query}}]});
    let mut policy = ScalingPolicy::new("web", serde_json::from_value(spec).expect("a spec"));
    policy.metadata.namespace = Some(OWN.to_owned());
    compile(&policy)
}

fn every_selector_is_pinned(query: &str) {
    let mut expr: Expr = promql::parse(query).expect("what was confined parses");
    promql::each_selector(&mut expr, &mut |matchers| {
        let groups = if matchers.or_matchers.is_empty() {
            std::slice::from_ref(&matchers.matchers)
        } else {
            matchers.or_matchers.as_slice()
        };
        for group in groups {
            let own = group.iter().filter(|m| m.name == "namespace").map(ToString::to_string).collect::<Vec<_>>();
            assert!(own.iter().all(|m| m == "namespace=\"shop\"") && !own.is_empty(), "{query}: {group:?}");
        }
    });
}
