//! Files that appear whole or not at all, and where they are kept between runs.

use crate::error::{Error, Result};
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A file that is being written, of which no reader ever sees half, and whose failure leaves the
/// one before: it is a temporary file beside it until [`AtomicFile::commit`]. What isn't a regular
/// file, such as a pipe, is written directly.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    target: PathBuf,
    /// The temporary file; none where the target itself is written, and once it is renamed.
    temporary: Option<PathBuf>,
    out: BufWriter<File>,
}

impl AtomicFile {
    /// Begins the file.
    ///
    /// # Errors
    /// When it can't be created.
    pub fn create(path: &Path) -> Result<Self> {
        // Behind a link the file itself is replaced, not the link.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let is_direct = fs::metadata(&target).is_ok_and(|m| !m.is_file() && !m.is_dir());
        let temporary = (!is_direct).then(|| temporary(&target));
        let file = match &temporary {
            Some(temporary) => File::create(temporary),
            None => File::options().write(true).open(&target),
        };
        let out = BufWriter::with_capacity(1 << 18, file.map_err(|e| write_error(path, &e))?);
        Ok(AtomicFile { path: path.to_path_buf(), target, temporary, out })
    }

    /// Ends the file: synchronises and renames it.
    ///
    /// # Errors
    /// When that fails.
    pub fn commit(mut self) -> Result<()> {
        self.publish().map_err(|e| write_error(&self.path, &e))
    }

    fn publish(&mut self) -> io::Result<()> {
        self.out.flush()?;
        let Some(temporary) = &self.temporary else { return Ok(()) };
        self.out.get_ref().sync_all()?;
        fs::rename(temporary, &self.target)?;
        self.temporary = None;
        if let (true, Some(parent)) = (cfg!(unix), self.target.parent())
            && let Ok(directory) = File::open(parent)
        {
            // Not every file system can synchronise a directory.
            let _ = directory.sync_all();
        }
        Ok(())
    }
}

/// The error for a file that couldn't be written.
#[must_use]
pub fn write_error(path: &Path, error: &io::Error) -> Error {
    Error::failed(format!("cannot write {}: {error}", path.display()))
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // Whatever went wrong before is the error to tell.
            let _ = fs::remove_file(temporary);
        }
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Seek for AtomicFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.out.seek(to)
    }
}

/// Writes a file as an [`AtomicFile`] at once.
///
/// # Errors
/// When that fails.
pub fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    let mut file = AtomicFile::create(path)?;
    write(&mut file).map_err(|e| write_error(path, &e))?;
    file.commit()
}

fn temporary(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
}

/// A new file in the cache directory, that of the system where there is none, which goes away with its
/// last handle, whatever ends the process; and what it was called.
///
/// # Errors
/// When it can't be created.
pub fn passing_file() -> Result<(File, PathBuf)> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let directory = cache_directory().unwrap_or_else(std::env::temp_dir);
    let n = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = directory.join(format!("rows-{}-{n}.tmp", std::process::id()));
    let create = || {
        fs::create_dir_all(&directory)?;
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(true);
        #[cfg(windows)]
        {
            /// FILE_FLAG_DELETE_ON_CLOSE of the Windows API.
            const DELETE_ON_CLOSE: u32 = 0x0400_0000;
            std::os::windows::fs::OpenOptionsExt::custom_flags(&mut options, DELETE_ON_CLOSE);
        }
        let file = options.open(&path)?;
        if cfg!(unix) {
            fs::remove_file(&path)?;
        }
        Ok(file)
    };
    match create() {
        Ok(file) => Ok((file, path)),
        Err(error) => Err(write_error(&path, &error)),
    }
}

/// The directory for what this program keeps between runs and could do without: that of
/// `WGRAD_CACHE_DIR`, else its own in the user's cache directory.
#[must_use]
pub fn cache_directory() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    if let Some(directory) = std::env::var_os("WGRAD_CACHE_DIR").filter(|name| !name.is_empty()) {
        return std::path::absolute(directory).ok();
    }
    let system = if cfg!(windows) { set("LOCALAPPDATA") } else { set("XDG_CACHE_HOME") };
    let home = || std::env::home_dir().map(|home| home.join(".cache"));
    system.or_else(home).map(|dir| dir.join("wgrad"))
}
