//! Plays a case: the workload without a row, then with one.

use std::collections::BTreeMap;

use arbiter::{
    actuate::{Asked, new_pods, sized_workload},
    api::{ADMISSION, PodSize, PodSizesSpec, ScalingPolicy, SizedWorkload},
    decide::{ContainerSize, Resources},
    observe::kubernetes::{
        Bounds, TemplateContainer,
        objects::{LimitRangeObject, QuotaObject},
    },
    policy::{Policy, compile},
    units::Quantity,
};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::cases::{Case, Row};
use crate::support::{ClusterWide, LABEL, Lab, await_some};

/// Name of the workload.
const WEB: &str = "web";
const SIZES: &str = "autoscaling.arbiter.io/v1alpha1";

/// The policy that sizes new pods, in the namespaces of one test alone.
pub(crate) struct Sizing {
    _installed: ClusterWide,
    probe: Lab,
    tables: Mutex<u64>,
}

impl Sizing {
    /// Installs it for labs of a group and waits until it takes effect.
    pub(crate) async fn install(group: &str) -> Self {
        let (_, text) = ADMISSION.iter().find(|(name, _)| *name == "pod-sizes").expect("the policy");
        let mut objects: Vec<Value> = serde_saphyr::from_multiple(text).expect("YAML");
        let name = format!("{group}-{}", std::process::id());
        for object in &mut objects {
            object["metadata"]["name"] = name.clone().into();
        }
        objects[0]["spec"]["matchConstraints"]["namespaceSelector"] = json!({"matchLabels": {LABEL: group}});
        objects[1]["spec"]["policyName"] = name.into();
        let installed = ClusterWide::apply(&objects).await;
        let probe = Lab::new(&format!("{group}-probe"), group).await;
        probe.table(&BTreeMap::new()).await;
        let sizing = Self { _installed: installed, probe, tables: Mutex::new(0) };
        sizing.settled().await;
        sizing
    }

    /// Waits until the API server has seen every table that was written before: it reads them through one watch, in order.
    pub(crate) async fn settled(&self) {
        let mut number = self.tables.lock().await;
        *number += 1;
        let hash = format!("h{number}");
        let row = PodSizesSpec { stateful_sets: format!("\nprobe @1 {hash} - app=2,,,\n"), ..PodSizesSpec::default() };
        let path = self.probe.path(SIZES, "podsizes/arbiter");
        self.probe.patch(&path, &json!({"spec": row})).await.object("a row");
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "probe", "labels": {"controller-revision-hash": hash}, "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "probe", "controller": true,
                "uid": "11111111-2222-3333-4444-555555555555"}]},
            "spec": {"containers": [{"name": "app", "image": "probe", "resources": {"requests": {"cpu": "1"}}}]},
        });
        await_some("the table in effect", 60, || async {
            let path = format!("{}?dryRun=All", self.probe.path("v1", "pods"));
            let created = self.probe.send("POST", &path, &pod).await.object("a pod");
            let cpu = &created["spec"]["containers"][0]["resources"]["requests"]["cpu"];
            if cpu == "2" { Ok(()) } else { Err(cpu.to_string()) }
        })
        .await;
    }
}

/// `cpu request/limit memory request/limit` of one container.
fn amounts(text: &str) -> (Value, Value) {
    let (mut requests, mut limits) = (json!({}), json!({}));
    for (name, pair) in ["cpu", "memory"].into_iter().zip(text.split_whitespace()) {
        let (request, limit) = pair.split_once('/').expect("request/limit");
        for (list, amount) in [(&mut requests, request), (&mut limits, limit)] {
            if amount != "-" {
                list[name] = amount.into();
            }
        }
    }
    (requests, limits)
}

/// Containers with their amounts; a size without a name is that of `app`.
fn containers(text: &str) -> Vec<(String, (Value, Value))> {
    let parts = text.split(" | ").map(|part| match part.split_whitespace().collect::<Vec<_>>()[..] {
        [name, cpu, memory] => (name.to_owned(), amounts(&format!("{cpu} {memory}"))),
        _ => ("app".to_owned(), amounts(part)),
    });
    parts.collect()
}

/// The other way round.
fn written(pod: &Value) -> String {
    let list = pod["spec"]["containers"].as_array().expect("containers");
    let one = |c: &Value| {
        let text = |list: &str, name: &str| c["resources"][list][name].as_str().unwrap_or("-").to_owned();
        let pair = |name: &str| format!("{}/{}", text("requests", name), text("limits", name));
        format!("{} {} {}", c["name"].as_str().unwrap_or_default(), pair("cpu"), pair("memory"))
    };
    list.iter().map(one).collect::<Vec<_>>().join(" | ")
}

/// With the name of the only container.
fn named(text: &str) -> String {
    if text.split(" | ").next().is_some_and(|part| part.split_whitespace().count() == 3) {
        text.to_owned()
    } else {
        format!("app {text}")
    }
}

fn workload(case: &Case) -> Value {
    let containers: Vec<Value> = containers(case.template)
        .into_iter()
        .map(|(name, (requests, limits))| json!({"name": name, "image": "emulated", "resources": {"requests": requests, "limits": limits}}))
        .collect();
    let mut pod = json!({
        "nodeSelector": {"type": "kwok"}, "tolerations": [{"operator": "Exists"}], "terminationGracePeriodSeconds": 0, "containers": containers,
    });
    if let Some(resources) = &case.pod_level {
        pod["resources"] = resources.clone();
    }
    let mut spec = json!({
        "replicas": 0, "selector": {"matchLabels": {"app": WEB}}, "template": {"metadata": {"labels": {"app": WEB}}, "spec": pod},
    });
    if case.kind == "StatefulSet" {
        spec["podManagementPolicy"] = "Parallel".into();
        spec["serviceName"] = WEB.into();
    }
    json!({"metadata": {"name": WEB}, "spec": spec})
}

fn plural(case: &Case) -> &'static str {
    if case.kind == "StatefulSet" { "statefulsets" } else { "deployments" }
}

/// Plays it; says what is wrong.
pub(super) async fn play(sizing: &Sizing, lab: &Lab, case: &Case) -> Result<(), String> {
    if let Some(items) = &case.limits {
        let object = json!({"metadata": {"name": "range"}, "spec": {"limits": items}});
        lab.create("v1", "LimitRange", "limitranges", object).await.object("a limit range");
    }
    if let Some(hard) = &case.quota {
        let object = json!({"metadata": {"name": "quota"}, "spec": {"hard": hard}});
        lab.create("v1", "ResourceQuota", "resourcequotas", object).await.object("a quota");
        quota_free(lab).await;
    }
    lab.create("apps/v1", case.kind, plural(case), workload(case)).await.object("a workload");
    let hash = template_hash(lab, case).await;

    let alone = pods(lab, case, case.replicas).await?;
    let expected = named(case.alone.unwrap_or(case.template));
    check("without a row", &alone, &expected, case.class, false)?;
    pods(lab, case, 0).await?;
    if case.quota.is_some() {
        quota_free(lab).await;
    }

    let row = row(lab, case, &hash).await;
    let changes = row.is_some() && named(case.expect) != expected;
    if let Some(row) = row {
        lab.table(&BTreeMap::from([row])).await;
        sizing.settled().await;
    }
    let sized = pods(lab, case, case.replicas).await?;
    check("with a row", &sized, &named(case.expect), case.class, changes)
}

fn check(when: &str, pods: &[Value], expected: &str, class: &str, sized: bool) -> Result<(), String> {
    for pod in pods {
        if written(pod) != expected {
            return Err(format!("{when}: {}, expected {expected}", written(pod)));
        }
        if pod["status"]["qosClass"] != class {
            return Err(format!("{when}: class {}, expected {class}", pod["status"]["qosClass"]));
        }
        let by = &pod["metadata"]["annotations"]["autoscaling.arbiter.io/sized-by"];
        if sized && !by.as_str().is_some_and(|by| by.starts_with("web@7 ")) {
            return Err(format!("{when}: annotated {by}"));
        }
    }
    Ok(())
}

/// Scales, and gives the pods once that many are there; says why they are not.
async fn pods(lab: &Lab, case: &Case, replicas: u32) -> Result<Vec<Value>, String> {
    let path = lab.path("apps/v1", &format!("{}/{WEB}", plural(case)));
    lab.patch(&path, &json!({"spec": {"replicas": replicas}})).await.object("scaling");
    let mut last = String::new();
    // A refused pod is tried again with growing pauses: within this time several times.
    for _ in 0..150 {
        let list = lab.get(&format!("{}?labelSelector=app%3D{WEB}", lab.path("v1", "pods"))).await.object("pods");
        let items = list["items"].as_array().cloned().unwrap_or_default();
        if items.len() == replicas as usize {
            return Ok(items);
        }
        last = refusals(lab).await;
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    Err(format!("not {replicas} pods within 30 s; {last}"))
}

/// What the controllers say of pods that they cannot create.
async fn refusals(lab: &Lab) -> String {
    let list = lab.get(&lab.path("v1", "events")).await.body;
    let events = list["items"].as_array().into_iter().flatten().filter(|e| e["reason"] == "FailedCreate");
    events.filter_map(|e| e["message"].as_str()).next_back().unwrap_or("no refusal is known").to_owned()
}

/// Waits until the quota's use is counted and nothing uses it.
async fn quota_free(lab: &Lab) {
    await_some("the quota counted", 60, || async {
        let quota = lab.get(&lab.path("v1", "resourcequotas/quota")).await.body;
        let used = quota["status"]["used"].as_object().cloned().unwrap_or_default();
        if !used.is_empty() && used.values().all(|u| u == "0") { Ok(()) } else { Err(quota["status"].to_string()) }
    })
    .await;
}

async fn template_hash(lab: &Lab, case: &Case) -> String {
    await_some("the hash of the template", 60, || async {
        let found = if case.kind == "StatefulSet" {
            lab.get(&lab.path("apps/v1", &format!("statefulsets/{WEB}"))).await.body["status"]["updateRevision"].clone()
        } else {
            lab.get(&lab.path("apps/v1", "replicasets")).await.body["items"][0]["metadata"]["labels"]["pod-template-hash"].clone()
        };
        found.as_str().map(str::to_owned).ok_or("none".into())
    })
    .await
}

fn resources(list: &Value) -> Resources {
    let quantity = |name: &str| list[name].as_str().and_then(|t| t.parse::<Quantity>().ok());
    Resources { cpu_cores: quantity("cpu").map(Quantity::cores), memory_bytes: quantity("memory").map(Quantity::bytes) }
}

/// The row of a case; none: it has nothing to say.
async fn row(lab: &Lab, case: &Case, hash: &str) -> Option<(SizedWorkload, PodSize)> {
    let hash = if case.other_template { "another" } else { hash };
    let policy = policy(case);
    let workload = sized_workload(&policy.target).expect("a kind that has rows");
    let decided = match &case.row {
        Row::Given(containers) => {
            let line = format!("{WEB} @7 {hash} - {containers}");
            let text = format!("\n{}\n", line.trim_end());
            let written = PodSizesSpec { deployments: text, ..PodSizesSpec::default() };
            return Some((workload, written.rows().into_values().next().expect("a row")));
        }
        Row::Decided(decided) => containers(decided),
    };
    let bounds = bounds(lab).await;
    let template: Vec<TemplateContainer> = containers(case.template)
        .into_iter()
        .map(|(name, (requests, limits))| {
            let (requests, limits) = (resources(&requests), resources(&limits));
            let requests = Resources {
                cpu_cores: requests.cpu_cores.or(limits.cpu_cores),
                memory_bytes: requests.memory_bytes.or(limits.memory_bytes),
            };
            TemplateContainer { name, requests, limits }
        })
        .collect();
    let decided: Vec<ContainerSize> = decided
        .into_iter()
        .map(|(name, (requests, limits))| ContainerSize {
            name,
            requests: resources(&requests),
            limits: resources(&limits),
        })
        .collect();
    let size: Option<PodSize> = new_pods(Asked {
        policy: &policy,
        generation: 7,
        decided: &decided,
        template: &template,
        template_hash: hash,
        bounds: &bounds,
        sharers: case.replicas,
        new_template: false,
        at_least: None,
        at_least_own: false,
    });
    size.map(|size| (workload, size))
}

fn policy(case: &Case) -> Policy {
    let spec = json!({"targetRef": {"apiVersion": "apps/v1", "kind": case.kind, "name": WEB}, "mode": "Auto", "replicas": {"min": 1, "max": case.replicas}});
    let object = json!({"apiVersion": SIZES, "kind": "ScalingPolicy", "metadata": {"name": WEB, "namespace": "lab"}, "spec": spec});
    let object: ScalingPolicy = serde_json::from_value(object).expect("a policy");
    compile(&object).expect("a policy")
}

/// What the namespace asks of new pods, as arbiter reads it.
async fn bounds(lab: &Lab) -> Bounds {
    let list =
        |plural: &'static str| async move { lab.get(&lab.path("v1", plural)).await.object(plural)["items"].clone() };
    let ranges: Vec<LimitRangeObject> = serde_json::from_value(list("limitranges").await).expect("limit ranges");
    let quotas: Vec<QuotaObject> = serde_json::from_value(list("resourcequotas").await).expect("quotas");
    let all = ranges.iter().map(LimitRangeObject::bounds).chain(quotas.iter().map(QuotaObject::bounds));
    all.fold(Bounds::default(), Bounds::and)
}
