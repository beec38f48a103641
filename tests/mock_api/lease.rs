//! Two instances and one lease, over hours of paused time.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arbiter::{
    actuate::Claim,
    controller::lease::{self, Settings, Timing},
    observe::clock::Clock,
};
use http::Method;
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use serde_json::Value;
use tokio::{sync::watch, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::server::{Asked, client, failure};

/// The one lease of the cluster, with the API server's rules for its version.
#[derive(Clone, Debug, Default)]
struct Store(Arc<Mutex<Option<(u64, Value)>>>);

impl Store {
    fn answer(&self, asked: &Asked) -> Option<(u16, Value)> {
        let mut stored = self.0.lock().unwrap();
        let put = |version: u64| {
            let mut lease = asked.body.clone();
            lease["metadata"]["resourceVersion"] = version.to_string().into();
            lease
        };
        match (&asked.method, stored.clone()) {
            (&Method::GET, None) => failure(404, "not found"),
            (&Method::GET, Some((_, lease))) => Some((200, lease)),
            (&Method::POST, Some(_)) => failure(409, "already exists"),
            (&Method::POST, None) => {
                *stored = Some((1, put(1)));
                Some((201, put(1)))
            }
            (&Method::PUT, Some((version, _)))
                if asked.body["metadata"]["resourceVersion"].as_str() == Some(version.to_string().as_str()) =>
            {
                *stored = Some((version + 1, put(version + 1)));
                Some((200, put(version + 1)))
            }
            _ => failure(409, "modified"),
        }
    }

    fn holder(&self) -> Option<String> {
        let stored = self.0.lock().unwrap();
        stored.as_ref()?.1["spec"]["holderIdentity"].as_str().map(str::to_owned)
    }
}

/// A wall clock that follows the paused one, off by some seconds.
struct Skewed(Instant, i64);

impl Clock for Skewed {
    fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.0.elapsed()).unwrap();
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_000_000 + self.1) + passed
    }
}

struct Instance {
    claim: watch::Receiver<Claim>,
    cut_off: Arc<AtomicBool>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Instance {
    fn start(store: &Store, identity: &str, skew: i64) -> Self {
        let cut_off = Arc::new(AtomicBool::new(false));
        let (rules, cut) = (store.clone(), Arc::clone(&cut_off));
        let (client, _): (Client, _) =
            client(move |asked| if cut.load(Ordering::Relaxed) { None } else { rules.answer(asked) });
        let (sender, claim) = watch::channel(Claim::default());
        let stop = CancellationToken::new();
        let settings = Settings {
            namespace: "arbiter".into(),
            name: "arbiter".into(),
            identity: identity.into(),
            timing: Timing::default(),
        };
        let task = tokio::spawn(lease::run(client, settings, Skewed(Instant::now(), skew), sender, stop.clone()));
        Self { claim, cut_off, stop, task }
    }

    fn leads(&self) -> bool {
        self.claim.borrow().current(Instant::now())
    }
}

/// Lets time pass in small steps and checks that never two lead; answers how long it took until `done`.
async fn pass_until(a: &Instance, b: &Instance, most: Duration, done: impl Fn() -> bool) -> Duration {
    let started = Instant::now();
    loop {
        assert!(!(a.leads() && b.leads()), "two leaders after {:?}", started.elapsed());
        if done() {
            return started.elapsed();
        }
        assert!(started.elapsed() < most, "not within {most:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_leads_and_keeps_the_lead() {
    let store = Store::default();
    let (a, b) = (Instance::start(&store, "a", 0), Instance::start(&store, "b", -3600));
    pass_until(&a, &b, Duration::from_secs(3), || a.leads() || b.leads()).await;
    let first = store.holder();
    for _ in 0..12_000 {
        pass_until(&a, &b, Duration::from_secs(1), || a.leads() || b.leads()).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(store.holder(), first);
}

#[tokio::test(start_paused = true)]
async fn the_other_takes_over_when_the_leader_is_cut_off_and_never_before_it_has_let_go() {
    for skew in [-3600, 0, 3600] {
        let store = Store::default();
        let a = Instance::start(&store, "a", skew);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let b = Instance::start(&store, "b", 0);
        pass_until(&a, &b, Duration::from_secs(5), || a.leads()).await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        a.cut_off.store(true, Ordering::Relaxed);
        let took = pass_until(&a, &b, Duration::from_secs(20), || b.leads()).await;
        assert!(took >= Duration::from_secs(11), "{took:?}: the old leader may still write");
        assert!(took <= Duration::from_secs(18), "{took:?}: more than the lease and one attempt");
        assert_eq!(store.holder().as_deref(), Some("b"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_stops_gives_the_lease_back() {
    let store = Store::default();
    let a = Instance::start(&store, "a", 0);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let b = Instance::start(&store, "b", 0);
    pass_until(&a, &b, Duration::from_secs(5), || a.leads()).await;
    a.stop.cancel();
    let took = pass_until(&a, &b, Duration::from_secs(5), || b.leads()).await;
    assert!(took <= Duration::from_secs(3), "{took:?}");
    assert!(!a.leads());
    a.task.await.unwrap();
}
