//! The status of a policy as a value, and whether it is worth a write. Pure.
//!
//! [`next`] says what the status should be. [`Pace`] says when it is written: a change that people act on goes out at
//! once (within a burst that refills slowly), a calm reason that gives way to another calm one and numbers inside a
//! sentence wait for minutes. So an hour of noisy steady load costs at most about ten writes, and a status never lies
//! for longer than `CALM` plus jitter.
//!
//! Invariant: `lastTransitionTime` moves only when a condition's status does, `decision.time` only when the reason or a
//! desired value does.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::{
    api::{
        self, ContainerStatus, DecisionStatus, DesiredResources, DisplacedStatus, ReplicaStatus, ScalingPolicyStatus,
        SignalStatus,
        conditions::{self, ConditionStatus, ConditionType, NewCondition},
    },
    decide::{Decision, Reason, Resources, SignalState, SignalVerdict, Snapshot},
    policy::{Mode, OnRival, Policy, Role},
    units::{Quantity, Replicas, Seconds},
};

/// Least time between two writes that only refresh numbers and calm reasons. The contract says at most every 5 min;
/// with up to [`JITTER`] on top an hour has at most 10 of them, which leaves room for real changes within 15.
const CALM: SignedDuration = SignedDuration::from_mins(6);

/// Spread of refreshes of different policies, so that they do not come together.
const JITTER: SignedDuration = SignedDuration::from_secs(90);

/// Writes that may follow each other at once when something that people act on changes; one comes back per
/// [`REFILL`]. A scale-up of several steps is shown step by step; a value that flaps every tick is shown once a minute.
const BURST: f64 = 6.0;

/// See [`BURST`].
const REFILL: SignedDuration = SignedDuration::from_mins(2);

/// A pod that is ready for less than this need not report its usage yet: a scrape or two and the window of the mean.
const NOT_YET_MEASURED: Seconds = Seconds(120.0);

/// What is to be reported.
#[derive(Clone, Copy, Debug)]
pub enum View<'a> {
    /// Nothing can be decided.
    NotReady {
        /// One word in CamelCase.
        reason: &'a str,
        /// One sentence.
        message: &'a str,
        /// Who owns the workload.
        ownership: Ownership<'a>,
    },
    /// A decision.
    Decided(Decided<'a>),
}

/// A decision with what a status says beside it.
#[derive(Clone, Copy, Debug)]
pub struct Decided<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// What it rests on.
    pub snapshot: &'a Snapshot,
    /// The decision.
    pub decision: &'a Decision,
    /// Who owns the workload.
    pub ownership: Ownership<'a>,
    /// What else keeps it from shrinking, in words.
    pub bound: Option<&'a str>,
    /// What keeps pods from their sizes: reason and sentence.
    pub resizes: Option<(&'a str, &'a str)>,
    /// Remarks on the target and its pods, in words.
    pub remark: Option<&'a str>,
}

/// What is said of who owns a workload.
#[derive(Clone, Copy, Debug)]
pub struct Ownership<'a> {
    /// Whether it is known; else what was said before stands.
    pub known: bool,
    /// Why the workload is not in our hands although the mode is Auto, or not given back: reason and sentence.
    pub obstacle: Option<(&'a str, &'a str)>,
    /// What mode Auto would do to other autoscalers, in words.
    pub preview: Option<&'a str>,
    /// What is displaced.
    pub displaced: &'a [DisplacedStatus],
}

impl Ownership<'_> {
    /// Nobody else is there.
    pub const ALONE: Self = Self { known: true, obstacle: None, preview: None, displaced: &[] };
}

/// The status that follows from the one before.
#[must_use]
pub fn next(
    before: &ScalingPolicyStatus,
    view: View<'_>,
    generation: Option<i64>,
    now: Timestamp,
) -> ScalingPolicyStatus {
    let mut status = before.clone();
    status.observed_generation = generation;
    match view {
        View::NotReady { reason, message, ownership } => {
            set(&mut status, (ConditionType::Ready, ConditionStatus::False, reason, message), generation, now);
            for type_ in ConditionType::ALL.into_iter().skip(1) {
                let unknown = (type_, ConditionStatus::Unknown, "NotReady", "nothing is decided while Ready is False");
                let said = match ownership.obstacle.filter(|_| type_ == ConditionType::InControl) {
                    Some((reason, message)) => (type_, ConditionStatus::False, reason, message),
                    None => unknown,
                };
                set(&mut status, said, generation, now);
            }
            note_displaced(&mut status, ownership);
        }
        View::Decided(view) => decided(&mut status, view, generation, now),
    }
    status
}

type Said<'a> = (ConditionType, ConditionStatus, &'a str, &'a str);

fn set(status: &mut ScalingPolicyStatus, said: Said<'_>, generation: Option<i64>, now: Timestamp) {
    let (type_, holds, reason, message) = said;
    conditions::set(&mut status.conditions, &NewCondition { type_, status: holds, reason, message }, generation, now);
}

fn decided(status: &mut ScalingPolicyStatus, view: Decided<'_>, generation: Option<i64>, now: Timestamp) {
    let Decided { policy, snapshot, decision, .. } = view;
    let before = status.clone();
    let target = format!("{} {} is observed and decided for", policy.target.kind, policy.target.name);
    let ready = view.remark.map_or_else(|| target.clone(), |remark| format!("{target}; {remark}"));
    set(status, (ConditionType::Ready, ConditionStatus::True, "Decided", &ready), generation, now);
    let (holds, reason, message) = signals_fresh(snapshot, decision);
    set(status, (ConditionType::SignalsFresh, holds, &reason, &message), generation, now);
    in_control(status, view, generation, now);
    note_displaced(status, view.ownership);
    let bound =
        decision.explain.limited.as_deref().or(view.bound).map(|words| (limited_reason(decision.reason), words));
    let (reason, words) = match (bound, view.resizes) {
        // A floor that binds is what somebody wished; pods that are too small are not.
        (Some(("LimitedByMin", words)), Some((reason, sizes))) => (reason, format!("{sizes}; {words}")),
        (Some((reason, words)), Some((_, sizes))) => (reason, format!("{words}; {sizes}")),
        (Some((reason, words)), None) | (None, Some((reason, words))) => (reason, words.to_owned()),
        (None, None) => ("Free", "nothing binds".to_owned()),
    };
    let binds = ConditionStatus::from(bound.or(view.resizes).is_some());
    set(status, (ConditionType::Limited, binds, reason, &words), generation, now);
    set(status, reachable(policy, decision), generation, now);
    let count = |r: Replicas| i32::try_from(r.0).unwrap_or(i32::MAX);
    status.replicas = Some(ReplicaStatus {
        current: count(snapshot.replicas.spec),
        ready: count(snapshot.replicas.ready),
        desired: count(decision.replicas),
    });
    status.containers = decision
        .containers
        .iter()
        .map(|c| ContainerStatus {
            name: c.name.clone(),
            desired: DesiredResources { requests: amounts(c.requests), limits: amounts(c.limits) },
        })
        .collect();
    status.template_hash.clone_from(&snapshot.replicas.template_hash);
    status.signals = decision.explain.signals.iter().map(|s| signal(s, snapshot.at)).collect();
    let reason = format!("{:?}", decision.reason);
    let same = before.decision.as_ref().filter(|d| d.reason == reason && desired(&before) == desired(status));
    let time = same.map_or(Time(now), |d| d.time.clone());
    status.decision = Some(DecisionStatus { time, reason, message: decision.message.clone() });
}

fn desired(status: &ScalingPolicyStatus) -> (Option<i32>, &[ContainerStatus]) {
    (status.replicas.map(|r| r.desired), &status.containers)
}

fn amounts(resources: Resources) -> std::collections::BTreeMap<String, String> {
    let cpu = resources.cpu_cores.map(|c| ("cpu".to_owned(), Quantity::format_cores(c)));
    let memory = resources.memory_bytes.map(|m| ("memory".to_owned(), Quantity::format_bytes(m)));
    cpu.into_iter().chain(memory).collect()
}

fn signal(verdict: &SignalVerdict, at: Timestamp) -> SignalStatus {
    let sampled = |age: Seconds| {
        let age = SignedDuration::try_from_secs_f64(age.get()).ok()?;
        at.checked_sub(age).ok().map(Time)
    };
    SignalStatus {
        name: verdict.name.clone(),
        role: match verdict.role {
            Role::Demand => api::Role::Demand,
            Role::Backlog => api::Role::Backlog,
            Role::Latency => api::Role::Latency,
            Role::Saturation => api::Role::Saturation,
        },
        state: format!("{:?}", verdict.state),
        sample_time: verdict.age_seconds.and_then(sampled),
        message: verdict.note.clone(),
    }
}

/// Whether a state holds something back.
#[must_use]
pub const fn holds_back(state: SignalState) -> bool {
    matches!(state, SignalState::Stale | SignalState::Partial | SignalState::Absent | SignalState::Invalid)
}

fn signals_fresh(snapshot: &Snapshot, decision: &Decision) -> (ConditionStatus, String, String) {
    let bad: Vec<_> = decision.explain.signals.iter().filter(|s| holds_back(s.state)).collect();
    if let Some(worst) = bad.iter().max_by_key(|s| s.state) {
        let words = bad.iter().map(|s| match &s.note {
            Some(note) => format!("`{}` is {:?}: {note}", s.name, s.state),
            None => format!("`{}` is {:?}", s.name, s.state),
        });
        let message = words.collect::<Vec<_>>().join("; ");
        return (ConditionStatus::False, format!("{:?}", worst.state), message);
    }
    let young = snapshot.replicas.youngest_ready_age_seconds.is_some_and(|age| age < NOT_YET_MEASURED);
    let measured = snapshot.containers.iter().any(|c| c.cpu_cores.is_some());
    if decision.reason == Reason::SignalsStale && !(young && measured) {
        return (ConditionStatus::False, "UsageStale".into(), decision.message.clone());
    }
    if snapshot.replicas.ready.0 > 0 && !measured {
        let message = "no CPU usage of its pods is known: nothing shrinks; check the usage source (Prometheus cAdvisor \
                       series or metrics.k8s.io)";
        return (ConditionStatus::False, "UsageAbsent".into(), message.to_owned());
    }
    (ConditionStatus::True, "Fresh".into(), "every signal can be trusted".into())
}

/// Who else keeps writing the count, and what is done about it.
fn rival(view: Decided<'_>) -> Option<String> {
    let done = match view.policy.on_rival {
        OnRival::Floor => "not shrinking, growing if needed (spec.onRival: Floor)",
        OnRival::Reassert => "written through (spec.onRival: Reassert)",
    };
    view.decision.explain.rival.as_ref().map(|rival| format!("{rival}: {done}"))
}

fn note_displaced(status: &mut ScalingPolicyStatus, ownership: Ownership<'_>) {
    if ownership.known {
        status.displaced = ownership.displaced.to_vec();
    }
}

fn in_control(status: &mut ScalingPolicyStatus, view: Decided<'_>, generation: Option<i64>, now: Timestamp) {
    let ownership = view.ownership;
    let said_before = conditions::find(&status.conditions, ConditionType::InControl).is_some();
    // Of another mode's claims none stands: what Auto owned, Recommend has perhaps given back.
    if !ownership.known && ownership.obstacle.is_none() && said_before && view.policy.mode == Mode::Auto {
        return;
    }
    let mut say = |holds, reason: &str, message: &str| {
        set(status, (ConditionType::InControl, holds, reason, message), generation, now);
    };
    let recommend = "mode is Recommend: nothing is written";
    match (view.policy.mode, ownership.obstacle, rival(view)) {
        (Mode::Paused, ..) => say(ConditionStatus::Unknown, "Paused", "mode is Paused: nothing is written"),
        (_, Some((reason, message)), _) => say(ConditionStatus::False, reason, message),
        (Mode::Recommend, None, _) => match ownership.preview {
            Some(preview) => say(ConditionStatus::Unknown, "RecommendOnly", &format!("{recommend}; {preview}")),
            None => say(ConditionStatus::Unknown, "RecommendOnly", recommend),
        },
        (Mode::Auto, None, _) if !ownership.known => {
            say(ConditionStatus::Unknown, "Looking", "other autoscalers of this workload are being looked for");
        }
        (Mode::Auto, None, Some(rival)) => say(ConditionStatus::False, "RivalWrites", &rival),
        (Mode::Auto, None, None) => say(ConditionStatus::True, "InControl", "nobody else writes this workload"),
    }
}

fn limited_reason(reason: Reason) -> &'static str {
    match reason {
        Reason::LimitedByMax => "LimitedByMax",
        Reason::LimitedByMin => "LimitedByMin",
        Reason::LimitedByQuota => "LimitedByQuota",
        Reason::LimitedByBehavior => "LimitedByBehavior",
        _ => "Limited",
    }
}

fn reachable<'a>(policy: &Policy, decision: &'a Decision) -> Said<'a> {
    let say = |status, reason, message| (ConditionType::ObjectiveReachable, status, reason, message);
    match decision.explain.unreachable.as_deref() {
        Some(words) => say(ConditionStatus::False, "ObjectiveUnreachable", words),
        None if decision.reason == Reason::WaitingForData => {
            say(ConditionStatus::Unknown, "WaitingForData", "nothing has been measured yet")
        }
        None if policy.objective.latency.is_none() => {
            say(ConditionStatus::True, "Reachable", "utilization can be met by capacity")
        }
        None => say(ConditionStatus::True, "Reachable", "capacity can meet the objective"),
    }
}

/// How much a status differs from the one that was written last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Not at all.
    None,
    /// In numbers, sentences and calm reasons.
    Calm,
    /// In something that people or other programs act on.
    Urgent,
}

/// Compares a status with the one that was written last.
#[must_use]
pub fn change(written: &ScalingPolicyStatus, next: &ScalingPolicyStatus) -> Change {
    let turned = |c: &Condition| {
        let old = written.conditions.iter().find(|o| o.type_ == c.type_);
        // A condition that stays false for another cause says so at once, and so does a new remark on the target; numbers
        // in it are no other cause.
        let told = (c.status == "False" && c.type_ != "Limited") || c.type_ == ConditionType::Ready.as_str();
        let other_cause = |o: &Condition| told && words(&o.message) != words(&c.message);
        old.is_none_or(|o| o.status != c.status || o.reason != c.reason || other_cause(o))
    };
    let counts = |s: &ScalingPolicyStatus| s.replicas.map(|r| (r.current, r.desired));
    let loud = |s: &ScalingPolicyStatus| s.decision.as_ref().map(|d| d.reason.clone()).filter(|r| !calm(r));
    let urgent = written.observed_generation != next.observed_generation
        || next.conditions.iter().any(turned)
        || counts(written) != counts(next)
        || written.containers != next.containers
        || written.template_hash != next.template_hash
        || written.displaced != next.displaced
        || loud(written) != loud(next);
    match (urgent, without_times(written) == without_times(next)) {
        (true, _) => Change::Urgent,
        (false, false) => Change::Calm,
        (false, true) => Change::None,
    }
}

/// A sentence without its numbers.
fn words(message: &str) -> String {
    message.chars().filter(|c| !c.is_ascii_digit() && *c != '.').collect()
}

/// Reasons that give way to each other under steady load without anything being done.
fn calm(reason: &str) -> bool {
    ["CpuDemand", "HoldingForDemand", "SizeCheaper", "MemoryPeak", "LatencyObjective", "BacklogDeadline"]
        .contains(&reason)
}

/// Sample times pass by themselves; they are no reason to write.
fn without_times(status: &ScalingPolicyStatus) -> ScalingPolicyStatus {
    let mut status = status.clone();
    for signal in &mut status.signals {
        signal.sample_time = None;
    }
    if let Some(decision) = &mut status.decision {
        decision.time = Time(Timestamp::UNIX_EPOCH);
    }
    status
}

/// How long what stands in the cluster may differ from what was written before it is believed: a watch is late by seconds, and
/// a write of a leader before this one, given up after 3 s (`WRITE_TIMEOUT`), has landed or never will.
const OTHERWISE: SignedDuration = SignedDuration::from_secs(30);

/// The status of one policy as it was written last, as far as that is known.
#[derive(Clone, Debug, Default)]
pub struct Written {
    status: ScalingPolicyStatus,
    unsure: bool,
    /// Version of the object that it was last compared with, and since when that says something else.
    seen: Option<String>,
    otherwise: Option<Timestamp>,
}

impl From<ScalingPolicyStatus> for Written {
    fn from(status: ScalingPolicyStatus) -> Self {
        Self { status, ..Self::default() }
    }
}

impl Written {
    /// How much a status differs from it.
    #[must_use]
    pub fn change(&self, next: &ScalingPolicyStatus) -> Change {
        if self.unsure { Change::Urgent } else { change(&self.status, next) }
    }

    /// Notes a write; answers what was written before.
    pub fn took(&mut self, status: &ScalingPolicyStatus) -> ScalingPolicyStatus {
        (self.unsure, self.seen, self.otherwise) = (false, None, None);
        std::mem::replace(&mut self.status, status.clone())
    }

    /// Notes the status of the object as it is seen now, in a version of it. What says something else for a while was written
    /// by somebody: then that is what stands there.
    pub fn saw(&mut self, version: Option<&str>, read: impl Fn() -> ScalingPolicyStatus, now: Timestamp) {
        if self.seen.as_deref() != version {
            self.seen = version.map(str::to_owned);
            let differs = change(&read(), &self.status) == Change::Urgent;
            self.otherwise = differs.then(|| self.otherwise.unwrap_or(now));
        }
        if self.otherwise.is_some_and(|since| now.duration_since(since) >= OTHERWISE) {
            self.status = read();
            self.otherwise = None;
        }
    }

    /// Notes a write that failed. It may have taken all the same, so that nobody knows what is there until the next one
    /// takes: what was written before may have to be written once more.
    pub const fn failed(&mut self) {
        self.unsure = true;
    }
}

/// When a status of one policy was written, and how many more may follow at once.
#[derive(Clone, Debug)]
pub struct Pace {
    last: Option<Timestamp>,
    burst: f64,
    jitter: SignedDuration,
}

impl Pace {
    /// The pace of a policy; its name spreads its refreshes.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let sum = name.bytes().fold(0_i32, |h, b| h.wrapping_mul(31).wrapping_add(i32::from(b)));
        let share = sum.rem_euclid(1000);
        Self { last: None, burst: BURST, jitter: JITTER * share / 1000 }
    }

    /// Whether a status that differs so much is written now.
    #[must_use]
    pub fn due(&self, change: Change, now: Timestamp) -> bool {
        match change {
            Change::None => false,
            Change::Calm => self.last.is_none_or(|last| now.duration_since(last) >= CALM + self.jitter),
            Change::Urgent => self.tokens(now) >= 1.0,
        }
    }

    /// Notes a write.
    pub fn wrote(&mut self, change: Change, now: Timestamp) {
        if change == Change::Urgent {
            self.burst = self.tokens(now) - 1.0;
        } else {
            self.burst = self.tokens(now);
        }
        self.last = Some(now);
    }

    fn tokens(&self, now: Timestamp) -> f64 {
        let passed = self.last.map_or(0.0, |last| now.duration_since(last).as_secs_f64());
        (self.burst + passed / REFILL.as_secs_f64()).min(BURST)
    }
}

#[cfg(test)]
#[path = "status/tests.rs"]
mod tests;
