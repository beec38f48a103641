//! What is written down and read again: snapshots, replays, the Memory.

use serde_json::Value;

use crate::{
    api::ScalingPolicy,
    cli,
    decide::{Decision, Memory},
    policy::{Policy, compile},
};

/// Most that a Memory takes as text, whatever was seen.
const LARGEST_MEMORY: usize = 20 << 10;

/// Most that an explain record takes as JSON.
const LARGEST_EXPLAIN: usize = 2048;

/// A stream of snapshots, perhaps behind the header of a replay: each line but blank ones and headers is answered, in
/// order, by a decision without a NaN or by an error that names the line; the Memory afterwards is small and survives.
pub(super) fn replay(data: &[u8]) {
    for policy in [None, Some(sample())] {
        let (output, memory) = cli::answers(policy, data);
        let output = std::str::from_utf8(&output).expect("answers are text");
        let lines = data.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
        assert!(output.lines().count() <= lines, "more answers than lines");
        for line in output.lines() {
            answer(line);
        }
        memory.iter().for_each(survives);
    }
}

fn answer(line: &str) {
    let value: Value = serde_json::from_str(line).expect("an answer is JSON");
    if let Some(error) = value.get("error") {
        assert!(error.as_str().is_some_and(|text| text.starts_with("line ")), "{line}");
        return;
    }
    let Value::Object(mut fields) = value else { unreachable!("a decision is an object") };
    // A NaN is written as null, and nothing else is but the boost that there may be none of.
    if fields.get("boost").is_some_and(Value::is_null) {
        fields.remove("boost");
    }
    let explain = fields.get("explain").map_or(0, |explain| explain.to_string().len());
    assert!(explain <= LARGEST_EXPLAIN, "{explain} bytes of {line}");
    assert!(!holds_null(&Value::Object(fields)), "{line}");
    let decision: Decision = serde_json::from_str(line).expect("a decision reads as it was written");
    assert!(!decision.message.is_empty() && !decision.message.contains('\n'), "{line}");
}

fn holds_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(holds_null),
        Value::Object(fields) => fields.values().any(holds_null),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn survives(memory: &Memory) {
    let text = memory.to_text().expect("a Memory can be written");
    assert!(text.len() <= LARGEST_MEMORY, "{} bytes", text.len());
    assert_eq!(Memory::from_text(text.as_bytes()).as_ref(), Ok(memory));
}

/// A Memory's text: what is taken is what was written, and small; what is refused is said in a line.
pub(super) fn memory(data: &[u8]) {
    match Memory::from_text(data) {
        Ok(memory) => survives(&memory),
        Err(error) => assert!(error.to_string().starts_with("not a Memory: "), "{error}"),
    }
}

/// A policy that uses every role of a signal.
fn sample() -> Policy {
    let signal = |name: &str, role: &str| serde_json::json!({"name": name, "role": role, "prometheus": {"query": "x"}});
    let spec = serde_json::json!({
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "signals": [signal("requests", "Demand"), signal("latency", "Latency"), signal("queue", "Backlog"), signal("full", "Saturation")],
        "objective": {"latency": {"signal": "latency", "target": "250ms", "objective": "0.99"}, "backlog": {"signal": "queue", "drainWithin": "30s"}},
        "replicas": {"min": 1, "max": 60},
    });
    let policy = ScalingPolicy::new("web", serde_json::from_value(spec).expect("a spec"));
    compile(&policy).expect("it is sound")
}
