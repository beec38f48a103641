//! Tests of the schema: what is generated lies in the tree, every field is described and bounded, and the structural
//! check says what is wrong.

use std::{fs, path::PathBuf};

use kube::{CustomResourceExt, Resource};
use serde_json::{Value, json};

use super::*;

fn file(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}: run make crds", path.display()))
}

#[test]
fn what_is_generated_is_what_lies_in_the_tree() {
    for plural in DEFINITIONS {
        let generated = definition_yaml(plural).expect("a definition");
        assert_eq!(file(&format!("crds/autoscaling.arbiter.io_{plural}.yaml")), generated, "run make crds");
    }
    assert_eq!(file("docs/reference/scalingpolicy.md"), docs::markdown(), "run make crds");
}

#[test]
fn the_printed_definition_reads_back_as_the_definition() {
    for (plural, definition) in [("scalingpolicies", crd()), ("podsizes", pod_sizes_crd())] {
        let read: Value = serde_saphyr::from_str(&definition_yaml(plural).expect("a definition")).expect("YAML");
        assert_eq!(read, serde_json::to_value(definition).expect("JSON"));
    }
}

#[test]
fn names_are_the_contract() {
    assert_eq!(ScalingPolicy::group(&()), GROUP);
    assert_eq!(ScalingPolicy::api_version(&()), "autoscaling.arbiter.io/v1alpha1");
    assert_eq!(ScalingPolicy::crd_name(), "scalingpolicies.autoscaling.arbiter.io");
    let definition = crd().spec;
    assert_eq!(definition.names.short_names, Some(vec!["spol".to_owned()]));
    let version = &definition.versions[0];
    let columns: Vec<&str> = version.additional_printer_columns.iter().flatten().map(|c| c.name.as_str()).collect();
    assert_eq!(columns, ["Target", "Mode", "Replicas", "Desired", "CPU", "Memory", "Reason", "Age"]);
    assert!(version.subresources.as_ref().is_some_and(|s| s.status.is_some()));
}

/// Every field below a schema, with its path and whether its parent requires it.
fn fields<'a>(path: &str, schema: &'a Value, found: &mut Vec<(String, &'a Value, bool)>) {
    let required = schema["required"].as_array();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let is_required = required.is_some_and(|names| names.contains(&Value::from(name.as_str())));
        found.push((path.clone(), field, is_required));
        fields(&path, field, found);
        fields(&format!("{path}[]"), &field["items"], found);
    }
}

#[test]
fn every_field_is_described_and_every_optional_one_says_its_default() {
    let root = schema::root();
    let mut all = Vec::new();
    fields("spec", &root["properties"]["spec"], &mut all);
    assert!(all.len() > 80, "only {} fields", all.len());
    for (path, field, required) in &all {
        let (meaning, default) = docs::description(field);
        assert!(meaning.ends_with('.'), "{path}: {meaning:?}");
        assert_eq!(default.is_empty(), *required, "{path}: a default is said for what may be left out, and only there");
    }
    let mut status = Vec::new();
    fields("status", &root["properties"]["status"], &mut status);
    for (path, field, _) in &status {
        assert!(!docs::description(field).0.is_empty(), "{path} is not described");
    }
}

#[test]
fn every_list_map_and_text_of_the_spec_is_bounded() {
    let root = schema::root();
    let mut all = Vec::new();
    fields("spec", &root["properties"]["spec"], &mut all);
    for (path, field, _) in all {
        let bounded = |field: &Value, key: &str| field[key].is_u64() || field["enum"].is_array();
        let is_bounded = match field["type"].as_str() {
            Some("string") | None => bounded(field, "maxLength"),
            Some("array") => bounded(field, "maxItems"),
            Some("object") if field.get("additionalProperties").is_some() => bounded(field, "maxProperties"),
            Some(_) => true,
        };
        assert!(is_bounded, "{path}: {field}");
        let items = &field["items"];
        assert!(items["type"] != "string" || bounded(items, "maxLength"), "{path}[]: {items}");
        assert!(field.get("nullable").is_none(), "{path}");
    }
}

fn violations(spec: &Value) -> Vec<String> {
    schema::check(&json!({"spec": spec})).into_iter().map(|v| format!("{}: {}", v.path, v.message)).collect()
}

#[test]
fn the_structural_check_says_everything_at_once() {
    let found = violations(&json!({
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment"},
        "mode": "auto",
        "replica": {"min": 1},
        "levers": [],
        "containers": [{"name": "app", "cpu": {"min": 1.5, "max": null}}],
        "signals": "requests",
        "onSignalLoss": {"after": 5, "minReplicas": 0},
        "allowVolumeDeletion": "yes",
    }));
    let expected = [
        "spec.allowVolumeDeletion: must be true or false, and is text",
        "spec.containers[0].cpu.max: must be a whole number or text, and is empty: give a value or leave the field out",
        "spec.containers[0].cpu.min: must be a whole number or text, and is a number with decimals: write \"1.5\" in quotes",
        "spec.levers: must not be empty",
        "spec.mode: \"auto\" is not known: use Recommend, Auto, Paused; did you mean Auto?",
        "spec.onSignalLoss.after: must be text, and is a whole number: write \"5\" in quotes",
        "spec.onSignalLoss.minReplicas: is 0, and must be at least 1",
        "spec.replica: is not a field of ScalingPolicy; did you mean replicas?",
        "spec.signals: must be a list, and is text",
        "spec.targetRef.name: is required and missing",
    ];
    let mut found = found;
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn what_passes_the_structural_check_deserializes() {
    let spec = json!({
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "containers": [{"name": "app", "cpu": {"min": 1, "max": "4"}}],
        "signals": [{"name": "a", "role": "Demand", "prometheus": {"query": "up"}}],
    });
    assert_eq!(violations(&spec), Vec::<String>::new());
    let read: ScalingPolicySpec = serde_json::from_value(spec.clone()).expect("a spec");
    let mut written = serde_json::to_value(&read).expect("JSON");
    // The one default that the definition itself fills in.
    assert_eq!(written.as_object_mut().and_then(|spec| spec.remove("mode")), Some(json!("Recommend")));
    assert_eq!(written, spec);
}

#[test]
fn a_condition_turns_only_when_its_status_does() {
    use conditions::{ConditionStatus, ConditionType, NewCondition, find, set};
    let at = |second| jiff::Timestamp::from_second(second).expect("a time");
    let new = |status, message| NewCondition { type_: ConditionType::Ready, status, reason: "Why", message };
    let mut list = Vec::new();
    assert!(set(&mut list, &new(ConditionStatus::False, "one"), Some(1), at(1)));
    assert!(!set(&mut list, &new(ConditionStatus::False, "one"), Some(2), at(2)));
    assert!(set(&mut list, &new(ConditionStatus::False, "two"), Some(2), at(3)));
    let found = find(&list, ConditionType::Ready).expect("set");
    assert_eq!((found.last_transition_time.0, found.observed_generation), (at(1), Some(2)));
    assert!(set(&mut list, &new(ConditionStatus::True, "two"), Some(2), at(4)));
    assert_eq!((list.len(), list[0].last_transition_time.0), (1, at(4)));
    let long = "ä".repeat(conditions::MAX_MESSAGE_BYTES);
    assert!(set(&mut list, &new(ConditionStatus::True, &long), Some(2), at(5)));
    assert_eq!(list[0].message.len(), conditions::MAX_MESSAGE_BYTES);
    assert!(find(&list, ConditionType::Limited).is_none());
}

/// Every property below a schema, by its path.
fn properties(schema: &Value, path: &str, found: &mut Vec<String>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        found.push(path.clone());
        properties(property, &path, found);
    }
    for inner in ["items", "additionalProperties"].map(|inner| &schema[inner]).into_iter().filter(|s| s.is_object()) {
        properties(inner, path, found);
    }
}

#[test]
fn no_field_names_an_object_of_another_namespace() {
    let mut fields = Vec::new();
    properties(&super::schema::root()["properties"]["spec"], "spec", &mut fields);
    assert!(fields.iter().any(|f| f == "spec.signals.prometheus.query"), "{fields:?}");
    let ends = |field: &&String, word: &str| field.to_lowercase().rsplit('.').next().is_some_and(|f| f.contains(word));
    let namespaces: Vec<_> = fields.iter().filter(|f| ends(f, "namespace")).collect();
    assert_eq!(namespaces, Vec::<&String>::new());
    // A Secret is a name in the policy's own namespace; in this version none is read at all (`policy::compile::later`).
    let secrets: Vec<_> = fields.iter().filter(|f| f.to_lowercase().contains("secret")).collect();
    let of = |source: &str| {
        [format!("spec.signals.{source}.authSecretRef"), format!("spec.signals.{source}.authSecretRef.name")]
    };
    assert_eq!(secrets, [of("natsJetStream"), of("rabbitmq"), of("redis")].concat().iter().collect::<Vec<_>>());
}
