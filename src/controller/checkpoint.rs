//! I/O: What is remembered of each workload, where it outlives the process: files of a directory, or objects of the cluster.
//!
//! A checkpoint of another object, of another target, of a later version, or one that is old or cannot be read is as good as
//! none: history or watching takes its place.

mod directory;
mod objects;

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use self::directory::Directory;
pub use self::objects::Shelf;
use super::resizes::Kept;
use crate::{
    decide::Memory,
    policy::{PolicyKey, Target},
};

/// Beyond this age history teaches more than what was remembered.
const OLDEST: SignedDuration = SignedDuration::from_hours(6);
/// Version of what is written: raised when an older arbiter would misread it.
const VERSION: u32 = 1;

/// Where checkpoints are kept.
#[derive(Debug)]
pub enum Checkpoints {
    /// In memory alone.
    Nowhere,
    /// One file per policy.
    Directory(Directory),
    /// Many policies an object, written by whoever leads.
    Objects(Shelf),
}

/// Whose memory it is.
#[derive(Clone, Copy, Debug)]
pub struct Of<'a> {
    /// Uid of the policy's object.
    pub uid: &'a str,
    /// The target that it names.
    pub target: &'a Target,
    /// Uid of the object that has this name now.
    pub object: &'a str,
}

/// What is written.
#[derive(Serialize, Deserialize)]
struct Checkpoint {
    #[serde(default)]
    version: u32,
    uid: String,
    target: Target,
    #[serde(default)]
    object: String,
    at: Timestamp,
    memory: Memory,
    #[serde(default)]
    resizes: Kept,
}

/// As much of it as every version can read.
#[derive(Deserialize)]
struct Stamp {
    #[serde(default)]
    version: u32,
    at: Timestamp,
}

/// What is remembered of a policy.
#[derive(Debug, Default, PartialEq)]
pub struct Remembered {
    /// What was learned of its demand, unless that is old.
    pub memory: Option<Memory>,
    /// What its resizes taught; each lesson has its own end.
    pub resizes: Kept,
}

impl Checkpoints {
    /// In a directory, which is made when it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(directory: Option<PathBuf>) -> std::io::Result<Self> {
        directory.map_or(Ok(Self::Nowhere), |path| Directory::open(path).map(Self::Directory))
    }

    /// When a policy is written down that was written at `last`; `None`: not yet, and it is met at `now`.
    #[must_use]
    pub fn due(&self, key: &PolicyKey, last: Option<Timestamp>, now: Timestamp) -> Timestamp {
        match self {
            Self::Objects(_) => objects::due(key, last, now),
            _ => last.map_or(now, |last| last + directory::EVERY),
        }
    }

    /// What is remembered of a policy; of a target that was made anew since, only what its application is like. The error
    /// is a sentence for the log.
    ///
    /// # Errors
    /// When something is there that cannot be read.
    pub fn read(&self, key: &PolicyKey, of: Of<'_>, now: Timestamp) -> Result<Remembered, String> {
        let found = match self {
            Self::Nowhere => None,
            Self::Directory(directory) => directory.read(key)?,
            Self::Objects(shelf) => shelf.get(key)?,
        };
        found.map_or_else(
            || Ok(Remembered::default()),
            |(place, text)| understand(&text, of, now).map_err(|why| format!("{place}: {why}")),
        )
    }

    /// Writes down what is remembered of a policy. Objects are written later, by [`Shelf::due`].
    ///
    /// # Errors
    /// When it cannot be; a sentence.
    pub fn write(
        &self,
        key: &PolicyKey,
        of: Of<'_>,
        at: Timestamp,
        (memory, resizes): (&Memory, Kept),
    ) -> Result<(), String> {
        let (uid, object, target) = (of.uid.to_owned(), of.object.to_owned(), of.target.clone());
        let text = |memory: &Memory| {
            let checkpoint = Checkpoint { version: VERSION, uid, target, object, at, memory: memory.clone(), resizes };
            serde_json::to_vec(&checkpoint).map_err(|error| error.to_string())
        };
        match self {
            Self::Nowhere => Ok(()),
            Self::Directory(directory) => directory.write(key, &text(memory)?),
            Self::Objects(shelf) => shelf.put(key, &text(memory)?),
        }
    }

    /// Notes that a policy is there: what is remembered of it is kept, however long its target cannot be read.
    pub fn meet(&self, key: &PolicyKey) {
        if let Self::Objects(shelf) = self {
            shelf.meet(key);
        }
    }

    /// Forgets a policy that is gone.
    pub fn forget(&self, key: &PolicyKey) {
        if let Self::Objects(shelf) = self {
            shelf.forget(key);
        }
    }
}

fn stamp(text: &[u8]) -> Result<Stamp, String> {
    serde_json::from_slice(text).map_err(|error| error.to_string())
}

fn understand(text: &[u8], of: Of<'_>, now: Timestamp) -> Result<Remembered, String> {
    let Stamp { version, at } = stamp(text)?;
    if version > VERSION {
        return Err(format!("written by a later version of arbiter ({version}, and {VERSION} can be read)"));
    }
    let found: Checkpoint = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if found.uid != of.uid || found.target != *of.target {
        return Ok(Remembered::default());
    }
    let age = now.duration_since(at);
    let young = Some(found.memory).filter(|_| age <= OLDEST && age > -OLDEST);
    let memory = young.map(|m| if found.object == of.object { m } else { m.of_another_object(now) });
    Ok(Remembered { memory, resizes: found.resizes })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn target(name: &str) -> Target {
        Target { api_version: "apps/v1".to_owned(), kind: "Deployment".to_owned(), name: name.to_owned() }
    }

    fn key() -> PolicyKey {
        PolicyKey { namespace: "shop".to_owned(), name: "web".to_owned() }
    }

    const AT: Timestamp = Timestamp::UNIX_EPOCH;

    fn of<'a>(uid: &'a str, target: &'a Target) -> Of<'a> {
        Of { uid, target, object: "o" }
    }

    #[test]
    fn only_the_same_young_workload_is_remembered() {
        let directory = tempfile::tempdir().unwrap();
        let kept = Checkpoints::open(Some(directory.path().join("state"))).unwrap();
        let (web, api) = (target("web"), target("api"));
        let memory = |uid: &str, target: &Target, at| kept.read(&key(), of(uid, target), at).map(|found| found.memory);
        assert_eq!(memory("1", &web, AT), Ok(None));
        kept.write(&key(), of("1", &web), AT, (&Memory::new(), Kept::default())).unwrap();
        assert_eq!(memory("1", &web, AT), Ok(Some(Memory::new())));
        assert_eq!(memory("2", &web, AT), Ok(None), "another object of the name");
        assert_eq!(memory("1", &api, AT), Ok(None), "another target");
        assert_eq!(memory("1", &web, AT + SignedDuration::from_hours(7)), Ok(None), "old");
        let file = directory.path().join("state/shop.web.json");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, &text[..text.len() / 2]).unwrap();
        assert!(kept.read(&key(), of("1", &web), AT).unwrap_err().contains("shop.web.json: EOF"));
        assert_eq!(fs::read_dir(directory.path().join("state")).unwrap().count(), 1, "nothing half written lies about");
    }

    #[test]
    fn what_resizes_taught_outlives_what_demand_taught_and_older_files_have_none() {
        let directory = tempfile::tempdir().unwrap();
        let kept = Checkpoints::open(Some(directory.path().to_owned())).unwrap();
        let file = directory.path().join("shop.web.json");
        let taught: Kept = serde_json::from_value(serde_json::json!({"waits": [60.0, 70.0, 80.0]})).unwrap();
        kept.write(&key(), of("1", &target("web")), AT, (&Memory::new(), taught.clone())).unwrap();
        let old = kept.read(&key(), of("1", &target("web")), AT + SignedDuration::from_hours(7)).unwrap();
        assert_eq!((old.memory, old.resizes), (None, taught));
        let mut text: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        text.as_object_mut().unwrap().remove("resizes");
        fs::write(&file, text.to_string()).unwrap();
        assert_eq!(kept.read(&key(), of("1", &target("web")), AT).unwrap().resizes, Kept::default());
    }

    #[test]
    fn no_name_leaves_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        let kept = Checkpoints::open(Some(directory.path().join("state"))).unwrap();
        let odd = PolicyKey { namespace: "../x".to_owned(), name: "y".to_owned() };
        let web = target("web");
        kept.write(&odd, of("1", &web), AT, (&Memory::new(), Kept::default())).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        let none = Checkpoints::open(None).unwrap();
        none.write(&key(), of("1", &web), AT, (&Memory::new(), Kept::default())).unwrap();
        assert_eq!(none.read(&key(), of("1", &web), AT), Ok(Remembered::default()));
    }

    #[test]
    fn what_a_later_version_wrote_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let kept = Checkpoints::open(Some(directory.path().to_owned())).unwrap();
        let file = directory.path().join("shop.web.json");
        fs::write(&file, r#"{"version": 2, "at": "1970-01-01T00:00:00Z", "what": "nobody knows"}"#).unwrap();
        let why = kept.read(&key(), of("1", &target("web")), AT).unwrap_err();
        assert!(why.ends_with("shop.web.json: written by a later version of arbiter (2, and 1 can be read)"), "{why}");
    }

    #[test]
    fn a_full_disk_is_said_and_what_was_written_stays() {
        let directory = tempfile::tempdir().unwrap();
        let kept = Checkpoints::open(Some(directory.path().to_owned())).unwrap();
        let web = target("web");
        kept.write(&key(), of("1", &web), AT, (&Memory::new(), Kept::default())).unwrap();
        // A device on which every write fails for want of room, in the place of the file that is written first.
        std::os::unix::fs::symlink("/dev/full", directory.path().join("shop.web.partial")).unwrap();
        let why = kept.write(&key(), of("1", &web), AT, (&Memory::new(), Kept::default())).unwrap_err();
        assert!(why.contains("No space left"), "{why}");
        assert_eq!(kept.read(&key(), of("1", &web), AT).unwrap().memory, Some(Memory::new()));
    }
}
