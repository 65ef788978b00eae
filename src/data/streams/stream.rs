//! The bytes of a file, decompressed where they are gzip or zstd, and what kind of file they are.

use super::archive::Entry;
use crate::base::atomic::{passing_file, write_error};
use crate::base::error::{Error, Result};
use crate::data::columns::frame::Frame;
use crate::data::formats::json_lines::JsonTable;
use flate2::bufread::MultiGzDecoder;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// How much of the beginning is held for finding out what the file is.
const HEAD: u64 = 1 << 16;

/// A file that is compressed as a whole, and must be read at any place, may become this many times as
/// large, or [`UNPACKED`] bytes: what unpacks to more is taken for an attack. It goes to a disk, so that
/// the bound doesn't depend on the memory.
const UNPACKED_RATIO: u64 = 100;
const UNPACKED: u64 = 256 << 20;

/// Deflate makes nothing smaller than this fraction (a run of 258 bytes in 2 bits).
const DEFLATE_RATIO: u64 = 1032;

/// Where bytes come from, again and again.
#[derive(Debug, Clone)]
pub(in crate::data) enum Source {
    /// A file.
    File(PathBuf),
    /// Bytes in memory, and the name that they go by.
    Memory(PathBuf, Arc<[u8]>),
    /// Bytes in a file of our own, and the name that they go by.
    Spooled(PathBuf, Arc<File>),
    /// A file in a zip file, and its name.
    Entry(PathBuf, Arc<Entry>),
    /// The rows of arrays, which are in memory already, and the name of their file.
    Rows(PathBuf, Arc<Frame>),
    /// Objects in JSON.
    Json(Arc<JsonTable>),
}

/// Of what comes only once more than this goes to a file.
pub(super) const HELD: u64 = 32 << 20;

/// What comes only once, such as standard input or a pipe, kept for whoever opens it again by the same
/// handle. Clones are the same handle; what it keeps goes away with the last of them.
#[derive(Debug, Clone, Default)]
pub struct Pipes(Arc<Mutex<BTreeMap<PathBuf, Slot>>>);

/// The place of one pipe; it is locked while the pipe is read, and no other is.
type Slot = Arc<Mutex<Option<Source>>>;

impl Pipes {
    fn slot(&self, path: &Path) -> Slot {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(path.to_path_buf()).or_default().clone()
    }
}

impl Source {
    /// The source of a path: a file, or what comes only once, such as a pipe, kept by `pipes` in memory
    /// or, where there is more of it, in a file; `-` is standard input.
    ///
    /// # Errors
    /// When it can't be read, or a disk is full.
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

    /// Keeps what comes only once: up to `held` bytes of it in memory.
    pub(in crate::data) fn kept(name: &Path, mut reader: impl Read, held: u64) -> Result<Self> {
        let fail = |e: io::Error| read_error(name, &e);
        let mut bytes = Vec::new();
        reader.by_ref().take(held).read_to_end(&mut bytes).map_err(fail)?;
        if (bytes.len() as u64) < held {
            return Ok(Source::Memory(name.to_path_buf(), bytes.into()));
        }
        let (mut file, path) = passing_file()?;
        let full = |e: io::Error| {
            write_error(&path, &e).help("what comes from a pipe, or is compressed as a whole, is kept on disk where it is large: make room, or name another directory in WGRAD_CACHE_DIR")
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

    /// The bytes once decompressed, where they are compressed as a whole: in memory, or where there are
    /// more of them in a file of our own.
    ///
    /// # Errors
    /// When they can't be read or decompressed, when they become more than 100 times as many (and 256
    /// MiB), and when a disk is full.
    pub(in crate::data) fn unpacked(&self) -> Result<Source> {
        self.unpacked_to(UNPACKED)
    }

    /// As [`Source::unpacked`], where `least` bytes are allowed whatever the ratio.
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
            .help("unpack it yourself, if it is what it should be"));
        }
        Ok(unpacked)
    }

    /// The bytes as they stand, to be read at any place.
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

    /// What is good to know of how it is read, or that something of it isn't read.
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
                ByteStream::new(path, From(file.clone(), 0), Some(len))
            }
            Source::Entry(path, entry) => {
                let (bytes, len) = entry.open()?;
                ByteStream::new(path, bytes, Some(len))
            }
            Source::Rows(..) | Source::Json(_) => Err(no_bytes(self.path())),
        }
    }
}

/// The error for asking for the bytes of what is rows already.
fn no_bytes(path: &Path) -> Error {
    Error::failed("rows were asked for their bytes").at(path.display())
}

/// The error for a zip file that can't be read.
pub(in crate::data) fn damaged_zip(error: &dyn std::fmt::Display) -> Error {
    Error::data(format!("the zip file is cut short or damaged: {error}"))
        .help("copy or download it again; `unzip -t` tests it")
}

/// Bytes that can be read at any place.
pub(in crate::data) enum Seekable {
    /// A file, and how many bytes it has.
    File(Arc<File>, u64),
    /// Memory.
    Memory(Arc<[u8]>),
}

impl Seekable {
    fn file(file: Arc<File>) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Seekable::File(file, len))
    }

    /// The number of bytes.
    pub(in crate::data) fn len(&self) -> u64 {
        match self {
            Seekable::File(_, len) => *len,
            Seekable::Memory(bytes) => bytes.len() as u64,
        }
    }

    /// The bytes from that place on.
    pub(in crate::data) fn at(&self, place: u64) -> Place {
        match self {
            Seekable::File(file, _) => Place::File(From(file.clone(), place)),
            Seekable::Memory(bytes) => {
                let mut bytes = Cursor::new(bytes.clone());
                bytes.set_position(place);
                Place::Memory(bytes)
            }
        }
    }
}

/// Reads from a place on.
pub(in crate::data) enum Place {
    File(From),
    Memory(Cursor<Arc<[u8]>>),
}

impl Read for Place {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Place::File(file) => file.read(bytes),
            Place::Memory(memory) => memory.read(bytes),
        }
    }
}

impl Seek for Place {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let From(file, place) = match self {
            Place::File(from) => from,
            Place::Memory(bytes) => return bytes.seek(to),
        };
        let (base, offset) = match to {
            SeekFrom::Start(place) => (place, 0),
            SeekFrom::Current(offset) => (*place, offset),
            SeekFrom::End(offset) => (file.metadata()?.len(), offset),
        };
        *place = base.checked_add_signed(offset).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(*place)
    }
}

/// Reads a file from a place of its own on, whoever else reads it.
pub(in crate::data) struct From(Arc<File>, u64);

impl Read for From {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let From(file, place) = self;
        #[cfg(unix)]
        let read = std::os::unix::fs::FileExt::read_at(&**file, bytes, *place)?;
        #[cfg(windows)]
        let read = std::os::windows::fs::FileExt::seek_read(&**file, bytes, *place)?;
        *place += read as u64;
        Ok(read)
    }
}

/// An open file: its beginning, and the rest still to be read, both decompressed.
pub(in crate::data) struct ByteStream {
    path: PathBuf,
    head: Vec<u8>,
    rest: Box<dyn Read>,
    /// The number of bytes as they are compressed, where they are.
    packed: Option<u64>,
    /// The number of bytes, where it is known without reading them.
    exact: Option<u64>,
    /// A number of bytes that there can't be more of, where one is known.
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
                Error::data(format!("{} is a directory", path.display())).help("name a file in it")
            );
        }
        // A pipe has no length to go by.
        Self::new(path, file, metadata.is_file().then_some(metadata.len()))
    }

    /// The stream of `raw`, of `len` bytes where that is known; `path` is for errors.
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
            // Of a pipe nobody knows.
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

    /// The first bytes: the whole file where it is short.
    pub(in crate::data) fn head(&self) -> &[u8] {
        &self.head
    }

    /// The number of bytes, where it is known without reading them.
    pub(in crate::data) fn exact_len(&self) -> Option<u64> {
        self.exact
    }

    /// A number of bytes that there can't be more of, where one is known.
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
    // These three are how the decompressor says that the compressed bytes are wrong.
    match error.kind() {
        InvalidData | InvalidInput | UnexpectedEof => {
            Error::data("the compressed file is cut short or damaged")
                .at(format!("{} ({error})", path.display()))
                .help("copy or download it again; `gzip -t` tests it")
        }
        _ => Error::io("read", path, error),
    }
}

/// The name of a data set that comes from `path`: the file name without its endings.
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
