//! The plant under a hand: what it serves, what it costs, how it follows decisions.

use super::*;
use crate::{
    decide::{Boost, BoostSize, ContainerSize, Decision, Explain, Reason, ResizeState, Resources},
    simulate::{Action, Load, Neighbours, NodePool, PodAction, TraceOptions, World, metrics::instant, world::Queue},
    units::{Cores, Replicas, Seconds},
};

/// A constant load of `cores` of work for `hours`.
fn plant(cores: f64, hours: f64) -> Plant {
    plant_in(cores, hours, World::default(), |_| {})
}

/// The same in a world, with a service that is changed.
fn plant_in(cores: f64, hours: f64, world: World, change: impl FnOnce(&mut Service)) -> Plant {
    let load = Load::read("flat.csv", &b"timestamp_s,rps\n0,1\n3600,1\n"[..], None).expect("a load");
    let mut scenario = Scenario::from_trace(load, TraceOptions::default());
    scenario.duration = Seconds(hours * 3600.0);
    scenario.peak_cores = Cores(cores);
    scenario.world = world;
    change(&mut scenario.service);
    Plant::new(&scenario, 1)
}

fn decision(replicas: u32, cores: f64, memory: u64, boost: Option<f64>) -> Action {
    let size = Resources { cpu_cores: Some(Cores(cores)), memory_bytes: Some(Bytes(memory)) };
    let limits = Resources { cpu_cores: None, memory_bytes: Some(Bytes(memory)) };
    let boost = boost.map(|cores| Boost {
        containers: vec![BoostSize { name: CONTAINER.to_owned(), cpu_cores: Cores(cores) }],
        until: instant(3600.0),
    });
    let decision = Decision {
        v: 0,
        at: instant(0.0),
        replicas: Replicas(replicas),
        containers: vec![ContainerSize { name: CONTAINER.to_owned(), requests: size, limits }],
        boost,
        reason: Reason::CpuDemand,
        message: String::new(),
        explain: Explain::default(),
    };
    Action { decision, pods: PodAction::InPlace }
}

/// Plays so many steps; the share of requests over the objective.
fn play(plant: &mut Plant, steps: usize) -> f64 {
    let (mut over, mut requests) = (0.0, 0.0);
    for _ in 0..steps {
        let step = plant.step();
        over += step.over;
        requests += step.requests;
    }
    over / requests
}

#[test]
fn fewer_pods_are_slower_and_too_few_drown() {
    let shares: Vec<f64> = [16, 10, 6]
        .into_iter()
        .map(|pods| {
            let mut plant = plant(8.0, 2.0);
            plant.apply(&decision(pods, 1.0, Bytes::GIB, None));
            play(&mut plant, 100);
            play(&mut plant, 400)
        })
        .collect();
    assert!(shares[0] < 0.01, "{shares:?}");
    assert!(shares[0] < shares[1] && shares[1] < 0.5, "{shares:?}");
    assert!(shares[2] > 0.6, "{shares:?}");
}

#[test]
fn new_pods_need_their_time_and_leaving_pods_are_paid_while_they_drain() {
    let mut plant = plant(2.0, 1.0);
    let before = plant.pods.len();
    plant.apply(&decision(12, 1.0, Bytes::GIB, None));
    assert_eq!(plant.counts.starts, 12 - before as u64);
    assert_eq!(plant.ready().count(), before);
    play(&mut plant, 36);
    assert_eq!(plant.ready().count(), 12);
    let median = plant.started[plant.started.len() / 2];
    assert!((10.0..90.0).contains(&median), "{median}");
    plant.apply(&decision(4, 1.0, Bytes::GIB, None));
    assert_eq!(plant.step().paid_cores, 12.0);
    play(&mut plant, 6);
    assert_eq!(plant.step().paid_cores, 4.0);
}

#[test]
fn running_pods_are_resized_in_place_within_seconds_and_memory_never_below_use() {
    let mut plant = plant(2.0, 1.0);
    play(&mut plant, 3);
    let pods = plant.desired;
    plant.apply(&decision(pods, 2.0, Bytes::GIB, None));
    assert!(plant.pods.iter().all(|pod| pod.containers[0].size.cpu == 1.0));
    play(&mut plant, 60);
    assert!(plant.pods.iter().all(|pod| pod.containers[0].size.cpu == 2.0));
    plant.apply(&decision(pods, 0.5, 64 * Bytes::MIB, None));
    play(&mut plant, 12);
    let used = 300.0 * Bytes::MIB as f64;
    assert!(
        plant.pods.iter().all(|pod| pod.containers[0].size.cpu == 0.5 && pod.containers[0].size.memory.as_f64() > used)
    );
    assert_eq!(plant.counts.oom_kills, 0);
}

#[test]
fn a_boost_is_for_running_pods_and_the_steady_size_for_new_ones() {
    let mut plant = plant(2.0, 1.0);
    let before = plant.pods.len();
    plant.apply(&decision(u32::try_from(before).expect("few pods") + 2, 1.0, Bytes::GIB, Some(1.8)));
    play(&mut plant, 60);
    let sizes: Vec<f64> = plant.pods.iter().map(|pod| pod.containers[0].size.cpu).collect();
    assert_eq!(sizes[..before], vec![1.8; before]);
    assert_eq!(sizes[before..], [1.0, 1.0]);
}

#[test]
fn a_pod_above_its_memory_limit_is_killed_and_starts_again() {
    let mut plant = plant(2.0, 1.0);
    plant.apply(&decision(40, 1.0, 200 * Bytes::MIB, None));
    play(&mut plant, 60);
    assert!(plant.counts.oom_kills > 0);
    assert_eq!(plant.killed[0].1, Some(Bytes(200 * Bytes::MIB)));
}

#[test]
fn the_load_does_not_depend_on_what_is_decided() {
    let (mut few, mut many) = (plant(4.0, 1.0), plant(4.0, 1.0));
    few.apply(&decision(2, 1.0, Bytes::GIB, None));
    many.apply(&decision(30, 0.5, Bytes::GIB, None));
    for _ in 0..300 {
        assert_eq!(few.step().requests, many.step().requests);
    }
}

#[test]
fn evicted_pods_are_made_anew_in_the_new_size_and_one_pod_is_resized_by_its_number() {
    let mut plant = plant(2.0, 1.0);
    let Action { decision, .. } = decision(plant.desired, 1.5, Bytes::GIB, None);
    let (first, second) = (plant.pods[0].id, plant.pods[1].id);
    let sizes = decision.containers.clone();
    let pods = PodAction::Update { new_pods: sizes.clone(), evict: vec![first, 999], resize: vec![(second, sizes)] };
    let before = plant.pods.len();
    plant.apply(&Action { decision, pods });
    assert_eq!((plant.pods.len(), plant.counts.evictions, plant.counts.resizes), (before, 1, 1));
    assert!(plant.pods.iter().all(|pod| pod.id != first));
    play(&mut plant, 60);
    let large = |pod: &&Pod| pod.containers[0].size.cpu == 1.5;
    assert_eq!(plant.pods.iter().filter(large).count(), 2);
    assert!(plant.pods.iter().any(|pod| pod.id == second && pod.containers[0].size.cpu == 1.5));
}

/// Nodes of four cores and 16 GiB.
fn small_nodes(count: u32, max: u32) -> World {
    let pool = NodePool {
        cpu: Cores(4.0),
        memory: Bytes(16 * Bytes::GIB),
        count,
        max,
        provisioning: Seconds(90.0),
        neighbours: None,
    };
    World { nodes: vec![pool], ..World::default() }
}

fn waiting_for_a_node(plant: &Plant) -> usize {
    plant.pods.iter().filter(|pod| pod.node.is_none()).count()
}

#[test]
fn pods_wait_for_room_and_nodes_come_as_far_as_they_may() {
    let mut plant = plant_in(2.0, 1.0, small_nodes(2, 3), |_| {});
    plant.apply(&decision(14, 1.0, Bytes::GIB, None));
    play(&mut plant, 2);
    assert_eq!((plant.pods.len(), waiting_for_a_node(&plant)), (14, 6));
    play(&mut plant, 20);
    assert_eq!(waiting_for_a_node(&plant), 2);
    play(&mut plant, 40);
    assert_eq!(plant.ready().count(), 12);
    // Draining pods hold their place until they are gone.
    plant.apply(&decision(4, 1.0, Bytes::GIB, None));
    assert_eq!((plant.pods.len(), waiting_for_a_node(&plant), plant.terminating()), (4, 0, 8));
}

#[test]
fn a_lost_node_fails_its_requests_until_it_is_noticed_and_its_pods_come_back_elsewhere() {
    let mut world = small_nodes(2, 2);
    world.events = vec![Event { at: Seconds(600.0), what: What::NodeLoss { count: 1 } }];
    world.initial = Some(Replicas(4));
    let mut plant = plant_in(1.0, 1.0, world, |_| {});
    assert!(play(&mut plant, 120) < 0.01);
    let blind = play(&mut plant, 8);
    assert!((0.3..0.7).contains(&blind), "{blind}");
    play(&mut plant, 40);
    assert_eq!((plant.ready().count(), waiting_for_a_node(&plant)), (4, 0));
    assert!(play(&mut plant, 120) < 0.01);
}

#[test]
fn a_resize_waits_for_room_and_what_no_node_can_take_is_infeasible() {
    let mut world = small_nodes(1, 1);
    world.initial = Some(Replicas(3));
    let mut plant = plant_in(1.0, 1.0, world, |_| {});
    plant.apply(&decision(3, 1.6, Bytes::GIB, None));
    play(&mut plant, 30);
    let sizes: Vec<f64> = plant.pods.iter().map(|pod| pod.containers[0].size.cpu).collect();
    assert!(sizes.iter().sum::<f64>() <= 4.0 && sizes.contains(&1.6), "{sizes:?}");
    assert!(plant.pods.iter().any(|pod| pod.resize_state() == ResizeState::Deferred));
    plant.apply(&decision(3, 5.0, Bytes::GIB, None));
    play(&mut plant, 30);
    assert!(plant.pods.iter().all(|pod| pod.resize_state() == ResizeState::Infeasible));
}

#[test]
fn what_was_trimmed_away_on_a_shared_node_is_gone_when_it_is_wanted_back() {
    let mut world = small_nodes(1, 1);
    world.initial = Some(Replicas(3));
    // Half a core a minute, and nobody leaves within the hours that are played.
    let hungry = Neighbours { per_hour: 60.0, size: 0.125, share: 1.0, stay: Seconds(1e6) };
    world.nodes[0].neighbours = Some(hungry);
    let mut plant = plant_in(0.5, 3.0, world, |_| {});
    let cores = |plant: &Plant| plant.pods.iter().map(|pod| pod.containers[0].size.cpu).sum::<f64>();
    plant.apply(&decision(3, 0.25, Bytes::GIB, None));
    play(&mut plant, 720);
    assert!((cores(&plant) - 0.75).abs() < 1e-9, "shrinking always fits: {}", cores(&plant));
    plant.apply(&decision(3, 1.0, Bytes::GIB, None));
    play(&mut plant, 720);
    assert!(cores(&plant) < 1.0, "{}", cores(&plant));
    assert!(plant.pods.iter().all(|pod| pod.resize_state() == ResizeState::Deferred));
    // Nor does a new pod find room.
    plant.apply(&decision(4, 1.0, Bytes::GIB, None));
    play(&mut plant, 30);
    assert_eq!(waiting_for_a_node(&plant), 1);
}

#[test]
fn nodes_that_were_added_leave_when_nobody_has_needed_them_for_ten_minutes() {
    let mut plant = plant_in(0.5, 2.0, small_nodes(1, 4), |_| {});
    plant.apply(&decision(10, 1.0, Bytes::GIB, None));
    play(&mut plant, 60);
    assert_eq!(plant.ready().count(), 10);
    plant.apply(&decision(1, 1.0, Bytes::GIB, None));
    play(&mut plant, 200);
    plant.apply(&decision(8, 1.0, Bytes::GIB, None));
    play(&mut plant, 10);
    assert!(waiting_for_a_node(&plant) > 0, "the room of an hour ago is gone");
}

#[test]
fn raises_can_be_refused_and_costs_can_change_without_a_word() {
    let mut world = World { initial: Some(Replicas(4)), refuses_raises: true, ..World::default() };
    world.events = vec![Event { at: Seconds(600.0), what: What::CostChange { work_factor: 2.0 } }];
    let mut plant = plant_in(1.0, 1.0, world, |_| {});
    plant.apply(&decision(4, 0.5, Bytes::GIB, None));
    play(&mut plant, 12);
    plant.apply(&decision(5, 0.8, Bytes::GIB, None));
    play(&mut plant, 12);
    let sizes: Vec<f64> = plant.pods.iter().map(|pod| pod.containers[0].size.cpu).collect();
    assert_eq!(sizes, [0.5, 0.5, 0.5, 0.5, 0.8], "new pods have the new size");
    assert_eq!(plant.pods.iter().filter(|pod| pod.resize_state() == ResizeState::Infeasible).count(), 4);
    let demand = |plant: &mut Plant| (0..90).map(|_| plant.step().demand).sum::<f64>();
    let before = demand(&mut plant);
    play(&mut plant, 6);
    let after = demand(&mut plant);
    assert!((after / before - 2.0).abs() < 0.2 && !plant.rolling, "{before} {after}");
}

#[test]
fn a_rollout_replaces_pods_step_by_step_and_costs_what_it_costs() {
    let mut world = World { initial: Some(Replicas(8)), ..World::default() };
    let what = What::Rollout { work_factor: 1.5, memory_factor: 1.0 };
    world.events = vec![Event { at: Seconds(60.0), what }];
    let mut plant = plant_in(2.0, 1.0, world, |_| {});
    play(&mut plant, 12);
    let before = plant.step().demand;
    let mut fewest = 8;
    for _ in 0..60 {
        plant.step();
        assert!(plant.pods.len() <= 10);
        fewest = fewest.min(plant.ready().count());
    }
    assert_eq!(fewest, 6);
    assert!(plant.pods.iter().all(|pod| pod.template == 2) && !plant.rolling);
    assert!((plant.step().demand / before - 1.5).abs() < 0.3);
}

#[test]
fn an_eviction_beyond_the_disruption_budget_is_refused() {
    let world = World { max_unavailable: Some(CountOrShare::Count(1)), initial: Some(Replicas(5)), ..World::default() };
    let mut plant = plant_in(2.0, 1.0, world, |_| {});
    let Action { decision, .. } = decision(5, 1.0, Bytes::GIB, None);
    let evict: Vec<u64> = plant.pods.iter().map(|pod| pod.id).collect();
    plant.apply(&Action { decision, pods: PodAction::Update { new_pods: Vec::new(), evict, resize: Vec::new() } });
    assert_eq!((plant.counts.evictions, plant.ready().count(), plant.pods.len()), (1, 4, 5));
}

#[test]
fn a_refusing_api_server_changes_nothing() {
    let lasts = Seconds(60.0);
    let events = vec![Event { at: Seconds(0.0), what: What::ApiRefusal { lasts } }];
    let mut plant = plant_in(2.0, 1.0, World { events, ..World::default() }, |_| {});
    plant.step();
    let before = plant.pods.len();
    plant.apply(&decision(20, 2.0, Bytes::GIB, None));
    assert_eq!((plant.pods.len(), plant.counts.resizes), (before, 0));
    play(&mut plant, 12);
    plant.apply(&decision(20, 1.0, Bytes::GIB, None));
    assert_eq!(plant.pods.len(), 20);
}

#[test]
fn the_container_with_the_least_room_decides_and_a_leak_ends_in_a_kill() {
    use crate::simulate::Sidecar;
    let sidecar = |cores| Sidecar {
        name: "proxy".to_owned(),
        work: Seconds(0.005),
        idle: Cores(0.01),
        memory: Bytes(64 * Bytes::MIB),
        request_cores: Cores(cores),
        request_memory: Bytes(128 * Bytes::MIB),
    };
    let world = World { initial: Some(Replicas(5)), ..World::default() };
    let late = |cores| {
        let mut plant = plant_in(2.0, 1.0, world.clone(), |service| service.sidecars = vec![sidecar(cores)]);
        play(&mut plant, 200)
    };
    let (wide, narrow) = (late(0.6), late(0.1));
    assert!(wide < 0.02 && narrow > 0.5, "{wide} {narrow}");
    let leak = |service: &mut Service| service.memory_leak_per_hour = Bytes(2 * Bytes::GIB);
    let mut plant = plant_in(2.0, 1.0, world.clone(), leak);
    play(&mut plant, 600);
    assert_eq!(plant.counts.oom_kills, 10, "five pods, twice in 50 minutes");
}

#[test]
fn a_peak_at_the_start_kills_again_and_again_with_growing_pauses() {
    let world = World { initial: Some(Replicas(2)), ..World::default() };
    let mut plant = plant_in(0.5, 1.0, world, |service| service.memory_start_peak = Bytes(Bytes::GIB));
    plant.apply(&decision(3, 1.0, Bytes::GIB, None));
    play(&mut plant, 240);
    assert!((5..=10).contains(&plant.counts.oom_kills), "{}", plant.counts.oom_kills);
    assert_eq!(plant.ready().count(), 2);
}

#[test]
fn what_is_behind_the_service_is_not_bought_with_pods() {
    use crate::simulate::Downstream;
    let behind = |service: &mut Service| {
        service.downstream = Some(Downstream { rps: 180.0, latency: Seconds(0.01) });
    };
    let late = |pods| {
        let world = World { initial: Some(Replicas(pods)), ..World::default() };
        play(&mut plant_in(2.0, 1.0, world, behind), 600)
    };
    let (few, many) = (late(5), late(40));
    assert!(few > 0.5 && many > 0.5, "{few} {many}");
}

#[test]
fn a_queue_keeps_what_cannot_be_done_yet_and_tells_what_is_late() {
    let queue = |deadline| World {
        queue: Some(Queue { deadline: Seconds(deadline) }),
        initial: Some(Replicas(2)),
        ..World::default()
    };
    let mut plant = plant_in(4.0, 1.0, queue(60.0), |_| {});
    play(&mut plant, 60);
    let (waiting, in_flight) = plant.queue().expect("there is a queue");
    assert!(waiting > 10_000.0 && (1.0..4.0).contains(&in_flight), "{waiting} {in_flight}");
    assert!(play(&mut plant, 60) > 0.3);
    plant.apply(&decision(20, 1.0, Bytes::GIB, None));
    play(&mut plant, 120);
    assert!(plant.queue().expect("there is a queue").0 < 1.0);
    assert_eq!(play(&mut plant, 60), 0.0);
}
