//! The end-to-end tests rest on the emulator: its plant alone, without processes.

use std::collections::BTreeMap;

#[path = "cluster/emulator/plant.rs"]
#[expect(dead_code, reason = "what only the process needs: the load")]
mod plant;

use plant::{Plant, Pod};

fn pods(count: usize) -> BTreeMap<String, Pod> {
    (0..count).map(|i| (format!("web-{i}"), Pod { cores: 0.5 })).collect()
}

/// The values of one metric, summed over its series.
fn sum(text: &str, metric: &str) -> f64 {
    let series = text.lines().filter(|l| l.starts_with(&format!("{metric}{{")));
    series.map(|l| l.rsplit_once(' ').expect("a value").1.parse::<f64>().expect("a number")).sum()
}

/// A plant with this many half-core pods that ran for a minute under a rate of items that cost 0.05 core-seconds.
fn after_a_minute(count: usize, rate: f64) -> Plant {
    let mut plant = Plant::new(["shop", "web", "app"], 2, (rate, 0.05), 1.0);
    plant.set_pods(&pods(count));
    for _ in 0..240 {
        plant.step(0.25);
    }
    plant
}

fn both(plant: &Plant) -> String {
    plant.render(0).expect("text") + &plant.render(1).expect("text")
}

#[test]
fn usage_follows_the_load_up_to_capacity() {
    let calm = both(&after_a_minute(2, 10.0));
    let cpu = sum(&calm, "container_cpu_usage_seconds_total");
    assert!((cpu - (0.5 + 2.0 * 0.005) * 60.0).abs() < 0.1, "{cpu}");
    assert_eq!(sum(&calm, "container_cpu_cfs_throttled_periods_total"), 0.0);
    let busy = both(&after_a_minute(2, 100.0));
    let cpu = sum(&busy, "container_cpu_usage_seconds_total");
    assert!((cpu - (1.0 + 2.0 * 0.005) * 60.0).abs() < 0.1, "{cpu}");
    assert!(sum(&busy, "container_cpu_cfs_throttled_periods_total") > 1_000.0);
    assert!((sum(&busy, "http_requests_total") - 6_000.0).abs() < 1.0, "what arrives is counted, served or not");
}

#[test]
fn latency_rises_with_utilization() {
    let mean = |text: String| sum(&text, "http_duration_seconds_sum") / sum(&text, "http_duration_seconds_count");
    let (calm, busy) = (mean(both(&after_a_minute(2, 5.0))), mean(both(&after_a_minute(2, 19.0))));
    assert!(busy > 3.0 * calm, "{calm} → {busy}");
}

#[test]
fn pods_are_spread_over_exporters_and_vanish_with_their_series() {
    let mut plant = after_a_minute(4, 10.0);
    let lines = |text: String| text.lines().filter(|l| l.starts_with("container_memory")).count();
    assert_eq!((lines(plant.render(0).expect("text")), lines(plant.render(1).expect("text"))), (2, 2));
    plant.set_pods(&pods(1));
    assert_eq!(lines(both(&plant)), 1);
}

#[test]
fn messages_are_taken_at_the_rate_of_the_pods() {
    let mut plant = Plant::new(["shop", "web", "app"], 1, (0.0, 0.05), 1.0);
    plant.set_pods(&pods(2));
    let mut taken = 0;
    for _ in 0..240 {
        let can = plant.step(0.25);
        plant.consumed(can);
        taken += can;
    }
    assert!((1_180..=1_200).contains(&taken), "one core does 20 a second: {taken} in a minute");
    let cpu = sum(&plant.render(0).expect("text"), "container_cpu_usage_seconds_total");
    assert!((cpu - 60.6).abs() < 1.1, "{cpu}");
}

#[test]
fn what_is_late_is_counted_and_usage_is_told_once() {
    let total = |plant: &Plant, name: &str| {
        serde_json::to_value(plant.state()).expect("JSON")["totals"][name].as_f64().expect("a number")
    };
    let mut calm = after_a_minute(2, 10.0);
    assert!(total(&calm, "late") < 0.01 * total(&calm, "arrived"), "half busy");
    let usage = calm.usage();
    assert!(usage.len() == 2 && usage.values().all(|cores| (cores - 0.255).abs() < 1e-6), "{usage:?}");
    calm.step(1.0);
    assert!((calm.usage()["web-0"] - 0.255).abs() < 1e-6, "since it was last asked");

    let busy = after_a_minute(2, 40.0);
    // Half of what arrives is served, after five seconds, and the other half gives up.
    assert!((total(&busy, "arrived") - 2400.0).abs() < 1e-6);
    assert!(total(&busy, "late") > 0.7 * 2400.0, "{}", total(&busy, "late"));
    assert!((total(&busy, "used") - 60.0).abs() < 1e-6);
}
