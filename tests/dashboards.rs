//! The dashboards and alerts name only metrics that exist, and every alert has its line in the docs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use arbiter::serve::catalogue::{self, Metric, MetricKind};
use promql_parser::{
    parser::{self, Expr},
    util::{ExprVisitor, walk_expr},
};

#[path = "common/dashboards.rs"]
mod dashboards;

/// Labels that Prometheus itself gives or uses.
const FOREIGN_LABELS: [&str; 3] = ["instance", "job", "le"];

/// Collects metric names, each with the labels that its selector pins.
#[derive(Default)]
struct Selectors(Vec<(String, Vec<String>)>);

impl ExprVisitor for Selectors {
    type Error = String;

    fn pre_visit(&mut self, expr: &Expr) -> Result<bool, String> {
        let selector = match expr {
            Expr::VectorSelector(selector) => selector,
            Expr::MatrixSelector(matrix) => &matrix.vs,
            _ => return Ok(true),
        };
        let name = selector.name.clone().ok_or("a selector without a metric name")?;
        self.0.push((name, selector.matchers.matchers.iter().map(|m| m.name.clone()).collect()));
        Ok(true)
    }
}

fn selectors(text: &str) -> Result<Vec<(String, Vec<String>)>, String> {
    let mut found = Selectors::default();
    walk_expr(&mut found, &parser::parse(text)?)?;
    Ok(found.0)
}

/// Every series name of the catalogue with its labels; a histogram has three.
fn known() -> BTreeMap<String, &'static [&'static str]> {
    let series = |m: &'static Metric| {
        let suffixes: &[&str] = if m.kind == MetricKind::Histogram { &["_bucket", "_sum", "_count"] } else { &[""] };
        suffixes.iter().map(move |suffix| (format!("{}{suffix}", m.name), m.labels))
    };
    catalogue::ALL.iter().flat_map(series).collect()
}

#[test]
fn every_metric_and_label_of_the_dashboards_and_alerts_is_in_the_catalogue() {
    let known = known();
    let expressions = dashboards::expressions("shop", "web");
    assert!(expressions.len() > 50, "only {} expressions found", expressions.len());
    for expression in expressions {
        let place = &expression.place;
        let selectors = selectors(&expression.text).unwrap_or_else(|e| panic!("{place}: {}: {e}", expression.text));
        assert!(!selectors.is_empty(), "{place}: no metric in {}", expression.text);
        for (name, labels) in selectors {
            let has = known.get(&name).unwrap_or_else(|| panic!("{place}: unknown metric {name}"));
            let stray: Vec<_> =
                labels.iter().map(String::as_str).filter(|l| !has.contains(l) && !FOREIGN_LABELS.contains(l)).collect();
            assert!(stray.is_empty(), "{place}: {name} has no label {stray:?}");
        }
    }
}

/// The other way round: what is exposed is worth a look on some dashboard.
#[test]
fn every_metric_is_on_a_dashboard() {
    let used: BTreeSet<String> = dashboards::expressions("shop", "web")
        .iter()
        .flat_map(|e| selectors(&e.text).expect("checked above"))
        .map(|(name, _)| name.trim_end_matches("_bucket").to_owned())
        .collect();
    let unseen: Vec<_> = catalogue::ALL.iter().map(|m| m.name).filter(|name| !used.contains(*name)).collect();
    assert!(unseen.is_empty(), "on no dashboard: {unseen:?}");
}

#[test]
fn every_alert_has_its_runbook() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rules = fs::read_to_string(root.join("dashboards/rules/alerts.yaml")).unwrap();
    let docs = fs::read_to_string(root.join("docs/alerts.md")).unwrap();
    let rules: serde_json::Value = serde_saphyr::from_str(&rules).unwrap();
    let rules = rules["groups"][0]["rules"].as_array().unwrap();
    assert_eq!(rules.len(), 7);
    for rule in rules {
        let alert = rule["alert"].as_str().unwrap();
        assert!(docs.contains(&format!("\n## {alert}\n")), "docs/alerts.md has no section {alert}");
        let link = format!("docs/alerts.md#{}", alert.to_lowercase());
        assert_eq!(rule["annotations"]["runbook"], link, "{alert}");
    }
}
