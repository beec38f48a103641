//! What the end-to-end tests stand on: the cluster, a scene for each test, and the processes in it.

mod audit;
mod cluster;
mod emulator;
mod history;
mod install;
mod process;
mod prometheus;
mod scene;
mod wait;

pub(crate) use audit::{AuditEvent, audit_events};
pub(crate) use cluster::{Cluster, cluster};
pub(crate) use emulator::{Emulator, EmulatorOptions};
pub(crate) use history::History;
pub(crate) use install::{Profile, rendered};
pub(crate) use process::{Arbiter, free_port};
pub(crate) use prometheus::Prometheus;
pub(crate) use scene::{CONTAINER, Scene, WEB, Workload};
pub(crate) use wait::{await_some, await_that, holds_for};
