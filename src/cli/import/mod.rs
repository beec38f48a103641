//! `arbiter import`: HPA, VPA and `ScaledObject` manifests, made into one `ScalingPolicy` per workload on stdout.
//!
//! Bounds, targets, behavior and triggers are kept, with what the API server would have filled in. Levers are those
//! that the objects had: a lone HPA gives a policy that moves replicas and nothing else. The mode is `Recommend`.
//!
//! Where a tool keeps the objects in Git, the text that it needs is printed as comments above the policy.
//!
//! Invariant: nothing is dropped in silence. What could not be carried over is a line on stderr, with its place, the
//! reason, and what to do; then the exit code is 1. What is printed is a policy that this version accepts.

mod draft;
mod git;
mod hpa;
mod keda;
mod object;
#[cfg(test)]
mod tests;
mod vpa;

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

use draft::Draft;
use object::{Kind, Left, Object};

use super::{Failure, validate};
use crate::{policy::parse_duration, units::Seconds};

/// Arguments of `arbiter import`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  arbiter import hpa.yaml vpa.yaml > policy.yaml\n  \
                        kubectl get hpa,vpa,scaledobject -n shop -o yaml | arbiter import - > policies.yaml\n\n\
                        Exit codes: 0 all was carried over, 1 something was not (said on stderr), 2 unreadable input.")]
pub(super) struct Args {
    /// YAML or JSON files; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Time that one replica works on one item of a queue: a trigger's threshold of N items per replica then becomes
    /// `drainWithin` N times as long [default: 30s whatever the threshold]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    item_time: Option<Seconds>,
}

/// Runs `arbiter import`.
#[expect(clippy::needless_pass_by_value, reason = "every subcommand owns its arguments")]
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut files = Vec::new();
    for file in &args.files {
        let name = validate::name_of(file);
        let text = validate::read(file).map_err(|reason| Failure::Input(format!("{name}: {reason}")))?;
        files.push((name, text));
    }
    let outcome = import(&files, args.item_time.map(|time| time.get()))?;
    super::print(&outcome.policies)?;
    for left in &outcome.left {
        eprintln!("{left}");
    }
    if outcome.left.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let (count, s) = (outcome.left.len(), if outcome.left.len() == 1 { "" } else { "s" });
    eprintln!("{count} setting{s} not carried over");
    Ok(ExitCode::from(1))
}

/// What came of the files.
#[derive(Debug)]
struct Outcome {
    /// The policies as YAML documents.
    policies: String,
    /// What is not in them.
    left: Vec<Left>,
}

/// Makes policies of the objects in files, given with their names.
fn import(files: &[(String, String)], item_seconds: Option<f64>) -> Result<Outcome, Failure> {
    let mut drafts: BTreeMap<(String, String, String), Draft> = BTreeMap::new();
    let mut left = Vec::new();
    let mut seen = 0_usize;
    let mut others = BTreeMap::new();
    for (file, text) in files {
        let documents = validate::Document::all(text).map_err(|(line, message)| {
            let place = line.map_or_else(|| file.clone(), |line| format!("{file}:{line}"));
            Failure::Input(format!("{place}: {message}"))
        })?;
        for value in documents.iter().flat_map(Object::values) {
            others.insert(object::identity(value), value["metadata"].clone());
        }
        for object in documents.iter().flat_map(|document| Object::all(file, document)) {
            seen += 1;
            take(&object, item_seconds, &mut drafts, &mut left);
        }
    }
    if seen == 0 {
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        let what = "holds no HorizontalPodAutoscaler, VerticalPodAutoscaler or ScaledObject";
        return Err(Failure::Input(format!("{}: {what}: give the manifests of the autoscalers", names.join(", "))));
    }
    let mut policies = String::new();
    for ((namespace, kind, name), draft) in drafts {
        let workload = others.get(&(namespace, kind, name));
        let text =
            draft.finish(workload, &mut left).map_err(|error| Failure::Environment(format!("stdout: {error}")))?;
        policies.push_str(&text);
    }
    Ok(Outcome { policies, left })
}

/// Puts an object into the draft of its target.
fn take(
    object: &Object,
    item_seconds: Option<f64>,
    drafts: &mut BTreeMap<(String, String, String), Draft>,
    left: &mut Vec<Left>,
) {
    let Some(target) = object.target() else {
        left.push(object.left("spec", "names no target that can be read", "name a kind and a name"));
        return;
    };
    if let Some(owner) = object.keda_owner() {
        left.push(object.left("metadata", &format!("was made by ScaledObject {owner}"), "import that one instead"));
        return;
    }
    let key = (object.namespace().to_owned(), target.kind.clone(), target.name.clone());
    let draft = drafts.entry(key).or_insert_with(|| Draft::new(object, target));
    match object.kind {
        Kind::Hpa => hpa::take(draft, object, left),
        Kind::Vpa => vpa::take(draft, object, left),
        Kind::Keda => keda::take(draft, object, item_seconds, left),
    }
}
