//! I/O: What the cluster is told about a policy: its status, and Events.

use jiff::Timestamp;
use k8s_openapi::{api::core::v1::ObjectReference, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{
    Api, Resource,
    api::{Patch, PatchParams},
    runtime::events::{Event, EventType},
};
use serde_json::json;

use super::{
    context::Context,
    events::{Notice, cut},
    policies,
    status::{self, Change, Pace, View, Written},
};
use crate::{
    actuate::{FIELD_MANAGER, Gate, Refusal, WriteError, WriteKind},
    api::{
        ScalingPolicyStatus,
        conditions::{self, ConditionType},
    },
    observe::kubernetes::PolicyObject,
    policy::PolicyKey,
};

/// Keeps the status of one policy and writes it when it is worth a write.
#[derive(Debug)]
pub struct Reporter {
    key: PolicyKey,
    /// As it should be now.
    status: ScalingPolicyStatus,
    /// As it was written last.
    written: Written,
    pace: Pace,
    led: bool,
    /// Worth a write, and there was no room for it among all writes.
    untold: Option<Gate>,
}

impl Reporter {
    /// Nothing is known of the status yet.
    #[must_use]
    pub fn new(key: &PolicyKey) -> Self {
        Self {
            pace: Pace::new(&key.to_string()),
            key: key.clone(),
            status: ScalingPolicyStatus::default(),
            written: Written::default(),
            led: false,
            untold: None,
        }
    }

    /// Whether something waits for room among all writes.
    #[must_use]
    pub const fn untold(&self) -> bool {
        self.untold.is_some()
    }

    /// The status as it should be now.
    #[must_use]
    pub const fn status(&self) -> &ScalingPolicyStatus {
        &self.status
    }

    /// The rival, in words, if one is in the way.
    #[must_use]
    pub fn fight(&self) -> Option<String> {
        let control = conditions::find(&self.status.conditions, ConditionType::InControl)?;
        (control.status == "False" && control.reason == "RivalWrites").then(|| control.message.clone())
    }

    /// Begins a tick. Until this instance leads, the status in the cluster is another one's work, and is taken over.
    pub fn start(&mut self, object: &PolicyObject, leads: bool, now: Timestamp) {
        if self.led {
            self.written.saw(object.metadata.resource_version.as_deref(), || policies::written_status(object), now);
        } else {
            self.status = policies::written_status(object);
            self.written = Written::from(self.status.clone());
        }
        self.led = leads;
    }

    /// Reports what is to be said, as far as it is worth it.
    pub async fn report(&mut self, context: &Context, object: &PolicyObject, view: View<'_>, gate: Gate) {
        let now = context.clock.now();
        let before = std::mem::take(&mut self.status);
        self.status = status::next(&before, view, object.metadata.generation, now);
        self.tell(context, object, gate).await;
    }

    /// Tries again what there was no room for.
    pub async fn tell_again(&mut self, context: &Context, object: &PolicyObject) {
        if let Some(gate) = self.untold {
            self.tell(context, object, gate).await;
        }
    }

    async fn tell(&mut self, context: &Context, object: &PolicyObject, gate: Gate) {
        self.untold = None;
        let now = context.clock.now();
        if !context.writer.leads() {
            return;
        }
        let change = self.written.change(&self.status);
        if !self.pace.due(change, now) {
            return;
        }
        match self.write(context, object, gate).await {
            Ok(()) => {
                self.pace.wrote(change, now);
                let told = self.written.took(&self.status);
                if change == Change::Urgent {
                    self.publish(context, object, &told, gate).await;
                }
            }
            Err(WriteError::Dropped { refusal: Refusal::Rate, .. }) => self.untold = Some(gate),
            Err(WriteError::Dropped { .. }) => {}
            Err(_) => self.written.failed(),
        }
    }

    async fn write(&self, context: &Context, object: &PolicyObject, gate: Gate) -> Result<(), WriteError> {
        let what = format!("scalingpolicies/status {}", self.key);
        let body = json!({
            "apiVersion": PolicyObject::api_version(&()),
            "kind": PolicyObject::kind(&()),
            // The uid is a precondition: a policy made anew under the same name is another one.
            "metadata": {"name": self.key.name, "namespace": self.key.namespace, "uid": object.metadata.uid},
            "status": self.status,
        });
        let sent = async {
            let permit = context
                .writer
                .pass(WriteKind::Status, gate)
                .map_err(|refusal| WriteError::Dropped { what: what.clone(), refusal })?;
            let api = Api::<PolicyObject>::namespaced(context.writer.client(), &self.key.namespace);
            let options = PatchParams::apply(FIELD_MANAGER).force();
            let patch = Patch::Apply(&body);
            let request = api.patch_status(&self.key.name, &options, &patch);
            context.writer.send(permit, &what, ("patch", "scalingpolicies/status"), request).await
        };
        let sent = sent.await;
        self.count(context, WriteKind::Status, sent.as_ref().err());
        sent.map(drop)
    }

    fn count(&self, context: &Context, kind: WriteKind, error: Option<&WriteError>) {
        context.metrics.count_write(kind.label(), error.map_or("ok", WriteError::category));
        if let Some(error @ WriteError::Dropped { .. }) = error {
            // It is said a little later, and ten thousand of these are no ten thousand problems.
            tracing::debug!(policy = %self.key, "{error}.");
        } else if let Some(error) = error {
            tracing::warn!(policy = %self.key, category = error.category(), "{error}.");
        }
    }

    async fn publish(&self, context: &Context, object: &PolicyObject, told: &ScalingPolicyStatus, gate: Gate) {
        let reference = ObjectReference {
            api_version: Some(PolicyObject::api_version(&()).into_owned()),
            kind: Some(PolicyObject::kind(&()).into_owned()),
            name: Some(self.key.name.clone()),
            namespace: Some(self.key.namespace.clone()),
            uid: object.metadata.uid.clone(),
            ..ObjectReference::default()
        };
        for notice in notices(told, &self.status) {
            let now = context.clock.now();
            let admitted = {
                let mut notices = context.notices.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                notices.admit(&self.key, &notice.reason, now)
            };
            if !admitted {
                continue;
            }
            let what = format!("Event {} of {}", notice.reason, self.key);
            let event = Event {
                type_: if notice.warning { EventType::Warning } else { EventType::Normal },
                reason: notice.reason,
                note: Some(cut(&notice.note)),
                action: "Decide".into(),
                secondary: None,
            };
            let sent = match context.writer.pass(WriteKind::Event, gate) {
                Err(refusal) => Err(WriteError::Dropped { what, refusal }),
                Ok(permit) => {
                    let request = context.recorder.publish(&event, &reference);
                    context.writer.send(permit, &what, ("create", "events (events.k8s.io)"), request).await
                }
            };
            self.count(context, WriteKind::Event, sent.as_ref().err());
        }
    }
}

/// Events that a change of status is worth: conditions that turned bad, and a decision that changed what is wanted.
fn notices(told: &ScalingPolicyStatus, now: &ScalingPolicyStatus) -> Vec<Notice> {
    let bad = |c: &&Condition| c.status == if c.type_ == ConditionType::Limited.as_str() { "True" } else { "False" };
    let turned = |c: &&Condition| {
        !told.conditions.iter().any(|o| o.type_ == c.type_ && o.status == c.status && o.reason == c.reason)
    };
    let mut all: Vec<_> = now
        .conditions
        .iter()
        .filter(bad)
        .filter(turned)
        .map(|c| Notice { warning: true, reason: c.reason.clone(), note: c.message.clone() })
        .collect();
    let wanted = |s: &ScalingPolicyStatus| s.replicas.map(|r| r.desired);
    let changed = wanted(told).is_some() && wanted(told) != wanted(now) || told.containers != now.containers;
    if let (true, Some(decision)) = (changed, &now.decision) {
        let note = match (wanted(told), wanted(now)) {
            (Some(from), Some(to)) if from != to => format!("{from} → {to} replicas: {}", decision.message),
            _ => decision.message.clone(),
        };
        all.push(Notice { warning: false, reason: decision.reason.clone(), note });
    }
    all
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::api::{
        DecisionStatus, ReplicaStatus,
        conditions::{ConditionStatus, NewCondition},
    };

    fn status(desired: i32, fresh: bool) -> ScalingPolicyStatus {
        let mut status = ScalingPolicyStatus {
            replicas: Some(ReplicaStatus { current: 3, ready: 3, desired }),
            decision: Some(DecisionStatus {
                time: Time(Timestamp::UNIX_EPOCH),
                reason: "CpuDemand".into(),
                message: "demand 7.4 cores".into(),
            }),
            ..ScalingPolicyStatus::default()
        };
        for (type_, holds) in [(ConditionType::SignalsFresh, fresh), (ConditionType::Limited, false)] {
            let reason = if holds { "Fresh" } else { "Stale" };
            let new = NewCondition { type_, status: ConditionStatus::from(holds), reason, message: "words" };
            conditions::set(&mut status.conditions, &new, None, Timestamp::UNIX_EPOCH);
        }
        status
    }

    #[test]
    fn events_tell_what_changed_and_what_turned_bad() {
        assert!(notices(&status(3, true), &status(3, true)).is_empty());
        let scaled = notices(&status(3, true), &status(9, true));
        assert_eq!(scaled.len(), 1);
        assert_eq!(scaled[0].note, "3 → 9 replicas: demand 7.4 cores");
        assert!(!scaled[0].warning);
        let lost = notices(&status(3, true), &status(3, false));
        assert_eq!((lost.len(), lost[0].reason.as_str(), lost[0].warning), (1, "Stale", true));
        assert!(notices(&status(3, false), &status(3, true)).is_empty(), "good news is in the status");
    }
}
