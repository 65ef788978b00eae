//! Bytes with random access: of a file or in memory.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::sync::Arc;

/// Bytes with random access.
pub(in crate::data) enum Seekable {
    /// A file, and its size in bytes.
    File(Arc<File>, u64),
    /// Memory.
    Memory(Arc<[u8]>),
}

impl Seekable {
    pub(super) fn file(file: Arc<File>) -> io::Result<Self> {
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

    /// The bytes from that position on.
    pub(in crate::data) fn at(&self, place: u64) -> Place {
        match self {
            Seekable::File(file, _) => Place::File(FileAt(file.clone(), place)),
            Seekable::Memory(bytes) => {
                let mut bytes = Cursor::new(bytes.clone());
                bytes.set_position(place);
                Place::Memory(bytes)
            }
        }
    }
}

/// A reader from a position on.
pub(in crate::data) enum Place {
    File(FileAt),
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
        let FileAt(file, place) = match self {
            Place::File(file) => file,
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

/// A reader of a file with its own position, independent of other readers.
pub(in crate::data) struct FileAt(pub(super) Arc<File>, pub(super) u64);

impl Read for FileAt {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let FileAt(file, place) = self;
        #[cfg(unix)]
        let read = std::os::unix::fs::FileExt::read_at(&**file, bytes, *place)?;
        #[cfg(windows)]
        let read = std::os::windows::fs::FileExt::seek_read(&**file, bytes, *place)?;
        *place += read as u64;
        Ok(read)
    }
}
