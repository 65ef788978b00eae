//! The files that wgrad itself wrote in a run directory: only these may be removed, and no link is followed.

use super::names::{CHECKPOINTS, COLUMNS, CONFIG, EVENTS, FOLD, MODEL, NET, TABLE};

use crate::base::atomic::is_temporary_of;
use crate::base::error::{Error, Result};
use crate::files::checkpoint::is_checkpoint;
use crate::files::config::IN_RUN;
use crate::observe::tensorboard::is_event_file;
use crate::report::{self, card};
use std::fs::{self, DirEntry, File};
use std::io;
use std::path::{Path, PathBuf};

/// The files of a run.
const FILES: [&str; 10] = [
    CONFIG,
    COLUMNS,
    EVENTS,
    TABLE,
    MODEL,
    crate::cli::runs::names::LINEAR,
    report::HTML,
    report::JSON,
    "folds.json",
    crate::cli::runs::names::OUT_OF_FOLD,
];

/// The files and directories of the run in a directory, as relative paths, each directory after its
/// contents; or the first that wgrad didn't write: one with another name, or a link.
///
/// # Errors
/// When a directory can't be read.
pub(in crate::cli) fn own_files(
    run: &Path,
) -> io::Result<std::result::Result<Vec<PathBuf>, PathBuf>> {
    let mut own = Vec::new();
    Ok(collect(run, Path::new(""), false, &mut own)?.map_or(Ok(own), Err))
}

/// Collects those of a run, or of one of its folds or nets; returns the first foreign one.
fn collect(
    run: &Path,
    within: &Path,
    is_fold: bool,
    own: &mut Vec<PathBuf>,
) -> io::Result<Option<PathBuf>> {
    for (name, entry) in sorted(&run.join(within))? {
        let path = within.join(&name);
        let kind = entry.file_type()?;
        let is_own = match (kind.is_file(), kind.is_dir()) {
            // A card that was edited belongs to the user.
            (true, _) if name == card::CARD => card::is_own(&run.join(&path)),
            (true, _) if is_temporary_of(&name, card::CARD) => true,
            (true, _) => FILES.iter().any(|file| name == *file || is_temporary_of(&name, file)),
            (_, true) if name == CHECKPOINTS || name == IN_RUN => {
                let is_own = if name == IN_RUN { is_event_file } else { is_checkpoint };
                for (file, entry) in sorted(&run.join(&path))? {
                    let path = path.join(&file);
                    if !entry.file_type()?.is_file() || !is_own(&file) {
                        return Ok(Some(path));
                    }
                    own.push(path);
                }
                true
            }
            (_, true) if !is_fold && is_part_name(&name) => {
                let foreign = collect(run, &path, true, own)?;
                if foreign.is_some() {
                    return Ok(foreign);
                }
                true
            }
            _ => false,
        };
        if !is_own {
            return Ok(Some(path));
        }
        own.push(path);
    }
    Ok(None)
}

/// The entries of a directory by their names, in order.
fn sorted(directory: &Path) -> io::Result<Vec<(String, DirEntry)>> {
    let named = |entry: DirEntry| (entry.file_name().to_string_lossy().into_owned(), entry);
    let entries = fs::read_dir(directory)?.map(|entry| entry.map(named));
    let mut all: Vec<(String, DirEntry)> = entries.collect::<io::Result<_>>()?;
    all.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(all)
}

/// Whether a directory of this name is that of a fold or a net.
pub(super) fn is_part_name(name: &str) -> bool {
    let digits = [FOLD, NET].into_iter().find_map(|before| name.strip_prefix(before));
    let digits = digits.unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Replaces a run by an empty directory; the old run is removed only once the new directory exists. Files
/// added to the old one since it was checked are kept and reported.
///
/// # Errors
/// When that fails, with the place of the old run.
pub(in crate::cli) fn replace(out: &Path) -> Result<()> {
    let fail = |e: io::Error| cannot_create(out, &e);
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    let parent = out.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    // A name that nobody can predict, so that nothing can be placed there.
    let mut builder = tempfile::Builder::new();
    let aside = builder.prefix(&format!(".{name}.")).suffix(".old").tempdir_in(parent);
    let aside = aside.map_err(fail)?.keep();
    let old = aside.join("run");
    let moved = fs::rename(out, &old).and_then(|()| {
        fs::create_dir(out).inspect_err(|_| {
            // The first error is the one to report.
            let _ = fs::rename(&old, out);
        })
    });
    if let Err(error) = moved {
        let _ = fs::remove_dir(&aside);
        return Err(fail(error));
    }
    remove(&old).and_then(|()| fs::remove_dir(&aside)).map_err(|error| {
        Error::failed(format!("cannot remove the run that was in {}: {error}", out.display()))
            .at(old.display())
            .help("check what is left there, and remove it")
    })
}

/// Removes a run, but no foreign files: if there are any, its directory stays.
fn remove(run: &Path) -> io::Result<()> {
    let own = own_files(run)?.map_err(|foreign| {
        io::Error::other(format!("{} isn't part of a run", foreign.display()))
    })?;
    for path in own.iter().map(|path| run.join(path)) {
        match path.symlink_metadata()?.is_dir() {
            true => fs::remove_dir(path)?,
            false => fs::remove_file(path)?,
        }
    }
    fs::remove_dir(run)
}

/// Whether an open file is the one at `path` itself, not the target of a link.
pub(super) fn is_in_place(file: &File, path: &Path) -> bool {
    let (Ok(open), Ok(there)) = (file.metadata(), path.symlink_metadata()) else { return false };
    #[cfg(unix)]
    let is_same = {
        use std::os::unix::fs::MetadataExt;
        (open.dev(), open.ino()) == (there.dev(), there.ino())
    };
    #[cfg(not(unix))]
    let is_same = open.is_file();
    there.is_file() && is_same
}

pub(super) fn cannot_create(path: &Path, error: &io::Error) -> Error {
    Error::failed(format!("cannot create {}: {error}", path.display()))
        .help("choose another place with --out")
}

#[cfg(test)]
mod tests {
    use super::super::run_directory::RunDirectory;
    use super::*;
    use std::io::Write;

    /// A run of two folds with checkpoints, and the directory that it lies in.
    fn run() -> (tempfile::TempDir, PathBuf) {
        let parent = tempfile::tempdir().unwrap();
        let out = parent.path().join("run");
        for part in ["", "fold-1", "fold-2"] {
            fs::create_dir_all(out.join(part).join(CHECKPOINTS)).unwrap();
            for file in [CONFIG, EVENTS, MODEL, ".model.safetensors.Ab1234.tmp"] {
                fs::write(out.join(part).join(file), "").unwrap();
            }
            for file in ["00000012.safetensors", ".00000013.safetensors.4711.tmp"] {
                fs::write(out.join(part).join(CHECKPOINTS).join(file), "").unwrap();
            }
        }
        (parent, out)
    }

    fn forced(out: &Path) -> Result<RunDirectory> {
        RunDirectory::create(Some(out), "", true)
    }

    #[test]
    fn a_run_with_its_folds_and_checkpoints_is_replaced_by_force() {
        let (parent, out) = run();
        forced(&out).unwrap();
        assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_wgrad_did_not_write_keeps_a_run_from_being_replaced() {
        for foreign in [
            "fold-notes/draft.txt",
            "fold-1/thesis.tex",
            "fold-1/fold-1/config.toml",
            "fold-3",
            "checkpoint/mine.safetensors",
            "checkpoint/x.tmp",
            "checkpoint/more/x",
            ".x.tmp",
            "model.safetensors.tmp",
        ] {
            let (parent, out) = run();
            let path = out.join(foreign);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "precious").unwrap();
            let error = forced(&out).err().unwrap();
            assert_eq!(error.kind().exit_code(), 2);
            let named = foreign.split('/').next_back().unwrap();
            let parent_name = foreign.split('/').next().unwrap();
            let text = error.to_string();
            assert!(text.contains(named) || text.contains(parent_name), "{foreign}: {text}");
            assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
            assert!(out.join(MODEL).exists(), "{foreign}: nothing is removed");
            assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
        }
    }

    #[cfg(unix)]
    #[test]
    fn nothing_behind_a_link_is_removed_or_cut() {
        use std::os::unix::fs::symlink;
        let elsewhere = tempfile::tempdir().unwrap();
        let precious = elsewhere.path().join("00000001.safetensors");
        fs::write(&precious, "precious").unwrap();
        for link in ["fold-3", "checkpoint", "model.safetensors", "metrics.jsonl"] {
            let (_parent, out) = run();
            let path = out.join(link);
            match path.is_dir() {
                true => fs::remove_dir_all(&path).unwrap(),
                false => drop(fs::remove_file(&path)),
            }
            let target = if link.contains('.') { precious.as_path() } else { elsewhere.path() };
            symlink(target, &path).unwrap();
            let error = forced(&out).err().unwrap().to_string();
            assert!(error.contains(link) && path.is_symlink(), "{error}");
            assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
        }
        let (_parent, out) = run();
        fs::remove_file(out.join(EVENTS)).unwrap();
        symlink(&precious, out.join(EVENTS)).unwrap();
        let error = RunDirectory::open(&out).unwrap().metrics_again().err().unwrap();
        assert_eq!(error.kind().exit_code(), 2);
        assert!(error.to_string().contains("metrics.jsonl"), "{error}");
        // Nor is a file made behind a link that leads nowhere.
        fs::remove_file(out.join(EVENTS)).unwrap();
        symlink(elsewhere.path().join("new"), out.join(EVENTS)).unwrap();
        assert!(RunDirectory::open(&out).unwrap().metrics_again().is_err());
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1);
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    }

    #[test]
    fn the_events_of_a_run_are_gone_on_with_or_begun() {
        let (_parent, out) = run();
        for text in ["one\n", "one\none\n"] {
            let directory = RunDirectory::open(&out).unwrap();
            directory.metrics_again().unwrap().write_all(b"one\n").unwrap();
            assert_eq!(fs::read_to_string(out.join(EVENTS)).unwrap(), text);
        }
        fs::remove_file(out.join(EVENTS)).unwrap();
        RunDirectory::open(&out).unwrap().metrics_again().unwrap();
        assert!(out.join(EVENTS).is_file());
    }
}
