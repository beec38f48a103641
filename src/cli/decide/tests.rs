//! The stream contract: one answer per snapshot, errors in band, Memory kept.

use std::cell::RefCell;

use super::*;
use crate::simulate::{Load, Scenario, TraceOptions};

const SNAPSHOT: &str =
    r#"{"at":"2026-02-03T10:00:00Z","replicas":{"spec":4,"ready":4},"unknown":1,"containers":[{"name":"app"}]}"#;

fn policy() -> Policy {
    let load = Load::read("x.csv", &b"timestamp_s,rps\n0,1\n5,1\n"[..], None).unwrap();
    Scenario::from_trace(load, TraceOptions::default()).policy
}

/// Answers to an input, and the Memory that was saved last.
fn answers(policy: Option<Policy>, memory: Option<Memory>, input: &str) -> (Vec<serde_json::Value>, Option<Memory>) {
    let saved = RefCell::new(None);
    let mut output = Vec::new();
    let save = |memory: &Memory| {
        *saved.borrow_mut() = Some(memory.clone());
        Ok(())
    };
    Session { policy, memory }.serve(input.as_bytes(), &mut output, save).unwrap();
    let lines = std::str::from_utf8(&output).unwrap().lines();
    (lines.map(|line| serde_json::from_str(line).unwrap()).collect(), saved.into_inner())
}

#[test]
fn every_snapshot_gets_its_decision() {
    let (lines, saved) = answers(Some(policy()), None, &format!("{SNAPSHOT}\n\n{SNAPSHOT}"));
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["at"], "2026-02-03T10:00:00Z");
    assert!(lines[0]["replicas"].is_u64() && lines[0]["message"].is_string());
    assert!(saved.is_some());
}

#[test]
fn a_bad_line_is_answered_in_band_and_leaves_the_memory_untouched() {
    let good = |input: &str| answers(Some(policy()), None, input);
    let (lines, with_bad) = good(&format!("{SNAPSHOT}\n{{\"at\":\n{{}}\n{SNAPSHOT}\n"));
    let (clean, without) = good(&format!("{SNAPSHOT}\n{SNAPSHOT}\n"));
    assert!(lines[1]["error"].as_str().unwrap().starts_with("line 2: not JSON"));
    assert!(lines[2]["error"].as_str().unwrap().starts_with("line 3: not a Snapshot: missing field `at`"));
    assert_eq!([&lines[0], &lines[3]], [&clean[0], &clean[1]]);
    assert_eq!(with_bad, without);
}

#[test]
fn a_replay_brings_its_policy_and_its_memory() {
    let (_, memory) = answers(Some(policy()), None, SNAPSHOT);
    let header = serde_json::json!({"v": 0, "controllerVersion": "0", "policy": policy(), "memory": memory});
    let (lines, _) = answers(None, None, &format!("{header}\n{SNAPSHOT}\n"));
    let (both, _) = answers(Some(policy()), None, &format!("{SNAPSHOT}\n{SNAPSHOT}\n"));
    assert_eq!(lines, [both[1].clone()]);
    let (lines, _) = answers(None, None, SNAPSHOT);
    assert_eq!(lines[0]["error"], "line 1: no policy yet; give --policy FILE or a replay with its header");
}

#[test]
fn memory_is_kept_in_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("memory.json");
    assert_eq!(read_memory(&path).unwrap(), None);
    let (_, memory) = answers(Some(policy()), None, SNAPSHOT);
    let memory = memory.unwrap();
    save_memory(&path, &memory).unwrap();
    assert_eq!(read_memory(&path).unwrap(), Some(memory));
    std::fs::write(&path, "{").unwrap();
    assert!(read_memory(&path).unwrap_err().to_string().contains("memory.json: not a Memory"));
}
