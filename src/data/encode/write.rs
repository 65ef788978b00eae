//! The inputs of a column, written into rows.

use super::category::Places;
use super::{Encoder, texts_of};
use crate::data::frame::{Texts, Values};
use crate::data::kind::truth;
use std::borrow::Cow;
use std::ops::Range;

/// The places of one column's inputs in a block of rows, which hold 0 before.
pub(super) struct Block<'a> {
    /// All inputs of these rows: (rows, width).
    pub(super) inputs: &'a mut [f32],
    pub(super) width: usize,
    /// Where the column's own inputs stand in a row.
    pub(super) own: Range<usize>,
    /// The rows of the table; none where they follow each other from `first` on.
    pub(super) rows: Option<&'a [usize]>,
    pub(super) first: usize,
}

/// Writes the inputs of a column.
pub(super) type Write<'a> = Box<dyn Fn(Block<'_>) + Send + Sync + 'a>;

/// What writes the inputs of a column cell by cell, by the row of the table: a call for each block, a
/// loop within it.
fn cells<'a>(write: impl Fn(usize, &mut [f32]) + Send + Sync + 'a) -> Write<'a> {
    Box::new(move |Block { inputs, width, own, rows, first }| {
        let inputs = inputs.chunks_exact_mut(width).map(|row| &mut row[own.clone()]);
        match rows {
            Some(rows) => rows.iter().zip(inputs).for_each(|(&row, inputs)| write(row, inputs)),
            None => inputs.enumerate().for_each(|(i, inputs)| write(first + i, inputs)),
        }
    })
}

impl Encoder {
    /// What writes the inputs of this column.
    pub(super) fn writer<'a>(&'a self, values: &'a Values) -> Write<'a> {
        match self {
            Encoder::Plain => cells(|row, inputs| inputs[0] = values.number(row) as f32),
            Encoder::Number(e) => match values {
                Values::Bytes(v) => cells(|row, inputs| e.write(v[row].into(), inputs)),
                Values::Numbers(v) | Values::Times(v) => {
                    cells(|row, inputs| e.write(v[row], inputs))
                }
                Values::Texts(_) => cells(|_, inputs| e.write(f64::NAN, inputs)),
            },
            Encoder::Boolean { .. } if self.takes_numbers() => cells(|row, inputs| {
                let x = values.number(row);
                inputs[0] = if x.is_nan() { 0.0 } else { (2.0 * x - 1.0) as f32 };
            }),
            Encoder::Boolean { texts } => {
                let texts_of = texts_of(values);
                let signs: Vec<f32> = texts_of.words.iter().map(|w| sign(w, texts)).collect();
                // With one text only, its absence is what stands against it.
                let missing = if texts[0].is_empty() { -1.0 } else { 0.0 };
                cells(move |row, inputs| {
                    let code = texts_of.codes[row] as usize;
                    inputs[0] = signs.get(code).copied().unwrap_or(missing);
                })
            }
            Encoder::Category(e) => {
                let texts = texts_of(values);
                let places = e.places(&texts);
                ones(texts, places)
            }
            Encoder::Hash(e) => {
                let texts = texts_of(values);
                let places = e.places(&texts);
                ones(texts, places)
            }
            Encoder::Embedding(e) => {
                let texts = texts_of(values);
                let (indices, missing) = e.indices(&texts);
                cells(move |row, inputs| {
                    let code = texts.codes[row] as usize;
                    inputs[0] = indices.get(code).copied().unwrap_or(missing);
                })
            }
            Encoder::Moment(e) => {
                if let (Values::Texts(texts), Some(table)) = (values, e.table(values)) {
                    let width = e.width();
                    return cells(move |row, inputs| {
                        let at = (texts.codes[row] as usize).min(texts.words.len()) * width;
                        inputs.copy_from_slice(&table[at..at + width]);
                    });
                }
                let moments = e.moments(values);
                cells(move |row, inputs| e.write(moments[row], inputs))
            }
        }
    }
}

/// 1 for the second of two texts or what means the same, −1 for the first; no number for what means
/// neither.
fn sign(word: &str, texts: &[String; 2]) -> f32 {
    let is = |text: &str| word.to_lowercase() == text.to_lowercase();
    match (truth(&texts[1]), truth(word)) {
        _ if is(&texts[1]) => 1.0,
        _ if is(&texts[0]) => -1.0,
        (Some(yes), Some(said)) => [-1.0, 1.0][usize::from(said == yes)],
        _ => f32::NAN,
    }
}

/// Writes a 1 at the places of the row's text.
fn ones<'a>(texts: Cow<'a, Texts>, (places, missing): (Vec<Places>, Places)) -> Write<'a> {
    cells(move |row, inputs| {
        let places = places.get(texts.codes[row] as usize).unwrap_or(&missing);
        places.iter().for_each(|&place| inputs[place as usize] = 1.0);
    })
}
