//! Ingest: one snapshot becomes plain, finite numbers, and the clock moves on.
//!
//! Here and only here raw observations are read. What is not finite, negative or absurd is absent from here on; what is
//! absent stays absent. Times are seconds.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{
    Snapshot,
    arith::sane,
    past::Past,
    pressure,
    stale::{UsageState, usage_state},
    waits::Waits,
};
use crate::units::Bytes;

/// The longest step that counters are moved by; a longer silence is not evidence for anything.
pub(super) const LONGEST_STEP: f64 = 60.0;
/// Length of the usage window when the snapshot does not say; two scrapes of 15 s.
const DEFAULT_WINDOW: f64 = 30.0;
/// Pods count as settled when their number has not changed for this long: usage window and lag have passed.
const SETTLED_AFTER: f64 = 60.0;
/// No shrinking or resizing for this long after a new template (model: plateau).
pub(super) const TEMPLATE_FREEZE: f64 = 600.0;
/// Usage in this time after a new template is start-up work, not demand.
const TEMPLATE_SKIP: f64 = 105.0;
/// Longest template hash that is told apart (the longest value of a label).
const LONGEST_HASH: usize = 63;
/// Start-up time that is reckoned with before one was seen.
const DEFAULT_START: f64 = 30.0;
/// A workload without history is watched for this long before a replica leaves (model 3.14: 40 samples).
pub(super) const SHADOW: f64 = 600.0;
/// Lag of metrics and one decision, in seconds (two ticks of lag, one of decision).
const METRIC_LAG: f64 = 45.0;

/// Time and pods as last seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Clock {
    /// Instant of the last tick, unix seconds.
    last: Option<f64>,
    /// Instant of the first tick.
    started: Option<f64>,
    /// Ready pods.
    ready: Past,
    /// `spec.replicas` of the last tick.
    spec: Option<u32>,
    /// When pods or `spec.replicas` last changed.
    changed: f64,
    /// Template last seen.
    template: Option<String>,
    /// CPU request of the template last seen.
    template_cores: Option<f64>,
    /// When the template last changed; absent: never while watched.
    template_at: Option<f64>,
    /// 90th percentile of start-up time where a node has room.
    start_p90: f64,
    /// What waiting for a node adds.
    waits: Waits,
    /// Seconds of whole usage that have been seen.
    watched: f64,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            last: None,
            started: None,
            ready: Past::default(),
            spec: None,
            changed: 0.0,
            template: None,
            template_cores: None,
            template_at: None,
            start_p90: DEFAULT_START,
            waits: Waits::default(),
            watched: 0.0,
        }
    }
}

/// Containers, or sizes of pods, that are read without asking for memory; a pod with more works all the same.
pub(super) const INLINE: usize = 8;

/// One per container, or per size of pods.
pub(super) type Few<T> = SmallVec<[T; INLINE]>;

/// One container as the terms see it.
#[derive(Clone, Debug, Default)]
pub(super) struct ContainerSample {
    /// CPU used by the pods that report, cores.
    pub(super) cpu: Option<f64>,
    /// Pods that report.
    pub(super) reporting: Option<f64>,
    /// What one pod's container can use before it is short: its limit, else its request, as it runs now.
    pub(super) cap: Option<f64>,
    /// Whether `cap` is a limit.
    pub(super) limited: bool,
    /// Mean request over the running pods, else the template's.
    pub(super) running: Option<f64>,
    /// Share of throttled periods.
    pub(super) throttled: Option<f64>,
    /// Share of time in which something waits for CPU.
    pub(super) pressure: Option<f64>,
}

/// One tick's evidence.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is an observation of its own, not a state of one thing")]
pub(super) struct Sample {
    /// Now, unix seconds; never runs backwards.
    pub(super) t: f64,
    /// Seconds since the last tick, 0 at the first one and for duplicates, at most [`LONGEST_STEP`].
    pub(super) dt: f64,
    /// Whether this is the first tick.
    pub(super) first: bool,
    /// Seconds since the first tick.
    pub(super) uptime: f64,
    /// `spec.replicas`.
    pub(super) spec: u32,
    /// `spec.replicas` of the tick before.
    pub(super) spec_before: Option<u32>,
    /// Ready pods.
    pub(super) ready: f64,
    /// Mean ready pods over the usage window.
    pub(super) ready_in_window: f64,
    /// The window that usage is a mean over, unix seconds.
    pub(super) usage_window: (f64, f64),
    /// Ready pods equal `spec.replicas` and nothing changed for a minute.
    pub(super) settled: bool,
    /// CPU used by all pods, cores; for partial data scaled to the pods that should report.
    pub(super) usage: Option<f64>,
    /// How far usage can be trusted.
    pub(super) usage_state: UsageState,
    /// Age of usage.
    pub(super) usage_age: Option<f64>,
    /// CPU used by the busiest pod.
    pub(super) busiest: Option<f64>,
    /// Largest throttled share of a container.
    pub(super) throttled: Option<f64>,
    /// CPU pressure of the container that requests most, and its request.
    pub(super) pressure: Option<(f64, f64)>,
    /// CPU request of the template's pod; absent when no container has one.
    pub(super) template: Option<f64>,
    /// Whether the template's request differs from the last tick's.
    pub(super) template_resized: bool,
    /// Mean CPU request of the running pods, else the template's.
    pub(super) running: Option<f64>,
    /// Pods by size: (pods, CPU of such a pod, its raise is refused).
    pub(super) groups: Few<(f64, f64, bool)>,
    /// Memory request of a pod, GiB.
    pub(super) memory_gib: f64,
    /// Mean working set of a pod, GiB.
    pub(super) working_set_gib: Option<f64>,
    /// Containers in the order of the snapshot.
    pub(super) containers: Few<ContainerSample>,
    /// A new template was seen at this tick.
    pub(super) new_template: bool,
    /// Seconds since the newest template, while it is younger than the freeze, or a roll-out runs.
    pub(super) rollout_age: Option<f64>,
    /// Usage is start-up work now.
    pub(super) starting_up: bool,
    /// Seconds from a decision to a ready pod.
    pub(super) lead: f64,
    /// 90th percentile of start-up time, as things are now: longer while pods wait for a node.
    pub(super) start_p90: f64,
    /// Seconds of whole usage that have been seen, history included.
    watched: f64,
}

/// Unix seconds with fractions.
pub(super) fn seconds(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1000.0
}

/// The instant of unix seconds; what does not fit is cut.
pub(super) fn timestamp(seconds: f64) -> Timestamp {
    #[expect(clippy::cast_possible_truncation, reason = "`as` saturates, and what does not fit is cut below")]
    let millis = (seconds * 1000.0) as i64;
    Timestamp::from_millisecond(millis).unwrap_or(if millis > 0 { Timestamp::MAX } else { Timestamp::MIN })
}

impl Clock {
    /// Moves to `now`: (now, step, first). Time that runs backwards by less than an hour stands still.
    fn advance(&mut self, now: f64) -> (f64, f64, bool) {
        let first = self.last.is_none();
        let last = self.last.unwrap_or(now);
        let t = if now < last && last - now < 3600.0 { last } else { now };
        let dt = if first { 0.0 } else { (t - last).clamp(0.0, LONGEST_STEP) };
        self.last = Some(t);
        // A clock set back by hours would leave `started` in the future.
        self.started = Some(self.started.map_or(t, |s| s.min(t)));
        (t, dt, first)
    }

    /// Notes the pod count; true when pods or spec changed.
    fn note_pods(&mut self, t: f64, ready: u32, spec: u32) {
        if self.ready.note(t, f64::from(ready)) {
            self.changed = t;
        }
        if self.spec.is_some_and(|s| s != spec) || f64::from(ready) != f64::from(spec) {
            self.changed = t;
        }
        self.spec = Some(spec);
    }

    /// A quantile tracker: half way up to a longer start, a little down to a shorter one. Waiting for a node is learned
    /// apart.
    fn note_starts(&mut self, t: f64, snapshot: &Snapshot) {
        let (pods, starts) = (&snapshot.replicas, snapshot.start_seconds.iter().filter_map(|s| sane(s.0)));
        for s in self.waits.note(t, pods.pending.0, pods.unschedulable.0, starts.collect()) {
            let gain = if s > self.start_p90 { 0.5 } else { 0.05 };
            self.start_p90 += gain * (s.clamp(0.0, 1800.0) - self.start_p90);
        }
    }

    /// For how long a workload was watched, until when, that has not been looked at since; none when it was not.
    pub(super) fn history(&self) -> Option<(f64, f64)> {
        self.started.filter(|_| self.last.is_none()).map(|started| (self.watched, started + self.watched))
    }

    /// Seconds of whole usage that have been seen.
    pub(super) const fn watched(&self) -> f64 {
        self.watched
    }

    /// Takes over the template that another clock saw last.
    pub(super) fn keep_template(&mut self, seen: &Self) {
        self.template.clone_from(&seen.template);
        self.template_cores = seen.template_cores;
    }

    /// Takes over what another clock has learned: how long pods take to start, and for how long the workload was watched.
    pub(super) fn learn_from(&mut self, learned: &Self, watched: f64, now: f64) {
        self.start_p90 = learned.start_p90;
        self.watched = self.watched.max(watched);
        self.started = Some(self.started.unwrap_or(now).min(now - watched));
    }

    /// True when the template is another one than before.
    fn note_template(&mut self, t: f64, snapshot: &Snapshot) -> bool {
        let Some(hash) = &snapshot.replicas.template_hash else { return false };
        // Cut before it is compared: a longer one would be new at every tick.
        let hash = hash.char_indices().nth(LONGEST_HASH).map_or(hash.as_str(), |(end, _)| &hash[..end]);
        let new = self.template.as_deref().is_some_and(|seen| seen != hash);
        if self.template.as_deref() != Some(hash) {
            self.template = Some(hash.to_owned());
        }
        if new {
            self.template_at = Some(t);
        }
        new
    }
}

/// Mean request over pods, weighted by pods; the template's when no sizes are known.
fn mean_request(container: &super::ContainerState) -> Option<f64> {
    let template = container.request.cpu_cores.and_then(|c| sane(c.0)).filter(|c| *c > 0.0);
    let (mut pods, mut sum) = (0.0, 0.0);
    for group in &container.sizes {
        if let Some(cores) = group.cpu_cores.and_then(|c| sane(c.0)).filter(|c| *c > 0.0) {
            pods += group.pods.as_f64();
            sum += group.pods.as_f64() * cores;
        }
    }
    if pods > 0.0 { Some(sum / pods) } else { template }
}

fn read_container(container: &super::ContainerState) -> ContainerSample {
    let template = container.request.cpu_cores.and_then(|c| sane(c.0)).filter(|c| *c > 0.0);
    let running = mean_request(container);
    let limit = container.limit.cpu_cores.and_then(|c| sane(c.0)).filter(|c| *c > 0.0);
    // A resized pod keeps the ratio of limit to request.
    let cap = match (limit, running, template) {
        (Some(limit), Some(running), Some(template)) => Some(limit * running / template),
        (Some(limit), ..) => Some(limit),
        (None, running, _) => running,
    };
    ContainerSample {
        cpu: container.cpu_cores.and_then(|c| sane(c.0)),
        reporting: container.reporting_pods.map(crate::units::Replicas::as_f64),
        cap,
        limited: limit.is_some(),
        running,
        throttled: container.throttled_ratio.and_then(sane).map(|x| x.min(1.0)),
        pressure: container.cpu_pressure.and_then(sane).map(|x| x.min(1.0)),
    }
}

/// Sum of what is there; absent when nothing is.
fn total(parts: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    parts.flatten().fold(None, |sum, x| Some(sum.unwrap_or(0.0) + x))
}

/// Pods by size, from the container with the largest request: (pods, CPU of such a pod, its raise is refused).
fn size_groups(snapshot: &Snapshot, pod_over_container: f64) -> Few<(f64, f64, bool)> {
    use super::ResizeState::{Deferred, Error, Infeasible};
    let main = snapshot.containers.iter().max_by(|a, b| {
        let cores = |c: &super::ContainerState| c.request.cpu_cores.and_then(|c| sane(c.0)).unwrap_or(0.0);
        cores(a).total_cmp(&cores(b))
    });
    main.map_or_else(Few::new, |c| {
        let groups = c.sizes.iter().filter_map(|g| {
            let cores = g.cpu_cores.and_then(|c| sane(c.0))? * pod_over_container;
            Some((g.pods.as_f64(), cores, matches!(g.resize, Deferred | Infeasible | Error)))
        });
        groups.collect()
    })
}

impl Sample {
    /// Reads a snapshot and moves the clock.
    pub(super) fn read(snapshot: &Snapshot, clock: &mut Clock, now: Timestamp) -> Self {
        let (t, dt, first) = clock.advance(seconds(now));
        let (spec, ready) = (snapshot.replicas.spec.0, snapshot.replicas.ready.0);
        let spec_before = clock.spec;
        clock.note_pods(t, ready, spec);
        clock.note_starts(t, snapshot);
        let start = clock.waits.start(t, clock.start_p90);
        let new_template = clock.note_template(t, snapshot);
        let containers: Few<_> = snapshot.containers.iter().map(read_container).collect();

        let late_by = (seconds(now) - seconds(snapshot.at)).clamp(0.0, 86_400.0);
        let usage_age = snapshot.usage_age_seconds.and_then(|a| sane(a.0)).map(|a| a + late_by);
        let window = snapshot.window_seconds.and_then(|w| sane(w.0)).unwrap_or(DEFAULT_WINDOW).clamp(1.0, 600.0);
        let end = t - usage_age.unwrap_or(0.0).min(600.0);
        let usage_window = (end - window, end);
        let ready_in_window = clock.ready.mean(usage_window);

        let reporting = containers.iter().filter_map(|c| c.reporting).reduce(f64::min);
        let sum = total(containers.iter().map(|c| c.cpu));
        let whole = !containers.is_empty() && containers.iter().all(|c| c.cpu.is_some());
        let state = usage_state(sum, whole, reporting, f64::from(ready), usage_age);
        if matches!(state, UsageState::Fresh | UsageState::Late) {
            clock.watched += dt;
        }
        // Pods that should have reported: a pod that became ready after the window has nothing to report yet.
        let expected = ready_in_window.min(f64::from(ready));
        let scale = match (state, reporting) {
            (UsageState::Partial, Some(r)) if r > 0.0 && r < expected => expected / r,
            _ => 1.0,
        };
        let template =
            total(snapshot.containers.iter().map(|c| c.request.cpu_cores.and_then(|c| sane(c.0)))).filter(|r| *r > 0.0);
        let template_resized = clock.template_cores.is_some() && clock.template_cores != template;
        clock.template_cores = template;
        let running = total(containers.iter().map(|c| c.running)).filter(|r| *r > 0.0);
        let largest = snapshot.containers.iter().filter_map(|c| c.request.cpu_cores.and_then(|c| sane(c.0)));
        let largest = largest.fold(0.0, f64::max);
        let rolling = snapshot.replicas.rolling_out == Some(true);
        let template_age = clock.template_at.map(|at| t - at).filter(|age| (0.0..TEMPLATE_FREEZE).contains(age));
        Self {
            t,
            dt,
            first,
            uptime: clock.started.map_or(0.0, |s| t - s),
            spec,
            spec_before,
            ready: f64::from(ready),
            ready_in_window,
            usage_window,
            settled: t - clock.changed >= SETTLED_AFTER,
            usage: if state.is_known() { sum.map(|u| u * scale) } else { None },
            usage_state: state,
            usage_age,
            busiest: total(snapshot.containers.iter().map(|c| c.max_pod_cpu_cores.and_then(|c| sane(c.0)))),
            throttled: containers.iter().filter_map(|c| c.throttled).reduce(f64::max),
            pressure: pressure::of_largest(&containers),
            template,
            template_resized,
            running,
            groups: size_groups(snapshot, if largest > 0.0 { template.unwrap_or(largest) / largest } else { 1.0 }),
            memory_gib: memory_gib(snapshot),
            working_set_gib: total(snapshot.containers.iter().map(|c| c.memory_mean_pod_bytes.map(Bytes::gib))),
            containers,
            new_template,
            rollout_age: template_age.or(rolling.then_some(0.0)),
            starting_up: template_age.is_some_and(|age| age < TEMPLATE_SKIP),
            lead: METRIC_LAG + start,
            start_p90: start,
            watched: clock.watched,
        }
    }

    /// The idle time after which a replica leaves, given what the objective says: none leaves before the workload has been
    /// watched for a while.
    pub(super) fn hold(&self, given: f64) -> f64 {
        if self.watched < SHADOW { given.max(SHADOW) } else { given }
    }

    /// Whether usage is young and whole enough to learn from.
    pub(super) fn usage_is_whole(&self) -> bool {
        matches!(self.usage_state, UsageState::Fresh | UsageState::Late)
    }
}

/// Memory request of a pod in GiB.
fn memory_gib(snapshot: &Snapshot) -> f64 {
    snapshot.containers.iter().filter_map(|c| c.request.memory_bytes).map(Bytes::gib).sum::<f64>().min(1e6)
}
