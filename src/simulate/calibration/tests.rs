use std::collections::BTreeMap;

use super::{
    super::{
        SimulateError, controller,
        recording::{MANIFEST, Manifest, VERSION, manifest, samples},
    },
    *,
};

/// A recording of the plant itself under an HPA: six hours at a sample a minute.
fn recording(distort: impl Fn(i64, f64) -> f64) -> Recording {
    let mut csv = String::from("timestamp_s,rps\n");
    for minute in 0..360 {
        let phase = f64::from(minute) / 60.0;
        csv.push_str(&format!("{},{}\n", minute * 60, 250.0 + 150.0 * maths::sin(phase)));
    }
    let load = Load::read("x.csv", csv.as_bytes(), None).expect("a load");
    let mut scenario = Scenario::from_trace(load, TraceOptions { peak_cores: Cores(4.0), ..TraceOptions::default() });
    scenario.duration = Seconds(6.0 * 3600.0);
    let mut run = Run::new(&scenario, controller("hpa70", &scenario).expect("there is one"), 7);
    let mut series: BTreeMap<Kind, Samples> = BTreeMap::new();
    let origin = 1_770_000_000;
    let mut tick_number = 0;
    while let Some(tick) = run.advance() {
        let now = origin + tick_number * 15;
        tick_number += 1;
        if tick_number % 4 != 0 {
            continue;
        }
        let mut add = |kind, value: Option<f64>| {
            if let Some(value) = value {
                series.entry(kind).or_default().push((now, value));
            }
        };
        let truth = &tick.truth;
        add(Kind::Demand, Some(truth.demand_cores.get() / 0.01));
        add(Kind::Usage, tick.snapshot.containers[0].cpu_cores.map(|cores| distort(now, cores.get())));
        add(Kind::Replicas, Some(truth.replicas.as_f64()));
        add(Kind::Latency, truth.latency_seconds.map(Seconds::get));
        add(Kind::CpuRequest, Some(truth.pod_request_cores.get()));
        add(Kind::Start, Some(30.0));
    }
    let manifest = Manifest {
        version: VERSION,
        policy: "shop/web".to_owned(),
        server: "http://p".to_owned(),
        from: origin,
        to: origin + 21_600,
        step_s: 60,
        queries: BTreeMap::new(),
        rows: series.iter().map(|(kind, samples)| (*kind, samples.len() as u64)).collect(),
    };
    Recording { manifest, series }
}

#[test]
fn the_plant_reproduces_a_recording_of_itself() {
    let recording = recording(|_, cores| cores);
    let scenario = scenario(&recording, "web", TraceOptions::default()).expect("a scenario");
    let (work, idle) = (scenario.service.work.get(), scenario.service.idle.get());
    assert!((0.009..0.013).contains(&work), "work {work}");
    assert!(idle < 0.15, "idle {idle}");
    let calibration = calibrate(&recording, &scenario);
    assert!(calibration.compared > 300, "{calibration:?}");
    assert!(calibration.usage_error < 0.12, "{calibration:?}");
    assert!(calibration.latency_factor.expect("latency was recorded") < 1.5, "{calibration:?}");
    assert_eq!(calibration.refusal(), None);
    assert_eq!(calibration.rows().len(), 3);
}

#[test]
fn usage_that_demand_does_not_explain_and_foreign_latency_are_refused() {
    let other = recording(|now, cores| if now % 7200 < 3600 { cores * 3.0 } else { cores * 0.2 });
    let played = scenario(&other, "web", TraceOptions::default()).expect("a scenario");
    let refusal = calibrate(&other, &played).refusal().expect("a refusal");
    assert!(refusal.starts_with("simulated usage differs from the recorded one by"), "{refusal}");
    let mut slow = recording(|_, cores| cores);
    for sample in slow.series.get_mut(&Kind::Latency).expect("recorded") {
        sample.1 += 2.0;
    }
    let played = scenario(&slow, "web", TraceOptions::default()).expect("a scenario");
    let refusal = calibrate(&slow, &played).refusal().expect("a refusal");
    assert!(refusal.contains("latency differs") && refusal.contains("what requests wait for is not CPU"), "{refusal}");
}

#[test]
fn what_is_wrong_with_a_recording_is_said_by_line() {
    let said = |result: Result<Samples, SimulateError>| result.expect_err("an error").to_string();
    let read = |text| said(samples("r/usage.csv", Kind::Usage, text));
    assert_eq!(
        read("timestamp_s,cpu\n1,2\n"),
        "r/usage.csv:1: no column `cpu_cores` among `timestamp_s, cpu`; record again"
    );
    assert!(
        read("timestamp_s,cpu_cores\n60,1\n60,1\n").starts_with("r/usage.csv:3: `timestamp_s` 60 does not come after")
    );
    assert!(read("timestamp_s,cpu_cores\n60,-1\n").starts_with("r/usage.csv:2: `cpu_cores` is `-1`"));
    assert!(read("timestamp_s,cpu_cores\n60,NaN\n").starts_with("r/usage.csv:2: `cpu_cores` is `NaN`"));
    assert!(read("timestamp_s,cpu_cores\nsoon,1\n").starts_with("r/usage.csv:2: `timestamp_s` is `soon`"));
    let unfinished = serde_json::to_string(&Manifest { rows: BTreeMap::new(), ..recording(|_, c| c).manifest });
    let error = manifest(MANIFEST, &unfinished.expect("JSON")).expect_err("unfinished").to_string();
    assert!(error.contains("not finished; run the same `arbiter record` again"), "{error}");
    let error = manifest(MANIFEST, "{\n\"version\": 1\n").expect_err("broken").to_string();
    assert!(error.starts_with("manifest.json:") && error.contains("is not the manifest of a recording"), "{error}");
}
