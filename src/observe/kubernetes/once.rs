//! I/O: One look at policies and autoscalers, for a command that comes and goes.

use kube::{
    Api, Client,
    api::{DynamicObject, ListParams},
};
use tokio::time::Instant;

use super::{
    index::Watched as _,
    objects::PolicyObject,
    rival_watch::{object_of, plural_of, problem_of, resource_of},
    watch::Cluster,
};
use crate::{observe::root_cause, takeover};

/// Lists policies and autoscalers of namespaces, of all when none is named. The error is one sentence.
///
/// # Errors
/// When policies cannot be listed, or autoscalers for another reason than that their kind is not there.
pub async fn list_once(client: &Client, namespaces: &[String]) -> Result<Cluster, String> {
    let cluster = Cluster::default();
    let scopes = if namespaces.is_empty() { vec![String::new()] } else { namespaces.to_vec() };
    for scope in &scopes {
        let api: Api<PolicyObject> =
            if scope.is_empty() { Api::all(client.clone()) } else { Api::namespaced(client.clone(), scope) };
        let policies = api.list(&ListParams::default()).await.map_err(|error| refusal("scalingpolicies", &error))?;
        for policy in policies {
            policy.keep(&mut cluster.write());
        }
        for kind in takeover::Kind::ALL {
            list_rivals(client, &cluster, scope, kind).await?;
        }
    }
    Ok(cluster)
}

async fn list_rivals(client: &Client, cluster: &Cluster, scope: &str, kind: takeover::Kind) -> Result<(), String> {
    let resource = resource_of(kind);
    let api: Api<DynamicObject> = if scope.is_empty() {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), scope, &resource)
    };
    match api.list(&ListParams::default()).await {
        Ok(list) => {
            for object in &list {
                cluster.write().rivals_mut().keep(kind, object_of(kind, object), Instant::now());
            }
            Ok(())
        }
        Err(kube::Error::Api(status)) if status.code == 404 => {
            if let Some(why) = problem_of(client, kind, 404).await {
                cluster.write().rivals_mut().mark_blind(kind, scope, why, 0);
            }
            Ok(())
        }
        Err(error) => Err(refusal(plural_of(kind), &error)),
    }
}

fn refusal(plural: &str, error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 403 => {
            format!("{plural} cannot be listed: grant the verb list on {plural} to whoever runs this")
        }
        kube::Error::Api(status) if status.code == 404 => {
            format!("{plural} are not known to the API server: install the custom resource definitions")
        }
        error => format!("{plural} cannot be listed: {}", root_cause(error)),
    }
}
