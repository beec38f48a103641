//! arbiter: one Kubernetes autoscaler for replicas and pod size, deciding both from one demand model.
//!
//! ```text
//!       world ──observe──▶ Snapshot ──decide──▶ Decision ──actuate──▶ world
//!                             ▲          │ (pure, no clock, no I/O)
//!  ScalingPolicy ──policy──▶ Policy      └─▶ Explain ─▶ status, Event, metric, page, report   (one value, many views)
//!  recorded trace ──simulate──▶ Snapshot … the same decide … ──▶ score, report
//! ```
//!
//! The rooms, in the one direction that they may depend:
//!
//! | room | what it holds |
//! |---|---|
//! | [`units`] | numbers with their unit in the type, and the one mathematics library |
//! | [`api`] | `ScalingPolicy` as it is written in YAML |
//! | [`policy`] | the compiled policy: defaults resolved, problems found |
//! | [`decide`] | the decision model, one file per term |
//! | [`takeover`] | taking a workload over from its other autoscalers and giving it back: what is seen in, one write out |
//! | [`simulate`] | the embedded cluster: plant, rivals, score |
//! | [`report`] | one HTML page of what was simulated |
//! | `observe`, `actuate`, `controller` | the only rooms that talk to a cluster (feature `controller`) |
//! | `serve` | page, metrics, health, JSON API (feature `page`) |
//! | [`cli`] | one file per subcommand |
//!
//! Invariants: absent is not zero; deadbands bind shrinking only, never growth; one writer; no decision that nobody
//! can explain.

#[cfg(feature = "controller")]
pub mod actuate;
pub mod api;
pub mod cli;
#[cfg(feature = "controller")]
pub mod controller;
pub mod decide;
#[cfg(feature = "controller")]
#[doc(hidden)]
pub mod fuzz;
#[cfg(feature = "controller")]
pub mod observe;
pub mod policy;
pub mod report;
#[cfg(feature = "page")]
pub mod serve;
pub mod simulate;
pub mod takeover;
pub mod units;
