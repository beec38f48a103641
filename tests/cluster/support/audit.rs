//! The API server's audit log: who wrote what, by its own account.

use std::io::{Read as _, Seek as _, SeekFrom};

use jiff::Timestamp;
use serde_json::Value;

use super::{
    account::{Right, right},
    cluster::Cluster,
};

/// One request that the API server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuditEvent {
    /// Who.
    pub(crate) user: String,
    /// With which client, by its own words.
    pub(crate) agent: String,
    /// Verb, for example `patch`.
    pub(crate) verb: String,
    /// Resource with its subresource, for example `deployments/scale`.
    pub(crate) resource: String,
    /// Namespace; empty for cluster-wide objects.
    pub(crate) namespace: String,
    /// Name of the object.
    pub(crate) name: String,
    /// HTTP status of the answer.
    pub(crate) code: u64,
    /// When the request came.
    pub(crate) received: Option<Timestamp>,
    /// When the answer left.
    pub(crate) at: Option<Timestamp>,
}

impl AuditEvent {
    /// Whether it would change something.
    pub(crate) fn writes(&self) -> bool {
        matches!(self.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection")
    }
}

/// Every request of one user so far, in order.
pub(crate) fn audit_events(cluster: &Cluster, user: &str) -> Vec<AuditEvent> {
    events(cluster, |event| event["user"]["username"] == user)
}

/// Every request about a namespace so far, by whomever, in order.
pub(crate) fn audit_of_namespace(cluster: &Cluster, namespace: &str) -> Vec<AuditEvent> {
    events(cluster, |event| event["objectRef"]["namespace"] == namespace)
}

/// The end of the audit log, read on from where it was left.
#[derive(Debug)]
pub(crate) struct AuditTail {
    file: std::fs::File,
    /// Of a line, what has been written so far.
    begun: Vec<u8>,
}

impl AuditTail {
    /// From now on.
    pub(crate) fn start(cluster: &Cluster) -> Self {
        let mut file = std::fs::File::open(cluster.get("AUDIT_LOG")).expect("the audit log");
        file.seek(SeekFrom::End(0)).expect("the audit log");
        Self { file, begun: Vec::new() }
    }

    /// What clients with this prefix of a name have asked for since the last call, in order.
    pub(crate) fn read(&mut self, agent: &str) -> Vec<AuditEvent> {
        self.file.read_to_end(&mut self.begun).expect("the audit log");
        let end = self.begun.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let rest = self.begun.split_off(end);
        let whole = std::mem::replace(&mut self.begun, rest);
        let lines = whole.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        // Most lines are other clients': they need not be understood.
        let mine = lines.filter(|line| line.windows(agent.len()).any(|part| part == agent.as_bytes()));
        let events = mine.map(|line| serde_json::from_slice::<Value>(line).expect("an audit event"));
        let ended = events.filter(|e| e["stage"] == "ResponseComplete").map(|e| event(&e));
        ended.filter(|event| event.agent.starts_with(agent)).collect()
    }
}

/// The rights that a user's requests took, each with whether it had them. Requests for no resource, such as the list of
/// what is served, need none of a role's.
pub(super) fn asked(cluster: &Cluster, user: &str) -> Vec<(Right, bool)> {
    let asked = |e: &Value| {
        let AuditEvent { resource, verb, .. } = event(e);
        let group = e["objectRef"]["apiGroup"].as_str().unwrap_or_default();
        (right(group, &resource, &verb), e["annotations"]["authorization.k8s.io/decision"] == "allow")
    };
    let theirs = |e: &Value| e["user"]["username"] == user && e["objectRef"]["resource"].is_string();
    raw(cluster, theirs).iter().map(asked).collect()
}

fn events(cluster: &Cluster, is_wanted: impl Fn(&Value) -> bool) -> Vec<AuditEvent> {
    raw(cluster, |e| is_wanted(e) && e["stage"] == "ResponseComplete").iter().map(event).collect()
}

fn raw(cluster: &Cluster, is_wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
    let text = std::fs::read_to_string(cluster.get("AUDIT_LOG")).expect("the audit log");
    // The last line may be half written.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let events = whole.lines().map(|line| serde_json::from_str::<Value>(line).expect("an audit event"));
    events.filter(is_wanted).collect()
}

fn event(event: &Value) -> AuditEvent {
    let reference = &event["objectRef"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let resource = match reference["subresource"].as_str() {
        Some(sub) => format!("{}/{sub}", text(&reference["resource"])),
        None => text(&reference["resource"]),
    };
    AuditEvent {
        user: text(&event["user"]["username"]),
        agent: text(&event["userAgent"]),
        verb: text(&event["verb"]),
        resource,
        namespace: text(&reference["namespace"]),
        name: text(&reference["name"]),
        code: event["responseStatus"]["code"].as_u64().unwrap_or_default(),
        received: event["requestReceivedTimestamp"].as_str().and_then(|t| t.parse().ok()),
        at: event["stageTimestamp"].as_str().and_then(|t| t.parse().ok()),
    }
}
