//! The encoding of columns of any kind as inputs of a net, fitted to the training
//! rows.

mod alike;
pub(super) mod canonical;
mod category;
mod embedding;
mod encoder;
mod fault;
mod look;
mod moment;
mod number;
#[cfg(feature = "data")]
mod raw;
mod seen;
mod unknown;
mod write;
pub(super) use canonical::canonical;
pub use category::{Categories, CategoryEncoder, HashEncoder};
pub use embedding::EmbeddingEncoder;
pub use encoder::Encoder;
pub(super) use fault::{not_finite, out_of_scale};
pub use moment::MomentEncoder;
pub use number::{NumberEncoder, Scaler};
#[cfg(feature = "data")]
pub use raw::{Lookup, RawColumn};
pub use seen::{Hashes, Seen};
pub(super) use unknown::Unknown;
pub use unknown::{OnUnknown, UnknownCategories, UnknownColumn, UnknownExample};

use super::Features;
use super::columns::frame::{Frame, Header, Values, places_by_name};
use super::tables::roles::places_of;
use crate::base::error::{Error, Result};
use crate::base::pages::zeros;
use crate::base::parallel::*;
use crate::data::tables::roles::suggestion;
use crate::math::embedding::Embedding;
use crate::math::matrix::Matrix;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;
use write::{Block, Write};

/// A model's description of its training table: which columns are inputs, how each
/// is converted to numbers, and which are targets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encoding {
    /// The columns of the training table.
    pub header: Header,
    /// The inputs in order, those that are embedded last.
    pub features: Vec<Feature>,
    /// The target columns, in the order of the outputs.
    pub targets: Vec<String>,
    /// The separator of the labels of a row, if they are in one column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub separator: Option<char>,
    /// The column of the rows' weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<String>,
    /// Whether the inputs are the pixels of one image, and remain bytes.
    #[serde(default)]
    pub pixels: bool,
}

/// A column that is converted to inputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// The name of the column.
    pub column: String,
    /// Its conversion to inputs.
    pub encoder: Encoder,
}

/// The positions of an encoding's columns in a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The index of each feature's column.
    pub features: Vec<usize>,
    /// The indices of the targets; none if one is missing.
    pub targets: Option<Vec<usize>>,
    /// The index of the weights' column, if there is one.
    pub weight: Option<usize>,
}

impl Encoding {
    /// The encoding of columns without names that are used unchanged: `features` of them, then
    /// `targets`.
    #[must_use]
    pub fn plain(features: usize, targets: usize) -> Self {
        let header = Header::numbered(features + targets);
        let feature = |name: &String| Feature { column: name.clone(), encoder: Encoder::Plain };
        Encoding {
            features: header.names[..features].iter().map(feature).collect(),
            targets: header.names[features..].to_vec(),
            separator: None,
            weight: None,
            pixels: false,
            header,
        }
    }

    /// The number of inputs that it produces.
    #[must_use]
    pub fn width(&self) -> usize {
        // A model file may contain any number: the sum must not wrap around.
        self.features.iter().fold(0, |sum, f| sum.saturating_add(f.encoder.width()))
    }

    /// The embeddings of the last of its inputs.
    #[must_use]
    pub fn embeddings(&self) -> Vec<Embedding> {
        let of = |f: &Feature| match &f.encoder {
            Encoder::Embedding(e) => Some(e.embedding()),
            _ => None,
        };
        self.features.iter().filter_map(of).collect()
    }

    /// Finds the columns in another table: by name, or if one of the two has no names, by position;
    /// then the targets may be omitted.
    ///
    /// # Errors
    /// When a feature's column is missing, or the number of columns is another one.
    pub fn locate(&self, header: &Header) -> Result<Located> {
        let names: Cow<[String]> = match (self.header.named, header.named) {
            (true, true) => Cow::Borrowed(&header.names),
            _ => Cow::Owned(self.names_by_place(header.names.len())?),
        };
        // Tables may have tens of thousands of columns: no linear search for each.
        let places = places_by_name(&names);
        let find = |name: &String| places.get(name.as_str()).copied();
        let feature = |f: &Feature| {
            find(&f.column).ok_or_else(|| {
                Error::data(format!("the column {:?}, which the model needs, is missing", f.column))
                    .help(suggestion(&f.column, &names))
            })
        };
        Ok(Located {
            features: self.features.iter().map(feature).collect::<Result<_>>()?,
            targets: self.targets.iter().map(find).collect(),
            weight: self.weight.as_ref().and_then(find),
        })
    }

    /// Uses other columns as the targets: those with these names, or numbers from 1 on.
    ///
    /// # Errors
    /// When there are no such columns, or not as many as the model has targets.
    pub(super) fn rename_targets(&mut self, targets: &[String], header: &Header) -> Result<()> {
        let places = places_of(header, "target column", targets)?;
        if places.len() != self.targets.len() {
            return Err(Error::usage(format!(
                "{} target columns, but the model has {}",
                places.len(),
                self.targets.len()
            ))
            .help("name as many targets as in training"));
        }
        let renamed: Vec<String> =
            places.into_iter().map(|place| header.names[place].clone()).collect();
        if let Some(name) = renamed.iter().find(|n| self.features.iter().any(|f| f.column == **n)) {
            return Err(Error::usage(format!(
                "the target {name:?} is one of the model's features"
            )));
        }
        let places: Vec<Option<usize>> = {
            let places = places_by_name(&self.header.names);
            self.targets.iter().map(|old| places.get(old.as_str()).copied()).collect()
        };
        for (place, new) in places.into_iter().zip(&renamed) {
            if let Some(place) = place {
                self.header.names[place].clone_from(new);
            }
        }
        self.targets = renamed;
        Ok(())
    }

    /// The names for `cols` columns without names.
    fn names_by_place(&self, cols: usize) -> Result<Vec<String>> {
        let all = &self.header.names;
        if cols == all.len() {
            return Ok(all.clone());
        }
        let targets: HashSet<&String> = self.targets.iter().collect();
        let others: Vec<String> = all.iter().filter(|n| !targets.contains(n)).cloned().collect();
        if cols == others.len() {
            return Ok(others);
        }
        let help = match self.header.named {
            true => {
                "without names in a header, give the columns of the training data in the same order, with or without the targets"
            }
            false => {
                "the model identifies its columns by position: give them in that order and no others, with or without the targets"
            }
        };
        Err(Error::data(format!(
            "{cols} column{}, but the model takes {}, or {} with {}",
            if cols == 1 { "" } else { "s" },
            others.len(),
            all.len(),
            if self.targets.len() == 1 { "the target" } else { "the targets" }
        ))
        .help(help))
    }

    /// The index and the values of each feature's column in a table.
    fn columns<'a>(&self, frame: &'a Frame) -> Result<Vec<(usize, &'a Values)>> {
        let places = self.locate(&frame.header)?.features;
        let mut columns = Vec::with_capacity(places.len());
        for (feature, place) in self.features.iter().zip(places) {
            let missing = || {
                Error::data(format!("the column {:?} was not read", feature.column))
                    .help("name it among the columns")
            };
            let values = frame.columns[place].as_ref().ok_or_else(missing)?;
            let is_text = matches!(values, Values::Texts(_));
            if is_text && feature.encoder.takes_numbers() {
                return Err(Error::data(
                    "the column holds texts, but the model was trained on numbers",
                )
                .at(frame.header.describe(place))
                .help("give the column as it was in the training data"));
            }
            columns.push((place, values));
        }
        Ok(columns)
    }

    /// The inputs of some rows of a table, or of all: (rows, inputs). A value that is invalid for its
    /// column, or that f32 can't hold, becomes an input that isn't finite.
    ///
    /// # Errors
    /// When a column is missing or has another type than in training.
    pub fn encode(&self, frame: &Frame, rows: Option<&[usize]>) -> Result<Features> {
        Ok(self.encode_and_look(frame, rows)?.0)
    }

    /// As [`Encoding::encode`], with the unknown categories of the columns, whether
    /// or not they are in these rows.
    pub(super) fn encode_and_look(
        &self,
        frame: &Frame,
        rows: Option<&[usize]>,
    ) -> Result<(Features, Vec<Unknown>)> {
        let columns = self.columns(frame)?;
        let count = rows.map_or(frame.rows, <[usize]>::len);
        let row_of = |i: usize| rows.map_or(i, |rows| rows[i]);
        if self.pixels
            && let Some(bytes) = columns
                .iter()
                .map(|(_, c)| if let Values::Bytes(b) = c { Some(&b[..]) } else { None })
                .collect::<Option<Vec<&[u8]>>>()
        {
            let mut all: Vec<u8> = zeros(count * bytes.len());
            all.par_chunks_mut(bytes.len().max(1) * ROWS).enumerate().for_each(|(block, out)| {
                for (i, out) in out.chunks_exact_mut(bytes.len()).enumerate() {
                    let row = row_of(block * ROWS + i);
                    out.iter_mut().zip(&bytes).for_each(|(x, column)| *x = column[row]);
                }
            });
            return Ok((Features::U8(Matrix::new(count, bytes.len(), all)?), Vec::new()));
        }
        let width = self.width();
        let mut writers: Vec<(Range<usize>, Write)> = Vec::new();
        let mut unknown = Vec::new();
        for (k, (feature, (place, values))) in self.features.iter().zip(columns).enumerate() {
            let begin = writers.last().map_or(0, |(own, _)| own.end);
            let own = begin..begin + feature.encoder.width();
            let (write, looked) = feature.encoder.writer(values);
            writers.push((own, write));
            unknown.extend(Unknown::of(k, place, looked));
        }
        let mut all: Vec<f32> = zeros(count * width);
        all.par_chunks_mut(width.max(1) * ROWS).enumerate().for_each(|(block, inputs)| {
            let first = block * ROWS;
            let rows = rows.map(|rows| &rows[first..]);
            for (own, write) in &writers {
                write(Block { inputs: &mut *inputs, width, own: own.clone(), rows, first });
            }
        });
        Ok((Features::F32(Matrix::new(count, width, all)?), unknown))
    }
}

/// The number of rows that a thread encodes at a time: few enough that their inputs stay in its cache.
const ROWS: usize = 64;
