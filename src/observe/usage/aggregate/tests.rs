use proptest::prelude::*;

use super::*;

fn id(name: &str) -> PodId {
    PodId { namespace: "shop".into(), name: name.into() }
}

fn pod(name: &str, ready: bool) -> UsagePod {
    UsagePod { id: id(name), ready }
}

fn usage(cpu: f64, memory: u64, age: f64) -> ContainerUsage {
    ContainerUsage {
        cpu: Some(Cores(cpu)),
        memory: Some(Bytes(memory)),
        age: Some(Seconds(age)),
        ..ContainerUsage::default()
    }
}

fn table(pods: &[(&str, ContainerUsage)]) -> UsageTable {
    let pods = pods.iter().map(|(name, u)| (id(name), Containers::from_iter([("app".into(), u.clone())]))).collect();
    UsageTable { pods, complete: true, ..UsageTable::default() }
}

fn filled(table: &UsageTable, pods: &[UsagePod]) -> ContainerState {
    let mut states = vec![ContainerState { name: "app".to_owned(), ..ContainerState::default() }];
    fill(table, pods, &mut states, &mut OomCounters::default());
    states.remove(0)
}

#[test]
fn cpu_is_of_ready_pods_and_memory_of_all() {
    let table = table(&[("a", usage(0.5, 100, 5.0)), ("b", usage(0.75, 300, 9.0)), ("new", usage(2.0, 500, 5.0))]);
    let state = filled(&table, &[pod("a", true), pod("b", true), pod("new", false), pod("unseen", true)]);
    assert_eq!(state.reporting_pods, Some(Replicas(2)));
    assert_eq!(state.cpu_cores, Some(Cores(1.25)));
    assert_eq!(state.max_pod_cpu_cores, Some(Cores(0.75)));
    assert_eq!(state.memory_max_pod_bytes, Some(Bytes(500)));
    assert_eq!(state.memory_mean_pod_bytes, Some(Bytes(300)));
    assert_eq!(state.throttled_ratio, None, "not measured is not zero");
}

#[test]
fn a_pod_whose_node_went_silent_does_not_report() {
    let table = table(&[("a", usage(0.5, 100, 5.0)), ("b", usage(0.7, 900, 66.0))]);
    let pods = [pod("a", true), pod("b", true)];
    let state = filled(&table, &pods);
    assert_eq!((state.reporting_pods, state.cpu_cores), (Some(Replicas(1)), Some(Cores(0.5))));
    assert_eq!(state.memory_max_pod_bytes, Some(Bytes(100)));
    assert_eq!(newest_age(&table, &pods), Some(Seconds(5.0)));
}

#[test]
fn nothing_known_is_absent() {
    let state = filled(&UsageTable::default(), &[pod("a", true)]);
    assert_eq!(state.reporting_pods, Some(Replicas(0)));
    assert_eq!((state.cpu_cores, state.memory_max_pod_bytes, state.oom_kills_delta), (None, None, None));
    assert_eq!(newest_age(&UsageTable::default(), &[pod("a", true)]), None);
}

#[test]
fn oom_kills_are_counted_from_the_second_tick_on_and_through_restarts() {
    let mut counters = OomCounters::default();
    let mut tick = |kills: &[(&str, Option<u64>)], pods: &[&str]| {
        let rows: Vec<_> = kills
            .iter()
            .map(|&(name, oom_events)| (name, ContainerUsage { oom_events, ..ContainerUsage::default() }))
            .collect();
        let pods: Vec<_> = pods.iter().map(|p| pod(p, true)).collect();
        let mut states = vec![ContainerState { name: "app".to_owned(), ..ContainerState::default() }];
        fill(&table(&rows), &pods, &mut states, &mut counters);
        states[0].oom_kills_delta
    };
    assert_eq!(tick(&[("a", Some(7))], &["a"]), None, "how much of it is old is not known");
    assert_eq!(tick(&[("a", Some(7))], &["a"]), Some(0));
    assert_eq!(tick(&[("a", Some(9))], &["a"]), Some(2));
    assert_eq!(tick(&[("a", None)], &["a"]), None, "a gap is not zero");
    assert_eq!(tick(&[("a", Some(10))], &["a"]), Some(1), "and nothing is lost in it");
    assert_eq!(tick(&[("a", Some(1))], &["a"]), Some(1), "a counter that began anew");
    assert_eq!(tick(&[("a", Some(1)), ("b", Some(2))], &["a", "b"]), Some(2), "a pod that came since");
    assert_eq!(tick(&[("b", Some(2))], &["b"]), Some(0));
}

proptest! {
    #[test]
    fn sums_never_exceed_what_was_measured(cpus in prop::collection::vec((0.0_f64..8.0, 0.0_f64..200.0, any::<bool>()), 1..20)) {
        let names: Vec<String> = (0..cpus.len()).map(|i| format!("p{i}")).collect();
        let rows: Vec<_> = names.iter().zip(&cpus).map(|(n, c)| (n.as_str(), usage(c.0, 1, c.1))).collect();
        let pods: Vec<_> = names.iter().zip(&cpus).map(|(n, c)| pod(n, c.2)).collect();
        let state = filled(&table(&rows), &pods);
        let ready: f64 = cpus.iter().filter(|c| c.2).map(|c| c.0).sum();
        prop_assert!(state.cpu_cores.is_none_or(|c| c.get() <= ready + 1e-9));
        prop_assert!(state.reporting_pods.is_some_and(|n| n.0 as usize <= cpus.len()));
        prop_assert!(state.max_pod_cpu_cores.map(Cores::get) <= state.cpu_cores.map(|c| c.get() + 1e-9));
    }
}
