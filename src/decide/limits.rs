//! Limits: bounds of the policy, quota, and `behavior` exactly as HPA `autoscaling/v2` counts it.
//!
//! A rate limit looks at the count at the period's start, which is the present one less what was added and plus what
//! was removed in the period (events strictly younger than it). What was decided counts from the decision on, once it
//! is seen in `spec.replicas`.

use serde::{Deserialize, Serialize};

use super::{
    Reason, Snapshot,
    arith::{count, sane},
};
use crate::{
    policy::{DirectionRules, Mode, Policy, RateLimit, SelectPolicy},
    units::Bytes,
};

/// The most events kept; older ones are merged into their neighbour.
const MOST_EVENTS: usize = 64;
/// Longest period that `behavior` may have (HPA validation).
const LONGEST_PERIOD: f64 = 1800.0;
/// Longest stabilization window (HPA validation).
const LONGEST_WINDOW: f64 = 3600.0;

/// Own scale events and what was wanted lately.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Events {
    /// (when, change), oldest first.
    changes: Vec<(f64, i64)>,
    /// A decision that is not seen in `spec.replicas` yet: (when, from, to).
    pending: Option<(f64, u32, u32)>,
    /// Smallest wanted counts of the scale-up window, increasing: (when, count).
    wanted: Vec<(f64, u32)>,
}

/// The count after all limits, and which one binds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Limited {
    /// The count.
    pub(super) replicas: u32,
    /// The limit that binds last.
    pub(super) by: Option<Limit>,
}

/// A limit that binds, with the numbers that its words need.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Limit {
    /// `replicas.max`.
    Max {
        /// The count that is wanted.
        wanted: u32,
        /// Cores that are not carried.
        missing: f64,
    },
    /// `replicas.min`.
    Min {
        /// The count that is wanted.
        wanted: u32,
    },
    /// The floor of a schedule.
    Scheduled {
        /// Fewest replicas.
        floor: u32,
    },
    /// The namespace's quota.
    Quota {
        /// What is left of what runs out first.
        left: Left,
        /// The count that fits.
        fits: u32,
        /// The count that is wanted.
        wanted: u32,
    },
    /// Growth waits until it was wanted for a while.
    GrowthWaits,
    /// The rate of growth.
    Growth,
    /// The rate of shrinking.
    Shrinking,
}

/// What a quota leaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Left {
    /// CPU.
    Cores(f64),
    /// Memory.
    Memory(Bytes),
    /// Pods.
    Pods(u32),
}

impl Limit {
    /// The reason that goes with it.
    pub(super) fn reason(self) -> Reason {
        match self {
            Self::Max { .. } => Reason::LimitedByMax,
            Self::Min { .. } => Reason::LimitedByMin,
            Self::Scheduled { .. } => Reason::ScheduledMinimum,
            Self::Quota { .. } => Reason::LimitedByQuota,
            Self::GrowthWaits | Self::Growth | Self::Shrinking => Reason::LimitedByBehavior,
        }
    }

    /// In words.
    pub(super) fn describe(self, policy: &Policy, snapshot: &Snapshot) -> String {
        let (min, max) = bounds(policy);
        match self {
            Self::Max { wanted, missing } if missing > 0.0 => {
                let missing = super::words::cores_unit(missing);
                format!("needs {wanted}, max is {max}: {missing} of demand are not carried")
            }
            Self::Max { wanted, .. } => format!("needs {wanted}, max is {max}"),
            Self::Min { wanted } => format!("needs {wanted}, min is {min}"),
            Self::Scheduled { floor } => format!("a schedule asks for at least {floor}"),
            Self::Quota { left, fits, wanted } => {
                let left = match left {
                    Left::Cores(cores) => super::words::cores_unit(cores),
                    Left::Memory(bytes) => bytes.to_string(),
                    Left::Pods(pods) => format!("{pods} pods"),
                };
                let name: String = snapshot.room.quota.iter().flat_map(|q| q.name.chars()).take(63).collect();
                format!("quota `{name}` leaves {left}: {fits} of {wanted} replicas")
            }
            Self::GrowthWaits => {
                let window = policy.behavior.scale_up.as_ref().and_then(|r| r.stabilization).map_or(0.0, |s| s.0);
                format!("scaleUp waits until it was wanted for {}", super::words::duration(window))
            }
            Self::Growth => describe("scaleUp", policy.behavior.scale_up.as_ref(), '+'),
            Self::Shrinking => describe("scaleDown", policy.behavior.scale_down.as_ref(), '-'),
        }
    }
}

impl Events {
    /// Takes over a pending decision that `spec.replicas` now shows, or drops it when something else happened.
    pub(super) fn observe(&mut self, spec: u32) {
        if let Some((at, from, to)) = self.pending {
            if spec == to {
                self.push(at, i64::from(to) - i64::from(from));
                self.pending = None;
            } else if spec != from {
                self.pending = None;
            }
        }
    }

    /// Notes a decision from the present count to another.
    pub(super) fn decided(&mut self, t: f64, mode: Mode, from: u32, to: u32) {
        if from == to {
            self.pending = None;
        } else if mode == Mode::Auto {
            self.pending = Some((t, from, to));
        } else {
            self.push(t, i64::from(to) - i64::from(from));
        }
    }

    fn push(&mut self, t: f64, change: i64) {
        self.changes.retain(|(at, _)| t - at < LONGEST_PERIOD);
        if self.changes.len() >= MOST_EVENTS {
            // The two oldest become one, at the younger's time: never less limiting than they were.
            let (_, oldest) = self.changes.remove(0);
            self.changes[0].1 += oldest;
        }
        // The room that it may ever need, once: a decision asks for no memory later.
        self.changes.reserve(MOST_EVENTS - self.changes.len());
        self.changes.push((t, change));
    }

    /// The count at the start of a period that ends now.
    fn at_start(&self, t: f64, current: u32, period: f64) -> i64 {
        let inside = self.changes.iter().filter(|(at, _)| *at > t - period);
        i64::from(current) - inside.map(|(_, change)| change).sum::<i64>()
    }

    /// The most that growth may reach; `None`: not limited.
    fn most(&self, rules: &DirectionRules, t: f64, current: u32) -> Option<u32> {
        if rules.select == SelectPolicy::Disabled {
            return Some(current);
        }
        let limit = |rate: &RateLimit| match *rate {
            RateLimit::Pods { value, period } => {
                self.at_start(t, current, seconds(period)).saturating_add(i64::from(value))
            }
            RateLimit::Percent { value, period } => {
                let start = self.at_start(t, current, seconds(period)).max(0);
                ceil_share(start, i64::from(value) + 100)
            }
        };
        let limits = rules.rates.iter().map(limit);
        let chosen = if rules.select == SelectPolicy::Min { limits.min() } else { limits.max() };
        chosen.map(|n| u32::try_from(n.max(i64::from(current))).unwrap_or(u32::MAX))
    }

    /// The least that shrinking may reach; `None`: not limited.
    fn least(&self, rules: &DirectionRules, t: f64, current: u32) -> Option<u32> {
        if rules.select == SelectPolicy::Disabled {
            return Some(current);
        }
        let limit = |rate: &RateLimit| match *rate {
            RateLimit::Pods { value, period } => {
                self.at_start(t, current, seconds(period)).saturating_sub(i64::from(value))
            }
            RateLimit::Percent { value, period } => {
                let start = self.at_start(t, current, seconds(period)).max(0);
                start.saturating_mul(100 - i64::from(value.min(100))) / 100
            }
        };
        let limits = rules.rates.iter().map(limit);
        let chosen = if rules.select == SelectPolicy::Min { limits.max() } else { limits.min() };
        chosen.map(|n| u32::try_from(n.clamp(0, i64::from(current))).unwrap_or(current))
    }

    /// The scale-up window: the smallest count wanted in it (as HPA: strictly younger than the window).
    fn stabilized_up(&mut self, rules: &DirectionRules, t: f64, current: u32, wanted: u32) -> u32 {
        let window = rules.stabilization.map_or(0.0, |s| sane(s.0).unwrap_or(0.0).min(LONGEST_WINDOW));
        if window <= 0.0 {
            self.wanted.clear();
            return wanted;
        }
        if self.wanted.is_empty() {
            // As HPA after a start: the present count is the first recommendation.
            self.wanted.push((t, current));
        }
        self.wanted.retain(|(at, _)| *at > t - window);
        while self.wanted.last().is_some_and(|(_, n)| *n >= wanted) {
            self.wanted.pop();
        }
        if self.wanted.len() >= MOST_EVENTS {
            self.wanted.pop();
        }
        self.wanted.reserve(MOST_EVENTS.saturating_sub(self.wanted.len()));
        self.wanted.push((t, wanted));
        self.wanted[0].1.clamp(current.min(wanted), wanted.max(current))
    }
}

fn seconds(period: crate::units::Seconds) -> f64 {
    sane(period.0).unwrap_or(0.0).min(LONGEST_PERIOD)
}

/// `⌈start·percent/100⌉`.
fn ceil_share(start: i64, percent: i64) -> i64 {
    let product = start.saturating_mul(percent);
    product / 100 + i64::from(product % 100 != 0)
}

/// What the limits look at.
pub(super) struct Wish {
    /// Now.
    pub(super) t: f64,
    /// The count that `behavior` counts from.
    pub(super) current: u32,
    /// The count that is wanted.
    pub(super) wanted: u32,
    /// CPU of a new pod, all containers.
    pub(super) pod_cores: f64,
    /// Memory of a new pod, bytes.
    pub(super) pod_bytes: f64,
    /// Demand that one pod carries, for the words.
    pub(super) k: f64,
    /// Demand planned for.
    pub(super) planned: f64,
    /// The floor of a schedule; 0: none.
    pub(super) scheduled: u32,
}

/// (fewest, most) replicas while there is work.
pub(super) fn bounds(policy: &Policy) -> (u32, u32) {
    let max = policy.replicas.max.0.max(1);
    (policy.replicas.min.0.clamp(1, max), max)
}

/// Applies quota, `behavior`, and the bounds, in this order: the bounds are an order and win.
pub(super) fn apply(wish: &Wish, snapshot: &Snapshot, policy: &Policy, events: &mut Events) -> Limited {
    let (min, max) = bounds(policy);
    let min = if policy.may_sleep() { 0 } else { min };
    let mut limited = Limited { replicas: wish.wanted, by: None };
    by_behavior(&mut limited, wish, policy, events);
    by_quota(&mut limited, wish, snapshot);
    if limited.replicas > max {
        // What a stricter limit has already cut is told by the stricter one.
        let missing = (wish.planned - f64::from(max) * wish.k).max(0.0);
        limited = Limited { replicas: max, by: Some(Limit::Max { wanted: wish.wanted, missing }) };
    } else if limited.replicas < wish.scheduled.min(max) && wish.scheduled > min {
        let floor = wish.scheduled.min(max);
        limited = Limited { replicas: floor, by: Some(Limit::Scheduled { floor }) };
    } else if limited.replicas < min {
        limited = Limited { replicas: min, by: Some(Limit::Min { wanted: wish.wanted }) };
    }
    limited
}

fn by_behavior(limited: &mut Limited, wish: &Wish, policy: &Policy, events: &mut Events) {
    let current = wish.current;
    if let Some(rules) = &policy.behavior.scale_up {
        let stable = events.stabilized_up(rules, wish.t, current, wish.wanted);
        if wish.wanted > current {
            let (mut allowed, mut by) = (wish.wanted, None);
            if stable < allowed {
                (allowed, by) = (stable.max(current), Some(Limit::GrowthWaits));
            }
            if let Some(most) = events.most(rules, wish.t, current).filter(|most| *most < allowed) {
                (allowed, by) = (most, Some(Limit::Growth));
            }
            if allowed < wish.wanted {
                *limited = Limited { replicas: allowed, by };
            }
        }
    }
    if let (Some(rules), true) = (&policy.behavior.scale_down, wish.wanted < current)
        && let Some(least) = events.least(rules, wish.t, current).filter(|least| *least > wish.wanted)
    {
        *limited = Limited { replicas: least, by: Some(Limit::Shrinking) };
    }
}

/// `scaleUp policy allows +4 per 15 s`.
fn describe(direction: &str, rules: Option<&DirectionRules>, sign: char) -> String {
    let Some(rules) = rules else { return format!("{direction} has no policy") };
    if rules.select == SelectPolicy::Disabled {
        return format!("{direction} is disabled (selectPolicy: Disabled)");
    }
    let each = rules.rates.iter().map(|rate| match rate {
        RateLimit::Pods { value, period } => format!("{sign}{value} per {}", super::words::duration(period.0)),
        RateLimit::Percent { value, period } => format!("{sign}{value} % per {}", super::words::duration(period.0)),
    });
    let or = if rules.select == SelectPolicy::Min { " and " } else { " or " };
    let all: Vec<String> = each.take(4).collect();
    format!("{direction} policy allows {}", all.join(or))
}

/// A quota bounds growth only: what runs, runs.
fn by_quota(limited: &mut Limited, wish: &Wish, snapshot: &Snapshot) {
    let Some(quota) = &snapshot.room.quota else { return };
    let pods = &snapshot.replicas;
    let exist = pods.ready.0.saturating_add(pods.pending.0).max(pods.spec.0);
    if limited.replicas <= exist {
        return;
    }
    let left = quota.left.cpu_cores.and_then(|c| sane(c.0.max(0.0)));
    let by_cpu = left.filter(|_| wish.pod_cores > 0.0).map(|left| count(left / wish.pod_cores + 1e-9));
    let by_memory = quota.left.memory_bytes.filter(|_| wish.pod_bytes > 0.0);
    let by_memory = by_memory.map(|left| count(left.as_f64() / wish.pod_bytes + 1e-9));
    let more = [by_cpu, by_memory, quota.pods.map(|p| p.0)].into_iter().flatten().min();
    if let Some(more) = more.filter(|more| exist.saturating_add(*more) < limited.replicas) {
        let left = match (left, quota.left.memory_bytes) {
            (Some(cores), _) if by_cpu == Some(more) => Left::Cores(cores),
            (_, Some(bytes)) if by_memory == Some(more) => Left::Memory(bytes),
            _ => Left::Pods(more),
        };
        let fits = exist + more;
        *limited = Limited { replicas: fits, by: Some(Limit::Quota { left, fits, wanted: wish.wanted }) };
    }
}
