//! The other autoscalers, then arbiter, then they again: one workload, one load, real programs on one control plane.
//!
//! `make live` runs this alone, for half an hour, and writes `simulations/results/live`; without `ARBITER_RESULTS` nothing
//! is written. `LIVE_PHASE_SECONDS` shortens the phases, to look at the harness itself.
//!
//! Two workloads side by side: a service under an HPA and a VPA, and a worker of a queue under KEDA and a VPA. Each is
//! played in three phases of equal length and equal load:
//! - (a) the old owners alone; arbiter watches in mode `Recommend`,
//! - (b) the policy is set to `Auto` while they run: arbiter takes over,
//! - (c) it is set back to `Recommend`: arbiter gives back, and the old owners go on.

mod page;
mod past;
mod play;
mod plot;
mod record;

use std::path::PathBuf;

use crate::support::{service, start_peers};

/// Length of a phase, in seconds.
const PHASE: u64 = 600;
/// Core-seconds per item, and seconds after which an answer is late.
const WORK: f64 = 0.05;

fn phase_seconds() -> u64 {
    std::env::var("LIVE_PHASE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(PHASE)
}

/// The workload of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    /// A service: HPA on CPU at 70 %, VPA on CPU.
    Service,
    /// A worker: `ScaledObject` on a JetStream consumer, VPA on CPU.
    Worker,
}

impl Case {
    const fn key(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Worker => "worker",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Service => "A service under HPA and VPA, then arbiter, then HPA and VPA",
            Self::Worker => "A queue's worker under KEDA and VPA, then arbiter, then KEDA and VPA",
        }
    }

    const fn rivals(self) -> &'static str {
        match self {
            Self::Service => "HPA + VPA",
            Self::Worker => "KEDA + VPA",
        }
    }

    /// Items per second in calm times; a busy fifth of each phase has more.
    const fn calm(self) -> f64 {
        match self {
            Self::Service => 80.0,
            Self::Worker => 20.0,
        }
    }

    const fn busy(self) -> f64 {
        match self {
            Self::Service => 1.5,
            Self::Worker => 3.0,
        }
    }

    /// Items per second at a share of the phase that has passed.
    fn rate(self, share: f64) -> f64 {
        if (0.4..0.6).contains(&share) { self.calm() * self.busy() } else { self.calm() }
    }

    /// Pods at the start, and their CPU request in cores: where the horizontal owner alone is at rest.
    const fn start(self) -> (u32, &'static str, f64) {
        match self {
            Self::Service => (6, "1", 1.0),
            Self::Worker => (3, "500m", 0.5),
        }
    }

    /// Fewest and most replicas.
    const fn replicas(self) -> (u32, u32) {
        match self {
            Self::Service => (2, 60),
            Self::Worker => (1, 30),
        }
    }

    /// Seconds after which an item is late: an answer of the service, a message of the queue.
    const fn objective(self) -> f64 {
        match self {
            Self::Service => 1.0,
            Self::Worker => 30.0,
        }
    }
}

#[tokio::test]
async fn the_old_owners_then_arbiter_then_the_old_owners() {
    start_peers().await;
    // A recommender reads checkpoints at its start only.
    service("stop", "vpa-recommender").await;
    let (mut service_stage, mut worker_stage) =
        tokio::join!(play::Stage::set_up(Case::Service), play::Stage::set_up(Case::Worker));
    service("start", "vpa-recommender").await;
    let (service_story, worker_story) = tokio::join!(service_stage.play(), worker_stage.play());
    let stories = [service_story, worker_story];
    let folder = std::env::var_os("ARBITER_RESULTS").map(PathBuf::from);
    page::write(&stories, folder.as_deref());
    for story in &stories {
        story.check();
    }
}
