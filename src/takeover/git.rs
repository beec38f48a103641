//! The tools that keep objects in Git (or in a release), by the marks that they leave on what they apply.
//!
//! Sources of the marks. Argo CD, "Resource Tracking": the annotation `tracking-id` (the default), or a label that it is
//! told to use; its default label `app.kubernetes.io/instance` is not taken for a mark, since charts set it themselves.
//! Flux, `kustomize-controller` and `helm-controller`: two labels each, name and namespace. Helm 3 and 4: the annotation
//! `meta.helm.sh/release-name`. Whoever applies also stands in `metadata.managedFields`: `argocd-controller`
//! (`common.ArgoCDSSAManager`), `argocd-application-controller`, `kustomize-controller`, `helm-controller`, `helm`.

use serde_json::Value;

/// A tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tool {
    /// Argo CD.
    ArgoCd,
    /// A `Kustomization` of Flux.
    FluxKustomization,
    /// A `HelmRelease` of Flux.
    FluxHelmRelease,
    /// Helm, by hand or from a pipeline.
    Helm,
}

/// Where a mark is, its key, and whose it is. A `HelmRelease` leaves Helm's own mark as well, so Flux comes first.
const MARKS: [(&str, &str, Tool); 5] = [
    ("annotations", "argocd.argoproj.io/tracking-id", Tool::ArgoCd),
    ("labels", "argocd.argoproj.io/instance", Tool::ArgoCd),
    ("labels", "kustomize.toolkit.fluxcd.io/name", Tool::FluxKustomization),
    ("labels", "helm.toolkit.fluxcd.io/name", Tool::FluxHelmRelease),
    ("annotations", "meta.helm.sh/release-name", Tool::Helm),
];

impl Tool {
    /// The word that people know it by.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ArgoCd => "Argo CD",
            Self::FluxKustomization | Self::FluxHelmRelease => "Flux",
            Self::Helm => "Helm",
        }
    }

    /// The tool that applies an object, by the marks in its metadata, else by who has written to it.
    #[must_use]
    pub fn of(metadata: &Value) -> Option<Self> {
        let marked = MARKS.into_iter().find(|(place, key, _)| metadata[place].get(key).is_some());
        let managers = || metadata["managedFields"].as_array().into_iter().flatten();
        let writes = || managers().find_map(|entry| Self::of_manager(entry["manager"].as_str()?));
        marked.map(|(_, _, tool)| tool).or_else(writes)
    }

    /// The tool that writes under this name in `metadata.managedFields`.
    #[must_use]
    pub fn of_manager(manager: &str) -> Option<Self> {
        match manager {
            "argocd-controller" | "argocd-application-controller" => Some(Self::ArgoCd),
            "kustomize-controller" => Some(Self::FluxKustomization),
            "helm-controller" => Some(Self::FluxHelmRelease),
            "helm" => Some(Self::Helm),
            _ => None,
        }
    }

    /// What the tool calls the whole that the object is part of: application, Kustomization, release.
    #[must_use]
    pub fn whole(self, metadata: &Value) -> Option<&str> {
        let mut marks = MARKS.into_iter().filter(|(_, _, tool)| *tool == self);
        let text = marks.find_map(|(place, key, _)| metadata[place][key].as_str())?;
        // `application:group/Kind:namespace/name`
        Some(text.split(':').next().unwrap_or(text)).filter(|text| !text.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_tool_is_known_by_its_marks() {
        let of = |metadata: Value| {
            (Tool::of(&metadata), Tool::of(&metadata).and_then(|t| t.whole(&metadata).map(str::to_owned)))
        };
        let tracked = json!({"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/web"}});
        assert_eq!(of(tracked), (Some(Tool::ArgoCd), Some("shop".into())));
        let labelled = json!({"labels": {"argocd.argoproj.io/instance": "shop"}});
        assert_eq!(of(labelled), (Some(Tool::ArgoCd), Some("shop".into())));
        let kustomized = json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}});
        assert_eq!(of(kustomized), (Some(Tool::FluxKustomization), Some("apps".into())));
        // As helm-controller leaves it, with Helm's own marks.
        let released = json!({"labels": {"helm.toolkit.fluxcd.io/name": "web", "app.kubernetes.io/managed-by": "Helm"},
            "annotations": {"meta.helm.sh/release-name": "web"}});
        assert_eq!(of(released), (Some(Tool::FluxHelmRelease), Some("web".into())));
        let by_hand = json!({"annotations": {"meta.helm.sh/release-name": "web"}});
        assert_eq!(of(by_hand), (Some(Tool::Helm), Some("web".into())));
    }

    #[test]
    fn who_applies_is_enough_and_a_common_label_is_not() {
        let by = |manager: &str| {
            Tool::of(&json!({"managedFields": [{"manager": "kube-controller-manager"}, {"manager": manager}]}))
        };
        assert_eq!(by("argocd-controller"), Some(Tool::ArgoCd));
        assert_eq!(by("kustomize-controller"), Some(Tool::FluxKustomization));
        assert_eq!(by("helm-controller"), Some(Tool::FluxHelmRelease));
        assert_eq!(by("helm"), Some(Tool::Helm));
        for other in ["kubectl", "kubectl-client-side-apply", "keda", "arbiter"] {
            assert_eq!(by(other), None, "{other}");
        }
        assert_eq!(Tool::of(&json!({"labels": {"app.kubernetes.io/instance": "web"}})), None);
        assert_eq!(Tool::of(&Value::Null), None);
    }
}
