use serde_json::json;

use super::*;

fn record() -> Record {
    serde_json::from_value(json!({
        "namespace": "memes", "name": "meme-backend", "kind": "Deployment", "target": "meme-backend", "mode": "Auto",
        "ready": 7, "spark": "ignored",
        "decision": {
            "at": "2026-02-03T10:00:00Z", "replicas": 9, "boost": null, "reason": "CpuDemand",
            "message": "demand 7.4 cores, planned with 10 % headroom for 8.1; 9 × 1.2 cores carry 8.8, 8 would carry 7.8",
            "containers": [{"name": "app", "requests": {"cpuCores": 1.2, "memoryBytes": 268_435_456}, "limits": {}}],
            "explain": {
                "alternatives": [
                    {"replicas": 8, "podCores": 1.2, "carriesCores": 7.8, "missingCores": 0.3, "podsPerHour": 0.3,
                     "shortagePerHour": 0.76, "switchPerHour": 0.0},
                    {"replicas": 9, "podCores": 1.2, "chosen": true, "carriesCores": 8.8, "missingCores": 0.0,
                     "podsPerHour": 0.34, "shortagePerHour": 0.0, "switchPerHour": 0.0}],
                "hold": {"replica": 9, "idleSeconds": 120.0, "secondsLeft": 1680.0},
                "size": {"podCores": 2.0, "regretDollars": 0.04, "thresholdDollars": 0.9},
                "signals": [
                    {"name": "requests", "role": "Demand", "value": 412.0, "ageSeconds": 12.0, "state": "Fresh"},
                    {"name": "latency", "role": "Latency", "state": "Absent", "note": "no answer"}],
                "heldBackBy": ["`latency` is Absent"]}},
        "changes": [{"at": 1_770_112_995_000_i64, "from": {"replicas": 7, "podCores": 1.2},
            "to": {"replicas": 9, "podCores": 1.2}, "reason": "CpuDemand", "message": "…"}]}))
    .unwrap()
}

#[test]
fn the_table_reads_as_designed() {
    let now = "2026-02-03T10:00:04Z".parse().unwrap();
    let expected = "\
meme-backend (Deployment meme-backend) · Auto · 9 replicas × 1.2 cores, 256 MiB · decided 4 s ago
  demand 7.4 cores, planned with 10 % headroom for 8.1; 9 × 1.2 cores carry 8.8, 8 would carry 7.8

   CHOICE          CARRIES  MISSING  PODS $/H  SHORTAGE $/H  SWITCH $/H  TOTAL $/H
   8 × 1.2 cores       7.8     0.30     0.300         0.760       0.000      1.060
 > 9 × 1.2 cores       8.8        0     0.340         0.000       0.000      0.340
  replica 9 has been idle for 2 min and leaves in 28 min if demand stays · size 2: regret $0.04 of $0.90

    SIGNAL    ROLE       VALUE   AGE  STATE
    requests  Demand   412.0/s  12 s  Fresh
    latency   Latency        –     –  Absent  no answer

  HELD BACK BY  `latency` is Absent

    LAST CHANGES
    10:03:15Z     7 → 9  CpuDemand
";
    let shown = table::render(&record(), Some(now));
    let squeeze =
        |text: &str| text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>();
    assert_eq!(squeeze(&shown), squeeze(expected), "\n{shown}");
}

#[test]
fn a_replay_is_decided_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("replay.ndjson");
    let mut policy = crate::api::ScalingPolicy::new(
        "web",
        serde_json::from_value(json!({"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}))
            .unwrap(),
    );
    policy.metadata.namespace = Some("shop".into());
    let policy = crate::policy::compile(&policy).unwrap();
    let header =
        json!({"v": 0, "controllerVersion": "0", "policy": policy, "prices": policy.prices, "memory": Memory::new()});
    let snapshot =
        |second| json!({"at": format!("2026-02-03T10:00:{second:02}Z"), "replicas": {"spec": 2, "ready": 2}});
    std::fs::write(&file, format!("{header}\n{}\n{}\n", snapshot(0), snapshot(15))).unwrap();
    let record = from_replay(&file).unwrap();
    assert_eq!((record.name.as_str(), record.decision.at), ("web", "2026-02-03T10:00:15Z".parse().unwrap()));

    std::fs::write(&file, format!("{header}\nnonsense\n")).unwrap();
    let error = from_replay(&file).unwrap_err().to_string();
    assert!(error.contains("replay.ndjson:2: is not a snapshot"), "{error}");
    std::fs::write(&file, "{}\n").unwrap();
    assert!(from_replay(&file).unwrap_err().to_string().contains(":1: is not the header"));
    assert!(from_replay(&dir.path().join("none")).unwrap_err().to_string().contains("cannot be read"));
}

#[test]
fn nobody_at_the_address_is_the_environments_fault() {
    let error = from_controller("http://127.0.0.1:9", "shop", "web").unwrap_err();
    assert!(matches!(&error, Failure::Environment(text) if text.contains("port-forward")), "{error}");
    assert!(matches!(from_controller("not a url", "shop", "web").unwrap_err(), Failure::Input(_)));
}
