//! The targets, found from the values of the target columns.

use super::class_names::{ClassNames, in_order};
use super::task_guess::{are_numbers, check_classes, guess, number};
use crate::base::error::{Error, Result, nearest};
use crate::data::columns::frame::{Frame, Values, texts_of};
use crate::data::columns::kind::truth;
use crate::data::columns::texts::{MISSING, Texts};
use crate::data::sets::target_scaling::DOUBLE;
use crate::data::tables::target_columns::Columns;
use crate::data::{Targets, Task};
use crate::math::matrix::Matrix;
use std::collections::{BTreeMap, BTreeSet};

/// The most classes: more are probably identifiers or measured values.
pub(in crate::data) const MAX_CLASSES: usize = 65_536;
/// The possible separators of a row's labels, in order of precedence.
const SEPARATORS: [char; 4] = ['|', ';', ',', ' '];

/// A model's description of its targets, for reading other data.
#[derive(Debug, Clone, Copy)]
pub(in crate::data) enum Goal<'a> {
    /// Classes with these names.
    Classes(&'a [String]),
    /// Numbers.
    Numbers,
    /// Labels with these names, in one column each, or in one column with a separator.
    Labels(&'a [String], Option<char>),
}

/// The targets of a table for training.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::data) struct Learnt {
    pub(in crate::data) targets: Targets,
    /// The separator of labels in one column.
    pub(in crate::data) separator: Option<char>,
    /// A note about them.
    pub(in crate::data) note: Option<String>,
    /// A warning about a doubtful guess.
    pub(in crate::data) warning: Option<String>,
}

impl From<Targets> for Learnt {
    fn from(targets: Targets) -> Self {
        Learnt { targets, separator: None, note: None, warning: None }
    }
}

/// The targets of a table for training, or of a sample of its `rows` rows.
///
/// # Errors
/// With line and column, for values that can't be targets.
pub(in crate::data) fn learn(
    columns: Columns,
    task: Task,
    sample_of: Option<usize>,
) -> Result<Learnt> {
    if task == Task::Multilabel {
        return labels(columns);
    }
    if columns.places.len() > 1 {
        if task == Task::Classification {
            return Err(Error::usage("several targets can't be classes").help(
                "name one target; or use --task multilabel if they are labels, or --task regression",
            ));
        }
        return Ok(numbers(columns, true)?.into());
    }
    columns.check_present(0)?;
    let values = columns.values(0)?;
    let mut note = None;
    let is_class = match (task, values) {
        (_, Values::Times(_)) => {
            return Err(Error::data("the target is a date")
                .at(columns.column(0))
                .help("name another target with --target"));
        }
        (Task::Regression, _) => false,
        (Task::Classification, _) => true,
        _ => {
            let guess = guess(columns, values);
            note = guess.note;
            guess.is_class
        }
    };
    if !is_class {
        return Ok(Learnt { note, ..numbers(columns, true)?.into() });
    }
    let rows = sample_of.unwrap_or(columns.frame.rows);
    let targets = classes(columns, rows, task == Task::Auto)?;
    let warning = match &targets {
        Targets::Classes { labels, names } if sample_of.is_none() => {
            single_rows(columns.frame, labels, names)
        }
        _ => None,
    };
    Ok(Learnt { note, warning, ..targets.into() })
}

/// The targets of other data for a trained model.
///
/// # Errors
/// With line and column, for values that are unknown to the model.
pub(in crate::data) fn read(columns: Columns, goal: Goal) -> Result<Targets> {
    match goal {
        Goal::Numbers => numbers(columns, false),
        Goal::Classes(names) => {
            columns.check_present(0)?;
            let texts = texts_of(columns.values(0)?);
            let classes = ClassNames::new(names);
            let known: Vec<Option<u32>> = texts.words.iter().map(|w| classes.find(w)).collect();
            let label = |(row, &code): (usize, &u32)| {
                known[code as usize].ok_or_else(|| {
                    let rows = texts.codes.iter().filter(|&&other| other == code).count();
                    no_such_class(texts.words.get(code), rows, names).at(columns.at(0, row))
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
                .map_err(|(row, label)| no_such_class(&label, 1, names).at(columns.at(0, row)))?;
            Ok(Targets::Labels { values, names: names.to_vec() })
        }
    }
}

/// The error for a class that a trained model doesn't have.
fn no_such_class(name: &str, rows: usize, names: &[String]) -> Error {
    let hint = nearest(name, names.iter().map(String::as_str))
        .map(|n| format!("did you mean {n}? "))
        .unwrap_or_default();
    let listed = names.iter().take(20).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = if names.len() > 20 { ", …" } else { "" };
    let (count, them) = match rows {
        1 => (String::new(), "the row"),
        rows => (format!(", the class of {rows} rows"), "these rows"),
    };
    Error::data(format!("the model has no class {name:?}{count}")).help(format!(
        "{hint}it is trained on {listed}{more}: correct the class, remove {them}, or train on rows of this class too"
    ))
}

/// One class per row, of a table of `rows` rows.
fn classes(columns: Columns, rows: usize, is_guess: bool) -> Result<Targets> {
    let texts = texts_of(columns.values(0)?);
    let has_fraction = |word: &str| number(word).is_some_and(|x| x.fract() != 0.0);
    if let Some(code) = texts.words.iter().position(has_fraction).filter(|_| are_numbers(&texts)) {
        let row = texts.codes.iter().position(|&c| c as usize == code).unwrap_or(0);
        let text = texts.words.get(code as u32);
        return Err(Error::data(format!(
            "{text} is not a class: classes must be texts or whole numbers"
        ))
        .at(columns.at(0, row))
        .help("use --task regression, or name another target with --target"));
    }
    let (labels, names) = in_order(&texts);
    if names.len() < 2 {
        return Err(Error::data(format!("the only class is {:?}", names.concat()))
            .at(columns.column(0))
            .help("give rows of at least two classes, or name another target with --target"));
    }
    check_classes(columns, &texts, names.len(), rows, is_guess)?;
    if names.len() > MAX_CLASSES {
        return Err(Error::data(format!("more than {MAX_CLASSES} classes"))
            .at(columns.column(0))
            .help("this looks like an identifier or a measured value: name another target with --target, or use --task regression"));
    }
    Ok(Targets::Classes { labels, names })
}

/// The warning about classes with a single row, each with its line.
fn single_rows(frame: &Frame, labels: &[u32], names: &[String]) -> Option<String> {
    const NAMED: usize = 5;
    let mut rows = vec![(0usize, 0); names.len()];
    for (row, &label) in labels.iter().enumerate() {
        let (count, last) = &mut rows[label as usize];
        (*count, *last) = (*count + 1, row);
    }
    let single: Vec<(&String, String)> = names
        .iter()
        .zip(&rows)
        .filter(|(_, (count, _))| *count == 1)
        .map(|(name, (_, row))| (name, frame.describe_row(*row)))
        .collect();
    match &single[..] {
        [] => None,
        [(name, row)] => Some(format!(
            "the class {name:?} has a single row, {row}: correct it if it is a typo; a row can be either in \
             training or held out"
        )),
        all => {
            let named = all.iter().take(NAMED).map(|(name, row)| format!("{name:?} ({row})"));
            Some(format!(
                "{} classes have a single row, which can be either in training or held out: {}{}",
                all.len(),
                named.collect::<Vec<_>>().join(", "),
                if all.len() > NAMED { ", …" } else { "" }
            ))
        }
    }
}

/// A number for each target column; `varied` refuses a target with the same value everywhere.
fn numbers(columns: Columns, varied: bool) -> Result<Targets> {
    let cols = columns.places.len();
    let rows = columns.frame.rows;
    let mut all = vec![0.0; rows * cols];
    for k in 0..cols {
        columns.check_present(k)?;
        for row in 0..rows {
            let x = number_at(columns, k, row)?;
            if x.abs() > *DOUBLE.end() {
                return Err(Error::data(format!("the target {x:e} is too large"))
                    .at(columns.at(k, row))
                    .help("correct it if it is wrong; otherwise give the target in another unit"));
            }
            all[row * cols + k] = x;
        }
        if varied && rows > 1 {
            check_varied(columns, k, &all)?;
        }
    }
    Ok(Targets::Numbers(Matrix::new(rows, cols, all)?))
}

/// The target of a row, finite.
fn number_at(columns: Columns, k: usize, row: usize) -> Result<f64> {
    let values = columns.values(k)?;
    let x = match values {
        Values::Texts(texts) => match number(texts.words.get(texts.codes[row])) {
            Some(x) => x,
            None => {
                let text = values.text(row).unwrap_or_default();
                return Err(Error::data(format!("{text:?} is not a number"))
                    .at(columns.at(k, row))
                    .help("correct it; or use --task classification if it is a class"));
            }
        },
        values => values.number(row),
    };
    match x.is_finite() {
        true => Ok(x),
        false => Err(Error::data(format!("{x} is not a finite number"))
            .at(columns.at(k, row))
            .help("replace it, or remove the row")),
    }
}

/// Refuses a target that doesn't vary, or too little for its squares; all: (rows, targets).
fn check_varied(columns: Columns, k: usize, all: &[f64]) -> Result<()> {
    let column = || all.iter().skip(k).step_by(columns.places.len()).copied();
    let (least, most) = column().fold((f64::MAX, f64::MIN), |(a, b), x| (a.min(x), b.max(x)));
    let fault = match columns.values(k)? {
        _ if most - least >= *DOUBLE.start() => return Ok(()),
        _ if most > least => {
            Error::data(format!("the targets differ by at most {:e}", most - least))
                .help("give the target in another unit")
        }
        Values::Texts(texts) if texts.words.len() > 1 => {
            let differ = format!("{} and {}", texts.words.get(0), texts.words.get(1));
            Error::data(format!("the targets {differ} are the same number in f64"))
                .help("subtract a constant from the target; or use --task classification if it is a class")
        }
        _ if least.abs() >= 2f64.powi(53) => Error::data(format!(
            "the target is {least} in every row in f64, which is exact up to 2⁵³"
        ))
        .help("use --task classification if it is a class; or name another target with --target"),
        _ => Error::data(format!("the target is {least} in every row"))
            .help("name another target with --target"),
    };
    Err(fault.at(columns.column(k)))
}

/// Labels from one column of 0 and 1 each, or from one column with a separator.
fn labels(columns: Columns) -> Result<Learnt> {
    if columns.places.len() > 1 {
        let names = (0..columns.places.len()).map(|k| columns.name(k)).collect();
        return Ok(Targets::Labels { values: bits(columns)?, names }.into());
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
            .help(
                "separate the labels of a row by |, or give a column of 0 and 1 for each label",
            ));
    }
    if names.len() > MAX_CLASSES {
        return Err(Error::data(format!("more than {MAX_CLASSES} labels")).at(columns.column(0)));
    }
    let values = separated(&texts, separator, &names).map_err(|(row, label)| {
        Error::data(format!("unknown label {label:?}")).at(columns.at(0, row))
    })?;
    let separator = Some(separator);
    Ok(Learnt { separator, ..Targets::Labels { values, names }.into() })
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
                        .help("the column of a label must hold 0 or 1, no or yes, false or true"));
                }
            };
        }
    }
    Matrix::new(rows, cols, all)
}
