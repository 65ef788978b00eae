//! Tables whose columns are in memory: analyzed, and read for a trained model, like those of files.

use super::table::{self, Table};
use crate::base::error::{Error, Result};
use crate::base::words::count;
use crate::data::columns::frame::{Frame, Header, MarkCounts, Values};
use crate::data::columns::lines::Lines;
use crate::data::formats::want::{Rows, Selection, Want, as_wanted, check_read};
use crate::data::{DataOptions, Dataset, Encoder, Features, OnUnknown, Preprocessing};
use crate::math::matrix::Matrix;
use std::sync::Arc;

impl Frame {
    /// Columns in memory, all with the same number of rows.
    ///
    /// # Errors
    /// When the number of names isn't that of columns, or columns have different numbers of rows.
    pub(crate) fn of_columns(header: Header, columns: Vec<Values>) -> Result<Self> {
        if header.names.len() != columns.len() {
            return Err(Error::usage(format!(
                "{} names for {} columns",
                header.names.len(),
                columns.len()
            )));
        }
        let rows = columns.first().map_or(0, Values::len);
        if let Some(place) = columns.iter().position(|values| values.len() != rows) {
            let found = columns[place].len();
            return Err(Error::usage(format!(
                "{}, but the first column has {rows}",
                count(found, "row")
            ))
            .at(header.describe(place))
            .help("give each column the same number of values"));
        }
        Ok(Frame {
            header: Arc::new(header),
            columns: columns.into_iter().map(Some).collect(),
            rows,
            lines: Lines::of_rows(0),
            warnings: Vec::new(),
            marks: MarkCounts::new(),
        })
    }
}

impl Values {
    /// Numbers, stored as when read from text: as bytes if all are whole and from 0 to 255.
    #[must_use]
    pub(crate) fn of_numbers(numbers: impl ExactSizeIterator<Item = f64> + Clone) -> Self {
        // The comparison of bits distinguishes −0 from 0.
        let is_byte = |x: f64| f64::from(x as u8).to_bits() == x.to_bits();
        match numbers.clone().all(is_byte) {
            true => Values::Bytes(numbers.map(|x| x as u8).collect()),
            false => Values::Numbers(numbers.collect()),
        }
    }
}

impl Table {
    /// A table of columns in memory for training, optionally with a weight for each row.
    ///
    /// # Errors
    /// As for a table of a file: for columns that can't be features, and an invalid target.
    pub(crate) fn of_frame(
        name: &str,
        frame: Frame,
        weights: Option<Vec<f32>>,
        options: &DataOptions,
    ) -> Result<Self> {
        let wanted = table::wanted(&frame.header, &options.columns, options.task)?;
        let frame = read(frame, wanted, &options.text.missing)?;
        let table = Table::new(name.into(), frame, options)?;
        if let Some(weights) = weights.as_ref().filter(|weights| weights.len() != table.rows()) {
            let (found, rows) = (weights.len(), table.rows());
            return Err(Error::usage(format!(
                "{} for {} with a target",
                count(found, "weight"),
                count(rows, "row")
            ))
            .at("sample_weight")
            .help("remove the rows without a target, and their weights"));
        }
        Ok(table.with_weights(weights))
    }
}

impl Preprocessing {
    /// The rows of columns in memory with their targets, encoded for the net.
    ///
    /// # Errors
    /// When columns are missing, or a value can't be encoded.
    pub(crate) fn measured_frame(&self, name: &str, frame: Frame) -> Result<Dataset> {
        let wanted = wants(&frame.header, self, true)?;
        let frame = read(frame, wanted, &[])?;
        self.measured(name, &frame, OnUnknown::Warn).map(|(data, _)| data)
    }

    /// The features of columns in memory, encoded for the net: (rows, features).
    ///
    /// # Errors
    /// As [`Preprocessing::measured_frame`].
    pub(crate) fn features_of(&self, frame: Frame) -> Result<Arc<Features>> {
        if self.encoding.is_none() {
            return self.plain_features(&frame).map(Arc::new);
        }
        let wanted = wants(&frame.header, self, false)?;
        let frame = read(frame, wanted, &[])?;
        self.encoded(&frame).map(Arc::new)
    }

    /// The features for a model of a matrix, whose columns have no names.
    fn plain_features(&self, frame: &Frame) -> Result<Features> {
        let columns: Vec<&Values> = frame.columns.iter().flatten().collect();
        let bytes = columns.iter().map(|values| match values {
            Values::Bytes(bytes) => Some(bytes),
            _ => None,
        });
        let bytes: Option<Vec<&Vec<u8>>> = bytes.collect();
        let features = match bytes {
            Some(bytes) => {
                Features::U8(Matrix::from_fn(frame.rows, bytes.len(), |r, c| bytes[c][r]))
            }
            None => Features::F32(Matrix::from_fn(frame.rows, columns.len(), |r, c| {
                columns[c].number(r) as f32
            })),
        };
        self.check_width(&features)?;
        Ok(features)
    }
}

/// The columns as they are wanted.
fn read(frame: Frame, wanted: Vec<Want>, missing: &[String]) -> Result<Frame> {
    let selection = Selection::from(wanted);
    check_read(&frame, &selection)?;
    let mut rows = Rows::of_frame(frame);
    as_wanted(&mut rows, &selection.wanted, missing);
    Ok(rows.sound()?.frame)
}

/// What a trained model needs of each column of a table, with or without its targets.
///
/// # Errors
/// When a column is missing.
pub(in crate::data) fn wants(
    header: &Header,
    known: &Preprocessing,
    with_targets: bool,
) -> Result<Vec<Want>> {
    let mut wanted = vec![Want::Nothing; header.names.len()];
    let Some(encoding) = &known.encoding else { return Ok(wanted) };
    let located = encoding.locate(header)?;
    for (feature, &place) in encoding.features.iter().zip(&located.features) {
        wanted[place] = match &feature.encoder {
            // Yes and no may be written as 0 and 1 here, and as words in training, or the other way
            // round. Moments are neither, and are refused while they can still be recognized.
            Encoder::Moment(_) | Encoder::Boolean { .. } => Want::Moment,
            encoder if encoder.takes_numbers() => Want::Number,
            _ => Want::Text,
        };
    }
    if with_targets {
        let is_class = known.classes.is_some() || known.labels.is_some();
        for &place in located.targets.iter().flatten() {
            wanted[place] = if is_class { Want::Class } else { Want::Number };
        }
        if let Some(place) = located.weight {
            wanted[place] = Want::Number;
        }
    }
    Ok(wanted)
}
