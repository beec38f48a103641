//! Two instances and their leases, over hours of paused time.

use std::{
    collections::BTreeMap,
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
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::server::{Asked, client, failure};

/// The leases of a namespace, with the API server's rules for their versions.
#[derive(Clone, Debug, Default)]
struct Store(Arc<Mutex<BTreeMap<String, (u64, Value)>>>);

impl Store {
    fn answer(&self, asked: &Asked) -> Option<(u16, Value)> {
        let mut stored = self.0.lock().unwrap();
        let list = asked.path.ends_with("/leases");
        let named = asked.path.rsplit('/').next().filter(|_| !list);
        let name = named.or(asked.body["metadata"]["name"].as_str()).unwrap_or_default().to_owned();
        let put = |version: u64| {
            let mut lease = asked.body.clone();
            lease["metadata"]["resourceVersion"] = version.to_string().into();
            lease
        };
        let known = stored.get(&name).map(|(version, _)| *version);
        let sent = asked.body["metadata"]["resourceVersion"].as_str().and_then(|v| v.parse().ok());
        match (asked.method.as_str(), known) {
            ("GET", _) if list => {
                let leases: Vec<&Value> = stored.values().map(|(_, lease)| lease).collect();
                let (kind, api) = ("LeaseList", "coordination.k8s.io/v1");
                Some((200, json!({"kind": kind, "apiVersion": api, "metadata": {}, "items": leases})))
            }
            ("GET", None) => failure(404, "not found"),
            ("GET", Some(_)) => stored.get(&name).map(|(_, lease)| (200, lease.clone())),
            ("POST", None) => {
                stored.insert(name, (1, put(1)));
                Some((201, put(1)))
            }
            ("PUT", Some(version)) if sent == Some(version) => {
                stored.insert(name, (version + 1, put(version + 1)));
                Some((200, put(version + 1)))
            }
            _ => failure(409, "modified or there already"),
        }
    }

    fn holder(&self, lease: &str) -> Option<String> {
        let stored = self.0.lock().unwrap();
        stored.get(lease)?.1["spec"]["holderIdentity"].as_str().map(str::to_owned)
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
        Self::of(store, identity, skew, "0/1")
    }

    fn of(store: &Store, identity: &str, skew: i64, shard: &str) -> Self {
        let cut_off = Arc::new(AtomicBool::new(false));
        let (rules, cut) = (store.clone(), Arc::clone(&cut_off));
        let (client, _): (Client, _) =
            client(move |asked| if cut.load(Ordering::Relaxed) { None } else { rules.answer(asked) });
        let (sender, claim) = watch::channel(Claim::default());
        let stop = CancellationToken::new();
        let settings = Settings {
            namespace: "arbiter".into(),
            base: "arbiter".into(),
            shard: shard.parse().unwrap(),
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
    let first = store.holder("arbiter");
    for _ in 0..12_000 {
        pass_until(&a, &b, Duration::from_secs(1), || a.leads() || b.leads()).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(store.holder("arbiter"), first);
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
        assert_eq!(store.holder("arbiter").as_deref(), Some("b"));
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

#[tokio::test(start_paused = true)]
async fn from_two_shards_to_three_nobody_leads_beside_the_old_ones() {
    let store = Store::default();
    let old = Instance::of(&store, "old", 0, "0/2");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(old.leads());
    let new = Instance::of(&store, "new", -3600, "1/3");
    let short = Duration::from_mins(1);
    pass_until(&old, &new, short, || store.holder("arbiter-1-of-3").is_some()).await;
    for _ in 0..60 {
        pass_until(&old, &new, short, || old.leads()).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // Cut off, not stopped: its lease has to run out.
    old.cut_off.store(true, Ordering::Relaxed);
    let took = pass_until(&old, &new, short, || new.leads()).await;
    assert!(took >= Duration::from_secs(11) && took <= Duration::from_secs(20), "{took:?}");
    // It comes back, and its lease is still its own.
    old.cut_off.store(false, Ordering::Relaxed);
    for _ in 0..60 {
        pass_until(&old, &new, short, || new.leads()).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(store.holder("arbiter-0-of-2"), None, "of fewer shards, so it has stepped back");
}

#[tokio::test(start_paused = true)]
async fn of_two_that_begin_at_once_the_one_with_more_shards_leads() {
    for _ in 0..20 {
        let store = Store::default();
        let (a, b) = (Instance::of(&store, "a", 0, "0/1"), Instance::of(&store, "b", 0, "0/4"));
        pass_until(&a, &b, Duration::from_mins(1), || b.leads()).await;
        assert_eq!(store.holder("arbiter"), None);
    }
}
