//! What is to be learnt from the target columns, found out from their values.

use super::encode::texts_of;
use super::frame::{Frame, MISSING, Texts, Values, number_text};
use super::kind::truth;
use super::{Targets, Task};
use crate::error::{Error, Result, nearest};
use crate::matrix::Matrix;
use std::collections::{BTreeMap, BTreeSet};

/// More classes than this are a mistake: an identifier or a measured value taken for a class.
pub(super) const MAX_CLASSES: usize = 65_536;
/// Whole numbers of at most so many different values are taken for classes.
const FEW: usize = 50;
/// What may separate the labels of a row, in the order in which it is looked for.
const SEPARATORS: [char; 4] = ['|', ';', ',', ' '];

/// What a model knows of its targets, by which other data are read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Goal<'a> {
    /// Classes of these names.
    Classes(&'a [String]),
    /// Numbers.
    Numbers,
    /// Labels of these names, in a column for each, or in one with a separator.
    Labels(&'a [String], Option<char>),
}

/// The target columns of a table.
#[derive(Clone, Copy)]
pub(super) struct Columns<'a> {
    pub(super) frame: &'a Frame,
    /// Their places, in the order of the outputs.
    pub(super) places: &'a [usize],
}

impl<'a> Columns<'a> {
    fn values(self, k: usize) -> Result<&'a Values> {
        let place = self.places[k];
        self.frame.columns[place].as_ref().ok_or_else(|| {
            Error::failed(format!("the target {:?} was not read", self.frame.header.names[place]))
        })
    }

    /// Where the value of a row stands.
    fn at(self, k: usize, row: usize) -> String {
        format!("{}, {}", self.frame.describe_row(row), self.column(k))
    }

    fn column(self, k: usize) -> String {
        self.frame.header.describe(self.places[k])
    }

    /// The name of a target.
    fn name(self, k: usize) -> String {
        self.frame.header.names[self.places[k]].clone()
    }

    /// Refuses a missing value.
    fn check_present(self, k: usize) -> Result<()> {
        let values = self.values(k)?;
        match (0..values.len()).find(|&row| values.is_missing(row)) {
            None => Ok(()),
            Some(row) => Err(Error::data("the target is missing")
                .at(self.at(k, row))
                .help("fill it in, or leave the row out")),
        }
    }
}

/// The targets of a table to be trained on, and what separates labels in one column.
///
/// # Errors
/// With line and column, for values that can't be learnt.
pub(super) fn learn(columns: Columns, task: Task) -> Result<(Targets, Option<char>)> {
    if task == Task::Multilabel {
        return labels(columns);
    }
    if columns.places.len() > 1 {
        if task == Task::Classification {
            return Err(Error::usage("several targets can't be classes").help(
                "name one target; or say --task multilabel, if they are labels, or --task regression",
            ));
        }
        return Ok((numbers(columns, true)?, None));
    }
    columns.check_present(0)?;
    let values = columns.values(0)?;
    let is_classes = match (task, values) {
        (_, Values::Times(_)) => {
            return Err(Error::data("the target is a date")
                .at(columns.column(0))
                .help("name another target with --target"));
        }
        (Task::Regression, _) => false,
        (Task::Classification, _) | (_, Values::Texts(_)) => true,
        _ => few_whole_numbers(values),
    };
    let targets = if is_classes { classes(columns)? } else { numbers(columns, true)? };
    Ok((targets, None))
}

/// The targets of other data for a trained model.
///
/// # Errors
/// With line and column, for values that the model doesn't know.
pub(super) fn read(columns: Columns, goal: Goal) -> Result<Targets> {
    match goal {
        Goal::Numbers => numbers(columns, false),
        Goal::Classes(names) => {
            columns.check_present(0)?;
            let texts = texts_of(columns.values(0)?);
            let known: Vec<Option<u32>> = texts.words.iter().map(|w| class_of(w, names)).collect();
            let label = |(row, &code): (usize, &u32)| {
                known[code as usize].ok_or_else(|| {
                    no_such_class(texts.words.get(code), names).at(columns.at(0, row))
                })
            };
            let labels = texts.codes.iter().enumerate().map(label).collect::<Result<_>>()?;
            Ok(Targets::Classes { labels, names: names.to_vec() })
        }
        Goal::Labels(names, None) => {
            let values = bits(columns)?;
            Ok(Targets::Labels { values, names: names.to_vec() })
        }
        Goal::Labels(names, Some(separator)) => {
            let texts = texts_of(columns.values(0)?);
            let values = separated(&texts, separator, names);
            let values = values
                .map_err(|(row, label)| no_such_class(&label, names).at(columns.at(0, row)))?;
            Ok(Targets::Labels { values, names: names.to_vec() })
        }
    }
}

/// The place of a text, or of the whole number that it stands for, among the names.
fn class_of(text: &str, names: &[String]) -> Option<u32> {
    let find = |text: &str| names.iter().position(|n| n == text).map(|i| i as u32);
    find(text).or_else(|| find(&number_text(text.parse().ok()?)))
}

/// The error for a class that a trained model doesn't have.
fn no_such_class(name: &str, names: &[String]) -> Error {
    let hint = nearest(name, names.iter().map(String::as_str))
        .map(|n| format!("did you mean {n}? "))
        .unwrap_or_default();
    let listed = names.iter().take(20).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = if names.len() > 20 { ", …" } else { "" };
    Error::data(format!("the model has no class {name:?}"))
        .help(format!("{hint}it was trained on {listed}{more}"))
}

/// Whether numbers are so few different whole ones that they must be classes.
fn few_whole_numbers(values: &Values) -> bool {
    let mut seen = BTreeSet::new();
    for row in 0..values.len() {
        let x = values.number(row);
        if x.fract() != 0.0 || x < 0.0 {
            return false;
        }
        seen.insert(x.to_bits());
        if seen.len() > FEW {
            return false;
        }
    }
    seen.len() * 10 <= values.len()
}

/// One class a row: in the order of their numbers if all are numbers, else alphabetically.
fn classes(columns: Columns) -> Result<Targets> {
    let texts = texts_of(columns.values(0)?);
    let parsed: Option<Vec<f64>> = texts.words.iter().map(|w| w.parse().ok()).collect();
    let (labels, names) = match parsed {
        Some(numbers) => {
            if let Some(code) = numbers.iter().position(|x| x.fract() != 0.0) {
                let row = texts.codes.iter().position(|&c| c as usize == code).unwrap_or(0);
                let text = texts.words.get(code as u32);
                return Err(Error::data(format!(
                    "{text} is no class: classes are texts or whole numbers"
                ))
                .at(columns.at(0, row))
                .help("say --task regression, or name another target with --target"));
            }
            // Digits first: f64 takes neighbors beyond 2⁵³ for one.
            let whole = |(word, x): (&str, f64)| word.parse().unwrap_or(x as i128);
            in_order(&texts, texts.words.iter().zip(numbers).map(whole))
        }
        None => in_order(&texts, texts.words.iter()),
    };
    if names.len() > MAX_CLASSES {
        return Err(Error::data(format!("more than {MAX_CLASSES} classes"))
            .at(columns.column(0))
            .help("this looks like an identifier or a measured value: name another target with --target, or say --task regression"));
    }
    if names.len() < 2 {
        return Err(Error::data(format!("the only class is {:?}", names.concat()))
            .at(columns.column(0))
            .help("give rows of at least two classes, or name another target with --target"));
    }
    Ok(Targets::Classes { labels, names })
}

/// Labels and names of classes in the order of their keys, equal keys being one class.
fn in_order<K: Ord + ToString>(
    texts: &Texts,
    keys: impl Iterator<Item = K>,
) -> (Vec<u32>, Vec<String>) {
    let keys: Vec<K> = keys.collect();
    let mut order: BTreeMap<&K, u32> = keys.iter().map(|k| (k, 0)).collect();
    order.values_mut().zip(0..).for_each(|(class, place)| *class = place);
    let names = order.keys().map(|k| k.to_string()).collect();
    let class_of: Vec<u32> = keys.iter().map(|k| order[k]).collect();
    (texts.codes.iter().map(|&code| class_of[code as usize]).collect(), names)
}

/// A number for each target column; `varied` refuses a target that is the same everywhere.
fn numbers(columns: Columns, varied: bool) -> Result<Targets> {
    let cols = columns.places.len();
    let rows = columns.frame.rows;
    let mut all = vec![0.0; rows * cols];
    for k in 0..cols {
        let values = columns.values(k)?;
        if let Values::Texts(texts) = values {
            let row = texts.codes.iter().position(|&c| c != MISSING).unwrap_or(0);
            let text = values.text(row).unwrap_or_default();
            return Err(Error::data(format!("{text:?} is not a number"))
                .at(columns.at(k, row))
                .help("correct it; or say --task classification, if it is a class"));
        }
        columns.check_present(k)?;
        for row in 0..rows {
            let x = values.number(row) as f32;
            if !x.is_finite() {
                return Err(Error::data(format!(
                    "{} is not a finite number of 32 bits",
                    values.number(row)
                ))
                .at(columns.at(k, row))
                .help("replace it, or leave the row out"));
            }
            all[row * cols + k] = x;
        }
        if varied && rows > 1 && (1..rows).all(|row| all[row * cols + k] == all[k]) {
            return Err(Error::data(format!("the target is {} in every row", all[k]))
                .at(columns.column(k))
                .help("there is nothing to learn: name another target with --target"));
        }
    }
    Ok(Targets::Numbers(Matrix::new(rows, cols, all)?))
}

/// Labels from a column of 0 and 1 for each, or from one column in which they are separated.
fn labels(columns: Columns) -> Result<(Targets, Option<char>)> {
    if columns.places.len() > 1 {
        let names = (0..columns.places.len()).map(|k| columns.name(k)).collect();
        return Ok((Targets::Labels { values: bits(columns)?, names }, None));
    }
    let texts = texts_of(columns.values(0)?);
    let separator = SEPARATORS
        .into_iter()
        .find(|&s| texts.words.iter().any(|w| w.contains(s)))
        .unwrap_or(SEPARATORS[0]);
    let names: BTreeSet<&str> = texts.words.iter().flat_map(|w| parts(w, separator)).collect();
    let names: Vec<String> = names.into_iter().map(str::to_string).collect();
    if names.len() < 2 {
        return Err(Error::data(format!("the only label is {:?}", names.concat()))
            .at(columns.column(0))
            .help("separate the labels of a row by |, or name a column of 0 and 1 for each"));
    }
    if names.len() > MAX_CLASSES {
        return Err(Error::data(format!("more than {MAX_CLASSES} labels")).at(columns.column(0)));
    }
    let values = separated(&texts, separator, &names).map_err(|(row, label)| {
        Error::data(format!("no label {label:?}")).at(columns.at(0, row))
    })?;
    Ok((Targets::Labels { values, names }, Some(separator)))
}

fn parts(text: &str, separator: char) -> impl Iterator<Item = &str> {
    text.split(separator).map(str::trim).filter(|label| !label.is_empty())
}

/// (rows, labels) of 0 and 1; or the row and the label that isn't among the names.
fn separated(
    texts: &Texts,
    separator: char,
    names: &[String],
) -> std::result::Result<Matrix<f32>, (usize, String)> {
    let places: BTreeMap<&str, usize> = names.iter().map(String::as_str).zip(0..).collect();
    let mut all = vec![0.0; texts.codes.len() * names.len()];
    for (row, &code) in texts.codes.iter().enumerate().filter(|(_, c)| **c != MISSING) {
        for label in parts(texts.words.get(code), separator) {
            let place = places.get(label).ok_or_else(|| (row, label.to_string()))?;
            all[row * names.len() + place] = 1.0;
        }
    }
    Ok(Matrix::from_fn(texts.codes.len(), names.len(), |r, c| all[r * names.len() + c]))
}

/// (rows, columns) of 0 and 1, from numbers or from texts that mean no and yes.
fn bits(columns: Columns) -> Result<Matrix<f32>> {
    let (rows, cols) = (columns.frame.rows, columns.places.len());
    let mut all = vec![0.0; rows * cols];
    for k in 0..cols {
        columns.check_present(k)?;
        let values = columns.values(k)?;
        for row in 0..rows {
            let text = values.text(row).unwrap_or_default();
            all[row * cols + k] = match truth(&text) {
                Some(is_there) => f32::from(u8::from(is_there)),
                None => {
                    return Err(Error::data(format!("{text:?} is neither 0 nor 1"))
                        .at(columns.at(k, row))
                        .help("a column of a label says 0 or 1, no or yes, false or true"));
                }
            };
        }
    }
    Matrix::new(rows, cols, all)
}
