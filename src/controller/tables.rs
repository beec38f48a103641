//! I/O: Writes the tables of new pods' sizes, one object per namespace, while this instance leads.
//!
//! A table is written when its rows change, at most once in 10 s; a row that goes is written at once. Where the API
//! server has no `MutatingAdmissionPolicy` nobody reads tables, so none is written, and new pods are resized in place.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use kube::{Api, api::ListParams};
use tokio::time::Instant;

use super::{
    context::Context,
    pod_sizes::{EVERYWHERE, Rows},
};
use crate::{
    actuate::{Gate, Table, WRITE_TIMEOUT, WriteError, WriteKind},
    api::{POD_SIZES_NAME, PodSizes},
    observe::root_cause,
    policy::Mode,
};

/// Least time between two writes of one table that only change sizes: so that each full tick (15 s apart by default) may
/// write, and what wakes single policies in between does not.
const APART: Duration = Duration::from_secs(10);

/// How often tables are read anew, in case that somebody edited or deleted one.
const READ_AGAIN: Duration = Duration::from_mins(5);

/// How long a read or write for which a right is missing is not tried again.
const FORBIDDEN: Duration = Duration::from_mins(1);

/// How long it is believed that the API server has no `MutatingAdmissionPolicy`: it gets one by an upgrade only.
const UNSERVED: Duration = Duration::from_mins(10);

/// The writer of tables.
#[derive(Debug, Default)]
pub struct Tables {
    /// When tables are read next; none: not read since this instance leads.
    read_next: Option<Instant>,
    /// Namespaces whose tables could be read; one empty name stands for all.
    readable: BTreeSet<String>,
    /// Those whose last reading failed.
    unread: BTreeSet<String>,
    written: BTreeMap<String, Instant>,
    /// Namespaces that are not tried before.
    again: BTreeMap<String, Instant>,
    waiting: bool,
}

impl Tables {
    /// Brings every table to what it should be, as far as it is time.
    pub async fn sync(&mut self, context: &Context, scopes: &[String]) {
        if !context.writer.leads() {
            *self = Self::default();
            return;
        }
        let now = Instant::now();
        if self.read_next.is_none_or(|at| at <= now) {
            self.read(context, scopes).await;
        }
        if self.readable.is_empty() || !(context.known.sizes.take_changed() || std::mem::take(&mut self.waiting)) {
            return;
        }
        // The modes of policies are looked up now: this is the age that the fence asks for.
        let gate = Gate { mode: Mode::Auto, seen: Instant::now() };
        let due = context.known.sizes.due(&context.cluster.read());
        for (namespace, table, rows) in due {
            if self.knows(&namespace) && self.is_time(&namespace, &table, &rows) {
                self.write(context, &namespace, &table, rows, gate).await;
            } else {
                self.waiting = true;
            }
        }
    }

    fn knows(&self, namespace: &str) -> bool {
        self.readable.contains("") || self.readable.contains(namespace)
    }

    fn is_time(&self, namespace: &str, table: &Table, rows: &Rows) -> bool {
        let now = Instant::now();
        if self.again.get(namespace).is_some_and(|again| now < *again) {
            return false;
        }
        let goes = table.rows.keys().any(|workload| !rows.contains_key(workload));
        goes || self.written.get(namespace).is_none_or(|at| now.duration_since(*at) >= APART)
    }

    async fn write(&mut self, context: &Context, namespace: &str, table: &Table, rows: Rows, gate: Gate) {
        let written = context.writer.pod_sizes(namespace, table, &rows, gate).await;
        let result = written.as_ref().err().map_or("ok", WriteError::category);
        context.metrics.count_write(WriteKind::PodSizes.label(), result);
        let now = Instant::now();
        match written {
            Ok(table) => {
                tracing::debug!(namespace, workloads = table.rows.len(), "Sizes of new pods are written.");
                self.written.insert(namespace.to_owned(), now);
                self.again.remove(namespace);
                context.known.sizes.set_table(namespace, table);
                context.known.sizes.set_problem(namespace, None);
            }
            Err(error) => {
                self.waiting = true;
                match &error {
                    WriteError::Dropped { .. } => return tracing::debug!(namespace, "{error}."),
                    // Somebody else wrote or deleted it.
                    WriteError::Conflict { .. } => self.read_next = None,
                    WriteError::Refused { .. } => {
                        self.read_next = None;
                        self.again.insert(namespace.to_owned(), now + APART);
                    }
                    WriteError::Forbidden { .. } => {
                        self.again.insert(namespace.to_owned(), now + FORBIDDEN);
                        context.known.sizes.set_problem(namespace, Some(("Forbidden", error.to_string())));
                    }
                    // It may have taken all the same: what is there is not known until it is read.
                    _ => {
                        self.read_next = Some(now + APART);
                        self.again.insert(namespace.to_owned(), now + APART);
                    }
                }
                tracing::warn!(namespace, category = error.category(), "{error}.");
            }
        }
    }

    /// Reads all tables. One namespace that cannot be read holds up no other.
    async fn read(&mut self, context: &Context, scopes: &[String]) {
        let served = served(context).await;
        if served.is_ok() && self.unread.remove(EVERYWHERE) {
            context.known.sizes.set_problem(EVERYWHERE, None);
        }
        let next = match served {
            Ok(true) => {
                let mut next = READ_AGAIN;
                for scope in scopes {
                    let read = list(context, scope).await;
                    next = next.min(self.note_read(context, scope, read));
                }
                next
            }
            Ok(false) => {
                self.readable.clear();
                UNSERVED
            }
            Err(unread) => {
                self.unread.insert(EVERYWHERE.to_owned());
                note_unread(context, EVERYWHERE, unread)
            }
        };
        self.read_next = Some(Instant::now() + next);
    }

    /// Notes the tables of one namespace, or of all; answers when they are read next.
    fn note_read(&mut self, context: &Context, scope: &str, read: Result<BTreeMap<String, Table>, Unread>) -> Duration {
        match read {
            Ok(found) => {
                context.known.sizes.set_found(scope, found);
                self.readable.insert(scope.to_owned());
                if self.unread.remove(scope) {
                    context.known.sizes.set_problem(scope, None);
                }
                READ_AGAIN
            }
            // Rows that were written before stay known: they can still be taken back.
            Err(unread) => {
                self.unread.insert(scope.to_owned());
                note_unread(context, scope, unread)
            }
        }
    }
}

/// Whether the API server has what reads tables.
async fn served(context: &Context) -> Result<bool, Unread> {
    let group = "admissionregistration.k8s.io/v1";
    let client = context.writer.client();
    let kinds = within("the list of admission kinds", client.list_api_group_resources(group)).await?;
    Ok(kinds.resources.iter().any(|r| r.name == "mutatingadmissionpolicies"))
}

/// The tables of a namespace, or of all, by namespace.
async fn list(context: &Context, scope: &str) -> Result<BTreeMap<String, Table>, Unread> {
    let client = context.writer.client();
    let api: Api<PodSizes> =
        if scope.is_empty() { Api::all(client.clone()) } else { Api::namespaced(client.clone(), scope) };
    let one = ListParams::default().fields(&format!("metadata.name={POD_SIZES_NAME}"));
    let mut found = BTreeMap::new();
    for object in within("podsizes", api.list(&one)).await?.items {
        let namespace = object.metadata.namespace.clone().unwrap_or_default();
        if context.cluster.read().owns(&namespace) {
            found.insert(namespace, Table::of(object));
        }
    }
    Ok(found)
}

/// Notes why tables cannot be read; answers when they are read next.
fn note_unread(context: &Context, place: &str, (reason, why): Unread) -> Duration {
    let namespace = (place != EVERYWHERE).then_some(place);
    // Before any policy is in mode Auto nothing is missed.
    if context.known.sizes.wants_any() {
        tracing::warn!(namespace, "{why}; new pods are resized after they are created.");
    } else {
        tracing::debug!(namespace, "{why}.");
    }
    // What fails for want of a right or a definition does so for a while; what fails otherwise passes.
    let next = if reason == "Failed" { APART } else { FORBIDDEN };
    context.known.sizes.set_problem(place, (reason == "Forbidden").then_some((reason, why)));
    next
}

/// Why something cannot be read: a word and a sentence.
type Unread = (&'static str, String);

async fn within<T>(what: &str, read: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Unread> {
    match tokio::time::timeout(WRITE_TIMEOUT, read).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => {
            Err(("Forbidden", format!("{what} cannot be read: grant the verb list on {what} to the controller")))
        }
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => {
            let install = "install the custom resource definitions (arbiter crds | kubectl apply -f -)";
            Err(("Unknown", format!("{what} are not known to the API server: {install}")))
        }
        Ok(Err(error)) => Err(("Failed", format!("{what} cannot be read: {}", root_cause(&error)))),
        Err(_) => Err(("Failed", format!("{what} cannot be read: no answer within {} s", WRITE_TIMEOUT.as_secs()))),
    }
}
