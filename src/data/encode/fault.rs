//! Rows of which an encoding makes no finite numbers, and what is wrong with them.

use super::canonical::canonical;
use super::write::{is_0_and_1, number};
use super::{Encoder, Encoding};
use crate::base::error::Error;
use crate::data::Features;
use crate::data::columns::frame::{Frame, Values};

/// What to do about a number that is too large.
const CURE: &str = "f32 ends at 3.4e38: correct it; or train with --scaling quantile, with --log-transform, or without the column, by --ignore";

/// The rows with an input that isn't a finite number, and the first of these: (row, input).
pub(in crate::data) fn not_finite(features: &Features) -> Vec<(usize, usize)> {
    let Features::F32(values) = features else { return Vec::new() };
    // All at once first: hardly ever is there one.
    if values.data().iter().fold(true, |all, x| all & x.is_finite()) {
        return Vec::new();
    }
    let first = |row: &[f32]| row.iter().position(|x| !x.is_finite());
    values.iter_rows().enumerate().filter_map(|(i, row)| Some((i, first(row)?))).collect()
}

impl Encoding {
    /// What is wrong with the value of a row of which that input came out as no finite number, and in
    /// which column it stands.
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
    /// What is wrong with a value of which it makes no finite number; `name` is its column's.
    fn fault(&self, values: &Values, row: usize, name: &str) -> Error {
        const CORRECT: &str = "correct it, or leave the value out if it is missing";
        let text = values.text(row).unwrap_or_default();
        match self {
            Encoder::Moment(encoder) => Error::data(format!(
                "{text:?} is not a date or time of the form {}",
                encoder.form()
            ))
            .help(CORRECT),
            Encoder::Boolean { .. } if matches!(values, Values::Times(_)) => {
                Error::data("a date or time is neither yes nor no").help(CORRECT)
            }
            Encoder::Boolean { texts } => {
                let [no, yes] = texts;
                let is_number = is_0_and_1(texts);
                Error::data(match number(&canonical(&text)).filter(|_| is_number) {
                    Some(x) => return Error::data(too_large(x)).help(CURE),
                    None if is_number => format!("{text:?} is not a number"),
                    None if no.is_empty() => {
                        format!("{text:?}, where the training rows have {yes:?} or nothing")
                    }
                    None => format!("{text:?} is neither {no:?} nor {yes:?}"),
                })
                .help(format!(
                    "{CORRECT}; or train with --categorical {name}, if there are more than these"
                ))
            }
            Encoder::Plain => Error::data(match values.is_missing(row) {
                true => "a value is missing".into(),
                false => too_large(values.number(row)),
            })
            .help("the net takes this column as it is: give every row a number that f32 holds"),
            _ => Error::data(too_large(values.number(row))).help(CURE),
        }
    }
}

/// What is wrong with the first of these rows whose number f32 can't hold, for a column whose numbers
/// are too far apart to be scaled; and where it stands.
pub(in crate::data) fn out_of_scale(frame: &Frame, place: usize, rows: &[usize]) -> Error {
    let number = |row: usize| frame.columns[place].as_ref().map_or(f64::NAN, |v| v.number(row));
    let row = rows.iter().copied().find(|&row| number(row).abs() > f32::MAX.into());
    let at = row.map_or(String::new(), |row| format!("{}, ", frame.describe_row(row)));
    Error::data(too_large(row.map_or(f64::INFINITY, number)))
        .at(format!("{at}{}", frame.header.describe(place)))
        .help(CURE)
}

/// What is wrong with a number that f32 can't hold, by itself or after scaling.
fn too_large(x: f64) -> String {
    let scaled = if x.abs() <= f32::MAX.into() { " after scaling" } else { "" };
    format!("{x:e} overflows f32{scaled}")
}
