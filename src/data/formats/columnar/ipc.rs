//! Arrow IPC: a stream of messages: a schema, then dictionaries and record batches. A file
//! (Feather version 2) is such a stream between magic bytes, followed by an index.
//!
//! Every length that a message declares is checked before the decoder believes it.

use super::fault::decoded;
use crate::data::formats::columnar::format::MAGIC;
use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::reader::FileDecoder;
use arrow_ipc::{Block, CompressionType, Endianness, Message, MessageHeader, MetadataVersion};
use arrow_schema::{ArrowError, SchemaRef};
use std::io::{ErrorKind, Read};
use std::sync::Arc;

type Result<T> = std::result::Result<T, ArrowError>;

/// The beginning of a message in the current version, before its length.
const CONTINUATION: [u8; 4] = [0xFF; 4];
/// The most four-byte zeros before the first message of a file.
const PADDING: usize = 14;
/// The most bytes that are reserved before any of them has been read.
const RESERVED: usize = 64 << 20;
/// The most rows that may be declared with less than a bit of data each: missing values need none.
const FREE_ROWS: u64 = 1 << 24;

/// The most bytes that a codec produces from one byte: a run of LZ4 is 255 bytes for each byte of its length, a
/// block of Zstandard 128 KiB in 4 bytes.
fn most_of_one(codec: CompressionType) -> u64 {
    match codec {
        CompressionType::LZ4_FRAME => 255,
        _ => 1 << 15,
    }
}

/// The messages of a file or a stream.
struct Messages {
    reader: Box<dyn Read>,
    is_file: bool,
    /// The most four-byte zeros before the next message.
    padding: usize,
}

/// One message: its metadata and its body.
struct Encapsulated {
    block: Block,
    buffer: Buffer,
}

impl Encapsulated {
    fn message(&self) -> Result<Message<'_>> {
        let metadata = &self.buffer[8..self.block.metaDataLength() as usize];
        arrow_ipc::root_as_message(metadata).map_err(|e| ArrowError::ParseError(e.to_string()))
    }

    fn body(&self) -> &[u8] {
        &self.buffer[self.block.metaDataLength() as usize..]
    }
}

/// The record batches of a file or a stream, each with the requested columns.
pub(super) struct Batches {
    messages: Messages,
    decoder: FileDecoder,
}

/// The schema, and the rest of the file.
pub(super) struct Opened {
    pub(super) schema: SchemaRef,
    messages: Messages,
    version: MetadataVersion,
}

impl Opened {
    /// Reads up to the schema.
    ///
    /// # Errors
    /// When there is none, or it is one that can't be read.
    pub(super) fn new(mut reader: Box<dyn Read>, is_file: bool) -> Result<Self> {
        if is_file {
            // The magic bytes are padded to eight, by some to 64.
            reader.read_exact(&mut [0; 8])?;
        }
        let padding = if is_file { PADDING } else { 0 };
        let mut messages = Messages { reader, is_file, padding };
        let none = || ArrowError::ParseError("it has no schema".into());
        let first = messages.read()?.ok_or_else(none)?;
        let message = first.message()?;
        let schema = message.header_as_schema().ok_or_else(none)?;
        if schema.endianness() != Endianness::Little {
            return Err(ArrowError::NotYetImplemented("numbers in big-endian order".into()));
        }
        let version = message.version();
        let schema = Arc::new(decoded(|| try_fb_to_schema(schema))?);
        Ok(Opened { schema, messages, version })
    }

    /// The batches with the columns at these indices.
    pub(super) fn batches(self, places: Vec<usize>) -> Batches {
        let Opened { schema, messages, version } = self;
        let decoder = FileDecoder::new(schema, version).with_projection(places);
        Batches { messages, decoder }
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.read() {
                Ok(Some(Given::Batch(batch))) => return Some(Ok(batch)),
                Ok(Some(Given::Dictionary)) => {}
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// The content of a message.
enum Given {
    Batch(RecordBatch),
    Dictionary,
}

impl Batches {
    fn read(&mut self) -> Result<Option<Given>> {
        let Some(next) = self.messages.read()? else { return Ok(None) };
        let header = next.message()?.header_type();
        check(&next)?;
        match header {
            MessageHeader::DictionaryBatch => {
                decoded(|| self.decoder.read_dictionary(&next.block, &next.buffer))?;
                Ok(Some(Given::Dictionary))
            }
            MessageHeader::RecordBatch => {
                let read = || self.decoder.read_record_batch(&next.block, &next.buffer);
                let batch = decoded(read)?;
                Ok(batch.map(Given::Batch))
            }
            MessageHeader::Tensor | MessageHeader::SparseTensor => {
                Err(ArrowError::NotYetImplemented("tensors".into()))
            }
            other => Err(ArrowError::ParseError(format!("a message of the type {other:?}"))),
        }
    }
}

impl Messages {
    /// The next message; none at the end.
    fn read(&mut self) -> Result<Option<Encapsulated>> {
        let mut word = Vec::new();
        self.reader.by_ref().take(4).read_to_end(&mut word)?;
        while word == [0; 4] && self.padding > 0 {
            self.padding -= 1;
            word.clear();
            self.reader.by_ref().take(4).read_to_end(&mut word)?;
        }
        self.padding = 0;
        if word.is_empty() && !self.is_file {
            // A stream may end after any message.
            return Ok(None);
        }
        if word == CONTINUATION {
            word.clear();
            self.reader.by_ref().take(4).read_to_end(&mut word)?;
        }
        let Ok(word) = <[u8; 4]>::try_from(word) else { return Err(cut()) };
        let length = i32::from_le_bytes(word);
        if length == 0 {
            if self.is_file {
                self.check_end()?;
            }
            return Ok(None);
        }
        let length = usize::try_from(length)
            .map_err(|_| ArrowError::ParseError(format!("a message of {length} bytes")))?;
        let mut bytes = [CONTINUATION, word].concat();
        self.append(length, &mut bytes)?;
        let message = arrow_ipc::root_as_message(&bytes[8..])
            .map_err(|e| ArrowError::ParseError(e.to_string()))?;
        let body = message.bodyLength();
        let size = usize::try_from(body)
            .map_err(|_| ArrowError::ParseError(format!("a body of {body} bytes")))?;
        let metadata = i32::try_from(bytes.len())
            .map_err(|_| ArrowError::ParseError(format!("a message of {length} bytes")))?;
        self.append(size, &mut bytes)?;
        let block = Block::new(0, metadata, body);
        Ok(Some(Encapsulated { block, buffer: Buffer::from_vec(bytes) }))
    }

    /// Appends the next `count` bytes, growing the buffer as they are read.
    fn append(&mut self, count: usize, bytes: &mut Vec<u8>) -> Result<()> {
        let room = count.min(RESERVED);
        bytes.try_reserve_exact(room).map_err(|e| ArrowError::MemoryError(e.to_string()))?;
        let read = self.reader.by_ref().take(count as u64).read_to_end(bytes)?;
        if read < count { Err(cut()) } else { Ok(()) }
    }

    /// Refuses a file without its index, for example a truncated one.
    fn check_end(&mut self) -> Result<()> {
        let mut index = Vec::new();
        self.reader.by_ref().take(RESERVED as u64).read_to_end(&mut index)?;
        let sized = index.strip_suffix(MAGIC).and_then(<[u8]>::split_last_chunk::<4>);
        match sized {
            Some((index, size)) if u32::from_le_bytes(*size) as usize <= index.len() => Ok(()),
            _ => Err(cut()),
        }
    }
}

fn cut() -> ArrowError {
    let error = std::io::Error::from(ErrorKind::UnexpectedEof);
    ArrowError::IoError("it ends within a message".into(), error)
}

/// Refuses a message whose buffers exceed its body, or that declares more rows or bytes than it can hold.
fn check(encapsulated: &Encapsulated) -> Result<()> {
    let message = encapsulated.message()?;
    let batch = match message.header_type() {
        MessageHeader::RecordBatch => message.header_as_record_batch(),
        MessageHeader::DictionaryBatch => {
            message.header_as_dictionary_batch().and_then(|dictionary| dictionary.data())
        }
        _ => return Ok(()),
    };
    let lie = |what: &str| ArrowError::ParseError(format!("{what} that is impossible"));
    let batch = batch.ok_or_else(|| lie("a message without a batch"))?;
    let body = encapsulated.body();
    let codec = batch.compression().map(|c| c.codec());
    let mut unpacked = 0u64;
    for buffer in batch.buffers().into_iter().flatten() {
        let begin = usize::try_from(buffer.offset()).map_err(|_| lie("an offset"))?;
        let length = usize::try_from(buffer.length()).map_err(|_| lie("a length"))?;
        let end = begin.checked_add(length).ok_or_else(|| lie("a length"))?;
        let bytes = body.get(begin..end).ok_or_else(|| lie("the position of a buffer"))?;
        let size = match (codec, bytes.split_first_chunk::<8>()) {
            (Some(codec), Some((size, packed))) => match i64::from_le_bytes(*size) {
                // Uncompressed.
                -1 => packed.len() as u64,
                size => {
                    let size = u64::try_from(size).map_err(|_| lie("a size"))?;
                    let most = (packed.len() as u64).saturating_mul(most_of_one(codec));
                    if size > most {
                        return Err(lie("the size of compressed data"));
                    }
                    size
                }
            },
            (Some(_), None) if length > 0 => return Err(lie("the length of compressed data")),
            _ => length as u64,
        };
        unpacked = unpacked.saturating_add(size);
    }
    let most = unpacked.saturating_mul(8).max(FREE_ROWS);
    let is_true = |count: i64| u64::try_from(count).is_ok_and(|count| count <= most);
    let is_sound = |node: &arrow_ipc::FieldNode| {
        is_true(node.length()) && (0..=node.length()).contains(&node.null_count())
    };
    if !is_true(batch.length()) || !batch.nodes().into_iter().flatten().all(is_sound) {
        return Err(lie("the number of rows"));
    }
    if codec.is_some() {
        // The decoder's allocation must not abort the process.
        let room = usize::try_from(unpacked).map_err(|_| lie("a size"))?;
        let reserved = Vec::<u8>::new().try_reserve_exact(room);
        reserved.map_err(|e| ArrowError::MemoryError(format!("{room} bytes: {e}")))?;
    }
    Ok(())
}
