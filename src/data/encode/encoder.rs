//! How a column is converted to inputs, fitted to the training rows.

use super::category::count;
use super::{CategoryEncoder, EmbeddingEncoder, HashEncoder, MomentEncoder, NumberEncoder, Scaler};
use crate::data::columns::frame::Values;
use crate::data::columns::frame::texts_of;
use crate::data::columns::kind::{Kind, booleans};
use crate::data::tables::column::Column;
use crate::data::tables::fitting::Fitting;
use serde::{Deserialize, Serialize};

/// How a column is converted to inputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoder {
    /// The unchanged number.
    Plain,
    /// A number, scaled.
    Number(NumberEncoder),
    /// Yes is 1, no is −1 and a missing value 0. A number x in a column of 0 and 1 becomes 2 x − 1: the
    /// column may be a count that happened to be 0 and 1 in the training rows.
    Boolean {
        /// The texts for no and yes. Without the first, a missing value means no. Other words of the same
        /// meaning are accepted too, including 0 and 1.
        texts: [String; 2],
    },
    /// One of a few names.
    Category(CategoryEncoder),
    /// One of many names, represented by shared inputs.
    Hash(HashEncoder),
    /// One of many names, embedded by the net.
    Embedding(EmbeddingEncoder),
    /// A date or time.
    Moment(MomentEncoder),
}

impl Encoder {
    /// Fits to the training rows of a column of that kind; none for kinds that aren't
    /// features.
    pub(in crate::data) fn fit(
        kind: Kind,
        values: &Values,
        rows: &[usize],
        column: &Column,
        fitting: &Fitting,
    ) -> Option<Self> {
        let (name, dates) = (&column.name, column.dates.as_ref());
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
                let counted = match fitting.counted.get(name) {
                    Some(all) => all.counted(),
                    None => count(&texts, rows),
                };
                match () {
                    () if fitting.one_hot.contains(name) => {
                        Encoder::Category(CategoryEncoder::fit(&counted))
                    }
                    () if fitting.hash.contains(name) => Encoder::Hash(HashEncoder::fit(&counted)),
                    () if !counted.too_many() && !fitting.embed.contains(name) => {
                        Encoder::Category(CategoryEncoder::fit(&counted))
                    }
                    () => match fitting.embedding_dims {
                        Some(0) => Encoder::Hash(HashEncoder::fit(&counted)),
                        dims => Encoder::Embedding(EmbeddingEncoder::fit(&counted, dims)),
                    },
                }
            }
            Kind::Time => Encoder::Moment(match values {
                Values::Texts(texts) => MomentEncoder::fit_texts(texts, rows, dates?),
                _ => MomentEncoder::fit(None, rows.iter().map(|&row| (values.number(row), 1))),
            }),
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
            Encoder::Boolean { .. }
            | Encoder::Category(_)
            | Encoder::Hash(_)
            | Encoder::Embedding(_)
            | Encoder::Moment(_) => false,
        }
    }

    /// Whether it encodes categories.
    #[must_use]
    pub fn is_of_categories(&self) -> bool {
        matches!(self, Encoder::Category(_) | Encoder::Hash(_) | Encoder::Embedding(_))
    }

    /// A description of its inputs, for messages.
    #[must_use]
    pub fn describe(&self) -> String {
        let missing = |is_there: bool| if is_there { ", 1 for missing" } else { "" };
        match self {
            Encoder::Plain => "unchanged".into(),
            Encoder::Number(e) => {
                let scaler = match &e.scaler {
                    Scaler::Linear { shift, scale } if (*shift, *scale) == (0.0, 1.0) => {
                        "not scaled"
                    }
                    Scaler::Linear { .. } => "scaled",
                    Scaler::Quantile { .. } => "quantiles to normal",
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
}
