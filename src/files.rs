//! Files that appear whole or not at all, and where they are kept between runs.

use crate::error::{Error, Result};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Writes a file so that no reader ever sees half of it, and a failure leaves the one before: to
/// a temporary file beside it, synchronised, then renamed. What isn't a regular file, such as a
/// pipe, is written directly.
///
/// # Errors
/// When that fails.
pub fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    let fail = |e: io::Error| Error::failed(format!("cannot write {}: {e}", path.display()));
    // Behind a link the file itself is replaced, not the link.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    if fs::metadata(&target).is_ok_and(|m| !m.is_file() && !m.is_dir()) {
        let mut out = BufWriter::new(File::options().write(true).open(&target).map_err(fail)?);
        return write(&mut out).and_then(|()| out.flush()).map_err(fail);
    }
    let temporary = temporary(&target);
    let written = (|| {
        let mut out = BufWriter::with_capacity(1 << 18, File::create(&temporary)?);
        write(&mut out)?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&temporary, &target)
    })();
    if let Err(error) = written {
        // It may not even be there, and the first error is the one to tell.
        let _ = fs::remove_file(&temporary);
        return Err(fail(error));
    }
    if let (true, Some(parent)) = (cfg!(unix), target.parent())
        && let Ok(directory) = File::open(parent)
    {
        // Not every file system can synchronise a directory.
        let _ = directory.sync_all();
    }
    Ok(())
}

fn temporary(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
}

/// The directory for what this program keeps between runs and could do without: that of
/// `WGRAD_CACHE_DIR`, else its own in the user's cache directory.
#[must_use]
pub fn cache_directory() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    if let Some(directory) = set("WGRAD_CACHE_DIR") {
        return Some(directory);
    }
    let system = if cfg!(windows) { set("LOCALAPPDATA") } else { set("XDG_CACHE_HOME") };
    let home = || std::env::home_dir().map(|home| home.join(".cache"));
    system.or_else(home).map(|dir| dir.join("wgrad"))
}
