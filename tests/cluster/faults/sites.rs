//! Every place from which arbiter writes, by name, told from the request alone.
//!
//! That the list is complete is checked from two sides: a write that no site names fails the run ([`classify`] gives
//! none), and every kind of write that the code knows has a site.

use std::collections::{BTreeMap, BTreeSet};

use arbiter::{
    actuate::WriteKind,
    takeover::{ANNOTATION, FINALIZER, Saved},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A place that writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
pub(super) enum Site {
    /// The lease, where there was none.
    LeaseCreate,
    /// The lease, from a holder that is gone.
    LeaseTake,
    /// The lease, kept.
    LeaseRenew,
    /// The lease, given back at the end.
    LeaseRelease,
    /// The finalizer of a policy, before anything is displaced.
    FinalizerAdd,
    /// The same, after all was given back.
    FinalizerRemove,
    /// What an autoscaler was, into its annotation.
    RivalSave,
    /// The autoscaler made inert.
    RivalStandDown,
    /// For whom it is displaced, renewed.
    RivalStamp,
    /// The autoscaler as it was.
    RivalRestore,
    /// The count, inside the bounds of what is given back.
    BringInside,
    /// The count, as decided.
    Scale,
    /// The size of a running pod.
    Resize,
    /// A pod's eviction.
    Evict,
    /// A policy's status.
    Status,
    /// An Event.
    Event,
    /// The table of new pods' sizes: made.
    TableCreate,
    /// The same: changed.
    TableUpdate,
    /// The same: taken away with its last row.
    TableDelete,
    /// What is remembered of many policies.
    MemoryWrite,
    /// An object of that which holds nothing any more.
    MemoryDelete,
}

impl Site {
    /// All of them.
    pub(super) const ALL: [Self; 21] = [
        Self::LeaseCreate,
        Self::LeaseTake,
        Self::LeaseRenew,
        Self::LeaseRelease,
        Self::FinalizerAdd,
        Self::FinalizerRemove,
        Self::RivalSave,
        Self::RivalStandDown,
        Self::RivalStamp,
        Self::RivalRestore,
        Self::BringInside,
        Self::Scale,
        Self::Resize,
        Self::Evict,
        Self::Status,
        Self::Event,
        Self::TableCreate,
        Self::TableUpdate,
        Self::TableDelete,
        Self::MemoryWrite,
        Self::MemoryDelete,
    ];

    /// Those that are not reached while faults are on: what is remembered is written a minute after a start, or at its end.
    pub(super) const AT_REST: [Self; 2] = [Self::MemoryWrite, Self::MemoryDelete];

    /// The kind of write that the fence counts it as; none: the lease itself, which the fence rests on.
    const fn kind(self) -> Option<WriteKind> {
        match self {
            Self::LeaseCreate | Self::LeaseTake | Self::LeaseRenew | Self::LeaseRelease => None,
            Self::FinalizerAdd
            | Self::FinalizerRemove
            | Self::RivalSave
            | Self::RivalStandDown
            | Self::RivalStamp
            | Self::RivalRestore
            | Self::BringInside => Some(WriteKind::Takeover),
            Self::Scale => Some(WriteKind::Scale),
            Self::Resize => Some(WriteKind::Resize),
            Self::Evict => Some(WriteKind::Evict),
            Self::Status => Some(WriteKind::Status),
            Self::Event => Some(WriteKind::Event),
            Self::TableCreate | Self::TableUpdate | Self::TableDelete => Some(WriteKind::PodSizes),
            Self::MemoryWrite | Self::MemoryDelete => Some(WriteKind::Memory),
        }
    }

    /// Verb and resource in the audit log.
    pub(super) const fn audited(self) -> (&'static str, &'static str) {
        match self {
            Self::LeaseCreate => ("create", "leases"),
            Self::LeaseTake | Self::LeaseRenew | Self::LeaseRelease => ("update", "leases"),
            Self::FinalizerAdd | Self::FinalizerRemove => ("patch", "scalingpolicies"),
            Self::RivalSave | Self::RivalStandDown | Self::RivalStamp | Self::RivalRestore => {
                ("update", "horizontalpodautoscalers")
            }
            Self::BringInside | Self::Scale => ("update", "deployments/scale"),
            Self::Resize => ("patch", "pods/resize"),
            Self::Evict => ("create", "pods/eviction"),
            Self::Status => ("patch", "scalingpolicies/status"),
            Self::Event => ("create", "events"),
            Self::TableCreate => ("create", "podsizes"),
            Self::TableUpdate => ("update", "podsizes"),
            Self::TableDelete => ("delete", "podsizes"),
            Self::MemoryWrite => ("patch", "configmaps"),
            Self::MemoryDelete => ("delete", "configmaps"),
        }
    }
}

/// What a path names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Route {
    /// Namespace; none: of the whole cluster.
    pub(super) namespace: Option<String>,
    /// Plural of the resource; empty: none (discovery, version).
    pub(super) resource: String,
    /// Name; none: the collection.
    pub(super) name: Option<String>,
    /// Subresource; empty: none.
    pub(super) sub: String,
}

impl Route {
    /// Reads a path.
    pub(super) fn of(path: &str) -> Self {
        let mut parts = path.trim_matches('/').split('/');
        match parts.next() {
            Some("api") => drop(parts.next()),
            Some("apis") => drop((parts.next(), parts.next())),
            _ => return Self::default(),
        }
        let mut rest: Vec<&str> = parts.collect();
        let namespaced = rest.len() > 2 && rest[0] == "namespaces";
        let namespace = namespaced.then(|| rest.drain(..2).nth(1).unwrap_or_default().to_owned());
        let part = |at: usize| rest.get(at).map(|text| (*text).to_owned());
        Self { namespace, resource: part(0).unwrap_or_default(), name: part(1), sub: part(2).unwrap_or_default() }
    }
}

/// What must be known beside a request to name its site.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// Autoscalers that were stood down, by namespace and name.
    down: BTreeSet<(String, String)>,
    /// Namespaces whose workload is on its way back, with the largest count of the autoscaler that gets it.
    back: BTreeMap<String, u64>,
}

impl Known {
    /// Notes that a history gives its workload back from now on, to an autoscaler with this largest count.
    pub(super) fn goes_back(&mut self, namespace: &str, most: u64) {
        self.back.insert(namespace.to_owned(), most);
    }

    /// Notes what a write came to.
    pub(super) fn done(&mut self, site: Site, route: &Route) {
        let whole = (route.namespace.clone().unwrap_or_default(), route.name.clone().unwrap_or_default());
        match site {
            Site::RivalStandDown => drop(self.down.insert(whole)),
            Site::RivalRestore => drop(self.down.remove(&whole)),
            _ => {}
        }
    }
}

/// The site of a write; none when there is no such site.
pub(super) fn classify(method: &str, route: &Route, body: &Value, known: &Known) -> Option<Site> {
    match (method, route.resource.as_str(), route.sub.as_str()) {
        ("POST", "leases", "") => Some(Site::LeaseCreate),
        ("PUT", "leases", "") => Some(match (&body["spec"]["holderIdentity"], &body["spec"]["acquireTime"]) {
            (Value::Null, _) => Site::LeaseRelease,
            (_, Value::Null) => Site::LeaseRenew,
            _ => Site::LeaseTake,
        }),
        ("PATCH", "scalingpolicies", "") => {
            let finalizers = body["metadata"]["finalizers"].as_array()?;
            Some(if finalizers.iter().any(|f| f == FINALIZER) { Site::FinalizerAdd } else { Site::FinalizerRemove })
        }
        ("PUT", "horizontalpodautoscalers", "") => rival(route, body, known),
        ("PUT", "deployments", "scale") => {
            let most = route.namespace.as_ref().and_then(|namespace| known.back.get(namespace));
            let inside = most.zip(body["spec"]["replicas"].as_u64()).is_some_and(|(most, count)| count <= *most);
            Some(if inside { Site::BringInside } else { Site::Scale })
        }
        ("PATCH", "pods", "resize") => Some(Site::Resize),
        ("POST", "pods", "eviction") => Some(Site::Evict),
        ("PATCH", "scalingpolicies", "status") => Some(Site::Status),
        ("POST", "events", "") => Some(Site::Event),
        ("POST", "podsizes", "") => Some(Site::TableCreate),
        ("PUT", "podsizes", "") => Some(Site::TableUpdate),
        ("DELETE", "podsizes", "") => Some(Site::TableDelete),
        ("PATCH", "configmaps", "") => Some(Site::MemoryWrite),
        ("DELETE", "configmaps", "") => Some(Site::MemoryDelete),
        _ => None,
    }
}

fn rival(route: &Route, body: &Value, known: &Known) -> Option<Site> {
    let Some(text) = body["metadata"]["annotations"][ANNOTATION].as_str() else { return Some(Site::RivalRestore) };
    let saved = Saved::read(text).ok()?;
    let whole = (route.namespace.clone()?, route.name.clone()?);
    Some(match (saved.down, known.down.contains(&whole)) {
        (false, _) => Site::RivalSave,
        (true, false) => Site::RivalStandDown,
        (true, true) => Site::RivalStamp,
    })
}

#[test]
fn every_kind_of_write_has_a_site() {
    let kinds: BTreeSet<WriteKind> = Site::ALL.iter().filter_map(|site| site.kind()).collect();
    assert_eq!(kinds, BTreeSet::from(WriteKind::ALL));
    assert_eq!(BTreeSet::from(Site::ALL).len(), Site::ALL.len());
}

#[test]
fn paths_are_read() {
    let route = Route::of("/apis/apps/v1/namespaces/shop/deployments/web/scale");
    let expected = Route {
        namespace: Some("shop".into()),
        resource: "deployments".into(),
        name: Some("web".into()),
        sub: "scale".into(),
    };
    assert_eq!(route, expected);
    assert_eq!(Route::of("/api/v1/nodes"), Route { resource: "nodes".into(), ..Route::default() });
    let namespace = Route { resource: "namespaces".into(), name: Some("shop".into()), ..Route::default() };
    assert_eq!(Route::of("/api/v1/namespaces/shop"), namespace);
    assert_eq!(Route::of("/version"), Route::default());
}

#[test]
fn a_write_that_nobody_knows_has_no_site() {
    let route = Route::of("/apis/apps/v1/namespaces/shop/deployments/web");
    assert_eq!(classify("PATCH", &route, &Value::Null, &Known::default()), None);
    assert_eq!(
        classify("DELETE", &Route::of("/api/v1/namespaces/shop/pods/web-1"), &Value::Null, &Known::default()),
        None
    );
}
