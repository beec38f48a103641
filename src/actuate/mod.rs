//! I/O: Decisions as writes.
//!
//! Two writes touch a workload: the count through `/scale` ([`Writer::scale`]) and the size of running pods through
//! `pods/resize` ([`Writer::resize`]). The size of new pods goes into a table of our own ([`Writer::pod_sizes`]), which an
//! admission policy reads. Never the pod template, never a delete, never an eviction. Each passes the
//! [`Fence`] first, goes out once (the client's own retries are off) and within a timeout that ends before anybody else
//! can hold the lease.
//!
//! Invariant: a request leaves only with a [`Permit`] in hand, and a permit is good for one request.

mod error;
mod fence;
mod new_pods;
mod plan;
mod pod_sizes;
mod resize;
mod scale;
mod writer;

pub use error::{RESULTS, Refusal, WriteError, WriteKind};
pub use fence::{Bucket, Claim, Fence, Gate, Permit};
pub use new_pods::{Asked, new_pods, sized_workload};
pub use plan::{Attempts, PodResize, Wanted, plan_resizes};
pub use pod_sizes::Table;
pub use scale::ScaleIntent;
pub use writer::{WRITE_TIMEOUT, Writer, writing_client};

/// Our name in `managedFields` and Events.
pub const FIELD_MANAGER: &str = "arbiter";
