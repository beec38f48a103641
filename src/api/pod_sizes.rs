//! `PodSizes`: what new pods of a namespace get, written by arbiter and read by the API server alone.
//!
//! One object per namespace, a line of text for each workload. The admission policy of `admission/pod-sizes.yaml` looks a new
//! pod's workload up in it; every amount was computed and clamped by arbiter, the API server only copies or leaves. Text, since
//! the API server reads the whole object anew for every pod, and reads a text some ten times faster than fields
//! (`simulations/results/admission.md`); apart from the policies, since what admission trusts is then apart from a status that
//! changes often.

use std::{collections::BTreeMap, fmt};

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Name of the one object that a namespace has.
pub const POD_SIZES_NAME: &str = "arbiter";

/// The label by which the API server finds it.
pub const POD_SIZES_LABEL: (&str, &str) = ("autoscaling.arbiter.io/table", "pod-sizes");

/// The annotation on a pod that was sized when it was created: `POLICY@GENERATION`, and for each container what the pod
/// would have had.
pub const SIZED_BY: &str = "autoscaling.arbiter.io/sized-by";

/// Largest table, bytes: some 4,000 workloads. A pod's creation costs about 20 µs more for each KiB of it; what the API
/// server could store (1.5 MiB, etcd's default limit of a request) is far more.
pub const POD_SIZES_BYTES: usize = 256 << 10;

/// What new pods of a namespace get. A line for each workload:
/// `NAME POLICY@GENERATION TEMPLATEHASH FLAG CONTAINER=CPU,LIMIT,MEMORY,LIMIT …`; an amount that is left out stays as the pod
/// has it, a policy that is left out is called like the workload.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "autoscaling.arbiter.io",
    version = "v1alpha1",
    kind = "PodSizes",
    plural = "podsizes",
    namespaced,
    derive = "PartialEq",
    category = "arbiter",
    doc = "What new pods of this namespace get. Written by arbiter, read by its admission policy; edits are overwritten.",
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct PodSizesSpec {
    /// Lines of Deployments.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 262_144))]
    pub deployments: String,
    /// Lines of `StatefulSet`s.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 262_144))]
    pub stateful_sets: String,
    /// Lines of Argo Rollouts.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 262_144))]
    pub rollouts: String,
}

/// A kind whose pods tell which template they are of; others have no lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SizedKind {
    /// `apps` Deployment.
    Deployment,
    /// `apps` `StatefulSet`.
    StatefulSet,
    /// `argoproj.io` Rollout.
    Rollout,
}

/// Kind and name.
pub type SizedWorkload = (SizedKind, String);

/// What a new pod of one workload gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodSize {
    /// The policy that decided.
    pub policy: String,
    /// Generation of its spec.
    pub generation: i64,
    /// Hash of the pod template that it decided on: pods of another one keep their own CPU.
    pub template_hash: String,
    /// Whether a pod of another template gets the larger of its own memory and the decided one: only where nothing in
    /// the namespace could refuse the larger pod. Flag `m`, else `-`.
    pub memory_for_other_templates: bool,
    /// Sizes by container name.
    pub containers: BTreeMap<String, NewContainer>,
}

/// Complete amounts of one container, as quantities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewContainer {
    /// CPU request.
    pub cpu: Option<String>,
    /// CPU limit; only beside a request.
    pub cpu_limit: Option<String>,
    /// Memory request.
    pub memory: Option<String>,
    /// Memory limit; only beside a request.
    pub memory_limit: Option<String>,
}

impl PodSizesSpec {
    /// From rows.
    #[must_use]
    pub fn of(rows: &BTreeMap<SizedWorkload, PodSize>) -> Self {
        let mut spec = Self::default();
        for ((kind, name), size) in rows {
            let text = match kind {
                SizedKind::Deployment => &mut spec.deployments,
                SizedKind::StatefulSet => &mut spec.stateful_sets,
                SizedKind::Rollout => &mut spec.rollouts,
            };
            // Every line has a line break on either side.
            if text.is_empty() {
                text.push('\n');
            }
            text.push_str(&size.line(name));
            text.push('\n');
        }
        spec
    }

    /// The rows; lines that are none are left out.
    #[must_use]
    pub fn rows(&self) -> BTreeMap<SizedWorkload, PodSize> {
        let kinds = [
            (SizedKind::Deployment, &self.deployments),
            (SizedKind::StatefulSet, &self.stateful_sets),
            (SizedKind::Rollout, &self.rollouts),
        ];
        let lines = kinds.into_iter().flat_map(|(kind, text)| text.lines().map(move |line| (kind, line)));
        lines.filter_map(|(kind, line)| PodSize::read(line).map(|(name, size)| ((kind, name), size))).collect()
    }
}

impl PodSize {
    /// The line of a workload of this name.
    #[must_use]
    pub fn line(&self, name: &str) -> String {
        let policy = if self.policy == name { "" } else { &self.policy };
        let flag = if self.memory_for_other_templates { 'm' } else { '-' };
        let containers: String = self.containers.iter().map(|(name, size)| format!(" {name}={size}")).collect();
        format!("{name} {policy}@{} {} {flag}{containers}", self.generation, self.template_hash)
    }

    fn read(line: &str) -> Option<(String, Self)> {
        let mut words = line.split(' ');
        let name = words.next().filter(|name| !name.is_empty())?;
        let (policy, generation) = words.next()?.split_once('@')?;
        let (template_hash, flag) = (words.next()?, words.next()?);
        let container = |word: &str| {
            let (name, amounts) = word.split_once('=')?;
            let amounts: Vec<_> = amounts.split(',').map(|a| Some(a.to_owned()).filter(|a| !a.is_empty())).collect();
            let [cpu, cpu_limit, memory, memory_limit] = amounts.try_into().ok()?;
            Some((name.to_owned(), NewContainer { cpu, cpu_limit, memory, memory_limit }))
        };
        let size = Self {
            policy: if policy.is_empty() { name } else { policy }.to_owned(),
            generation: generation.parse().ok()?,
            template_hash: template_hash.to_owned(),
            memory_for_other_templates: flag == "m",
            containers: words.map(container).collect::<Option<_>>()?,
        };
        Some((name.to_owned(), size))
    }
}

impl fmt::Display for NewContainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |amount: &Option<String>| amount.clone().unwrap_or_default();
        let [cpu, cpu_limit] = [text(&self.cpu), text(&self.cpu_limit)];
        write!(f, "{cpu},{cpu_limit},{},{}", text(&self.memory), text(&self.memory_limit))
    }
}

impl SizedKind {
    /// Its name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::Rollout => "Rollout",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(policy: &str) -> PodSize {
        let app = NewContainer { cpu: Some("750m".into()), memory: Some("300Mi".into()), ..NewContainer::default() };
        let proxy =
            NewContainer { memory: Some("64Mi".into()), memory_limit: Some("64Mi".into()), ..NewContainer::default() };
        PodSize {
            policy: policy.into(),
            generation: 3,
            template_hash: "7d9c".into(),
            memory_for_other_templates: true,
            containers: [("app".into(), app), ("proxy".into(), proxy)].into(),
        }
    }

    #[test]
    fn a_table_reads_back_as_it_was_written() {
        let key = |kind, name: &str| (kind, name.to_owned());
        let rows = BTreeMap::from([
            (key(SizedKind::Deployment, "web"), size("web")),
            (key(SizedKind::Deployment, "api.v2"), size("other")),
            (key(SizedKind::StatefulSet, "db"), PodSize { memory_for_other_templates: false, ..size("db") }),
        ]);
        let spec = PodSizesSpec::of(&rows);
        let lines = "\napi.v2 other@3 7d9c m app=750m,,300Mi, proxy=,,64Mi,64Mi\nweb @3 7d9c m app=750m,,300Mi, proxy=,,64Mi,64Mi\n";
        assert_eq!(spec.deployments, lines);
        assert_eq!(spec.stateful_sets, "\ndb @3 7d9c - app=750m,,300Mi, proxy=,,64Mi,64Mi\n");
        assert_eq!(spec.rows(), rows);
        assert_eq!(PodSizesSpec::of(&BTreeMap::new()), PodSizesSpec::default());
    }

    #[test]
    fn a_line_that_somebody_spoilt_is_no_row() {
        for line in ["web", "web @x h m", "web 3 h m", "web @3 h", "web @3 h m app=1", "web @3 h m app", " @3 h m"] {
            let spec = PodSizesSpec { deployments: format!("\n{line}\n"), ..PodSizesSpec::default() };
            assert!(spec.rows().is_empty(), "{line}");
        }
    }
}
