//! Tables from files of every format, as typed columns.

use super::columnar::{self, Format};
use super::delimited::Delimited;
use super::encode::texts_of;
use super::frame::{Frame, Header, Texts, Values};
use super::npy::{self, NpyArray, NpzPair};
use super::stream::Source;
use crate::error::{Error, Result};
use std::cell::OnceCell;

/// What is known of a table's columns before it is looked at.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Known<'a> {
    /// Names that a header, if there is one, must have one of.
    pub(super) names: &'a [String],
    /// Whether the columns have no names.
    pub(super) unnamed: bool,
}

/// What is wanted of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// Its values, whatever they are.
    Guess,
    /// As [`Want::Guess`], for a target.
    Target,
    /// Numbers.
    Number,
    /// Texts.
    Text,
    /// That it isn't read.
    Nothing,
}

/// Some rows of a table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rows {
    /// The number of rows before them.
    pub(super) first: usize,
    /// Their values.
    pub(super) frame: Frame,
}

/// Reads a table of any format: `want` says of its header what is wanted of each column.
///
/// # Errors
/// When the file can't be read or isn't what is wanted.
pub(super) fn read(
    source: &Source,
    known: Known,
    want: impl FnOnce(&Header) -> Result<Vec<Want>>,
) -> Result<Frame> {
    let mut all = Frame::default();
    pass(source, known, want, |rows| {
        if rows.first == 0 {
            all = Frame { header: rows.frame.header.clone(), ..Frame::default() };
        }
        all.append(rows.frame);
        Ok(())
    })?;
    Ok(all)
}

/// Takes the rows of a table chunk by chunk, in order and in bounded memory; NPY and NPZ are one
/// chunk. It may begin again with the first row, where a column turned out to be text.
///
/// # Errors
/// As [`read`], and what `take` returns.
pub(super) fn pass(
    source: &Source,
    known: Known,
    want: impl FnOnce(&Header) -> Result<Vec<Want>>,
    mut take: impl FnMut(Rows) -> Result<()>,
) -> Result<()> {
    let place = source.path().display().to_string();
    let head = source.open()?.head().to_vec();
    if let Some(format) = Format::of(&head) {
        return columnar(source, format, want, take).map_err(|e| e.at(place));
    }
    let arrays = match () {
        () if npy::is_npy(&head) => Some(npy::read_npy(source.open()?).map(|a| npy::table(&a))),
        () if npy::is_zip(&head) => Some(npy::read_npz(source).and_then(|arrays| npz(&arrays))),
        () => None,
    };
    if let Some(frame) = arrays {
        let frame = frame.map_err(|e| e.at(&place))?;
        let wanted = want(&frame.header).map_err(|e| e.at(&place))?;
        let frame = as_wanted(frame, &wanted).map_err(|e| e.at(place))?;
        return take(Rows { first: 0, frame });
    }
    let delimited = Delimited::open(source.clone(), known)?;
    let wanted = want(delimited.header()).map_err(|e| e.at(&place))?;
    delimited.pass(&wanted, take).map(|_| ())
}

fn columnar(
    source: &Source,
    format: Format,
    want: impl FnOnce(&Header) -> Result<Vec<Want>>,
    mut take: impl FnMut(Rows) -> Result<()>,
) -> Result<()> {
    let wanted = OnceCell::new();
    let choose = |header: &Header| -> Result<Vec<bool>> {
        let wanted = wanted.get_or_init(|| want(header)).as_ref().map_err(Error::clone)?;
        Ok(wanted.iter().map(|want| *want != Want::Nothing).collect())
    };
    columnar::pass(source, format, choose, |rows| {
        let Some(Ok(wanted)) = wanted.get() else { return Ok(()) };
        take(Rows { frame: as_wanted(rows.frame, wanted)?, ..rows })
    })
}

/// The table in an NPZ file: features and targets where their names say so, else all arrays.
fn npz(arrays: &[(String, NpyArray)]) -> Result<Frame> {
    if let Some(NpzPair { x, y, .. }) = npy::pair(arrays)
        && let Some(y) = y
    {
        return npy::table_of(&[("x", x), ("y", y)]);
    }
    let all: Vec<(&str, &NpyArray)> = arrays.iter().map(|(n, a)| (n.as_str(), a)).collect();
    npy::table_of(&all)
}

/// The columns of a typed format as they are wanted.
pub(super) fn as_wanted(mut frame: Frame, wanted: &[Want]) -> Result<Frame> {
    for (place, want) in wanted.iter().enumerate() {
        let Some(values) = frame.columns[place].take() else { continue };
        frame.columns[place] = match want {
            Want::Nothing => None,
            Want::Guess | Want::Target => Some(values),
            Want::Text => Some(Values::Texts(texts_of(&values).into_owned())),
            Want::Number => {
                let at = frame.header.describe(place);
                Some(as_numbers(values).map_err(|e| e.at(at))?)
            }
        };
    }
    Ok(frame)
}

/// Texts as the numbers that they are.
fn as_numbers(values: Values) -> Result<Values> {
    let Values::Texts(Texts { codes, words }) = &values else { return Ok(values) };
    let numbers: Vec<f64> = words
        .iter()
        .map(|word| {
            let number = word.trim().parse::<f64>().ok().filter(|x| x.is_finite());
            number.ok_or_else(|| {
                Error::data(format!("{word:?} is not a number"))
                    .help("correct it, or leave the value out if it is missing")
            })
        })
        .collect::<Result<_>>()?;
    let of = |&code: &u32| numbers.get(code as usize).copied().unwrap_or(f64::NAN);
    Ok(Values::Numbers(codes.iter().map(of).collect()))
}
