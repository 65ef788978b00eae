//! From columns of any kind to the numbers that a net takes, by what was fitted on the training
//! rows.

mod category;
mod embedding;
mod moment;
mod number;
pub use category::{CategoryEncoder, HashEncoder};
pub use embedding::EmbeddingEncoder;
pub use moment::MomentEncoder;
pub use number::{NumberEncoder, Scaler};

use super::frame::{Frame, Header, MISSING, Texts, Values, number_text};
use super::kind::{Kind, booleans};
use super::table::Fitting;
use super::{Features, time};
use crate::embedding::Embedding;
use crate::error::{Error, Result, nearest};
use crate::matrix::Matrix;
use category::{Places, count};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// What a model remembers of the table that it was trained on: which columns are inputs, how each
/// is turned into numbers, and which are targets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encoding {
    /// The columns of the training table.
    pub header: Header,
    /// The inputs in order, those that are embedded last.
    pub features: Vec<Feature>,
    /// The target columns, in the order of the outputs.
    pub targets: Vec<String>,
    /// What separates the labels of a row, where they stand in one column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub separator: Option<char>,
    /// The column of the rows' weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<String>,
    /// Whether the inputs are the pixels of one image, and stay bytes.
    #[serde(default)]
    pub pixels: bool,
}

/// A column that is turned into inputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// The name of the column.
    pub column: String,
    /// What it is turned into.
    pub encoder: Encoder,
}

/// How a column is turned into inputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoder {
    /// The number as it stands.
    Plain,
    /// A number, scaled.
    Number(NumberEncoder),
    /// Yes is 1, no is −1 and what is missing 0.
    Boolean {
        /// The texts for no and yes; anything else counts as missing.
        texts: [String; 2],
    },
    /// One of a few names.
    Category(CategoryEncoder),
    /// One of many names, told apart by shared inputs.
    Hash(HashEncoder),
    /// One of many names, embedded by the net.
    Embedding(EmbeddingEncoder),
    /// A date or time.
    Moment(MomentEncoder),
}

/// Writes the inputs of a row, which are 0 before.
type Write<'a> = Box<dyn Fn(usize, &mut [f32]) + Send + Sync + 'a>;

impl Encoder {
    /// Fits to the training rows of a column of that kind and name; none for kinds that nothing is
    /// learnt from.
    pub(super) fn fit(
        kind: Kind,
        values: &Values,
        rows: &[usize],
        name: &String,
        fitting: &Fitting,
    ) -> Option<Self> {
        Some(match kind {
            Kind::Number => {
                let log = fitting.log.contains(name);
                Encoder::Number(NumberEncoder::fit(values, rows, fitting.scaling, log))
            }
            Kind::Boolean => match values {
                Values::Texts(texts) => Encoder::Boolean {
                    // One text or nothing: the text is yes.
                    texts: booleans(texts)
                        .or_else(|| texts.words.iter().next().map(|w| [String::new(), w.into()]))?,
                },
                _ => Encoder::Boolean { texts: ["0".into(), "1".into()] },
            },
            Kind::Category => {
                let texts = texts_of(values);
                let counted = count(&texts, rows);
                match (fitting.embed.contains(name), counted.too_many(), fitting.embedding_dims) {
                    (false, false, _) => Encoder::Category(CategoryEncoder::fit(&counted)),
                    (_, _, Some(0)) => Encoder::Hash(HashEncoder::fit(&counted)),
                    (.., dims) => Encoder::Embedding(EmbeddingEncoder::fit(&counted, dims)),
                }
            }
            Kind::Time => {
                let format = match values {
                    Values::Texts(texts) => Some(time::format_of(texts.words.iter())?),
                    _ => None,
                };
                let unfitted = MomentEncoder::fit(format, &[]);
                let all = unfitted.moments(values);
                let training: Vec<f64> = rows.iter().map(|&row| all[row]).collect();
                Encoder::Moment(MomentEncoder::fit(format, &training))
            }
            Kind::Text | Kind::Constant => return None,
        })
    }

    /// The number of inputs.
    #[must_use]
    pub fn width(&self) -> usize {
        match self {
            Encoder::Plain | Encoder::Boolean { .. } | Encoder::Embedding(_) => 1,
            Encoder::Number(e) => e.width(),
            Encoder::Category(e) => e.width(),
            Encoder::Hash(e) => e.width(),
            Encoder::Moment(e) => e.width(),
        }
    }

    /// Whether the column must hold numbers.
    #[must_use]
    pub fn takes_numbers(&self) -> bool {
        match self {
            Encoder::Plain | Encoder::Number(_) => true,
            Encoder::Boolean { texts } => texts[1] == "1",
            Encoder::Moment(e) => e.format.is_none(),
            Encoder::Category(_) | Encoder::Hash(_) | Encoder::Embedding(_) => false,
        }
    }

    /// What it makes, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        let missing = |is_there: bool| if is_there { ", 1 for missing" } else { "" };
        match self {
            Encoder::Plain => "as it is".into(),
            Encoder::Number(e) => {
                let scaler = match &e.scaler {
                    Scaler::Linear { shift, scale } if (*shift, *scale) == (0.0, 1.0) => {
                        "not scaled"
                    }
                    Scaler::Linear { .. } => "scaled",
                    Scaler::Quantile { .. } => "to normal by quantiles",
                };
                let log = if e.log { "logarithm, " } else { "" };
                format!("{log}{scaler}{}", missing(e.indicator))
            }
            Encoder::Boolean { .. } => "−1 and 1".into(),
            Encoder::Category(e) => {
                let other = if e.other { ", 1 for rare ones" } else { "" };
                format!("one-hot: {}{other}{}", e.names.len(), missing(e.missing))
            }
            Encoder::Hash(e) => format!("hashed into {}{}", e.buckets, missing(e.missing)),
            Encoder::Embedding(e) => {
                let missing = if e.missing { ", one of them missing" } else { "" };
                format!("embedded: {} in {} dimensions{missing}", e.values() - 1, e.dims)
            }
            Encoder::Moment(e) => {
                let parts = [("season", e.year), ("time of day", e.day), ("weekday", e.week)];
                let parts = parts.iter().filter(|(_, on)| *on).map(|(name, _)| format!(", {name}"));
                format!("moment{}{}", parts.collect::<String>(), missing(e.indicator))
            }
        }
    }

    /// What writes the inputs of a row of this column.
    fn writer<'a>(&'a self, values: &'a Values) -> Write<'a> {
        match self {
            Encoder::Plain => Box::new(|row, inputs| inputs[0] = values.number(row) as f32),
            Encoder::Number(e) => Box::new(|row, inputs| e.write(values.number(row), inputs)),
            Encoder::Boolean { .. } if !matches!(values, Values::Texts(_)) => {
                Box::new(|row, inputs| {
                    inputs[0] = match values.number(row) {
                        1.0 => 1.0,
                        0.0 => -1.0,
                        _ => 0.0,
                    }
                })
            }
            Encoder::Boolean { texts } => {
                let texts_of = texts_of(values);
                let sign = |word: &str| match word {
                    w if w == texts[1] => 1.0,
                    // With one text only, its absence is what stands against it.
                    w if w == texts[0] => -1.0,
                    _ => 0.0,
                };
                let signs: Vec<f32> = texts_of.words.iter().map(sign).collect();
                let missing = if texts[0].is_empty() { -1.0 } else { 0.0 };
                Box::new(move |row, inputs| {
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
                Box::new(move |row, inputs| {
                    let code = texts.codes[row] as usize;
                    inputs[0] = indices.get(code).copied().unwrap_or(missing);
                })
            }
            Encoder::Moment(e) => {
                if let (Values::Texts(texts), Some(table)) = (values, e.table(values)) {
                    let width = e.width();
                    return Box::new(move |row, inputs| {
                        let at = (texts.codes[row] as usize).min(texts.words.len()) * width;
                        inputs.copy_from_slice(&table[at..at + width]);
                    });
                }
                let moments = e.moments(values);
                Box::new(move |row, inputs| e.write(moments[row], inputs))
            }
        }
    }
}

/// Writes a 1 at the places of the row's text.
fn ones<'a>(texts: Cow<'a, Texts>, (places, missing): (Vec<Places>, Places)) -> Write<'a> {
    Box::new(move |row, inputs| {
        let places = places.get(texts.codes[row] as usize).unwrap_or(&missing);
        places.iter().for_each(|&place| inputs[place as usize] = 1.0);
    })
}

/// The values as texts, numbers as people write them.
pub(super) fn texts_of(values: &Values) -> Cow<'_, Texts> {
    match values {
        Values::Texts(texts) => Cow::Borrowed(texts),
        _ => {
            let mut texts = Texts::default();
            for row in 0..values.len() {
                match values.is_missing(row) {
                    true => texts.codes.push(MISSING),
                    false => texts.push(Some(&number_text(values.number(row)))),
                }
            }
            Cow::Owned(texts)
        }
    }
}

/// Where the columns of an encoding stand in a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The place of each feature's column.
    pub features: Vec<usize>,
    /// The places of the targets; none where one is missing.
    pub targets: Option<Vec<usize>>,
    /// The place of the weights' column, where there is one.
    pub weight: Option<usize>,
}

impl Encoding {
    /// The encoding of columns without names that are taken as they are: `features` of them, then
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

    /// The number of inputs that it makes.
    #[must_use]
    pub fn width(&self) -> usize {
        self.features.iter().map(|f| f.encoder.width()).sum()
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

    /// Finds the columns in another table: by name, or where one of the two has no names, by place;
    /// then the targets may be left out.
    ///
    /// # Errors
    /// When a feature's column is missing, or the number of columns is another one.
    pub fn locate(&self, header: &Header) -> Result<Located> {
        let names: Cow<[String]> = match (self.header.named, header.named) {
            (true, true) => Cow::Borrowed(&header.names),
            _ => Cow::Owned(self.names_by_place(header.names.len())?),
        };
        let find = |name: &String| names.iter().position(|n| n == name);
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

    /// Takes other columns for the targets: those of these names, or numbers from 1 on.
    ///
    /// # Errors
    /// When there are no such columns, or not as many as the model has targets.
    pub(super) fn rename_targets(&mut self, targets: &[String], header: &Header) -> Result<()> {
        if targets.len() != self.targets.len() {
            return Err(Error::usage(format!(
                "{} target columns, but the model has {}",
                targets.len(),
                self.targets.len()
            ))
            .help("name as many as in training"));
        }
        let find = |name: &String| {
            let number = || name.parse::<usize>().ok()?.checked_sub(1);
            let place = header.place(name).or_else(number);
            place.and_then(|place| header.names.get(place)).cloned().ok_or_else(|| {
                Error::usage(format!("there is no target column {name:?}"))
                    .help(suggestion(name, &header.names))
            })
        };
        let renamed: Vec<String> = targets.iter().map(find).collect::<Result<_>>()?;
        if let Some(name) = renamed.iter().find(|n| self.features.iter().any(|f| f.column == **n)) {
            return Err(Error::usage(format!(
                "the target {name:?} is one of the model's features"
            )));
        }
        for (old, new) in self.targets.iter().zip(&renamed) {
            self.header.names.iter_mut().filter(|n| *n == old).for_each(|n| n.clone_from(new));
        }
        self.targets = renamed;
        Ok(())
    }

    /// The names of so many columns without names.
    fn names_by_place(&self, cols: usize) -> Result<Vec<String>> {
        let all = &self.header.names;
        if cols == all.len() {
            return Ok(all.clone());
        }
        let others: Vec<String> =
            all.iter().filter(|n| !self.targets.contains(n)).cloned().collect();
        if cols == others.len() {
            return Ok(others);
        }
        Err(Error::data(format!(
            "{cols} columns, but the model was trained on a table of {}, {} of them {}",
            all.len(),
            self.targets.len(),
            if self.targets.len() == 1 { "the target" } else { "targets" }
        ))
        .help("without names in a header, give the columns of the training data in the same order, with or without the targets"))
    }

    /// The inputs of some rows of a table, or of all: (rows, inputs).
    ///
    /// # Errors
    /// When a column is missing or holds something else than in training.
    pub fn encode(&self, frame: &Frame, rows: Option<&[usize]>) -> Result<Features> {
        let places = self.locate(&frame.header)?.features;
        let mut columns = Vec::with_capacity(places.len());
        for (feature, &place) in self.features.iter().zip(&places) {
            let missing = || {
                Error::data(format!("the column {:?} was not read", feature.column))
                    .help("name it among the columns")
            };
            let values = frame.columns[place].as_ref().ok_or_else(missing)?;
            let is_text = matches!(values, Values::Texts(_));
            if is_text && feature.encoder.takes_numbers() {
                return Err(Error::data("texts, where the model was trained on numbers")
                    .at(frame.header.describe(place))
                    .help("give the column as it was in the training data"));
            }
            columns.push(values);
        }
        let count = rows.map_or(frame.rows, <[usize]>::len);
        let row_of = |i: usize| rows.map_or(i, |rows| rows[i]);
        if self.pixels
            && let Some(bytes) = columns
                .iter()
                .map(|c| if let Values::Bytes(b) = c { Some(&b[..]) } else { None })
                .collect::<Option<Vec<&[u8]>>>()
        {
            let mut all = vec![0; count * bytes.len()];
            all.par_chunks_mut(bytes.len().max(1) * ROWS).enumerate().for_each(|(block, out)| {
                for (i, out) in out.chunks_exact_mut(bytes.len()).enumerate() {
                    let row = row_of(block * ROWS + i);
                    out.iter_mut().zip(&bytes).for_each(|(x, column)| *x = column[row]);
                }
            });
            return Ok(Features::U8(Matrix::new(count, bytes.len(), all)?));
        }
        let width = self.width();
        let writers: Vec<(usize, Write)> = self
            .features
            .iter()
            .zip(columns)
            .map(|(f, values)| (f.encoder.width(), f.encoder.writer(values)))
            .collect();
        let mut all = vec![0.0; count * width];
        all.par_chunks_mut(width.max(1) * ROWS).enumerate().for_each(|(block, out)| {
            let mut at = 0;
            for (width_of_it, write) in &writers {
                for (i, inputs) in out.chunks_exact_mut(width).enumerate() {
                    write(row_of(block * ROWS + i), &mut inputs[at..at + width_of_it]);
                }
                at += width_of_it;
            }
        });
        Ok(Features::F32(Matrix::new(count, width, all)?))
    }
}

/// Rows that a thread encodes at a time.
const ROWS: usize = 256;

/// The nearest name, and the ones there are.
pub(super) fn suggestion(name: &str, names: &[String]) -> String {
    let hint = nearest(name, names.iter().map(String::as_str))
        .map(|n| format!("did you mean {n}? "))
        .unwrap_or_default();
    let listed = names.iter().take(20).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = if names.len() > 20 { ", …" } else { "" };
    format!("{hint}the columns are {listed}{more}")
}
