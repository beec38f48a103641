//! The processes of arbiter that a block runs, one after the other.

use std::{path::PathBuf, time::Duration};

use tokio::{sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    api::{Api, End},
    block::{Block, World},
    metrics::Metrics,
};
use crate::support::{Arbiter, Profile};

/// Times of the lease: a little shorter than the defaults, since a history is a minute and one process of a block has to
/// wait for the lease.
const LEASE: [&str; 3] = ["--lease-duration=12s", "--lease-renew-deadline=8s", "--lease-retry=2s"];
/// The renew deadline of that, and the longest that a write is on its way (3 s), and what the log's clock may be off.
pub(super) const CLAIM_AND_WRITE: Duration = Duration::from_millis(11_500);
/// From a process' end to its successor.
const RESTART: Duration = Duration::from_millis(300);
/// How long one that was told to end may take: the two seconds that are promised, and what a busy machine adds.
const GRACE: Duration = Duration::from_secs(5);

/// Keeps one running.
pub(super) struct Process {
    kubeconfig: PathBuf,
    args: Vec<String>,
    log: PathBuf,
}

impl Process {
    /// Where a block's process finds its API server and its Prometheus.
    pub(super) fn new(block: &Block, world: &World, api: &Api, metrics: &Metrics) -> Self {
        let name = block.name();
        let kubeconfig = world.cluster.dir().join(format!("{name}.kubeconfig"));
        std::fs::write(&kubeconfig, api.kubeconfig()).expect("writing a kubeconfig");
        let state = world.cluster.dir().join(format!("{name}.state"));
        let mut args = common(&name, &metrics.url());
        args.extend(block.namespaces().map(|namespace| format!("--namespace={namespace}")));
        args.extend(LEASE.map(str::to_owned));
        args.push(if block.objects() {
            "--state-objects".to_owned()
        } else {
            format!("--state-dir={}", state.display())
        });
        args.push("--tick=5s".to_owned());
        args.push("--signal-interval=5s".to_owned());
        Self { kubeconfig, args, log: world.cluster.dir().join(format!("{name}.log")) }
    }

    /// The second one is called otherwise and has to wait for the lease, as after a node's death; the ones after that are
    /// called as it is, as after a container's.
    fn start(&self, nth: u32) -> Arbiter {
        let mut args = self.args.clone();
        args.push(format!("--identity=arbiter-{}", nth.min(1)));
        Arbiter::start(&self.kubeconfig, &args, &self.log)
    }

    /// Keeps one running until it is told to stop; answers with how many there were.
    pub(super) async fn run(self, mut ends: mpsc::UnboundedReceiver<End>, stop: CancellationToken) -> u32 {
        for nth in 0.. {
            let mut arbiter = self.start(nth);
            loop {
                tokio::select! {
                    () = stop.cancelled() => {
                        end(arbiter, &mut ends).await;
                        return nth + 1;
                    }
                    Some(how) = ends.recv() => {
                        match how {
                            End::Killed => arbiter.kill(),
                            End::Told => end(arbiter, &mut ends).await,
                        }
                        break;
                    }
                    () = sleep(Duration::from_millis(500)) => if arbiter.ended() {
                        break;
                    }
                }
            }
            sleep(RESTART).await;
        }
        0
    }
}

/// SIGTERM; it may be killed at one of its last writes.
async fn end(mut arbiter: Arbiter, ends: &mut mpsc::UnboundedReceiver<End>) {
    arbiter.signal("TERM");
    let give_up = tokio::time::Instant::now() + GRACE;
    while ends.try_recv().is_err() && !arbiter.ended() && tokio::time::Instant::now() < give_up {
        sleep(Duration::from_millis(50)).await;
    }
    arbiter.kill();
}

/// Arguments that every process of these tests has.
pub(super) fn common(lease: &str, prometheus: &str) -> Vec<String> {
    vec![
        format!("--lease-namespace={}", Profile::Auto.namespace()),
        format!("--lease-name={lease}"),
        format!("--prometheus={prometheus}"),
        "--usage-window=20s".to_owned(),
        "--log=info,arbiter=debug".to_owned(),
    ]
}
