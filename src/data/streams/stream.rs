//! The bytes of a file, decompressed from gzip or zstd, and the format of the file.

use super::archive::Entry;
use super::random_access::{FileAt, Seekable};
use crate::base::atomic::{passing_file, write_error};
use crate::base::error::{Error, Result};
use crate::data::columns::frame::Frame;
use crate::data::formats::json_lines::JsonTable;
use flate2::bufread::MultiGzDecoder;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The number of bytes at the beginning that are kept for recognizing the format.
const HEAD: u64 = 1 << 16;

/// A compressed file that needs random access may decompress to this many times its
/// size, or to [`UNPACKED`] bytes: more counts as an attack. The result is stored on disk, so that
/// the limit doesn't depend on the memory.
const UNPACKED_RATIO: u64 = 100;
const UNPACKED: u64 = 256 << 20;

/// The largest compression ratio of Deflate (a run of 258 bytes in 2 bits).
const DEFLATE_RATIO: u64 = 1032;

/// A source of bytes that can be opened repeatedly.
#[derive(Debug, Clone)]
pub(in crate::data) enum Source {
    /// A file.
    File(PathBuf),
    /// Bytes in memory, and their name.
    Memory(PathBuf, Arc<[u8]>),
    /// Bytes in a temporary file, and their name.
    Spooled(PathBuf, Arc<File>),
    /// A file in a zip file, and its name.
    Entry(PathBuf, Arc<Entry>),
    /// The rows of arrays, which are in memory already, and the name of their file.
    Rows(PathBuf, Arc<Frame>),
    /// Objects in JSON.
    Json(Arc<JsonTable>),
}

/// Input that can be read only once is stored in a file if it is larger than this.
pub(super) const HELD: u64 = 32 << 20;

/// Input that can be read only once, such as standard input or a pipe, stored so that it can be opened again
/// with the same handle. Clones are the same handle; the stored input is removed with the last of them.
#[derive(Debug, Clone, Default)]
pub struct Pipes(Arc<Mutex<BTreeMap<PathBuf, Slot>>>);

/// The slot of one pipe, locked while this pipe is read.
type Slot = Arc<Mutex<Option<Source>>>;

impl Pipes {
    fn slot(&self, path: &Path) -> Slot {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(path.to_path_buf()).or_default().clone()
    }
}

impl Source {
    /// The source of a path: a file, or input that can be read only once, such as a pipe, stored by `pipes` in
    /// memory or, if it is larger, in a file; `-` is standard input.
    ///
    /// # Errors
    /// When it can't be read, or the disk is full.
    pub(in crate::data) fn of(path: &Path, pipes: &Pipes) -> Result<Self> {
        let is_standard_input = path == Path::new("-");
        if !is_standard_input && fs::metadata(path).is_ok_and(|m| m.is_file()) {
            return Ok(Source::File(path.to_path_buf()));
        }
        let slot = pipes.slot(path);
        let mut kept = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = &*kept {
            return Ok(source.clone());
        }
        let source = match is_standard_input {
            true => Self::kept(Path::new("stdin"), io::stdin().lock(), HELD),
            false => {
                let file = File::open(path).map_err(|e| Error::io("read", path, &e))?;
                Self::kept(path, file, HELD)
            }
        }?;
        Ok(kept.insert(source).clone())
    }

    /// Stores input that can be read only once: up to `held` bytes in memory.
    pub(in crate::data) fn kept(name: &Path, mut reader: impl Read, held: u64) -> Result<Self> {
        let fail = |e: io::Error| read_error(name, &e);
        let mut bytes = Vec::new();
        reader.by_ref().take(held).read_to_end(&mut bytes).map_err(fail)?;
        if (bytes.len() as u64) < held {
            return Ok(Source::Memory(name.to_path_buf(), bytes.into()));
        }
        let (mut file, path) = passing_file()?;
        let full = |e: io::Error| {
            write_error(&path, &e).help("large input from a pipe or a compressed file is stored on disk: free some space, or set WGRAD_CACHE_DIR to another directory")
        };
        file.write_all(&bytes).map_err(full)?;
        loop {
            bytes.clear();
            reader.by_ref().take(1 << 20).read_to_end(&mut bytes).map_err(fail)?;
            if bytes.is_empty() {
                return Ok(Source::Spooled(name.to_path_buf(), Arc::new(file)));
            }
            file.write_all(&bytes).map_err(full)?;
        }
    }

    /// The decompressed bytes, if the whole file is compressed: in memory, or if there are
    /// more of them, in a temporary file.
    ///
    /// # Errors
    /// When they can't be read or decompressed, when they become more than 100 times as many (and more than 256
    /// MiB), and when the disk is full.
    pub(in crate::data) fn unpacked(&self) -> Result<Source> {
        self.unpacked_to(UNPACKED)
    }

    /// As [`Source::unpacked`], where `least` bytes are allowed at any ratio.
    fn unpacked_to(&self, least: u64) -> Result<Source> {
        let stream = self.open()?;
        let in_zip = if let Source::Entry(_, entry) = self { entry.packed() } else { None };
        let Some(packed) = stream.packed.or(in_zip) else { return Ok(self.clone()) };
        let most = packed.saturating_mul(UNPACKED_RATIO).max(least);
        let unpacked = Self::kept(self.path(), stream.into_reader().take(most + 1), HELD)?;
        if unpacked.seekable()?.len() > most {
            return Err(Error::data(format!(
                "the file unpacks to more than {} MiB, the larger of 256 MiB and {UNPACKED_RATIO} times its size",
                most >> 20
            ))
            .at(self.path().display())
            .help("if this is expected, unpack it yourself"));
        }
        Ok(unpacked)
    }

    /// The bytes of the file, without decompression, with random access.
    ///
    /// # Errors
    /// When the file can't be opened.
    pub(in crate::data) fn seekable(&self) -> Result<Seekable> {
        let fail = |e: io::Error| Error::io("open", self.path(), &e);
        match self {
            Source::File(path) => File::open(path).map(Arc::new).and_then(Seekable::file),
            Source::Memory(_, bytes) => Ok(Seekable::Memory(bytes.clone())),
            Source::Spooled(_, file) => Seekable::file(file.clone()),
            Source::Entry(path, entry) => {
                return Self::kept(path, entry.open()?.0, HELD)?.seekable();
            }
            Source::Rows(..) | Source::Json(_) => return Err(no_bytes(self.path())),
        }
        .map_err(fail)
    }

    /// Notes about how it is read, or about parts that aren't read.
    pub(in crate::data) fn notes(&self) -> Vec<String> {
        match self {
            Source::Entry(path, _) => {
                vec![format!("note: {} is read from the zip file", path.display())]
            }
            Source::Json(table) => table.notes(),
            _ => Vec::new(),
        }
    }

    /// The path, for errors and for names.
    pub(in crate::data) fn path(&self) -> &Path {
        match self {
            Source::File(path)
            | Source::Memory(path, _)
            | Source::Spooled(path, _)
            | Source::Entry(path, _)
            | Source::Rows(path, _) => path,
            Source::Json(table) => table.path(),
        }
    }

    /// The bytes from the first one on.
    ///
    /// # Errors
    /// When the file can't be opened.
    pub(in crate::data) fn open(&self) -> Result<ByteStream> {
        match self {
            Source::File(path) => ByteStream::open(path),
            Source::Memory(path, bytes) => {
                let len = bytes.len() as u64;
                ByteStream::new(path, Cursor::new(bytes.clone()), Some(len))
            }
            Source::Spooled(path, file) => {
                let len = file.metadata().map_err(|e| Error::io("read", path, &e))?.len();
                ByteStream::new(path, FileAt(file.clone(), 0), Some(len))
            }
            Source::Entry(path, entry) => {
                let (bytes, len) = entry.open()?;
                ByteStream::new(path, bytes, Some(len))
            }
            Source::Rows(..) | Source::Json(_) => Err(no_bytes(self.path())),
        }
    }
}

/// The error for requesting the bytes of a source of rows.
fn no_bytes(path: &Path) -> Error {
    Error::failed("a source of rows has no bytes").at(path.display())
}

/// The error for a zip file that can't be read.
pub(in crate::data) fn damaged_zip(error: &dyn std::fmt::Display) -> Error {
    Error::data(format!("the zip file is truncated or damaged: {error}"))
        .help("copy or download it again; `unzip -t` tests it")
}

/// An open file: its beginning, and the unread rest, both decompressed.
pub(in crate::data) struct ByteStream {
    path: PathBuf,
    head: Vec<u8>,
    rest: Box<dyn Read>,
    /// The number of compressed bytes, if the file is compressed.
    packed: Option<u64>,
    /// The number of bytes, if known without reading them.
    exact: Option<u64>,
    /// An upper bound of the number of bytes, if known.
    most: Option<u64>,
}

impl ByteStream {
    /// Opens a file; gzip and zstd are recognized by their first bytes, not by the name.
    ///
    /// # Errors
    /// When there is no such file, it is a directory, or its beginning can't be read.
    pub(in crate::data) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io("open", path, &e))?;
        let metadata = file.metadata().map_err(|e| Error::io("open", path, &e))?;
        if metadata.is_dir() {
            return Err(
                Error::data(format!("{} is a directory", path.display())).help("give a file in it")
            );
        }
        // A pipe has no length.
        Self::new(path, file, metadata.is_file().then_some(metadata.len()))
    }

    /// The stream of `raw`, of `len` bytes if that is known; `path` is for errors.
    fn new(path: &Path, mut raw: impl Read + 'static, len: Option<u64>) -> Result<Self> {
        let mut magic = Vec::new();
        raw.by_ref().take(4).read_to_end(&mut magic).map_err(|e| Error::io("read", path, &e))?;
        let is_gzip = magic.starts_with(&[0x1F, 0x8B]);
        let is_zstd = magic == [0x28, 0xB5, 0x2F, 0xFD];
        let raw = Cursor::new(magic).chain(raw);
        let rest: Box<dyn Read> = match (is_gzip, is_zstd) {
            (true, _) => Box::new(MultiGzDecoder::new(BufReader::with_capacity(1 << 16, raw))),
            (_, true) => {
                let decoder = zstd::Decoder::new(raw).map_err(|e| Error::io("read", path, &e))?;
                Box::new(decoder)
            }
            _ => Box::new(raw),
        };
        let mut stream = ByteStream {
            path: path.to_path_buf(),
            head: Vec::new(),
            rest,
            // Unknown for a pipe.
            packed: (is_gzip || is_zstd).then_some(len.unwrap_or(0)),
            exact: len.filter(|_| !is_gzip && !is_zstd),
            most: match (is_gzip, is_zstd) {
                (true, _) => len.map(|n| n.saturating_mul(DEFLATE_RATIO)),
                (_, true) => None,
                _ => len,
            },
        };
        let mut head = Vec::new();
        (&mut stream.rest).take(HEAD).read_to_end(&mut head).map_err(|e| stream.error(&e))?;
        stream.head = head;
        Ok(stream)
    }

    /// The path, for errors.
    pub(in crate::data) fn path(&self) -> &Path {
        &self.path
    }

    /// The first bytes: the whole file if it is short.
    pub(in crate::data) fn head(&self) -> &[u8] {
        &self.head
    }

    /// The number of bytes, if known without reading them.
    pub(in crate::data) fn exact_len(&self) -> Option<u64> {
        self.exact
    }

    /// An upper bound of the number of bytes, if known.
    pub(in crate::data) fn most_bytes(&self) -> Option<u64> {
        self.most
    }

    /// All the bytes from the first one on.
    pub(in crate::data) fn into_reader(self) -> impl Read {
        Cursor::new(self.head).chain(self.rest)
    }

    fn error(&self, error: &io::Error) -> Error {
        read_error(&self.path, error)
    }
}

/// The error for a file whose bytes couldn't be read or decompressed.
pub(in crate::data) fn read_error(path: &Path, error: &io::Error) -> Error {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    // With these three kinds the decompressor reports invalid compressed bytes.
    match error.kind() {
        InvalidData | InvalidInput | UnexpectedEof => {
            Error::data("the compressed file is truncated or damaged")
                .at(format!("{} ({error})", path.display()))
                .help("copy or download it again; `gzip -t` tests it")
        }
        _ => Error::io("read", path, error),
    }
}

/// The name of a data set that comes from `path`: the file name without its extensions.
pub(in crate::data) fn set_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let name = name.strip_suffix(".gz").or(name.strip_suffix(".zst")).unwrap_or(&name);
    match name.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem.to_string(),
        _ => name.to_string(),
    }
}

#[cfg(test)]
pub(in crate::data) mod tests;
