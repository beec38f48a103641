//! Faults between real parts: a proxy before the real API server and one before the real Prometheus delay, drop, double,
//! refuse, halve, age and cut what passes; arbiter is killed at every place from which it writes; leaders are frozen, cut
//! off and killed. `docs/faults.md` says what is done and what must hold.
//!
//! The faults of a history are a pure function of its seed. What fails prints the seed and how to play it again:
//!
//! ```sh
//! FAULT_SEED=7 FAULT_HISTORIES=200 FAULT_BLOCK=3 cargo test --test cluster -- --nocapture faults::histories
//! ```

mod api;
mod block;
mod depose;
mod evidence;
mod history;
mod metrics;
mod oracles;
mod places;
mod plan;
mod plant;
mod process;
mod record;
mod rest;
mod server;
mod sites;
mod stream;
mod tally;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{Instant, sleep},
};

use self::{
    block::{Block, Course, Outcome, World},
    depose::{Fall, Pair, Way, failovers, reigns},
    plan::mix,
    plant::Loads,
    process::CLAIM_AND_WRITE,
    record::Record,
    tally::{Tally, halfway},
};
use crate::support::{AuditEvent, AuditTail, Exporter, Profile, Prometheus, cluster, kubeconfig};

/// Histories of a run, unless `FAULT_HISTORIES` says otherwise.
const HISTORIES: usize = 200;
/// Histories that share a process of arbiter.
const BLOCK: usize = 20;
/// Blocks that have faults at the same time, unless `FAULT_AT_ONCE` says otherwise: what two cores can carry.
const AT_ONCE: usize = 5;
/// Pairs whose leaders are deposed side by side, and how often each is.
const PAIRS: usize = 5;
const FALLS: usize = 20;
/// Times of their lease: about as short as `arbiter run` accepts beside its timeout of writes (3 s).
const LEASE: [&str; 3] = ["--lease-duration=8s", "--lease-renew-deadline=4s", "--lease-retry=1200ms"];
/// Of the pairs whose leader is killed under the default times of the lease.
const KILLED_PAIRS: usize = 4;
const DEATHS: usize = 3;
/// Default duration of the lease, and what a successor may take beyond it.
const DURATION_SECONDS: f64 = 15.0;
const SUCCESSION_SECONDS: f64 = 2.0;
/// What the audit log may still hold back.
const WRITTEN_DOWN: Duration = Duration::from_secs(2);

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|e| panic!("{name}={text}: {e}")))
}

/// What all of a test stands on.
struct Ground {
    world: World,
    audit: AuditTail,
    _prometheus: Prometheus,
    _exporter: Exporter,
}

impl Ground {
    async fn new(name: &str) -> Self {
        let cluster = cluster().await;
        let admin = cluster.admin().await;
        let audit = AuditTail::start(cluster);
        let (record, loads) = (Arc::new(Record::start(&admin)), Loads::default());
        let exporter = plant::serve(Arc::clone(&record), loads.clone()).await;
        let prometheus = Prometheus::start(cluster, &format!("faults-{name}-{}", std::process::id())).await;
        prometheus.scrape(&[exporter.address()]);
        let kubeconfig = kubeconfig(cluster, Profile::Auto).await;
        let world = World::new(cluster, admin, kubeconfig, record, loads, prometheus.url());
        Self { world, audit, _prometheus: prometheus, _exporter: exporter }
    }

    /// What the clients of these tests have asked for since the last call.
    fn audited(&mut self) -> Vec<AuditEvent> {
        self.audit.read(&format!("{}{:x}-", record::PREFIX, std::process::id()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories() {
    let seed = number("FAULT_SEED").unwrap_or(1);
    let count = |name, otherwise| number(name).map_or(otherwise, |n| usize::try_from(n).expect("a count"));
    let (histories, at_once) = (count("FAULT_HISTORIES", HISTORIES), count("FAULT_AT_ONCE", AT_ONCE).max(1));
    let start = Instant::now();
    let mut ground = Ground::new("histories").await;
    let mut tally = Tally::default();
    let mut blocks: Vec<Block> = (0..histories.div_ceil(BLOCK))
        .map(|index| Block::new(seed, index as u64, BLOCK.min(histories - index * BLOCK)))
        .collect();
    let only = number("FAULT_BLOCK");
    blocks.retain(|block| only.is_none_or(|only| block.index == Some(only)));
    play(&mut ground, &blocks, at_once, &mut tally).await;
    tally.of(seed, start.elapsed().as_secs_f64());
    let text = tally.text();
    let kept = std::env::var_os("FAULT_KEEP").map(|folder| tally.kept(std::path::Path::new(&folder)).text());
    report("histories", kept.as_ref().unwrap_or(&text));
    let violations = tally.violations();
    assert!(violations.is_empty(), "{}\n{text}", violations.join("\n"));
    assert!(tally.faults() > histories as u64, "hardly a fault was injected:\n{text}");
    // Four blocks have every site in their plans, before and after its answer; twice as many reach each of them in time.
    if blocks.len() >= 8 {
        assert!(tally.spared().is_empty(), "never killed at {:?}\n{text}", tally.spared());
    }
}

/// Plays blocks, of which so many at a time have faults. Beside each so many goes an undisturbed one, which says what must
/// come of them.
async fn play(ground: &mut Ground, blocks: &[Block], at_once: usize, tally: &mut Tally) {
    let mut waiting = VecDeque::new();
    for wave in blocks.chunks(at_once) {
        let (sender, references) = watch::channel(None);
        waiting.push_back((Block::undisturbed(wave), Course::Sets(sender)));
        waiting.extend(wave.iter().map(|block| (block.clone(), Course::Follows(references.clone()))));
    }
    let turns = Arc::new(Semaphore::new(at_once + 1));
    let mut playing = JoinSet::new();
    let mut heard = Vec::new();
    while !(waiting.is_empty() && playing.is_empty()) {
        tokio::select! {
            turn = Arc::clone(&turns).acquire_owned(), if !waiting.is_empty() => {
                let (block, course) = waiting.pop_front().expect("one that waits");
                let (world, turn) = (ground.world.clone(), turn.expect("turns have no end"));
                playing.spawn(async move {
                    let outcome = block.clone().play(world, course, turn).await;
                    sleep(WRITTEN_DOWN).await;
                    (block, outcome)
                });
            }
            Some(played) = playing.join_next() => {
                let (block, outcome) = played.expect("a block");
                let events = ground.audited();
                tally.wrong(oracles::named(&events));
                heard.extend(events);
                let (mine, others) = heard.into_iter().partition(|event: &AuditEvent| event.agent == block.agent());
                heard = others;
                judge(&block, outcome, &mine, tally);
            }
        }
    }
}

/// Judges a block by the audit log, and adds it up.
fn judge(block: &Block, mut outcome: Outcome, mine: &[AuditEvent], tally: &mut Tally) {
    assert!(!mine.is_empty(), "the audit log has nothing of {}", block.agent());
    outcome.wrong.extend(oracles::fenced(mine, CLAIM_AND_WRITE));
    if !outcome.wrong.is_empty() {
        evidence::keep_writes(&block.name(), mine);
    }
    let Some(index) = block.index else { return tally.wrong(outcome.wrong) };
    if !outcome.wrong.is_empty() {
        let (seed, histories) = (block.run, (usize::try_from(index).unwrap_or_default() + 1) * BLOCK);
        outcome.wrong.push(format!(
            "  again: FAULT_SEED={seed} FAULT_BLOCK={index} FAULT_HISTORIES={histories} cargo test --test cluster -- --nocapture faults::histories"
        ));
    }
    tally.add(outcome);
}

/// Deposes leaders of several pairs side by side; answers with the audit log of each pair and its falls.
async fn depose(
    ground: &mut Ground,
    times: &[&str],
    pairs: usize,
    falls: usize,
    ways: &[Way],
) -> Vec<([String; 2], Vec<Fall>)> {
    let seed = number("FAULT_SEED").unwrap_or(1);
    let mut deposing = JoinSet::new();
    for nth in 0..pairs {
        let (world, ways) = (ground.world.clone(), ways.to_vec());
        let times: Vec<String> = times.iter().map(|time| (*time).to_owned()).collect();
        deposing.spawn(async move {
            let times: Vec<&str> = times.iter().map(String::as_str).collect();
            let name = if times.is_empty() { "killed" } else { "pair" };
            let mut pair = Pair::start(&world, &format!("{name}-{nth}"), &times).await;
            let falls = pair.depose(mix(seed, nth as u64), falls, &ways).await;
            let agents = pair.agents();
            pair.end().await;
            (agents, falls)
        });
    }
    deposing.join_all().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deposed_leaders_write_nothing() {
    let mut ground = Ground::new("deposed").await;
    let all = depose(&mut ground, &LEASE, PAIRS, FALLS, &[Way::Frozen, Way::CutOff]).await;
    sleep(WRITTEN_DOWN).await;
    let events = ground.audited();
    let (mut changes, mut rightful, mut deposed) = (0, 0, Vec::new());
    for (agents, falls) in &all {
        let reigns = reigns(&events, agents);
        assert!(reigns.changes >= falls.len(), "{} falls, {} changes", falls.len(), reigns.changes);
        (changes, rightful) = (changes + reigns.changes, rightful + reigns.rightful);
        deposed.extend(reigns.deposed);
    }
    report(
        "depositions",
        &format!(
            "{} leaders deposed ({} frozen, {} cut off from the lease), {rightful} writes by whoever held the lease, **{} by a deposed one**.",
            all.iter().map(|(_, falls)| falls.len()).sum::<usize>(),
            count(&all, Way::Frozen),
            count(&all, Way::CutOff),
            deposed.len()
        ),
    );
    assert!(deposed.is_empty(), "{}", deposed.join("\n"));
    assert!(changes >= PAIRS * FALLS, "{changes} changes");
    assert!(rightful >= changes, "{rightful} writes in {changes} reigns: nobody had anything to write");
}

fn count(all: &[([String; 2], Vec<Fall>)], way: Way) -> usize {
    all.iter().flat_map(|(_, falls)| falls).filter(|fall| fall.way == way).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_leader_is_replaced_in_time() {
    let mut ground = Ground::new("killed").await;
    let all = depose(&mut ground, &[], KILLED_PAIRS, DEATHS, &[Way::Killed]).await;
    sleep(WRITTEN_DOWN).await;
    let events = ground.audited();
    let mut seconds = Vec::new();
    for (agents, falls) in &all {
        let reigns = reigns(&events, agents);
        assert!(reigns.deposed.is_empty(), "{}", reigns.deposed.join("\n"));
        let failovers = failovers(&events, agents, falls);
        assert_eq!(failovers.len(), falls.len(), "a leader without a first write: {failovers:?}");
        seconds.extend(failovers);
    }
    let (half, most) = halfway(&seconds).expect("leaders were killed");
    report(
        "failover",
        &format!(
            "Leader killed → first write of the other, with the default lease of {DURATION_SECONDS:.0} s: {} times, {half:.1} s in the middle, {most:.1} s at most (bound {:.0} s).",
            seconds.len(),
            DURATION_SECONDS + SUCCESSION_SECONDS
        ),
    );
    assert!(most <= DURATION_SECONDS + SUCCESSION_SECONDS, "{seconds:?}");
}

/// Prints a result, and puts it into the folder that `ARBITER_RESULTS` names; `make faults` joins the parts.
#[expect(clippy::print_stdout, reason = "a measurement is its output")]
fn report(name: &str, text: &str) {
    println!("{text}\n");
    if let Some(folder) = std::env::var_os("ARBITER_RESULTS") {
        let file = std::path::Path::new(&folder).join(format!("{name}.part"));
        std::fs::write(file, format!("{text}\n")).expect("writing a result");
    }
}
