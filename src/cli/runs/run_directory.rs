//! Run directories: created so that no two processes use the same one, and nothing else is replaced.

use super::own_files;
use crate::base::atomic::write_atomically;
use crate::base::error::{Error, Result};
use crate::cli::runs::names::{
    CHECKPOINTS, CONFIG, EVENTS, FOLD, MODEL, NET, RUNS, TABLE, looked_for,
};
use crate::cli::runs::own_files::cannot_create;
use crate::files::config::TrainConfig;
use crate::observe::{KeptRows, Restart};
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// How often, and after how long, a held lock is tried again.
const LOCK_TRIES: usize = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// The directory of one run.
pub(in crate::cli) struct RunDirectory {
    path: PathBuf,
}

/// The error for a path that isn't a run directory.
pub(in crate::cli) fn no_run(path: &Path) -> Error {
    Error::data(format!("there is no run {}{}", path.display(), looked_for(path)))
        .help("name a run directory, such as runs/digits-1; wgrad runs lists them")
}

impl RunDirectory {
    /// Refuses an `out` that couldn't be created, before any work is done.
    pub fn check(out: Option<&Path>, force: bool) -> Result<()> {
        match out {
            Some(out) if out.symlink_metadata().is_ok() => replaceable(out, force),
            _ => Ok(()),
        }
    }

    /// Creates `out`, or the first free `runs/<name>-<n>`. With `force` an existing run in
    /// `out` is replaced.
    pub fn create(out: Option<&Path>, name: &str, force: bool) -> Result<Self> {
        let Some(out) = out else { return Self::numbered(Path::new(RUNS), name) };
        let fail = |e: io::Error| cannot_create(out, &e);
        if let Some(parent) = out.parent() {
            fs::create_dir_all(parent).map_err(fail)?;
        }
        match fs::create_dir(out) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                replaceable(out, force)?;
                own_files::replace(out)?;
            }
            made => made.map_err(fail)?,
        }
        Ok(RunDirectory { path: out.to_path_buf() })
    }

    fn numbered(parent: &Path, name: &str) -> Result<Self> {
        let keep = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' };
        let name: String = name.trim_start_matches('.').chars().map(keep).take(100).collect();
        let name = if name.is_empty() { "run" } else { &name };
        fs::create_dir_all(parent).map_err(|e| cannot_create(parent, &e))?;
        let mut n = 1u64;
        loop {
            let path = parent.join(format!("{name}-{n}"));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(RunDirectory { path }),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => n += 1,
                Err(e) => return Err(cannot_create(&path, &e)),
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of a fold's run, counted from 1.
    pub fn fold(&self, fold: usize) -> PathBuf {
        self.path.join(format!("{FOLD}{fold}"))
    }

    /// The directory of the run of an ensemble's net, counted from 1.
    pub fn net(&self, member: usize) -> PathBuf {
        self.path.join(format!("{NET}{member}"))
    }

    /// Whether it is the directory of a fold or a net of another run.
    pub fn is_part(&self) -> bool {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        own_files::is_part_name(&name)
    }

    /// The path of the model.
    pub fn model(&self) -> PathBuf {
        self.path.join(MODEL)
    }

    /// Writes the configuration.
    pub fn write_config(&self, text: &str) -> Result<()> {
        write_atomically(&self.path.join(CONFIG), |out| out.write_all(text.as_bytes()))
    }

    /// The directory of an existing run.
    pub fn open(path: &Path) -> Result<Self> {
        if path.join(CONFIG).is_file() {
            return Ok(RunDirectory { path: path.to_path_buf() });
        }
        Err(no_run(path))
    }

    /// The options that it was started with.
    pub fn config(&self) -> Result<TrainConfig> {
        TrainConfig::read(&self.path.join(CONFIG))
    }

    /// The directory of its checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join(CHECKPOINTS)
    }

    /// The new file of events.
    pub fn metrics(&self) -> Result<WholeLines> {
        let path = self.path.join(EVENTS);
        let file = File::options().create_new(true).append(true).open(&path);
        let file = file.map_err(|e| cannot_create(&path, &e))?;
        WholeLines { file, len: Arc::default(), path }.locked()
    }

    /// The file of events of a run that is resumed. It will be truncated to the length in the
    /// checkpoint; links are not followed.
    pub fn metrics_again(&self) -> Result<WholeLines> {
        self.lines(EVENTS)
    }

    /// The table of metrics, with the rows of the first `epochs` epochs: a new one if there is none.
    pub fn table(&self, epochs: usize) -> Result<(WholeLines, KeptRows)> {
        let mut lines = self.lines(TABLE)?;
        let path = &lines.path;
        let kept = KeptRows::of(&fs::read(path).map_err(|e| Error::io("read", path, &e))?, epochs);
        lines.cut(kept.bytes)?;
        Ok((lines, kept))
    }

    /// A file of lines that is continued, or created.
    fn lines(&self, name: &str) -> Result<WholeLines> {
        let path = self.path.join(name);
        let other = || {
            Error::usage("the file is a symbolic link, or not a regular file")
                .at(path.display())
                .help("replace the link by the file itself: --resume would truncate it")
        };
        let file = match path.symlink_metadata() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                File::options().create_new(true).append(true).open(&path)
            }
            Ok(there) if !there.is_file() => return Err(other()),
            _ => File::options().append(true).open(&path),
        };
        let file = file.map_err(|e| Error::io("open", &path, &e))?;
        // Something else may have taken its place since it was checked.
        if !own_files::is_in_place(&file, &path) {
            return Err(other());
        }
        let len = file.metadata().map_err(|e| Error::io("open", &path, &e))?.len();
        WholeLines { file, len: Arc::new(len.into()), path }.locked()
    }
}

/// A file that always ends with a complete write, even if the disk is full. It is locked
/// while it is open, so that no two processes train the same run.
pub(in crate::cli) struct WholeLines {
    file: File,
    len: Arc<AtomicU64>,
    path: PathBuf,
}

impl WholeLines {
    fn locked(self) -> Result<Self> {
        // `wgrad runs` holds it briefly, to see whether it is held.
        let mut lock = self.file.try_lock();
        for _ in 0..LOCK_TRIES {
            if !matches!(lock, Err(TryLockError::WouldBlock)) {
                break;
            }
            thread::sleep(LOCK_PAUSE);
            lock = self.file.try_lock();
        }
        match lock {
            Err(TryLockError::WouldBlock) => {
                Err(Error::usage("another process is training this run")
                    .at(self.path.display())
                    .help("wait for it, or stop it"))
            }
            // Not every file system can lock.
            _ => Ok(self),
        }
    }

    /// Its path, for messages.
    pub fn place(&self) -> String {
        self.path.display().to_string()
    }

    /// Its current length, shared.
    pub fn length(&self) -> Arc<AtomicU64> {
        self.len.clone()
    }

    /// The file, to be synchronized by another thread.
    pub fn file(&self) -> Option<File> {
        self.file.try_clone().ok()
    }

    /// The last event in it, if there is one.
    pub fn last_event(&self) -> Option<serde_json::Value> {
        let text = fs::read_to_string(&self.path).ok()?;
        serde_json::from_str(text.lines().last()?).ok()
    }

    /// Truncates it to the first `len` bytes.
    pub fn cut(&mut self, len: u64) -> Result<()> {
        let len = len.min(self.len.load(Ordering::Acquire));
        self.file.set_len(len).map_err(|e| Error::io("cut", &self.path, &e))?;
        self.len.store(len, Ordering::Release);
        Ok(())
    }
}

impl Restart for WholeLines {
    fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.len.store(0, Ordering::Release);
        Ok(())
    }
}

impl Write for WholeLines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Err(error) = self.file.write_all(line) {
            // Half a line must not stay; the first error is the one to report.
            let _ = self.file.set_len(self.len.load(Ordering::Acquire));
            return Err(error);
        }
        self.len.fetch_add(line.len() as u64, Ordering::Release);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Refuses to replace what isn't a run, or a run without `force`.
fn replaceable(out: &Path, force: bool) -> Result<()> {
    let exists = |what: &str| Error::usage(format!("{} {what}", out.display()));
    if !force {
        return Err(exists("already exists")
            .help("choose another --out, or replace the existing run with --force"));
    }
    let no_run = |what: String| {
        Err(exists(&format!("exists, and it is not a run: {what}")).help("choose another --out"))
    };
    if !out.symlink_metadata().is_ok_and(|m| m.is_dir()) {
        return no_run("it is not a directory".into());
    }
    let found = own_files::own_files(out).map_err(|e| Error::io("read", out, &e))?;
    match found {
        Err(foreign) => no_run(format!("it contains {}", foreign.display())),
        Ok(own) if own.is_empty() || own.iter().any(|path| path == Path::new(CONFIG)) => Ok(()),
        Ok(_) => no_run("it contains no config.toml".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_directories_are_never_taken_twice() {
        let parent = tempfile::tempdir().unwrap();
        let make = || RunDirectory::numbered(parent.path(), "../a b").unwrap().path;
        let threads: Vec<_> = std::thread::scope(|s| {
            let handles: Vec<_> = (0..8).map(|_| s.spawn(make)).collect();
            handles.into_iter().map(|h| h.join().unwrap()).collect()
        });
        let mut names: Vec<_> =
            threads.iter().map(|p| p.file_name().unwrap().to_str().unwrap().to_string()).collect();
        names.sort();
        assert_eq!(names, (1..=8).map(|n| format!("-a-b-{n}")).collect::<Vec<_>>());
    }

    #[test]
    fn only_a_run_is_replaced_and_only_by_force() {
        let parent = tempfile::tempdir().unwrap();
        let out = parent.path().join("deep/run");
        let create = |force| RunDirectory::create(Some(&out), "x", force);
        create(false).unwrap().write_config("epochs = 1\n").unwrap();
        let error = create(false).err().unwrap();
        assert_eq!(error.kind().exit_code(), 2);
        assert!(error.to_string().contains("--force"), "{error}");
        assert_eq!(RunDirectory::check(Some(&out), false).err(), Some(error));
        create(true).unwrap();
        assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
        assert_eq!(fs::read_dir(out.parent().unwrap()).unwrap().count(), 1);
        fs::write(out.join("config.toml"), "").unwrap();
        fs::write(out.join("thesis.tex"), "").unwrap();
        let error = create(true).err().unwrap().to_string();
        assert!(error.contains("thesis.tex") && out.join("thesis.tex").exists(), "{error}");
    }
}
