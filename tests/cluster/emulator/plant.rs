//! What the pods do with the load: queueing, CPU and latency, as counters that an exporter can print.
//!
//! Work is spread over the ready pods in proportion to their allowed cores, as a balancer that knows weights would. What
//! cannot be served waits; requests give up after [`PATIENCE`] seconds, messages of a queue never do.
//!
//! Invariant: counters never fall while a pod lives, and vanish with it.

use std::{collections::BTreeMap, fmt::Write as _};

use arbiter::units::maths::exp;
use serde::{Deserialize, Serialize};

/// Seconds that a request waits before its client gives up.
const PATIENCE: f64 = 5.0;
/// Largest share of a pod's cores at which a queueing delay is still computed; beyond, the waiting line itself counts.
const BUSIEST: f64 = 0.97;
/// Cores that a pod uses for nothing.
const IDLE_CORES: f64 = 0.005;
/// Upper bounds of the latency histogram, in seconds.
const BUCKETS: [f64; 10] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// CFS periods per second (the kernel's default period is 100 ms).
const PERIODS_PER_SECOND: f64 = 10.0;

/// A pod that can work.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pod {
    /// Cores that it may use.
    pub(crate) cores: f64,
}

/// What can be changed from outside.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Load {
    /// Items per second.
    pub(crate) rate: f64,
    /// Relative amplitude of the noise on the rate, 0..1.
    pub(crate) noise: f64,
    /// Core-seconds per item.
    pub(crate) work: f64,
    /// Working set of a pod, in bytes.
    pub(crate) memory: f64,
}

/// Counters of one pod.
#[derive(Clone, Debug, Default)]
struct Counters {
    exporter: usize,
    cpu_seconds: f64,
    /// What of them was told to the kubelet's side, and when by the plant's clock.
    told: (f64, f64),
    periods: f64,
    throttled: f64,
    requests: f64,
    latency_sum: f64,
    latency_counts: [f64; BUCKETS.len()],
}

/// The workload.
#[derive(Debug)]
pub(crate) struct Plant {
    namespace: String,
    app: String,
    container: String,
    exporters: usize,
    load: Load,
    pods: BTreeMap<String, Pod>,
    counters: BTreeMap<String, Counters>,
    waiting: f64,
    /// Core-seconds that may still be spent on messages.
    budget: f64,
    /// Seconds that were played.
    clock: f64,
    /// Answers later than this are late, in seconds.
    objective: f64,
    totals: Totals,
    random: u64,
}

/// What happened since the start.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Totals {
    /// Requests that arrived.
    arrived: f64,
    /// Of them, those answered after the objective, and those whose client gave up.
    late: f64,
    /// Messages consumed.
    consumed: f64,
    /// Core-seconds used.
    used: f64,
}

/// What [`Plant::state`] tells.
#[derive(Debug, Serialize)]
pub(crate) struct State {
    totals: Totals,
    pods: usize,
    capacity_cores: f64,
    waiting: f64,
    load: Load,
}

impl Plant {
    /// A workload without pods: its namespace, app and container, and its load.
    pub(crate) fn new(names: [&str; 3], exporters: usize, (rate, work): (f64, f64), objective: f64) -> Self {
        let load = Load { rate, noise: 0.0, work, memory: 64.0 * 1024.0 * 1024.0 };
        let [namespace, app, container] = names;
        Self {
            namespace: namespace.into(),
            app: app.into(),
            container: container.into(),
            exporters: exporters.max(1),
            load,
            pods: BTreeMap::new(),
            counters: BTreeMap::new(),
            waiting: 0.0,
            budget: 0.0,
            clock: 0.0,
            objective,
            totals: Totals::default(),
            random: 0x9E37_79B9_7F4A_7C15,
        }
    }

    /// The load in force.
    pub(crate) fn load(&self) -> Load {
        self.load
    }

    /// Changes the load.
    pub(crate) fn set_load(&mut self, load: Load) {
        self.load = load;
    }

    /// The pods that are ready now. A new one is given to the exporter with the fewest.
    pub(crate) fn set_pods(&mut self, pods: &BTreeMap<String, Pod>) {
        self.pods.clone_from(pods);
        self.counters.retain(|name, _| pods.contains_key(name));
        for name in pods.keys() {
            if !self.counters.contains_key(name) {
                let exporter = (0..self.exporters)
                    .min_by_key(|e| self.counters.values().filter(|c| c.exporter == *e).count())
                    .unwrap_or(0);
                self.counters
                    .insert(name.clone(), Counters { exporter, told: (0.0, self.clock), ..Counters::default() });
            }
        }
    }

    fn capacity(&self) -> f64 {
        self.pods.values().map(|p| p.cores).sum()
    }

    /// Serves requests for some seconds; returns how many messages could be consumed with what is left of the cores.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few whole messages, never negative")]
    pub(crate) fn step(&mut self, seconds: f64) -> usize {
        let capacity = self.capacity();
        let arrived = self.load.rate * seconds * (1.0 + self.load.noise * self.noise());
        self.waiting += arrived;
        let served = self.waiting.min(capacity * seconds / self.load.work);
        let left = self.waiting - served;
        self.waiting = left.min(self.load.rate * PATIENCE);
        let used = served * self.load.work;
        let busy = if capacity > 0.0 { used / (capacity * seconds).max(f64::MIN_POSITIVE) } else { 0.0 };
        let latency = self.latency(capacity, busy);
        self.clock += seconds;
        self.totals.arrived += arrived;
        self.totals.late += served * exp(-self.objective / latency) + left - self.waiting;
        self.totals.used += used;
        let saturated = self.waiting > 0.0;
        for (name, pod) in &self.pods {
            let Some(counters) = self.counters.get_mut(name) else { continue };
            let share = if capacity > 0.0 { pod.cores / capacity } else { 0.0 };
            counters.cpu_seconds += used * share + IDLE_CORES * seconds;
            counters.periods += PERIODS_PER_SECOND * seconds;
            counters.throttled += if saturated { PERIODS_PER_SECOND * seconds } else { 0.0 };
            counters.requests += arrived * share;
            counters.latency_sum += served * share * latency;
            for (bound, count) in BUCKETS.iter().zip(&mut counters.latency_counts) {
                *count += served * share * (1.0 - exp(-bound / latency));
            }
        }
        // What requests left over, for at most a second, so that an empty queue does not save up a burst;
        // but enough for one message.
        self.budget = (self.budget + (capacity * seconds - used).max(0.0)).min(capacity.max(self.load.work));
        (self.budget / self.load.work).max(0.0) as usize
    }

    /// Books messages that were taken from the queue.
    pub(crate) fn consumed(&mut self, messages: usize) {
        let used = messages as f64 * self.load.work;
        self.budget -= used;
        self.totals.consumed += messages as f64;
        self.totals.used += used;
        let capacity = self.capacity();
        for (name, pod) in &self.pods {
            if let Some(counters) = self.counters.get_mut(name) {
                counters.cpu_seconds += used * pod.cores / capacity.max(f64::MIN_POSITIVE);
            }
        }
    }

    /// Mean time of a request: its own work, the delay of an M/M/1 queue, and the line that waits.
    fn latency(&self, capacity: f64, busy: f64) -> f64 {
        self.load.work / (1.0 - busy.min(BUSIEST)) + self.waiting * self.load.work / capacity.max(f64::MIN_POSITIVE)
    }

    /// Uniform in -1..1, from a fixed seed (`SplitMix64`).
    fn noise(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }

    /// Cores that each pod used since this was last asked, on average.
    pub(crate) fn usage(&mut self) -> BTreeMap<String, f64> {
        let clock = self.clock;
        let usage = |counters: &mut Counters| {
            let (cpu_seconds, at) = std::mem::replace(&mut counters.told, (counters.cpu_seconds, clock));
            (counters.cpu_seconds - cpu_seconds) / (clock - at).max(f64::MIN_POSITIVE)
        };
        self.counters.iter_mut().map(|(pod, counters)| (pod.clone(), usage(counters))).collect()
    }

    /// A summary for the test.
    pub(crate) fn state(&self) -> State {
        let capacity_cores = self.capacity();
        State { totals: self.totals, pods: self.pods.len(), capacity_cores, waiting: self.waiting, load: self.load }
    }

    /// The metrics of one exporter, in Prometheus' text format.
    pub(crate) fn render(&self, exporter: usize) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        let mine: Vec<_> = self.counters.iter().filter(|(_, c)| c.exporter == exporter).collect();
        let family = |out: &mut String, name: &str, kind: &str, value: &dyn Fn(&Counters) -> f64| -> std::fmt::Result {
            writeln!(out, "# TYPE {name} {kind}")?;
            for (pod, counters) in &mine {
                let labels = self.container_labels(pod);
                writeln!(out, "{name}{{{labels}}} {}", value(counters))?;
            }
            Ok(())
        };
        family(&mut out, "container_cpu_usage_seconds_total", "counter", &|c| c.cpu_seconds)?;
        family(&mut out, "container_cpu_cfs_periods_total", "counter", &|c| c.periods.floor())?;
        family(&mut out, "container_cpu_cfs_throttled_periods_total", "counter", &|c| c.throttled.floor())?;
        family(&mut out, "container_memory_working_set_bytes", "gauge", &|_| self.load.memory)?;
        if exporter == 0 {
            writeln!(out, "# TYPE app_offered_rate gauge")?;
            let labels = format!("namespace=\"{}\",app=\"{}\"", self.namespace, self.app);
            writeln!(out, "app_offered_rate{{{labels}}} {}", self.load.rate)?;
        }
        writeln!(out, "# TYPE http_requests_total counter")?;
        for (pod, counters) in &mine {
            writeln!(out, "http_requests_total{{{}}} {}", self.app_labels(pod), counters.requests)?;
        }
        writeln!(out, "# TYPE http_duration_seconds histogram")?;
        for (pod, counters) in &mine {
            self.render_latency(&mut out, pod, counters)?;
        }
        Ok(out)
    }

    fn render_latency(&self, out: &mut String, pod: &str, counters: &Counters) -> std::fmt::Result {
        let labels = self.app_labels(pod);
        let total = counters.latency_counts.last().copied().unwrap_or_default();
        for (bound, count) in BUCKETS.iter().zip(counters.latency_counts) {
            writeln!(out, "http_duration_seconds_bucket{{{labels},le=\"{bound}\"}} {count}")?;
        }
        writeln!(out, "http_duration_seconds_bucket{{{labels},le=\"+Inf\"}} {total}")?;
        writeln!(out, "http_duration_seconds_sum{{{labels}}} {}", counters.latency_sum)?;
        writeln!(out, "http_duration_seconds_count{{{labels}}} {total}")
    }

    fn container_labels(&self, pod: &str) -> String {
        format!("namespace=\"{}\",pod=\"{pod}\",container=\"{}\",image=\"emulated\"", self.namespace, self.container)
    }

    fn app_labels(&self, pod: &str) -> String {
        format!("namespace=\"{}\",pod=\"{pod}\",app=\"{}\"", self.namespace, self.app)
    }
}
