//! NPY, NumPy's format of one array, and NPZ, a zip file of several.
//!
//! The header of an NPY is a literal of a Python dictionary with three keys; the libraries that
//! read it bring a parser generator with them, or believe its sizes. Described in NumPy's
//! `numpy.lib.format`.

use super::Features;
use super::columnar::narrow;
use super::frame::{Frame, Header, Lines, Texts, Values};
use super::stream::{ByteStream, Source, read_error};
use crate::error::{Error, Result};
use crate::matrix::Matrix;
use std::io::{Cursor, Read};
use std::sync::Arc;
use zip::ZipArchive;

const MAGIC: &[u8] = b"\x93NUMPY";
/// A longer header is no header of a plain array.
const LONGEST_HEADER: usize = 1 << 16;

/// An array of any number of dimensions.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NpyArray {
    pub(super) shape: Vec<usize>,
    /// The elements, the last dimension running fastest.
    pub(super) elements: Elements,
}

/// The elements of an array.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Elements {
    Bytes(Vec<u8>),
    Numbers(Vec<f64>),
    Texts(Vec<String>),
}

/// Whether a file that begins with `head` is NPY.
pub(super) fn is_npy(head: &[u8]) -> bool {
    head.starts_with(MAGIC)
}

/// Whether a file that begins with `head` is a zip file, as NPZ is.
pub(super) fn is_zip(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04")
}

/// The number of dimensions that the header at the beginning of an NPY file declares.
pub(super) fn rank(head: &[u8]) -> Option<usize> {
    let begin = if head.get(6)? == &1 { 10 } else { 12 };
    let text = &head[begin.min(head.len())..];
    let end = text.iter().position(|&b| b == b'\n').unwrap_or(text.len());
    header(&String::from_utf8_lossy(&text[..end])).ok().map(|(_, _, shape)| shape.len())
}

/// The arrays of an NPZ file that are called as features and targets are.
pub(super) struct NpzPair<'a> {
    pub(super) x: &'a NpyArray,
    pub(super) y: Option<&'a NpyArray>,
    pub(super) test: Option<(&'a NpyArray, &'a NpyArray)>,
}

/// Finds features and targets by their names.
pub(super) fn pair(arrays: &[(String, NpyArray)]) -> Option<NpzPair<'_>> {
    const X: [&str; 7] = ["x_train", "x", "features", "data", "images", "inputs", "arr_0"];
    const Y: [&str; 8] =
        ["y_train", "y", "labels", "label", "targets", "target", "classes", "arr_1"];
    let find = |names: &[&str]| {
        let named = |name: &&str| arrays.iter().find(|(n, _)| n.to_lowercase() == **name);
        names.iter().find_map(|name| named(name).map(|(_, array)| array))
    };
    Some(NpzPair { x: find(&X)?, y: find(&Y), test: find(&["x_test"]).zip(find(&["y_test"])) })
}

/// Reads an NPY file, compressed or not.
///
/// # Errors
/// When it isn't NPY, holds something else than numbers and texts, or fewer or more bytes than its
/// header says.
pub(super) fn read_npy(stream: ByteStream) -> Result<NpyArray> {
    let path = stream.path().to_path_buf();
    let mut bytes = Vec::new();
    // The header's sizes are held against what is really there.
    stream.into_reader().read_to_end(&mut bytes).map_err(|e| read_error(&path, &e))?;
    parse(&bytes)
}

/// The arrays of an NPZ file with their names.
///
/// # Errors
/// As [`read_npy`], and when the zip file is damaged.
pub(super) fn read_npz(source: &Source) -> Result<Vec<(String, NpyArray)>> {
    let damaged = |e: &dyn std::fmt::Display| {
        Error::data(format!("the NPZ file is cut short or damaged: {e}"))
            .help("copy or download it again; `unzip -t` tests it")
    };
    let stream = source.open()?;
    let path = stream.path().to_path_buf();
    let mut bytes = Vec::new();
    stream.into_reader().read_to_end(&mut bytes).map_err(|e| read_error(&path, &e))?;
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|e| damaged(&e))?;
    let mut arrays = Vec::new();
    for i in 0..archive.len() {
        let mut file = archive.by_index(i).map_err(|e| damaged(&e))?;
        let name = file.name().map_err(|e| damaged(&e))?.into_owned();
        let Some(array) = name.strip_suffix(".npy") else { continue };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|e| damaged(&e))?;
        arrays.push((array.to_string(), parse(&bytes).map_err(|e| e.at(&name))?));
    }
    match arrays.is_empty() {
        true => Err(Error::data("there is no array in this zip file")
            .help("give a file that numpy.savez wrote")),
        false => Ok(arrays),
    }
}

/// What an element is.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Type {
    kind: u8,
    /// Bytes, but for texts characters.
    size: usize,
    big_endian: bool,
}

fn parse(bytes: &[u8]) -> Result<NpyArray> {
    let cut = |what: &str| {
        Error::data(format!("the NPY file ends within {what}")).help("copy or download it again")
    };
    if !is_npy(bytes) {
        return Err(Error::data("not an NPY file").help("give a file that numpy.save wrote"));
    }
    let (&[major, ..], Some(length)) = (&bytes[6..], bytes.get(8..12)) else {
        return Err(cut("its header"));
    };
    let (begin, length) = match major {
        1 => (10, usize::from(u16::from_le_bytes([length[0], length[1]]))),
        2 | 3 => (12, u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize),
        _ => return Err(Error::data(format!("NPY of version {major}, which is unknown"))),
    };
    if length > LONGEST_HEADER {
        return Err(Error::data(format!("the header says that it is {length} bytes long"))
            .help("the file is damaged: copy or download it again"));
    }
    let text = bytes.get(begin..begin + length).ok_or_else(|| cut("its header"))?;
    let (descr, fortran, shape) = header(&String::from_utf8_lossy(text))?;
    let element = element_type(&descr)?;
    let width = if element.kind == b'U' { element.size * 4 } else { element.size };
    let shown = shape.iter().map(u64::to_string).collect::<Vec<_>>().join(" × ");
    let declared = shape.iter().try_fold(width as u64, |n, &d| n.checked_mul(d));
    let body = &bytes[begin + length..];
    if shape.contains(&0) || width == 0 {
        return Err(Error::data(format!("the array holds no data: its sizes are {shown}"))
            .help("give an array with at least one row"));
    }
    if declared != Some(body.len() as u64) {
        let more = declared.is_none_or(|n| n > body.len() as u64);
        let what = if more { "the file holds only" } else { "the file goes on to" };
        return Err(Error::data(format!(
            "the header declares {shown} elements of {width} bytes, but {what} {} bytes",
            body.len()
        ))
        .help("the file is cut short or damaged: copy or download it again"));
    }
    let shape: Vec<usize> = shape.into_iter().map(|d| d as usize).collect();
    let elements = elements(body, element);
    let elements = if fortran && shape.len() > 1 { reorder(elements, &shape) } else { elements };
    if let Elements::Numbers(numbers) = &elements
        && let Some(i) = numbers.iter().position(|x| x.is_infinite())
    {
        let cols = (numbers.len() / shape.first().copied().unwrap_or(1)).max(1);
        return Err(Error::data(format!("{} is not a finite number", numbers[i]))
            .at(format!("row {}, column {}", i / cols + 1, i % cols + 1))
            .help("replace it, or write NaN where it is missing"));
    }
    Ok(NpyArray { shape, elements })
}

/// The type, the order and the shape that a header declares.
fn header(text: &str) -> Result<(String, bool, Vec<u64>)> {
    let bad = |what: &str| {
        let shown: String = text.chars().take(80).collect();
        Error::data(format!("the NPY header {what}: {:?}", shown.trim_end()))
            .help("give a file that numpy.save wrote; a structured array is saved as plain ones")
    };
    let after = |key: &str| {
        let quoted = [format!("'{key}'"), format!("\"{key}\"")];
        let at = quoted.iter().find_map(|q| Some(text.find(q.as_str())? + q.len()));
        let rest = at.map(|at| text[at..].trim_start());
        rest.and_then(|r| r.strip_prefix(':')).map(str::trim_start)
    };
    let descr = after("descr").ok_or_else(|| bad("has no descr"))?;
    let quote = descr.chars().next().filter(|c| matches!(c, '\'' | '"'));
    let descr = quote
        .and_then(|q| descr[1..].split(q).next())
        .ok_or_else(|| bad("has a structured type"))?;
    let fortran = match after("fortran_order") {
        Some(rest) if rest.starts_with("True") => true,
        Some(rest) if rest.starts_with("False") => false,
        _ => return Err(bad("doesn't say its order")),
    };
    let shape = after("shape").and_then(|rest| rest.strip_prefix('(')?.split_once(')'));
    let (shape, _) = shape.ok_or_else(|| bad("has no shape"))?;
    let sizes = shape.split(',').map(str::trim).filter(|s| !s.is_empty());
    let sizes: std::result::Result<Vec<u64>, _> =
        sizes.map(|s| s.trim_end_matches('L').parse()).collect();
    let sizes = sizes.map_err(|_| bad("has a shape that is none"))?;
    match sizes.len() {
        0 => Err(bad("declares a single value")),
        n if n > 32 => Err(bad("has more than 32 dimensions")),
        _ => Ok((descr.to_string(), fortran, sizes)),
    }
}

fn element_type(descr: &str) -> Result<Type> {
    let unknown = || {
        Error::data(format!("elements of the type {descr:?}")).help(
            "save the array as numbers or as texts of fixed length, such as astype(\"float32\")",
        )
    };
    let (order, kind, size) = match descr.as_bytes() {
        [order @ (b'<' | b'>' | b'|' | b'='), kind, size @ ..] => (*order, *kind, size),
        _ => return Err(unknown()),
    };
    let size: usize =
        std::str::from_utf8(size).ok().and_then(|s| s.parse().ok()).ok_or_else(unknown)?;
    let known = match kind {
        b'b' => size == 1,
        b'i' | b'u' => matches!(size, 1 | 2 | 4 | 8),
        b'f' => matches!(size, 2 | 4 | 8),
        b'U' | b'S' => size < 1 << 20,
        _ => false,
    };
    match known {
        true => Ok(Type { kind, size, big_endian: order == b'>' }),
        false => Err(unknown()),
    }
}

fn elements(body: &[u8], element: Type) -> Elements {
    let Type { kind, size, big_endian } = element;
    /// The numbers of N bytes each, which `of` makes of their bytes in the order of this machine.
    fn each<const N: usize>(body: &[u8], big: bool, of: impl Fn([u8; N]) -> f64) -> Elements {
        let number = |bytes: &[u8]| {
            let mut own = [0; N];
            own.copy_from_slice(bytes);
            if big {
                own.reverse();
            }
            of(own)
        };
        Elements::Numbers(body.chunks_exact(N).map(number).collect())
    }
    match (kind, size) {
        (b'u' | b'b', 1) => Elements::Bytes(body.to_vec()),
        (b'i', 1) => Elements::Numbers(body.iter().map(|&b| f64::from(b as i8)).collect()),
        (b'u', 2) => each(body, big_endian, |b| u16::from_le_bytes(b).into()),
        (b'u', 4) => each(body, big_endian, |b| u32::from_le_bytes(b).into()),
        (b'u', _) => each(body, big_endian, |b| u64::from_le_bytes(b) as f64),
        (b'i', 2) => each(body, big_endian, |b| i16::from_le_bytes(b).into()),
        (b'i', 4) => each(body, big_endian, |b| i32::from_le_bytes(b).into()),
        (b'i', _) => each(body, big_endian, |b| i64::from_le_bytes(b) as f64),
        (b'f', 2) => each(body, big_endian, |b| half(u16::from_le_bytes(b))),
        (b'f', 4) => each(body, big_endian, |b| f32::from_le_bytes(b).into()),
        (b'f', _) => each(body, big_endian, f64::from_le_bytes),
        (b'U', _) => {
            let text = |chars: &[u8]| {
                let code = |c: &[u8]| match big_endian {
                    true => u32::from_be_bytes([c[0], c[1], c[2], c[3]]),
                    false => u32::from_le_bytes([c[0], c[1], c[2], c[3]]),
                };
                let chars = chars.chunks_exact(4).map(code).take_while(|&c| c != 0);
                chars.map(|c| char::from_u32(c).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
            };
            Elements::Texts(body.chunks_exact(size * 4).map(text).collect())
        }
        _ => {
            let text = |bytes: &[u8]| {
                let end = bytes.iter().rposition(|&b| b != 0).map_or(0, |i| i + 1);
                String::from_utf8_lossy(&bytes[..end]).into_owned()
            };
            Elements::Texts(body.chunks_exact(size).map(text).collect())
        }
    }
}

/// The number that the 16 bits of an IEEE half stand for.
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023) / 1024.0);
    match exponent {
        0 => sign * fraction * 2f64.powi(-14),
        31 if fraction == 0.0 => sign * f64::INFINITY,
        31 => f64::NAN,
        _ => sign * (1.0 + fraction) * 2f64.powi(exponent - 15),
    }
}

/// Elements whose first dimension ran fastest, now with the last one fastest.
fn reorder(elements: Elements, shape: &[usize]) -> Elements {
    fn of<T: Clone>(all: &[T], shape: &[usize]) -> Vec<T> {
        let mut index = vec![0; shape.len()];
        let strides: Vec<usize> = shape
            .iter()
            .scan(1, |stride, &n| Some(std::mem::replace(stride, *stride * n)))
            .collect();
        let mut ordered = Vec::with_capacity(all.len());
        for _ in 0..all.len() {
            let at: usize = index.iter().zip(&strides).map(|(i, s)| i * s).sum();
            ordered.push(all[at].clone());
            for d in (0..shape.len()).rev() {
                index[d] += 1;
                if index[d] < shape[d] {
                    break;
                }
                index[d] = 0;
            }
        }
        ordered
    }
    match elements {
        Elements::Bytes(v) => Elements::Bytes(of(&v, shape)),
        Elements::Numbers(v) => Elements::Numbers(of(&v, shape)),
        Elements::Texts(v) => Elements::Texts(of(&v, shape)),
    }
}

impl NpyArray {
    /// The number of rows: the size of the first dimension.
    pub(super) fn rows(&self) -> usize {
        self.shape[0]
    }

    /// The elements of a row.
    pub(super) fn width(&self) -> usize {
        self.shape[1..].iter().product()
    }

    /// The features that the rows are, without names: (rows, elements of a row).
    ///
    /// # Errors
    /// When they are texts.
    pub(super) fn features(&self) -> Result<Features> {
        let (rows, width) = (self.rows(), self.width());
        match &self.elements {
            Elements::Bytes(v) => Matrix::new(rows, width, v.clone()).map(Features::U8),
            Elements::Numbers(v) => {
                let floats = v.iter().map(|&x| x as f32).collect();
                Matrix::new(rows, width, floats).map(Features::F32)
            }
            Elements::Texts(_) => {
                Err(Error::data("texts, where features are numbers")
                    .help("give an array of numbers"))
            }
        }
    }

    /// The columns, each of the rows' elements at one place.
    fn columns(&self) -> Vec<Values> {
        let width = self.width();
        let column = |c: usize| match &self.elements {
            Elements::Bytes(v) => Values::Bytes(v[c..].iter().step_by(width).copied().collect()),
            Elements::Numbers(v) => narrow(v[c..].iter().step_by(width).copied().collect()),
            Elements::Texts(v) => {
                let texts = v[c..].iter().step_by(width);
                Values::Texts(
                    texts.map(|t| Some(t.trim()).filter(|t| !t.is_empty())).collect::<Texts>(),
                )
            }
        };
        (0..width).map(column).collect()
    }
}

/// A table whose columns are the elements of the rows of an array, without names.
pub(super) fn table(array: &NpyArray) -> Frame {
    let columns: Vec<Option<Values>> = array.columns().into_iter().map(Some).collect();
    let header = Arc::new(Header::numbered(columns.len()));
    Frame { header, columns, rows: array.rows(), lines: Lines::default() }
}

/// A table of several arrays of as many rows: each is a column of its name, or several with their
/// numbers behind it.
///
/// # Errors
/// When the numbers of rows differ.
pub(super) fn table_of(arrays: &[(&str, &NpyArray)]) -> Result<Frame> {
    let rows = arrays.first().map_or(0, |(_, array)| array.rows());
    let (mut names, mut columns) = (Vec::new(), Vec::new());
    for (name, array) in arrays {
        if array.rows() != rows {
            return Err(Error::data(format!(
                "{} has {rows} rows, but {name} has {}",
                arrays[0].0,
                array.rows()
            ))
            .help("give arrays that belong together"));
        }
        let several = array.shape.len() > 1;
        for (i, values) in array.columns().into_iter().enumerate() {
            names.push(if several { format!("{name}_{}", i + 1) } else { (*name).to_string() });
            columns.push(Some(values));
        }
    }
    let header = Arc::new(Header { named: true, names });
    Ok(Frame { header, columns, rows, lines: Lines::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    /// An NPY file with a header of these words.
    pub(in crate::data) fn npy(descr: &str, fortran: bool, shape: &str, body: &[u8]) -> Vec<u8> {
        let order = if fortran { "True" } else { "False" };
        let mut text =
            format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}");
        while (10 + text.len() + 1) % 64 != 0 {
            text.push(' ');
        }
        text.push('\n');
        let mut file = MAGIC.to_vec();
        file.extend([1, 0]);
        file.extend((text.len() as u16).to_le_bytes());
        file.extend(text.as_bytes());
        file.extend(body);
        file
    }

    fn refusal(bytes: &[u8]) -> String {
        let error = parse(bytes).unwrap_err();
        assert_eq!(error.kind().exit_code(), 3, "{error}");
        error.to_string()
    }

    #[test]
    fn numbers_of_every_type_and_order_are_read() {
        let cases: [(&str, Vec<u8>); 8] = [
            ("|u1", vec![1, 2]),
            ("<i2", vec![1, 0, 2, 0]),
            (">i2", vec![0, 1, 0, 2]),
            ("<u4", [1u32, 2].iter().flat_map(|x| x.to_le_bytes()).collect()),
            (">i8", [1i64, 2].iter().flat_map(|x| x.to_be_bytes()).collect()),
            ("<f2", vec![0x00, 0x3C, 0x00, 0x40]),
            ("<f4", [1f32, 2.0].iter().flat_map(|x| x.to_le_bytes()).collect()),
            (">f8", [1f64, 2.0].iter().flat_map(|x| x.to_be_bytes()).collect()),
        ];
        for (descr, body) in cases {
            let array = parse(&npy(descr, false, "(2,)", &body)).unwrap();
            let column = &array.columns()[0];
            assert_eq!(*column, Values::Bytes(vec![1, 2]), "{descr}");
        }
        let words: Vec<u8> = "ab\0c\0\0".chars().flat_map(|c| (c as u32).to_le_bytes()).collect();
        let array = parse(&npy("<U3", false, "(2,)", &words)).unwrap();
        assert_eq!(array.elements, Elements::Texts(vec!["ab".into(), "c".into()]));
        assert_eq!(half(0xC500), -5.0);
        assert_eq!(half(0x0001), 2f64.powi(-24));
    }

    #[test]
    fn fortran_order_is_read_as_what_it_means() {
        let c = parse(&npy("|u1", false, "(2, 3)", &[1, 2, 3, 4, 5, 6])).unwrap();
        let fortran = parse(&npy("|u1", true, "(2, 3)", &[1, 4, 2, 5, 3, 6])).unwrap();
        assert_eq!(c, fortran);
        assert_eq!(table(&c).columns[2], Some(Values::Bytes(vec![3, 6])));
        let cube = npy("|u1", true, "(2, 2, 2)", &[0, 4, 2, 6, 1, 5, 3, 7]);
        assert_eq!(parse(&cube).unwrap().elements, Elements::Bytes((0..8).collect()));
    }

    #[test]
    fn headers_that_lie_are_refused_before_anything_is_allocated() {
        let huge = "(18446744073709551615, 18446744073709551615)";
        assert!(refusal(&npy("<f8", false, huge, &[0; 8])).contains("holds only 8 bytes"));
        assert!(refusal(&npy("<f8", false, "(1099511627776,)", &[0; 8])).contains("cut short"));
        assert!(refusal(&npy("<f8", false, "(1,)", &[0; 9])).contains("goes on to 9 bytes"));
        assert!(refusal(&npy("<f8", false, "(-1,)", &[0; 8])).contains("a shape that is none"));
        assert!(refusal(&npy("<f8", false, "(0, 3)", &[])).contains("no data"));
        assert!(refusal(&npy("<f8", false, "()", &[0; 8])).contains("a single value"));
        assert!(refusal(&npy("|O", false, "(1,)", &[0; 8])).contains("\"|O\""));
        assert!(refusal(&npy("<c16", false, "(1,)", &[0; 16])).contains("\"<c16\""));
        let mut long = npy("<f8", false, "(1,)", &[0; 8]);
        long[6] = 2;
        assert!(refusal(&long).contains("bytes long"));
        for end in [6, 7, 9, 11, 40] {
            assert!(refusal(&npy("<f8", false, "(1,)", &[0; 8])[..end]).contains("ends within"));
        }
        let infinite = npy("<f4", false, "(2, 1)", &[0, 0, 0, 0, 0, 0, 0x80, 0x7F]);
        assert!(refusal(&infinite).contains("row 2"));
    }

    #[test]
    fn arrays_of_a_zip_file_are_columns_of_one_table() {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, file) in [
            ("x.npy", npy("|u1", false, "(2, 2)", &[1, 2, 3, 4])),
            ("y.npy", npy("|u1", false, "(2,)", &[0, 1])),
        ] {
            writer.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            writer.write_all(&file).unwrap();
        }
        let bytes = writer.finish().unwrap().into_inner();
        let source = |bytes: &[u8]| Source::Memory("t.npz".into(), bytes.into());
        let arrays = read_npz(&source(&bytes)).unwrap();
        let arrays: Vec<(&str, &NpyArray)> = arrays.iter().map(|(n, a)| (n.as_str(), a)).collect();
        let frame = table_of(&arrays).unwrap();
        assert_eq!(frame.header.names, ["x_1", "x_2", "y"]);
        assert_eq!(frame.columns[1], Some(Values::Bytes(vec![2, 4])));
        for end in [10, bytes.len() / 2, bytes.len() - 1] {
            let error = read_npz(&source(&bytes[..end])).unwrap_err();
            assert_eq!(error.kind().exit_code(), 3, "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_behind_the_magic_make_it_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..120),
            text in "[a-z'{}(): ,0-9<>|]{0,80}",
        ) {
            let _ = parse(&[MAGIC, &bytes].concat());
            let shape = format!("({text}");
            let _ = parse(&npy(&text, text.len() % 2 == 0, &shape, &bytes));
            let _ = read_npz(&Source::Memory("t".into(), [b"PK\x03\x04", &bytes[..]].concat().into()));
        }

        #[test]
        fn written_arrays_read_back_equal(
            values in proptest::collection::vec(any::<f64>().prop_filter("finite", |x| x.is_finite()), 1..60),
            cols in 1usize..5,
            fortran in any::<bool>(),
        ) {
            let rows = values.len().div_ceil(cols);
            let at = |r: usize, c: usize| values[(r * cols + c) % values.len()];
            let body: Vec<u8> = match fortran {
                true => (0..cols).flat_map(|c| (0..rows).flat_map(move |r| at(r, c).to_le_bytes())).collect(),
                false => (0..rows).flat_map(|r| (0..cols).flat_map(move |c| at(r, c).to_le_bytes())).collect(),
            };
            let file = npy("<f8", fortran, &format!("({rows}, {cols})"), &body);
            let frame = table(&parse(&file).unwrap());
            for r in 0..rows {
                for c in 0..cols {
                    let found = frame.columns[c].as_ref().unwrap().number(r);
                    prop_assert_eq!(found.to_bits(), at(r, c).to_bits());
                }
            }
        }
    }
}
