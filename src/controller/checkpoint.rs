//! I/O: What is remembered of each workload, in a directory that outlives the process.
//!
//! One small file per policy, replaced whole. A checkpoint of another object, of another target, of another version, or
//! one that is old or cannot be read is as good as none: history or watching takes its place.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::resizes::Kept;
use crate::{
    decide::Memory,
    policy::{PolicyKey, Target},
};

/// Beyond this age history teaches more than what was remembered.
const OLDEST: SignedDuration = SignedDuration::from_hours(6);
/// Time between two checkpoints of a policy: what a restart forgets, against writes to a disk.
pub const EVERY: SignedDuration = SignedDuration::from_mins(1);

/// The directory; none: nothing is kept.
#[derive(Debug)]
pub struct Checkpoints {
    directory: Option<PathBuf>,
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

/// A file.
#[derive(Serialize, Deserialize)]
struct Checkpoint {
    uid: String,
    target: Target,
    #[serde(default)]
    object: String,
    at: Timestamp,
    memory: Memory,
    #[serde(default)]
    resizes: Kept,
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
    pub fn open(directory: Option<PathBuf>) -> io::Result<Self> {
        if let Some(directory) = &directory {
            fs::create_dir_all(directory)?;
        }
        Ok(Self { directory })
    }

    /// Namespaces have no dot, so that no two policies share a file.
    fn path(&self, key: &PolicyKey) -> Option<PathBuf> {
        let plain =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
        let sound = plain(&key.namespace) && plain(&key.name);
        self.directory.as_ref().filter(|_| sound).map(|d| d.join(format!("{}.{}.json", key.namespace, key.name)))
    }

    /// What is remembered of a policy; of a target that was made anew since, only what its application is like. The error
    /// is a sentence for the log.
    pub fn read(&self, key: &PolicyKey, of: Of<'_>, now: Timestamp) -> Result<Remembered, String> {
        let Some(path) = self.path(key) else { return Ok(Remembered::default()) };
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Remembered::default()),
            Err(error) => return Err(format!("{}: cannot be read: {error}", path.display())),
        };
        let found: Checkpoint =
            serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        let age = now.duration_since(found.at);
        if found.uid != of.uid || found.target != *of.target {
            return Ok(Remembered::default());
        }
        let young = Some(found.memory).filter(|_| age <= OLDEST && age > -OLDEST);
        let memory = young.map(|m| if found.object == of.object { m } else { m.of_another_object(now) });
        Ok(Remembered { memory, resizes: found.resizes })
    }

    /// Writes down what is remembered of a policy.
    pub fn write(
        &self,
        key: &PolicyKey,
        of: Of<'_>,
        at: Timestamp,
        (memory, resizes): (&Memory, Kept),
    ) -> io::Result<()> {
        let Some(path) = self.path(key) else { return Ok(()) };
        let (uid, object) = (of.uid.to_owned(), of.object.to_owned());
        let checkpoint = Checkpoint { uid, target: of.target.clone(), object, at, memory: memory.clone(), resizes };
        let text = serde_json::to_vec(&checkpoint).map_err(io::Error::other)?;
        replace(&path, &text)
    }
}

/// A file that is there whole or not at all.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let partial = path.with_extension("partial");
    fs::write(&partial, text)?;
    fs::rename(&partial, path)
}

#[cfg(test)]
mod tests {
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
}
