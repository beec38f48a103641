//! The lease: one instance writes, the others stand by.
//!
//! [`evaluate`] is pure: it looks at the lease as this process observed it and at this process's own clock, never at
//! the times that another machine wrote. Every write carries the resourceVersion that was read, so of two candidates
//! that see an expired lease only one gets it. The claim fails by itself: it ends at a deadline after the last renewal
//! that was *sent* and confirmed, whatever happens to this task or to the network.
//!
//! Where policies are divided into shards, each shard has its own lease. A lease is not yet a claim while an instance that
//! divides them otherwise may still write (`family`).

mod family;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{
    Api, Client,
    api::{ListParams, PostParams},
};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    actuate::{Claim, FIELD_MANAGER},
    observe::{clock::Clock, root_cause},
    policy::Shard,
};
use family::{Family, Others};

/// Times of the lease; the defaults are those of client-go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Others take over this long after they last saw it renewed.
    pub duration: Duration,
    /// The claim ends this long after the last renewal was sent.
    pub renew_deadline: Duration,
    /// Time between attempts.
    pub retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// How often a lease that another holds is looked at in the time between two attempts: one that is given back is to be
/// taken within half a second, since nobody writes meanwhile.
const LOOKS_PER_RETRY: u32 = 4;

/// The lease as this process saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Who holds it; `None`: nobody.
    pub holder: Option<String>,
    /// Version that was read; a write must carry it.
    pub resource_version: String,
    /// When the holder wrote that it last renewed: only whether it changes counts.
    pub renewed: Option<Timestamp>,
    /// How long it is valid after each renewal.
    pub duration: Duration,
    /// When this process first saw this renewal.
    pub seen: Instant,
    /// How often it changed hands.
    pub transitions: i32,
}

/// What to do with the lease now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Take it.
    Acquire,
    /// Keep it.
    Renew,
    /// Somebody else holds it.
    Wait,
}

/// Decides what to do with the lease; `None`: there is none yet.
#[must_use]
pub fn evaluate(observed: Option<&Observed>, me: &str, now: Instant) -> Step {
    let Some(lease) = observed else { return Step::Acquire };
    match lease.holder.as_deref() {
        None | Some("") => Step::Acquire,
        Some(holder) if holder == me => Step::Renew,
        Some(_) if now.saturating_duration_since(lease.seen) >= lease.duration => Step::Acquire,
        Some(_) => Step::Wait,
    }
}

/// Who, where and how fast.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespace of the lease.
    pub namespace: String,
    /// Name of the only shard's lease; others' are made from it.
    pub base: String,
    /// Whose lease it is.
    pub shard: Shard,
    /// Name of this instance, unique among the instances.
    pub identity: String,
    /// Times.
    pub timing: Timing,
}

impl Settings {
    /// Name of the lease.
    #[must_use]
    pub fn lease(&self) -> String {
        self.shard.lease_name(&self.base)
    }
}

/// Keeps the claim current until cancelled; then gives the lease back.
pub async fn run(
    client: Client,
    settings: Settings,
    clock: impl Clock,
    claim: watch::Sender<Claim>,
    stop: CancellationToken,
) {
    let api = Api::namespaced(client, &settings.namespace);
    let family = Family::new(settings.base.clone(), settings.shard);
    let name = settings.lease();
    let mut candidate =
        Candidate { api, settings, name, family, clock, observed: None, alone: false, until: None, said: None };
    loop {
        candidate.attempt(&claim).await;
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = tokio::time::sleep(candidate.pause(Instant::now())) => {}
        }
    }
    candidate.release(&claim).await;
}

struct Candidate<C> {
    api: Api<Lease>,
    settings: Settings,
    name: String,
    family: Family,
    clock: C,
    observed: Option<Observed>,
    /// The lease was found to be a claim, and has been one without a gap since.
    alone: bool,
    /// Until when it is one.
    until: Option<Instant>,
    /// The last problem that was logged, so that it is logged once.
    said: Option<String>,
}

impl<C: Clock> Candidate<C> {
    /// How long until the next attempt: at the instant at which another's lease runs out, if that comes sooner, and soon
    /// after it may have been given back.
    fn pause(&self, now: Instant) -> Duration {
        let Timing { retry, .. } = self.settings.timing;
        let others =
            self.observed.as_ref().filter(|o| o.holder.as_deref().is_some_and(|h| h != self.settings.identity));
        let left = others.map(|o| o.duration.saturating_sub(now.saturating_duration_since(o.seen)));
        left.filter(|left| !left.is_zero()).map_or(retry, |left| left.min(retry / LOOKS_PER_RETRY))
    }

    /// Reads, evaluates, writes; publishes the claim.
    async fn attempt(&mut self, claim: &watch::Sender<Claim>) {
        // The claim rests on the instant before the request left, not on when the answer came.
        let sent = Instant::now();
        let outcome = match tokio::time::timeout(self.settings.timing.retry, self.step()).await {
            Ok(outcome) => outcome,
            Err(_) => Err("the API server did not answer in time".to_owned()),
        };
        let holder = self.observed.as_ref().and_then(|o| o.holder.clone());
        match outcome {
            Ok(true) => {
                self.said = None;
                self.until = Some(sent + self.settings.timing.renew_deadline);
                let led = claim.send_replace(Claim { until: self.until, holder }).current(Instant::now());
                if !led {
                    tracing::info!(identity = self.settings.identity, "This instance leads.");
                }
            }
            Ok(false) => {
                self.said = None;
                let now = Instant::now();
                claim.send_if_modified(|c| {
                    let lost = c.current(now);
                    let changed = c.until.is_some() || c.holder != holder;
                    if lost {
                        tracing::warn!(holder = holder.as_deref(), "Another instance leads now.");
                    }
                    *c = Claim { until: None, holder: holder.clone() };
                    changed
                });
            }
            // The claim is left alone: it ends by itself.
            Err(problem) => {
                if self.said.as_ref() != Some(&problem) {
                    let Settings { namespace, .. } = &self.settings;
                    tracing::warn!("Lease {namespace}/{} cannot be kept: {problem}.", self.name);
                    self.said = Some(problem);
                }
            }
        }
    }

    /// Whether this instance holds the lease after the step.
    async fn step(&mut self) -> Result<bool, String> {
        match self.api.get_opt(&self.name).await {
            Ok(lease) => self.observe(lease.as_ref()),
            Err(e) => return Err(problem(&e, "get")),
        }
        let step = evaluate(self.observed.as_ref(), &self.settings.identity, Instant::now());
        self.alone &= step == Step::Renew && self.until.is_some_and(|until| Instant::now() < until);
        if step == Step::Wait || !self.may_take(step).await? {
            return Ok(false);
        }
        let lease = self.lease(step);
        let options = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        let (written, verb) = if self.observed.is_some() {
            (self.api.replace(&self.name, &options, &lease).await, "update")
        } else {
            (self.api.create(&options, &lease).await, "create")
        };
        match written {
            Ok(lease) => {
                self.observe(Some(&lease));
                self.is_claim().await
            }
            // Somebody was faster; the next attempt reads who. Nobody can have taken what this instance still holds, so
            // a renewal that met a change of labels, say, leaves the claim to its own end.
            Err(kube::Error::Api(status)) if status.code == 409 && step == Step::Acquire => Ok(false),
            Err(e) => Err(problem(&e, verb)),
        }
    }

    /// Whether the lease may be taken, or kept: not by the fewer shards while those of more are about.
    async fn may_take(&mut self, step: Step) -> Result<bool, String> {
        if self.alone || self.others().await? != Others::Outrank {
            return Ok(true);
        }
        if step == Step::Renew {
            self.give_back().await;
        }
        Err(self.family.waits_for())
    }

    /// Whether the lease that was just written is a claim: looked at after the write, so that of two that divide policies
    /// otherwise at least one sees the other.
    async fn is_claim(&mut self) -> Result<bool, String> {
        if !self.alone {
            match self.others().await? {
                Others::Gone => self.alone = true,
                Others::There | Others::Outrank => return Err(self.family.waits_for()),
            }
        }
        Ok(true)
    }

    async fn others(&mut self) -> Result<Others, String> {
        let leases = self.api.list(&ListParams::default()).await.map_err(|e| problem(&e, "list"))?;
        Ok(self.family.look(&leases.items, &self.settings.timing, Instant::now()))
    }

    fn observe(&mut self, lease: Option<&Lease>) {
        self.observed = lease.map(|lease| {
            let spec = lease.spec.clone().unwrap_or_default();
            let renewed = spec.renew_time.map(|t| t.0);
            let same = self.observed.as_ref().filter(|o| o.holder == spec.holder_identity && o.renewed == renewed);
            let seconds = spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok());
            Observed {
                resource_version: lease.metadata.resource_version.clone().unwrap_or_default(),
                duration: seconds.map_or(self.settings.timing.duration, Duration::from_secs),
                seen: same.map_or_else(Instant::now, |o| o.seen),
                transitions: spec.lease_transitions.unwrap_or_default(),
                holder: spec.holder_identity,
                renewed,
            }
        });
    }

    fn lease(&self, step: Step) -> Lease {
        let now = MicroTime(self.clock.now());
        let taken = step == Step::Acquire;
        let transitions = self.observed.as_ref().map_or(0, |o| o.transitions + i32::from(taken));
        Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                namespace: Some(self.settings.namespace.clone()),
                resource_version: self.observed.as_ref().map(|o| o.resource_version.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.settings.identity.clone()),
                lease_duration_seconds: i32::try_from(self.settings.timing.duration.as_secs()).ok(),
                acquire_time: taken.then(|| now.clone()),
                renew_time: Some(now),
                lease_transitions: Some(transitions),
                ..LeaseSpec::default()
            }),
        }
    }

    /// Gives the lease back, so that another instance need not wait for it to run out.
    async fn release(&mut self, claim: &watch::Sender<Claim>) {
        claim.send_replace(Claim::default());
        let mine = self.observed.as_ref().filter(|o| o.holder.as_deref() == Some(&self.settings.identity));
        if mine.is_some() {
            self.give_back().await;
        }
    }

    async fn give_back(&self) {
        let mut lease = self.lease(Step::Renew);
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
        }
        let options = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        match self.api.replace(&self.name, &options, &lease).await {
            Ok(_) => tracing::info!("The lease was given back."),
            Err(e) => tracing::warn!("The lease was not given back, it will run out: {}.", root_cause(&e)),
        }
    }
}

fn problem(error: &kube::Error, verb: &str) -> String {
    match error {
        kube::Error::Api(s) if s.code == 403 => {
            format!("grant the verb {verb} on leases (coordination.k8s.io) to the controller")
        }
        kube::Error::Api(s) => format!("HTTP {}, {}", s.code, s.message),
        other => root_cause(other),
    }
}

#[cfg(test)]
#[path = "lease/tests.rs"]
mod tests;
