//! Realistic manifests, and what is made of them.

use std::path::Path;

use super::*;
use crate::policy::Policy;

fn files(texts: &[&str]) -> Vec<(String, String)> {
    texts.iter().enumerate().map(|(i, text)| (format!("{i}.yaml"), (*text).to_owned())).collect()
}

/// Everything that is printed for a text.
fn printed(texts: &[&str], item_seconds: Option<f64>) -> String {
    let outcome = import(&files(texts), item_seconds).unwrap();
    let left: String = outcome.left.iter().map(|left| format!("# {left}\n")).collect();
    format!("{}# ---- stderr ----\n{left}", outcome.policies)
}

/// The policies of what is printed: each must be one that this version accepts.
fn policies(yaml: &str) -> Vec<Policy> {
    let documents = validate::Document::all(yaml).unwrap();
    let compiled = documents.iter().map(|document| {
        let object: crate::api::ScalingPolicy = serde_json::from_value(document.value.clone()).unwrap();
        crate::policy::compile(&object).unwrap_or_else(|problems| panic!("{problems:?}\n{yaml}"))
    });
    compiled.collect()
}

#[test]
fn realistic_manifests_give_the_policies_on_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/import/golden");
    for (name, item_seconds) in [
        ("web", None),
        ("worker", Some(0.25)),
        ("sizes", None),
        ("old-hpa", None),
        ("metrics", None),
        ("both", None),
        ("argo-cd", None),
        ("flux", None),
        ("helm", None),
    ] {
        let text = std::fs::read_to_string(folder.join(format!("{name}.in.yaml"))).unwrap();
        let out = folder.join(format!("{name}.out.yaml"));
        let printed = printed(&[&text], item_seconds);
        policies(&printed);
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&out, &printed).unwrap();
        }
        let known = std::fs::read_to_string(&out).unwrap();
        assert_eq!(printed, known, "{name}: the import changed; BLESS=1 accepts it:\n{printed}");
    }
}

const HPA: &str = "
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: shop}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  maxReplicas: 12
";

#[test]
fn a_bare_hpa_is_carried_over_whole_with_what_the_api_server_fills_in() {
    let outcome = import(&files(&[HPA]), None).unwrap();
    assert_eq!(outcome.left, []);
    let policy = &policies(&outcome.policies)[0];
    assert_eq!((policy.replicas.min.0, policy.replicas.max.0), (1, 12));
    assert_eq!(policy.objective.utilization, 0.8);
    assert!(policy.levers.replicas && !policy.levers.cpu && !policy.levers.memory);
    let (up, down) = (policy.behavior.scale_up.clone().unwrap(), policy.behavior.scale_down.clone().unwrap());
    assert_eq!((up.rates.len(), up.stabilization.unwrap().0), (2, 0.0));
    assert_eq!((down.rates.len(), down.stabilization.unwrap().0), (1, 300.0));
}

#[test]
fn objects_of_one_target_make_one_policy_and_of_two_make_two() {
    let vpa = "
apiVersion: autoscaling.k8s.io/v1
kind: VerticalPodAutoscaler
metadata: {name: web-sizes, namespace: shop}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  updatePolicy: {updateMode: Initial}
  resourcePolicy:
    containerPolicies:
      - {containerName: '*', controlledResources: [memory], controlledValues: RequestsOnly, maxAllowed: {memory: 4Gi}}
";
    let one = import(&files(&[HPA, vpa]), None).unwrap();
    assert_eq!(one.left, []);
    let policies_of_one = policies(&one.policies);
    assert_eq!(policies_of_one.len(), 1);
    let levers = policies_of_one[0].levers;
    assert!(levers.replicas && !levers.cpu && levers.memory);
    assert_eq!(policies_of_one[0].resize.strategy, crate::policy::ResizeStrategy::Initial);
    let recreate = import(&files(&[&vpa.replace("Initial", "InPlaceOrRecreate")]), None).unwrap();
    assert_eq!(recreate.left, []);
    assert_eq!(policies(&recreate.policies)[0].resize.strategy, crate::policy::ResizeStrategy::InPlaceOrRecreate);
    let other = HPA.replace("name: web}", "name: api}");
    assert_eq!(policies(&import(&files(&[HPA, &other]), None).unwrap().policies).len(), 2);
    let twice = import(&files(&[HPA, &HPA.replace("name: web,", "name: web2,")]), None).unwrap();
    assert_eq!(twice.left.len(), 1);
    assert!(twice.left[0].to_string().contains("two autoscalers on one target fight"), "{}", twice.left[0]);
}

#[test]
fn what_is_left_has_its_line() {
    let odd = HPA.replace("maxReplicas: 12", "maxReplicas: 12\n  metrics:\n    - {type: Resource, resource: {name: memory, target: {type: Utilization, averageUtilization: 60}}}");
    let outcome = import(&files(&[&odd]), None).unwrap();
    let said: Vec<String> = outcome.left.iter().map(ToString::to_string).collect();
    assert!(said[0].starts_with("0.yaml:9: HorizontalPodAutoscaler web: spec.metrics[0] scales on memory"), "{said:?}");
    assert!(said[1].contains("utilization cpu 70"), "{said:?}");
}

#[test]
fn an_hpa_that_keda_made_is_not_imported_twice() {
    let owned =
        HPA.replace("namespace: shop}", "namespace: shop, ownerReferences: [{kind: ScaledObject, name: web-so}]}");
    let outcome = import(&files(&[&owned]), None).unwrap();
    assert_eq!(outcome.policies, "");
    assert!(outcome.left[0].to_string().contains("was made by ScaledObject web-so"));
}

#[test]
fn what_cannot_be_read_is_exit_2() {
    let said = |text: &str| match import(&files(&[text]), None) {
        Err(Failure::Input(said)) => said,
        other => panic!("{other:?}"),
    };
    assert!(said("a: [").starts_with("0.yaml:"), "{}", said("a: ["));
    assert!(said("kind: Deployment\napiVersion: apps/v1\n").contains("holds no HorizontalPodAutoscaler"));
}

#[test]
fn a_list_from_the_cluster_is_as_good_as_documents() {
    let indented = HPA.trim().replace('\n', "\n    ");
    let list = format!("apiVersion: v1\nkind: List\nitems:\n  - {indented}\n");
    let (one, other) = (import(&files(&[&list]), None).unwrap(), import(&files(&[HPA]), None).unwrap());
    assert_eq!(one.policies, other.policies);
}

#[test]
fn no_field_is_dropped_in_silence() {
    let mut text = HPA.to_owned();
    text.push_str("  metricz: []\n  behavior: {scaleDown: {stabilizationWindowSeconds: 60, speed: 3}}\n");
    let said: Vec<String> = import(&files(&[&text]), None).unwrap().left.iter().map(ToString::to_string).collect();
    assert!(said.iter().any(|s| s.contains("spec.metricz has no counterpart")), "{said:?}");
    assert!(said.iter().any(|s| s.contains("spec.behavior.scaleDown.speed has no counterpart")), "{said:?}");
}

#[test]
fn text_for_git_is_for_what_is_kept_there_alone() {
    assert!(!import(&files(&[HPA]), None).unwrap().policies.contains("Git"));
    let mark = "labels: {kustomize.toolkit.fluxcd.io/name: apps}";
    let kept = HPA.replace("namespace: shop}", &format!("namespace: shop, {mark}}}"));
    // The workload's own manifest says that nobody keeps it.
    let free = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\n";
    let both = import(&files(&[&kept, free]), None).unwrap().policies;
    assert!(both.contains("IfNotPresent") && !both.contains("/spec/replicas"), "{both}");
    let owned = free.replace("namespace: shop}", "namespace: shop, annotations: {meta.helm.sh/release-name: web}}");
    let two = import(&files(&[&kept, &owned]), None).unwrap().policies;
    assert!(two.contains("IfNotPresent") && two.contains("lookup \"apps/v1\" \"Deployment\""), "{two}");
    policies(&two);
}

const SCALED: &str = "
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: worker, namespace: shop}
spec:
  scaleTargetRef: {name: worker}
  maxReplicaCount: 12
  triggers:
";

#[test]
fn what_wakes_a_workload_in_keda_wakes_it_here() {
    let waiting = "    - {type: prometheus, metadata: {query: sum(waiting), threshold: '5'}}\n";
    let outcome = import(&files(&[&format!("{SCALED}{waiting}")]), None).unwrap();
    let policy = &policies(&outcome.policies)[0];
    assert!(policy.may_sleep(), "{}", outcome.policies);

    let kafka = "    - {type: kafka, metadata: {topic: orders}}\n";
    let outcome = import(&files(&[&format!("{SCALED}{kafka}")]), None).unwrap();
    assert!(!policies(&outcome.policies)[0].may_sleep(), "{}", outcome.policies);
    let told: Vec<String> = outcome.left.iter().map(ToString::to_string).collect();
    assert!(told.iter().any(|line| line.contains("no trigger that wakes the workload was carried over")), "{told:?}");
}
