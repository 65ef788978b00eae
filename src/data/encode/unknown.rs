//! Categories that weren't in the training data: counted and reported, or refused. Missing numbers of columns that had none:
//! counted and reported.

use super::alike::Alike;
use super::write::Unlearnt;
use super::{Encoder, Encoding};
use crate::base::error::{Error, Result};
use crate::base::names::names;
use crate::base::words::{part, verb};
use crate::data::columns::frame::Frame;
use crate::data::columns::frame::texts_of;
use crate::data::columns::texts::Texts;
use serde::Serialize;
use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The number of distinct examples of a column that are stored and reported.
const EXAMPLES: usize = 20;
const SAID: usize = 3;
/// The most characters of an example.
const LENGTH: usize = 80;
/// The number of texts per column and chunk for which the nearest known categories are searched: each search
/// goes through all names.
const EXPLAINED: usize = 10;

/// How rows with unknown categories are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnUnknown {
    /// They are used and counted.
    #[default]
    Warn,
    /// They are refused.
    Error,
}

names!(OnUnknown, "value of --unknown": Warn "warn", Error "error");

/// What a column has that the training rows didn't have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::data) struct Unknown {
    /// The index of the feature.
    feature: usize,
    /// The index of its column in the table.
    place: usize,
    /// The codes of the unknown texts, ascending.
    codes: Vec<u32>,
    is_untold: bool,
    is_filled: bool,
}

impl Unknown {
    /// That of a feature with the column `place`; none if there is nothing.
    pub(super) fn of(feature: usize, place: usize, unlearnt: Unlearnt) -> Option<Self> {
        let Unlearnt { codes, is_untold, is_filled } = unlearnt;
        let is_any = is_untold || is_filled || !codes.is_empty();
        is_any.then_some(Unknown { feature, place, codes, is_untold, is_filled })
    }

    /// Its column.
    fn texts<'a>(&self, frame: &'a Frame) -> Cow<'a, Texts> {
        frame.columns[self.place].as_ref().map_or(Cow::Owned(Texts::default()), texts_of)
    }

    /// The codes of unknown texts in these rows, each with its row.
    fn rows<'a>(
        &'a self,
        texts: &'a Texts,
        rows: impl Iterator<Item = usize> + 'a,
    ) -> impl Iterator<Item = (usize, u32)> + 'a {
        let codes = rows.map(|row| (row, texts.codes[row]));
        codes.filter(|(_, code)| self.codes.binary_search(code).is_ok())
    }
}

/// Categories that a model doesn't know, and missing numbers where it knows none, counted over the rows of a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnknownCategories {
    rows: usize,
    /// By the indices of the features.
    columns: BTreeMap<usize, Tally>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Tally {
    /// The column for a message.
    column: String,
    rows: usize,
    /// The first distinct ones, in order of appearance.
    examples: Vec<String>,
    is_untold: bool,
    /// The rows with a missing number, where the training rows had none.
    filled: usize,
}

impl Tally {
    fn example(&mut self, text: &str) {
        let text = brief(text);
        if self.examples.len() < EXAMPLES && !self.examples.contains(&text) {
            self.examples.push(text);
        }
    }
}

/// A text for a message, shortened if it is long.
fn brief(text: &str) -> String {
    text.chars().take(LENGTH).collect()
}

impl UnknownCategories {
    /// Counts the unknown categories of a table's columns in these rows.
    pub(in crate::data) fn count(
        frame: &Frame,
        unknown: &[Unknown],
        rows: impl ExactSizeIterator<Item = usize> + Clone,
    ) -> Self {
        let mut all = UnknownCategories { rows: rows.len(), columns: BTreeMap::new() };
        for found in unknown {
            let texts = found.texts(frame);
            let mut tally = Tally {
                column: frame.header.describe(found.place),
                is_untold: found.is_untold,
                ..Tally::default()
            };
            let mut met = BTreeSet::new();
            for (_, code) in found.rows(&texts, rows.clone()) {
                tally.rows += 1;
                if met.len() < EXAMPLES && met.insert(code) {
                    tally.example(texts.words.get(code));
                }
            }
            if found.is_filled
                && let Some(values) = &frame.columns[found.place]
            {
                tally.filled = rows.clone().filter(|&row| values.number(row).is_nan()).count();
            }
            if tally.rows > 0 || tally.is_untold || tally.filled > 0 {
                all.columns.insert(found.feature, tally);
            }
        }
        all
    }

    /// Adds the counts from other rows for the same model.
    pub fn add(&mut self, more: &UnknownCategories) {
        self.rows += more.rows;
        for (&feature, found) in &more.columns {
            let tally = self.columns.entry(feature).or_default();
            tally.column.clone_from(&found.column);
            tally.rows += found.rows;
            tally.is_untold |= found.is_untold;
            tally.filled += found.filled;
            found.examples.iter().for_each(|text| tally.example(text));
        }
    }

    /// The columns with unknown categories, for the model's encoding.
    #[must_use]
    pub fn columns(&self, encoding: &Encoding) -> Vec<UnknownColumn> {
        let tallies = self.columns.iter().filter(|(_, tally)| tally.rows > 0);
        let of = |(&feature, tally): (&usize, &Tally)| {
            let feature = encoding.features.get(feature)?;
            let known = Alike::new(&feature.encoder);
            let examples = tally
                .examples
                .iter()
                .map(|value| UnknownExample { value: value.clone(), alike: known.find(value) });
            let mut examples: Vec<_> = examples.collect();
            // A known category in another spelling is the most informative.
            examples.sort_by_key(|example| example.alike.is_none());
            let is_all = examples.len() <= SAID;
            examples.truncate(SAID);
            Some(UnknownColumn {
                place: tally.column.clone(),
                column: feature.column.clone(),
                rows: tally.rows,
                of: self.rows,
                share: tally.rows as f64 / self.rows as f64,
                examples,
                is_all,
            })
        };
        tallies.filter_map(of).collect()
    }

    /// A sentence for each column with missing numbers of which the training rows had none.
    pub fn filled(&self) -> impl Iterator<Item = String> {
        let filled = self.columns.values().filter(|tally| tally.filled > 0);
        filled.map(|Tally { column, filled, .. }| {
            format!(
                "{column}: {} {} no value, although no value was missing in training: the median of the training rows is used",
                part(*filled, self.rows, "row"),
                verb(*filled, ["has", "have"])
            )
        })
    }

    /// The columns for which the model can't tell what was in the training rows.
    #[must_use]
    pub fn untold(&self) -> Vec<&str> {
        let untold = self.columns.values().filter(|tally| tally.is_untold);
        untold.map(|tally| tally.column.as_str()).collect()
    }
}

/// A column with unknown categories.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UnknownColumn {
    /// Its name.
    pub column: String,
    /// The number of rows with one.
    pub rows: usize,
    /// The fraction of all rows.
    pub share: f64,
    /// A few of them.
    pub examples: Vec<UnknownExample>,
    #[serde(skip)]
    of: usize,
    #[serde(skip)]
    place: String,
    #[serde(skip)]
    is_all: bool,
}

/// An unknown category.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnknownExample {
    /// The text.
    pub value: String,
    /// A known category that differs from it only in case, leading zeros, spaces or accents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alike: Option<String>,
}

impl fmt::Display for UnknownColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let example = |UnknownExample { value, alike }: &UnknownExample| match alike {
            Some(alike) => format!("{value:?} (the model knows {alike:?})"),
            None => format!("{value:?}"),
        };
        let examples: Vec<String> = self.examples.iter().map(example).collect();
        let share = match 100.0 * self.share {
            _ if self.rows == self.of => "100".to_string(),
            percent if percent < 0.05 => "<0.1".to_string(),
            percent => format!("{:.1}", percent.min(99.9)),
        };
        write!(
            f,
            "{}: {} ({share}%) {} a category that was not in the training data: {}{}",
            self.place,
            part(self.rows, self.of, "row"),
            verb(self.rows, ["holds", "hold"]),
            examples.join(", "),
            if self.is_all { "" } else { ", …" }
        )
    }
}

impl Encoding {
    /// What the training rows didn't have in the rows of a table, without encoding them.
    pub(in crate::data) fn unknown(&self, frame: &Frame) -> Result<Vec<Unknown>> {
        let columns = self.columns(frame)?.into_iter().enumerate();
        let is_looked_at =
            |encoder: &Encoder| encoder.is_of_categories() || matches!(encoder, Encoder::Number(_));
        let columns = columns.filter(|(k, _)| is_looked_at(&self.features[*k].encoder));
        let look = |(k, (place, values))| {
            // Making the writer finds them; nothing is written.
            Unknown::of(k, place, self.features[k].encoder.writer(values).1)
        };
        Ok(columns.filter_map(look).collect())
    }

    /// Those of the rows with an unknown category, each once and ascending,
    /// with the error and the column.
    ///
    /// # Errors
    /// When the model doesn't contain its known categories.
    pub(in crate::data) fn refuse_unknown(
        &self,
        frame: &Frame,
        unknown: &[Unknown],
        rows: impl Iterator<Item = usize> + Clone,
    ) -> Result<Vec<(usize, Error)>> {
        let mut faults: BTreeMap<usize, Error> = BTreeMap::new();
        for found in unknown {
            let mut explained: BTreeMap<u32, Error> = BTreeMap::new();
            let known = OnceCell::new();
            let column = frame.header.describe(found.place);
            if found.is_untold {
                return Err(Error::usage(format!(
                    "--unknown error: the model doesn't contain the categories of {column} in the training data"
                ))
                .help("train again, or omit --unknown error"));
            }
            let texts = found.texts(frame);
            for (row, code) in found.rows(&texts, rows.clone()) {
                let explain = |text: &str, help: String| {
                    let what = format!(
                        "{:?} is a category that was not in the training data",
                        brief(text)
                    );
                    Error::data(what).at(&column).help(help)
                };
                let text = texts.words.get(code);
                let error = match explained.get(&code) {
                    Some(error) => error.clone(),
                    None if explained.len() < EXPLAINED => {
                        let encoder = &self.features[found.feature].encoder;
                        let known = known.get_or_init(|| Alike::new(encoder));
                        let error = explain(text, what_to_do(known, text));
                        explained.insert(code, error.clone());
                        error
                    }
                    None => explain(text, "correct it".into()),
                };
                faults.entry(row).or_insert(error);
            }
        }
        Ok(faults.into_iter().collect())
    }
}

/// The advice for an unknown category.
fn what_to_do(known: &Alike<'_>, text: &str) -> String {
    let beside = match known.find(text) {
        Some(known) => format!("the model knows {known:?}, which is written differently; "),
        None => match &known.nearest(text, SAID)[..] {
            [] => String::new(),
            names => format!("the nearest known ones: {}; ", names.join(", ")),
        },
    };
    format!("{beside}correct it, or continue anyway with --unknown warn")
}
