//! Tests of `arbiter validate` on the files that the cluster's tests use too, and on files of every shape.

use std::{fs, path::PathBuf};

use proptest::prelude::*;

use super::{Report, located::Document};

fn files(folder: &str) -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    let read = |path: PathBuf| (path.display().to_string(), fs::read_to_string(&path).expect("a file"));
    files.into_iter().map(read).collect()
}

fn report(text: &str) -> Report {
    let mut report = Report::default();
    report.file("policy.yaml", text);
    report
}

#[test]
fn examples_are_fine() {
    let mut report = Report::default();
    for (name, text) in files("examples/policies") {
        report.file(&name, &text);
    }
    assert_eq!((report.lines().as_str(), report.exit_code()), ("", 0), "{}", report.closing());
}

#[test]
fn what_the_api_server_refuses_is_found_here_too() {
    for (name, text) in files("tests/cluster/malformed") {
        let report = report(&text);
        assert_eq!(report.exit_code(), 1, "{name}: {}{}", report.lines(), report.closing());
        assert!(report.lines().lines().any(|line| line.starts_with("policy.yaml:")), "{name}: {}", report.lines());
        // A mistake is told from what is merely not available.
        assert!(report.json().expect("JSON").contains("\"Invalid\""), "{name}: {}", report.lines());
    }
}

#[test]
fn what_the_api_server_takes_is_fine_here_unless_it_is_not_available_yet() {
    for (name, text) in files("tests/cluster/wellformed") {
        let report = report(&text);
        assert!(!report.json().expect("JSON").contains("\"Invalid\""), "{name}: {}", report.lines());
        assert_eq!(report.exit_code(), u8::from(name.ends_with("every-field.yaml")), "{name}: {}", report.lines());
    }
}

const TWO_MISTAKES: &str = r"apiVersion: v1
kind: ConfigMap
metadata: {name: other}
---
# The next document's lines go on counting.
apiVersion: autoscaling.arbiter.io/v1alpha1
kind: ScalingPolicy
metadata: {name: web, namespace: shop}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  signals:
    - name: requests
      role: Demand
      prometheus:
        query: >-
          sum(
          rate(
    - {name: latency, role: Demand,
       prometheusHistogram: {metric: x}}
";

#[test]
fn each_problem_has_the_line_of_its_field() {
    let report = report(TWO_MISTAKES);
    let expected = "\
policy.yaml:15: spec.signals[0].prometheus.query: parse error at \"sum( rate(\": unclosed left parenthesis: close it, for example rate(x[1m])
policy.yaml:18: spec.signals[1].role: is Demand, and prometheusHistogram measures Latency: set role: Latency
";
    assert_eq!(report.lines(), expected);
    assert_eq!((report.exit_code(), report.closing().as_str()), (1, "1 policy checked, 2 problems\n"));
    let json: serde_json::Value = serde_json::from_str(&report.json().expect("JSON")).expect("JSON");
    assert_eq!(json["findings"][0]["line"], 15);
    assert_eq!(json["findings"][0]["policy"], "shop/web");
    assert_eq!(json["findings"][0]["path"], "spec.signals[0].prometheus.query");
    assert_eq!((json["policies"].as_u64(), json["otherDocuments"].as_u64()), (Some(1), Some(1)));
}

#[test]
fn a_list_is_as_good_as_documents() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: autoscaling.arbiter.io/v1alpha1\n  kind: ScalingPolicy\n  \
                metadata: {name: a}\n  spec:\n    mode: Auto\n";
    assert_eq!(report(text).lines(), "policy.yaml:7: items[0].spec.targetRef: is required and missing\n");
}

#[test]
fn two_policies_on_one_target_are_told() {
    let one = "apiVersion: autoscaling.arbiter.io/v1alpha1\nkind: ScalingPolicy\nmetadata: {name: a}\nspec:\n  targetRef: \
               {apiVersion: apps/v1, kind: Deployment, name: web}\n";
    let both = report(&format!("{one}---\n{one}"));
    assert_eq!(
        both.lines(),
        "policy.yaml:11: spec.targetRef: Deployment web is the target of another policy already (policy.yaml:5): keep one \
         policy per target\n"
    );
}

#[test]
fn what_cannot_be_read_is_exit_2_and_names_the_line() {
    for (text, part) in [
        ("a: b: c\n", "policy.yaml:1: "),
        ("kind: ScalingPolicy\nkind: ScalingPolicy\n", "policy.yaml:2: "),
        ("a: [1,\n", "policy.yaml:"),
        ("", "policy.yaml: holds no ScalingPolicy"),
        ("kind: Deployment\n", "policy.yaml: holds no ScalingPolicy"),
    ] {
        let report = report(text);
        assert_eq!(report.exit_code(), 2, "{text:?}");
        assert!(report.closing().starts_with(&format!("error: {part}")), "{text:?}: {}", report.closing());
    }
}

#[test]
fn the_frame_of_an_object_is_checked() {
    let lines = report("apiVersion: autoscaling.arbiter.io/v1\nkind: ScalingPolicy\nsepc: {}\n").lines();
    let expected = "\
policy.yaml:1: apiVersion: is autoscaling.arbiter.io/v1, and must be autoscaling.arbiter.io/v1alpha1
policy.yaml:1: metadata.name: is missing: give the policy a name
policy.yaml:1: spec: is missing: it must hold at least targetRef
policy.yaml:3: sepc: is not a field of ScalingPolicy; did you mean spec?
";
    assert_eq!(lines, expected);
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "[a-z:{}\\[\\] \n\"'&*!|>#,0-9.-]{0,80}") {
        let report = report(&text);
        prop_assert!(report.exit_code() <= 2);
        if let Ok(documents) = Document::all(&text) {
            for document in documents {
                prop_assert!(document.line("spec.signals[1].role") >= 1);
            }
        }
    }
}
