//! The cases: what a namespace and a template are like, what was decided, and with which size the pod is created.
//!
//! A size is written `cpu request/limit memory request/limit`, `-` for none; containers are separated by ` | `.

use serde_json::{Value, json};

/// Where the row of a case comes from.
#[derive(Clone, Debug)]
pub(super) enum Row {
    /// Computed from the decided size of each container.
    Decided(&'static str),
    /// Written by hand: the containers of a line of the table.
    Given(&'static str),
}

/// A case.
#[derive(Clone, Debug)]
pub(super) struct Case {
    /// Its name, part of its namespace's.
    pub(super) name: &'static str,
    /// Kind of the workload.
    pub(super) kind: &'static str,
    /// Containers of the template, or of the only one `app`.
    pub(super) template: &'static str,
    /// Resources of the pod as a whole.
    pub(super) pod_level: Option<Value>,
    /// Limit range items of the namespace.
    pub(super) limits: Option<Value>,
    /// Hard limits of a quota.
    pub(super) quota: Option<Value>,
    /// The row.
    pub(super) row: Row,
    /// Whether the row is of another template, and then whether memory may be raised.
    pub(super) other_template: bool,
    /// Replicas that are created.
    pub(super) replicas: u32,
    /// The pod without a row, where that is not simply its template.
    pub(super) alone: Option<&'static str>,
    /// The pod with the row.
    pub(super) expect: &'static str,
    /// Its class, with and without.
    pub(super) class: &'static str,
}

impl Case {
    /// One container, in a namespace that bounds nothing.
    pub(super) fn new(name: &'static str, template: &'static str, decided: &'static str) -> Self {
        Self {
            name,
            kind: "Deployment",
            template,
            pod_level: None,
            limits: None,
            quota: None,
            row: Row::Decided(decided),
            other_template: false,
            replicas: 1,
            alone: None,
            expect: decided,
            class: "Burstable",
        }
    }

    pub(super) fn expect(self, expect: &'static str) -> Self {
        Self { expect, ..self }
    }

    pub(super) fn alone(self, alone: &'static str) -> Self {
        Self { alone: Some(alone), ..self }
    }

    pub(super) fn class(self, class: &'static str) -> Self {
        Self { class, ..self }
    }

    fn limits(self, items: Value) -> Self {
        Self { limits: Some(items), ..self }
    }

    fn quota(self, hard: Value, replicas: u32) -> Self {
        Self { quota: Some(hard), replicas, ..self }
    }

    fn given(self, containers: &'static str) -> Self {
        Self { row: Row::Given(containers), ..self }
    }

    fn other_template(self) -> Self {
        Self { other_template: true, ..self }
    }

    fn kind(self, kind: &'static str) -> Self {
        Self { kind, ..self }
    }

    fn pod_level(self, resources: Value) -> Self {
        Self { pod_level: Some(resources), ..self }
    }
}

const SMALL: &str = "100m/- 128Mi/-";
const LARGE: &str = "750m/- 300Mi/-";

fn container(bounds: Value) -> Value {
    let mut item = json!({"type": "Container"});
    if let (Some(item), Value::Object(bounds)) = (item.as_object_mut(), bounds) {
        item.extend(bounds);
    }
    json!([item])
}

/// All cases that need no webhook.
pub(super) fn cases() -> Vec<Case> {
    [classes(), limit_ranges(), quotas(), templates(), stale_rows()].concat()
}

fn classes() -> Vec<Case> {
    vec![
        Case::new("plain", SMALL, LARGE),
        Case::new("shrinks", LARGE, SMALL),
        Case::new("own-limits", "100m/500m 128Mi/256Mi", "750m/3750m 300Mi/600Mi"),
        // limits: Unchanged, and the request was decided up to them.
        Case::new("own-limits-kept", "100m/500m 128Mi/256Mi", "500m/500m 256Mi/256Mi").expect("499m/500m 255Mi/256Mi"),
        Case::new("guaranteed", "200m/200m 128Mi/128Mi", "750m/750m 300Mi/300Mi").class("Guaranteed"),
        // A template with limits alone: the API server takes the requests from them.
        Case::new("limits-alone", "-/200m -/128Mi", "750m/750m 300Mi/300Mi")
            .alone("200m/200m 128Mi/128Mi")
            .class("Guaranteed"),
        Case::new("best-effort", "-/- -/-", LARGE).expect("-/- -/-").class("BestEffort"),
        Case::new("memory-only", "-/- 128Mi/-", LARGE).expect("-/- 300Mi/-"),
        Case::new("half-guaranteed", "200m/200m 128Mi/256Mi", "750m/750m 300Mi/600Mi"),
        Case::new(
            "several",
            "app 100m/- 128Mi/- | proxy 50m/50m 64Mi/64Mi | idle -/- -/-",
            "app 750m/- 300Mi/- | proxy 80m/80m 100Mi/100Mi",
        )
        .expect("app 750m/- 300Mi/- | proxy 80m/80m 100Mi/100Mi | idle -/- -/-"),
        Case::new("stateful-set", SMALL, LARGE).kind("StatefulSet"),
    ]
}

fn limit_ranges() -> Vec<Case> {
    vec![
        Case::new("default", SMALL, LARGE)
            .limits(container(json!({"default": {"cpu": "500m", "memory": "512Mi"}})))
            .alone("100m/500m 128Mi/512Mi")
            .expect("499m/500m 300Mi/512Mi"),
        Case::new("default-request", "-/- -/-", "-/- -/-")
            .limits(container(json!({"defaultRequest": {"cpu": "50m"}, "default": {"cpu": "100m"}})))
            .alone("50m/100m -/-")
            .expect("50m/100m -/-"),
        Case::new("min", "300m/- 256Mi/-", SMALL)
            .limits(container(json!({"min": {"cpu": "200m", "memory": "200Mi"}})))
            .expect("200m/- 200Mi/-"),
        // Largest amounts are defaults of limits as well.
        Case::new("max", SMALL, LARGE)
            .limits(container(json!({"max": {"cpu": "600m", "memory": "256Mi"}})))
            .alone("100m/600m 128Mi/256Mi")
            .expect("599m/600m 255Mi/256Mi"),
        Case::new("max-guaranteed", "200m/200m 128Mi/128Mi", "750m/750m 300Mi/300Mi")
            .limits(container(json!({"max": {"cpu": "600m", "memory": "256Mi"}})))
            .expect("600m/600m 256Mi/256Mi")
            .class("Guaranteed"),
        Case::new("ratio", "400m/800m 200Mi/400Mi", "100m/800m 100Mi/400Mi")
            .limits(container(json!({"maxLimitRequestRatio": {"cpu": "2", "memory": "2"}})))
            .expect("400m/800m 200Mi/400Mi"),
        // Bounds of the whole pod: what else may be in it is not known.
        Case::new("whole-pod", "100m/200m 128Mi/256Mi", "750m/1500m 300Mi/600Mi")
            .limits(json!([{"type": "Pod", "max": {"cpu": "400m"}}]))
            .expect("100m/200m 300Mi/600Mi"),
    ]
}

fn quotas() -> Vec<Case> {
    vec![
        // Room for the template's size and no more.
        Case::new("quota", SMALL, LARGE)
            .quota(json!({"requests.cpu": "200m", "requests.memory": "256Mi"}), 2)
            .expect("100m/- 128Mi/-"),
        Case::new("quota-shrinks", LARGE, SMALL).quota(json!({"requests.cpu": "1500m"}), 2).expect("100m/- 128Mi/-"),
        Case::new("quota-of-limits", "100m/200m 128Mi/128Mi", "750m/1500m 300Mi/300Mi")
            .quota(json!({"limits.cpu": "400m", "limits.memory": "256Mi"}), 2)
            .expect("100m/200m 128Mi/128Mi"),
        Case::new("quota-with-room", SMALL, LARGE).quota(json!({"requests.cpu": "4", "requests.memory": "4Gi"}), 2),
        Case::new("quota-of-pods", SMALL, LARGE).quota(json!({"pods": "2"}), 2),
        Case::new("quota-and-another-template", SMALL, LARGE)
            .quota(json!({"requests.memory": "256Mi"}), 2)
            .other_template()
            .expect(SMALL),
    ]
}

fn templates() -> Vec<Case> {
    vec![
        Case::new("pod-level", SMALL, LARGE)
            .pod_level(
                json!({"requests": {"cpu": "200m", "memory": "256Mi"}, "limits": {"cpu": "400m", "memory": "512Mi"}}),
            )
            .expect(SMALL),
        // Its own CPU, and of memory the larger.
        Case::new("another-template", SMALL, LARGE).other_template().expect("100m/- 300Mi/-"),
        Case::new("another-template-larger", "100m/- 512Mi/-", LARGE).other_template().expect("100m/- 512Mi/-"),
        Case::new("another-template-guaranteed", "100m/100m 128Mi/128Mi", "750m/750m 300Mi/300Mi")
            .other_template()
            .expect("100m/100m 300Mi/300Mi")
            .class("Guaranteed"),
        Case::new("another-template-set", SMALL, LARGE).kind("StatefulSet").other_template().expect("100m/- 300Mi/-"),
    ]
}

/// Rows that were right when they were written.
fn stale_rows() -> Vec<Case> {
    let (large, limited) = ("app=750m,,300Mi,", "app=750m,1,300Mi,300Mi");
    vec![
        Case::new("stale-limit-range", SMALL, LARGE)
            .limits(container(json!({"default": {"cpu": "500m", "memory": "256Mi"}})))
            .given(large)
            .alone("100m/500m 128Mi/256Mi")
            .expect("100m/500m 128Mi/256Mi"),
        Case::new("stale-own-limits", "100m/500m 128Mi/256Mi", LARGE).given(large).expect("100m/500m 128Mi/256Mi"),
        Case::new("stale-no-limits", SMALL, LARGE).given(limited).expect(SMALL),
        // The CPU has the row's shape, the memory has not.
        Case::new("stale-class", "100m/500m 128Mi/256Mi", LARGE).given(limited).expect("750m/1 128Mi/256Mi"),
        Case::new("stale-guaranteed", "100m/100m 128Mi/128Mi", LARGE)
            .given(limited)
            .expect("100m/100m 300Mi/300Mi")
            .class("Guaranteed"),
        Case::new("stale-best-effort", "-/- -/-", LARGE).given(large).expect("-/- -/-").class("BestEffort"),
        Case::new("stale-container", "other 100m/- 128Mi/-", LARGE).given(large).expect("other 100m/- 128Mi/-"),
        Case::new("stale-empty", SMALL, LARGE).given("").expect(SMALL),
    ]
}
