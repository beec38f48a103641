//! I/O: The cluster through the API server: watches into an index, targets through discovery and `/scale`.

pub mod index;
pub mod objects;
mod target;
mod watch;

pub use index::{Index, Kind};
pub use objects::{Bounds, ContainerFacts, OomKill, PerResource, PodFacts, PolicyObject, Qos, ReplicaSetFacts};
pub use target::{ObjectFacts, ScaleFacts, TargetError, TargetFacts, Targets, TemplateContainer};
pub use watch::{Cluster, Watches, start};
