//! Categories of other data that a model doesn't know: counted and said, or refused.

use super::Encoding;
use super::alike::Alike;
use super::write::Unlearnt;
use crate::base::error::{Error, Result};
use crate::base::names::names;
use crate::data::columns::frame::Frame;
use crate::data::columns::frame::texts_of;
use crate::data::columns::texts::Texts;
use serde::Serialize;
use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// So many different examples of a column are kept, and so many are said.
const EXAMPLES: usize = 20;
const SAID: usize = 3;
/// So many characters of one.
const LENGTH: usize = 80;
/// The nearest known categories are looked for so often in a column of a chunk: this goes through all
/// names.
const EXPLAINED: usize = 10;

/// What to do about rows with a category that the model doesn't know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnUnknown {
    /// Take them as any other, and count them.
    #[default]
    Warn,
    /// Refuse them.
    Error,
}

names!(OnUnknown, "way with unknown categories": Warn "warn", Error "error");

/// What of a column the model doesn't know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::data) struct Unknown {
    /// The number of the feature.
    feature: usize,
    /// The place of its column in the table.
    place: usize,
    /// The codes of the unknown texts, ascending.
    codes: Vec<u32>,
    is_untold: bool,
}

impl Unknown {
    /// Of a feature whose column stands at `place`; none where there is nothing to say.
    pub(super) fn of(feature: usize, place: usize, (codes, is_untold): Unlearnt) -> Option<Self> {
        (is_untold || !codes.is_empty()).then_some(Unknown { feature, place, codes, is_untold })
    }

    /// The column that it is of.
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

/// Categories that a model doesn't know, counted over the rows of a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnknownCategories {
    rows: usize,
    /// By the numbers of the features.
    columns: BTreeMap<usize, Tally>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Tally {
    /// The column for a message.
    column: String,
    rows: usize,
    /// The first different ones, in the order in which they were met.
    examples: Vec<String>,
    is_untold: bool,
}

impl Tally {
    fn example(&mut self, text: &str) {
        let text = brief(text);
        if self.examples.len() < EXAMPLES && !self.examples.contains(&text) {
            self.examples.push(text);
        }
    }
}

/// A text for a message: its beginning, where it is long.
fn brief(text: &str) -> String {
    text.chars().take(LENGTH).collect()
}

impl UnknownCategories {
    /// Counts in these rows what was found unknown of a table's columns.
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
            if tally.rows > 0 || tally.is_untold {
                all.columns.insert(found.feature, tally);
            }
        }
        all
    }

    /// Adds what was counted in other rows for the same model.
    pub fn add(&mut self, more: &UnknownCategories) {
        self.rows += more.rows;
        for (&feature, found) in &more.columns {
            let tally = self.columns.entry(feature).or_default();
            tally.column.clone_from(&found.column);
            tally.rows += found.rows;
            tally.is_untold |= found.is_untold;
            found.examples.iter().for_each(|text| tally.example(text));
        }
    }

    /// The columns with categories that the model doesn't know, which has this encoding.
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
            // What is a known one in another spelling tells the most.
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

    /// The columns of which the model doesn't say what was in the training rows.
    #[must_use]
    pub fn untold(&self) -> Vec<&str> {
        let untold = self.columns.values().filter(|tally| tally.is_untold);
        untold.map(|tally| tally.column.as_str()).collect()
    }
}

/// A column with categories that the model doesn't know.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UnknownColumn {
    /// Its name.
    pub column: String,
    /// The rows that have one.
    pub rows: usize,
    /// These rows' share of all.
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

/// A category that the model doesn't know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnknownExample {
    /// The text.
    pub value: String,
    /// A known category that differs from it only in capitals, leading zeros, spaces or accents.
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
            "{}: {} of {} rows ({share}%) hold a category that the model doesn't know: {}{}",
            self.place,
            self.rows,
            self.of,
            examples.join(", "),
            if self.is_all { "" } else { ", …" }
        )
    }
}

impl Encoding {
    /// What is unknown in the rows of a table, without encoding them.
    pub(in crate::data) fn unknown(&self, frame: &Frame) -> Result<Vec<Unknown>> {
        let columns = self.columns(frame)?.into_iter().enumerate();
        let columns = columns.filter(|(k, _)| self.features[*k].encoder.is_of_categories());
        let look = |(k, (place, values))| {
            // What writes a column knows it; nothing is written.
            Unknown::of(k, place, self.features[k].encoder.writer(values).1)
        };
        Ok(columns.filter_map(look).collect())
    }

    /// The rows, of those named, with a category that the model doesn't know, each once and ascending,
    /// with what is wrong and the column.
    ///
    /// # Errors
    /// When the model doesn't tell what it knows.
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
                    "--unknown error: the model doesn't say which categories it was trained on in {column}"
                ))
                .help("train it again, or leave out --unknown error"));
            }
            let texts = found.texts(frame);
            for (row, code) in found.rows(&texts, rows.clone()) {
                let explain = |text: &str, help: String| {
                    let what =
                        format!("{:?} is a category that the model doesn't know", brief(text));
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

/// What to do about a category that isn't known.
fn what_to_do(known: &Alike<'_>, text: &str) -> String {
    let beside = match known.find(text) {
        Some(known) => format!("it knows {known:?}, which is written otherwise; "),
        None => match &known.nearest(text, SAID)[..] {
            [] => String::new(),
            names => format!("the nearest that it knows: {}; ", names.join(", ")),
        },
    };
    format!("{beside}correct it, or let it pass with --unknown warn")
}
