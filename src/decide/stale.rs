//! How far observations can be trusted, and what that forbids.
//!
//! Absent is not zero. What is late is used, what is partial is good for growth, what is stale is good for nothing;
//! shrinking and resizing need everything whole and young (an idle latency signal blocks nothing).

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{Reading, SignalState, SignalVerdict, Snapshot, arith::sane, sample::Sample};
use crate::{
    policy::{Policy, Role, Signal, in_one_line},
    units::Seconds,
};

/// Up to here data is as young as can be expected: window, scrape and query (model: two ticks).
const FRESH_SECONDS: f64 = 30.0;
/// Older than this and nothing shrinks on it (model: 60 s).
pub(super) const STALE_SECONDS: f64 = 60.0;
/// A Demand below this share of its peak counts as no traffic, for Idle signals.
const IDLE_SHARE: f64 = 0.01;
/// Longest note that is passed on.
const NOTE_CHARS: usize = 80;

/// How far usage can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UsageState {
    /// Young and whole.
    Fresh,
    /// Older than usual, still usable.
    Late,
    /// Some pods or containers are missing, or its age is not known: growth only.
    Partial,
    /// Too old.
    Stale,
    /// None, or zero while pods are ready.
    Absent,
    /// No pod is ready, so there is nothing to measure.
    Idle,
}

impl UsageState {
    /// Whether the number may be used at all.
    pub(super) fn is_known(self) -> bool {
        matches!(self, Self::Fresh | Self::Late | Self::Partial)
    }

    /// Whether it forbids shrinking and resizing.
    pub(super) fn blocks(self) -> bool {
        matches!(self, Self::Partial | Self::Stale | Self::Absent)
    }
}

/// The state of usage: `sum` over the containers that report, `whole` when all containers do.
pub(super) fn usage_state(
    sum: Option<f64>,
    whole: bool,
    reporting: Option<f64>,
    ready: f64,
    age: Option<f64>,
) -> UsageState {
    let Some(sum) = sum else { return if ready == 0.0 { UsageState::Idle } else { UsageState::Absent } };
    // Zero usage of ready pods is a missing sample: even an idle process uses something.
    if sum <= 0.0 {
        return if ready == 0.0 { UsageState::Idle } else { UsageState::Absent };
    }
    match age {
        Some(age) if age > STALE_SECONDS => UsageState::Stale,
        None => UsageState::Partial,
        Some(_) if !whole || reporting.is_none_or(|r| r < ready) => UsageState::Partial,
        Some(age) if age > FRESH_SECONDS => UsageState::Late,
        Some(_) => UsageState::Fresh,
    }
}

/// Signals that are judged without asking for memory; a policy with more works all the same.
const INLINE_SIGNALS: usize = 16;

/// What is wrong with a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Note {
    /// Nothing that is said.
    None,
    /// What its source says.
    Given,
    /// Its age is not known.
    NoAge,
}

/// How one signal was taken, in numbers: the words are made when they are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict {
    /// Its place in the policy.
    pub(super) index: usize,
    /// Role.
    pub(super) role: Role,
    /// Value, when there is one.
    pub(super) value: Option<f64>,
    /// Age, when known.
    pub(super) age_seconds: Option<Seconds>,
    /// State.
    pub(super) state: SignalState,
    note: Note,
}

/// One signal after judging.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged {
    /// What is reported.
    pub(super) verdict: Verdict,
    /// Share over the target, Latency only.
    pub(super) violation: Option<f64>,
    /// The source could not be asked.
    pub(super) failed: bool,
}

/// What forbids shrinking.
#[derive(Clone, Copy, Debug)]
pub(super) enum Block {
    /// A signal.
    Signal(Verdict),
    /// CPU usage.
    Usage,
}

impl Judged {
    /// The value, when it may be used (for growth at least).
    pub(super) fn usable(&self) -> Option<f64> {
        use SignalState::{Fresh, Late, Partial};
        matches!(self.verdict.state, Fresh | Late | Partial).then_some(self.verdict.value).flatten()
    }

    /// The share over the target, when it may be used.
    pub(super) fn usable_violation(&self) -> Option<f64> {
        use SignalState::{Fresh, Late, Partial};
        matches!(self.verdict.state, Fresh | Late | Partial).then_some(self.violation).flatten()
    }

    /// The value, when it is whole enough to learn from.
    pub(super) fn whole(&self) -> Option<f64> {
        use SignalState::{Fresh, Late};
        matches!(self.verdict.state, Fresh | Late).then_some(self.verdict.value).flatten()
    }

    /// Whether parts of it are missing.
    pub(super) fn is_partial(&self) -> bool {
        self.verdict.state == SignalState::Partial
    }

    /// Whether it forbids shrinking and resizing.
    fn blocks(&self) -> bool {
        use SignalState::{Absent, Invalid, Partial, Stale};
        matches!(self.verdict.state, Stale | Partial | Absent | Invalid)
    }
}

/// Since when signals are lost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Trust {
    lost_since: Option<f64>,
    /// Largest Demand, to know what idle means.
    demand_peak: f64,
    /// Whether anything was ever measured.
    pub(super) seen_data: bool,
}

impl Trust {
    /// Takes over how large the Demand has been.
    pub(super) fn learn_from(&mut self, learned: &Self) {
        self.demand_peak = self.demand_peak.max(learned.demand_peak);
    }
}

/// All signals of the policy, judged.
#[derive(Clone, Debug, Default)]
pub(super) struct Signals {
    /// The Demand signal.
    pub(super) demand: Option<Judged>,
    /// The signal of the backlog objective.
    pub(super) backlog: Option<Judged>,
    /// The signal of the latency objective.
    pub(super) latency: Option<Judged>,
    /// The fullest Saturation signal.
    pub(super) saturation: Option<f64>,
    /// All of them, in the order of the policy.
    pub(super) all: SmallVec<[Judged; INLINE_SIGNALS]>,
    /// Why nothing may shrink; empty: nothing forbids it.
    pub(super) blocked_by: SmallVec<[Block; INLINE_SIGNALS]>,
    /// Seconds since demand can no longer be known.
    pub(super) lost_for: Option<f64>,
    /// For too long nothing at all has told how much work there is.
    pub(super) blind: bool,
}

/// Judges every signal of the policy.
pub(super) fn judge(snapshot: &Snapshot, policy: &Policy, sample: &Sample, trust: &mut Trust) -> Signals {
    let empty = Reading::default();
    let late_by = (sample.t - super::sample::seconds(snapshot.at)).clamp(0.0, 86_400.0);
    let read = |(index, signal): (usize, &Signal)| {
        judge_one(index, signal, snapshot.signals.get(&signal.name).unwrap_or(&empty), late_by)
    };
    let mut all: SmallVec<[Judged; INLINE_SIGNALS]> = policy.signals.iter().enumerate().map(read).collect();

    if let Some(value) = all.iter().find(|j| j.verdict.role == Role::Demand).and_then(Judged::whole) {
        trust.demand_peak = trust.demand_peak.max(value);
    }
    let quiet = all.iter().filter(|j| j.verdict.role == Role::Demand).find_map(Judged::whole);
    let quiet = quiet.is_some_and(|v| v <= IDLE_SHARE * trust.demand_peak) || sample.ready == 0.0;
    if quiet {
        for judged in all.iter_mut().filter(|j| matches!(j.verdict.role, Role::Latency | Role::Saturation)) {
            if judged.verdict.state == SignalState::Absent {
                judged.verdict.state = SignalState::Idle;
            }
        }
    }
    if sample.spec == 0 && sample.ready == 0.0 {
        // What only pods tell is not expected while there are none.
        let with_pods = policy.signals.iter().map(|s| s.role == Role::Demand && !s.survives_zero);
        for (judged, _) in all.iter_mut().zip(with_pods).filter(|(judged, with_pods)| *with_pods && judged.blocks()) {
            judged.verdict.state = SignalState::Idle;
        }
    }
    let mut signals = Signals::default();
    for judged in &all {
        if judged.blocks() {
            signals.blocked_by.push(Block::Signal(judged.verdict));
        }
        if judged.verdict.role == Role::Saturation {
            signals.saturation = signals.saturation.into_iter().chain(judged.usable()).reduce(f64::max);
        }
    }
    let named = |name: &str| policy.signals.iter().position(|s| s.name == name).map(|i| all[i]);
    signals.demand = all.iter().find(|j| j.verdict.role == Role::Demand).copied();
    signals.latency = policy.objective.latency.as_ref().and_then(|l| named(&l.signal));
    signals.backlog = policy.objective.backlog.as_ref().and_then(|b| named(&b.signal));
    if sample.usage_state.blocks() {
        signals.blocked_by.push(Block::Usage);
    }
    signals.all = all;
    note_loss(&mut signals, sample, trust);
    signals
}

/// Demand is lost while nothing that measures it may be used.
fn note_loss(signals: &mut Signals, sample: &Sample, trust: &mut Trust) {
    let measured =
        |j: &Option<Judged>| j.as_ref().map(|j| j.usable().is_some() || j.verdict.state == SignalState::Idle);
    let usage = sample.usage.is_some() || sample.usage_state == UsageState::Idle;
    let parts = [measured(&signals.demand), measured(&signals.backlog), Some(usage)];
    if sample.usage.is_some() || parts[..2].iter().flatten().any(|known| *known) {
        trust.seen_data = true;
    }
    if parts.iter().flatten().all(|known| *known) {
        trust.lost_since = None;
        return;
    }
    let ages = [&signals.demand, &signals.backlog].into_iter().flatten().filter(|j| j.usable().is_none());
    let age = ages.filter_map(|j| j.verdict.age_seconds.map(|a| a.0)).fold(0.0, f64::max);
    let age = if sample.usage.is_none() { age.max(sample.usage_age.unwrap_or(0.0)) } else { age };
    let since = trust.lost_since.unwrap_or(sample.t).min(sample.t - age);
    trust.lost_since = Some(since);
    let lost_for = sample.t - since;
    // Zero is believed of nobody while usage is missing.
    let told = [&signals.demand, &signals.backlog].into_iter().flatten().filter_map(Judged::usable);
    let nothing = sample.usage.is_none() && told.fold(0.0, f64::max) <= 0.0;
    // What was seen last was as old as fresh data may be.
    signals.blind = nothing && lost_for >= STALE_SECONDS - FRESH_SECONDS && sample.ready > 0.0;
    signals.lost_for = Some(lost_for);
}

fn judge_one(index: usize, signal: &Signal, reading: &Reading, late_by: f64) -> Judged {
    let age = reading.age_seconds.and_then(|a| sane(a.0)).map(|a| a + late_by);
    let value = reading.value.and_then(sane);
    let violation = reading.violation_ratio.and_then(sane).filter(|v| *v <= 1.0);
    let nonsense = (reading.value.is_some() && value.is_none())
        || (reading.violation_ratio.is_some() && violation.is_none())
        || (reading.age_seconds.is_some() && age.is_none());
    let has_value = value.is_some() || (signal.role == Role::Latency && violation.is_some());
    let derived = || match age {
        Some(age) if age > STALE_SECONDS => SignalState::Stale,
        Some(age) if age > FRESH_SECONDS => SignalState::Late,
        Some(_) => SignalState::Fresh,
        None => SignalState::Partial,
    };
    let state = match reading.state {
        _ if nonsense => SignalState::Invalid,
        Some(SignalState::Idle) => SignalState::Idle,
        Some(given @ (SignalState::Absent | SignalState::Invalid)) => given,
        _ if !has_value => SignalState::Absent,
        Some(given) => given,
        None => derived(),
    };
    let note = match (&reading.note, state) {
        (Some(_), _) => Note::Given,
        (None, SignalState::Partial) if age.is_none() => Note::NoAge,
        _ => Note::None,
    };
    let verdict = Verdict { index, role: signal.role, value, age_seconds: age.map(Seconds), state, note };
    Judged { verdict, violation, failed: reading.failed }
}

impl Verdict {
    /// The verdict as it is reported.
    fn report(&self, policy: &Policy, snapshot: &Snapshot) -> SignalVerdict {
        let name = policy.signals.get(self.index).map(|s| s.name.clone()).unwrap_or_default();
        let given = || snapshot.signals.get(&name).and_then(|r| r.note.as_ref());
        let note = match self.note {
            Note::None => None,
            Note::Given => given().map(|note| in_one_line(note, NOTE_CHARS)),
            Note::NoAge => Some("its age is not known".to_owned()),
        };
        SignalVerdict {
            role: self.role,
            value: self.value,
            age_seconds: self.age_seconds,
            state: self.state,
            note,
            name,
        }
    }
}

impl Signals {
    /// All signals as they are reported, in the order of the policy.
    pub(super) fn report(&self, policy: &Policy, snapshot: &Snapshot) -> Vec<SignalVerdict> {
        self.all.iter().map(|j| j.verdict.report(policy, snapshot)).collect()
    }
}

impl Block {
    /// In words.
    pub(super) fn describe(&self, policy: &Policy, sample: &Sample, snapshot: &Snapshot) -> String {
        match self {
            Self::Signal(verdict) => describe(&verdict.report(policy, snapshot)),
            Self::Usage => describe_usage(sample, snapshot),
        }
    }
}

fn describe(verdict: &SignalVerdict) -> String {
    let name = &verdict.name;
    match (verdict.state, verdict.age_seconds) {
        (SignalState::Stale, Some(age)) => {
            format!("`{name}` is {} old (limit {STALE_SECONDS:.0} s)", super::words::duration(age.0))
        }
        (SignalState::Stale, None) => format!("`{name}` is stale"),
        (SignalState::Partial, _) => match &verdict.note {
            Some(note) => format!("`{name}` is incomplete ({note})"),
            None => format!("`{name}` is incomplete"),
        },
        (SignalState::Invalid, _) => match &verdict.note {
            Some(note) => format!("`{name}` makes no sense ({note})"),
            None => format!("`{name}` makes no sense"),
        },
        _ => match &verdict.note {
            Some(note) => format!("`{name}` is absent ({note})"),
            None => format!("`{name}` is absent"),
        },
    }
}

fn describe_usage(sample: &Sample, snapshot: &Snapshot) -> String {
    let reporting = snapshot.containers.iter().filter_map(|c| c.reporting_pods).map(|r| r.0).min();
    match (sample.usage_state, sample.usage_age, reporting) {
        (UsageState::Stale, Some(age), _) => {
            format!("CPU usage is {} old (limit {STALE_SECONDS:.0} s)", super::words::duration(age))
        }
        (UsageState::Partial, None, _) => "the age of CPU usage is not known".to_owned(),
        (UsageState::Partial, _, None) => "how many pods report CPU usage is not known".to_owned(),
        (UsageState::Partial, _, Some(n)) if f64::from(n) < sample.ready => {
            format!("{n} of {:.0} ready pods report CPU usage", sample.ready)
        }
        (UsageState::Partial, ..) => "a container reports no CPU usage".to_owned(),
        _ => "CPU usage is absent".to_owned(),
    }
}
