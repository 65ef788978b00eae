//! The checkpoints of a run, in its directory: the newest intact one is used, the last few are kept.

use super::state::{Saved, encode, load_checkpoint};
use super::write_atomically;
use crate::base::atomic::is_temporary_of;
use crate::base::error::{Error, Result};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The extension of checkpoints.
const SUFFIX: &str = ".safetensors";

/// A directory of numbered checkpoints.
#[derive(Debug, Clone)]
pub struct Store {
    directory: PathBuf,
    /// The number of checkpoints to keep.
    keep: usize,
}

/// The newest intact checkpoint of a directory.
#[derive(Debug)]
pub struct Newest {
    /// The checkpoint.
    pub saved: Saved,
    /// Its file.
    pub path: PathBuf,
    /// The errors of newer, damaged ones.
    pub damaged: Vec<Error>,
}

impl Store {
    /// Checkpoints in `directory`, of which the last `keep` are kept.
    #[must_use]
    pub fn new(directory: PathBuf, keep: usize) -> Self {
        Store { directory, keep: keep.max(1) }
    }

    /// Writes a checkpoint atomically. Older ones are removed only afterwards.
    ///
    /// # Errors
    /// When it can't be written; previous ones are then still there.
    pub fn write(&self, saved: &Saved) -> Result<PathBuf> {
        let fail = |e: io::Error| Error::io("write to", &self.directory, &e);
        fs::create_dir_all(&self.directory).map_err(fail)?;
        let before = self.numbered().map_err(fail)?;
        let number = before.last().map_or(1, |(number, _)| number + 1);
        let path = self.directory.join(format!("{number:08}{SUFFIX}"));
        let encoded = encode(saved)?;
        write_atomically(&path, |out| encoded.write(out))?;
        for (_, old) in before.iter().rev().skip(self.keep - 1) {
            // One that can't be removed does no harm.
            let _ = fs::remove_file(old);
        }
        Ok(path)
    }

    /// The newest intact checkpoint; none if there is no checkpoint.
    ///
    /// # Errors
    /// When all of them are damaged: the error of the newest.
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

    /// Removes temporary files of checkpoints that a killed process left, but nothing in a directory that
    /// is a link.
    pub fn tidy(&self) {
        if self.directory.is_symlink() {
            return;
        }
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        for entry in entries.flatten() {
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
            if is_file && entry.file_name().to_str().is_some_and(is_half_written) {
                // What can't be removed does no harm.
                let _ = fs::remove_file(entry.path());
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
        let mut all: Vec<(u64, PathBuf)> = fs::read_dir(&self.directory)?
            .flatten()
            .filter_map(|entry| Some((number(entry.file_name().to_str()?)?, entry.path())))
            .collect();
        all.sort();
        Ok(all)
    }
}

/// The number in the name of a checkpoint.
fn number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let is_number = digits.len() >= 8 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

/// Whether a file of that name is a checkpoint, or the temporary file of one.
#[must_use]
pub fn is_checkpoint(name: &str) -> bool {
    number(name).is_some() || is_half_written(name)
}

fn is_half_written(name: &str) -> bool {
    let of = name.strip_prefix('.').and_then(|rest| rest.split_once(SUFFIX));
    of.is_some_and(|(digits, _)| {
        let of = format!("{digits}{SUFFIX}");
        number(&of).is_some() && is_temporary_of(name, &of)
    })
}
