//! Parquet: random access to its bytes, and the headers of its pages, whose sizes are checked before the
//! decoder uses them.

use crate::data::streams::random_access::{Place, Seekable};
use bytes::Bytes;
use parquet::basic::Compression;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::reader::{ChunkReader, Length};
use std::collections::BTreeSet;
use std::io::{self, BufReader, Read};
use std::sync::Arc;

/// The usual maximum length of a page header.
const HEADER: usize = 512;
/// The most values that may be declared with less than a bit of data each: runs of equal ones need none.
const FREE_VALUES: u64 = 1 << 26;

/// The bytes of a file.
#[derive(Clone)]
pub(super) struct Chunks(Arc<Seekable>);

impl Chunks {
    pub(super) fn new(bytes: Seekable) -> Self {
        Chunks(Arc::new(bytes))
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.0.len()
    }
}

impl ChunkReader for Chunks {
    type T = BufReader<Place>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(BufReader::new(self.0.at(start)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.0.len()) {
            return Err(ParquetError::EOF(format!("{length} bytes from {start} on, past its end")));
        }
        if let Seekable::Memory(bytes) = &*self.0 {
            let begin = start as usize;
            return Ok(Bytes::from_owner(bytes.clone()).slice(begin..begin + length));
        }
        let mut bytes = Vec::with_capacity(length);
        self.0.at(start).take(length as u64).read_to_end(&mut bytes)?;
        match bytes.len() == length {
            true => Ok(bytes.into()),
            false => Err(ParquetError::EOF(format!("{} bytes of {length}", bytes.len()))),
        }
    }
}

/// Refuses pages that exceed their column, and sizes that are impossible with any compression: the decoder
/// allocates what a header declares before it decodes. `roots` are the columns that are read.
///
/// # Errors
/// When a page is invalid, or its header is impossible.
pub(super) fn check_pages(
    chunks: &Chunks,
    metadata: &ParquetMetaData,
    roots: &BTreeSet<usize>,
) -> Result<()> {
    let schema = metadata.file_metadata().schema_descr();
    for group in metadata.row_groups() {
        for (leaf, column) in group.columns().iter().enumerate() {
            if leaf < schema.num_columns() && roots.contains(&schema.get_column_root_idx(leaf)) {
                check_column(chunks, column)?;
            }
        }
    }
    Ok(())
}

fn check_column(chunks: &Chunks, column: &ColumnChunkMetaData) -> Result<()> {
    let lie = |what: &str| {
        let name = column.column_descr().name();
        ParquetError::General(format!("{what} in the column {name} is impossible"))
    };
    let size = |size: i64| u64::try_from(size).map_err(|_| lie("an offset"));
    let begin = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
    let (begin, length) = (size(begin)?, size(column.compressed_size())?);
    let end = begin.checked_add(length).filter(|end| *end <= chunks.len());
    let end = end.ok_or_else(|| ParquetError::EOF("a column past its end".into()))?;
    let values = size(column.num_values())?;
    let (mut place, mut seen) = (begin, 0);
    while place < end && seen < values {
        let header = BufReader::with_capacity(HEADER, chunks.0.at(place));
        let (page, length) = Page::read(header)?;
        let (packed, unpacked) = (size(page.packed)?, size(page.unpacked)?);
        place = place.saturating_add(length).saturating_add(packed);
        if place > end {
            return Err(ParquetError::EOF("a page past the end of its column".into()));
        }
        let most = match column.compression() {
            Compression::UNCOMPRESSED => packed,
            // 64 bytes from an element of three.
            Compression::SNAPPY => packed.saturating_mul(22),
            // A run of 255 bytes for each byte of its length.
            Compression::LZ4 | Compression::LZ4_RAW => packed.saturating_mul(255),
            // A run of 258 bytes in 2 bits.
            Compression::GZIP(_) => packed.saturating_mul(1032),
            // A block of 128 KiB in 4 bytes.
            Compression::ZSTD(_) => packed.saturating_mul(1 << 15),
            _ => u64::MAX,
        };
        if unpacked > most.max(64) {
            return Err(lie("the size of a page"));
        }
        let values = size(page.values)?;
        let most = match page.is_dictionary {
            true => unpacked.saturating_mul(8),
            false => unpacked.saturating_mul(8).max(FREE_VALUES),
        };
        if values > most {
            return Err(lie("the number of values of a page"));
        }
        if !page.is_dictionary {
            seen = seen.saturating_add(values);
        }
        if let Ok(room) = usize::try_from(unpacked) {
            let reserved = Vec::<u8>::new().try_reserve_exact(room);
            reserved.map_err(|e| ParquetError::General(format!("{room} bytes: {e}")))?;
        }
    }
    Ok(())
}

/// The content of a page's header.
#[derive(Default)]
struct Page {
    /// The number of bytes in the file.
    packed: i64,
    /// The number of bytes after decompression.
    unpacked: i64,
    values: i64,
    is_dictionary: bool,
}

impl Page {
    /// The header, and its length.
    fn read(reader: impl Read) -> Result<(Self, u64)> {
        let mut compact = Compact { reader, length: 0 };
        let mut page = Page::default();
        compact.fields(|compact, id, of| match id {
            2 => compact.zigzag().map(|size| page.unpacked = size),
            3 => compact.zigzag().map(|size| page.packed = size),
            // The header of a data page, a dictionary page, or a data page of version 2.
            5 | 7 | 8 if of == STRUCT => {
                page.is_dictionary = id == 7;
                compact.fields(|compact, id, of| match id {
                    1 => compact.zigzag().map(|count| page.values = count),
                    _ => compact.skip(of, 0),
                })
            }
            _ => compact.skip(of, 0),
        })?;
        Ok((page, compact.length))
    }
}

/// The type of a struct in Thrift's compact protocol.
const STRUCT: u8 = 12;
/// The deepest nesting of structs.
const DEPTH: usize = 16;

/// Thrift's compact protocol, in which Parquet's headers are written:
/// <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>.
struct Compact<R> {
    reader: R,
    /// The number of bytes that were read.
    length: u64,
}

impl<R: Read> Compact<R> {
    /// Visits each field of a struct: its number and its type.
    fn fields(
        &mut self,
        mut take: impl FnMut(&mut Self, i64, u8) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut id = 0i64;
        loop {
            let byte = self.byte()?;
            if byte == 0 {
                return Ok(());
            }
            id = match byte >> 4 {
                0 => self.zigzag()?,
                step => id.saturating_add(step.into()),
            };
            take(self, id, byte & 0xF)?;
        }
    }

    /// Skips a value of that type.
    fn skip(&mut self, of: u8, depth: usize) -> io::Result<()> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        if depth > DEPTH {
            return Err(invalid());
        }
        match of {
            // The value of a boolean is in its type.
            1 | 2 => Ok(()),
            3 => self.bytes(1),
            4..=6 => self.varint().map(|_| ()),
            7 => self.bytes(8),
            8 => self.varint().and_then(|length| self.bytes(length)),
            // Lists and sets.
            9 | 10 => {
                let byte = self.byte()?;
                let count = if byte >> 4 == 15 { self.varint()? } else { (byte >> 4).into() };
                (0..count).try_for_each(|_| self.element(byte & 0xF, depth))
            }
            // Maps.
            11 => {
                let count = self.varint()?;
                let types = if count == 0 { 0 } else { self.byte()? };
                (0..count).try_for_each(|_| {
                    self.element(types >> 4, depth)?;
                    self.element(types & 0xF, depth)
                })
            }
            STRUCT => self.fields(|compact, _, of| compact.skip(of, depth + 1)),
            _ => Err(invalid()),
        }
    }

    /// Skips a value in a list, in which a boolean takes a byte.
    fn element(&mut self, of: u8, depth: usize) -> io::Result<()> {
        if matches!(of, 1 | 2) { self.bytes(1) } else { self.skip(of, depth + 1) }
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.reader.read_exact(&mut byte)?;
        self.length += 1;
        Ok(byte[0])
    }

    fn bytes(&mut self, count: u64) -> io::Result<()> {
        let read = io::copy(&mut self.reader.by_ref().take(count), &mut io::sink())?;
        self.length += read;
        if read < count { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    fn varint(&mut self) -> io::Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(io::ErrorKind::InvalidData.into())
    }

    fn zigzag(&mut self) -> io::Result<i64> {
        self.varint().map(|n| (n >> 1) as i64 ^ -((n & 1) as i64))
    }
}
