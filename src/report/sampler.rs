//! Watches one run, a tick at a time, in memory that does not grow with the run.

use super::{
    findings::Watch,
    panel::{self, Panel, Record, Sizes, meaning},
};
use crate::{
    decide::{Constraint, Decision},
    simulate::{Scenario, TICK, Tick, Truth},
};

/// How much more a reason weighs in a bucket's band when capacity is short: what is wrong should not vanish between
/// what is usual.
const SHORT_WEIGHT: u64 = 4;

/// Gathers a [`Panel`].
#[derive(Debug)]
pub struct Sampler {
    panel: Panel,
    buckets: usize,
    records: usize,
    ticks: usize,
    tick: usize,
    bucket: Bucket,
    record: Option<(u8, Record)>,
    last: Option<Decision>,
    before: Truth,
    watch: Watch,
}

/// What a bucket gathers.
#[derive(Debug, Default)]
struct Bucket {
    demand: Extremes,
    capacity: Extremes,
    replicas: Extremes,
    size: Extremes,
    short: f64,
    latency: Option<f64>,
    backlog: f64,
    reasons: [u64; panel::REASONS.len()],
}

/// The smallest and the largest value, and which came first.
#[derive(Debug, Default)]
struct Extremes {
    seen: Option<(f64, f64)>,
    high_last: bool,
}

impl Extremes {
    fn add(&mut self, value: f64) {
        let (low, high) = self.seen.unwrap_or((value, value));
        if value > high {
            self.high_last = true;
        } else if value < low {
            self.high_last = false;
        }
        self.seen = Some((low.min(value), high.max(value)));
    }

    /// In the order in which they came.
    fn pair(&self, digits: f64) -> [f64; 2] {
        let (low, high) = self.seen.unwrap_or_default();
        let (low, high) = (round(low, digits), round(high, digits));
        if self.high_last { [low, high] } else { [high, low] }
    }
}

/// Rounded to so many parts of one.
fn round(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

impl Sampler {
    /// Ready for the first tick of a run.
    #[must_use]
    pub fn new(controller: &str, scenario: &Scenario, sizes: Sizes) -> Self {
        let (duration, tick) = (scenario.duration.get(), TICK.get());
        // A positive, finite duration; a run of no ticks has one bucket.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
        let ticks = ((duration / tick).ceil() as usize).max(1);
        let buckets = sizes.buckets.min(ticks);
        Self {
            panel: Panel {
                controller: controller.to_owned(),
                bucket_s: round(ticks as f64 * tick / buckets as f64, 1e6),
                ..Panel::default()
            },
            buckets,
            records: sizes.records.min(ticks),
            ticks,
            tick: 0,
            bucket: Bucket::default(),
            record: None,
            last: None,
            before: Truth::default(),
            watch: Watch::new(scenario),
        }
    }

    /// Takes one tick.
    pub fn tick(&mut self, tick: &Tick) {
        let truth = &tick.truth;
        let seconds = self.tick as f64 * TICK.get();
        self.watch.tick(seconds, truth);
        self.note(seconds, &tick.decision);
        let (demand, capacity) = (truth.demand_cores.get(), truth.capacity_cores.get());
        let bucket = &mut self.bucket;
        bucket.demand.add(demand);
        bucket.capacity.add(capacity);
        bucket.replicas.add(truth.replicas.as_f64());
        bucket.size.add(truth.pod_request_cores.get());
        bucket.short = bucket.short.max(demand - capacity);
        bucket.backlog = bucket.backlog.max(truth.backlog_cores.get());
        if let Some(latency) = truth.latency_seconds {
            bucket.latency = Some(bucket.latency.unwrap_or(0.0).max(latency.get()));
        }
        let reason = tick.decision.reason;
        bucket.reasons[panel::index(reason)] += if meaning(reason) == "short" { SHORT_WEIGHT } else { 1 };
        let place = |tick: usize, parts: usize| tick * parts / self.ticks;
        let (now, next) = (self.tick, self.tick + 1);
        let (bucket_ends, record_ends) = (
            place(now, self.buckets) != place(next, self.buckets),
            place(now, self.records) != place(next, self.records),
        );
        self.tick = next;
        if bucket_ends {
            self.end_bucket(truth);
        }
        if record_ends {
            self.panel.records.extend(self.record.take().map(|(_, record)| record));
        }
    }

    /// What was seen, with what the run's restlessness amounts to.
    #[must_use]
    pub fn finish(mut self) -> (Panel, Watch) {
        self.panel.records.extend(self.record.take().map(|(_, record)| record));
        if self.panel.backlog.iter().all(|backlog| *backlog == 0.0) {
            self.panel.backlog = Vec::new();
        }
        (self.panel, self.watch)
    }

    fn end_bucket(&mut self, truth: &Truth) {
        let bucket = std::mem::take(&mut self.bucket);
        let panel = &mut self.panel;
        panel.demand.extend(bucket.demand.pair(100.0));
        panel.capacity.extend(bucket.capacity.pair(100.0));
        panel.replicas.extend(bucket.replicas.pair(1.0));
        panel.size.extend(bucket.size.pair(1000.0));
        panel.short.push(round(bucket.short, 100.0));
        panel.latency.push(bucket.latency.map(|latency| round(latency, 1000.0)));
        panel.backlog.push(round(bucket.backlog, 100.0));
        let requests = truth.requests - self.before.requests;
        let over = truth.requests_over_slo - self.before.requests_over_slo;
        panel.over.push((requests > 0.0).then(|| round(over / requests, 10_000.0)));
        self.before = *truth;
        // The first of equals, so that the order of reasons decides and not chance.
        let mut most = 0;
        for (index, weight) in bucket.reasons.iter().enumerate() {
            if *weight > bucket.reasons[most] {
                most = index;
            }
        }
        if panel.band.last().is_none_or(|(_, reason)| *reason != most) {
            panel.band.push((panel.short.len() - 1, most));
        }
    }

    /// Keeps the decision when it is another one and tells more than the one kept so far.
    fn note(&mut self, seconds: f64, decision: &Decision) {
        let rank = match &self.last {
            Some(last) if same(last, decision) => return,
            Some(_) if meaning(decision.reason) == "short" => 3,
            Some(last) if decision.replicas > last.replicas => 2,
            _ => 1,
        };
        if self.record.as_ref().is_none_or(|(kept, _)| rank > *kept) {
            self.record = Some((rank, record(seconds, decision)));
        }
        self.last = Some(decision.clone());
    }
}

/// Whether two decisions come to the same for the same reason.
fn same(last: &Decision, now: &Decision) -> bool {
    last.replicas == now.replicas && last.containers == now.containers && last.reason == now.reason
}

fn record(seconds: f64, decision: &Decision) -> Record {
    // What was no choice at all is not shown.
    let managed = decision.explain.alternatives.iter().filter(|a| a.ruled_out != Some(Constraint::NotManaged));
    let weighed = managed.map(|a| {
        [
            a.replicas.as_f64(),
            round(a.pod_cores.get(), 1000.0),
            round(a.carries_cores.get(), 100.0),
            round(a.missing_cores.get(), 100.0),
            round(a.pods_per_hour.get(), 1000.0),
            round(a.shortage_per_hour.get(), 1000.0),
            round(a.switch_per_hour.get(), 1000.0),
            if a.chosen { 1.0 } else { 0.0 },
        ]
    });
    Record {
        at: seconds,
        why: panel::index(decision.reason),
        says: decision.message.clone(),
        weighed: weighed.collect(),
    }
}
