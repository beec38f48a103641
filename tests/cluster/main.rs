//! End-to-end tests: the built `arbiter` binary on a real control plane, with a real Prometheus and a real queue.
//!
//! `make test-cluster` runs them. The control plane is started once by `tests/cluster/up` and ends with this process. Each
//! test has a namespace, a Prometheus, a workload emulator and an instance of arbiter of its own, so that the tests run
//! side by side and one may kill what the others need.
//!
//! `node` alone needs a real node and no KWOK: `make test-node` runs it.
//!
//! arbiter runs under the `ServiceAccount` and the RBAC rules that `deploy/kustomize` renders, never as an admin.

#![expect(clippy::panic, reason = "a test fails by panicking")]

mod support;

mod admission_cost;
mod bad_input;
mod crd;
mod dashboards;
mod deploy;
mod emulator_works;
mod faults;
mod instances;
mod live;
mod load;
mod many_bad;
mod measure;
mod neighbours;
mod new_pods;
mod node;
mod one_owner;
mod peers;
mod queue;
mod resize;
mod restraint;
mod rights;
mod signals;
mod signals_lost;
mod specs;
mod steady;
mod takeover;
mod targets;
mod tenancy;
