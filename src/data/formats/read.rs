//! Tables from files of every format, as typed columns.

use super::columnar::{self, Format};
use super::delimited::Delimited;
use super::npy;
use crate::base::error::{Error, Result};
use crate::base::memory::Budget;
use crate::data::columns::frame::{Frame, Header, Values};
use crate::data::columns::lines::Lines;
use crate::data::columns::texts::MISSING;
use crate::data::formats::unreadable::Readable;
use crate::data::formats::want::{Known, Rows, Selection, Want, as_wanted, check_read};
use crate::data::streams::stream::Source;
use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, StringArray, UInt8Array};
use std::cell::OnceCell;
use std::sync::Arc;

/// The given rows of an array.
pub(in crate::data) fn rows_of(array: &ArrayRef, rows: &[usize]) -> Result<ArrayRef> {
    let mut mask = vec![false; array.len()];
    rows.iter().for_each(|&row| mask[row] = true);
    arrow_select::filter::filter(array, &BooleanArray::from(mask))
        .map_err(|e| Error::data(format!("a column can't be copied to the output: {e}")))
}

/// Reads a table of any format: `want` chooses from its header what to read of each column.
///
/// # Errors
/// When the file can't be read or doesn't contain what is wanted.
pub(in crate::data) fn read(
    source: &Source,
    known: Known,
    want: impl FnOnce(&Header) -> Result<Vec<Want>>,
) -> Result<Frame> {
    let mut all = Frame::default();
    let want = |header: &Header| want(header).map(Selection::from);
    let mut readable = Readable::new(known.on_error);
    pass(source, known, want, |rows| {
        let rows = readable.take(rows)?;
        if rows.first == 0 {
            all = Frame { header: rows.frame.header.clone(), ..Frame::default() };
        }
        all.append(rows.frame);
        Budget::default()
            .check(all.bytes(), "the table")
            .map_err(|e| e.at(source.path().display()).help("--memory-limit reads it in parts"))
    })?;
    all.warnings.extend(readable.finish()?);
    Ok(all)
}

/// Passes the rows of a table to `take` chunk by chunk, in order and in bounded memory; NPY in Fortran order is
/// one chunk. It may begin again with the first row, if a column turned out to be text. `take` decides about
/// rows that can't be read.
///
/// # Errors
/// As [`read`], except for rows that can't be read, and what `take` returns.
pub(in crate::data) fn pass(
    source: &Source,
    known: Known,
    want: impl FnOnce(&Header) -> Result<Selection>,
    mut take: impl FnMut(Rows) -> Result<()>,
) -> Result<()> {
    let (place, missing) = (source.path().display().to_string(), &known.text.missing);
    let head = match source {
        Source::Rows(..) | Source::Json(_) => Vec::new(),
        _ => source.open()?.head().to_vec(),
    };
    if let Some(format) = Format::of(&head) {
        // What is taken knows its place by itself.
        let mut taken = Ok(());
        let read = columnar(source, format, want, missing, |mut rows| {
            rows.faults.iter_mut().for_each(|(_, error)| *error = error.clone().at(&place));
            taken = take(rows);
            taken.clone()
        });
        return taken.and(read.map_err(|e| e.at(&place)));
    }
    if matches!(source, Source::Rows(..) | Source::Json(_)) || npy::is_npy(&head) {
        let (mut want, mut chosen, mut taken) = (Some(want), Selection::default(), Ok(()));
        let mut window = |first: usize, frame: Frame, faults: Vec<(usize, Error)>| -> Result<()> {
            if let Some(want) = want.take() {
                chosen = want(&frame.header)?;
                check_read(&frame, &chosen)?;
            }
            let array = |&place: &usize| frame.columns[place].as_ref().map(array_of);
            let kept = chosen.kept.iter().filter_map(array).collect();
            let mut rows = Rows { first, frame, kept, faults };
            as_wanted(&mut rows, &chosen.wanted, missing);
            rows.faults.iter_mut().for_each(|(_, error)| *error = error.clone().at(&place));
            // What is taken knows its place by itself.
            taken = take(rows);
            taken.clone()
        };
        let numbered = |first, frame| Frame { lines: Lines::of_rows(first), ..frame };
        let read = match source {
            Source::Rows(_, frame) => window(0, numbered(0, (**frame).clone()), Vec::new()),
            Source::Json(table) => table.pass(window),
            _ => npy::pass(source, Budget::default(), |first, frame| {
                window(first, numbered(first, frame), Vec::new())
            }),
        };
        return taken.and(read.map_err(|e| e.at(&place)));
    }
    let delimited = Delimited::open(source.clone(), known)?;
    let selection = want(delimited.header()).map_err(|e| e.at(&place))?;
    delimited.pass(&selection, take).map(|_| ())
}

fn columnar(
    source: &Source,
    format: Format,
    want: impl FnOnce(&Header) -> Result<Selection>,
    missing: &[String],
    mut take: impl FnMut(Rows) -> Result<()>,
) -> Result<()> {
    let chosen = OnceCell::new();
    let choose = |header: &Header| {
        let selection = want(header)?;
        // Set once: the header is asked for once.
        Ok(chosen.get_or_init(|| selection).clone())
    };
    columnar::pass(source, format, choose, |mut rows| {
        if let Some(Selection { wanted, .. }) = chosen.get() {
            as_wanted(&mut rows, wanted, missing);
        }
        take(rows)
    })
}

/// A column of an array file, to be copied to the output.
fn array_of(values: &Values) -> ArrayRef {
    match values {
        Values::Bytes(bytes) => Arc::new(UInt8Array::from(bytes.clone())),
        Values::Numbers(numbers) | Values::Times(numbers) => {
            let present = |&x: &f64| Some(x).filter(|x| !x.is_nan());
            Arc::new(numbers.iter().map(present).collect::<Float64Array>())
        }
        Values::Texts(texts) => {
            let text = |&code: &u32| (code != MISSING).then(|| texts.words.get(code));
            Arc::new(texts.codes.iter().map(text).collect::<StringArray>())
        }
    }
}
