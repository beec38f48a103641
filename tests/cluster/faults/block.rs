//! Some histories that share one process of arbiter, its proxies and its lease: the unit that a seed replays.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use arbiter::observe::clock::{Clock as _, SystemClock};
use futures::future::join_all;
use kube::Client;
use serde_json::Value;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{
    api::{Api, Kill, Seen},
    evidence,
    history::{
        BEFORE_DARK, DARK, EDIT, FAULTY_END, HPA_MOST, Hands, History, PATIENCE, Steps, Summary, Variant, made, until,
    },
    metrics::Metrics,
    oracles,
    places::{Done, Places, SHARED},
    plan::mix,
    plant::Loads,
    process::Process,
    record::{Kind, PREFIX, Record, Versions},
    rest,
    sites::Site,
};
use crate::support::Cluster;

/// Kills of one process: with so many, four blocks have every site in their plans, before and after its answer.
pub(super) const KILLS: usize = 12;
/// Writes that few histories have: every block has them in its plan, before the answer and after it in turn.
const RARE: [Site; 3] = [Site::Evict, Site::TableUpdate, Site::TableDelete];
/// How long a history may take to become what it is without faults, after the last fault. Two minutes of that are the
/// pace at which a status that has changed often is written.
const CONVERGED: Duration = Duration::from_secs(200);
/// Undisturbed, a history must stay as it is for so long to count as a reference.
pub(super) const SETTLED: Duration = Duration::from_secs(10);
/// Histories of all blocks that are made at the same time: a namespace costs the control plane a second of a core.
/// Measured on two cores with each block making four of its own: the controllers' queues held a `ReplicaSet` for 13 s on average.
const MADE_AT_ONCE: usize = 8;

/// What all blocks share.
#[derive(Clone)]
pub(super) struct World {
    pub(super) cluster: &'static Cluster,
    pub(super) admin: Client,
    /// Of arbiter's own user.
    pub(super) kubeconfig: PathBuf,
    pub(super) record: Arc<Record>,
    pub(super) loads: Loads,
    pub(super) prometheus: String,
    making: Arc<Semaphore>,
}

impl World {
    pub(super) fn new(
        cluster: &'static Cluster,
        admin: Client,
        kubeconfig: PathBuf,
        record: Arc<Record>,
        loads: Loads,
        prometheus: String,
    ) -> Self {
        Self { cluster, admin, kubeconfig, record, loads, prometheus, making: Arc::new(Semaphore::new(MADE_AT_ONCE)) }
    }
}

/// What undisturbed histories came to; none: not yet known.
pub(super) type References = watch::Receiver<Option<BTreeMap<Variant, Summary>>>;

/// A block of histories.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// Its number; none: the undisturbed one.
    pub(super) index: Option<u64>,
    /// Seed of the run that it is a block of.
    pub(super) run: u64,
    seed: u64,
    pub(super) histories: Vec<History>,
    armed: BTreeSet<Kill>,
}

/// What came of a block.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Number of histories.
    pub(super) histories: usize,
    /// Sentences on what did not hold, with the faults of the histories concerned.
    pub(super) wrong: Vec<String>,
    /// Faults, in all.
    pub(super) faults: Vec<Done>,
    /// What the proxy saw.
    pub(super) seen: Seen,
    /// Processes that were started.
    pub(super) starts: u32,
    /// Seconds from the last fault to what an undisturbed history comes to.
    pub(super) converged: Vec<f64>,
}

impl Block {
    /// The block of a number under a seed, with so many histories.
    pub(super) fn new(run: u64, index: u64, histories: usize) -> Self {
        let seed = mix(run, index);
        let history = |nth: usize| History {
            namespace: format!("{PREFIX}{:x}-{index}-{nth}-x", std::process::id()),
            variant: Variant::ALL[(nth + usize::try_from(index).unwrap_or_default()) % Variant::ALL.len()],
            seed: mix(seed, nth as u64),
        };
        let first = usize::try_from(index).unwrap_or_default() * KILLS;
        let rare = RARE.map(|site| (site, index.is_multiple_of(2)));
        let armed = (first..first + KILLS).map(kill).chain(rare).collect();
        Self { index: Some(index), run, seed, histories: (0..histories).map(history).collect(), armed }
    }

    /// One undisturbed history of each variant, to go with some blocks.
    pub(super) fn undisturbed(beside: &[Self]) -> Self {
        let first = beside.first().and_then(|block| block.index).unwrap_or_default();
        let history = |(nth, variant): (usize, Variant)| History {
            namespace: format!("{PREFIX}{:x}-still-{first}-{nth}-x", std::process::id()),
            variant,
            seed: 0,
        };
        let histories = Variant::ALL.into_iter().enumerate().map(history).collect();
        Self { index: None, run: 0, seed: first, histories, armed: BTreeSet::new() }
    }

    /// Whether what is remembered is in objects of the cluster; in the others it is in a directory.
    pub(super) fn objects(&self) -> bool {
        self.index.is_some_and(|index| index.is_multiple_of(2))
    }

    /// Where each of its histories is.
    pub(super) fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.histories.iter().map(|history| history.namespace.as_str())
    }

    /// The kills that come once faults are over and all has come to what it should.
    pub(super) fn armed_at_rest(&self) -> BTreeSet<Kill> {
        let answered = self.index.is_some_and(|index| index.is_multiple_of(4));
        if self.objects() { Site::AT_REST.map(|site| (site, answered)).into() } else { BTreeSet::new() }
    }

    /// Its name.
    pub(super) fn name(&self) -> String {
        let index = self.index.map_or_else(|| format!("still-{}", self.seed), |index| index.to_string());
        format!("{PREFIX}{:x}-{index}", std::process::id())
    }

    /// Name of its client in the audit log.
    pub(super) fn agent(&self) -> String {
        format!("{}/one", self.name())
    }

    /// Makes its objects, and waits until the controllers have made of them what they do.
    async fn set_up(&self, world: &World) {
        let mut making = JoinSet::new();
        for history in self.histories.clone() {
            world.loads.set(&history.namespace, Some(history.variant.load()));
            let world = world.clone();
            making.spawn(async move {
                let _place = world.making.acquire().await;
                Hands::new(&world.admin, &history.namespace).set_up(history.variant).await;
                in_time(|| world.record.look(&history.namespace, made)).await;
            });
        }
        making.join_all().await;
    }

    /// Plays it to its end. Others get its turn once its faults are over: from then on it mostly waits.
    pub(super) async fn play(self, world: World, course: Course, turn: OwnedSemaphorePermit) -> Outcome {
        self.set_up(&world).await;
        let seeds = self.histories.iter().map(|history| (history.namespace.clone(), history.seed));
        let places = Arc::new(Places::new(seeds, self.seed, self.index.is_some()));
        let (sender, ends) = mpsc::unbounded_channel();
        let (armed, agent) = (self.armed.clone(), self.agent());
        let api = Api::start(&world.kubeconfig, &agent, Arc::clone(&places), armed, sender.clone()).await;
        let api = Arc::new(api);
        let metrics = Metrics::start(&world.prometheus, Arc::clone(&places)).await;
        let stop = CancellationToken::new();
        let process = Process::new(&self, &world, &api, &metrics);
        let running = tokio::spawn(process.run(ends, stop.clone()));
        let scene = Scene { world: world.clone(), places: Arc::clone(&places), api: Arc::clone(&api) };
        let references = course.references();
        let (steps, converged, mut wrong) = self.act(&scene, course, turn).await;
        if let Some(references) = references.filter(|_| self.objects() && wrong.is_empty()) {
            wrong.extend(rest::rest(&self, &scene, references, &sender).await);
        }
        stop.cancel();
        let starts = running.await.expect("the process' keeper");
        let (mut faults, mut all) = (places.done(SHARED), Vec::new());
        for history in &self.histories {
            let versions = world.record.take(&history.namespace);
            let done = places.done(&history.namespace);
            let broken = oracles::judge(history, &versions, steps[&history.namespace]);
            if !broken.is_empty() {
                wrong.extend(broken);
                wrong.push(story(history, &done));
            }
            faults.extend(done);
            all.push((history.namespace.clone(), versions));
            world.loads.set(&history.namespace, None);
            Hands::new(&world.admin, &history.namespace).clear().await;
        }
        let seen = api.seen();
        wrong.extend(seen.unnamed.iter().map(|what| format!("{}: no site names {what}", self.name())));
        wrong
            .extend(seen.undemanding.iter().map(|what| format!("{}: an old answer is allowed to {what}", self.name())));
        if wrong.is_empty() {
            self.tidy(&world);
        } else {
            evidence::keep(world.cluster, &self.name(), &all);
        }
        Outcome { histories: self.histories.len(), wrong, faults, seen, starts, converged }
    }

    /// Takes away what nobody will look into.
    fn tidy(&self, world: &World) {
        let file = |end: &str| world.cluster.dir().join(format!("{}.{end}", self.name()));
        drop((std::fs::remove_file(file("log")), std::fs::remove_file(file("kubeconfig"))));
        drop(std::fs::remove_dir_all(file("state")));
    }

    /// What people do, then the wait for what must come of it.
    async fn act(
        &self,
        scene: &Scene,
        course: Course,
        turn: OwnedSemaphorePermit,
    ) -> (BTreeMap<String, Steps>, Vec<f64>, Vec<String>) {
        let start = Instant::now();
        let mut acting = JoinSet::new();
        for history in self.histories.clone() {
            acting.spawn(scene.clone().act(history, start));
        }
        let steps: BTreeMap<String, Steps> = acting.join_all().await.into_iter().collect();
        // A process evicts nothing in its first minute, which none lives to see before.
        scene.api.disarm_but(&[Site::Evict, Site::LeaseRelease]);
        scene.places.heal(SHARED);
        drop(turn);
        let (converged, wrong) = self.await_ends(scene, course, Instant::now()).await;
        (steps, converged, wrong)
    }

    async fn await_ends(&self, scene: &Scene, course: Course, healed: Instant) -> (Vec<f64>, Vec<String>) {
        let (mut converged, mut wrong) = (Vec::new(), Vec::new());
        match course {
            Course::Sets(sender) => {
                let all = self.histories.iter().map(|history| scene.settled(history, healed));
                let mut known = BTreeMap::new();
                for (history, end) in self.histories.iter().zip(join_all(all).await) {
                    match end {
                        Ok(summary) => drop(known.insert(history.variant, summary)),
                        Err(why) => wrong.push(format!("undisturbed {:?}: {why}", history.variant)),
                    }
                }
                sender.send_replace(Some(known));
            }
            Course::Follows(references) => {
                let all = self.histories.iter().map(|history| scene.converges(history, references.clone(), healed));
                for (history, end) in self.histories.iter().zip(join_all(all).await) {
                    match end {
                        Ok(after) => converged.push(after.as_secs_f64()),
                        Err(why) => {
                            wrong.push(format!("{}: {why}", history.namespace));
                            wrong.push(story(history, &scene.places.done(&history.namespace)));
                        }
                    }
                }
            }
        }
        (converged, wrong)
    }
}

/// The kill of a number: all are there before one comes again, and neighbours have nothing to do with each other.
fn kill(nth: usize) -> Kill {
    let all = (Site::ALL.len() - Site::AT_REST.len()) * 2;
    let which = (nth * 17) % all;
    (Site::ALL[which / 2], which.is_multiple_of(2))
}

/// Whether a block's ends are what others are compared with.
pub(super) enum Course {
    /// It is undisturbed and says what is to be expected.
    Sets(watch::Sender<Option<BTreeMap<Variant, Summary>>>),
    /// It must come to what is expected.
    Follows(References),
}

impl Course {
    fn references(&self) -> Option<References> {
        match self {
            Self::Sets(_) => None,
            Self::Follows(references) => Some(references.clone()),
        }
    }
}

/// Waits until something is so, for as long as a person would.
async fn in_time(so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end && !so() {
        sleep(Duration::from_millis(500)).await;
    }
}

/// A history's faults, as text.
fn story(history: &History, done: &[Done]) -> String {
    let faults = done.iter().map(|done| {
        let (class, nth) = done.request;
        format!("    {class:?} {nth}: {} ({})\n", done.fault, done.what)
    });
    format!("  {:?} {} (seed {:#x}):\n{}", history.variant, history.namespace, history.seed, faults.collect::<String>())
}

/// What a block acts on.
#[derive(Clone)]
pub(super) struct Scene {
    pub(super) world: World,
    places: Arc<Places>,
    pub(super) api: Arc<Api>,
}

impl Scene {
    async fn act(self, history: History, start: Instant) -> (String, Steps) {
        let History { namespace, variant, .. } = history.clone();
        let hands = Hands::new(&self.world.admin, &namespace);
        until(start, EDIT).await;
        self.grown(&history, false).await;
        hands.edit(variant).await;
        sleep(BEFORE_DARK).await;
        let dark = SystemClock.now();
        self.places.set_blackout(&namespace, true);
        sleep(DARK).await;
        self.places.set_blackout(&namespace, false);
        let dark = [dark, SystemClock.now()];
        sleep(history.later()).await;
        self.grown(&history, true).await;
        let newest = self.world.record.look(&namespace, |versions| {
            versions.0.values().filter_map(|all| all.last()).map(|version| version.at).max().unwrap_or_default()
        });
        if variant.has_rival() && variant != Variant::Owned {
            self.api.goes_back(&namespace, HPA_MOST);
        }
        let rate = hands.last(variant).await;
        self.world.loads.set(&namespace, Some(rate));
        sleep(FAULTY_END).await;
        self.places.heal(&namespace);
        (namespace, Steps::new(variant, dark, newest))
    }

    /// Waits for what should have come of a history by now, for a while.
    async fn grown(&self, history: &History, edited: bool) {
        in_time(|| self.world.record.look(&history.namespace, |versions| history.grown(versions, edited))).await;
    }

    fn summary(&self, history: &History) -> Summary {
        self.world.record.look(&history.namespace, |versions| Summary::of(history.variant, versions))
    }

    /// What an undisturbed history comes to and stays at.
    async fn settled(&self, history: &History, healed: Instant) -> Result<Summary, String> {
        let give_up = healed + CONVERGED;
        let (mut seen, mut since) = (self.summary(history), Instant::now());
        while Instant::now() < give_up {
            sleep(Duration::from_millis(500)).await;
            let now = self.summary(history);
            if now != seen {
                (seen, since) = (now, Instant::now());
            } else if seen.reached(history.variant) && since.elapsed() > SETTLED {
                return Ok(seen);
            }
        }
        let said = |versions: &Versions| {
            versions
                .now(Kind::Policy)
                .into_values()
                .next()
                .map_or(Value::Null, |policy| policy["status"]["conditions"].clone())
        };
        let said = self.world.record.look(&history.namespace, said);
        Err(format!("did not come to what it should: {seen:?}; it says {said}"))
    }

    /// How long after the last fault a history is what an undisturbed one comes to.
    pub(super) async fn converges(
        &self,
        history: &History,
        mut references: References,
        healed: Instant,
    ) -> Result<Duration, String> {
        let expected = {
            let known = references.wait_for(Option::is_some).await.map_err(|_| "the undisturbed block is gone")?;
            known.as_ref().and_then(|known| known.get(&history.variant)).cloned().ok_or("nothing to compare with")?
        };
        loop {
            let now = self.summary(history);
            if now == expected {
                return Ok(healed.elapsed());
            }
            if healed.elapsed() > CONVERGED + SETTLED {
                return Err(format!("converged: {}", now.difference(&expected)));
            }
            sleep(Duration::from_millis(500)).await;
        }
    }
}

#[test]
fn four_blocks_kill_every_site_before_and_after_its_answer() {
    let all = (0..4).map(|index| Block::new(1, index, 7)).flat_map(|block| &block.armed | &block.armed_at_rest());
    let all: BTreeSet<Kill> = all.collect();
    assert_eq!(all.len(), Site::ALL.len() * 2);
}

#[test]
fn a_seed_makes_the_same_block() {
    let seeds = |block: Block| block.histories.iter().map(|history| history.seed).collect::<Vec<_>>();
    assert_eq!(seeds(Block::new(1, 2, 20)), seeds(Block::new(1, 2, 20)));
    assert_ne!(seeds(Block::new(1, 2, 20)), seeds(Block::new(2, 2, 20)));
}
