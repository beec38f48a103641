//! I/O: Histories of workloads that are seen for the first time: one at a time, bounded, beside the ticks.
//!
//! Until a history has arrived, and where none can be had, `decide` watches: nothing leaves in the first ten minutes and
//! no size changes in the first half hour. So nobody waits for this, and a failure is a line in the log.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::mpsc, time::timeout};

use crate::{
    decide::{Memory, warm_start},
    observe::{
        clock::Clock,
        prometheus::{Prometheus, history},
    },
    policy::{Policy, PolicyKey},
};

/// Longest wait for one answer: it comes from disk.
pub const QUERY_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest time for one workload; its nine queries usually take a second together.
const WORKLOAD_TIMEOUT: Duration = Duration::from_mins(1);
/// Pause between two workloads: a thousand of them are read in half an hour, and a server has its rest.
const PAUSE: Duration = Duration::from_secs(1);
/// Workloads that may wait; the controller watches fewer.
const WAITING: usize = 8192;

/// What came of asking for a history: the warm Memory (cold when it teaches nothing), or why there is none.
pub type Outcome = Result<Box<Memory>, String>;

/// The asking end, and where answers lie until they are fetched.
#[derive(Debug)]
pub struct Backfill {
    queue: Option<mpsc::Sender<Arc<Policy>>>,
    outcomes: Arc<Mutex<BTreeMap<PolicyKey, Outcome>>>,
}

impl Backfill {
    /// Without a metrics server: nobody ever gets an answer.
    #[must_use]
    pub fn none() -> Self {
        Self { queue: None, outcomes: Arc::default() }
    }

    /// Starts to answer, until this end is dropped.
    #[must_use]
    pub fn start(prometheus: Prometheus, clock: Arc<dyn Clock>) -> Self {
        let (queue, mut asked) = mpsc::channel::<Arc<Policy>>(WAITING);
        let outcomes: Arc<Mutex<BTreeMap<PolicyKey, Outcome>>> = Arc::default();
        let put = Arc::clone(&outcomes);
        tokio::spawn(async move {
            while let Some(policy) = asked.recv().await {
                let key = policy.key.clone();
                let outcome = learn(&prometheus, policy, clock.as_ref()).await;
                put.lock().unwrap_or_else(PoisonError::into_inner).insert(key, outcome);
                tokio::time::sleep(PAUSE).await;
            }
        });
        Self { queue: Some(queue), outcomes }
    }

    /// Asks for the history of a policy's workload; answers whether one will be said to have come or not.
    pub fn ask(&self, policy: &Arc<Policy>) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.try_send(Arc::clone(policy)).is_ok())
    }

    /// What came of it, once.
    #[must_use]
    pub fn fetch(&self, key: &PolicyKey) -> Option<Outcome> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).remove(key)
    }
}

/// Reads and learns.
async fn learn(prometheus: &Prometheus, policy: Arc<Policy>, clock: &dyn Clock) -> Outcome {
    let now = clock.now();
    let read = timeout(WORKLOAD_TIMEOUT, history::read(prometheus, &policy, now)).await;
    let history = match read {
        Ok(read) => read.map_err(|error| error.to_string())?,
        Err(_elapsed) => return Err(format!("it took longer than {} s", WORKLOAD_TIMEOUT.as_secs())),
    };
    // Half a second of arithmetic, which no tick is to wait for.
    let learned = tokio::task::spawn_blocking(move || warm_start(&history, &policy, now)).await;
    learned.map(Box::new).map_err(|error| format!("learning from it failed: {error}"))
}

#[cfg(test)]
mod tests;
