//! A tiny plant: pods that share work evenly, start late, and are seen late. Not the simulator's.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    decide::{ContainerState, Decision, Memory, Reading, ReplicaState, Resources, SizeGroup, Snapshot, decide},
    policy::{LatencyObjective, OnAbsent, Policy, ReplicaRange, Role, Signal, Source, testing},
    units::{Bytes, Cores, Replicas, Seconds},
};

/// A signal of a role, named after it.
pub(in crate::decide) fn signal(name: &str, role: Role) -> Signal {
    Signal {
        name: name.to_owned(),
        role,
        source: Source::Prometheus { query: "up".to_owned() },
        on_absent: OnAbsent::Hold,
        survives_zero: false,
    }
}

/// Utilization 70 %, all levers, 1..40 replicas, no signals.
pub(in crate::decide) fn policy() -> Policy {
    Policy { replicas: ReplicaRange { min: Replicas(1), max: Replicas(40) }, ..testing::web() }
}

/// The same with a Demand signal and 99 % within 200 ms.
pub(in crate::decide) fn latency_policy() -> Policy {
    let mut policy = policy();
    policy.signals = vec![signal("requests", Role::Demand), signal("latency", Role::Latency)];
    policy.objective.latency =
        Some(LatencyObjective { signal: "latency".to_owned(), target: Seconds(0.2), objective: 0.99 });
    policy
}

/// A fresh reading.
pub(in crate::decide) fn reading(value: f64) -> Reading {
    Reading { value: Some(value), age_seconds: Some(Seconds(12.0)), ..Reading::default() }
}

/// One container `app` with 1 core and 512 MiB, `ready` pods that use `cpu` cores together.
pub(in crate::decide) fn snapshot(t: f64, ready: u32, cpu: f64) -> Snapshot {
    Snapshot {
        v: 0,
        at: super::super::sample::timestamp(t),
        replicas: ReplicaState { spec: Replicas(ready), ready: Replicas(ready), ..ReplicaState::default() },
        start_seconds: Vec::new(),
        usage_age_seconds: Some(Seconds(15.0)),
        window_seconds: Some(Seconds(30.0)),
        containers: vec![ContainerState {
            name: "app".to_owned(),
            request: Resources { cpu_cores: Some(Cores(1.0)), memory_bytes: Some(Bytes(512 << 20)) },
            reporting_pods: Some(Replicas(ready)),
            cpu_cores: Some(Cores(cpu)),
            max_pod_cpu_cores: Some(Cores(1.1 * cpu / f64::from(ready.max(1)))),
            memory_max_pod_bytes: Some(Bytes(400 << 20)),
            memory_mean_pod_bytes: Some(Bytes(380 << 20)),
            throttled_ratio: Some(0.0),
            ..ContainerState::default()
        }],
        room: crate::decide::Room::default(),
        signals: BTreeMap::new(),
    }
}

/// Start of all tests: some Tuesday.
pub(in crate::decide) const EPOCH: f64 = 1_770_112_800.0;

/// What is done to a snapshot before it is handed over, at a time.
pub(in crate::decide) type Disturb = fn(&mut Snapshot, f64);

/// A workload in a loop with `decide`.
pub(in crate::decide) struct Plant {
    pub(in crate::decide) policy: Policy,
    pub(in crate::decide) memory: Memory,
    /// Seconds since the start.
    pub(in crate::decide) t: f64,
    /// Seconds per tick.
    pub(in crate::decide) tick: f64,
    /// Core-seconds per request, idle cores per pod, requests per second.
    pub(in crate::decide) work: f64,
    pub(in crate::decide) idle: f64,
    pub(in crate::decide) rate: f64,
    /// Start-up time.
    pub(in crate::decide) start: f64,
    /// Ticks between what is and what is seen, beyond one window.
    pub(in crate::decide) delay: usize,
    /// When each pod is ready.
    pods: Vec<f64>,
    /// CPU request now.
    pub(in crate::decide) size: f64,
    /// (usage, rate, ready, throttled), newest last.
    past: VecDeque<(f64, f64, f64, f64)>,
    /// Changes before the snapshot is handed over.
    pub(in crate::decide) disturb: Disturb,
    /// Template hash.
    pub(in crate::decide) template: Option<String>,
    pub(in crate::decide) last: Option<Decision>,
}

impl Plant {
    pub(in crate::decide) fn new(policy: Policy, rate: f64, replicas: u32) -> Self {
        Self {
            policy,
            memory: Memory::new(),
            t: 0.0,
            tick: 15.0,
            work: 0.01,
            idle: 0.02,
            rate,
            start: 30.0,
            delay: 1,
            pods: vec![-3600.0; replicas as usize],
            size: 1.0,
            past: VecDeque::new(),
            disturb: |_, _| {},
            template: None,
            last: None,
        }
    }

    pub(in crate::decide) fn replicas(&self) -> u32 {
        u32::try_from(self.pods.len()).expect("a test has few pods")
    }

    /// The size that was chosen, before trims and boosts.
    pub(super) fn nominal(&self) -> f64 {
        let memory = serde_json::to_value(&self.memory).expect("memory is JSON");
        memory["state"]["vertical"]["nominal"].as_f64().unwrap_or(self.size)
    }

    /// Somebody else writes.
    pub(in crate::decide) fn scale(&mut self, n: u32) {
        while self.pods.len() < n as usize {
            self.pods.push(self.t + self.start);
        }
        self.pods.truncate(n as usize);
    }

    pub(in crate::decide) fn observe(&mut self) -> Snapshot {
        let ready = self.pods.iter().filter(|at| **at <= self.t).count();
        let n = f64::from(u32::try_from(ready).expect("few"));
        let wanted = self.idle * n + self.work * self.rate;
        let usage = wanted.min(n * self.size);
        let throttled = if wanted > n * self.size { (1.0 - n * self.size / wanted).max(0.06) } else { 0.0 };
        self.past.push_back((usage, self.rate, n, throttled));
        while self.past.len() > self.delay + 1 {
            self.past.pop_front();
        }
        let (usage, rate, seen, throttled) = self.past[0];
        let spec = self.replicas();
        let mut snapshot = snapshot(EPOCH + self.t, u32::try_from(ready).expect("few"), usage);
        snapshot.replicas.spec = Replicas(spec);
        snapshot.replicas.pending = Replicas(spec - u32::try_from(ready).expect("few"));
        snapshot.replicas.template_hash.clone_from(&self.template);
        snapshot.usage_age_seconds = Some(Seconds(15.0));
        let container = &mut snapshot.containers[0];
        container.throttled_ratio = Some(throttled);
        container.max_pod_cpu_cores = Some(Cores(1.05 * usage / seen.max(1.0)));
        container.sizes = vec![SizeGroup {
            cpu_cores: Some(Cores(self.size)),
            memory_bytes: Some(Bytes(512 << 20)),
            pods: Replicas(spec),
            ready: snapshot.replicas.ready,
            resize: crate::decide::ResizeState::None,
        }];
        for s in &self.policy.signals {
            let value = match s.role {
                Role::Demand => rate,
                Role::Latency => 0.05,
                Role::Backlog | Role::Saturation => 0.0,
            };
            let mut reading = reading(value);
            if s.role == Role::Latency {
                let busy = usage / (seen.max(1.0) * self.size);
                reading.violation_ratio = Some(if busy > 0.9 { 0.05 } else { 0.008 });
            }
            snapshot.signals.insert(s.name.clone(), reading);
        }
        (self.disturb)(&mut snapshot, self.t);
        snapshot
    }

    /// One tick; the decision is applied.
    pub(in crate::decide) fn step(&mut self) -> Decision {
        let snapshot = self.observe();
        let decision = decide(&snapshot, &self.policy, &mut self.memory, snapshot.at);
        self.apply(&decision);
        self.t += self.tick;
        self.last = Some(decision.clone());
        decision
    }

    pub(super) fn apply(&mut self, decision: &Decision) {
        self.scale(decision.replicas.0);
        let steady = decision.containers.first().and_then(|c| c.requests.cpu_cores).map_or(self.size, |c| c.0);
        self.size = decision.boost.as_ref().map_or(steady, |b| b.containers[0].cpu_cores.0);
    }

    /// Runs for some time and returns the counts.
    pub(in crate::decide) fn run(&mut self, seconds: f64) -> Vec<u32> {
        let end = self.t + seconds;
        let mut counts = Vec::new();
        while self.t < end {
            self.step();
            counts.push(self.replicas());
        }
        counts
    }
}
