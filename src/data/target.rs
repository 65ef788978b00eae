//! What a target column holds: classes or numbers, found out from its cells.

use super::{Targets, Task};
use crate::error::{Error, Result, nearest};
use crate::matrix::Matrix;
use std::collections::{BTreeMap, HashMap};

/// More classes than this are a mistake: an identifier or a measured value taken for a class.
pub(super) const MAX_CLASSES: usize = 65_536;

/// Whole numbers of at most so many different values are taken for classes.
const FEW: usize = 50;

/// The finite f32 that a cell holds.
pub(super) fn number(cell: &[u8]) -> Result<f32> {
    let text = std::str::from_utf8(cell).map_err(|_| {
        Error::data("invalid UTF-8").help("save the file as UTF-8 (`iconv -t UTF-8`)")
    })?;
    let text = text.trim();
    match text.parse::<f32>() {
        Ok(x) if x.is_finite() => Ok(x),
        _ => Err(not_a_number(text)),
    }
}

fn not_a_number(text: &str) -> Error {
    if is_missing(text.as_bytes()) {
        let what = if text.is_empty() { "an empty cell" } else { "a missing value" };
        return Error::data(format!("{what}, where a number is needed"))
            .help("fill it in, or leave the row out");
    }
    if text.parse::<f32>().is_ok() {
        return Error::data(format!("{text} is not a finite number of 32 bits"))
            .help("replace it, or leave the row out");
    }
    let shown: String = text.chars().take(40).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    let help = if text.contains('\n') {
        "a quote opened here is closed only on a later line"
    } else if text.replace(',', ".").parse::<f32>().is_ok() {
        "write decimals with a point"
    } else {
        "only numbers can be read yet: leave the column out, or turn its texts into numbers"
    };
    Error::data(format!("{:?} is not a number", format!("{shown}{more}"))).help(help)
}

/// Whether a cell says that its value is missing.
pub(super) fn is_missing(cell: &[u8]) -> bool {
    let known: [&[u8]; 6] = [b"", b"na", b"n/a", b"nan", b"null", b"?"];
    let cell = cell.trim_ascii();
    known.iter().any(|k| k.eq_ignore_ascii_case(cell))
}

/// One target column while its cells are read.
pub(super) enum TargetColumn {
    /// Numbers only.
    Numbers(Vec<f32>),
    /// The classes of a trained model, each with its place, and the labels read.
    Known { names: Vec<String>, places: HashMap<String, u32>, labels: Vec<u32> },
    /// Not known yet.
    Open(OpenColumn),
}

impl TargetColumn {
    pub(super) fn of_classes(names: &[String]) -> Self {
        let places = names.iter().cloned().zip(0..).collect();
        TargetColumn::Known { names: names.to_vec(), places, labels: Vec::new() }
    }

    /// Takes in the cell of the next row, which stands on `line`.
    pub(super) fn push(&mut self, cell: &[u8], line: u64) -> Result<()> {
        match self {
            TargetColumn::Numbers(numbers) => numbers.push(number(cell)?),
            TargetColumn::Known { names, places, labels } => {
                let text = text(cell)?;
                let place = places.get(text).copied().or_else(|| {
                    whole_number(text).and_then(|n| places.get(&n.to_string()).copied())
                });
                labels.push(place.ok_or_else(|| no_such_class(text, names))?);
            }
            TargetColumn::Open(column) => column.push(text(cell)?, line)?,
        }
        Ok(())
    }
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

/// The text of a target cell, which must not be missing.
fn text(cell: &[u8]) -> Result<&str> {
    let text = std::str::from_utf8(cell).map_err(|_| {
        Error::data("invalid UTF-8").help("save the file as UTF-8 (`iconv -t UTF-8`)")
    })?;
    let text = text.trim();
    if text.is_empty() || text.eq_ignore_ascii_case("nan") {
        return Err(Error::data("the target is missing").help("fill it in, or leave the row out"));
    }
    Ok(text)
}

/// The whole number that a text such as `3`, `-3` or `3.0` stands for.
fn whole_number(text: &str) -> Option<i64> {
    let x = text.parse::<f64>().ok()?;
    (x.fract() == 0.0 && x.abs() <= 2f64.powi(53)).then_some(x as i64)
}

/// A column that may turn out to hold numbers or classes.
#[derive(Default)]
pub(super) struct OpenColumn {
    task: Task,
    rows: usize,
    /// The cells as numbers, as long as all are.
    numbers: Vec<f32>,
    /// The cells as places in `texts`, as long as there are at most [`MAX_CLASSES`] of these.
    codes: Vec<u32>,
    texts: Vec<String>,
    places: HashMap<String, u32>,
    /// The first cell that is no number, and the first that is no whole number.
    first_text: Option<(u64, String)>,
    first_fraction: Option<(u64, String)>,
}

impl OpenColumn {
    pub(super) fn new(task: Task) -> Self {
        OpenColumn { task, ..OpenColumn::default() }
    }

    fn push(&mut self, text: &str, line: u64) -> Result<()> {
        self.rows += 1;
        if self.first_text.is_none() {
            match number(text.as_bytes()) {
                Ok(x) => self.numbers.push(x),
                // Once there are too many values for classes, only a number can follow.
                Err(error) if self.texts.len() > MAX_CLASSES => return Err(error),
                Err(_) => {
                    self.first_text = Some((line, text.to_string()));
                    self.numbers = Vec::new();
                }
            }
        }
        if self.first_fraction.is_none() && whole_number(text).is_none() {
            self.first_fraction = Some((line, text.to_string()));
        }
        if self.texts.len() > MAX_CLASSES {
            return Ok(());
        }
        let place = match self.places.get(text) {
            Some(&place) => place,
            None => {
                let place = self.texts.len() as u32;
                self.texts.push(text.to_string());
                self.places.insert(text.to_string(), place);
                place
            }
        };
        self.codes.push(place);
        if self.texts.len() > MAX_CLASSES {
            if let Some((line, text)) = &self.first_text {
                return Err(Error::data(format!("more than {MAX_CLASSES} different texts"))
                    .at(format!("{text:?} on line {line} is the first"))
                    .help("this looks like an identifier: name another target with --target"));
            }
            (self.codes, self.places) = (Vec::new(), HashMap::new());
        }
        Ok(())
    }

    /// What the column holds; errors have no file and column yet.
    pub(super) fn finish(self) -> Result<Targets> {
        if let Some((line, text)) = &self.first_text {
            let values = self.texts.iter().filter(|t| number(t.as_bytes()).is_ok()).count();
            if self.task == Task::Auto && values > FEW {
                return Err(Error::data(format!("{text:?} is not a number"))
                    .at(format!("line {line}"))
                    .help("correct it; or say --task classification, if it is a class"));
            }
            return self.classes_by(|text| Some(text.to_string()));
        }
        if self.is_classes()? {
            return self.classes_by(whole_number);
        }
        Ok(Targets::Numbers(Matrix::new(self.rows, 1, self.numbers)?))
    }

    /// Whether a column of numbers holds classes.
    fn is_classes(&self) -> Result<bool> {
        match (self.task, &self.first_fraction) {
            (Task::Regression, _) => Ok(false),
            (Task::Classification, Some((line, text))) => {
                Err(Error::data(format!("{text} is no class: classes are texts or whole numbers"))
                    .at(format!("line {line}"))
                    .help("say --task regression, or name another target with --target"))
            }
            (Task::Classification, None) if self.texts.len() > MAX_CLASSES => {
                Err(Error::data(format!("more than {MAX_CLASSES} classes"))
                    .help("say --task regression, or name another target with --target"))
            }
            (Task::Classification, None) => Ok(true),
            (Task::Auto, fraction) => {
                let values = self.texts.len();
                let is_negative = |t: &String| whole_number(t).is_some_and(|n| n < 0);
                Ok(fraction.is_none()
                    && values <= FEW
                    && values * 10 <= self.rows
                    && !self.texts.iter().any(is_negative))
            }
        }
    }

    /// Classes in the order of their keys, equal keys being one class.
    fn classes_by<K: Ord + ToString>(self, key: impl Fn(&str) -> Option<K>) -> Result<Targets> {
        let keys: Vec<Option<K>> = self.texts.iter().map(|t| key(t)).collect();
        let mut order: BTreeMap<&K, u32> = keys.iter().flatten().map(|k| (k, 0)).collect();
        for (place, class) in order.values_mut().enumerate() {
            *class = place as u32;
        }
        let names: Vec<String> = order.keys().map(|k| k.to_string()).collect();
        if names.len() < 2 {
            return Err(Error::data(format!("the only class is {:?}", names.concat()))
                .help("give rows of at least two classes, or name another target with --target"));
        }
        let class_of: Vec<u32> = keys.iter().map(|k| k.as_ref().map_or(0, |k| order[k])).collect();
        let labels = self.codes.iter().map(|&code| class_of[code as usize]).collect();
        Ok(Targets::Classes { labels, names })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(task: Task, cells: &[&str]) -> Result<Targets> {
        let mut column = OpenColumn::new(task);
        for (cell, line) in cells.iter().zip(2..) {
            column.push(cell, line)?;
        }
        column.finish()
    }

    fn names(task: Task, cells: &[&str]) -> Vec<String> {
        match column(task, cells).unwrap() {
            Targets::Classes { names, .. } => names,
            Targets::Numbers(_) => Vec::new(),
        }
    }

    #[test]
    fn few_whole_numbers_are_classes_in_numeric_order() {
        let cells: Vec<&str> = ["10", "9", "2.0", "2"].repeat(10);
        assert_eq!(names(Task::Auto, &cells), ["2", "9", "10"]);
        let Targets::Classes { labels, .. } = column(Task::Auto, &cells).unwrap() else { panic!() };
        assert_eq!(labels[..4], [2, 1, 0, 0]);
    }

    #[test]
    fn rare_negative_and_broken_numbers_are_no_classes_by_themselves() {
        assert!(names(Task::Auto, &["0", "1", "0", "1"]).is_empty(), "not ten times each");
        assert!(names(Task::Auto, &["-1", "1"].repeat(10)).is_empty());
        assert!(names(Task::Auto, &["0.5", "1"].repeat(10)).is_empty());
        assert_eq!(names(Task::Classification, &["-1", "1"]), ["-1", "1"]);
        assert!(names(Task::Regression, &["0", "1"].repeat(10)).is_empty());
    }

    #[test]
    fn texts_are_classes_in_alphabetic_order() {
        assert_eq!(names(Task::Auto, &["setosa", "1", "ab"]), ["1", "ab", "setosa"]);
    }

    #[test]
    fn one_text_among_many_numbers_is_named_with_its_line() {
        let numbers: Vec<String> = (0..100).map(|i| format!("{i}.5")).collect();
        let mut cells: Vec<&str> = numbers.iter().map(String::as_str).collect();
        cells[70] = "x7";
        let error = column(Task::Auto, &cells).unwrap_err().to_string();
        assert!(error.contains("\"x7\" is not a number\n  where: line 72"), "{error}");
        assert_eq!(names(Task::Classification, &cells).len(), 100);
    }

    #[test]
    fn targets_that_teach_nothing_or_cannot_be_classes_are_refused() {
        let refusal = |task, cells: &[&str]| column(task, cells).unwrap_err().to_string();
        assert!(refusal(Task::Classification, &["1", "1.0"]).contains("the only class is \"1\""));
        assert!(refusal(Task::Auto, &["a", "a"]).contains("the only class is \"a\""));
        let error = refusal(Task::Classification, &["1", "2.5"]);
        assert!(error.contains("2.5 is no class") && error.contains("where: line 3"), "{error}");
        let many: Vec<String> = (0..=MAX_CLASSES).map(|i| format!("id{i}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(refusal(Task::Auto, &many).contains("looks like an identifier"));
    }

    #[test]
    fn more_numbers_than_classes_could_be_are_kept_as_numbers() {
        let many: Vec<String> = (0..MAX_CLASSES + 9).map(|i| i.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(column(Task::Auto, &many).unwrap().rows(), many.len());
        let error = column(Task::Classification, &many).unwrap_err().to_string();
        assert!(error.contains("more than 65536 classes"), "{error}");
        let error = column(Task::Auto, &[&many[..], &["x"]].concat()).unwrap_err().to_string();
        assert!(error.contains("\"x\" is not a number"), "{error}");
    }

    #[test]
    fn the_classes_of_a_trained_model_keep_their_places() {
        let mut column = TargetColumn::of_classes(&["7".to_string(), "cat".to_string()]);
        for cell in ["cat", " 7.0", "7"] {
            column.push(cell.as_bytes(), 1).unwrap();
        }
        let error = column.push(b"cast", 1).unwrap_err().to_string();
        assert!(error.contains("no class \"cast\"") && error.contains("did you mean cat?"));
        let TargetColumn::Known { labels, .. } = column else { panic!() };
        assert_eq!(labels, [1, 0, 0]);
    }

    #[test]
    fn a_cell_that_is_no_number_says_what_to_do() {
        let help = |cell: &[u8]| number(cell).unwrap_err().to_string();
        assert!(help(b" ").contains("an empty cell"));
        assert!(help(b"NA").contains("a missing value"));
        assert!(help(b"inf").contains("not a finite number"));
        assert!(help(b"1e60").contains("not a finite number"));
        assert!(help(b"1,5").contains("with a point"));
        assert!(help(b"\xFF").contains("invalid UTF-8"));
        assert_eq!(number(b" -1.5e3 ").unwrap(), -1500.0);
    }
}
