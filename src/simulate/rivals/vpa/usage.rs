//! What the recommender remembers: of one container of one pod, and of all pods of a template together.

use super::{
    Config,
    histogram::{CPU_BUCKETS, DecayingHistogram, MEMORY_BUCKETS, MIN_SAMPLE_WEIGHT},
};
use crate::units::maths;

const DAY: i64 = 86_400;
/// A day's memory peak weighs this.
const PEAK_WEIGHT: f64 = 1.0;

/// What is known of the containers of one name in the pods of one template.
#[derive(Clone, Debug)]
pub(super) struct Aggregate {
    pub(super) cpu: DecayingHistogram,
    pub(super) memory: DecayingHistogram,
    /// CPU samples only: they stand for both resources when confidence is asked for.
    pub(super) samples: u64,
    first: Option<i64>,
    last: Option<i64>,
    created: i64,
}

impl Aggregate {
    pub(super) fn new(config: &Config, now: i64) -> Self {
        Self {
            cpu: DecayingHistogram::new(&CPU_BUCKETS, config.cpu_half_life),
            memory: DecayingHistogram::new(&MEMORY_BUCKETS, config.memory_half_life),
            samples: 0,
            first: None,
            last: None,
            created: now,
        }
    }

    fn add_cpu(&mut self, milli: i64, at: i64) {
        self.cpu.add(milli as f64 / 1000.0, MIN_SAMPLE_WEIGHT, at);
        self.last = self.last.max(Some(at));
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
        self.samples += 1;
    }

    /// Takes over a checkpoint of one pod that used as much for days, seen once a minute under the default half-life; a
    /// shorter half-life has no say in what the checkpoint weighs, only in how fast it fades.
    pub(super) fn restore(&mut self, days: i64, cpu_milli: i64, memory_bytes: i64, now: i64) {
        let today = MIN_SAMPLE_WEIGHT * (DAY / 60) as f64;
        for day in 0..days {
            let faded = maths::exp2(-(day as f64));
            self.cpu.add(cpu_milli as f64 / 1000.0, today * faded, now);
            self.memory.add(memory_bytes as f64, PEAK_WEIGHT * faded, now);
        }
        self.samples += u64::try_from(days * (DAY / 60)).unwrap_or(0);
        self.first = Some(now - days * DAY);
        self.last = Some(now);
    }

    /// Adds all of another; sample counts add up, so pods that run side by side count side by side.
    pub(super) fn merge(&mut self, other: &mut Self) {
        self.cpu.merge(&mut other.cpu);
        self.memory.merge(&mut other.memory);
        self.samples += other.samples;
        self.last = self.last.max(other.last);
        self.first = match (self.first, other.first) {
            (Some(mine), Some(theirs)) => Some(mine.min(theirs)),
            (mine, theirs) => mine.or(theirs),
        };
    }

    /// How much has been seen, as a multiple of the confidence interval: by lifespan and by samples at one a minute,
    /// whichever is less.
    pub(super) fn confidence(&self, interval: i64) -> f64 {
        let lifespan = self.last.unwrap_or(0) - self.first.unwrap_or(0);
        let days = lifespan as f64 / interval as f64;
        days.min(self.samples as f64 / (interval as f64 / 60.0))
    }

    /// Whether garbage collection takes it: empty and nobody's, or without news for the whole window.
    pub(super) fn is_garbage(&self, contributive: bool, now: i64, window: i64) -> bool {
        let empty = self.samples == 0;
        let news = if empty { self.created } else { self.last.unwrap_or(self.created) };
        (empty && !contributive) || now - news >= window
    }
}

/// What is known of one container of one pod.
#[derive(Clone, Debug, Default)]
pub(super) struct ContainerUsage {
    last_cpu: Option<i64>,
    last_memory: Option<i64>,
    /// End of the interval whose peak is being looked for.
    window_end: Option<i64>,
    memory_peak: i64,
    oom_peak: i64,
}

impl ContainerUsage {
    /// A CPU sample; one that is not newer than the last is dropped.
    pub(super) fn add_cpu(&mut self, to: &mut Aggregate, milli: i64, at: i64) {
        if milli >= 0 && self.last_cpu.is_none_or(|last| at > last) {
            to.add_cpu(milli, at);
            self.last_cpu = Some(at);
        }
    }

    /// A memory sample; one that is older than the last is dropped.
    pub(super) fn add_memory(&mut self, to: &mut Aggregate, bytes: i64, at: i64, config: &Config) {
        if self.last_memory.is_none_or(|last| at >= last) {
            self.peak(to, bytes, at, false, config);
        }
    }

    /// A kill for lack of memory: taken for a peak of what would have been needed. One from before the last interval is
    /// dropped. Earlier kills do not add up: only the request and real usage are bumped.
    pub(super) fn add_oom(&mut self, to: &mut Aggregate, request: i64, at: i64, config: &Config) {
        if self.last_memory.is_some_and(|last| at < last - config.memory_interval) {
            return;
        }
        let used = request.max(self.memory_peak);
        let needed = (used + config.oom_min_bytes).max(super::amounts::scaled(used, config.oom_ratio));
        self.peak(to, needed, at, true, config);
    }

    /// One peak per interval: a higher one replaces it, the next interval begins a new one. Peaks are dated at the end of
    /// their interval, which may lie in the future.
    fn peak(&mut self, to: &mut Aggregate, bytes: i64, at: i64, oom: bool, config: &Config) {
        if bytes < 0 {
            return;
        }
        self.last_memory = Some(at);
        let end = *self.window_end.get_or_insert(at);
        if at < end {
            let old = self.memory_peak.max(self.oom_peak);
            if old == 0 || bytes <= old {
                return;
            }
            to.memory.subtract(old as f64, PEAK_WEIGHT, end);
        } else {
            let intervals = (at - end) / config.memory_interval + 1;
            self.window_end = Some(end + intervals * config.memory_interval);
            self.memory_peak = 0;
            self.oom_peak = 0;
        }
        to.memory.add(bytes as f64, PEAK_WEIGHT, self.window_end.unwrap_or(at));
        *(if oom { &mut self.oom_peak } else { &mut self.memory_peak }) = bytes;
    }
}
