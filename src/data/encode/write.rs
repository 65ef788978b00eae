//! The inputs of a column, written into rows.

use super::Encoder;
use super::canonical::canonical;
use super::category::Places;
use super::look::Looked;
use crate::data::columns::frame::Values;
use crate::data::columns::frame::texts_of;
use crate::data::columns::kind::truth;
use crate::data::columns::texts::Texts;
use std::borrow::Cow;
use std::ops::Range;

/// The inputs of one column in a block of rows, initially 0.
pub(super) struct Block<'a> {
    /// All inputs of these rows: (rows, width).
    pub(super) inputs: &'a mut [f32],
    pub(super) width: usize,
    /// The range of the column's inputs in a row.
    pub(super) own: Range<usize>,
    /// The rows of the table; none if they are consecutive from `first` on.
    pub(super) rows: Option<&'a [usize]>,
    pub(super) first: usize,
}

/// Writes the inputs of a column.
pub(super) type Write<'a> = Box<dyn Fn(Block<'_>) + Send + Sync + 'a>;

/// A writer of a column's inputs cell by cell, by the row of the table: one dynamic call per block, with a
/// loop inside.
fn cells<'a>(write: impl Fn(usize, &mut [f32]) + Send + Sync + 'a) -> Write<'a> {
    Box::new(move |Block { inputs, width, own, rows, first }| {
        let inputs = inputs.chunks_exact_mut(width).map(|row| &mut row[own.clone()]);
        match rows {
            Some(rows) => rows.iter().zip(inputs).for_each(|(&row, inputs)| write(row, inputs)),
            None => inputs.enumerate().for_each(|(i, inputs)| write(first + i, inputs)),
        }
    })
}

/// What a column has that the training rows didn't have.
#[derive(Default)]
pub(super) struct Unlearnt {
    /// The codes of unknown categories, ascending.
    pub codes: Vec<u32>,
    /// Whether there are texts for which this can't be told.
    pub is_untold: bool,
    /// Whether numbers are missing, and none was.
    pub is_filled: bool,
}

impl Encoder {
    /// The writer of this column's inputs, and what the training rows didn't have.
    pub(super) fn writer<'a>(&'a self, values: &'a Values) -> (Write<'a>, Unlearnt) {
        let write = match self {
            Encoder::Plain => cells(|row, inputs| inputs[0] = values.number(row) as f32),
            Encoder::Number(e) => match values {
                Values::Bytes(v) => cells(|row, inputs| e.write(v[row].into(), inputs)),
                Values::Numbers(v) | Values::Times(v) => {
                    cells(|row, inputs| e.write(v[row], inputs))
                }
                Values::Texts(_) => cells(|_, inputs| e.write(f64::NAN, inputs)),
            },
            Encoder::Boolean { texts } => match values {
                Values::Bytes(_) | Values::Numbers(_) if is_0_and_1(texts) => {
                    cells(|row, inputs| {
                        let x = values.number(row);
                        inputs[0] = if x.is_nan() { 0.0 } else { (2.0 * x - 1.0) as f32 };
                    })
                }
                // A moment is not yes or no.
                Values::Times(v) => cells(|row, inputs| {
                    inputs[0] = if v[row].is_nan() { 0.0 } else { f32::NAN };
                }),
                _ => signs(texts_of(values), texts),
            },
            Encoder::Category(e) => {
                let texts = texts_of(values);
                let looked = e.places(&texts);
                return ones(texts, looked);
            }
            Encoder::Hash(e) => {
                let texts = texts_of(values);
                let looked = e.places(&texts);
                return ones(texts, looked);
            }
            Encoder::Embedding(e) => {
                let texts = texts_of(values);
                let Looked { of: indices, missing, unknown, is_untold } = e.indices(&texts);
                let write = cells(move |row, inputs| {
                    let code = texts.codes[row] as usize;
                    inputs[0] = indices.get(code).copied().unwrap_or(missing);
                });
                return (write, Unlearnt { codes: unknown, is_untold, is_filled: false });
            }
            Encoder::Moment(e) => match (values, e.table(values)) {
                (Values::Texts(texts), Some(table)) => {
                    let width = e.width();
                    cells(move |row, inputs| {
                        let at = (texts.codes[row] as usize).min(texts.words.len()) * width;
                        inputs.copy_from_slice(&table[at..at + width]);
                    })
                }
                _ => {
                    let moments = e.moments(values);
                    cells(move |row, inputs| e.write(moments[row], inputs))
                }
            },
        };
        let is_filled = match (self, values) {
            (Encoder::Number(e), Values::Numbers(v) | Values::Times(v)) => {
                !e.indicator && v.iter().any(|x| x.is_nan())
            }
            (Encoder::Number(e), Values::Texts(_)) => !e.indicator,
            _ => false,
        };
        (write, Unlearnt { is_filled, ..Unlearnt::default() })
    }
}

/// Whether a column of yes and no was one of 0 and 1, so that other numbers are extrapolated.
pub(super) fn is_0_and_1(texts: &[String; 2]) -> bool {
    texts[0] == "0" && texts[1] == "1"
}

/// Writes the signs of texts.
fn signs<'a>(column: Cow<'a, Texts>, texts: &[String; 2]) -> Write<'a> {
    // With only one text, its absence means no.
    let missing = if texts[0].is_empty() { -1.0 } else { 0.0 };
    let signs: Vec<f32> =
        column.words.iter().map(|word| sign(word, texts).unwrap_or(missing)).collect();
    cells(move |row, inputs| {
        let code = column.codes[row] as usize;
        inputs[0] = signs.get(code).copied().unwrap_or(missing);
    })
}

/// 1 for the second of two texts or an equivalent word, −1 for the first, 2 x − 1 for a number x other
/// than 0 and 1; NaN for any other text. None for only white space, which is missing.
pub(super) fn sign(word: &str, texts: &[String; 2]) -> Option<f32> {
    let form = canonical(word);
    let lower = form.to_lowercase();
    let is = |text: &str| canonical(text).to_lowercase() == lower;
    Some(match (truth(&texts[1]), truth(&form)) {
        _ if form.is_empty() => return None,
        _ if is(&texts[1]) => 1.0,
        _ if is(&texts[0]) => -1.0,
        (Some(yes), Some(said)) => [-1.0, 1.0][usize::from(said == yes)],
        _ if is_0_and_1(texts) => number(&form).map_or(f32::NAN, |x| (2.0 * x - 1.0) as f32),
        _ => f32::NAN,
    })
}

/// The number in a text; also with a decimal comma, unless three digits after it could be
/// thousands.
pub(super) fn number(form: &str) -> Option<f64> {
    let is_fraction = |(_, digits): &(&str, &str)| digits.len() != 3;
    let pointed = || form.split_once(',').filter(is_fraction).map(|(a, b)| format!("{a}.{b}"));
    let parsed = form.parse().ok().or_else(|| pointed()?.parse().ok());
    parsed.filter(|x: &f64| x.is_finite())
}

/// Writes the 1s of the row's text.
fn ones(texts: Cow<'_, Texts>, looked: Looked<Places>) -> (Write<'_>, Unlearnt) {
    let Looked { of: places, missing, unknown, is_untold } = looked;
    let write = cells(move |row, inputs| {
        let places = places.get(texts.codes[row] as usize).unwrap_or(&missing);
        places.iter().for_each(|&place| inputs[place as usize] = 1.0);
    });
    (write, Unlearnt { codes: unknown, is_untold, is_filled: false })
}
