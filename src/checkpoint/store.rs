//! The checkpoints of a run, in its directory: the newest whole one counts, the last few are kept.

use super::state::{Saved, encode, load_checkpoint};
use super::write_atomically;
use crate::error::{Error, Result};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What the names of checkpoints end in.
const SUFFIX: &str = ".safetensors";

/// A directory of numbered checkpoints.
#[derive(Debug, Clone)]
pub struct Store {
    directory: PathBuf,
    /// How many are kept.
    keep: usize,
}

/// What a directory of checkpoints has to go on from.
#[derive(Debug)]
pub struct Newest {
    /// The newest that is whole.
    pub saved: Saved,
    /// Its file.
    pub path: PathBuf,
    /// What was wrong with those that are newer.
    pub damaged: Vec<Error>,
}

impl Store {
    /// Checkpoints in `directory`, of which the last `keep` are kept.
    #[must_use]
    pub fn new(directory: PathBuf, keep: usize) -> Self {
        Store { directory, keep: keep.max(1) }
    }

    /// Writes a checkpoint behind the others: whole or, on failure, not at all. Older ones go only
    /// when it is there.
    ///
    /// # Errors
    /// When it can't be written; those before are still there.
    pub fn write(&self, saved: &Saved) -> Result<PathBuf> {
        let fail = |e: io::Error| Error::io("write to", &self.directory, &e);
        fs::create_dir_all(&self.directory).map_err(fail)?;
        let before = self.numbered().map_err(fail)?;
        let number = before.last().map_or(1, |(number, _)| number + 1);
        let path = self.directory.join(format!("{number:08}{SUFFIX}"));
        let encoded = encode(saved)?;
        write_atomically(&path, |out| encoded.write(out))?;
        for (_, old) in before.iter().rev().skip(self.keep - 1) {
            // One that can't be removed is in nobody's way.
            let _ = fs::remove_file(old);
        }
        Ok(path)
    }

    /// The newest checkpoint that is whole; none where there is no checkpoint.
    ///
    /// # Errors
    /// When there are some, and none is whole: what is wrong with the newest.
    pub fn newest(&self) -> Result<Option<Newest>> {
        let all = match self.numbered() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            all => all.map_err(|e| Error::io("read", &self.directory, &e))?,
        };
        let mut damaged = Vec::new();
        for (_, path) in all.into_iter().rev() {
            match load_checkpoint(&path) {
                Ok(saved) => return Ok(Some(Newest { saved, path, damaged })),
                Err(error) => damaged.push(error),
            }
        }
        damaged.into_iter().next().map_or(Ok(None), Err)
    }

    /// Removes what a process that was killed left half written.
    pub fn tidy(&self) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.extension().is_some_and(|extension| extension == "tmp") {
                // What can't be removed is in nobody's way.
                let _ = fs::remove_file(path);
            }
        }
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// All checkpoints by their numbers, the oldest first.
    fn numbered(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        let number = |name: &str| name.strip_suffix(SUFFIX)?.parse::<u64>().ok();
        let mut all: Vec<(u64, PathBuf)> = fs::read_dir(&self.directory)?
            .flatten()
            .filter_map(|entry| Some((number(entry.file_name().to_str()?)?, entry.path())))
            .collect();
        all.sort();
        Ok(all)
    }
}
