//! Memory of a container: its daily peaks with a margin, and one raise per limit that was too small.
//!
//! Raised at once, lowered rarely. A kill says what the killed container's limit was; kills of pods that still have an
//! older, smaller limit say nothing new, so they are not counted again.

use serde::{Deserialize, Serialize};

use super::{ContainerState, sample::Sample};
use crate::units::Bytes;

/// Margin on the peak (model: 1.10 triples the kills at the same cost).
pub(super) const MARGIN: f64 = 1.20;
/// Growth after a kill: the larger of a fifth and 100 MiB (as VPA).
const KILL_FACTOR: f64 = 1.2;
const KILL_ADD: f64 = 100.0 * Bytes::MIB as f64;
/// Growth when memory pressure lasts.
const PRESSURE_FACTOR: f64 = 1.1;
/// Memory pressure (PSI full) that counts, and for how long.
const PRESSURE: f64 = 0.01;
const PRESSURE_SECONDS: f64 = 60.0;
/// Days that peaks are kept.
const DAYS: usize = 8;
const DAY: f64 = 86_400.0;
/// Lowered by this at least, …
const LOWER_GAIN: f64 = 0.10;
/// … this often at most, and not in the first hours.
const LOWER_EVERY: f64 = 3600.0;
const LOWER_AFTER: f64 = 6.0 * 3600.0;
/// How long a kill is told as the reason.
const TELL_SECONDS: f64 = 300.0;

/// Peaks of one container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Peaks {
    /// Peak per day in bytes, the newest last.
    daily: Vec<u64>,
    /// Number of the newest day.
    day: i64,
    /// Limit that kills taught: (bytes, day).
    killed: Option<(u64, i64)>,
    /// Largest limit whose kill was counted.
    counted: u64,
    /// When the last kill was counted, and at which limit.
    last_kill: Option<(f64, u64)>,
    /// Since when memory pressure lasts.
    pressed_since: Option<f64>,
    /// The request that was decided; 0: none.
    decided: u64,
    /// When it was last lowered.
    lowered: f64,
}

/// What a container needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Need {
    /// Request.
    pub(super) request: Bytes,
    /// What changed at this tick.
    pub(super) change: Change,
}

/// What happened to the request at this tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// It follows the peaks.
    Peak {
        /// Largest peak.
        peak: Bytes,
    },
    /// A kill raised it, now or a moment ago.
    Killed {
        /// The limit that was too small.
        limit: Bytes,
        /// Unix seconds.
        at: u32,
    },
}

#[expect(clippy::cast_possible_truncation, reason = "days since 1970 fit")]
fn day_of(t: f64) -> i64 {
    (t / DAY).floor() as i64
}

impl Peaks {
    /// Learns from one tick.
    pub(super) fn learn(&mut self, container: &ContainerState, sample: &Sample) {
        let day = day_of(sample.t);
        if self.daily.is_empty() || (day - self.day).unsigned_abs() > DAYS as u64 {
            self.daily = vec![0];
            self.day = day;
        }
        self.roll(day);
        self.killed = self.killed.filter(|(_, on)| day - on < 8);
        if let Some(bytes) = container.memory_max_pod_bytes
            && let Some(newest) = self.daily.last_mut()
        {
            *newest = (*newest).max(bytes.0.min(1 << 50));
        }
        self.note_kill(container, sample.t, day);
        self.note_pressure(container, sample.t, day);
    }

    fn roll(&mut self, day: i64) {
        while self.day < day {
            self.daily.push(0);
            self.day += 1;
        }
        let surplus = self.daily.len().saturating_sub(DAYS);
        self.daily.drain(..surplus);
    }

    /// Takes over the daily peaks of the days before.
    pub(super) fn learn_from(&mut self, learned: Self) {
        let own = std::mem::replace(&mut self.daily, learned.daily);
        let day = std::mem::replace(&mut self.day, learned.day);
        let Some(newest) = own.last() else { return };
        self.roll(day);
        if let Some(last) = self.daily.last_mut() {
            *last = (*last).max(*newest);
        }
    }

    fn note_kill(&mut self, container: &ContainerState, t: f64, day: i64) {
        if container.oom_kills_delta.is_none_or(|n| n == 0) {
            return;
        }
        let own = container.limit.memory_bytes.map(|b| b.0);
        let Some(limit) = container.last_oom_limit_bytes.map(|b| b.0).or(own).filter(|b| *b > 0) else { return };
        if limit <= self.counted && self.killed.is_some() {
            return;
        }
        self.counted = limit;
        self.last_kill = Some((t, limit));
        self.teach(limit, (limit as f64 * KILL_FACTOR).max(limit as f64 + KILL_ADD), day);
    }

    fn note_pressure(&mut self, container: &ContainerState, t: f64, day: i64) {
        if container.memory_pressure.is_none_or(|p| p.is_nan() || p <= PRESSURE) {
            self.pressed_since = None;
            return;
        }
        let since = *self.pressed_since.get_or_insert(t);
        let Some(limit) = container.limit.memory_bytes.map(|b| b.0).filter(|b| *b > self.counted) else { return };
        if t - since >= PRESSURE_SECONDS {
            self.counted = limit;
            self.pressed_since = None;
            self.teach(limit, limit as f64 * PRESSURE_FACTOR, day);
        }
    }

    fn teach(&mut self, limit: u64, wanted: f64, day: i64) {
        let wanted = Bytes::ceil_from(wanted.min((1_u64 << 50) as f64)).0.max(limit);
        self.killed = Some((wanted.max(self.killed.map_or(0, |k| k.0)), day));
    }

    /// The largest peak.
    pub(super) fn peak(&self) -> Bytes {
        Bytes(self.daily.iter().copied().max().unwrap_or(0))
    }

    /// Decides the request inside `bounds`: `request` and `limit` of the template, `frozen` forbids lowering.
    pub(super) fn need(
        &mut self,
        (request, limit): (u64, Option<u64>),
        bounds: (u64, u64),
        sample: &Sample,
        frozen: bool,
    ) -> Need {
        let peak = self.peak();
        let by_peak = MARGIN * peak.as_f64();
        // A kill is about the limit; the request keeps its share of it.
        let share = limit.map_or(1.0, |l| if l > 0 { (request as f64 / l as f64).min(1.0) } else { 1.0 });
        let by_kill = self.killed.map_or(0.0, |(bytes, _)| bytes as f64 * share);
        let wanted = Bytes::ceil_from(by_peak.max(by_kill)).0.clamp(bounds.0, bounds.1.max(bounds.0));
        let present = if self.decided > 0 { self.decided } else { request };
        let present = present.clamp(bounds.0, bounds.1.max(bounds.0));
        let mut change = Change::None;
        let mut next = present;
        if wanted > present {
            next = wanted;
            change = Change::Peak { peak };
        } else if wanted > 0 && peak.0 > 0 && !frozen && self.may_lower(wanted, present, sample) {
            next = wanted;
            self.lowered = sample.t;
            change = Change::Peak { peak };
        }
        if let Some((at, limit)) = self.last_kill
            && (0.0..TELL_SECONDS).contains(&(sample.t - at))
        {
            change = Change::Killed { limit: Bytes(limit), at: super::arith::count(at) };
        }
        self.decided = next;
        Need { request: Bytes(next), change }
    }

    fn may_lower(&self, wanted: u64, present: u64, sample: &Sample) -> bool {
        let gain = 1.0 - wanted as f64 / (present as f64).max(1.0);
        gain >= LOWER_GAIN && sample.uptime >= LOWER_AFTER && sample.t - self.lowered >= LOWER_EVERY
    }

    /// The template changed: its own request counts again, and old peaks stay.
    pub(super) fn adopt(&mut self, request: u64) {
        self.decided = self.decided.max(request);
    }
}
