//! NPY, NumPy's format of one array, and NPZ, a zip file of several.
//!
//! The header of an NPY is a literal of a Python dictionary with three keys; the libraries that
//! read it bring a parser generator with them, or believe its sizes. Described in NumPy's
//! `numpy.lib.format`.

mod elements;
mod header;
mod npz;
mod rows;
use elements::{Elements, elements, reorder};
use header::{Head, words};
pub(super) use npz::{NpzPair, pair, read_npz};
pub(super) use rows::pass;

use super::Features;
use super::columnar::narrow;
use super::frame::{Frame, Header, Texts, Values};
use super::stream::{ByteStream, read_error};
use crate::error::{Error, Result};
use crate::matrix::Matrix;
use std::io::Read;
use std::sync::Arc;

const MAGIC: &[u8] = b"\x93NUMPY";

/// An array of any number of dimensions.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NpyArray {
    pub(super) shape: Vec<usize>,
    /// The elements, the last dimension running fastest.
    elements: Elements,
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
    words(&String::from_utf8_lossy(&text[..end])).ok().map(|(_, _, shape)| shape.len())
}

/// Reads an NPY file, compressed or not.
///
/// # Errors
/// When it isn't NPY, holds something else than numbers and texts, or fewer or more bytes than its
/// header says.
pub(super) fn read_npy(stream: ByteStream) -> Result<NpyArray> {
    let path = stream.path().to_path_buf();
    let mut bytes = Vec::new();
    stream.into_reader().read_to_end(&mut bytes).map_err(|e| read_error(&path, &e))?;
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Result<NpyArray> {
    let head = Head::read(bytes)?;
    let body = &bytes[head.body..];
    // The header's sizes are held against what is really there.
    head.check(body.len() as u64)?;
    let shape: Vec<usize> = head.shape.iter().map(|&d| d as usize).collect();
    let elements = elements(body, head.element);
    let is_reordered = head.fortran && shape.len() > 1;
    let elements = if is_reordered { reorder(elements, &shape) } else { elements };
    let array = NpyArray { shape, elements };
    array.check_finite(0)?;
    Ok(array)
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

    /// Refuses what is infinite, in a row of which `first` stand before these.
    fn check_finite(&self, first: usize) -> Result<()> {
        let Elements::Numbers(numbers) = &self.elements else { return Ok(()) };
        let width = self.width().max(1);
        match numbers.iter().position(|x| x.is_infinite()) {
            None => Ok(()),
            Some(i) => Err(Error::data(format!("{} is not a finite number", numbers[i]))
                .at(format!("row {}, column {}", first + i / width + 1, i % width + 1))
                .help("replace it, or write NaN where it is missing")),
        }
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
    Frame { header, columns, rows: array.rows(), ..Frame::default() }
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
    Ok(Frame { header, columns, rows, ..Frame::default() })
}

#[cfg(test)]
pub(super) mod tests {
    use super::elements::half;
    use super::*;
    use crate::data::stream::Source;
    use proptest::prelude::*;
    use std::io::{Cursor, Write};

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
