//! Two instances of arbiter and one lease: the leader is frozen, cut off from the lease, or killed, again and again, while
//! somebody else keeps giving it something to write.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use arbiter::observe::clock::{Clock as _, SystemClock};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api as KubeApi;
use tokio::{sync::mpsc, task::JoinHandle, time::sleep};

use super::{
    api::{Api, End},
    block::World,
    history::{Hands, Variant},
    places::Places,
    plan::mix,
    process::common,
    record::PREFIX,
};
use crate::support::{Arbiter, AuditEvent, Profile, await_some};

/// How often somebody takes a pod away.
const PERSON: Duration = Duration::from_millis(700);
/// How long a new leader leads before it is deposed, and by how much that differs from time to time.
const REIGN: (u64, u64) = (1_000, 1_500);
/// How long the deposed one is kept from finding out after another one leads.
const AFTER: Duration = Duration::from_millis(300);

/// How a leader is deposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// SIGSTOP until another one leads, then SIGCONT: it wakes and believes that no time has passed.
    Frozen,
    /// No request about the lease gets through; all others do.
    CutOff,
    /// SIGKILL; it is started again.
    Killed,
}

/// One of the two.
struct Instance {
    api: Api,
    agent: String,
    identity: String,
    kubeconfig: PathBuf,
    args: Vec<String>,
    log: PathBuf,
    process: Arbiter,
    /// Nobody is killed at a write here.
    _ends: mpsc::UnboundedReceiver<End>,
}

impl Instance {
    fn run(kubeconfig: &std::path::Path, args: &[String], log: &std::path::Path) -> Arbiter {
        Arbiter::start(kubeconfig, args, log)
    }

    async fn start(world: &World, namespace: &str, which: &str, times: &[&str]) -> Self {
        let agent = format!("{namespace}/{which}");
        let places = Arc::new(Places::new(std::iter::empty(), 0, false));
        let (sender, ends) = mpsc::unbounded_channel();
        let api = Api::start(&world.kubeconfig, &agent, places, BTreeSet::new(), sender).await;
        let kubeconfig = world.cluster.dir().join(format!("{namespace}-{which}.kubeconfig"));
        std::fs::write(&kubeconfig, api.kubeconfig()).expect("writing a kubeconfig");
        let identity = format!("arbiter-{which}");
        let mut args = common(namespace, &world.prometheus);
        args.extend(times.iter().map(|time| (*time).to_owned()));
        args.push(format!("--namespace={namespace}"));
        args.push(format!("--identity={identity}"));
        args.extend(["--tick=1s", "--state-objects"].map(str::to_owned));
        let log = world.cluster.dir().join(format!("{namespace}-{which}.log"));
        let process = Self::run(&kubeconfig, &args, &log);
        Self { api, agent, identity, kubeconfig, args, log, process, _ends: ends }
    }
}

/// Two instances on one workload.
pub(super) struct Pair {
    namespace: String,
    leases: KubeApi<Lease>,
    instances: [Instance; 2],
    person: JoinHandle<()>,
    hands: Hands,
}

/// What a reign came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fall {
    /// How it ended.
    pub(super) way: Way,
    /// When.
    pub(super) at: Timestamp,
}

impl Pair {
    /// Starts both on a workload of their own.
    pub(super) async fn start(world: &World, name: &str, times: &[&str]) -> Self {
        let namespace = format!("{PREFIX}{:x}-{name}-x", std::process::id());
        let hands = Hands::new(&world.admin, &namespace);
        hands.set_up(Variant::Calmed).await;
        hands.reassert().await;
        let instances = [
            Instance::start(world, &namespace, "a", times).await,
            Instance::start(world, &namespace, "b", times).await,
        ];
        let somebody = hands.clone();
        let person = tokio::spawn(async move {
            loop {
                sleep(PERSON).await;
                // It is done again at once.
                drop(somebody.set_count(1).await);
            }
        });
        let leases = KubeApi::namespaced(world.admin.clone(), Profile::Auto.namespace());
        Self { namespace, leases, instances, person, hands }
    }

    /// Names of both in the audit log.
    pub(super) fn agents(&self) -> [String; 2] {
        [self.instances[0].agent.clone(), self.instances[1].agent.clone()]
    }

    async fn holder(&self) -> Result<String, String> {
        let lease = self.leases.get(&self.namespace).await.map_err(|e| e.to_string())?;
        lease.spec.and_then(|spec| spec.holder_identity).ok_or_else(|| "nobody".to_owned())
    }

    /// Which of the two leads, other than one.
    async fn leader(&self, other_than: Option<usize>) -> usize {
        await_some("a leader", 60, || async {
            let holder = self.holder().await?;
            let which = self.instances.iter().position(|instance| instance.identity == holder);
            which.filter(|which| Some(*which) != other_than).ok_or(format!("{holder} leads"))
        })
        .await
    }

    /// Waits until a new leader has written something.
    async fn reigns(&self, leader: usize, before: u64) {
        await_some("a write of the new leader", 60, || async {
            let written = self.instances[leader].api.written();
            if written > before { Ok(()) } else { Err(format!("{written} writes")) }
        })
        .await;
    }

    /// Ends so many reigns, in these ways in turn.
    pub(super) async fn depose(&mut self, seed: u64, times: usize, ways: &[Way]) -> Vec<Fall> {
        let mut falls = Vec::new();
        let mut leader = self.leader(None).await;
        self.reigns(leader, 0).await;
        for nth in 0..times {
            let way = ways[nth % ways.len()];
            sleep(Duration::from_millis(REIGN.0 + mix(seed, nth as u64) % REIGN.1)).await;
            let at = SystemClock.now();
            let instance = &mut self.instances[leader];
            match way {
                Way::Frozen => instance.process.signal("STOP"),
                Way::CutOff => instance.api.cut_off_from_lease(true),
                Way::Killed => instance.process.kill(),
            }
            let written = self.instances[1 - leader].api.written();
            let next = self.leader(Some(leader)).await;
            sleep(AFTER).await;
            let instance = &mut self.instances[leader];
            match way {
                Way::Frozen => instance.process.signal("CONT"),
                Way::CutOff => instance.api.cut_off_from_lease(false),
                Way::Killed => instance.process = Instance::run(&instance.kubeconfig, &instance.args, &instance.log),
            }
            falls.push(Fall { way, at });
            leader = next;
            self.reigns(leader, written).await;
        }
        falls
    }

    /// Ends it.
    pub(super) async fn end(self) {
        self.person.abort();
        self.hands.clear().await;
    }
}

/// What the audit log says of one pair.
#[derive(Debug, Default)]
pub(super) struct Reigns {
    /// How often the lease went to the other one.
    pub(super) changes: usize,
    /// Writes to anything but the lease, each by whom the lease was written last.
    pub(super) rightful: usize,
    /// Writes by the one that was deposed, after the other one had written the lease.
    pub(super) deposed: Vec<String>,
}

/// Reads it. The lease is held by whoever wrote it last; requests are in the order in which the API server got them.
pub(super) fn reigns(events: &[AuditEvent], agents: &[String; 2]) -> Reigns {
    let mut reigns = Reigns::default();
    let mut holder: Option<&String> = None;
    let mut ordered: Vec<&AuditEvent> =
        events.iter().filter(|event| event.writes() && agents.contains(&event.agent)).collect();
    ordered.sort_by_key(|event| event.received);
    for event in ordered {
        if event.resource == "leases" {
            if event.code < 300 && holder != Some(&event.agent) {
                reigns.changes += usize::from(holder.is_some());
                holder = Some(&event.agent);
            }
        } else if holder == Some(&event.agent) {
            reigns.rightful += 1;
        } else {
            let (who, what, at) = (&event.agent, &event.resource, event.received);
            reigns.deposed.push(format!("{who} wrote {what} at {at:?} while {holder:?} held the lease"));
        }
    }
    reigns
}

/// Seconds from each fall to the first write of anybody else to anything but the lease.
pub(super) fn failovers(events: &[AuditEvent], agents: &[String; 2], falls: &[Fall]) -> Vec<f64> {
    let mut writes: Vec<&AuditEvent> = events
        .iter()
        .filter(|event| {
            event.writes() && event.resource != "leases" && agents.contains(&event.agent) && event.code < 300
        })
        .collect();
    writes.sort_by_key(|event| event.received);
    let first = |fall: &Fall| {
        let before = writes.iter().rev().find(|event| event.received.is_some_and(|at| at <= fall.at))?;
        let next = writes.iter().find(|event| event.agent != before.agent && event.received > Some(fall.at))?;
        Some(next.received?.duration_since(fall.at).as_secs_f64())
    };
    falls.iter().filter_map(first).collect()
}

#[test]
fn a_write_of_the_deposed_is_found() {
    let event = |second: i64, agent: &str, resource: &str| AuditEvent {
        user: "arbiter".into(),
        agent: agent.into(),
        verb: "update".into(),
        resource: resource.into(),
        namespace: "shop".into(),
        name: "web".into(),
        code: 200,
        received: Timestamp::from_second(second).ok(),
        at: None,
    };
    let agents = ["a".to_owned(), "b".to_owned()];
    let mut events = vec![
        event(1, "a", "leases"),
        event(2, "a", "deployments/scale"),
        event(5, "b", "leases"),
        event(6, "b", "deployments/scale"),
    ];
    let good = reigns(&events, &agents);
    assert_eq!((good.changes, good.rightful, good.deposed.len()), (1, 2, 0));
    let fall = Fall { way: Way::Killed, at: Timestamp::from_second(3).expect("a time") };
    assert_eq!(failovers(&events, &agents, &[fall]), [3.0]);
    events.push(event(7, "a", "deployments/scale"));
    assert_eq!(reigns(&events, &agents).deposed.len(), 1);
}
