//! The plant under a hand: what it serves, what it costs, how it follows decisions.

use super::*;
use crate::{
    decide::{Boost, BoostSize, ContainerSize, Explain, Reason, Resources},
    simulate::{Load, TraceOptions, metrics::instant},
    units::{Bytes, Cores, Replicas, Seconds},
};

/// A constant load of `cores` of work for `hours`.
fn plant(cores: f64, hours: f64) -> Plant {
    let load = Load::read("flat.csv", &b"timestamp_s,rps\n0,1\n3600,1\n"[..], None).expect("a load");
    let mut scenario = Scenario::from_trace(load, TraceOptions::default());
    scenario.duration = Seconds(hours * 3600.0);
    scenario.peak_cores = Cores(cores);
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
    assert!(plant.pods.iter().all(|pod| pod.size.cpu == 1.0));
    play(&mut plant, 60);
    assert!(plant.pods.iter().all(|pod| pod.size.cpu == 2.0));
    plant.apply(&decision(pods, 0.5, 64 * Bytes::MIB, None));
    play(&mut plant, 12);
    let used = 300.0 * Bytes::MIB as f64;
    assert!(plant.pods.iter().all(|pod| pod.size.cpu == 0.5 && pod.size.memory.as_f64() > used));
    assert_eq!(plant.counts.oom_kills, 0);
}

#[test]
fn a_boost_is_for_running_pods_and_the_steady_size_for_new_ones() {
    let mut plant = plant(2.0, 1.0);
    let before = plant.pods.len();
    plant.apply(&decision(u32::try_from(before).expect("few pods") + 2, 1.0, Bytes::GIB, Some(1.8)));
    play(&mut plant, 60);
    let sizes: Vec<f64> = plant.pods.iter().map(|pod| pod.size.cpu).collect();
    assert_eq!(sizes[..before], vec![1.8; before]);
    assert_eq!(sizes[before..], [1.0, 1.0]);
}

#[test]
fn a_pod_above_its_memory_limit_is_killed_and_starts_again() {
    let mut plant = plant(2.0, 1.0);
    plant.apply(&decision(40, 1.0, 200 * Bytes::MIB, None));
    play(&mut plant, 60);
    assert!(plant.counts.oom_kills > 0);
    assert_eq!(plant.killed.1, Some(Bytes(200 * Bytes::MIB)));
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
    let large = |pod: &&Pod| pod.size.cpu == 1.5;
    assert_eq!(plant.pods.iter().filter(large).count(), 2);
    assert!(plant.pods.iter().any(|pod| pod.id == second && pod.size.cpu == 1.5));
}
