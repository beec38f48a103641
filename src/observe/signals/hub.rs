//! All signals of all policies: one batch of queries per tick, one poller per direct source.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::judge::{DIRECT_LIMITS, Evidence, PROMETHEUS_LIMITS, Situation, judge};
use super::nats_jetstream::Consumer;
use super::poller::{Pollers, consumer_of};
use super::probe::SelectorHealth;
use super::prometheus::{Answers, DeadTargets, Questions};
use super::{prometheus, prometheus_histogram};
use crate::decide::{Reading, SignalState};
use crate::observe::clock::Clock;
use crate::observe::error::ObserveError;
use crate::observe::prometheus::Prometheus;
use crate::observe::tenancy::{Doors, Tenancy};
use crate::policy::{Policy, PolicyKey, Role, Signal, Source};
use crate::units::Seconds;

/// Readings by policy and by name of the signal.
pub type Readings = BTreeMap<PolicyKey, BTreeMap<String, Reading>>;

/// Dead exporters kept per selector: enough for any target, and a bound.
const MAX_DEAD: usize = 1000;

/// Queries that are kept parsed: more than a thousand policies have; of the longest they take some 30 MB.
const MAX_PARSED: usize = 4096;

/// Sources of the hub.
pub struct HubConfig {
    /// The metrics server, shared with the usage source; none: query signals answer with a sentence that says so.
    pub prometheus: Option<Arc<Prometheus>>,
    /// Time between two polls of a direct source. The default of a second sees a burst within the tick that it wakes.
    pub poll_interval: Duration,
    /// What policies may look at; none: anything.
    pub doors: Option<Doors>,
}

impl HubConfig {
    /// The defaults, with a metrics server or without one.
    #[must_use]
    pub const fn new(prometheus: Option<Arc<Prometheus>>) -> Self {
        Self { prometheus, poll_interval: Duration::from_secs(1), doors: None }
    }
}

/// What is known about the targets at the time of reading.
#[derive(Clone, Debug, Default)]
pub struct ReadContext {
    /// Names of the ready pods of each policy's target; a policy that is left out has unknown pods, not none.
    pub ready_pods: BTreeMap<PolicyKey, BTreeSet<String>>,
}

/// Reads the signals of all policies.
pub struct SignalHub {
    prometheus: Option<Arc<Prometheus>>,
    pollers: Pollers,
    tenancy: Tenancy,
    /// Queries that were parsed.
    parsed: Mutex<BTreeMap<String, Result<Questions, ObserveError>>>,
    /// Exporters found dead, until they answer again or are taken out of service discovery. In memory only: after a
    /// restart of the controller the probe's own look back finds those that died within it.
    dead: Mutex<DeadTargets>,
}

impl SignalHub {
    /// Builds the hub; nothing is asked yet.
    pub fn new(config: HubConfig, clock: Arc<dyn Clock>) -> Result<Self, ObserveError> {
        Ok(Self {
            prometheus: config.prometheus,
            tenancy: config.doors.as_ref().map(Doors::tenancy).cloned().unwrap_or_default(),
            pollers: Pollers::new(config.poll_interval, clock, config.doors)?,
            parsed: Mutex::default(),
            dead: Mutex::default(),
        })
    }

    /// Polls exactly the direct sources that these policies name. To be called, within a tokio runtime, whenever the set
    /// of policies or a spec has changed, and with none on losing the lead.
    pub fn sync<'a>(&self, policies: impl IntoIterator<Item = &'a Policy>) {
        let mut wanted: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for policy in policies {
            for signal in &policy.signals {
                if let Some(consumer) = self.consumer_of(policy, signal) {
                    wanted.entry(consumer).or_default().insert((policy.key.clone(), signal.name.clone()));
                }
            }
        }
        self.pollers.sync(wanted);
    }

    fn consumer_of(&self, policy: &Policy, signal: &Signal) -> Option<Consumer> {
        let namespace = &policy.key.namespace;
        consumer_of(&signal.source, self.tenancy.confines(namespace).then_some(namespace.as_str()))
    }

    /// A channel on which policies arrive whose backlog has risen since their last reading: tick them at once.
    pub fn wakes(&self) -> mpsc::Receiver<PolicyKey> {
        self.pollers.wakes()
    }

    /// Reads every signal of the policies. Takes at most twice the timeout of one query.
    pub async fn read_all(&self, now: Timestamp, policies: &[&Policy], context: &ReadContext) -> Readings {
        let plans: Vec<(&Policy, Vec<Plan<'_>>)> = policies
            .iter()
            .map(|policy| (*policy, policy.signals.iter().map(|s| self.plan(policy, s)).collect()))
            .collect();
        let dead = self.dead.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let asked: Vec<&Questions> =
            plans.iter().flat_map(|(_, plans)| plans).filter_map(|p| p.questions.as_ref()?.as_ref().ok()).collect();
        let selectors: BTreeSet<&str> = asked.iter().flat_map(|q| &q.selectors).map(|s| s.text.as_str()).collect();
        let texts: BTreeSet<String> = asked.iter().flat_map(|q| q.texts(&dead)).collect();
        let answers = match &self.prometheus {
            Some(prometheus) => prometheus.batch(&texts).await,
            None => texts.into_iter().map(|text| (text, Err(ObserveError::NoPrometheus))).collect(),
        };
        let mut readings = Readings::new();
        let mut found = Vec::new();
        for (policy, plans) in &plans {
            let evidence =
                plans.iter().map(|plan| (plan, self.evidence(now, policy, plan, &answers, &dead))).collect::<Vec<_>>();
            found
                .extend(evidence.iter().filter_map(|(_, e)| e.as_ref().ok()).flat_map(|e| e.selectors.iter().cloned()));
            readings.insert(policy.key.clone(), judge_policy(&evidence, context.ready_pods.get(&policy.key)));
        }
        *self.dead.lock().unwrap_or_else(PoisonError::into_inner) = still_known(&found, dead, &selectors);
        readings
    }

    /// The signals of one policy that come from direct sources, as last polled: at once, without any query.
    #[must_use]
    pub fn polled(&self, now: Timestamp, policy: &Policy, context: &ReadContext) -> BTreeMap<String, Reading> {
        let direct = policy.signals.iter().filter(|s| self.consumer_of(policy, s).is_some());
        let plans: Vec<Plan<'_>> = direct.map(|s| self.plan(policy, s)).collect();
        let (answers, dead) = (Answers::new(), DeadTargets::new());
        let evidence: Vec<_> =
            plans.iter().map(|plan| (plan, self.evidence(now, policy, plan, &answers, &dead))).collect();
        judge_policy(&evidence, context.ready_pods.get(&policy.key))
    }

    fn plan<'a>(&self, policy: &Policy, signal: &'a Signal) -> Plan<'a> {
        let mut questions = match &signal.source {
            Source::Prometheus { query } => Some(self.questions(query)),
            Source::PrometheusHistogram { metric, matchers, window } => {
                Some(Ok(prometheus_histogram::questions(metric, matchers, *window)))
            }
            Source::NatsJetStream { .. } => None,
        };
        if let Some(Ok(questions)) = &mut questions {
            questions.within = self.tenancy.within(&policy.key.namespace);
        }
        let latency = policy.objective.latency.as_ref().filter(|l| l.signal == signal.name);
        Plan { signal, questions, objective: latency.map(|l| (l.target, l.objective)) }
    }

    /// What a query asks, parsed once: the patterns in it may take milliseconds each.
    fn questions(&self, query: &str) -> Result<Questions, ObserveError> {
        let mut parsed = self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        if parsed.len() >= MAX_PARSED && !parsed.contains_key(query) {
            parsed.clear();
        }
        parsed.entry(query.to_owned()).or_insert_with(|| Questions::of(query)).clone()
    }

    fn evidence(
        &self,
        now: Timestamp,
        policy: &Policy,
        plan: &Plan<'_>,
        answers: &Answers,
        dead: &DeadTargets,
    ) -> Result<Evidence, ObserveError> {
        let signal = plan.signal;
        let Some(questions) = &plan.questions else {
            let reader = (policy.key.clone(), signal.name.clone());
            let polled = self.consumer_of(policy, signal).and_then(|c| self.pollers.read(now, &reader, &c));
            return polled.unwrap_or(Err(ObserveError::NotPolledYet));
        };
        let questions = questions.as_ref().map_err(ObserveError::clone)?;
        let measured = match &signal.source {
            Source::PrometheusHistogram { .. } => prometheus_histogram::measure(questions, answers, plan.objective)?,
            _ => match questions.values.first().and_then(|text| answers.get(text)) {
                Some(Ok(answer)) => Evidence {
                    warnings: answer.warnings.clone(),
                    ..Evidence::of(prometheus::measure(signal.role, answer))
                },
                Some(Err(error)) => return Err(error.clone()),
                None => return Err(ObserveError::NoPrometheus),
            },
        };
        Ok(questions.examine(measured, answers, dead))
    }
}

/// One signal and what it asks; no questions for direct sources.
struct Plan<'a> {
    signal: &'a Signal,
    questions: Option<Result<Questions, ObserveError>>,
    /// Target and share of the latency objective that names this signal.
    objective: Option<(Seconds, f64)>,
}

impl Plan<'_> {
    fn judge(&self, evidence: &Result<Evidence, ObserveError>, situation: &Situation<'_>) -> Reading {
        let limits = if self.questions.is_some() { PROMETHEUS_LIMITS } else { DIRECT_LIMITS };
        judge(self.signal.role, self.signal.on_absent, limits, evidence, situation)
    }
}

/// Demand first: whether a latency without value is idle depends on it.
fn judge_policy(
    evidence: &[(&Plan<'_>, Result<Evidence, ObserveError>)],
    ready: Option<&BTreeSet<String>>,
) -> BTreeMap<String, Reading> {
    let mut readings = BTreeMap::new();
    let mut situation = Situation { ready, demand: None };
    let (demands, others): (Vec<_>, Vec<_>) = evidence.iter().partition(|(p, _)| p.signal.role == Role::Demand);
    for (plan, evidence) in demands {
        let reading = plan.judge(evidence, &situation);
        if matches!(reading.state, Some(SignalState::Fresh | SignalState::Late)) {
            // Several demands: idle only when all are.
            situation.demand = reading.value.into_iter().chain(situation.demand).reduce(f64::max);
        }
        readings.insert(plan.signal.name.clone(), reading);
    }
    for (plan, evidence) in others {
        readings.insert(plan.signal.name.clone(), plan.judge(evidence, &situation));
    }
    readings
}

/// What is known to be dead after this reading: what its probes found; and for selectors that are still asked about and
/// whose probe got no answer, what was known before.
fn still_known(found: &[SelectorHealth], before: DeadTargets, asked: &BTreeSet<&str>) -> DeadTargets {
    let mut known: DeadTargets = before.into_iter().filter(|(selector, _)| asked.contains(selector.as_str())).collect();
    for health in found {
        if health.dead.is_empty() {
            known.remove(&health.text);
        } else {
            known.insert(health.text.clone(), health.dead.iter().take(MAX_DEAD).cloned().collect());
        }
    }
    known
}

#[cfg(test)]
mod tests;
