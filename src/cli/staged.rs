//! Files that are there whole or not at all: written beside their place, and renamed into it.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use super::Failure;

/// A file on its way; dropped without [`Staged::publish`], it leaves nothing.
#[derive(Debug)]
pub(super) struct Staged {
    target: PathBuf,
    partial: PathBuf,
    writer: BufWriter<File>,
    published: bool,
}

impl Staged {
    /// Opens a file beside `target`.
    pub(super) fn create(target: &Path) -> Result<Self, Failure> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        // The process' number keeps two runs into one directory apart.
        let partial = target.with_file_name(format!(".{name}.{}.partial", std::process::id()));
        let file = File::create(&partial).map_err(|error| refused(target, &error))?;
        Ok(Self { target: target.to_owned(), partial, writer: BufWriter::new(file), published: false })
    }

    /// Appends.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.writer.write_all(bytes).map_err(|error| refused(&self.target, &error))
    }

    /// Makes it visible under its name, on disk before it is.
    pub(super) fn publish(mut self) -> Result<(), Failure> {
        let done = self.writer.flush().and_then(|()| self.writer.get_ref().sync_all());
        done.and_then(|()| fs::rename(&self.partial, &self.target)).map_err(|error| refused(&self.target, &error))?;
        self.published = true;
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.published {
            // Nothing better can be done about a partial file that cannot be removed; its name says what it is.
            drop(fs::remove_file(&self.partial));
        }
    }
}

fn refused(target: &Path, error: &std::io::Error) -> Failure {
    Failure::Environment(format!("{}: cannot be written: {error}; choose a directory that can", target.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_seen_before_it_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("summary.json");
        let names = || fs::read_dir(directory.path()).unwrap().count();
        let mut abandoned = Staged::create(&target).unwrap();
        abandoned.write(b"half").unwrap();
        drop(abandoned);
        assert_eq!(names(), 0);
        let mut whole = Staged::create(&target).unwrap();
        whole.write(b"whole").unwrap();
        assert!(!target.exists());
        whole.publish().unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "whole");
        assert_eq!(names(), 1);
    }
}
