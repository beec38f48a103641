use serde_json::json;

use super::*;

fn record() -> Record {
    serde_json::from_value(json!({
        "namespace": "memes", "name": "meme-backend", "kind": "Deployment", "target": "meme-backend", "mode": "Auto",
        "ready": 7, "spark": "ignored",
        "decision": {
            "at": "2026-02-03T10:00:00Z", "replicas": 9, "reason": "CpuDemand",
            "message": "demand 7.4 cores, planned with 10 % headroom for 8.1; 9 × 1.2 cores carry 8.8, 8 would carry 7.8",
            "boost": {"containers": [{"name": "app", "cpuCores": 1.6}], "until": "2026-02-03T10:01:00Z"},
            "containers": [{"name": "app", "requests": {"cpuCores": 1.2, "memoryBytes": 268_435_456}, "limits": {}}],
            "explain": {
                "binding": {"constraint": "Hold", "secondsLeft": 1680.0},
                "demandCores": 7.4, "demandFrom": "rate", "usageCores": 7.61, "plannedCores": 8.14, "headroom": 0.1,
                "capacityCores": 0.98, "allowedUtilization": 0.82, "capacityAdjustment": 0.93, "idleCores": 0.02,
                "workCoreSeconds": 0.018, "leadSeconds": 75.0,
                "alternatives": [
                    {"replicas": 8, "podCores": 1.2, "carriesCores": 7.8, "missingCores": 0.3, "podsPerHour": 0.3,
                     "shortagePerHour": 0.76, "switchPerHour": 0.0, "ruledOut": "Hold"},
                    {"replicas": 9, "podCores": 1.2, "chosen": true, "carriesCores": 8.8, "missingCores": 0.0,
                     "podsPerHour": 0.34, "shortagePerHour": 0.0, "switchPerHour": 0.0},
                    {"replicas": 6, "podCores": 2.0, "carriesCores": 10.2, "missingCores": 0.0, "podsPerHour": 0.38,
                     "shortagePerHour": 0.0, "switchPerHour": 0.02}],
                "hold": {"replica": 9, "idleSeconds": 120.0, "secondsLeft": 1680.0},
                "thenLeave": [{"replica": 8, "idleSeconds": 60.0, "secondsLeft": 1740.0}],
                "size": {"podCores": 2.0, "regretDollars": 0.04, "thresholdDollars": 0.9},
                "signals": [
                    {"name": "requests", "role": "Demand", "value": 412.0, "ageSeconds": 12.0, "state": "Fresh"},
                    {"name": "latency", "role": "Latency", "state": "Absent", "note": "no answer"}],
                "heldBackBy": ["`latency` is Absent"], "limited": "needs 52, max is 40",
                "unreachable": "2.1 % of requests take over 250 ms even on an idle pod"}},
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

  BOUND BY      the hold of idle replicas, 28 min left
  DEMAND        7.4 cores from rate: 7.61 cores used, 0.02 cores idle per replica, 18 ms of CPU per unit
  PLANNED       for 8.14 cores, 10 % headroom
  CARRIES       0.98 cores per replica at 82 % of its size, 93 % of what was reckoned, as measured
  MEANWHILE     app 1.6 cores until 2026-02-03T10:01:00Z
  LEAD TIME     75 s from a decision to a ready pod

   CHOICE          CARRIES  MISSING  PODS $/H  SHORTAGE $/H  SWITCH $/H  TOTAL $/H  RULED OUT BY
   8 × 1.2 cores       7.8     0.30     0.300         0.760       0.000      1.060  the hold of idle replicas
 > 9 × 1.2 cores       8.8        0     0.340         0.000       0.000      0.340
   6 × 2 cores        10.2        0     0.380         0.000       0.020      0.400
  replica 9 has been idle for 2 min and leaves in 28 min if demand stays; then 8 in 29 min
  size 2: regret $0.04 of $0.90

    SIGNAL    ROLE       VALUE   AGE  STATE
    requests  Demand   412.0/s  12 s  Fresh
    latency   Latency        –     –  Absent  no answer

  HELD BACK BY  `latency` is Absent
  LIMITED BY    needs 52, max is 40
  OUT OF REACH  2.1 % of requests take over 250 ms even on an idle pod

    LAST CHANGES
    10:03:15Z     7 → 9  CpuDemand
";
    let shown = table::render(&record(), Some(now));
    let squeeze =
        |text: &str| text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>();
    assert_eq!(squeeze(&shown), squeeze(expected), "\n{shown}");
}

/// A record of a controller that knows less is shown as far as it goes.
#[test]
fn a_record_without_the_newer_fields_is_shown() {
    let mut old = record();
    old.decision.explain =
        serde_json::from_value(json!({"demandCores": 7.4, "signals": [], "unheardOf": true})).unwrap();
    old.decision.boost = None;
    let shown = table::render(&old, None);
    assert!(shown.contains("DEMAND        7.4 cores\n") && !shown.contains("BOUND BY"), "{shown}");
}

#[test]
fn everything_is_in_the_json() {
    let json = serde_json::to_value(record()).unwrap();
    let explain = &json["decision"]["explain"];
    assert_eq!(explain["binding"], json!({"constraint": "Hold", "secondsLeft": 1680.0}));
    assert_eq!(explain["alternatives"][0]["ruledOut"], "Hold");
    assert_eq!(explain["thenLeave"][0]["replica"], 8);
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

    // What the model says of itself is shown whole.
    let busy = |second: u32, cores: f64| {
        json!({"at": format!("2026-02-03T10:00:{second:02}Z"), "replicas": {"spec": 4, "ready": 4},
            "usageAgeSeconds": 12.0, "windowSeconds": 30.0,
            "containers": [{"name": "app", "request": {"cpuCores": 1.0, "memoryBytes": 268_435_456}, "reportingPods": 4,
                "cpuCores": cores, "maxPodCpuCores": cores / 4.0}]})
    };
    std::fs::write(&file, format!("{header}\n{}\n{}\n", busy(0, 2.8), busy(15, 3.3))).unwrap();
    let shown = table::render(&from_replay(&file).unwrap(), None);
    for part in [
        "web (Deployment web) · Recommend · 5 replicas × 1 core, 256 MiB",
        "\n  demand 3.3 cores, planned at 70 % utilization; 5 × 1 core carry 3.67, 4 would carry 2.94\n",
        "\n  BOUND BY      demand when new pods are ready\n",
        "\n  DEMAND        3.3 cores from usage: 3.3 cores used, 0 cores idle per replica\n",
        "\n  PLANNED       for 3.3 cores\n",
        "\n  CARRIES       0.73 cores per replica at 70 % of its size\n",
        "RULED OUT BY\n",
        "not managed\n",
        "4 → 5",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }

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
