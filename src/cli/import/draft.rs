//! A policy in the making: what the objects of one target say, together.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use super::{
    git::{self, Keepers},
    object::{Left, Object},
};
use crate::{
    api::{self, Lever, Mode, ScalingPolicy, ScalingPolicySpec},
    policy::{Problem, ProblemKind, compile},
};

/// A policy in the making.
#[derive(Debug)]
pub(super) struct Draft {
    name: String,
    namespace: String,
    /// The objects that it comes from, for the comment above it.
    from: Vec<String>,
    /// Who keeps them in Git.
    keepers: Keepers,
    /// File and object that come first, for messages about the whole.
    place: String,
    /// Levers that the objects had.
    pub(super) levers: BTreeSet<Lever>,
    /// Whether an object has said how replicas are scaled.
    pub(super) horizontal: bool,
    /// What the policy says.
    pub(super) spec: ScalingPolicySpec,
}

/// The document that is printed, in the order in which people write one.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Printed<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'a>,
    spec: &'a ScalingPolicySpec,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    namespace: &'a str,
}

impl Draft {
    /// Whether the count may be zero.
    pub(super) fn sleeps(&self) -> bool {
        self.spec.replicas.as_ref().is_some_and(|replicas| replicas.min == Some(0))
    }

    /// A policy for a target, named after it.
    pub(super) fn new(object: &Object, target: api::TargetRef) -> Self {
        let spec = ScalingPolicySpec {
            target_ref: target,
            mode: Mode::Recommend,
            levers: None,
            objective: None,
            replicas: None,
            containers: Vec::new(),
            signals: Vec::new(),
            behavior: None,
            resize: None,
            schedules: Vec::new(),
            on_signal_loss: None,
            on_rival: None,
            takeover: None,
            allow_volume_deletion: None,
        };
        Self {
            name: spec.target_ref.name.clone(),
            namespace: object.namespace().to_owned(),
            from: Vec::new(),
            keepers: Keepers::new(),
            place: object.place(),
            levers: BTreeSet::new(),
            horizontal: false,
            spec,
        }
    }

    /// Notes an object that the policy comes from.
    pub(super) fn comes_from(&mut self, object: &Object) {
        let kind = object.at("/kind").as_str().unwrap_or_default();
        self.from.push(format!("{kind} {}", object.name()));
        git::note(&mut self.keepers, object.value(), object.namespace());
    }

    /// Another object has already said how replicas are scaled: this one's settings are left.
    pub(super) fn takes_replicas(&mut self, object: &Object, left: &mut Vec<Left>) -> bool {
        if std::mem::replace(&mut self.horizontal, true) {
            let what = format!("scales {} too, beside {}", self.spec.target_ref.name, self.from.join(" and "));
            left.push(object.left("spec", &what, "the first one counts; two autoscalers on one target fight"));
            return false;
        }
        self.levers.insert(Lever::Replicas);
        true
    }

    /// The objective, to be changed.
    pub(super) fn objective(&mut self) -> &mut api::Objective {
        self.spec.objective.get_or_insert_default()
    }

    /// The rule of a container, to be changed.
    pub(super) fn container(&mut self, name: &str) -> &mut api::ContainerRule {
        let known = self.spec.containers.iter().position(|rule| rule.name == name);
        let index = known.unwrap_or_else(|| {
            let rule = api::ContainerRule { name: name.to_owned(), ..api::ContainerRule::default() };
            self.spec.containers.push(rule);
            self.spec.containers.len() - 1
        });
        &mut self.spec.containers[index]
    }

    /// A name that no signal has yet, made of a text.
    pub(super) fn signal_name(&self, text: &str) -> String {
        let letters = text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' });
        let name: String = letters.collect::<String>().trim_matches('-').chars().take(50).collect();
        let name = if name.is_empty() { "signal".to_owned() } else { name.trim_end_matches('-').to_owned() };
        let taken = |name: &str| self.spec.signals.iter().any(|signal| signal.name == name);
        let numbered = (2..).map(|n| format!("{name}-{n}"));
        std::iter::once(name.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or(name)
    }

    /// The policy as YAML. What this version cannot do yet is taken out and said. `workload` is the metadata of the target,
    /// where its manifest is given too.
    pub(super) fn finish(
        mut self,
        workload: Option<&Value>,
        left: &mut Vec<Left>,
    ) -> Result<String, serde_saphyr::ser::Error> {
        self.spec.levers = Some(self.levers.iter().copied().collect());
        for _ in 0..2 {
            let problems = self.problems();
            if problems.is_empty() {
                break;
            }
            let (later, invalid): (Vec<_>, Vec<_>) =
                problems.into_iter().partition(|p| p.kind == ProblemKind::NotYetSupported);
            if later.is_empty() {
                left.extend(
                    invalid.iter().map(|p| Left::new(&self.place, &format!("gives a policy that is refused: {p}"))),
                );
                break;
            }
            for problem in later.iter().rev() {
                left.push(Left::new(&self.place, &format!("gives {problem}")));
                self.take_out(problem);
            }
        }
        let printed = Printed {
            api_version: "autoscaling.arbiter.io/v1alpha1",
            kind: "ScalingPolicy",
            metadata: Metadata { name: &self.name, namespace: &self.namespace },
            spec: &self.spec,
        };
        let yaml = serde_saphyr::to_string(&printed)?;
        if self.levers.contains(&Lever::Replicas) {
            git::note_workload(&mut self.keepers, &self.spec.target_ref, &self.namespace, workload);
        }
        Ok(format!("---\n# From {}.\n{}{yaml}", self.from.join(", "), git::comments(&self.keepers)))
    }

    fn problems(&self) -> Vec<Problem> {
        let mut policy = ScalingPolicy::new(&self.name, self.spec.clone());
        policy.metadata.namespace =
            Some(self.namespace.clone()).filter(|n| !n.is_empty()).or(Some("default".to_owned()));
        compile(&policy).err().unwrap_or_default()
    }

    /// Takes out what this version refuses.
    fn take_out(&mut self, problem: &Problem) {
        let path = problem.path.strip_prefix("spec.").unwrap_or(&problem.path);
        let index = path.split(['[', ']']).nth(1).and_then(|text| text.parse::<usize>().ok());
        if path.starts_with("replicas.min") {
            self.spec.replicas.get_or_insert_default().min = Some(1);
        } else if path.starts_with("schedules") {
            self.spec.schedules.clear();
        } else if path.starts_with("resize") {
            self.spec.resize = None;
        } else if let Some(index) = index.filter(|i| path.starts_with("signals") && *i < self.spec.signals.len()) {
            let gone = self.spec.signals.remove(index).name;
            let objective = self.objective();
            objective.backlog = objective.backlog.take().filter(|backlog| backlog.signal != gone);
            if *objective == api::Objective::default() {
                self.spec.objective = None;
            }
        }
    }
}
