//! Who writes the count of a target, and who will write it again. Pure.
//!
//! `metadata.managedFields` says who owns a field now: whoever changes it takes it from everybody else, and an apply that
//! sets what is there already owns it beside the others. So the owner of the count, when it is not us, wrote it last. What
//! a manifest says is also in the annotation that `kubectl apply` leaves, and stays there when somebody else has written
//! since.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use serde_json::{Value, json};

use crate::{actuate::FIELD_MANAGER, takeover::Tool};

/// Where `kubectl apply` keeps the manifest.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The manager that owns the count, when it is not us.
pub(super) fn last(entries: &[ManagedFieldsEntry]) -> Option<String> {
    let newest = owners(entries).into_iter().max_by_key(|e| e.time.as_ref().map(|t| t.0))?;
    newest.manager.clone().filter(|m| m != FIELD_MANAGER)
}

/// Why the count that we write will be written over at the next deploy or sync, and what to do: half a sentence.
pub(super) fn kept(metadata: &ObjectMeta) -> Option<String> {
    let entries = metadata.managed_fields.as_deref().unwrap_or_default();
    let marks = json!({"labels": metadata.labels, "annotations": metadata.annotations});
    let owner = owners(entries).into_iter().find_map(|e| Tool::of_manager(e.manager.as_deref()?));
    let manifest = metadata.annotations.as_ref().and_then(|a| a.get(LAST_APPLIED));
    let named = manifest.and_then(|text| serde_json::from_str::<Value>(text).ok());
    let named = named.is_some_and(|manifest| manifest.pointer("/spec/replicas").is_some());
    let what = match (owner, named, Tool::of(&marks)) {
        (Some(tool), ..) | (None, true, Some(tool)) => format!("its spec.replicas is kept in Git by {}", tool.as_str()),
        (None, true, None) => "the manifest that it was applied from names spec.replicas".to_owned(),
        (None, false, _) => return None,
    };
    Some(format!("{what}, and each sync writes it back: have it left alone there (arbiter import prints how)"))
}

/// The entries that own the count.
fn owners(entries: &[ManagedFieldsEntry]) -> Vec<&ManagedFieldsEntry> {
    let path = path(entries);
    let owns = |e: &&ManagedFieldsEntry| e.fields_v1.as_ref().is_some_and(|f| reach(&f.0, &path).is_some());
    entries.iter().filter(owns).collect()
}

/// Where the count is: what was written through `/scale` is the count, wherever a custom resource keeps it.
fn path(entries: &[ManagedFieldsEntry]) -> Vec<String> {
    let mut scaled = entries.iter().filter(|e| e.subresource.as_deref() == Some("scale"));
    let found = scaled.find_map(|e| leaf(&e.fields_v1.as_ref()?.0["f:spec"]));
    std::iter::once("f:spec".to_owned()).chain(found.unwrap_or_else(|| vec!["f:replicas".to_owned()])).collect()
}

/// The first field of a set that has no fields of its own, by its path.
fn leaf(fields: &Value) -> Option<Vec<String>> {
    let (name, inner) = fields.as_object()?.iter().find(|(name, _)| name.starts_with("f:"))?;
    Some(std::iter::once(name.clone()).chain(leaf(inner).unwrap_or_default()).collect())
}

fn reach<'a>(fields: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(fields, |fields, name| fields.get(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(manager: &str, time: &str, fields: &Value) -> ManagedFieldsEntry {
        serde_json::from_value(json!({"manager": manager, "time": time, "fieldsV1": fields})).unwrap()
    }

    fn count(manager: &str, time: &str) -> ManagedFieldsEntry {
        entry(manager, time, &json!({"f:spec": {"f:replicas": {}}}))
    }

    #[test]
    fn our_own_writes_are_nobody_elses() {
        let ours = count(FIELD_MANAGER, "2026-02-03T12:00:00Z");
        assert_eq!(last(&[count("kubectl", "2026-02-03T10:00:00Z"), ours.clone()]), None);
        assert_eq!(last(&[count("hpa", "2026-02-03T13:00:00Z"), ours]).as_deref(), Some("hpa"));
        assert_eq!(last(&[]), None);
        let template = json!({"f:spec": {"f:template": {}}});
        let deploy = entry("helm", "2026-02-03T14:00:00Z", &template);
        assert_eq!(last(&[count("kubectl", "2026-02-03T10:00:00Z"), deploy]).as_deref(), Some("kubectl"));
    }

    #[test]
    fn a_custom_resource_may_keep_its_count_elsewhere() {
        let mut ours = entry(FIELD_MANAGER, "2026-02-03T12:00:00Z", &json!({"f:spec": {"f:shape": {"f:size": {}}}}));
        ours.subresource = Some("scale".into());
        let rival = entry("shop-operator", "2026-02-03T13:00:00Z", &json!({"f:spec": {"f:shape": {"f:size": {}}}}));
        let replicas = count("somebody", "2026-02-03T14:00:00Z");
        assert_eq!(last(&[ours.clone(), rival, replicas]).as_deref(), Some("shop-operator"));
        assert_eq!(last(&[ours]), None);
    }

    #[test]
    fn a_count_in_git_is_said_with_the_tool() {
        let said = |metadata: Value| kept(&serde_json::from_value(metadata).unwrap());
        let fields = json!({"f:spec": {"f:replicas": {}}});
        let flux =
            json!({"managedFields": [{"manager": "kustomize-controller", "operation": "Apply", "fieldsV1": fields}]});
        assert!(
            said(flux).unwrap().starts_with("its spec.replicas is kept in Git by Flux, and each sync writes it back")
        );
        let manifest = json!({"spec": {"replicas": 3}}).to_string();
        let argo = json!({"annotations": {LAST_APPLIED: manifest, "argocd.argoproj.io/tracking-id": "a:b"},
            "managedFields": [{"manager": "arbiter", "subresource": "scale", "fieldsV1": fields}]});
        assert!(said(argo).unwrap().contains("by Argo CD"), "though we have written since");
        let person = json!({"annotations": {LAST_APPLIED: manifest}});
        assert!(said(person).unwrap().starts_with("the manifest that it was applied from names spec.replicas"));
        let without = json!({"spec": {"template": {}}}).to_string();
        let free = json!({"annotations": {LAST_APPLIED: without, "argocd.argoproj.io/tracking-id": "a:b"}});
        assert_eq!(said(free), None);
        assert_eq!(said(json!({"annotations": {LAST_APPLIED: "{"}})), None);
        assert_eq!(said(json!({})), None);
    }
}
