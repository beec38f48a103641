//! Real requests at a rate, whatever becomes of them: an open loop, as of many users who do not wait for each other.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::ListParams};
use tokio::{sync::watch, task::JoinHandle, time::Instant};

use crate::support::{Scene, WEB};

/// Requests that have no answer by then have failed.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the ready pods are looked up, as a proxy would be told of them.
const LOOK: Duration = Duration::from_millis(500);

/// One request.
#[derive(Clone, Copy, Debug)]
struct Request {
    sent: Instant,
    /// Seconds until the answer, and whether it was a good one.
    answer: Option<(f64, bool)>,
}

/// Requests of a stretch of time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    /// How many were sent.
    pub(super) sent: usize,
    /// Share that was late, refused or failed.
    pub(super) late: f64,
    /// Seconds within which 95 of 100 good answers came; 0 when there were none.
    pub(super) p95: f64,
}

impl std::fmt::Display for Stretch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} requests, {:.1} % of them late, 95 of 100 good ones within {:.3} s",
            self.sent,
            self.late * 100.0,
            self.p95
        )
    }
}

/// A generator; it ends when dropped.
pub(super) struct Load {
    rate: watch::Sender<f64>,
    requests: Arc<Mutex<Vec<Request>>>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Load {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Load {
    /// A generator for the ready pods of the scene's workload, which sends nothing yet.
    pub(super) fn start(scene: &Scene) -> Self {
        let addresses = Arc::new(Mutex::new(Vec::new()));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (rate, rates) = watch::channel(0.0);
        let api = Api::namespaced(scene.admin.clone(), &scene.namespace);
        let looking = tokio::spawn(look(api, Arc::clone(&addresses)));
        let sending = tokio::spawn(send(rates, addresses, Arc::clone(&requests)));
        Self { rate, requests, tasks: [looking, sending] }
    }

    /// So many requests per second from now on.
    pub(super) fn rate(&self, per_second: f64) {
        self.rate.send_replace(per_second);
    }

    /// What became of the requests that were sent between two instants; late is what took longer than `target` seconds, or
    /// has no answer after that.
    pub(super) fn between(&self, from: Instant, to: Instant, target: f64) -> Stretch {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let sent: Vec<_> = requests.iter().filter(|r| (from..to).contains(&r.sent)).collect();
        let late = sent.iter().filter(|r| match r.answer {
            Some((seconds, good)) => !good || seconds > target,
            None => r.sent.elapsed().as_secs_f64() > target,
        });
        let mut good: Vec<f64> =
            sent.iter().filter_map(|r| r.answer.filter(|(_, good)| *good)).map(|(s, _)| s).collect();
        good.sort_by(f64::total_cmp);
        let p95 = good.get((good.len() * 95).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default();
        Stretch { sent: sent.len(), late: late.count() as f64 / sent.len().max(1) as f64, p95 }
    }

    /// The last seconds, up to where a request may still be answered in time.
    pub(super) fn last(&self, seconds: u64, target: f64) -> Stretch {
        let to = Instant::now().checked_sub(Duration::from_secs_f64(target)).expect("the machine runs for longer");
        let from = to.checked_sub(Duration::from_secs(seconds)).expect("the machine runs for longer");
        self.between(from, to, target)
    }
}

/// Addresses of the pods that a Service would have.
async fn look(api: Api<Pod>, addresses: Arc<Mutex<Vec<String>>>) {
    let params = ListParams::default().labels(&format!("app={WEB}"));
    loop {
        if let Ok(pods) = api.list(&params).await {
            let found = pods.items.iter().filter_map(address).collect();
            *addresses.lock().unwrap_or_else(PoisonError::into_inner) = found;
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn address(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let ready = status.conditions.iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True");
    (ready && pod.metadata.deletion_timestamp.is_none()).then(|| status.pod_ip.clone()).flatten()
}

async fn send(mut rates: watch::Receiver<f64>, addresses: Arc<Mutex<Vec<String>>>, requests: Arc<Mutex<Vec<Request>>>) {
    // A connection for each request: nothing sticks to one pod.
    let client = reqwest::Client::builder().timeout(PATIENCE).pool_max_idle_per_host(0).no_proxy().build();
    let client = client.expect("a client");
    let mut next = Instant::now();
    let mut turn = 0_usize;
    loop {
        let rate = *rates.borrow_and_update();
        if rate <= 0.0 {
            if rates.changed().await.is_err() {
                return;
            }
            next = Instant::now();
            continue;
        }
        tokio::time::sleep_until(next).await;
        next += Duration::from_secs_f64(1.0 / rate);
        let address = {
            let known = addresses.lock().unwrap_or_else(PoisonError::into_inner);
            turn = turn.wrapping_add(1);
            known.get(turn % known.len().max(1)).cloned()
        };
        let index = {
            let mut all = requests.lock().unwrap_or_else(PoisonError::into_inner);
            all.push(Request { sent: Instant::now(), answer: address.is_none().then_some((0.0, false)) });
            all.len() - 1
        };
        let Some(address) = address else { continue };
        let (client, requests) = (client.clone(), Arc::clone(&requests));
        tokio::spawn(async move {
            let sent = Instant::now();
            let answer = client.get(format!("http://{address}:8080/work")).send().await;
            let good = answer.is_ok_and(|a| a.status().is_success());
            let mut all = requests.lock().unwrap_or_else(PoisonError::into_inner);
            all[index].answer = Some((sent.elapsed().as_secs_f64(), good));
        });
    }
}
