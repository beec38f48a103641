//! The past that arbiter finds in Prometheus: a week of the load that is about to be played, on the pods that run. VPA is
//! given the same in its checkpoint.

use std::fmt::Write as _;

use super::{Case, WORK};
use crate::support::{CONTAINER, WEB};

/// A row of arbiter's history is so long, in seconds.
const ROW: i64 = 300;
/// How far it looks back.
const LENGTH: i64 = 7 * 86_400;
/// Before the instant of a row: three samples within the minute over which usage is taken.
const SAMPLES: [i64; 3] = [50, 25, 0];
/// Rows after which the load repeats: a busy one, then calm ones, as in a phase.
const PERIOD: i64 = 5;
/// Working set and memory request of a pod, in bytes.
const USED: u64 = 64 << 20;
const ASKED: u64 = 128 << 20;

/// `OpenMetrics` text up to the given second.
pub(super) fn text(case: Case, namespace: &str, now: i64) -> String {
    let (pods, _, cores) = case.start();
    let first = (now - LENGTH).div_euclid(ROW);
    let rows: Vec<i64> = (first..=now.div_euclid(ROW)).collect();
    let mut out = String::new();
    family(&mut out, "container_cpu_usage_seconds", "counter");
    for pod in 0..pods {
        let labels = labels(namespace, pod, ",image=\"emulated\"");
        let mut total = 0.0;
        for row in &rows {
            let busy = if row.rem_euclid(PERIOD) == 0 { case.busy() } else { 1.0 };
            let used = (case.calm() * busy * WORK / f64::from(pods)).min(cores);
            total += used * (ROW as f64);
            for before in SAMPLES {
                let value = total - used * before as f64;
                line(&mut out, "container_cpu_usage_seconds_total", &labels, value, row * ROW - before);
            }
        }
    }
    let mut gauge = |name: &str, more: &str, value: f64| {
        family(&mut out, name, "gauge");
        for pod in 0..pods {
            let labels = labels(namespace, pod, more);
            for row in &rows {
                line(&mut out, name, &labels, value, row * ROW);
            }
        }
    };
    gauge("container_memory_working_set_bytes", ",image=\"emulated\"", USED as f64);
    out.push_str(&requests(namespace, pods, cores, &rows));
    out.push_str("# EOF\n");
    out
}

fn requests(namespace: &str, pods: u32, cores: f64, rows: &[i64]) -> String {
    let name = "kube_pod_container_resource_requests";
    let mut out = String::new();
    family(&mut out, name, "gauge");
    for (resource, value) in [("cpu", cores), ("memory", ASKED as f64)] {
        for pod in 0..pods {
            let labels = labels(namespace, pod, &format!(",resource=\"{resource}\""));
            for row in rows {
                line(&mut out, name, &labels, value, row * ROW);
            }
        }
    }
    out
}

/// Names of a Deployment's pods begin with its own.
fn labels(namespace: &str, pod: u32, more: &str) -> String {
    format!("namespace=\"{namespace}\",pod=\"{WEB}-past-{pod}\",container=\"{CONTAINER}\"{more}")
}

fn family(out: &mut String, name: &str, kind: &str) {
    writeln!(out, "# TYPE {name} {kind}").expect("writing to a string cannot fail");
}

fn line(out: &mut String, name: &str, labels: &str, value: f64, at: i64) {
    writeln!(out, "{name}{{{labels}}} {value} {at}").expect("writing to a string cannot fail");
}
