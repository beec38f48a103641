//! Every right that the chart and the kustomization grant is used, its absence is said by name, and none is missing.
//!
//! Each flow plays one side of what arbiter does, first as accounts that lack rights and must be told which, then as one that
//! has them all and must get through. What was asked for is read from the API server's audit log and held against the roles,
//! both ways. The roles are read as they are rendered: a verb that is added to them fails here until something uses it.

mod flows;

use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::{Value, json};

use crate::{
    deploy::charted,
    support::{Account, Arbiter, Cluster, Lab, Right, await_some, await_that, cluster, rendered, right},
    targets,
};

/// Rights whose absence is not said, because what is done without them is right as well.
///
/// - The namespace of a policy that is being deleted is read to see whether it goes too; where that cannot be asked it counts as
///   staying, which costs a write and harms nothing.
const SILENT: [(&str, &str, &str); 1] = [("", "namespaces", "get")];

/// What the roles grant, and what was seen of it.
struct World {
    cluster: &'static Cluster,
    /// Rights in all namespaces: those of every `ClusterRole`.
    everywhere: BTreeSet<Right>,
    /// Rights in arbiter's own namespace.
    own: BTreeSet<Right>,
    /// Has all of them.
    whole: Account,
    /// Arguments of the Deployment beside those that an instance of a test has of its own.
    arguments: Vec<String>,
    said: Mutex<BTreeSet<Right>>,
    accounts: AtomicUsize,
}

/// The rights of all roles of a kind; none may be granted twice, or taking it away would change nothing.
fn granted(objects: &[Value], kind: &str) -> BTreeSet<Right> {
    let rights: Vec<Right> =
        objects.iter().filter(|o| o["kind"] == kind).flat_map(|o| Right::of(&o["rules"])).collect();
    let mut once = BTreeSet::new();
    for right in rights {
        assert!(once.insert(right.clone()), "granted twice: {right}");
    }
    assert!(!once.is_empty(), "no {kind}");
    once
}

/// Arguments of the Deployment that are not about addresses, names and places.
fn arguments(objects: &[Value]) -> Vec<String> {
    let deployment = objects.iter().find(|o| o["kind"] == "Deployment").expect("a Deployment");
    let all = deployment["spec"]["template"]["spec"]["containers"][0]["args"].as_array().expect("arguments").clone();
    let ours = ["run", "--listen", "--lease-namespace", "--identity"];
    let kept = all.iter().filter_map(Value::as_str).filter(|a| !ours.contains(&a.split('=').next().unwrap_or(a)));
    kept.map(str::to_owned).collect()
}

impl World {
    async fn new() -> Self {
        let cluster = cluster().await;
        let kustomized = rendered(cluster, "auto");
        let extra = json!([{"apiGroup": targets::GROUP, "resource": "shops"}]);
        let charted = charted(cluster, "auto", &[&format!("--set-json=extraScaleResources={extra}")]);
        let (everywhere, own) = (granted(&charted, "ClusterRole"), granted(&charted, "Role"));
        let without_extra: BTreeSet<Right> =
            everywhere.iter().filter(|right| right.group != targets::GROUP).cloned().collect();
        assert_eq!(without_extra, granted(&kustomized, "ClusterRole"), "the chart and the kustomization differ");
        assert_eq!(own, granted(&kustomized, "Role"), "the chart and the kustomization differ");
        let whole = Account::new(cluster, "whole", &everywhere, &own).await;
        let arguments = arguments(&kustomized);
        Self { cluster, everywhere, own, whole, arguments, said: Mutex::default(), accounts: AtomicUsize::new(0) }
    }

    /// An account without some rights, which the roles must grant.
    async fn lacking(&self, rights: &[Right]) -> Account {
        let lacks = |granted: &BTreeSet<Right>| granted.iter().filter(|r| !rights.contains(r)).cloned().collect();
        for right in rights {
            assert!(self.everywhere.contains(right) || self.own.contains(right), "no role grants {right}");
        }
        let number = self.accounts.fetch_add(1, Ordering::Relaxed);
        Account::new(self.cluster, &format!("lacking-{number}"), &lacks(&self.everywhere), &lacks(&self.own)).await
    }

    /// An instance with all rights.
    fn arbiter(&self, namespace: &str, extra: &[String]) -> Arbiter {
        self.whole.arbiter(namespace, &[&self.arguments[..], extra].concat())
    }

    /// Runs arbiter without some rights until it has asked for each of them by name, in its log or in a condition.
    async fn is_told(&self, lab: &Lab, rights: &[Right], extra: &[String]) {
        let account = self.lacking(rights).await;
        let arbiter = account.arbiter(&lab.namespace, &[&self.arguments[..], extra].concat());
        for right in rights {
            await_some(&format!("a sentence that asks for {right}"), 90, || async {
                let text = format!("{}\n{}", account.logged(&lab.namespace), conditions(lab).await);
                if right.is_asked_for_in(&text) { Ok(()) } else { Err(arbiter.last_words()) }
            })
            .await;
        }
        self.have_been_said(rights);
    }

    fn have_been_said(&self, rights: &[Right]) {
        self.said.lock().expect("the rights").extend(rights.iter().cloned());
    }
}

/// Every condition of every policy of the namespace.
async fn conditions(lab: &Lab) -> String {
    let list = lab.get(&lab.path(flows::ARBITER, "scalingpolicies")).await.object("policies");
    list["items"].as_array().into_iter().flatten().map(|p| p["status"]["conditions"].to_string()).collect()
}

#[tokio::test]
async fn every_right_is_used_and_missed_and_none_is_missing() {
    let world = World::new().await;
    // Two after two: each has instances of arbiter of its own, and machines are small.
    tokio::join!(flows::counts(&world), flows::owners(&world));
    tokio::join!(flows::sizes(&world), flows::eviction(&world));
    tokio::join!(flows::watches(&world), async {
        flows::leases(&world).await;
        flows::stopping(&world).await;
        flows::sources(&world).await;
    });

    let said = world.said.lock().expect("the rights").clone();
    let silent: Vec<&Right> = world.everywhere.difference(&said).collect();
    let expected = SILENT.map(|(group, resource, verb)| right(group, resource, verb));
    assert_eq!(silent, expected.iter().collect::<Vec<_>>(), "their absence is not said");

    let asked = world.whole.asked();
    let refused: BTreeSet<&Right> = asked.iter().filter(|(_, allowed)| !allowed).map(|(right, _)| right).collect();
    assert!(refused.is_empty(), "rights are missing: {refused:?}");
    let used: BTreeSet<Right> = asked.into_iter().map(|(right, _)| right).collect();
    let unused: Vec<&Right> = world.everywhere.difference(&used).collect();
    assert!(unused.is_empty(), "nothing uses {unused:?}: remove them from the chart and the kustomization");
    // Beside leases, the rights in its own namespace are about objects that are its alone.
    let leases = |right: &&Right| right.resource == "leases";
    let unused: Vec<&Right> = world.own.difference(&used).filter(leases).collect();
    assert!(unused.is_empty(), "nothing uses {unused:?}: remove them from the chart and the kustomization");
    let foreign: Vec<&Right> =
        used.iter().filter(|r| !world.everywhere.contains(r) && !world.own.contains(r)).collect();
    assert!(foreign.is_empty(), "allowed by somebody else's role: {foreign:?}");
}

#[tokio::test]
async fn the_observe_profile_is_refused_nothing() {
    let cluster = cluster().await;
    let objects = rendered(cluster, "observe");
    let account = Account::new(cluster, "observe", &granted(&objects, "ClusterRole"), &granted(&objects, "Role")).await;
    let lab = Lab::new("rights-observe", "rights").await;
    flows::workload(&lab, "Deployment", "web", 2).await;
    flows::policy(&lab, "web", &json!({"mode": "Recommend", "replicas": {"min": 3, "max": 3}})).await;
    let mut arbiter = account.arbiter(&lab.namespace, &arguments(&objects));
    arbiter.decided(&lab.namespace, "web").await;
    let before = arbiter.ticks().await;
    await_that("five ticks", 60, || arbiter.ticks(), |ticks| *ticks >= before + 5).await;
    let asked = account.asked();
    assert!(asked.iter().any(|(right, _)| right.resource == "scalingpolicies/status"), "{asked:?}");
    let refused: BTreeSet<&Right> = asked.iter().filter(|(_, allowed)| !allowed).map(|(right, _)| right).collect();
    assert!(refused.is_empty(), "asks for what the profile does not grant: {refused:?}");
}
