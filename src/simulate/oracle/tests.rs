use std::{fs, path::Path};

use super::{
    super::{
        Action, Controller, Downstream, Event, Load, PodAction, Queue, Run, TICK_SECONDS, TraceOptions, View, What,
        controller, plant::Plant, random::Stream,
    },
    *,
};
use crate::{
    decide::{ContainerSize, Decision, Explain, Reason, Resources},
    units::{Cores, Replicas, Seconds},
};

/// A day of a shipped trace after four hours that are not scored.
fn shipped(name: &str) -> Scenario {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("simulations/traces").join(name);
    let load = Load::read(name, fs::File::open(path).expect("the trace is shipped"), None).expect("a load");
    let warmup = Seconds(4.0 * 3600.0);
    let mut scenario = Scenario::from_trace(load, TraceOptions { warmup, ..TraceOptions::default() });
    scenario.duration = Seconds(28.0 * 3600.0);
    scenario
}

const SHIPPED: [&str; 2] = ["mongodb_rps_3d.csv", "servegen_rps_14d.csv"];

fn played(scenario: &Scenario, controller: Box<dyn Controller + Send>, seed: u64) -> Score {
    let mut run = Run::new(scenario, controller, seed);
    while run.advance().is_some() {}
    run.score()
}

#[test]
fn the_table_says_what_the_plant_says() {
    let scenario = shipped(SHIPPED[0]);
    let world = World::new(&scenario, 1);
    let plant = Plant::new(&scenario, 1);
    let mut late = plant.late_share(1.0);
    let mut stream = Stream::new(5, "oracle-table", 0);
    let first = plant.future_requests().len() - world.steps.len();
    let mut between = 0;
    for _ in 0..2000 {
        let step = crate::simulate::whole(stream.uniform() * world.steps.len() as f64);
        let coming = &world.steps[step];
        let count = u32::try_from(1 + crate::simulate::whole(stream.uniform() * 20.0)).expect("a small number");
        let size = 0.06 + 3.9 * stream.uniform();
        let capacity = size * plant.stretch(first + step);
        let work = coming.work / f64::from(count);
        let spread = Plant::IMBALANCE * (3.0 * (1.0 - 1.0 / f64::from(count))).sqrt();
        let mut side = |part: f64| part * late(work * part, capacity);
        let expected = 2.0 / 3.0 * side(1.0) + (side(1.0 + spread) + side(1.0 - spread)) / 6.0;
        let found = world.late(coming, count, size) / coming.requests;
        // Between a pod with room and one that is full: where a plan could gain by a wrong table.
        if (0.0005..0.02).contains(&expected) {
            between += 1;
            assert!((found / expected - 1.0).abs() < 0.06, "{count} × {size}, {work}: {found}, plant {expected}");
        }
        assert!((found - expected).abs() < 0.03, "{count} × {size}, {work}: {found}, plant says {expected}");
    }
    assert!(between > 100, "{between}");
}

#[test]
fn a_plan_costs_what_was_minimised_and_more_freedom_never_costs_more() {
    for name in SHIPPED {
        let knowledge = Knowledge::new(&shipped(name), 1).expect("no queue");
        let least = |oracle| {
            let (plan, least) = (knowledge.plan(oracle), knowledge.least(oracle));
            let j = plan.score.j.get();
            assert!((j / least - 1.0).abs() < 1e-4, "{name} {oracle:?}: the plan costs {j}, the optimum is {least}");
            assert_eq!(plan.states.len(), 5760);
            assert!((plan.score.hours - 24.0).abs() < 1e-9);
            least
        };
        let (free, count, lead) = (least(Oracle::Free), least(Oracle::Count), least(Oracle::Lead));
        assert!(free <= count && free <= lead, "{name}: {free} {count} {lead}");
    }
}

#[test]
fn counts_that_are_left_out_would_not_help() {
    for name in SHIPPED {
        let world = World::new(&shipped(name), 2);
        for (freedom, sizes) in
            [(Freedom::Free, &world.sizes[..]), (Freedom::Free, &[1.0]), (Freedom::Led, &world.sizes[20..30])]
        {
            let few = programme::optimum(&mut WorldStages::new(&world, freedom, sizes));
            let all = programme::optimum(&mut WorldStages::over(&world, freedom, sizes, world.counts.len()));
            assert!((few / all - 1.0).abs() < 1e-12, "{name} {freedom:?}: {few}, with all counts {all}");
        }
    }
}

#[test]
fn no_controller_is_cheaper_than_the_oracle() {
    for name in SHIPPED {
        let scenario = shipped(name);
        let least = Knowledge::new(&scenario, 1).expect("no queue").least(Oracle::Free);
        for name in ["arbiter", "hpa50", "hpa70", "hpa80"] {
            let controller = controller(name, &scenario).expect("it can be run");
            let j = played(&scenario, controller, 1).j.get();
            assert!(j >= least, "{name} reaches {j}, the oracle {least}");
        }
    }
}

#[test]
fn dearer_requests_and_what_is_behind_are_known_and_a_queue_is_not() {
    let scenario = shipped(SHIPPED[0]);
    let least = |scenario: &Scenario| Knowledge::new(scenario, 1).map(|knowledge| knowledge.least(Oracle::Free));
    let plain = least(&scenario).expect("no queue");
    let mut rollout = scenario.clone();
    let what = What::Rollout { work_factor: 1.6, memory_factor: 1.0 };
    rollout.world.events.push(Event { at: Seconds(16.0 * 3600.0), what });
    let dearer = least(&rollout).expect("no queue") / plain;
    assert!((1.2..1.6).contains(&dearer), "half of the time at 1.6 times the work costs {dearer} times as much");
    let j = played(&rollout, controller("hpa70", &rollout).expect("it can be run"), 1).j.get();
    assert!(j > dearer * plain);

    let mut behind = scenario.clone();
    behind.service.downstream = Some(Downstream { rps: 600.0, latency: Seconds(0.005) });
    let limited = least(&behind).expect("no queue");
    assert!(limited > 1.2 * plain, "what is behind makes requests late that nothing avoids: {limited}, {plain}");
    let j = played(&behind, controller("hpa70", &behind).expect("it can be run"), 1).j.get();
    assert!(j > limited, "{j}, {limited}");

    let mut queue = scenario;
    queue.world.queue = Some(Queue { deadline: Seconds(300.0) });
    assert!(least(&queue).is_none());
}

/// Follows a plan in the plant, asking for each pod a start-up ahead.
struct Follower {
    states: Vec<(u32, f64)>,
    warmup: f64,
    ahead: f64,
}

impl Controller for Follower {
    fn name(&self) -> &'static str {
        "follower"
    }

    fn tick(&mut self, view: &View<'_>) -> Action {
        let at = |seconds: f64| {
            let index = crate::simulate::whole(((view.now + seconds - self.warmup) / TICK_SECONDS).max(0.0));
            self.states[index.min(self.states.len() - 1)]
        };
        let mut ahead: Vec<f64> = Vec::new();
        while ahead.len() as f64 * TICK_SECONDS <= self.ahead {
            ahead.push(ahead.len() as f64 * TICK_SECONDS);
        }
        let replicas = ahead.into_iter().map(|seconds| at(seconds).0).max().unwrap_or(1);
        let memory_bytes = Some(scenario_memory());
        let size = Resources { cpu_cores: Some(Cores(at(0.0).1)), memory_bytes };
        let limits = Resources { cpu_cores: None, memory_bytes };
        let containers = vec![ContainerSize { name: "app".to_owned(), requests: size, limits }];
        let decision = Decision {
            v: 0,
            at: view.snapshot.at,
            replicas: Replicas(replicas),
            containers,
            boost: None,
            reason: Reason::CpuDemand,
            message: String::new(),
            explain: Explain::default(),
        };
        Action { decision, pods: PodAction::InPlace }
    }
}

/// Memory that no pod of these scenarios exceeds.
fn scenario_memory() -> crate::units::Bytes {
    crate::units::Bytes(crate::units::Bytes::GIB / 2)
}

#[test]
fn the_bound_is_near_what_can_be_had() {
    let scenario = shipped(SHIPPED[1]);
    let plan = Knowledge::new(&scenario, 1).expect("no queue").plan(Oracle::Count);
    let bound = plan.score.j.get();
    let follower = Follower { states: plan.states, warmup: scenario.warmup.get(), ahead: 60.0 };
    let j = played(&scenario, Box::new(follower), 1).j.get();
    // What is left: start times, warm-up, memory beyond what is used at once, requests that wait.
    assert!((1.0..1.15).contains(&(j / bound)), "played {j}, bound {bound}");
}
