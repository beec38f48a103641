//! I/O: Sizes of running pods, from the decision to the requests.
//!
//! What is sent and when is planned by pure functions ([`plan_resizes`]); here the plan meets the cluster as it is now, and
//! what became of it is noted. What this workload's resizes taught is remembered here and goes with it.

use std::{collections::BTreeMap, sync::Arc};

use super::{context::Context, guard::Shrink};
use crate::{
    actuate::{Attempts, Gate, PodResize, Wanted, WriteError, plan_resizes},
    decide::{Decision, Snapshot},
    observe::kubernetes::PodFacts,
    policy::Policy,
    units::Bytes,
};

/// What is to be carried out.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// Pods of its target.
    pub pods: &'a [Arc<PodFacts>],
    /// What was decided on.
    pub snapshot: &'a Snapshot,
    /// The decision.
    pub decision: &'a Decision,
    /// Whether sizes may become smaller.
    pub shrink: Shrink,
    /// What the decision brings to the fence.
    pub gate: Gate,
}

/// What is remembered of the resizes of one workload.
#[derive(Debug, Default)]
pub struct Resizes {
    attempts: Attempts,
}

impl Resizes {
    /// Sends what is due; answers what became of each request.
    pub async fn carry_out(&mut self, context: &Context, task: Task<'_>) -> Vec<Option<WriteError>> {
        let Task { policy, pods, snapshot, decision, .. } = task;
        let memory_in_use: BTreeMap<String, Bytes> =
            snapshot.containers.iter().filter_map(|c| Some((c.name.clone(), c.memory_max_pod_bytes?))).collect();
        let may_shrink = task.shrink == Shrink::Allowed;
        let wanted = Wanted { policy, decision, memory_in_use: &memory_in_use, may_shrink };
        self.attempts.retain(|uid| pods.iter().any(|p| p.uid == uid));
        let planned = plan_resizes(pods.iter().map(AsRef::as_ref), wanted, &self.attempts, snapshot.at);
        let mut outcomes = Vec::new();
        for resize in planned {
            let outcome = self.send(context, task, &resize).await;
            let stop = matches!(outcome, Some(WriteError::Dropped { .. } | WriteError::Forbidden { .. }));
            outcomes.push(outcome);
            if stop {
                break;
            }
        }
        outcomes
    }

    async fn send(&mut self, context: &Context, task: Task<'_>, resize: &PodResize) -> Option<WriteError> {
        let current: Option<Arc<PodFacts>> = context.cluster.read().pod(&resize.namespace, &resize.name).cloned();
        let error = context.writer.resize(resize, current.as_deref(), task.gate).await.err();
        match &error {
            None => {
                self.attempts.note(resize, true, task.snapshot.at);
                tracing::info!(policy = %task.policy.key, pod = resize.name, trim = resize.trim, "Resized in place.");
            }
            Some(WriteError::Refused { .. } | WriteError::Forbidden { .. }) => {
                self.attempts.note(resize, false, task.snapshot.at);
            }
            Some(_) => {}
        }
        error
    }
}
