//! Scenario files: what they mean, and what is said about wrong ones.

use super::*;
use crate::simulate::{Event, Metric, Neighbours, What};

const WHOLE: &str = "\
name: everything
description: >-
  All of it,
  at once.
load: {shape: flash, low: 1, high: 8, at: 1h, rise: 30s, hold: 10m, fall: 5m, seed: 3, noise: 0}
service:
  workPerRequest: 20ms
  idleCores: 50m
  start: {median: 45s, sigma: 0.2, burnCores: 0.5, warmUp: 1m, warmUpCapacity: 0.5}
  slo: {latency: 300ms, quantile: 0.95}
  memory: {base: 300Mi, perRps: 1Mi, perRequest: 2Mi, growth: 0.1, leakPerHour: 10Mi, startPeak: 100Mi}
  requests: {cpu: 2, memory: 2Gi}
  cpuLimitRatio: 2
  contention: 0.2
  restartOnMemoryResize: true
  downstream: {rps: 500, latency: 5ms}
  sidecars: [{name: proxy, workPerRequest: 1ms, idleCores: 10m, memory: 64Mi, cpuRequest: 100m, memoryRequest: 128Mi}]
nodes: [{shape: {cpu: 16, memory: 64Gi}, count: 2, max: 4, provisioning: 2m, neighbours: {perHour: 3, stay: 1h}}]
refusesRaises: true
metrics: {scrape: 30s, missingPods: 0.1}
disruptionBudget: {maxUnavailable: 1}
replicas: {min: 1, max: 9, initial: 3}
events:
  - {at: 90m, falseZeros: {for: 5m}}
  - {at: 30m, rollout: {workFactor: 1.6}}
  - {at: 1h, costChange: {workFactor: 0.5}}
controllers: [arbiter, hpa70]
duration: 2h
warmup: 10m
";

fn read(text: &str) -> Result<Scenario, String> {
    ScenarioFile::parse("s.yaml", text).and_then(|file| file.scenario(None, None)).map_err(|error| error.to_string())
}

#[test]
fn every_field_is_taken() {
    let scenario = read(WHOLE).expect("a whole scenario");
    assert_eq!((scenario.load.name.as_str(), scenario.description.as_str()), ("everything", "All of it, at once."));
    let service = &scenario.service;
    assert_eq!((service.work, service.objective, service.quantile), (Seconds(0.02), Seconds(0.3), 0.95));
    assert_eq!((service.idle, service.request_cores, service.cpu_limit_ratio), (Cores(0.05), Cores(2.0), Some(2.0)));
    assert_eq!((service.memory_leak_per_hour, service.memory_base), (Bytes(10 << 20), Bytes(300 << 20)));
    assert_eq!(service.sidecars[0].request_memory, Bytes(128 << 20));
    let policy = &scenario.policy;
    assert_eq!((policy.replicas.min, policy.replicas.max), (Replicas(1), Replicas(9)));
    assert_eq!(policy.objective.latency.as_ref().map(|latency| latency.target), Some(Seconds(0.3)));
    let world = &scenario.world;
    assert_eq!((world.nodes[0].max, world.pipeline.missing_pods, world.initial), (4, 0.1, Some(Replicas(3))));
    let rollout = What::Rollout { work_factor: 1.6, memory_factor: 1.0 };
    let zeros = What::WrongMetric { lasts: Seconds(300.0), factor: 0.0, of: Metric::All };
    assert_eq!(
        world.events,
        [
            Event { at: Seconds(1800.0), what: rollout },
            Event { at: Seconds(3600.0), what: What::CostChange { work_factor: 0.5 } },
            Event { at: Seconds(5400.0), what: zeros }
        ]
    );
    let neighbours = Neighbours { per_hour: 3.0, stay: Seconds(3600.0), ..Neighbours::default() };
    assert_eq!((world.nodes[0].neighbours, world.refuses_raises), (Some(neighbours), true));
    let at = |hours: f64| scenario.load.samples[crate::simulate::whole(hours * 720.0)].rate;
    assert_eq!((at(0.9), at(1.1), at(1.9)), (1.0, 8.0, 1.0));
    assert_eq!((scenario.duration, scenario.warmup, scenario.tiled()), (Seconds(7200.0), Seconds(600.0), false));
}

#[test]
fn a_queue_changes_the_policy() {
    let text = "name: q\nload: {shape: batches, items: 600, period: 10m, seed: 2}\nqueue: {deadline: 2m}\n\
                service: {workPerRequest: 500ms}\nduration: 1h\n";
    let scenario = read(text).expect("a queue");
    assert_eq!(scenario.policy.objective.latency, None);
    assert_eq!(scenario.policy.objective.backlog.as_ref().map(|backlog| backlog.drain_within), Some(Seconds(120.0)));
    let items: f64 = scenario.load.samples.iter().map(|sample| sample.rate * 5.0 / 0.5).sum();
    assert!((1800.0..5400.0).contains(&items), "{items}");
    assert!(scenario.load.samples.iter().filter(|sample| sample.rate > 0.0).count() < 9);
}

#[test]
fn what_is_wrong_is_said_by_line_with_what_to_do() {
    let base = "name: x\nload: {shape: diurnal, low: 1, high: 4}\nduration: 2h\n";
    read(base).expect("nothing is wrong");
    for (text, expected) in [
        (String::new(), "s.yaml:1: "),
        ("name: [\n".to_owned(), "s.yaml:"),
        (format!("{base}colour: red\n"), "s.yaml:4: unknown field `colour`"),
        (base.replace("low: 1", "low: -1"), "s.yaml:2: "),
        (base.replace("low: 1", "low: many"), "`many` is not a number from 0"),
        (base.replace("low: 1, ", ""), "s.yaml:2: `load` needs `low`"),
        (base.replace("duration: 2h", "duration: 2 hours"), "s.yaml:3: "),
        (base.replace("duration: 2h", "duration: 1m"), "s.yaml:3: `duration` is not between 10m"),
        (format!("{base}warmup: 3h\n"), "s.yaml:4: `warmup` leaves nothing to score"),
        (format!("{base}events:\n  - {{at: 1h}}\n"), "s.yaml:5: the event says nothing but `at`"),
        (format!("{base}events:\n  - {{at: 9h, nodeLoss: {{count: 1}}}}\n"), "s.yaml:5: the event comes after the end"),
        (
            format!("{base}controllers: [arbiter, magic]\n"),
            "s.yaml:4: `magic` is not a controller; choose among arbiter",
        ),
        (format!("{base}metrics: {{scrape: 20s}}\n"), "s.yaml:4: `scrape` is not 15s, 30s or 60s"),
        (format!("{base}replicas: {{min: 5, max: 2}}\n"), "`replicas` has min 5 and max 2"),
        (base.replace("shape: diurnal, low: 1, high: 4", "seed: 1"), "s.yaml:2: `load` has neither trace nor shape"),
        (base.replace("shape: diurnal, low: 1, high: 4", "shape: steps"), "s.yaml:2: `load` has no `steps`"),
    ] {
        let message = read(&text).expect_err(&text);
        assert!(message.contains(expected), "{text:?}: {message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}
