//! I/O: The one sender of writes: fence, client without retries, timeout.

use std::{sync::Arc, time::Duration};

use kube::{Client, Config};
use tokio::time::Instant;

use super::{Denial, Fence, Gate, Permit, Refusal, WriteError, WriteKind};
use crate::observe::root_cause;

/// How long one request may take. With the renew deadline it must stay below the lease duration (see [`super::Fence`]).
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(3);

/// A client for writing: the library's retries are off, since a repeated write may land long after its snapshot and
/// lease went stale.
pub fn writing_client(mut config: Config) -> Result<Client, kube::Error> {
    config.default_retry = false;
    config.connect_timeout = Some(WRITE_TIMEOUT);
    config.read_timeout = Some(WRITE_TIMEOUT);
    config.write_timeout = Some(WRITE_TIMEOUT);
    config.reset_reader_on_write = true;
    Client::try_from(config)
}

/// The sender of writes.
#[derive(Clone)]
pub struct Writer {
    pub(super) client: Client,
    fence: Arc<Fence>,
}

/// A request's answer, as far as a writer needs to tell them apart.
pub(super) enum Answer<T> {
    Ok(T),
    Status(u16, String, Option<Denial>),
    Unknown(String),
}

impl Writer {
    /// A sender behind a fence. The client must come from [`writing_client`].
    #[must_use]
    pub fn new(client: Client, fence: Arc<Fence>) -> Self {
        Self { client, fence }
    }

    /// The client to build a write with; what it builds is sent with [`Writer::send`].
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Whether this instance leads.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.fence.leads(Instant::now())
    }

    /// Asks the fence.
    pub fn pass(&self, kind: WriteKind, gate: Gate) -> Result<Permit, Refusal> {
        self.fence.pass(kind, gate, Instant::now())
    }

    /// Sends one write. `resource` and `verb` name the right that it needs.
    pub async fn send<T>(
        &self,
        permit: Permit,
        what: &str,
        (verb, resource): (&'static str, &str),
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, WriteError> {
        match answer(permit, request).await {
            Answer::Ok(value) => Ok(value),
            Answer::Status(_, cause, Some(denial)) => Err(WriteError::Denied { what: what.to_owned(), denial, cause }),
            Answer::Status(code, cause, None) => Err(refused(what, verb, resource, code, cause)),
            Answer::Unknown(cause) => Err(WriteError::Failed { what: what.to_owned(), cause }),
        }
    }
}

/// Sends what a permit allows; the permit is used up.
pub(super) async fn answer<T>(_permit: Permit, request: impl Future<Output = Result<T, kube::Error>>) -> Answer<T> {
    match tokio::time::timeout(WRITE_TIMEOUT, request).await {
        Ok(Ok(value)) => Answer::Ok(value),
        Ok(Err(kube::Error::Api(status))) => Answer::Status(
            status.code,
            status.message.clone(),
            Denial::of(status.code, &status.message, status.details.as_ref()),
        ),
        Ok(Err(error)) => Answer::Unknown(root_cause(&error)),
        Err(_) => Answer::Unknown(format!("no answer within {} s", WRITE_TIMEOUT.as_secs())),
    }
}

/// What an HTTP status means for a write that no rule of the cluster refused ([`Denial`]). 403 is also how admission
/// refuses, so the words decide.
pub(super) fn refused(what: &str, verb: &'static str, resource: &str, code: u16, cause: String) -> WriteError {
    let what = what.to_owned();
    match code {
        403 if cause.contains("cannot ") => WriteError::Forbidden { what, verb, resource: resource.to_owned() },
        409 => WriteError::Conflict { what, tries: 1 },
        429 | 500.. => WriteError::Failed { what, cause: format!("HTTP {code}, {cause}") },
        _ => WriteError::Refused { what, cause },
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("fence", &self.fence).finish_non_exhaustive()
    }
}
