//! The embedded cluster: a recorded load is played against a simulated workload under one controller, and scored.
//!
//! ```text
//!  trace ─▶ load ─▶ arrivals ─▶ plant ──metrics──▶ View ─▶ Controller ─▶ Action ─▶ plant
//!                                 └──────▶ truth ─▶ score ─▶ summary
//! ```
//!
//! [`Run`] plays one scenario under one [`Controller`] and one seed, a controller tick at a time; [`summary`] turns
//! scores into the contract's `summary.json`. A rival is one file in [`rivals`] and one line in [`controller`].
//!
//! Must not: call `decide` outside the arbiter's controller, share a formula with it, read a clock or a file. The plant
//! is not the model's world, else a simulation would only show that the model believes itself.
//!
//! Invariant: the same scenario, controller and seed give the same bytes, on every machine and with any number of jobs.

mod arbiter;
mod arrivals;
mod busy;
pub mod calibration;
mod candidates;
mod condition;
mod course;
pub mod fight;
mod latency;
mod load;
mod metrics;
pub mod oracle;
mod plant;
mod random;
pub mod recording;
pub mod rivals;
mod run;
mod scenario;
mod score;
mod service;
pub mod summary;
mod view;
mod world;

pub use busy::busy_hour;
pub use candidates::{Candidate, candidate, candidate_count};
pub use condition::Condition;
pub use course::Part;
pub use latency::latency_table;
pub use load::Load;
pub use run::{Run, Tick, Truth};
pub use scenario::{SHORTEST, Scenario, ScenarioFile, TraceOptions};
pub use score::{SHORTAGE_FACTOR, Score};
pub use service::{Downstream, Service, Sidecar};
pub use view::{Action, ContainerView, Oom, Phase, PodAction, PodView, QueueView, UsageSample, View};
pub use world::{CountOrShare, Event, Kept, Metric, Neighbours, NodePool, Pipeline, Queue, What, World};

use arbiter::WayIn;

use crate::{policy::Role, units::Seconds};

/// The plant's step.
const STEP_SECONDS: f64 = 5.0;
/// Steps between two looks of a controller: 15 s, the HPA's sync period, the same for all.
const STEPS_PER_TICK: usize = 3;
/// Seconds between two looks of a controller.
const TICK_SECONDS: f64 = 15.0;
/// Usage and signals end this many steps ago.
const LAG_STEPS: usize = 3;
/// Usage and signals are means over this many steps.
const WINDOW_STEPS: usize = 6;
/// Steps that are remembered: a window, the lag before it, and what a scrape of 60 s adds to that.
const HISTORY: usize = 20;

/// Time between two looks of a controller.
pub const TICK: Seconds = Seconds(TICK_SECONDS);

/// Something that looks at a workload every 15 s and says what it should be.
pub trait Controller {
    /// Its name in reports.
    fn name(&self) -> &str;
    /// What it does, given what it sees.
    fn tick(&mut self, view: &View<'_>) -> Action;
    /// Its process was restarted: it forgets what it keeps in memory alone, but for what was kept. Nothing, unless it
    /// says otherwise.
    fn restart(&mut self, _kept: Kept) {}
}

/// Controllers that can be run, in the order of reports.
pub const CONTROLLERS: [&str; 22] = [
    "arbiter",
    "arbiter-rate",
    "arbiter-cpu",
    "hpa50",
    "hpa70",
    "hpa80",
    "keda",
    "kpa",
    "vpa",
    "vpa-inplace",
    "hpa50-vpa",
    "hpa70-vpa",
    "hpa70-vpamem",
    "gardener",
    "keda-vpa",
    "hvpa",
    "hpa-hindsight",
    "keda-hindsight",
    "static",
    "oracle-n",
    "oracle",
    "oracle-lead",
];

/// Whether there is a controller of that name.
pub fn check_controller(name: &str) -> Result<(), SimulateError> {
    if CONTROLLERS.contains(&name) { Ok(()) } else { Err(SimulateError::Controller { name: name.to_owned() }) }
}

/// A controller by its name: one that decides tick by tick, with what it sees.
pub fn controller(name: &str, scenario: &Scenario) -> Result<Box<dyn Controller + Send>, SimulateError> {
    if let Some(way) = WayIn::named(name) {
        if way == WayIn::Rate && scenario.policy.signal_of(Role::Demand).is_none() {
            return Err(SimulateError::Demand { name: name.to_owned() });
        }
        return Ok(Box::new(arbiter::Arbiter::new(way, scenario.policy.clone())));
    }
    match name {
        "hpa50" => Ok(Box::new(rivals::Hpa::cpu(name, 50, scenario.policy.replicas))),
        "hpa70" => Ok(Box::new(rivals::Hpa::cpu(name, 70, scenario.policy.replicas))),
        "hpa80" => Ok(Box::new(rivals::Hpa::cpu(name, 80, scenario.policy.replicas))),
        "keda" => Ok(Box::new(rivals::keda_of(name, scenario)?)),
        "kpa" => Ok(Box::new(rivals::kpa_of(name, scenario)?)),
        _ => rivals::composites::named(name, scenario),
    }
}

/// What can be wrong with the input of a simulation.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// A trace that cannot be used.
    #[error("{file}:{line}: {problem}")]
    Trace {
        /// The file as the user named it.
        file: String,
        /// Line in the file, from 1.
        line: u64,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A scenario that cannot be played.
    #[error("{file}:{line}: {problem}")]
    Scenario {
        /// The file as the user named it.
        file: String,
        /// Line in the file, from 1.
        line: u64,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A recording that cannot be replayed.
    #[error("{0}")]
    Recording(String),
    /// A controller that is not there.
    #[error("--controllers: `{name}` is not available; choose among {}", CONTROLLERS.join(", "))]
    Controller {
        /// The name that was asked for.
        name: String,
    },
    /// A controller of queues where there is none.
    #[error(
        "--controllers: `{name}` scales on a queue and this load has none; leave it out, or simulate a scenario file with `queue`"
    )]
    Queue {
        /// The name that was asked for.
        name: String,
    },
    /// A controller of demand where nothing measures it.
    #[error(
        "--controllers: `{name}` scales on requests and this policy has no signal of role demand; leave it out or add one"
    )]
    Demand {
        /// The name that was asked for.
        name: String,
    },
}

impl SimulateError {
    /// A word for labels.
    #[must_use]
    pub const fn category(&self) -> &'static str {
        match self {
            Self::Trace { .. } => "trace",
            Self::Recording(_) => "recording",
            Self::Scenario { .. } => "scenario",
            Self::Controller { .. } | Self::Queue { .. } | Self::Demand { .. } => "controller",
        }
    }
}

/// The whole part of a number that is not negative; what is not a number counts as 0.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, which is what is meant")]
fn whole(number: f64) -> usize {
    number as usize
}
