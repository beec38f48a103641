//! What the end-to-end tests stand on: the cluster, a scene for each test, and the processes in it.

mod account;
mod audit;
mod cluster;
mod emulator;
mod exporter;
mod handover;
mod history;
mod install;
mod lab;
mod neighbours;
mod peers;
#[path = "../../common/ports.rs"]
mod ports;
mod process;
mod prometheus;
mod queue;
mod scene;
mod wait;
mod webhook;

pub(crate) use account::{ACCOUNTS, Account, Right, right};
pub(crate) use audit::{AuditEvent, AuditTail, audit_of_namespace};
pub(crate) use cluster::{Cluster, cluster, root, run};
pub(crate) use emulator::{Emulator, EmulatorOptions};
pub(crate) use exporter::Exporter;
pub(crate) use handover::{Taken, Watched};
pub(crate) use install::{Profile, kubeconfig, rendered};
pub(crate) use lab::{Answer, ClusterWide, LABEL, Lab};
pub(crate) use neighbours::{argo_rollouts, flagger, grant};
pub(crate) use peers::{as_written, checkpoint, hpa, scaled_object, service, start_peers, vpa};
pub(crate) use process::Arbiter;
pub(crate) use prometheus::Prometheus;
pub(crate) use queue::Queue;
pub(crate) use scene::{CONTAINER, Scene, WEB, Workload, cores, template};
pub(crate) use wait::{await_some, await_that, holds_for};
pub(crate) use webhook::{Change, Webhook};
