//! A scenario as it is written: YAML, every field known, every mistake with its line.
//!
//! Must not open files: the command line reads the text, and the trace and the policy that it names.

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{
    Scenario, TraceOptions, policy_of,
    shape::LoadFile,
    values::{Amount, Cpu, Memory, Share, Span},
};
use crate::{
    policy::Policy,
    simulate::{
        CONTROLLERS, CountOrShare, Downstream, Event, Kept, Load, Metric, Neighbours, NodePool, Pipeline, Queue,
        Service, Sidecar, SimulateError, What, World,
    },
    units::{Cores, Replicas, Seconds},
};

/// A scenario file that has been read, before its trace and policy are.
#[derive(Debug)]
pub struct ScenarioFile {
    file: String,
    document: Document,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    name: String,
    #[serde(default)]
    description: String,
    load: Spanned<LoadFile>,
    #[serde(default)]
    service: ServiceFile,
    queue: Option<QueueFile>,
    #[serde(default)]
    nodes: Vec<NodesFile>,
    #[serde(default)]
    refuses_raises: bool,
    metrics: Option<MetricsFile>,
    disruption_budget: Option<BudgetFile>,
    #[serde(default)]
    replicas: ReplicasFile,
    #[serde(default)]
    events: Vec<Spanned<EventFile>>,
    policy: Option<String>,
    #[serde(default)]
    controllers: Vec<Spanned<String>>,
    duration: Spanned<Span>,
    warmup: Option<Spanned<Span>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ServiceFile {
    work_per_request: Option<Span>,
    idle_cores: Option<Cpu>,
    start: StartFile,
    slo: Option<SloFile>,
    memory: MemoryFile,
    requests: SizeFile,
    cpu_limit_ratio: Option<Amount>,
    contention: Option<Share>,
    restart_on_memory_resize: bool,
    downstream: Option<DownstreamFile>,
    sidecars: Vec<SidecarFile>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct StartFile {
    median: Option<Span>,
    sigma: Option<Amount>,
    burn_cores: Option<Cpu>,
    warm_up: Option<Span>,
    warm_up_capacity: Option<Share>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SloFile {
    latency: Span,
    quantile: Share,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct MemoryFile {
    base: Option<Memory>,
    per_rps: Option<Memory>,
    per_request: Option<Memory>,
    growth: Option<Amount>,
    leak_per_hour: Option<Memory>,
    start_peak: Option<Memory>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SizeFile {
    cpu: Option<Cpu>,
    memory: Option<Memory>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DownstreamFile {
    rps: Amount,
    latency: Span,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SidecarFile {
    name: String,
    work_per_request: Span,
    idle_cores: Cpu,
    memory: Memory,
    cpu_request: Cpu,
    memory_request: Memory,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct QueueFile {
    deadline: Span,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodesFile {
    shape: NodeFile,
    count: u32,
    max: Option<u32>,
    provisioning: Option<Span>,
    neighbours: Option<NeighboursFile>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct NeighboursFile {
    per_hour: Option<Amount>,
    size: Option<Share>,
    share: Option<Share>,
    stay: Option<Span>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeFile {
    cpu: Cpu,
    memory: Memory,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MetricsFile {
    scrape: Option<Spanned<Span>>,
    missing_pods: Option<Share>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BudgetFile {
    max_unavailable: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ReplicasFile {
    min: Option<u32>,
    max: Option<u32>,
    initial: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EventFile {
    at: Span,
    rollout: Option<RolloutFile>,
    cost_change: Option<CostFile>,
    metric_outage: Option<LastsFile>,
    false_zeros: Option<LastsFile>,
    wrong_metric: Option<WrongFile>,
    node_loss: Option<LossFile>,
    api_refusal: Option<LastsFile>,
    controller_restart: Option<RestartFile>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RolloutFile {
    work_factor: Option<Amount>,
    memory_factor: Option<Amount>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CostFile {
    work_factor: Amount,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LastsFile {
    #[serde(rename = "for")]
    lasts: Span,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RestartFile {
    #[serde(rename = "for")]
    lasts: Span,
    kept: Option<KeptName>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KeptName {
    Nothing,
    Checkpoint,
    History,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrongFile {
    #[serde(rename = "for")]
    lasts: Span,
    factor: Amount,
    of: Option<MetricName>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum MetricName {
    Usage,
    Signals,
    All,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LossFile {
    count: u32,
}

impl ScenarioFile {
    /// Reads a text. `file` names it in messages.
    pub fn parse(file: &str, text: &str) -> Result<Self, SimulateError> {
        let document = serde_saphyr::from_str(text).map_err(|error| {
            let line = error.location().map_or(1, |location| location.line());
            let message = error.without_snippet().to_string();
            let problem = message.lines().next().unwrap_or_default();
            let problem = format!("{problem}; simulations/scenarios/README.md lists the fields");
            SimulateError::Scenario { file: file.to_owned(), line, problem }
        })?;
        Ok(Self { file: file.to_owned(), document })
    }

    /// The trace that it names, relative to the file, and its column.
    #[must_use]
    pub fn trace(&self) -> Option<(&str, Option<&str>)> {
        let load = &self.document.load.value;
        load.trace.as_deref().map(|trace| (trace, load.column.as_deref()))
    }

    /// The policy that it names, relative to the file.
    #[must_use]
    pub fn policy(&self) -> Option<&str> {
        self.document.policy.as_deref()
    }

    /// The scenario, with the trace and the policy that it names.
    pub fn scenario(self, trace: Option<Load>, policy: Option<Policy>) -> Result<Scenario, SimulateError> {
        let Self { file, document } = self;
        let at = |line: u64, problem: String| SimulateError::Scenario { file: file.clone(), line, problem };
        let service = document.service.service();
        let duration = document.duration.value.0;
        let duration_line = document.duration.referenced.line();
        if duration.get() < 600.0 || duration.get() > 400.0 * 86_400.0 {
            return Err(at(duration_line, "`duration` is not between 10m and 9600h; correct it".to_owned()));
        }
        let load_line = document.load.referenced.line();
        let load = document
            .load
            .value
            .load(&document.name, trace, duration.get(), service.work.get())
            .map_err(|problem| at(load_line, format!("`load` {problem}")))?;
        let warmup = document.warmup.as_ref().map_or(Seconds(0.0), |warmup| warmup.value.0);
        if warmup >= duration {
            let line = document.warmup.as_ref().map_or(duration_line, |warmup| warmup.referenced.line());
            return Err(at(line, "`warmup` leaves nothing to score; make it shorter than `duration`".to_owned()));
        }
        let world = document.world(duration).map_err(|(line, problem)| at(line, problem))?;
        let queue = world.queue;
        let mut policy = policy.unwrap_or_else(|| policy_of(&document.name, &service, queue));
        document.replicas.bound(&mut policy).map_err(|problem| at(1, problem))?;
        let peak_cores = document.load.value.peak_cores.map_or(Cores(8.0), |peak| Cores(peak.0));
        let options = TraceOptions { peak_cores, warmup, policy: Some(policy), prices: None };
        let mut scenario = Scenario::of(load, service, options, duration);
        scenario.world = world;
        scenario.description = document.description.split_whitespace().collect::<Vec<_>>().join(" ");
        for name in document.controllers {
            if !CONTROLLERS.contains(&name.value.as_str()) {
                let problem = format!("`{}` is not a controller; choose among {}", name.value, CONTROLLERS.join(", "));
                return Err(at(name.referenced.line(), problem));
            }
            scenario.controllers.push(name.value);
        }
        Ok(scenario)
    }
}

impl LoadFile {
    /// The load: recorded, or made.
    fn load(&self, name: &str, trace: Option<Load>, seconds: f64, work: f64) -> Result<Load, String> {
        match (trace, self.shape) {
            (Some(_), Some(_)) => Err("has a trace and a shape; keep one".to_owned()),
            (None, None) => Err("has neither trace nor shape; give one".to_owned()),
            (Some(trace), None) => Ok(trace.named(name)),
            (None, Some(shape)) => self.made(name, shape, seconds, work),
        }
    }
}

impl ServiceFile {
    fn service(&self) -> Service {
        let usual = Service::default();
        let memory = |value: Option<Memory>, usual| value.map_or(usual, |value| value.0);
        let work = self.work_per_request.map_or(usual.work, |work| work.0);
        let factor = work / usual.work;
        Service {
            work,
            idle: self.idle_cores.map_or(usual.idle, |idle| idle.0),
            objective: self.slo.as_ref().map_or(usual.objective * factor, |slo| slo.latency.0),
            quantile: self.slo.as_ref().map_or(usual.quantile, |slo| slo.quantile.0),
            start_median: self.start.median.map_or(usual.start_median, |median| median.0),
            start_sigma: self.start.sigma.map_or(usual.start_sigma, |sigma| sigma.0),
            start_burn: self.start.burn_cores.map_or(usual.start_burn, |burn| burn.0),
            warm_up: self.start.warm_up.map_or(usual.warm_up, |warm_up| warm_up.0),
            warm_up_capacity: self.start.warm_up_capacity.map_or(usual.warm_up_capacity, |share| share.0),
            contention: self.contention.map_or(usual.contention, |share| share.0),
            memory_base: memory(self.memory.base, usual.memory_base),
            memory_per_rps: memory(self.memory.per_rps, usual.memory_per_rps),
            memory_per_request: memory(self.memory.per_request, usual.memory_per_request),
            memory_growth: self.memory.growth.map_or(usual.memory_growth, |growth| growth.0),
            memory_leak_per_hour: memory(self.memory.leak_per_hour, usual.memory_leak_per_hour),
            memory_start_peak: memory(self.memory.start_peak, usual.memory_start_peak),
            request_cores: self.requests.cpu.map_or(usual.request_cores, |cpu| cpu.0),
            request_memory: memory(self.requests.memory, usual.request_memory),
            cpu_limit_ratio: self.cpu_limit_ratio.map(|ratio| ratio.0),
            restart_on_memory_resize: self.restart_on_memory_resize,
            downstream: self
                .downstream
                .as_ref()
                .map(|behind| Downstream { rps: behind.rps.0.max(1e-3), latency: behind.latency.0 }),
            sidecars: self.sidecars.iter().map(SidecarFile::sidecar).collect(),
        }
    }
}

impl SidecarFile {
    fn sidecar(&self) -> Sidecar {
        Sidecar {
            name: self.name.clone(),
            work: self.work_per_request.0,
            idle: self.idle_cores.0,
            memory: self.memory.0,
            request_cores: self.cpu_request.0,
            request_memory: self.memory_request.0,
        }
    }
}

impl ReplicasFile {
    fn bound(&self, policy: &mut Policy) -> Result<(), String> {
        let range = &mut policy.replicas;
        range.min = self.min.map_or(range.min, Replicas);
        range.max = self.max.map_or(range.max, Replicas);
        if range.min > range.max || range.max.0 == 0 {
            let (min, max) = (range.min, range.max);
            return Err(format!("`replicas` has min {min} and max {max}; min must not be above max, max not 0"));
        }
        Ok(())
    }
}

impl Document {
    /// What surrounds the service; a mistake with its line.
    fn world(&self, duration: Seconds) -> Result<World, (u64, String)> {
        /// Scrape intervals that are whole multiples of what a controller's tick sees.
        const SCRAPES: [f64; 3] = [15.0, 30.0, 60.0];
        let mut events = Vec::new();
        for event in &self.events {
            let line = event.referenced.line();
            if event.value.at.0 >= duration {
                return Err((line, "the event comes after the end; move it or make `duration` longer".to_owned()));
            }
            events.push(event.value.event().map_err(|problem| (line, problem))?);
        }
        events.sort_by(|a: &Event, b| a.at.get().total_cmp(&b.at.get()));
        let mut pipeline = Pipeline::default();
        if let Some(metrics) = &self.metrics {
            if let Some(scrape) = &metrics.scrape {
                if !SCRAPES.contains(&scrape.value.0.get()) {
                    return Err((scrape.referenced.line(), "`scrape` is not 15s, 30s or 60s; take one".to_owned()));
                }
                pipeline.scrape = scrape.value.0;
            }
            pipeline.missing_pods = metrics.missing_pods.map_or(0.0, |share| share.0);
        }
        Ok(World {
            nodes: self.nodes.iter().map(NodesFile::pool).collect(),
            events,
            pipeline,
            queue: self.queue.as_ref().map(|queue| Queue { deadline: queue.deadline.0 }),
            max_unavailable: self.disruption_budget.as_ref().map(|most| CountOrShare::Count(most.max_unavailable)),
            initial: self.replicas.initial.map(Replicas),
            refuses_raises: self.refuses_raises,
        })
    }
}

impl NodesFile {
    fn pool(&self) -> NodePool {
        NodePool {
            cpu: self.shape.cpu.0,
            memory: self.shape.memory.0,
            count: self.count,
            max: self.max.unwrap_or(self.count).max(self.count),
            // A cloud's machine from request to ready node.
            provisioning: self.provisioning.map_or(Seconds(90.0), |provisioning| provisioning.0),
            neighbours: self.neighbours.as_ref().map(NeighboursFile::neighbours),
        }
    }
}

impl NeighboursFile {
    fn neighbours(&self) -> Neighbours {
        let usual = Neighbours::default();
        Neighbours {
            per_hour: self.per_hour.map_or(usual.per_hour, |count| count.0),
            size: self.size.map_or(usual.size, |size| size.0),
            share: self.share.map_or(usual.share, |share| share.0),
            stay: self.stay.map_or(usual.stay, |stay| stay.0),
        }
    }
}

impl EventFile {
    fn event(&self) -> Result<Event, String> {
        let rollout = self.rollout.as_ref().map(|rollout| What::Rollout {
            work_factor: rollout.work_factor.map_or(1.0, |factor| factor.0.max(1e-3)),
            memory_factor: rollout.memory_factor.map_or(1.0, |factor| factor.0),
        });
        let cost = self.cost_change.as_ref();
        let cost = cost.map(|cost| What::CostChange { work_factor: cost.work_factor.0.max(1e-3) });
        let outage = self.metric_outage.as_ref().map(|outage| What::MetricOutage { lasts: outage.lasts.0 });
        let zeros = self.false_zeros.as_ref();
        let zeros = zeros.map(|zeros| What::WrongMetric { lasts: zeros.lasts.0, factor: 0.0, of: Metric::All });
        let wrong = self.wrong_metric.as_ref().map(|wrong| What::WrongMetric {
            lasts: wrong.lasts.0,
            factor: wrong.factor.0,
            of: match wrong.of {
                Some(MetricName::Usage) => Metric::Usage,
                Some(MetricName::Signals) => Metric::Signals,
                Some(MetricName::All) | None => Metric::All,
            },
        });
        let loss = self.node_loss.as_ref().map(|loss| What::NodeLoss { count: loss.count });
        let refusal = self.api_refusal.as_ref().map(|refusal| What::ApiRefusal { lasts: refusal.lasts.0 });
        let restart = self.controller_restart.as_ref().map(|restart| What::ControllerRestart {
            lasts: restart.lasts.0,
            kept: match restart.kept {
                Some(KeptName::Checkpoint) => Kept::Checkpoint,
                Some(KeptName::History) => Kept::History,
                Some(KeptName::Nothing) | None => Kept::Nothing,
            },
        });
        let mut all = [rollout, cost, outage, zeros, wrong, loss, refusal, restart].into_iter().flatten();
        match (all.next(), all.next()) {
            (Some(what), None) => Ok(Event { at: self.at.0, what }),
            (None, _) => Err("the event says nothing but `at`; add for example rollout: {workFactor: 1.6}".to_owned()),
            (Some(_), Some(_)) => Err("the event is two events; write them apart".to_owned()),
        }
    }
}
