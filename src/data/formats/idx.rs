//! IDX, the format of MNIST: a header with the element type and the size of each dimension, then
//! the elements, row-major and big-endian.
//!
//! Described by Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits",
//! at the end of that page.

use crate::base::error::{Error, Result};
use crate::base::memory::Budget;
use crate::data::streams::stream::{ByteStream, Source, read_error};
use std::io::Read;
use std::path::Path;

/// An array read from an IDX file.
#[derive(Debug, Clone, PartialEq)]
pub struct IdxArray {
    /// The size of each dimension; the first is the number of rows.
    pub shape: Vec<usize>,
    /// The elements, row-major.
    pub values: IdxValues,
}

/// The elements of an [`IdxArray`], in the type of the file.
#[derive(Debug, Clone, PartialEq)]
pub enum IdxValues {
    /// Type code 0x08.
    U8(Vec<u8>),
    /// Type code 0x09.
    I8(Vec<i8>),
    /// Type code 0x0B.
    I16(Vec<i16>),
    /// Type code 0x0C.
    I32(Vec<i32>),
    /// Type code 0x0D.
    F32(Vec<f32>),
    /// Type code 0x0E.
    F64(Vec<f64>),
}

/// Reads an IDX file, compressed by gzip or not.
///
/// # Errors
/// When the file can't be read, isn't IDX, has no rows, or holds fewer or more bytes than its
/// header says.
pub fn read_idx(path: &Path) -> Result<IdxArray> {
    read_stream(ByteStream::open(path)?, Budget::default())
}

/// As [`read_idx`], for the bytes of a file in memory; `name` is its name in errors.
///
/// # Errors
/// As [`read_idx`].
pub fn read_idx_bytes(name: &str, bytes: &[u8]) -> Result<IdxArray> {
    read_stream(Source::Memory(name.into(), bytes.into()).open()?, Budget::default())
}

/// Whether a file that begins with `head` is IDX: two zero bytes, a type code, a rank.
pub(in crate::data) fn is_idx(head: &[u8]) -> bool {
    matches!(head, [0, 0, code, rank, ..] if element_size(*code).is_some() && *rank > 0)
}

fn element_size(code: u8) -> Option<u64> {
    match code {
        0x08 | 0x09 => Some(1),
        0x0B => Some(2),
        0x0C | 0x0D => Some(4),
        0x0E => Some(8),
        _ => None,
    }
}

pub(in crate::data) fn read_stream(stream: ByteStream, budget: Budget) -> Result<IdxArray> {
    let path = stream.path().to_path_buf();
    read(stream, budget).map_err(|e| e.at(path.display()))
}

fn read(stream: ByteStream, budget: Budget) -> Result<IdxArray> {
    let head = stream.head();
    if !is_idx(head) {
        let start = head.iter().take(4).map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ");
        return Err(Error::data(format!("not an IDX file: it begins with the bytes [{start}]"))
            .help(
                "IDX begins with 00 00, then a type (08 for bytes) and the number of dimensions",
            ));
    }
    let (code, rank) = (head[2], usize::from(head[3]));
    let header = 4 + 4 * rank;
    let Some(sizes) = head.get(4..header) else {
        return Err(truncated(&format!("a header of {header} bytes"), head.len() as u64));
    };
    let shape: Vec<u32> =
        sizes.chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]])).collect();
    let shown = shape.iter().map(u32::to_string).collect::<Vec<_>>().join(" × ");
    if shape.contains(&0) {
        return Err(Error::data(format!(
            "the header declares an empty array: its sizes are {shown}"
        ))
        .help("give a file with at least one row"));
    }
    let size = element_size(code).unwrap_or(1);
    let declared = shape.iter().try_fold(size, |n, &d| n.checked_mul(d.into()));
    let bytes = if size == 1 { "byte" } else { "bytes" };
    let what = format!("{shown} elements of {size} {bytes}");
    // The sizes are checked against the size of the file before anything is allocated.
    let present = stream.most_bytes().map(|n| n.saturating_sub(header as u64));
    let declared = match declared {
        Some(n) if present.is_none_or(|most| n <= most) => n,
        _ => return Err(truncated(&what, present.unwrap_or(0))),
    };
    if let Some(exact) = stream.exact_len()
        && exact > header as u64 + declared
    {
        return Err(trailing(&what, &(exact - header as u64 - declared).to_string()));
    }
    // Other types than bytes are additionally converted to f32.
    let more = if size == 1 { 0 } else { declared / size * 4 };
    budget.check(declared.saturating_add(more), format!("an array of {what}"))?;
    let bytes = read_declared(stream, header, declared, &what)?;
    Ok(IdxArray {
        shape: shape.into_iter().map(|d| d as usize).collect(),
        values: IdxValues::from_bytes(code, bytes),
    })
}

/// The `declared` bytes after the header, and an error if there are fewer or more.
fn read_declared(stream: ByteStream, header: usize, declared: u64, what: &str) -> Result<Vec<u8>> {
    let path = stream.path().to_path_buf();
    let is_bounded = stream.most_bytes().is_some();
    let mut reader = stream.into_reader();
    let skip = reader.by_ref().take(header as u64).read_to_end(&mut Vec::new());
    skip.map_err(|e| read_error(&path, &e))?;
    let mut bytes = Vec::new();
    if is_bounded {
        // One byte more, so that finding the end doesn't double the buffer.
        let room = usize::try_from(declared).ok().and_then(|n| n.checked_add(1));
        if room.is_none_or(|n| bytes.try_reserve_exact(n).is_err()) {
            return Err(Error::failed(format!("no memory for {what}"))
                .help("use a smaller file, or a machine with more memory"));
        }
    }
    let found = reader.take(declared.saturating_add(1)).read_to_end(&mut bytes);
    let found = found.map_err(|e| read_error(&path, &e))? as u64;
    match found {
        n if n < declared => Err(truncated(what, n)),
        n if n > declared => Err(trailing(what, "more")),
        _ => Ok(bytes),
    }
}

fn truncated(declared: &str, present: u64) -> Error {
    Error::data(format!("the file declares {declared}, but holds only {present} bytes"))
        .help("the file is truncated or its header is wrong: copy or download it again")
}

fn trailing(declared: &str, extra: &str) -> Error {
    Error::data(format!("the file declares {declared}, but {extra} bytes follow them"))
        .help("the header is wrong or data were appended: copy or download it again")
}

impl IdxValues {
    fn from_bytes(code: u8, bytes: Vec<u8>) -> Self {
        fn decode<const N: usize, T>(bytes: &[u8], value: fn([u8; N]) -> T) -> Vec<T> {
            bytes.as_chunks().0.iter().map(|&chunk| value(chunk)).collect()
        }
        match code {
            0x09 => IdxValues::I8(decode(&bytes, i8::from_be_bytes)),
            0x0B => IdxValues::I16(decode(&bytes, i16::from_be_bytes)),
            0x0C => IdxValues::I32(decode(&bytes, i32::from_be_bytes)),
            0x0D => IdxValues::F32(decode(&bytes, f32::from_be_bytes)),
            0x0E => IdxValues::F64(decode(&bytes, f64::from_be_bytes)),
            _ => IdxValues::U8(bytes),
        }
    }

    /// The elements as numbers for the net; for 32-bit integers and f64 the nearest f32.
    #[must_use]
    pub fn to_f32(&self) -> Vec<f32> {
        match self {
            IdxValues::U8(v) => v.iter().map(|&x| x.into()).collect(),
            IdxValues::I8(v) => v.iter().map(|&x| x.into()).collect(),
            IdxValues::I16(v) => v.iter().map(|&x| x.into()).collect(),
            IdxValues::I32(v) => v.iter().map(|&x| x as f32).collect(),
            IdxValues::F32(v) => v.clone(),
            IdxValues::F64(v) => v.iter().map(|&x| x as f32).collect(),
        }
    }

    /// The elements in f64, which holds all of them.
    #[must_use]
    pub fn to_f64(&self) -> Vec<f64> {
        match self {
            IdxValues::U8(v) => v.iter().map(|&x| x.into()).collect(),
            IdxValues::I8(v) => v.iter().map(|&x| x.into()).collect(),
            IdxValues::I16(v) => v.iter().map(|&x| x.into()).collect(),
            IdxValues::I32(v) => v.iter().map(|&x| x.into()).collect(),
            IdxValues::F32(v) => v.iter().map(|&x| x.into()).collect(),
            IdxValues::F64(v) => v.clone(),
        }
    }

    /// The elements as integers, if the type is an integer type.
    #[must_use]
    pub fn to_integers(&self) -> Option<Vec<i64>> {
        match self {
            IdxValues::U8(v) => Some(v.iter().map(|&x| x.into()).collect()),
            IdxValues::I8(v) => Some(v.iter().map(|&x| x.into()).collect()),
            IdxValues::I16(v) => Some(v.iter().map(|&x| x.into()).collect()),
            IdxValues::I32(v) => Some(v.iter().map(|&x| x.into()).collect()),
            IdxValues::F32(_) | IdxValues::F64(_) => None,
        }
    }
}

#[cfg(test)]
pub(in crate::data) mod tests {
    use super::*;
    use crate::data::streams::stream::tests::{gzip, of_bytes};
    use proptest::prelude::*;

    /// An IDX file of that type and shape over `data`, which is big-endian.
    pub(in crate::data) fn idx_bytes(code: u8, shape: &[u32], data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, code, shape.len() as u8];
        shape.iter().for_each(|d| bytes.extend(d.to_be_bytes()));
        bytes.extend(data);
        bytes
    }

    fn read_bytes(bytes: &[u8]) -> Result<IdxArray> {
        read_stream(of_bytes("set/images", bytes)?, Budget::default())
    }

    fn refusal(bytes: &[u8]) -> String {
        let error = read_bytes(bytes).unwrap_err();
        assert_eq!(error.kind().exit_code(), 3, "{error}");
        let text = error.to_string();
        assert!(text.contains("where: set/images") && text.contains("help: "), "{text}");
        text
    }

    #[test]
    fn every_element_type_is_read_big_endian() {
        let cases: [(u8, &[u8], IdxValues); 6] = [
            (0x08, &[1, 255], IdxValues::U8(vec![1, 255])),
            (0x09, &[1, 255], IdxValues::I8(vec![1, -1])),
            (0x0B, &[0, 1, 255, 254], IdxValues::I16(vec![1, -2])),
            (0x0C, &[0, 0, 1, 0, 255, 255, 255, 253], IdxValues::I32(vec![256, -3])),
            (0x0D, &[0x3F, 0xC0, 0, 0, 0xC0, 0, 0, 0], IdxValues::F32(vec![1.5, -2.0])),
            (
                0x0E,
                &[0x3F, 0xF8, 0, 0, 0, 0, 0, 0, 0xC0, 0, 0, 0, 0, 0, 0, 0],
                IdxValues::F64(vec![1.5, -2.0]),
            ),
        ];
        for (code, data, values) in cases {
            let bytes = idx_bytes(code, &[2], data);
            let expected = IdxArray { shape: vec![2], values };
            assert_eq!(read_bytes(&bytes).unwrap(), expected);
            assert_eq!(read_bytes(&gzip(&bytes)).unwrap(), expected);
        }
    }

    #[test]
    fn fewer_or_more_bytes_than_declared_are_refused() {
        let whole = idx_bytes(8, &[2, 3], &[0; 6]);
        assert!(read_bytes(&whole).is_ok());
        assert!(refusal(&whole[..17]).contains("2 × 3 elements of 1 byte, but holds only 5"));
        assert!(refusal(&whole[..9]).contains("a header of 12 bytes, but holds only 9"));
        assert!(refusal(&gzip(&whole[..17])).contains("holds only 5"));
        let longer = [&whole[..], &[0; 4]].concat();
        assert!(refusal(&longer).contains("4 bytes follow"));
        assert!(refusal(&gzip(&longer)).contains("more bytes follow"));
    }

    #[test]
    fn sizes_that_lie_allocate_nothing() {
        for shape in [&[u32::MAX, u32::MAX, u32::MAX][..], &[u32::MAX, 28, 28], &[3_000_000]] {
            let bytes = idx_bytes(8, shape, &[0; 16]);
            assert!(refusal(&bytes).contains("truncated or its header is wrong"));
            assert!(refusal(&gzip(&bytes)).contains("truncated or its header is wrong"));
        }
    }

    #[test]
    fn other_files_and_arrays_without_rows_are_refused() {
        assert!(refusal(b"\x89PNG\r\n\x1a\n").contains("begins with the bytes [89 50 4e 47]"));
        assert!(refusal(b"").contains("begins with the bytes []"));
        assert!(refusal(&idx_bytes(0x0A, &[1], &[0])).contains("[00 00 0a 01]"));
        assert!(refusal(&idx_bytes(8, &[], &[])).contains("[00 00 08 00]"));
        assert!(refusal(&idx_bytes(8, &[0, 28], &[])).contains("sizes are 0 × 28"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(
            code in 7u8..16,
            shape in proptest::collection::vec(any::<u32>().prop_map(|d| d >> (d % 32)), 0..4),
            data in proptest::collection::vec(any::<u8>(), 0..64),
            zip in any::<bool>(),
            cut in 0usize..200,
        ) {
            let mut bytes = idx_bytes(code, &shape, &data);
            if zip {
                bytes = gzip(&bytes);
            }
            bytes.truncate(cut);
            let _ = of_bytes("fuzz", &bytes).and_then(|stream| read_stream(stream, Budget::default()));
            let _ = of_bytes("fuzz", &data).and_then(|stream| read_stream(stream, Budget::default()));
        }
    }
}
