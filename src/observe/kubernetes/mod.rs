//! I/O: The cluster through the API server: watches into an index, targets through discovery and `/scale`.

pub mod index;
pub mod objects;
mod once;
mod pods;
mod pulse;
mod rival_watch;
pub mod rivals;
mod target;
mod watch;
mod writers;

pub use index::{Index, Kind};
pub use objects::{
    Address, Bounds, ContainerFacts, OomKill, PerResource, PodFacts, PolicyObject, Qos, ReplicaSetFacts,
};
pub use once::list_once;
pub use pods::Fixed;
pub use rival_watch::{object_of, plural_of, resource_of};
pub use target::{ObjectFacts, ScaleFacts, TargetError, TargetFacts, Targets, TemplateContainer};
pub use watch::{Cluster, Watches, start};
