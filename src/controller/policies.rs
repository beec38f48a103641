//! Policies as they are watched: read, compiled, and which of them owns which target. Pure.
//!
//! Invariant: what one policy says cannot keep another from being read.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    api::{ScalingPolicy, ScalingPolicySpec, ScalingPolicyStatus},
    observe::{kubernetes::PolicyObject, tenancy::Tenancy},
    policy::{Policy, PolicyKey, Problem, compile, in_one_line},
};

/// Longest text of a spec's reader that is repeated, in characters: it may hold what stands in the spec.
const LONGEST_CAUSE: usize = 300;

/// Why nothing can be decided for a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotReady {
    /// Reason of the condition.
    pub reason: String,
    /// Its message.
    pub message: String,
}

impl NotReady {
    /// From a reason and a sentence.
    pub fn new(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), message: message.into() }
    }

    /// Whether it may pass by itself: then what was decided before still holds.
    #[must_use]
    pub fn passing(&self) -> bool {
        self.reason == "TargetUnreadable"
    }
}

/// Reads and compiles a policy and confines it to what it may look at; all its problems are in one message.
pub fn read(object: &PolicyObject, tenancy: &Tenancy) -> Result<Policy, NotReady> {
    let spec: ScalingPolicySpec = object.spec.read().map_err(|e| {
        let what = in_one_line(&e.to_string(), LONGEST_CAUSE);
        NotReady::new("Invalid", format!("spec: {what}: correct the field (arbiter validate shows them all)"))
    })?;
    let mut policy = ScalingPolicy::new(object.metadata.name.as_deref().unwrap_or_default(), spec);
    policy.metadata.namespace.clone_from(&object.metadata.namespace);
    let confined = |mut policy: Policy| tenancy.confine(&mut policy).map(|()| policy);
    compile(&policy).and_then(confined).map_err(|problems| {
        let (reason, message) = Problem::summary(&problems);
        NotReady::new(reason, message)
    })
}

/// The status as it stands in the cluster; one that cannot be read counts as none.
#[must_use]
pub fn written_status(object: &PolicyObject) -> ScalingPolicyStatus {
    object.status.read().unwrap_or_default()
}

/// A target by namespace, group, kind and name: two versions of one API mean the same object.
pub type TargetKey = (String, String, String, String);

/// The target that a policy names, read without compiling it.
#[must_use]
pub fn target_of(object: &PolicyObject) -> Option<TargetKey> {
    let group = object.spec.api_version.as_deref()?.rsplit_once('/').map_or("", |(group, _)| group);
    let target = object.spec.target.clone()?;
    Some((object.key().namespace, group.to_owned(), target.kind, target.name))
}

/// Which policy owns which target: the one created first, then the one whose name comes first. One in deletion owns
/// nothing.
#[must_use]
pub fn owners(objects: &[Arc<PolicyObject>]) -> BTreeMap<TargetKey, PolicyKey> {
    let mut first: BTreeMap<TargetKey, (Option<jiff::Timestamp>, PolicyKey)> = BTreeMap::new();
    for object in objects.iter().filter(|o| o.metadata.deletion_timestamp.is_none()) {
        let Some(target) = target_of(object) else { continue };
        let claim = (object.metadata.creation_timestamp.as_ref().map(|t| t.0), object.key());
        match first.get_mut(&target) {
            Some(held) if *held <= claim => {}
            Some(held) => *held = claim,
            None => drop(first.insert(target, claim)),
        }
    }
    first.into_iter().map(|(target, (_, key))| (target, key)).collect()
}

/// Why nothing is decided for a policy that is on its way out.
#[must_use]
pub fn deleting() -> NotReady {
    NotReady::new("Deleting", "it is being deleted: what was stood down for it is given back first")
}

/// The refusal of a policy whose target another one owns.
#[must_use]
pub fn taken(target: &TargetKey, owner: &PolicyKey) -> NotReady {
    let (_, _, kind, name) = target;
    let message = format!(
        "{kind} {name} is already decided for by ScalingPolicy {}, which is older: delete one of the two",
        owner.name
    );
    NotReady::new("TargetTaken", message)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object(name: &str, created: &str, spec: &Value) -> Arc<PolicyObject> {
        let metadata = json!({"namespace": "shop", "name": name, "creationTimestamp": created, "generation": 1});
        Arc::new(serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap())
    }

    fn on(api_version: &str, name: &str) -> Value {
        json!({"targetRef": {"apiVersion": api_version, "kind": "Deployment", "name": name}})
    }

    #[test]
    fn a_minimal_policy_compiles() {
        let policy = read(&object("web", "2026-02-03T10:00:00Z", &on("apps/v1", "web")), &Tenancy::default()).unwrap();
        assert_eq!(policy.key.to_string(), "shop/web");
        assert_eq!(policy.target.name, "web");
    }

    #[test]
    fn an_unreadable_spec_is_a_sentence() {
        for spec in [json!(null), json!({}), json!({"targetRef": 7}), json!("text")] {
            let refused = read(&object("web", "2026-02-03T10:00:00Z", &spec), &Tenancy::default()).unwrap_err();
            assert_eq!(refused.reason, "Invalid");
            assert!(refused.message.starts_with("spec"), "{}", refused.message);
        }
    }

    #[test]
    fn all_problems_are_said_at_once() {
        let mut spec = on("apps/v1", "web");
        spec["replicas"] = json!({"min": 5, "max": 2});
        spec["signals"] = json!([{"name": "load", "role": "Demand", "prometheus": {"query": "sum(rate(x["}}]);
        let refused = read(&object("web", "2026-02-03T10:00:00Z", &spec), &Tenancy::default()).unwrap_err();
        assert!(refused.message.contains("spec.signals[0].prometheus.query"), "{}", refused.message);
        assert!(refused.message.contains("spec.replicas"), "{}", refused.message);
    }

    #[test]
    fn the_oldest_policy_owns_the_target_then_the_first_by_name() {
        let key = |name: &str| PolicyKey { namespace: "shop".into(), name: name.into() };
        let later = object("a-later", "2026-02-03T11:00:00Z", &on("apps/v1beta2", "web"));
        let first = object("b-first", "2026-02-03T10:00:00Z", &on("apps/v1", "web"));
        let twin = object("c-twin", "2026-02-03T10:00:00Z", &on("apps/v1", "web"));
        let other = object("other", "2026-02-03T12:00:00Z", &on("apps/v1", "api"));
        let broken = object("broken", "2026-02-03T09:00:00Z", &json!(null));
        let owners = owners(&[later, twin, first, other, broken]);
        let owned: Vec<_> = owners.into_iter().map(|((_, _, _, name), key)| (name, key)).collect();
        assert_eq!(owned, [("api".to_owned(), key("other")), ("web".to_owned(), key("b-first"))]);
    }
}
