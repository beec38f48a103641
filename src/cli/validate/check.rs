//! The findings of `arbiter validate`, collected over all files and then printed.

use std::{collections::BTreeMap, fmt::Write};

use serde::Serialize;
use serde_json::Value;

use super::located::Document;
use crate::{
    api::{self, ScalingPolicy},
    policy::{self, Policy, Problem, ProblemKind, in_one_line},
};

/// Longest text of the YAML reader that is repeated, in characters: it may hold what stands in the file.
const LONGEST_CAUSE: usize = 300;

/// One problem at one line.
#[derive(Debug, Serialize)]
struct Finding {
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    path: String,
    message: String,
    kind: &'static str,
}

/// What was found in all files.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    policies: usize,
    other_documents: usize,
    findings: Vec<Finding>,
    unreadable: Vec<Finding>,
    /// Policies without a problem, for commands that go on with them.
    #[serde(skip)]
    pub(super) sound: Vec<Policy>,
    /// Target to the place of the first policy that names it.
    #[serde(skip)]
    targets: BTreeMap<(String, String, String), String>,
}

impl Report {
    /// Checks every document of a file.
    pub(super) fn file(&mut self, file: &str, text: &str) {
        match Document::all(text) {
            Ok(documents) => {
                let before = self.policies;
                for document in &documents {
                    self.document(file, document);
                }
                if self.policies == before {
                    self.unreadable(file, format!("holds no {}", kind()));
                }
            }
            Err((line, message)) => {
                let message = in_one_line(&message, LONGEST_CAUSE);
                self.unreadable.push(finding(file, line, String::new(), message, "Unreadable"));
            }
        }
    }

    /// A file that could not be read at all.
    pub(super) fn unreadable(&mut self, file: &str, reason: String) {
        self.unreadable.push(finding(file, None, String::new(), reason, "Unreadable"));
    }

    /// 0: fine, 1: problems, 2: something could not be read.
    pub(super) fn exit_code(&self) -> u8 {
        match (self.unreadable.is_empty(), self.findings.is_empty()) {
            (false, _) => 2,
            (true, false) => 1,
            (true, true) => 0,
        }
    }

    /// One line for each finding, in the order of files and documents.
    pub(super) fn lines(&self) -> String {
        self.findings.iter().map(|finding| format!("{}\n", line(finding))).collect()
    }

    /// Everything that is wrong, a line each: what could not be read, then findings.
    pub(super) fn problems(&self) -> Vec<String> {
        self.unreadable.iter().chain(&self.findings).map(line).collect()
    }

    /// Everything as one JSON object.
    pub(super) fn json(&self) -> anyhow::Result<String> {
        Ok(format!("{}\n", serde_json::to_string_pretty(self)?))
    }

    /// What is said on standard error at the end: files that could not be read, and the count.
    pub(super) fn closing(&self) -> String {
        let mut text = String::new();
        for finding in &self.unreadable {
            writeln!(text, "error: {}", line(finding)).expect("writing to a text cannot fail");
        }
        let count = |n: usize, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
        let policies = count(self.policies, "policy", "policies");
        let problems = count(self.findings.len(), "problem", "problems");
        writeln!(text, "{policies} checked, {problems}").expect("writing to a text cannot fail");
        text
    }

    fn document(&mut self, file: &str, document: &Document) {
        if document.value["kind"] == "List" || document.value["kind"] == format!("{}List", kind()) {
            for (index, item) in document.value["items"].as_array().into_iter().flatten().enumerate() {
                self.object(file, document, item, &format!("items[{index}]."));
            }
        } else {
            self.object(file, document, &document.value, "");
        }
    }

    fn object(&mut self, file: &str, document: &Document, object: &Value, prefix: &str) {
        if object["kind"] != kind() {
            self.other_documents += 1;
            return;
        }
        self.policies += 1;
        let before = self.findings.len();
        let policy = name(object);
        let problems = match compiled(object) {
            Ok(sound) => {
                self.sound.push(sound);
                Vec::new()
            }
            Err(problems) => problems,
        };
        for problem in problems {
            let path = format!("{prefix}{}", problem.path);
            let line = document.line(&path);
            let mut finding = finding(file, Some(line), path, problem.message, problem.kind.category());
            finding.policy.clone_from(&policy);
            self.findings.push(finding);
        }
        self.target(file, document, object, prefix);
        self.findings[before..].sort_by_key(|finding| finding.line);
    }

    /// One policy per target: the controller takes the older one, a file has no age.
    fn target(&mut self, file: &str, document: &Document, object: &Value, prefix: &str) {
        let target = &object["spec"]["targetRef"];
        let (Some(kind), Some(name)) = (target["kind"].as_str(), target["name"].as_str()) else { return };
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        let path = format!("{prefix}spec.targetRef");
        let line = document.line(&path);
        let key = (namespace.to_owned(), kind.to_owned(), name.to_owned());
        if let Some(first) = self.targets.get(&key) {
            let message =
                format!("{kind} {name} is the target of another policy already ({first}): keep one policy per target");
            self.findings.push(finding(file, Some(line), path, message, ProblemKind::Invalid.category()));
        } else {
            self.targets.insert(key, format!("{file}:{line}"));
        }
    }
}

fn finding(file: &str, line: Option<u64>, path: String, message: String, kind: &'static str) -> Finding {
    Finding { file: file.to_owned(), line, policy: None, path, message, kind }
}

fn line(finding: &Finding) -> String {
    let mut text = finding.file.clone();
    if let Some(line) = finding.line {
        write!(text, ":{line}").expect("writing to a text cannot fail");
    }
    if finding.path.is_empty() {
        format!("{text}: {}", finding.message)
    } else {
        format!("{text}: {}: {}", finding.path, finding.message)
    }
}

fn kind() -> String {
    <ScalingPolicy as kube::Resource>::kind(&()).into_owned()
}

fn name(object: &Value) -> Option<String> {
    let name = object["metadata"]["name"].as_str()?;
    Some(object["metadata"]["namespace"].as_str().map_or_else(|| name.to_owned(), |ns| format!("{ns}/{name}")))
}

/// The policy of one object, or all its problems: of its frame, then of its structure, then, when it has the right
/// structure, of its meaning.
fn compiled(object: &Value) -> Result<Policy, Vec<Problem>> {
    let invalid = |path: &str, message: String| Problem::new(path, &message, ProblemKind::Invalid);
    let mut found = Vec::new();
    let version = <ScalingPolicy as kube::Resource>::api_version(&());
    match object["apiVersion"].as_str() {
        Some(given) if given == version => {}
        Some(given) => found.push(invalid("apiVersion", format!("is {given}, and must be {version}"))),
        None => found.push(invalid("apiVersion", format!("is missing: write {version}"))),
    }
    if object["metadata"]["name"].as_str().is_none_or(str::is_empty) {
        found.push(invalid("metadata.name", "is missing: give the policy a name".to_owned()));
    }
    let structure = api::schema::check(object);
    let sound = structure.is_empty();
    found.extend(structure.into_iter().map(|violation| invalid(&violation.path, violation.message)));
    if !sound {
        return Err(found);
    }
    let policy = serde_json::from_value::<ScalingPolicy>(serde_json::json!({
        "apiVersion": version,
        "kind": kind(),
        "metadata": {"name": object["metadata"]["name"].as_str(), "namespace": object["metadata"]["namespace"].as_str()},
        "spec": object["spec"],
    }))
    .map_err(|error| vec![invalid("spec", format!("cannot be read: {error}"))])
    .and_then(|policy| policy::compile(&policy));
    match policy {
        Ok(policy) if found.is_empty() => Ok(policy),
        Ok(_) => Err(found),
        Err(problems) => {
            found.extend(problems);
            Err(found)
        }
    }
}
