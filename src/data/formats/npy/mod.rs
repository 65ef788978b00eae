//! NPY, NumPy's format of one array, and NPZ, a zip file of several.
//!
//! The header of an NPY is a literal of a Python dictionary with three keys; the libraries that
//! read it bring a parser generator with them, or believe its sizes. Described in NumPy's
//! `numpy.lib.format`.

mod elements;
mod header;
mod layout;
mod npz;
mod one_hot;
mod rows;
use elements::{Elements, elements, is_wide, reorder};
use header::{Head, LONGEST, words};
pub(in crate::data) use npz::{NpzPart, NpzSet, read_npz};
pub(in crate::data) use rows::pass;

use super::columnar::narrow;
use crate::base::error::{Error, Result};
use crate::base::memory::Budget;
use crate::data::Features;
use crate::data::columns::frame::{Frame, Header, Texts, Values, number_text};
use crate::data::formats::npy::header::MAGIC;
use crate::data::streams::stream::{ByteStream, read_error};
use crate::math::matrix::Matrix;
use std::io::{Cursor, Read};
use std::sync::Arc;

/// An array of any number of dimensions.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::data) struct NpyArray {
    pub(in crate::data) shape: Vec<usize>,
    /// The elements, the last dimension running fastest.
    elements: Elements,
}

/// Whether a file that begins with `head` is NPY.
pub(in crate::data) fn is_npy(head: &[u8]) -> bool {
    head.starts_with(MAGIC)
}

/// Whether a file that begins with `head` is a zip file, as NPZ is.
pub(in crate::data) fn is_zip(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04")
}

/// The number of dimensions that the header at the beginning of an NPY file declares.
pub(in crate::data) fn rank(head: &[u8]) -> Option<usize> {
    let begin = if head.get(6)? == &1 { 10 } else { 12 };
    let text = &head[begin.min(head.len())..];
    let end = text.iter().position(|&b| b == b'\n').unwrap_or(text.len());
    words(&String::from_utf8_lossy(&text[..end])).ok().map(|(_, _, shape)| shape.len())
}

/// Refuses an array that can't be read in parts, as rows in Fortran order can't, where it takes too much
/// memory; `head` is the beginning of its file.
///
/// # Errors
/// With what it takes, or when the header can't be read.
pub(in crate::data) fn check(head: &[u8], budget: Budget) -> Result<()> {
    let head = Head::read(head)?;
    match head.fortran && head.shape.len() > 1 {
        true => budget.check(head.memory(), format!("an array of {} elements", head.sizes())),
        false => Ok(()),
    }
}

/// Reads an NPY file, compressed or not.
///
/// # Errors
/// When it isn't NPY, holds something else than numbers and texts, fewer or more bytes than its
/// header says, or takes more memory than there may be taken.
pub(in crate::data) fn read_npy(stream: ByteStream, budget: Budget) -> Result<NpyArray> {
    let (path, exact) = (stream.path().to_path_buf(), stream.exact_len());
    let mut reader = stream.into_reader();
    let (head, begin) = read_head(&mut reader).map_err(|e| e.or_io(&path))?;
    // A size that lies is said before what it would take.
    exact.map_or(Ok(()), |exact| head.check(exact.saturating_sub(head.body as u64)))?;
    budget.check(head.memory(), format!("an array of {} elements", head.sizes()))?;
    read_body(&head, Cursor::new(begin).chain(reader)).map_err(|e| e.or_io(&path))
}

/// What is wrong with an array: its bytes, or reading them.
enum Fault {
    Array(Error),
    Read(std::io::Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault::Array(error)
    }
}

impl Fault {
    /// The error for an array in the file of that name.
    fn or_io(self, path: &std::path::Path) -> Error {
        match self {
            Fault::Array(error) => error,
            Fault::Read(error) => read_error(path, &error),
        }
    }
}

/// The header with which an array begins, and what was read of the elements behind it.
fn read_head(reader: &mut impl Read) -> std::result::Result<(Head, Vec<u8>), Fault> {
    let mut begin = Vec::new();
    reader.take(LONGEST as u64 + 12).read_to_end(&mut begin).map_err(Fault::Read)?;
    let head = Head::read(&begin)?;
    begin.drain(..head.body);
    Ok((head, begin))
}

/// The array of the elements that follow a header: no more is read than it declares, and no more memory
/// is taken than there are bytes.
fn read_body(head: &Head, reader: impl Read) -> std::result::Result<NpyArray, Fault> {
    let mut body = Vec::new();
    // One byte more tells whether the file goes on.
    let most = head.bytes().unwrap_or(u64::MAX).saturating_add(1);
    reader.take(most).read_to_end(&mut body).map_err(Fault::Read)?;
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
    pub(in crate::data) fn rows(&self) -> usize {
        self.shape[0]
    }

    /// The elements of a row.
    pub(in crate::data) fn width(&self) -> usize {
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
    pub(in crate::data) fn features(&self) -> Result<Features> {
        let (rows, width) = (self.rows(), self.width());
        match &self.elements {
            Elements::Bytes(v) => Matrix::new(rows, width, v.clone()).map(Features::U8),
            Elements::Numbers(v) => {
                let floats = v.iter().map(|&x| x as f32).collect();
                Matrix::new(rows, width, floats).map(Features::F32)
            }
            Elements::Wide(v) => {
                let floats = v.iter().map(|&x| x as f32).collect();
                Matrix::new(rows, width, floats).map(Features::F32)
            }
            Elements::Texts(_) => {
                Err(Error::data("texts, where features are numbers")
                    .help("give an array of numbers"))
            }
        }
    }

    /// Which columns hold whole numbers that f64 doesn't tell apart.
    fn wide_columns(&self) -> Vec<bool> {
        let mut wide = vec![false; self.width()];
        if let Elements::Wide(v) = &self.elements {
            for row in v.chunks_exact(wide.len().max(1)) {
                wide.iter_mut().zip(row).for_each(|(wide, &x)| *wide |= is_wide(x));
            }
        }
        wide
    }

    /// The columns, each of the rows' elements at one place. Columns of [`NpyArray::wide_columns`], and
    /// those that `wide` says too, are texts of digits: each number stays itself.
    fn columns(&self, wide: &[bool]) -> Vec<Values> {
        let own = self.wide_columns();
        let is_text = |c: usize| own[c] || wide.get(c).copied().unwrap_or(false);
        let width = self.width();
        let column = |c: usize| match &self.elements {
            Elements::Bytes(v) => Values::Bytes(v[c..].iter().step_by(width).copied().collect()),
            Elements::Numbers(v) if is_text(c) => texts(v[c..].iter().step_by(width), number_text),
            Elements::Wide(v) if is_text(c) => {
                texts(v[c..].iter().step_by(width), |x| x.to_string())
            }
            Elements::Wide(v) => narrow(v[c..].iter().step_by(width).map(|&x| x as f64).collect()),
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

/// Whole numbers as texts of their digits.
fn texts<'a, T: Copy + 'a>(
    numbers: impl Iterator<Item = &'a T>,
    text: impl Fn(T) -> String,
) -> Values {
    let mut texts = Texts::default();
    numbers.for_each(|&x| texts.push(Some(&text(x))));
    Values::Texts(texts)
}

/// A table whose columns are the elements of the rows of an array, without names; those that `wide`
/// says are texts.
fn table(array: &NpyArray, wide: &[bool]) -> Frame {
    let columns: Vec<Option<Values>> = array.columns(wide).into_iter().map(Some).collect();
    let header = Arc::new(Header::numbered(columns.len()));
    Frame { header, columns, rows: array.rows(), ..Frame::default() }
}

/// A table of several arrays of as many rows: each is a column of its name, or several with their
/// numbers behind it.
///
/// # Errors
/// When the numbers of rows differ.
fn table_of(arrays: &[(&str, &NpyArray)]) -> Result<Frame> {
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
        for (i, values) in array.columns(&[]).into_iter().enumerate() {
            names.push(if several { format!("{name}_{}", i + 1) } else { (*name).to_string() });
            columns.push(Some(values));
        }
    }
    let header = Arc::new(Header::of_names(names));
    Ok(Frame { header, columns, rows, ..Frame::default() })
}

#[cfg(test)]
pub(in crate::data) mod tests {
    use super::*;
    use crate::data::Task;
    use crate::data::streams::archive::tests::zip;
    use crate::data::streams::stream::Source;
    use crate::data::streams::stream::tests::{gzip, of_bytes, of_memory};
    use proptest::prelude::*;

    pub(in crate::data) fn parse(bytes: &[u8]) -> Result<NpyArray> {
        read_npy(of_bytes("t.npy", bytes)?, Budget::default())
    }

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
            let column = &array.columns(&[])[0];
            assert_eq!(*column, Values::Bytes(vec![1, 2]), "{descr}");
        }
        let words: Vec<u8> = "ab\0c\0\0".chars().flat_map(|c| (c as u32).to_le_bytes()).collect();
        let array = parse(&npy("<U3", false, "(2,)", &words)).unwrap();
        assert_eq!(array.elements, Elements::Texts(vec!["ab".into(), "c".into()]));
        let halves: Vec<u8> = [0xC500u16, 0x0001].iter().flat_map(|x| x.to_be_bytes()).collect();
        let array = parse(&npy(">f2", false, "(2,)", &halves)).unwrap();
        assert_eq!(array.elements, Elements::Numbers(vec![-5.0, 2f64.powi(-24)]));
        let truths = parse(&npy("|b1", false, "(2,)", &[0, 1])).unwrap();
        assert_eq!(truths.elements, Elements::Bytes(vec![0, 1]));
    }

    #[test]
    fn fortran_order_is_read_as_what_it_means() {
        let c = parse(&npy("|u1", false, "(2, 3)", &[1, 2, 3, 4, 5, 6])).unwrap();
        let fortran = parse(&npy("|u1", true, "(2, 3)", &[1, 4, 2, 5, 3, 6])).unwrap();
        assert_eq!(c, fortran);
        assert_eq!(table(&c, &[]).columns[2], Some(Values::Bytes(vec![3, 6])));
        let cube = npy("|u1", true, "(2, 2, 2)", &[0, 4, 2, 6, 1, 5, 3, 7]);
        assert_eq!(parse(&cube).unwrap().elements, Elements::Bytes((0..8).collect()));
    }

    #[test]
    fn headers_that_lie_are_refused_before_anything_is_allocated() {
        let huge = "(18446744073709551615, 18446744073709551615)";
        assert!(refusal(&npy("<f8", false, huge, &[0; 8])).contains("holds only 8 bytes"));
        assert!(refusal(&npy("<f8", false, "(1099511627776,)", &[0; 8])).contains("cut short"));
        assert!(refusal(&npy("<f8", false, "(1,)", &[0; 9])).contains("goes on behind them"));
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
    fn whole_numbers_beyond_what_f64_tells_apart_are_texts_of_their_digits() {
        let ids = [9_007_199_254_740_993u64, 7, u64::MAX, 8];
        for (descr, big) in [("<u8", false), (">u8", true)] {
            let bytes =
                ids.iter().flat_map(|x| if big { x.to_be_bytes() } else { x.to_le_bytes() });
            let array = parse(&npy(descr, false, "(2, 2)", &bytes.collect::<Vec<_>>())).unwrap();
            let [first, second] = &array.columns(&[])[..] else { panic!("two columns") };
            let texts = [Some("9007199254740993"), Some("18446744073709551615")];
            assert_eq!(*first, Values::Texts(texts.into_iter().collect()), "{descr}");
            assert_eq!(*second, Values::Bytes(vec![7, 8]), "{descr}");
            assert_eq!(array.features().unwrap().value(1, 1), 8.0);
        }
        let least = parse(&npy("<i8", false, "(1,)", &i64::MIN.to_le_bytes())).unwrap();
        assert_eq!(least.columns(&[])[0].text(0).unwrap(), i64::MIN.to_string());
    }

    #[test]
    fn what_takes_too_much_memory_is_refused_before_it_is_read() {
        let budget = Budget(Some(1 << 20));
        let file = npy("<f8", true, "(100, 1000)", &[0; 800_000]);
        for bytes in [gzip(&file), file] {
            let error =
                read_npy(of_bytes("t.npy", &bytes).unwrap(), budget).unwrap_err().to_string();
            assert!(error.contains("100 × 1000 elements takes 2.4 MB of memory"), "{error}");
            assert!(error.contains("the memory limit is 1.0 MB"), "{error}");
        }
    }

    fn set(files: &[(&str, Vec<u8>)], task: Task) -> Result<NpzSet> {
        let files: Vec<(&str, &[u8])> = files.iter().map(|(n, f)| (*n, f.as_slice())).collect();
        read_npz(&of_memory("t.npz", &zip(&files)), task, Budget::default())
    }

    fn frame(part: NpzPart) -> Frame {
        match part {
            NpzPart::Table(frame) => frame,
            NpzPart::Images(..) => panic!("a table"),
        }
    }

    #[test]
    fn arrays_of_a_zip_file_are_columns_of_one_table() {
        let files = [
            ("x.npy", npy("|u1", false, "(2, 2)", &[1, 2, 3, 4])),
            ("y.npy", npy("|u1", false, "(2,)", &[0, 1])),
        ];
        let found = frame(set(&files, Task::Auto).unwrap().training);
        assert_eq!(found.header.names, ["x_1", "x_2", "y"]);
        assert_eq!(found.columns[1], Some(Values::Bytes(vec![2, 4])));
        let [(_, x), (_, y)] = files;
        let other = set(&[("a.npy", x.clone()), ("b.npy", y.clone())], Task::Auto).unwrap();
        assert_eq!(frame(other.training).header.names, ["a_1", "a_2", "b"]);
        // Targets under a name of their own are the last column, as in any table.
        let price = set(&[("data.npy", x.clone()), ("price.npy", y.clone())], Task::Auto).unwrap();
        assert_eq!(frame(price.training).header.names, ["data_1", "data_2", "price"]);
        let bytes = zip(&[("x.npy", &x), ("y.npy", &y)]);
        for end in [10, bytes.len() / 2, bytes.len() - 1] {
            let source = of_memory("t.npz", &bytes[..end]);
            let error = read_npz(&source, Task::Auto, Budget::default()).unwrap_err();
            assert_eq!(error.kind().exit_code(), 3, "{error}");
        }
    }

    #[test]
    fn one_hot_targets_are_classes_unless_the_task_is_another() {
        let x = npy("|u1", false, "(3, 1)", &[1, 2, 3]);
        let rows = [0f32, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0];
        let floats: Vec<u8> = rows.iter().flat_map(|x| x.to_le_bytes()).collect();
        let whole: Vec<u8> = rows.iter().flat_map(|&x| (x as i16).to_be_bytes()).collect();
        for y in [npy("<f4", false, "(3, 3)", &floats), npy(">i2", false, "(3, 3)", &whole)] {
            let files = [("x.npy", x.clone()), ("y.npy", y)];
            for task in [Task::Auto, Task::Classification] {
                let set = set(&files, task).unwrap();
                assert!(
                    set.notes.len() == 1 && set.notes[0].contains("y is one-hot"),
                    "{:?}",
                    set.notes
                );
                let found = frame(set.training);
                assert_eq!(found.header.names, ["x_1", "y"]);
                let classes: Vec<f64> =
                    (0..3).map(|r| found.column("y").unwrap().number(r)).collect();
                assert_eq!(classes, [2.0, 0.0, 2.0]);
            }
            for task in [Task::Multilabel, Task::Regression] {
                let set = set(&files, task).unwrap();
                assert!(set.notes.is_empty());
                assert_eq!(frame(set.training).header.names, ["x_1", "y_1", "y_2", "y_3"]);
            }
        }
        let column = npy("|u1", false, "(3, 1)", &[1, 0, 1]);
        let set = set(&[("x.npy", x), ("labels.npy", column)], Task::Auto).unwrap();
        assert!(set.notes[0].contains("labels is (rows, 1)"), "{:?}", set.notes);
        assert_eq!(frame(set.training).column("y"), Some(&Values::Bytes(vec![1, 0, 1])));
    }

    #[test]
    fn arrays_that_do_not_belong_together_are_named() {
        let rows = |n: u8| npy("|u1", false, &format!("({n},)"), &vec![0; usize::from(n)]);
        for (files, text) in [
            (vec![("x.npy", rows(3)), ("y.npy", rows(2))], "x has 3 rows, but y has 2"),
            (vec![("a.npy", rows(3)), ("b.npy", rows(2))], "looked for as x, features"),
            (
                vec![("x.npy", rows(3)), ("y.npy", rows(3)), ("val_x.npy", rows(2))],
                "array val_x, but no",
            ),
        ] {
            let error = set(&files, Task::Auto).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
            let (name, sizes) = (files[1].0.trim_end_matches(".npy"), files[1].1.len());
            assert!(error.contains(&format!("{name} (")) && sizes > 0, "{error}");
        }
    }

    #[test]
    fn sizes_that_lie_in_a_zip_file_are_refused() {
        // The array declares 100 GB.
        let huge = npy("<f8", false, "(12500000000,)", &[0; 16]);
        let error = set(&[("x.npy", huge.clone())], Task::Auto).unwrap_err().to_string();
        assert!(error.contains("holds only 16 bytes"), "{error}");
        // Bytes that are there as declared, but too many for the limit.
        let zeros = npy("<f8", false, "(400000,)", &vec![0; 3_200_000]);
        let zipped = zip(&[("x.npy", &zeros)]);
        assert!(zipped.len() < 10_000);
        let source = of_memory("t.npz", &zipped);
        let error = read_npz(&source, Task::Auto, Budget(Some(1 << 20))).unwrap_err().to_string();
        assert!(error.contains("reading x (400000) takes 9.6 MB of memory"), "{error}");
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
            let source = Source::Memory("t".into(), [b"PK\x03\x04", &bytes[..]].concat().into());
            let _ = read_npz(&source, Task::Auto, Budget::default());
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
            let frame = table(&parse(&file).unwrap(), &[]);
            for r in 0..rows {
                for c in 0..cols {
                    let found = frame.columns[c].as_ref().unwrap().number(r);
                    prop_assert_eq!(found.to_bits(), at(r, c).to_bits());
                }
            }
        }
    }
}
