//! I/O: Decisions as writes.
//!
//! Three writes touch a workload: the count through `/scale` ([`Writer::scale`]), the size of running pods through
//! `pods/resize` ([`Writer::resize`]) and, where the policy says so, the eviction of a pod that cannot get its size in place
//! ([`Writer::evict`]). The size of new pods goes into a table of our own ([`Writer::pod_sizes`]), which an admission policy
//! reads; what is remembered, into objects of our own ([`Writer::memory`]). Never the pod template, never a delete. How many pods are changed at once over the whole cluster is
//! bounded ([`Blast`]). Beside them, other autoscalers are stood down and given back ([`Writer::rival`]). Each write passes
//! the [`Fence`] first, goes out once (the client's own retries are off) and within a timeout that ends before anybody else
//! can hold the lease.
//!
//! Invariant: a request leaves only with a [`Permit`] in hand, and a permit is good for one request.

mod blast;
mod denial;
mod error;
mod evict;
mod fence;
mod memory;
mod new_pods;
mod plan;
mod pod_sizes;
mod resize;
mod scale;
mod takeover;
mod writer;

pub use blast::{Blast, Change, PODS_PER_TICK};
pub use denial::Denial;
pub use error::{RESULTS, Refusal, WriteError, WriteKind};
pub use fence::{Bucket, Claim, Fence, Gate, Permit};
pub use new_pods::{Asked, new_pods, sized_workload};
pub use plan::{
    Attempts, Cause, Disruptions, Evictions, LeftAlone, Plan, PodEviction, PodResize, ResizeKind, Told, Undo, Waits,
    Wanted, missing, plan, told,
};
pub use pod_sizes::Table;
pub use scale::ScaleIntent;
pub use writer::{WRITE_TIMEOUT, Writer, writing_client};

/// Our name in `managedFields` and Events.
pub const FIELD_MANAGER: &str = "arbiter";
