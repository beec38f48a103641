//! Identities with rights of a test's own: a `ServiceAccount`, its roles, and instances of arbiter that run under it.
//!
//! They live in a namespace whose accounts the audit policy writes down in full, reads too.

use std::{collections::BTreeSet, fmt, path::PathBuf};

use serde_json::{Value, json};

use super::{audit, cluster::Cluster, install, lab::ClusterWide, process::Arbiter};

/// Namespace of the accounts and of their leases (`templates/audit-policy.yaml` names it).
pub(crate) const ACCOUNTS: &str = "arbiter-rights";

/// One verb on one resource, as a rule of a role grants it and as a request needs it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Right {
    /// API group; empty for the core group.
    pub(crate) group: String,
    /// Resource with its subresource.
    pub(crate) resource: String,
    /// Verb.
    pub(crate) verb: String,
}

/// A right in short.
pub(crate) fn right(group: &str, resource: &str, verb: &str) -> Right {
    Right { group: group.to_owned(), resource: resource.to_owned(), verb: verb.to_owned() }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.verb, self.resource, self.group)
    }
}

impl Right {
    /// Every right of the rules of a role.
    pub(crate) fn of(rules: &Value) -> Vec<Self> {
        let words = |rule: &Value, key: &str| -> Vec<String> {
            let list = rule[key].as_array().unwrap_or_else(|| panic!("a rule without {key}: {rule}"));
            list.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect()
        };
        let mut rights = Vec::new();
        for rule in rules.as_array().expect("rules") {
            for group in words(rule, "apiGroups") {
                for resource in words(rule, "resources") {
                    rights.extend(words(rule, "verbs").iter().map(|verb| right(&group, &resource, verb)));
                }
            }
        }
        rights
    }

    fn rule(&self) -> Value {
        json!({"apiGroups": [self.group], "resources": [self.resource], "verbs": [self.verb]})
    }

    /// Whether a text asks a person to grant it.
    pub(crate) fn is_asked_for_in(&self, text: &str) -> bool {
        let Self { resource, verb, .. } = self;
        let mut asks = vec![format!("grant the verb {verb} on {resource}")];
        if ["list", "watch"].contains(&verb.as_str()) {
            asks.push(format!("grant the verbs list and watch on {resource}"));
        }
        // The next character must not go on with the resource's name: scalingpolicies is not scalingpolicies/status.
        let whole =
            |at: usize, ask: &str| !text[at + ask.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '/');
        asks.iter().any(|ask| text.match_indices(ask.as_str()).any(|(at, _)| whole(at, ask)))
    }
}

/// A `ServiceAccount` with a cluster role and a role of its own.
pub(crate) struct Account {
    cluster: &'static Cluster,
    name: String,
    kubeconfig: PathBuf,
    _bound: ClusterWide,
}

impl Account {
    /// Makes it, with rights in all namespaces and in that of the accounts.
    pub(crate) async fn new(
        cluster: &'static Cluster,
        name: &str,
        everywhere: &BTreeSet<Right>,
        own: &BTreeSet<Right>,
    ) -> Self {
        let name = format!("{name}-{}", std::process::id());
        let within = json!({"name": name, "namespace": ACCOUNTS});
        let role = |kind: &str, metadata: &Value, rights: &BTreeSet<Right>| {
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata,
                "rules": rights.iter().map(Right::rule).collect::<Vec<_>>()})
        };
        let binding = |kind: &str, metadata: &Value| {
            let to = kind.trim_end_matches("Binding");
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata,
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": to, "name": name},
                "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": ACCOUNTS}]})
        };
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ACCOUNTS}});
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": within});
        let theirs = [namespace, account, role("Role", &within, own), binding("RoleBinding", &within)];
        let list = json!({"apiVersion": "v1", "kind": "List", "items": theirs});
        cluster.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", "-"], Some(&list.to_string()));
        let wide = json!({"name": name});
        let bound =
            ClusterWide::apply(&[role("ClusterRole", &wide, everywhere), binding("ClusterRoleBinding", &wide)]).await;
        let kubeconfig = install::kubeconfig_of(cluster, ACCOUNTS, &name).await;
        Self { cluster, name, kubeconfig, _bound: bound }
    }

    /// Its kubeconfig.
    pub(crate) fn kubeconfig(&self) -> &std::path::Path {
        &self.kubeconfig
    }

    /// Starts an instance of arbiter for a namespace, with a lease of its own. It ticks often: what is tested here waits for
    /// nothing that takes time to show.
    pub(crate) fn arbiter(&self, namespace: &str, extra: &[String]) -> Arbiter {
        let mut args = vec![
            format!("--namespace={namespace}"),
            format!("--lease-namespace={ACCOUNTS}"),
            format!("--lease-name={namespace}-{}", self.name),
            format!("--identity={}", self.name),
            "--tick=2s".to_owned(),
            "--log=info,arbiter=debug".to_owned(),
        ];
        args.extend_from_slice(extra);
        Arbiter::start(&self.kubeconfig, &args, &self.log(namespace))
    }

    fn log(&self, namespace: &str) -> PathBuf {
        self.cluster.dir().join(format!("{namespace}-{}.log", self.name))
    }

    /// What its instances for a namespace have logged.
    pub(crate) fn logged(&self, namespace: &str) -> String {
        std::fs::read_to_string(self.log(namespace)).unwrap_or_default()
    }

    /// What it has asked of the API server so far, each with whether that was allowed.
    pub(crate) fn asked(&self) -> Vec<(Right, bool)> {
        audit::asked(self.cluster, &format!("system:serviceaccount:{ACCOUNTS}:{}", self.name))
    }
}
