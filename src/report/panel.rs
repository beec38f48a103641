//! What a plot needs of one run: series of fixed length whose peaks are the run's peaks.

use serde::Serialize;

use crate::decide::Reason;

/// Room for the data of all panels: what [`super::MAX_BYTES`] leaves beside plotly.js (4.6 MB), page and tables.
const DATA_BYTES: usize = 2_600_000;
/// Bytes that a bucket takes in the page: six series, two of them once per bucket, about 5 characters a number.
const BUCKET_BYTES: usize = 70;
/// Bytes that a record takes: a sentence and four alternatives.
const RECORD_BYTES: usize = 420;
/// More buckets than this are finer than any screen, zoomed in by ten.
const MAX_BUCKETS: usize = 2500;
/// Fewer buckets than this show no day.
const MIN_BUCKETS: usize = 96;
/// As many records as can be told apart with a pointer.
const MAX_RECORDS: usize = 600;
/// A decision an hour over a day.
const MIN_RECORDS: usize = 24;

/// How finely panels are sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Buckets of a series.
    pub buckets: usize,
    /// Decisions that are kept with their explanation.
    pub records: usize,
    /// Panels that fit; more are not plotted.
    pub panels: usize,
}

impl Sizes {
    /// What fits for so many panels.
    #[must_use]
    pub fn of(panels: usize) -> Self {
        let each = DATA_BYTES / panels.max(1);
        Self {
            buckets: (each * 11 / 20 / BUCKET_BYTES).clamp(MIN_BUCKETS, MAX_BUCKETS),
            records: (each * 9 / 20 / RECORD_BYTES).clamp(MIN_RECORDS, MAX_RECORDS),
            panels: DATA_BYTES / (MIN_BUCKETS * BUCKET_BYTES + MIN_RECORDS * RECORD_BYTES),
        }
    }
}

/// What was seen of one run. Series with two numbers per bucket hold its extremes in the order in which they came, so
/// that neither a peak nor a dip is lost; numbers are rounded to what a plot can show.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Panel {
    /// Name of the controller.
    pub controller: String,
    /// Length of a bucket in seconds.
    pub bucket_s: f64,
    /// Work that arrived, in cores; two per bucket.
    pub demand: Vec<f64>,
    /// Work that ready pods carry on their requests, in cores; two per bucket.
    pub capacity: Vec<f64>,
    /// Pods that run or start; two per bucket.
    pub replicas: Vec<f64>,
    /// CPU request of a pod, in cores; two per bucket.
    pub size: Vec<f64>,
    /// Demand above capacity, in cores: the largest of the bucket.
    pub short: Vec<f64>,
    /// Latency at the objective's quantile, in seconds: the largest of the bucket; none without requests.
    pub latency: Vec<Option<f64>>,
    /// Share of the bucket's requests over the objective; none without requests.
    pub over: Vec<Option<f64>>,
    /// Work that waits, as cores that would clear it in a tick: the largest of the bucket. Empty when nothing ever did.
    pub backlog: Vec<f64>,
    /// Where another reason begins: bucket and index among all reasons.
    pub band: Vec<(usize, usize)>,
    /// Decisions with their explanation, in time.
    pub records: Vec<Record>,
}

/// A decision as the page shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    /// When, in seconds from the start.
    pub at: f64,
    /// Index of its reason.
    pub why: usize,
    /// Its sentence.
    pub says: String,
    /// What was weighed: replicas, pod cores, carries, missing, pods $/h, shortage $/h, switch $/h, chosen (1 or 0).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub weighed: Vec<[f64; 8]>,
}

/// All reasons, in the order of the page's legend.
pub(super) const REASONS: [Reason; 24] = [
    Reason::CpuDemand,
    Reason::BacklogDeadline,
    Reason::LatencyObjective,
    Reason::WokenByDemand,
    Reason::HoldingForDemand,
    Reason::RolloutInProgress,
    Reason::LimitedByMin,
    Reason::ScheduledMinimum,
    Reason::ScaledToZero,
    Reason::IdleToZero,
    Reason::SizeCheaper,
    Reason::MemoryPeak,
    Reason::BoostedMeanwhile,
    Reason::Saturated,
    Reason::OutOfMemory,
    Reason::LimitedByMax,
    Reason::LimitedByQuota,
    Reason::LimitedByBehavior,
    Reason::RivalWrites,
    Reason::DownstreamBound,
    Reason::ObjectiveUnreachable,
    Reason::SignalsStale,
    Reason::SignalDiesAtZero,
    Reason::WaitingForData,
];

/// What a reason means at a glance: one of five meanings, each with its colour. The live page uses the same.
#[must_use]
pub const fn meaning(reason: Reason) -> &'static str {
    match reason {
        Reason::CpuDemand | Reason::BacklogDeadline | Reason::LatencyObjective | Reason::WokenByDemand => "demand",
        Reason::HoldingForDemand
        | Reason::RolloutInProgress
        | Reason::LimitedByMin
        | Reason::ScaledToZero
        | Reason::IdleToZero
        | Reason::ScheduledMinimum => "held",
        Reason::SizeCheaper | Reason::MemoryPeak | Reason::BoostedMeanwhile => "size",
        Reason::Saturated
        | Reason::OutOfMemory
        | Reason::LimitedByMax
        | Reason::LimitedByQuota
        | Reason::LimitedByBehavior
        | Reason::RivalWrites
        | Reason::DownstreamBound
        | Reason::ObjectiveUnreachable => "short",
        Reason::SignalsStale | Reason::WaitingForData | Reason::SignalDiesAtZero => "blind",
    }
}

/// Index of a reason in [`REASONS`].
pub(super) fn index(reason: Reason) -> usize {
    REASONS.iter().position(|other| *other == reason).unwrap_or(0)
}
