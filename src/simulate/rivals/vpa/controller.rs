//! The vertical pod autoscaler on the simulated cluster: three loops that see pods, with nothing between them but the
//! recommendation.
//!
//! The recommender reads one usage sample per pod and minute; the updater, once a minute and half a minute apart from it,
//! evicts or resizes; admission acts whenever a pod is born. Kills for memory are seen as they happen.

use std::collections::BTreeMap;

use super::{
    Config, Recommendation, Recommender, Seed,
    admission::{self, Patch, TemplateContainer},
    amounts::Amounts,
    budget::{Budget, BudgetPod, OwnerKind, ResizeUnderWay},
    policy::Policy,
    priority::{Thresholds, UpdatableContainer, UpdatablePod, order},
};
use crate::{
    decide::{ContainerSize, Decision, Explain, Reason, ResizeState, Resources},
    simulate::{Action, ContainerView, Controller, Phase, PodAction, PodView, View, whole},
    units::{Bytes, Cores},
};

/// How running pods are changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpdateMode {
    /// They are evicted; the pods that replace them have the new size.
    #[default]
    Recreate,
    /// They are resized in place, and evicted only where that fails.
    InPlaceOrRecreate,
}

/// One vertical pod autoscaler and the flags of the components behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `updateMode`.
    pub mode: UpdateMode,
    /// `resourcePolicy`.
    pub policy: Policy,
    /// Flags of the recommender.
    pub config: Config,
    /// Flags of the updater that choose pods.
    pub thresholds: Thresholds,
    /// `--recommender-interval` and `--updater-interval`, in whole seconds.
    pub period: i64,
    /// `--min-replicas`.
    pub min_replicas: usize,
    /// `--eviction-tolerance`.
    pub eviction_tolerance: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: UpdateMode::Recreate,
            policy: Policy::default(),
            config: Config::default(),
            thresholds: Thresholds::default(),
            period: 60,
            min_replicas: 2,
            eviction_tolerance: 0.5,
        }
    }
}

/// A resize that is deferred for longer is given up for an eviction (`DeferredResizeUpdateTimeout`).
const DEFERRED_PATIENCE: i64 = 300;
/// A resize that is in progress for longer is given up for an eviction (`InProgressResizeUpdateTimeout`).
const IN_PROGRESS_PATIENCE: i64 = 3600;
/// The one owner of all pods here.
const OWNER: &str = "workload";

/// The vertical pod autoscaler of one workload.
#[derive(Clone, Debug)]
pub struct Vpa {
    name: String,
    settings: Settings,
    recommender: Option<Recommender>,
    advice: Vec<Recommendation>,
    recommend_at: i64,
    update_at: Option<i64>,
    /// By pod and container: when the container's present life began, and its last ended life.
    lives: BTreeMap<(u64, usize), Life>,
    /// Since when a pod's resize is seen in its state.
    resizing: BTreeMap<u64, (ResizeState, i64)>,
    seed: Option<Seed>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Life {
    began: i64,
    killed: Option<(i64, i64)>,
}

impl Vpa {
    /// Without any history.
    #[must_use]
    pub fn new(name: &str, settings: Settings) -> Self {
        Self {
            name: name.to_owned(),
            settings,
            recommender: None,
            advice: Vec::new(),
            recommend_at: i64::MIN,
            update_at: None,
            lives: BTreeMap::new(),
            resizing: BTreeMap::new(),
            seed: None,
        }
    }

    /// With a checkpoint of a steady past.
    #[must_use]
    pub fn seeded(mut self, seed: Seed) -> Self {
        self.seed = Some(seed);
        self
    }

    /// What is recommended at present.
    #[must_use]
    pub fn advice(&self) -> &[Recommendation] {
        &self.advice
    }

    /// The recommender alone.
    pub fn observe(&mut self, view: &View<'_>) {
        let clock = Clock::of(view);
        self.watch_kills(view, clock);
        if clock.now() >= self.recommend_at {
            self.recommend_at = clock.now() + self.settings.period;
            self.recommend(view, clock);
        }
    }

    /// One tick: what happens to running and to new pods.
    pub fn act(&mut self, view: &View<'_>) -> PodAction {
        self.observe(view);
        let now = Clock::of(view).now();
        let (mut evict, mut resize) = (Vec::new(), Vec::new());
        if now >= *self.update_at.get_or_insert(now + self.settings.period / 2) {
            self.update_at = Some(now + self.settings.period);
            self.update(view, now, &mut evict, &mut resize);
        }
        PodAction::Update { new_pods: self.new_pods(view), evict, resize }
    }

    /// What a pod that is born now gets.
    fn new_pods(&self, view: &View<'_>) -> Vec<ContainerSize> {
        let of = |container: &crate::decide::ContainerState| {
            let template = TemplateContainer {
                name: container.name.clone(),
                requests: amounts(&container.request),
                limits: amounts(&container.limit),
            };
            sized(&template, admission::patch(&template, &self.advice, &self.settings.policy))
        };
        view.snapshot.containers.iter().map(of).collect()
    }

    /// Tells kills to the recommender as soon as they are seen, and remembers the lives they ended.
    fn watch_kills(&mut self, view: &View<'_>, clock: Clock) {
        for pod in view.pods {
            for (index, container) in pod.containers.iter().enumerate() {
                let Some(oom) = &container.oom else { continue };
                let at = clock.at(oom.at);
                let began = clock.at(pod.started_at.unwrap_or(pod.created_at));
                let life = self.lives.entry((pod.id, index)).or_insert(Life { began, killed: None });
                if life.killed.is_some_and(|(_, end)| end >= at) {
                    continue;
                }
                *life = Life { began: at, killed: Some((life.began, at)) };
                if let Some(recommender) = &mut self.recommender {
                    let request = oom.request.map_or(0, |bytes| signed(bytes.0));
                    recommender.add_oom(pod.id, index, request, at, clock.now());
                }
            }
        }
    }

    fn recommend(&mut self, view: &View<'_>, clock: Clock) {
        let now = clock.now();
        if self.recommender.is_none() && !view.snapshot.containers.is_empty() {
            self.recommender = Some(self.begin(view, now));
        }
        let Some(recommender) = &mut self.recommender else { return };
        for pod in view.pods {
            recommender.add_pod(pod.id, pod.template, now);
            for (index, container) in pod.containers.iter().enumerate() {
                let Some(usage) = &container.usage else { continue };
                let at = clock.at(usage.at);
                recommender.add_cpu(pod.id, index, signed(usage.cpu_cores.millis_ceil()), at, now);
                recommender.add_memory(pod.id, index, signed(usage.memory.0), at, now);
            }
        }
        let gone: Vec<u64> = recommender.pods().filter(|id| !view.pods.iter().any(|pod| pod.id == *id)).collect();
        for id in gone {
            recommender.remove_pod(id);
            self.lives.retain(|(pod, _), _| *pod != id);
        }
        self.advice = recommender.recommend(&self.settings.policy);
        recommender.collect_garbage(now);
    }

    /// A recommender of the workload's containers, with the past it was given.
    fn begin(&self, view: &View<'_>, now: i64) -> Recommender {
        let names = view.snapshot.containers.iter().map(|container| container.name.clone()).collect();
        let mut recommender = Recommender::new(names, self.settings.config);
        let Some(seed) = &self.seed else { return recommender };
        let template = view.pods.first().map_or(0, |pod| pod.template);
        for container in 0..view.snapshot.containers.len() {
            recommender.restore(template, container, seed, now);
        }
        recommender
    }

    /// One round of the updater.
    fn update(&mut self, view: &View<'_>, now: i64, evict: &mut Vec<u64>, resize: &mut Vec<(u64, Vec<ContainerSize>)>) {
        let live: Vec<&PodView> = view.pods.iter().filter(|pod| !pod.deleting).collect();
        let clock = Clock::of(view);
        let pods: Vec<UpdatablePod> = live.iter().map(|pod| self.updatable(pod, clock)).collect();
        self.resizing.retain(|id, _| live.iter().any(|pod| pod.id == *id));
        let budgeted = live.iter().map(|pod| self.budgeted(pod, now)).collect();
        let ordered = BTreeMap::from([(OWNER.to_owned(), view.snapshot.replicas.spec.0 as usize)]);
        let settings = &self.settings;
        let mut budget = Budget::new(budgeted, &ordered, settings.min_replicas, settings.eviction_tolerance);
        for index in order(&pods, &self.advice, &settings.policy, &[], &settings.thresholds, now) {
            let pod = live[index];
            let in_place = settings.mode == UpdateMode::InPlaceOrRecreate && !budget.is_stuck(index);
            if !in_place {
                if budget.evict(index) {
                    evict.push(pod.id);
                }
            } else if budget.resize(index) {
                resize.push((pod.id, self.resized(pod)));
            }
        }
    }

    /// New sizes of a running pod: the ratio of its own limits to its own requests is kept.
    fn resized(&self, pod: &PodView) -> Vec<ContainerSize> {
        let of = |container: &ContainerView| {
            let own = TemplateContainer {
                name: container.name.to_string(),
                requests: amounts(&container.requests),
                limits: amounts(&container.limits),
            };
            sized(&own, admission::patch(&own, &self.advice, &self.settings.policy))
        };
        pod.containers.iter().map(of).collect()
    }

    fn updatable(&self, pod: &PodView, clock: Clock) -> UpdatablePod {
        let of = |(index, container): (usize, &ContainerView)| UpdatableContainer {
            name: container.name.to_string(),
            requests: amounts(&container.requests),
            limits: amounts(&container.limits),
            status_requests: None,
            killed: self.lives.get(&(pod.id, index)).and_then(|life| life.killed),
        };
        UpdatablePod {
            start: pod.started_at.map(|at| clock.at(at)),
            observed: None,
            containers: pod.containers.iter().enumerate().map(of).collect(),
        }
    }

    /// A pod as the budget sees it; a resize that has been waited for too long counts as stuck.
    fn budgeted(&mut self, pod: &PodView, now: i64) -> BudgetPod {
        let state = pod.containers.iter().map(|container| container.resize).max().unwrap_or_default();
        let since = match self.resizing.get(&pod.id) {
            Some((seen, since)) if *seen == state => *since,
            _ => now,
        };
        self.resizing.insert(pod.id, (state, since));
        let waiting = |patience| {
            if now - since > patience { ResizeUnderWay::Stuck } else { ResizeUnderWay::Waiting }
        };
        let resize = match state {
            ResizeState::None => None,
            ResizeState::InProgress => Some(waiting(IN_PROGRESS_PATIENCE)),
            ResizeState::Deferred => Some(waiting(DEFERRED_PATIENCE)),
            ResizeState::Infeasible | ResizeState::Error => Some(ResizeUnderWay::Stuck),
        };
        BudgetPod { owner: OWNER.to_owned(), kind: OwnerKind::Counted, pending: pod.phase == Phase::Pending, resize }
    }

    /// What is wanted, for reports.
    #[must_use]
    pub fn sentence(&self) -> String {
        let of = |advice: &Recommendation| {
            let cpu = advice.target.cpu_milli.map(|milli| format!("{milli}m"));
            let memory = advice.target.memory_bytes.map(|bytes| Bytes(bytes.unsigned_abs()).to_string());
            let parts: Vec<String> = cpu.into_iter().chain(memory).collect();
            format!("{} to {}", advice.container, parts.join(" and "))
        };
        let targets: Vec<String> = self.advice.iter().map(of).collect();
        if targets.is_empty() {
            "no recommendation yet".to_owned()
        } else {
            format!("vpa wants {}", targets.join(", "))
        }
    }
}

impl Controller for Vpa {
    fn name(&self) -> &str {
        &self.name
    }

    fn tick(&mut self, view: &View<'_>) -> Action {
        let pods = self.act(view);
        let containers = self.new_pods(view);
        let (at, replicas) = (view.snapshot.at, view.snapshot.replicas.spec);
        let reason = if self.advice.is_empty() { Reason::WaitingForData } else { Reason::CpuDemand };
        let (message, explain) = (self.sentence(), Explain::default());
        Action { decision: Decision { v: 0, at, replicas, containers, boost: None, reason, message, explain }, pods }
    }
}

/// Turns instants of the run into Unix seconds.
#[derive(Clone, Copy, Debug)]
struct Clock {
    start: i64,
    now: f64,
}

impl Clock {
    fn of(view: &View<'_>) -> Self {
        Self { start: view.snapshot.at.as_second() - seconds(view.now), now: view.now }
    }

    fn at(self, run: f64) -> i64 {
        self.start + seconds(run)
    }

    fn now(self) -> i64 {
        self.at(self.now)
    }
}

/// Whole seconds, rounded down; what lies before the run is negative.
fn seconds(run: f64) -> i64 {
    let whole = |run: f64| i64::try_from(whole(run)).unwrap_or(i64::MAX);
    if run < 0.0 { -whole(-run.floor()) } else { whole(run) }
}

fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

fn amounts(resources: &Resources) -> Amounts {
    Amounts {
        cpu_milli: resources.cpu_cores.map(|cores| signed(cores.millis_ceil())),
        memory_bytes: resources.memory_bytes.map(|bytes| signed(bytes.0)),
    }
}

/// A container's own amounts with what is set over them.
fn sized(container: &TemplateContainer, patch: Patch) -> ContainerSize {
    let resources = |amounts: Amounts| Resources {
        cpu_cores: amounts.cpu_milli.map(|milli| Cores(milli as f64 / 1000.0)),
        memory_bytes: amounts.memory_bytes.map(|bytes| Bytes(u64::try_from(bytes).unwrap_or(0))),
    };
    ContainerSize {
        name: container.name.clone(),
        requests: resources(container.requests.overlaid(patch.requests)),
        limits: resources(container.limits.overlaid(patch.limits)),
    }
}

#[cfg(test)]
mod tests;
