//! The dashboards and alerts name only metrics that exist, and every alert has its line in the docs.

#![expect(clippy::panic, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, fs, path::Path};

use arbiter::serve::catalogue;
use promql_parser::{
    parser::{self, Expr},
    util::{ExprVisitor, walk_expr},
};

#[path = "common/dashboards.rs"]
mod dashboards;

/// Collects the metric names of an expression.
#[derive(Default)]
struct Names(BTreeSet<String>);

impl ExprVisitor for Names {
    type Error = String;

    fn pre_visit(&mut self, expr: &Expr) -> Result<bool, String> {
        let selector = match expr {
            Expr::VectorSelector(selector) => selector,
            Expr::MatrixSelector(matrix) => &matrix.vs,
            _ => return Ok(true),
        };
        self.0.insert(selector.name.clone().ok_or("a selector without a metric name")?);
        Ok(true)
    }
}

fn metrics(text: &str) -> Result<BTreeSet<String>, String> {
    let mut names = Names::default();
    walk_expr(&mut names, &parser::parse(text)?)?;
    Ok(names.0)
}

#[test]
fn every_metric_of_the_dashboards_and_alerts_is_in_the_catalogue() {
    let known: BTreeSet<String> = catalogue::series_names().collect();
    let expressions = dashboards::expressions("shop", "web");
    assert!(expressions.len() > 50, "only {} expressions found", expressions.len());
    for expression in expressions {
        let names =
            metrics(&expression.text).unwrap_or_else(|e| panic!("{}: {}: {e}", expression.place, expression.text));
        assert!(!names.is_empty(), "{}: no metric in {}", expression.place, expression.text);
        let unknown: Vec<_> = names.difference(&known).collect();
        assert!(unknown.is_empty(), "{}: unknown {unknown:?}", expression.place);
    }
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
