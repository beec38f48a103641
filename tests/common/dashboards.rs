//! Every PromQL expression of `dashboards/`: panels, annotations, variables, alert rules.

use std::{fs, path::Path};

use serde_json::Value;

/// An expression as it is sent to Prometheus, and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Expression {
    /// File and panel or alert.
    pub(crate) place: String,
    /// PromQL, variables replaced.
    pub(crate) text: String,
}

/// All of them, for one namespace and policy in the place of the dashboards' variables.
pub(crate) fn expressions(namespace: &str, policy: &str) -> Vec<Expression> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards");
    let replace = |text: &str| {
        let named = text.replace("$namespace", namespace).replace("$policy", policy);
        named.replace("$hpa_target", "70").replace("$__interval", "15s")
    };
    let mut found = Vec::new();
    for file in ["overview.json", "workload.json"] {
        let text = fs::read_to_string(folder.join(file)).expect("a dashboard");
        let board: Value = serde_json::from_str(&text).expect("JSON");
        let mut add = |place: &str, text: &str| {
            let place = format!("{file}: {place}");
            found.push(Expression { place, text: replace(text) });
        };
        for panel in list(&board["panels"]) {
            for target in list(&panel["targets"]) {
                add(word(&panel["title"]), word(&target["expr"]));
            }
        }
        for annotation in list(&board["annotations"]["list"]) {
            add(word(&annotation["name"]), word(&annotation["expr"]));
        }
        for variable in list(&board["templating"]["list"]).iter().filter(|v| v["type"] == "query") {
            let query = word(&variable["query"]["query"]);
            let selector = query.strip_prefix("label_values(").and_then(|q| q.rsplit_once(',')).expect("label_values");
            add(word(&variable["name"]), selector.0);
        }
    }
    let text = fs::read_to_string(folder.join("rules/alerts.yaml")).expect("the alert rules");
    let rules: Value = serde_saphyr::from_str(&text).expect("YAML");
    for rule in list(&rules["groups"]).iter().flat_map(|group| list(&group["rules"])) {
        found.push(Expression {
            place: format!("alerts.yaml: {}", word(&rule["alert"])),
            text: replace(word(&rule["expr"])),
        });
    }
    found
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn word(value: &Value) -> &str {
    value.as_str().expect("a text")
}
