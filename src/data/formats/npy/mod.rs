//! NPY, NumPy's format of one array, and NPZ, a zip file of several.
//!
//! The header of an NPY is a literal of a Python dictionary with three keys; the libraries that
//! read it depend on a parser generator, or trust its sizes. Described in NumPy's
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
use crate::data::columns::frame::{Frame, Header, Values, number_text};
use crate::data::columns::texts::Texts;
use crate::data::formats::npy::header::MAGIC;
use crate::data::streams::stream::{ByteStream, read_error};
use crate::math::matrix::Matrix;
use std::io::{Cursor, Read};
use std::sync::Arc;

/// An array of any number of dimensions.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::data) struct NpyArray {
    pub(in crate::data) shape: Vec<usize>,
    /// The elements, the last dimension varying fastest.
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

/// Refuses an array that can't be read in parts, such as rows in Fortran order, if it needs too much
/// memory; `head` is the beginning of its file.
///
/// # Errors
/// With the memory that it needs, or when the header can't be read.
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
/// When it isn't NPY, holds other values than numbers and texts, has fewer or more bytes than its
/// header declares, or needs more memory than allowed.
pub(in crate::data) fn read_npy(stream: ByteStream, budget: Budget) -> Result<NpyArray> {
    let (path, exact) = (stream.path().to_path_buf(), stream.exact_len());
    let mut reader = stream.into_reader();
    let (head, begin) = read_head(&mut reader).map_err(|e| e.or_io(&path))?;
    // A wrong size is reported before the memory that it would need.
    exact.map_or(Ok(()), |exact| head.check(exact.saturating_sub(head.body as u64)))?;
    budget.check(head.memory(), format!("an array of {} elements", head.sizes()))?;
    read_body(&head, Cursor::new(begin).chain(reader)).map_err(|e| e.or_io(&path))
}

/// The error of an array: in its bytes, or in reading them.
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

/// The header with which an array begins, and the part of the elements that was read with it.
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
    // One more byte shows whether the file continues.
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

    /// The number of elements in a row.
    pub(in crate::data) fn width(&self) -> usize {
        self.shape[1..].iter().product()
    }

    /// Refuses infinite values; `first` rows precede these.
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

    /// The rows as features without names: (rows, elements of a row).
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
                Err(Error::data("texts instead of numbers").help("give an array of numbers"))
            }
        }
    }

    /// Which columns hold whole numbers that f64 doesn't distinguish.
    fn wide_columns(&self) -> Vec<bool> {
        let mut wide = vec![false; self.width()];
        if let Elements::Wide(v) = &self.elements {
            for row in v.chunks_exact(wide.len().max(1)) {
                wide.iter_mut().zip(row).for_each(|(wide, &x)| *wide |= is_wide(x));
            }
        }
        wide
    }

    /// The columns, one for each element of a row. Columns of [`NpyArray::wide_columns`] and
    /// those marked in `wide` are texts of digits, so that no number is changed.
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

/// A table whose columns are the elements of the rows of an array, without names; those marked in `wide`
/// are texts.
fn table(array: &NpyArray, wide: &[bool]) -> Frame {
    let columns: Vec<Option<Values>> = array.columns(wide).into_iter().map(Some).collect();
    let header = Arc::new(Header::numbered(columns.len()));
    Frame { header, columns, rows: array.rows(), ..Frame::default() }
}

/// A table of several arrays with the same number of rows: each is a column with its name, or several with
/// numbers appended to it.
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
pub(in crate::data) mod tests;
