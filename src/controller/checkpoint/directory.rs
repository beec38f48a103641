//! I/O: One small file per policy, replaced whole.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use jiff::SignedDuration;

use crate::policy::PolicyKey;

/// Time between two checkpoints of a policy: what a restart forgets, against writes to a disk.
pub(super) const EVERY: SignedDuration = SignedDuration::from_mins(1);

/// The directory.
#[derive(Debug)]
pub struct Directory(PathBuf);

impl Directory {
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// Namespaces have no dot, so that no two policies share a file.
    fn path(&self, key: &PolicyKey) -> Option<PathBuf> {
        let plain =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
        let sound = plain(&key.namespace) && plain(&key.name);
        sound.then(|| self.0.join(format!("{}.{}.json", key.namespace, key.name)))
    }

    /// The name and the text of a policy's file; none: there is none.
    pub(super) fn read(&self, key: &PolicyKey) -> Result<Option<(String, Vec<u8>)>, String> {
        let Some(path) = self.path(key) else { return Ok(None) };
        match fs::read(&path) {
            Ok(text) => Ok(Some((path.display().to_string(), text))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("{}: cannot be read: {error}", path.display())),
        }
    }

    pub(super) fn write(&self, key: &PolicyKey, text: &[u8]) -> Result<(), String> {
        let Some(path) = self.path(key) else { return Ok(()) };
        replace(&path, text).map_err(|error| error.to_string())
    }
}

/// A file that is there whole or not at all.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let partial = path.with_extension("partial");
    fs::write(&partial, text)?;
    fs::rename(&partial, path)
}
