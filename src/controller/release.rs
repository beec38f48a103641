//! I/O: Gives everything back without a controller: the same protocol as [`super::custody`], for a person or for the hook that
//! runs before the chart is removed.
//!
//! Invariant: it writes only while it holds the controller's lease, so that no controller takes over again what it gives
//! back, unless it is told that there is no controller.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::api::{apps::v1::Deployment, coordination::v1::Lease};
use kube::{
    Api, Client,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    ControllerError,
    custody::{self, Aim, Custody, Hands, Turnstile, Wanted},
    lease,
    run::{cluster_config, connect},
};
use crate::{
    actuate::{Bucket, Claim, FIELD_MANAGER, Fence, Gate, Table, Writer, writing_client},
    api::{POD_SIZES_NAME, PodSizes},
    observe::{
        clock::SystemClock,
        kubernetes::{Cluster, Targets, list_once},
        root_cause,
    },
    policy::{Mode, PolicyKey, Shard},
};

/// Looks at everything: what changed meanwhile is looked at again.
const PASSES: usize = 3;

/// Writes per second, as the controller's.
const WRITES_PER_SECOND: f64 = 20.0;

/// How old a look may be: a pass over a large cluster takes a while, and every write is conditional on the version that was
/// seen.
const LOOK_AGE: Duration = Duration::from_mins(10);

/// What to give back, and how.
#[derive(Clone, Debug)]
pub struct Release {
    /// Context of the kubeconfig.
    pub context: Option<String>,
    /// Namespaces; none: all.
    pub namespaces: Vec<String>,
    /// Names of policies; none: all of the namespaces.
    pub names: Vec<String>,
    /// The controller's lease; none: there is no controller.
    pub lease: Option<lease::Settings>,
    /// Deployments in the lease's namespace that are scaled to zero first.
    pub stop: Vec<String>,
}

/// What came of one policy.
#[derive(Clone, Debug)]
pub struct Released {
    /// Which.
    pub policy: PolicyKey,
    /// What was done, in order.
    pub done: Vec<String>,
    /// Why something was not given back.
    pub problem: Option<String>,
}

/// Gives back.
///
/// # Errors
/// When the cluster cannot be reached or read, or the controller's lease cannot be had.
pub async fn release(wanted: &Release) -> Result<Vec<Released>, ControllerError> {
    let config = cluster_config(wanted.context.as_deref()).await?;
    let client = connect(&config).await?;
    let write_client =
        writing_client(config).map_err(|error| ControllerError::Kubeconfig { cause: root_cause(&error) })?;
    if let Some(lease) = &wanted.lease {
        for deployment in &wanted.stop {
            stop(&client, &lease.namespace, deployment).await?;
        }
    }
    let (sender, claim) = watch::channel(Claim::default());
    let given_back = CancellationToken::new();
    let holder = if let Some(settings) = &wanted.lease {
        hold(&client, &write_client, settings, sender, (!wanted.stop.is_empty(), &given_back)).await?
    } else {
        sender.send_replace(forever());
        None
    };
    let fence = Fence::new(claim, Bucket::new(WRITES_PER_SECOND, WRITES_PER_SECOND), LOOK_AGE);
    let writer = Writer::new(write_client, Arc::new(fence));
    let outcome = passes(wanted, &client, &writer).await;
    given_back.cancel();
    if let Some(holder) = holder {
        drop(timeout(super::shutdown::GRACE, holder).await);
    }
    outcome
}

/// A claim for as long as this takes, where nobody else can have one.
fn forever() -> Claim {
    Claim { until: Some(Instant::now() + LOOK_AGE), holder: None }
}

/// Scales the controller's Deployment to zero.
async fn stop(client: &Client, namespace: &str, name: &str) -> Result<(), ControllerError> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let patch = Patch::Merge(json!({"spec": {"replicas": 0}}));
    let options = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    match api.patch_scale(name, &options, &patch).await {
        Ok(_) => Ok(()),
        // Removed already: nothing runs that would have to stop.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 403 => Err(ControllerError::Cluster(format!(
            "Deployment {namespace}/{name} cannot be scaled to zero: grant the verb patch on deployments/scale, or stop it by hand"
        ))),
        Err(error) => Err(ControllerError::Cluster(format!(
            "Deployment {namespace}/{name} cannot be scaled to zero: {}",
            root_cause(&error)
        ))),
    }
}

/// Takes the only shard's lease, which is a claim once no other shard's is held; none when there is none to take.
async fn hold(
    client: &Client,
    write_client: &Client,
    settings: &lease::Settings,
    sender: watch::Sender<Claim>,
    (stopped, given_back): (bool, &CancellationToken),
) -> Result<Option<tokio::task::JoinHandle<()>>, ControllerError> {
    let name = settings.lease();
    let place = format!("{}/{name}", settings.namespace);
    let leases: Api<Lease> = Api::namespaced(client.clone(), &settings.namespace);
    let controllers = |lease: &Lease| {
        lease.metadata.name.as_deref().is_some_and(|name| Shard::of_lease(&settings.base, name).is_some())
    };
    match leases.list(&ListParams::default()).await.map(|leases| leases.items.iter().any(controllers)) {
        Ok(true) => {}
        // Whoever has just stopped the controller knows that none runs.
        Ok(false) if stopped => {
            sender.send_replace(forever());
            return Ok(None);
        }
        Ok(false) => {
            return Err(ControllerError::Cluster(format!(
                "there is no lease {place}: name the controller's with --lease-namespace and --lease-name, or say \
                 --without-lease when no controller runs"
            )));
        }
        Err(error) => {
            return Err(ControllerError::Cluster(format!(
                "lease {place} cannot be read ({}): grant the verbs get, list and update on leases, or stop the controller and say \
                 --without-lease",
                root_cause(&error)
            )));
        }
    }
    let mut claim = sender.subscribe();
    let task =
        tokio::spawn(lease::run(write_client.clone(), settings.clone(), SystemClock, sender, given_back.clone()));
    // A holder that is gone is waited out; one that renews is not.
    let patience = settings.timing.duration + settings.timing.retry * 3;
    let held = matches!(timeout(patience, claim.wait_for(|claim| claim.current(Instant::now()))).await, Ok(Ok(_)));
    if held {
        return Ok(Some(task));
    }
    let holder = claim.borrow().holder.clone().unwrap_or_else(|| "nobody".to_owned());
    given_back.cancel();
    drop(timeout(super::shutdown::GRACE, task).await);
    Err(ControllerError::Cluster(format!(
        "a controller runs: {holder} keeps renewing lease {place}. Set mode: Recommend on the policies and it gives back itself, or \
         stop it first (--stop DEPLOYMENT does)"
    )))
}

async fn passes(wanted: &Release, client: &Client, writer: &Writer) -> Result<Vec<Released>, ControllerError> {
    let targets = Targets::new(client.clone());
    let turnstile = Turnstile::default();
    let mut all: Vec<Released> = Vec::new();
    for _ in 0..PASSES {
        let cluster = list_once(client, &wanted.namespaces).await.map_err(ControllerError::Cluster)?;
        let hands = Hands { cluster: &cluster, targets: &targets, writer, client, turnstile: &turnstile };
        let mut open = false;
        for key in concerned(&cluster, wanted) {
            let aim = if cluster.read().policy(&key).is_some() { Aim::Release } else { Aim::Orphaned };
            let look = Wanted { key: &key, policy: None, aim, writes: true };
            let custody = custody::advance(hands, look).await;
            open |= custody.outcome.is_none() && custody.error.is_none();
            note(&mut all, key, custody);
        }
        if !open {
            break;
        }
    }
    let namespaces: BTreeSet<String> = all.iter().map(|released| released.policy.namespace.clone()).collect();
    for namespace in namespaces {
        let here = |released: &&mut Released| released.policy.namespace == namespace;
        let names: BTreeSet<String> =
            all.iter().filter(|r| r.policy.namespace == namespace).map(|r| r.policy.name.clone()).collect();
        match clear_sizes(client, writer, &namespace, &names).await {
            Ok(cleared) => {
                for released in all.iter_mut().filter(here).filter(|r| cleared.contains(&r.policy.name)) {
                    released.done.push("new pods get their template's size again".to_owned());
                }
            }
            Err(why) => all.iter_mut().filter(here).for_each(|released| {
                released.problem.get_or_insert_with(|| why.clone());
            }),
        }
    }
    Ok(all)
}

/// Takes the rows of policies out of a namespace's table: nothing else would, since the API server has no clock. Answers with
/// those that had one; the error is a sentence.
async fn clear_sizes(
    client: &Client,
    writer: &Writer,
    namespace: &str,
    policies: &BTreeSet<String>,
) -> Result<BTreeSet<String>, String> {
    let tables: Api<PodSizes> = Api::namespaced(client.clone(), namespace);
    let found = match tables.list(&ListParams::default()).await {
        Ok(list) => list.items.into_iter().find(|table| table.metadata.name.as_deref() == Some(POD_SIZES_NAME)),
        // The kind is not installed.
        Err(kube::Error::Api(status)) if status.code == 404 => None,
        Err(kube::Error::Api(status)) if status.code == 403 => {
            return Err(
                "sizes of new pods cannot be taken back: grant the verbs list, update and delete on podsizes".into()
            );
        }
        Err(error) => return Err(format!("podsizes cannot be read: {}", root_cause(&error))),
    };
    let Some(table) = found.map(Table::of) else { return Ok(BTreeSet::new()) };
    let (gone, rows): (BTreeMap<_, _>, BTreeMap<_, _>) =
        table.rows.clone().into_iter().partition(|(_, row)| policies.contains(&row.policy));
    if gone.is_empty() {
        return Ok(BTreeSet::new());
    }
    let gate = Gate { mode: Mode::Auto, seen: Instant::now() };
    writer.pod_sizes(namespace, &table, &rows, gate).await.map_err(|error| error.to_string())?;
    Ok(gone.into_values().map(|row| row.policy).collect())
}

/// Policies that exist, and those that left something.
fn concerned(cluster: &Cluster, wanted: &Release) -> BTreeSet<PolicyKey> {
    let index = cluster.read();
    let named = |key: &PolicyKey| wanted.names.is_empty() || wanted.names.contains(&key.name);
    let here = |key: &PolicyKey| wanted.namespaces.is_empty() || wanted.namespaces.contains(&key.namespace);
    let all = index.policies().into_iter().map(|policy| policy.key()).chain(index.rivals().displacing());
    all.filter(|key| named(key) && here(key)).collect()
}

fn note(all: &mut Vec<Released>, policy: PolicyKey, custody: Custody) {
    let problem = custody.error.map(|error| error.to_string()).or(custody.obstacle.map(|(_, message)| message));
    let problem = problem.or_else(|| {
        custody.outcome.is_none().then(|| "it kept changing while it was given back: run this again".to_owned())
    });
    match all.iter_mut().find(|released| released.policy == policy) {
        Some(known) => {
            known.done.extend(custody.done);
            known.problem = problem;
        }
        None => all.push(Released { policy, done: custody.done, problem }),
    }
}
