//! One history: a namespace with a workload, perhaps an autoscaler that was there first, a policy, and what people do with
//! them in a minute. What comes of it must be what comes of it without faults.

use std::{collections::BTreeMap, time::Duration};

use arbiter::takeover::{ANNOTATION, Kind as RivalKind, Rival};
use jiff::Timestamp;
use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    plan::mix,
    record::{Kind, Versions},
};
use crate::support::{CONTAINER, WEB, Workload, template};

/// Requests per second that need more than the most pods that a policy allows, and hardly any.
const BUSY: f64 = 100.0;
const CALM: f64 = 1.0;
/// Largest count of the autoscaler that was there first: less than arbiter needs, so that giving back brings it inside.
pub(super) const HPA_MOST: u64 = 1;
/// Most pods before and after the policy is edited.
const MOST: [u32; 2] = [3, 4];
/// CPU of each pod before and after the policy is edited.
const CPU: [&str; 2] = ["160m", "180m"];

/// When a person edits the policy at the earliest, after the start.
pub(super) const EDIT: Duration = Duration::from_secs(25);
/// How long a person waits for what should be there by then; on a busy machine it may not be.
pub(super) const PATIENCE: Duration = Duration::from_secs(40);
/// From the edit to the loss of the signal, and how long that lasts.
pub(super) const BEFORE_DARK: Duration = Duration::from_secs(4);
pub(super) const DARK: Duration = Duration::from_secs(24);
/// From the last thing that a person does to the end of all faults.
pub(super) const FAULTY_END: Duration = Duration::from_secs(16);
/// By how many milliseconds the last thing may come later: not all histories at once, so that a process can be killed at
/// each of the writes that follow.
const LATER: u64 = 10_000;

/// What happens in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Variant {
    /// Taken over from an HPA, grown, edited; it stays.
    Owned,
    /// The same; the mode becomes Recommend.
    GivenBack,
    /// The same; the policy is deleted.
    Deleted,
    /// Pods grow in place.
    Sized,
    /// The same; the mode becomes Recommend.
    SizedBack,
    /// Grown, then the load goes.
    Calmed,
    /// Pods that cannot grow in place are evicted.
    Evicted,
}

impl Variant {
    /// All of them.
    pub(super) const ALL: [Self; 7] =
        [Self::Owned, Self::GivenBack, Self::Deleted, Self::Sized, Self::SizedBack, Self::Calmed, Self::Evicted];

    /// Whether an HPA was there first.
    pub(super) const fn has_rival(self) -> bool {
        matches!(self, Self::Owned | Self::GivenBack | Self::Deleted)
    }

    /// Whether the last step lets the workload shrink.
    const fn may_shrink(self) -> bool {
        matches!(self, Self::GivenBack | Self::Deleted | Self::Calmed)
    }

    const fn sizes(self) -> bool {
        matches!(self, Self::Sized | Self::SizedBack | Self::Evicted)
    }

    /// The policy, before and after its edit.
    fn spec(self, namespace: &str, edited: bool) -> Value {
        let which = usize::from(edited);
        let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": WEB});
        if self.sizes() {
            let cpu = json!({"min": CPU[which], "max": "400m"});
            let mut spec = json!({
                "targetRef": target, "mode": "Auto", "levers": ["Replicas", "Cpu"], "replicas": {"min": 2, "max": 2},
                "containers": [{"name": CONTAINER, "cpu": cpu}],
            });
            if self == Self::Evicted {
                spec["resize"] = json!({"strategy": "InPlaceOrRecreate", "maxUnavailable": 1});
            }
            return spec;
        }
        let query = format!("sum(app_offered_rate{{namespace=\"{namespace}\",app=\"{WEB}\"}})");
        json!({
            "targetRef": target, "mode": "Auto", "levers": ["Replicas"], "replicas": {"min": 1, "max": MOST[which]},
            "signals": [{"name": "offered", "role": "Demand", "prometheus": {"query": query}}],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}},
        })
    }

    /// Requests per second at the start.
    pub(super) const fn load(self) -> f64 {
        if self.sizes() { CALM } else { BUSY }
    }

    fn workload(self, namespace: &str) -> Value {
        let replicas = if self.sizes() { 2 } else { 1 };
        let workload = Workload { replicas, cpu: "100m", memory: "64Mi", emulated: false, ..Workload::default() };
        let mut template = template(WEB, namespace, workload);
        if self == Self::Evicted {
            template["metadata"]["annotations"] = json!({"sim/resize": "Infeasible"});
        }
        json!({
            "metadata": {"name": WEB},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": WEB}}, "template": template},
        })
    }

    /// Whether it ends under full load.
    const fn full(self) -> bool {
        matches!(self, Self::Owned)
    }

    /// Whether the workload is its owners' again in the end: how far it had come by then is chance.
    const fn given_back(self) -> bool {
        matches!(self, Self::GivenBack | Self::Deleted | Self::SizedBack)
    }

    /// Whether the sizes of single pods are left out of the comparison of two runs: where evictions come to an end, and how
    /// many pods had grown before the workload was given back, depends on when.
    const fn loose(self) -> bool {
        matches!(self, Self::Evicted | Self::SizedBack)
    }
}

impl History {
    /// How long after the signal is back the last step comes.
    pub(super) fn later(&self) -> Duration {
        Duration::from_millis(mix(self.seed, LATER) % LATER)
    }

    /// Whether arbiter has done all that there was to do, before or after the policy was edited.
    pub(super) fn grown(&self, versions: &Versions, edited: bool) -> bool {
        let which = usize::from(edited);
        if self.variant == Variant::Evicted {
            return true;
        }
        if self.variant.sizes() {
            let large = format!("\"{}\"", CPU[which]);
            let pods = versions.now(Kind::Pod);
            return !versions.now(Kind::Table).is_empty() && pods.values().all(|pod| cpu(pod) == large);
        }
        let deployment = versions.now(Kind::Deployment).into_values().next();
        deployment.is_some_and(|object| object["spec"]["replicas"] == MOST[which])
    }
}

/// Whether the controllers have made the first pods of a history, and these are ready.
pub(super) fn made(versions: &Versions) -> bool {
    let deployment = versions.now(Kind::Deployment).into_values().next();
    deployment.is_some_and(|object| object["status"]["readyReplicas"] == object["spec"]["replicas"])
}

/// One history.
#[derive(Clone, Debug)]
pub(super) struct History {
    /// Its namespace.
    pub(super) namespace: String,
    /// What happens.
    pub(super) variant: Variant,
    /// Seed of its faults.
    pub(super) seed: u64,
}

/// A person's hands.
#[derive(Clone)]
pub(super) struct Hands {
    client: Client,
    namespace: String,
}

impl Hands {
    /// Those of the admin, in a namespace.
    pub(super) fn new(client: &Client, namespace: &str) -> Self {
        Self { client: client.clone(), namespace: namespace.to_owned() }
    }

    fn api(&self, api_version: &str, kind: &str, plural: &str) -> Api<DynamicObject> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        if kind == "Namespace" {
            return Api::all_with(self.client.clone(), &resource);
        }
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    async fn create(&self, api_version: &str, kind: &str, plural: &str, mut object: Value) {
        object["apiVersion"] = api_version.into();
        object["kind"] = kind.into();
        let object: DynamicObject = serde_json::from_value(object).expect("an object");
        let made = self.api(api_version, kind, plural).create(&PostParams::default(), &object).await;
        made.unwrap_or_else(|e| panic!("creating {kind} in {}: {e}", self.namespace));
    }

    fn policies(&self) -> Api<DynamicObject> {
        self.api("autoscaling.arbiter.io/v1alpha1", "ScalingPolicy", "scalingpolicies")
    }

    /// Makes the history's objects.
    pub(super) async fn set_up(&self, variant: Variant) {
        self.create("v1", "Namespace", "namespaces", json!({"metadata": {"name": self.namespace}})).await;
        self.create("apps/v1", "Deployment", "deployments", variant.workload(&self.namespace)).await;
        if variant.has_rival() {
            self.create("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", hpa()).await;
        }
        let policy = json!({"metadata": {"name": WEB}, "spec": variant.spec(&self.namespace, false)});
        self.create("autoscaling.arbiter.io/v1alpha1", "ScalingPolicy", "scalingpolicies", policy).await;
    }

    /// The edit in the middle.
    pub(super) async fn edit(&self, variant: Variant) {
        self.patch(&json!({"spec": variant.spec(&self.namespace, true)})).await;
    }

    /// Makes the policy one that writes again what somebody else changes: two pods, whatever the load.
    pub(super) async fn reassert(&self) {
        self.patch(&json!({"spec": {"onRival": "Reassert", "replicas": {"min": 2, "max": 2}}})).await;
    }

    async fn patch(&self, patch: &Value) {
        self.policies().patch(WEB, &PatchParams::default(), &Patch::Merge(patch)).await.expect("editing the policy");
    }

    /// The last step; answers with the rate of requests from then on.
    pub(super) async fn last(&self, variant: Variant) -> f64 {
        match variant {
            Variant::GivenBack | Variant::SizedBack => self.patch(&json!({"spec": {"mode": "Recommend"}})).await,
            Variant::Deleted => {
                let deleted = self.policies().delete(WEB, &DeleteParams::default()).await;
                drop(deleted.expect("deleting the policy"));
            }
            Variant::Calmed => return CALM,
            Variant::Owned | Variant::Sized | Variant::Evicted => {}
        }
        variant.load()
    }

    /// Sets the count, as somebody who does not know of arbiter would.
    pub(super) async fn set_count(&self, replicas: u32) -> Result<(), kube::Error> {
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        self.api("apps/v1", "Deployment", "deployments").patch(WEB, &PatchParams::default(), &patch).await.map(drop)
    }

    /// Takes away what it made; pods go by themselves. Nobody is left to answer the policy's finalizer. The namespace stays,
    /// empty: taking one away costs the API server some hundred requests, a list and a deletion for each kind.
    pub(super) async fn clear(&self) {
        let unbound = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        drop(self.policies().patch(WEB, &PatchParams::default(), &unbound).await);
        let rivals = self.api("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers");
        for api in [self.policies(), rivals, self.api("apps/v1", "Deployment", "deployments")] {
            drop(api.delete(WEB, &DeleteParams::background()).await);
        }
    }
}

fn hpa() -> Value {
    json!({
        "metadata": {"name": WEB},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": WEB},
            "minReplicas": 1, "maxReplicas": HPA_MOST,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 120}},
        },
    })
}

/// An autoscaler as the protocol sees it.
pub(super) fn rival(object: &Value) -> Rival {
    Rival { kind: RivalKind::Hpa, object: object.clone(), quiet: true }
}

/// Type, status and reason of each condition.
pub(super) fn conditions(policy: &Value) -> BTreeMap<String, String> {
    let all = policy["status"]["conditions"].as_array().into_iter().flatten();
    let text = |condition: &Value, key: &str| condition[key].as_str().unwrap_or_default().to_owned();
    all.map(|c| (text(c, "type"), format!("{}/{}", text(c, "status"), text(c, "reason")))).collect()
}

/// CPU that a pod's container requests, as JSON.
fn cpu(pod: &Value) -> String {
    pod["spec"]["containers"][0]["resources"]["requests"]["cpu"].to_string()
}

/// What a history came to, without names and times.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Summary {
    count: Option<u64>,
    sizes: Vec<String>,
    rival: Value,
    policy: Value,
    tables: usize,
}

impl Summary {
    /// Of what is there now.
    pub(super) fn of(variant: Variant, versions: &Versions) -> Self {
        let deployment = versions.now(Kind::Deployment).into_values().next();
        let pods = versions.now(Kind::Pod);
        let alive = pods.values().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        let mut sizes: Vec<String> = if variant.loose() { Vec::new() } else { alive.map(|pod| cpu(pod)).collect() };
        sizes.sort();
        let rival = versions.now(Kind::Hpa).into_values().next().map_or(
            Value::Null,
            |hpa| json!({"spec": hpa["spec"], "displaced": hpa["metadata"]["annotations"][ANNOTATION].is_string()}),
        );
        let policy = versions.now(Kind::Policy).into_values().next().map_or(Value::Null, |policy| {
            let mut conditions = conditions(policy);
            // What binds depends on what was measured of a load that hardly is one.
            if !variant.full() {
                conditions.remove("Limited");
            }
            json!({
                "conditions": conditions, "finalizers": policy["metadata"]["finalizers"],
                "seen": policy["status"]["observedGeneration"] == policy["metadata"]["generation"],
                "displaced": policy["status"]["displaced"], "current": policy["status"]["replicas"]["current"],
                "desired": if variant.given_back() { &Value::Null } else { &policy["status"]["replicas"]["desired"] },
            })
        });
        let count = deployment.and_then(|object| object["spec"]["replicas"].as_u64());
        let tables = if variant == Variant::Evicted { 0 } else { versions.now(Kind::Table).len() };
        Self { count, sizes, rival, policy, tables }
    }

    /// In what it differs from what is expected.
    pub(super) fn difference(&self, expected: &Self) -> String {
        let fields = |summary: &Self| {
            let mut all = BTreeMap::from([
                ("count".to_owned(), json!(summary.count)),
                ("sizes".to_owned(), json!(summary.sizes)),
                ("rival".to_owned(), summary.rival.clone()),
                ("tables".to_owned(), json!(summary.tables)),
            ]);
            let policy = summary.policy.as_object().cloned().unwrap_or_default();
            all.extend(policy.into_iter().map(|(key, value)| (format!("policy {key}"), value)));
            all
        };
        let (now, expected) = (fields(self), fields(expected));
        let keys: std::collections::BTreeSet<&String> = now.keys().chain(expected.keys()).collect();
        let differ = keys.into_iter().filter(|key| now.get(*key) != expected.get(*key));
        let text = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), Value::to_string);
        differ.map(|key| format!("{key} is {} and not {}; ", text(now.get(key)), text(expected.get(key)))).collect()
    }

    /// What of it a person would look for first; an undisturbed run must show it.
    pub(super) fn reached(&self, variant: Variant) -> bool {
        let condition = |kind: &str| self.policy["conditions"][kind].as_str().unwrap_or_default().to_owned();
        let in_control = condition("InControl").starts_with("True");
        let (most, displaced) = (Some(u64::from(MOST[1])), self.rival["displaced"] == true);
        let large = self.sizes == [format!("\"{}\"", CPU[1]), format!("\"{}\"", CPU[1])];
        let fresh = condition("SignalsFresh").starts_with("True");
        // What is told last: a status that has changed often is written every two minutes, and may say for so long what was.
        let limited = condition("Limited").starts_with("True");
        let told = self.policy["displaced"].is_null() != displaced
            && (variant.given_back() || self.policy["desired"].as_u64() == self.count);
        let seen = self.policy["seen"] == true && self.policy["current"].as_u64() == self.count && fresh && told;
        let recommends = condition("InControl") == "Unknown/RecommendOnly";
        let free = self.policy["finalizers"].is_null();
        // The ReplicaSet controller may be behind: what it has still to make or take away is not what it comes to.
        if !variant.loose() && Some(self.sizes.len() as u64) != self.count {
            return false;
        }
        match variant {
            Variant::Owned => self.count == most && displaced && in_control && seen && limited,
            Variant::GivenBack => self.count == Some(HPA_MOST) && !displaced && recommends && seen && free,
            Variant::Deleted => self.count == Some(HPA_MOST) && !displaced && self.policy.is_null(),
            Variant::Sized => large && self.tables == 1 && in_control && seen,
            Variant::SizedBack => self.count == Some(2) && self.tables == 0 && recommends && seen,
            Variant::Calmed => self.count == Some(1) && in_control && seen,
            Variant::Evicted => self.count == Some(2) && in_control && seen,
        }
    }
}

/// What was done to a history when.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Steps {
    /// Newest revision when the last step began; none: it lets nothing shrink either.
    pub(super) may_shrink_from: Option<u64>,
    /// From when to when its signal was lost; none: it has none.
    pub(super) dark: Option<[Timestamp; 2]>,
}

impl Steps {
    /// Of a history whose signal was lost for a while, and whose last step begins at a revision.
    pub(super) fn new(variant: Variant, dark: [Timestamp; 2], last: u64) -> Self {
        let may_shrink_from = variant.may_shrink().then_some(last);
        Self { may_shrink_from, dark: (!variant.sizes()).then_some(dark) }
    }
}

/// Waits until so long after a start.
pub(super) async fn until(start: Instant, after: Duration) {
    tokio::time::sleep_until(start + after).await;
}
