//! A queue in a loop: a fluid whose workers are what was decided, without noise, starts of half a minute.

use std::collections::VecDeque;

use super::plant::{EPOCH, policy, reading, signal, snapshot};
use crate::{
    decide::{Decision, Memory, Reading, ResizeState, SizeGroup, decide},
    policy::{BacklogObjective, Policy, Role},
    units::{Cores, Replicas, Seconds},
};

const TICK: f64 = 15.0;
const START: f64 = 30.0;
const IDLE: f64 = 0.05;
/// What full workers get of their requests: nodes have a tenth to spare.
const STRETCH: f64 = 1.1;

/// Workers on a queue that is to be drained in three minutes.
struct Loop {
    policy: Policy,
    memory: Memory,
    work: f64,
    t: f64,
    /// When each pod is ready, and the request that all have.
    pods: Vec<f64>,
    size: f64,
    /// Items that wait by the time they came.
    waiting: VecDeque<(f64, f64)>,
    /// Usage of the last ticks, cores.
    usage: VecDeque<f64>,
    late: f64,
    starts: u32,
    last: Option<Decision>,
}

impl Loop {
    fn new(work: f64) -> Self {
        let mut policy = policy();
        policy.signals = vec![signal("queue", Role::Backlog)];
        policy.objective.backlog = Some(BacklogObjective { signal: "queue".to_owned(), drain_within: Seconds(180.0) });
        Self {
            policy,
            memory: Memory::new(),
            work,
            t: 0.0,
            pods: vec![0.0],
            size: 1.0,
            waiting: VecDeque::new(),
            usage: VecDeque::from([0.0; 4]),
            late: 0.0,
            starts: 0,
            last: None,
        }
    }

    fn items(&self) -> f64 {
        self.waiting.iter().map(|group| group.1).sum()
    }

    /// A tick in which so many cores of work arrive.
    fn step(&mut self, cores: f64) {
        self.waiting.push_back((self.t, cores * TICK / self.work));
        let ready = self.pods.iter().filter(|at| **at <= self.t).count() as f64;
        let most = ready * (STRETCH * self.size - IDLE).max(0.0) * TICK / self.work;
        let mut left = most;
        while let Some(oldest) = self.waiting.front_mut().filter(|_| left > 0.0) {
            let done = oldest.1.min(left);
            (oldest.1, left) = (oldest.1 - done, left - done);
            if oldest.1 > 0.0 {
                break;
            }
            self.waiting.pop_front();
        }
        self.t += TICK;
        let age = self.waiting.front().map_or(0.0, |oldest| self.t - oldest.0);
        self.late = self.late.max(age - 180.0);
        self.usage.push_back(ready * IDLE + (most - left) * self.work / TICK);
        self.usage.pop_front();
        self.decide();
    }

    fn decide(&mut self) {
        // The mean over the two ticks before the last one.
        let usage = 0.5 * (self.usage[1] + self.usage[2]);
        let ready = self.pods.iter().filter(|at| **at <= self.t).count();
        let count = |n: usize| u32::try_from(n).expect("few");
        let mut s = snapshot(EPOCH + self.t, count(ready), usage);
        s.replicas.spec.0 = count(self.pods.len());
        s.containers[0].sizes = vec![SizeGroup {
            cpu_cores: Some(Cores(self.size)),
            memory_bytes: None,
            pods: s.replicas.spec,
            ready: Replicas(count(ready)),
            resize: ResizeState::None,
        }];
        s.start_seconds = vec![Seconds(START); 8];
        let waits = reading(self.items());
        s.signals.insert("queue".to_owned(), Reading { age_seconds: Some(Seconds(1.0)), ..waits });
        let decision = decide(&s, &self.policy, &mut self.memory, s.at);
        let wanted = decision.replicas.0 as usize;
        self.starts += count(wanted.saturating_sub(self.pods.len()));
        self.pods.resize(wanted, self.t + START);
        let boosted = decision.boost.as_ref().map(|boost| boost.containers[0].cpu_cores);
        let asked = decision.containers[0].requests.cpu_cores;
        self.size = boosted.or(asked).map_or(self.size, |cores| cores.0);
        self.last = Some(decision);
    }

    fn run(&mut self, seconds: f64, cores: f64) {
        let end = self.t + seconds;
        while self.t < end {
            self.step(cores);
        }
    }

    fn believed(&self) -> f64 {
        self.last.as_ref().and_then(|decision| decision.explain.work_core_seconds).expect("known")
    }
}

#[test]
fn a_steady_flow_ends_with_full_workers_and_a_queue_that_stands() {
    let mut queue = Loop::new(0.2);
    queue.run(3600.0, 3.3);
    let (starts, mut requests, mut ticks) = (queue.starts, 0.0, 0.0);
    queue.late = 0.0;
    for _ in 0..480 {
        queue.step(3.3);
        requests += queue.pods.len() as f64 * queue.size;
        ticks += 1.0;
    }
    assert!(queue.late <= 0.0, "{} s late", queue.late);
    assert!(queue.starts - starts <= 4, "{} starts in two hours", queue.starts - starts);
    // Three pods of 1.1 cores would do; an HPA at 70 % would ask for 4.7.
    assert!(requests / ticks < 3.9, "{} cores", requests / ticks);
    assert!((queue.believed() / 0.2 - 1.0).abs() < 0.5, "{}", queue.believed());
}

#[test]
fn a_batch_is_done_in_its_time_by_pods_that_grow_first() {
    let mut queue = Loop::new(0.5);
    for _ in 0..8 {
        queue.late = 0.0;
        queue.step(60.0);
        queue.run(1200.0, 0.0);
    }
    assert!(queue.late <= 0.0, "{} s late", queue.late);
    assert!((queue.believed() / 0.5 - 1.0).abs() < 0.3, "{}", queue.believed());
    assert_eq!(queue.pods.len(), 1);
    // 900 core-seconds in two minutes are seven cores: four pods of two, not eight.
    let before = queue.starts;
    queue.step(60.0);
    queue.run(1200.0, 0.0);
    assert!(queue.starts - before <= 5, "{} started", queue.starts - before);
}

#[test]
fn what_an_item_takes_is_doubted_until_something_waits() {
    let mut queue = Loop::new(0.01);
    // A batch at first tells what an item takes at most; then there are more workers than there is work for: nothing
    // waits, so nothing is told.
    queue.policy.replicas.min.0 = 4;
    queue.step(8.0);
    queue.run(600.0, 1.0);
    let before = queue.believed();
    queue.run(3.0 * 3600.0, 1.0);
    assert!(queue.believed() < 0.1 * before, "{} {before}", queue.believed());
    // Then it does.
    queue.run(1800.0, 9.0);
    assert!((queue.believed() / 0.01 - 1.0).abs() < 0.4, "{}", queue.believed());
}

#[test]
fn an_empty_queue_is_no_lack_of_work() {
    // Thirty workers keep a queue of one core of work empty: each is as busy as one that is idle.
    let mut queue = Loop::new(0.05);
    queue.pods = vec![0.0; 30];
    let (mut least, mut before) = (30, 30);
    for _ in 0..240 {
        queue.step(1.0);
        least = least.min(queue.pods.len());
        assert!(queue.pods.len() <= before, "{before} -> {}", queue.pods.len());
        before = queue.pods.len();
        // What arrives is a core, and a worker carries 1.1 of its request without what it costs idle.
        let carries = before as f64 * (STRETCH * queue.size - IDLE);
        assert!(carries >= 1.0, "{before} workers of {} cores", queue.size);
    }
    assert!(least <= 2, "{least}");
    assert!(queue.late <= 0.0, "{} s late", queue.late);
}
