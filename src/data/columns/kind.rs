//! The kind of each column, found from its values.

use super::frame::Values;
use super::texts::{MISSING, Texts};
use super::time::{self, Dates};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fmt;

/// The kind of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Measured or counted.
    Number,
    /// One of several names.
    Category,
    /// Yes or no.
    Boolean,
    /// A date, a time or both.
    Time,
    /// Free text or an identifier of the row: not used as a feature.
    Text,
    /// The same value in every row, or no value at all.
    Constant,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Number => "number",
            Kind::Category => "category",
            Kind::Boolean => "boolean",
            Kind::Time => "time",
            Kind::Text => "text",
            Kind::Constant => "constant",
        })
    }
}

/// A kind, and the reason for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::data) struct Found {
    pub(in crate::data) kind: Kind,
    pub(in crate::data) why: String,
    /// The format of dates and times in text.
    pub(in crate::data) dates: Option<Dates>,
}

fn found(kind: Kind, why: impl Into<String>) -> Found {
    Found { kind, why: why.into(), dates: None }
}

/// Words for no and yes, in lower case.
pub(in crate::data) const BOOLEANS: [[&str; 2]; 5] =
    [["false", "true"], ["no", "yes"], ["f", "t"], ["n", "y"], ["off", "on"]];

/// Distinct texts are categories if each occurs this often on average.
const REPEATS: usize = 2;
/// More distinct texts than this are not counted.
const MANY: usize = 100_000;

/// The kind of a column called `name` at that place; `date_format` is tried first on texts.
pub(in crate::data) fn kind_of(
    name: &str,
    place: usize,
    values: &Values,
    date_format: Option<&str>,
) -> Found {
    match values {
        Values::Texts(texts) => kind_of_texts(texts, date_format),
        Values::Times(_) => found(Kind::Time, "the file says so"),
        Values::Bytes(_) | Values::Numbers(_) => kind_of_numbers(name, place, values),
    }
}

fn kind_of_texts(texts: &Texts, date_format: Option<&str>) -> Found {
    let present = texts.codes.iter().filter(|&&code| code != MISSING).count();
    let words = texts.words.len();
    if words < 2 {
        return match present {
            0 => found(Kind::Constant, "every value is missing"),
            n if n < texts.codes.len() => found(Kind::Boolean, "one text, or nothing"),
            _ => found(Kind::Constant, "the same in every row"),
        };
    }
    if booleans(texts).is_some() {
        return found(Kind::Boolean, "two texts, yes and no");
    }
    if let Some(dates) = Dates::of(counted(texts), date_format) {
        let form = time::spelt(&dates.format);
        let why = format!("{} dates or times, {form}", words - dates.strays.len());
        return Found { dates: Some(dates), ..found(Kind::Time, why) };
    }
    let are_whole = texts.words.iter().all(|word| word.parse::<i128>().is_ok());
    if are_whole && words * REPEATS > present {
        return found(Kind::Text, format!("{words} different whole numbers: an identifier"));
    }
    if words * REPEATS <= present && words <= MANY {
        return found(Kind::Category, format!("{words} different texts"));
    }
    let mean = texts.words.iter().map(|w| w.chars().count()).sum::<usize>() / words;
    let what = if words == present && mean < 40 { "an identifier" } else { "free text" };
    found(Kind::Text, format!("{words} different texts in {present} rows: {what}"))
}

/// The distinct texts that occur, each with the number of its rows.
pub(in crate::data) fn counted(texts: &Texts) -> impl Iterator<Item = (&str, usize)> + Clone {
    let mut rows = vec![0; texts.words.len()];
    texts.codes.iter().filter(|&&code| code != MISSING).for_each(|&code| rows[code as usize] += 1);
    texts.words.iter().zip(rows).filter(|(_, rows)| *rows > 0)
}

/// The words for no and yes, if a column has just these two.
pub(in crate::data) fn booleans(texts: &Texts) -> Option<[String; 2]> {
    let mut words: Vec<&str> = texts.words.iter().collect();
    words.sort_unstable_by_key(|w| w.to_lowercase());
    let lower: Vec<String> = words.iter().map(|w| w.to_lowercase()).collect();
    let is_pair = BOOLEANS.iter().any(|pair| lower == *pair);
    is_pair.then(|| [words[0].to_string(), words[1].to_string()])
}

/// Whether a word means yes or no, with capitals or without; 1 and 0 do too.
pub(in crate::data) fn truth(word: &str) -> Option<bool> {
    let lower = word.to_lowercase();
    let side = BOOLEANS.iter().find_map(|pair| pair.iter().position(|word| lower == *word));
    match (side, word) {
        (Some(side), _) => Some(side == 1),
        (_, "0") => Some(false),
        (_, "1") => Some(true),
        _ => None,
    }
}

fn kind_of_numbers(name: &str, place: usize, values: &Values) -> Found {
    let rows = values.len();
    let numbers = || (0..rows).map(|row| values.number(row)).filter(|x| !x.is_nan());
    // Each test stops at the first value that fails it: usually early.
    let Some(first) = numbers().next() else {
        return found(Kind::Constant, "every value is missing");
    };
    let is_same = numbers().all(|x| x == first);
    if is_same && values.present() == rows {
        return found(Kind::Constant, "the same in every row");
    }
    if !numbers().all(is_whole) {
        return found(Kind::Number, "numbers");
    }
    if !is_same && numbers().all(|x| x == 0.0 || x == 1.0) {
        return found(Kind::Boolean, "0 and 1");
    }
    if rows >= 10 && values.present() == rows {
        let counts = |from: f64| numbers().zip(0u32..).all(|(x, i)| x == from + f64::from(i));
        if place == 0 && (first == 0.0 || first == 1.0) && counts(first) {
            return found(Kind::Text, "counts the rows: an identifier");
        }
        if is_id(name) && is_distinct(values) {
            return found(Kind::Text, "by its name and different in every row: an identifier");
        }
    }
    found(Kind::Number, "whole numbers")
}

/// Whether a number has no fraction: through an integer, which is faster than `trunc`, and beyond 2⁵³
/// none has one.
fn is_whole(x: f64) -> bool {
    (x as i64) as f64 == x || x.abs() >= 9e15
}

/// Whether a name is that of an identifier of rows.
fn is_id(name: &str) -> bool {
    let lower = name.to_lowercase();
    ["id", "index", "uuid", "key", "row"].contains(&lower.as_str())
        || lower.ends_with("_id")
        || lower.ends_with(" id")
        || name.ends_with("Id") && name.len() > 2
        || lower.starts_with("unnamed")
        || lower.starts_with("__index_level_")
}

fn is_distinct(values: &Values) -> bool {
    let mut seen = HashSet::with_capacity(values.len());
    (0..values.len()).all(|row| seen.insert(values.number(row).to_bits()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(words: &[&str]) -> Values {
        Values::Texts(words.iter().map(|w| (!w.is_empty()).then_some(*w)).collect())
    }

    fn kind(values: &Values) -> Kind {
        kind_of("x", 1, values, None).kind
    }

    #[test]
    fn texts_are_told_apart_by_how_often_they_come_again() {
        assert_eq!(kind(&texts(&["a", "b", "c", "a", "b", "c"])), Kind::Category);
        assert_eq!(kind(&texts(&["a", "b", "c", "d"])), Kind::Text);
        assert_eq!(kind(&texts(&["yes", "No", "yes"])), Kind::Boolean);
        assert_eq!(kind(&texts(&["2024-01-01", "2024-01-02", ""])), Kind::Time);
        assert_eq!(kind(&texts(&["a", "a"])), Kind::Constant);
        assert_eq!(kind(&texts(&["a", ""])), Kind::Boolean);
        assert_eq!(kind(&texts(&["", ""])), Kind::Constant);
    }

    #[test]
    fn numbers_are_measurements_unless_they_only_tell_rows_apart() {
        let count = |from: i32| Values::Numbers((0..20).map(|i| f64::from(i + from)).collect());
        assert_eq!(kind(&count(1)), Kind::Number);
        assert_eq!(kind_of("row", 0, &count(1), None).kind, Kind::Text);
        assert_eq!(kind_of("x", 0, &count(1), None).kind, Kind::Text, "counts the rows");
        assert_eq!(kind_of("x", 0, &count(1900), None).kind, Kind::Number, "years, say");
        assert_eq!(kind_of("customer_id", 3, &count(1900), None).kind, Kind::Text);
        assert_eq!(kind(&Values::Numbers(vec![0.0, 1.0, f64::NAN])), Kind::Boolean);
        assert_eq!(kind(&Values::Bytes(vec![3, 3])), Kind::Constant);
        assert_eq!(kind(&Values::Numbers(vec![f64::NAN; 2])), Kind::Constant);
    }
}
