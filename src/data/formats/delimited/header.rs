//! Whether the first row of a text names the columns.

use super::dialect::{Look, look};
use crate::base::error::{Error, Result};
use crate::data::columns::frame::Header;
use crate::data::columns::missing::Marks;
use crate::data::streams::recognize::recode;
use std::collections::HashSet;
use std::path::Path;

/// The role of the first row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FirstRow {
    /// The names of the columns.
    Names,
    /// The names of the columns, though it could be a row of numbers too.
    NamesOfNumbers,
    /// A row like the others.
    Values,
    /// A row like the others, although its whole numbers are above numbers with decimals.
    ValuesInDoubt,
}

/// The rows of a sample, the first of which may name the columns.
struct Sample<'a> {
    first: &'a [Vec<u8>],
    below: &'a [Vec<Vec<u8>>],
    marks: &'a Marks,
}

/// Whether the first of these rows names the columns, if nothing else decides: it does if it is unlike
/// the rows below it.
///
/// A text above numbers is a name. A first row with numbers in it is a header only if all of them could be
/// names, years or counts: with a text that isn't one of its column's categories, above numbers with decimals,
/// or as consecutive numbers. If all cells are texts, no column may repeat its cell of the first row, and no
/// cell may be empty.
pub(super) fn first_row(rows: &[Vec<Vec<u8>>], marks: &Marks) -> FirstRow {
    let Some((first, below)) = rows.split_first() else { return FirstRow::Values };
    let sample = Sample { first, below, marks };
    let looks: Vec<Look> = first.iter().map(|cell| look(cell, marks)).collect();
    let places = || 0..first.len();
    if places().any(|i| looks[i] == Look::Text && sample.is_numeric(i)) {
        return FirstRow::Names;
    }
    if looks.contains(&Look::Number) {
        let numbers: Option<Vec<u64>> = places()
            .filter(|&i| looks[i] == Look::Number)
            .map(|i| std::str::from_utf8(&first[i]).ok()?.parse().ok())
            .collect();
        let Some(numbers) = numbers.filter(|n| n.iter().collect::<HashSet<_>>().len() == n.len())
        else {
            return FirstRow::Values;
        };
        let is_unlike = |i: usize| looks[i] == Look::Text && sample.is_no_category(i);
        let is_index = first[0].is_empty() && sample.counts(0);
        if is_index || places().any(is_unlike) {
            return FirstRow::Names;
        }
        let is_plain = looks.iter().all(|look| *look == Look::Number);
        let are_steps = numbers.len() > 1 && numbers.windows(2).all(|w| w[0].abs_diff(w[1]) == 1);
        let have_decimals = places().all(|i| sample.has_decimals(i));
        let are_names = numbers[0] < 2 || (1800..2200).contains(&numbers[0]);
        let is_long = numbers.len() > 4;
        // pandas writes column numbers above a table without texts, other programs years.
        return match is_plain && are_steps && are_names && (have_decimals || is_long) {
            true => FirstRow::NamesOfNumbers,
            false if is_plain && have_decimals => FirstRow::ValuesInDoubt,
            false => FirstRow::Values,
        };
    }
    let again = |i: usize| below.iter().any(|row| row.get(i) == Some(&first[i]));
    let is_distinct = first.iter().collect::<HashSet<_>>().len() == first.len();
    match !looks.contains(&Look::Missing) && !places().any(again) && is_distinct {
        true => FirstRow::Names,
        false => FirstRow::Values,
    }
}

/// The same for a model without column names: only a row with texts above a column of numbers isn't a row of
/// values, as its texts would be faults.
pub(super) fn first_row_of_unnamed(rows: &[Vec<Vec<u8>>], marks: &Marks) -> FirstRow {
    let Some((first, below)) = rows.split_first() else { return FirstRow::Values };
    let sample = Sample { first, below, marks };
    let is_text = |cell: &Vec<u8>| look(cell, marks) == Look::Text;
    match first.iter().all(is_text) && (0..first.len()).any(|i| sample.is_numeric(i)) {
        true => FirstRow::Names,
        false => FirstRow::Values,
    }
}

impl Sample<'_> {
    fn column(&self, i: usize) -> impl Iterator<Item = &[u8]> + Clone {
        self.below.iter().filter_map(move |row| row.get(i)).map(Vec::as_slice)
    }

    /// Whether all cells of a column are numbers or missing, and some are numbers.
    fn is_numeric(&self, i: usize) -> bool {
        let mut looks = self.column(i).map(|cell| look(cell, self.marks)).peekable();
        let mut some = false;
        looks.all(|look| {
            some |= look == Look::Number;
            look != Look::Text
        }) && some
    }

    /// Whether the first cell isn't one of the repeated categories of a column.
    fn is_no_category(&self, i: usize) -> bool {
        let below: HashSet<&[u8]> = self.column(i).collect();
        2 * below.len() <= self.below.len() && !below.contains(&self.first[i][..])
    }

    /// Whether at least a quarter of a column's cells are numbers with decimals.
    fn has_decimals(&self, i: usize) -> bool {
        let decimals = self.column(i).filter(|cell| {
            look(cell, self.marks) == Look::Number && cell.iter().any(|b| b".,".contains(b))
        });
        4 * decimals.count() >= self.below.len()
    }

    /// Whether a column counts the rows.
    fn counts(&self, i: usize) -> bool {
        let numbers: Option<Vec<u64>> =
            self.column(i).map(|cell| std::str::from_utf8(cell).ok()?.parse().ok()).collect();
        numbers.is_some_and(|n| n.len() > 1 && n.windows(2).all(|w| w[0] + 1 == w[1]))
    }
}

/// The header from a row of cells; a column without a name gets one.
///
/// # Errors
/// For invalid UTF-8.
pub(super) fn header(first: &[Vec<u8>], path: &Path) -> Result<Header> {
    let mut names: Vec<String> = Vec::with_capacity(first.len());
    for (i, cell) in first.iter().enumerate() {
        let name = std::str::from_utf8(cell).map_err(|_| {
            Error::data("invalid UTF-8")
                .at(format!("column {}", i + 1))
                .help(recode(path, "WINDOWS-1252"))
        })?;
        names.push(match name.trim() {
            "" => format!("unnamed_{}", i + 1),
            name => name.to_string(),
        });
    }
    Ok(Header::of_names(names))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(rows: &[&[&str]]) -> FirstRow {
        let rows: Vec<Vec<Vec<u8>>> =
            rows.iter().map(|r| r.iter().map(|c| c.as_bytes().to_vec()).collect()).collect();
        first_row(&rows, &Marks::default())
    }

    #[test]
    fn a_header_is_told_from_a_first_row_of_values() {
        let header = |top: &[&str], next: &[&str]| first(&[top, next]) == FirstRow::Names;
        assert!(header(&["a", "b"], &["1", "2"]));
        assert!(!header(&["1", "2"], &["1", "2"]));
        assert!(!header(&["5.1", "setosa"], &["4.9", "setosa"]), "a class in the last column");
        assert!(header(&["7", "label"], &["4.9", "1"]), "a number follows");
        assert!(!header(&["", "2", "3"], &["1", "5", "3"]), "a missing value is not a name");
        assert!(!header(&["inf", "2"], &["1", "2"]));
        assert!(header(&["city", "kind"], &["Oslo", "flat"]), "texts that don't come again");
        assert!(first(&[&["Oslo", "flat"], &["Rome", "flat"]]) == FirstRow::Values);
        assert!(header(&["city", "price"], &["Oslo", ""]) && !header(&["a", "b"], &["a", "c"]));
    }

    #[test]
    fn years_and_counts_are_names_above_what_is_unlike_them() {
        let (north, south) = ("North", "South");
        let regions: [&[&str]; 5] = [
            &["region", "2019", "2020"],
            &[north, "1990", "2001"],
            &[south, "2019", "1985"],
            &[north, "2020", "2020"],
            &[south, "2022", "1999"],
        ];
        assert_eq!(first(&regions), FirstRow::Names);
        assert_eq!(first(&regions[1..]), FirstRow::Values);
        let sorted: [&[&str]; 4] = [&["a", "5.5"], &["b", "2.5"], &["b", "3"], &["b", "4"]];
        assert_eq!(first(&sorted), FirstRow::Values, "5.5 is not a name");
        for names in [&["2019", "2020", "2021"], &["0", "1", "2"], &["1", "2", "3"]] {
            let rows: [&[&str]; 3] = [names, &["98.5", "99.1", "97.0"], &["90.2", "0.5", "3.4"]];
            assert_eq!(first(&rows), FirstRow::NamesOfNumbers, "{names:?}");
        }
        let doses: [&[&str]; 3] =
            [&["1", "5", "10"], &["2.5", "7.25", "1.5"], &["0.5", "1", "2.5"]];
        assert_eq!(first(&doses), FirstRow::ValuesInDoubt);
        let whole: [&[&str]; 3] = [&["1", "2", "3"], &["5", "4", "1"], &["7", "8", "2"]];
        assert_eq!(first(&whole), FirstRow::Values, "a row like the others");
        let long: [&[&str]; 2] = [&["0", "1", "2", "3", "4"], &["5", "4", "1", "0", "7"]];
        assert_eq!(first(&long), FirstRow::NamesOfNumbers, "counted names");
        let index: [&[&str]; 3] = [&["", "0", "1"], &["0", "5", "7"], &["1", "9", "8"]];
        assert_eq!(first(&index), FirstRow::Names, "an index that pandas wrote");
    }
}
