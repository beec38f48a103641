//! I/O: What policies that are gone have left displaced is given back.
//!
//! A policy's finalizer keeps it until all is given back; this is for policies whose finalizer was torn off, or that were
//! deleted while a takeover was under way elsewhere.

use std::{collections::BTreeSet, sync::Arc};

use kube::Api;
use tokio::task::JoinSet;

use super::{
    context::Context,
    custody::{self, Aim, Wanted},
};
use crate::{
    actuate::WriteKind,
    observe::{kubernetes::PolicyObject, root_cause},
    policy::PolicyKey,
};

/// Releases that are under way.
#[derive(Debug, Default)]
pub struct Orphans {
    tasks: JoinSet<PolicyKey>,
    under_way: BTreeSet<PolicyKey>,
}

impl Orphans {
    /// Begins the release for every policy that left something and is gone.
    pub fn sweep(&mut self, context: &Arc<Context>) {
        while let Some(done) = self.tasks.try_join_next() {
            if let Ok(key) = done {
                self.under_way.remove(&key);
            }
        }
        if !context.writer.leads() {
            return;
        }
        let left: Vec<PolicyKey> = {
            let index = context.cluster.read();
            if !index.current() {
                return;
            }
            index.rivals().displacing().into_iter().filter(|key| index.policy(key).is_none()).collect()
        };
        for key in left {
            if self.under_way.insert(key.clone()) {
                let context = Arc::clone(context);
                self.tasks.spawn(async move {
                    give_back(&context, &key).await;
                    key
                });
            }
        }
    }
}

async fn give_back(context: &Context, key: &PolicyKey) {
    // The watch may lag: a policy that exists gives back itself.
    let policies = Api::<PolicyObject>::namespaced(context.client.clone(), &key.namespace);
    match policies.get_metadata_opt(&key.name).await {
        Ok(None) => {}
        Ok(Some(_)) => return,
        Err(kube::Error::Api(status)) if status.code == 403 => {
            tracing::warn!(policy = %key, "What the policy left is not given back: grant the verb get on scalingpolicies to the controller.");
            return;
        }
        Err(error) => {
            tracing::warn!(policy = %key, "What the policy left is not given back yet: {}.", root_cause(&error));
            return;
        }
    }
    let wanted = Wanted { key, policy: None, aim: Aim::Orphaned, writes: true };
    let custody = custody::advance(context.hands(), wanted).await;
    for done in &custody.done {
        context.metrics.count_write(WriteKind::Takeover.label(), "ok");
        tracing::info!(policy = %key, "The policy is gone: {done}.");
    }
    if let Some(error) = &custody.error {
        context.metrics.count_write(WriteKind::Takeover.label(), error.category());
        tracing::warn!(policy = %key, "The policy is gone, and what it left cannot be given back: {error}.");
    }
    if let Some((_, message)) = &custody.obstacle {
        tracing::warn!(policy = %key, "The policy is gone, and what it left is not given back: {message}.");
    }
}
