//! Files that are written atomically, and where files are kept between runs.

use crate::base::error::{Error, Result};
use std::collections::hash_map::RandomState;
use std::fs::{self, File};
use std::hash::BuildHasher;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The suffix of the names of temporary files.
const SUFFIX: &str = ".tmp";

/// A file that is written atomically: no reader sees a part of it, and a failure leaves the previous
/// file. It is a temporary file beside the target until [`AtomicFile::commit`]. What isn't a regular
/// file, such as a pipe, is written directly.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    target: PathBuf,
    out: BufWriter<Out>,
}

/// Where the bytes go at first.
#[derive(Debug)]
enum Out {
    /// A file of a random name that nobody else has opened, removed unless it is renamed.
    Temporary(Temporary),
    /// The target itself.
    Direct(File),
}

impl AtomicFile {
    /// Creates the temporary file.
    ///
    /// # Errors
    /// When it can't be created.
    pub fn create(path: &Path) -> Result<Self> {
        // A symbolic link is followed: its target is replaced, not the link.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let is_direct = fs::metadata(&target).is_ok_and(|m| !m.is_file() && !m.is_dir());
        let out = match is_direct {
            true => File::options().write(true).open(&target).map(Out::Direct),
            false => temporary_beside(&target).map(Out::Temporary),
        };
        let out = BufWriter::with_capacity(1 << 18, out.map_err(|e| write_error(path, &e))?);
        Ok(AtomicFile { path: path.to_path_buf(), target, out })
    }

    /// Finishes the file: synchronizes and renames it.
    ///
    /// # Errors
    /// When that fails.
    pub fn commit(self) -> Result<()> {
        let AtomicFile { path, target, out } = self;
        publish(out, &target).map_err(|e| write_error(&path, &e))
    }
}

/// The temporary files that are being written. Those that are finished or dropped are removed from the list
/// when the next one is made.
static TEMPORARY: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Removes the temporary files that are being written, and blocks new ones: for a process that is about
/// to exit without returning to the threads that write them.
pub fn give_up_temporary_files() {
    let mut all = TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner);
    for path in all.drain(..) {
        // It may have been renamed just now.
        let _ = fs::remove_file(path);
    }
    // Held until the process ends.
    std::mem::forget(all);
}

/// A new file in the directory of `target`, under a random name, where nobody can have placed a link.
fn temporary_beside(target: &Path) -> io::Result<Temporary> {
    let mut all = TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner);
    let file = new_beside(target)?;
    all.retain(|path| path.symlink_metadata().is_ok());
    // The working directory may have changed by then.
    all.push(file.path.clone());
    Ok(file)
}

/// The file of [`temporary_beside`].
fn new_beside(target: &Path) -> io::Result<Temporary> {
    /// The number of names that are tried.
    const TRIES: usize = 1 << 16;
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let parent = target.parent().filter(|parent| *parent != Path::new(""));
    // The working directory may have changed by the time it is renamed.
    let parent = std::path::absolute(parent.unwrap_or(Path::new(".")))?;
    for _ in 0..TRIES {
        let path = parent.join(format!(".{name}.{}{SUFFIX}", random_letters()));
        // As any new file that its user may read; a link of that name is not followed.
        match File::options().read(true).write(true).create_new(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            opened => return Ok(Temporary { file: opened?, path, is_kept: false }),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "no name is free for a temporary file"))
}

/// Six letters and digits that nobody can predict, drawn as the standard library draws the keys of hash maps.
fn random_letters() -> String {
    const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut drawn = RandomState::new().hash_one(0);
    let mut letter = || {
        let letter = LETTERS[(drawn % 36) as usize];
        drawn /= 36;
        letter as char
    };
    (0..6).map(|_| letter()).collect()
}

/// A file that is removed unless it is kept under another name.
#[derive(Debug)]
struct Temporary {
    file: File,
    path: PathBuf,
    is_kept: bool,
}

impl Temporary {
    /// Renames it.
    fn persist(mut self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        self.is_kept = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.is_kept {
            // Already removed if the process is exiting.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether `name` is that of a temporary file of the file called `of`, as left by a process that
/// was killed.
#[must_use]
pub fn is_temporary_of(name: &str, of: &str) -> bool {
    let random =
        || name.strip_prefix('.')?.strip_prefix(of)?.strip_prefix('.')?.strip_suffix(SUFFIX);
    random().is_some_and(|r| !r.is_empty() && r.chars().all(|c| c.is_ascii_alphanumeric()))
}

fn publish(out: BufWriter<Out>, target: &Path) -> io::Result<()> {
    let Out::Temporary(file) = out.into_inner().map_err(io::IntoInnerError::into_error)? else {
        return Ok(());
    };
    file.file.sync_all()?;
    file.persist(target)?;
    if let (true, Some(parent)) = (cfg!(unix), target.parent())
        && let Ok(directory) = File::open(parent)
    {
        // Not every file system can synchronize a directory.
        let _ = directory.sync_all();
    }
    Ok(())
}

/// The error for a file that couldn't be written.
#[must_use]
pub fn write_error(path: &Path, error: &io::Error) -> Error {
    Error::failed(format!("cannot write {}: {error}", path.display()))
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.as_file().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.as_file().flush()
    }
}

impl Seek for Out {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.as_file().seek(to)
    }
}

impl Out {
    fn as_file(&self) -> &File {
        match self {
            Out::Temporary(temporary) => &temporary.file,
            Out::Direct(file) => file,
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

/// Writes a whole file atomically, as an [`AtomicFile`].
///
/// # Errors
/// When it can't be created, written or renamed.
pub fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    let mut file = AtomicFile::create(path)?;
    write(&mut file).map_err(|e| write_error(path, &e))?;
    file.commit()
}

/// A new anonymous file in the cache directory, or in the system's temporary directory where there is none. It
/// is removed with its last handle, however the process ends. Also returns the directory, for error messages.
///
/// # Errors
/// When it can't be created.
pub fn passing_file() -> Result<(File, PathBuf)> {
    let directory = cache_directory().unwrap_or_else(std::env::temp_dir);
    let create = || {
        fs::create_dir_all(&directory)?;
        #[cfg(feature = "data")]
        return tempfile::tempfile_in(&directory);
        #[cfg(not(feature = "data"))]
        return nameless_in(&directory);
    };
    match create() {
        Ok(file) => Ok((file, directory)),
        Err(error) => Err(write_error(&directory, &error)),
    }
}

/// A new file in a directory, which only its owner may read, and which is removed with its last handle.
#[cfg(any(test, not(feature = "data")))]
fn nameless_in(directory: &Path) -> io::Result<File> {
    let path = directory.join(format!(".wgrad.{}{SUFFIX}", random_letters()));
    let mut options = File::options();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // FILE_FLAG_DELETE_ON_CLOSE
    #[cfg(windows)]
    std::os::windows::fs::OpenOptionsExt::custom_flags(&mut options, 0x0400_0000);
    let file = options.open(&path)?;
    #[cfg(unix)]
    fs::remove_file(&path)?;
    Ok(file)
}

/// The directory of this program's cache: that of `WGRAD_CACHE_DIR`, else a subdirectory of the user's cache
/// directory.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_write_the_same_file_leave_one_of_their_versions_whole() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("model");
        let versions: Vec<Vec<u8>> = (0..4).map(|n| vec![n; 300_000 + usize::from(n)]).collect();
        for _ in 0..20 {
            std::thread::scope(|scope| {
                for bytes in &versions {
                    scope.spawn(|| write_atomically(&path, |out| out.write_all(bytes)).unwrap());
                }
            });
            assert!(versions.contains(&fs::read(&path).unwrap()));
            assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "nothing else is left");
        }
    }

    #[test]
    fn a_file_that_is_given_up_leaves_the_one_before_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("model");
        fs::write(&path, "before").unwrap();
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_all(b"after").unwrap();
        let names = || -> Vec<String> {
            let entries = fs::read_dir(place.path()).unwrap();
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
        };
        let temporary: Vec<String> = names().into_iter().filter(|n| n != "model").collect();
        assert!(
            matches!(&temporary[..], [name] if is_temporary_of(name, "model")),
            "{temporary:?}"
        );
        drop(file);
        assert_eq!(
            (names(), fs::read_to_string(&path).unwrap()),
            (vec!["model".into()], "before".into())
        );
        for foreign in ["model.tmp", ".model..tmp", ".model.a b.tmp", ".other.x.tmp", ".model.x"] {
            assert!(!is_temporary_of(foreign, "model"), "{foreign}");
        }
        assert!(is_temporary_of(".model.4711.tmp", "model"), "as older versions named it");
    }

    /// A link that waits under the name that the temporary file had before, with the process's number.
    #[cfg(unix)]
    #[test]
    fn no_file_behind_a_link_under_a_guessed_name_is_written() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let place = tempfile::tempdir().unwrap();
        let (victim, path) = (place.path().join("victim"), place.path().join("model"));
        fs::write(&victim, "precious").unwrap();
        let guessed = place.path().join(format!(".model.{}.tmp", std::process::id()));
        symlink(&victim, &guessed).unwrap();
        write_atomically(&path, |out| out.write_all(b"weights")).unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        assert_eq!(fs::read_to_string(&path).unwrap(), "weights");
        assert!(guessed.is_symlink());
        // Others may read a model as they may any new file.
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&victim));
    }

    #[test]
    fn an_error_names_the_file_that_was_asked_for_and_no_temporary_one() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("none/model.csv");
        let error = write_atomically(&path, |_| Ok(())).unwrap_err().to_string();
        let system = fs::read(&path).unwrap_err();
        assert_eq!(error, format!("cannot write {}: {system}", path.display()));
    }

    #[test]
    fn a_passing_file_has_no_name_that_stays() {
        let (mut file, directory) = passing_file().unwrap();
        file.write_all(b"rows").unwrap();
        file.rewind().unwrap();
        assert_eq!(io::read_to_string(&file).unwrap(), "rows");
        assert!(directory.is_dir());
        let place = tempfile::tempdir().unwrap();
        let mut file = nameless_in(place.path()).unwrap();
        file.write_all(b"rows").unwrap();
        file.rewind().unwrap();
        assert_eq!(io::read_to_string(&file).unwrap(), "rows");
        drop(file);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }
}
