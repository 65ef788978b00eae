//! Guessing whether a target is a class or a number: the guess, the note about
//! it, and targets that can't be classes.

use super::class_names::whole;
use super::target_columns::Columns;
use crate::base::error::{Error, Result};
use crate::base::words::count;
use crate::data::columns::frame::Values;
use crate::data::columns::texts::{MISSING, Texts};
use crate::data::columns::time::Dates;
use std::collections::BTreeSet;

/// The most distinct whole numbers that are classes.
const FEW: usize = 50;
/// The least average number of occurrences of a class.
const REPEATS: usize = 10;
/// The fewest rows that can have too many classes.
const LEAST_ROWS: usize = 20;

/// The guess for a target.
pub(in crate::data) struct Guess {
    pub(in crate::data) is_class: bool,
    /// The alternative, and the option for it.
    pub(in crate::data) note: Option<String>,
}

/// Guesses classes if a target holds texts that aren't numbers, or few distinct whole numbers
/// that occur often: from 0 on, or −1, 0 and 1.
pub(in crate::data) fn guess(columns: Columns, values: &Values) -> Guess {
    let Some(few) = few_whole_numbers(values) else {
        let is_class = matches!(values, Values::Texts(texts) if !are_numbers(texts));
        return Guess { is_class, note: None };
    };
    let (count, rows) = (few.len(), values.len());
    let is_counted_from_zero = few.first().is_some_and(|&least| least >= 0);
    let are_signs = few.iter().all(|x| (-1..=1).contains(x));
    let is_class = (is_counted_from_zero || are_signs) && count * REPEATS <= rows;
    let (learnt, task, others) = match is_class {
        true => ("classes", "regression", "numbers"),
        false => ("numbers", "classification", "classes"),
    };
    let note = format!(
        "{} has {count} different whole numbers: used as {learnt}; --task {task} uses them as {others}",
        columns.called(0)
    );
    // Two classes are surely not numbers, and numbers that hardly repeat surely not classes.
    let is_open = if is_class { count > 2 } else { count > 1 && count * 2 <= rows };
    Guess { is_class, note: is_open.then_some(note) }
}

/// The distinct values of a target, if all are whole numbers and not too many.
fn few_whole_numbers(values: &Values) -> Option<BTreeSet<i128>> {
    let mut seen = BTreeSet::new();
    let mut add = |number: i128| {
        seen.insert(number);
        seen.len() <= FEW
    };
    let is_few = match values {
        Values::Texts(texts) => texts.words.iter().all(|word| whole(word).is_some_and(&mut add)),
        _ => (0..values.len()).all(|row| {
            let x = values.number(row);
            // Larger numbers don't fit an i128 and can't be classes.
            x.fract() == 0.0 && x.abs() < 1e38 && add(x as i128)
        }),
    };
    is_few.then_some(seen)
}

/// Whether all texts of a column are numbers.
pub(in crate::data) fn are_numbers(texts: &Texts) -> bool {
    !texts.words.is_empty() && texts.words.iter().all(|word| number(word).is_some())
}

/// The finite number in a text.
pub(in crate::data) fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|x: &f64| x.is_finite())
}

/// Refuses classes if nearly every one of the `rows` rows has its own. `is_guess`: the user didn't
/// ask for classes.
pub(in crate::data) fn check_classes(
    columns: Columns,
    texts: &Texts,
    classes: usize,
    rows: usize,
    is_guess: bool,
) -> Result<()> {
    let each = classes >= rows && rows > 2;
    let nearly = is_guess && classes * 2 > rows && rows >= LEAST_ROWS;
    if !each && !nearly {
        return Ok(());
    }
    let (looks, advice) = looks_like(texts);
    let mut advice = format!("it looks like {looks}: {advice}");
    if !each {
        advice += "; use --task classification to use them as classes";
    }
    let name = columns.called(0);
    let what = match each {
        true => format!("{name} has a different class in each of its {}", count(rows, "row")),
        false => {
            format!(
                "{name} has {classes} different texts in {}: too many to be classes",
                count(rows, "row")
            )
        }
    };
    Err(Error::data(what).at(columns.column(0)).help(advice))
}

/// The apparent meaning of distinct texts, and advice.
fn looks_like(texts: &Texts) -> (String, String) {
    let words = || texts.words.iter();
    let first = words().next().unwrap_or_default();
    let share =
        |is: &dyn Fn(&str) -> bool| words().filter(|w| is(w)).count() * 2 > texts.words.len();
    let other = "name another target with --target".to_string();
    if Dates::of(words().map(|word| (word, 1)), None).is_some() {
        return (format!("dates, such as {first:?}"), other);
    }
    if are_numbers(texts) {
        let advice = format!("use --task regression if it is numeric; or {other}");
        return ("numbers or an identifier".into(), advice);
    }
    if share(&|word| number(word).is_some()) {
        let (text, rows) = most_frequent_text(texts);
        let looks = format!("numbers, and texts such as {text:?} ({})", count(rows, "row"));
        return (
            looks,
            format!("correct them, or use --missing {text} if such a value is missing"),
        );
    }
    if share(&is_written_number) {
        let example = words().find(|w| is_written_number(w)).unwrap_or(first);
        let advice = "give plain numbers such as 1234.5, or describe their form with --decimal and --thousands";
        return (format!("numbers written in another form, such as {example:?}"), advice.into());
    }
    let is_name = |word: &str| !word.trim().contains(char::is_whitespace) && word.len() < 40;
    let what = if share(&is_name) { "an identifier" } else { "free text" };
    let shown: String = first.chars().take(40).collect();
    (format!("{what}, such as {shown:?}"), other)
}

/// The most frequent text that isn't a number, and the number of its rows.
fn most_frequent_text(texts: &Texts) -> (&str, usize) {
    let mut counts = vec![0usize; texts.words.len()];
    texts.codes.iter().filter(|&&c| c != MISSING).for_each(|&c| counts[c as usize] += 1);
    let others = texts.words.iter().zip(counts).filter(|(word, _)| number(word).is_none());
    others.max_by_key(|(_, count)| *count).unwrap_or_default()
}

/// Whether a text is a number except for separators, a currency, a percent sign and the like.
fn is_written_number(text: &str) -> bool {
    let text = text.trim().trim_matches(['-', '+', '(', ')']);
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    // A currency code or a unit is separated; a letter next to digits belongs to an identifier.
    let are_apart = letters == 0 || letters <= 3 && text.contains(char::is_whitespace);
    are_apart && text.contains(|c: char| c.is_ascii_digit()) && !text.contains(['-', '/', ':'])
}

#[cfg(test)]
#[path = "task_guess_tests.rs"]
mod tests;
