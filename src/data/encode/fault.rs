//! Rows whose encoding isn't finite, and the errors for them.

use super::canonical::canonical;
use super::write::{is_0_and_1, number};
use super::{Encoder, Encoding};
use crate::base::error::Error;
use crate::data::Features;
use crate::data::columns::frame::{Frame, Values};

/// The advice for a number that is too large.
const CURE: &str = "the largest f32 is 3.4e38: correct the value; or train with --scaling quantile, with --log-transform, or without the column (--ignore)";

/// The rows with an input that isn't a finite number, and the first of these: (row, input).
pub(in crate::data) fn not_finite(features: &Features) -> Vec<(usize, usize)> {
    let Features::F32(values) = features else { return Vec::new() };
    // All values at once first: usually all are finite.
    if values.data().iter().fold(true, |all, x| all & x.is_finite()) {
        return Vec::new();
    }
    let first = |row: &[f32]| row.iter().position(|x| !x.is_finite());
    values.iter_rows().enumerate().filter_map(|(i, row)| Some((i, first(row)?))).collect()
}

impl Encoding {
    /// The error for the value of a row whose input `input` isn't finite, with its column.
    pub(in crate::data) fn fault(&self, frame: &Frame, row: usize, input: usize) -> Error {
        let mut ends = self.features.iter().scan(0, |end, f| {
            *end += f.encoder.width();
            Some(*end)
        });
        let place = ends.position(|end| input < end);
        let located = self.locate(&frame.header).ok();
        let found = place.zip(located).and_then(|(feature, located)| {
            let (encoder, place) = (&self.features[feature].encoder, located.features[feature]);
            let values = frame.columns[place].as_ref()?;
            let name = &self.features[feature].column;
            Some(encoder.fault(values, row, name).at(frame.header.describe(place)))
        });
        found.unwrap_or_else(|| Error::data("a value can't be encoded"))
    }
}

impl Encoder {
    /// The error for a value whose encoding isn't finite; `name` is its column's.
    fn fault(&self, values: &Values, row: usize, name: &str) -> Error {
        const CORRECT: &str = "correct it, or leave the cell empty if the value is missing";
        let text = values.text(row).unwrap_or_default();
        match self {
            Encoder::Moment(encoder) => Error::data(format!(
                "{text:?} is not a date or time in the format {}",
                encoder.form()
            ))
            .help(CORRECT),
            Encoder::Boolean { .. } if matches!(values, Values::Times(_)) => {
                Error::data("a date or time is not yes or no").help(CORRECT)
            }
            Encoder::Boolean { texts } => {
                let [no, yes] = texts;
                let is_number = is_0_and_1(texts);
                Error::data(match number(&canonical(&text)).filter(|_| is_number) {
                    Some(x) => return Error::data(too_large(x)).help(CURE),
                    None if is_number => format!("{text:?} is not a number"),
                    None if no.is_empty() => {
                        format!("{text:?}, but the training rows have {yes:?} or nothing")
                    }
                    None => format!("{text:?} is neither {no:?} nor {yes:?}"),
                })
                .help(format!(
                    "{CORRECT}; or train with --categorical {name}, if there are more values than these"
                ))
            }
            Encoder::Plain => Error::data(match values.is_missing(row) {
                true => "a value is missing".into(),
                false => too_large(values.number(row)),
            })
            .help("this column isn't scaled: give every row a number in the range of f32"),
            _ => Error::data(too_large(values.number(row))).help(CURE),
        }
    }
}

/// The error for the first of these rows whose number f32 can't hold, with its position, for a column whose
/// range is too large for scaling.
pub(in crate::data) fn out_of_scale(frame: &Frame, place: usize, rows: &[usize]) -> Error {
    let number = |row: usize| frame.columns[place].as_ref().map_or(f64::NAN, |v| v.number(row));
    let row = rows.iter().copied().find(|&row| number(row).abs() > f32::MAX.into());
    let at = row.map_or(String::new(), |row| format!("{}, ", frame.describe_row(row)));
    Error::data(too_large(row.map_or(f64::INFINITY, number)))
        .at(format!("{at}{}", frame.header.describe(place)))
        .help(CURE)
}

/// The description of a number that f32 can't hold, unscaled or scaled.
fn too_large(x: f64) -> String {
    let scaled = if x.abs() <= f32::MAX.into() { " after scaling" } else { "" };
    format!("{x:e} overflows f32{scaled}")
}
