//! The API server's audit log: who wrote what, by its own account.

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
        verb: text(&event["verb"]),
        resource,
        namespace: text(&reference["namespace"]),
        name: text(&reference["name"]),
        code: event["responseStatus"]["code"].as_u64().unwrap_or_default(),
        at: event["stageTimestamp"].as_str().and_then(|t| t.parse().ok()),
    }
}
