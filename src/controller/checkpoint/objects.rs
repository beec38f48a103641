//! I/O: Many policies an object: `ConfigMap`s in the namespace of the lease, each with the compressed memory of some
//! hundred policies, written by whoever leads.
//!
//! Which object a policy is in follows from its name and the number of objects, which doubles when they grow too large. An
//! object is written at most once in [`EVERY`], a few in each tick, so that ten thousand policies cost a few writes a
//! minute. Each policy's part is whole in itself: one that is damaged spoils no other.
//!
//! Invariant: read once, at the start; afterwards only written, and only what belongs to policies that were met. What is
//! here is never needed to decide, it only makes a start warm.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read as _, Write as _},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{ByteString, api::core::v1::ConfigMap};
use kube::{Api, Client, api::ListParams};
use tokio::time::Instant;

use super::stamp;
use crate::{
    observe::root_cause,
    policy::PolicyKey,
    units::fnv::{BASIS, fnv1a},
};

/// The label that all of them have; its value is the name of the only shard's lease.
pub const LABEL: &str = "autoscaling.arbiter.io/memory-of";

/// Least time between two writes of one object. The memory of a policy changes slowly against this: after a start from it,
/// ten minutes are missing of days.
const EVERY: Duration = Duration::from_mins(10);
/// Time between two compressions of one policy's memory, which cost more than a decision.
const EVERY_POLICY: SignedDuration = SignedDuration::from_mins(5);
/// Nothing is written before this instance has met all policies.
const FIRST: Duration = Duration::from_mins(1);
/// Until then every policy of this shard has been met, whether or not its target can be read, and what was read for others
/// (of other shards, of policies that are gone) is dropped: their own shards write it.
const MET: Duration = Duration::from_mins(10);
/// After a write that failed.
const AGAIN: Duration = Duration::from_mins(1);
/// Objects written in one tick: the API server has other things to do.
const AT_ONCE: usize = 2;
/// Size of an object that is aimed at: a quarter of the megabyte that etcd takes, before base64.
const LARGE: usize = 256 << 10;
/// A policy's memory is below this by far; what is larger is not unpacked.
const LARGEST_PART: u64 = 1 << 20;
/// Objects in one page of a list.
const PAGE: u32 = 8;

/// When a policy is written down: the first time somewhere in the interval, so that they do not all come at once.
pub(super) fn due(key: &PolicyKey, last: Option<Timestamp>, now: Timestamp) -> Timestamp {
    let seconds = EVERY_POLICY.as_secs();
    let phase = i64::try_from(id(key) % seconds.unsigned_abs()).unwrap_or_default();
    last.map_or_else(|| now + SignedDuration::from_secs(phase), |last| last + EVERY_POLICY)
}

fn id(key: &PolicyKey) -> u64 {
    fnv1a(BASIS, key.namespace.bytes().chain(*b"/").chain(key.name.bytes()))
}

/// Names of keys are short and plain, those of policies need not be.
fn part_name(key: &PolicyKey) -> String {
    format!("{:016x}", id(key))
}

/// All parts, and which have to be written.
#[derive(Debug)]
pub struct Shelf {
    namespace: String,
    /// Names of objects begin with this.
    prefix: String,
    base: String,
    inner: Box<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    parts: BTreeMap<String, Vec<u8>>,
    changed: BTreeSet<String>,
    /// Parts of policies that were met here; none: the others have been dropped.
    met: Option<BTreeSet<String>>,
    /// When the others are dropped.
    until: Instant,
    /// Into how many objects parts are divided; a power of two.
    count: u64,
    /// When each object may be written next.
    next: BTreeMap<u64, Instant>,
    first: Instant,
    /// Objects of ours that hold nothing any more, and when to delete each.
    surplus: BTreeMap<String, Instant>,
    /// Parts that are not yet written to where they belong since the number of objects changed: until then those stay.
    moving: BTreeSet<String>,
}

/// One object to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Parcel {
    /// Its name.
    pub name: String,
    /// What it holds; none: it is to be deleted.
    pub data: Option<BTreeMap<String, ByteString>>,
    index: u64,
    changed: BTreeSet<String>,
}

impl Shelf {
    /// An empty one: objects are named after the lease, and labelled with the family that the lease belongs to.
    #[must_use]
    pub fn new(namespace: String, lease: &str, base: String) -> Self {
        let inner = Inner {
            parts: BTreeMap::new(),
            changed: BTreeSet::new(),
            met: Some(BTreeSet::new()),
            until: Instant::now() + MET,
            count: 1,
            next: BTreeMap::new(),
            first: Instant::now() + FIRST,
            surplus: BTreeMap::new(),
            moving: BTreeSet::new(),
        };
        Self { namespace, prefix: format!("{lease}-memory-"), base, inner: Box::new(Mutex::new(inner)) }
    }

    /// Reads what all shards have written: a policy may have been another's.
    ///
    /// # Errors
    /// When it cannot be read; a sentence.
    pub async fn load(&self, client: &Client) -> Result<(), String> {
        let api: Api<ConfigMap> = Api::namespaced(client.clone(), &self.namespace);
        let mut page = ListParams::default().labels(&format!("{LABEL}={}", self.base)).limit(PAGE);
        loop {
            let list = match api.list(&page).await {
                Ok(list) => list,
                Err(kube::Error::Api(status)) if status.code == 403 => {
                    return Err(format!("grant the verb list on configmaps in namespace {}", self.namespace));
                }
                Err(error) => return Err(root_cause(&error)),
            };
            list.items.into_iter().for_each(|object| self.take(object));
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(()),
            }
        }
    }

    /// Takes in what an object holds; of two parts of one policy the later one.
    fn take(&self, object: ConfigMap) {
        let name = object.metadata.name.unwrap_or_default();
        let mut inner = self.lock();
        if let Some(index) = name.strip_prefix(&self.prefix).and_then(|index| index.parse::<u64>().ok()) {
            inner.count = inner.count.max((index + 1).next_power_of_two());
        }
        for (part, ByteString(bytes)) in object.binary_data.unwrap_or_default() {
            let at = |bytes: &[u8]| unpack(bytes).ok().and_then(|text| stamp(&text).ok()).map(|stamp| stamp.at);
            if inner.parts.get(&part).is_none_or(|known| at(known) < at(&bytes)) {
                inner.parts.insert(part, bytes);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Namespace of the objects.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The label of the objects.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(LABEL.to_owned(), self.base.clone())])
    }

    /// The place and the text of a policy's part; none: there is none.
    pub(super) fn get(&self, key: &PolicyKey) -> Result<Option<(String, Vec<u8>)>, String> {
        let part = part_name(key);
        let found = self.lock().parts.get(&part).cloned();
        let Some(bytes) = found else { return Ok(None) };
        let place = format!("part {part} of {}", self.prefix.trim_end_matches('-'));
        match unpack(&bytes) {
            Ok(text) => Ok(Some((place, text))),
            Err(error) => Err(format!("{place}: cannot be unpacked: {error}")),
        }
    }

    /// Keeps a policy's part until it is written.
    pub(super) fn put(&self, key: &PolicyKey, text: &[u8]) -> Result<(), String> {
        let bytes = pack(text).map_err(|error| error.to_string())?;
        let part = part_name(key);
        let mut inner = self.lock();
        inner.shed(Instant::now());
        inner.changed.insert(part.clone());
        inner.parts.insert(part, bytes);
        Ok(())
    }

    /// Notes that a policy is this shard's: its part stays.
    pub(super) fn meet(&self, key: &PolicyKey) {
        if let Some(met) = &mut self.lock().met {
            met.insert(part_name(key));
        }
    }

    pub(super) fn forget(&self, key: &PolicyKey) {
        let part = part_name(key);
        let mut inner = self.lock();
        if inner.parts.remove(&part).is_some() {
            inner.changed.insert(part);
        }
    }

    /// What is to be written now: few at once, those that have waited longest first. At the end: all that has changed.
    #[must_use]
    pub fn due(&self, now: Instant, end: bool) -> Vec<Parcel> {
        let mut inner = self.lock();
        if now < inner.first && !end {
            return Vec::new();
        }
        inner.shed(now);
        inner.divide(&self.prefix, now);
        let count = inner.count;
        let of = |part: &String| u64::from_str_radix(part, 16).unwrap_or_default() % count;
        let indices: BTreeSet<u64> = inner.changed.iter().map(of).collect();
        let waits = |index: &u64| inner.next.get(index).copied();
        let mut indices: Vec<u64> =
            indices.into_iter().filter(|i| end || waits(i).is_none_or(|at| at <= now)).collect();
        indices.sort_by_key(waits);
        indices.truncate(if end { usize::MAX } else { AT_ONCE });
        let surplus = inner.surplus.iter().filter(|(_, at)| inner.moving.is_empty() && **at <= now).take(AT_ONCE);
        let gone =
            surplus.map(|(name, _)| Parcel { name: name.clone(), data: None, index: 0, changed: BTreeSet::new() });
        let written = indices.into_iter().map(|index| {
            let held = inner.parts.iter().filter(|(part, _)| of(part) == index);
            let data: BTreeMap<_, _> = held.map(|(part, bytes)| (part.clone(), ByteString(bytes.clone()))).collect();
            let changed = inner.changed.iter().filter(|part| of(part) == index).cloned().collect();
            Parcel { name: format!("{}{index}", self.prefix), data: Some(data), index, changed }
        });
        written.chain(gone).collect()
    }

    /// Notes what came of a write. A part that has become another one since is still to be written.
    pub fn note(&self, parcel: &Parcel, written: bool, now: Instant) {
        let mut inner = self.lock();
        let Some(data) = &parcel.data else {
            if written {
                inner.surplus.remove(&parcel.name);
            } else {
                // It is in nobody's way.
                inner.surplus.insert(parcel.name.clone(), now + EVERY);
            }
            return;
        };
        inner.next.insert(parcel.index, now + if written { EVERY } else { AGAIN });
        if written {
            let Inner { parts, changed, moving, .. } = &mut *inner;
            let done = |part: &String| data.get(part).map(|ByteString(bytes)| bytes) == parts.get(part);
            changed.retain(|part| !(parcel.changed.contains(part) && done(part)));
            moving.retain(|part| !parcel.changed.contains(part));
        }
    }
}

impl Inner {
    /// Drops what was read for policies that were never met, once there was time to meet them.
    fn shed(&mut self, now: Instant) {
        if let Some(met) = self.met.take_if(|_| now >= self.until) {
            self.parts.retain(|part, _| met.contains(part));
            self.moving.retain(|part| met.contains(part));
        }
    }

    /// Fits the number of objects to the size of all parts. All are written anew when it changes.
    fn divide(&mut self, prefix: &str, now: Instant) {
        let size: usize = self.parts.values().map(Vec::len).sum();
        let wanted = (size.div_ceil(LARGE).max(1) as u64).next_power_of_two();
        // Half as many are enough for a quarter: a few policies more or less change nothing.
        let count = if wanted > self.count || 4 * wanted <= self.count { wanted } else { return };
        self.surplus = (count..self.count).map(|index| (format!("{prefix}{index}"), now)).collect();
        self.count = count;
        self.moving = self.parts.keys().cloned().collect();
        self.changed.extend(self.parts.keys().cloned());
        self.next.clear();
    }
}

fn pack(text: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text)?;
    encoder.finish()
}

/// The text of a part; its sum tells whether it is whole.
fn unpack(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let read = ZlibDecoder::new(bytes).take(LARGEST_PART).read_to_end(&mut text)?;
    if read as u64 == LARGEST_PART {
        return Err(std::io::Error::other("it is too large"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::checkpoint::{Checkpoints, Of, Remembered};
    use crate::{controller::resizes::Kept, decide::Memory, policy::Target};

    fn shelf() -> Shelf {
        Shelf::new("arbiter".to_owned(), "arbiter-0-of-2", "arbiter".to_owned())
    }

    fn key(n: usize) -> PolicyKey {
        PolicyKey { namespace: "shop".to_owned(), name: format!("web-{n}") }
    }

    fn object(parcel: &Parcel) -> ConfigMap {
        let mut object = ConfigMap { binary_data: parcel.data.clone(), ..ConfigMap::default() };
        object.metadata.name = Some(parcel.name.clone());
        object
    }

    fn noise(n: usize, length: usize) -> Vec<u8> {
        let mut sum = fnv1a(BASIS, n.to_le_bytes());
        let mut next = || {
            sum = fnv1a(sum, *b"x");
            sum.to_le_bytes()
        };
        (0..length / 8).flat_map(|_| next()).collect()
    }

    #[test]
    fn what_was_written_is_read_by_the_next_one_and_by_another_shard() {
        let (one, at) = (Checkpoints::Objects(shelf()), Timestamp::UNIX_EPOCH);
        let target = Target { api_version: "apps/v1".into(), kind: "Deployment".into(), name: "web".into() };
        let of = Of { uid: "u", target: &target, object: "o" };
        one.write(&key(1), of, at, (&Memory::new(), Kept::default())).unwrap();
        let Checkpoints::Objects(written) = &one else { unreachable!() };
        let now = Instant::now();
        assert_eq!(written.due(now, false), [], "not before all were met");
        let parcels = written.due(now + FIRST, false);
        assert_eq!(parcels.len(), 1);
        written.note(&parcels[0], true, now);
        assert_eq!(written.due(now + FIRST, true), [], "nothing is written twice");

        let other = Shelf::new("arbiter".to_owned(), "arbiter-2-of-3", "arbiter".to_owned());
        other.take(object(&parcels[0]));
        let other = Checkpoints::Objects(other);
        let kept = |of: Of<'_>| other.read(&key(1), of, at);
        assert_eq!(kept(of).unwrap().memory, Some(Memory::new()));
        assert_eq!(kept(Of { uid: "v", ..of }), Ok(Remembered::default()), "of another policy of this name");
    }

    #[test]
    fn a_damaged_part_is_said_and_spoils_no_other() {
        let whole = shelf();
        whole.put(&key(1), b"{}").unwrap();
        whole.put(&key(2), b"{}").unwrap();
        let mut parcel = whole.due(Instant::now(), true).remove(0);
        let data = parcel.data.as_mut().unwrap();
        data.get_mut(&part_name(&key(1))).unwrap().0.truncate(7);
        let read = shelf();
        read.take(object(&parcel));
        let why = read.get(&key(1)).unwrap_err();
        assert!(why.starts_with("part ") && why.contains("arbiter-0-of-2-memory: cannot be unpacked"), "{why}");
        assert_eq!(read.get(&key(2)).unwrap().unwrap().1, b"{}");
        let bomb = pack(&vec![b' '; 4 << 20]).unwrap();
        assert!(unpack(&bomb).is_err_and(|error| error.to_string().contains("too large")));
    }

    #[test]
    fn of_two_parts_of_one_policy_the_later_one_counts() {
        let text = |at: &str| pack(format!(r#"{{"at": "{at}"}}"#).as_bytes()).unwrap();
        let object = |name: &str, at: &str| {
            let data = BTreeMap::from([(part_name(&key(1)), ByteString(text(at)))]);
            object(&Parcel { name: name.to_owned(), data: Some(data), index: 0, changed: BTreeSet::new() })
        };
        let (old, new) = (object("a", "2026-01-01T00:00:00Z"), object("b", "2026-01-01T00:10:00Z"));
        for order in [[old.clone(), new.clone()], [new, old]] {
            let read = shelf();
            for object in order {
                read.take(object);
            }
            assert!(read.get(&key(1)).unwrap().unwrap().1.ends_with(b"00:10:00Z\"}"));
        }
    }

    #[test]
    fn what_was_read_for_others_is_not_written_once_all_were_met() {
        let before = shelf();
        (0..3).for_each(|n| before.put(&key(n), b"{}").unwrap());
        let read = shelf();
        read.take(object(&before.due(Instant::now(), true)[0]));
        read.meet(&key(0));
        read.meet(&key(1));
        read.put(&key(1), b"{ }").unwrap();
        let written = |now| read.due(now, true)[0].data.as_ref().map(BTreeMap::len);
        assert_eq!(written(Instant::now() + FIRST), Some(3), "they may still be met");
        assert_eq!(written(Instant::now() + MET), Some(2));
        assert_eq!(read.get(&key(2)), Ok(None));
    }

    #[test]
    fn objects_stay_small_few_are_written_at_once_and_those_that_are_empty_go() {
        let full = shelf();
        for n in 0..600 {
            full.meet(&key(n));
            full.put(&key(n), &noise(n, 4000)).unwrap();
        }
        let mut now = Instant::now() + FIRST;
        let mut objects = BTreeMap::new();
        for _ in 0..100 {
            let parcels = full.due(now, false);
            assert!(parcels.len() <= AT_ONCE);
            for parcel in parcels {
                full.note(&parcel, true, now);
                objects.insert(parcel.name.clone(), object(&parcel));
            }
            now += Duration::from_secs(15);
        }
        assert_eq!(objects.len(), 16, "2.4 MB");
        let held =
            |object: &ConfigMap| object.binary_data.iter().flatten().map(|(_, bytes)| bytes.0.len()).sum::<usize>();
        assert!(objects.values().all(|object| held(object) < 2 * LARGE), "far from a megabyte");
        let next = shelf();
        for object in objects.into_values() {
            next.take(object);
        }
        assert!((0..600).all(|n| next.get(&key(n)).unwrap().unwrap().1 == noise(n, 4000)));
        // Most policies go.
        (0..3).for_each(|n| next.meet(&key(n)));
        (3..600).for_each(|n| next.forget(&key(n)));
        let last = next.due(now, true);
        assert_eq!(last.len(), 1);
        next.note(&last[0], true, now);
        // A delete that failed is tried again, later.
        let refused = next.due(now, false);
        next.note(&refused[0], false, now);
        assert!(!next.due(now, false).contains(&refused[0]));
        now += EVERY;
        // That something changes all the time keeps nothing.
        let mut deleted = 0;
        while let Some(parcel) = next.due(now, false).iter().find(|parcel| parcel.data.is_none()) {
            next.note(parcel, true, now);
            next.put(&key(deleted % 3), b"{}").unwrap();
            deleted += 1;
        }
        assert_eq!(deleted, 15);
    }

    #[test]
    fn what_changes_while_it_is_written_is_written_again() {
        let shelf = shelf();
        (0..3).for_each(|n| shelf.put(&key(n), b"{}").unwrap());
        let now = Instant::now() + FIRST;
        let parcel = shelf.due(now, true).remove(0);
        shelf.put(&key(1), b"{ }").unwrap();
        shelf.forget(&key(2));
        shelf.note(&parcel, true, now);
        let rest = shelf.due(now, true).remove(0);
        assert_eq!(rest.changed, BTreeSet::from([part_name(&key(1)), part_name(&key(2))]));
        shelf.note(&rest, true, now);
        assert_eq!(shelf.due(now, true), []);
    }
}
