use proptest::prelude::*;

use super::*;
use crate::{
    observe::kubernetes::PerResource,
    policy::{Levers, testing},
};

const MIB: u64 = 1 << 20;
const NONE: Resources = Resources { cpu_cores: None, memory_bytes: None };

fn amounts(cpu: f64, mib: u64) -> Resources {
    Resources { cpu_cores: Some(Cores(cpu)), memory_bytes: Some(Bytes(mib * MIB)) }
}

fn policy(levers: Levers) -> Policy {
    Policy { levers, ..testing::web() }
}

/// Requests and limits of the template and as decided.
struct Case {
    own: (Resources, Resources),
    decided: (Resources, Resources),
    bounds: Bounds,
    sharers: u32,
    levers: Levers,
}

impl Case {
    fn new(own: (Resources, Resources), decided: (Resources, Resources)) -> Self {
        Self { own, decided, bounds: Bounds::default(), sharers: 10, levers: Levers::ALL }
    }

    fn row_with(&self, change: impl FnOnce(&mut Asked<'_>)) -> Option<PodSize> {
        self.row_after(None, change)
    }

    fn row_after(&self, at_least: Option<&PodSize>, change: impl FnOnce(&mut Asked<'_>)) -> Option<PodSize> {
        let policy = policy(self.levers);
        let template = [TemplateContainer { name: "app".into(), requests: self.own.0, limits: self.own.1 }];
        let decided = [ContainerSize { name: "app".into(), requests: self.decided.0, limits: self.decided.1 }];
        let mut asked = Asked {
            policy: &policy,
            generation: 3,
            decided: &decided,
            template: &template,
            template_hash: "7d9c",
            bounds: &self.bounds,
            sharers: self.sharers,
            new_template: false,
            at_least,
            at_least_own: false,
        };
        change(&mut asked);
        new_pods(asked)
    }

    /// `cpu/limit memory/limit` of the container; `-` for what is left to the pod.
    fn size(&self) -> String {
        words(self.row_with(|_| ()).as_ref())
    }
}

fn words(row: Option<&PodSize>) -> String {
    let Some(size) = row else { return "none".into() };
    let app = &size.containers["app"];
    let one = |request: &Option<String>, limit: &Option<String>| {
        let text = |t: &Option<String>| t.clone().unwrap_or_else(|| "-".into());
        format!("{}/{}", text(request), text(limit))
    };
    format!("{} {}", one(&app.cpu, &app.cpu_limit), one(&app.memory, &app.memory_limit))
}

#[test]
fn a_row_says_who_decided_and_on_which_template() {
    let row = Case::new((amounts(0.1, 128), NONE), (amounts(0.75, 300), NONE)).row_with(|_| ()).unwrap();
    assert_eq!((row.policy.as_str(), row.generation, row.template_hash.as_str()), ("web", 3, "7d9c"));
    assert!(row.memory_for_other_templates);
    assert_eq!(words(Some(&row)), "750m/- 300Mi/-");
}

#[test]
fn workloads_whose_pods_tell_their_template_have_a_row() {
    let kind = |api_version: &str, kind: &str| {
        sized_workload(&Target { api_version: api_version.into(), kind: kind.into(), name: "web".into() }).map(|w| w.0)
    };
    assert_eq!(kind("apps/v1", "Deployment"), Some(SizedKind::Deployment));
    assert_eq!(kind("apps/v1", "StatefulSet"), Some(SizedKind::StatefulSet));
    assert_eq!(kind("argoproj.io/v1alpha1", "Rollout"), Some(SizedKind::Rollout));
    assert_eq!(kind("apps/v1", "ReplicaSet"), None, "its template may change under the same name");
    assert_eq!(kind("example.com/v1", "Deployment"), None);
}

#[test]
fn what_the_template_has_not_is_not_given() {
    assert_eq!(Case::new((NONE, NONE), (NONE, NONE)).size(), "none", "BestEffort");
    let cpu_only = Resources { cpu_cores: Some(Cores(0.1)), memory_bytes: None };
    assert_eq!(Case::new((cpu_only, NONE), (amounts(0.75, 300), NONE)).size(), "750m/- -/-");
    let levers = Levers { replicas: true, cpu: false, memory: true };
    let case = Case { levers, ..Case::new((amounts(0.1, 128), NONE), (amounts(0.75, 300), NONE)) };
    assert_eq!(case.size(), "-/- 300Mi/-");
}

#[test]
fn equal_stays_equal_and_unequal_stays_unequal() {
    let own = (amounts(0.1, 128), amounts(0.1, 128));
    assert_eq!(Case::new(own, (amounts(0.75, 300), amounts(0.75, 300))).size(), "750m/750m 300Mi/300Mi");
    // Limits that stay (`limits: Unchanged`) cap the request, a step below.
    let own = (amounts(0.1, 128), amounts(0.5, 256));
    assert_eq!(Case::new(own, (amounts(0.5, 256), amounts(0.5, 256))).size(), "499m/500m 255Mi/256Mi");
    assert_eq!(Case::new(own, (amounts(0.75, 300), amounts(1.5, 600))).size(), "750m/1500m 300Mi/600Mi");
}

#[test]
fn limit_ranges_are_kept() {
    let case = Case::new((amounts(0.1, 128), NONE), (amounts(0.75, 300), NONE));
    let bounded = |bounds: Bounds| Case { bounds, ..Case::new(case.own, case.decided) }.size();
    assert_eq!(bounded(Bounds { default_limit: amounts(0.5, 1024), ..Bounds::default() }), "499m/500m 300Mi/1Gi");
    let equal = Bounds { default_limit: amounts(0.1, 128), ..Bounds::default() };
    assert_eq!(bounded(equal), "750m/750m 300Mi/300Mi", "the API server makes it Guaranteed");
    assert_eq!(bounded(Bounds { max: amounts(0.6, 256), ..Bounds::default() }), "600m/- 256Mi/-");
    assert_eq!(bounded(Bounds { min: amounts(1.0, 512), ..Bounds::default() }), "1/- 512Mi/-");
    let whole_pod = PerResource { cpu: true, memory: false };
    assert_eq!(bounded(Bounds { whole_pod, ..Bounds::default() }), "-/- 300Mi/-");
    let nothing_fits = Bounds { min: amounts(1.0, 1), max: amounts(0.5, 1024), ..Bounds::default() };
    assert_eq!(bounded(nothing_fits), "-/- 300Mi/-");
}

#[test]
fn a_ratio_of_limit_to_request_is_kept() {
    let ratio = PerResource { cpu: Some(2.0), memory: Some(2.0) };
    let bounds = Bounds { ratio, ..Bounds::default() };
    let own = (amounts(0.4, 200), amounts(0.8, 400));
    let case = Case { bounds, ..Case::new(own, (amounts(0.1, 100), amounts(0.8, 400))) };
    assert_eq!(case.size(), "400m/800m 200Mi/400Mi");
}

#[test]
fn a_quota_is_never_asked_for_more_than_the_template_would_unless_all_may_have_it() {
    let bounded = |bounds: Bounds, sharers: u32| {
        let own = (amounts(0.1, 128), amounts(0.2, 128));
        let case = Case::new(own, (amounts(0.75, 300), amounts(1.5, 300)));
        let row = Case { bounds, sharers, ..case }.row_with(|_| ());
        (words(row.as_ref()), row.unwrap().memory_for_other_templates)
    };
    let requests = Bounds { requests_left: amounts(5.0, 100_000), ..Bounds::default() };
    assert_eq!(bounded(requests, 10), ("100m/200m 300Mi/300Mi".into(), false), "500 millicores for each of ten");
    assert_eq!(bounded(requests, 5), ("750m/1500m 300Mi/300Mi".into(), false));
    let limits = Bounds { limits_left: amounts(100.0, 2_000), ..Bounds::default() };
    assert_eq!(bounded(limits, 10), ("750m/1500m 128Mi/128Mi".into(), false), "200 MiB for each of ten");
    // A smaller size is never a problem for a quota.
    let full = Bounds { requests_left: amounts(0.0, 0), ..Bounds::default() };
    let shrinks = Case { bounds: full, ..Case::new((amounts(1.0, 512), NONE), (amounts(0.5, 256), NONE)) };
    assert_eq!(shrinks.size(), "500m/- 256Mi/-");
}

#[test]
fn a_pod_fits_the_largest_node_where_its_template_does() {
    let bounds = Bounds { node: amounts(0.5, 4096), ..Bounds::default() };
    let case = Case { bounds, ..Case::new((amounts(0.1, 128), NONE), (amounts(0.75, 300), NONE)) };
    assert_eq!(case.size(), "500m/- 300Mi/-");
}

#[test]
fn a_new_template_keeps_its_cpu_and_gets_the_larger_memory() {
    let smaller = Case::new((amounts(0.1, 128), NONE), (amounts(0.75, 300), NONE));
    assert_eq!(words(smaller.row_with(|a| a.new_template = true).as_ref()), "-/- 300Mi/-");
    let larger = Case::new((amounts(0.1, 512), NONE), (amounts(0.75, 300), NONE));
    assert_eq!(words(larger.row_with(|a| a.new_template = true).as_ref()), "-/- 512Mi/-");
}

#[test]
fn nothing_becomes_smaller_than_it_is_while_that_is_held() {
    let case = Case::new((amounts(0.1, 128), NONE), (amounts(0.2, 512), NONE));
    let held = case.row_with(|_| ()).unwrap();
    let lower = Case::new(case.own, (amounts(0.05, 600), NONE));
    assert_eq!(words(lower.row_after(Some(&held), |_| ()).as_ref()), "200m/- 600Mi/-");
    assert_eq!(words(lower.row_with(|a| a.at_least_own = true).as_ref()), "100m/- 600Mi/-");
}

#[test]
fn containers_are_looked_at_together_only_by_quota_and_node() {
    let policy = policy(Levers::ALL);
    let container =
        |name: &str, cpu: f64| TemplateContainer { name: name.into(), requests: amounts(cpu, 128), limits: NONE };
    let template = [container("app", 0.5), container("proxy", 0.1), container("unknown", 0.2)];
    let decided = [("app", 1.0), ("proxy", 0.05)].map(|(name, cpu)| ContainerSize {
        name: name.into(),
        requests: amounts(cpu, 128),
        limits: NONE,
    });
    let cpu = |left: f64| {
        let bounds = Bounds { requests_left: amounts(left, 1 << 20), ..Bounds::default() };
        let row = new_pods(Asked {
            policy: &policy,
            generation: 1,
            decided: &decided,
            template: &template,
            template_hash: "h",
            bounds: &bounds,
            sharers: 1,
            new_template: false,
            at_least: None,
            at_least_own: false,
        });
        row.unwrap().containers.into_iter().map(|(name, c)| format!("{name} {}", c.cpu.unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(cpu(1.25), ["app 1", "proxy 50m"], "1 + 0.05 + 0.2 fits");
    assert_eq!(cpu(1.2), ["app 500m", "proxy 50m"], "what grows does not, what shrinks does");
}

/// Whether the API server takes a container of this size, as its `LimitRanger` looks at it.
fn admitted(size: Size, bounds: &Bounds, resource: &Resource) -> bool {
    let within = |amount: Amount| {
        (resource.least)(bounds.min).is_none_or(|min| amount >= min)
            && (resource.most)(bounds.max).is_none_or(|max| amount <= max)
    };
    let ratio = (resource.ratio)(bounds)
        .is_none_or(|ratio| size.limit.is_some_and(|limit| limit as f64 / size.request as f64 <= ratio + 1e-9));
    let ordered = size.limit.is_none_or(|limit| within(limit) && size.request <= limit);
    size.request > 0 && within(size.request) && ordered && ratio
}

fn size_in(row: &PodSize, resource: &Resource) -> Option<Size> {
    let (request, limit) = (resource.written)(row.containers.get("app")?);
    let amount = |text: &String| read(text.parse().unwrap(), resource).unwrap();
    Some(Size { request: amount(request?), limit: limit.map(amount) })
}

fn optional<T: std::fmt::Debug + Clone + 'static>(of: impl Strategy<Value = T> + 'static) -> BoxedStrategy<Option<T>> {
    prop_oneof![Just(None), of.prop_map(Some)].boxed()
}

prop_compose! {
    fn some_resources()(cpu in optional(0.001..8.0_f64), memory in optional(1..8192_u64)) -> Resources {
        Resources { cpu_cores: cpu.map(Cores), memory_bytes: memory.map(|m| Bytes(m * MIB)) }
    }
}

prop_compose! {
    fn some_bounds()(
        min in some_resources(), max in some_resources(), default_limit in some_resources(),
        cpu in optional(1.0..5.0_f64), memory in optional(1.0..5.0_f64),
        requests_left in some_resources(), limits_left in some_resources(), node in some_resources(),
    ) -> Bounds {
        let ratio = PerResource { cpu, memory };
        Bounds { min, max, default_limit, ratio, requests_left, limits_left, node, ..Bounds::default() }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// The invariant, as far as limit ranges, quotas and the class of the pod go.
    #[test]
    fn a_pod_that_would_be_created_is_created(
        requests in some_resources(), limits in some_resources(), equal in any::<bool>(),
        decided in some_resources(), decided_limits in some_resources(),
        bounds in some_bounds(), sharers in 1..20_u32, new_template in any::<bool>(), at_least_own in any::<bool>(),
    ) {
        let limits = if equal { requests } else { limits };
        let case = Case { bounds, sharers, ..Case::new((requests, limits), (decided, decided_limits)) };
        let row = case.row_with(|a| { a.new_template = new_template; a.at_least_own = at_least_own; });
        let template = TemplateContainer { name: "app".into(), requests, limits };
        for resource in [&CPU, &MEMORY] {
            let (Some(own), Some(row)) = (own(&template, &bounds, resource), row.as_ref()) else { continue };
            let Some(new) = size_in(row, resource) else { continue };
            prop_assert_eq!(own.limit.is_some(), new.limit.is_some());
            if !admitted(own, &bounds, resource) { continue }
            prop_assert!(admitted(new, &bounds, resource), "{:?} → {:?} in {:?}", own, new, bounds);
            prop_assert_eq!(own.equal(), new.equal(), "{:?} → {:?}", own, new);
            let share = |left: Resources| (resource.most)(left).map(|l| l / u64::from(sharers));
            prop_assert!(share(bounds.requests_left).is_none_or(|s| new.request <= s.max(own.request)));
            prop_assert!(share(bounds.limits_left).is_none_or(|s| new.limit <= Some(s).max(own.limit)));
            prop_assert!((resource.most)(bounds.node).is_none_or(|n| new.request <= n.max(own.request)));
        }
    }
}
