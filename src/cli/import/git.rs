//! Text for the tool that keeps a workload or its autoscalers in Git: what to write there, so that what arbiter writes is
//! left alone. It is printed as comments above the policy.
//!
//! What is to be left alone is the count of the workload and, of each autoscaler, the fields that standing it down changes
//! (docs/ownership.md). Leaving a count out of Git is not the same for every tool: whoever owned the field and lets go of
//! it resets it to 1, unless somebody else owns it by then.
//!
//! Sources: Argo CD, "Diffing Customization" and "Sync Options"; Flux, `Kustomization` (`spec.patches`, `ssa`) and
//! `HelmRelease` (`spec.driftDetection.ignore`); Helm, "Template Functions" (`lookup`) and "Three-way strategic merge".

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{api::TargetRef, takeover::Tool};

/// One object that a tool keeps, and what of it is to be left alone.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    group: String,
    kind: String,
    name: String,
    namespace: String,
    /// JSON pointers.
    fields: &'static [&'static str],
}

/// By tool, and by what the tool calls the whole.
pub(super) type Keepers = BTreeMap<(Tool, Option<String>), Vec<Kept>>;

const COUNT: &[&str] = &["/spec/replicas"];

/// What standing down changes of an autoscaler.
fn fields(kind: &str) -> &'static [&'static str] {
    match kind {
        "HorizontalPodAutoscaler" => &["/spec/minReplicas", "/spec/maxReplicas", "/spec/behavior"],
        "VerticalPodAutoscaler" => &["/spec/updatePolicy"],
        "ScaledObject" => &[
            "/metadata/annotations/autoscaling.keda.sh~1paused",
            "/metadata/annotations/autoscaling.keda.sh~1paused-replicas",
        ],
        _ => COUNT,
    }
}

fn group(api_version: &str) -> &str {
    api_version.rsplit_once('/').map_or("", |(group, _)| group)
}

/// The tool that keeps an object, with what it calls the whole.
pub(super) fn keeper(metadata: &Value) -> Option<(Tool, Option<String>)> {
    let tool = Tool::of(metadata)?;
    Some((tool, tool.whole(metadata).map(str::to_owned)))
}

/// Notes an autoscaler under its keeper.
pub(super) fn note(keepers: &mut Keepers, object: &Value, namespace: &str) {
    let Some(keeper) = keeper(&object["metadata"]) else { return };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let kind = text(&object["kind"]);
    keepers.entry(keeper).or_default().push(Kept {
        group: group(object["apiVersion"].as_str().unwrap_or_default()).to_owned(),
        fields: fields(&kind),
        kind,
        name: text(&object["metadata"]["name"]),
        namespace: namespace.to_owned(),
    });
}

/// Notes the workload itself: under its own keeper where its manifest is given, else under those of its autoscalers.
pub(super) fn note_workload(keepers: &mut Keepers, target: &TargetRef, namespace: &str, metadata: Option<&Value>) {
    let kept = Kept {
        group: group(&target.api_version).to_owned(),
        kind: target.kind.clone(),
        name: target.name.clone(),
        namespace: namespace.to_owned(),
        fields: COUNT,
    };
    match metadata {
        Some(metadata) => {
            if let Some(keeper) = keeper(metadata) {
                keepers.entry(keeper).or_default().insert(0, kept);
            }
        }
        None => keepers.values_mut().for_each(|all| all.insert(0, kept.clone())),
    }
}

/// The text for every keeper, as comments.
pub(super) fn comments(keepers: &Keepers) -> String {
    let texts = keepers.iter().map(|((tool, whole), kept)| text(*tool, whole.as_deref(), kept));
    texts.flat_map(|text| text.lines().map(|line| format!("# {line}\n")).collect::<Vec<_>>()).collect()
}

fn text(tool: Tool, whole: Option<&str>, kept: &[Kept]) -> String {
    let named = |kind: &str| whole.map_or_else(|| kind.to_owned(), |name| format!("{kind} {name}"));
    match tool {
        Tool::ArgoCd => argo_cd(&named("Application"), kept),
        Tool::FluxKustomization => kustomization(&named("Kustomization"), kept),
        Tool::FluxHelmRelease => helm_release(&named("HelmRelease"), kept),
        Tool::Helm => helm(&named("release"), kept),
    }
}

impl Kept {
    fn is_workload(&self) -> bool {
        self.fields == COUNT
    }

    /// The object as a target of a patch or rule, indented.
    fn selector(&self, indent: &str, with_namespace: bool) -> String {
        let group = if self.group.is_empty() { String::new() } else { format!("group: {}\n{indent}", self.group) };
        let namespace = if with_namespace && !self.namespace.is_empty() {
            format!("\n{indent}namespace: {}", self.namespace)
        } else {
            String::new()
        };
        format!("{group}kind: {}\n{indent}name: {}{namespace}", self.kind, self.name)
    }
}

fn names(kept: &[&Kept]) -> String {
    kept.iter().map(|k| format!("{} {}", k.kind, k.name)).collect::<Vec<_>>().join(", ")
}

/// The workload, if it is kept, and its autoscalers.
fn parted(kept: &[Kept]) -> (Option<&Kept>, Vec<&Kept>) {
    (kept.iter().find(|k| k.is_workload()), kept.iter().filter(|k| !k.is_workload()).collect())
}

fn argo_cd(application: &str, kept: &[Kept]) -> String {
    let rules: String = kept
        .iter()
        .map(|k| {
            let pointers: String = k.fields.iter().map(|field| format!("      - {field}\n")).collect();
            format!("    - {}\n      jsonPointers:\n{pointers}", k.selector("      ", true))
        })
        .collect();
    let force = if kept.iter().any(|k| !k.is_workload()) {
        "Then takeover: Force lets arbiter stand its autoscalers down; to delete them in Git does as well.\n"
    } else {
        ""
    };
    format!(
        "Argo CD keeps it in Git and would write it back. Before mode Auto, in the {application}:\n  spec:\n    \
         ignoreDifferences:\n{rules}    syncPolicy:\n      syncOptions:\n      - RespectIgnoreDifferences=true\n{force}"
    )
}

fn kustomization(name: &str, kept: &[Kept]) -> String {
    let (workload, autoscalers) = parted(kept);
    let mut text = String::from("Flux keeps it in Git and would write it back.\n");
    if let Some(workload) = workload {
        text.push_str(&format!(
            "First mode Auto, until managedFields name arbiter as an owner of spec.replicas (kubectl get --show-managed-fields): a \
             count\nthat Flux alone owns goes to 1 when it is left out. Then, in the {name}:\n  spec:\n    patches:\n    - \
             target:\n        {}\n      patch: |\n        - op: remove\n          path: /spec/replicas\n",
            workload.selector("        ", false)
        ));
    }
    if !autoscalers.is_empty() {
        text.push_str(&format!(
            "In Git, annotate {} with kustomize.toolkit.fluxcd.io/ssa: IfNotPresent,\nthen takeover: Force lets arbiter stand it \
             down; to delete it in Git does as well.\n",
            names(&autoscalers)
        ));
    }
    text
}

/// The template of a chart that keeps the count that is there.
fn lookup(workload: &Kept, api_version: &str) -> String {
    let (kind, name) = (&workload.kind, &workload.name);
    format!(
        "  {{{{- $live := lookup \"{api_version}\" \"{kind}\" .Release.Namespace \"{name}\" }}}}\n  replicas: {{{{ if $live }}}}{{{{ \
         $live.spec.replicas }}}}{{{{ else }}}}{{{{ .Values.replicaCount }}}}{{{{ end }}}}\n"
    )
}

fn in_the_chart(workload: &Kept) -> String {
    let version = if workload.group == "argoproj.io" { "v1alpha1" } else { "v1" };
    let api_version =
        if workload.group.is_empty() { version.to_owned() } else { format!("{}/{version}", workload.group) };
    format!(
        "In the chart's template keep the count that is there (left out, it goes to 1 at that upgrade, and arbiter grows it back):\n{}",
        lookup(workload, &api_version)
    )
}

fn out_of_the_release(autoscalers: &[&Kept]) -> String {
    if autoscalers.is_empty() {
        return String::new();
    }
    format!("Take {} out of the release (often autoscaling.enabled: false in its values).\n", names(autoscalers))
}

fn helm_release(name: &str, kept: &[Kept]) -> String {
    let (workload, autoscalers) = parted(kept);
    let mut text = String::from("Flux keeps it in Git and each upgrade of the chart would write it back.\n");
    if let Some(workload) = workload {
        text.push_str(&in_the_chart(workload));
        text.push_str(&format!(
            "and, where drift is corrected, in the {name}:\n  spec:\n    driftDetection:\n      ignore:\n      - paths:\n        - \
             /spec/replicas\n        target:\n          {}\n",
            workload.selector("          ", false)
        ));
    }
    text + &out_of_the_release(&autoscalers)
}

fn helm(name: &str, kept: &[Kept]) -> String {
    let (workload, autoscalers) = parted(kept);
    let chart = workload.map(in_the_chart).unwrap_or_default();
    format!("Helm would write it back at each upgrade of the {name}.\n{chart}{}", out_of_the_release(&autoscalers))
}
